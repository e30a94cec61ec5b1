"""The gated blocks against loops over steps and channels, and what a step may depend on."""

import math

import pytest
import torch

from lvm_probe.models.layers.tcn import GatedBlock, GatedStack, doubling_dilations
from tests import reference_models as reference

CHANNELS = 4


def signal(time: int, rows: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.randn(time, rows, CHANNELS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def stack(dilations: tuple[int, ...], skip: int = 3) -> GatedStack:
    """In double precision, its parameters far from zero."""
    made = GatedStack(CHANNELS, dilations, skip).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return made


def block_by_equations(block: GatedBlock, x: list[list[float]]) -> tuple[list[list[float]], list[list[float]]]:
    """One row: gates of the present and the delayed input, then residual and skip."""
    w = {name: parameter.tolist() for name, parameter in block.named_parameters()}
    n = len(x[0])
    outputs, skips = [], []
    for t in range(len(x)):
        past = x[t - block.dilation] if t >= block.dilation else [0.0] * n
        both = reference.affine(w["filter.weight"], w["filter.bias"], x[t] + past)
        gated = [math.tanh(both[i]) * reference.sigmoid(both[n + i]) for i in range(n)]
        mixed = reference.affine(w["mix.weight"], w["mix.bias"], gated)
        outputs.append([x[t][i] + mixed[i] for i in range(n)])
        skips.append(mixed[n:])
    return outputs, skips


@pytest.mark.parametrize("dilations", [(1,), (2,), (1, 2, 4), (1, 2, 1, 2), (1, 1, 1), (16, 1)])
@pytest.mark.parametrize("skip", [0, 3])
@torch.no_grad()
def test_a_stack_agrees_with_the_equations(dilations, skip) -> None:
    ours, x = stack(dilations, skip), signal(9)
    output, skips = ours(x)
    for row in range(2):
        wanted, total = x[:, row].tolist(), [[0.0] * skip] * 9
        for block in ours.blocks:
            wanted, more = block_by_equations(block, wanted)
            total = [[a + b for a, b in zip(s, m, strict=True)] for s, m in zip(total, more, strict=True)]
        # Sums of a dozen products of the order of one.
        assert [pytest.approx(y, abs=1e-12) for y in wanted] == output[:, row].tolist()
        assert [pytest.approx(y, abs=1e-12) for y in total] == skips[:, row].tolist()


@pytest.mark.parametrize("dilations", [(1,), (1, 2, 4, 8), doubling_dilations(3, times=3), (5, 1)])
@pytest.mark.parametrize("skip", [0, 3])
@torch.no_grad()
def test_step_by_step_is_all_at_once(dilations, skip) -> None:
    ours, x = stack(dilations, skip), signal(40, rows=3)
    memory = ours.memory(rows=3)
    steps = [ours.step(now, memory) for now in x]
    for together, apart in zip(ours(x), zip(*steps, strict=True), strict=True):
        torch.testing.assert_close(torch.stack(apart), together, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dilations", [(1,), (1, 2, 4), (1, 2, 4, 1, 2, 4), (1, 1, 1, 1)])
@torch.no_grad()
def test_a_step_sees_its_receptive_field_and_nothing_else(dilations) -> None:
    ours, x, at = stack(dilations), signal(40), 15
    other = x.clone()
    other[at] += 1
    for before, after in zip(ours(x), ours(other), strict=True):
        changed = (before != after).any(2).all(1).nonzero().flatten().tolist()
        assert min(changed) == at
        assert max(changed) == at + ours.receptive_field - 1
        assert not (before != after)[:at].any()
        assert not (before != after)[at + ours.receptive_field :].any()


@torch.no_grad()
def test_rows_do_not_see_one_another_nor_what_follows() -> None:
    ours, x = stack((1, 2, 4)), signal(20, rows=3)
    whole = ours(x)
    for length in (1, 3, 20):
        for part, of in zip(ours(x[:length, 1:2]), whole, strict=True):
            torch.testing.assert_close(part[:, 0], of[:length, 1], rtol=1e-12, atol=1e-12)


def test_bfloat16_products_are_summed_in_single_precision() -> None:
    ours, x = GatedStack(CHANNELS, doubling_dilations(4, times=2), 3), signal(20).float()
    with torch.autocast("cpu", torch.bfloat16):
        rough = ours(x.bfloat16())  # as from a linear layer under autocast
        memory = ours.memory(2)
        stepped = [ours.step(now, memory) for now in x]
    for low, apart, exact in zip(rough, zip(*stepped, strict=True), ours(x), strict=True):
        assert low.dtype == torch.float32
        torch.testing.assert_close(low, exact, rtol=0.05, atol=0.05)  # 8 bits, through 8 blocks
        torch.testing.assert_close(torch.stack(apart), low, rtol=0.05, atol=0.05)


def test_dilations_double_and_start_again() -> None:
    assert doubling_dilations(4) == (1, 2, 4, 8)
    assert doubling_dilations(3, times=2) == (1, 2, 4, 1, 2, 4)
    assert GatedStack(1, doubling_dilations(10, times=5)).receptive_field == 5_116
