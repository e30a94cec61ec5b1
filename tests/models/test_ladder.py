"""The LadderRNN against the STCN's oracle with LSTM cells in it, and how far its states reach back."""

import pytest
import torch

from lvm_probe import InputError
from lvm_probe.models.families.ladder import LadderConfig, LadderRNN, LSTMStack
from lvm_probe.models.registry import config_from_dict, config_to_dict
from tests import reference_models as reference
from tests.models import miniature
from tests.models.equations import far_from_start
from tests.models.test_stcn import LATENTS, STRIDE, assert_agrees, differing, noise_for


def config(**changes: object) -> LadderConfig:
    shape = {"stride": STRIDE, "width": 9, "latents": LATENTS, "filters": 8, "hidden": 7, "output_blocks": 2}
    return miniature.stacked("ladder", **(shape | changes))


def make(**changes: object) -> LadderRNN:
    return far_from_start(LadderRNN(config(**changes)), 0.25)


def cells_by_equations(stack: LSTMStack, x: list[list[float]]) -> list[list[float]]:
    net = reference.Network({name: parameter.tolist() for name, parameter in stack.named_parameters()})
    for layer in range(stack.lstm.num_layers):
        x = net.lstm_states("lstm", x, stack.channels, layer)
    return x


@pytest.mark.parametrize("changes", [{}, {"dense": True, "blocks": 3}], ids=["ladder", "dense"])
def test_a_pass_agrees_with_the_equations(changes) -> None:
    assert_agrees(make(**changes), cells_by_equations)


@torch.no_grad()
def test_every_later_state_remembers() -> None:
    model = make()
    pcm, lengths = miniature.batch([20 * STRIDE])
    other = pcm.clone()
    other[0, 3 * STRIDE] += 9_000
    noise = noise_for(model, pcm.shape[1], 1)
    before, after = (model.infer(model.encode(x, lengths), noise) for x in (pcm, other))
    for x, y in zip(before, after, strict=True):
        assert differing(x, y, "h") == list(range(4, 20))
        assert min(differing(x, y, "posterior posterior_log z")) == 3
    assert model.encode_reach is None


def test_the_papers_shapes() -> None:
    for name, cells, units in (("25x256", 25, 256), ("5x512", 5, 512)):
        for dense in (False, True):
            c = LadderRNN.presets[name + "-dense" * dense].config
            assert (c.blocks * len(c.latents), c.hidden, c.dense, c.stride) == (cells, units, dense, 200)
            assert c.latents == (256, 128, 64, 32, 16)


@pytest.mark.parametrize("change", [{"hidden": 0}, {"blocks": 0}, {"filters": 0}, {"latents": []}, {"dense": 3}])
def test_a_bad_configuration_is_refused(change) -> None:
    with pytest.raises(InputError):
        config_from_dict("ladder", config_to_dict(config()) | change)
