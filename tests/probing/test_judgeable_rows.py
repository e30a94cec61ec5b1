"""What cannot be asked is left out by name and changes nothing for the rest."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from lvm_probe import InputError
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.ask import ask
from lvm_probe.probing.questions.judgeable_rows import rows_to_judge
from lvm_probe.probing.questions.question import Question
from lvm_probe.probing.questions.results import Answer
from tests.probing.synthetic_tables import changed, made_up

QUESTIONS = [
    {"method": "knn", "protocol": "paper", "ks": (1, 5)},
    {"method": "knn", "protocol": "nested", "ks": (1, 5)},
    {"method": "knn", "protocol": "utterance", "ks": (1, 5)},
    {"method": "lda", "protocol": "paper"},
    {"method": "lda", "protocol": "nested"},
    {"method": "lda", "protocol": "utterance"},
    {"method": "logistic", "protocol": "nested"},
    {"method": "logistic", "protocol": "utterance"},
    {"method": "abx", "protocol": "within"},
    {"method": "abx", "protocol": "across"},
]
"""Every method and protocol that asks of single speakers."""


def answer(table: TokenTable, **fields: Any) -> Answer:
    if fields.get("method") != "abx":
        fields = {"permutations": 0} | fields
    return ask(table, Question(**fields))


def with_feature(table: TokenTable, name: str, values: np.ndarray) -> TokenTable:
    return changed(table, features=table.features | {name: values.astype(np.float32)})


def few_rows(table: TokenTable, speaker: str, rows: int) -> TokenTable:
    """The table with the first rows only of one speaker."""
    mine = (table.tokens["speaker"] == speaker).to_numpy()
    return table.select(~mine | (np.cumsum(mine) <= rows))


def without(table: TokenTable, speaker: str) -> TokenTable:
    return table.select((table.tokens["speaker"] != speaker).to_numpy())


@pytest.mark.parametrize("fields", QUESTIONS)
@pytest.mark.parametrize("rows", [1, 2])
def test_a_speaker_of_a_few_tokens_ends_no_question(fields: dict[str, Any], rows: int) -> None:
    table = made_up(speakers=3, each=24)
    if fields["protocol"] == "across" and rows == 2:
        pytest.skip("two tokens of labels that others have are enough across speakers")
    found = answer(few_rows(table, "MS1", rows), features=("z1", "mel"), **fields)
    (note,) = [note for note in found.notes if "MS1" in note]
    assert note.startswith("left out because ")
    assert f"MS1 ({rows} rows)" in note
    pd.testing.assert_frame_equal(
        found.frame, answer(without(table, "MS1"), features=("z1", "mel"), **fields).frame, check_exact=True
    )


@pytest.mark.parametrize("fields", QUESTIONS)
def test_a_speaker_of_one_class_is_left_out(fields: dict[str, Any]) -> None:
    table = made_up(speakers=3, each=24)
    one = changed(table, label=table.tokens["label"].where(table.tokens["speaker"] != "MS1", "s"))
    found = answer(one, features=("z1",), **fields)
    assert any("MS1 (24 rows)" in note for note in found.notes)
    assert "MS1" not in set(found.frame["speaker"])
    with pytest.raises(InputError, match=r"latents/made-up: .* \(MS1\)|needs two or more") as caught:
        answer(one, features=("z1",), speakers=("MS1",), **fields)
    assert "\n" not in str(caught.value)


def test_a_speaker_needs_two_classes_whatever_is_held_out() -> None:
    """Here a held-out utterance would be judged by an utterance of a single class, whatever the feature says."""
    table = made_up(speakers=3, each=24)
    mine = (table.tokens["speaker"] == "MS1").to_numpy()
    utterances = np.where(mine & (np.arange(72) % 24 < 8), "MS1_SA1", table.columns["utterance"])
    utterances = np.where(mine & (np.arange(72) % 24 >= 8), "MS1_SX1", utterances)
    labels = np.where(mine & (np.arange(72) % 24 < 8), "s", table.columns["label"])
    rows, notes = rows_to_judge(changed(table, utterance=utterances, label=labels), Question(method="lda"))
    assert rows.speakers.names.tolist() == ["FS0", "FS2"]
    assert "besides any one utterance" in notes[0]


def test_one_small_speaker_leaves_the_usual_neighbours_to_the_others() -> None:
    table = made_up(speakers=3, each=48)
    mine = (table.tokens["speaker"] == "MS1").to_numpy()
    table = changed(table, label=np.where(mine, np.array(["s", "t"])[np.arange(144) % 2], table.columns["label"]))
    small = few_rows(table, "MS1", 5)  # at most four neighbours
    found = answer(small, protocol="nested", features=("z1",))
    assert "left out because 5 neighbours need 5 rows of the speaker that are not held out together: MS1 (5 rows)" in (
        found.notes
    )
    assert found.frame["k"].max() == 47
    given = answer(small, protocol="nested", features=("z1",), ks=(3,))  # for which they are enough
    assert set(given.frame["speaker"]) == {"", "FS0", "FS2", "MS1"}
    ended = answer(few_rows(table, "MS1", 9), protocol="nested", features=("z1",))
    assert "k ends at 8, for rows of speaker MS1 have no more neighbours" in ended.notes
    assert ended.frame["k"].max() == 8


def test_a_speaker_of_few_classes_changes_no_discriminants_of_others() -> None:
    table = made_up(speakers=3, each=48)
    mine = (table.tokens["speaker"] == "MS1").to_numpy()
    two = table.select(~mine | table.tokens["label"].isin(["s", "t"]).to_numpy())
    found, alone = (answer(t, features=("z1",), ks=(1, 5)) for t in (two, without(table, "MS1")))
    assert "fewer than 3 linear discriminants, for so few classes: MS1 (2)" in found.notes
    assert found.frame.set_index("speaker")["lda_dims"].loc["MS1"].tolist() == [1, 1]
    for speaker in ("FS0", "FS2"):
        ours, theirs = (f.frame[f.frame["speaker"] == speaker].reset_index(drop=True) for f in (found, alone))
        pd.testing.assert_frame_equal(ours, theirs)


def test_rows_that_are_certain_to_be_wrong_are_counted() -> None:
    table = made_up(speakers=2, each=24)
    labels = table.tokens["label"].to_numpy().copy()
    labels[0] = "zh"
    found = answer(changed(table, label=labels), features=("z1",), method="lda")
    assert found.notes == ("1 row counts as an error, because the speaker has the class in no other utterance: zh",)
    assert not answer(changed(table, label=labels), features=("z1",), method="lda", protocol="paper").notes


@pytest.mark.parametrize("method", ["knn", "lda", "logistic"])
def test_a_class_of_one_speaker_is_left_out_where_speakers_are_held_out(method: Any) -> None:
    table = made_up(speakers=3, each=24)
    labels = table.tokens["label"].where(table.tokens.index >= 3, "zh")
    found = answer(changed(table, label=labels), method=method, protocol="speaker", features=("z1",))
    assert found.notes == ("left out because only one speaker has the class: phoneme zh (3 rows)",)
    assert set(found.frame["n_classes"]) == {4}


@pytest.mark.parametrize("method", ["knn", "lda", "logistic"])
def test_a_speaker_of_one_utterance_cannot_be_recognised(method: Any) -> None:
    table = made_up(speakers=4, each=24)
    single = table.tokens["utterance"].where(table.tokens["speaker"] != "MS1", "MS1_SX1")
    found = answer(changed(table, utterance=single), target="speaker", method=method, features=("z1",))
    assert found.notes == ("left out because only one utterance has the class: speaker MS1 (1 rows)",)


@pytest.mark.parametrize("fields", [*QUESTIONS, {"method": "lda", "protocol": "speaker"}])
def test_a_constant_feature_is_left_out(fields: dict[str, Any]) -> None:
    plain = made_up(speakers=3, each=24)
    table = with_feature(plain, "dead", np.full((72, 5), 0.1))
    found = answer(table, features=("z1", "dead", "mel"), **fields)
    assert "left out, feature dead: it is constant over the rows" in " ".join(found.notes)
    expected = answer(plain, features=("z1", "mel"), **fields)
    pd.testing.assert_frame_equal(found.frame, expected.frame)
    with pytest.raises(InputError, match="latents/made-up: feature dead: it is constant"):
        answer(table, features=("dead",), **fields)


def test_a_feature_that_knows_the_speaker_only_is_constant_for_each() -> None:
    table = made_up(speakers=3, each=24)
    codes = np.unique(table.columns["speaker"], return_inverse=True)[1]
    table = with_feature(table, "who", codes[:, None])
    found = answer(table, method="lda", features=("z1", "who"))
    assert "left out, feature who: it is constant over the rows of each speaker" in found.notes
    pooled = answer(table, method="lda", features=("z1", "who"), protocol="speaker")
    assert set(pooled.frame["feature"]) == {"z1", "who"}
    partly = table.features["z1"] * (table.columns["speaker"] != "MS1")[:, None]
    found = answer(with_feature(table, "partly", partly), method="lda", features=("z1", "partly"))
    assert "feature partly is constant over the rows of MS1: nothing but the majority is known" in found.notes


def test_a_constant_feature_says_nothing_of_heights() -> None:
    table = made_up(speakers=8, each=12)
    heights = 170.0 + np.unique(table.columns["speaker"], return_inverse=True)[1]
    table = with_feature(changed(table, height_cm=heights), "dead", np.full((96, 5), 3.0))
    found = answer(table, target="height-cm", method="ridge", protocol="speaker", features=("z1", "dead"))
    assert found.notes == ("left out, feature dead: it is constant over the rows",)
    assert set(found.frame["feature"]) == {"z1"}


def test_a_gender_of_two_speakers_is_left_out() -> None:
    table = made_up(speakers=6, each=12)
    heights = 170.0 + np.unique(table.columns["speaker"], return_inverse=True)[1]
    table = without(changed(table, height_cm=heights), "MS5")
    found = answer(table, target="height-cm", method="ridge", protocol="speaker", features=("z1",))
    assert found.notes == ("left out because a gender needs three speakers of known height: 2 M speakers",)
    assert found.frame["speakers"].tolist() == [3]


def test_values_that_are_not_finite_are_named() -> None:
    table = made_up(speakers=2, each=24)
    broken = table.features["z2"].copy()
    broken[5:8, 1] = np.nan
    found = answer(with_feature(table, "broken", broken), method="lda", features=("broken", "z1"))
    assert found.notes == ("left out, feature broken: 3 of 48 rows are not finite",)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.linspace(-1, 1, 72)[:, None], "of one dimension the cosine distance compares the sign only"),
        (np.linspace(1, 2, 72)[:, None] * [1.0, 2.0, -3.0], "all rows have the same direction"),
        (np.eye(72)[:, :40], "32 rows are zero, and the cosine distance needs a direction"),
    ],
)
def test_features_without_directions_have_no_cosine(values: np.ndarray, says: str) -> None:
    table = with_feature(made_up(speakers=3, each=24), "odd", values)
    found = answer(table, method="abx", features=("z1", "odd"))
    (note,) = found.notes
    assert note.startswith(f"left out, feature odd: {says}")
    assert note.endswith("use distance='euclidean'")
    assert set(found.frame["feature"]) == {"z1"}
    assert set(answer(table, method="abx", features=("odd",), distance="euclidean").frame["feature"]) == {"odd"}


def test_a_feature_that_the_method_cannot_fit_ends_nothing_for_others() -> None:
    table = made_up(speakers=2, each=24)
    wide = np.random.default_rng(0).normal(size=(48, 40))
    found = answer(
        with_feature(table, "wide", wide), method="lda", protocol="nested", shrinkage="none", features=("z2", "wide")
    )
    assert set(found.frame["feature"]) == {"z2"}
    (note,) = found.notes
    assert note.startswith("left out, speaker FS0, feature wide: ")
    assert "their covariance is singular; use shrinkage" in note


def test_small_features_limit_the_discriminants_and_it_is_said() -> None:
    table = made_up(speakers=2, each=24)
    table = with_feature(table, "energy", table.features["z1"][:, :1])
    found = answer(table, features=("z1", "energy"), ks=(1, 5))
    assert found.notes == ("only 1 linear discriminant, for feature energy has no more dimensions",)
    found = answer(table, features=("z1", "energy"), ks=(1, 5), lda_dims=2)
    assert set(found.frame["feature"]) == {"z1"}
    assert "left out, speaker FS0, feature energy: 2 LDA dimensions" in found.notes[0]
