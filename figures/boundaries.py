"""What each layer and Mel know of a phone's manner before, at and after its boundaries, from single frames."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lvm_probe import InputError
from lvm_probe.figures import layout, style
from lvm_probe.figures.accuracy_over_k import CHANCE
from lvm_probe.figures.inputs import FigureInputs, check_columns
from lvm_probe.figures.wording import counted, intervals
from lvm_probe.probing.questions.boundaries import EDGES, AroundBoundaries, around_boundaries
from lvm_probe.probing.questions.results import pooled

NAME = "boundaries"
TITLE = "Manner of a phone before, at and after its boundaries"

COLUMNS = ("feature", "target", "edge", "offset_ms", "accuracy", "ci_low", "ci_high", "chance")
_KEPT = (*COLUMNS, "null_accuracy", "protocol", "method", "n", "n_classes", "speakers", "interval")
_NAMES = {"onset": "beginning", "offset": "end"}


def data(inputs: FigureInputs) -> pd.DataFrame:
    """One row per boundary, time and feature, with the accuracy and its interval.

    Raises:
        InputError: no rows of phonemes or frames, or neither layers nor Mel.
    """
    if not inputs.single_features:
        raise InputError(f"{inputs.table.path}: neither layers of a model nor Mel")
    columns = inputs.table.columns
    several = len(set(columns["speaker"][columns["unit"] == "phoneme"])) > 1
    question = inputs.question("manner", method="lda", protocol="speaker" if several else "utterance")
    permutations = 1 if inputs.permutations is None else inputs.permutations
    question = replace(question, features=inputs.single_features, permutations=permutations)
    found = around_boundaries(
        inputs.table, question, progress=lambda done, of: inputs.progress("boundaries", done / of)
    )
    return tidy(found)


def tidy(found: AroundBoundaries) -> pd.DataFrame:
    """The rows that are drawn: those of all speakers, or of the only one."""
    return pooled(found.frame)[list(_KEPT)].reset_index(drop=True)


def draw(ax: Axes, data: pd.DataFrame) -> None:
    """Draw one boundary: for each feature the accuracy over the time from it, with its interval as a band."""
    check_columns(data, COLUMNS, "accuracies around boundaries")
    if len(set(data["edge"])) > 1:
        raise InputError("accuracies around the onset and the offset of phones; a panel shows one")
    with style.theme():
        ax.grid(axis="y")
        ax.axvline(0, color=style.DARK, linewidth=0.8, zorder=1.5)
        ax.axhline(100 * float(data["chance"].iloc[0]), **CHANCE, zorder=1.5, label="chance")
        for name in style.feature_order(data["feature"]):
            one, look = data[data["feature"] == name].sort_values("offset_ms"), style.feature_style(name)
            ax.fill_between(one["offset_ms"], 100 * one["ci_low"], 100 * one["ci_high"], color=look.colour, alpha=0.15,
                            linewidth=0)  # fmt: skip
            ax.plot(one["offset_ms"], 100 * one["accuracy"], color=look.colour, linestyle=look.linestyle,
                    marker=look.marker, markersize=3.2, markeredgewidth=0, label=look.label)  # fmt: skip
        edge = _NAMES[str(data["edge"].iloc[0])]
        ax.set(ylim=(0, None), xlabel=f"time from the {edge} of the phone (ms)", ylabel="accuracy (%)")


def figure(data: pd.DataFrame) -> Figure:
    """A panel for the beginning and one for the end of phones, on one axis of accuracy."""
    check_columns(data, COLUMNS, "accuracies around boundaries")
    edges = [edge for edge in EDGES if edge in set(data["edge"])]
    with style.theme():
        fig, places = layout.grid(len(edges), per_row=2, tall=1.9, foot=0.24)
        for ax, edge in zip(places, edges, strict=True):
            draw(ax, data[data["edge"] == edge])
        layout.share_height(places)
        layout.legend_below(fig, places[0])
    return fig


def caption(data: pd.DataFrame, inputs: FigureInputs) -> str:
    """What was asked, of how many phones, and where each feature is highest."""
    first = data.iloc[0]
    parts = []
    for edge in (edge for edge in EDGES if edge in set(data["edge"])):
        some = data[data["edge"] == edge]
        said = []
        for name in style.feature_order(some["feature"]):
            best = some[some["feature"] == name].sort_values("accuracy", kind="stable").iloc[-1]
            label = style.feature_style(name).label
            said.append(f"{label} {100 * best['accuracy']:.0f} % at {best['offset_ms']:+g} ms")
        parts.append(f"from the {_NAMES[edge]} {', '.join(said)}")
    null = data["null_accuracy"].mean()
    permuted = f"; permuted labels score {100 * null:.0f} %" if null == null else ""
    return (
        f"The {first['target']} of a phone told from the single frame that covers a time before or after its boundary, "
        f"by {str(first['method']).upper()} for each time ({inputs.table.name}, protocol {first['protocol']}): "
        f"{first['n']:,} phones, {first['n_classes']} classes, {counted(int(first['speakers']), 'speaker')}. Highest: "
        f"{'; '.join(parts)}. Chance is the share of the most frequent class{permuted}. "
        f"{intervals(data)}"
    )
