"""The clockwork network against its equations, unit by unit, and which modules a step may change."""

import math

import pytest
import torch

from lvm_probe import InputError
from lvm_probe.models.families.cwrnn import CWRNN
from lvm_probe.models.likelihood.elbo import elbo
from lvm_probe.models.registry import config_from_dict, config_to_dict
from tests import reference_models as reference
from tests.models import miniature
from tests.models.test_lstm import STRIDE, decoder, frame_features

PERIODS = (1, 2, 6)


def config(**changes: object):
    shape = {"stride": STRIDE, "width": 7, "hidden": 9, "periods": PERIODS}
    return miniature.stacked("cwrnn", **(shape | changes))


def make(**changes: object) -> CWRNN:
    """A model in double precision whose parameters are far from their start."""
    model = CWRNN(config(**changes)).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model


def slow_states(model: CWRNN, w: dict[str, list], features: list[list[float]]) -> list[list[float]]:
    size = model.config.hidden // len(PERIODS)
    h = [[0.0] * size for _ in PERIODS]
    states = []
    for t, x in enumerate(features):
        driven = reference.affine(w["clockwork.input.weight"], w["clockwork.input.bias"], x)
        new = []
        for i, period in enumerate(PERIODS):
            if t % period:
                new.append(h[i])
                continue
            heard = [v for j in range(i, len(PERIODS)) for v in h[j]]  # itself and the slower modules
            back = reference.affine(w[f"clockwork.recurrent.{i}.weight"], None, heard)
            new.append([math.tanh(driven[i * size + k] + back[k]) for k in range(size)])
        h = new
        states.append([v for module in h for v in module])
    return states


@torch.no_grad()
def test_a_pass_agrees_with_the_equations() -> None:
    model = make()
    pcm, lengths = miniature.batch([15 * STRIDE, 11 * STRIDE - 3])
    passed = model(pcm, lengths, ())
    (states,) = model.encode(pcm, lengths)
    ours = elbo(model, pcm, lengths, ())
    w = {name: parameter.tolist() for name, parameter in model.named_parameters()}
    for row in range(2):
        d = slow_states(model, w, frame_features(w, pcm[row].tolist(), 2))
        assert states[:, row].tolist() == [pytest.approx(x, abs=1e-12) for x in d]
        wanted = [y for h in [[0.0] * 9, *d[:-1]] for y in decoder(w, h, 2)]
        assert passed.output.parameters[row].flatten().tolist() == pytest.approx(wanted, abs=1e-12)
        likelihood = sum(
            reference.mixture_log_mass(wanted[9 * i : 9 * i + 9], *reference.uniform_bin(int(pcm[row, i])))
            for i in range(int(lengths[row]))
        )
        assert ours.reconstruction[row].item() == pytest.approx(likelihood, rel=1e-9)


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


def test_a_state_can_be_continued_at_any_step() -> None:
    clock = make().clockwork
    x = torch.randn(12, 3, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole = clock(x)
    assert torch.equal(clock(x[5:], whole[4], 5), whole[5:])


def test_states_stay_in_single_precision_under_autocast() -> None:
    model = make().float()
    pcm, lengths = miniature.batch([200])
    with torch.autocast("cpu", torch.bfloat16):
        (states,) = model.encode(pcm, lengths)
    assert states.dtype == torch.float32


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
