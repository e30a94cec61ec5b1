"""Recall of every phoneme, a layer of the model against Mel: which phonemes a latent knows better than the sound.

A point above the diagonal is a phoneme that the layer recognises more often than Mel does.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.scale import FuncScale
from numpy.typing import ArrayLike

from lvm_probe.analysis.shape_annotations import Float
from lvm_probe.figures import style
from lvm_probe.figures.confusion import counts, single_layers
from lvm_probe.figures.inputs import LeftOut, Material
from lvm_probe.figures.lda_scatter import spread
from lvm_probe.probing.features.feature import default_features

NAME = "per-phoneme"
TITLE = "Recall of every phoneme, against Mel"

LEAST = 10
"""Fewest tokens of a phoneme that is shown: of fewer, the interval spans most of the axis."""

COLUMNS = ("feature", "label", "n", "recall", "ci_low", "ci_high", "mel", "mel_low", "mel_high")

_NORMAL_95 = 1.959963984540054
_LABELLED = 12  # labels in a panel
_LABEL = 5.5  # points
_AREA = 11.0  # points squared
_LEGEND_LINE = 9.0  # points


def data(material: Material) -> pd.DataFrame:
    """One row per feature and phoneme of at least ten tokens, in the order of the legend.

    `recall` is the fraction of the phoneme's tokens that the feature names rightly, `mel` that of Mel on the very
    same tokens; the intervals are Wilson's of 95 %.

    Raises:
        LeftOut: no Mel in the table, no phonemes, or none frequent enough.
    """
    if "mel" not in material.table.features:
        raise LeftOut(f"{material.table.path}: no feature 'mel' to hold the layers against")
    layers = single_layers(material)
    joined = [name for name in map(str, default_features(material.table)) if name not in (*layers, "mel")]
    names = [*layers[:1], *joined]
    if not names:
        raise LeftOut(f"{material.table.path}: no layer of a model to hold against Mel")
    found = counts(material, [*names, "mel"])
    by = ["feature", "label"]
    n = found.groupby(by)["count"].sum()
    hits = found[found["label"] == found["predicted"]].set_index(by)["count"].reindex(n.index, fill_value=0)
    recall = pd.DataFrame({"n": n, "hits": hits, "k": int(found["k"].iloc[0])})
    recall = recall[recall["n"] >= LEAST]
    if recall.empty:
        raise LeftOut(f"{material.table.path}: no phoneme has {LEAST} tokens; give more utterances")
    recall["recall"] = recall["hits"] / recall["n"]
    recall["ci_low"], recall["ci_high"] = wilson(recall["hits"].to_numpy(float), recall["n"].to_numpy(float))
    mel = recall.loc["mel", ["recall", "ci_low", "ci_high"]].set_axis(["mel", "mel_low", "mel_high"], axis=1)
    looks = list(style.phone_looks(mel.index))
    rows = [recall.loc[name].join(mel).loc[looks].reset_index().assign(feature=name) for name in names]
    return pd.concat(rows, ignore_index=True)[[*COLUMNS, "k"]]


def wilson(
    hits: Float[np.ndarray, " rows"], n: Float[np.ndarray, " rows"]
) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " rows"]]:
    """The score interval of 95 % for a binomial fraction (E. B. Wilson, JASA 22, 1927): inside [0, 1], never empty."""
    z2 = _NORMAL_95**2
    middle = (hits + z2 / 2) / (n + z2)
    half = _NORMAL_95 / (n + z2) * np.sqrt(hits * (n - hits) / n + z2 / 4)
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)


def draw(ax: Axes, data: pd.DataFrame) -> None:
    """Draw one feature's phonemes with their intervals, and the names of those farthest from the diagonal.

    Both axes are square roots, for most phonemes are seldom recognised.

    Args:
        ax: where; its limits are set here, so its size must be final.
        data: rows of one feature.

    Raises:
        LeftOut: columns missing or no rows.
    """
    _check(data)
    looks = style.phone_looks(data["label"])
    top = 100 * float(data[["ci_high", "mel_high"]].to_numpy(float).max())
    top = min(100.0, 10 * np.ceil(top / 10))
    with style.applied():
        for axis in "xy":
            ax.set(**{f"{axis}scale": FuncScale(None, (_root, _square))})
            ax.set(**{f"{axis}lim": (_square(-0.35), _square(_root(top) + 0.2))})
        ax.plot([0, top], [0, top], color=style.GREY, linewidth=0.7, dashes=(4, 2.5), zorder=1)
        for row in data.to_dict("records"):
            look = looks[row["label"]]
            pale = style.blend(look.colour, "white", 0.62)
            x, y = 100 * row["mel"], 100 * row["recall"]
            ax.plot([100 * row["mel_low"], 100 * row["mel_high"]], [y, y], color=pale, linewidth=0.4, zorder=2)
            ax.plot([x, x], [100 * row["ci_low"], 100 * row["ci_high"]], color=pale, linewidth=0.4, zorder=2)
            mark(ax, x, y, look)
        ticks = [tick for tick in (0, 2, 5, 10, 20, 40, 60, 80, 100) if tick <= top]
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
        ax.set_yticks(ticks, [str(tick) for tick in ticks])
        ax.set_xlabel("recall with Mel (%)")
        ax.set_ylabel("recall (%)")
        _label(ax, data, looks)


def mark(ax: Axes, x: float, y: float, look: style.PhoneLook) -> None:
    """One phoneme's mark."""
    ax.scatter([x], [y], s=_AREA, marker=look.marker, facecolors=look.colour if look.filled else "white",
               edgecolors="white" if look.filled else look.colour, linewidths=0.25 if look.filled else 0.7,
               zorder=3)  # fmt: skip


def figure(data: pd.DataFrame) -> Figure:
    """A panel for each feature, and all marks by manner of articulation beneath.

    Raises:
        LeftOut: as `draw`.
    """
    _check(data)
    features = list(dict.fromkeys(data["feature"]))
    looks = style.phone_looks(data["label"])
    left, between, width = 0.4, 0.28, style.TWO_COLUMNS
    side = min((width - left - 0.08 - between * (len(features) - 1)) / len(features), 2.7)
    width = left + len(features) * (side + between) - between + 0.08
    lines = _legend(looks, 72 * (width - 0.1))
    foot, head = 0.4 + 0.06 + len(lines) * _LEGEND_LINE / 72, 0.26
    with style.applied():
        fig = Figure(figsize=(width, foot + side + head), dpi=style.DPI)
        for i, feature in enumerate(features):
            ax = style.axes_in(fig, left + i * (side + between), foot, side, side)
            draw(ax, data[data["feature"] == feature])
            ax.set_title(f"{style.feature_look(feature).label} against Mel", pad=4)
            if i:
                ax.set_ylabel("")
        key = style.axes_in(fig, 0.05, 0.06, width - 0.1, len(lines) * _LEGEND_LINE / 72)
        key.set(xlim=(0, 72 * (width - 0.1)), ylim=(-len(lines) * _LEGEND_LINE, 0))
        key.axis("off")
        for i, line in enumerate(lines):
            for x, label in line:
                y = -(i + 0.5) * _LEGEND_LINE
                if label in looks:
                    mark(key, x + 3, y, looks[label])
                    key.text(x + 7.5, y, label, fontsize=style.SMALL, va="center_baseline")
                else:
                    key.text(x, y, label[1:], fontsize=style.SMALL, va="center_baseline", fontstyle="italic",
                             color="#333333")  # fmt: skip
    return fig


def caption(data: pd.DataFrame, material: Material) -> str:
    """What was counted, and how."""
    speakers = material.table.tokens["speaker"].nunique()
    one = data[data["feature"] == data["feature"].iloc[0]]
    return (
        "Recall of each phoneme under the nested protocol, a feature against Mel on the same tokens "
        f"({material.table.name}): {int(one['n'].sum()):,} tokens of the {len(one)} phonemes that have {LEAST} or "
        f"more, {speakers} speaker{'s' if speakers > 1 else ''}, k = {int(data['k'].iloc[0])}. Lines: Wilson's "
        "binomial intervals of 95 %, as if tokens were independent. Above the dashes the feature knows the phoneme "
        "better than Mel; both axes are square roots. Named: the phonemes whose two recalls differ most for their "
        "number of tokens."
    )


def _root(values: ArrayLike) -> np.ndarray:
    """The signed square root: fractions near zero, where most phonemes are, get room."""
    return np.sign(values) * np.sqrt(np.abs(values))


def _square(values: ArrayLike) -> np.ndarray:
    """What `_root` undoes."""
    return np.sign(values) * np.square(values)


def _check(data: pd.DataFrame) -> None:
    if missing := [name for name in COLUMNS if name not in data]:
        raise LeftOut(f"recalls lack the columns {', '.join(missing)}")
    if data.empty:
        raise LeftOut("no recalls: no phoneme was asked for")


def _label(ax: Axes, data: pd.DataFrame, looks: dict[str, style.PhoneLook]) -> None:
    """Names of the phonemes whose recalls differ most, in standard errors, pushed off each other and off the marks."""
    fig = ax.get_figure(root=True)
    if fig is None:
        raise ValueError("these axes are in no figure")
    width = (data[["ci_high", "mel_high"]].to_numpy(float) - data[["ci_low", "mel_low"]].to_numpy(float)) / 2
    far = (data["recall"] - data["mel"]).abs() / np.hypot(*width.T)
    named = data.loc[far.sort_values(ascending=False, kind="stable").index[:_LABELLED]]
    texts = [
        ax.annotate(
            row["label"], (100 * row["mel"], 100 * row["recall"]), xytext=(0, 0), textcoords="offset points",
            ha="center", va="center", fontsize=_LABEL, fontweight="bold", zorder=5,
            color=style.blend(looks[row["label"]].colour, "black", 0.45),
            bbox={"boxstyle": "square,pad=0.04", "facecolor": "white", "edgecolor": "none", "alpha": 0.5},
            arrowprops={"arrowstyle": "-", "color": style.GREY, "linewidth": 0.4, "shrinkA": 0, "shrinkB": 1.5},
        )
        for row in named.to_dict("records")
    ]  # fmt: skip
    measure, point = style.renderer(fig), fig.dpi / 72
    boxes = [text.get_window_extent(measure) for text in texts]
    sizes = np.array([[box.width, box.height] for box in boxes]) + 1.4 * point
    marks = ax.transData.transform(100 * data[["mel", "recall"]].to_numpy(float))
    anchors = ax.transData.transform(100 * named[["mel", "recall"]].to_numpy(float))
    frame = ax.get_window_extent(measure)
    bounds = np.array([[frame.x0, frame.y0], [frame.x1, frame.y1]])
    # Each name begins on its point's side of the diagonal, which is where there is room.
    above = np.sign((named["recall"] - named["mel"]).to_numpy(float))[:, None]
    wanted = anchors + 6 * point * above * np.array([[-1.0, 1.0]])
    places = spread(wanted, sizes, bounds, marks=marks, mark_size=np.sqrt(_AREA) * point)
    for text, place, anchor in zip(texts, places, anchors, strict=True):
        text.set_position(tuple((place - anchor) / point))


def _legend(looks: dict[str, style.PhoneLook], width: float) -> list[list[tuple[float, str]]]:
    """Lines of (points from the left, what): `=manner` and then its labels, wrapped so that no manner is parted."""
    groups = list(dict.fromkeys(look.group for look in looks.values()))
    lines: list[list[tuple[float, str]]] = [[]]
    x = 0.0
    for group in groups:
        cells: list[tuple[float, str]] = []
        at = 0.0
        if groups != ["other"]:
            cells.append((at, f"={group}"))
            at += 72 * style.text_width(group, style.SMALL) + 5
        for label in (label for label, look in looks.items() if look.group == group):
            cells.append((at, label))
            at += 72 * style.text_width(label, style.SMALL) + 12
        if lines[-1] and x + at > width:
            lines.append([])
            x = 0.0
        lines[-1] += [(x + place, cell) for place, cell in cells]
        x += at + 8
    return lines
