"""What each dimension of each layer's latents carries: its KL rate, its spread and its autocorrelation over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.autocorrelation import autocorrelation, integrated_time, lagged_products, pairs
from lvm_probe.analysis.shape_annotations import Bool, Float, Int
from lvm_probe.models.likelihood.elbo import ACTIVE_NATS, NATS_PER_BIT
from lvm_probe.models.model import SpeechModel
from lvm_probe.probing.corpora.corpus import Utterance
from lvm_probe.probing.corpora.recordings import CorpusRecording
from lvm_probe.probing.diagnostics.kl_rate import layer_kl
from lvm_probe.probing.features.posterior_sampler import require_latents

MAX_LAG_SECONDS = 1.0


@dataclass(frozen=True)
class LayerDimensions:
    """The latent dimensions of one layer, over some recordings.

    Attributes:
        name: `z1` for the lowest layer.
        step_s: duration of a time step in seconds.
        bits_per_second: KL rate, averaged over Monte Carlo draws.
        active: whether the KL is at least `ACTIVE_NATS` per step; the other dimensions are dead.
        mean: mean of the latents over draws and time.
        spread: their standard deviation, which includes the uncertainty of the posterior.
        correlation: autocorrelation of the posterior means about the mean of each recording; NaN for a dimension that
            is constant.
        integrated_s: integrated autocorrelation time in seconds; NaN where the longest lag is too short for it.
    """

    name: str
    step_s: float
    bits_per_second: Float[np.ndarray, " dims"]
    active: Bool[np.ndarray, " dims"]
    mean: Float[np.ndarray, " dims"]
    spread: Float[np.ndarray, " dims"]
    correlation: Float[np.ndarray, "lags dims"]
    integrated_s: Float[np.ndarray, " dims"]

    @property
    def by_kl(self) -> Int[np.ndarray, " dims"]:
        """The dimensions by their KL rate, largest first."""
        return np.argsort(-self.bits_per_second, kind="stable")

    @property
    def dead(self) -> tuple[int, ...]:
        """The dimensions that are not active."""
        return tuple(np.flatnonzero(~self.active).tolist())


def measure_dimensions(
    model: SpeechModel,
    recordings: Sequence[CorpusRecording],
    *,
    draws: int = 4,
    seed: int = 0,
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[LayerDimensions, ...]:
    """Measure every dimension of every layer, lowest layer first.

    Args:
        model: a model with latents.
        recordings: at the model's sample rate.
        draws: number of Monte Carlo paths through each recording.
        seed: seed of the paths.
        progress: called after each recording with the share of the audio that is done.

    Raises:
        InputError: the model has no latents, there are no recordings, or the KL is not finite.
    """
    require_latents(model, "this checkpoint")
    if not recordings:
        raise InputError("no recordings to measure the latents on; give at least one")
    rate, total = model.config.sample_rate, sum(recording.samples for recording in recordings)
    longest = min(max(recording.samples for recording in recordings) / 2, MAX_LAG_SECONDS * rate)
    sums = [
        _Sums(size, max(2, int(longest / stride))) for size, stride in zip(model.latents, model.strides, strict=True)
    ]
    done = 0
    for recording in recordings:
        layers = layer_kl(model, recording.name, recording.read(0, recording.samples), draws, seed)
        if not all(np.isfinite(layer.bits).all() for layer in layers):
            raise InputError(f"{recording.utterance.audio}: the KL is not finite; the checkpoint is damaged")
        for of, layer in zip(sums, layers, strict=True):
            steps = len(layer.bits)
            of.steps += steps
            of.bits += layer.bits_by_dimension
            of.total += layer.mean.sum(0)
            of.squares += steps * layer.mean_square
            of.products += lagged_products(layer.mean, len(of.products))
            of.pairs += pairs(steps, len(of.products))
        done += recording.samples
        progress(done / total)
    return tuple(
        of.result(f"z{l + 1}", stride / rate, total / rate)
        for l, (of, stride) in enumerate(zip(sums, model.strides, strict=True))
    )


class _Sums:
    """Sums over recordings for one layer."""

    def __init__(self, size: int, lags: int) -> None:
        self.steps = 0
        self.bits, self.total, self.squares = np.zeros(size), np.zeros(size), np.zeros(size)
        self.products = np.zeros((lags, size))
        self.pairs = np.zeros(lags, dtype=np.int64)

    def result(self, name: str, step_s: float, seconds: float) -> LayerDimensions:
        mean = self.total / self.steps
        correlation = autocorrelation(self.products, self.pairs[:, None])
        return LayerDimensions(
            name,
            step_s,
            self.bits / seconds,
            self.bits * NATS_PER_BIT / self.steps >= ACTIVE_NATS,
            mean,
            np.sqrt(np.maximum(self.squares / self.steps - mean**2, 0)),
            correlation,
            step_s * integrated_time(correlation),
        )


def spread_over_speakers(utterances: Sequence[Utterance], most: int) -> tuple[Utterance, ...]:
    """At most so many utterances, one of each speaker in turn, in the order of the corpus.

    Example:
        >>> from pathlib import Path
        >>> from lvm_probe.probing.corpora.corpus import Speaker
        >>> some = [Utterance(f"{who}{i}", Speaker(who), Path("a.wav"), 1, 16000) for who in "AB" for i in range(3)]
        >>> [utterance.id for utterance in spread_over_speakers(some, 3)]
        ['A0', 'B0', 'A1']
    """
    of_speaker: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        of_speaker.setdefault(utterance.speaker.id, []).append(utterance)
    in_turn = (one for turn in zip_longest(*of_speaker.values()) for one in turn if one is not None)
    return tuple(one for one, _ in zip(in_turn, range(most), strict=False))
