"""Deterministic LSTM (Hochreiter and Schmidhuber 1997) on stacks of samples: a recurrent baseline.

    d_t = LSTM(φ(x_t), d_{t-1}),  d_0 = 0;    p(x_t | x_{<t}) = D(φ_dec(d_{t-1}))

φ and φ_dec are perceptrons as in the VRNN. There are no latents, so the likelihood is exact. The encoder returns d_t
and the decoder takes its predecessor, so every stack is predicted, the first one from the zero state. Havtorn et al.
(2022, appendix B) write the same as a prediction of the next stack.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from lvm_probe.models.domains.domain import Distributions
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.layers.stacked_samples import StackDecoder, StackedConfig, StackEncoder, shifted, stacked_presets
from lvm_probe.models.model import SpeechModel
from lvm_probe.models.training.recipe import PAPER, SMALL, TINY, Preset
from lvm_probe.models.trajectory import Trajectory


@dataclass(frozen=True, kw_only=True)
class LSTMConfig(StackedConfig):
    """Shape of an LSTM.

    Attributes:
        hidden: units of each layer.
        layers: stacked one above another.
    """

    hidden: int
    layers: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check((self.hidden, self.layers))


class LSTM(SpeechModel):
    """Autoregressive LSTM without latents."""

    family = "lstm"
    Config = LSTMConfig
    decoder_sees_audio = True
    prior_sees_audio = False
    presets = stacked_presets(
        small=Preset(LSTMConfig(hidden=256), SMALL, "s=64, d=256; trains on two cores in half an hour"),
        paper=Preset(
            LSTMConfig(hidden=256, depth=3, inputs=("mulaw16",)),
            PAPER,
            "s=64, d=256 as in the paper, with its schedule",
        ),
        tiny=Preset(LSTMConfig(hidden=16, width=16, output=Waveform(components=3)), TINY, "for tests"),
    )

    def __init__(self, config: LSTMConfig) -> None:
        super().__init__()
        self.config = c = config
        self.stride, self.strides, self.latents = c.stride, (), ()
        self.encode_reach, self.decode_reach = None, (c.stride, 0)
        self.frames = StackEncoder(c)
        self.lstm = nn.LSTM(c.width, c.hidden, c.layers)
        self.decoder = StackDecoder(c.hidden, 0, c)

    def encode(
        self, x: Shaped[Tensor, "batch elements"], lengths: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "time batch hidden"]]:
        """The state of the topmost layer after each stack, in the precision of the weights under autocast."""
        features = self.frames(self.pad(x))
        with torch.autocast(x.device.type, enabled=False):
            states, _ = self.lstm(features.to(self.parameter.dtype))
        return (states,)

    def decode(
        self,
        encoded: Sequence[Float[Tensor, "time batch hidden"]],
        layers: Sequence[Trajectory],
        lengths: Int[Tensor, " batch"],
    ) -> tuple[Distributions, Float[Tensor, "batch samples"] | None]:
        """p(x_t | x_{<t}) for every audio sample, from the state after the stack before."""
        return self.decoder(shifted(encoded[0]))

    @torch.no_grad()
    def sample(self, samples: int, rows: int, generator: torch.Generator) -> Shaped[Tensor, "rows elements"]:
        """Generate step by step: a stack is drawn, rounded as the data are and fed back."""
        where = self.parameter
        h, state = where.new_zeros(1, rows, self.config.hidden), None
        stacks: list[Tensor] = []
        for step in range(-(-samples // self.stride)):
            output, _ = self.decoder(h)
            stack = output.sample(generator)
            stacks.append(stack)
            h, state = self.lstm(self.frames.of_drawn(stack, step), state)
        return torch.cat(stacks, 1)[:, :samples]
