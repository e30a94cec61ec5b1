"""The HM-LSTM against its equations, unit by unit; its detectors and the gradient that passes straight through them."""

import math

import pytest
import torch

from lvm_probe import InputError
from lvm_probe.models.families.hmlstm import HMLSTM, HMLSTMConfig
from lvm_probe.models.likelihood.elbo import elbo
from lvm_probe.models.registry import config_from_dict, config_to_dict
from lvm_probe.models.training.recipe import TINY
from lvm_probe.models.training.trainer import Trainer
from tests import reference_models as reference
from tests.models import miniature
from tests.models.test_lstm import STRIDE, decoder, frame_features

HIDDEN, LAYERS = 5, 3


def config(**changes: object) -> HMLSTMConfig:
    return miniature.stacked("hmlstm", **({"stride": STRIDE, "width": 7, "hidden": HIDDEN, "layers": LAYERS} | changes))


def make(**changes: object) -> HMLSTM:
    """A model in double precision whose parameters are far from their start."""
    model = HMLSTM(config(**changes)).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model


def by_equations(
    w: dict[str, list], features: list[list[float]]
) -> tuple[list[list[float]], list[list[int]], set[str]]:
    """The states of all layers after each step, the boundaries, and the operations that occurred."""
    h = [[0.0] * HIDDEN for _ in range(LAYERS)]
    c = [[0.0] * HIDDEN for _ in range(LAYERS)]
    z = [0] * LAYERS
    states, boundaries, operations = [], [], set()
    for x in features:
        old_h, old_z = [list(row) for row in h], list(z)
        below, entering = x, 1
        for l in range(LAYERS):
            top = l == LAYERS - 1
            seen = [v if entering else 0.0 for v in below] + old_h[l]
            if not top:
                seen += [v if old_z[l] else 0.0 for v in old_h[l + 1]]
            s = reference.affine(w[f"recurrence.layers.{l}.weight"], w[f"recurrence.layers.{l}.bias"], seen)
            operation = "flush" if old_z[l] else "update" if entering else "copy"
            operations.add(f"{operation} {l}")
            for k in range(HIDDEN):
                f, i, o = (reference.sigmoid(s[part * HIDDEN + k]) for part in range(3))
                g = math.tanh(s[3 * HIDDEN + k])
                if operation != "copy":
                    c[l][k] = i * g + (f * c[l][k] if operation == "update" else 0.0)
                    h[l][k] = o * math.tanh(c[l][k])
            z[l] = 0 if top else int(s[4 * HIDDEN] > 0)
            below, entering = h[l], z[l]
        states.append([v for row in h for v in row])
        boundaries.append(z[:-1])
    return states, boundaries, operations


def output_of(w: dict[str, list], state: list[float]) -> list[float]:
    gates = [reference.sigmoid(v) for v in reference.affine(w["gates.weight"], None, state)]
    gated = [gates[k // HIDDEN] * v for k, v in enumerate(state)]
    return decoder(w, reference.relu(reference.affine(w["embedding.weight"], None, gated)), 2)


@torch.no_grad()
def balance_detectors(model: HMLSTM, pcm: torch.Tensor) -> None:
    """Shift the detectors' biases, the lowest first, so that each fires about half the time."""
    recurrence, features = model.recurrence, model.frames(pcm)
    for layer in range(LAYERS - 1):
        seen: list[torch.Tensor] = []
        boundary = recurrence.boundary
        recurrence.boundary = lambda s, keep=seen, of=boundary: (keep.append(s), of(s))[1]
        recurrence(features)
        recurrence.boundary = boundary
        recurrence.layers[layer].bias[-1] -= torch.stack(seen[layer :: LAYERS - 1]).median()


@torch.no_grad()
def test_a_pass_agrees_with_the_equations() -> None:
    model = make()
    pcm, lengths = miniature.batch([40 * STRIDE, 31 * STRIDE - 3])
    balance_detectors(model, pcm)
    passed = model(pcm, lengths, ())
    (states,) = model.encode(pcm, lengths)
    found = model.boundaries(pcm, lengths)
    ours = elbo(model, pcm, lengths, ())
    w = {name: parameter.tolist() for name, parameter in model.named_parameters()}
    occurred: set[str] = set()
    for row in range(2):
        d, boundaries, operations = by_equations(w, frame_features(w, pcm[row].tolist(), 2))
        occurred |= operations
        assert found[:, row].int().tolist() == boundaries
        assert states[:, row].tolist() == [pytest.approx(x, abs=1e-12) for x in d]
        wanted = [y for state in [[0.0] * HIDDEN * LAYERS, *d[:-1]] for y in output_of(w, state)]
        assert passed.output.parameters[row].flatten().tolist() == pytest.approx(wanted, abs=1e-12)
        likelihood = sum(
            reference.mixture_log_mass(wanted[9 * i : 9 * i + 9], *reference.uniform_bin(int(pcm[row, i])))
            for i in range(int(lengths[row]))
        )
        assert ours.reconstruction[row].item() == pytest.approx(likelihood, rel=1e-9)
    assert occurred >= {"update 0", "flush 0", "update 1", "copy 1", "update 2", "copy 2"}


def test_a_boundary_is_a_step_with_the_gradient_of_the_hard_sigmoid() -> None:
    model = make()
    s = torch.tensor([[-2.0], [-0.3], [0.0], [0.1], [0.7]], dtype=torch.float64)
    for done, slope in ((0.0, 1.0), (0.5, 3.0), (1.0, 5.0)):
        model.anneal(done)
        at = s.clone().requires_grad_()
        z = model.recurrence.boundary(at)
        z.sum().backward()
        assert z.flatten().tolist() == [0, 0, 0, 1, 1]
        assert at.grad is not None
        inside = (slope * s.abs() < 1).double()
        torch.testing.assert_close(at.grad, slope / 2 * inside)


def test_the_slope_rises_with_training_and_changes_gradients_alone(tmp_path) -> None:
    model = make()
    pcm, lengths = miniature.batch([20 * STRIDE])
    gradients, outputs = [], []
    for done in (0.0, 1.0):
        model.anneal(done)
        model.zero_grad()
        output = model(pcm, lengths, ()).output
        output.log_prob(pcm).sum().backward()
        outputs.append(output.parameters.detach())
        gradients.append(model.recurrence.layers[0].weight.grad.clone())
    assert torch.equal(*outputs)
    assert not torch.equal(*gradients)
    assert "recurrence.slope" not in model.state_dict()
    trained = HMLSTM.seeded(config(), 0)
    recordings = [miniature.take("a", 5_000)]
    run = Trainer(trained, TINY, recordings, recordings, tmp_path)
    run.update = TINY.updates // 2
    run.step()
    assert trained.recurrence.slope.item() == 3.0


def test_states_stay_in_single_precision_under_autocast() -> None:
    model = make().float()
    pcm, lengths = miniature.batch([200])
    with torch.autocast("cpu", torch.bfloat16):
        (states,) = model.encode(pcm, lengths)
    assert states.dtype == torch.float32


@pytest.mark.parametrize("change", [{"hidden": 0}, {"layers": 1}, {"slope": 0.5}, {"stride": 0}])
def test_a_bad_configuration_is_refused(change) -> None:
    with pytest.raises(InputError):
        config_from_dict("hmlstm", config_to_dict(config()) | change)
