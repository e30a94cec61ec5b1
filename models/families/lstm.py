"""Deterministic LSTM (Hochreiter and Schmidhuber 1997) on stacks of samples: a recurrent baseline.

    d_t = LSTM(φ(x_t), d_{t-1}),  d_0 = 0;    p(x_t | x_{<t}) = D(φ_dec(d_{t-1}))

φ and φ_dec are perceptrons as in the VRNN. There are no latents, so the likelihood is exact. The encoder returns d_t
and the decoder takes its predecessor, so every stack is predicted, the first one from the zero state. Havtorn et al.
(2022, appendix B) write the same as a prediction of the next stack.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.layers.stacked_samples import StackDecoder, StackedConfig, stacked_presets
from lvm_probe.models.stacked_model import DeterministicModel
from lvm_probe.models.training.recipe import PAPER, SMALL, TINY, Preset


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


class LSTM(DeterministicModel):
    """Autoregressive LSTM without latents."""

    family = "lstm"
    Config = LSTMConfig
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
        super().__init__(config)
        c, self.state_size = config, config.hidden
        self.lstm = nn.LSTM(c.width, c.hidden, c.layers)
        self.decoder = StackDecoder(c.hidden, 0, c)

    def states(
        self, features: Float[Tensor, "time rows width"], before: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Float[Tensor, "time rows hidden"], tuple[Tensor, Tensor]]:
        """The state of the topmost layer after each stack; states and memory cells of all layers continue it."""
        with torch.autocast(features.device.type, enabled=False):
            states, carried = self.lstm(features.to(self.parameter.dtype), before)
        return states, carried
