"""Results of features as points with intervals: a row for each feature, a panel for each question or group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lvm_probe.figures import layout, style
from lvm_probe.figures.accuracy_over_k import CHANCE, chance_line
from lvm_probe.figures.inputs import check_columns


class Measure(NamedTuple):
    """The columns of results that are drawn, and what they are called.

    Attributes:
        value, low, high: the point and its interval.
        null: the same on permuted labels; empty where there is none.
        reference: the line to compare with.
        label: of the axis.
        reference_name: in the key.
        scale: what values are multiplied by.
        null_name: in the key.
    """

    value: str
    low: str
    high: str
    null: str
    reference: str
    label: str
    reference_name: str
    scale: float
    null_name: str = "permuted labels"

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of its columns."""
        return tuple(name for name in self[:5] if name)


ACCURACY = Measure("accuracy", "ci_low", "ci_high", "null_accuracy", "chance", "accuracy (%)", "chance", 100)
ERROR_CM = Measure(
    "mae_cm", "mae_low", "mae_high", "null_mae_cm", "baseline_mae_cm", "mean absolute error (cm)", "mean height", 1
)

_ROW = 0.2  # inches from feature to feature


def draw(ax: Axes, data: pd.DataFrame, *, measure: Measure = ACCURACY) -> None:
    """Draw one row for each feature, from top to bottom: its value, interval and null; the reference is dashed.

    Args:
        ax: where; the limits of its y axis are set here.
        data: one result row per feature.
        measure: what is drawn.

    Raises:
        InputError: columns missing, or no rows.
    """
    check_columns(data, ("feature", *measure.columns), "results")
    features = style.feature_order(data["feature"])
    with style.theme():
        ax.grid(axis="x")
        ax.axvline(measure.scale * float(data[measure.reference].iloc[0]), **CHANCE, zorder=1.5)
        for row in data.to_dict("records"):
            look, y = style.feature_style(str(row["feature"])), features.index(str(row["feature"]))
            value, low, high = (measure.scale * float(row[name]) for name in measure.columns[:3])
            ax.plot([low, high], [y, y], color=look.colour, linewidth=1.1, zorder=2)
            if measure.null:
                ax.plot([measure.scale * float(row[measure.null])], [y], **_NULL, zorder=3)
            ax.plot([value], [y], marker=look.marker, color=look.colour, markersize=4.4, markeredgecolor="white",
                    markeredgewidth=0.4, linestyle="", zorder=4)  # fmt: skip
        ax.set_yticks(range(len(features)), [style.feature_style(name).label for name in features])
        ax.tick_params(axis="y", length=0, labelsize=style.NORMAL)
        ax.set(ylim=(len(features) - 0.5, -0.5), xlabel=measure.label)


def panel_row(parts: Mapping[str, pd.DataFrame], text: str, *, measure: Measure = ACCURACY) -> Figure:
    """A panel for each part next to each other with the same axes, and a key and a note below.

    Args:
        parts: result rows, one per feature, by the panel's title.
        text: the note.
        measure: what is drawn.

    Raises:
        InputError: as `draw`.
    """
    features = style.feature_order(pd.concat(parts.values())["feature"])
    labels = max(layout.text_width(style.feature_style(name).label, style.NORMAL) for name in features)
    width = style.ONE_COLUMN if len(parts) == 1 else style.TWO_COLUMNS
    left, right, between, head, below, key = labels + 0.1, 0.1, 0.2, 0.3, 0.34, 0.2
    across = (width - left - right - between * (len(parts) - 1)) / len(parts)
    with style.theme():
        text, bottom = layout.note(text, width)
        height = _ROW * len(features)
        fig = Figure(figsize=(width, bottom + key + below + height + head), dpi=style.DPI)
        for i, (title, rows) in enumerate(parts.items()):
            ax = layout.axes_in(fig, left + i * (across + between), bottom + key + below, across, height)
            draw(ax, rows, measure=measure)
            ax.set_xlim(*_limits(pd.concat(parts.values()), measure))
            ax.set_title(title, pad=3)
            if i:
                ax.tick_params(labelleft=False)
        _draw_key(fig, bottom, measure)
        layout.write_note(fig, text)
    return fig


_NULL: dict[str, Any] = {"marker": "|", "color": style.DARK, "markersize": 5, "markeredgewidth": 0.9, "linestyle": ""}


def _limits(rows: pd.DataFrame, measure: Measure) -> tuple[float, float]:
    """0 to 100 per cent of accuracies; otherwise 0 and all values. With room for marks at either end."""
    if measure is ACCURACY:
        return -3, 103
    values = measure.scale * rows[list(measure.columns)].to_numpy(float)
    return min(0.0, 1.08 * float(np.nanmin(values))), max(0.0, 1.08 * float(np.nanmax(values)))


def _draw_key(fig: Figure, bottom: float, measure: Measure) -> None:
    what = measure.label.partition(" (")[0]
    lines = {
        f"{what.removeprefix('mean absolute ')}, 95 % interval": Line2D(
            [], [], color=style.DARK, marker="o", markersize=3.5, linewidth=0.9
        )
    }
    lines |= {measure.null_name: Line2D([], [], **_NULL)} if measure.null else {}
    lines |= {measure.reference_name: chance_line()}
    fig.legend(lines.values(), lines.keys(), loc="lower left", ncols=len(lines), borderpad=0.2, borderaxespad=0.2,
               handlelength=2.0, columnspacing=1.2, bbox_to_anchor=(0.0, bottom / fig.get_figheight()))  # fmt: skip
