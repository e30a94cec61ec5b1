"""The evidence lower bound (ELBO) of a model on waveforms, in its parts (Havtorn et al. 2022, equations 2 and 11)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from lvm_probe import InputError
from lvm_probe.models.batches import Recording, batches_by_length, collate, sample_mask, step_counts, step_mask
from lvm_probe.models.domains.domain import Distributions
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.likelihood.chunks import MOST_SAMPLES, chunks
from lvm_probe.models.model import ForwardPass, SpeechModel
from lvm_probe.models.noise import batch_noise
from lvm_probe.models.trajectory import Trajectory

NATS_PER_BIT = math.log(2)

ACTIVE_NATS = 0.01
"""A dimension of a latent is active if its KL divergence is at least this many nats per step on average.

Burda et al. (2016) count the units whose posterior mean has a variance above 0.01 over the data. A prior that depends
on the past varies too, so here the divergence from the prior counts.
"""


@dataclass(frozen=True)
class Elbo:
    """The ELBO of each utterance of a batch, in nats.

    Attributes:
        reconstruction: log p(x | z).
        kl: KL divergence of each layer, lowest first.
    """

    reconstruction: Float[Tensor, " batch"]
    kl: tuple[Float[Tensor, " batch"], ...]


@dataclass(frozen=True)
class Evaluation:
    """Sums over a data set, in nats.

    The unit of results is bits per frame, where a frame is one audio sample (Havtorn et al. 2022).

    Attributes:
        samples: audio samples.
        utterances: how many there are.
        reconstruction: log p(x | z) by the paper's likelihood.
        pcm_reconstruction: log p of the 16-bit PCM values given z.
        kl: for each layer, lowest first, the KL divergence of each dimension.
        steps: for each layer, its time steps.
        density: whether the likelihood is a density, whose bits per frame are no code length.
        eight_bit: whether it is of 8-bit codes, whose bits per frame are not to be compared with those of 16-bit audio.
        domain: of the data.
        step: elements of a step of the data, or of the model where data have no steps, as waveforms.
    """

    samples: int
    utterances: int
    reconstruction: float
    pcm_reconstruction: float
    kl: tuple[Float[np.ndarray, " _latent"], ...]
    steps: tuple[int, ...]
    density: bool = False
    domain: str = "waveform"
    step: int = 1
    eight_bit: bool = False

    @property
    def elbo(self) -> float:
        """ELBO in nats from one Monte Carlo draw; the log likelihood of a deterministic model."""
        return self.reconstruction - self._kl

    @property
    def bits_per_frame(self) -> float:
        """Bits per audio sample (equation 11): all bits over all samples, not a mean of means of utterances."""
        return -self.elbo / (self.samples * NATS_PER_BIT)

    @property
    def pcm_bits_per_frame(self) -> float:
        """Code length of the 16-bit PCM: the same bound with bins that cover the line."""
        return (self._kl - self.pcm_reconstruction) / (self.samples * NATS_PER_BIT)

    @property
    def nats_per_utterance(self) -> float:
        """The mean ELBO of an utterance, the unit of Havtorn et al.'s (2022) table 4."""
        return self.elbo / self.utterances

    @property
    def nats_per_step(self) -> float:
        """The mean ELBO of a step, higher is better: of a moment of a piano roll, a point of a drawing, a token."""
        return self.elbo * self.step / self.samples

    @property
    def kl_bits_per_frame(self) -> dict[str, float]:
        """KL divergence of each layer, z1 the lowest."""
        return {f"z{i}": float(kl.sum()) / (self.samples * NATS_PER_BIT) for i, kl in enumerate(self.kl, 1)}

    @property
    def kl_nats_per_step(self) -> dict[str, Float[np.ndarray, " _latent"]]:
        """Mean KL divergence per step of each dimension of each layer."""
        return {f"z{i}": kl / steps for i, (kl, steps) in enumerate(zip(self.kl, self.steps, strict=True), 1)}

    @property
    def active_units(self) -> dict[str, int]:
        """Active dimensions of each layer; see `ACTIVE_NATS`."""
        return {name: int((kl >= ACTIVE_NATS).sum()) for name, kl in self.kl_nats_per_step.items()}

    @property
    def collapsed(self) -> tuple[str, ...]:
        """Layers without an active dimension."""
        return tuple(name for name, active in self.active_units.items() if active == 0)

    @property
    def _kl(self) -> float:
        return math.fsum(kl.sum() for kl in self.kl)


def require_likelihood(model: SpeechModel, name: str) -> None:
    """Raise InputError unless the model's bits per frame bound a likelihood.

    Args:
        model: any.
        name: what to call it in the message.
    """
    if model.no_likelihood is not None:
        raise InputError(f"{name}: has no likelihood: {model.no_likelihood}; choose a checkpoint of stage one")


def layer_kl(
    layers: Sequence[Trajectory], strides: Sequence[int], lengths: Int[Tensor, " batch"]
) -> list[Float[Tensor, "_time batch _latent"]]:
    """KL(q || p) in nats of every step and dimension of each layer; zero beyond the end of the utterance."""
    return [
        layer.kl() * step_mask(lengths, stride, len(layer.z)) for layer, stride in zip(layers, strides, strict=True)
    ]


def log_likelihood(
    output: Distributions, pcm: Shaped[Tensor, "batch samples"], lengths: Int[Tensor, " batch"]
) -> Float[Tensor, " batch"]:
    """log p(x | z) by the paper's likelihood, in nats per utterance."""
    return (output.given(pcm).log_prob(pcm) * sample_mask(lengths, pcm.shape[1])).sum(1)


def code_length(
    output: Distributions, pcm: Shaped[Tensor, "batch samples"], lengths: Int[Tensor, " batch"]
) -> Float[Tensor, " batch"]:
    """log p of the 16-bit PCM values given z, in nats per utterance."""
    return (output.given(pcm).log_mass(pcm) * sample_mask(lengths, pcm.shape[1])).sum(1)


def elbo(
    model: SpeechModel,
    pcm: Shaped[Tensor, "batch samples"],
    lengths: Int[Tensor, " batch"],
    noise: Sequence[Float[Tensor, "_time batch _latent"]],
) -> Elbo:
    """The ELBO of each utterance of a batch, from one Monte Carlo draw of the latents.

    Args:
        model: any.
        pcm: zero-padded 16-bit PCM.
        lengths: audio samples of each row before the padding.
        noise: standard normal, as `model.noise` returns it.

    Raises:
        InputError: if `pcm` is not int16.

    Example:
        >>> from lvm_probe.models.registry import family, preset
        >>> model = family("vrnn").seeded(preset("vrnn", "tiny").config, seed=0)
        >>> noise = model.noise(1000, 2, torch.Generator().manual_seed(0))
        >>> found = elbo(model, torch.zeros(2, 1000, dtype=torch.int16), torch.tensor([1000, 700]), noise)
        >>> found.reconstruction.shape, len(found.kl)
        (torch.Size([2]), 1)
    """
    pcm = model.pad(pcm)
    result: ForwardPass = model(pcm, lengths, noise)
    kl = tuple(k.sum((0, 2)) for k in layer_kl(result.layers, model.strides, lengths))
    return Elbo(log_likelihood(result.output, pcm, lengths), kl)


@torch.no_grad()
def evaluate(
    model: SpeechModel,
    recordings: Sequence[Recording],
    *,
    seed: int = 0,
    most_samples: int = MOST_SAMPLES,
    progress: Callable[[int], None] = lambda samples: None,
) -> Evaluation:
    """The ELBO of whole recordings from one Monte Carlo draw, in single precision.

    The result does not depend on the order of the recordings or on how they are batched.

    Args:
        model: in evaluation mode.
        recordings: at the model's sample rate.
        seed: of the draws; an utterance's noise depends on it and on the utterance's name only.
        most_samples: audio samples of a padded batch. A longer recording is evaluated in chunks of that length, with
            the same result.
        progress: called with the audio samples that are done.

    Raises:
        InputError: if there is nothing to evaluate, or the likelihood is not finite.
    """
    if not recordings:
        raise InputError("no utterance to evaluate: choose another split or corpus")
    recordings = model.config.output.seen(recordings)
    device = model.parameter.device
    samples, likelihoods = 0, np.zeros(2)
    kl = [np.zeros(z) for z in model.latents]
    counts = [0] * len(model.latents)
    for batch in batches_by_length(recordings, most_samples):
        pcm, lengths = collate(batch, model.config.output)
        noise = batch_noise(model, batch, pcm.shape[1], seed)
        pcm, lengths = model.pad(pcm).to(device), lengths.to(device)
        for piece in chunks(model, pcm, lengths, noise, most_samples):
            output = piece.output.given(piece.pcm)
            sums = [f(output, piece.pcm, piece.lengths).double().sum() for f in (log_likelihood, code_length)]
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
    paper, coded = map(float, likelihoods)
    domain = model.config.output
    step = model.stride if isinstance(domain, Waveform) else domain.step
    counted = (tuple(kl), tuple(counts), domain.is_density(), domain.name, step, domain.is_eight_bit())
    return Evaluation(samples, len(recordings), paper, coded, *counted)
