"""The evidence lower bound of a model on waveforms, in its parts (`papers/001` equations 2 and 11)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, Int16
from torch import Tensor

from models import mulaw
from models.blocks import steps
from models.cwvae import CWVAE, Pass
from models.errors import InputError
from models.gaussian import kl_divergence

NATS_PER_BIT = math.log(2)


@runtime_checkable
class Recording(Protocol):
    """What training and evaluation need of a recording; corpora are somebody else's business."""

    @property
    def name(self) -> str:
        """Unique; seeds the recording's noise."""

    @property
    def samples(self) -> int:
        """Length in samples, at the model's rate."""

    def read(self, start: int, stop: int) -> Int16[np.ndarray, " n"]:
        """16-bit PCM of samples [start, stop)."""


@dataclass(frozen=True)
class Elbo:
    """Nats per utterance of a batch: log p(x | z¹) and the KL of each layer (lowest first)."""

    reconstruction: Float[Tensor, " batch"]
    kl: tuple[Float[Tensor, " batch"], ...]


@dataclass(frozen=True)
class Evaluation:
    """Sums over a data set, in nats. Frames are samples of audio, as in the paper."""

    frames: int
    utterances: int
    reconstruction: float
    pcm_reconstruction: float
    kl: tuple[float, ...]

    @property
    def elbo(self) -> float:
        """One-sample ELBO in nats over the whole data set."""
        return self.reconstruction - math.fsum(self.kl)

    @property
    def bits_per_frame(self) -> float:
        """Equation 11: all bits over all frames; not a mean of per-utterance means."""
        return -self.elbo / (self.frames * NATS_PER_BIT)

    @property
    def pcm_bits_per_frame(self) -> float:
        """Code length of the 16-bit PCM itself: the same bound with bins that tile the line."""
        return (math.fsum(self.kl) - self.pcm_reconstruction) / (self.frames * NATS_PER_BIT)

    @property
    def kl_bits_per_frame(self) -> dict[str, float]:
        """KL of each layer, `z1` the lowest."""
        return {f"z{i}": kl / (self.frames * NATS_PER_BIT) for i, kl in enumerate(self.kl, 1)}


def step_mask(lengths: Int[Tensor, " batch"], stride: int, size: int) -> Float[Tensor, "size batch 1"]:
    """One for the ceil(length / stride) steps that touch the utterance, time first."""
    inside = torch.arange(size, device=lengths.device).unsqueeze(1) < steps(lengths, stride)
    return inside.unsqueeze(-1).float()


def sample_mask(lengths: Int[Tensor, " batch"], size: int) -> Float[Tensor, "batch size"]:
    """One for the samples inside the utterance."""
    return (torch.arange(size, device=lengths.device) < lengths.unsqueeze(1)).float()


def layer_kl(passed: Pass, strides: Sequence[int], lengths: Int[Tensor, " batch"]) -> list[Tensor]:
    """KL(q || p) in nats per layer, (time, batch, latent), zero beyond the utterance."""
    return [
        kl_divergence(layer.posterior, layer.prior) * step_mask(lengths, stride, len(layer.z))
        for layer, stride in zip(passed.layers, strides, strict=True)
    ]


def log_likelihood(
    passed: Pass,
    pcm: Int16[Tensor, "batch samples"],
    lengths: Int[Tensor, " batch"],
    edges: Callable[[Tensor, torch.dtype], tuple[Tensor, Tensor]] = mulaw.uniform_edges,
) -> Float[Tensor, " batch"]:
    """log p(x | z¹) in nats per utterance; `edges` says which bins the samples fall into."""
    lower, upper = edges(pcm, passed.output.parameters.dtype)
    return (passed.output.log_mass(lower, upper) * sample_mask(lengths, pcm.shape[1])).sum(1)


def elbo(
    model: CWVAE,
    pcm: Int16[Tensor, "batch samples"],
    lengths: Int[Tensor, " batch"],
    noise: Sequence[Float[Tensor, "_time batch _latent"]],
) -> Elbo:
    """One-sample ELBO of each utterance of a zero-padded batch."""
    pcm = model.pad(pcm)
    passed = model(pcm, lengths, noise)
    kl = tuple(k.sum((0, 2)) for k in layer_kl(passed, model.strides, lengths))
    return Elbo(log_likelihood(passed, pcm, lengths), kl)


def utterance_seed(seed: int, name: str) -> int:
    """A seed that depends on the run's seed and the utterance's name alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:7], "big")


def collate(recordings: Sequence[Recording]) -> tuple[Int16[Tensor, "batch samples"], Int[Tensor, " batch"]]:
    """Whole recordings as one batch, zero-padded behind."""
    lengths = torch.tensor([r.samples for r in recordings])
    pcm = torch.zeros(len(recordings), int(lengths.max()), dtype=torch.int16)
    for row, recording in zip(pcm, recordings, strict=True):
        row[: recording.samples] = torch.from_numpy(recording.read(0, recording.samples))
    return pcm, lengths


def batches_by_length(recordings: Sequence[Recording], most_samples: int) -> Iterator[list[Recording]]:
    """Recordings of like length together, at most `most_samples` of padded audio a batch (or one recording)."""
    batch: list[Recording] = []
    for recording in sorted(recordings, key=lambda r: (r.samples, r.name)):
        if batch and (len(batch) + 1) * recording.samples > most_samples:
            yield batch
            batch = []
        batch.append(recording)
    if batch:
        yield batch


@torch.no_grad()
def evaluate(
    model: CWVAE,
    recordings: Sequence[Recording],
    *,
    seed: int = 0,
    most_samples: int = 1_000_000,
    progress: Callable[[int], None] = lambda samples: None,
) -> Evaluation:
    """One-sample ELBO of whole recordings, in single precision.

    An utterance's noise depends on `seed` and its name only, and its latents on nothing but itself, so the
    figure is the same in any order and company. `progress` is called with the samples done. Raises InputError
    when there is nothing to evaluate or the likelihood is not finite.
    """
    if not recordings:
        raise InputError("no utterance to evaluate: choose another split or corpus")
    device = next(model.parameters()).device
    frames, parts = 0, np.zeros(2 + len(model.strides))
    for batch in batches_by_length(recordings, most_samples):
        pcm, lengths = collate(batch)
        noise = batch_noise(model, batch, pcm.shape[1], seed)
        pcm, lengths = model.pad(pcm).to(device), lengths.to(device)
        passed = model(pcm, lengths, [n.to(device) for n in noise])
        likelihoods = [log_likelihood(passed, pcm, lengths, edges) for edges in (mulaw.uniform_edges, mulaw.pcm_edges)]
        kl = [k.sum((0, 2)) for k in layer_kl(passed, model.strides, lengths)]
        sums = torch.stack([*likelihoods, *kl]).double().sum(1).cpu().numpy()
        if not np.isfinite(sums).all():
            names = ", ".join(r.name for r in batch[:3])
            raise InputError(f"the likelihood of {names} is not finite: the checkpoint is damaged or diverged")
        parts += sums
        frames += int(lengths.sum())
        progress(int(lengths.sum()))
    return Evaluation(frames, len(recordings), float(parts[0]), float(parts[1]), tuple(map(float, parts[2:])))


def batch_noise(
    model: CWVAE, recordings: Sequence[Recording], samples: int, seed: int
) -> list[Float[Tensor, "_time batch _latent"]]:
    """Noise for a batch in which each recording's part depends on `seed` and its own name and length only."""
    noise = [torch.zeros_like(n) for n in model.noise(samples, len(recordings), torch.Generator())]
    for row, recording in enumerate(recordings):
        generator = torch.Generator().manual_seed(utterance_seed(seed, recording.name))
        for whole, own in zip(noise, model.noise(recording.samples, 1, generator), strict=True):
            whole[: len(own), row] = own[:, 0]
    return noise
