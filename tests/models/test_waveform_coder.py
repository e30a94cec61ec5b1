"""The layers of the waveform coder against loops."""

import math
from dataclasses import replace

import pytest
import torch

from lvm_probe.models.layers import waveform_coder as coder
from lvm_probe.models.layers.waveform_coder import CoderShape, Convolution, Kernel, Snake, TransposedConvolution

SHAPE = CoderShape(4, (2, 3), 1, "snake", weight_norm=True, upsampling="transposed")


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@torch.no_grad()
def test_snake_is_its_formula_and_learns_its_frequency() -> None:
    snake, x = Snake(3).double(), noise(2, 3, 5)
    snake.alpha.copy_(torch.tensor([[0.5], [1.0], [3.0]]))
    for c, alpha in enumerate((0.5, 1.0, 3.0)):
        for row in range(2):
            for t in range(5):
                v = x[row, c, t].item()
                assert snake(x)[row, c, t].item() == pytest.approx(v + math.sin(alpha * v) ** 2 / alpha, rel=1e-8)
    snake.alpha.zero_()
    assert snake(x).isfinite().all()


@torch.no_grad()
@pytest.mark.parametrize(("outputs", "dim"), [(0, 0), (1, 1)])
def test_weight_norm_is_pytorchs(outputs, dim) -> None:
    kernel = Kernel((3, 4, 5), outputs, normalised=True).double()
    theirs = torch.nn.Conv1d(4, 3, 5).double()
    theirs.weight.copy_(kernel.v)
    torch.nn.utils.parametrizations.weight_norm(theirs, dim=dim)
    torch.testing.assert_close(kernel(), theirs.weight)  # the norm is that of v at first
    torch.testing.assert_close(kernel(), kernel.v.data)
    kernel.v.mul_(7)
    torch.testing.assert_close(kernel(), theirs.weight)  # and v's length does not matter
    plain = Kernel((3, 4, 5), outputs, normalised=False)
    assert plain.g is None
    assert plain() is plain.v


@torch.no_grad()
@pytest.mark.parametrize(
    ("width", "stride", "dilation"), [(7, 1, 1), (7, 1, 3), (1, 1, 1), (4, 2, 1), (10, 5, 1), (6, 3, 1)]
)
def test_convolutions_are_sums_with_zeros_around(width, stride, dilation) -> None:
    layer = Convolution(2, 3, width, True, stride=stride, dilation=dilation).double()
    x = noise(1, 2, 6 * stride)
    w, b = layer.kernel(), torch.arange(3.0)
    layer.bias.copy_(b)
    ours, first = layer(x), -((dilation * (width - 1) + 1 - stride) // 2)
    assert ours.shape == (1, 3, 6)
    for o in range(3):
        for t in range(6):
            total = b[o].item()
            for i in range(2):
                for n in range(width):
                    at = t * stride + first + n * dilation
                    total += w[o, i, n].item() * x[0, i, at].item() if 0 <= at < x.shape[2] else 0.0
            assert ours[0, o, t].item() == pytest.approx(total)


@torch.no_grad()
@pytest.mark.parametrize(("width", "stride"), [(4, 2), (10, 5), (11, 5), (5, 2)])
def test_transposed_convolutions_spread_every_step_over_a_kernel(width, stride) -> None:
    layer = TransposedConvolution(2, 3, width, True, stride=stride).double()
    x, w, wanted = noise(1, 2, 5), layer.kernel(), torch.zeros(3, 5 * stride, dtype=torch.float64)
    for o in range(3):
        for t in range(5):
            for i in range(2):
                for n in range(width):
                    at = t * stride - (width - stride) // 2 + n
                    if 0 <= at < 5 * stride:
                        wanted[o, at] += w[i, o, n] * x[0, i, t]
    torch.testing.assert_close(layer(x)[0], wanted)


@torch.no_grad()
@pytest.mark.parametrize("how", ["nearest", "linear"])
def test_resizing_repeats_or_interpolates_between_the_middles_of_steps(how) -> None:
    layer = coder.Upsample(1, 1, 3, replace(SHAPE, upsampling=how, weight_norm=False)).double()
    layer.change.kernel.v.zero_()
    layer.change.kernel.v[0, 0, 3] = 1  # the convolution does nothing
    x = torch.tensor([[[3.0, 6.0]]], dtype=torch.float64)
    wanted = {"nearest": [3, 3, 3, 6, 6, 6], "linear": [2, 3, 4, 5, 6, 4]}[how]
    torch.testing.assert_close(layer(x, None)[0, 0], torch.tensor(wanted, dtype=torch.float64))


@torch.no_grad()
def test_a_residual_unit_adds_to_its_input() -> None:
    stack, x = coder.ResidualStack(4, SHAPE).double(), noise(1, 4, 30)
    wanted = x
    for d, (before, wide, between, mix) in enumerate(
        zip(stack.before, stack.wide, stack.between, stack.mix, strict=True)
    ):
        assert wide.dilation == (1, 3, 9)[d]
        wanted = wanted + mix(between(wide(before(wanted))))
    torch.testing.assert_close(stack(x, None), wanted)


@torch.no_grad()
@pytest.mark.parametrize("upsampling", ["transposed", "uneven", "nearest", "linear"])
@pytest.mark.parametrize("bands", [1, 4])
def test_nothing_looks_further_than_the_stated_reach(bands, upsampling) -> None:
    shape = replace(SHAPE, bands=bands, upsampling=upsampling)
    samples = 2 * -(-shape.reach // shape.hop) * shape.hop + 2 * shape.hop
    at = samples // 2 // shape.hop
    encoder = coder.WaveformEncoder(1, shape).double()
    x = noise(1, 1, samples)
    x.requires_grad_()
    with torch.enable_grad():
        encoder(x, None)[0, :, at].sum().backward()
    touched = x.grad[0, 0].nonzero()
    assert touched.min() >= at * shape.hop - shape.reach
    assert touched.max() < (at + 1) * shape.hop + shape.reach
    decoder = coder.WaveformDecoder(1, shape, modulated=False).double()
    z = noise(1, shape.widths[-1], samples // shape.hop)
    z.requires_grad_()
    with torch.enable_grad():
        decoder(z, None)[0, 0, at * shape.hop : (at + 1) * shape.hop].sum().backward()
    touched = z.grad[0].abs().sum(0).nonzero() * shape.hop
    assert touched.min() >= at * shape.hop - shape.reach - shape.hop
    assert touched.max() < (at + 1) * shape.hop + shape.reach


@torch.no_grad()
def test_amplitudes_only_make_the_output_smaller() -> None:
    torch.manual_seed(0)
    modulated = coder.WaveformDecoder(2, SHAPE, modulated=True).double()
    x = noise(1, 16, 3)
    modulated.last.bias[2:] = 40  # an amplitude of one
    loud = modulated(x, None)
    modulated.last.bias[2:] = -40
    assert modulated(x, None).abs().max() < 1e-15
    assert loud.shape == (1, 2, 18)
    assert loud.abs().max() > 1e-3
