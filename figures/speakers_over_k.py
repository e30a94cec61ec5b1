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
from lvm_probe.figures import accuracy_over_k, style
from lvm_probe.figures.accuracy_over_k import draw as draw
from lvm_probe.figures.inputs import FigureInputs
from lvm_probe.figures.wording import counted
from lvm_probe.probing.questions.question import HEIGHT_EDGES, MAX_K, Question
from lvm_probe.probing.questions.results import Answer
from lvm_probe.probing.questions.rows import height_classes

NAME = "speakers-over-k"
TITLE = "Accuracy over k for gender and height (Havtorn et al. 2022, figure 4)"

_LINES = "Bars or bands: 95 % intervals over speakers. Dotted: permuted labels. Grey dashes: majority class."


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
    """The panels next to each other, each with its own axis of k."""
    parts = {str(title): rows for title, rows in data.groupby("panel", sort=False)}
    counts = [f"{_short(title)} {counted(int(rows['n'].max()), 'speaker')}" for title, rows in parts.items()]
    text = f"One row per speaker, each classified by the others: {', '.join(counts)}. {_LINES}"
    return accuracy_over_k.panel_row(parts, text, same_k=False)


def caption(data: pd.DataFrame, inputs: FigureInputs) -> str:
    """What was asked of whom, what each line is, and which panels are missing and why."""
    firsts = {str(title): rows.iloc[0] for title, rows in data.groupby("panel", sort=False)}
    panels = [
        f"{_short(title)}: {row['n']} speakers in {row['n_classes']} classes, "
        f"{counted(row['lda_dims'], 'discriminant')}"
        for title, row in firsts.items()
    ]
    text = (
        "Accuracy of k nearest neighbours among linear discriminants fitted to the other speakers, one row per speaker "
        f"({'; '.join(panels)}); features {style.feature_list(data['feature'])}. k ends at the size of the smallest "
        "class: among many more neighbours its speakers would be outvoted. Intervals are bootstrapped. "
        f"{_LINES} Nulls from {int(data['permutations'].max())} permutations: with few speakers in equal classes they "
        "fall below the majority, because the held-out speaker is missing from its own class."
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
    shared = Question(target="gender", protocol="speaker", permutations=inputs.permutations, seed=inputs.seed)
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
