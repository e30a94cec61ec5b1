"""Muon: against the singular value decomposition, and against Adam for what it leaves out."""

import numpy as np
import pytest
import torch
from torch import nn

from lvm_probe import InputError
from lvm_probe.models.training.muon import MOMENTUM, MOST_ROWS, MuonWithAdam, orthogonalised


@pytest.mark.parametrize("shape", [(16, 16), (64, 24), (24, 200)])
def test_singular_values_come_near_one_and_directions_stay(shape: tuple[int, int]) -> None:
    matrix = torch.from_numpy(np.random.default_rng(0).standard_normal(shape))
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    found = u.T @ orthogonalised(matrix) @ v.T
    values = torch.diagonal(found)
    torch.testing.assert_close(found, torch.diag(values), rtol=0, atol=1e-9)
    known = s / s.norm() > 0.02  # smaller ones take more than five steps
    assert known.sum() > min(shape) / 2
    assert ((values[known] > 0.6) & (values[known] < 1.3)).all()


def test_a_zero_gradient_moves_nothing() -> None:
    assert not orthogonalised(torch.zeros(16, 20)).any()


def test_a_model_without_such_matrices_is_refused() -> None:
    with pytest.raises(InputError, match="the model has no matrix of 16 rows and columns"):
        MuonWithAdam(nn.Linear(4, 30), 0.1, (0.9, 0.99))


def moved(model: nn.Module, gradients: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The parameters after steps along some gradients."""
    optimizer = MuonWithAdam(model, 0.1, (0.9, 0.99))
    for step in gradients:
        for name, parameter in model.named_parameters():
            parameter.grad = step[name].clone()
        optimizer.step()
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


class Network(nn.Module):
    """A matrix of more rows than are taken at once, and three parameters for Adam."""

    def __init__(self) -> None:
        super().__init__()
        self.gates, self.head = nn.Linear(40, 2 * MOST_ROWS), nn.Linear(20, 20, bias=False)
        self.small = nn.Linear(4, 30, bias=False)


def test_steps_are_those_of_momentum_and_the_rest_is_adam() -> None:
    generator = torch.Generator().manual_seed(0)
    model = Network()
    start = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    gradients = [{n: torch.randn(p.shape, generator=generator) for n, p in start.items()} for _ in range(3)]
    found = moved(model, gradients)

    expected, momentum = start["gates.weight"].clone(), torch.zeros(2 * MOST_ROWS, 40)
    for step in gradients:
        momentum = MOMENTUM * momentum + (1 - MOMENTUM) * step["gates.weight"]
        ahead = MOMENTUM * momentum + (1 - MOMENTUM) * step["gates.weight"]
        for part in (slice(0, MOST_ROWS), slice(MOST_ROWS, None)):
            change = orthogonalised(ahead[part]) * MOST_ROWS**0.5
            assert 0.6 < float(change.square().mean().sqrt()) < 1.3  # the size of a step of Adam's
            expected[part] -= 0.1 * change
    torch.testing.assert_close(found["gates.weight"], expected, rtol=1e-5, atol=1e-5)

    for name in ("gates.bias", "head.weight", "small.weight"):
        alone = nn.Parameter(start[name].clone())
        adam = torch.optim.Adam([alone], 0.1, betas=(0.9, 0.99))
        for step in gradients:
            alone.grad = step[name].clone()
            adam.step()
        torch.testing.assert_close(found[name], alone.detach())


def test_weak_directions_are_learnt_as_fast_as_strong_ones() -> None:
    """A linear map from inputs whose scales differ a hundredfold along oblique axes."""
    random = np.random.default_rng(1)
    axes = np.linalg.qr(random.standard_normal((20, 20)))[0]
    inputs = torch.from_numpy(np.logspace(0, -2, 20)[:, None] * axes).float()
    wanted = torch.from_numpy(random.standard_normal((20, 20))).float()

    def error(optimizer: type[MuonWithAdam] | None) -> float:
        layer = nn.Linear(20, 20)
        nn.init.zeros_(layer.weight)
        steps = MuonWithAdam(layer, 0.02, (0.9, 0.99)) if optimizer else torch.optim.Adam(layer.parameters(), 0.02)
        for _ in range(100):
            steps.zero_grad()
            layer.weight.grad = None
            (inputs @ (layer.weight.T - wanted)).square().sum().backward()
            steps.step()
        return float((layer.weight.detach().T - wanted).square().mean())

    assert error(MuonWithAdam) < 0.7 * error(None)
