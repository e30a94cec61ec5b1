"""`compare`: one target by several methods and protocols, as differences to Mel, to MFCC and to the untrained model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lvm_probe import InputError
from lvm_probe.analysis.statistics import holm
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.ask import ask
from lvm_probe.probing.questions.judgeable_rows import rows_to_judge
from lvm_probe.probing.questions.plan import Plan, write_plan
from lvm_probe.probing.questions.probe import Probe, prompts_known
from lvm_probe.probing.questions.question import Question
from lvm_probe.probing.questions.results import COLUMNS, Answer, at_reported_k, differences, pooled

DIFFERENCE_COLUMNS = [
    "compared_with", "difference", "difference_low", "difference_high", "effect", "p", "p_holm", "outside_plan",
    "changes", "table", "method", "rows", "dims", "lda_dims", "speakers",
]  # fmt: skip
"""Columns of a comparison beside those of every result."""
_OF_NUMBERS = ("r2", "unit", "mae", "mae_low", "mae_high", "mae_cm")


@dataclass(frozen=True, repr=False, eq=False)
class Comparison:
    """Differences between features by several probes. `print(comparison)` shows what `probe compare` prints.

    Attributes:
        plan: what was asked.
        frame: a row for each difference, and one for each result that is compared with nothing: `compared_with` names
            the other, `difference` is in fractions (of numbers: of the error `mae`, in `unit`), `p_holm` is
            adjusted for all tests of the frame. Where there is a file of the plan, `outside_plan` marks what it does
            not say, and `changes` the settings in which that differs; what it says is then adjusted for the tests that
            it says only.
        notes: what was left out, and why.
        planned: in words, the file of the plan; empty where there is none.
    """

    plan: Plan
    frame: pd.DataFrame
    notes: tuple[str, ...] = ()
    planned: str = ""

    def __repr__(self) -> str:
        from lvm_probe.probing.questions.comparison_report import as_text

        return as_text(self)

    @property
    def sentences(self) -> list[str]:
        """What the differences say, and where probes disagree, what that means."""
        from lvm_probe.probing.questions.comparison_report import sentences

        return sentences(self)


def compare(
    table: TokenTable,
    asked: Plan,
    *,
    untrained: TokenTable | None = None,
    file: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Comparison:
    """Ask every probe of a plan.

    A probe that cannot be asked of this table is left out, with a note.

    Args:
        table: the tokens.
        asked: what to ask; it may go beyond a written plan.
        untrained: the table of the same tokens from the same model with random weights.
        file: of the plan that `asked` goes beyond. If there is none, `asked` is written to it before anything is
            computed.
        progress: called with the number of runs done and of all runs, after each.

    Raises:
        InputError: no probe can be asked of this table.
    """
    questions = asked.questions
    _check_rows(table, questions)
    written = asked.beyond
    if file is not None and written is None:
        write_plan(file, asked)
        written = asked
    frames, notes, refused = list[pd.DataFrame](), dict[str, list[str]](), list[InputError]()
    for question in questions:
        probe = Probe(question.method, question.protocol)  # type: ignore[arg-type]  # filled in by the question
        try:
            answer = ask(
                table,
                question,
                untrained=untrained,
                progress=lambda done, of: progress(done, of * len(questions)),
            )
        except InputError as error:
            refused.append(error)
            notes.setdefault(f"not asked: {str(error).removeprefix(f'{table.path}: ')}", []).append(str(probe))
            continue
        for note in answer.notes:
            notes.setdefault(note, []).append(str(probe))
        frame = _differences(answer)
        outside = [
            written is not None and not written.covers(question, feature, other)
            for feature, other in zip(frame["feature"], frame["compared_with"], strict=True)
        ]
        frames.append(frame.assign(method=question.method, outside_plan=outside, changes=asked.changes(question)))
    if not frames:
        raise refused[0]
    frame = pd.concat(frames, ignore_index=True)
    every = {str(Probe(q.method, q.protocol)) for q in questions}  # type: ignore[arg-type]
    said = [note if {*of} == every else f"{', '.join(dict.fromkeys(of))}: {note}" for note, of in notes.items()]
    if "word" in asked.probes and not prompts_known(table):
        said.append(
            "the corpus does not say what was read: words that several speakers read in one sentence are easier"
        )
    frame = _adjusted(frame)
    planned = "" if file is None or written is None else _planned(file, written, frame)
    return Comparison(asked, frame, tuple(said), planned)


def _check_rows(table: TokenTable, questions: Sequence[Question]) -> None:
    """Raise the first reason why no question can be asked, before a plan is written."""
    refused = []
    for question in questions:
        try:
            rows_to_judge(table, question)
        except InputError as error:
            refused.append(error)
    if len(refused) == len(questions):
        raise refused[0]


def _planned(file: Path, written: Plan, frame: pd.DataFrame) -> str:
    """A sentence on the file of the plan: when it was written, its SHA-256, and what is outside it."""
    outside = int(frame["outside_plan"].sum())
    return (
        f"Plan: {file}, written {written.written:%Y-%m-%d %H:%M} UTC, SHA-256 "
        f"{hashlib.sha256(file.read_bytes()).hexdigest()[:12]}; "
        + (f"{outside} of {len(frame)} results are outside it (†)." if outside else "nothing here is outside it.")
    )


def _differences(answer: Answer) -> pd.DataFrame:
    """The results of all speakers at the reported k, a row for each difference."""
    rows = at_reported_k(pooled(answer.frame))
    if "mae" in rows:
        rows = rows[rows["gender"] == ""]
    found = differences(rows)
    alone = rows[~rows["feature"].isin(found["feature"])].assign(compared_with="")
    columns = [*COLUMNS, *(name for name in _OF_NUMBERS if name in rows), *DIFFERENCE_COLUMNS]
    return pd.concat([found, alone]).sort_index(kind="stable").reindex(columns=columns)


def _adjusted(frame: pd.DataFrame) -> pd.DataFrame:
    """With p values adjusted for all tests; of those in a plan, for these only, whatever else is asked."""
    p_holm = holm(frame["p"].to_numpy(dtype=np.float64))
    inside = ~frame["outside_plan"].to_numpy(dtype=bool)
    p_holm[inside] = holm(frame["p"].to_numpy(dtype=np.float64)[inside])
    return frame.assign(p_holm=p_holm)
