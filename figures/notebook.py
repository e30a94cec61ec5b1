"""Figures of answers and token tables for a notebook: still pictures in the style of the figures, or Plotly's.

`lvm_probe.plot` and `lvm_probe.plot_map` are these functions. `Answer.plot` and `TokenTable.map` call them by those
public names, for probing stands below the figures and does not know them.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.figure import Figure

from lvm_probe import InputError
from lvm_probe.figures import accuracy_over_k, accuracy_points, lda_scatter, style, token_map
from lvm_probe.figures.token_map import MAX_TOKENS, Layout
from lvm_probe.figures.wording import counted
from lvm_probe.probing.features.feature import Feature
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.question import Target
from lvm_probe.probing.questions.results import Answer, pooled

if TYPE_CHECKING:
    from plotly.graph_objects import Figure as PlotlyFigure

_SYMBOLS = {"o": "circle", "s": "square", "D": "diamond", "^": "triangle-up", "v": "triangle-down", "P": "cross",
            "X": "x", "d": "diamond-tall", "<": "triangle-left", ">": "triangle-right", "*": "star", "p": "pentagon",
            "h": "hexagon"}  # fmt: skip
_MAP_HEIGHT = 560  # pixels


@dataclass(frozen=True, eq=False)
class Picture:
    """A still figure, which a notebook shows as it is.

    Attributes:
        figure: matplotlib's.
        data: the table that it was drawn from.
    """

    figure: Figure
    data: pd.DataFrame

    def save(self, path_stem: str | Path) -> list[Path]:
        """Write `path_stem`.pdf, .svg and .png, and the data as .csv.

        Raises:
            InputError: the folder cannot be written to.
        """
        return style.save_with_data(self.figure, self.data, path_stem)

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """The picture with its printed size, which notebooks ask for."""
        width, height = (round(96 * inches) for inches in self.figure.get_size_inches().tolist())
        return style.png(self.figure), {"width": width, "height": height}


def plot(answer: Answer, *, interactive: bool = False) -> Picture | PlotlyFigure:
    """Draw an answer: accuracy over k, or one point per feature for methods without k, and errors for heights.

    Args:
        answer: as `lvm_probe.ask` returns it.
        interactive: as a figure of Plotly, which zooms and tells its numbers.

    Returns:
        A picture, which a notebook shows; `save` writes it.

    Raises:
        InputError: it is not an answer.

    Example:
        >>> import lvm_probe
        >>> table = lvm_probe.load_table("latents/cwvae")  # doctest: +SKIP
        >>> lvm_probe.plot(lvm_probe.ask(table, target="gender")).save("gender")  # doctest: +SKIP
    """
    if not isinstance(answer, Answer):
        raise InputError(f"answer: a {type(answer).__name__}; give what lvm_probe.ask returns")
    rows = answer.frame
    if rows["k"].max() > rows["k"].min():
        rows = accuracy_over_k.drawn_rows(rows)
        return _curves(rows) if interactive else Picture(accuracy_over_k.panels(rows), rows)
    rows = pooled(rows)
    measure = accuracy_points.ERROR_CM if rows["accuracy"].isna().all() else accuracy_points.ACCURACY
    if interactive:
        return _points(rows, measure)
    titles = {"F": "women", "M": "men", "": "all speakers"}
    by = rows["gender"].map(titles) if "gender" in rows else rows["speaker"].replace("", "all speakers")
    parts = {str(name): part for name, part in rows.groupby(by.to_numpy(), sort=False)}
    if len(parts) > _MAX_PANELS:
        raise InputError(f"results of {len(parts)} speakers; plot those of {_MAX_PANELS} or fewer")
    first = rows.iloc[0]
    what = f"{str(first['target']).capitalize()}, {first['method']}, protocol {first['protocol']}"
    text = f"{what}: n = {rows['n'].max():,}, {counted(int(rows['speakers'].max()), 'speaker')}."
    return Picture(accuracy_points.panel_row(parts, text, measure=measure), rows)


def plot_map(
    table: TokenTable,
    feature: str | Feature,
    *,
    colour: Target = "manner",
    layout: Layout = "PCA",
    interactive: bool = False,
    max_tokens: int = MAX_TOKENS,
    seed: int = 0,
    **options: Any,
) -> Picture | PlotlyFigure:
    """Draw the tokens of a table in two dimensions.

    Args:
        table: as `lvm_probe.load_table` returns it.
        feature: columns of the table; "z1_logms+z2" joins two.
        colour: what gives the colours: "manner", "phoneme", "place", "voicing", "vowel-height", "vowel-backness",
            "word", "gender", "height", "dialect" or "speaker".
        layout: "PCA", "UMAP", or "LDA": discriminants of the classes that were fitted on other utterances than those
            shown.
        interactive: as a figure of Plotly, which zooms and tells what each token is.
        max_tokens: of more tokens, so many are drawn at random.
        seed: of what is random.
        options: fields of `Question` that restrict the tokens, such as `speakers` or `phones`.

    Returns:
        A picture, which a notebook shows; `save` writes it.

    Raises:
        InputError: an unknown name, or too few tokens.

    Example:
        >>> import lvm_probe
        >>> table = lvm_probe.load_table("latents/cwvae")  # doctest: +SKIP
        >>> lvm_probe.plot_map(table, "z1_logms+z2", colour="manner")  # doctest: +SKIP
    """
    if not isinstance(table, TokenTable):
        raise InputError(f"table: a {type(table).__name__}; give what lvm_probe.load_table returns")
    rows = token_map.select(table, colour, **options)
    data = token_map.places(rows, feature, layout, max_tokens=max_tokens, seed=seed)
    return _map(data) if interactive else Picture(token_map.figure(data), data)


_MAX_PANELS = 4


def _curves(rows: pd.DataFrame) -> PlotlyFigure:
    """Accuracy over k, with the null dotted."""
    from plotly import graph_objects as go

    fig = go.Figure()
    for name in style.feature_order(rows["feature"]):
        look, curve = style.feature_style(name), rows[rows["feature"] == name].sort_values("k")
        label = html.escape(look.label)
        numbers = curve[["ci_low", "ci_high", "null_accuracy"]].to_numpy(float)
        fig.add_scatter(x=curve["k"], y=curve["accuracy"], name=label, line={"color": look.colour}, customdata=numbers,
                        hovertemplate="k = %{x}: %{y:.1%} (%{customdata[0]:.1%} to %{customdata[1]:.1%}), permuted "
                        "labels %{customdata[2]:.1%}")  # fmt: skip
        fig.add_scatter(x=curve["k"], y=curve["null_accuracy"], showlegend=False, hoverinfo="skip", mode="lines",
                        line={"color": look.colour, "dash": "dot", "width": 1})  # fmt: skip
    fig.add_hline(float(rows["chance"].iloc[0]), line={"color": style.GREY, "dash": "dash", "width": 1})
    fig.update_layout(template="plotly_white", xaxis_title="k (neighbours)", yaxis_title="accuracy",
                      yaxis={"tickformat": ".0%", "rangemode": "tozero"})  # fmt: skip
    return fig


def _points(rows: pd.DataFrame, measure: accuracy_points.Measure) -> PlotlyFigure:
    """One point with its interval per feature, and per gender where there are several."""
    from plotly import graph_objects as go

    fig = go.Figure()
    for row in rows.to_dict("records"):
        look = style.feature_style(str(row["feature"]))
        value, low, high = (measure.scale * row[name] for name in measure.columns[:3])
        group = " ".join(str(row.get(name) or "") for name in ("speaker", "gender")).strip()
        fig.add_scatter(x=[value], y=[html.escape(f"{look.label} {group}".strip())], mode="markers", showlegend=False,
                        marker={"color": look.colour, "size": 9}, hovertemplate="%{x:.1f}<extra></extra>",
                        error_x={"array": [high - value], "arrayminus": [value - low]})  # fmt: skip
    reference = measure.scale * float(rows[measure.reference].iloc[0])
    fig.add_vline(reference, line={"color": style.GREY, "dash": "dash", "width": 1})
    fig.update_layout(template="plotly_white", xaxis_title=measure.label, yaxis_autorange="reversed",
                      xaxis_rangemode="tozero")  # fmt: skip
    return fig


def _map(data: pd.DataFrame) -> PlotlyFigure:
    """The map with what each token is on hover."""
    from plotly import graph_objects as go

    shown = lda_scatter.in_full_colour(data)
    groups, looks = style.grouped(token_map.styles(shown["colour"].iloc[0], shown["label"]))
    seconds = shown[["start", "end"]].div(shown["sample_rate"], axis=0)
    fig = go.Figure()
    for group, look in looks.items():
        chosen = shown["label"].map(groups) == group
        some, times = shown[chosen], seconds[chosen]
        said = [
            html.escape(f"{token}, {speaker}, {utterance}, {start:.3f} to {end:.3f} s")
            for token, speaker, utterance, (start, end) in zip(
                some["token"], some["speaker"], some["utterance"], times.to_numpy(), strict=True
            )
        ]
        mark = _SYMBOLS[look.marker] + ("" if look.filled else "-open")
        fig.add_scattergl(x=some["x"], y=some["y"], mode="markers", name=html.escape(group), text=said,
                          hoverinfo="text", marker={"color": look.colour, "size": 5, "opacity": 0.75, "symbol": mark},
                          )  # fmt: skip
    first = shown.iloc[0]
    title = f"{style.feature_style(first['feature']).label}: {first['layout']}, coloured by {first['colour']}"
    fig.update_layout(template="plotly_white", title=html.escape(title), height=_MAP_HEIGHT,
                      legend={"itemsizing": "constant"})  # fmt: skip
    return fig
