"""The Stochastic WaveNet against its equations, unit by unit, and how far it sees."""

import math
from typing import Any

import pytest
import torch

from lvm_probe import InputError
from lvm_probe.models.families.swavenet import SWaveNet, SWaveNetConfig
from lvm_probe.models.likelihood.elbo import elbo, evaluate
from tests import reference_models as reference
from tests.models import miniature
from tests.models.test_family import noise_for
from tests.models.test_tcn import block_by_equations

STRIDE = 4
Steps = list[list[float]]


def make(**changes: object) -> SWaveNet:
    """A model in double precision whose weights are far from their small start."""
    shape = {"stride": STRIDE, "latents": (3, 2, 2), "channels": 5}
    model = SWaveNet.seeded(miniature.stacked("swavenet", **(shape | changes)), 0).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return model


def slow_pass(model: SWaveNet, pcm: list[int], noise: list[Steps]) -> dict[str, Any]:
    """One utterance by the equations of the module's docstring: loops over layers, steps and units."""
    c: SWaveNetConfig = model.config
    net = reference.Network({name: parameter.tolist() for name, parameter in model.named_parameters()})

    def network(name: str, x: list[float]) -> list[float]:
        return net.linear(f"{name}.2", reference.relu(net.linear(f"{name}.0", x)))

    steps = reference.touched_steps(len(pcm), c.stride)
    stacks = [pcm[t * c.stride : (t + 1) * c.stride] for t in range(steps)]
    padded = [stack + [0] * (c.stride - len(stack)) for stack in stacks]
    phi = [net.perceptron("frames", [v for x in stack for v in reference.companded(x, c.inputs)]) for stack in padded]
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
        for t in range(steps):
            prior = net.gaussian(f"layers.{l}.prior", d[t])
            posterior = net.gaussian(f"layers.{l}.network", [*d[t], *known[l][t]])
            z.append([m + s * eps for m, s, eps in zip(*posterior, noise[l][t], strict=True)])
            found["elbo"] -= math.fsum(reference.gaussian_kl(*four) for four in zip(*posterior, *prior, strict=True))
            more = network(f"layers.{l}.skip", [*d[t], *z[t]])
            skips[t] = [a + b for a, b in zip(skips[t], more, strict=True)]
            if l < len(c.latents) - 1:
                x[t] = network(f"layers.{l}.onward", [*d[t], *z[t]])
        found["z"].append(z)
    for t in range(steps):
        flat = net.linear("decoder.head", net.perceptron("decoder", reference.relu(skips[t])))
        for i, sample in enumerate(stacks[t]):
            parameters = flat[i * c.output.size : (i + 1) * c.output.size]
            found["elbo"] += reference.mixture_log_mass(parameters, *reference.uniform_bin(sample))
    return found


@torch.no_grad()
def test_the_elbo_agrees_with_the_equations_unit_by_unit() -> None:
    model, sizes = make(), [46, 25]
    pcm, lengths = miniature.batch(sizes, size=52)
    noise = noise_for(model, 52, 2)
    ours, passed = elbo(model, pcm, lengths, noise), model(pcm, lengths, noise)
    assert passed.auxiliary_cost is None
    for row, size in enumerate(sizes):
        slow = slow_pass(model, pcm[row, :size].tolist(), [n[:, row].tolist() for n in noise])
        # Twelve steps and three layers of double precision, in another order of sums.
        assert (ours.reconstruction - sum(ours.kl))[row].item() == pytest.approx(slow["elbo"], rel=1e-10)
        for layer, z in zip(passed.layers, slow["z"], strict=True):
            torch.testing.assert_close(
                layer.z[: len(z), row], torch.tensor(z, dtype=torch.float64), rtol=1e-10, atol=1e-10
            )


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
