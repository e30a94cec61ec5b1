"""The Z-forcing SRNN against its equations, unit by unit, and what its auxiliary costs are and are not part of."""

from typing import Any

import pytest
import torch

from lvm_probe import InputError
from lvm_probe.models.families.zforcing import ZForcing
from tests import reference_models as reference
from tests.models import miniature
from tests.models.equations import Oracle, Steps, check_latents, divergence, drawn, far_from_start
from tests.models.test_family import noise_for

STRIDE = 4
KINDS = pytest.mark.parametrize("simplified", [False, True], ids=["zforcing", "simplified"])


def make(**changes: object) -> ZForcing:
    shape = {"stride": STRIDE, "latent": 3, "hidden": 6, "future_weight": 0.3, "backward_weight": 0.2}
    return far_from_start(ZForcing.seeded(miniature.stacked("zforcing", **(shape | changes)), 0), 0.2)


def by_equations(net: Oracle, noise: list[Steps]) -> dict[str, Any]:
    """One utterance by the equations of the module's docstring."""
    c, steps = net.c, range(len(net.phi))
    b = [[0.0] * c.hidden for _ in range(len(steps) + 1)]
    for t in reversed(steps):
        b[t] = net.gru("backward_states", net.phi[t], b[t + 1])
    found: dict[str, Any] = {"elbo": 0.0, "cost": 0.0, "z": [[]], "h": [[]]}
    v, h, z, before = [0.0] * c.hidden, [0.0] * c.hidden, [0.0] * c.latent, [0.0] * c.width
    for t in steps:
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
        z = drawn(posterior, noise[0][t])
        h = net.gru("dynamics.outputs", [*v, *z], h) if c.simplified else v
        found["elbo"] += net.log_likelihood(t, h if c.simplified else [*z, *v]) - divergence(posterior, prior)
        found["cost"] -= c.future_weight * reference.gaussian_log_density(b[t], *net.gaussian("future", z))
        found["cost"] -= c.backward_weight * net.log_likelihood(t, b[t + 1], "backward_decoder")
        found["z"][0].append(z)
        found["h"][0].append(h)
        before = net.phi[t]
    return found


@KINDS
def test_elbo_and_auxiliary_cost_agree_with_the_equations(simplified) -> None:
    check_latents(make(simplified=simplified), by_equations, [22, 13], 28)


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


@pytest.mark.parametrize("change", [{"future_weight": -0.1}, {"backward_weight": float("nan")}])
def test_a_bad_configuration_is_refused(change) -> None:
    with pytest.raises(InputError, match="0 or more"):
        make(**change)
