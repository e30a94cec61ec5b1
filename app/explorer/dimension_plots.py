"""The pictures of the page 'Dimensions' in Plotly: tuning over phones, and autocorrelation."""

from __future__ import annotations

import html

import numpy as np
import pandas as pd
from plotly import graph_objects as go

from lvm_probe.analysis.shape_annotations import Float
from lvm_probe.app.explorer.class_styles import visible
from lvm_probe.figures import style

_ROW = 14  # pixels for each phone


def tuning_plot(rows: pd.DataFrame, value: str, *, dark: bool = False) -> go.Figure:
    """A row for each phone: a dot at its mean, a line one standard deviation to either side; colours tell manners.

    Args:
        rows: label, n, mean and spread, in order from the top.
        value: what each token has, for the axis.
        dark: whether the page is.
    """
    styles = style.phone_styles(rows["label"])
    groups = rows["label"].map(lambda label: styles[label].group or "other")
    figure = go.Figure()
    for group in dict.fromkeys(groups):
        some = rows[groups == group]
        known = style.manner_styles([group])
        colour = visible(known[group].colour if known else style.GREY, dark)
        names = some["label"].map(html.escape)
        figure.add_trace(
            go.Scatter(
                x=some["mean"], y=names, mode="markers", name=html.escape(group),
                error_x={"array": some["spread"], "color": colour, "thickness": 1.4, "width": 0},
                marker={"size": 8, "color": colour, "symbol": "circle"},
                customdata=some[["spread", "n"]].to_numpy(),
                hovertemplate="<b>%{y}</b>: mean %{x:.2f}, standard deviation %{customdata[0]:.2f}, "
                "n = %{customdata[1]:,}<extra></extra>",
            )
        )  # fmt: skip
    labels = rows["label"].map(html.escape).tolist()
    figure.update_layout(
        height=_ROW * len(rows) + 110,
        margin={"l": 44, "r": 8, "t": 30, "b": 40},  # the legend in one line; it asks for more if it needs more
        legend={"orientation": "h", "yref": "container", "y": 1, "yanchor": "top", "x": 0, "font": {"size": 12}},
        yaxis={
            "categoryorder": "array", "categoryarray": labels, "range": [len(labels) - 0.5, -0.5], "dtick": 1,
            "tickfont": {"size": 11}, "fixedrange": True, "showgrid": True,
        },
        xaxis={"title": {"text": f"{value} (mean ± SD)"}, "zeroline": True, "fixedrange": True},
    )  # fmt: skip
    return figure


def correlation_plot(
    correlation: Float[np.ndarray, " lags"], step_s: float, integrated_s: float, *, dark: bool = False
) -> go.Figure:
    """The autocorrelation over the lag in milliseconds, with a line at the integrated time where it is known.

    The axis ends at ten integrated times, but shows ten steps; zooming out shows the rest.
    """
    lags = 1000 * step_s * np.arange(len(correlation))
    colour = visible(style.feature_style("z1").colour, dark)
    figure = go.Figure(
        go.Scatter(
            x=lags, y=correlation, mode="lines+markers" if len(lags) < 50 else "lines",
            line={"color": colour, "width": 2}, marker={"size": 5},
            hovertemplate="%{x:.0f} ms: %{y:.2f}<extra></extra>",
        )
    )  # fmt: skip
    end = lags[-1]
    if np.isfinite(integrated_s):
        end = min(end, 1000 * max(10 * integrated_s, 10 * step_s))
        figure.add_vline(
            1000 * integrated_s, line={"color": style.GREY, "dash": "dash", "width": 1.5},
            annotation={"text": f" {1000 * integrated_s:.3g} ms", "yanchor": "top", "xanchor": "left"},
        )  # fmt: skip
    low = float(np.nanmin(correlation, initial=-0.35)) - 0.05
    figure.update_layout(
        height=230, margin={"l": 44, "r": 8, "t": 8, "b": 40}, showlegend=False,
        xaxis={"title": {"text": "lag (ms)"}, "zeroline": False, "range": [0, end]},
        yaxis={"title": {"text": "autocorrelation"}, "range": [low, 1.05], "zeroline": True, "fixedrange": True},
    )  # fmt: skip
    return figure
