"""The sentence VAE against its equations, unit by unit, and what a segment knows of others."""

from typing import Any

import pytest
import torch

from lvm_probe import InputError
from lvm_probe.models.families.bowman import Bowman, BowmanConfig
from tests import reference_models as reference
from tests.models import miniature
from tests.models.equations import Oracle, Steps, check_latents, divergence, drawn, far_from_start
from tests.models.test_family import noise_for

STRIDE, STEPS = 4, 5


def config(**changes: object) -> BowmanConfig:
    return miniature.stacked("bowman", **({"stride": STRIDE, "latent": 3, "hidden": 6, "steps": STEPS} | changes))


def make(**changes: object) -> Bowman:
    return far_from_start(Bowman.seeded(config(**changes), 0))


def by_equations(net: Oracle, noise: list[Steps]) -> dict[str, Any]:
    """One utterance, segment by segment."""
    c = net.c
    found: dict[str, Any] = {"elbo": 0.0, "z": [[]], "h": [[]]}
    for first in range(0, len(net.phi), STEPS):
        a, cell = [0.0] * c.hidden, [0.0] * c.hidden
        steps = range(first, min(first + STEPS, len(net.phi)))
        for t in steps:
            a, cell = net.lstm("summary", net.phi[t], a, cell)
        posterior = reference.head(net.linear("recognition.head", a))
        z = drawn(posterior, noise[0][first // STEPS])
        start = net.linear("start", z)
        d, cell = start[: c.hidden], start[c.hidden :]
        for t in steps:
            x = net.phi[t - 1] if t > first else [0.0] * c.width
            d, cell = net.lstm("states", x, d, cell)
            found["elbo"] += net.log_likelihood(t, d)
        found["elbo"] -= divergence(posterior, ([0.0] * c.latent, [1.0] * c.latent))
        found["z"][0].append(z)
        found["h"][0].append(start)
    return found


def test_the_elbo_agrees_with_the_equations() -> None:
    size = STEPS * STRIDE
    check_latents(make(), by_equations, [3 * size, size + 6], 3 * size)  # the second ends inside its second segment


@torch.no_grad()
def test_segments_know_nothing_of_each_other() -> None:
    model = make()
    pcm, lengths = miniature.batch([4 * STEPS * STRIDE])
    noise = noise_for(model, pcm.shape[1], 1)
    before = model(pcm, lengths, noise)
    other = pcm.clone()
    other[0, STEPS * STRIDE + 1] += 9_000  # in the second segment
    after = model(other, lengths, noise)
    differs = (before.layers[0].posterior.mean != after.layers[0].posterior.mean).flatten(1).any(1)
    assert differs.tolist() == [False, True, False, False]
    parameters = (before.output.parameters != after.output.parameters)[0].unflatten(0, (4, -1)).flatten(1).any(1)
    assert parameters.tolist() == [False, True, False, False]


def test_a_sentence_has_one_latent() -> None:
    model = Bowman.seeded(config(stride=1, steps=12, output=miniature.DOMAINS["words"]), 0)
    (noise,) = model.noise(11, 2, torch.Generator().manual_seed(0))
    assert noise.shape == (1, 2, 3)
    assert model.strides == (12,)


def test_a_segment_without_steps_is_refused() -> None:
    with pytest.raises(InputError, match="must be positive"):
        config(steps=0)
