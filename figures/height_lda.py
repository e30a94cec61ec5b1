"""Speakers' heights in the plane of two linear discriminants, layer by layer (Havtorn et al. 2022, figure 6).

The paper fits the axes to the utterances that it shows. Here each speaker is shown on the axes of the other speakers,
unless the paper's way is asked for. Men only, where there are enough: among all speakers, gender predicts height.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lvm_probe import InputError
from lvm_probe.figures import lda_scatter, style
from lvm_probe.figures.inputs import FigureInputs
from lvm_probe.figures.wording import joined
from lvm_probe.probing.questions.rows import Rows, select_rows

NAME = "height-lda"
TITLE = "Height of speakers in two linear discriminants (as figure 6 of Havtorn et al. 2022)"

_GROUPS = {"men": "M", "women": "F", "speakers of both genders": None}
_MEAN_AREA = 36.0  # points squared


def data(inputs: FigureInputs) -> pd.DataFrame:
    """Where each utterance lies: feature, x, y, label (height in cm), held_out, utterance, speaker, group.

    Raises:
        InputError: fewer than three classes of height with two speakers each.
    """
    group, rows = _largest_group(inputs)
    tokens, labels = rows.table.tokens, rows.labels.tolist()
    speakers = tokens["speaker"].tolist()
    held_out = inputs.fit != "paper"
    parts = []
    for feature in inputs.single_features:
        points = rows.table.matrix(feature)
        try:
            at = (
                lda_scatter.project_held_out(points, labels, speakers)
                if held_out
                else lda_scatter.project(points, labels, np.ones(len(points), dtype=bool))
            )
        except InputError as error:
            raise InputError(f"height, feature {feature}: {error}") from None
        part = pd.DataFrame({"feature": feature, "x": at[:, 0], "y": at[:, 1], "label": labels, "held_out": held_out})
        parts.append(part.assign(utterance=tokens["utterance"], speaker=speakers, group=group))
    return pd.concat(parts, ignore_index=True)


def draw(ax: Axes, data: pd.DataFrame) -> None:
    """Draw utterances with small marks, the means of speakers with large ones, and the densest part of each class."""
    styles = style.interval_styles(data["label"].astype(str))
    lda_scatter.draw(ax, data, styles=styles)
    means = data.astype({"label": str}).groupby(["speaker", "label"], as_index=False)[["x", "y"]].mean()
    with style.theme():
        for label, look in styles.items():
            some = means[means["label"] == label]
            style.draw_marks(ax, some["x"], some["y"], look, area=_MEAN_AREA, zorder=3)


def figure(data: pd.DataFrame) -> Figure:
    """One panel for each layer and Mel, and the legend below."""
    first = data[data["feature"] == data["feature"].iloc[0]]
    held_out = bool(first["held_out"].all())
    text = f"{_counts(first)}. Height in cm. Small marks: utterances; large marks: means of speakers."
    text += _warning(first)
    if not held_out:
        text += " The paper's way: the axes separate the utterances that they were fitted on too well."
    axes = "axes fitted on other speakers" if held_out else "axes fitted on these utterances"
    styles = style.interval_styles(data["label"].astype(str))
    return lda_scatter.panels(data, axes, text, styles=styles, draw_panel=draw)


def caption(data: pd.DataFrame, inputs: FigureInputs) -> str:
    """What is shown, of whom, and what the axes were fitted to."""
    first = data[data["feature"] == data["feature"].iloc[0]]
    how = (
        "Each speaker is shown on the axes fitted to the others; the axes of every fold are rotated (orthogonal "
        "Procrustes) so that its class means match those of all speakers"
        if first["held_out"].all()
        else "The axes were fitted to these very utterances, as in the paper, which separates even noise in many "
        "dimensions"
    )
    return (
        f"Utterances by the height of their speakers, with the number of speakers: "
        f"{_classes(first['label'], first['speaker'])}. {how}; in standard deviations within classes. Outlines hold "
        "68 % "
        f"of the density of a class's utterances. Utterances beyond the axes, if any, are counted in the corner."
        f"{_warning(first)}"
    )


def _counts(first: pd.DataFrame) -> str:
    return f"{len(first):,} utterances of {first['speaker'].nunique()} {first['group'].iloc[0]}"


def _classes(labels: pd.Series, speakers: pd.Series) -> str:
    """`<175 cm (3) and 175-185 cm (4)`: every class with its number of speakers."""
    counts = speakers.groupby(labels.astype(str).to_numpy()).nunique()
    return joined(f"{label} cm ({counts[label]})" for label in style.interval_styles(counts.index))


def _warning(first: pd.DataFrame) -> str:
    return "" if first["group"].iloc[0] in ("men", "women") else " Gender predicts height here."


def _largest_group(inputs: FigureInputs) -> tuple[str, Rows]:
    """The first of the groups with three classes of two speakers each, and its rows without smaller classes."""
    genders = set(inputs.table.tokens["gender"].dropna())
    reason = ""
    for name, gender in _GROUPS.items():
        if gender is not None and gender not in genders:
            continue
        question = inputs.question("height", protocol="speaker", rows="utterance", gender=gender)
        try:
            rows = select_rows(inputs.table, question)
        except InputError as error:
            reason = reason or str(error)
            continue
        labels, speakers = pd.Series(rows.labels.astype(str)), rows.table.tokens["speaker"]
        counts = speakers.groupby(labels.to_numpy()).nunique()
        large = counts.index[counts >= 2]
        if len(large) >= 3:
            return name, rows.where(np.isin(labels, large))
        reason = (
            f"{inputs.table.path}: {name} by height: {_classes(labels, speakers)}; two discriminants need three "
            "classes of two speakers each"
        )
    raise InputError(reason)
