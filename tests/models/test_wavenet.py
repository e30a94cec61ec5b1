"""WaveNet against an oracle written from its equations, and what a prediction may depend on."""

import itertools
from typing import Any

import pytest
import torch

from lvm_probe import InputError
from lvm_probe.models.domains.domain import Output
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.families.wavenet import WaveNet, WaveNetConfig
from lvm_probe.models.layers.tcn import doubling_dilations
from lvm_probe.models.likelihood.elbo import elbo, evaluate
from lvm_probe.models.likelihood.mulaw import to_pcm
from lvm_probe.models.registry import config_from_dict, config_to_dict
from tests import reference_models as reference
from tests.models.miniature import batch, take
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
    """A model in double precision whose parameters are far from their start."""
    model = WaveNet(config(**changes)).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model


def by_equations(model: WaveNet, pcm: list[int]) -> tuple[list[list[float]], list[list[float]]]:
    """States and output parameters of one utterance of whole stacks."""
    c = model.config
    w = {name: parameter.tolist() for name, parameter in model.named_parameters()}

    def linear(name: str, x: reference.Row) -> list[float]:
        return reference.affine(w[f"{name}.weight"], w[f"{name}.bias"], x)

    features = []
    for start in range(0, len(pcm), c.stride):
        x: list[float] = []
        for value in pcm[start : start + c.stride]:
            wave = value / 32_768
            x += [reference.mulaw(wave), 2 * reference.mulaw(wave, 255), 10 * wave][: len(c.inputs)]
        for layer in range(c.depth if c.perceptron else 0):
            x = reference.relu(linear(f"frames.layers.{layer}", x))
        features.append(x)
    nothing = [0.0] * len(features[0])
    y = [linear("first", [*now, *past]) for past, now in itertools.pairwise([nothing, *features])]
    states = [[] if c.dense else [0.0] * c.channels for _ in y]
    for block in model.stack.blocks:
        y, skips = block_by_equations(block, y)
        if c.dense:
            states = [s + k for s, k in zip(states, skips, strict=True)]
        else:
            states = [[a + b for a, b in zip(s, k, strict=True)] for s, k in zip(states, skips, strict=True)]
    parameters = []
    for state in [[0.0] * len(states[0]), *states[:-1]]:
        h = reference.relu(state)
        for layer in range(c.depth):
            h = reference.relu(linear(f"decoder.layers.{layer}", h))
        parameters.append(linear("decoder.head", h))
    return states, parameters


@EVERY
@torch.no_grad()
def test_a_pass_agrees_with_the_equations(kind) -> None:
    model = make(**kind)
    pcm, lengths = batch([24 * model.stride, 15 * model.stride + 1])
    passed = model(pcm, lengths, ())
    (states,) = model.encode(pcm, lengths)
    ours = elbo(model, pcm, lengths, ())
    for row in range(2):
        wanted, parameters = by_equations(model, pcm[row].tolist())
        assert states[:, row].tolist() == [pytest.approx(x, abs=1e-10) for x in wanted]
        flat = [y for step in parameters for y in step]
        assert passed.output.parameters[row].flatten().tolist() == pytest.approx(flat, abs=1e-10)
        likelihood = sum(
            reference.mixture_log_mass(flat[9 * i : 9 * i + 9], *reference.uniform_bin(int(pcm[row, i])))
            for i in range(int(lengths[row]))
        )
        assert ours.reconstruction[row].item() == pytest.approx(likelihood, rel=1e-9)
    assert passed.layers == ours.kl == ()
    assert passed.waveform is None


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


@EVERY
def test_generation_conditions_as_training_does(kind, monkeypatch) -> None:
    model, drawn_from = make(**kind), []
    sample = Output.sample

    def watched(output: Output, generator: torch.Generator) -> torch.Tensor:
        drawn_from.append(output.parameters)
        return sample(output, generator)

    monkeypatch.setattr(Output, "sample", watched)
    samples = 30 * model.stride - model.stride // 2
    waveform = model.sample(samples, 3, torch.Generator().manual_seed(0))
    assert waveform.shape == (3, samples)
    pcm = model.pad(to_pcm(waveform))
    with torch.no_grad():
        trained = model(pcm, torch.full((3,), pcm.shape[1]), ()).output.parameters
    torch.testing.assert_close(torch.cat(drawn_from, 1), trained, rtol=1e-11, atol=1e-11)


@EVERY
def test_evaluation_is_a_likelihood_and_the_same_in_chunks(kind) -> None:
    model = make(**kind).float()
    recordings = [take("a", 1_501), take("b", 300)]
    whole = evaluate(model, recordings)
    assert (whole.kl, whole.steps, whole.collapsed) == ((), (), ())
    assert whole.elbo == whole.reconstruction
    for size in (8, 5 * model.stride + 1, 999, 1_500):
        assert evaluate(model, recordings, most_samples=size).elbo == pytest.approx(whole.elbo, rel=1e-6)
    assert evaluate(model, recordings, seed=7) == whole


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
