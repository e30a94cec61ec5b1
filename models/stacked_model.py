"""What the models on stacks of samples have in common: the loop that generates, and two ways to say the rest.

A `StackedModel` says how the next stack is distributed, and generation draws it. A `OneLayerModel` has one layer of
latents, at the rate of the stacks. A `DeterministicModel` has none: a stack is predicted from the states before it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from lvm_probe import InputError
from lvm_probe.models.domains.domain import Distributions
from lvm_probe.models.layers.stacked_samples import StackDecoder, StackedConfig, StackEncoder, shifted
from lvm_probe.models.model import SpeechModel
from lvm_probe.models.trajectory import Trajectory

Decoded = tuple[Distributions, Float[Tensor, "_batch _samples"] | None]
"""The distribution of every element, and the auxiliary waveform if the model has one."""

Generation = Generator[Decoded, Tensor, None]
"""The steps of a generation: yields the next stack's distribution and receives the features of what was drawn."""


class StackedModel(SpeechModel):
    """A model whose step is a stack of samples.

    Args:
        config: shape of the model.
        latents: size of each layer of latents, all at the rate of the stacks.
        perceptron: whether stacks pass through a perceptron φ.
    """

    def __init__(self, config: StackedConfig, latents: tuple[int, ...] = (), *, perceptron: bool = True) -> None:
        super().__init__()
        self.config, self.stride = config, config.stride
        self.latents, self.strides = latents, (config.stride,) * len(latents)
        self.frames = StackEncoder(config) if perceptron else None

    def features(self, x: Shaped[Tensor, "batch elements"], step: int = 0) -> Float[Tensor, "time batch features"]:
        """φ of whole stacks; without a perceptron, what a network sees of their elements, side by side.

        Args:
            x: whole stacks.
            step: number of the first one.
        """
        if self.frames is not None:
            features: Tensor = self.frames(x, step)
            return features
        x = self.config.element_features(x, self.parameter.dtype)
        return x.unflatten(1, (-1, self.stride)).flatten(2).transpose(0, 1)

    @abstractmethod
    def generate(self, noise: Sequence[Float[Tensor, "_time rows _latent"]], rows: int) -> Generation:
        """The steps of a generation, with the same conditioning as in training.

        Args:
            noise: standard normal, for each layer, on the device of the weights.
            rows: sequences.

        Yields:
            p(x_t | ...) of one step, as `decode` returns it. What is drawn from it is sent back as φ(x_t), (1, rows,
            features).
        """

    @torch.no_grad()
    def sample(self, samples: int, rows: int, generator: torch.Generator) -> Shaped[Tensor, "rows elements"]:
        """Generate step by step: a stack is drawn, rounded as the data are and fed back."""
        where = self.parameter
        noise = [n.to(where.device) for n in self.noise(samples, rows, generator, where.dtype)]
        steps, features = self.generate(noise, rows), None
        stacks: list[Tensor] = []
        for step in range(-(-samples // self.stride)):
            output, _ = next(steps) if features is None else steps.send(features)
            stacks.append(output.sample(generator))
            features = self.features(self.config.output.quantise(stacks[-1]).to(where.device), step)
        return torch.cat(stacks, 1)[:, :samples]


@dataclass(frozen=True, kw_only=True)
class OneLayerConfig(StackedConfig):
    """Shape of a model with one layer of latents.

    Attributes:
        latent: size of z.
        hidden: units of the recurrent networks.
        posterior_std: standard deviation of the posterior, or of the evidence's Gaussian, at the start of training.
    """

    latent: int
    hidden: int
    posterior_std: float = 0.15

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check((self.latent, self.hidden))
        if not self.posterior_std > 0:
            raise InputError(f"posterior_std must be positive; got {self}")


class LatentLayer(Protocol):
    """What infers the latents of a `OneLayerModel`."""

    def infer(self, past: Tensor, evidence: Tensor, noise: Tensor, before: Trajectory | None) -> Trajectory:
        """Run the posterior through time.

        Args:
            past: what the data before every step say of it, (time, one or rows, features).
            evidence: what else inference knows of every step, (time, one or rows, features).
            noise: standard normal, (time, rows, latent).
            before: the stretch of time before this one; its last step is where the recurrence continues.
        """


class OneLayerModel(StackedModel):
    """A model with one layer of latents, at the rate of the stacks. `encode` returns the past and the evidence."""

    decoder: StackDecoder

    def __init__(self, config: OneLayerConfig) -> None:
        super().__init__(config, (config.latent,))
        self.encode_reach, self.decode_reach = None, (0, 0)

    def seen(self, z: Float[Tensor, "*time rows latent"], h: Float[Tensor, "*time rows hidden"]) -> Tensor:
        """What the output of a step depends on: z and the state."""
        return torch.cat((z, h), -1)

    def infer(
        self,
        encoded: Sequence[Float[Tensor, "time one_or_rows _features"]],
        noise: Sequence[Float[Tensor, "time rows latent"]],
        before: Sequence[Trajectory] = (),
    ) -> tuple[Trajectory, ...]:
        """Run the posterior."""
        past, evidence = encoded
        layer = cast("LatentLayer", self.posterior_modules[0])
        return (layer.infer(past, evidence, noise[0], before[0] if before else None),)

    def decode(
        self,
        encoded: Sequence[Float[Tensor, "time batch _features"]],
        layers: Sequence[Trajectory],
        lengths: Int[Tensor, " batch"],
    ) -> Decoded:
        """p(x_t | z_{≤t}, x_{<t}) for every element, and the auxiliary waveform."""
        (layer,) = layers
        return self.output(layer.z, layer.h)

    def output(self, z: Float[Tensor, "time rows latent"], h: Float[Tensor, "time rows hidden"]) -> Decoded:
        """p(x_t | z_{≤t}, x_{<t}) of steps."""
        decoded: Decoded = self.decoder(self.seen(z, h), z)
        return decoded


class DeterministicModel(StackedModel):
    """A model without latents, so that its likelihood is exact.

    The encoder returns the state after every stack and the decoder takes its predecessor, so every stack is predicted,
    the first one from zeros.

    Attributes:
        state_size: channels of the states.
    """

    decoder_sees_audio = True
    prior_sees_audio = False
    state_size: int
    decoder: StackDecoder

    def __init__(self, config: StackedConfig, *, perceptron: bool = True) -> None:
        super().__init__(config, perceptron=perceptron)
        self.encode_reach, self.decode_reach = None, (config.stride, 0)

    @abstractmethod
    def states(
        self, features: Float[Tensor, "time rows _features"], before: Any = None
    ) -> tuple[Float[Tensor, "time rows states"], Any]:
        """The state after every stack.

        Args:
            features: of the stacks.
            before: what was returned with the states before these, None at the beginning.

        Returns:
            The states, in the precision of the weights under autocast, and what continues them.
        """

    def predict(self, state: Float[Tensor, "time rows states"]) -> Decoded:
        """The distribution of the stack after each state."""
        decoded: Decoded = self.decoder(state)
        return decoded

    def encode(
        self, x: Shaped[Tensor, "batch elements"], lengths: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "time batch states"]]:
        """The state after every stack."""
        states, _ = self.states(self.features(self.pad(x)))
        return (states,)

    def decode(
        self,
        encoded: Sequence[Float[Tensor, "time batch states"]],
        layers: Sequence[Trajectory],
        lengths: Int[Tensor, " batch"],
    ) -> Decoded:
        """p(x_t | x_{<t}) for every element, from the state after the stack before."""
        return self.predict(shifted(encoded[0]))

    def generate(self, noise: Sequence[Float[Tensor, "_time rows _latent"]], rows: int) -> Generation:
        """Predict a stack from the state after the one before."""
        state, carried = self.parameter.new_zeros(1, rows, self.state_size), None
        while True:
            features = yield self.predict(state)
            state, carried = self.states(features, carried)
