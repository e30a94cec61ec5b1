"""Speakers' heights in the plane of two linear discriminants, layer by layer: the paper's figure 6.

The paper fits the axes to the utterances that it shows. Here each speaker is shown on the axes of the other speakers,
unless the paper's way is asked for. Men only, where there are enough: among all speakers, height is known by gender.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lvm_probe import InputError
from lvm_probe.figures import lda_scatter, style
from lvm_probe.figures.inputs import LeftOut, Material
from lvm_probe.probing.features.feature import default_features
from lvm_probe.probing.questions.question import Question
from lvm_probe.probing.questions.rows import Rows, select_rows

NAME = "height-lda"
TITLE = "Height of speakers in two linear discriminants (figure 6)"

_GROUPS = {"men": "M", "women": "F", "speakers of both genders": None}
_MARK_AREA = 13.0  # points squared
_MOST_JOINED = 40  # speakers whose utterances are joined with lines; of more they would hide each other


def data(material: Material) -> pd.DataFrame:
    """Where each utterance lies: feature, x, y, label (height in cm), held_out, utterance, speaker, group.

    Raises LeftOut without three classes of height with two speakers each.
    """
    group, found = _askable(material)
    tokens, labels = found.table.tokens, found.labels.tolist()
    speakers = tokens["speaker"].tolist()
    held_out = material.fit != "paper"
    parts = []
    for feature in default_features(material.table):
        if len(feature.parts) > 1:
            continue
        points = found.table.matrix(feature)
        try:
            at = (
                lda_scatter.project_held_out(points, labels, speakers)
                if held_out
                else lda_scatter.project(points, labels, np.ones(len(points), dtype=bool))
            )
        except InputError as error:
            raise LeftOut(f"height, feature {feature}: {error}") from None
        part = pd.DataFrame(
            {"feature": str(feature), "x": at[:, 0], "y": at[:, 1], "label": labels, "held_out": held_out}
        )
        parts.append(part.assign(utterance=tokens["utterance"], speaker=speakers, group=group))
    return pd.concat(parts, ignore_index=True)


def draw(ax: Axes, data: pd.DataFrame) -> None:
    """Draw utterances with the mark of their class, thin lines to the speaker's mean, and labels at class means.

    Args:
        ax: where; its limits are set here, so its size must be final.
        data: columns x, y, label, held_out and speaker, of one feature.

    Raises:
        InputError: as `figures.lda_scatter.draw`.
    """
    looks = style.ordered_looks(data["label"].astype(str))
    if data["speaker"].nunique() <= _MOST_JOINED:
        means = data.groupby("speaker")[["x", "y"]].transform("mean")
        for label, look in looks.items():
            mine = data["label"] == label
            gap = np.full(int(mine.sum()), np.nan)
            x, y = (np.column_stack([data.loc[mine, a], means.loc[mine, a], gap]).ravel() for a in ("x", "y"))
            ax.plot(x, y, color=style.blend(look.colour, "white", 0.45), linewidth=0.4, zorder=0.5)
    lda_scatter.draw(ax, data, looks=looks, area=_MARK_AREA)


def figure(data: pd.DataFrame) -> Figure:
    """A panel for each layer and Mel, and the legend below."""
    first = data[data["feature"] == data["feature"].iloc[0]]
    held_out = bool(first["held_out"].all())
    text = f"{_number(first)}. Height in cm; labels mark class means."
    if first["speaker"].nunique() <= _MOST_JOINED:
        text += " Thin lines: to the mean of the speaker."
    text += _warning(first)
    if not held_out:
        text += " The paper's way: axes flatter the utterances that they were fitted on."
    axes = "axes fitted on other speakers" if held_out else "axes fitted on these utterances"
    return lda_scatter.panels(data, axes, text, looks=style.ordered_looks(data["label"].astype(str)), draw_one=draw)


def caption(data: pd.DataFrame, material: Material) -> str:
    """What is shown, of whom, and what the axes were fitted to."""
    first = data[data["feature"] == data["feature"].iloc[0]]
    counts = first.groupby("label")["speaker"].nunique()
    classes = style.listed(f"{label} cm ({counts[label]})" for label in style.ordered_looks(counts.index.astype(str)))
    how = (
        "Each speaker is shown on the axes fitted to the others, every fold's axes turned (orthogonal Procrustes) so "
        "that its class means meet those of all"
        if first["held_out"].all()
        else "The axes were fitted to these very utterances, as in the paper, which separates noise too where there "
        "are many dimensions"
    )
    return (
        f"{_number(first)}, by classes of height and their speakers: {classes}. Points are utterances. "
        f"{how}; in standard deviations within classes.{_warning(first)}"
    )


def _number(first: pd.DataFrame) -> str:
    return f"{len(first):,} utterances of {first['speaker'].nunique()} {first['group'].iloc[0]}"


def _warning(first: pd.DataFrame) -> str:
    return "" if first["group"].iloc[0] in ("men", "women") else " Height goes with gender here."


def _askable(material: Material) -> tuple[str, Rows]:
    """The first of the groups that has three classes of two speakers each, and its rows without smaller classes."""
    genders = set(material.table.tokens["gender"].dropna())
    seen = ""
    for name, gender in _GROUPS.items():
        if gender is not None and gender not in genders:
            continue
        try:
            asked = select_rows(
                material.table, Question(target="height", protocol="speaker", rows="utterance", gender=gender)
            )
        except InputError as error:
            seen = seen or str(error)
            continue
        counts = asked.table.tokens["speaker"].groupby(asked.labels.astype(str)).nunique()
        large = counts.index[counts >= 2]
        if len(large) >= 3:
            return name, asked.where(np.isin(asked.labels.astype(str), large))
        classes = style.listed(f"{label} cm ({counts[label]})" for label in style.ordered_looks(counts.index))
        seen = f"{name} by height: {classes}; two discriminants need three classes of two speakers each"
    raise LeftOut(seen if seen.startswith(str(material.table.path)) else f"{material.table.path}: {seen}")
