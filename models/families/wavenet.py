"""WaveNet (van den Oord et al. 2016) on single samples or stacks of samples: a convolutional baseline without latents.

    y_t = W [φ(x_t), φ(x_{t-1})] + w;    s_t = Σ over blocks of the skips of `models.layers.tcn` above y_{≤t}
    p(x_t | x_{<t}) = D(MLP(ReLU(s_{t-1}))),  s_0 = 0

5 times 10 blocks with dilations 1 to 512 above a causal convolution of width 2 see 5,117 steps, as in Havtorn et al.
(2022, appendix B). φ is the perceptron of the other models on stacks; without it, as in the papers, the convolution
sees the samples themselves. The encoder returns s_t and the decoder takes its predecessor, so every stack is predicted.
The original's last layers (ReLU, 1x1, ReLU, 1x1) are an MLP of depth 1. With dense connections, the WaveNet-dense of
Aksan and Hilliges (2019, section 4), s_t holds the skips of all blocks side by side instead of their sum, as the output
of their STCN-dense sees all latents. Departure: `inputs` may contain several compandings of each sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from lvm_probe import InputError
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.layers.stacked_samples import StackDecoder, StackedConfig, shifted, stacked_presets
from lvm_probe.models.layers.tcn import GatedStack, doubling_dilations
from lvm_probe.models.stacked_model import Decoded, DeterministicModel, Generation
from lvm_probe.models.training.recipe import PAPER, SMALL, TINY, Preset


@dataclass(frozen=True, kw_only=True)
class WaveNetConfig(StackedConfig):
    """Shape of a WaveNet: `cycles` times `layers` blocks with dilations 1 to 2^(layers-1).

    Attributes:
        channels: of all convolutions.
        cycles: how often the dilations start again at 1.
        layers: blocks per cycle.
        perceptron: whether stacks pass through a perceptron (`width`, `depth`) before the first convolution.
        dense: whether the output sees the skips of all blocks, or their sum.
    """

    channels: int
    cycles: int = 5
    layers: int = 10
    perceptron: bool = True
    dense: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check((self.channels, self.cycles, self.layers))
        if not self.perceptron and (self.output.categories or self.stride < self.output.step):
            raise InputError("without a perceptron a WaveNet sees numbers, whole steps of them; leave it on")
        if not isinstance(self.perceptron, bool) or not isinstance(self.dense, bool) or self.layers > 20:
            raise InputError(f"perceptron and dense are true or false, with at most 20 layers in a cycle; got {self}")


_SMALL = Preset(WaveNetConfig(channels=64), SMALL, "s=64, 64 channels; trains on two cores in about an hour")


class WaveNet(DeterministicModel):
    """Autoregressive convolutional network without latents."""

    family = "wavenet"
    Config = WaveNetConfig
    presets = stacked_presets(
        small=_SMALL,
        paper=Preset(
            WaveNetConfig(channels=96, width=96, depth=1, perceptron=False, inputs=("mulaw16",)),
            PAPER,
            "s=64, 96 channels as in the paper, with its schedule; needs a GPU",
        ),
        tiny=Preset(
            WaveNetConfig(channels=8, cycles=2, layers=3, width=16, output=Waveform(components=3)),
            TINY,
            "for tests",
        ),
    ) | {
        "small-dense": replace(
            _SMALL,
            config=replace(_SMALL.config, dense=True),
            note="small with dense connections to the output",
        ),
        "paper-dense": Preset(
            WaveNetConfig(stride=200, channels=256, width=256, depth=1, layers=5, dense=True, inputs=("mulaw16",)),
            PAPER,
            "s=200, 25 blocks of 256 filters as in the paper of the STCN; needs a GPU",
        ),
    }

    def __init__(self, config: WaveNetConfig) -> None:
        super().__init__(config, perceptron=config.perceptron)
        c = config
        features = c.width if c.perceptron else c.stride * c.element_channels
        self.first = nn.Linear(2 * features, c.channels)
        self.stack = GatedStack(c.channels, doubling_dilations(c.layers, c.cycles), skip=c.channels, dense=c.dense)
        self.decoder = StackDecoder(self.stack.skips, 0, c)
        self.state_size, self.encode_reach = self.stack.skips, (self.receptive_field * c.stride, 0)

    @property
    def receptive_field(self) -> int:
        """Steps that a state depends on, including its own."""
        return self.stack.receptive_field + 1

    def states(
        self, features: Float[Tensor, "time rows features"], before: None = None
    ) -> tuple[Float[Tensor, "time rows skips"], None]:
        """The state after each stack, from the beginning: the sum of the skips, or all of them."""
        _, skips = self.stack(self.first(torch.cat((features, shifted(features)), -1)))
        return skips, None

    def predict(self, state: Float[Tensor, "time rows skips"]) -> Decoded:
        """The distribution of the stack after each state."""
        return super().predict(F.relu(state))

    def generate(self, noise: Sequence[Float[Tensor, "_time rows _latent"]], rows: int) -> Generation:
        """Predict a stack from the state after the one before, with the blocks' inputs in memory."""
        state, memory = self.parameter.new_zeros(rows, self.state_size), self.stack.memory(rows)
        before: Tensor | None = None
        while True:
            x = yield self.predict(state.unsqueeze(0))
            before = torch.zeros_like(x) if before is None else before
            _, state = self.stack.step(self.first(torch.cat((x, before), -1))[0], memory)
            before = x
