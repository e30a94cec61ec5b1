import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lvm_probe import InputError
from lvm_probe.analysis.autocorrelation import integrated_time
from lvm_probe.models.likelihood import elbo
from lvm_probe.models.model import SpeechModel
from lvm_probe.models.registry import FAMILIES, preset
from lvm_probe.probing.corpora import open_corpus, phones
from lvm_probe.probing.corpora.corpus import Corpus, Segment
from lvm_probe.probing.corpora.recordings import CorpusRecording, open_recordings
from lvm_probe.probing.diagnostics import kl_rate
from lvm_probe.probing.diagnostics.kl_rate import _Autocorrelation, _BitsUntil, layer_kl, measure
from tests.probing import miniature

DRAWS = 3


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return open_corpus(miniature.timit_nltk(tmp_path_factory.mktemp("corpus") / "timit"))


@pytest.fixture(scope="module")
def rates(model: SpeechModel, corpus: Corpus) -> kl_rate.Rates:
    return measure(model, open_recordings(corpus, 16_000), draws=DRAWS)


class Renamed:
    """A recording whose noise in `evaluate` is that of its first path here."""

    def __init__(self, recording: CorpusRecording) -> None:
        self.name, self.samples, self.read = f"{recording.name} path 0", recording.samples, recording.read


def test_the_rates_are_the_kl_of_the_elbo(model: SpeechModel, corpus: Corpus) -> None:
    found = measure(model, open_recordings(corpus, 16_000), draws=1)
    evaluation = elbo.evaluate(model, [Renamed(r) for r in open_recordings(corpus, 16_000)])
    # Single precision, in batches of another size.
    layers = found.layers.set_index("layer")
    for layer, bits in evaluation.kl_bits_per_frame.items():
        assert bits > 0
        assert layers.loc[layer, "bits_per_frame"] == pytest.approx(bits, rel=1e-5)
        assert layers.loc[layer, "bits_per_second"] == pytest.approx(bits * 16_000, rel=1e-5)
        assert layers.loc[layer, "active"] == evaluation.active_units[layer]
        whole = found.by_class.set_index(["layer", "by", "label"]).loc[(layer, "all", "all")]
        assert whole["bits"] == pytest.approx(bits * evaluation.samples, rel=1e-5)
        assert whole["seconds"] == pytest.approx(evaluation.samples / 16_000)
        assert math.isnan(layers.loc[layer, "standard_error"])


def test_classes_tile_the_recordings(rates: kl_rate.Rates) -> None:
    for _, mine in rates.by_class.groupby("layer"):
        rows = mine.set_index(["by", "label"])
        whole = rows.loc[("all", "all")]
        assert whole["segments"] == 4 * len(miniature.PHONES)
        for by in ("manner", "phone"):
            parts = rows.loc[[by]]
            for column in ("seconds", "share_of_time", "bits", "share_of_bits"):
                total = parts[column].sum() + rows.loc[("all", "unlabelled"), column]
                assert total == pytest.approx(whole[column], rel=1e-9)
        assert rows.loc[("all", "unlabelled"), "seconds"] == pytest.approx(4 * 100 / 16_000)  # the last 100 samples
        speech = rows.loc[("all", "speech")]
        assert speech["bits"] == pytest.approx(rows.loc[[("manner", "vowel"), ("manner", "fricative")], "bits"].sum())
        assert set(rows.loc["manner"].index) == {"vowel", "fricative", "silence"}
        assert set(rows.loc["phone"].index) == {"h#", "sh", "iy", "ae"}
        np.testing.assert_allclose(rows["bits_per_second"], rows["bits"] / rows["seconds"])


def test_rates_are_those_of_loops_over_samples(model: SpeechModel, corpus: Corpus, rates: kl_rate.Rates) -> None:
    """Give every sample of the audio its share of its step's bits, and add."""
    bits: dict[tuple[int, str], float] = {}
    seconds: dict[str, float] = {}
    around = {(l, right, j): [0.0, 0] for l in range(2) for right in ("all", "vowel") for j in range(-25, 25)}
    for recording in open_recordings(corpus, 16_000):
        pcm = recording.read(0, recording.samples)
        kl = layer_kl(model, recording.name, pcm, DRAWS)
        shares = []
        for layer, stride in zip(kl, model.strides, strict=True):
            share = np.zeros(len(pcm))
            for step, value in enumerate(layer.bits):
                mine = [t for t in range(step * stride, (step + 1) * stride) if t < len(pcm)]
                share[mine] = value / len(mine)
            shares.append(share)
        for start, end, label in miniature.PHONES:
            seconds[label] = seconds.get(label, 0) + (end - start) / 16_000
            for l, share in enumerate(shares):
                bits[l, label] = bits.get((l, label), 0) + share[start:end].sum()
                for right in ("all", "vowel"):
                    if start and (right == "all" or phones.phone_class(label, "manner", "timit") == right):
                        for j in range(-25, 25):
                            a, b = start + 64 * j, start + 64 * (j + 1)
                            if a >= 0 and b <= len(pcm):
                                around[l, right, j][0] += share[a:b].sum() / (64 / 16_000)
                                around[l, right, j][1] += 1
    rows = rates.by_class[rates.by_class["by"] == "phone"].set_index(["layer", "label"])
    for (l, label), total in bits.items():
        assert rows.loc[(f"z{l + 1}", label), "bits_per_second"] == pytest.approx(total / seconds[label], rel=1e-9)
    bins = rates.around.set_index(["layer", "right", "offset_ms"])
    for (l, right, j), (total, count) in around.items():
        row = bins.loc[(f"z{l + 1}", right, (j + 0.5) * 4)]
        assert row["boundaries"] == count > 0
        assert row["bits_per_second"] == pytest.approx(total / count, rel=1e-9)


def test_bits_of_a_step_lie_on_its_samples_in_the_recording() -> None:
    until = _BitsUntil(np.array([8.0, 2.0]), 4, 6)  # the last step has two samples only
    assert until(np.arange(7)).tolist() == [0, 2, 4, 6, 8, 9, 10]


def test_contrasts_are_ratios_of_the_rates(rates: kl_rate.Rates) -> None:
    rows = rates.by_class[rates.by_class["by"] != "phone"].set_index(["layer", "label"])["bits_per_second"]
    contrasts = rates.contrasts.set_index(["layer", "label", "against"])
    assert set(contrasts.index) == {
        (layer, *pair)
        for layer in ("z1", "z2")
        for pair in (("fricative", "vowel"), ("silence", "speech"), ("boundary", "away"))
    }
    for layer in ("z1", "z2"):
        found = contrasts.loc[(layer, "fricative", "vowel")]
        expected = rows[layer, "fricative"] / rows[layer, "vowel"]
        assert found["ratio"] == pytest.approx(expected)
        assert np.isnan(found["ci_low"])  # the spread of two speakers tells nothing


def test_memory_does_not_change_the_result(model: SpeechModel, corpus: Corpus, rates: kl_rate.Rates) -> None:
    one_by_one = measure(model, open_recordings(corpus, 16_000), draws=DRAWS, memory_gb=1e-9)
    for name in ("layers", "by_class", "around", "timescales"):
        # Single precision, in batches of another size; an error of the mean is a difference of such numbers.
        pd.testing.assert_frame_equal(getattr(rates, name), getattr(one_by_one, name), rtol=1e-3, atol=1e-6)


def test_monte_carlo_error_falls_as_paths_do_not_agree(model: SpeechModel, corpus: Corpus) -> None:
    some = open_recordings(corpus, 16_000)[:1]
    runs = [measure(model, some, draws=8, seed=seed).layers for seed in range(12)]
    for l in range(2):
        found = np.std([run["bits_per_second"][l] for run in runs], ddof=1)
        said = np.mean([run["standard_error"][l] for run in runs])
        assert 0.5 < said / found < 2  # 12 runs know a standard deviation to some 20 %


def test_one_speaker_has_intervals_over_utterances_and_one_utterance_none(model: SpeechModel, corpus: Corpus) -> None:
    mine_corpus = corpus.select(speakers=["FVMH0"])
    mine = open_recordings(mine_corpus, 16_000)
    two = measure(model, mine, draws=1)
    assert (two.unit, two.groups, two.utterances) == ("utterance", 2, 2)
    assert two.by_class["ci_low"].isna().all()
    renamed = [replace(u, id=f"{u.id}-{i}") for i in range(2) for u in mine_corpus.utterances]
    more = open_recordings(replace(mine_corpus, utterances=tuple(renamed)), 16_000)
    four = measure(model, more, draws=1)
    assert (four.unit, four.groups) == ("utterance", 4)
    assert (four.by_class["ci_low"] <= four.by_class["bits_per_second"]).all()
    assert (four.by_class["bits_per_second"] <= four.by_class["ci_high"]).all()
    one = measure(model, mine[:1], draws=1)
    assert (one.unit, one.groups) == ("utterance", 1)
    for frame in (one.by_class, one.around, one.contrasts):
        assert frame["ci_low"].isna().all()
        assert frame["ci_high"].isna().all()


def test_labels_that_are_not_timits_stand_for_themselves(model: SpeechModel, tmp_path: Path) -> None:
    corpus = open_corpus(miniature.grids(tmp_path / "grids"))
    changed = tuple(
        replace(u, phonemes=tuple(Segment(s.label.upper().replace("H#", "h#") + "1", s.start, s.end)
                                  if s.label != "h#" else s for s in u.phonemes))
        for u in corpus.utterances
    )  # fmt: skip
    found = measure(model, open_recordings(replace(corpus, utterances=changed), 16_000), draws=1)
    assert set(found.by_class["by"]) == {"all", "phone"}
    assert {"SH1", "IY1"} <= set(found.by_class["label"])
    assert set(found.around["right"]) == {"all"}
    rows = found.by_class[found.by_class["layer"] == "z1"].set_index("label")
    assert rows.loc["speech", "segments"] == rows.loc["SH1", "segments"] + rows.loc["IY1", "segments"]


@pytest.mark.parametrize("family", ["vrnn", "srnn", "stcn"])
def test_every_family_with_latents_has_rates(family: str, corpus: Corpus) -> None:
    other = FAMILIES[family].seeded(preset(family, "tiny").config, 3).eval()
    found = measure(other, open_recordings(corpus, 16_000)[:2], draws=2)
    assert list(found.layers["layer"]) == [f"z{l + 1}" for l in range(len(other.latents))]
    assert (found.layers["bits_per_second"] > 0).all()


def test_timescales_stand_beside_durations(rates: kl_rate.Rates) -> None:
    rows = rates.timescales.set_index("series")
    assert list(rows.index) == ["z1", "z2", "mel", "phone", "word"]
    assert rows.loc["z1", "step_ms"] == rows.loc["mel", "step_ms"] == 4
    assert rows.loc["z2", "step_ms"] == 32
    assert rows.loc["phone", "duration_median_ms"] == 100  # 1400, 1600 and 2000 samples
    assert rows.loc["word", "duration_median_ms"] == pytest.approx(1000 * 2700 / 16_000)  # 3000 and 2400 samples


def test_the_time_of_a_vector_does_not_depend_on_its_basis() -> None:
    rng = np.random.default_rng(0)
    decay = np.array([0.9, 0.5, 0.0])
    correlations = [_Autocorrelation("z1", 64, 1, 200), _Autocorrelation("z1", 64, 1, 200)]
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    for _ in range(20):
        series = np.zeros((2000, 3))
        for t in range(1, 2000):
            series[t] = decay * series[t - 1] + rng.normal(size=3) * np.sqrt(1 - decay**2)
        series += rng.normal(size=3)  # constant in a recording
        correlations[0].add(0, series)
        correlations[1].add(0, series @ turn)
    rows = [correlation.row(16_000, np.ones(3, dtype=bool)) for correlation in correlations]
    # The mean of three dimensions of variance one each; 40,000 steps know it to some 3 %.
    truth = 4 * integrated_time((decay ** np.arange(200)[:, None]).mean(1, keepdims=True))[0]
    assert rows[0]["integrated_ms"] == pytest.approx(truth, rel=0.1)
    assert rows[1]["integrated_ms"] == pytest.approx(rows[0]["integrated_ms"], rel=1e-9)
    assert rows[0]["dimension_median_ms"] == pytest.approx(4 * 1.5, rel=0.1)
    assert 0.2 < rows[0]["constant_share"] < 0.7  # as much variance between as within, of 20 draws


def test_refusals(model: SpeechModel, corpus: Corpus) -> None:
    silent = replace(corpus, utterances=tuple(replace(u, phonemes=()) for u in corpus.utterances))
    with pytest.raises(InputError, match="no phonemes"):
        measure(model, open_recordings(silent, 16_000))
    with pytest.raises(InputError, match="--samples 0"):
        measure(model, open_recordings(corpus, 16_000), draws=0)
    lstm = FAMILIES["lstm"].seeded(preset("lstm", "tiny").config, 3).eval()
    with pytest.raises(InputError, match="nothing is sampled"):
        measure(lstm, open_recordings(corpus, 16_000))
