"""The contract of all models: encode an utterance, infer latents, decode them to a distribution of every element.

A model states distributions. Losses, metrics and training live elsewhere.

Data are elements of shape (batch, elements), zero-padded at the end: 16-bit PCM, or those of another domain (see
`models.domains`). What follows speaks of audio and means any of them. Sequences of time steps have time first.
Layers of latents are numbered from the one with the shortest stride, z1, upwards.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, assert_never, get_args

import torch
from jaxtyping import Float, Int, Int16, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from lvm_probe import InputError
from lvm_probe.models.domains.domain import Distributions, Domain
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.likelihood import mulaw
from lvm_probe.models.likelihood.gaussian import Gaussian, Posterior
from lvm_probe.models.training.recipe import Preset
from lvm_probe.models.trajectory import Trajectory

Companding = Literal["mulaw16", "mulaw8", "linear"]

_GIVEN_LOG_PRECISION = 60.0
"""Of latents that are given instead of inferred: a standard deviation of 1e-13."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What all configurations have.

    Attributes:
        inputs: the compandings of each audio sample that the encoder sees. Havtorn et al. (2022) use 16-bit μ-law
            alone, which amplifies quiet noise; with 8-bit μ-law and ten times the waveform besides, it does not mask
            the speech.
        output: the domain: what the elements of a sequence are, and the distribution of one.
        sample_rate: in Hz.
    """

    inputs: tuple[Companding, ...] = ("mulaw16", "mulaw8", "linear")
    output: Domain = field(default_factory=Waveform)
    sample_rate: int = 16_000

    def check(self, positive: Sequence[object], not_negative: Sequence[object] = ()) -> None:
        """Raise InputError unless the given sizes are whole numbers in their range and the inputs are known."""
        sizes = (*positive, *not_negative, self.sample_rate)
        if any(not isinstance(size, int) for size in sizes):
            raise InputError(f"sizes must be whole numbers; got {self}")
        if any(size < 1 for size in (*positive, self.sample_rate)) or any(size < 0 for size in not_negative):  # type: ignore[operator]
            raise InputError(f"sizes must be positive; got {self}")
        known = get_args(Companding)
        if not self.inputs or any(how not in known for how in self.inputs):
            raise InputError(f"inputs must be some of {', '.join(known)}; got {self.inputs}")

    @property
    def element_channels(self) -> int:
        """Numbers that a network sees of each element; for waveforms one for each companding."""
        return len(self.inputs) if isinstance(self.output, Waveform) else 1

    def element_features(
        self, x: Shaped[Tensor, "batch elements"], dtype: torch.dtype
    ) -> Float[Tensor, "batch elements _c"]:
        """What a network sees of each element.

        Raises:
            InputError: if the elements are not of the domain.
        """
        if isinstance(self.output, Waveform):
            return compand(x, self.inputs, dtype)
        return self.output.features(x, dtype)


@dataclass(frozen=True)
class ForwardPass:
    """What one pass over a batch states.

    Attributes:
        layers: a trajectory for each layer of latents, lowest first.
        output: p(x | latents, past elements) of every element.
        waveform: the auxiliary linear estimate of 2·μlaw255(x), for training only; deterministic models have none.
        auxiliary_cost: what training adds to the negative ELBO, in nats over the batch; None where a model has none.
    """

    layers: tuple[Trajectory, ...]
    output: Distributions
    waveform: Float[Tensor, "batch samples"] | None
    auxiliary_cost: Float[Tensor, ""] | None = None


class PosteriorModule(nn.Module):
    """The part of a model that infers one layer of latents.

    Attributes:
        posterior: how the posterior is made from prior and evidence; "prior" infers nothing.
        given: latents that take the place of the inferred ones, if set.
    """

    posterior: Posterior
    given: Float[Tensor, "steps 1 latent"] | None = None

    @staticmethod
    def certain(z: Float[Tensor, "*time rows latent"]) -> Gaussian:
        """The posterior of latents that are given."""
        return Gaussian(z, torch.full_like(z, _GIVEN_LOG_PRECISION))


class SpeechModel(nn.Module, ABC):
    """The contract of all families. CONTRIBUTING.md shows how to add one.

    Precision: the trainer may run `encode`, `infer` and `decode` under `torch.autocast` with bfloat16 (`--precision`),
    in which linear layers compute in bfloat16. The model keeps in the precision of its weights what accumulates over
    time steps and what enters a divergence: recurrences, latents, priors and posteriors. It disables autocast around
    them, as `layers.gru.run` does. Likelihoods are computed in single precision or better in any case.

    Attributes:
        family: name in the registry, in checkpoints and on the command line.
        Config: its configuration, a frozen dataclass that extends `ModelConfig`.
        presets: by name; "small" and "tiny" at least.
        decoder_sees_audio: whether p(x_t | ...) depends on past elements other than through the latents.
        prior_sees_audio: whether p(z_t | ...) depends on past elements other than through the latents.
        config: of this model.
        stride: elements per step of the lowest layer, such as audio samples.
        strides: elements per step of each layer of latents, lowest first; empty without latents.
        latents: size of each layer of latents, lowest first; empty without latents.
        encode_reach: elements before and after a step that `encode` looks at; None for the whole utterance.
            Evaluation in chunks relies on it.
        decode_reach: the same for `decode`, in what it looks at of encoding and latents.
        infer_reach: steps of the time before that `infer` looks at; 1 for a recurrence.
    """

    family: ClassVar[str]
    Config: ClassVar[type[Any]]
    presets: ClassVar[Mapping[str, Preset]]
    decoder_sees_audio: bool
    prior_sees_audio: bool

    config: Any
    stride: int
    strides: tuple[int, ...]
    latents: tuple[int, ...]
    encode_reach: tuple[int, int] | None
    decode_reach: tuple[int, int]
    infer_reach: int = 1

    @abstractmethod
    def encode(
        self, x: Shaped[Tensor, "batch elements"], lengths: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "_time batch _features"], ...]:
        """Everything that depends on the data alone, so that Monte Carlo draws of an utterance can share it.

        Args:
            x: elements, such as 16-bit PCM, zero-padded.
            lengths: elements of each row before the padding.

        Returns:
            Sequences of features, time first.

        Raises:
            InputError: if the elements are not of the domain, as floating-point audio.
        """

    def infer(
        self,
        encoded: Sequence[Float[Tensor, "_time one_or_rows _features"]],
        noise: Sequence[Float[Tensor, "_time rows _latent"]],
        before: Sequence[Trajectory] = (),
    ) -> tuple[Trajectory, ...]:
        """Draw latents from the posterior.

        Args:
            encoded: what `encode` returns, or a stretch of it. One row may stand for all rows of noise.
            noise: standard normal, for each layer.
            before: what `infer` returned for the time before; `infer_reach` steps of it at least, see `continuing`.
                The recurrence continues from its last step; without it, from zeros.

        Returns:
            A trajectory for each layer, lowest first; none for a deterministic model.
        """
        return ()

    @abstractmethod
    def decode(
        self,
        encoded: Sequence[Float[Tensor, "_time batch _features"]],
        layers: Sequence[Trajectory],
        lengths: Int[Tensor, " batch"],
    ) -> tuple[Distributions, Float[Tensor, "batch samples"] | None]:
        """The distribution of every element, and the auxiliary waveform if the model has one.

        Args:
            encoded: what `encode` returns.
            layers: what `infer` returns.
            lengths: elements of each row before the padding.
        """

    @abstractmethod
    def sample(self, samples: int, rows: int, generator: torch.Generator) -> Shaped[Tensor, "rows samples"]:
        """Generate sequences from the prior, with the same conditioning as in training.

        Args:
            samples: elements of a sequence, such as audio samples.
            rows: sequences.
            generator: on the CPU; all randomness comes from it.

        Returns:
            Waveforms in [-1, 1], or elements of another domain.
        """

    def forward(
        self,
        x: Shaped[Tensor, "batch elements"],
        lengths: Int[Tensor, " batch"],
        noise: Sequence[Float[Tensor, "_time batch _latent"]],
    ) -> ForwardPass:
        """Encode, draw the latents once and decode."""
        encoded = self.encode(x, lengths)
        layers = self.infer(encoded, noise)
        decoded = self.decode(encoded, layers, lengths)
        return ForwardPass(layers, *decoded, self.auxiliary_cost(x, encoded, layers, lengths))

    def auxiliary_cost(
        self,
        x: Shaped[Tensor, "batch elements"],
        encoded: Sequence[Float[Tensor, "_time batch _features"]],
        layers: Sequence[Trajectory],
        lengths: Int[Tensor, " batch"],
    ) -> Float[Tensor, ""] | None:
        """What training adds to the negative ELBO, weighted, in nats over the batch; no part of any likelihood.

        Args:
            x: elements, zero-padded.
            encoded: what `encode` returns.
            layers: what `infer` returns.
            lengths: elements of each row before the padding.

        Returns:
            The cost; None for models that are trained by the ELBO alone.
        """
        return None

    def continuing(self, before: Sequence[Trajectory], layers: Sequence[Trajectory]) -> tuple[Trajectory, ...]:
        """What `infer` needs as `before` after a stretch of time.

        Args:
            before: what it was given for that stretch.
            layers: what it returned.
        """
        if not before or len(layers[0].z) >= self.infer_reach:
            return tuple(layers)
        joined = [Trajectory.concatenate(both) for both in zip(before, layers, strict=True)]
        return tuple(t.steps(max(0, len(t.z) - self.infer_reach), len(t.z)) for t in joined)

    def anneal(self, done: float) -> None:
        """Change what is no weight and follows the course of training, such as the slope of an estimator of gradients.

        The trainer calls it before every update. What changes must be a tensor that is changed in place, for a CUDA
        graph to read, and must not change what the model says.

        Args:
            done: share of the updates that are done.
        """

    @property
    def posterior_modules(self) -> tuple[PosteriorModule, ...]:
        """The parts that infer the layers of latents, lowest first; none without latents."""
        return ()

    def prior_draw(
        self, prior: Gaussian, noise: Float[Tensor, "*time rows _latent"]
    ) -> Float[Tensor, "*time rows _latent"]:
        """Latents that are drawn from a layer's prior, as a trajectory's `z` has them.

        Args:
            prior: the trajectory's.
            noise: standard normal.
        """
        return prior.draw(noise)

    def without_inference(self, layer: int) -> SpeechModel:
        """A copy that draws one layer from its prior instead of its posterior.

        Its ELBO is a bound too. The difference to the model's own is what inferring the layer is worth.

        Args:
            layer: 0 for the lowest.
        """
        other = copy.deepcopy(self)
        other.posterior_modules[layer].posterior = "prior"
        return other

    def with_latents(self, layer: int, z: Float[Tensor, "steps latent"]) -> SpeechModel:
        """A copy whose latents of one layer are given instead of inferred.

        States and lower layers follow from them by the model's own equations.

        Args:
            layer: 0 for the lowest.
            z: for all steps of the padded recording that the copy shall be used on, in one call of `infer`.
        """
        other = copy.deepcopy(self)
        other.posterior_modules[layer].given = z.to(self.parameter).unsqueeze(1)
        return other

    @classmethod
    def seeded(cls, config: Any, seed: int) -> SpeechModel:
        """An untrained model whose random weights depend on the seed alone; training with that seed starts from it.

        Example:
            >>> from lvm_probe.models.registry import family, preset
            >>> model = family("vrnn").seeded(preset("vrnn", "tiny").config, seed=0)
            >>> model.strides, model.latents
            ((64,), (8,))
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(config)

    @property
    def no_likelihood(self) -> str | None:
        """Why bits per frame of this model are no bound on a likelihood; None if they are."""
        return None

    @property
    def can_sample(self) -> bool:
        """Whether there is a prior to sample from."""
        return True

    @property
    def token_segment(self) -> int | None:
        """Audio samples of the segment in which a token is encoded as a whole; None if a token is a mean over steps."""
        return None

    @property
    def coarsest_stride(self) -> int:
        """The longest stride, in whole steps of the domain; utterances are padded to a multiple of it."""
        return math.lcm(max((self.stride, *self.strides)), self.config.output.step)

    @property
    def deterministic(self) -> bool:
        """Whether the model has no latents, so that its likelihood is exact and not a bound."""
        return not self.latents

    @property
    def parameter(self) -> Tensor:
        """Some parameter, for its device and type."""
        return next(self.parameters())

    def pad(self, x: Shaped[Tensor, "batch elements"]) -> Shaped[Tensor, "batch padded"]:
        """Add zeros at the end, to whole steps of the layer with the longest stride."""
        return F.pad(x, (0, -x.shape[1] % self.coarsest_stride))

    def noise(
        self, samples: int, rows: int, generator: torch.Generator, dtype: torch.dtype = torch.float32
    ) -> tuple[Float[Tensor, "_time rows _latent"], ...]:
        """Standard normal noise of every layer, lowest first, on the CPU.

        Args:
            samples: elements before padding.
            rows: sequences.
            generator: on the CPU.
            dtype: of the noise.
        """
        whole = -(-samples // self.coarsest_stride) * self.coarsest_stride
        return tuple(
            torch.randn(whole // s, rows, z, generator=generator, dtype=dtype)
            for s, z in zip(self.strides, self.latents, strict=True)
        )


def compand(pcm: Int16[Tensor, "batch samples"], inputs: Sequence[Companding], dtype: torch.dtype) -> Tensor:
    """The compandings of every audio sample along a new last axis, (batch, samples, inputs).

    Raises:
        InputError: if `pcm` is not int16.
    """
    x = mulaw.from_pcm(pcm, dtype)
    return torch.stack([_compand(x, how) for how in inputs], -1)


def _compand(x: Tensor, how: Companding) -> Tensor:
    match how:
        case "mulaw16":
            return mulaw.encode(x)
        case "mulaw8":
            return 2 * mulaw.encode(x, 255)
        case "linear":
            return 10 * x
        case _:
            assert_never(how)
