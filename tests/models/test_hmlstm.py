"""The HM-LSTM against its equations, unit by unit; its detectors and the gradient that passes straight through them."""

import math

import pytest
import torch

from lvm_probe import InputError
from lvm_probe.models.families.hmlstm import HMLSTM, HMLSTMConfig
from lvm_probe.models.registry import config_from_dict, config_to_dict
from lvm_probe.models.training.recipe import TINY
from lvm_probe.models.training.trainer import Trainer
from tests import reference_models as reference
from tests.models import miniature
from tests.models.equations import Oracle, Steps, check_predictions, far_from_start

STRIDE, HIDDEN, LAYERS = 16, 5, 3


def config(**changes: object) -> HMLSTMConfig:
    return miniature.stacked("hmlstm", **({"stride": STRIDE, "width": 7, "hidden": HIDDEN, "layers": LAYERS} | changes))


def make(**changes: object) -> HMLSTM:
    model = HMLSTM(config(**changes))
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)  # the draws alone are weights with which every operation occurs
    return far_from_start(model, 0.4)


def by_equations(net: Oracle) -> tuple[Steps, list[list[int]], set[str]]:
    """The states of all layers after each step, the boundaries, and the operations that occurred."""
    h = [[0.0] * HIDDEN for _ in range(LAYERS)]
    c = [[0.0] * HIDDEN for _ in range(LAYERS)]
    z = [0] * LAYERS
    states, boundaries, operations = [], [], set()
    for x in net.phi:
        old_h, old_z = [list(row) for row in h], list(z)
        below, entering = x, 1
        for l in range(LAYERS):
            top = l == LAYERS - 1
            seen = [v if entering else 0.0 for v in below] + old_h[l]
            if not top:
                seen += [v if old_z[l] else 0.0 for v in old_h[l + 1]]
            s = net.linear(f"recurrence.layers.{l}", seen)
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


def parameters(net: Oracle, state: list[float]) -> Steps:
    gates = [reference.sigmoid(v) for v in net.linear("gates", state)]
    return net.parameters(
        reference.relu(net.linear("embedding", [gates[k // HIDDEN] * v for k, v in enumerate(state)]))
    )


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


def test_a_pass_agrees_with_the_equations() -> None:
    model, sizes = make(), [40 * STRIDE, 31 * STRIDE - 3]
    pcm, lengths = miniature.batch(sizes)
    balance_detectors(model, pcm)
    check_predictions(model, lambda net: by_equations(net)[0], sizes, parameters)
    found, occurred = model.boundaries(pcm, lengths), set[str]()
    for row, size in enumerate(sizes):
        _, boundaries, operations = by_equations(Oracle(model, pcm[row, :size].tolist()))
        assert found[: len(boundaries), row].int().tolist() == boundaries
        occurred |= operations
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


@pytest.mark.parametrize("change", [{"hidden": 0}, {"layers": 1}, {"slope": 0.5}, {"stride": 0}])
def test_a_bad_configuration_is_refused(change) -> None:
    with pytest.raises(InputError):
        config_from_dict("hmlstm", config_to_dict(config()) | change)
