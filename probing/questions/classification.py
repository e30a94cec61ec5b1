"""Classes by nearest neighbours, linear discriminants or logistic regression.

Every accuracy comes with what it has to be compared with: chance, the accuracy on permuted labels, under the
protocol `paper` on the same rows, of the untrained model where its table is given, and the differences to Mel and
MFCC.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.control_tasks import control_accuracy
from lvm_probe.analysis.knn import checked_ks
from lvm_probe.analysis.lda import checked_dims
from lvm_probe.analysis.logistic import logistic_classify
from lvm_probe.analysis.nulls import permuted_null
from lvm_probe.analysis.predictions import Outcome, Protocol
from lvm_probe.analysis.protocols import classify, lda_classify
from lvm_probe.analysis.shape_annotations import Bool, Float, Int
from lvm_probe.probing.features.feature import Feature
from lvm_probe.probing.questions.comparisons import Units, difference_columns, units_of
from lvm_probe.probing.questions.jobs import Job, generator, naming, sham_erasures
from lvm_probe.probing.questions.judgeable_rows import neighbours_of_pools
from lvm_probe.probing.questions.question import (
    DEFAULT_LDA_DIMS,
    MAX_K,
    TOKEN_TARGETS,
    Question,
    analysis_protocol,
)
from lvm_probe.probing.questions.results import MIN_PERMUTATIONS_FOR_P
from lvm_probe.probing.questions.rows import Rows

_BY_ROW = ("paper", "untrained", "unerased", "sham")
"""What a run compares its predictions with, row by row."""


@dataclass(frozen=True)
class Run:
    """The predictions of one feature in one pool, and what they are compared with.

    Attributes:
        rows: of the plan.
        outcome: the predictions.
        paper: which rows the protocol `paper` got right; None where it is the protocol.
        untrained: which rows the untrained model got right, or None.
        null: accuracy of every permutation of the labels, or None.
        null_of_groups: its mean over the permutations for each group of rows held out together.
        control: accuracy on control tasks, or None.
        unerased: which rows were right with nothing erased; None where nothing is.
        sham: the share of the erasures of permuted labels after which each row was right, or None.
    """

    rows: Int[np.ndarray, " rows"]
    outcome: Outcome
    paper: Bool[np.ndarray, "rows ks"] | None = None
    untrained: Bool[np.ndarray, "rows ks"] | None = None
    null: Float[np.ndarray, "rounds ks"] | None = None
    null_of_groups: Float[np.ndarray, "groups ks"] | None = None
    control: Float[np.ndarray, " ks"] | None = None
    unerased: Bool[np.ndarray, "rows ks"] | None = None
    sham: Float[np.ndarray, "rows ks"] | None = None


def resolved(question: Question, rows: Rows, sizes: Mapping[Feature, int]) -> tuple[Question, tuple[str, ...]]:
    """The question with its discriminants and ks filled in, and notes where a pool or feature allows fewer than usual.

    A pool with fewer classes than the discriminants need has as many as it can, as a fold has.

    Raises:
        InputError: more discriminants or neighbours than any pool allows.
    """
    if question.method != "knn":
        return question, ()
    notes = []
    n_classes = [len(np.unique(rows.classes.codes[pool.rows])) for pool in rows.pools]
    neighbours = neighbours_of_pools(rows)
    dims, ks = question.lda_dims, question.ks
    if dims is None:
        dims = min(DEFAULT_LDA_DIMS, max(n_classes) - 1)
        smallest = min(sizes, key=sizes.__getitem__)
        if sizes[smallest] < dims:
            dims = sizes[smallest]
            notes.append(
                f"only {dims} linear discriminant{'s' * (dims != 1)}, for feature {smallest} has no more dimensions"
            )
    checked_dims(dims, max(n_classes), max(sizes.values()))
    if few := [f"{p.speaker} ({n})" for p, n in zip(rows.pools, n_classes, strict=True) if n <= dims]:
        notes.append(f"fewer than {dims} linear discriminants, for so few classes: {', '.join(few)}")
    if ks is None:
        ks = tuple(range(1, min(MAX_K, *neighbours) + 1))
        if ks[-1] < min(MAX_K, max(neighbours)):
            who = rows.pools[int(np.argmin(neighbours))].speaker
            notes.append(f"k ends at {ks[-1]}, for rows of speaker {who} have no more neighbours")
    checked_ks(ks, min(neighbours))
    return replace(question, lda_dims=dims, ks=ks), tuple(notes)


def run(job: Job) -> Run:
    """Predict the classes of a pool from one feature, and run the comparisons."""
    if job.question.protocol == "transfer":
        return _transferred(job)
    question, labels, groups = job.question, job.labels, job.groups
    rng = generator(question, f"{job.pool.speaker}/{job.feature}")
    compared: dict[str, Any] = {}
    with naming(job.pool.speaker, job.feature):
        predict = partial(
            _predictions,
            points=job.points,
            parts=job.parts,
            groups=groups,
            prompts=job.prompts,
            question=question,
            protocol=analysis_protocol(question.protocol),
            fold=job.fold,
            erase=job.erased,
        )
        outcome = predict(labels)
        if question.permutations:
            null = permuted_null(outcome, predict, rng=rng, rounds=question.permutations)
            compared |= {"null": null.accuracies, "null_of_groups": null.group_accuracies}
        if question.protocol != "paper" and question.row_unit != "frame":
            compared["paper"] = predict(labels, protocol="paper").correct
        if job.untrained is not None:
            compared["untrained"] = predict(labels, points=job.untrained).correct
        compared |= _without_erasure(job, lambda erase: predict(labels, erase=erase))
        if question.control and len(np.unique(job.types)) < len(labels):
            compared["control"] = control_accuracy(
                labels, job.types, predict, rng=rng, rounds=question.control
            ).accuracy
    return Run(job.pool.rows, replace(outcome, neighbours=None), **compared)


def _transferred(job: Job) -> Run:
    """Predict the rows of the test table. In the null its labels are permuted, and the probe stays as it is fitted."""
    tested = np.flatnonzero(job.groups == 1)
    speakers = job.speakers[tested]

    def predicted(points: np.ndarray, erase: np.ndarray | None = job.erased) -> Outcome:
        how: dict[str, Any] = {"groups": job.groups, "prompts": None, "question": job.question, "fold": None}
        how |= {"protocol": "transfer", "erase": erase}
        outcome = _predictions(job.labels, points=points, parts=job.parts, **how)
        return replace(outcome, protocol="grouped", groups=speakers, neighbours=None)

    compared: dict[str, Any] = {}
    with naming("", job.feature):
        outcome = predicted(job.points)
        if rounds := job.question.permutations:
            rng = generator(job.question, str(job.feature))
            null = permuted_null(outcome, lambda labels: replace(outcome, labels=labels), rng=rng, rounds=rounds)
            compared |= {"null": null.accuracies, "null_of_groups": null.group_accuracies}
        if job.untrained is not None:
            compared["untrained"] = predicted(job.untrained).correct
        compared |= _without_erasure(job, lambda erase: predicted(job.points, erase))
    return Run(job.pool.rows[tested], outcome, **compared)


def _without_erasure(job: Job, predict: Callable[[np.ndarray | None], Outcome]) -> dict[str, np.ndarray]:
    """Which rows are right with nothing erased, and the share of sham erasures after which each is."""
    if job.erased is None:
        return {}
    compared = {"unerased": predict(None).correct}
    shams = sham_erasures(job, generator(job.question, f"{job.pool.speaker}/sham"))
    if correct := [predict(erase).correct for erase in shams]:
        compared["sham"] = np.mean(correct, axis=0)
    return compared


def merged(parts: Sequence[Run]) -> Run:
    """The run of all folds from runs of single folds, in which the rows of other folds count as errors."""
    if len(parts) == 1:
        return parts[0]

    def total(name: str) -> Any:
        values = [getattr(part, name) for part in parts]
        return None if values[0] is None else np.sum(values, axis=0)

    predictions = np.max([part.outcome.predictions for part in parts], axis=0)
    right: dict[str, Any] = {
        name: None if (n := total(name)) is None else n.astype(bool) for name in ("paper", "untrained", "unerased")
    }
    shares: dict[str, Any] = {name: total(name) for name in ("null", "null_of_groups", "control", "sham")}
    return replace(parts[0], outcome=replace(parts[0].outcome, predictions=predictions), **right, **shares)


def joined(runs: Sequence[Run]) -> Outcome:
    """The predictions of several pools together, each row judged within its own pool."""
    return replace(
        runs[0].outcome,
        dims=max(run.outcome.dims for run in runs),
        shrinkage=float(np.mean([run.outcome.shrinkage for run in runs])),
        labels=np.concatenate([run.outcome.labels for run in runs]),
        predictions=np.concatenate([run.outcome.predictions for run in runs]),
        groups=None,
    )


def result_rows(rows: Rows, runs: Sequence[Run], baselines: Mapping[str, Sequence[Run]]) -> list[dict[str, Any]]:
    """The result rows of a feature: each speaker's for a target of tokens, then all speakers' together.

    A single speaker who is asked alone has no row for all speakers, which would repeat the same.
    """
    question = rows.question
    places = np.concatenate([run.rows for run in runs])
    speakers, utterances = rows.speakers.codes[places], rows.utterances.codes[places]
    judged = np.unique(speakers)
    results = []
    if question.target in TOKEN_TARGETS:
        singles = runs if question.one_speaker_at_a_time else _of_each_speaker(runs[0], speakers)
        for code, single in zip(judged, singles, strict=True):
            shared = question.protocol == "utterance"
            units = units_of("utterances", utterances[speakers == code], shared_training=shared)
            results.append(_row([single], units) | {"speaker": rows.speakers.names[code], "speakers": 1})
    if len(runs) > 1 or not question.one_speaker_at_a_time:
        shared = not question.one_speaker_at_a_time and question.protocol != "transfer"
        units = units_of("speakers", speakers, shared_training=shared)
        results.append(_row(runs, units) | {"speaker": "", "speakers": len(judged)})
    if len(results) == 1 or results[-1]["speaker"] == "":
        results[-1] |= _differences(runs, baselines, units)
    return results


def _of_each_speaker(run: Run, codes: Int[np.ndarray, " rows"]) -> list[Run]:
    """A run of all speakers, divided by speaker; of each null only the mean over permutations is known."""
    parts = []
    for place, code in enumerate(np.unique(codes)):
        mine = codes == code
        correct = {name: values[mine] for name in _BY_ROW if (values := getattr(run, name)) is not None}
        null = None if run.null_of_groups is None else run.null_of_groups[place : place + 1]
        parts.append(Run(run.rows[mine], run.outcome.of_rows(mine), null=null, **correct))
    return parts


def _differences(runs: Sequence[Run], baselines: Mapping[str, Sequence[Run]], units: Units) -> dict[str, Any]:
    """How much better than the baselines and than the untrained model, over the same rows and with the same weights."""
    correct = joined(runs).correct
    columns: dict[str, Any] = {}
    for name, theirs in baselines.items():
        columns |= difference_columns(name, units.difference(correct, joined(theirs).correct))
    for name in ("untrained", "unerased", "sham"):
        if all(getattr(run, name) is not None for run in runs):
            other = np.concatenate([getattr(run, name) for run in runs])
            columns |= difference_columns(name, units.difference(correct, other))
    return columns


def _row(runs: Sequence[Run], units: Units) -> dict[str, Any]:
    """Accuracies over all rows of the runs, and what they are compared with."""
    outcome = joined(runs)
    sizes = [run.outcome.n for run in runs]
    row = {
        "k": outcome.ks,
        "n": outcome.n,
        "n_classes": outcome.n_classes,
        "accuracy": outcome.accuracy,
        "balanced_accuracy": outcome.balanced_accuracy,
        **units.interval(outcome.correct),
        "chance": np.average([run.outcome.chance for run in runs], weights=sizes),
        "lda_dims": outcome.dims,
        "shrinkage": outcome.shrinkage,
    }
    for name in _BY_ROW:
        if all(getattr(run, name) is not None for run in runs):
            row[f"{name}_accuracy"] = np.concatenate([getattr(run, name) for run in runs]).mean(axis=0)
    if all(run.control is not None for run in runs):
        row["control_accuracy"] = np.average([run.control for run in runs], axis=0, weights=sizes)
    if all(run.null is not None for run in runs):
        null = np.average([run.null for run in runs], axis=0, weights=sizes)
        row["null_accuracy"] = null.mean(axis=0)
        if len(null) >= MIN_PERMUTATIONS_FOR_P:  # the true labels count among the permutations, so p is never 0
            row["p_null"] = (1 + (null >= outcome.accuracy - 1e-12).sum(axis=0)) / (1 + len(null))
    return row


def _predictions(
    labels: np.ndarray,
    *,
    points: np.ndarray,
    parts: tuple[int, ...],
    groups: np.ndarray,
    prompts: np.ndarray | None,
    question: Question,
    protocol: Protocol,
    fold: int | None,
    erase: np.ndarray | None,
) -> Outcome:
    """Predictions by the question's method."""
    how: dict[str, Any] = {
        "protocol": protocol,
        "groups": groups,
        "prompts": None if protocol == "paper" else prompts,
        "match_dims": question.match_dims,
        "erase": erase,
    }
    match question.method:
        case "knn":
            dims, ks, shrinkage = question.lda_dims or 0, question.ks or (), question.shrinkage
            dims = min(dims, len(np.unique(labels)) - 1)
            return classify(points, labels, lda_dims=dims, ks=ks, shrinkage=shrinkage, parts=parts, **how)
        case "lda":
            return lda_classify(points, labels, shrinkage=question.shrinkage, **how)
        case "logistic":
            return logistic_classify(points, labels, only_fold=fold, **how)
    raise InputError(f"method {question.method} does not predict classes; use knn, lda or logistic")
