"""A tighter bound than the ELBO, by importance sampling (Burda, Grosse and Salakhutdinov 2016, equation 8).

    log p(x) ≥ E log (1/K) Σ_k p(x, z_k) / q(z_k | x),  z_1 ... z_K ~ q(z | x)

With K = 1 it is the ELBO, with a sampled log ratio where `likelihood.elbo` has the KL in closed form. More Monte Carlo
draws never loosen the bound in expectation, and in the limit it is log p(x). But over thousands of time steps the
weights differ by many nats, so for long utterances one draw soon outweighs all others: `effective_draws` shows how far
that went. Havtorn et al. (2022) report one-draw ELBOs only.
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
from lvm_probe.models.model import SpeechModel
from lvm_probe.models.noise import path_noise


@dataclass(frozen=True)
class ImportanceBound:
    """Sums over a data set, in nats. The bound is taken utterance by utterance.

    Attributes:
        samples: audio samples.
        utterances: how many there are.
        draws: K, the Monte Carlo draws of an utterance's latents.
        bound: on the paper's likelihood.
        pcm_bound: on the code length of the 16-bit PCM.
        elbo: mean of the log weights behind `bound`, the K-draw ELBO; never above it.
        pcm_elbo: the same for `pcm_bound`.
        effective_draws: 1 / Σ w² of the normalised weights w, the mean over utterances: from 1 (one draw outweighs all
            others, so more draws would still raise the bound) to K.
        density: whether the likelihood is a density, whose bits per frame are no code length.
        eight_bit: whether it is of 8-bit codes, whose bits per frame are not to be compared with those of 16-bit audio.
    """

    samples: int
    utterances: int
    draws: int
    bound: float
    pcm_bound: float
    elbo: float
    pcm_elbo: float
    effective_draws: float
    density: bool = False
    eight_bit: bool = False

    @property
    def bits_per_frame(self) -> float:
        """The bound in bits per audio sample (Havtorn et al. 2022, equation 11)."""
        return -self.bound / (self.samples * NATS_PER_BIT)

    @property
    def pcm_bits_per_frame(self) -> float:
        """The same for the code length of the 16-bit PCM."""
        return -self.pcm_bound / (self.samples * NATS_PER_BIT)

    @property
    def nats_per_utterance(self) -> float:
        """The mean bound of an utterance."""
        return self.bound / self.utterances


@torch.no_grad()
def importance_bound(
    model: SpeechModel,
    recordings: Sequence[Recording],
    draws: int,
    *,
    seed: int = 0,
    most_samples: int = MOST_SAMPLES,
    progress: Callable[[int], None] = lambda samples: None,
) -> ImportanceBound:
    """The importance-weighted bound on the log likelihood of whole recordings.

    Args:
        model: in evaluation mode. A deterministic model has one path and its exact likelihood, whatever `draws` is.
        recordings: at the model's sample rate.
        draws: K. Draw k of an utterance depends on `seed`, the utterance's name and k only, so more draws extend fewer.
        seed: of the draws.
        most_samples: audio samples that are decoded at once: as many draws as fit, or a chunk of a longer recording.
            It changes the figures by rounding only.
        progress: called with the samples of each recording.

    Returns:
        The bound, in sums over all recordings.

    Raises:
        InputError: if there is nothing to evaluate, `draws` is below 1, or a weight is not finite.
    """
    if not recordings:
        raise InputError("no utterance to evaluate: choose another split or corpus")
    if draws < 1:
        raise InputError(f"{draws} Monte Carlo draws: give 1 or more")
    draws = 1 if model.deterministic else draws
    recordings = model.config.output.seen(recordings)
    sums, effective = torch.zeros(4, dtype=torch.float64), 0.0
    for recording in recordings:
        weights = log_weights(model, recording, draws, seed=seed, most_samples=most_samples)
        if not bool(weights.isfinite().all()):
            raise InputError(f"the likelihood of {recording.name} is not finite: the checkpoint is damaged or diverged")
        sums += torch.cat((weights.logsumexp(1) - math.log(draws), weights.mean(1)))
        effective += float(1 / weights[0].softmax(0).square().sum())
        progress(recording.samples)
    samples, utterances = sum(r.samples for r in recordings), len(recordings)
    bound, pcm_bound, elbo, pcm_elbo = sums.tolist()
    domain = model.config.output
    of = (domain.is_density(), domain.is_eight_bit())
    return ImportanceBound(samples, utterances, draws, bound, pcm_bound, elbo, pcm_elbo, effective / utterances, *of)


@torch.no_grad()
def log_weights(
    model: SpeechModel, recording: Recording, draws: int, *, seed: int = 0, most_samples: int = MOST_SAMPLES
) -> Float64[Tensor, "2 draws"]:
    """log p(x, z_k) / q(z_k | x) in nats of every draw k, for the paper's likelihood and for the code length."""
    pcm, lengths = collate([recording], model.config.output)
    pcm = model.pad(pcm)
    rows = max(1, min(draws, most_samples // pcm.shape[1]))
    device = model.parameter.device
    weights = torch.zeros(2, draws, dtype=torch.float64)
    for first in range(0, draws, rows):
        paths = range(first, min(first + rows, draws))
        noise = path_noise(model, recording.name, recording.samples, paths, seed)
        audio, valid = pcm.expand(len(paths), -1).to(device), lengths.expand(len(paths)).to(device)
        for chunk in chunks(model, audio, valid, noise, most_samples // len(paths)):
            weights[:, paths.start : paths.stop] += _log_weights(model, chunk).cpu()
    return weights


def _log_weights(model: SpeechModel, chunk: Chunk) -> Float64[Tensor, "2 rows"]:
    """A chunk's part of the log weights, summed in double precision over the steps that touch its audio."""
    output = chunk.output.given(chunk.pcm)
    ratio = torch.zeros(len(chunk.lengths), dtype=torch.float64, device=chunk.pcm.device)
    for layer, stride in zip(chunk.layers, model.strides, strict=True):
        ratio += (layer.log_ratio() * step_mask(chunk.lengths, stride, len(layer.z))).sum((0, 2))
    likelihoods = (output.log_prob(chunk.pcm), output.log_mass(chunk.pcm))
    return torch.stack([_summed(likelihood, chunk.lengths) + ratio for likelihood in likelihoods])


def _summed(likelihood: Float[Tensor, "rows samples"], lengths: Int[Tensor, " rows"]) -> Float64[Tensor, " rows"]:
    return (likelihood.double() * sample_mask(lengths, likelihood.shape[1])).sum(1)
