"""Accuracy over k for gender, and for the height of men and of women (Havtorn et al. 2022, figure 4).

The paper's neighbours include other utterances of the held-out speaker. Here there is one row per speaker, and each is
classified by the others only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lvm_probe import InputError
from lvm_probe.figures import accuracy_over_k, layout, style
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
_ROW = 0.2  # inches from feature to feature


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
    return _points({title: at_reported_k(rows) for title, rows in parts.items()}, f"{text} {_CAUTION}")


def _has_few_speakers(data: pd.DataFrame) -> bool:
    return bool(data.groupby("panel")["n"].max().min() < MIN_SPEAKERS)


def _points(parts: dict[str, pd.DataFrame], text: str) -> Figure:
    """A row for each feature, with its accuracy, interval and null, and a column for each panel."""
    features = style.feature_order(pd.concat(parts.values())["feature"])
    left, right, between, head, below = 0.75, 0.1, 0.2, 0.3, 0.34
    across = (style.TWO_COLUMNS - left - right - between * (len(parts) - 1)) / len(parts)
    with style.theme():
        text, bottom = layout.note(text, style.TWO_COLUMNS)
        foot, height = bottom + 0.2, _ROW * len(features)
        fig = Figure(figsize=(style.TWO_COLUMNS, foot + below + height + head), dpi=style.DPI)
        for i, (title, rows) in enumerate(parts.items()):
            ax = layout.axes_in(fig, left + i * (across + between), foot + below, across, height)
            _draw_points(ax, rows, features)
            ax.set_title(title.replace(": ", "\n"), pad=3)
            if i:
                ax.tick_params(labelleft=False)
        dot: dict[str, Any] = {"linestyle": "", "markersize": 3.5}
        key = {
            "accuracy, 95 % interval": Line2D([], [], color=style.DARK, marker="o", markersize=3.5, linewidth=0.9),
            "permuted labels": Line2D([], [], marker="|", color=style.DARK, markeredgewidth=0.9, **dot),
            "chance": accuracy_over_k.chance_line(),
        }
        fig.legend(key.values(), key.keys(), loc="lower left", ncols=len(key), borderpad=0.2, borderaxespad=0.2,
                   handlelength=2.2, bbox_to_anchor=(0.0, bottom / fig.get_figheight()))  # fmt: skip
        layout.write_note(fig, text)
    return fig


def _draw_points(ax: Axes, rows: pd.DataFrame, features: list[str]) -> None:
    """The panel's features from top to bottom, at one k."""
    ax.grid(axis="x")
    ax.axvline(100 * float(rows["chance"].iloc[0]), **accuracy_over_k.CHANCE, zorder=1.5)
    for row in rows.to_dict("records"):
        look, y = style.feature_style(str(row["feature"])), features.index(str(row["feature"]))
        low, high, accuracy, null = (100 * row[name] for name in ("ci_low", "ci_high", "accuracy", "null_accuracy"))
        ax.plot([low, high], [y, y], color=look.colour, linewidth=1.1, zorder=2)
        ax.plot([null], [y], marker="|", color=style.DARK, markersize=5, markeredgewidth=0.9, linestyle="", zorder=3)
        ax.plot([accuracy], [y], marker=look.marker, color=look.colour, markersize=4.4, markeredgecolor="white",
                markeredgewidth=0.4, linestyle="", zorder=4)  # fmt: skip
    ax.set_yticks(range(len(features)), [style.feature_style(name).label for name in features])
    ax.tick_params(axis="y", length=0, labelsize=style.NORMAL)
    ax.set(xlim=(-3, 103), ylim=(len(features) - 0.5, -0.5), xlabel=f"accuracy (%), k = {int(rows['k'].iloc[0])}")


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
