"""A convolutional coder of waveforms: residual dilated convolutions between changes of rate.

The shape is SoundStream's (Zeghidour et al. 2021, figure 3) with ordinary instead of causal convolutions, a snake
activation (Ziyin et al. 2020) and weight normalisation (Salimans and Kingma 2016). Signals are (rows, channels, time).
At the ends of a signal a convolution sees zeros, and where an utterance ends before its row does, `keep` sets what lies
behind it to zero, so that padding changes nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, assert_never

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from lvm_probe.models.layers.blocks import mask
from lvm_probe.models.layers.pqmf import PQMF, bank_reach

Activation = Literal["snake", "leaky-relu"]
Upsampling = Literal["transposed", "uneven", "nearest", "linear"]
"""How a decoder raises the rate by a factor r: by a transposed convolution with a kernel of 2r steps, which r divides;
of 2r + 1 steps, which it does not; by repeating, or by interpolating steps, and then a convolution of 2r + 1 steps."""

DILATIONS = (1, 3, 9)
"""Of the residual units between two changes of rate."""
WIDTH = 7
"""Steps of the kernels of residual units and of the outermost convolutions."""

Keep = Float[Tensor, "rows 1 time"] | None


@dataclass(frozen=True)
class CoderShape:
    """What encoder and decoder share.

    Attributes:
        channels: at the highest rate; they double with each lower one.
        ratios: factors of rate, from the waveform's end inwards.
        bands: of the filter bank in front and behind.
        activation: between convolutions.
        weight_norm: whether the kernels are normalised.
        upsampling: in the decoder.
    """

    channels: int
    ratios: tuple[int, ...]
    bands: int
    activation: Activation
    weight_norm: bool
    upsampling: Upsampling

    @property
    def rates(self) -> tuple[int, ...]:
        """Audio samples per step, from the waveform's end inwards."""
        return tuple(self.bands * math.prod(self.ratios[:i]) for i in range(len(self.ratios) + 1))

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels at each rate."""
        return tuple(self.channels * 2**i for i in range(len(self.ratios) + 1))

    @property
    def hop(self) -> int:
        """Audio samples per step at the lowest rate."""
        return self.rates[-1]

    @property
    def reach(self) -> int:
        """Audio samples on either side that a step of the encoder, or a sample of the decoder, looks at, at most."""
        half = WIDTH // 2
        stacks = sum(rate * half * sum(DILATIONS) for rate in self.rates[:-1])
        changes = sum(2 * rate for rate in self.rates[1:])
        return bank_reach(self.bands) + half * self.bands + stacks + changes + 2 * self.hop


class Snake(nn.Module):
    """x + sin²(αx)/α with α learned for each channel; periodic, unlike other activations (Ziyin et al. 2020, eq. 3).

    Example:
        >>> Snake(1)(torch.tensor([[[0.0, torch.pi]]])).detach()
        tensor([[[0.0000, 3.1416]]])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(channels, 1))

    def forward(self, x: Float[Tensor, "rows channels time"]) -> Float[Tensor, "rows channels time"]:
        alpha = self.alpha.to(x.dtype)
        return x + torch.sin(alpha * x).square() / (alpha + 1e-9)


def activation(kind: Activation, channels: int) -> nn.Module:
    """The activation in front of a convolution of so many channels."""
    match kind:
        case "snake":
            return Snake(channels)
        case "leaky-relu":
            return nn.LeakyReLU(0.2)
        case _:
            assert_never(kind)


class Kernel(nn.Module):
    """A kernel of shape (first, second, width), normalised over all but the output channels.

        w = g v / ‖v‖

    Args:
        shape: of the kernel.
        outputs: the axis of the output channels.
        normalised: whether w is v itself otherwise.
    """

    def __init__(self, shape: tuple[int, int, int], outputs: int, normalised: bool) -> None:
        super().__init__()
        bound = (math.prod(shape) / shape[outputs]) ** -0.5
        self.v = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
        self.axes = tuple(axis for axis in range(3) if axis != outputs)
        self.g = nn.Parameter(self._norm().detach().clone()) if normalised else None

    def forward(self) -> Float[Tensor, "first second width"]:
        return self.v if self.g is None else self.v * (self.g / self._norm())

    def _norm(self) -> Tensor:
        return self.v.square().sum(self.axes, keepdim=True).sqrt()


class Convolution(nn.Module):
    """A convolution whose output has 1/`stride` of the input's steps."""

    def __init__(
        self, inputs: int, outputs: int, width: int, normalised: bool, *, stride: int = 1, dilation: int = 1
    ) -> None:
        super().__init__()
        self.kernel = Kernel((outputs, inputs, width), 0, normalised)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.stride, self.dilation = stride, dilation
        around = dilation * (width - 1) + 1 - stride
        self.around = (around // 2, around - around // 2)

    def forward(self, x: Float[Tensor, "rows inputs time"]) -> Float[Tensor, "rows outputs shorter"]:
        return F.conv1d(F.pad(x, self.around), self.kernel(), self.bias, self.stride, dilation=self.dilation)


class TransposedConvolution(nn.Module):
    """A transposed convolution whose output has `stride` times the input's steps."""

    def __init__(self, inputs: int, outputs: int, width: int, normalised: bool, *, stride: int) -> None:
        super().__init__()
        self.kernel = Kernel((inputs, outputs, width), 1, normalised)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.stride, self.first = stride, (width - stride) // 2

    def forward(self, x: Float[Tensor, "rows inputs time"]) -> Float[Tensor, "rows outputs longer"]:
        y = F.conv_transpose1d(x, self.kernel(), self.bias, self.stride)
        return y[..., self.first : self.first + x.shape[-1] * self.stride]


class ResidualStack(nn.Module):
    """x + W₁ a(W₇ a(x)) with 1x1 and dilated kernels W₁ and W₇, once for each dilation."""

    def __init__(self, channels: int, shape: CoderShape) -> None:
        super().__init__()
        normalised = shape.weight_norm
        self.before = nn.ModuleList(activation(shape.activation, channels) for _ in DILATIONS)
        self.wide = nn.ModuleList(Convolution(channels, channels, WIDTH, normalised, dilation=d) for d in DILATIONS)
        self.between = nn.ModuleList(activation(shape.activation, channels) for _ in DILATIONS)
        self.mix = nn.ModuleList(Convolution(channels, channels, 1, normalised) for _ in DILATIONS)

    def forward(self, x: Float[Tensor, "rows channels time"], keep: Keep) -> Float[Tensor, "rows channels time"]:
        for before, wide, between, mix in zip(self.before, self.wide, self.between, self.mix, strict=True):
            x = x + mix(between(wide(kept(before(x), keep))))
        return x


class Upsample(nn.Module):
    """`factor` times the steps, in one of the ways of `Upsampling`."""

    def __init__(self, inputs: int, outputs: int, factor: int, shape: CoderShape) -> None:
        super().__init__()
        self.how, self.factor = shape.upsampling, factor
        normalised = shape.weight_norm
        match self.how:
            case "transposed":
                self.change: nn.Module = TransposedConvolution(inputs, outputs, 2 * factor, normalised, stride=factor)
            case "uneven":
                self.change = TransposedConvolution(inputs, outputs, 2 * factor + 1, normalised, stride=factor)
            case "nearest" | "linear":
                self.change = Convolution(inputs, outputs, 2 * factor + 1, normalised)
            case _:
                assert_never(self.how)

    def forward(
        self, x: Float[Tensor, "rows inputs time"], keep: Float[Tensor, "rows 1 longer"] | None
    ) -> Float[Tensor, "rows outputs longer"]:
        """The longer signal; `keep` is that of its rate."""
        if self.how == "nearest":
            x = kept(x.repeat_interleave(self.factor, -1), keep)
        elif self.how == "linear":
            x = F.interpolate(F.pad(x, (1, 1)), scale_factor=self.factor, mode="linear")
            x = kept(x[..., self.factor : -self.factor], keep)  # zeros around it, not its first and last step again
        changed: Tensor = self.change(x)
        return changed


def kept(x: Float[Tensor, "rows channels time"], keep: Keep) -> Float[Tensor, "rows channels time"]:
    """x, set to zero where `keep` is zero; None keeps everything."""
    return x if keep is None else x * keep.to(x.dtype)


def ends(lengths: Int[Tensor, " rows"] | None, rate: int, steps: int) -> Keep:
    """One for the steps that touch the utterance, else zero; None if nothing is to be set to zero."""
    keep = None if lengths is None else mask(lengths, rate, steps)
    return None if keep is None else keep.transpose(1, 2)


class WaveformEncoder(nn.Module):
    """From waveforms to features at the lowest rate.

    Args:
        inputs: channels of the waveform.
        shape: of the coder.
    """

    def __init__(self, inputs: int, shape: CoderShape) -> None:
        super().__init__()
        self.shape, normalised = shape, shape.weight_norm
        self.bank = PQMF(shape.bands)
        self.first = Convolution(inputs * shape.bands, shape.channels, WIDTH, normalised)
        self.stacks = nn.ModuleList(ResidualStack(c, shape) for c in shape.widths[:-1])
        self.activations = nn.ModuleList(activation(shape.activation, c) for c in shape.widths)
        self.down = nn.ModuleList(
            Convolution(c, 2 * c, 2 * r, normalised, stride=r)
            for c, r in zip(shape.widths[:-1], shape.ratios, strict=True)
        )
        self.last = Convolution(shape.widths[-1], shape.widths[-1], 3, normalised)

    def forward(
        self, wave: Float[Tensor, "rows inputs samples"], lengths: Int[Tensor, " rows"] | None
    ) -> Float[Tensor, "rows channels steps"]:
        """Features of waveforms whose length is a multiple of the hop; without `lengths`, nothing is padding."""
        samples = wave.shape[-1]
        keeps = [ends(lengths, rate, samples // rate) for rate in self.shape.rates]
        x = self.first(kept(self.bank.analyse(wave), keeps[0]))
        for stack, activate, down, keep in zip(self.stacks, self.activations, self.down, keeps, strict=False):
            x = down(kept(activate(stack(x, keep)), keep))
        features: Tensor = self.last(kept(self.activations[-1](x), keeps[-1]))
        return features


class WaveformDecoder(nn.Module):
    """From features at the lowest rate to `outputs` numbers for every audio sample.

    Args:
        outputs: numbers for every audio sample.
        shape: of the coder.
        modulated: whether the output (or its bands) is multiplied by an amplitude between 0 and 1 (Caillon and Esling
            2021, section 3.2).
    """

    def __init__(self, outputs: int, shape: CoderShape, *, modulated: bool) -> None:
        super().__init__()
        self.shape, self.modulated, normalised = shape, modulated, shape.weight_norm
        inner = shape.widths[::-1]
        self.activations = nn.ModuleList(activation(shape.activation, c) for c in inner)
        self.up = nn.ModuleList(
            Upsample(c, c // 2, r, shape) for c, r in zip(inner[:-1], shape.ratios[::-1], strict=True)
        )
        self.stacks = nn.ModuleList(ResidualStack(c, shape) for c in inner[1:])
        self.last = Convolution(shape.channels, outputs * shape.bands * (2 if modulated else 1), WIDTH, normalised)
        self.bank = PQMF(shape.bands)

    def forward(
        self, features: Float[Tensor, "rows channels steps"], lengths: Int[Tensor, " rows"] | None
    ) -> Float[Tensor, "rows outputs samples"]:
        """All samples' numbers; without `lengths`, nothing is padding."""
        samples = features.shape[-1] * self.shape.hop
        keeps = [ends(lengths, rate, samples // rate) for rate in self.shape.rates[::-1]]
        x = features
        for activate, up, stack, before, after in zip(
            self.activations, self.up, self.stacks, keeps, keeps[1:], strict=False
        ):
            x = stack(up(kept(activate(x), before), after), after)
        x = self.last(kept(self.activations[-1](x), keeps[-1]))
        if self.modulated:
            x, amplitude = x.chunk(2, 1)
            x = x * torch.sigmoid(amplitude)
        return self.bank.synthesise(kept(x, keeps[-1]))
