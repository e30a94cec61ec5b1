"""Accuracy of nearest neighbours over k for gender, and for the height of men and of women: the paper's figure 4.

The paper's neighbours include other utterances of the speaker who is asked for. Here there is one row a speaker, and
each is judged by the others only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lvm_probe.figures import accuracy_over_k, style
from lvm_probe.figures.accuracy_over_k import draw
from lvm_probe.figures.inputs import LeftOut, Material
from lvm_probe.probing.questions.question import HEIGHT_EDGES, MAX_K, Question
from lvm_probe.probing.questions.results import Answer
from lvm_probe.probing.questions.rows import height_classes

__all__ = ["NAME", "TITLE", "caption", "data", "draw", "figure"]

NAME = "speakers-over-k"
TITLE = "Gender and height by the nearest neighbours, over k (figure 4)"

_GROUPS = {"men": "M", "women": "F"}


def data(material: Material) -> pd.DataFrame:
    """The result rows of every panel that can be asked for, with the panel's title in the column `panel`.

    Raises LeftOut where none can.
    """
    found = [(title, answer) for title, answer in _answers(material) if not isinstance(answer, LeftOut)]
    if not found:
        raise LeftOut("; ".join(f"{title}: {reason}" for title, reason in _answers(material)))
    parts = [accuracy_over_k.drawn(answer.frame).assign(panel=title) for title, answer in found]
    return pd.concat(parts, ignore_index=True)


def figure(data: pd.DataFrame) -> Figure:
    """The panels side by side, each with as many k as it has other speakers."""
    parts = {str(title): rows for title, rows in data.groupby("panel", sort=False)}
    counts = [f"{_short(title)} {int(rows['n'].max())} speakers" for title, rows in parts.items()]
    text = (
        f"One row a speaker, each judged by the others: {', '.join(counts)}. Bars or bands: 95 % intervals over "
        "speakers. "
        "Dotted: labels permuted. Grey dashes: always the largest class."
    )
    return accuracy_over_k.side_by_side(parts, text[0].upper() + text[1:], same_k=False)


def caption(data: pd.DataFrame, material: Material) -> str:
    """What was asked of whom, what each line is, and which panels are left out and why."""
    asked = []
    for title, rows in data.groupby("panel", sort=False):
        row = rows.iloc[0]
        dims = int(row["lda_dims"])
        asked.append(
            f"{_short(str(title))}: {int(row['n'])} speakers in {int(row['n_classes'])} classes, {dims} "
            f"discriminant{'s' if dims > 1 else ''}"
        )
    names = style.listed(style.feature_look(name).label for name in style.feature_order(data["feature"]))
    text = (
        "Leave-one-speaker-out accuracy of k nearest neighbours among linear discriminants fitted to the other "
        f"speakers, one row a speaker ({'; '.join(asked)}); features {names}. k ends at the size of the smallest "
        "class, for among many more neighbours its speakers are outvoted. Bars or bands: 95 % bootstrap intervals over "
        f"speakers. Dotted: labels permuted ({int(data['permutations'].max())} permutations). Grey dashes: always the "
        "largest class. Of few speakers in equal classes, permuted labels fall below it, for the speaker who is asked "
        "for is missing from the others."
    )
    for title, answer in _answers(material):
        if isinstance(answer, LeftOut):
            text += f" Left out, {_short(title)}: {answer}."
        else:
            text += "".join(f" {_short(title).capitalize()}: {note}." for note in answer.notes)
    return text


def edges_for(heights: np.ndarray) -> tuple[float, ...]:
    """The paper's edges where two of its classes have two of these speakers (cm, one a speaker); else their median."""
    _, counts = np.unique(height_classes(heights, HEIGHT_EDGES), return_counts=True)
    return HEIGHT_EDGES if (counts >= 2).sum() >= 2 else (round(float(np.median(heights)), 1),)


def _answers(material: Material) -> Iterator[tuple[str, Answer | LeftOut]]:
    """Every panel's title with its answer, or with the reason why there is none."""
    for title, question in _questions(material):
        try:
            yield title, material.findings(question)
        except LeftOut as reason:
            yield title, reason


def _questions(material: Material) -> Iterator[tuple[str, Question]]:
    """Every panel's title and question."""
    speakers = material.table.tokens.drop_duplicates("speaker")
    gender = Question(target="gender", protocol="speaker", permutations=material.permutations, seed=material.seed)
    yield "Gender", replace(gender, ks=_ks(speakers["gender"].dropna().to_numpy(dtype=object)))
    for who, letter in _GROUPS.items():
        heights = speakers.loc[speakers["gender"] == letter, "height_cm"].dropna().to_numpy()
        edges = edges_for(heights) if len(heights) else HEIGHT_EDGES
        names = ", ".join(dict.fromkeys(height_classes(np.array([0.0, *edges, 1000.0]), edges))).replace(">=", "≥")
        title = f"Height of {who}: {names} cm{'' if edges == HEIGHT_EDGES else ' (median)'}"
        ks = _ks(height_classes(heights, edges))
        yield title, replace(gender, target="height", gender=letter, height_edges=edges, ks=ks)


def _ks(classes: np.ndarray) -> tuple[int, ...] | None:
    """Up to the size of the smallest class of two speakers or more; None where there is none, which the answer refuses.

    Args:
        classes: one a speaker.
    """
    _, sizes = np.unique(classes, return_counts=True)
    large = sizes[sizes >= 2]
    return tuple(range(1, min(MAX_K, int(large.min())) + 1)) if len(large) else None


def _short(title: str) -> str:
    """`height of men` of that panel's title."""
    return title.partition(":")[0].lower()
