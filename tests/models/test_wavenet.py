"""WaveNet against an oracle written from its equations, and what a prediction may depend on."""

import itertools
from typing import Any

import pytest
import torch

from lvm_probe import InputError
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.families.wavenet import WaveNet, WaveNetConfig
from lvm_probe.models.layers.tcn import doubling_dilations
from lvm_probe.models.registry import config_from_dict, config_to_dict
from tests import reference_models as reference
from tests.models.equations import Oracle, Steps, check_predictions, far_from_start
from tests.models.miniature import batch
from tests.models.test_tcn import block_by_equations

KINDS: list[dict[str, Any]] = [
    {"stride": 8},
    {"stride": 8, "perceptron": False},
    {"stride": 1, "depth": 1, "perceptron": False, "inputs": ("mulaw16",)},
    {"stride": 8, "dense": True},
]
EVERY = pytest.mark.parametrize("kind", KINDS, ids=["stacks", "stacks-linear", "samples", "dense"])


def config(**changes: object) -> WaveNetConfig:
    shape = {"width": 9, "depth": 2, "channels": 12, "cycles": 2, "layers": 3, "output": Waveform(components=3)}
    return WaveNetConfig(**(shape | changes))


def make(**changes: object) -> WaveNet:
    return far_from_start(WaveNet.seeded(config(**changes), 0), 0.2)


def states_by_equations(model: WaveNet, net: Oracle) -> Steps:
    c, nothing = net.c, [0.0] * len(net.phi[0])
    y = [net.linear("first", [*now, *past]) for past, now in itertools.pairwise([nothing, *net.phi])]
    states = [[] if c.dense else [0.0] * c.channels for _ in y]
    for block in model.stack.blocks:
        y, skips = block_by_equations(block, y)
        if c.dense:
            states = [s + k for s, k in zip(states, skips, strict=True)]
        else:
            states = [[a + b for a, b in zip(s, k, strict=True)] for s, k in zip(states, skips, strict=True)]
    return states


@EVERY
def test_a_pass_agrees_with_the_equations(kind) -> None:
    model = make(**kind)
    sizes = [24 * model.stride, 15 * model.stride + 1]
    check_predictions(
        model,
        lambda net: states_by_equations(model, net),
        sizes,
        lambda net, state: net.parameters(reference.relu(state)),
    )


@EVERY
@torch.no_grad()
def test_a_stack_is_predicted_from_its_receptive_field_and_nothing_else(kind) -> None:
    model = make(**kind)
    s, field = model.stride, model.receptive_field
    assert field == 2 + 2 * 7  # two cycles of dilations 1, 2, 4 above a filter of width 2
    assert model.encode_reach == (field * s, 0)
    pcm, lengths = batch([40 * s])
    before = model(pcm, lengths, ()).output.parameters.unflatten(1, (-1, s))[0]
    for sample in (0, 10 * s, 11 * s - 1):
        other, at = pcm.clone(), sample // s
        other[0, sample] += 9_000
        after = model(other, lengths, ()).output.parameters.unflatten(1, (-1, s))[0]
        seen = (before != after).flatten(1).any(1).nonzero().flatten().tolist()
        assert (min(seen), max(seen)) == (at + 1, at + field)


def test_fifty_blocks_see_what_the_paper_says() -> None:
    preset = WaveNet.presets["paper-1"]
    assert (preset.config.stride, preset.config.channels, preset.recipe.segment) == (1, 96, 16_000)
    assert WaveNet(preset.config).receptive_field == 5_117
    assert sum(doubling_dilations(10, times=5)) + 2 == 5_117


@pytest.mark.parametrize(
    "change",
    [
        {"channels": 0},
        {"cycles": 0},
        {"layers": 21},
        {"layers": 2.0},
        {"perceptron": 2},
        {"dense": 1},
        {"width": -1},
        {"wat": 1},
    ],
)
def test_a_bad_configuration_is_refused(change) -> None:
    with pytest.raises(InputError):
        config_from_dict("wavenet", config_to_dict(config()) | change)
