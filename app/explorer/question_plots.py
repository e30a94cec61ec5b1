"""The pictures of the page 'Questions' in Plotly, with the colours and marks of the figures; it reports clicks.

Whatever can be clicked has ids in `customdata`. Text from files is escaped, because Plotly reads some HTML in labels.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from plotly import graph_objects as go

from lvm_probe.app.explorer.class_styles import visible
from lvm_probe.app.explorer.time_plots import MAGMA
from lvm_probe.figures import style

SYMBOLS = {
    "o": 0, "s": 1, "D": 2, "P": 3, "X": 4, "^": 5, "v": 6, "<": 7, ">": 8, "p": 13, "h": 14, "*": 17, "d": 25,
}  # fmt: skip
"""Plotly's numbers for matplotlib's marks."""

OPEN = 100
"""Added to a mark's number: its outline."""


def curves(rows: pd.DataFrame, protocols: Sequence[str], titles: Mapping[str, str], *, dark: bool = False) -> go.Figure:
    """Accuracy over k, one panel per protocol: bands are intervals, dotted the null, dashed grey chance.

    Args:
        rows: pooled result rows of one target.
        protocols: in the order of the panels.
        titles: of the panels.
        dark: whether the page is.
    """
    from plotly.subplots import make_subplots

    names = [html.escape(titles.get(protocol, protocol)) for protocol in protocols]
    figure = make_subplots(1, len(protocols), shared_yaxes=True, subplot_titles=names, horizontal_spacing=0.04)
    marks = ("circle", "diamond", "square", "x", "triangle-up")
    in_legend: set[str] = set()
    for column, protocol in enumerate(protocols, 1):
        panel = rows[rows["protocol"] == protocol]
        for turn, name, look, curve in _by_table_and_feature(panel):
            base = visible(look.colour, dark)
            colour = style.blend(base, "black" if dark else "white", 0.4 * min(turn, 1))
            curve = curve.sort_values("k")
            k, single = curve["k"], len(curve) == 1
            band = "rgba({:.0f},{:.0f},{:.0f},0.16)".format(*(255 * c for c in to_rgb(colour)))
            interval = go.Scatter(
                x=[*k, *k[::-1]], y=100 * np.array([*curve["ci_high"], *curve["ci_low"][::-1]]), fill="toself",
                fillcolor=band,
                line={"width": 0}, hoverinfo="skip", showlegend=False, legendgroup=name,
            )  # fmt: skip
            null = go.Scatter(
                x=k, y=100 * curve["null_accuracy"], mode="markers" if single else "lines", hoverinfo="skip",
                line={"color": colour, "dash": "dot", "width": 1.2}, showlegend=False, legendgroup=name,
            )  # fmt: skip
            accuracy = go.Scatter(
                x=k, y=100 * curve["accuracy"], mode="lines+markers", name=name, legendgroup=name,
                line={"color": colour, "width": 2.2, "dash": _dash(look.linestyle)}, showlegend=name not in in_legend,
                marker={"size": 5 if turn or single else 3, "symbol": marks[turn % len(marks)]},
                customdata=(curve[["ci_low", "ci_high", "null_accuracy", "n"]] * [100, 100, 100, 1]).to_numpy(),
                hovertemplate="k = %{x}: %{y:.1f} % (%{customdata[0]:.1f} to %{customdata[1]:.1f} %), null "
                "%{customdata[2]:.1f} %, n = %{customdata[3]:,}",
            )  # fmt: skip
            for trace in (interval, null, accuracy):
                figure.add_trace(trace, 1, column)
            in_legend.add(name)
        if len(panel):
            chance = 100 * float(panel["chance"].iloc[0])
            figure.add_hline(chance, line={"color": style.GREY, "dash": "dash", "width": 1.2}, row=1, col=column)
        figure.update_xaxes(title_text="k (neighbours)", zeroline=False, row=1, col=column)
    figure.update_yaxes(title_text="accuracy", ticksuffix=" %", rangemode="tozero", row=1, col=1)
    figure.update_layout(
        height=430,
        margin={"l": 60, "r": 8, "t": 34, "b": 40},
        legend={"orientation": "h", "y": -0.22, "x": 0},
    )
    figure.update_annotations(font_size=14)
    return figure


def _by_table_and_feature(rows: pd.DataFrame) -> Iterator[tuple[int, str, style.CurveStyle, pd.DataFrame]]:
    """The place of the table, the escaped name for a legend, the feature's style and the rows, for each of them."""
    tables = list(dict.fromkeys(rows["table"]))
    for turn, table in enumerate(tables):
        of_table = rows[rows["table"] == table]
        for feature in style.feature_order(of_table["feature"]):
            look = style.feature_style(feature)
            name = html.escape(look.label if len(tables) == 1 else f"{look.label}, {table}")
            yield turn, name, look, of_table[of_table["feature"] == feature]


def _dash(linestyle: style.LineStyle) -> str:
    if isinstance(linestyle, str):
        return linestyle
    return ",".join(f"{2.2 * length:g}px" for length in linestyle[1])


@dataclass(frozen=True)
class Quantity:
    """What `dots` draws: the columns of the results that have it, its name, a factor and the unit of the product."""

    value: str
    low: str
    high: str
    null: str
    reference: str
    reference_name: str
    title: str
    factor: float
    unit: str


ACCURACY = Quantity(
    "accuracy", "ci_low", "ci_high", "null_accuracy", "chance", "chance", "accuracy", 100, " %"
)  # fmt: skip
ERROR_CM = Quantity(
    "mae_cm", "mae_low", "mae_high", "null_mae_cm", "baseline_mae_cm", "mean height of the gender",
    "mean absolute error", 1, " cm",
)  # fmt: skip
BITS = Quantity(
    "bits", "bits_low", "bits_high", "null_bits", "baseline_bits", "class shares alone", "bits per label", 1, " bits"
)  # fmt: skip


def dots(
    rows: pd.DataFrame, quantity: Quantity, protocols: Sequence[str], titles: Mapping[str, str], *, dark: bool = False
) -> go.Figure:
    """A row for each feature, a panel for each protocol: dots with intervals, the null as a tick, a grey dashed line.

    Args:
        rows: pooled result rows of one target, one for each table, feature and protocol.
        quantity: what is drawn.
        protocols: in the order of the panels, from the top.
        titles: of the panels.
        dark: whether the page is.
    """
    from plotly.subplots import make_subplots

    names = [html.escape(titles.get(protocol, protocol)) for protocol in protocols]
    figure = make_subplots(len(protocols), 1, shared_xaxes=True, subplot_titles=names, vertical_spacing=0.14)
    height = 0
    for place, protocol in enumerate(protocols, 1):
        panel = rows[rows["protocol"] == protocol]
        for turn, name, look, some in _by_table_and_feature(panel):
            colour = visible(look.colour, dark)
            row = some.iloc[0]
            value, low, high, null = (
                quantity.factor * float(row[column])
                for column in (quantity.value, quantity.low, quantity.high, quantity.null)
            )
            figure.add_trace(
                go.Scatter(
                    x=[value], y=[name], mode="markers", showlegend=False, marker_size=10,
                    marker_color=colour, marker_symbol=SYMBOLS.get(look.marker, 0) + OPEN * min(turn, 1),
                    error_x={"type": "data", "symmetric": False, "array": [high - value],
                             "arrayminus": [value - low], "color": colour, "width": 0, "thickness": 2},
                    hovertemplate=f"<b>{name}</b>: {value:.1f} ({low:.1f} to {high:.1f}){quantity.unit}, "
                    f"n = {row['n']:,}<extra></extra>",
                ), place, 1,
            )  # fmt: skip
            figure.add_trace(
                go.Scatter(
                    x=[null], y=[name], mode="markers", showlegend=False,
                    marker={"symbol": "line-ns-open", "size": 12, "color": colour, "line": {"width": 2}},
                    hovertemplate=f"<b>{name}</b>, null: {null:.1f}{quantity.unit}<extra></extra>",
                ), place, 1,
            )  # fmt: skip
            height += 26
        if len(panel):
            at = quantity.factor * float(panel[quantity.reference].iloc[0])
            figure.add_vline(at, line={"color": style.GREY, "dash": "dash", "width": 1.2}, row=place, col=1)
        figure.update_yaxes(autorange="reversed", row=place, col=1)
    figure.update_xaxes(ticksuffix=quantity.unit, rangemode="tozero", zeroline=False, fixedrange=True)
    figure.update_xaxes(title_text=quantity.title, row=len(protocols), col=1)
    figure.update_yaxes(fixedrange=True, automargin=True)
    figure.update_layout(height=height + 60 * len(protocols) + 60, margin={"l": 60, "r": 8, "t": 34, "b": 40})
    figure.update_annotations(font_size=14)
    return figure


CELL = 11
"""Least width of a cell of `confusions` in pixels, at which its labels can be read."""
_MARGIN = {"l": 60, "r": 60, "t": 78, "b": 96}
_MOST_WITH_NUMBERS = 14  # classes, with their shares written into the cells


def least_width(classes: int) -> int:
    """The width in pixels below which `confusions` cannot be read."""
    return CELL * classes + _MARGIN["l"] + _MARGIN["r"]


def confusions(counts: pd.DataFrame, *, dark: bool = False) -> go.Figure:
    """Which class is predicted for which, as shares of the true class; every cell with a token can be clicked.

    Cells are square, classes ordered and divided by manner of articulation, and the diagonal is outlined.

    Args:
        counts: label, predicted, count.
        dark: whether the page is.
    """
    labels = style.articulation_order({*counts["label"], *counts["predicted"]})
    n = len(labels)
    place = {label: i for i, label in enumerate(labels)}
    share = counts["count"] / counts.groupby("label")["count"].transform("sum")
    grid = np.full((n, n), np.nan)
    across, down = counts["predicted"].map(place).to_numpy(), counts["label"].map(place).to_numpy()
    grid[down, across] = share
    shown = [html.escape(label) for label in labels]
    figure = go.Figure()
    ticks = [0.01, 0.05, 0.2, 0.4, 0.6, 0.8, 1.0]
    numbers = np.where(np.isfinite(grid), [[f"{100 * x:.0f}" for x in row] for row in np.nan_to_num(grid)], "")
    figure.add_trace(
        go.Heatmap(
            z=np.sqrt(grid), zmin=0, zmax=1, colorscale=MAGMA if dark else MAGMA[::-1], hoverinfo="skip",
            xgap=0.5, ygap=0.5, text=numbers, texttemplate="%{text}" if n <= _MOST_WITH_NUMBERS else "",
            colorbar={
                "tickvals": np.sqrt(ticks), "ticktext": [f"{100 * t:.0f} %" for t in ticks], "thickness": 10,
                "orientation": "h", "y": 0, "yref": "container", "yanchor": "bottom", "len": 0.8,
            },
        )
    )  # fmt: skip
    hover = [
        f"<b>{html.escape(a)}</b> predicted as <b>{html.escape(b)}</b>: {n:,} ({100 * s:.1f} %)"
        for a, b, n, s in zip(counts["label"], counts["predicted"], counts["count"], share, strict=True)
    ]
    size = float(np.clip(560 / max(n, 1), 5, 60))
    figure.add_trace(
        go.Scatter(  # heat maps do not report clicks; these invisible marks above them do
            x=across, y=down, mode="markers", hovertemplate="%{customdata[2]}<extra></extra>",
            customdata=np.column_stack([counts[["label", "predicted"]].to_numpy(dtype=object), hover]),
            marker={"size": size, "symbol": "square", "color": "rgba(0,0,0,0)"},
            selected={"marker": {"opacity": 1}}, unselected={"marker": {"opacity": 0}},
        )
    )  # fmt: skip
    ink = "#FFFFFF" if dark else "#000000"
    corners = np.arange(n + 1).repeat(2) - 0.5  # steps along both sides of the diagonal
    for x, y in ((corners[:-1], corners[1:]), (corners[1:], corners[:-1])):
        figure.add_trace(
            go.Scatter(x=x, y=y, mode="lines", hoverinfo="skip", line={"color": ink, "width": 0.8}, opacity=0.55)
        )
    _divide_by_manner(figure, labels)
    every = {"tickvals": list(range(n)), "ticktext": shown, "showgrid": False, "zeroline": False}
    every |= {"range": [-0.5, n - 0.5], "tickfont": {"size": 9 if n > 30 else 13}, "fixedrange": True}
    figure.update_layout(
        height=least_width(n) + 30 if n > 30 else 560,
        margin=_MARGIN,
        showlegend=False,
        xaxis={"title": {"text": "predicted as", "standoff": 6}, "tickangle": -90, "constrain": "domain", **every},
        yaxis={"title": {"text": "true"}, "scaleanchor": "x", "constrain": "domain", **every,
               "range": [n - 0.5, -0.5]},
    )  # fmt: skip
    return figure


def _divide_by_manner(figure: go.Figure, labels: Sequence[str]) -> None:
    """Lines between the manners of articulation, and their names above the columns."""
    groups = [look.group for look in style.phone_styles(labels).values()]
    if len(set(groups)) < 2:
        return
    n = len(groups)
    for i in range(1, n):
        if groups[i] != groups[i - 1]:
            at = i - 0.5
            line = {"color": style.GREY, "width": 0.8}
            figure.add_shape(type="line", x0=at, x1=at, y0=-0.5, y1=n - 0.5, line=line)
            figure.add_shape(type="line", y0=at, y1=at, x0=-0.5, x1=n - 0.5, line=line)
    for group in dict.fromkeys(groups):
        middle = groups.index(group) + (groups.count(group) - 1) / 2
        figure.add_annotation(
            x=middle, y=-0.5, text=html.escape(group), textangle=-90, showarrow=False, yanchor="bottom", yshift=4,
            font={"size": 10},
        )  # fmt: skip


def recalls(recall: pd.DataFrame, *, dark: bool = False) -> go.Figure:
    """Recall of every class, a mark per feature (and table).

    Args:
        recall: table, feature, label, n, recall.
        dark: whether the page is.
    """
    figure = go.Figure()
    labels = [html.escape(label) for label in style.articulation_order(recall["label"])]
    for turn, name, look, some in _by_table_and_feature(recall):
        symbol = SYMBOLS.get(look.marker, 0) + OPEN * min(turn, 1)
        figure.add_trace(
            go.Scatter(
                x=some["label"].map(html.escape), y=100 * some["recall"], mode="markers", name=name,
                customdata=some["n"],
                marker={"size": 9, "symbol": symbol, "color": visible(look.colour, dark)},
                hovertemplate="<b>%{x}</b>: %{y:.1f} % of %{customdata:,}",
            )
        )  # fmt: skip
    figure.update_layout(
        height=360, margin={"l": 60, "r": 8, "t": 8, "b": 40}, legend={"orientation": "h", "y": -0.25, "x": 0},
        xaxis={"categoryorder": "array", "categoryarray": labels, "tickfont": {"size": 11}, "dtick": 1},
        yaxis={"title": {"text": "recall"}, "ticksuffix": " %", "range": [-2, 104], "zeroline": False},
    )  # fmt: skip
    return figure
