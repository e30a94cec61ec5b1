"""Our own models as a source: halves and states against slow passes, and paths that stay the same in any company."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from lvm_probe.models.model import SpeechModel
from lvm_probe.models.noise import path_noise
from lvm_probe.models.registry import FAMILIES, preset
from lvm_probe.models.trajectory import Trajectory
from lvm_probe.probing.corpora import open_corpus
from lvm_probe.probing.corpora.audio import FULL_SCALE, read_audio
from lvm_probe.probing.corpora.corpus import Segment
from lvm_probe.probing.features.extraction_settings import ALSO, Settings
from lvm_probe.probing.features.pooling import LOG_FLOOR
from lvm_probe.probing.features.posterior_sampler import MAX_PATHS, NOISE_BYTES, PosteriorSampler
from lvm_probe.probing.features.sources import ModelSource
from tests.probing import miniature
from tests.probing import reference_pooling as reference

SEGMENTS = [*(Segment(label, start, end) for start, end, label in miniature.PHONES), Segment("one", 7999, 8000)]


@pytest.fixture(scope="module")
def pcm(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    corpus = open_corpus(miniature.timit_nltk(tmp_path_factory.mktemp("corpus") / "timit"))
    return (read_audio(corpus.utterances[0], 16_000) * FULL_SCALE).astype(np.int16)


def model(family: str) -> SpeechModel:
    return FAMILIES[family].seeded(preset(family, "tiny").config, 3).eval()


def halves(steps: np.ndarray, segment: Segment, stride: int) -> np.ndarray:
    middle = (segment.start + segment.end) // 2
    first = Segment("", segment.start, max(middle, segment.start + 1))
    parts = [reference.pooled_mean(steps, half, stride) for half in (first, Segment("", middle, segment.end))]
    return np.concatenate(parts)


def one_pass(sampler: PosteriorSampler, paths: Sequence[int]) -> tuple[Trajectory, ...]:
    """Paths over the whole recording at once."""
    noise = path_noise(sampler.model, sampler.name, sampler.samples, paths, sampler.seed)
    return sampler.model.infer(sampler.encoded, noise)


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.mark.parametrize("family", ["cwvae", "vrnn", "srnn", "stcn"])
def test_states_and_halves_are_those_of_one_slow_pass_a_sample(family: str, pcm: np.ndarray) -> None:
    one = model(family)
    source = ModelSource(one, Settings(draws=3, estimator="sample", seed=2, also=ALSO), memory_gb=1e-9)
    found = source.pooled("u", pcm, SEGMENTS)
    assert {name: array.shape[1] for name, array in found.items()} == source.sizes
    passes = [one_pass(PosteriorSampler.of(one, "u", pcm, 2), [path]) for path in range(3)]
    assert source.layers == tuple(f"z{l + 1}" for l in range(len(one.strides)))
    for l, stride in enumerate(one.strides):
        h = np.mean([layers[l].h[:, 0].numpy() for layers in passes], axis=0)
        z = np.mean([layers[l].z[:, 0].numpy() for layers in passes], axis=0)
        for i, segment in enumerate(SEGMENTS):
            # Single precision, in batches of another size.
            close = {"rtol": 1e-3, "atol": 1e-5}
            np.testing.assert_allclose(found[f"h{l + 1}"][i], reference.pooled_mean(h, segment, stride), **close)
            np.testing.assert_allclose(found[f"h{l + 1}_halves"][i], halves(h, segment, stride), **close)
            np.testing.assert_allclose(found[f"z{l + 1}_halves"][i], halves(z, segment, stride), **close)
            logms = np.log(halves(np.square(z), segment, stride) + LOG_FLOOR)
            np.testing.assert_allclose(found[f"z{l + 1}_logms_halves"][i], logms, rtol=1e-3, atol=1e-3)


def test_what_is_asked_besides_changes_nothing_else(pcm: np.ndarray) -> None:
    one = model("cwvae")
    plain = ModelSource(one, Settings(draws=2)).pooled("u", pcm, SEGMENTS)
    more = ModelSource(one, Settings(draws=2, also=ALSO)).pooled("u", pcm, SEGMENTS)
    for name, values in plain.items():
        np.testing.assert_array_equal(values, more[name])


def test_a_deterministic_model_has_its_states_anyway(pcm: np.ndarray) -> None:
    one = model("lstm")
    for also, names in (((), ["h1"]), (("states",), ["h1"]), (("states", "halves"), ["h1", "h1_halves"])):
        source = ModelSource(one, Settings(also=also))
        found = source.pooled("u", pcm, SEGMENTS)
        assert {name: array.shape[1] for name, array in found.items()} == source.sizes
        assert list(found) == names
        assert source.layers == ("h1",)


def test_a_path_is_the_same_in_any_company(pcm: np.ndarray) -> None:
    one = model("cwvae")
    together = one_pass(PosteriorSampler.of(one, "u", pcm), range(4))
    some = one_pass(PosteriorSampler.of(one, "u", pcm), [2, 0])
    other = one_pass(PosteriorSampler.of(one, "v", pcm), [2, 0])
    for l, layer in enumerate(together):
        # Single precision, in batches of another size.
        torch.testing.assert_close(some[l].z, layer.z[:, [2, 0]], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(other[l].z, some[l].z)


@pytest.mark.parametrize("family", ["cwvae", "vrnn", "srnn", "stcn"])
def test_paths_a_stretch_at_a_time_are_those_of_one_pass(family: str, pcm: np.ndarray) -> None:
    one = model(family)
    sampler = PosteriorSampler.of(one, "u", pcm)
    whole, stretches = one_pass(sampler, range(3)), list(sampler.draw(range(3)))
    assert len(stretches) > 1
    for l, (layer, stride) in enumerate(zip(whole, one.strides, strict=True)):
        assert [first for first, _ in (s[l] for s in stretches)] == list(
            range(0, len(layer.z), 64 * one.stride // stride)
        )
        joined = Trajectory.concatenate([s[l][1] for s in stretches])
        pairs = ((joined.h, layer.h), (joined.z, layer.z), (joined.posterior.mean, layer.posterior.mean))
        for found, values in pairs:
            # None beyond the audio. Single precision in other shapes, grown a little by the recurrence.
            torch.testing.assert_close(found, values[: -(-len(pcm) // stride)], rtol=1e-4, atol=1e-4)


def test_batches_fit_into_memory() -> None:
    sampler = PosteriorSampler.of(model("cwvae"), "u", np.zeros(16_000, np.int16))
    numbers = 250 * 8 + 32 * 4  # of noise for a path
    assert list(sampler.batches(range(3, 300), 1.0)) == [range(3, 131), range(131, 259), range(259, 300)]
    assert MAX_PATHS == 128
    four = 4.5 * NOISE_BYTES * numbers / 1e9
    assert [len(paths) for paths in sampler.batches(range(10), four)] == [4, 4, 2]
    assert [len(paths) for paths in sampler.batches(range(3), 1e-9)] == [1, 1, 1]


def test_provenance_says_what_was_sampled(tmp_path: Path) -> None:
    said = ModelSource(model("vrnn"), Settings(draws=7, estimator="posterior-mean")).provenance
    assert (said["model"]["family"], said["samples"], said["estimator"]) == ("vrnn", 7, "posterior-mean")
    assert "checkpoint" not in said
