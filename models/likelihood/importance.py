"""A tighter bound than the ELBO, by importance sampling (Burda et al. 2016, equation 8).

    log p(x) ≥ E log (1/K) Σ_k p(x, z_k) / q(z_k | x),  z_1 ... z_K ~ q(z | x)

One sample is the ELBO, with a sampled log ratio where `likelihood.elbo` has the KL in closed form. More samples never
loosen the bound in expectation, and in the limit it is log p(x); but a path of thousands of steps makes weights that
differ by many nats, so that for long utterances one of them soon outweighs all others: `effective_samples` says how far
that went. `papers/001` reports one-sample ELBOs only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from lvm_probe import InputError
from lvm_probe.models.batches import Recording, collate, sample_mask, step_mask
from lvm_probe.models.likelihood.chunks import MOST_SAMPLES, Chunk, chunks
from lvm_probe.models.likelihood.elbo import NATS_PER_BIT
from lvm_probe.models.likelihood.gaussian import Gaussian, log_density
from lvm_probe.models.model import SpeechModel
from lvm_probe.models.noise import path_noise


@dataclass(frozen=True)
class ImportanceBound:
    """Sums over a data set, in nats, as in `likelihood.elbo.Evaluation`; the bound is taken utterance by utterance.

    `samples` is K. `bound` is of the paper's likelihood, `pcm_bound` of the code length of the 16-bit PCM. `elbo` and
    `pcm_elbo` are means of the same weights' logarithms: K-sample ELBOs, which the bounds never fall below.
    `effective_samples` is 1 / Σ w² of the normalised weights w of the paper's likelihood, the mean over utterances:
    from 1 (one path outweighs all others, so that more paths would still raise the bound) to K. `density` is as there.
    """

    frames: int
    utterances: int
    samples: int
    bound: float
    pcm_bound: float
    elbo: float
    pcm_elbo: float
    effective_samples: float
    density: bool = False

    @property
    def bits_per_frame(self) -> float:
        """The bound in the paper's unit (equation 11): all bits over all frames."""
        return -self.bound / (self.frames * NATS_PER_BIT)

    @property
    def pcm_bits_per_frame(self) -> float:
        """The same of the code length of the 16-bit PCM."""
        return -self.pcm_bound / (self.frames * NATS_PER_BIT)

    @property
    def nats_per_utterance(self) -> float:
        """The bound of an average utterance."""
        return self.bound / self.utterances

    @property
    def gain_bits_per_frame(self) -> float:
        """How much lower than the ELBO's the bits are; not negative."""
        return (self.bound - self.elbo) / (self.frames * NATS_PER_BIT)


@torch.no_grad()
def importance_bound(
    model: SpeechModel,
    recordings: Sequence[Recording],
    samples: int,
    *,
    seed: int = 0,
    most_samples: int = MOST_SAMPLES,
    progress: Callable[[int], None] = lambda samples: None,
) -> ImportanceBound:
    """The bound of whole recordings from `samples` paths each; the likelihood itself of a deterministic model.

    A deterministic model has one path, whatever `samples`. A path's noise depends on `seed`, the utterance's name and
    the path's number only, so more samples go on from fewer. At most `most_samples` samples of padded audio
    are decoded at once: as many paths as fit, a longer recording in chunks; to the same figure within rounding.
    `progress` is called with the samples of each recording. Raises InputError when there is nothing to evaluate or a
    weight is not finite.
    """
    if not recordings:
        raise InputError("no utterance to evaluate: choose another split or corpus")
    if samples < 1:
        raise InputError(f"{samples} importance samples: give 1 or more")
    samples = 1 if model.deterministic else samples
    sums, effective = torch.zeros(4, dtype=torch.float64), 0.0
    for recording in recordings:
        weights = log_weights(model, recording, samples, seed=seed, most_samples=most_samples)
        if not bool(weights.isfinite().all()):
            raise InputError(f"the likelihood of {recording.name} is not finite: the checkpoint is damaged or diverged")
        sums += torch.cat((weights.logsumexp(1) - math.log(samples), weights.mean(1)))
        effective += float(1 / weights[0].softmax(0).square().sum())
        progress(recording.samples)
    frames, utterances = sum(r.samples for r in recordings), len(recordings)
    density = model.config.output.is_density()
    bound, pcm_bound, elbo, pcm_elbo = sums.tolist()
    effective /= utterances
    return ImportanceBound(frames, utterances, samples, bound, pcm_bound, elbo, pcm_elbo, effective, density)


@torch.no_grad()
def log_weights(
    model: SpeechModel, recording: Recording, samples: int, *, seed: int = 0, most_samples: int = MOST_SAMPLES
) -> Float64[Tensor, "2 samples"]:
    """log p(x, z_k) / q(z_k | x) in nats for every path k, by the paper's likelihood and by the PCM's code length."""
    pcm, lengths = collate([recording])
    pcm = model.pad(pcm)
    rows = max(1, min(samples, most_samples // pcm.shape[1]))
    device = model.parameter.device
    weights = torch.zeros(2, samples, dtype=torch.float64)
    for first in range(0, samples, rows):
        paths = range(first, min(first + rows, samples))
        noise = path_noise(model, recording.name, recording.samples, paths, seed)
        audio, valid = pcm.expand(len(paths), -1).to(device), lengths.expand(len(paths)).to(device)
        for chunk in chunks(model, audio, valid, noise, most_samples // len(paths)):
            weights[:, paths.start : paths.stop] += _log_weights(model, chunk).cpu()
    return weights


def _log_weights(model: SpeechModel, chunk: Chunk) -> Float64[Tensor, "2 rows"]:
    """What a chunk adds, summed in double precision: likelihoods, and log ratios of the steps that touch its audio."""
    output = chunk.output
    ratio = torch.zeros(len(chunk.lengths), dtype=torch.float64, device=chunk.pcm.device)
    for layer, stride in zip(chunk.layers, model.strides, strict=True):
        prior, posterior = (Gaussian(g.mean.double(), g.log_precision.double()) for g in (layer.prior, layer.posterior))
        z = layer.z.double()
        step = log_density(prior, z) - log_density(posterior, z)
        ratio += (step * step_mask(chunk.lengths, stride, len(z))).sum((0, 2))
    return torch.stack(
        [_summed(p, chunk.lengths) + ratio for p in (output.log_prob(chunk.pcm), output.log_mass(chunk.pcm))]
    )


def _summed(likelihood: Float[Tensor, "rows samples"], lengths: Int[Tensor, " rows"]) -> Float64[Tensor, " rows"]:
    """The sum over valid samples."""
    return (likelihood.double() * sample_mask(lengths, likelihood.shape[1])).sum(1)
