"""The Stochastic WaveNet against its equations, unit by unit, and how far it sees."""

from functools import partial
from typing import Any

import pytest
import torch

from lvm_probe import InputError
from lvm_probe.models.families.swavenet import SWaveNet
from lvm_probe.models.likelihood.elbo import evaluate
from tests import reference_models as reference
from tests.models import miniature
from tests.models.equations import Oracle, Steps, check_latents, divergence, drawn, far_from_start
from tests.models.test_tcn import block_by_equations

STRIDE = 4


def make(**changes: object) -> SWaveNet:
    shape = {"stride": STRIDE, "latents": (3, 2, 2), "channels": 5}
    return far_from_start(SWaveNet.seeded(miniature.stacked("swavenet", **(shape | changes)), 0), 0.2)


def by_equations(model: SWaveNet, net: Oracle, noise: list[Steps]) -> dict[str, Any]:
    """One utterance by the equations of the module's docstring."""
    c, phi = net.c, net.phi

    def network(name: str, x: list[float]) -> list[float]:
        return net.linear(f"{name}.2", reference.relu(net.linear(f"{name}.0", x)))

    e = [net.linear("first", x) for x in phi]
    known, y = [e] * len(c.latents), e
    for l in reversed(range(len(c.latents))):
        y = block_by_equations(model.layers[l].backward_block, y[::-1])[0][::-1]  # time runs backwards
        known[l] = [network(f"layers.{l}.backward_out", [*a, *b]) for a, b in zip(y, e, strict=True)]
    x = [net.linear("first", before) for before in [[0.0] * c.width, *phi[:-1]]]
    skips = [network("skip", step) for step in x]
    found: dict[str, Any] = {"elbo": 0.0, "z": []}
    for l in range(len(c.latents)):
        assert model.layers[l].block.dilation == 2**l
        d, _ = block_by_equations(model.layers[l].block, x)
        z: Steps = []
        for t in range(len(phi)):
            prior = net.gaussian(f"layers.{l}.prior", d[t])
            posterior = net.gaussian(f"layers.{l}.network", [*d[t], *known[l][t]])
            z.append(drawn(posterior, noise[l][t]))
            found["elbo"] -= divergence(posterior, prior)
            more = network(f"layers.{l}.skip", [*d[t], *z[t]])
            skips[t] = [a + b for a, b in zip(skips[t], more, strict=True)]
            if l < len(c.latents) - 1:
                x[t] = network(f"layers.{l}.onward", [*d[t], *z[t]])
        found["z"].append(z)
    found["elbo"] += sum(net.log_likelihood(t, reference.relu(skip)) for t, skip in enumerate(skips))
    return found


def test_the_elbo_agrees_with_the_equations() -> None:
    model = make()
    check_latents(model, partial(by_equations, model), [46, 25], 52)


@torch.no_grad()
def test_the_posterior_of_a_layer_sees_ahead_as_far_as_the_layers_from_it_upwards() -> None:
    model = make()
    assert model.encode_reach == (STRIDE, 7 * STRIDE)
    pcm, lengths = miniature.batch([20 * STRIDE])
    other = pcm.clone()
    other[0, 12 * STRIDE] += 900
    for l, ahead in enumerate((range(8), (0, 2, 4, 6), (0, 4))):  # sums of dilations 1, 2, 4; of 2, 4; of 4
        one, two = (model.encode(x, lengths)[1 + l] for x in (pcm, other))
        assert (one != two).flatten(1).any(1).nonzero().flatten().tolist() == sorted(12 - n for n in ahead)


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_chunks_shorter_than_the_longest_dilation_change_nothing(steps) -> None:
    model = make(latents=(3, 2, 2, 2)).float()  # looks back 8 steps in the topmost layer
    assert model.infer_reach == 8
    recordings = [miniature.take("a", 90), miniature.take("b", 71)]
    whole, parts = (evaluate(model, recordings, most_samples=most) for most in (10_000, steps * STRIDE))
    # Products of other shapes add in another order, 1e-7 each.
    assert parts.reconstruction == pytest.approx(whole.reconstruction, rel=1e-6)
    for x, y in zip(parts.kl, whole.kl, strict=True):
        assert x.tolist() == pytest.approx(y.tolist(), rel=1e-5)


@pytest.mark.parametrize("change", [{"latents": ()}, {"latents": (3, 0)}, {"channels": 0}, {"posterior_std": 0.0}])
def test_a_bad_configuration_is_refused(change) -> None:
    with pytest.raises(InputError, match=r"1 to 20 layers|must be positive"):
        make(**change)
