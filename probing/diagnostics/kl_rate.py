"""What the layers spend their bits on: KL(q || p) over time, by phone class and around phone boundaries, and how
long each layer's latents remember.

The KL of a step is taken along sampled paths and averaged over them; a step's bits are spread evenly over those of its
samples that lie in the recording, so that whatever tiles the recording sums to the whole KL. Rates are bits per second
of audio: bits per frame times the sample rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pandas as pd
import torch

from lvm_probe import InputError
from lvm_probe.analysis.autocorrelation import autocorrelation, decay_time, integrated_time, lagged_products, pairs
from lvm_probe.analysis.mel import log_mel
from lvm_probe.analysis.ratios import percentile_interval, resampled_ratios
from lvm_probe.analysis.shape_annotations import Float
from lvm_probe.models.likelihood.elbo import ACTIVE_NATS, NATS_PER_BIT
from lvm_probe.models.likelihood.gaussian import kl_divergence
from lvm_probe.models.model import SpeechModel
from lvm_probe.probing.corpora import phones
from lvm_probe.probing.corpora.audio import resample_segment, to_float
from lvm_probe.probing.corpora.corpus import Segment
from lvm_probe.probing.corpora.recordings import CorpusRecording
from lvm_probe.probing.features.path_blocks import blocks, check_latents, encode

REACH_SECONDS = 0.1
"""How far around a boundary the rate is followed."""

NEAR_SECONDS, FAR_SECONDS = 0.02, 0.06
"""What is compared around a boundary: at most the first away from it, and at least the second (up to the reach)."""

NEAR, FAR = "boundary", "away"
MOST_LAG_SECONDS = 5.0
MEL_HOP = 64
"""Of the Mel row where the lowest stride is a single sample."""

ALL, SPEECH, UNLABELLED = "all", "speech", "unlabelled"
CONTRASTS = (("fricative", "vowel"), ("stop", "vowel"), ("silence", SPEECH))
"""Pairs of classes whose rates are compared, fixed beforehand."""

CLASS_COLUMNS = [
    "layer", "by", "label", "segments", "seconds", "share_of_time", "bits", "share_of_bits", "bits_per_second",
    "ci_low", "ci_high",
]  # fmt: skip
CONTRAST_COLUMNS = ["layer", "label", "against", "ratio", "ci_low", "ci_high"]


@dataclass(frozen=True)
class Spent:
    """What one layer spent on one recording, by the mean over its sampled paths, and what it spent on each path."""

    bits: Float[np.ndarray, " steps"]
    bits_by_dimension: Float[np.ndarray, " latent"]
    bits_by_path: Float[np.ndarray, " paths"]
    mean: Float[np.ndarray, "steps latent"]
    """The posterior's mean at each step, averaged over the paths."""


@dataclass(frozen=True)
class Rates:
    """The tables of `probe rate`, tidy, rates in bits per second and times in milliseconds.

    `layers` has one row a layer: the rate of all audio with the standard error of its Monte Carlo mean. Intervals
    are 95 % bootstraps over `groups` `unit`s: speakers, or the utterances of a single speaker; NaN where there is one.
    """

    layers: pd.DataFrame
    by_class: pd.DataFrame
    contrasts: pd.DataFrame
    around: pd.DataFrame
    timescales: pd.DataFrame
    utterances: int
    seconds: float
    samples: int
    unit: str
    groups: int


def measure(
    model: SpeechModel,
    recordings: Sequence[CorpusRecording],
    *,
    samples: int = 8,
    seed: int = 0,
    memory_gb: float = 1.0,
    progress: Callable[[float], None] = lambda seconds: None,
) -> Rates:
    """Run `samples` paths through every recording and tabulate what they spend.

    Raises InputError for a model without latents, no phonemes, or a KL that is not finite. `progress` is called with
    the seconds of audio done.
    """
    check_latents(model, "this checkpoint")
    if samples < 1:
        raise InputError(f"--samples {samples}: at least one path is needed")
    utterances = [recording.utterance for recording in recordings]
    labels = sorted({segment.label for utterance in utterances for segment in utterance.phonemes})
    if not labels:
        raise InputError("no phonemes in the alignments of these utterances: rates by class need them; give TextGrids")
    speakers = [utterance.speaker.id for utterance in utterances]
    unit = "speaker" if len(set(speakers)) > 1 else "utterance"
    names = speakers if unit == "speaker" else [utterance.id for utterance in utterances]
    groups = np.unique(names, return_inverse=True)[1]
    rate = model.config.sample_rate
    rng = np.random.default_rng(seed)

    layers = [f"z{l + 1}" for l in range(len(model.strides))]
    bin_samples = max(1, min(model.strides[0], round(REACH_SECONDS * rate)))
    count = int(groups.max()) + 1
    classes = _Classes(labels, len(layers), count)
    boundaries = _Boundaries(classes.manners, len(layers), count, bin_samples, rate)
    hop = model.strides[0] if model.strides[0] > 1 else MEL_HOP
    longest = min(max(r.samples for r in recordings) / 2, MOST_LAG_SECONDS * rate)
    memories = [
        _Memory(name, stride, count, max(2, int(longest / stride)))
        for name, stride in zip([*layers, "mel"], [*model.strides, hop], strict=True)
    ]
    by_path = np.zeros((len(layers), samples))
    by_dimension = [np.zeros(size) for size in model.latents]
    steps = np.zeros(len(layers))

    for recording, group in zip(recordings, groups, strict=True):
        pcm = recording.read(0, recording.samples)
        spent = spending(model, recording.name, pcm, samples, seed, memory_gb)
        if not all(np.isfinite(layer.bits).all() for layer in spent):
            raise InputError(f"{recording.utterance.audio}: the KL is not finite; the checkpoint is damaged")
        segments = [resample_segment(s, recording.utterance.sample_rate, rate) for s in recording.utterance.phonemes]
        # A position rounded to the model's rate may pass the end of the resampled audio by one sample.
        segments = [Segment(s.label, min(s.start, len(pcm) - 1), min(s.end, len(pcm))) for s in segments]
        ledgers = [_Ledger(layer.bits, stride, len(pcm)) for layer, stride in zip(spent, model.strides, strict=True)]
        classes.add(int(group), segments, ledgers, len(pcm))
        boundaries.add(int(group), segments, ledgers, len(pcm))
        mel = log_mel(to_float(pcm), sample_rate=rate, hop=hop)
        for memory, series in zip(memories, [*(layer.mean for layer in spent), mel], strict=True):
            memory.add(int(group), series.astype(np.float64))
        for l, layer in enumerate(spent):
            by_path[l] += layer.bits_by_path
            by_dimension[l] += layer.bits_by_dimension
            steps[l] += len(layer.bits)
        progress(recording.utterance.seconds)

    seconds = sum(r.samples for r in recordings) / rate
    active = [bits * NATS_PER_BIT / n >= ACTIVE_NATS for bits, n in zip(by_dimension, steps, strict=True)]
    error = by_path.std(1, ddof=1) / math.sqrt(samples) if samples > 1 else np.full(len(layers), np.nan)
    totals = pd.DataFrame(
        {
            "layer": layers,
            "stride": list(model.strides),
            "step_ms": [1000 * stride / rate for stride in model.strides],
            "bits_per_second": by_path.mean(1) / seconds,
            "standard_error": error / seconds,
            "bits_per_frame": by_path.mean(1) / (seconds * rate),
            "bits_per_step": by_path.mean(1) / steps,
            "dimensions": list(model.latents),
            "active": [int(a.sum()) for a in active],
        }
    )
    by_class, contrasts = classes.tables(layers, rate, rng)
    contrasts = pd.concat([contrasts, boundaries.contrast(layers, rng)], ignore_index=True)
    remembered = [memory.row(rate, some, rng) for memory, some in zip(memories, [*active, None], strict=True)]
    durations = [
        _durations(kind, [s.samples / u.sample_rate for u in utterances for s in segments_of(u)])
        for kind, segments_of in (("phone", lambda u: [s for s in u.phonemes if s.label not in phones.NON_PHONEMES]),
                                  ("word", lambda u: u.words))
    ]  # fmt: skip
    return Rates(
        totals,
        by_class,
        contrasts,
        boundaries.table(layers, rng),
        pd.DataFrame([*remembered, *(row for row in durations if row)]),
        len(recordings),
        seconds,
        samples,
        unit,
        count,
    )


@torch.inference_mode()
def spending(
    model: SpeechModel, name: str, pcm: np.ndarray, samples: int, seed: int = 0, memory_gb: float = 1.0
) -> tuple[Spent, ...]:
    """KL(q || p) of every layer (lowest first) along `samples` paths of one recording of 16-bit PCM."""
    encoded = encode(model, pcm)
    bits: list[list[np.ndarray]] = [[] for _ in model.strides]
    by_dimension = [np.zeros(size) for size in model.latents]
    by_path: list[list[np.ndarray]] = [[] for _ in model.strides]
    means: list[list[np.ndarray]] = [[] for _ in model.strides]
    for layers in blocks(model, name, encoded, len(pcm), range(samples), seed, memory_gb):
        for l, layer in enumerate(layers):
            kl = kl_divergence(layer.posterior, layer.prior).double() / NATS_PER_BIT
            bits[l].append(kl.sum((1, 2)).cpu().numpy())
            by_dimension[l] += kl.sum((0, 1)).cpu().numpy()
            by_path[l].append(kl.sum((0, 2)).cpu().numpy())
            means[l].append(layer.posterior.mean.sum(1, dtype=torch.float64).cpu().numpy())
    return tuple(
        Spent(np.sum(b, 0) / samples, d / samples, np.concatenate(p), np.sum(m, 0) / samples)
        for b, d, p, m in zip(bits, by_dimension, by_path, means, strict=True)
    )


class _Ledger:
    """Bits spent before each sample of a recording: those of a step lie evenly on its samples in the recording."""

    def __init__(self, bits: Float[np.ndarray, " steps"], stride: int, samples: int) -> None:
        self.edges = np.minimum(np.arange(len(bits) + 1) * stride, samples)
        self.sums = np.concatenate([[0.0], np.cumsum(bits)])

    def until(self, at: np.ndarray) -> np.ndarray:
        """Bits of samples [0, at)."""
        return np.interp(at, self.edges, self.sums)


class _Classes:
    """Bits and samples of every phone label and group, and the rates of labels and of manners of articulation."""

    def __init__(self, labels: Sequence[str], layers: int, groups: int) -> None:
        self.labels = (*labels, UNLABELLED)
        self.manner_of = _manners(labels)
        self.manners = tuple(m for m in get_args(phones.Manner) if m in self.manner_of.values())
        self.place = {label: i for i, label in enumerate(self.labels)}
        self.bits = np.zeros((layers, groups, len(self.labels)))
        self.samples = np.zeros((groups, len(self.labels)))
        self.segments = np.zeros(len(self.labels), dtype=np.int64)

    def add(self, group: int, segments: Sequence[Segment], ledgers: Sequence[_Ledger], samples: int) -> None:
        spans = np.array([(s.start, s.end) for s in segments], dtype=np.int64).reshape(-1, 2)
        places = np.array([self.place[s.label] for s in segments], dtype=np.int64)
        np.add.at(self.samples[group], places, spans[:, 1] - spans[:, 0])
        np.add.at(self.segments, places, 1)
        self.samples[group, -1] += samples - (spans[:, 1] - spans[:, 0]).sum()
        for l, ledger in enumerate(ledgers):
            spent = ledger.until(spans[:, 1]) - ledger.until(spans[:, 0])
            np.add.at(self.bits[l, group], places, spent)
            self.bits[l, group, -1] += ledger.sums[-1] - spent.sum()

    def tables(self, layers: Sequence[str], rate: int, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Rates by class (`CLASS_COLUMNS`) and the ratios of some of them (`CONTRASTS`)."""
        classes = self._classes()
        inside = np.array([[label in labels for labels in classes.values()] for label in self.labels], dtype=np.float64)
        time = self.samples @ inside / rate
        seconds = time.sum(0)
        segments = self.segments @ inside
        place = {label: i for i, (by, label) in enumerate(classes) if by != "phone"}
        rows, ratios = [], []
        for l, layer in enumerate(layers):
            spent = self.bits[l] @ inside
            bits = spent.sum(0)
            means = bits / seconds
            draws = _draws(spent, time, rng)
            interval = percentile_interval(draws)
            for i, (by, label) in enumerate(classes):
                shares = seconds[i] / seconds[0], bits[i] / bits[0] if bits[0] else np.nan
                rows.append([layer, by, label, int(segments[i]), seconds[i], shares[0], bits[i], shares[1], means[i],
                             interval.low[i], interval.high[i]])  # fmt: skip
            for a, b in CONTRASTS:
                if a in place and b in place and means[place[b]] > 0:
                    middle = _of_ratio(draws[:, [place[a]]], draws[:, [place[b]]])
                    ratios.append([layer, a, b, means[place[a]] / means[place[b]], *middle])
        return pd.DataFrame(rows, columns=CLASS_COLUMNS), pd.DataFrame(ratios, columns=CONTRAST_COLUMNS)

    def _classes(self) -> dict[tuple[str, str], set[str]]:
        """The labels of every class that has any time, by kind and name of the class."""
        silent = phones.NON_PHONEMES | {label for label, manner in self.manner_of.items() if manner == "silence"}
        classes: dict[tuple[str, str], set[str]] = {
            (ALL, ALL): set(self.labels),
            (ALL, SPEECH): set(self.labels) - silent - {UNLABELLED},
            (ALL, UNLABELLED): {UNLABELLED},
        }
        for manner in self.manners:
            classes["manner", manner] = {label for label, mine in self.manner_of.items() if mine == manner}
        classes |= {("phone", label): {label} for label in self.labels if label != UNLABELLED}
        heard = {label for label, samples in zip(self.labels, self.samples.sum(0), strict=True) if samples}
        return {key: labels for key, labels in classes.items() if labels & heard}


def _manners(labels: Sequence[str]) -> dict[str, phones.Manner]:
    """The manner of every label; empty unless all are TIMIT's."""
    try:
        return {label: phones.manner(label) for label in labels}
    except InputError:
        return {}


class _Boundaries:
    """Bits and time in bins around the starts of phones, for each group and each manner of the phone that begins."""

    def __init__(self, manners: Sequence[str], layers: int, groups: int, bin_samples: int, rate: int) -> None:
        self.right = (ALL, *manners)
        self.rate = rate
        reach = max(1, round(REACH_SECONDS * rate) // bin_samples)
        self.edges = np.arange(-reach, reach + 1) * bin_samples
        bins = len(self.edges) - 1
        self.bits = np.zeros((layers, groups, len(self.right), bins))
        self.seconds = np.zeros((groups, len(self.right), bins))
        self.count = np.zeros((len(self.right), bins), dtype=np.int64)

    def add(self, group: int, segments: Sequence[Segment], ledgers: Sequence[_Ledger], samples: int) -> None:
        begun = [s for s in segments if s.start > 0]
        if not begun:
            return
        edges = np.array([s.start for s in begun])[:, None] + self.edges
        heard = (edges[:, :-1] >= 0) & (edges[:, 1:] <= samples)  # bins that lie in the recording whole
        rights = {} if len(self.right) == 1 else {s.label: phones.manner(s.label) for s in begun}
        for place, right in enumerate(self.right):
            mine = heard & np.array([place == 0 or rights[s.label] == right for s in begun])[:, None]
            self.seconds[group, place] += (mine * np.diff(edges)).sum(0) / self.rate
            self.count[place] += mine.sum(0)
            for l, ledger in enumerate(ledgers):
                self.bits[l, group, place] += (mine * np.diff(ledger.until(edges))).sum(0)

    def table(self, layers: Sequence[str], rng: np.random.Generator) -> pd.DataFrame:
        """One row a layer, class of the phone that begins, and bin (`offset_ms`: its middle)."""
        offsets = 1000 * (self.edges[:-1] + self.edges[1:]) / 2 / self.rate
        frames = []
        for l, layer in enumerate(layers):
            for place, right in enumerate(self.right):
                bits, seconds = self.bits[l, :, place], self.seconds[:, place]
                known = seconds.sum(0) > 0
                mean = np.divide(bits.sum(0), seconds.sum(0), out=np.full(len(known), np.nan), where=known)
                interval = percentile_interval(_draws(bits, seconds, rng))
                columns = {"layer": layer, "right": right, "offset_ms": offsets, "bits_per_second": mean,
                           "ci_low": interval.low, "ci_high": interval.high,
                           "boundaries": self.count[place]}  # fmt: skip
                frames.append(pd.DataFrame(columns)[known])
        return pd.concat(frames, ignore_index=True)

    def contrast(self, layers: Sequence[str], rng: np.random.Generator) -> pd.DataFrame:
        """The rate near the start of a phone over that away from it; nothing where the bins are too coarse to tell."""
        middle = np.abs(self.edges[:-1] + self.edges[1:]) / 2 / self.rate
        ranges = np.stack([middle <= NEAR_SECONDS, middle >= FAR_SECONDS], 1).astype(np.float64)
        time = self.seconds[:, 0] @ ranges
        rows = []
        for l, layer in enumerate(layers):
            spent = self.bits[l, :, 0] @ ranges
            if time.sum(0).min() > 0 and spent[:, 1].sum() > 0:
                near, far = spent.sum(0) / time.sum(0)
                draws = _draws(spent, time, rng)
                rows.append([layer, NEAR, FAR, near / far, *_of_ratio(draws[:, [0]], draws[:, [1]])])
        return pd.DataFrame(rows, columns=CONTRAST_COLUMNS)


def _draws(bits: np.ndarray, seconds: np.ndarray, rng: np.random.Generator) -> Float[np.ndarray, "draws columns"]:
    """Bootstrapped rates; a single unknown one where there is one group."""
    return resampled_ratios(bits, seconds, rng=rng) if len(seconds) > 1 else np.full((1, bits.shape[1]), np.nan)


def _of_ratio(above: Float[np.ndarray, "draws 1"], below: Float[np.ndarray, "draws 1"]) -> tuple[float, float]:
    """The interval of a ratio of two rates whose draws are paired."""
    ratio = np.divide(above, below, out=np.full_like(below, np.nan), where=below > 0)
    interval = percentile_interval(ratio)
    return float(interval.low[0]), float(interval.high[0])


class _Memory:
    """Autocorrelation of one series of vectors over many recordings, each about its own mean.

    The mean over dimensions weighted by their variance is the autocorrelation of the vector: the sum over dimensions
    of their autocovariances, over that of their variances. It does not depend on the basis, and dimensions that do
    not move weigh nothing.
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

    def row(self, rate: int, active: np.ndarray | None, rng: np.random.Generator) -> dict[str, Any]:
        """Times in milliseconds. `active_integrated_ms` is the median over dimensions, of a layer the active ones."""
        counts = self.pairs.sum(0)
        products = np.asarray(self.products)
        step = 1000 * self.stride / rate
        whole = autocorrelation(self.traces.sum(0)[:, None], counts[:, None])
        single = integrated_time(autocorrelation(products, counts[:, None]))
        single = single[np.isfinite(single) & (True if active is None else active)]
        between = float(np.sum(np.asarray(self.squares) / counts[0] - (np.asarray(self.sums) / counts[0]) ** 2))
        within = float(products[0].sum() / counts[0])
        row = {
            "series": self.name,
            "step_ms": step,
            "integrated_ms": step * integrated_time(whole)[0],
            "ci_low": np.nan,
            "ci_high": np.nan,
            "decay_ms": step * decay_time(whole)[0],
            "dimension_median_ms": step * float(np.median(single)) if len(single) else np.nan,
            "dimensions": len(single),
            "constant_share": between / (between + within) if between + within > 0 else np.nan,
            "n": int(counts[0]),
        }
        if len(self.traces) > 1:
            drawn = resampled_ratios(self.traces, self.pairs, rng=rng)
            times = integrated_time(autocorrelation(drawn.T, np.ones((self.lags, 1))))
            interval = percentile_interval(step * times[:, None])
            row |= {"ci_low": interval.low[0], "ci_high": interval.high[0]}
        return row


def _durations(kind: str, seconds: Sequence[float]) -> dict[str, Any] | None:
    """Median duration of phones (without silences) or words, for comparison."""
    if not seconds:
        return None
    return {"series": kind, "duration_median_ms": 1000 * float(np.median(seconds)), "n": len(seconds)}
