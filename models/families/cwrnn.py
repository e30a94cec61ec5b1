"""Clockwork recurrent network (Koutník et al. 2014) on stacks of samples: modules that update at periods of their own.

    h^i_t = tanh(W_i φ(x_t) + b_i + Σ_{j ≥ i} U_ij h^j_{t-1})  if t is a multiple of T_i, else h^i_{t-1};   h_0 = 0
    p(x_t | x_{<t}) = D(φ_dec(h_{t-1}))

with modules of equal size in the order of their periods T_1 < T_2 < …, so that a module hears itself and slower ones
(equations 1 to 4 there). There are no latents, so the likelihood is exact. Steps are counted from 0: the first updates
all modules. Each period is a multiple of the one before, as the paper's powers of two are, so the modules that a step
updates are the first few, and no other is computed.

Departures: φ and φ_dec are the perceptrons of the other models on stacks; the paper has linear layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from lvm_probe import InputError
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.layers.stacked_samples import StackDecoder, StackedConfig, stacked_presets
from lvm_probe.models.stacked_model import DeterministicModel
from lvm_probe.models.training.recipe import PAPER, SMALL, TINY, Preset


@dataclass(frozen=True, kw_only=True)
class CWRNNConfig(StackedConfig):
    """Shape of a clockwork recurrent network.

    Attributes:
        hidden: units of all modules together.
        periods: of each module, in steps, the fastest first; each a multiple of the one before.
    """

    hidden: int
    periods: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.periods, tuple) or not self.periods:
            raise InputError(f"a clockwork network has at least one period; got {self}")
        self.check((self.hidden, *self.periods))
        if any(slow % fast or slow == fast for fast, slow in pairwise(self.periods)):
            raise InputError(f"periods must be rising multiples of each other, as 1,2,4; got {self.periods}")
        if self.hidden % len(self.periods):
            raise InputError(f"{self.hidden} units do not make {len(self.periods)} equal modules; change hidden")


class Clockwork(nn.Module):
    """The recurrence.

    Args:
        inputs: features of a step.
        hidden: units of all modules together.
        periods: see `CWRNNConfig`.
    """

    def __init__(self, inputs: int, hidden: int, periods: Sequence[int]) -> None:
        super().__init__()
        self.hidden, self.periods, self.size = hidden, periods, hidden // len(periods)
        self.input = nn.Linear(inputs, hidden)
        starts = range(0, hidden, self.size)
        self.recurrent = nn.ModuleList(nn.Linear(hidden - start, self.size, bias=False) for start in starts)

    def forward(
        self, x: Float[Tensor, "time rows inputs"], h: Float[Tensor, "rows hidden"] | None = None, step: int = 0
    ) -> Float[Tensor, "time rows hidden"]:
        """The state after every step, in the precision of the weights under autocast.

        Args:
            x: features.
            h: the state to start from; zeros without.
            step: number of the first step.
        """
        with torch.autocast(x.device.type, enabled=False):
            given = self.input(x.to(self.input.weight.dtype))
            rows = [F.pad(weight, (self.hidden - weight.shape[1], 0)) for weight in self.recurrent.parameters()]
            weight = torch.cat(rows).t()
            h = torch.zeros_like(given[0]) if h is None else h
            states: list[Tensor] = []
            for number, own in enumerate(given, step):
                units = self.size * sum(number % period == 0 for period in self.periods)
                updated = torch.tanh(torch.addmm(own[:, :units], h, weight[:, :units]))
                h = torch.cat((updated, h[:, units:]), 1)
                states.append(h)
        return torch.stack(states)


class CWRNN(DeterministicModel):
    """Autoregressive clockwork network without latents."""

    family = "cwrnn"
    Config = CWRNNConfig
    presets = stacked_presets(
        small=Preset(CWRNNConfig(hidden=256), SMALL, "s=64, 8 modules of 32; trains on two cores in half an hour"),
        paper=Preset(
            CWRNNConfig(hidden=288, periods=tuple(2**i for i in range(9)), depth=3, inputs=("mulaw16",)),
            PAPER,
            "s=64, the paper's 9 periods 1 to 256, in the sizes and with the schedule of Havtorn et al. (2022)",
        ),
        tiny=Preset(
            CWRNNConfig(hidden=16, periods=(1, 2, 4, 8), width=16, output=Waveform(components=3)), TINY, "for tests"
        ),
    )

    def __init__(self, config: CWRNNConfig) -> None:
        super().__init__(config)
        c, self.state_size = config, config.hidden
        self.clockwork = Clockwork(c.width, c.hidden, c.periods)
        self.decoder = StackDecoder(c.hidden, 0, c)

    def states(
        self, features: Float[Tensor, "time rows width"], before: tuple[Tensor, int] | None = None
    ) -> tuple[Float[Tensor, "time rows hidden"], tuple[Tensor, int]]:
        """The state of all modules after each stack, the fastest first; the last state and its number continue it."""
        h, step = before or (None, 0)
        states = self.clockwork(features, h, step)
        return states, (states[-1], step + len(states))
