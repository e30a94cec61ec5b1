from typing import Any

import numpy as np
import pytest

from lvm_probe import InputError
from lvm_probe.analysis.erasure import erased
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.ask import ask
from lvm_probe.probing.questions.question import Question
from lvm_probe.probing.questions.results import COLUMNS, ERASURE_COLUMNS, MORE_COLUMNS
from tests.probing.synthetic_tables import at, changed, made_up


def lda(**fields: Any) -> Question:
    return Question(**{"method": "lda", "protocol": "speaker", "permutations": 2} | fields)


def test_what_is_asked_is_gone_when_it_is_erased_and_stays_when_something_else_is() -> None:
    table = made_up(speakers=8)
    gender = {"target": "gender", "rows": "token"}
    plain, without = (ask(table, lda(**gender, erase=erase, features=("z1",))).frame for erase in (None, "gender"))
    assert at(plain, speaker="")["accuracy"] > 0.95
    assert at(without, speaker="")["accuracy"] < 0.65
    assert at(without, speaker="")["unerased_accuracy"] == at(plain, speaker="")["accuracy"]
    assert at(without, speaker="")["sham_accuracy"] > 0.9
    assert at(without, speaker="")["minus_sham"] < -0.3
    assert at(without, speaker="")["p_minus_unerased_holm"] < 0.01
    phones = ask(table, lda(erase="gender", features=("z1",))).frame
    assert list(phones.columns) == COLUMNS + MORE_COLUMNS + ERASURE_COLUMNS
    row = at(phones, speaker="")
    assert row["erase"] == "gender"
    assert row["accuracy"] > 0.85
    assert abs(row["minus_unerased"]) < 0.05
    assert abs(row["minus_sham"]) < 0.05
    assert row["null_accuracy"] < 0.4


def entangled() -> TokenTable:
    """The class is told by one dimension only, which tells the gender too."""
    table = made_up(speakers=8, signal=0, dims={"z1": 6, "mel": 6})
    rng = np.random.default_rng(0)
    labels = np.array(["iy" if (g == "F") == (rng.uniform() < 0.9) else "s" for g in table.columns["gender"]])
    table.features["z1"][:, 1] += 5 * (labels == "iy")
    table.features["z1"][:, 2] += 5 * (labels == "iy")
    return changed(table, label=labels)


def test_knowledge_that_needs_the_erased_concept_goes_with_it() -> None:
    row = at(ask(entangled(), lda(features=("z1",), erase="gender")).frame, speaker="")
    assert row["unerased_accuracy"] > 0.95
    assert row["minus_unerased"] < -0.05
    assert row["minus_sham"] < -0.05


@pytest.mark.parametrize(
    "fields", [{}, {"method": "knn", "ks": (5,)}, {"method": "mdl", "orders": 1}, {"method": "logistic"}]
)
def test_every_method_reports_both_comparisons(fields: dict[str, Any]) -> None:
    question = lda(**{"erase": "gender", "features": ("z1", "mel"), "permutations": 1} | fields)
    answer = ask(made_up(speakers=4), question)
    row = at(answer.frame, feature="z1", speaker="")
    unit = "bits" if question.method == "mdl" else "accuracy"
    for name in ("unerased", "sham"):
        assert row[f"{name}_{unit}"] == pytest.approx(row[unit], abs=0.3)
    assert "after what tells the gender was erased inside the fold (LEACE)" in str(answer)
    assert "without what tells the gender, z1 differs by" in str(answer)
    assert "sham erased" in str(answer)


def test_phonemes_are_erased_within_a_speaker_and_the_fold_s_rows_alone_are_fitted_to() -> None:
    table = made_up(speakers=3, signal=8)
    found = ask(table, lda(protocol="utterance", erase="phoneme", features=("z1",), permutations=0)).frame
    assert at(found, speaker="")["accuracy"] < 0.45
    assert at(found, speaker="")["unerased_accuracy"] > 0.8
    speaker = np.unique(table.columns["speaker"].astype(str), return_inverse=True)[1]
    points = table.features["z1"].astype(float)
    judged = speaker == 0
    moved = points + np.where(judged[:, None], 100.0, 0.0)
    one, other = (erased(p, speaker, np.flatnonzero(~judged))[~judged] for p in (points, moved))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"erase": "speaker", "protocol": "utterance"}, "each speaker is asked alone, so there is no speaker to erase"),
        ({"erase": "speaker", "target": "gender"}, "with one row per speaker nothing would be left"),
        ({"erase": "phoneme", "target": "gender"}, "the mean over a speaker has no phoneme; use rows='token'"),
        ({"erase": "phoneme", "target": "word"}, "a word is no phoneme"),
        ({"erase": "dialect"}, "erase is 'dialect'; choose one of speaker, gender, phoneme"),
        ({"erase": "gender", "method": "abx", "protocol": "across"}, "erase: only for the methods knn, lda"),
    ],
)
def test_refusals(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        lda(**{"permutations": None} | fields)


def test_an_unknown_gender_cannot_be_erased() -> None:
    table = made_up(speakers=4)
    table = changed(table, gender=[None if s == "FS0" else s[0] for s in table.columns["speaker"]])
    with pytest.raises(InputError, match="the gender of 48 rows is unknown, so it cannot be erased"):
        ask(table, lda(erase="gender"))
