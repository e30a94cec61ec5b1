import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lvm_probe import InputError
from lvm_probe.analysis.autocorrelation import integrated_time
from lvm_probe.models.model import SpeechModel
from lvm_probe.models.registry import FAMILIES, preset
from lvm_probe.probing.corpora import open_corpus
from lvm_probe.probing.corpora.recordings import CorpusRecording, open_recordings
from lvm_probe.probing.diagnostics import kl_rate
from lvm_probe.probing.diagnostics.dimensions import LayerDimensions, measure_dimensions
from lvm_probe.probing.features.posterior_sampler import PosteriorSampler
from tests.probing import miniature

DRAWS = 2


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[CorpusRecording]:
    return open_recordings(open_corpus(miniature.timit_nltk(tmp_path_factory.mktemp("corpus") / "timit")), 16_000)


@pytest.fixture(scope="module")
def measured(model: SpeechModel, recordings: list[CorpusRecording]) -> tuple[LayerDimensions, ...]:
    return measure_dimensions(model, recordings, draws=DRAWS)


def test_kl_and_moments_are_those_of_loops_over_the_gaussians(
    model: SpeechModel, recordings: list[CorpusRecording], measured: tuple[LayerDimensions, ...]
) -> None:
    nats = [np.zeros(size) for size in model.latents]
    first = [np.zeros(size) for size in model.latents]
    second = [np.zeros(size) for size in model.latents]
    steps = np.zeros(len(model.latents))
    with torch.inference_mode():
        for recording in recordings:
            sampler = PosteriorSampler.of(model, recording.name, recording.read(0, recording.samples), 0)
            for paths in sampler.batches(range(DRAWS), 1.0):
                for stretch in sampler.draw(paths):
                    for l, (_, layer) in enumerate(stretch):
                        q, p = layer.posterior, layer.prior
                        values = (x.double().numpy() for x in (q.mean, q.std, p.mean, p.std))
                        for m, s, m0, s0 in zip(*(x.reshape(-1, x.shape[-1]) for x in values), strict=True):
                            for d in range(len(m)):
                                nats[l][d] += math.log(s0[d] / s[d]) + (s[d] ** 2 + (m[d] - m0[d]) ** 2) / (
                                    2 * s0[d] ** 2
                                )
                                nats[l][d] -= 0.5
                                first[l][d] += m[d]
                                second[l][d] += m[d] ** 2 + s[d] ** 2
                            steps[l] += 1
    seconds = sum(recording.samples for recording in recordings) / 16_000
    for l, layer in enumerate(measured):
        bits = nats[l] / math.log(2) / DRAWS / seconds
        # Differences of logarithms in single precision.
        np.testing.assert_allclose(layer.bits_per_second, bits, rtol=1e-4, atol=1e-4 * bits.max())
        np.testing.assert_array_equal(layer.active, nats[l] / steps[l] >= 0.01)
        mean = first[l] / steps[l]
        np.testing.assert_allclose(layer.mean, mean, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(layer.spread, np.sqrt(second[l] / steps[l] - mean**2), rtol=1e-5)


def test_the_dimensions_of_a_layer_add_up_to_its_rate(
    model: SpeechModel, recordings: list[CorpusRecording], measured: tuple[LayerDimensions, ...]
) -> None:
    rates = kl_rate.measure(model, recordings, draws=DRAWS).layers
    sums = [layer.bits_per_second.sum() for layer in measured]
    np.testing.assert_allclose(sums, rates["bits_per_second"], rtol=1e-6)
    assert [layer.name for layer in measured] == rates["layer"].tolist()
    assert [int(layer.active.sum()) for layer in measured] == rates["active"].tolist()
    assert [1000 * layer.step_s for layer in measured] == rates["step_ms"].tolist()


def test_autocorrelation_is_that_of_loops_over_pairs_of_steps(
    model: SpeechModel, recordings: list[CorpusRecording], measured: tuple[LayerDimensions, ...]
) -> None:
    means = [
        kl_rate.layer_kl(model, recording.name, recording.read(0, recording.samples), DRAWS) for recording in recordings
    ]
    for l, layer in enumerate(measured):
        for lag in range(min(4, len(layer.correlation))):
            for d in range(min(3, len(layer.mean))):
                products, squares, pairs, steps = 0.0, 0.0, 0, 0
                for of_recording in means:
                    series = of_recording[l].mean[:, d] - of_recording[l].mean[:, d].mean()
                    for t in range(len(series) - lag):
                        products += series[t] * series[t + lag]
                        pairs += 1
                    squares += sum(x * x for x in series)
                    steps += len(series)
                assert layer.correlation[lag, d] == pytest.approx((products / pairs) / (squares / steps), abs=1e-9)
        np.testing.assert_array_equal(layer.integrated_s, layer.step_s * integrated_time(layer.correlation))


def test_a_layer_that_infers_nothing_is_dead(model: SpeechModel, recordings: list[CorpusRecording]) -> None:
    low, high = measure_dimensions(model.without_inference(1), recordings[:1], draws=1)
    assert high.dead == tuple(range(len(high.mean)))
    assert high.bits_per_second.tolist() == [0.0] * len(high.mean)
    assert low.active.any()
    assert low.by_kl[0] == low.bits_per_second.argmax()
    assert (np.diff(low.bits_per_second[low.by_kl]) <= 0).all()


def test_progress_ends_with_everything_done(model: SpeechModel, recordings: list[CorpusRecording]) -> None:
    shares: list[float] = []
    measure_dimensions(model, recordings, draws=1, progress=shares.append)
    assert len(shares) == len(recordings)
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_refusals(model: SpeechModel, recordings: list[CorpusRecording], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give at least one"):
        measure_dimensions(model, [])
    lstm = FAMILIES["lstm"].seeded(preset("lstm", "tiny").config, 0)
    with pytest.raises(InputError, match="no latents"):
        measure_dimensions(lstm, recordings)
    damaged = replace(recordings[0].utterance, audio=tmp_path / "gone.wav")
    with pytest.raises(InputError, match=r"gone\.wav"):
        measure_dimensions(model, [CorpusRecording(damaged, 16_000, keep=False)])
