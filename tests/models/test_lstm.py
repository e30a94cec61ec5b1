"""The LSTM against an oracle written from its equations, and what a prediction may depend on."""

import math

import pytest
import torch

from lvm_probe import InputError
from lvm_probe.models.domains.domain import Output
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.families.lstm import LSTM, LSTMConfig
from lvm_probe.models.likelihood.elbo import elbo, evaluate
from lvm_probe.models.likelihood.mulaw import to_pcm
from lvm_probe.models.registry import config_from_dict, config_to_dict
from tests import reference_models as reference
from tests.models.miniature import batch, take

STRIDE = 16


def config(**changes: object) -> LSTMConfig:
    shape = {"stride": STRIDE, "width": 7, "depth": 2, "hidden": 5, "output": Waveform(components=3)}
    return LSTMConfig(**(shape | changes))


def make(**changes: object) -> LSTM:
    """A model in double precision whose parameters are far from their start."""
    model = LSTM(config(**changes)).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model


def frame_features(w: dict[str, list], pcm: list[int], depth: int) -> list[list[float]]:
    """The perceptron on each stack of three compandings, a sample's beside one another."""
    features = []
    for start in range(0, len(pcm), STRIDE):
        x: list[float] = []
        for value in pcm[start : start + STRIDE]:
            wave = value / 32_768
            x += [reference.mulaw(wave), 2 * reference.mulaw(wave, 255), 10 * wave]
        for layer in range(depth):
            x = reference.relu(
                reference.affine(w[f"frames.layers.{layer}.weight"], w[f"frames.layers.{layer}.bias"], x)
            )
        features.append(x)
    return features


def lstm_layer(w: dict[str, list], layer: int, inputs: list[list[float]], hidden: int) -> list[list[float]]:
    """Hochreiter & Schmidhuber with a forget gate; the gates in torch's order: input, forget, candidate, output."""
    h, c, states = [0.0] * hidden, [0.0] * hidden, []
    for x in inputs:
        from_x = reference.affine(w[f"lstm.weight_ih_l{layer}"], w[f"lstm.bias_ih_l{layer}"], x)
        from_h = reference.affine(w[f"lstm.weight_hh_l{layer}"], w[f"lstm.bias_hh_l{layer}"], h)
        gates = [a + b for a, b in zip(from_x, from_h, strict=True)]
        new_c, new_h = [], []
        for i in range(hidden):
            enter, keep = reference.sigmoid(gates[i]), reference.sigmoid(gates[hidden + i])
            candidate, leave = math.tanh(gates[2 * hidden + i]), reference.sigmoid(gates[3 * hidden + i])
            new_c.append(keep * c[i] + enter * candidate)
            new_h.append(leave * math.tanh(new_c[i]))
        h, c = new_h, new_c
        states.append(h)
    return states


def decoder(w: dict[str, list], state: list[float], depth: int) -> list[float]:
    for layer in range(depth):
        name = f"decoder.layers.{layer}"
        state = reference.relu(reference.affine(w[f"{name}.weight"], w[f"{name}.bias"], state))
    return reference.affine(w["decoder.head.weight"], w["decoder.head.bias"], state)


@pytest.mark.parametrize("layers", [1, 2])
@torch.no_grad()
def test_a_pass_agrees_with_the_equations(layers) -> None:
    model = make(layers=layers)
    pcm, lengths = batch([70, 41])
    pcm = model.pad(pcm)
    passed = model(pcm, lengths, ())
    (states,) = model.encode(pcm, lengths)
    w = {name: parameter.tolist() for name, parameter in model.named_parameters()}
    ours = elbo(model, pcm, lengths, ())
    for row in range(2):
        d = frame_features(w, pcm[row].tolist(), 2)
        for layer in range(layers):
            d = lstm_layer(w, layer, d, 5)
        assert states[:, row].tolist() == [pytest.approx(x, abs=1e-12) for x in d]
        wanted = [y for h in [[0.0] * 5, *d[:-1]] for y in decoder(w, h, 2)]
        assert passed.output.parameters[row].flatten().tolist() == pytest.approx(wanted, abs=1e-12)
        likelihood = sum(
            reference.mixture_log_mass(wanted[9 * i : 9 * i + 9], *reference.uniform_bin(int(pcm[row, i])))
            for i in range(int(lengths[row]))
        )
        assert ours.reconstruction[row].item() == pytest.approx(likelihood, rel=1e-9)
    assert passed.layers == ours.kl == ()
    assert passed.waveform is None


@torch.no_grad()
def test_a_stack_is_predicted_from_all_that_was_before_it_and_nothing_else() -> None:
    model = make()
    pcm, lengths = batch([10 * STRIDE])
    before = model(pcm, lengths, ()).output.parameters.unflatten(1, (-1, STRIDE))
    for at in (0, 4, 9):
        other = pcm.clone()
        other[0, at * STRIDE] += 9_000
        after = model(other, lengths, ()).output.parameters.unflatten(1, (-1, STRIDE))
        assert torch.equal(before[0, : at + 1], after[0, : at + 1])
        assert all((x != y).any() for x, y in zip(before[0, at + 1 :], after[0, at + 1 :], strict=True))


@pytest.mark.parametrize("layers", [1, 2])
def test_generation_conditions_as_training_does(layers, monkeypatch) -> None:
    model, drawn_from = make(layers=layers), []
    sample = Output.sample

    def watched(output: Output, generator: torch.Generator) -> torch.Tensor:
        drawn_from.append(output.parameters)
        return sample(output, generator)

    monkeypatch.setattr(Output, "sample", watched)
    waveform = model.sample(6 * STRIDE - 3, 3, torch.Generator().manual_seed(0))
    assert waveform.shape == (3, 6 * STRIDE - 3)
    pcm = model.pad(to_pcm(waveform))
    with torch.no_grad():
        trained = model(pcm, torch.full((3,), pcm.shape[1]), ()).output.parameters
    torch.testing.assert_close(torch.cat(drawn_from, 1), trained, rtol=1e-12, atol=1e-12)


def test_evaluation_is_a_likelihood_and_the_same_in_chunks() -> None:
    model = make().float()
    recordings = [take("a", 2_001), take("b", 300)]
    whole = evaluate(model, recordings)
    assert (whole.kl, whole.steps, whole.collapsed) == ((), (), ())
    assert whole.elbo == whole.reconstruction
    for size in (STRIDE, 5 * STRIDE + 1, 2_000):
        assert evaluate(model, recordings, most_samples=size).elbo == pytest.approx(whole.elbo, rel=1e-6)
    assert evaluate(model, recordings, seed=7) == whole


def test_states_stay_in_single_precision_under_autocast() -> None:
    model = make().float()
    pcm, lengths = batch([200])
    with torch.autocast("cpu", torch.bfloat16):
        (states,) = model.encode(pcm, lengths)
    assert states.dtype == torch.float32


@pytest.mark.parametrize("change", [{"hidden": 0}, {"layers": 0}, {"hidden": 2.5}, {"stride": 0}, {"inputs": ("x",)}])
def test_a_bad_configuration_is_refused(change) -> None:
    with pytest.raises(InputError):
        config_from_dict("lstm", config_to_dict(config()) | change)
