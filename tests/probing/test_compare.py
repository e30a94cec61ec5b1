"""One target by every method and protocol: what differs, whether it is significant, and what is said of it."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import lvm_probe
from benchmarks import comparisons
from lvm_probe import InputError
from lvm_probe.analysis.statistics import holm
from lvm_probe.probing import parallel
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.ask import ask
from lvm_probe.probing.questions.comparison_report import _reason
from lvm_probe.probing.questions.probe import Probe, probes_for
from lvm_probe.probing.questions.question import Question
from tests.probing.synthetic_tables import at, changed, made_up

CLASSES, SPEAKERS, EACH = 12, 8, 72


def torn(seed: int = 0) -> TokenTable:
    """Mel sets the classes apart within a voice only, `z1` for all voices but in more directions than five."""
    random = np.random.default_rng(seed)
    table = made_up(SPEAKERS, EACH)
    labels = np.arange(SPEAKERS * EACH) % CLASSES
    speakers = np.repeat(np.arange(SPEAKERS), EACH)
    noise = random.normal(size=(2, len(table), 24))
    voices = random.normal(size=(SPEAKERS, CLASSES, 4))
    mel = 3 * voices[speakers, labels] + noise[0, :, :4]
    z1 = 2.2 * np.eye(CLASSES, 24)[labels] + noise[1]
    utterances = [f"{speaker}_{i // CLASSES}" for speaker in table.columns["speaker"][::EACH] for i in range(EACH)]
    features = {"mel": mel.astype(np.float32), "z1": z1.astype(np.float32)}
    return changed(table, features, label=[f"c{label:02}" for label in labels], utterance=utterances)


@pytest.fixture(scope="module")
def contradictory() -> lvm_probe.Comparison:
    return lvm_probe.compare(torn(), progress=False)


def test_probes_that_contradict_each_other_are_set_apart(contradictory: lvm_probe.Comparison) -> None:
    frame = contradictory.frame
    above = at(frame, feature="z1", method="lda", protocol="speaker")
    below = at(frame, feature="z1", method="knn", protocol="utterance")
    assert above["difference"] > 0 > below["difference"]
    assert max(above["p_holm"], below["p_holm"]) < 0.05
    compared, meaning = contradictory.sentences
    assert compared == (
        "Compared with Mel: z1 is better by kNN (speaker), LDA (speaker) and ABX (across), worse by all others."
    )
    assert "Mel is beaten across speakers, not within one" in meaning
    lines = str(contradictory).splitlines()
    assert max(map(len, lines)) <= 120
    asked = "Predicting the phoneme from each feature, compared with Mel: 576 tokens of 8 speakers in 12 classes."
    assert lines[0] == asked
    row = next(i for i, line in enumerate(lines) if line.startswith("  z1"))
    assert [cell.rstrip("*") for cell in lines[row].split()[1:]] == [
        f"{100 * gap:+.1f}" for gap in frame[frame["feature"] == "z1"].sort_values(
            "protocol", key=lambda names: names.isin(["speaker", "across"]), kind="stable"
        )["difference"]
    ]  # fmt: skip


def test_the_frame_holds_what_ask_finds_with_p_adjusted_over_all(contradictory: lvm_probe.Comparison) -> None:
    frame = contradictory.frame
    assert list(frame["protocol"].unique()) == ["utterance", "within", "speaker", "across"]
    answer = ask(torn(), Question(method="lda", protocol="speaker", features=("z1", "mel"), permutations=0)).frame
    theirs, ours = at(answer, feature="z1", speaker=""), at(frame, feature="z1", method="lda", protocol="speaker")
    for name, same in (
        ("accuracy", "accuracy"), ("difference", "minus_mel"), ("difference_low", "minus_mel_low"),
        ("difference_high", "minus_mel_high"), ("effect", "effect_minus_mel"), ("p", "p_minus_mel"), ("n", "n"),
    ):  # fmt: skip
        assert ours[name] == theirs[same]
    np.testing.assert_array_equal(frame["p_holm"], holm(frame["p"].to_numpy()))
    assert frame["p"].notna().sum() == 6
    assert not frame["outside_plan"].any()
    mel = frame[frame["feature"] == "mel"]
    assert len(mel) == 6
    assert set(mel["compared_with"]) == {""}


def test_mfcc_and_the_untrained_model_are_compared_with_too() -> None:
    table = made_up(5, dims={"z1": 12, "mel": 10, "mfcc": 6})
    untrained = changed(made_up(5, dims={"z1": 12, "mel": 10, "mfcc": 6}, signal=0.0), table.features | {
        "z1": made_up(5, dims={"z1": 12}, signal=0.0).features["z1"]
    })  # fmt: skip
    untrained = replace(untrained, extraction={"untrained": True})
    comparison = lvm_probe.compare(table, "manner", methods="lda", untrained=untrained, progress=False)
    pairs = comparison.frame[["feature", "compared_with"]].drop_duplicates().itertuples(index=False)
    assert {tuple(pair) for pair in pairs} == {
        ("z1", "Mel"), ("z1", "MFCC"), ("z1", "untrained"), ("mfcc", "Mel"), ("mel", ""),
    }  # fmt: skip
    headings = [line for line in str(comparison).splitlines() if line.startswith("difference to")]
    assert headings == [f"difference to {name} (points)" for name in ("Mel", "MFCC", "the untrained model")]
    assert any(said.startswith("Compared with the untrained model: z1 is better") for said in comparison.sentences)


@pytest.mark.parametrize(
    ("better", "worse", "says"),
    [
        ("lda speaker", "knn utterance", "both change at once, so which of the two decides stays open"),
        ("lda speaker,lda utterance", "knn speaker,abx within", "many directions, which have to be learnt from labels"),
        ("abx within,abx across", "lda speaker,lda utterance", "a fit to labels gets more out of Mel"),
        ("lda speaker,knn speaker", "lda utterance,knn utterance", "or takes many tokens to be learnt"),
        ("abx across", "abx within", "varies less from voice to voice than in Mel"),
        ("knn utterance,abx within", "knn speaker,abx across", "varies more from voice to voice than in Mel"),
        ("lda speaker", "lda utterance,knn utterance,abx across", "it takes both to beat Mel, many discriminants"),
        ("lda speaker,abx within", "lda utterance,abx across", "neither what is fitted nor whose tokens train"),
    ],
)
def test_what_a_disagreement_means(better: str, worse: str, says: str) -> None:
    ours, theirs = ([Probe.parse(code) for code in codes.split(",")] for codes in (better, worse))
    reason = _reason(ours, theirs, "Mel", few=True)
    assert says in reason
    if better == "abx across":
        assert "learnt" not in reason


def test_without_a_difference_nothing_is_claimed() -> None:
    table = made_up(5, dims={"z1": 4, "mel": 4}, signal=0.0)
    comparison = lvm_probe.compare(table, progress=False)
    assert comparison.sentences == [
        "Compared with Mel: z1 is not significantly different by every probe.",
        "No probe shows a difference; the intervals say how large one may be all the same.",
    ]
    few = lvm_probe.compare(made_up(2), features="z1", methods="lda", progress=False)
    assert few.sentences == [
        "Compared with Mel: z1 is not tested, for lack of speakers, by LDA (utterance) and LDA (speaker).",
        "With so few speakers the differences say nothing about others.",
    ]


def test_equal_features_are_told_apart_in_at_most_six_per_cent_of_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    """More rounds in `benchmarks/comparisons.py`."""
    monkeypatch.setattr(parallel, "usable_cores", lambda: 1)  # forks cost more than such small tables
    assert comparisons.false_alarms(rounds=20, seed=1000) <= 0.06


@pytest.mark.parametrize(
    ("target", "codes"),
    [
        ("phoneme", "knn utterance,lda utterance,abx within,knn speaker,lda speaker,abx across"),
        ("word", "abx within,knn speaker+prompt,lda speaker+prompt,abx across+prompt"),
        ("gender", "knn speaker,lda speaker"),
        ("speaker", "knn utterance,lda utterance"),
        ("height-cm", "ridge speaker"),
    ],
)
def test_the_probes_of_a_target(target: Any, codes: str) -> None:
    assert [probe.code for probe in probes_for(target, made_up())] == codes.split(",")


def test_words_without_prompts_are_asked_across_speakers_only() -> None:
    table = changed(made_up(), prompt=None)
    codes = [probe.code for probe in probes_for("word", table)]
    assert codes == ["abx within", "knn speaker", "lda speaker", "abx across"]


def test_a_probe_that_cannot_be_asked_is_left_out_by_name() -> None:
    table = made_up(speakers=1)
    comparison = lvm_probe.compare(table, features="z1", progress=False)
    assert set(comparison.frame["protocol"]) == {"utterance", "within"}
    assert any(re.match(r"kNN \(speaker\), LDA \(speaker\): not asked: ", note) for note in comparison.notes)
    with pytest.raises(InputError, match="no word rows"):
        lvm_probe.compare(table, "word", progress=False)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"target": "colour"}, "target is 'colour'; choose one of"),
        ({"methods": "svm"}, "method is 'svm'; choose one of"),
        ({"methods": "ridge"}, "no probe of phoneme by ridge under"),
        ({"protocols": "within", "methods": "lda"}, "no probe of phoneme by lda under within"),
        ({"features": "z9"}, "no feature 'z9'"),
        ({"colour": "red"}, "compare has no option 'colour'"),
        ({"k": 0}, "give one number of neighbours or more"),
        ({"phones": "timit12"}, "phones is 'timit12'"),
    ],
)
def test_what_cannot_be_compared_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=re.escape(says)):
        lvm_probe.compare(made_up(), progress=False, **fields)


def test_heights_are_compared_in_centimetres() -> None:
    random = np.random.default_rng(0)
    table = made_up(12)
    heights = np.repeat(random.uniform(160, 190, 12), 48)
    features = table.features | {"z1": (heights[:, None] / 10 + random.normal(size=(576, 3))).astype(np.float32)}
    comparison = lvm_probe.compare(changed(table, features, height_cm=heights), "height-cm", "z1", progress=False)
    row = at(comparison.frame, feature="z1", compared_with="gender mean")
    assert row["difference"] < -2
    assert row["mae_cm"] < 4
    assert "Compared with the gender's mean: z1 is better by ridge (speaker)" in comparison.sentences[0]
    assert "difference to Mel (cm)" in str(comparison)


# The file of the plan


def test_a_plan_is_written_first_and_then_asked(tmp_path: Path) -> None:
    table, file = made_up(4), tmp_path / "plan.toml"
    first = lvm_probe.compare(table, features=["z1"], methods=["lda"], plan=file, progress=False)
    text = file.read_text()
    assert 'features = ["z1", "mel"]' in text
    assert 'phoneme = ["lda utterance", "lda speaker"]' in text
    file.write_text(text + "# a comment\n")
    again = lvm_probe.compare(table, plan=file, progress=False)
    pd.testing.assert_frame_equal(again.frame, first.frame)
    assert "nothing here is outside it" in again.planned
    assert first.planned.split("SHA-256")[0] == again.planned.split("SHA-256")[0]
    assert first.planned != again.planned  # the comment is part of the file


def test_what_is_asked_beyond_the_plan_is_marked_and_leaves_its_answer_alone(tmp_path: Path) -> None:
    table, file = made_up(4), tmp_path / "plan.toml"
    first = lvm_probe.compare(table, features=["z1"], methods=["lda"], plan=file, progress=False)
    text = file.read_text()
    more = lvm_probe.compare(table, "phoneme", ["z2"], methods=["knn"], plan=file, progress=False)
    assert file.read_text() == text
    frame = more.frame
    inside = (frame["method"] == "lda") & frame["feature"].isin(["z1", "mel"])
    assert (frame["outside_plan"] == ~inside).all()
    pd.testing.assert_frame_equal(frame[inside].reset_index(drop=True), first.frame)
    outside = frame["outside_plan"].to_numpy(dtype=bool)
    np.testing.assert_array_equal(frame["p_holm"][outside], holm(frame["p"].to_numpy())[outside])
    assert more.sentences[: len(first.sentences)] == first.sentences
    assert more.sentences[len(first.sentences)].startswith("Outside the plan: Compared with Mel: ")
    assert "†" in str(more)
    assert "†" not in str(first)


@pytest.mark.parametrize(
    ("settings", "changes", "methods"),
    [
        ({"k": 3}, "k=3", {"knn"}),
        ({"keep_sa": False}, "keep_sa=False", {"knn", "lda"}),
        ({"lda_dims": 2}, "lda_dims=2", {"knn"}),
        ({"k": 3, "speakers": ["FS0", "MS1"]}, "speakers=FS0,MS1, k=3", {"knn", "lda"}),
    ],
)
def test_other_settings_are_asked_beside_the_plan(
    tmp_path: Path, settings: dict[str, Any], changes: str, methods: set[str]
) -> None:
    table, file = made_up(4), tmp_path / "plan.toml"
    first = lvm_probe.compare(table, features=["z1"], methods=["knn", "lda"], plan=file, progress=False)
    more = lvm_probe.compare(table, features=["z2"], plan=file, progress=False, **settings)
    frame = more.frame
    inside = frame[~frame["outside_plan"]].reset_index(drop=True)
    pd.testing.assert_frame_equal(inside, first.frame)
    changed = frame[frame["changes"] != ""]
    assert changed["outside_plan"].all()
    assert set(changed["changes"]) <= {changes, *changes.split(", ")}
    assert set(changed["method"]) == methods
    assert set(changed["feature"]) == {"z1", "z2", "mel"}
    assert more.sentences[: len(first.sentences)] == first.sentences
    assert any(said.startswith(f"Outside the plan ({changes}): ") for said in more.sentences)
    assert f"{changes}:" in str(more).splitlines()


def test_a_setting_given_as_its_default_can_be_planned(tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    lvm_probe.compare(made_up(3), features="z1", methods="lda", phones=None, plan=file, progress=False)
    lvm_probe.compare(made_up(3), plan=file, progress=False)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("written = ", "writen = ", "unknown entry 'writen'"),
        ('features = ["z1", "mel"]', 'features = "z1"', "features is 'z1'"),
        ('features = ["z1", "mel"]', "", "no entry 'features'"),
        ('features = ["z1", "mel"]', 'features = ["z7"]', "asks for z7, which"),
        ("lda speaker", "lda within", "method lda has no protocol 'within'"),
        ("phoneme = ", "colour = ", "target is 'colour'"),
        ("k = 5", "k = five", "not a plan in TOML"),
        ("k = 5", "k = true", "k is True"),
        ('["Mel"]', '["Bark"]', "compared_with has Bark"),
        ('corpus = "timit"', 'corpus = "buckeye"', "with corpus buckeye, but latents/made-up has timit"),
        ("[table]", '[rows]\ncolour = "red"\n[table]', "rows: colour is 'red'"),
    ],
)  # fmt: skip
def test_a_plan_that_does_not_fit_is_refused(tmp_path: Path, old: str, new: str, says: str) -> None:
    table = replace(made_up(3), extraction={"corpus": {"name": "timit"}})
    file = tmp_path / "plan.toml"
    lvm_probe.compare(table, features=["z1"], methods=["lda"], plan=file, progress=False)
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=rf"^{re.escape(str(file))}: .*{re.escape(says)}"):
        lvm_probe.compare(table, plan=file, progress=False)


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"encoder": {"name": "encode", "first_utterance_sha256": "2"}}, "with encoder sha256 1"),
        ({"encoder": {"name": "other", "first_utterance_sha256": "1"}}, "with encoder encode"),
        ({"untrained": True}, "with untrained False"),
    ],
)
def test_a_plan_for_another_model_is_refused(tmp_path: Path, other: dict[str, Any], says: str) -> None:
    made = {"encoder": {"name": "encode", "first_utterance_sha256": "1"}, "untrained": False}
    table, file = replace(made_up(3), extraction=made), tmp_path / "plan.toml"
    lvm_probe.compare(table, features=["z1"], methods=["lda"], plan=file, progress=False)
    with pytest.raises(InputError, match=rf"written for a table {says}"):
        lvm_probe.compare(replace(table, extraction=made | other), plan=file, progress=False)


def test_a_question_that_is_refused_leaves_no_plan(tmp_path: Path) -> None:
    for fields in ({"features": "z9"}, {"target": "word"}, {"phones": "timit12"}):
        with pytest.raises(InputError):
            lvm_probe.compare(made_up(), plan=tmp_path / "plan.toml", progress=False, **fields)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
