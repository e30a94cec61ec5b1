"""The Variational Bi-LSTM against its equations, unit by unit, and what its auxiliary costs are and are not part of."""

import math
from dataclasses import replace
from typing import Any

import pytest

from lvm_probe import InputError
from lvm_probe.models.families.bilstm import BiLSTM
from tests import reference_models as reference
from tests.models import miniature
from tests.models.equations import Oracle, Steps, check_latents, divergence, drawn, far_from_start
from tests.models.test_family import noise_for

STRIDE = 4


def make(**changes: object) -> BiLSTM:
    shape = {"stride": STRIDE, "latent": 3, "hidden": 6, "future_weight": 0.3, "past_weight": 0.2}
    return far_from_start(BiLSTM.seeded(miniature.stacked("bilstm", **(shape | changes)), 0), 0.2)


def by_equations(net: Oracle, noise: list[Steps]) -> dict[str, Any]:
    """One utterance by the equations of the module's docstring."""
    c, steps = net.c, range(len(net.phi))
    backward, b, cell = [[0.0]] * len(steps), [0.0] * c.hidden, [0.0] * c.hidden
    for t in reversed(steps):
        b, cell = net.lstm("backward_lstm", net.phi[t], b, cell)
        backward[t] = b
    found: dict[str, Any] = {"elbo": 0.0, "cost": 0.0, "z": [[]], "h": [[]]}
    h, cell, before = [0.0] * c.hidden, [0.0] * c.hidden, [0.0] * c.width
    for t in steps:
        prior = net.gaussian("forward_lstm.prior", h)
        posterior = net.gaussian("forward_lstm.network", [*h, *backward[t]])
        z = drawn(posterior, noise[0][t])
        told, spread = net.gaussian("forward_lstm.future", z)
        found["cost"] -= c.future_weight * reference.gaussian_log_density(backward[t], told, spread)
        found["cost"] -= c.past_weight * reference.gaussian_log_density(h, *net.gaussian("past", z))
        parts = (
            net.linear("forward_lstm.past_to_gates", before),
            net.linear("forward_lstm.latents_to_gates", [*z, *told]),
            net.linear("forward_lstm.state_to_gates", h),
        )
        h, cell = reference.lstm([math.fsum(three) for three in zip(*parts, strict=True)], cell)
        found["elbo"] += net.log_likelihood(t, h) - divergence(posterior, prior)
        found["z"][0].append(z)
        found["h"][0].append([*h, *cell])
        before = net.phi[t]
    return found


def test_elbo_and_auxiliary_cost_agree_with_the_equations() -> None:
    check_latents(make(), by_equations, [22, 13], 28)


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


@pytest.mark.parametrize("change", [{"future_weight": -0.1}, {"past_weight": float("nan")}])
def test_a_bad_configuration_is_refused(change) -> None:
    with pytest.raises(InputError, match="0 or more"):
        make(**change)
