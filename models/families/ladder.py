"""LadderRNN (Aksan and Hilliges 2019, section 4): the latents of an STCN above LSTM cells instead of convolutions.

    d^l = K LSTM cells above d^{l-1},  d^0 = φ(x),  all states zero before the first step

Everything else is the STCN's (`families.stcn`): priors given d^l_{t-1} and the latents above, posteriors as products
with the evidence given d^l_t, and an output given z¹ or, with dense connections, all latents. The paper compares the
two to see what the convolutions are worth: 25 cells of 256 units, five for each layer of latents, which were hard to
train, and 5 cells of 512 units. The states reach back to the beginning of the utterance.

Interpretation: networks of latents and output keep the STCN's 256 filters in both. Departures: those of the STCN.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.families.stcn import STCN, STCNConfig
from lvm_probe.models.training.recipe import PAPER, SMALL, TINY, Preset


@dataclass(frozen=True, kw_only=True)
class LadderConfig(STCNConfig):
    """Shape of a LadderRNN: that of an STCN (`filters` are those of the latents' and the output's networks), and

    Attributes:
        hidden: units of each LSTM cell.
        blocks: LSTM cells below each layer of latents.
    """

    hidden: int
    blocks: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check((self.hidden,))


@dataclass
class Carried:
    """States and memory cells after a step; None before the first."""

    state: tuple[Tensor, Tensor] | None = None


class LSTMStack(nn.Module):
    """LSTM cells one above another, in the precision of the weights under autocast; a `families.stcn.Stack`."""

    receptive_field = None

    def __init__(self, inputs: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.channels = hidden
        self.lstm = nn.LSTM(inputs, hidden, layers)

    def forward(self, x: Float[Tensor, "time rows inputs"]) -> tuple[Tensor, Tensor]:
        """The state of the topmost cell after every step; there are no skips."""
        return self._run(x, Carried())

    def step(self, x: Float[Tensor, "rows inputs"], memory: Carried) -> tuple[Tensor, Tensor]:
        """The next step; updates `memory`."""
        d, skips = self._run(x.unsqueeze(0), memory)
        return d[0], skips[0]

    def memory(self, rows: int) -> Carried:
        """What is remembered before the first step."""
        return Carried()

    def _run(self, x: Tensor, memory: Carried) -> tuple[Tensor, Tensor]:
        with torch.autocast(x.device.type, enabled=False):
            d, memory.state = self.lstm(x.to(next(self.lstm.parameters()).dtype), memory.state)
        return d, d[..., :0]


_SMALL = Preset(LadderConfig(latents=(64, 32, 16, 8, 8), filters=96, hidden=192), SMALL, "s=64, 5 cells of 192 units")

_PAPER = Preset(
    LadderConfig(latents=(256, 128, 64, 32, 16), filters=256, hidden=512, depth=3, inputs=("mulaw16",), stride=200),
    PAPER,
    "s=200, 5 cells of 512 units; needs a GPU",
)

_TINY = Preset(
    LadderConfig(latents=(8, 4), filters=12, hidden=16, width=16, output=Waveform(components=3)), TINY, "for tests"
)


def _with(like: Preset, note: str, **changes: object) -> Preset:
    return replace(like, config=replace(like.config, **changes), note=note)


class LadderRNN(STCN):
    """LadderRNN with any number of layers of latents, all at the rate of the stacks."""

    family = "ladder"
    Config = LadderConfig
    presets = {  # noqa: RUF012
        "small": _SMALL,
        "small-dense": _with(_SMALL, "small with dense connections to the output", dense=True),
        "25x256": _with(_PAPER, "the paper's 25 cells of 256 units, s=200; needs a GPU", hidden=256, blocks=5),
        "25x256-dense": _with(_PAPER, "25x256 with dense connections", hidden=256, blocks=5, dense=True),
        "5x512": _with(_PAPER, "the paper's 5 cells of 512 units, s=200; needs a GPU"),
        "5x512-dense": _with(_PAPER, "5x512 with dense connections", dense=True),
        "tiny": _TINY,
        "tiny-dense": _with(_TINY, "for tests", dense=True),
    }

    def make_stack(self, layer: int) -> LSTMStack:
        """The cells below a layer of latents."""
        c = self.config
        return LSTMStack(c.hidden if layer else c.filters, c.hidden, c.blocks)
