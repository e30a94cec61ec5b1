"""Accuracy over k for gender, and for the height of men and of women (Havtorn et al. 2022, figure 4).

The paper's neighbours include other utterances of the held-out speaker. Here there is one row per speaker, and each is
classified by the others only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lvm_probe import InputError
from lvm_probe.figures import accuracy_over_k, accuracy_points, style
from lvm_probe.figures.accuracy_over_k import draw as draw
from lvm_probe.figures.inputs import FigureInputs
from lvm_probe.figures.wording import counted, intervals, joined
from lvm_probe.probing.questions.question import HEIGHT_EDGES, MAX_K, REPORTED_K, Question
from lvm_probe.probing.questions.results import Answer, at_reported_k
from lvm_probe.probing.questions.rows import height_classes

NAME = "speakers-over-k"
TITLE = "Accuracy over k for gender and height (as figure 4 of Havtorn et al. 2022)"

MIN_SPEAKERS = 30
"""With fewer in any panel, curves over k would lie on top of each other: one k is shown, as points with intervals."""

_CAUTION = (
    f"Fewer than {MIN_SPEAKERS} speakers in a panel: one speaker more or less moves a point by several per cent, and "
    "features whose intervals overlap cannot be ranked."
)


def data(inputs: FigureInputs) -> pd.DataFrame:
    """Result rows of every panel that can be drawn, with the panel's title in the column `panel`.

    Raises:
        InputError: none can.
    """
    answers = dict(_answers(inputs))
    parts = [
        accuracy_over_k.drawn_rows(answer.frame).assign(panel=title)
        for title, answer in answers.items()
        if not isinstance(answer, InputError)
    ]
    if not parts:
        raise InputError("; ".join(f"{title}: {reason}" for title, reason in answers.items()))
    return pd.concat(parts, ignore_index=True)


def figure(data: pd.DataFrame) -> Figure:
    """The panels next to each other: curves over k, or points at one k where speakers are few."""
    parts = {str(title): rows for title, rows in data.groupby("panel", sort=False)}
    counts = joined(f"{_short(title)} {counted(int(rows['n'].max()), 'speaker')}" for title, rows in parts.items())
    text = f"One row per speaker, each classified by the others: {counts}."
    if not _has_few_speakers(data):
        return accuracy_over_k.panel_row(parts, text, same_k=False)
    points = {title: at_reported_k(rows) for title, rows in parts.items()}
    titled = {f"{title}: ".replace(": ", f", k = {rows['k'].iloc[0]}\n", 1).strip(": "): rows
              for title, rows in points.items()}  # fmt: skip
    return accuracy_points.panel_row(titled, f"{text} {_CAUTION}")


def _has_few_speakers(data: pd.DataFrame) -> bool:
    return bool(data.groupby("panel")["n"].max().min() < MIN_SPEAKERS)


def caption(data: pd.DataFrame, inputs: FigureInputs) -> str:
    """What was asked, how the k is chosen, and which panels are missing and why."""
    firsts = {str(title): rows.iloc[0] for title, rows in data.groupby("panel", sort=False)}
    panels = [
        f"{_short(title)}: {row['n_classes']} classes, {counted(row['lda_dims'], 'discriminant')}"
        for title, row in firsts.items()
    ]
    text = (
        "Accuracy of k nearest neighbours among linear discriminants fitted to the other speakers "
        f"({'; '.join(panels)}); features {style.feature_list(data['feature'])}. k ends at the size of the smallest "
        "class: among many more neighbours its speakers would be outvoted. "
        + (f"Shown is k = {REPORTED_K}, or the largest. " if _has_few_speakers(data) else "")
        + f"{intervals(data)} Labels were permuted {counted(int(data['permutations'].max()), 'time')}: with few "
        "speakers "
        "in equal classes the null falls below chance, because the held-out speaker is missing from its own class. "
        "Chance is the share of the most frequent class."
    )
    for title, answer in _answers(inputs):
        if isinstance(answer, InputError):
            text += f" No panel for {_short(title)}: {answer}."
        else:
            text += "".join(f" {_short(title).capitalize()}: {note}." for note in answer.notes)
    return text


def edges_for(heights: np.ndarray) -> tuple[float, ...]:
    """The paper's class edges if two of its classes have two of these speakers; otherwise the median.

    Args:
        heights: one per speaker, in cm.
    """
    _, counts = np.unique(height_classes(heights, HEIGHT_EDGES), return_counts=True)
    return HEIGHT_EDGES if (counts >= 2).sum() >= 2 else (round(float(np.median(heights)), 1),)


def _answers(inputs: FigureInputs) -> Iterator[tuple[str, Answer | InputError]]:
    """Every panel's title with its answer, or with the reason why there is none."""
    for title, question in _questions(inputs):
        try:
            yield title, inputs.answer(question)
        except InputError as reason:
            yield title, reason


def _questions(inputs: FigureInputs) -> Iterator[tuple[str, Question]]:
    """Every panel's title and question."""
    speakers = inputs.table.tokens.drop_duplicates("speaker")
    shared = inputs.question("gender", protocol="speaker")
    yield "Gender", replace(shared, ks=_ks(speakers["gender"].dropna().to_numpy(dtype=object)))
    for who, gender in (("men", "M"), ("women", "F")):
        heights = speakers.loc[speakers["gender"] == gender, "height_cm"].dropna().to_numpy()
        edges = edges_for(heights) if len(heights) else HEIGHT_EDGES
        names = ", ".join(dict.fromkeys(height_classes(np.array([0.0, *edges, 1000.0]), edges))).replace(">=", "≥")
        title = f"Height of {who}: {names} cm{'' if edges == HEIGHT_EDGES else ' (median)'}"
        ks = _ks(height_classes(heights, edges))
        yield title, replace(shared, target="height", gender=gender, height_edges=edges, ks=ks)


def _ks(classes: np.ndarray) -> tuple[int, ...] | None:
    """Numbers of neighbours up to the size of the smallest class of two speakers or more; None where there is none.

    Args:
        classes: one per speaker.
    """
    _, sizes = np.unique(classes, return_counts=True)
    large = sizes[sizes >= 2]
    return tuple(range(1, min(MAX_K, int(large.min())) + 1)) if len(large) else None


def _short(title: str) -> str:
    """`height of men` for that panel's title."""
    return title.partition(":")[0].lower()
