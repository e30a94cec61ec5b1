"""Convolutional parts of the CW-VAE's encoder and decoder, as matrix products on (batch, time, channel).

A part whose kernel is wider than a step sets its input to zero beyond the utterance's last step. So latents do not
depend on how much padding follows.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from lvm_probe.models.batches import step_counts, step_mask


def mask(lengths: Int[Tensor, " batch"], stride: int, size: int) -> Float[Tensor, "batch size 1"] | None:
    """`step_mask` with the batch first; None when nothing is padding, except on a GPU, where asking is waiting."""
    if lengths.device.type == "cpu" and bool((step_counts(lengths, stride) >= size).all()):
        return None
    return step_mask(lengths, stride, size).transpose(0, 1)


def masked(x: Float[Tensor, "batch time channel"], keep: Float[Tensor, "batch time 1"] | None) -> Tensor:
    """x, set to zero where `keep` is zero; None keeps everything."""
    return x if keep is None else x * keep.to(x.dtype)


class ResidualBlock(nn.Module):
    """x + Linear(ReLU(conv3(LayerNorm(x)))), normalised over the channels of each step.

    The residual block of Conv-TasNet (Luo and Mesgarani 2019) with a dense kernel. A norm over the whole padded time
    axis, as Havtorn et al. (2022) have it, would make an utterance's latents depend on the rest of its batch.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.conv = nn.Linear(3 * channels, 2 * channels)
        self.mix = nn.Linear(2 * channels, channels)

    def forward(
        self, x: Float[Tensor, "batch time channel"], keep: Float[Tensor, "batch time 1"] | None
    ) -> Float[Tensor, "batch time channel"]:
        y = F.pad(masked(self.norm(x), keep), (0, 0, 1, 1))
        y = torch.cat((y[:, :-2], y[:, 1:-1], y[:, 2:]), dim=-1)
        mixed: Tensor = self.mix(F.relu(self.conv(y)))
        return x + mixed


class ResidualStack(nn.Module):
    """Residual blocks one after another."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ResidualBlock(channels) for _ in range(depth))

    def forward(
        self, x: Float[Tensor, "batch time channel"], keep: Float[Tensor, "batch time 1"] | None
    ) -> Float[Tensor, "batch time channel"]:
        for block in self.blocks:
            x = block(x, keep)
        return x


class Downsample(nn.Module):
    """Concatenate `factor` steps and mix them linearly, without overlap."""

    def __init__(self, channels_in: int, channels_out: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.mix = nn.Linear(factor * channels_in, channels_out)

    def forward(
        self, x: Float[Tensor, "batch time channel"], keep: Float[Tensor, "batch time 1"] | None
    ) -> Float[Tensor, "batch shorter wider"]:
        x = masked(x, keep)
        mixed: Tensor = self.mix(x.reshape(x.shape[0], x.shape[1] // self.factor, -1))
        return mixed


class Upsample(nn.Module):
    """Sub-pixel upsampling: one linear layer outputs `factor` steps."""

    def __init__(self, channels_in: int, channels_out: int, factor: int) -> None:
        super().__init__()
        self.channels_out = channels_out
        self.spread = nn.Linear(channels_in, factor * channels_out)

    def forward(self, x: Float[Tensor, "batch time channel"]) -> Float[Tensor, "batch longer narrower"]:
        spread: Tensor = self.spread(x)
        return spread.reshape(x.shape[0], -1, self.channels_out)


class TransposedUpsample(nn.Module):
    """Transposed convolution with a kernel of twice the factor, centred on its step."""

    def __init__(self, channels_in: int, channels_out: int, factor: int) -> None:
        super().__init__()
        self.channels_out, self.factor = channels_out, factor
        self.spread = nn.Linear(channels_in, 2 * factor * channels_out, bias=False)
        self.bias = nn.Parameter(torch.zeros(channels_out))

    def forward(self, x: Float[Tensor, "batch time channel"]) -> Float[Tensor, "batch longer narrower"]:
        first, second = self.spread(x).unflatten(2, (2, self.factor * self.channels_out)).unbind(2)
        steps = F.pad(first, (0, 0, 0, 1)) + F.pad(second, (0, 0, 1, 0))  # half a window before its step, half after
        whole = steps.reshape(len(x), -1, self.channels_out)
        before = self.factor // 2
        return whole[:, before : before + x.shape[1] * self.factor] + self.bias


class NearestUpsample(nn.Module):
    """Every step repeated, then a convolution over three of the new steps."""

    def __init__(self, channels_in: int, channels_out: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.conv = nn.Linear(3 * channels_in, channels_out)

    def forward(self, x: Float[Tensor, "batch time channel"]) -> Float[Tensor, "batch longer narrower"]:
        y = F.pad(x.repeat_interleave(self.factor, 1), (0, 0, 1, 1))
        mixed: Tensor = self.conv(torch.cat((y[:, :-2], y[:, 1:-1], y[:, 2:]), -1))
        return mixed


class Framing(nn.Module):
    """Strided convolution of the waveform, with a kernel of twice the stride s centred on its step.

    Step t sees samples [t·s - s/2, t·s + 3s/2).
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.mix = nn.Linear(2 * stride * channels_in, channels_out)

    def forward(self, x: Float[Tensor, "batch samples channel"]) -> Float[Tensor, "batch steps width"]:
        half = self.stride // 2
        windows = F.pad(x, (0, 0, half, half)).unfold(1, 2 * self.stride, self.stride)
        mixed: Tensor = self.mix(windows.flatten(2))
        return mixed
