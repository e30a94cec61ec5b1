"""Encoder and decoder of the models that take `stride` consecutive samples as one vector, a stack.

Havtorn et al. (2022, section 3) call the samples of a stack stacked frames: a multilayer perceptron maps a stack to
features, and another maps states and latents to the output parameters of all samples of a stack. A step sees no other
step's samples, so padding changes nothing.
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
    """Shape of a model on stacks of samples.

    Attributes:
        stride: samples per stack, which is one time step.
        width: units in each layer of the perceptrons.
        depth: layers of each perceptron.
    """

    stride: int = 64
    width: int = 256
    depth: int = 2

    def __post_init__(self) -> None:
        self.check((self.stride, self.width, self.depth))


def stacked_presets(small: Preset, paper: Preset, tiny: Preset) -> dict[str, Preset]:
    """The presets of a model on stacks of samples, with the paper's at its other strides too.

    At s = 1 whole utterances have too many steps, and training takes segments of one second (Havtorn et al. 2022).
    """
    presets = {"small": small, "paper": paper}
    for stride in (1, 200, 256):
        recipe = replace(paper.recipe, segment=16_000) if stride == 1 else paper.recipe
        presets[f"paper-{stride}"] = Preset(replace(paper.config, stride=stride), recipe, f"paper with s={stride}")
    return presets | {"tiny": tiny}


class StackEncoder(nn.Module):
    """A perceptron from the companded samples of a stack to features: (batch, samples) to (time, batch, width)."""

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
    """A perceptron from features to the output parameters of a stack, and to the auxiliary waveform.

    Args:
        features: size of the input.
        latent: size of the latents that the auxiliary waveform is also a linear function of; 0 for no such waveform.
        config: shape of the perceptron and of the output.
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
    """x delayed by `steps` time steps, with zeros in front."""
    return torch.cat((torch.zeros_like(x[:steps]), x[: max(0, len(x) - steps)]))[: len(x)]
