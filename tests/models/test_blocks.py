"""The coder's parts against torch's own convolutions, and what they must not read."""

import torch
from torch.nn import functional as F

from lvm_probe.models.layers.blocks import (
    Downsample,
    Framing,
    NearestUpsample,
    ResidualBlock,
    ResidualStack,
    TransposedUpsample,
    Upsample,
    mask,
)


def signal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_framing_is_a_strided_convolution_centred_on_its_step() -> None:
    part = Framing(3, 5, 8).double()
    x = signal(2, 64, 3)
    weight = part.mix.weight.view(5, 3, 16)
    wanted = F.conv1d(x.transpose(1, 2), weight, part.mix.bias, stride=8, padding=4).transpose(1, 2)
    torch.testing.assert_close(part(x), wanted)
    assert part(x).shape == (2, 8, 5)


def test_residual_block_is_a_convolution_of_normalised_steps() -> None:
    part = ResidualBlock(4).double()
    x = signal(2, 9, 4)
    normed = F.layer_norm(x, (4,), part.norm.weight, part.norm.bias).transpose(1, 2)
    weight = part.conv.weight.view(8, 3, 4).transpose(1, 2)
    inner = F.conv1d(normed, weight, part.conv.bias, padding=1).transpose(1, 2).relu()
    torch.testing.assert_close(part(x, None), x + inner @ part.mix.weight.t() + part.mix.bias)


def test_downsample_and_upsample_keep_the_order_of_steps() -> None:
    down, up = Downsample(2, 6, 3).double(), Upsample(6, 2, 3).double()
    with torch.no_grad():
        for layer in (down.mix, up.spread):
            layer.weight.copy_(torch.eye(6))
            layer.bias.zero_()
    x = signal(2, 12, 2)
    folded = down(x, None)
    assert torch.equal(folded[:, 1], x[:, 3:6].reshape(2, 6))
    assert torch.equal(up(folded), x)


def test_no_part_reads_beyond_the_utterance() -> None:
    lengths = torch.tensor([7, 12])
    keep = mask(lengths, 1, 12)
    x = signal(2, 12, 4)
    other = x.clone()
    other[0, 7:] = 1e3
    stack, down = ResidualStack(4, 3).double(), Downsample(4, 5, 4).double()
    a, b = stack(x, keep), stack(other, keep)
    assert torch.equal(a[0, :7], b[0, :7])
    assert torch.equal(a[1], b[1])
    assert torch.equal(down(x, keep), down(other, keep))
    alone = stack(x[:1, :7], None)
    torch.testing.assert_close(a[:1, :7], alone)


def test_transposed_and_nearest_upsampling_are_their_convolutions() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    transposed = TransposedUpsample(3, 4, 6).double()
    kernel = transposed.spread.weight.view(12, 4, 3).permute(2, 1, 0)  # in, out, place
    torch.nn.init.normal_(transposed.bias)
    whole = F.conv_transpose1d(x.transpose(1, 2), kernel, transposed.bias, stride=6)
    torch.testing.assert_close(transposed(x), whole[..., 3:33].transpose(1, 2))
    nearest = NearestUpsample(3, 4, 6).double()
    kernel = nearest.conv.weight.view(4, 3, 3).transpose(1, 2)  # out, in, place
    repeated = F.interpolate(x.transpose(1, 2), scale_factor=6, mode="nearest")
    wanted = F.conv1d(repeated, kernel, nearest.conv.bias, padding=1)
    torch.testing.assert_close(nearest(x), wanted.transpose(1, 2))
