"""Temporal convolutional network: the gated residual blocks of WaveNet (van den Oord et al. 2016, equation 2).

    [a_t, b_t] = W [x_t, x_{t-j}] + w,   g_t = tanh(a_t) σ(b_t),   [r_t, s_t] = V g_t + v,   x'_t = x_t + r_t

with filters of width 2 at dilation j, and the residual r and the skip s from one 1x1 convolution. Inputs are
(time, rows, channel). Before the first step they are zero in every block, and nothing looks ahead, so an utterance
depends neither on padding nor on the rest of its batch. Generation takes one step at a time from the inputs that each
block has to remember (`GatedStack.step`): the same numbers, at a cost that does not grow with the receptive field.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lvm_probe.models.layers.stacked_samples import shifted


class GatedBlock(nn.Module):
    """One block of `channels` filters at `dilation`, with `skip` channels besides the residual (0 for none)."""

    def __init__(self, channels: int, dilation: int, skip: int = 0) -> None:
        super().__init__()
        self.channels, self.dilation, self.skip = channels, dilation, skip
        self.filter = nn.Linear(2 * channels, 2 * channels)
        self.mix = nn.Linear(channels, channels + skip)

    def forward(
        self, x: Float[Tensor, "*time rows channel"], past: Float[Tensor, "*time rows channel"]
    ) -> tuple[Float[Tensor, "*time rows channel"], Float[Tensor, "*time rows skip"]]:
        """The next block's input and the skip, from the input and the input `dilation` steps before."""
        a, b = self.filter(torch.cat((x, past), -1)).chunk(2, -1)
        residual, skip = self.mix(torch.tanh(a) * torch.sigmoid(b)).split((self.channels, self.skip), -1)
        return x + residual, skip


@dataclass
class Memory:
    """What a stack remembers while it generates: the last `dilation` inputs of every block, in ring buffers."""

    rings: list[Float[Tensor, "_dilation rows channel"]]
    steps: int = 0


class GatedStack(nn.Module):
    """Blocks of the given dilations one after another.

    Attributes:
        receptive_field: steps that the last block depends on, including the present one.
        skips: channels of the skips: those of one block, or with `dense` of all blocks side by side.
    """

    def __init__(self, channels: int, dilations: Sequence[int], skip: int = 0, *, dense: bool = False) -> None:
        super().__init__()
        self.channels, self.skip, self.dense = channels, skip, dense
        self.skips = skip * len(dilations) if dense else skip
        self.blocks = nn.ModuleList(GatedBlock(channels, dilation, skip) for dilation in dilations)
        self.receptive_field = 1 + sum(dilations)

    def forward(
        self, x: Float[Tensor, "time rows channel"]
    ) -> tuple[Float[Tensor, "time rows channel"], Float[Tensor, "time rows skips"]]:
        """All steps at once.

        Returns:
            The last block's output, and the sum of the skips or all of them. Under autocast both are in the precision
            of the weights.
        """
        x, skips = self._start(x)
        for block in self._blocks():
            x, skip = block(x, shifted(x, block.dilation))
            skips.append(skip)
        return x, self._joined(skips)

    def step(
        self, x: Float[Tensor, "rows channel"], memory: Memory
    ) -> tuple[Float[Tensor, "rows channel"], Float[Tensor, "rows skips"]]:
        """The next step, with the results of `forward`; updates `memory`."""
        x, skips = self._start(x)
        for block, ring in zip(self._blocks(), memory.rings, strict=True):
            slot = ring[memory.steps % block.dilation]
            after, skip = block(x, slot)
            slot.copy_(x)
            x = after
            skips.append(skip)
        memory.steps += 1
        return x, self._joined(skips)

    def memory(self, rows: int) -> Memory:
        """The memory before the first step, for `rows` sequences."""
        like = self._blocks()[0].filter.weight
        return Memory([like.new_zeros(block.dilation, rows, self.channels) for block in self._blocks()])

    def _start(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        x = x.to(self._blocks()[0].filter.weight.dtype)
        return x, [x.new_zeros(*x.shape[:-1], self.skip)]

    def _joined(self, skips: list[Tensor]) -> Tensor:
        """The sum of the skips, or all side by side; the first is zeros in the precision of the weights."""
        if self.dense:
            return torch.cat(skips[1:], -1).to(skips[0].dtype)
        return sum(skips[1:], skips[0]) if self.skip else skips[0]

    def _blocks(self) -> list[GatedBlock]:
        return [block for block in self.blocks if isinstance(block, GatedBlock)]


def doubling_dilations(layers: int, times: int = 1) -> tuple[int, ...]:
    """Dilations 1, 2, 4, …, 2^(layers-1), the whole sequence `times` times."""
    return tuple(2**layer for layer in range(layers)) * times
