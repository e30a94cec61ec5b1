"""The pictures of the page 'Questions' in Plotly, with the colours and marks of the figures; it reports clicks.

Whatever can be clicked has ids in `customdata`. Text from files is escaped, because Plotly reads some HTML in labels.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence

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
    """Accuracy over k, one panel per protocol: bands are intervals, dotted the null, dashed grey the majority line.

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
                x=[*k, *k[::-1]], y=[*curve["ci_high"], *curve["ci_low"][::-1]], fill="toself", fillcolor=band,
                line={"width": 0}, hoverinfo="skip", showlegend=False, legendgroup=name,
            )  # fmt: skip
            null = go.Scatter(
                x=k, y=curve["null_accuracy"], mode="markers" if single else "lines", hoverinfo="skip",
                line={"color": colour, "dash": "dot", "width": 1.2}, showlegend=False, legendgroup=name,
            )  # fmt: skip
            accuracy = go.Scatter(
                x=k, y=curve["accuracy"], mode="lines+markers", name=name, legendgroup=name,
                line={"color": colour, "width": 2.2, "dash": _dash(look.linestyle)}, showlegend=name not in in_legend,
                marker={"size": 5 if turn or single else 3, "symbol": marks[turn % len(marks)]},
                customdata=curve[["ci_low", "ci_high", "null_accuracy", "n"]].to_numpy(),
                hovertemplate="k = %{x}: %{y:.1%} (%{customdata[0]:.1%} to %{customdata[1]:.1%}), null "
                "%{customdata[2]:.1%}, n = %{customdata[3]:,}",
            )  # fmt: skip
            for trace in (interval, null, accuracy):
                figure.add_trace(trace, 1, column)
            in_legend.add(name)
        if len(panel):
            figure.add_hline(float(panel["chance"].iloc[0]), line={"color": style.GREY, "dash": "dash", "width": 1.2},
                             row=1, col=column)  # fmt: skip
        figure.update_xaxes(title_text="k (neighbours)", zeroline=False, row=1, col=column)
    figure.update_yaxes(title_text="accuracy", tickformat=".0%", rangemode="tozero", row=1, col=1)
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


def confusions(counts: pd.DataFrame, *, dark: bool = False) -> go.Figure:
    """Which class is predicted for which, as shares of the true class; every cell with a token can be clicked.

    Args:
        counts: label, predicted, count.
        dark: whether the page is.
    """
    labels = style.articulation_order({*counts["label"], *counts["predicted"]})
    place = {label: i for i, label in enumerate(labels)}
    share = counts["count"] / counts.groupby("label")["count"].transform("sum")
    grid = np.full((len(labels), len(labels)), np.nan)
    across, down = counts["predicted"].map(place).to_numpy(), counts["label"].map(place).to_numpy()
    grid[down, across] = share
    shown = [html.escape(label) for label in labels]
    figure = go.Figure()
    ticks = [0.01, 0.05, 0.2, 0.4, 0.6, 0.8, 1.0]
    figure.add_trace(
        go.Heatmap(
            z=np.sqrt(grid), zmin=0, zmax=1, colorscale=MAGMA if dark else MAGMA[::-1],
            hoverinfo="skip", xgap=0.5, ygap=0.5,
            colorbar={"tickvals": np.sqrt(ticks), "ticktext": [f"{t:.0%}" for t in ticks], "thickness": 12},
        )
    )  # fmt: skip
    hover = [
        f"<b>{html.escape(a)}</b> predicted as <b>{html.escape(b)}</b>: {n:,} ({s:.1%})"
        for a, b, n, s in zip(counts["label"], counts["predicted"], counts["count"], share, strict=True)
    ]
    size = float(np.clip(560 / max(len(labels), 1), 5, 60))
    figure.add_trace(
        go.Scatter(  # heat maps do not report clicks; these invisible marks above them do
            x=across, y=down, mode="markers", hovertemplate="%{customdata[2]}<extra></extra>",
            customdata=np.column_stack([counts[["label", "predicted"]].to_numpy(dtype=object), hover]),
            marker={"size": size, "symbol": "square", "color": "rgba(0,0,0,0)"},
            selected={"marker": {"opacity": 1}}, unselected={"marker": {"opacity": 0}},
        )
    )  # fmt: skip
    every = {"tickvals": list(range(len(labels))), "ticktext": shown, "showgrid": False, "zeroline": False}
    every |= {"range": [-0.5, len(labels) - 0.5], "tickfont": {"size": 10 if len(labels) > 30 else 13}}
    figure.update_layout(
        height=640 if len(labels) > 12 else 420,
        margin={"l": 60, "r": 8, "t": 8, "b": 50},
        showlegend=False,
        dragmode="pan",
        xaxis={"title": {"text": "predicted"}, **every},
        yaxis={"title": {"text": "true"}, **every, "range": [len(labels) - 0.5, -0.5]},
    )
    return figure


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
                x=some["label"].map(html.escape), y=some["recall"], mode="markers", customdata=some["n"], name=name,
                marker={"size": 9, "symbol": symbol, "color": visible(look.colour, dark)},
                hovertemplate="<b>%{x}</b>: %{y:.1%} of %{customdata:,}",
            )
        )  # fmt: skip
    figure.update_layout(
        height=360, margin={"l": 60, "r": 8, "t": 8, "b": 40}, legend={"orientation": "h", "y": -0.25, "x": 0},
        xaxis={"categoryorder": "array", "categoryarray": labels, "tickfont": {"size": 11}, "dtick": 1},
        yaxis={"title": {"text": "recall"}, "tickformat": ".0%", "range": [-0.02, 1.04], "zeroline": False},
    )  # fmt: skip
    return figure
