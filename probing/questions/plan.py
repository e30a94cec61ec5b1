"""A question made ready to run: its rows, its features and the pools of rows that are judged together."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
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
class Plan:
    """What is run for every feature and pool.

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

    def points(self, feature: Feature, pool: Pool) -> Float[np.ndarray, "rows dims"]:
        """The feature's values in the pool."""
        with naming(pool, feature):
            return points_of(self.rows, feature, self.question, pool.rows)

    def untrained_points(self, feature: Feature, pool: Pool) -> Float[np.ndarray, "rows dims"] | None:
        """The untrained model's values; None where it is not given, or has no values of its own (as for Mel)."""
        if self.untrained is None or not differs(feature, self.untrained.table, self.rows.table):
            return None
        return points_of(self.untrained, feature, self.question, pool.rows)

    def random(self, feature: Feature, pool: Pool | None = None) -> np.random.Generator:
        """A generator that depends on the seed, the feature and the pool, so that no row depends on other rows."""
        name = str(feature) if pool is None else f"{pool.speaker}/{feature}"
        return np.random.default_rng([self.question.seed, *name.encode()])


def pools_of(rows: Rows, question: Question) -> tuple[Pool, ...]:
    """The pools of a question: every speaker's rows, or all rows together."""
    if not question.one_speaker_at_a_time:
        return (Pool("", np.arange(len(rows))),)
    return tuple(
        Pool(str(speaker), np.flatnonzero(rows.speaker_codes == code)) for code, speaker in enumerate(rows.speakers)
    )


def held_out_together(rows: Rows, question: Question) -> Int[np.ndarray, " rows"]:
    """A number for each row: rows of one number are held out together, and share their label where it is permuted.

    Utterances under `utterance` and for the target `speaker`, for permuted speakers would still be told apart; speakers
    otherwise. `paper` and `nested` use them for the null only.
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


@contextlib.contextmanager
def naming(pool: Pool, feature: Feature) -> Iterator[None]:
    """Name in an error of the analysis the speaker and the feature that it arose with."""
    try:
        yield
    except InputError as error:
        speaker = f"speaker {pool.speaker}, " if pool.speaker else ""
        raise InputError(f"{speaker}feature {feature}: {error}") from None
