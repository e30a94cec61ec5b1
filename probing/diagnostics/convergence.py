"""How many Monte Carlo draws the mean of a token needs: its error and the probe's accuracy over the number of draws.

Both estimators use the same paths, those of `probe extract` with the same seed, so that the row for N draws describes a
table of N draws. What they estimate is known more precisely from further, independent paths: the mean of their
posterior means, the *reference*.

For a layer with tokens i and dimensions d, estimates x_id of variance v_id (the table's `z1_var`), reference r_id of
variance u_id, and means over tokens <.>:

    error² = Σ_d < (x_id - r_id)² - u_id >      error of the estimate, without the reference's own
    predicted² = Σ_d < v_id >                   error according to the variances
    spread² = Σ_d ( < r_id² > - < r_id >² )     how far apart the tokens lie

Errors are divided by the spread. Dimensions are summed before dividing, so that constant ones have no weight. Only
tokens that are probed (no silences) are counted.
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
from lvm_probe.probing.corpora.corpus import Corpus, Segment, Utterance
from lvm_probe.probing.corpora.recordings import CorpusRecording
from lvm_probe.probing.features.extraction import segments_at_rate, token_rows
from lvm_probe.probing.features.extraction_settings import Estimator
from lvm_probe.probing.features.pooling import Pooling
from lvm_probe.probing.features.posterior_sampler import PosteriorSampler, require_latents
from lvm_probe.probing.features.token_table import TokenTable, columns_of_rows
from lvm_probe.probing.questions.ask import ask
from lvm_probe.probing.questions.question import Question
from lvm_probe.probing.questions.results import pooled

K = 5
"""Number of neighbours of the probe, fixed beforehand."""

ESTIMATORS: tuple[Estimator, ...] = get_args(Estimator)
REFERENCE = "reference"


@dataclass(frozen=True)
class Convergence:
    """What `probe convergence` measures.

    Attributes:
        rows: one row per layer, estimator and number of draws, and one per layer for the reference. Columns: `layer`,
            `estimator` (sample, posterior-mean, or reference), `samples` (number of draws), `error`,
            `predicted_error` and `reference_error` (divided by the spread; NaN where unknown), `spread`, `accuracy` of
            the probe with `ci_low`, `ci_high`, `n`, `n_classes` and `interval`, and `seconds_per_second` (computing
            time per second of audio).
        tokens: number of probed tokens.
        speakers: number of their speakers.
        utterances: number of recordings.
        seconds: their duration.
        timed_seconds: duration of the one on which the computing time was measured.
    """

    rows: pd.DataFrame
    tokens: int
    speakers: int
    utterances: int
    seconds: float
    timed_seconds: float


@dataclass(frozen=True)
class _Estimate:
    """Token means of one layer and their Monte Carlo variance (NaN for a single draw)."""

    mean: Float[np.ndarray, "tokens latent"]
    variance: Float[np.ndarray, "tokens latent"]

    @classmethod
    def of(cls, values: Float[np.ndarray, "tokens draws latent"]) -> _Estimate:
        draws = values.shape[1]
        variance = values.var(1, ddof=1) / draws if draws > 1 else np.full_like(values[:, 0], np.nan)
        return cls(values.mean(1), variance)

    @classmethod
    def concatenate(cls, parts: Sequence[_Estimate]) -> _Estimate:
        return cls(np.concatenate([p.mean for p in parts]), np.concatenate([p.variance for p in parts]))


_Key = tuple[int, str, int]  # layer, estimator, number of draws


def choose_utterances(corpus: Corpus, utterances: int, seed: int = 0) -> Corpus:
    """About so many utterances with phonemes.

    Whole speakers are taken, in random order, while they fit, because the probe needs many tokens of each speaker. If
    the first speaker alone has too many utterances, the first of them are taken.

    Args:
        corpus: the corpus to choose from.
        utterances: the wanted number.
        seed: seed of the order.

    Raises:
        InputError: the number is not positive, or no utterance has phonemes.
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


def measure(
    model: SpeechModel,
    corpus: Corpus,
    recordings: Sequence[CorpusRecording],
    *,
    draws: Sequence[int] = (1, 2, 5, 10, 20, 50, 100),
    reference: int = 200,
    seed: int = 0,
    memory_gb: float = 1.0,
    progress: Callable[[float], None] = lambda seconds: None,
    probe_progress: Callable[[int, int], None] = lambda done, of: None,
) -> Convergence:
    """Measure error, accuracy and cost of token means over the number of draws.

    Args:
        model: a model with latents.
        corpus: the corpus of the recordings.
        recordings: at the model's sample rate.
        draws: numbers of draws to compare.
        reference: number of further draws for the reference.
        seed: seed of the draws.
        memory_gb: memory limit for the draws.
        progress: called after each recording with its duration in seconds.
        probe_progress: called with the number of probe runs done and of all runs.

    Raises:
        InputError: the model has no latents, a number is out of range, or there are too few tokens for the probe.
    """
    require_latents(model, "this checkpoint")
    numbers = sorted(set(draws))
    if not numbers or numbers[0] < 1 or reference < 2:
        raise InputError(
            f"--samples {','.join(map(str, draws))}, --reference {reference}: give numbers from 1, a reference from 2"
        )
    parts: dict[_Key, list[_Estimate]] = {}
    rows: list[dict[str, Any]] = []
    for recording in recordings:
        tokens, segments = _probed_tokens(recording)
        if tokens:
            for key, estimate in _estimates(model, recording, segments, numbers, reference, seed, memory_gb).items():
                parts.setdefault(key, []).append(estimate)
            rows += tokens
        progress(recording.utterance.seconds)
    if not rows:
        raise InputError(f"{corpus.root}: no phonemes in these utterances; choose others")
    estimates = {key: _Estimate.concatenate(part) for key, part in parts.items()}
    if not all(np.isfinite(estimate.mean).all() for estimate in estimates.values()):
        raise InputError("the latents are not finite: the checkpoint is damaged")
    table = TokenTable(
        corpus.root.name,
        corpus.root,
        {},
        columns_of_rows(rows),
        {_feature(key): estimate.mean.astype(np.float32) for key, estimate in estimates.items()},
    )
    question = Question(protocol="nested", features=tuple(table.features), ks=(K,), permutations=0, seed=seed)
    results = ask(table, question, progress=probe_progress).frame
    speakers = len(set(table.columns["speaker"]))
    answers = {str(answer["feature"]): answer for answer in pooled(results).to_dict("records")}
    timed = sorted(recordings, key=lambda r: r.samples)[len(recordings) // 2]
    costs = _costs(model, timed, [*numbers, reference], seed, memory_gb)
    table_rows = pd.DataFrame(
        [
            _row(key, estimate, estimates[key[0], REFERENCE, reference], answers[_feature(key)], costs[key[2]])
            for key, estimate in sorted(estimates.items(), key=lambda item: _order(item[0]))
        ]
    )
    seconds = math.fsum(r.utterance.seconds for r in recordings)
    return Convergence(table_rows, len(rows), speakers, len(recordings), seconds, timed.utterance.seconds)


def relative_errors(estimate: _Estimate, reference: _Estimate) -> dict[str, float]:
    """`error`, `predicted_error`, `reference_error` over the spread, and the `spread`; see the module for each."""
    spread = float(np.sqrt(reference.mean.var(0).sum()))
    squares = np.square(estimate.mean - reference.mean) - reference.variance
    sums = {
        "error": squares.mean(0).sum(),
        "predicted_error": estimate.variance.mean(0).sum(),
        "reference_error": reference.variance.mean(0).sum(),
    }
    # The estimate of an error far below the reference's can be negative: it is too small to measure.
    relative = {
        name: float(np.sqrt(max(value, 0)) / spread) if spread and value == value else math.nan
        for name, value in sums.items()
    }
    return relative | {"spread": spread}


def _row(
    key: _Key, estimate: _Estimate, reference: _Estimate, answer: Mapping[Hashable, Any], cost: float
) -> dict[str, Any]:
    layer, estimator, draws = key
    errors = relative_errors(estimate, reference)
    if estimator == REFERENCE:  # compared with itself
        errors |= {"error": math.nan}
    accuracy = {name: answer[name] for name in ("accuracy", "ci_low", "ci_high", "n", "n_classes", "interval")}
    names = {"layer": f"z{layer + 1}", "estimator": estimator, "samples": draws}
    return names | errors | accuracy | {"seconds_per_second": cost}


def _order(key: _Key) -> tuple[int, int, int]:
    layer, estimator, draws = key
    return layer, [*ESTIMATORS, REFERENCE].index(estimator), draws


def _feature(key: _Key) -> str:
    layer, estimator, draws = key
    return f"z{layer + 1}_{estimator.replace('-', '_')}_{draws}"


def _probed_tokens(recording: CorpusRecording) -> tuple[list[dict[str, Any]], list[Segment]]:
    """Rows of the table for the phonemes of a recording, and their segments at its rate."""
    utterance = recording.utterance
    spoken = replace(utterance, phonemes=tuple(s for s in utterance.phonemes if s.label not in phones.NON_PHONEMES))
    tokens, segments = token_rows(spoken, ("phoneme",))
    return tokens, segments_at_rate(segments, utterance.sample_rate, recording.sample_rate, recording.samples)


@torch.inference_mode()
def _estimates(
    model: SpeechModel,
    recording: CorpusRecording,
    segments: Sequence[Segment],
    numbers: Sequence[int],
    reference: int,
    seed: int,
    memory_gb: float,
) -> dict[_Key, _Estimate]:
    """Token means over the first N paths for every N and estimator, and over the reference's paths after them."""
    sampler = PosteriorSampler.of(model, recording.name, recording.read(0, recording.samples), seed)
    pools = [Pooling(segments, stride, steps) for stride, steps in zip(model.strides, sampler.steps, strict=True)]

    def token_means(paths: range, estimators: Sequence[Estimator]) -> dict[tuple[int, Estimator], np.ndarray]:
        """By layer and estimator: arrays (tokens, paths, latent)."""
        means = {
            (l, estimator): np.zeros((len(segments), len(paths), latent))
            for l, latent in enumerate(model.latents)
            for estimator in estimators
        }
        for batch in sampler.batches(paths, memory_gb):
            place = slice(batch.start - paths.start, batch.stop - paths.start)
            for stretch in sampler.draw(batch):
                for (l, estimator), tokens in means.items():
                    first, layer = stretch[l]
                    values = layer.z if estimator == "sample" else layer.posterior.mean
                    pools[l].add(values.cpu().numpy(), first, tokens[:, place])
        return means

    estimates: dict[_Key, _Estimate] = {}
    for (l, estimator), tokens in token_means(range(numbers[-1]), ESTIMATORS).items():
        estimates |= {(l, estimator, n): _Estimate.of(tokens[:, :n]) for n in numbers}
    for (l, _), tokens in token_means(range(numbers[-1], numbers[-1] + reference), ("posterior-mean",)).items():
        estimates[l, REFERENCE, reference] = _Estimate.of(tokens)
    return estimates


@torch.inference_mode()
def _costs(
    model: SpeechModel, recording: CorpusRecording, numbers: Sequence[int], seed: int, memory_gb: float
) -> dict[int, float]:
    """For each number of draws, wall seconds per second of audio to encode a recording and to draw them."""
    pcm = recording.read(0, recording.samples)
    costs = {}
    for number in numbers:
        began = time.perf_counter()
        sampler = PosteriorSampler.of(model, recording.name, pcm, seed)
        for batch in sampler.batches(range(number), memory_gb):
            for stretch in sampler.draw(batch):
                stretch[0][1].z[-1].cpu()  # waits for a GPU to finish
        costs[number] = (time.perf_counter() - began) / recording.utterance.seconds
    return costs
