"""How many Monte Carlo samples a token's mean needs: its error and the probe's accuracy over N, for both estimators.

Both estimators are taken of the same paths, those of `probe extract` with the same seed, so that row N is what a table
of N samples holds. What they estimate is known well from further, independent paths: the mean of their posterior
means, the *reference*.

For a layer with tokens i and dimensions d, estimates x_id of variance v_id (the table's `z1_var`), reference r_id of
variance u_id, and means over tokens <.>:

    error² = Σ_d < (x_id - r_id)² - u_id >      the error of the estimate, the reference's own taken off
    predicted² = Σ_d < v_id >                   what the variances say the error is
    spread² = Σ_d ( < r_id² > - < r_id >² )     how far tokens lie apart

and every error is given over the spread. Summing over dimensions before dividing keeps dimensions that do not move
from counting; only tokens that are probed (no silences) are counted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
import pandas as pd
import torch

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Float
from lvm_probe.models.model import SpeechModel
from lvm_probe.probing.corpora import phones
from lvm_probe.probing.corpora.audio import resample_segment
from lvm_probe.probing.corpora.corpus import Corpus, Segment, Utterance
from lvm_probe.probing.corpora.recordings import CorpusRecording
from lvm_probe.probing.features.extraction import token_rows
from lvm_probe.probing.features.extraction_settings import Estimator
from lvm_probe.probing.features.path_blocks import check_latents, encode
from lvm_probe.probing.features.pooling import Pooling
from lvm_probe.probing.features.sources import followed, side_by_side
from lvm_probe.probing.features.token_table import TokenTable, as_columns
from lvm_probe.probing.questions.ask import ask
from lvm_probe.probing.questions.question import Question

K = 5
"""Neighbours of the probe, fixed beforehand."""

ESTIMATORS: tuple[Estimator, ...] = get_args(Estimator)
REFERENCE = "reference"


@dataclass(frozen=True)
class Convergence:
    """One row a layer, estimator and number of samples; then one a layer for the reference.

    Columns: `layer`, `estimator` (sample, posterior-mean, or reference), `samples`, `error`, `predicted_error` and
    `reference_error` (over the spread; NaN where not known), `spread`, `accuracy` with `ci_low`, `ci_high`, `n`,
    `n_classes` and `interval` of the probe, `seconds_per_second` (of computing, for each second of audio).
    """

    rows: pd.DataFrame
    tokens: int
    speakers: int
    utterances: int
    seconds: float
    timed_seconds: float
    """Length of the utterance that the times were taken on."""


@dataclass(frozen=True)
class _Estimate:
    """Token means of one layer and their Monte Carlo variance (NaN for a single path)."""

    mean: Float[np.ndarray, "tokens latent"]
    variance: Float[np.ndarray, "tokens latent"]

    @classmethod
    def of(cls, values: Float[np.ndarray, "tokens paths latent"]) -> _Estimate:
        paths = values.shape[1]
        variance = values.var(1, ddof=1) / paths if paths > 1 else np.full_like(values[:, 0], np.nan)
        return cls(values.mean(1), variance)

    @classmethod
    def joined(cls, parts: Sequence[_Estimate]) -> _Estimate:
        return cls(np.concatenate([p.mean for p in parts]), np.concatenate([p.variance for p in parts]))


_Key = tuple[int, str, int]  # layer, estimator, samples


def choose(corpus: Corpus, utterances: int, seed: int = 0) -> Corpus:
    """About `utterances` utterances with phonemes: whole speakers, in an order drawn with the seed, while they fit.

    The probe asks one speaker at a time and needs much of each. A speaker who alone has too many is cut to the first
    utterances. Raises InputError when no utterance has phonemes.
    """
    if utterances < 1:
        raise InputError(f"--utterances {utterances}: at least one is needed")
    aligned = [u for u in corpus.utterances if any(s.label not in phones.NON_PHONEMES for s in u.phonemes)]
    if not aligned:
        raise InputError(f"{corpus.root}: no phonemes in this corpus's alignments; give it TextGrids or .phn files")
    by_speaker: dict[str, list[Utterance]] = {}
    for utterance in aligned:
        by_speaker.setdefault(utterance.speaker.id, []).append(utterance)
    order = np.random.default_rng(seed).permutation(sorted(by_speaker))
    chosen: list[Utterance] = []
    for speaker in order:
        if len(chosen) + len(by_speaker[speaker]) <= utterances:
            chosen += by_speaker[speaker]
    return replace(corpus, utterances=tuple(chosen or by_speaker[order[0]][:utterances]))


def converge(
    model: SpeechModel,
    corpus: Corpus,
    recordings: Sequence[CorpusRecording],
    *,
    samples: Sequence[int] = (1, 2, 5, 10, 20, 50, 100),
    reference: int = 200,
    seed: int = 0,
    memory_gb: float = 1.0,
    progress: Callable[[float], None] = lambda seconds: None,
    asking: Callable[[int, int], None] = lambda i, n: None,
) -> Convergence:
    """Error, accuracy and cost of the token means of `recordings` (utterances of `corpus`) over numbers of samples.

    Raises InputError for a model without latents, numbers out of range, or too little for the probe. `progress` is
    called with the seconds of audio done, `asking` with the probe runs done and all of them.
    """
    check_latents(model, "this checkpoint")
    ns = sorted(set(samples))
    if not ns or ns[0] < 1 or reference < 2:
        raise InputError(
            f"--samples {','.join(map(str, samples))}, --reference {reference}: give numbers from 1, a reference from 2"
        )
    parts: dict[_Key, list[_Estimate]] = {}
    rows: list[dict[str, Any]] = []
    for recording in recordings:
        tokens, segments = _probed(recording)
        if tokens:
            for key, estimate in _estimates(model, recording, segments, ns, reference, seed, memory_gb).items():
                parts.setdefault(key, []).append(estimate)
            rows += tokens
        progress(recording.utterance.seconds)
    if not rows:
        raise InputError(f"{corpus.root}: no phonemes in these utterances; choose others")
    estimates = {key: _Estimate.joined(part) for key, part in parts.items()}
    if not all(np.isfinite(estimate.mean).all() for estimate in estimates.values()):
        raise InputError("the latents are not finite: the checkpoint is damaged")
    table = TokenTable(
        corpus.root.name,
        corpus.root,
        {},
        as_columns(rows),
        {_feature(key): estimate.mean.astype(np.float32) for key, estimate in estimates.items()},
    )
    question = Question(protocol="nested", features=tuple(table.features), ks=(K,), permutations=0, seed=seed)
    results = ask(table, question, progress=asking).frame
    speakers = len(set(table.columns["speaker"]))
    pooled = results[(results["speaker"] == "") | (speakers == 1)].to_dict("records")
    answers = {str(answer["feature"]): answer for answer in pooled}
    timed = sorted(recordings, key=lambda r: r.samples)[len(recordings) // 2]
    costs = _costs(model, timed, [*ns, reference], seed, memory_gb)
    frame = pd.DataFrame(
        [
            _row(key, estimate, estimates[key[0], REFERENCE, reference], answers[_feature(key)], costs[key[2]])
            for key, estimate in sorted(estimates.items(), key=lambda item: _order(item[0]))
        ]
    )
    seconds = math.fsum(r.utterance.seconds for r in recordings)
    return Convergence(frame, len(rows), speakers, len(recordings), seconds, timed.utterance.seconds)


def relative_errors(estimate: _Estimate, reference: _Estimate) -> dict[str, float]:
    """`error`, `predicted_error`, `reference_error` over the spread, and the `spread`; see the module for each."""
    spread = float(np.sqrt(reference.mean.var(0).sum()))
    squares = np.square(estimate.mean - reference.mean) - reference.variance
    sums = {
        "error": squares.mean(0).sum(),
        "predicted_error": estimate.variance.mean(0).sum(),
        "reference_error": reference.variance.mean(0).sum(),
    }
    # An error far below the reference's can come out below zero: then it is too small to be told.
    relative = {
        name: float(np.sqrt(max(value, 0)) / spread) if spread and value == value else math.nan
        for name, value in sums.items()
    }
    return relative | {"spread": spread}


def _row(
    key: _Key, estimate: _Estimate, reference: _Estimate, answer: Mapping[Hashable, Any], cost: float
) -> dict[str, Any]:
    layer, estimator, samples = key
    errors = relative_errors(estimate, reference)
    if estimator == REFERENCE:  # its difference from itself says nothing
        errors |= {"error": math.nan}
    accuracy = {name: answer[name] for name in ("accuracy", "ci_low", "ci_high", "n", "n_classes", "interval")}
    named = {"layer": f"z{layer + 1}", "estimator": estimator, "samples": samples}
    return named | errors | accuracy | {"seconds_per_second": cost}


def _order(key: _Key) -> tuple[int, int, int]:
    layer, estimator, samples = key
    return layer, [*ESTIMATORS, REFERENCE].index(estimator), samples


def _feature(key: _Key) -> str:
    layer, estimator, samples = key
    return f"z{layer + 1} {estimator} {samples}"


def _probed(recording: CorpusRecording) -> tuple[list[dict[str, Any]], list[Segment]]:
    """Rows of the table for the phonemes of a recording, and their segments at its rate."""
    utterance = recording.utterance
    tokens, segments = token_rows(utterance, ("phoneme",))
    kept = [i for i, s in enumerate(segments) if s.label not in phones.NON_PHONEMES]
    last = recording.samples
    moved = [resample_segment(segments[i], utterance.sample_rate, recording.sample_rate) for i in kept]
    # A position rounded to the model's rate may pass the end of the resampled audio by one sample.
    moved = [Segment(s.label, min(s.start, last - 1), min(s.end, last)) for s in moved]
    return [tokens[i] for i in kept], moved


@torch.inference_mode()
def _estimates(
    model: SpeechModel,
    recording: CorpusRecording,
    segments: Sequence[Segment],
    ns: Sequence[int],
    reference: int,
    seed: int,
    memory_gb: float,
) -> dict[_Key, _Estimate]:
    """Token means over the first N paths for every N and estimator, and over the reference's paths after them."""
    pcm = recording.read(0, recording.samples)
    encoded = encode(model, pcm)
    pools = [Pooling(segments, stride, -(-len(pcm) // stride)) for stride in model.strides]

    def values(paths: range, estimators: Sequence[Estimator]) -> dict[tuple[int, Estimator], np.ndarray]:
        found = {
            (l, estimator): np.zeros((len(segments), len(paths), z))
            for l, z in enumerate(model.latents)
            for estimator in estimators
        }
        for some in side_by_side(model, paths, len(pcm), memory_gb):
            place = slice(some.start - paths.start, some.stop - paths.start)
            for stretch in followed(model, recording.name, encoded, len(pcm), some, seed):
                for (l, estimator), tokens in found.items():
                    first, layer = stretch[l]
                    steps = layer.z if estimator == "sample" else layer.posterior.mean
                    pools[l].add(steps.cpu().numpy(), first, tokens[:, place])
        return found

    estimates: dict[_Key, _Estimate] = {}
    for (l, estimator), tokens in values(range(ns[-1]), ESTIMATORS).items():
        estimates |= {(l, estimator, n): _Estimate.of(tokens[:, :n]) for n in ns}
    for (l, _), tokens in values(range(ns[-1], ns[-1] + reference), ("posterior-mean",)).items():
        estimates[l, REFERENCE, reference] = _Estimate.of(tokens)
    return estimates


@torch.inference_mode()
def _costs(
    model: SpeechModel, recording: CorpusRecording, ns: Sequence[int], seed: int, memory_gb: float
) -> dict[int, float]:
    """Wall seconds per second of audio to encode a recording and infer N paths of it, measured on this one."""
    pcm = recording.read(0, recording.samples)
    costs = {}
    for n in ns:
        began = time.perf_counter()
        encoded = encode(model, pcm)
        for paths in side_by_side(model, range(n), len(pcm), memory_gb):
            for stretch in followed(model, recording.name, encoded, len(pcm), paths, seed):
                stretch[0][1].z[-1].cpu()  # waits for a device that computes on its own
        costs[n] = (time.perf_counter() - began) / recording.utterance.seconds
    return costs
