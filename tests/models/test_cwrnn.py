"""The clockwork network against its equations, unit by unit, and which modules a step may change."""

import math

import pytest
import torch

from lvm_probe import InputError
from lvm_probe.models.families.cwrnn import CWRNN
from lvm_probe.models.registry import config_from_dict, config_to_dict
from tests.models import miniature
from tests.models.equations import Oracle, Steps, check_predictions, far_from_start

STRIDE = 16
PERIODS = (1, 2, 6)


def config(**changes: object):
    shape = {"stride": STRIDE, "width": 7, "hidden": 9, "periods": PERIODS}
    return miniature.stacked("cwrnn", **(shape | changes))


def make(**changes: object) -> CWRNN:
    return far_from_start(CWRNN.seeded(config(**changes), 0))


def states_by_equations(net: Oracle) -> Steps:
    size = net.c.hidden // len(PERIODS)
    h = [[0.0] * size for _ in PERIODS]
    states = []
    for t, x in enumerate(net.phi):
        driven = net.linear("clockwork.input", x)
        new = []
        for i, period in enumerate(PERIODS):
            if t % period:
                new.append(h[i])
                continue
            heard = [v for j in range(i, len(PERIODS)) for v in h[j]]  # itself and the slower modules
            back = net.linear(f"clockwork.recurrent.{i}", heard)
            new.append([math.tanh(driven[i * size + k] + back[k]) for k in range(size)])
        h = new
        states.append([v for module in h for v in module])
    return states


def test_a_pass_agrees_with_the_equations() -> None:
    check_predictions(make(), states_by_equations, [15 * STRIDE, 11 * STRIDE - 3])


@torch.no_grad()
def test_a_module_changes_at_its_period_and_hears_no_faster_one() -> None:
    model = make()
    pcm, lengths = miniature.batch([14 * STRIDE])
    (states,) = model.encode(pcm, lengths)
    moved = (states[1:] != states[:-1]).unflatten(2, (len(PERIODS), -1)).any(-1)[:, 0]
    for i, period in enumerate(PERIODS):
        assert [t for t in range(1, 14) if moved[t - 1, i]] == list(range(period, 14, period))
    other = pcm.clone()
    other[0, 3 * STRIDE] += 9_000  # a step that only the fastest module sees
    (after,) = model.encode(other, lengths)
    differs = (after != states).unflatten(2, (len(PERIODS), -1)).any(-1)[:, 0]
    assert differs[:, 0].tolist() == [False] * 3 + [True] * 11
    assert not differs[:, 1:].any()


def test_one_module_of_period_one_is_a_simple_recurrent_network() -> None:
    model = make(periods=(1,))
    cell = torch.nn.RNN(7, 9).double()
    clock = model.clockwork
    with torch.no_grad():
        cell.weight_ih_l0.copy_(clock.input.weight)
        cell.bias_ih_l0.copy_(clock.input.bias)
        cell.weight_hh_l0.copy_(clock.recurrent[0].weight)
        cell.bias_hh_l0.zero_()
    x = torch.randn(12, 3, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(clock(x), cell(x)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"hidden": 0}, "positive"),
        ({"hidden": 10}, "equal modules"),
        ({"periods": []}, "at least one period"),
        ({"periods": 2}, "period"),
        ({"periods": [1, 0]}, "positive"),
        ({"periods": [1, 2, 3]}, "rising multiples"),
        ({"periods": [2, 2, 4]}, "rising multiples"),
        ({"periods": [1, 2.5]}, "periods|whole"),
    ],
)
def test_a_bad_configuration_is_refused(change, says) -> None:
    with pytest.raises(InputError, match=says):
        config_from_dict("cwrnn", config_to_dict(config()) | change)
