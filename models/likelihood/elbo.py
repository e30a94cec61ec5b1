"""The evidence lower bound of a model on waveforms, in its parts (`papers/001` equations 2 and 11)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, Int16
from torch import Tensor

from lvm_probe import InputError
from lvm_probe.models.batches import Recording, batches_by_length, collate, sample_mask, step_counts, step_mask
from lvm_probe.models.likelihood.chunks import MOST_SAMPLES, chunks
from lvm_probe.models.likelihood.gaussian import kl_divergence
from lvm_probe.models.likelihood.output_distribution import Output
from lvm_probe.models.model import ForwardPass, SpeechModel
from lvm_probe.models.noise import batch_noise
from lvm_probe.models.trajectory import Trajectory

NATS_PER_BIT = math.log(2)


@dataclass(frozen=True)
class Elbo:
    """Nats per utterance of a batch: log p(x | z¹) and the KL of each layer (lowest first)."""

    reconstruction: Float[Tensor, " batch"]
    kl: tuple[Float[Tensor, " batch"], ...]


ACTIVE_NATS = 0.01
"""A latent dimension is active when its posterior moves away from its prior by this many nats a step on average.

Burda et al. (2016) count the units whose posterior mean varies over the data by more than 0.01. A prior that depends on
the past varies too, so here the divergence from the prior is what counts.
"""


@dataclass(frozen=True)
class Evaluation:
    """Sums over a data set, in nats. Frames are samples of audio, as in the paper.

    `kl` holds for each latent layer (lowest first) the KL of each dimension, `steps` the layer's steps. `density` says
    that the likelihood is one of Gaussians, whose bits per frame are no code length.
    """

    samples: int
    utterances: int
    reconstruction: float
    pcm_reconstruction: float
    kl: tuple[Float[np.ndarray, " _latent"], ...]
    steps: tuple[int, ...]
    density: bool = False

    @property
    def elbo(self) -> float:
        """One-sample ELBO in nats over the whole data set; the log likelihood of a deterministic model."""
        return self.reconstruction - self._kl

    @property
    def bits_per_frame(self) -> float:
        """Equation 11: all bits over all frames; not a mean of per-utterance means."""
        return -self.elbo / (self.samples * NATS_PER_BIT)

    @property
    def pcm_bits_per_frame(self) -> float:
        """Code length of the 16-bit PCM itself: the same bound with bins that tile the line."""
        return (self._kl - self.pcm_reconstruction) / (self.samples * NATS_PER_BIT)

    @property
    def nats_per_utterance(self) -> float:
        """The ELBO of an average utterance: the unit of the Gaussian tables (`papers/001` table 4)."""
        return self.elbo / self.utterances

    @property
    def kl_bits_per_frame(self) -> dict[str, float]:
        """KL of each layer, `z1` the lowest."""
        return {f"z{i}": float(kl.sum()) / (self.samples * NATS_PER_BIT) for i, kl in enumerate(self.kl, 1)}

    @property
    def kl_nats_per_step(self) -> dict[str, Float[np.ndarray, " _latent"]]:
        """KL of each dimension of each layer, for an average step of that layer."""
        return {f"z{i}": kl / steps for i, (kl, steps) in enumerate(zip(self.kl, self.steps, strict=True), 1)}

    @property
    def active_units(self) -> dict[str, int]:
        """Dimensions of each layer that carry at least `ACTIVE_NATS` a step."""
        return {name: int((kl >= ACTIVE_NATS).sum()) for name, kl in self.kl_nats_per_step.items()}

    @property
    def collapsed(self) -> tuple[str, ...]:
        """Layers without an active dimension."""
        return tuple(name for name, active in self.active_units.items() if active == 0)

    @property
    def _kl(self) -> float:
        return math.fsum(kl.sum() for kl in self.kl)


def layer_kl(
    layers: Sequence[Trajectory], strides: Sequence[int], lengths: Int[Tensor, " batch"]
) -> list[Float[Tensor, "_time batch _latent"]]:
    """KL(q || p) in nats per layer, zero beyond the utterance."""
    return [
        kl_divergence(layer.posterior, layer.prior) * step_mask(lengths, stride, len(layer.z))
        for layer, stride in zip(layers, strides, strict=True)
    ]


def log_likelihood(
    output: Output, pcm: Int16[Tensor, "batch samples"], lengths: Int[Tensor, " batch"]
) -> Float[Tensor, " batch"]:
    """The paper's log p(x | z) in nats per utterance."""
    return (output.log_prob(pcm) * sample_mask(lengths, pcm.shape[1])).sum(1)


def code_length(
    output: Output, pcm: Int16[Tensor, "batch samples"], lengths: Int[Tensor, " batch"]
) -> Float[Tensor, " batch"]:
    """log p of the 16-bit PCM itself given z, in nats per utterance."""
    return (output.log_mass(pcm) * sample_mask(lengths, pcm.shape[1])).sum(1)


def elbo(
    model: SpeechModel,
    pcm: Int16[Tensor, "batch samples"],
    lengths: Int[Tensor, " batch"],
    noise: Sequence[Float[Tensor, "_time batch _latent"]],
) -> Elbo:
    """One-sample ELBO of each utterance of a zero-padded batch."""
    pcm = model.pad(pcm)
    passed: ForwardPass = model(pcm, lengths, noise)
    kl = tuple(k.sum((0, 2)) for k in layer_kl(passed.layers, model.strides, lengths))
    return Elbo(log_likelihood(passed.output, pcm, lengths), kl)


@torch.no_grad()
def evaluate(
    model: SpeechModel,
    recordings: Sequence[Recording],
    *,
    seed: int = 0,
    most_samples: int = MOST_SAMPLES,
    progress: Callable[[int], None] = lambda samples: None,
) -> Evaluation:
    """One-sample ELBO of whole recordings, in single precision.

    An utterance's noise depends on `seed` and its name only, and its latents on nothing but itself, so the
    figure is the same in any order and company. A recording longer than `most_samples` is taken in chunks of that
    length, to the same figure. `progress` is called with the samples done. Raises InputError when there is nothing to
    evaluate or the likelihood is not finite.
    """
    if not recordings:
        raise InputError("no utterance to evaluate: choose another split or corpus")
    device = model.parameter.device
    samples, likelihoods = 0, np.zeros(2)
    kl = [np.zeros(z) for z in model.latents]
    counts = [0] * len(model.latents)
    for batch in batches_by_length(recordings, most_samples):
        pcm, lengths = collate(batch)
        noise = batch_noise(model, batch, pcm.shape[1], seed)
        pcm, lengths = model.pad(pcm).to(device), lengths.to(device)
        for piece in chunks(model, pcm, lengths, noise, most_samples):
            sums = [f(piece.output, piece.pcm, piece.lengths).double().sum() for f in (log_likelihood, code_length)]
            parts = [k.double().sum((0, 1)) for k in layer_kl(piece.layers, model.strides, piece.lengths)]
            if not all(bool(x.isfinite().all()) for x in (*sums, *parts)):
                names = ", ".join(r.name for r in batch[:3])
                raise InputError(f"the likelihood of {names} is not finite: the checkpoint is damaged or diverged")
            likelihoods += torch.stack(sums).cpu().numpy()
            for l, (part, stride) in enumerate(zip(parts, model.strides, strict=True)):
                kl[l] += part.cpu().numpy()
                counts[l] += int(step_counts(piece.lengths, stride).sum())
            samples += int(piece.lengths.sum())
            progress(int(piece.lengths.sum()))
    first, second = map(float, likelihoods)
    density = model.config.output.is_density()
    return Evaluation(samples, len(recordings), first, second, tuple(kl), tuple(counts), density)
