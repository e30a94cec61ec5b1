"""A probe that is fitted to one table and asked of another."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from lvm_probe import InputError
from lvm_probe.probing.questions.ask import ask
from lvm_probe.probing.questions.question import Question
from tests.probing.synthetic_tables import at, changed, made_up


def two_tables(**how):
    """Four speakers to fit to, three others to ask."""
    table = made_up(speakers=7, **how)
    speakers = sorted(set(table.columns["speaker"]), key=lambda name: name[2:])
    chosen = np.isin(table.columns["speaker"], speakers[:4])
    return table.select(chosen), replace(table.select(~chosen), name="others")


def transfer(**fields) -> Question:
    return Question(**({"protocol": "transfer", "permutations": 3} | fields))


def test_lda_is_that_of_scikit_learn() -> None:
    table, test = two_tables()
    found = ask(table, transfer(method="lda", features=("z1",), shrinkage="none"), test=test).frame
    probe = LinearDiscriminantAnalysis().fit(table.matrix("z1"), table.columns["label"].astype(str))
    right = probe.predict(test.matrix("z1")) == test.columns["label"]
    pooled = at(found, speaker="")
    assert pooled["accuracy"] == right.mean()
    assert (pooled["n"], pooled["speakers"], pooled["test"], pooled["protocol"]) == (144, 3, "others", "transfer")
    for speaker in set(test.columns["speaker"]):
        assert at(found, speaker=speaker)["accuracy"] == right[test.columns["speaker"] == speaker].mean()
    assert set(found["speaker"]) == {"", *test.columns["speaker"]}


@pytest.mark.parametrize("fields", [{"ks": (1, 5)}, {"ks": (1, 5), "lda_dims": 0}, {"method": "logistic"}])
def test_every_probe_judges_the_test_table_alone(fields) -> None:
    table, test = two_tables()
    answer = ask(table, transfer(features=("z1", "mel"), **fields), test=test)
    k = 5 if "ks" in fields else 0
    z1, mel = (at(answer.frame, feature=name, speaker="", k=k) for name in ("z1", "mel"))
    assert z1["n"] == 144
    assert z1["accuracy"] > 0.7
    assert abs(mel["accuracy"] - 0.25) < 0.15
    assert abs(z1["null_accuracy"] - 0.25) < 0.12
    assert z1["minus_mel_low"] > 0
    assert z1["interval"] == "speakers"
    assert answer.confusion["count"].sum() == 144 * 2 * (2 if k else 1)
    assert "fitted to the other table, asked of others" in str(answer)


def test_nothing_of_the_test_table_is_fitted() -> None:
    table, test = two_tables()
    alone = test.select(test.columns["speaker"] == test.columns["speaker"][0])
    question = transfer(features=("z1",), ks=(5,), permutations=0)
    together, single = (ask(table, question, test=some).frame for some in (test, alone))
    name = test.columns["speaker"][0]
    assert at(together, speaker=name)["accuracy"] == at(single, speaker=name)["accuracy"]


def test_an_attribute_has_a_row_a_speaker() -> None:
    table, test = two_tables(signal=2)
    found = ask(table, transfer(target="gender", features=("z1",), ks=(1,), lda_dims=1), test=test).frame
    row = at(found, speaker="")
    assert (row["n"], row["rows"], row["interval"]) == (3, "speaker", "speakers")


def test_the_untrained_model_is_fitted_and_asked_likewise() -> None:
    table, test = two_tables()
    worse = {name: np.random.default_rng(0).normal(size=v.shape).astype("f") for name, v in table.features.items()}
    noise = {name: np.random.default_rng(1).normal(size=v.shape).astype("f") for name, v in test.features.items()}
    question = transfer(features=("z1",), ks=(5,))
    row = at(
        ask(
            table, question, test=test, untrained=replace(table, features=worse),
            untrained_test=replace(test, features=noise),
        ).frame, speaker="",
    )  # fmt: skip
    assert abs(row["untrained_accuracy"] - 0.25) < 0.12
    assert row["minus_untrained"] == pytest.approx(row["accuracy"] - row["untrained_accuracy"])


def test_classes_that_the_fitted_table_lacks_are_left_out_by_name() -> None:
    table, test = two_tables()
    labels = test.columns["label"].copy()
    labels[labels == "t"] = "zh"
    answer = ask(table, transfer(features=("z1",), ks=(5,)), test=changed(test, label=labels))
    assert at(answer.frame, speaker="")["n"] == 108
    assert any("no such class: zh (36 rows)" in note for note in answer.notes)


def test_classes_that_the_test_table_lacks_stay_possible_answers() -> None:
    table, test = two_tables(signal=1)
    few = test.select(test.columns["label"] != "t")
    question = transfer(method="lda", features=("z1",), permutations=0)
    answer, whole = (ask(table, question, test=one) for one in (few, test))
    assert answer.notes == ("others has no rows of classes that the probe may answer all the same: t",)
    asked = whole.confusion[whole.confusion["label"] != "t"].reset_index(drop=True)
    assert answer.confusion[["label", "predicted", "count"]].equals(asked[["label", "predicted", "count"]])
    assert (asked["predicted"] == "t").any()


def made_by(**extraction):
    """Two tables, the one made as the other but for what is given."""
    table, test = two_tables()
    how = {"checkpoint": {"name": "x", "sha256": "1"}, "model": {"family": "vrnn"}, "added": ["z2"], "seed": 0}
    return replace(table, extraction=how), replace(test, extraction=how | extraction)


OTHER_WEIGHTS = {"checkpoint": {"name": "x", "sha256": "2"}}


@pytest.mark.parametrize("other", [OTHER_WEIGHTS, {"untrained": True}, {"model": {"family": "srnn"}}])
def test_features_of_another_model_are_refused_and_others_asked(other) -> None:
    table, test = made_by(**other)
    with pytest.raises(InputError, match="not of the same model as .*; extract both with the same checkpoint"):
        ask(table, transfer(features=("z1+mel",)), test=test)
    for own in ("mel", "z2"):
        ask(table, transfer(features=(own,), ks=(5,), permutations=0), test=test)


@pytest.mark.parametrize(
    "other",
    [
        {"name": "mine.py:other"},
        {"sha256": "2"},
        {"weights_sha256": "3"},
        {"strides": {"z1": 320}},
        {"sample_rate": 8000},
    ],
)
def test_features_of_another_encoder_are_refused(other) -> None:
    encoder = {"name": "mine.py:encode", "sha256": "1", "strides": {"z1": 160}}
    table, test = (replace(one, extraction={"encoder": encoder}) for one in two_tables())
    question = transfer(features=("z1",), ks=(5,), permutations=0)
    assert ask(table, question, test=test).notes == ()
    with pytest.raises(InputError, match="not of the same model"):
        ask(table, question, test=replace(test, extraction={"encoder": encoder | other}))


def test_an_encoder_without_a_file_is_taken_at_its_name() -> None:
    table, test = (
        replace(one, extraction={"encoder": {"name": "encode", "first_utterance_sha256": digest}})
        for one, digest in zip(two_tables(), "12", strict=True)
    )
    question = transfer(features=("z1",), ks=(5,), permutations=0)
    assert "encode has no file to show it" in ask(table, question, test=test).notes[0]


def test_untrained_models_of_two_seeds_are_not_compared_with() -> None:
    table, test = two_tables()
    untrained, other = (
        replace(one, extraction={"untrained": True, "seed": seed}) for one, seed in ((table, 0), (test, 1))
    )
    question = transfer(features=("z1",), ks=(5,), permutations=0)
    answer = ask(table, question, test=test, untrained=untrained, untrained_test=other)
    assert "left out: others has other random weights" in answer.notes[0]
    assert answer.frame["untrained_accuracy"].isna().all()


def test_what_cannot_be_transferred_is_refused() -> None:
    table, test = two_tables()
    with pytest.raises(InputError, match="speaker FS0, .*is in .* too, so the probe would know the voice"):
        ask(table, transfer(), test=table)
    with pytest.raises(InputError, match="not of the same model"):
        ask(table, transfer(), test=replace(test, extraction={"model": {"family": "vrnn"}}))
    with pytest.raises(InputError, match="give both"):
        ask(table, transfer())
    with pytest.raises(InputError, match="give both"):
        ask(table, Question(), test=test)
    for fields in ({"target": "speaker"}, {"speakers": ("FS0",)}):
        with pytest.raises(InputError, match="not where the speakers of another table are judged"):
            transfer(**fields)
