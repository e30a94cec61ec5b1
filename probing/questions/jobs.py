"""The runs that answer a question: each judges one feature in one pool of rows, in a process of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.logistic import fold_count
from lvm_probe.analysis.nulls import permuted
from lvm_probe.analysis.shape_annotations import Float, Int
from lvm_probe.probing.features.feature import Feature
from lvm_probe.probing.questions.question import UNITS, Question, analysis_protocol
from lvm_probe.probing.questions.rows import Pool, Rows, differs


@dataclass(frozen=True)
class Job:
    """All that a run needs; its process is sent no more than this.

    Attributes:
        question: with its defaults filled in.
        feature: of the points.
        pool: the rows.
        fold: the fold to predict, where each is a job of its own (logistic regression); None predicts all.
        points: the feature's values.
        parts: dimensions of the columns that they are joined from.
        untrained: the untrained model's; None where it is not given, or has no values of its own (as for Mel).
        labels: codes of the classes, or numbers in the target's unit.
        speakers: codes of the speakers.
        groups: see `Rows.groups`.
        prompts: see `Rows.prompts`.
        types: see `Rows.types`.
        genders: codes of the genders.
        erased: see `Rows.erased`.
        n_classes: how many classes all rows have, those of other pools among them.
    """

    question: Question
    feature: Feature
    pool: Pool
    fold: int | None
    points: Float[np.ndarray, "rows dims"]
    parts: tuple[int, ...]
    untrained: Float[np.ndarray, "rows dims"] | None
    labels: np.ndarray
    speakers: Int[np.ndarray, " rows"]
    groups: Int[np.ndarray, " rows"]
    prompts: Int[np.ndarray, " rows"] | None
    types: Int[np.ndarray, " rows"]
    genders: Int[np.ndarray, " rows"]
    erased: Int[np.ndarray, " rows"] | None
    n_classes: int


@dataclass(frozen=True)
class Jobs(Sequence[Job]):
    """The jobs of a question, each made when it is asked for: every pool of the first feature, then of the next.

    A fold of logistic regression takes as long as all folds of other methods, so each is a job of its own.

    Attributes:
        question: with its defaults filled in.
        rows: the rows that are judged.
        untrained: the same rows of the untrained model's table, or None.
        features: what is asked for.
    """

    question: Question
    rows: Rows
    untrained: Rows | None
    features: tuple[Feature, ...]

    @cached_property
    def parts(self) -> list[tuple[Feature, Pool, int | None]]:
        """The feature, pool and fold of every job."""
        rows, question = self.rows, self.question
        folds: list[Sequence[int | None]] = [[None]] * len(rows.pools)
        if question.method == "logistic" and question.protocol != "transfer":
            protocol = analysis_protocol(question.protocol)
            folds = [
                range(fold_count(len(p.rows), protocol, rows.groups[p.rows], _some(rows.prompts, p.rows)))
                for p in rows.pools
            ]
        return [
            (f, pool, fold)
            for f in self.features
            for pool, some in zip(rows.pools, folds, strict=True)
            for fold in some
        ]

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, index: int) -> Job:  # type: ignore[override]
        rows = self.rows
        feature, pool, fold = self.parts[index]
        untrained = None
        if self.untrained is not None and differs(feature, self.untrained.table, rows.table):
            untrained = self.untrained.points(feature, pool)
        labels = rows.labels if self.question.target in UNITS else rows.classes.codes
        columns = (labels, rows.speakers.codes, rows.groups, rows.prompts, rows.types, rows.genders.codes, rows.erased)
        points = rows.points(feature, pool)
        parts = tuple(rows.table.features[part].shape[1] for part in feature.parts)
        mine: list[Any] = [_some(column, pool.rows) for column in columns]
        return Job(self.question, feature, pool, fold, points, parts, untrained, *[*mine, len(rows.classes.names)])


def _some(column: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    return None if column is None else column[rows]


def sham_erasures(job: Job, rng: np.random.Generator) -> Iterator[Int[np.ndarray, " rows"]]:
    """What is erased for comparison, one for every permutation of the null: the concept's labels, permuted.

    Genders are permuted among speakers, so that each still has one; speakers and phonemes among tokens.
    """
    question = job.question
    if job.erased is None:
        return
    how: dict[str, Any] = {"shuffle": "tokens"}
    if question.erase == "gender":
        how = {"shuffle": "across-groups", "groups": job.speakers}
    for _ in range(question.permutations or 0):
        yield permuted(job.erased, rng=rng, **how)


def generator(question: Question, name: str) -> np.random.Generator:
    """A generator that depends on the seed and a name, so that no result depends on what else was asked."""
    return np.random.default_rng([question.seed, *name.encode()])


@contextlib.contextmanager
def naming(speaker: str, feature: Feature) -> Iterator[None]:
    """Name in an error of the analysis the speaker and the feature that it arose with."""
    try:
        yield
    except InputError as error:
        who = f"speaker {speaker}, " if speaker else ""
        raise InputError(f"{who}feature {feature}: {error}") from None
