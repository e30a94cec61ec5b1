"""The LSTM against an oracle written from its equations, and what a prediction may depend on."""

import pytest
import torch

from lvm_probe import InputError
from lvm_probe.models.families.lstm import LSTM, LSTMConfig
from lvm_probe.models.registry import config_from_dict, config_to_dict
from tests.models import miniature
from tests.models.equations import Oracle, Steps, check_predictions, far_from_start

STRIDE = 16


def config(**changes: object) -> LSTMConfig:
    return miniature.stacked("lstm", **({"stride": STRIDE, "width": 7, "hidden": 5} | changes))


def make(**changes: object) -> LSTM:
    return far_from_start(LSTM.seeded(config(**changes), 0))


def states_by_equations(net: Oracle) -> Steps:
    """The topmost state after each step."""
    c, x = net.c, net.phi
    for layer in range(c.layers):
        x = net.lstm_states("lstm", x, c.hidden, layer)
    return x


@pytest.mark.parametrize("layers", [1, 2])
def test_a_pass_agrees_with_the_equations(layers) -> None:
    check_predictions(make(layers=layers), states_by_equations, [70, 41])


@torch.no_grad()
def test_a_stack_is_predicted_from_all_that_was_before_it_and_nothing_else() -> None:
    model = make()
    pcm, lengths = miniature.batch([10 * STRIDE])
    before = model(pcm, lengths, ()).output.parameters.unflatten(1, (-1, STRIDE))
    for at in (0, 4, 9):
        other = pcm.clone()
        other[0, at * STRIDE] += 9_000
        after = model(other, lengths, ()).output.parameters.unflatten(1, (-1, STRIDE))
        assert torch.equal(before[0, : at + 1], after[0, : at + 1])
        assert all((x != y).any() for x, y in zip(before[0, at + 1 :], after[0, at + 1 :], strict=True))


@pytest.mark.parametrize("change", [{"hidden": 0}, {"layers": 0}, {"hidden": 2.5}, {"stride": 0}, {"inputs": ("x",)}])
def test_a_bad_configuration_is_refused(change) -> None:
    with pytest.raises(InputError):
        config_from_dict("lstm", config_to_dict(config()) | change)
