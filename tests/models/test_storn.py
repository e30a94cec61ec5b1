"""The STORN against its equations, unit by unit, and what sets it apart."""

from typing import Any

import torch

from lvm_probe.models.families.storn import STORN
from tests import reference_models as reference
from tests.models import miniature
from tests.models.equations import Oracle, Steps, check_latents, divergence, drawn, far_from_start
from tests.models.test_family import noise_for

STRIDE = 4


def make() -> STORN:
    return far_from_start(STORN.seeded(miniature.stacked("storn", stride=STRIDE, latent=5, hidden=10), 0))


def by_equations(net: Oracle, noise: list[Steps]) -> dict[str, Any]:
    """One utterance by the equations of the module's docstring."""
    c = net.c
    found: dict[str, Any] = {"elbo": 0.0, "z": [[]], "h": [[]]}
    a, h, before = [0.0] * c.hidden, [0.0] * c.hidden, [0.0] * c.width
    for t, phi in enumerate(net.phi):
        a = net.gru("summary", phi, a)
        posterior = reference.head(net.linear("recognition.head", a))
        z = drawn(posterior, noise[0][t])
        h = net.gru("states", [*before, *z], h)
        found["elbo"] += net.log_likelihood(t, h) - divergence(posterior, ([0.0] * c.latent, [1.0] * c.latent))
        found["z"][0].append(z)
        found["h"][0].append(h)
        before = phi
    return found


def test_the_elbo_agrees_with_the_equations() -> None:
    check_latents(make(), by_equations, [24, 17], 28)


@torch.no_grad()
def test_the_posterior_sees_the_audio_up_to_its_own_step_and_no_latents() -> None:
    model = make()
    pcm, lengths = miniature.batch([10 * STRIDE])
    other = pcm.clone()
    other[0, 5 * STRIDE] += 700
    noise, noise_of_other = noise_for(model, pcm.shape[1], 1, seed=0), noise_for(model, pcm.shape[1], 1, seed=1)
    (layer,), (changed,), (redrawn,) = (
        model.infer(model.encode(x, lengths), n) for x, n in ((pcm, noise), (other, noise), (pcm, noise_of_other))
    )
    differs = (layer.posterior.mean != changed.posterior.mean).any(-1)[:, 0].tolist()
    assert differs == [False] * 5 + [True] * 5
    assert torch.equal(layer.posterior.mean, redrawn.posterior.mean)
    assert not torch.equal(layer.h, redrawn.h)
