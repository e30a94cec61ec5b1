"""A question made ready to run: its rows, its features and the pools of rows that are judged together."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis import predictions
from lvm_probe.analysis.shape_annotations import Float, Int
from lvm_probe.probing.features.feature import Feature
from lvm_probe.probing.questions.question import Protocol, Question
from lvm_probe.probing.questions.rows import Rows, differs, points_of


@dataclass(frozen=True)
class Pool:
    """Rows that are judged together: one speaker's, or those of all speakers, whose id is then empty."""

    speaker: str
    rows: Int[np.ndarray, " rows"]


@dataclass(frozen=True)
class Job:
    """One feature of one pool, with all that a method needs; other processes are sent no more than this.

    Attributes:
        question: with its defaults filled in.
        feature: of the points.
        pool: the rows.
        points: the feature's values.
        untrained: the untrained model's; None where it is not given, or has no values of its own (as for Mel).
        labels: codes of the classes, or heights in centimetres.
        speakers: codes of the speakers.
        groups: see `held_out_together`.
        types: see `Rows.types`.
        genders: codes of the genders.
    """

    question: Question
    feature: Feature
    pool: Pool
    points: Float[np.ndarray, "rows dims"]
    untrained: Float[np.ndarray, "rows dims"] | None
    labels: np.ndarray
    speakers: Int[np.ndarray, " rows"]
    groups: Int[np.ndarray, " rows"]
    types: Int[np.ndarray, " rows"]
    genders: Int[np.ndarray, " rows"]


@dataclass(frozen=True)
class Plan(Sequence[Job]):
    """The jobs of a question: every pool of the first feature, then of the next.

    Attributes:
        question: with its defaults filled in.
        rows: the rows that are judged.
        untrained: the same rows of the untrained model's table, or None.
        features: what is asked for.
        pools: the rows that are judged together.
    """

    question: Question
    rows: Rows
    untrained: Rows | None
    features: tuple[Feature, ...]
    pools: tuple[Pool, ...]

    def __len__(self) -> int:
        return len(self.features) * len(self.pools)

    def __getitem__(self, index: int) -> Job:  # type: ignore[override]
        feature, pool = self.features[index // len(self.pools)], self.pools[index % len(self.pools)]
        rows, normalise, untrained = self.rows, self.question.normalise, None
        if self.untrained is not None and differs(feature, self.untrained.table, rows.table):
            untrained = points_of(self.untrained, feature, normalise, pool.rows)
        labels = rows.labels if self.question.target == "height-cm" else rows.codes
        columns = (labels, rows.speaker_codes, held_out_together(rows, self.question), rows.types, rows.gender_codes)
        return Job(
            self.question, feature, pool, points_of(rows, feature, normalise, pool.rows), untrained,
            *(column[pool.rows] for column in columns),
        )  # fmt: skip


def pools_of(rows: Rows, question: Question) -> tuple[Pool, ...]:
    """The pools of a question: every speaker's rows, or all rows together."""
    if not question.one_speaker_at_a_time:
        return (Pool("", np.arange(len(rows))),)
    return tuple(
        Pool(str(speaker), np.flatnonzero(rows.speaker_codes == code)) for code, speaker in enumerate(rows.speakers)
    )


def held_out_together(rows: Rows, question: Question) -> Int[np.ndarray, " rows"]:
    """A number for each row's utterance under `utterance` and for the target `speaker`, for its speaker otherwise.

    `utterance` and `speaker` hold out the rows of one number together. Under every protocol, the null of an attribute
    exchanges the labels of whole speakers. For the target `speaker` that would only rename them, so it exchanges those
    of whole utterances.
    """
    by_utterance = question.protocol == "utterance" or question.target == "speaker"
    return rows.utterance_codes if by_utterance else rows.speaker_codes


def analysis_protocol(protocol: Protocol | None) -> predictions.Protocol:
    """What `analysis` calls a protocol: to hold out utterances or speakers is to hold out groups."""
    match protocol:
        case "paper" | "nested":
            return protocol
        case "utterance" | "speaker":
            return "grouped"
    raise InputError(f"protocol {protocol} holds nothing out")


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
