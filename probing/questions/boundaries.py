"""What a feature knows of a phone before, at and after its boundaries: the accuracy over the offset from either.

For each offset the phone that begins (or ends) at a boundary is told from the single frame that covers the time so far
from it, by a probe of its own. Rows are phones, so that folds, nulls, intervals and tests are those of every question
(`ask`). All offsets are asked on the same phones: those whose utterance reaches far enough on either side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Int
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.ask import ask
from lvm_probe.probing.questions.question import PHONEME_TARGETS, Question
from lvm_probe.probing.questions.results import pooled, with_adjusted_p
from lvm_probe.probing.questions.rows import select_rows

Edge = Literal["onset", "offset"]
EDGES: tuple[Edge, ...] = ("onset", "offset")
REACH_MS = 60.0
"""Milliseconds before and after a boundary that are asked where none are given."""


@dataclass(frozen=True, repr=False, eq=False)
class AroundBoundaries:
    """Accuracies over the offset from the boundaries of phones.

    Attributes:
        question: what was asked at every offset.
        frame: the results of `ask`, with the columns `edge` (`onset` or `offset`) and `offset_ms`, the time from the
            boundary; p values are adjusted for all offsets together.
        notes: what was left out, and why.
    """

    question: Question
    frame: pd.DataFrame
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return as_text(self)


def around_boundaries(
    table: TokenTable,
    question: Question,
    *,
    reach_ms: float = REACH_MS,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> AroundBoundaries:
    """Ask a class of phones at every frame around their onset and offset.

    Args:
        table: with rows of phonemes and of frames.
        question: of the phoneme or one of its classes, by a method without neighbours (LDA, logistic regression).
        reach_ms: how far from the boundary, in milliseconds.
        progress: called with the number of offsets done and of all, after each.

    Raises:
        InputError: the table has no phonemes or no frames; another target; a reach shorter than a frame.
    """
    if question.target not in PHONEME_TARGETS or question.method not in ("lda", "logistic"):
        raise InputError(
            f"boundaries are asked for {', '.join(PHONEME_TARGETS)} by lda or logistic, not for {question.target} by "
            f"{question.method}"
        )
    if "frame" not in table.extraction or not (table.columns["unit"] == "frame").any():
        raise InputError(
            f"{table.path}: no frame rows; add them with `probe extract --add --units frame` and the options that the "
            "table was made with"
        )
    step_ms = float(table.extraction["frame"]["step_ms"])
    count = int(reach_ms / step_ms + 1e-9)
    if count < 1:
        raise InputError(f"reach of {reach_ms:g} ms: shorter than a frame of {step_ms:g} ms; give more")
    offsets = np.arange(-count, count) + 0.5  # middles of frames, in frames from the boundary
    phones = select_rows(table, replace(question, features=())).table
    frames = table.select(table.columns["unit"] == "frame")
    places = {edge: _frames_at(phones, frames, edge, step_ms, offsets) for edge in EDGES}
    whole = np.all([(place >= 0).all(axis=1) for place in places.values()], axis=0)
    notes: tuple[str, ...] = ()
    if not whole.all():
        notes = (f"{(~whole).sum()} phones lie within {reach_ms:g} ms of an end of the recording",)
    phones = phones.select(whole)
    results = []
    for edge, place in places.items():
        for index, offset in enumerate(offsets):
            rows = place[whole, index]
            features = {name: values[rows] for name, values in frames.features.items()}
            answer = ask(replace(phones, features=features), question)
            results.append(answer.frame.assign(edge=edge, offset_ms=offset * step_ms))
            notes = tuple(dict.fromkeys(notes + answer.notes))
            progress(len(results), 2 * len(offsets))
    return AroundBoundaries(question, with_adjusted_p(pd.concat(results, ignore_index=True)), notes)


def _frames_at(
    phones: TokenTable, frames: TokenTable, edge: Edge, step_ms: float, offsets: np.ndarray
) -> Int[np.ndarray, "phones offsets"]:
    """The row of the frame at each offset from a boundary of every phone; -1 beyond the recording."""
    first: dict[str, int] = {}
    counts: dict[str, int] = {}
    order = np.lexsort((frames.columns["start"], frames.columns["utterance"].astype(str)))
    for place, utterance in enumerate(frames.columns["utterance"][order]):
        first.setdefault(utterance, place)
        counts[utterance] = counts.get(utterance, 0) + 1
    boundary = phones.columns["start" if edge == "onset" else "end"]
    steps = 1000 * boundary / phones.columns["sample_rate"] / step_ms
    index = np.floor(steps[:, None] + offsets + 1e-9).astype(np.intp)
    begins = np.array([first.get(utterance, 0) for utterance in phones.columns["utterance"]])
    number = np.array([counts.get(utterance, 0) for utterance in phones.columns["utterance"]])
    inside = (index >= 0) & (index < number[:, None])
    return np.where(inside, order[np.minimum(begins[:, None] + np.maximum(index, 0), len(order) - 1)], -1)


def as_text(found: AroundBoundaries) -> str:
    """The accuracy of every feature at each offset, a star where it differs from Mel's, and where each is highest."""
    rows = pooled(found.frame)
    first = rows.iloc[0]
    speakers = "1 speaker" if first["speakers"] == 1 else f"{first['speakers']:.0f} speakers"
    over = "Too few speakers for intervals." if first["interval"] == "none" else f"Intervals over {first['interval']}."
    lines = [
        f"Predicting the {first['target']} by {first['method']} from single frames around its boundaries: "
        f"{first['n']:,} phones of {speakers} in {first['n_classes']} classes ({first['protocol']}); accuracies in per "
        "cent.",
    ]
    for edge in EDGES:
        some = rows[rows["edge"] == edge]
        best = some.loc[some.groupby("feature", sort=False)["accuracy"].idxmax()]
        said = [
            f"{row['feature']} {100 * row['accuracy']:.1f} at {row['offset_ms']:+g} ms" for _, row in best.iterrows()
        ]
        lines += ["", f"From the {edge} of the phone; highest: {', '.join(said)}."]
        cells = some.assign(
            cell=[
                f"{100 * row['accuracy']:.1f} ({100 * row['ci_low']:.0f}-{100 * row['ci_high']:.0f})"
                f"{'*' if row['p_minus_mel_holm'] < 0.05 else ' '}"
                for row in some.to_dict("records")
            ]
        )
        features: Sequence[Any] = list(dict.fromkeys(some["feature"]))
        wide = cells.pivot_table(index="offset_ms", columns="feature", values="cell", aggfunc="first")[features]
        lines.append(wide.rename_axis(index="ms", columns=None).to_string())
    lines += [
        "",
        f"{over} * differs from Mel, p < 0.05 after Holm for all offsets. "
        f"Chance {100 * first['chance']:.1f}, permuted labels {100 * rows['null_accuracy'].mean():.1f}.",
    ]
    return "\n".join([*lines, *(f"Note: {note}." for note in found.notes)])
