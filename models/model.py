"""What every model of the family is: encode an utterance, infer latents, decode them to a distribution of audio.

A model states distributions; losses, metrics and training live elsewhere. Waveforms are 16-bit PCM, (batch, samples),
zero-padded behind. Sequences at a latent rate have time first.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

import torch
from jaxtyping import Float, Int, Int16
from torch import Tensor, nn
from torch.nn import functional as F

from lvm_probe import InputError
from lvm_probe.models.likelihood import mulaw
from lvm_probe.models.likelihood.output_distribution import Output, OutputConfig
from lvm_probe.models.training.recipe import Preset
from lvm_probe.models.trajectory import Trajectory

Companding = Literal["mulaw16", "mulaw8", "linear"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What all configurations have: the compandings of each sample that the encoder sees, and the output.

    16-bit μ-law alone is what the paper feeds its encoders. With 8-bit μ-law and ten times the waveform beside it the
    amplified quiet noise of the 16-bit μ-law does not drown the speech.
    """

    inputs: tuple[Companding, ...] = ("mulaw16", "mulaw8", "linear")
    output: OutputConfig = field(default_factory=OutputConfig)
    sample_rate: int = 16_000

    def check(self, positive: Sequence[object], not_negative: Sequence[object] = ()) -> None:
        """InputError unless the given sizes are whole numbers in their range and the inputs known."""
        sizes = (*positive, *not_negative, self.sample_rate)
        if any(not isinstance(size, int) for size in sizes):
            raise InputError(f"sizes must be whole numbers; got {self}")
        if any(size < 1 for size in (*positive, self.sample_rate)) or any(size < 0 for size in not_negative):  # type: ignore[operator]
            raise InputError(f"sizes must be positive; got {self}")
        known = get_args(Companding)
        if not self.inputs or any(how not in known for how in self.inputs):
            raise InputError(f"inputs must be some of {', '.join(known)}; got {self.inputs}")


@dataclass(frozen=True)
class ForwardPass:
    """What one pass over a batch states: a trajectory per latent layer (lowest first) and p(x | latents, past).

    `waveform` is the auxiliary linear estimate of 2·μlaw255(x), which only training looks at; deterministic models
    have none.
    """

    layers: tuple[Trajectory, ...]
    output: Output
    waveform: Float[Tensor, "batch samples"] | None


class SpeechModel(nn.Module, ABC):
    """The contract of the family.

    `stride` is the lowest step in samples; `strides` and `latents` are those of the latent layers, lowest first, and
    empty for a deterministic model. `encode_reach` and `decode_reach` say how many samples before and after a step
    the encoder and the decoder look at (None: the whole utterance), which is what evaluation in chunks goes by.
    """

    family: ClassVar[str]
    Config: ClassVar[type[Any]]
    presets: ClassVar[Mapping[str, Preset]]

    config: Any
    stride: int
    strides: tuple[int, ...]
    latents: tuple[int, ...]
    encode_reach: tuple[int, int] | None
    decode_reach: tuple[int, int]

    @abstractmethod
    def encode(
        self, pcm: Int16[Tensor, "batch samples"], lengths: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "_time batch _features"], ...]:
        """Everything that depends on the audio alone, time first; the samples of an utterance share it."""

    def infer(
        self,
        encoded: Sequence[Float[Tensor, "_time one_or_rows _features"]],
        noise: Sequence[Float[Tensor, "_time rows _latent"]],
        before: Sequence[Trajectory] = (),
    ) -> tuple[Trajectory, ...]:
        """Sample the posterior: one trajectory per layer, lowest first.

        `noise` is standard normal per layer. The encoding may have one row for many rows of noise. The recurrence
        starts from zero, or goes on from the last step of `before`. A deterministic model has nothing to infer.
        """
        return ()

    @abstractmethod
    def decode(
        self,
        encoded: Sequence[Float[Tensor, "_time batch _features"]],
        layers: Sequence[Trajectory],
        lengths: Int[Tensor, " batch"],
    ) -> tuple[Output, Float[Tensor, "batch samples"] | None]:
        """The distribution of every sample, and the auxiliary waveform if the model has one."""

    @abstractmethod
    def sample(self, samples: int, rows: int, generator: torch.Generator) -> Float[Tensor, "rows samples"]:
        """Waveforms in [-1, 1] from the prior, by the conditioning that training sees. The generator is the CPU's."""

    def forward(
        self,
        pcm: Int16[Tensor, "batch samples"],
        lengths: Int[Tensor, " batch"],
        noise: Sequence[Float[Tensor, "_time batch _latent"]],
    ) -> ForwardPass:
        """Encode, sample the posterior once and decode."""
        encoded = self.encode(pcm, lengths)
        layers = self.infer(encoded, noise)
        return ForwardPass(layers, *self.decode(encoded, layers, lengths))

    @property
    def posterior_modules(self) -> tuple[Any, ...]:
        """The parts whose attribute `posterior` says how a layer is inferred, lowest first; none without latents."""
        return ()

    def without_inference(self, layer: int) -> SpeechModel:
        """A copy in which the given layer (0 the lowest) is not inferred: its posterior is its prior.

        Its ELBO is a bound too. How far it lies below the model's own is what inferring the layer is worth.
        """
        other = copy.deepcopy(self)
        other.posterior_modules[layer].posterior = "prior"
        return other

    @classmethod
    def seeded(cls, config: Any, seed: int) -> SpeechModel:
        """A model with random weights that depend on the seed alone; where training with that seed begins."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(config)

    @property
    def coarsest_stride(self) -> int:
        """Utterances are padded to a multiple of this, the highest stride."""
        return max((self.stride, *self.strides))

    @property
    def deterministic(self) -> bool:
        """Whether the model has no latents, so that its likelihood is exact and not a bound."""
        return not self.latents

    @property
    def parameter(self) -> Tensor:
        """Some parameter, for its device and type."""
        return next(self.parameters())

    def pad(self, pcm: Int16[Tensor, "batch samples"]) -> Int16[Tensor, "batch padded"]:
        """Zero-pad behind to whole steps of the highest layer."""
        return F.pad(pcm, (0, -pcm.shape[1] % self.coarsest_stride))

    def noise(
        self, samples: int, rows: int, generator: torch.Generator, dtype: torch.dtype = torch.float32
    ) -> tuple[Float[Tensor, "_time rows _latent"], ...]:
        """Standard normal noise for every layer (lowest first) of `samples` samples of audio, on the CPU."""
        whole = -(-samples // self.coarsest_stride) * self.coarsest_stride
        return tuple(
            torch.randn(whole // s, rows, z, generator=generator, dtype=dtype)
            for s, z in zip(self.strides, self.latents, strict=True)
        )


def compand(pcm: Int16[Tensor, "batch samples"], inputs: Sequence[Companding], dtype: torch.dtype) -> Tensor:
    """The compandings side by side, (batch, samples, inputs)."""
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
