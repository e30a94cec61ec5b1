"""Stacked frames: the coder of the models that see `stride` samples as one vector.

`papers/001` section 3: the waveform is cut into stacks of s samples, a multilayer perceptron maps a stack to a feature
vector, another maps state and latents to the output parameters of a whole stack. Nothing looks sideways, so padding
cannot leak.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from jaxtyping import Float, Int16
from torch import Tensor, nn
from torch.nn import functional as F

from lvm_probe.models.likelihood.output_distribution import Output, output_head
from lvm_probe.models.model import ModelConfig, compand
from lvm_probe.models.training.recipe import Preset


@dataclass(frozen=True, kw_only=True)
class StackedConfig(ModelConfig):
    """Shape of a model on stacked frames: `stride` samples a stack; `width` and `depth` of the perceptrons."""

    stride: int = 64
    width: int = 256
    depth: int = 2

    def __post_init__(self) -> None:
        self.check((self.stride, self.width, self.depth))


def stacked_presets(small: Preset, paper: Preset, tiny: Preset) -> dict[str, Preset]:
    """The presets of a model on stacked frames: the paper's also at its other strides.

    At s = 1 it is trained on segments of a second, as in the paper, which has too many steps for whole utterances.
    """
    presets = {"small": small, "paper": paper}
    for stride in (1, 200, 256):
        recipe = replace(paper.recipe, segment=16_000) if stride == 1 else paper.recipe
        presets[f"paper-{stride}"] = Preset(replace(paper.config, stride=stride), recipe, f"paper with s={stride}")
    return presets | {"tiny": tiny}


class StackEncoder(nn.Module):
    """A perceptron from a stack's samples, companded, to features: (batch, samples) to (time, batch, width)."""

    def __init__(self, config: StackedConfig) -> None:
        super().__init__()
        self.inputs, self.stride = config.inputs, config.stride
        sizes = (config.stride * len(config.inputs), *[config.width] * config.depth)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def forward(self, pcm: Int16[Tensor, "batch samples"]) -> Float[Tensor, "time batch width"]:
        x = compand(pcm, self.inputs, next(self.parameters()).dtype)
        x = x.unflatten(1, (-1, self.stride)).flatten(2).transpose(0, 1)
        for layer in self.layers:
            x = F.relu(layer(x))
        return x


class StackDecoder(nn.Module):
    """A perceptron from features to the output parameters of a stack, with the auxiliary waveform beside it.

    `latent` is the width of the latents from which the auxiliary waveform is read directly (0: it has none).
    """

    def __init__(self, features: int, latent: int, config: StackedConfig) -> None:
        super().__init__()
        self.config = config.output
        sizes = (features, *[config.width] * config.depth)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.head = output_head(config.width, config.stride, config.output)
        self.aux_features = nn.Linear(config.width, config.stride) if latent else None
        self.aux_latent = nn.Linear(latent, config.stride) if latent else None

    def forward(
        self, features: Float[Tensor, "time batch features"], z: Float[Tensor, "time batch latent"] | None = None
    ) -> tuple[Output, Float[Tensor, "batch samples"] | None]:
        y = features.transpose(0, 1)
        for layer in self.layers:
            y = F.relu(layer(y))
        batch = y.shape[0]
        output = Output(self.config, self.head(y).reshape(batch, -1, self.config.size))
        if self.aux_features is None or self.aux_latent is None or z is None:
            return output, None
        waveform = self.aux_features(y) + self.aux_latent(z.transpose(0, 1))
        return output, waveform.reshape(batch, -1)


def shifted(x: Float[Tensor, "time rows channel"], steps: int = 1) -> Float[Tensor, "time rows channel"]:
    """Every step's predecessor: x delayed by `steps`, zeros in front."""
    return torch.cat((torch.zeros_like(x[:steps]), x[: max(0, len(x) - steps)]))[: len(x)]
