"""Numbers of tokens: which rows have them, what ridge regression makes of them, and the report."""

from pathlib import Path

import numpy as np
import pytest

import lvm_probe
from lvm_probe import InputError
from lvm_probe.analysis.regression import regress
from lvm_probe.probing.corpora import open_corpus
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.ask import ask
from lvm_probe.probing.questions.compare import compare
from lvm_probe.probing.questions.plan import make_plan
from lvm_probe.probing.questions.question import TOKEN_MEASURES, Question
from lvm_probe.probing.questions.results import COLUMNS, MORE_COLUMNS, NUMBER_COLUMNS
from lvm_probe.probing.questions.rows import select_rows
from tests.probing import miniature
from tests.probing.synthetic_tables import at, changed, made_up

OF_SOUND = tuple(name for name in TOKEN_MEASURES if name != "duration")


def measured(signal: float = 1.0, speakers: int = 8, each: int = 48) -> TokenTable:
    """Pitch an octave higher in women, and two semitones of change from token to token, which z1 knows."""
    table = made_up(speakers=speakers, each=each, signal=2)
    rng = np.random.default_rng(3)
    semitones = rng.normal(0, 2, size=len(table))
    women = (table.columns["gender"] == "F").astype(float)
    table.features["z1"][:, 5] += signal * semitones
    for values in table.features.values():  # beside it, the noise of the tokens is none
        values[:, 2] += 100 * women
    f0 = (100 * 2 ** ((semitones + 12 * women) / 12)).astype(np.float32)[:, None]
    f0[table.columns["label"] == "s"] = np.nan
    return changed(table, features=table.features | {"f0": f0})


def question(**fields: object) -> Question:
    return Question(**{"target": "f0", "method": "ridge"} | fields)  # type: ignore[arg-type]


def test_what_is_known_is_found_within_and_across_speakers_and_noise_is_not() -> None:
    for protocol in ("utterance", "speaker"):
        answer = ask(measured(), question(protocol=protocol))
        assert list(answer.frame.columns) == COLUMNS + MORE_COLUMNS + NUMBER_COLUMNS
        z1, z2, mel = (at(answer.frame, feature=name, speaker="") for name in ("z1", "z2", "mel"))
        assert (z1["n"], z1["speakers"], z1["unit"]) == (288, 8, "semitones")
        assert z1["mae"] < 0.75 * z1["baseline_mae"]
        assert z1["p_minus_mel_holm"] < 0.05
        assert z1["p_null"] == pytest.approx(1 / 21)
        assert z1["minus_mel_error"] == pytest.approx(z1["mae"] - mel["mae"])
        assert answer.frame["accuracy"].isna().all()
        if protocol == "utterance":
            assert z1["r2_low"] < z1["r2"] < z1["r2_high"]
            assert 0.4 < z1["r2"] < 0.9
            assert z2["r2"] < 0.05
            assert abs(z1["null_r2"]) < 0.2
            assert np.isnan(z1["r2_within"])
        else:  # all features know the voice: the gender, and so an octave
            assert 0.4 < z1["r2_within"] < 0.9
            assert z2["r2"] > 0.5
            assert z2["r2_within"] < 0.05
            assert z2["null_r2"] > 0.5


def test_the_rows_are_what_regress_says() -> None:
    table = measured()
    rows = select_rows(table, question())
    labels, points = rows.labels, rows.table.matrix("z1")
    _, utterances = np.unique(rows.table.columns["utterance"], return_inverse=True)
    _, speakers = np.unique(rows.table.columns["speaker"], return_inverse=True)
    one = np.zeros(len(labels), dtype=int)
    across = regress(points, labels, one, protocol="grouped", groups=speakers)
    found = at(ask(table, question(protocol="speaker", features="z1", permutations=0)).frame, speaker="")
    ours, theirs = across.squares
    assert found["mae"] == pytest.approx(across.mae)
    assert found["r2"] == pytest.approx(1 - ours.sum() / theirs.sum())
    ours, theirs = across.squares_within(speakers)
    assert found["r2_within"] == pytest.approx(1 - ours.sum() / theirs.sum())

    within = ask(table, question(features="z1", permutations=0)).frame
    outcomes = []
    for code, name in enumerate(sorted(set(table.columns["speaker"]))):
        mine = speakers == code
        outcomes.append(regress(points[mine], labels[mine], one[mine], protocol="grouped", groups=utterances[mine]))
        assert at(within, speaker=name)["mae"] == pytest.approx(outcomes[-1].mae)
    whole = at(within, speaker="")
    assert whole["mae"] == pytest.approx(np.mean([outcome.mae for outcome in outcomes]))
    ours, theirs = np.sum([[part.sum() for part in outcome.squares] for outcome in outcomes], axis=0)
    assert whole["r2"] == pytest.approx(1 - ours / theirs)


def test_rows_without_the_measure_are_left_out_and_named() -> None:
    answer = ask(measured(), question(features="mel", permutations=0))
    assert answer.notes == ("96 of 384 phoneme rows have no f0 (less than half of it is voiced)",)
    assert len(select_rows(measured(), question(target="duration"))) == 384
    with pytest.raises(InputError, match="no acoustic measures; add them with `probe extract --add --also measures`"):
        ask(made_up(), question())


def test_values_are_in_their_units() -> None:
    table = measured()
    rows = select_rows(table, question(target="duration"))
    ends, starts = rows.table.columns["end"], rows.table.columns["start"]
    np.testing.assert_allclose(rows.labels, (ends - starts) / 16)
    np.testing.assert_allclose(
        select_rows(table, question()).labels,
        12 * np.log2(table.features["f0"][table.columns["label"] != "s", 0] / 100),
        atol=1e-5,
    )


def test_normalised_by_speaker_numbers_are_differences_from_the_speaker_s_mean() -> None:
    table = measured()
    rows = select_rows(table, question(normalise="speaker"))
    plain = select_rows(table, question())
    for name in set(rows.table.columns["speaker"]):
        mine = rows.table.columns["speaker"] == name
        np.testing.assert_allclose(rows.labels[mine], plain.labels[mine] - plain.labels[mine].mean())
    found = ask(table, question(protocol="speaker", normalise="speaker", permutations=0)).frame
    assert at(found, feature="z1", speaker="")["r2"] > 0.4
    assert at(found, feature="mel", speaker="")["r2"] < 0.05


def test_the_untrained_model_is_compared_with_though_its_table_has_no_measures() -> None:
    table, untrained = measured(), measured(signal=0.0)
    del untrained.features["f0"]
    found = ask(table, question(permutations=0), untrained=untrained).frame
    z1 = at(found, feature="z1", speaker="")
    assert z1["untrained_mae"] > z1["mae"]
    assert z1["p_minus_untrained"] < 0.05


def test_the_report_says_what_was_asked_and_found() -> None:
    text = repr(ask(measured(), question(protocol="speaker")))
    assert "Predicting the pitch by ridge regression: 288 tokens of 8 speakers; whole speakers held out" in text
    assert "errors in semitones" in text
    assert "z1 explains" in text
    assert "less than Mel (p" in text
    assert "difference to" in text
    assert "the null permutes the numbers of each speaker" in text
    table = measured()
    comparison = compare(table, make_plan(table, ("f0", "duration")))
    assert "mean error (semitones)" in repr(comparison)
    assert any(s.startswith("f0: Compared with Mel: z1") and "better" in s for s in comparison.sentences)


def test_few_utterances_or_speakers() -> None:
    one = measured(speakers=1)
    found = ask(one, question(features=("z1", "mel"), permutations=0)).frame
    assert set(found["speaker"]) == {"FS0"}
    assert found["interval"].tolist() == ["utterances"] * 2
    with pytest.raises(InputError, match="speaker holds out one speaker and needs two or more"):
        ask(one, question(protocol="speaker"))
    alone = changed(one, utterance="u1")
    with pytest.raises(InputError, match="protocol utterance needs two utterances of a speaker"):
        ask(alone, question())


def test_ages_are_asked_as_heights_are() -> None:
    table = made_up(speakers=24, each=12, signal=0)
    rng = np.random.default_rng(1)
    ages = {name: rng.uniform(20, 60) for name in sorted(set(table.columns["speaker"]))}
    column = np.array([ages[name] for name in table.columns["speaker"]])
    table.features["z1"][:, 4] += 0.2 * column
    found = ask(changed(table, age=column), question(target="age", protocol="speaker")).frame
    z1 = at(found, feature="z1", gender="")
    assert (z1["unit"], z1["n"]) == ("years", 24)
    assert z1["mae"] < 0.5 * z1["baseline_mae"]
    assert z1["p_baseline_holm"] < 0.01
    assert "mae_cm" not in found


def test_extraction_adds_measures_without_the_model(tmp_path: Path) -> None:
    corpus = open_corpus(miniature.timit_nltk(tmp_path / "timit"))
    calls = []

    def encode(wave: np.ndarray) -> tuple[np.ndarray, None, int]:
        calls.append(len(wave))
        return wave[: len(wave) // 100 * 100].reshape(-1, 100), None, 100

    lvm_probe.extract(corpus, encode, tmp_path / "t")
    count = len(calls)
    table = lvm_probe.extract(corpus, encode, tmp_path / "t", also="measures", add=True)
    assert len(calls) == count + 1  # its layers have to be known
    assert set(OF_SOUND) <= set(table.features)
    assert np.isfinite(table.features["intensity"]).all()
    assert "f0" in table.extraction
    at_once = lvm_probe.extract(corpus, encode, tmp_path / "at-once", also="measures")
    for name in OF_SOUND:
        np.testing.assert_array_equal(at_once.features[name], table.features[name])
