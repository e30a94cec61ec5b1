"""KL rate per layer, per phone class and around phone boundaries, and the autocorrelation time of each layer's latents.

KL(q || p) of a time step is computed along sampled paths and averaged over them. A step's bits are spread evenly over
those of its audio samples that lie in the recording, so that segments that tile a recording add up to its whole KL.
Rates are in bits per second of audio: bits per frame of Havtorn et al. (2022) times the sample rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pandas as pd
import torch

from lvm_probe import InputError
from lvm_probe.analysis.autocorrelation import autocorrelation, decay_time, integrated_time, lagged_products, pairs
from lvm_probe.analysis.mel import log_mel
from lvm_probe.analysis.shape_annotations import Float
from lvm_probe.analysis.statistics import Interval, Jackknife, mean_interval
from lvm_probe.models.likelihood.elbo import ACTIVE_NATS, NATS_PER_BIT
from lvm_probe.models.model import SpeechModel
from lvm_probe.probing.corpora import phones
from lvm_probe.probing.corpora.articulation import Manner
from lvm_probe.probing.corpora.audio import to_float
from lvm_probe.probing.corpora.corpus import Segment
from lvm_probe.probing.corpora.recordings import CorpusRecording
from lvm_probe.probing.features.extraction import segments_at_rate
from lvm_probe.probing.features.posterior_sampler import PosteriorSampler, require_latents
from lvm_probe.probing.features.sources import HOP

REACH_SECONDS = 0.1
"""Largest distance from a phone boundary at which the rate is measured."""

NEAR_SECONDS, FAR_SECONDS = 0.02, 0.06
"""The rate within the first distance of a boundary is compared with that beyond the second (up to the reach)."""

NEAR, FAR = "boundary", "away"
MAX_LAG_SECONDS = 5.0

ALL, SPEECH, UNLABELLED = "all", "speech", "unlabelled"
CONTRASTS = (("fricative", "vowel"), ("stop", "vowel"), ("silence", SPEECH))
"""Pairs of classes whose rates are compared, chosen beforehand."""

CLASS_COLUMNS = [
    "layer", "by", "label", "segments", "seconds", "share_of_time", "bits", "share_of_bits", "bits_per_second",
    "ci_low", "ci_high",
]  # fmt: skip
CONTRAST_COLUMNS = ["layer", "label", "against", "ratio", "ci_low", "ci_high"]


@dataclass(frozen=True)
class LayerKL:
    """KL(q || p) in bits of one layer on one recording, averaged over the draws unless stated otherwise.

    Attributes:
        bits: at each time step.
        bits_by_dimension: of each latent dimension, summed over time.
        bits_by_draw: of each draw, summed over time.
        mean: posterior mean at each time step.
        mean_square: of each latent dimension, E[z²] under the posterior, averaged over time too.
    """

    bits: Float[np.ndarray, " steps"]
    bits_by_dimension: Float[np.ndarray, " latent"]
    bits_by_draw: Float[np.ndarray, " draws"]
    mean: Float[np.ndarray, "steps latent"]
    mean_square: Float[np.ndarray, " latent"]


@dataclass(frozen=True)
class Rates:
    """The tables of `probe rate`: tidy, with rates in bits per second and times in milliseconds.

    Intervals are 95 % intervals over speakers, or over the utterances of a single speaker; NaN where there
    is a single one.

    Attributes:
        layers: rate of each layer over all audio, with the standard error of its Monte Carlo mean.
        by_class: rate of each layer in each phone class.
        contrasts: ratios of rates.
        around: rate of each layer around the starts of phones.
        timescales: autocorrelation times of each layer and of Mel, beside durations of phones and words.
        utterances: number of recordings.
        seconds: their duration.
        draws: number of Monte Carlo draws.
        unit: what the intervals are over: speaker or utterance.
        groups: how many of these there are.
    """

    layers: pd.DataFrame
    by_class: pd.DataFrame
    contrasts: pd.DataFrame
    around: pd.DataFrame
    timescales: pd.DataFrame
    utterances: int
    seconds: float
    draws: int
    unit: str
    groups: int


def measure(
    model: SpeechModel,
    recordings: Sequence[CorpusRecording],
    *,
    draws: int = 8,
    seed: int = 0,
    memory_gb: float = 1.0,
    progress: Callable[[float], None] = lambda seconds: None,
) -> Rates:
    """Measure the KL rates and autocorrelation times of a model's layers.

    Args:
        model: a model with latents.
        recordings: at the model's sample rate, with phonemes.
        draws: number of Monte Carlo paths through each recording.
        seed: seed of the paths.
        memory_gb: memory limit for the paths.
        progress: called after each recording with its duration in seconds.

    Raises:
        InputError: the model has no latents, there are no phonemes, or the KL is not finite.
    """
    require_latents(model, "this checkpoint")
    if draws < 1:
        raise InputError(f"--samples {draws}: at least one draw is needed")
    utterances = [recording.utterance for recording in recordings]
    labels = sorted({segment.label for utterance in utterances for segment in utterance.phonemes})
    if not labels:
        raise InputError("no phonemes in the alignments of these utterances: rates by class need them; give TextGrids")
    speakers = [utterance.speaker.id for utterance in utterances]
    unit = "speaker" if len(set(speakers)) > 1 else "utterance"
    names = speakers if unit == "speaker" else [utterance.id for utterance in utterances]
    groups = np.unique(names, return_inverse=True)[1]
    rate = model.config.sample_rate

    layers = [f"z{l + 1}" for l in range(len(model.strides))]
    bin_samples = max(1, min(model.strides[0], round(REACH_SECONDS * rate)))
    count = int(groups.max()) + 1
    classes = _ClassRates(labels, len(layers), count)
    boundaries = _BoundaryRates(classes.manners, classes.manner_of, len(layers), count, bin_samples, rate)
    hop = model.strides[0] if model.strides[0] > 1 else HOP
    max_lag = min(max(r.samples for r in recordings) / 2, MAX_LAG_SECONDS * rate)
    correlations = [
        _Autocorrelation(name, stride, count, max(2, int(max_lag / stride)))
        for name, stride in zip([*layers, "mel"], [*model.strides, hop], strict=True)
    ]
    by_draw = np.zeros((len(layers), draws))
    by_dimension = [np.zeros(size) for size in model.latents]
    steps = np.zeros(len(layers))

    for recording, group in zip(recordings, groups, strict=True):
        pcm = recording.read(0, recording.samples)
        kl = layer_kl(model, recording.name, pcm, draws, seed, memory_gb)
        if not all(np.isfinite(layer.bits).all() for layer in kl):
            raise InputError(f"{recording.utterance.audio}: the KL is not finite; the checkpoint is damaged")
        segments = segments_at_rate(recording.utterance.phonemes, recording.utterance.sample_rate, rate, len(pcm))
        sums = [_BitsUntil(layer.bits, stride, len(pcm)) for layer, stride in zip(kl, model.strides, strict=True)]
        classes.add(int(group), segments, sums, len(pcm))
        boundaries.add(int(group), segments, sums, len(pcm))
        mel = log_mel(to_float(pcm), sample_rate=rate, hop=hop)
        for correlation, series in zip(correlations, [*(layer.mean for layer in kl), mel], strict=True):
            correlation.add(int(group), series.astype(np.float64))
        for l, layer in enumerate(kl):
            by_draw[l] += layer.bits_by_draw
            by_dimension[l] += layer.bits_by_dimension
            steps[l] += len(layer.bits)
        progress(recording.utterance.seconds)

    seconds = sum(r.samples for r in recordings) / rate
    active = [bits * NATS_PER_BIT / n >= ACTIVE_NATS for bits, n in zip(by_dimension, steps, strict=True)]
    error = by_draw.std(1, ddof=1) / math.sqrt(draws) if draws > 1 else np.full(len(layers), np.nan)
    totals = pd.DataFrame(
        {
            "layer": layers,
            "stride": list(model.strides),
            "step_ms": [1000 * stride / rate for stride in model.strides],
            "bits_per_second": by_draw.mean(1) / seconds,
            "standard_error": error / seconds,
            "bits_per_frame": by_draw.mean(1) / (seconds * rate),
            "bits_per_step": by_draw.mean(1) / steps,
            "dimensions": list(model.latents),
            "active": [int(a.sum()) for a in active],
        }
    )
    by_class, contrasts = classes.tables(layers, rate)
    contrasts = pd.concat([contrasts, boundaries.contrast(layers)], ignore_index=True)
    times = [correlation.row(rate, mask) for correlation, mask in zip(correlations, [*active, None], strict=True)]
    phone = [s.samples / u.sample_rate for u in utterances for s in u.phonemes if s.label not in phones.NON_PHONEMES]
    word = [s.samples / u.sample_rate for u in utterances for s in u.words]
    durations = [_duration_row(kind, values) for kind, values in (("phone", phone), ("word", word)) if values]
    return Rates(
        totals,
        by_class,
        contrasts,
        boundaries.table(layers),
        pd.DataFrame([*times, *durations]),
        len(recordings),
        seconds,
        draws,
        unit,
        count,
    )


@torch.inference_mode()
def layer_kl(
    model: SpeechModel, name: str, pcm: np.ndarray, draws: int, seed: int = 0, memory_gb: float = 1.0
) -> tuple[LayerKL, ...]:
    """KL(q || p) of every layer, lowest first, on one recording.

    Args:
        model: a model with latents.
        name: the recording's name, on which the draws depend.
        pcm: 16-bit PCM at the model's sample rate.
        draws: number of Monte Carlo paths.
        seed: seed of the paths.
        memory_gb: memory limit for the paths.
    """
    sampler = PosteriorSampler.of(model, name, pcm, seed)
    bits = [np.zeros(steps) for steps in sampler.steps]
    by_dimension = [np.zeros(size) for size in model.latents]
    by_draw = [np.zeros(draws) for _ in model.latents]
    mean = [np.zeros((steps, size)) for steps, size in zip(sampler.steps, model.latents, strict=True)]
    squares = [np.zeros(size) for size in model.latents]
    for paths in sampler.batches(range(draws), memory_gb):
        for stretch in sampler.draw(paths):
            for l, (first, layer) in enumerate(stretch):
                kl = layer.kl().double() / NATS_PER_BIT
                here = slice(first, first + len(kl))
                bits[l][here] += kl.sum((1, 2)).cpu().numpy()
                by_dimension[l] += kl.sum((0, 1)).cpu().numpy()
                by_draw[l][paths.start : paths.stop] += kl.sum((0, 2)).cpu().numpy()
                mean[l][here] += layer.posterior.mean.sum(1, dtype=torch.float64).cpu().numpy()
                square = layer.posterior.mean.double() ** 2 + layer.posterior.std.double() ** 2
                squares[l] += square.sum((0, 1)).cpu().numpy()
    return tuple(
        LayerKL(b / draws, d / draws, p, m / draws, s / (draws * len(m)))
        for b, d, p, m, s in zip(bits, by_dimension, by_draw, mean, squares, strict=True)
    )


class _BitsUntil:
    """Bits before any sample of a recording; those of a step lie evenly on its samples in the recording."""

    def __init__(self, bits: Float[np.ndarray, " steps"], stride: int, samples: int) -> None:
        self.edges = np.minimum(np.arange(len(bits) + 1) * stride, samples)
        self.sums = np.concatenate([[0.0], np.cumsum(bits)])

    def __call__(self, at: np.ndarray) -> np.ndarray:
        """Bits of samples [0, at)."""
        return np.interp(at, self.edges, self.sums)


class _ClassRates:
    """Bits and duration of every phone label in every group, and the rates of labels and of manners of articulation."""

    def __init__(self, labels: Sequence[str], layers: int, groups: int) -> None:
        self.labels = (*labels, UNLABELLED)
        self.manner_of = _manners(labels)
        self.manners = tuple(m for m in get_args(Manner) if m in self.manner_of.values())
        self.place = {label: i for i, label in enumerate(self.labels)}
        self.bits = np.zeros((layers, groups, len(self.labels)))
        self.samples = np.zeros((groups, len(self.labels)))
        self.segments = np.zeros(len(self.labels), dtype=np.int64)

    def add(self, group: int, segments: Sequence[Segment], bits_until: Sequence[_BitsUntil], samples: int) -> None:
        spans = np.array([(s.start, s.end) for s in segments], dtype=np.int64).reshape(-1, 2)
        places = np.array([self.place[s.label] for s in segments], dtype=np.int64)
        np.add.at(self.samples[group], places, spans[:, 1] - spans[:, 0])
        np.add.at(self.segments, places, 1)
        self.samples[group, -1] += samples - (spans[:, 1] - spans[:, 0]).sum()
        for l, until in enumerate(bits_until):
            bits = until(spans[:, 1]) - until(spans[:, 0])
            np.add.at(self.bits[l, group], places, bits)
            self.bits[l, group, -1] += until.sums[-1] - bits.sum()

    def tables(self, layers: Sequence[str], rate: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Rates by class (`CLASS_COLUMNS`) and the ratios of some of them (`CONTRASTS`)."""
        classes = self._classes()
        members = np.array([[label in labels for labels in classes.values()] for label in self.labels], np.float64)
        time = self.samples @ members / rate
        seconds = time.sum(0)
        segments = self.segments @ members
        place = {label: i for i, (by, label) in enumerate(classes) if by != "phone"}
        rows, ratios = [], []
        for l, layer in enumerate(layers):
            by_group = self.bits[l] @ members
            bits = by_group.sum(0)
            means = bits / seconds
            rates = Jackknife.of_ratios(by_group, time)
            interval = _positive_interval(rates)
            for i, (by, label) in enumerate(classes):
                shares = seconds[i] / seconds[0], bits[i] / bits[0] if bits[0] else np.nan
                rows.append([layer, by, label, int(segments[i]), seconds[i], shares[0], bits[i], shares[1], means[i],
                             interval.low[i], interval.high[i]])  # fmt: skip
            for a, b in CONTRASTS:
                if a in place and b in place and means[place[b]] > 0:
                    ratios.append([layer, a, b, *_ratio(rates, place[a], place[b])])
        return pd.DataFrame(rows, columns=CLASS_COLUMNS), pd.DataFrame(ratios, columns=CONTRAST_COLUMNS)

    def _classes(self) -> dict[tuple[str, str], set[str]]:
        """The labels of every class that occurs, by kind and name of the class."""
        silent = phones.NON_PHONEMES | {label for label, manner in self.manner_of.items() if manner == "silence"}
        classes: dict[tuple[str, str], set[str]] = {
            (ALL, ALL): set(self.labels),
            (ALL, SPEECH): set(self.labels) - silent - {UNLABELLED},
            (ALL, UNLABELLED): {UNLABELLED},
        }
        for manner in self.manners:
            classes["manner", manner] = {label for label, own in self.manner_of.items() if own == manner}
        classes |= {("phone", label): {label} for label in self.labels if label != UNLABELLED}
        occurring = {label for label, samples in zip(self.labels, self.samples.sum(0), strict=True) if samples}
        return {key: labels for key, labels in classes.items() if labels & occurring}


def _manners(labels: Sequence[str]) -> dict[str, str]:
    """The manner of every label that has one; empty unless the labels are of a phone set that is known."""
    label_set = phones.recognised(labels)
    if label_set is None:
        return {}
    manners = {label: phones.phone_class(label, "manner", label_set) for label in labels}
    return {label: manner for label, manner in manners.items() if manner is not None}


class _BoundaryRates:
    """Bits and time in bins around the starts of phones, for each group and each manner of the phone that starts."""

    def __init__(
        self,
        manners: Sequence[str],
        manner_of: Mapping[str, str],
        layers: int,
        groups: int,
        bin_samples: int,
        rate: int,
    ) -> None:
        self.right = (ALL, *manners)
        self.manner_of = manner_of
        self.rate = rate
        reach = max(1, round(REACH_SECONDS * rate) // bin_samples)
        self.edges = np.arange(-reach, reach + 1) * bin_samples
        bins = len(self.edges) - 1
        self.bits = np.zeros((layers, groups, len(self.right), bins))
        self.seconds = np.zeros((groups, len(self.right), bins))
        self.count = np.zeros((len(self.right), bins), dtype=np.int64)

    def add(self, group: int, segments: Sequence[Segment], bits_until: Sequence[_BitsUntil], samples: int) -> None:
        started = [s for s in segments if s.start > 0]
        if not started:
            return
        edges = np.array([s.start for s in started])[:, None] + self.edges
        inside = (edges[:, :-1] >= 0) & (edges[:, 1:] <= samples)  # bins that lie in the recording entirely
        manners = [self.manner_of.get(s.label) for s in started]
        for place, right in enumerate(self.right):
            counted = inside & np.array([place == 0 or manner == right for manner in manners])[:, None]
            self.seconds[group, place] += (counted * np.diff(edges)).sum(0) / self.rate
            self.count[place] += counted.sum(0)
            for l, until in enumerate(bits_until):
                self.bits[l, group, place] += (counted * np.diff(until(edges))).sum(0)

    def table(self, layers: Sequence[str]) -> pd.DataFrame:
        """One row per layer, class of the phone that starts, and bin (`offset_ms`: its middle)."""
        offsets = 1000 * (self.edges[:-1] + self.edges[1:]) / 2 / self.rate
        tables = []
        for l, layer in enumerate(layers):
            for place, right in enumerate(self.right):
                rates = Jackknife.of_ratios(self.bits[l, :, place], self.seconds[:, place])
                interval = _positive_interval(rates)
                columns = {"layer": layer, "right": right, "offset_ms": offsets, "bits_per_second": rates.value,
                           "ci_low": interval.low, "ci_high": interval.high,
                           "boundaries": self.count[place]}  # fmt: skip
                tables.append(pd.DataFrame(columns)[np.isfinite(rates.value)])
        return pd.concat(tables, ignore_index=True)

    def contrast(self, layers: Sequence[str]) -> pd.DataFrame:
        """Ratio of the rate near the start of a phone to that away from it; empty where the bins are too coarse."""
        distance = np.abs(self.edges[:-1] + self.edges[1:]) / 2 / self.rate
        ranges = np.stack([distance <= NEAR_SECONDS, distance >= FAR_SECONDS], 1).astype(np.float64)
        time = self.seconds[:, 0] @ ranges
        rows = []
        for l, layer in enumerate(layers):
            bits = self.bits[l, :, 0] @ ranges
            if time.sum(0).min() > 0 and bits[:, 1].sum() > 0:
                rows.append([layer, NEAR, FAR, *_ratio(Jackknife.of_ratios(bits, time), 0, 1)])
        return pd.DataFrame(rows, columns=CONTRAST_COLUMNS)


def _positive_interval(statistic: Jackknife) -> Interval:
    """The interval over groups, not below 0; NaN where there are too few groups."""
    interval = mean_interval(statistic)
    return Interval(np.maximum(interval.low, 0.0), interval.high)


def _ratio(rates: Jackknife, above: int, below: int) -> tuple[float, float, float]:
    """The ratio of two rates and the ends of its interval."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = rates.map(lambda rows: rows[:, [above]] / rows[:, [below]])
    interval = _positive_interval(ratio)
    return float(ratio.value[0]), float(interval.low[0]), float(interval.high[0])


class _Autocorrelation:
    """Autocorrelation of one series of vectors over many recordings, about the mean of each recording.

    Autocovariances are summed over dimensions and divided by the sum of the variances: the mean over dimensions of
    their autocorrelations, weighted by variance. It does not depend on the basis, and constant dimensions have no
    weight.
    """

    def __init__(self, name: str, stride: int, groups: int, lags: int) -> None:
        self.name, self.stride, self.lags = name, stride, lags
        self.products: np.ndarray | float = 0.0
        self.pairs = np.zeros((groups, lags))
        self.traces = np.zeros((groups, lags))
        self.sums: np.ndarray | float = 0.0
        self.squares: np.ndarray | float = 0.0

    def add(self, group: int, series: Float[np.ndarray, "steps dims"]) -> None:
        products = lagged_products(series, self.lags)
        self.products += products
        self.traces[group] += products.sum(1)
        self.pairs[group] += pairs(len(series), self.lags)
        mean = series.mean(0)
        self.sums += len(series) * mean
        self.squares += len(series) * mean**2

    def row(self, rate: int, active: np.ndarray | None) -> dict[str, Any]:
        """Times in milliseconds; `dimension_median_ms` is the median over dimensions, of a layer over active ones."""
        counts = self.pairs.sum(0)
        products = np.asarray(self.products)
        step = 1000 * self.stride / rate
        whole = autocorrelation(self.traces.sum(0)[:, None], counts[:, None])
        single = integrated_time(autocorrelation(products, counts[:, None]))
        single = single[np.isfinite(single) & (True if active is None else active)]
        between = float(np.sum(np.asarray(self.squares) / counts[0] - (np.asarray(self.sums) / counts[0]) ** 2))
        within = float(products[0].sum() / counts[0])
        time = Jackknife.of_ratios(self.traces, self.pairs).map(
            lambda rows: step * integrated_time(autocorrelation(rows.T, np.ones((self.lags, 1))))[:, None]
        )
        interval = _positive_interval(time)
        return {
            "series": self.name,
            "step_ms": step,
            "integrated_ms": step * integrated_time(whole)[0],
            "ci_low": interval.low[0],
            "ci_high": interval.high[0],
            "decay_ms": step * decay_time(whole)[0],
            "dimension_median_ms": step * float(np.median(single)) if len(single) else np.nan,
            "dimensions": len(single),
            "constant_share": between / (between + within) if between + within > 0 else np.nan,
            "n": int(counts[0]),
        }


def _duration_row(kind: str, seconds: Sequence[float]) -> dict[str, Any]:
    """Median duration of phones or words, for comparison with the times."""
    return {"series": kind, "duration_median_ms": 1000 * float(np.median(seconds)), "n": len(seconds)}
