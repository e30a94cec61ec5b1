"""Recall of every phoneme, a layer of the model against Mel: which phonemes a latent encodes better than the spectrum.

A point above the diagonal is a phoneme that is recognised more often by the layer than by Mel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.scale import FuncScale
from numpy.typing import ArrayLike

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Float
from lvm_probe.figures import class_legend, layout, style
from lvm_probe.figures.confusion import counts
from lvm_probe.figures.inputs import FigureInputs, check_columns
from lvm_probe.figures.wording import counted

NAME = "per-phoneme"
TITLE = "Recall of every phoneme, compared with Mel"

MIN_COUNT = 10
"""Fewest tokens of a phoneme that is shown: with fewer, the interval spans most of the axis."""

COLUMNS = ("feature", "label", "n", "recall", "ci_low", "ci_high", "mel", "mel_low", "mel_high")

_NORMAL_95 = 1.959963984540054
_LABEL = 6.0  # points
_AREA = 14.0  # points squared


def data(inputs: FigureInputs) -> pd.DataFrame:
    """One row per feature and phoneme of at least ten tokens, in the order of the legend.

    `recall` is the fraction of the phoneme's tokens that are classified correctly by the feature, `mel` that by Mel on
    the same tokens; the intervals are Wilson's of 95 %.

    Raises:
        InputError: no Mel in the table, no phonemes, or none frequent enough.
    """
    if "mel" not in inputs.features:
        raise InputError(f"{inputs.table.path}: no feature 'mel' to compare the layers with")
    sums = [name for name in inputs.features if name not in (*inputs.layers, "mel")]
    names = [*inputs.layers[:1], *sums]
    if not names:
        raise InputError(f"{inputs.table.path}: no layer of a model to compare with Mel")
    rows = counts(inputs, [*names, "mel"])
    by = ["feature", "label"]
    n = rows.groupby(by)["count"].sum()
    hits = rows[rows["label"] == rows["predicted"]].set_index(by)["count"].reindex(n.index, fill_value=0)
    recall = pd.DataFrame({"n": n, "hits": hits, "k": int(rows["k"].iloc[0])})
    recall = recall[recall["n"] >= MIN_COUNT]
    if recall.empty:
        raise InputError(f"{inputs.table.path}: no phoneme has {MIN_COUNT} tokens; give more utterances")
    recall["recall"] = recall["hits"] / recall["n"]
    recall["ci_low"], recall["ci_high"] = wilson(recall["hits"].to_numpy(float), recall["n"].to_numpy(float))
    mel = recall.loc["mel", ["recall", "ci_low", "ci_high"]].set_axis(["mel", "mel_low", "mel_high"], axis=1)
    order = list(style.phone_styles(mel.index))
    parts = [recall.loc[name].join(mel).loc[order].reset_index().assign(feature=name) for name in names]
    return pd.concat(parts, ignore_index=True)[[*COLUMNS, "k"]]


def wilson(
    hits: Float[np.ndarray, " rows"], n: Float[np.ndarray, " rows"]
) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " rows"]]:
    """The 95 % score interval of a binomial fraction (E. B. Wilson, JASA 22, 1927): inside [0, 1], never empty."""
    z2 = _NORMAL_95**2
    middle = (hits + z2 / 2) / (n + z2)
    half = _NORMAL_95 / (n + z2) * np.sqrt(hits * (n - hits) / n + z2 / 4)
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)


def draw(ax: Axes, data: pd.DataFrame) -> None:
    """Draw one feature's phonemes, and the names and intervals of those whose two intervals do not overlap.

    Both axes are square roots, because most recalls are small.
    """
    check_columns(data, COLUMNS, "recalls")
    groups, looks = style.grouped(style.phone_styles(data["label"]))
    top = 100 * float(data[["ci_high", "mel_high"]].to_numpy(float).max())
    top = min(100.0, 10 * np.ceil(top / 10))
    ticks = [tick for tick in (0, 2, 5, 10, 20, 40, 60, 80, 100) if tick <= top]
    with style.theme():
        for axis in "xy":
            ax.set(**{f"{axis}scale": FuncScale(None, (_signed_root, _signed_square))})
            ax.set(**{f"{axis}lim": (_signed_square(-0.35), _signed_square(_signed_root(top) + 0.2))})
            ax.set(**{f"{axis}ticks": ticks, f"{axis}ticklabels": list(map(str, ticks))})
        ax.plot([0, top], [0, top], color=style.GREY, linewidth=0.7, dashes=(4, 2.5), zorder=1)
        named = _clearly_different(data)
        for row in named.to_dict("records"):
            x, y = 100 * row["mel"], 100 * row["recall"]
            line: dict[str, Any] = {"color": looks[groups[row["label"]]].paler(0.4), "linewidth": 0.6, "zorder": 2}
            ax.plot([100 * row["mel_low"], 100 * row["mel_high"]], [y, y], **line)
            ax.plot([x, x], [100 * row["ci_low"], 100 * row["ci_high"]], **line)
        for group, look in looks.items():
            some = data[data["label"].map(groups) == group]
            style.draw_marks(ax, 100 * some["mel"], 100 * some["recall"], look, area=_AREA, zorder=3)
        ax.set(xlabel="recall with Mel (%)", ylabel="recall (%)")
        _name(ax, named, data, {label: looks[group].text_colour for label, group in groups.items()})


def figure(data: pd.DataFrame) -> Figure:
    """One panel per feature, and the legend of manners below."""
    check_columns(data, COLUMNS, "recalls")
    features = list(dict.fromkeys(data["feature"]))
    _, looks = style.grouped(style.phone_styles(data["label"]))
    legend = class_legend.legend_lines(looks, style.TWO_COLUMNS - 0.1)
    with style.theme():
        fig, places = layout.grid(
            len(features), per_row=3, tall=2.7, foot=class_legend.height(legend) + 0.05, between=0.3
        )
        for i, (ax, feature) in enumerate(zip(places, features, strict=True)):
            draw(ax, data[data["feature"] == feature])
            ax.set_title(f"{style.feature_style(feature).label} compared with Mel", pad=4)
            if i % 3:
                ax.set_ylabel("")
        class_legend.draw_legend(fig, 0.05, legend)
    return fig


def caption(data: pd.DataFrame, inputs: FigureInputs) -> str:
    """What was counted, and how."""
    speakers = inputs.table.tokens["speaker"].nunique()
    first = data[data["feature"] == data["feature"].iloc[0]]
    return (
        f"Recall of each phoneme, a feature compared with Mel on the same tokens ({inputs.table.name}, protocol "
        f"`nested`): {int(first['n'].sum()):,} tokens of the {len(first)} phonemes with {MIN_COUNT} or more, "
        f"{counted(speakers, 'speaker')}, one speaker at a time, k = {int(data['k'].iloc[0])}. Above the dashed line, "
        "the feature "
        "recognises the phoneme more often than Mel; both axes are square roots. Named, with their intervals: phonemes "
        "whose two Wilson intervals (95 %, as if tokens were independent) do not overlap."
    )


def _signed_root(values: ArrayLike) -> np.ndarray:
    """A scale that gives room to fractions near zero, where most phonemes are."""
    return np.sign(values) * np.sqrt(np.abs(values))


def _signed_square(values: ArrayLike) -> np.ndarray:
    """The inverse of `_signed_root`."""
    return np.sign(values) * np.square(values)


def _clearly_different(data: pd.DataFrame) -> pd.DataFrame:
    """The phonemes whose two recalls have intervals that do not overlap."""
    return data[(data["ci_low"] > data["mel_high"]) | (data["mel_low"] > data["ci_high"])]


def _name(ax: Axes, named: pd.DataFrame, data: pd.DataFrame, colours: dict[str, str]) -> None:
    """Write the names of these phonemes, each on its point's side of the diagonal, where there is room."""
    above = np.sign((named["recall"] - named["mel"]).to_numpy(float))[:, None]
    layout.label_points(
        ax, named["label"].tolist(), 100 * named[["mel", "recall"]].to_numpy(float),
        [colours[label] for label in named["label"]], marks=100 * data[["mel", "recall"]].to_numpy(float),
        mark_size=np.sqrt(_AREA), offsets=6 * above * np.array([[-1.0, 1.0]]), fontsize=_LABEL,
    )  # fmt: skip
