"""Hierarchical multiscale LSTM (HM-LSTM, Chung, Ahn and Bengio 2017) on stacks of samples.

Each layer l but the topmost has a detector of boundaries z^l_t, 0 or 1. It decides when the layer hands its state to
the next one and starts afresh. With z^0 = 1, h^0_t = φ(x_t) and all states zero before the first step (equations 1 to
7 and 10 there):

    s = U^l h^l_{t-1} + z^l_{t-1} V^l h^{l+1}_{t-1} + z^{l-1}_t W^l h^{l-1}_t + b^l;   f, i, o, g, z̃ from s
    update  z^l_{t-1} = 0, z^{l-1}_t = 1:   c^l_t = f c^l_{t-1} + i g,   h^l_t = o tanh c^l_t
    copy    z^l_{t-1} = 0, z^{l-1}_t = 0:   c^l_t = c^l_{t-1},           h^l_t = h^l_{t-1}
    flush   z^l_{t-1} = 1:                  c^l_t = i g,                 h^l_t = o tanh c^l_t
    z^l_t = 1 if z̃ > 1/2,   z̃ = min(1, max(0, (a s_z + 1) / 2))

A decision passes its gradient straight through to z̃. The slope a rises from 1 while the model trains; it changes
gradients only, never a likelihood. The output sees all layers by gates (equations 11 and 12):

    e_t = ReLU(Σ_l σ(w^l · [h^1_t … h^L_t]) W^e_l h^l_t);   p(x_t | x_{<t}) = D(φ_dec(e_{t-1}))

There are no latents, so the likelihood is exact. Departures: φ and φ_dec are the perceptrons of the other models on
stacks; no layer normalisation; the slope rises with the share of the updates done, in the paper by 0.04 an epoch;
detectors start with a bias of 1/2, so that they fire more often than not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from lvm_probe import InputError
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.layers.stacked_samples import StackDecoder, StackedConfig, stacked_presets
from lvm_probe.models.stacked_model import Decoded, DeterministicModel
from lvm_probe.models.training.recipe import PAPER, SMALL, TINY, Preset


@dataclass(frozen=True, kw_only=True)
class HMLSTMConfig(StackedConfig):
    """Shape of an HM-LSTM.

    Attributes:
        hidden: units of each layer.
        layers: at least two; all but the topmost have a detector.
        slope: a at the end of training.
    """

    hidden: int
    layers: int = 3
    slope: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check((self.hidden, self.layers))
        if self.layers < 2 or not self.slope >= 1:
            raise InputError(f"an HM-LSTM has two layers or more, and a slope of at least 1; got {self}")


class Level(NamedTuple):
    """A layer after a step."""

    h: Float[Tensor, "rows hidden"]
    c: Float[Tensor, "rows hidden"]
    z: Float[Tensor, "rows 1"]


class MultiscaleLSTM(nn.Module):
    """The recurrence.

    Args:
        inputs: features of a step.
        hidden: units of each layer.
        layers: how many.
    """

    slope: Tensor

    def __init__(self, inputs: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.layers = nn.ModuleList()
        for layer in range(layers):
            below, top = hidden if layer else inputs, layer == layers - 1
            linear = nn.Linear(below + hidden + (0 if top else hidden), 4 * hidden + (not top))
            if not top:  # a detector that never fires would cut off the layers above it
                nn.init.constant_(linear.bias.detach()[-1:], 0.5)
            self.layers.append(linear)
        self.register_buffer("slope", torch.ones(()), persistent=False)

    def start(self, rows: int) -> list[Level]:
        """All layers before the first step."""
        zeros = self.slope.new_zeros(rows, self.hidden)
        return [Level(zeros, zeros, zeros[:, :1]) for _ in self.layers]

    def step(self, x: Float[Tensor, "rows inputs"], before: Sequence[Level]) -> list[Level]:
        """All layers after a step."""
        below, entering = x, torch.ones_like(before[0].z)
        levels: list[Level] = []
        for layer, (h, c, flush) in zip(self.layers, before, strict=True):
            above = before[len(levels) + 1 :][:1]
            seen = [entering * below, h, *(flush * level.h for level in above)]
            f, i, o, g, detector = layer(torch.cat(seen, 1)).split([self.hidden] * 4 + [len(above)], 1)
            new = torch.sigmoid(i) * torch.tanh(g)
            kept = entering * torch.sigmoid(f) * c + (1 - entering) * c
            copy = (1 - flush) * (1 - entering)
            c = (1 - flush) * (kept + entering * new) + flush * new
            h = copy * h + (1 - copy) * torch.sigmoid(o) * torch.tanh(c)
            levels.append(Level(h, c, self.boundary(detector) if above else torch.zeros_like(flush)))
            below, entering = h, levels[-1].z
        return levels

    def boundary(self, s: Float[Tensor, "rows 1"]) -> Float[Tensor, "rows 1"]:
        """0 or 1, with the gradient of the hard sigmoid."""
        soft = ((self.slope * s + 1) / 2).clamp(0, 1)
        return (soft > 0.5).to(soft.dtype) + (soft - soft.detach())

    def forward(
        self, x: Float[Tensor, "time rows inputs"], levels: Sequence[Level] | None = None
    ) -> tuple[Float[Tensor, "time rows states"], Float[Tensor, "time rows detectors"], Sequence[Level]]:
        """The states of all layers after every step, the lowest first; the boundaries; and all layers after the last.

        All are in the precision of the weights under autocast.
        """
        with torch.autocast(x.device.type, enabled=False):
            levels, states, boundaries = levels or self.start(x.shape[1]), list[Tensor](), list[Tensor]()
            for features in x.to(self.slope.dtype):
                levels = self.step(features, levels)
                states.append(torch.cat([level.h for level in levels], 1))
                boundaries.append(torch.cat([level.z for level in levels[:-1]], 1))
        return torch.stack(states), torch.stack(boundaries), levels


class HMLSTM(DeterministicModel):
    """Autoregressive HM-LSTM without latents."""

    family = "hmlstm"
    Config = HMLSTMConfig
    presets = stacked_presets(
        small=Preset(HMLSTMConfig(hidden=160), SMALL, "s=64, 3 layers of 160 units"),
        paper=Preset(
            HMLSTMConfig(hidden=512, width=512, depth=1, inputs=("mulaw16",)),
            PAPER,
            "s=64, 3 layers of 512 units as in the paper for text, with the schedule of Havtorn et al. (2022)",
        ),
        tiny=Preset(HMLSTMConfig(hidden=12, width=16, output=Waveform(components=3)), TINY, "for tests"),
    )

    def __init__(self, config: HMLSTMConfig) -> None:
        super().__init__(config)
        c, self.state_size = config, config.layers * config.hidden
        self.recurrence = MultiscaleLSTM(c.width, c.hidden, c.layers)
        self.gates = nn.Linear(self.state_size, c.layers, bias=False)
        self.embedding = nn.Linear(self.state_size, c.width, bias=False)
        self.decoder = StackDecoder(c.width, 0, c)

    def anneal(self, done: float) -> None:
        """Let the slope rise linearly."""
        self.recurrence.slope.fill_(1 + (self.config.slope - 1) * done)

    def states(
        self, features: Float[Tensor, "time rows width"], before: Sequence[Level] | None = None
    ) -> tuple[Float[Tensor, "time rows states"], Sequence[Level]]:
        """The states of all layers after each stack, the lowest first."""
        states, _, levels = self.recurrence(features, before)
        return states, levels

    def predict(self, state: Float[Tensor, "time rows states"]) -> Decoded:
        """The distribution of the stack after each state."""
        gates = torch.sigmoid(self.gates(state)).unsqueeze(-1)
        gated = (gates * state.unflatten(-1, (self.config.layers, -1))).flatten(-2)
        return super().predict(F.relu(self.embedding(gated)))

    @torch.no_grad()
    def boundaries(
        self, x: Shaped[Tensor, "batch elements"], lengths: Int[Tensor, " batch"]
    ) -> Bool[Tensor, "time batch detectors"]:
        """Where each detector finds that something has ended, the lowest layer first.

        Args:
            x: elements, such as 16-bit PCM, zero-padded.
            lengths: elements of each row before the padding; what is found beyond means nothing.
        """
        return self.recurrence(self.features(self.pad(x)))[1] > 0
