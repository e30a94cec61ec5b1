"""Which phoneme is taken for which: every token judged among its own speaker's, with LDA fitted again without it.

Rows and columns are ordered by manner of articulation, then by place, so that confusions between neighbours in the
mouth lie near the diagonal.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, get_args

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from lvm_probe import InputError
from lvm_probe.figures import style
from lvm_probe.figures.inputs import LeftOut, Material
from lvm_probe.probing.corpora import phones
from lvm_probe.probing.features.feature import default_features
from lvm_probe.probing.questions.question import Question
from lvm_probe.probing.questions.results import Answer

NAME = "confusion"
TITLE = "Confusions between phonemes"

K = 5
"""Neighbours; fixed beforehand. Fewer where the table keeps no confusions of so many."""

COLUMNS = ("feature", "label", "predicted", "count", "share")

_LABEL, _LABEL_LINE = 5.0, 5.6  # points: size of a phoneme's label, and the room it needs
_COLOURS = "magma_r"  # luminance falls evenly, so that it reads in grey
_GAMMA = 0.5  # a confusion of one per cent can still be seen
_SEPARATOR = "#8A8A8A"


def question(material: Material) -> Question:
    """What is asked of the table here, in `per_phoneme` and in `optimism`, so that it is computed once."""
    return Question(target="phoneme", protocol="nested", permutations=material.permutations, seed=material.seed)


def whole_and_mel(material: Material) -> list[str]:
    """The layers together, or the only one, and Mel where the table has it."""
    layers = single_layers(material)
    return [*(["+".join(layers)] if layers else []), *(["mel"] if "mel" in material.table.features else [])]


def single_layers(material: Material) -> list[str]:
    """The table's layers, lowest first."""
    known = default_features(material.table)
    return [
        str(feature)
        for feature in known
        if len(feature.parts) == 1 and str(feature) != "mel" and "_" not in str(feature)
    ]


def answers(material: Material) -> Answer:
    """The answers to `question`.

    Raises:
        LeftOut: the table has neither layers nor Mel, or no phonemes of two or more kinds.
    """
    if not default_features(material.table):
        raise LeftOut(f"{material.table.path}: neither layers of a model nor Mel")
    return material.findings(question(material))


def counts(material: Material, features: Iterable[str]) -> pd.DataFrame:
    """How often each phoneme was taken for each, of all speakers: feature, k, label, predicted, count."""
    found = answers(material).confusion
    k = max((k for k in found["k"].unique() if k <= K), default=found["k"].min())
    found = found[(found["k"] == k) & found["feature"].isin(list(features))]
    return found[["feature", "k", "label", "predicted", "count"]].reset_index(drop=True)


def data(material: Material) -> pd.DataFrame:
    """One row per feature, phoneme and phoneme that it was taken for, where that happened at all.

    `share` is the fraction of the phoneme's own tokens; the shares of a phoneme sum to one. `predicted` is the
    majority among k neighbours.

    Raises:
        LeftOut: the table holds no phonemes of two or more kinds.
    """
    found = counts(material, whole_and_mel(material))
    share = found["count"] / found.groupby(["feature", "label"])["count"].transform("sum")
    order = {label: i for i, label in enumerate(ordered(_labels(found)))}
    names = {name: i for i, name in enumerate(whole_and_mel(material))}
    found = found.assign(share=share)
    return found.sort_values(["feature", "label", "predicted"], key=lambda c: c.map(names | order), ignore_index=True)


def ordered(labels: Iterable[str]) -> list[str]:
    """Distinct labels by manner and place of articulation; those that are not TIMIT's last."""
    looks = style.phone_looks(labels)
    places = get_args(phones.Place)
    groups = list(dict.fromkeys(look.group for look in looks.values()))

    def key(label: str) -> tuple[int, int]:
        try:
            place = phones.place(label)
        except InputError:
            place = None
        return groups.index(looks[label].group), places.index(place) if place else len(places)

    return sorted(looks, key=key)


def draw(ax: Axes, data: pd.DataFrame, *, rows: bool = True) -> None:
    """Draw the confusions of one feature: true phonemes down, what they were taken for across, shares as colour.

    Args:
        ax: where; its size must be final, for the labels stand in as many ranks as they need.
        data: columns label, predicted and share.
        rows: name the rows too, not only the columns.

    Raises:
        LeftOut: columns missing or no rows.
    """
    _check(data)
    labels = ordered(_labels(data))
    at = {label: i for i, label in enumerate(labels)}
    shares = np.full((len(labels), len(labels)), np.nan)  # never: left white
    shares[data["label"].map(at), data["predicted"].map(at)] = data["share"]
    groups = [look.group for look in map(style.phone_looks(labels).get, labels) if look is not None]
    with style.applied():
        ax.imshow(shares, cmap=_COLOURS, norm=PowerNorm(_GAMMA, 0, 1), interpolation="nearest", aspect="auto")
        for edge in (i - 0.5 for i in range(1, len(groups)) if groups[i] != groups[i - 1]):
            ax.axhline(edge, color=_SEPARATOR, linewidth=0.35)
            ax.axvline(edge, color=_SEPARATOR, linewidth=0.35)
        ax.spines[["top", "right"]].set_visible(True)
        ax.set(xticks=[], yticks=[])
        _label(ax, labels, rows)
        for group in dict.fromkeys(groups):
            if group != "other":
                middle = groups.index(group) + (groups.count(group) - 1) / 2
                ax.annotate(
                    group, (middle, 1), xycoords=("data", "axes fraction"), xytext=(0, 2.5),
                    textcoords="offset points", rotation=90, ha="center", va="bottom", fontsize=_LABEL,
                    color="#333333",
                )  # fmt: skip


def figure(data: pd.DataFrame) -> Figure:
    """The features side by side, in one order and one scale of colours.

    Raises:
        LeftOut: as `draw`.
    """
    _check(data)
    features = list(dict.fromkeys(data["feature"]))
    labels = _labels(data)
    rank = _rank(labels) / 72
    head, between, right = 0.75, 0.14, 0.56
    side, ranks = 0.0, 0
    for ranks in range(1, 5):  # the more ranks of labels, the smaller the panel
        side = (style.TWO_COLUMNS - 0.24 - ranks * rank - between - right) / 2
        if _ranks(side * 72, len(labels)) <= ranks:
            break
    left, foot = 0.24 + ranks * rank, 0.26 + ranks * rank
    width = left + len(features) * (side + between) - between + right
    with style.applied():
        fig = Figure(figsize=(width, foot + side + head), dpi=style.DPI)
        for i, feature in enumerate(features):
            ax = style.axes_in(fig, left + i * (side + between), foot, side, side)
            draw(ax, data[data["feature"] == feature], rows=i == 0)
            ax.set_title(style.feature_look(feature).label, pad=37)
            ax.set_xlabel("taken for", labelpad=2 + 72 * ranks * rank)
            if i == 0:
                ax.set_ylabel("said", labelpad=2 + 72 * ranks * rank)
        key = style.axes_in(fig, width - right + 0.1, foot, 0.09, side)
        bar = fig.colorbar(fig.axes[0].images[0], cax=key, ticks=[0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1])
        bar.ax.spines["outline"].set_linewidth(0.4)
        key.set_yticklabels(["0", "1", "5", "10", "20", "40", "60", "80", "100"])
        key.set_title("%", fontsize=style.SMALL, pad=3)
    return fig


def caption(data: pd.DataFrame, material: Material) -> str:
    """What was counted, and how."""
    speakers = material.table.tokens["speaker"].nunique()
    n = int(data[data["feature"] == data["feature"].iloc[0]]["count"].sum())
    among = "the same speaker's other tokens" if speakers > 1 else "the speaker's other tokens"
    return (
        f"Confusions between phonemes (nested protocol, {material.table.name}): {n:,} tokens of "
        f"{data['label'].nunique()} phonemes, {speakers} speaker{'s' if speakers > 1 else ''}, each token judged by "
        f"its k = {int(data['k'].iloc[0])} nearest among {among} in the discriminants of an LDA that has not seen it. "
        "Each row sums to 100 % of what was said. The scale of colours is a square root, so that rare confusions show. "
        "Ordered by manner (lines), then place of articulation."
    )


def _labels(data: pd.DataFrame) -> list[str]:
    return sorted({*data["label"].astype(str), *data["predicted"].astype(str)})


def _check(data: pd.DataFrame) -> None:
    if missing := [name for name in COLUMNS if name not in data]:
        raise LeftOut(f"confusions lack the columns {', '.join(missing)}")
    if data.empty:
        raise LeftOut("no confusions: no phoneme was asked for")


def _ranks(points: float, labels: int) -> int:
    """In how many ranks so many labels must stand along so many points."""
    return max(1, math.ceil(_LABEL_LINE * labels / points))


def _rank(labels: list[str]) -> float:
    """Room for the widest label, in points; it is among those of most letters."""
    return 72 * max(style.text_width(label, _LABEL) for label in sorted(labels, key=len)[-3:]) + 3


def _label(ax: Axes, labels: list[str], rows: bool) -> None:
    """Every label under its column and beside its row, in ranks that hairlines lead to."""
    fig = ax.get_figure(root=True)
    if fig is None:
        raise ValueError("these axes are in no figure")
    ranks = _ranks(ax.get_window_extent().height / fig.dpi * 72, len(labels))
    rank = _rank(labels)
    line = {"arrowstyle": "-", "color": _SEPARATOR, "linewidth": 0.3, "shrinkA": 0, "shrinkB": 0}
    white = {"boxstyle": "square,pad=0.02", "facecolor": "white", "edgecolor": "none"}
    for i, label in enumerate(labels):
        away = 2 + rank * (i % ranks)
        look: dict[str, Any] = {"fontsize": _LABEL, "bbox": white, "zorder": 4 - i % ranks, "annotation_clip": False}
        if rows:
            ax.annotate(
                label, (0, i), xycoords=("axes fraction", "data"), xytext=(-away, 0), textcoords="offset points",
                ha="right", va="center", arrowprops=line | {"relpos": (1, 0.5)}, **look,
            )  # fmt: skip
        ax.annotate(
            label, (i, 0), xycoords=("data", "axes fraction"), xytext=(0, -away), textcoords="offset points",
            rotation=90, ha="center", va="top", arrowprops=line | {"relpos": (0.5, 1)}, **look,
        )  # fmt: skip
