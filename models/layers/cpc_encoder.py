"""The convolutional encoder of contrastive predictive coding (van den Oord et al. 2018, section 3.1).

Five strided convolutions of the waveform, each with a norm over the channels of a step and a rectifier, as Rivière et
al. (2020) have them in CPC_audio, whose weights `checkpoints.cpc_audio` reads: one step for every 160 audio samples,
which sees 465 of them. At the ends of an utterance a convolution sees zeros, and where an utterance ends before its row
does, steps behind it are set to zero between convolutions, so that padding changes nothing.
"""

from __future__ import annotations

from itertools import accumulate
from operator import mul

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from lvm_probe.models.layers.waveform_coder import ends, kept

KERNELS, STRIDES, PADDING = (10, 8, 4, 4, 4), (5, 4, 2, 2, 2), (3, 2, 1, 1, 1)
*_RATES, HOP = accumulate(STRIDES, mul, initial=1)
"""Audio samples of a step of each convolution's input, and of the last one's output."""
REACH = sum(padding * rate for padding, rate in zip(PADDING, _RATES, strict=True))
"""Audio samples before a step that it looks at; after it they are one fewer."""
EPSILON = 1e-5


class ChannelNorm(nn.Module):
    """(x - m) / √(s² + 1e-5), scaled and shifted; mean m and unbiased variance s² are over the channels of a step.

    In the precision of the weights under autocast.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, channels, 1))
        self.bias = nn.Parameter(torch.zeros(1, channels, 1))

    def forward(self, x: Float[Tensor, "rows channels time"]) -> Float[Tensor, "rows channels time"]:
        x = x.to(self.weight.dtype)
        variance, mean = torch.var_mean(x, 1, keepdim=True)
        return (x - mean) * torch.rsqrt(variance + EPSILON) * self.weight + self.bias


class CPCEncoder(nn.Module):
    """From waveforms to features, one step for every 160 audio samples.

    Args:
        channels: of every convolution; 2 or more.

    Example:
        >>> CPCEncoder(4)(torch.zeros(2, 480), torch.tensor([480, 100])).shape
        torch.Size([2, 3, 4])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inputs = (1, *[channels] * (len(KERNELS) - 1))
        self.conv = nn.ModuleList(
            nn.Conv1d(c, channels, kernel, stride, padding)
            for c, kernel, stride, padding in zip(inputs, KERNELS, STRIDES, PADDING, strict=True)
        )
        self.norm = nn.ModuleList(ChannelNorm(channels) for _ in KERNELS)

    def forward(
        self, wave: Float[Tensor, "rows samples"], lengths: Int[Tensor, " rows"]
    ) -> Float[Tensor, "rows steps channels"]:
        """The features of waveforms in [-1, 1].

        Args:
            wave: zero-padded to a multiple of 160 samples.
            lengths: samples of each row before the padding.
        """
        x, rate = wave.unsqueeze(1), 1
        for conv, norm, stride in zip(self.conv, self.norm, STRIDES, strict=True):
            x, rate = F.relu(norm(conv(x))), rate * stride
            x = kept(x, ends(lengths, rate, x.shape[-1]))
        return x.transpose(1, 2)
