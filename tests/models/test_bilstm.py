"""The Variational Bi-LSTM against its equations, unit by unit, and what its auxiliary costs are and are not part of."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from lvm_probe import InputError
from lvm_probe.models.families.bilstm import BiLSTM, BiLSTMConfig
from lvm_probe.models.likelihood.elbo import elbo
from tests import reference_models as reference
from tests.models import miniature
from tests.models.test_family import noise_for

STRIDE = 4


def make(**changes: object) -> BiLSTM:
    """A model in double precision whose weights are far from their small start."""
    shape = {"stride": STRIDE, "latent": 3, "hidden": 6, "future_weight": 0.3, "past_weight": 0.2}
    model = BiLSTM.seeded(miniature.stacked("bilstm", **(shape | changes)), 0).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return model


def slow_pass(model: BiLSTM, pcm: list[int], noise: list[list[float]]) -> dict[str, Any]:
    """One utterance by the equations of the module's docstring: loops over steps and units."""
    c: BiLSTMConfig = model.config
    net = reference.Network({name: parameter.tolist() for name, parameter in model.named_parameters()})
    steps = reference.touched_steps(len(pcm), c.stride)
    stacks = [pcm[t * c.stride : (t + 1) * c.stride] for t in range(steps)]
    padded = [stack + [0] * (c.stride - len(stack)) for stack in stacks]
    phi = [net.perceptron("frames", [v for x in stack for v in reference.companded(x, c.inputs)]) for stack in padded]
    backward, b, cell = [[0.0]] * steps, [0.0] * c.hidden, [0.0] * c.hidden
    for t in reversed(range(steps)):
        from_x = reference.affine(net.w["backward_lstm.weight_ih_l0"], net.w["backward_lstm.bias_ih_l0"], phi[t])
        from_b = reference.affine(net.w["backward_lstm.weight_hh_l0"], net.w["backward_lstm.bias_hh_l0"], b)
        b, cell = reference.lstm([u + v for u, v in zip(from_x, from_b, strict=True)], cell)
        backward[t] = b
    found: dict[str, Any] = {"elbo": 0.0, "cost": 0.0, "z": [], "h": []}
    h, cell, before = [0.0] * c.hidden, [0.0] * c.hidden, [0.0] * c.width
    for t in range(steps):
        prior = net.gaussian("forward_lstm.prior", h)
        posterior = net.gaussian("forward_lstm.network", [*h, *backward[t]])
        z = [m + s * e for m, s, e in zip(*posterior, noise[t], strict=True)]
        told, spread = net.gaussian("forward_lstm.future", z)
        found["cost"] -= c.future_weight * reference.gaussian_log_density(backward[t], told, spread)
        found["cost"] -= c.past_weight * reference.gaussian_log_density(h, *net.gaussian("past", z))
        parts = (
            net.linear("forward_lstm.past_to_gates", before),
            net.linear("forward_lstm.latents_to_gates", [*z, *told]),
            net.linear("forward_lstm.state_to_gates", h),
        )
        h, cell = reference.lstm([math.fsum(three) for three in zip(*parts, strict=True)], cell)
        flat = net.linear("decoder.head", net.perceptron("decoder", h))
        for i, x in enumerate(stacks[t]):
            parameters = flat[i * c.output.size : (i + 1) * c.output.size]
            found["elbo"] += reference.mixture_log_mass(parameters, *reference.uniform_bin(x))
        found["elbo"] -= math.fsum(reference.gaussian_kl(*four) for four in zip(*posterior, *prior, strict=True))
        found["z"].append(z)
        found["h"].append([*h, *cell])
        before = phi[t]
    return found


@torch.no_grad()
def test_elbo_and_auxiliary_cost_agree_with_the_equations_unit_by_unit() -> None:
    model, sizes = make(), [22, 13]
    pcm, lengths = miniature.batch(sizes, size=28)
    noise = noise_for(model, 28, 2)
    ours, passed = elbo(model, pcm, lengths, noise), model(pcm, lengths, noise)
    cost = 0.0
    for row, size in enumerate(sizes):
        slow = slow_pass(model, pcm[row, :size].tolist(), noise[0][:, row].tolist())
        # Six steps of double precision, in another order of sums.
        assert (ours.reconstruction - ours.kl[0])[row].item() == pytest.approx(slow["elbo"], rel=1e-10)
        for key in ("z", "h"):
            steps = getattr(passed.layers[0], key)[: len(slow[key]), row]
            torch.testing.assert_close(steps, torch.tensor(slow[key], dtype=torch.float64), rtol=1e-10, atol=1e-10)
        cost += slow["cost"]
    assert passed.auxiliary_cost.item() == pytest.approx(cost, rel=1e-10)


@torch.no_grad()
def test_the_weights_of_the_costs_are_no_part_of_the_elbo() -> None:
    model = make()
    other = BiLSTM(replace(model.config, future_weight=0.0, past_weight=0.0)).double()
    _, unexpected = other.load_state_dict(model.state_dict(), strict=False)
    assert {key.split(".")[0] for key in unexpected} == {"past"}
    pcm, lengths = miniature.batch([40, 33])
    noise = noise_for(model, 40, 2)
    ours, theirs = (elbo(each, pcm, lengths, noise) for each in (model, other))
    assert torch.equal(ours.reconstruction, theirs.reconstruction)
    assert torch.equal(ours.kl[0], theirs.kl[0])
    assert other(pcm, lengths, noise).auxiliary_cost == 0


def test_no_state_learns_to_be_predictable() -> None:
    model = make()
    pcm, lengths = miniature.batch([40])
    encoded = model.encode(pcm, lengths)
    (layer,) = model.infer([e.detach() for e in encoded], noise_for(model, 40, 1))
    cut = replace(layer, h=layer.h.detach().requires_grad_())
    model.auxiliary_cost(pcm, encoded, (cut,), lengths).backward()
    assert cut.h.grad is None
    assert model.backward_lstm.weight_hh_l0.grad is None
    assert model.past.head.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"latent": 0}, "sizes must be positive"),
        ({"future_weight": -0.1}, "0 or more"),
        ({"past_weight": float("nan")}, "0 or more"),
        ({"posterior_std": 0.0}, "posterior_std must be positive"),
    ],
)
def test_a_bad_configuration_is_refused(change, says) -> None:
    with pytest.raises(InputError, match=says):
        make(**change)
