"""The Z-forcing SRNN against its equations, unit by unit, and what its auxiliary costs are and are not part of."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from lvm_probe import InputError
from lvm_probe.models.families.zforcing import ZForcing, ZForcingConfig
from lvm_probe.models.likelihood.elbo import elbo, evaluate
from lvm_probe.models.training.loss import schedule_at, training_loss
from lvm_probe.models.training.recipe import TINY
from tests import reference_models as reference
from tests.models import miniature
from tests.models.test_family import noise_for

STRIDE = 4
KINDS = pytest.mark.parametrize("simplified", [False, True], ids=["zforcing", "simplified"])


def make(**changes: object) -> ZForcing:
    """A model in double precision whose weights are far from their small start."""
    shape = {"stride": STRIDE, "latent": 3, "hidden": 6, "future_weight": 0.3, "backward_weight": 0.2}
    model = ZForcing.seeded(miniature.stacked("zforcing", **(shape | changes)), 0).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return model


def parameters_of(net: reference.Network, decoder: str, seen: list[float], c: ZForcingConfig) -> list[list[float]]:
    flat = net.linear(f"{decoder}.head", net.perceptron(decoder, seen))
    return [flat[i * c.output.size : (i + 1) * c.output.size] for i in range(c.stride)]


def likelihood(pcm: list[int], parameters: list[list[float]]) -> float:
    terms = zip(parameters, pcm, strict=False)
    return math.fsum(reference.mixture_log_mass(p, *reference.uniform_bin(x)) for p, x in terms)


def slow_pass(model: ZForcing, pcm: list[int], noise: list[list[float]]) -> dict[str, Any]:
    """One utterance by the equations of the module's docstring: loops over steps and units."""
    c: ZForcingConfig = model.config
    net = reference.Network({name: parameter.tolist() for name, parameter in model.named_parameters()})
    steps = reference.touched_steps(len(pcm), c.stride)
    stacks = [pcm[t * c.stride : (t + 1) * c.stride] for t in range(steps)]
    padded = [stack + [0] * (c.stride - len(stack)) for stack in stacks]
    phi = [net.perceptron("frames", [v for x in stack for v in reference.companded(x, c.inputs)]) for stack in padded]
    b = [[0.0] * c.hidden for _ in range(steps + 1)]
    for t in reversed(range(steps)):
        b[t] = net.gru("backward_states", phi[t], b[t + 1])
    found: dict[str, Any] = {"elbo": 0.0, "cost": 0.0, "z": [], "h": []}
    v, h, z, before = [0.0] * c.hidden, [0.0] * c.hidden, [0.0] * c.latent, [0.0] * c.width
    for t in range(steps):
        if c.simplified:
            v = net.gru("dynamics.states", before, v)
            prior = net.gaussian("dynamics.prior", v)
            posterior = net.gaussian("dynamics.network", [*v, *b[t]])
        else:
            gates = zip(
                net.linear("dynamics.z_to_gates", z), net.linear("dynamics.context_to_gates", before), strict=True
            )
            v = reference.gru([x + y for x, y in gates], net.linear("dynamics.h_to_gates", v), v)
            prior = reference.head(net.linear("dynamics.prior", reference.relu(net.linear("dynamics.h_to_prior", v))))
            units = zip(
                net.linear("dynamics.h_to_evidence", v), net.linear("dynamics.encoder_to_evidence", b[t]), strict=True
            )
            posterior = reference.head(net.linear("dynamics.evidence", reference.relu([x + y for x, y in units])))
        z = [m + s * e for m, s, e in zip(*posterior, noise[t], strict=True)]
        h = net.gru("dynamics.outputs", [*v, *z], h) if c.simplified else v
        seen = h if c.simplified else [*z, *v]
        kl = math.fsum(reference.gaussian_kl(*four) for four in zip(*posterior, *prior, strict=True))
        found["elbo"] += likelihood(stacks[t], parameters_of(net, "decoder", seen, c)) - kl
        mean, std = net.gaussian("future", z)
        found["cost"] -= c.future_weight * reference.gaussian_log_density(b[t], mean, std)
        after = parameters_of(net, "backward_decoder", b[t + 1], c)
        found["cost"] -= c.backward_weight * likelihood(stacks[t], after)
        found["z"].append(z)
        found["h"].append(h)
        before = phi[t]
    return found


@KINDS
@torch.no_grad()
def test_elbo_and_auxiliary_cost_agree_with_the_equations_unit_by_unit(simplified) -> None:
    model, sizes = make(simplified=simplified), [22, 13]
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


@KINDS
def test_training_adds_the_auxiliary_cost_and_evaluation_does_not(simplified) -> None:
    """A model that differs in the weights of its costs alone has the same likelihoods and another loss."""
    model = make(simplified=simplified)
    other = ZForcing(replace(model.config, future_weight=0.0, backward_weight=0.0)).double()
    missing, unexpected = other.load_state_dict(model.state_dict(), strict=False)
    assert not missing
    assert {key.split(".")[0] for key in unexpected} == {"future", "backward_decoder"}
    pcm, lengths = miniature.batch([40, 33])
    noise, losses, costs = noise_for(model, 40, 2), [], []
    for each in (model, other):
        passed = each(pcm, lengths, noise)
        losses.append(training_loss(passed, each, pcm, lengths, TINY, schedule_at(TINY, 30)).total)
        costs.append(passed.auxiliary_cost)
    assert costs[1] is None
    torch.testing.assert_close(losses[0] - losses[1], costs[0] / 73, rtol=1e-10, atol=1e-10)
    recordings = [miniature.take("a", 90), miniature.take("b", 70)]
    ours, theirs = (evaluate(each.float(), recordings) for each in (model, other))
    assert ours.elbo == theirs.elbo


def test_the_backward_states_do_not_learn_to_be_predictable() -> None:
    model = make(backward_weight=0.0)
    pcm, lengths = miniature.batch([40])
    encoded = [e.detach().requires_grad_() for e in model.encode(pcm, lengths)]
    layers = model.infer([e.detach() for e in encoded], noise_for(model, 40, 1))
    model.auxiliary_cost(pcm, encoded, layers, lengths).backward()
    assert encoded[1].grad is None
    assert model.future.head.weight.grad.abs().sum() > 0
    assert model.dynamics.evidence.weight.grad.abs().sum() > 0


@torch.no_grad()
def test_latents_enter_prior_and_posterior_unless_simplified() -> None:
    for simplified in (False, True):
        model = make(simplified=simplified)
        pcm, lengths = miniature.batch([40])
        encoded = model.encode(pcm, lengths)
        (one,), (two,) = (model.infer(encoded, noise_for(model, 40, 1, seed=seed)) for seed in (0, 1))
        for a, b in ((one.prior, two.prior), (one.posterior, two.posterior)):
            assert torch.equal(a.mean, b.mean) == simplified
        assert not torch.equal(one.h, two.h)


@KINDS
@torch.no_grad()
def test_the_posterior_sees_the_whole_utterance_and_the_prior_its_past(simplified) -> None:
    model = make(simplified=simplified)
    pcm, lengths = miniature.batch([40])
    other = pcm.clone()
    other[0, 5 * STRIDE] += 900
    zero = [torch.zeros_like(n) for n in noise_for(model, 40, 1)]
    (one,), (two,) = (model.infer(model.encode(x, lengths), zero) for x in (pcm, other))
    seen = [
        (a.mean != b.mean).flatten(1).any(1).tolist()
        for a, b in ((one.prior, two.prior), (one.posterior, two.posterior))
    ]
    assert seen[1] == [True] * 10
    if simplified:
        assert seen[0] == [False] * 6 + [True] * 4


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"latent": 0}, "sizes must be positive"),
        ({"future_weight": -0.1}, "0 or more"),
        ({"backward_weight": float("nan")}, "0 or more"),
        ({"posterior_std": 0.0}, "posterior_std positive"),
    ],
)
def test_a_bad_configuration_is_refused(change, says) -> None:
    with pytest.raises(InputError, match=says):
        make(**change)
