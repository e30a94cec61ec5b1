"""How well pitch, formants, intensity and other acoustic measures of a phoneme can be predicted from each feature."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lvm_probe import InputError
from lvm_probe.figures import layout, style
from lvm_probe.figures.accuracy_over_k import CHANCE
from lvm_probe.figures.inputs import FigureInputs, check_columns
from lvm_probe.figures.wording import counted, number_range
from lvm_probe.probing.questions.question import TOKEN_MEASURES, Protocol, Target
from lvm_probe.probing.questions.results import pooled

NAME = "measures"
TITLE = "Pitch, formants and other measures"

COLUMNS = ("target", "protocol", "feature", "r2", "r2_low", "r2_high", "null_r2")
_KEPT = (*COLUMNS, "mae", "baseline_mae", "unit", "n", "speakers", "permutations")

TARGETS: tuple[Target, ...] = tuple(name for name in TOKEN_MEASURES if name != "duration")
PROTOCOLS: dict[Protocol, str] = {"utterance": "within speakers", "speaker": "across speakers"}
_NAMES = {"f0": "pitch", "f1": "F1", "f2": "F2", "f3": "F3"}
_ROW = 0.42  # inches of a target
_LEAST = -0.5  # of R²: a mean error far beyond the baseline's says no more


def data(inputs: FigureInputs) -> pd.DataFrame:
    """One row per protocol, measure and feature: R² with its interval, and that of permuted values.

    Raises:
        InputError: no measures in the table, no features, or too few phonemes.
    """
    parts, reasons = [], []
    for protocol in PROTOCOLS:
        for target in TARGETS:
            question = inputs.question(target, method="ridge", protocol=protocol)
            try:
                frame = replace(inputs, untrained=None).answer(question).frame
            except InputError as error:
                reasons.append(str(error))
                continue
            parts.append(pooled(frame))
    if not parts:
        raise InputError("; ".join(dict.fromkeys(reasons)))
    return pd.concat(parts, ignore_index=True)[list(_KEPT)]


def draw(ax: Axes, data: pd.DataFrame) -> None:
    """Draw one protocol: for each measure a row with a point and interval for each feature, and permuted values."""
    check_columns(data, COLUMNS, "R² of measures")
    if len(set(data["protocol"])) > 1:
        raise InputError("R² under several protocols; a panel shows one")
    targets, features = list(dict.fromkeys(data["target"])), style.feature_order(data["feature"])
    with style.theme():
        ax.grid(axis="x")
        ax.axvline(0, **CHANCE, zorder=1.5)
        for row in range(1, len(targets)):
            ax.axhline(row - 0.5, color=style.PALE, linewidth=0.5, zorder=1)
        for i, name in enumerate(features):
            look, some = style.feature_style(name), data[data["feature"] == name]
            places = [targets.index(target) + 0.8 * ((i + 0.5) / len(features) - 0.5) for target in some["target"]]
            ax.hlines(places, some["r2_low"], some["r2_high"], color=look.colour, linewidth=1.0, zorder=2)
            ax.plot(some["null_r2"], places, marker="|", color=look.colour, markersize=4, markeredgewidth=0.8,
                    linestyle="", zorder=3)  # fmt: skip
            ax.plot(some["r2"], places, marker=look.marker, color=look.colour, markersize=3.8, linestyle="",
                    markeredgecolor="white", markeredgewidth=0.3, zorder=4, label=look.label)  # fmt: skip
        ax.set_yticks(range(len(targets)), [_NAMES.get(target, target) for target in targets])
        ax.tick_params(axis="y", length=0, labelsize=style.NORMAL)
        ax.set(xlim=(_low(data), 1.02), ylim=(len(targets) - 0.5, -0.5), xlabel="R²")


def figure(data: pd.DataFrame) -> Figure:
    """A panel for each protocol on the same axis, and the legend below."""
    check_columns(data, COLUMNS, "R² of measures")
    protocols = [name for name in PROTOCOLS if name in set(data["protocol"])]
    with style.theme():
        tall = _ROW * data["target"].nunique()
        fig, places = layout.grid(len(protocols), per_row=2, tall=tall, foot=0.24, left=0.55, between=0.6)
        for ax, protocol in zip(places, protocols, strict=True):
            draw(ax, data[data["protocol"] == protocol])
            ax.set(xlim=(_low(data), 1.02))
            ax.set_title(PROTOCOLS[protocol], pad=3)
        layout.legend_below(fig, places[0])
    return fig


def caption(data: pd.DataFrame, inputs: FigureInputs) -> str:
    """What was predicted, and how to read R²."""
    beyond = int((data["r2"] < _low(data)).sum())
    text = (
        f"R² of acoustic measures of phonemes by ridge regression ({inputs.table.name}): {number_range(data['n'])} "
        f"phonemes that have the measure, {counted(int(data['speakers'].max()), 'speaker')}. 0 is the mean of the "
        "training rows: within speakers each speaker's own; across speakers that of the others, so that R² includes "
        "the differences between voices. Intervals (95 %) are over speakers."
    )
    if data["null_r2"].notna().any():
        text += " Upright strokes: values permuted within each utterance or speaker, that is, the voice alone."
    return text + (f" {counted(beyond, 'point')} left of the axis." if beyond else "")


def _low(data: pd.DataFrame) -> float:
    """Where the axis begins."""
    return max(_LEAST, min(0.0, float(data[["r2", "r2_low", "null_r2"]].min().min())) - 0.03)
