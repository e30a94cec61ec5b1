from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom
from scipy.stats import t as t_distribution

from lvm_probe import InputError
from lvm_probe.analysis.protocols import classify
from lvm_probe.probing.features.feature import Feature, columns_of
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.ask import ask as answer
from lvm_probe.probing.questions.classification import run
from lvm_probe.probing.questions.jobs import Jobs
from lvm_probe.probing.questions.question import Question
from lvm_probe.probing.questions.results import COLUMNS, MORE_COLUMNS
from lvm_probe.probing.questions.rows import select_rows
from tests.probing.synthetic_tables import at, changed, made_up


def ask(table: TokenTable, question: Question, **more: Any) -> pd.DataFrame:
    return answer(table, question, **more).frame


def quick(**fields: Any) -> Question:
    """A question that is answered fast: no null, and nearest neighbours at two k."""
    knn = fields.get("method", "knn") == "knn"
    return Question(**{"permutations": 0, **({"ks": (1, 5)} if knn else {})} | fields)


@pytest.mark.parametrize("method", ["knn", "lda"])
@pytest.mark.parametrize("protocol", ["paper", "nested", "utterance", "speaker"])
def test_a_planted_signal_is_found(protocol: Any, method: Any) -> None:
    found = ask(made_up(speakers=3, each=96, signal=6), quick(protocol=protocol, method=method, permutations=2))
    k = 5 if method == "knn" else 0
    z1, z2, mel = (at(found, feature=name, speaker="", k=k) for name in ("z1", "z2", "mel"))
    assert z1["accuracy"] > 0.85
    assert 0.35 < z2["accuracy"] < 0.65  # z2 knows half of the label
    assert z1["chance"] == 0.25
    assert z1["balanced_accuracy"] == pytest.approx(z1["accuracy"], abs=0.05)
    # Resubstitution and discriminants fitted on everything flatter even noise; elsewhere mel is at chance.
    if protocol != "paper":
        assert mel["accuracy"] < 0.36
        assert z1["null_accuracy"] < 0.4
    assert z1["ci_low"] <= z1["accuracy"] <= z1["ci_high"]
    assert z1["minus_mel"] > 0.2


def test_paper_finds_classes_in_noise_and_nested_does_not() -> None:
    table = made_up(speakers=2, each=160, signal=0, dims={"z1": 128})
    paper, nested = (at(ask(table, quick(protocol=p, permutations=2)), speaker="", k=5) for p in ("paper", "nested"))
    low, high = (binom.ppf(q, 320, 0.25) / 320 for q in (1e-4, 1 - 1e-4))
    assert low <= nested["accuracy"] <= high
    assert low <= nested["null_accuracy"] <= high
    assert paper["accuracy"] > 0.8
    assert paper["null_accuracy"] > 0.8


def test_columns_are_the_fixed_ones_and_more() -> None:
    found = ask(made_up(speakers=2), quick())
    assert list(found.columns) == COLUMNS + MORE_COLUMNS
    assert COLUMNS == [
        "feature", "target", "protocol", "speaker", "k", "n", "n_classes", "accuracy", "balanced_accuracy",
        "ci_low", "ci_high", "chance", "null_accuracy",
    ]  # fmt: skip
    assert found["feature"].unique().tolist() == ["z1", "z2", "z1+z2", "mel"]
    assert found["speaker"].unique().tolist() == ["FS0", "MS1", ""]
    assert len(found) == 4 * 3 * 2
    assert not found.duplicated(["feature", "protocol", "speaker", "k"]).any()


def test_the_pooled_row_counts_every_speaker_s_tokens() -> None:
    table = made_up(speakers=3)
    kept = np.ones(len(table.tokens), dtype=bool)
    kept[:20] = False  # one speaker has fewer
    found = ask(table.select(kept), quick(features=("z1",), permutations=2))
    for k in (1, 5):
        some = found[(found["k"] == k)]
        single, pooled = some[some["speaker"] != ""], at(some, speaker="")
        assert pooled["n"] == single["n"].sum() == 124
        assert pooled["accuracy"] == pytest.approx((single["accuracy"] * single["n"]).sum() / 124)
        for column in ("null_accuracy", "chance"):
            assert pooled[column] == pytest.approx((single[column] * single["n"]).sum() / 124)
        assert (pooled["speakers"], pooled["interval"]) == (3, "speakers")
        assert set(single["interval"]) <= {"utterances", "tokens"}  # tokens where there are fewer than three utterances


def test_one_speaker_is_what_classify_says() -> None:
    table = made_up(speakers=2)
    found = ask(table, quick(protocol="nested", features=("z2",), speakers=("MS1",), lda_dims=2, ks=(3,)))
    rows = (table.tokens["speaker"] == "MS1").to_numpy()
    codes = np.unique(table.tokens["label"][rows], return_inverse=True)[1]
    outcome = classify(table.matrix("z2")[rows], codes, protocol="nested", lda_dims=2, ks=(3,))
    assert at(found, speaker="MS1")["accuracy"] == outcome.accuracy[0]
    alone = ask(table.select(rows), quick(protocol="nested", features=("z2",), lda_dims=2, ks=(3,)))
    for frame in (found, alone):  # a pooled row would only repeat it
        assert frame["speaker"].tolist() == ["MS1"]


def test_utterances_are_held_out_within_the_speaker() -> None:
    table = made_up(speakers=2)
    found = ask(table, quick(features=("z2",), lda_dims=2, ks=(3,)))
    for speaker in ("FS0", "MS1"):
        own = table.select((table.tokens["speaker"] == speaker).to_numpy())
        codes, utterances = (np.unique(own.tokens[name], return_inverse=True)[1] for name in ("label", "utterance"))
        outcome = classify(own.matrix("z2"), codes, protocol="grouped", lda_dims=2, ks=(3,), groups=utterances)
        assert at(found, speaker=speaker)["accuracy"] == outcome.accuracy[0]


def test_labels_of_a_held_out_utterance_do_not_change_what_it_is_taken_for() -> None:
    table = made_up(speakers=1)
    mine = (table.tokens["utterance"] == "FS0_SX1").to_numpy()
    labels = table.tokens["label"].to_numpy(copy=True)
    labels[mine] = np.random.default_rng(0).permutation(labels[mine])
    predictions = []
    for some in (table, changed(table, label=labels)):
        question = quick(features=("z1",), lda_dims=3)
        jobs = Jobs(question, select_rows(some, question), None, question.features_of(some))
        predictions.append(run(jobs[0]).outcome.predictions)
    np.testing.assert_array_equal(predictions[0][mine], predictions[1][mine])
    assert (predictions[0] != predictions[1]).any()


def test_held_out_speakers_have_rows_of_their_own() -> None:
    table = made_up(speakers=3)
    kept = np.ones(len(table.tokens), dtype=bool)
    kept[1:48] = False  # one speaker has one token
    found = ask(table.select(kept), quick(features=("z2",), protocol="speaker", permutations=2, ks=(1, 5)))
    assert found["speaker"].unique().tolist() == ["FS0", "FS2", "MS1", ""]
    for k in (1, 5):
        some = found[found["k"] == k]
        single, pooled = some[some["speaker"] != ""], at(some, speaker="")
        assert single["n"].tolist() == [1, 48, 48]
        assert single["n_classes"].tolist() == [1, 4, 4]
        for column in ("accuracy", "null_accuracy"):
            assert pooled[column] == pytest.approx((single[column] * single["n"]).sum() / 97)
        assert single["interval"].tolist() == ["none", "utterances", "utterances"]
        assert (pooled["speakers"], pooled["interval"]) == (3, "speakers")
        more = single[single["n"] > 1]
        assert (more["ci_low"] <= more["accuracy"]).all()
        assert (more["accuracy"] <= more["ci_high"]).all()
        assert single[single["n"] == 1][["ci_low", "ci_high"]].isna().all(axis=None)
    attribute = ask(made_up(speakers=4), quick(target="gender", protocol="speaker", ks=(1,)))
    assert set(attribute["speaker"]) == {""}


def test_speaker_protocol_pools_everybody() -> None:
    table = made_up(speakers=3)
    found = at(ask(table, quick(features=("z1",), protocol="speaker", ks=(4,))), k=4, speaker="")
    codes = np.unique(table.tokens["label"], return_inverse=True)[1]
    groups = np.unique(table.tokens["speaker"], return_inverse=True)[1]
    outcome = classify(table.matrix("z1"), codes, protocol="grouped", lda_dims=3, ks=(4,), groups=groups)
    assert found["accuracy"] == outcome.accuracy[0]
    assert (found["speaker"], found["n"], found["speakers"]) == ("", 144, 3)


def test_silences_are_left_out_unless_asked_for() -> None:
    table = made_up(speakers=2)
    labels = table.tokens["label"].replace({"s": "h#", "t": "pau"})
    quiet = changed(table, label=labels)
    assert at(ask(quiet, quick(features=("z1",))), speaker="", k=1)["n_classes"] == 2
    assert at(ask(quiet, quick(features=("z1",), keep_silence=True)), speaker="", k=1)["n_classes"] == 4
    every = changed(table, label="h#")
    with pytest.raises(InputError, match="latents/made-up: no rows with a known phoneme are left"):
        ask(every, quick())


def test_phones_are_folded() -> None:
    table = made_up(speakers=2)
    labels = table.tokens["label"].replace({"iy": "ih", "aa": "ix", "s": "q"})
    labels[::16] = "h#"
    folded = answer(changed(table, label=labels), quick(features=("z1",), phones="timit39", lda_dims=1))
    row = at(folded.frame, speaker="", k=1)
    assert (row["n_classes"], row["n"]) == (2, 96 - 24 - 6)  # ih with ix, and t; neither q nor silences
    assert folded.notes == (
        "the phone labels are TIMIT's 61, folded to timit39",
        "rows left out, which timit39 does not have: q (24)",
    )


def test_dialect_sentences_are_dropped() -> None:
    table = made_up(speakers=2)
    keep, drop = (at(ask(table, quick(features=("z1",), keep_sa=k)), speaker="", k=1)["n"] for k in (True, False))
    assert (keep, drop) == (96, 64)
    only = changed(table, utterance="FS0_SA1")
    for target in ("phoneme", "gender"):
        with pytest.raises(InputError, match="made-up: no rows are left"):
            ask(only, quick(keep_sa=False, target=target))
    small = changed(table, utterance=table.tokens["utterance"].str.lower())
    assert at(ask(small, quick(features=("z1",), keep_sa=False)), speaker="", k=1)["n"] == 64
    without = changed(table, utterance=table.tokens["utterance"].str.replace("SA1", "SA10"))
    with pytest.raises(InputError, match="made-up: no utterance is a dialect sentence .*; leave out keep_sa=False"):
        ask(without, quick(keep_sa=False))


def test_closures_are_left_out_on_demand() -> None:
    table = made_up(speakers=2)
    closed = changed(table, label=table.tokens["label"].replace({"s": "tcl", "t": "bcl", "iy": "pau"}))
    labels = {
        (keep, phones, silence): at(
            ask(
                closed,
                quick(features=("z1",), lda_dims=0, keep_closures=keep, phones=phones, keep_silence=silence),
            ),
            speaker="",
            k=1,
        )[["n", "n_classes"]].tolist()
        for keep, phones, silence in [
            (True, None, False), (True, "timit48", False), (True, "timit39", False), (True, "timit39", True),
            (False, "timit39", True),
        ]
    }  # fmt: skip
    assert list(labels.values()) == [[72, 3], [72, 3], [72, 2], [96, 2], [48, 2]]
    with pytest.raises(
        InputError, match=r"made-up: no row is one of TIMIT's closures \(bcl .*; leave out keep_closures=False"
    ):
        ask(table, quick(keep_closures=False))


def test_spoken_noise_is_no_phoneme_but_counts_for_attributes_of_the_speaker() -> None:
    table = made_up(speakers=4)
    noisy = changed(table, label=table.tokens["label"].replace({"s": "spn"}))
    assert at(ask(noisy, quick(features=("z1",))), speaker="", k=1)["n"] == 4 * 36
    question = quick(target="gender", protocol="speaker", features=("z1",), ks=(1,))
    pd.testing.assert_frame_equal(ask(noisy, question), ask(table, question))


def test_the_variance_of_one_draw_is_refused_with_the_cure() -> None:
    table = made_up(speakers=2)
    table.features["z1_var"] = np.full_like(table.features["z1"], np.nan)
    for target in ("phoneme", "gender"):
        with pytest.raises(InputError, match="made-up: .* z1_var is unknown.* with --samples 2 or more"):
            ask(table, quick(features=("z2+z1_var",), target=target, protocol="nested"))


def test_joined_features_are_columns_side_by_side() -> None:
    table = made_up(speakers=2)
    both = np.hstack([table.features["z1"], table.features["z2"]])
    glued = TokenTable("made-up", table.path, {}, table.columns, {"both": both})
    a = ask(table, quick(features=("z1+z2",)))
    b = ask(glued, quick(features=("both",)))
    np.testing.assert_array_equal(a["accuracy"], b["accuracy"])
    assert len(ask(table, quick(features=("z1", "z1")))) == len(a)


def test_columns_are_those_that_features_are_made_of() -> None:
    sizes = {name: 4 for name in ("z1", "z1_var", "z1_logms", "z2", "h1", "mel")}
    extraction = {"features": sizes, "layers": ["z1", "z2"]}
    assert columns_of(extraction, ()) == {"z1", "z2", "z1_logms", "mel"}
    beside = {"features": extraction["features"] | {"h1_before": 4, "h1_after": 4}}
    assert columns_of(beside, (Feature(("h1",)),)) == {"h1_before", "h1", "h1_after"}
    assert columns_of(extraction, (Feature(("h1", "z1_var")), Feature(("h1",)))) == {"h1", "z1_var"}
    assert (
        columns_of(extraction, (Feature(("h1",)), Feature(("z9",)))) is None
    )  # so that the error can name all that there are


def test_units_other_than_phonemes_do_not_count_as_phonemes() -> None:
    table = made_up(speakers=2)
    units = np.where(np.arange(len(table.tokens)) % 48 < 24, "phoneme", "word")
    mixed = changed(table, unit=units)
    assert at(ask(mixed, quick(features=("z1",))), speaker="", k=1)["n"] == 48
    with pytest.raises(
        InputError, match="no phoneme rows, only word; add them: probe extract .* --add --units phoneme"
    ):
        ask(changed(table, unit="word"), quick())


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"ks": (999,)}, "made-up: 999 neighbours need 999 rows of the speaker .* use k up to 32"),
        ({"ks": (48,)}, "made-up: 48 neighbours need 48 rows of the speaker"),
        ({"ks": (48,), "protocol": "nested"}, "made-up: 48 neighbours need 48 rows of the speaker"),
        ({"ks": (0,)}, r"ks are \[0\]; give one number of neighbours or more"),
        ({"lda_dims": 99}, "made-up: 99 LDA dimensions, .* use 3 or fewer"),
        ({"lda_dims": -1}, "lda_dims is -1; give 0 or more"),
        ({"protocol": "speaker", "ks": (97,)}, "made-up: k = 97, .* use k up to 96"),
        ({"features": ("z9",)}, "made-up: no feature 'z9'; it has z1, z2, mel"),
        ({"speakers": ("X",)}, "made-up: no speaker X; it has FS0, FS2, MS1"),
        ({"speakers": ("FS0",), "protocol": "speaker"}, "made-up: .*needs two or more"),
        (
            {"target": "gender", "protocol": "nested", "speakers": ("FS0", "FS2")},
            "target gender has one class",
        ),
        (
            {"target": "gender", "protocol": "speaker"},
            "only one speaker has gender M, and holding one out",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused_with_the_cure(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        ask(made_up(speakers=3), quick(**fields))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("protocol", ["paper", "nested", "utterance", "speaker"])
def test_defaults_fit_the_smallest_speaker(protocol: Any) -> None:
    found = ask(made_up(speakers=2, each=16), Question(protocol=protocol, features=("z1",), permutations=0))
    assert found["k"].max() == {"speaker": 16, "utterance": 10}.get(protocol, 15)
    assert set(found["lda_dims"]) == {3}


def test_results_do_not_depend_on_the_number_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    table = made_up(speakers=2)
    question = quick(permutations=2, seed=3)
    results = []
    for workers in (1, 2):
        monkeypatch.setattr("joblib.cpu_count", lambda workers=workers: workers)
        results.append(ask(table, question))
    pd.testing.assert_frame_equal(*results)
    with pytest.raises(InputError, match=r"speaker \w\w\d, feature z1: .* use shrinkage"):  # out of a worker
        ask(made_up(speakers=2, each=12), quick(shrinkage="none", features=("z1",), ks=(1,)))


def test_a_row_does_not_depend_on_what_else_was_asked() -> None:
    table = made_up(speakers=3)
    together = ask(table, quick(permutations=2))
    alone = ask(table, quick(permutations=2, features=("z2",), speakers=("MS1",)))
    columns = ["accuracy", "null_accuracy", "chance", "n"]
    a, b = (at(frame, feature="z2", speaker="MS1", k=5) for frame in (together, alone))
    assert a[columns].tolist() == b[columns].tolist()


def test_seeds_change_the_null_only() -> None:
    table = made_up(speakers=2)
    a, b = (ask(table, quick(permutations=2, seed=seed, features=("z1",))) for seed in (0, 1))
    np.testing.assert_array_equal(a["accuracy"], b["accuracy"])
    assert (a["null_accuracy"] != b["null_accuracy"]).any()
    pd.testing.assert_frame_equal(a, ask(table, quick(permutations=2, seed=0, features=("z1",))))


def test_gender_has_one_row_a_speaker_the_mean_over_its_phonemes_by_duration() -> None:
    table = made_up(speakers=6)
    found = at(ask(table, quick(target="gender", protocol="speaker", features=("z1",), ks=(1,))), k=1)
    assert (found["n"], found["speakers"], found["n_classes"], found["speaker"]) == (6, 6, 2, "")
    means, genders = [], []
    for _, some in table.tokens.groupby("speaker"):
        weights = (some["end"] - some["start"]).to_numpy()
        means.append(np.average(table.matrix("z1")[some.index], axis=0, weights=weights))
        genders.append(int(some["gender"].iloc[0] == "M"))
    outcome = classify(np.array(means), np.array(genders), protocol="grouped", lda_dims=1, ks=(1,), groups=np.arange(6))
    assert found["accuracy"] == outcome.accuracy[0]
    strong = quick(target="gender", protocol="speaker", features=("mel",), ks=(1,), lda_dims=0)
    assert at(ask(made_up(speakers=10, signal=8), strong), k=1)["accuracy"] == 1


def test_gender_within_speakers_has_one_row_an_utterance() -> None:
    table = made_up(speakers=4)
    unknown = changed(table, gender=table.tokens["gender"].where(table.tokens["speaker"] != "MS3", None))
    assert at(ask(table, quick(target="gender", protocol="nested", features=("z1",))), k=1)["n"] == 12
    assert at(ask(unknown, quick(target="gender", protocol="nested", features=("z1",))), k=1)["n"] == 9


def test_silences_do_not_count_for_attributes_of_the_speaker() -> None:
    table = made_up(speakers=4)
    loud = {name: values.copy() for name, values in table.features.items()}
    silent = np.arange(len(table.tokens)) % 4 == 0
    loud["z1"][silent] = 1e4 * np.random.default_rng(0).normal(size=loud["z1"][silent].shape)
    labels = table.tokens["label"].where(~silent, "h#")
    noisy = changed(table, loud, label=labels)
    question = quick(target="gender", protocol="speaker", features=("z1",), ks=(1,), lda_dims=0)
    clean = table.select(~silent)
    a, b = ask(noisy, question), ask(clean, question)
    pd.testing.assert_frame_equal(a, b)


def test_difference_to_mel_is_paired_over_speakers_and_weighs_as_the_accuracies_do() -> None:
    table = made_up(speakers=5)
    for protocol in ("nested", "speaker"):
        found = ask(table, quick(protocol=protocol, ks=(1, 5)))
        for k in (1, 5):
            z1, mel = (at(found, feature=name, speaker="", k=k) for name in ("z1", "mel"))
            single = found[(found["k"] == k) & (found["speaker"] != "")].pivot_table(
                index="speaker", columns="feature", values="accuracy"
            )
            gaps = (single["z1"] - single["mel"]).to_numpy()
            assert z1["minus_mel"] == pytest.approx(z1["accuracy"] - mel["accuracy"])
            # Speakers of equal size: a t interval over their differences; under `speaker` their folds share training
            # speakers, which multiplies the variance by 1 + 5 / 4.
            error = gaps.std(ddof=1) / np.sqrt(5) * (1.5 if protocol == "speaker" else 1.0)
            half = t_distribution.isf(0.025, 4) * error
            assert [z1["minus_mel_low"], z1["minus_mel_high"]] == pytest.approx(
                [gaps.mean() - half, gaps.mean() + half]
            )
            assert z1["effect_minus_mel"] == pytest.approx(gaps.mean() / gaps.std(ddof=1) * (1 - 3 / 15))
            p_value = 2 * t_distribution.sf(abs(gaps.mean()) / error, 4) if k == 5 else np.nan  # tested at k=5 only
            assert z1["p_minus_mel"] == pytest.approx(p_value, nan_ok=True)
        assert found[found["feature"] == "mel"]["minus_mel"].isna().all()


def test_without_mel_there_is_no_difference_and_with_two_speakers_no_test() -> None:
    table = made_up(speakers=2)
    assert ask(table, quick(features=("z1",)))["minus_mel"].isna().all()
    two = ask(table, quick())
    assert two[(two["speaker"] == "") & (two["feature"] == "z1")]["minus_mel"].notna().all()
    assert two[["ci_low", "p_minus_mel", "minus_mel_low"]][two["speaker"] == ""].isna().all(axis=None)
    assert set(two[two["speaker"] == ""]["interval"]) == {"none"}
    one = ask(table, quick(speakers=("FS0",)))  # over that speaker's utterances
    assert one[(one["feature"] == "z1") & (one["k"] == 5)][["minus_mel_low", "p_minus_mel"]].notna().all(axis=None)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 5), ({"protocol": "speaker"}, 5), ({"protocol": "nested"}, 2),
        ({"protocol": "nested", "lda_dims": 0}, 5),
        ({"method": "lda", "protocol": "nested"}, 2), ({"method": "logistic"}, 2), ({"target": "speaker"}, 10),
        ({"target": "gender"}, 100), ({"target": "gender", "method": "logistic"}, 20),
        ({"target": "height-cm", "method": "ridge"}, 100),
    ],
)  # fmt: skip
def test_permutations_depend_on_what_a_row_is_and_what_a_fit_costs(fields: dict[str, Any], expected: int) -> None:
    assert Question(**fields).default_permutations == expected


@pytest.mark.parametrize("protocol", ["utterance", "nested"])
def test_the_null_judges_all_rows(protocol: Any) -> None:
    table = made_up(speakers=2, each=48)
    found = ask(table, quick(features=("z1",), permutations=None, protocol=protocol))
    assert set(found["permutations"]) == {5 if protocol == "utterance" else 2}
    assert (found["null_n"] == found["permutations"] * found["n"]).all()


def test_too_few_permutations_give_no_p() -> None:
    table = made_up(speakers=4)
    asked = partial(quick, target="gender", protocol="speaker", features=("mel",), ks=(1,), lda_dims=0)
    assert ask(table, asked(permutations=18))["p_null"].isna().all()
    assert ask(table, asked(permutations=19))["p_null"].notna().all()


def test_no_permutations_no_null() -> None:
    assert ask(made_up(speakers=2), quick(features=("z1",)))["null_accuracy"].isna().all()


def test_progress_is_reported() -> None:
    calls: list[tuple[int, int]] = []
    ask(made_up(speakers=2), quick(), progress=lambda done, of: calls.append((done, of)))
    assert calls == [(i + 1, 8) for i in range(8)]


def test_every_accuracy_is_compared_with_the_paper_protocol() -> None:
    table = made_up(speakers=3, dims={"z1": 40, "mel": 6}, signal=1)
    nested, paper = (ask(table, quick(protocol=p)) for p in ("nested", "paper"))
    key = ["feature", "speaker", "k"]
    both = nested.merge(paper, on=key, suffixes=("", "_there"))
    np.testing.assert_allclose(both["paper_accuracy"], both["accuracy_there"])
    np.testing.assert_allclose(both["optimism"], both["accuracy_there"] - both["accuracy"])
    assert paper["optimism"].isna().all()
    assert at(nested, feature="z1", speaker="", k=5)["optimism"] > 0.1


@pytest.mark.parametrize("protocol", ["nested", "speaker"])
def test_every_accuracy_is_compared_with_the_untrained_model(protocol: Any) -> None:
    table = made_up(speakers=3)
    other = made_up(speakers=3, signal=0, seed=5)
    other.features["mel"] = table.features["mel"]
    found = answer(table, quick(protocol=protocol), untrained=other).frame
    alone = ask(other, quick(protocol=protocol))
    key = ["feature", "speaker", "k"]
    both = found[found["feature"] != "mel"].merge(alone, on=key, suffixes=("", "_there"))
    np.testing.assert_allclose(both["untrained_accuracy"], both["accuracy_there"])
    assert found[found["feature"] == "mel"]["untrained_accuracy"].isna().all()
    with pytest.raises(InputError, match="not the same tokens"):
        answer(table, quick(), untrained=made_up(speakers=2))


def test_confusions_count_every_pooled_row() -> None:
    table = made_up(speakers=3)
    for protocol in ("nested", "speaker"):
        found = answer(table, quick(protocol=protocol, features=("z1",)))
        for k, some in found.confusion.groupby("k"):
            row = at(found.frame, speaker="", k=k)
            assert some["count"].sum() == row["n"] == 144
            right = some[some["label"] == some["predicted"]]
            assert right["count"].sum() / 144 == pytest.approx(row["accuracy"])
            recall = right.set_index("label")["count"] / some.groupby("label")["count"].sum()
            assert recall.fillna(0).mean() == pytest.approx(row["balanced_accuracy"])


def test_classes_of_one_speaker_are_left_out_where_that_speaker_is() -> None:
    table = made_up(speakers=6)
    dialects = table.tokens["speaker"].map({f"{'FM'[s % 2]}S{s}": f"DR{min(s // 2, 2)}" for s in range(5)})
    found = answer(changed(table, dialect=dialects), quick(target="dialect", protocol="speaker", ks=(1,)))
    assert found.notes == ("left out because only one speaker has the class: dialect DR2 (1 rows)",)
    assert set(found.frame["n"]) == {4}
    assert set(found.frame["n_classes"]) == {2}


def test_matched_dimensions_are_the_smallest_feature_s() -> None:
    table = made_up(speakers=2)
    found = ask(table, quick(match_dims=0))
    assert set(found["match_dims"]) == {6}
    assert set(found["dims"]) == {6}
    alone = at(found, feature="z2", speaker="", k=5)
    assert alone["accuracy"] == pytest.approx(
        at(ask(table, quick()), feature="z2", speaker="", k=5)["accuracy"], abs=0.03
    )
    with pytest.raises(InputError, match="match_dims is -1; give 0 or more"):
        ask(table, quick(match_dims=-1))


def test_normalising_by_speaker_removes_the_voice() -> None:
    table = made_up(speakers=4, signal=3)
    voice = np.unique(table.tokens["speaker"], return_inverse=True)[1]
    table.features["z1"] += 40 * np.random.default_rng(3).normal(size=(4, 12)).astype(np.float32)[voice]
    quiet = quick(protocol="speaker", features=("z1",), lda_dims=0)
    plain, normal = (
        at(ask(table, quick(**{**vars(quiet), "normalise": how})), speaker="", k=5)["accuracy"]
        for how in ("none", "speaker")
    )
    assert normal > plain + 0.2
    with pytest.raises(InputError, match="normalise: over each speaker's rows it removes what tells speakers apart"):
        ask(table, quick(target="gender", protocol="speaker", normalise="speaker"))


def test_control_tasks_give_the_selectivity() -> None:
    table = made_up(speakers=2)
    found = at(ask(table, quick(features=("z1",), target="manner", control=3, ks=(1,))), speaker="", k=1)
    assert found["selectivity"] == pytest.approx(found["accuracy"] - found["control_accuracy"])
    without = at(ask(table, quick(features=("z1",), target="manner", ks=(1,))), speaker="", k=1)
    assert np.isnan(without["selectivity"])
    assert without["accuracy"] == found["accuracy"]


def test_p_of_the_null_counts_the_true_labels() -> None:
    table = made_up(speakers=10, signal=8)
    question = quick(target="gender", protocol="speaker", features=("mel",), ks=(1,), lda_dims=0, permutations=19)
    assert at(ask(table, question), k=1)["p_null"] == pytest.approx(1 / 20, abs=0.06)


def test_a_speaker_is_recognised_by_its_other_utterances() -> None:
    table = made_up(speakers=4)
    table.features["z2"] += 50 * np.unique(table.tokens["speaker"], return_inverse=True)[1][:, None].astype(np.float32)
    found = ask(table, quick(target="speaker", features=("z2",), ks=(1,), lda_dims=0))
    assert at(found, k=1)["accuracy"] == 1
    assert at(found, k=1)["n"] == 12


@pytest.mark.parametrize("rows", ["utterance", "token"])
def test_the_null_of_speakers_does_not_know_them(rows: Any) -> None:
    """To exchange the speakers' names would change nothing: their utterances are exchanged."""
    table = made_up(speakers=4)
    table.features["z2"] += 50 * np.unique(table.tokens["speaker"], return_inverse=True)[1][:, None].astype(np.float32)
    found = at(ask(table, quick(target="speaker", rows=rows, features=("z2",), ks=(1,), permutations=20)), k=1)
    assert found["accuracy"] == 1
    assert found["null_accuracy"] < 0.4
    nested = quick(target="speaker", protocol="nested", rows=rows, features=("z2",), ks=(1,))
    assert at(ask(table, nested), k=1)["accuracy"] == 1


def test_logistic_regression_answers_as_the_others_do() -> None:
    found = ask(made_up(speakers=3, each=48, signal=6), quick(method="logistic", protocol="speaker"))
    assert at(found, feature="z1", speaker="", k=0)["accuracy"] > 0.85
    assert at(found, feature="mel", speaker="", k=0)["accuracy"] < 0.4


def test_the_better_pooling_is_asked_for_by_default() -> None:
    table = made_up(speakers=2)
    table.features["z1_logms"] = table.features["z1"] ** 2
    assert ask(table, quick())["feature"].unique().tolist() == ["z1", "z2", "z1+z2", "z1_logms+z2", "mel"]
    del table.features["z2"]
    assert ask(table, quick())["feature"].unique().tolist() == ["z1", "z1_logms", "mel"]
    with pytest.raises(InputError, match="neither layers of a model nor Mel; name features among mfcc, stats"):
        ask(made_up(speakers=2, dims={"mfcc": 13, "stats": 6}), quick())
