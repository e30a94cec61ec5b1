"""Paths without gradients, stretch by stretch, against `infer` in one pass."""

import pytest
import torch

from lvm_probe.models.likelihood.chunks import cut
from lvm_probe.models.model import SpeechModel
from lvm_probe.models.trajectory import Paths, Trajectory
from tests.models import miniature
from tests.models.miniature import MODELS

WITH_LATENTS = [name for name in MODELS if miniature.model(name).latents]
SAMPLES, ROWS = 3000, 5


def both(model: SpeechModel, size: int) -> tuple[tuple[Trajectory, ...], tuple[Paths, ...]]:
    """The layers of one pass, and those of a follower that gets `size` samples at a time."""
    pcm, lengths = miniature.batch([SAMPLES])
    with torch.no_grad():
        encoded = model.encode(model.pad(pcm), lengths)
        noise = model.noise(SAMPLES, ROWS, torch.Generator().manual_seed(1), model.parameter.dtype)
        layers = model.infer(encoded, noise)
    padded, size = (-(-n // model.coarsest_stride) * model.coarsest_stride for n in (SAMPLES, size))
    follow = model.follower(ROWS)
    parts = []
    for start in range(0, padded, size):
        stop = min(start + size, padded)
        some = [n[start // stride : stop // stride] for n, stride in zip(noise, model.strides, strict=True)]
        parts.append(follow(cut(encoded, padded, start, stop), some))
    joined = (
        Paths(*(torch.cat([getattr(part, name) for part in layer]) for name in ("h", "z", "mean")))
        for layer in zip(*parts, strict=True)
    )
    return layers, tuple(joined)


def strong(name: str) -> SpeechModel:
    """A model whose random weights are larger than usual, so that everything depends on everything."""
    model = miniature.model(name, 3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 1.5
    return model


def assert_same(model: SpeechModel, size: int, **close: float) -> None:
    layers, followed = both(model, size)
    assert len(layers) == len(followed) == len(model.latents)
    for layer, paths in zip(layers, followed, strict=True):
        torch.testing.assert_close(paths.h, layer.h, **close)
        torch.testing.assert_close(paths.z, layer.z, **close)
        torch.testing.assert_close(paths.mean, layer.posterior.mean, **close)
        assert not paths.z.requires_grad


@pytest.mark.parametrize("size", [700, SAMPLES], ids=["stretches", "at once"])
@pytest.mark.parametrize("name", WITH_LATENTS)
def test_paths_are_those_of_infer(name, size) -> None:
    # The same sums in another order, and σ in the place of tanh.
    assert_same(strong(name).double(), size, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", WITH_LATENTS)
def test_a_layer_that_is_not_inferred_follows_its_prior_here_too(name) -> None:
    model = strong(name).double()
    for layer in range(len(model.latents)):
        assert_same(model.uninformed(layer), 700, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("posterior", ["product", "direct", "residual", "prior"])
@pytest.mark.parametrize("name", ["cwvae-2", "srnn"])
def test_every_posterior(name, posterior) -> None:
    model = strong(name).double()
    for part in model.inference:
        part.posterior = posterior
        with torch.no_grad():  # log precisions below -6, above 12 and between
            part.prior.bias[-3:] += torch.tensor([-9.0, 3.0, 15.0])
            part.evidence.bias[-3:] += torch.tensor([11.9, -9.0, 2.0])
    assert_same(model, 700, rtol=1e-9, atol=1e-9)  # as above; means of precisions that differ by e^18


@pytest.mark.parametrize("name", WITH_LATENTS)
def test_in_single_precision(name) -> None:
    # Rounding of 1e-7 grows by little in a contracting recurrence of 190 steps at most.
    assert_same(strong(name), 700, rtol=1e-4, atol=1e-4)


def test_a_follower_begins_anew() -> None:
    model = strong("cwvae-2")
    (first, _), (second, _) = both(model, 700)[1], both(model, 700)[1]
    assert torch.equal(first.z, second.z)
