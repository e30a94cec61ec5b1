"""Which phoneme is predicted for which, every token classified among its speaker's others by an LDA fitted without it.

Rows and columns are ordered by manner of articulation, then by place, so that confusions between phonemes with similar
articulation lie near the diagonal.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from lvm_probe import InputError
from lvm_probe.figures import layout, style
from lvm_probe.figures.inputs import FigureInputs, check_columns
from lvm_probe.figures.wording import counted
from lvm_probe.probing.questions.question import Question
from lvm_probe.probing.questions.results import Answer

NAME = "confusion"
TITLE = "Confusions between phonemes"

K = 5
"""Neighbours; fixed beforehand. Fewer where the table keeps no confusions of so many."""

COLUMNS = ("feature", "label", "predicted", "count", "share")

_LABEL = 5.0  # points, size of a phoneme's label
_PITCH = 1.15  # heights of a label from one to the next in its row
_COLOURS = "magma_r"  # its lightness falls evenly, so that it can be read in grey
_GAMMA = 0.5  # a confusion of one per cent can still be seen


def question(inputs: FigureInputs) -> Question:
    """The question that this figure, `per_phoneme` and `optimism` share, so that it is computed once."""
    return inputs.question(protocol="nested")


def answers(inputs: FigureInputs) -> Answer:
    """The answer to `question`.

    Raises:
        InputError: the table has neither layers nor Mel, or fewer than two phonemes.
    """
    if not inputs.features:
        raise InputError(f"{inputs.table.path}: neither layers of a model nor Mel")
    return inputs.answer(question(inputs))


def counts(inputs: FigureInputs, features: Iterable[str]) -> pd.DataFrame:
    """How often each phoneme was predicted for each, over all speakers: feature, k, label, predicted, count."""
    rows = answers(inputs).confusion
    k = max((k for k in rows["k"].unique() if k <= K), default=rows["k"].min())
    rows = rows[(rows["k"] == k) & rows["feature"].isin(list(features))]
    return rows[["feature", "k", "label", "predicted", "count"]].reset_index(drop=True)


def data(inputs: FigureInputs) -> pd.DataFrame:
    """One row per feature, phoneme and phoneme predicted for it at least once.

    `share` is the fraction of the phoneme's own tokens; the shares of a phoneme sum to one. `predicted` is the majority
    among k neighbours.

    Raises:
        InputError: the table has fewer than two phonemes.
    """
    features = ["+".join(inputs.layers)] if inputs.layers else []
    features += ["mel"] if "mel" in inputs.features else []
    rows = counts(inputs, features)
    rows["share"] = rows["count"] / rows.groupby(["feature", "label"])["count"].transform("sum")
    ranks = {name: i for i, name in enumerate([*features, *style.articulation_order(_labels(rows))])}
    return rows.sort_values(["feature", "label", "predicted"], key=lambda c: c.map(ranks), ignore_index=True)


def draw(ax: Axes, data: pd.DataFrame, *, rows: bool = True) -> None:
    """Draw the confusions of one feature: true phonemes down, predicted ones across, shares as colour.

    `rows`: label the rows too, not only the columns.
    """
    check_columns(data, COLUMNS, "confusions")
    labels = style.articulation_order(_labels(data))
    shares = data.pivot_table(index="label", columns="predicted", values="share").reindex(index=labels, columns=labels)
    groups = [look.group for look in style.phone_styles(labels).values()]
    edges = [i for i in range(1, len(groups)) if groups[i] != groups[i - 1]]
    with style.theme():
        sns.heatmap(shares, ax=ax, cmap=_COLOURS, norm=PowerNorm(_GAMMA, 0, 1), cbar=False, xticklabels=False,
                    yticklabels=False, rasterized=True)  # fmt: skip
        ax.set(xlabel="", ylabel="")
        ax.hlines(edges, *ax.get_xlim(), color=style.GREY, linewidth=0.35)
        ax.vlines(edges, *ax.get_ylim(), color=style.GREY, linewidth=0.35)
        for spine in ax.spines.values():
            spine.set_visible(True)
        _label(ax, labels, rows)
        for group in dict.fromkeys(groups):
            if group != "other":
                middle = groups.index(group) + groups.count(group) / 2
                ax.annotate(
                    group, (middle, 1), xycoords=("data", "axes fraction"), xytext=(0, 2.5),
                    textcoords="offset points", rotation=90, ha="center", va="bottom", fontsize=_LABEL,
                    color=style.DARK,
                )  # fmt: skip


def figure(data: pd.DataFrame) -> Figure:
    """The features next to each other, with the same order and the same scale of colours."""
    check_columns(data, COLUMNS, "confusions")
    features = list(dict.fromkeys(data["feature"]))
    labels_room = 0.24 + 2 * _row_height(_labels(data)) / 72
    head, between, right = 0.75, 0.14, 0.56
    side = (style.TWO_COLUMNS - labels_room - between - right) / 2
    width = labels_room + len(features) * (side + between) - between + right
    with style.theme():
        fig = Figure(figsize=(width, labels_room + side + head), dpi=style.DPI)
        for i, feature in enumerate(features):
            ax = layout.axes_in(fig, labels_room + i * (side + between), labels_room, side, side)
            draw(ax, data[data["feature"] == feature], rows=i == 0)
            ax.set_title(style.feature_style(feature).label, pad=37)
            ax.set_xlabel("predicted phoneme")
            if i == 0:
                ax.set_ylabel("true phoneme")
        key = layout.axes_in(fig, width - right + 0.1, labels_room, 0.09, side)
        ticks = [0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1]
        bar = fig.colorbar(fig.axes[0].collections[0], cax=key, ticks=ticks, format=lambda share, _: f"{100 * share:g}")
        bar.ax.spines["outline"].set_linewidth(0.4)
        key.set_title("%", fontsize=style.SMALL, pad=3)
    return fig


def caption(data: pd.DataFrame, inputs: FigureInputs) -> str:
    """What was counted, and how."""
    speakers = inputs.table.tokens["speaker"].nunique()
    first = data[data["feature"] == data["feature"].iloc[0]]
    return (
        f"Confusions between phonemes, in {inputs.table.name}: {int(first['count'].sum()):,} tokens of "
        f"{data['label'].nunique()} phonemes, {counted(speakers, 'speaker')}, one speaker at a time. Each token is "
        "classified by its k = "
        f"{int(data['k'].iloc[0])} nearest neighbours among the same speaker's other tokens, in the discriminants of "
        "an LDA fitted without it (protocol `nested`). Each row sums to 100 % of a true phoneme's tokens. The colour "
        "scale is a square root, so that rare confusions can be seen. Ordered by manner (lines), then place of "
        "articulation."
    )


def _labels(data: pd.DataFrame) -> set[str]:
    return {*data["label"].astype(str), *data["predicted"].astype(str)}


def _row_height(labels: Iterable[str]) -> float:
    """Room for the widest label, in points; it is one of those with the most letters."""
    return 72 * max(layout.text_width(label, _LABEL) for label in sorted(labels, key=len)[-3:]) + 3


def _label(ax: Axes, labels: list[str], rows: bool) -> None:
    """Label columns, and rows if wanted, with ticks; where room is short, with major and minor ticks in turn."""
    points = layout.size_in_points(ax)[0]
    alternate = len(labels) * _PITCH * _LABEL > points
    size = min(_LABEL, (2 if alternate else 1) * points / len(labels) / _PITCH)
    for axis in (ax.xaxis, ax.yaxis) if rows else (ax.xaxis,):
        for minor in (False, True) if alternate else (False,):
            places = range(int(minor), len(labels), 2 if alternate else 1)
            axis.set_ticks(
                [i + 0.5 for i in places], [labels[i] for i in places], minor=minor, rotation=90 * (axis is ax.xaxis)
            )
            axis.set_tick_params(
                which="minor" if minor else "major", labelsize=size, pad=1, width=0.3, color=style.GREY,
                length=1.5 + (_row_height(labels) if minor else 0),
            )  # fmt: skip
