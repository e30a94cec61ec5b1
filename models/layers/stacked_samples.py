"""Encoder and decoder of the models that take `stride` consecutive elements as one vector, a stack.

Havtorn et al. (2022, section 3) call the samples of a stack stacked frames: a multilayer perceptron maps a stack to
features, and another maps states and latents to the output parameters of all samples of a stack. A step sees no other
step's elements, so padding changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from lvm_probe import InputError
from lvm_probe.models.domains.domain import Distributions
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.layers.dropout import Dropout
from lvm_probe.models.layers.within_step import FACTORISED, check_within_step, distributions, step_head
from lvm_probe.models.model import ModelConfig
from lvm_probe.models.training.recipe import Preset


@dataclass(frozen=True, kw_only=True)
class StackedConfig(ModelConfig):
    """Shape of a model on stacks of samples.

    Attributes:
        stride: elements per stack, which is one time step. Where the elements of a domain are all of one kind, it may
            also be a divisor of the domain's step.
        width: units in each layer of the perceptrons.
        depth: layers of each perceptron.
        within_step: how the elements of a step depend on each other; see `layers.within_step`.
    """

    stride: int = 64
    width: int = 256
    depth: int = 2
    within_step: str = FACTORISED

    def __post_init__(self) -> None:
        self.check((self.stride, self.width, self.depth))
        step = self.output.step
        if self.stride % step and (step % self.stride or not self.output.uniform):
            raise InputError(f"a step of {self.output.name} has {step} elements; a stride of {self.stride} cuts it")
        check_within_step(self)


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
    """A perceptron from the elements of a stack to features: (batch, elements) to (time, batch, width).

    Tokens are embedded. Where a stack is less than a step of the domain, its place in the step is an input too.
    """

    def __init__(self, config: StackedConfig) -> None:
        super().__init__()
        self.config, self.stride, domain = config, config.stride, config.output
        first = domain.categories or config.stride * config.element_channels
        sizes = (first, *[config.width] * config.depth)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        if domain.categories:
            self.layers[0] = nn.Embedding(config.stride * domain.categories, config.width)
        self.places = max(1, domain.step // config.stride)
        self.place = nn.Embedding(self.places, config.width) if self.places > 1 else None
        self.dropout = Dropout()

    def forward(self, x: Shaped[Tensor, "batch elements"], step: int = 0) -> Float[Tensor, "time batch width"]:
        """The features of stacks.

        Args:
            x: whole stacks.
            step: number of the first one.
        """
        first, *others = self.layers
        if isinstance(first, nn.Embedding):
            stacks = self.config.output.check(x).unflatten(1, (-1, self.stride)).transpose(0, 1)
            places = torch.arange(self.stride, device=x.device) * self.config.output.categories
            y = first(stacks + places).sum(2)
        else:
            y = self.config.element_features(x, next(self.parameters()).dtype)
            y = first(y.unflatten(1, (-1, self.stride)).flatten(2).transpose(0, 1))
        if self.place is not None:
            y = y + self.place(torch.arange(step, step + len(y), device=x.device) % self.places).unsqueeze(1)
        y = F.relu(y)
        for layer in others:
            y = F.relu(layer(y))
        return self.dropout(y)


class StackDecoder(nn.Module):
    """A perceptron from features to the distributions of a stack's elements, and to the auxiliary waveform.

    Args:
        features: size of the input.
        latent: size of the latents that the auxiliary waveform is also a linear function of; 0 for no such waveform.
        config: shape of the perceptron and of the output.
    """

    def __init__(self, features: int, latent: int, config: StackedConfig) -> None:
        super().__init__()
        self.domain = config.output
        sizes = (features, *[config.width] * config.depth)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.head = step_head(config.width, config)
        self.dropout = Dropout()
        auxiliary = latent > 0 and isinstance(config.output, Waveform)
        self.aux_features = nn.Linear(config.width, config.stride) if auxiliary else None
        self.aux_latent = nn.Linear(latent, config.stride) if auxiliary else None

    def forward(
        self, features: Float[Tensor, "time batch features"], z: Float[Tensor, "time batch latent"] | None = None
    ) -> tuple[Distributions, Float[Tensor, "batch samples"] | None]:
        y = self.dropout(features.transpose(0, 1))
        for layer in self.layers:
            y = F.relu(layer(y))
        y = self.dropout(y)
        output = distributions(self.head, y, self.domain)
        if self.aux_features is None or self.aux_latent is None or z is None:
            return output, None
        waveform = self.aux_features(y) + self.aux_latent(z.transpose(0, 1))
        return output, waveform.reshape(len(y), -1)


def shifted(x: Float[Tensor, "time rows channel"], steps: int = 1) -> Float[Tensor, "time rows channel"]:
    """x delayed by `steps` time steps, with zeros in front."""
    return torch.cat((torch.zeros_like(x[:steps]), x[: max(0, len(x) - steps)]))[: len(x)]
