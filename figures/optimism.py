"""What the leaky protocol reads where there is nothing to know, over the dimension of the feature.

The paper's protocol fits LDA to the very points that it then judges, and the more dimensions it has, the more of the
labels it remembers. Pure noise shows how much: same tokens, same labels, no knowledge. The table's own features stand
at their dimension, once under each protocol.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from lvm_probe import InputError
from lvm_probe.analysis.predictions import Protocol
from lvm_probe.analysis.protocols import classify
from lvm_probe.figures import style
from lvm_probe.figures.confusion import K, answers, question
from lvm_probe.figures.inputs import LeftOut, Material
from lvm_probe.figures.lda_scatter import spread
from lvm_probe.probing.questions.rows import select_rows

NAME = "optimism"
TITLE = "Optimism of the leaky protocol over the dimension"

DIMS = (8, 16, 32, 64, 96, 128, 192, 256)
"""Dimensions of the noise, as far as the tokens are more than classes and dimensions together."""

DRAWS = 3
"""Sets of noise for each dimension."""

COLUMNS = ("kind", "feature", "protocol", "dims", "accuracy", "low", "high", "chance")
_PROTOCOLS: tuple[Protocol, ...] = ("paper", "nested")
_NOISE: dict[str, tuple[str, Any]] = {"paper": ("black", "solid"), "nested": (style.GREY, (0, (1.2, 1.2)))}
_DODGE = 0.24  # octaves between features of one dimension


def data(material: Material) -> pd.DataFrame:
    """One row per protocol, and dimension of the noise (kind `noise`) or feature of the table (kind `feature`).

    All of one speaker. `low` and `high` are the extremes over the draws of noise, or the 95 % interval over tokens of
    a feature under `nested`. `chance` is the majority line. `feature` is `noise` for noise.

    Raises:
        LeftOut: the table holds no phonemes of two or more kinds, or too few tokens for any dimension.
    """
    results = answers(material).frame
    speaker = material.one_speaker()
    results = results[results["speaker"] == speaker]
    if results.empty:
        raise LeftOut(f"{material.table.path}: speaker {speaker} says nothing but silences")
    k = max((k for k in results["k"].unique() if k <= K), default=int(results["k"].min()))
    mine = results[results["k"] == k]
    first = mine.iloc[0]
    about: dict[str, Any] = {"chance": float(first["chance"]), "speaker": speaker, "k": int(k), "n": int(first["n"]),
             "n_classes": int(first["n_classes"]), "lda_dims": int(first["lda_dims"])}  # fmt: skip
    labels = select_rows(material.table, replace(question(material), speakers=(speaker,))).labels.astype(str)
    codes = np.unique(labels, return_inverse=True)[1]
    rows: list[dict[str, Any]] = []
    for dims in _dims(about["n"], about["n_classes"], about["lda_dims"]):
        material.progress(f"noise of {dims} dimensions")
        for protocol in _PROTOCOLS:
            scores = _noise(codes, dims, protocol, about["lda_dims"], int(k), material.seed)
            rows.append({"kind": "noise", "feature": "noise", "protocol": protocol, "dims": dims,
                         "accuracy": np.mean(scores), "low": min(scores), "high": max(scores)} | about)  # fmt: skip
    for row in mine.to_dict("records"):
        of = {"kind": "feature", "feature": row["feature"], "dims": int(row["dims"])} | about
        rows.append(of | {"protocol": "paper", "accuracy": row["paper_accuracy"], "low": np.nan, "high": np.nan})
        rows.append(of | {"protocol": "nested", "accuracy": row["accuracy"], "low": row["ci_low"],
                          "high": row["ci_high"]})  # fmt: skip
    return pd.DataFrame(rows)[[*COLUMNS, "speaker", "k", "n", "n_classes", "lda_dims"]]


def draw(ax: Axes, data: pd.DataFrame) -> None:
    """Draw accuracy over the dimension: noise as two lines, features as pairs of marks that their gap joins.

    Args:
        ax: where; its limits are set here, so its size must be final.
        data: as `data` makes it.

    Raises:
        LeftOut: columns missing or no noise.
    """
    _check(data)
    noise, features = data[data["kind"] == "noise"], data[data["kind"] == "feature"]
    with style.applied():
        ax.set_xscale("log", base=2)
        ax.grid(axis="y")
        ax.axhline(100 * float(data["chance"].iloc[0]), color=style.GREY, linewidth=0.9, dashes=(4, 2.5), zorder=1.5)
        for protocol, (colour, linestyle) in _NOISE.items():
            one = noise[noise["protocol"] == protocol].sort_values("dims")
            low, high = 100 * one["low"], 100 * one["high"]
            ax.fill_between(one["dims"], low, high, color=colour, alpha=0.14, linewidth=0, zorder=1)
            ax.plot(one["dims"], 100 * one["accuracy"], color=colour, linestyle=linestyle, zorder=2)
        places = _dodged(features)
        for name, x in places.items():
            colour, marker = style.feature_look(name).colour, style.feature_marker(name)
            at = features[features["feature"] == name].set_index("protocol")
            paper, nested = (100 * float(at["accuracy"][protocol]) for protocol in _PROTOCOLS)
            ax.plot([x, x], [nested, paper], color=colour, linewidth=0.8, zorder=3)
            ax.plot([x], [paper], marker=marker, color=colour, markersize=4.2, markeredgecolor="white",
                    markeredgewidth=0.3, zorder=4)  # fmt: skip
            ax.plot([x], [nested], marker=marker, color=colour, markersize=3.9, markerfacecolor="white",
                    markeredgewidth=0.9, zorder=4)  # fmt: skip
        dims = sorted({int(d) for d in data["dims"]})
        ax.set_xlim(dims[0] / 1.12, dims[-1] * 1.12)
        powers = [2**i for i in range(1, 15) if dims[0] <= 2**i <= dims[-1]]
        ax.xaxis.set_major_locator(FixedLocator(powers))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xticklabels([str(power) for power in powers])
        top = 100 * float(np.nanmax(data[["accuracy", "high", "chance"]].to_numpy(float)))
        ax.set_ylim(0, min(102, 10 * np.ceil((top + 1) / 10)))
        ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
        ax.set_xlabel("dimensions of the feature")
        ax.set_ylabel("accuracy (%)")
        _label(ax, features, places)


def figure(data: pd.DataFrame) -> Figure:
    """One panel in one column, with its legend.

    Raises:
        LeftOut: as `draw`.
    """
    _check(data)
    left, foot, height, head = 0.42, 0.36, 2.15, 0.08
    width = style.ONE_COLUMN
    lines = [
        Line2D([], [], color=_NOISE["paper"][0], linestyle=_NOISE["paper"][1], label="noise, paper protocol (leaks)"),
        Line2D([], [], color=_NOISE["nested"][0], linestyle=_NOISE["nested"][1], label="noise, nested"),
        Line2D([], [], color=style.GREY, linewidth=0.9, dashes=(4, 2.5), label="majority"),
    ]
    if (data["kind"] == "feature").any():
        grey = "#333333"
        lines += [
            Line2D([], [], color=grey, marker="o", linestyle="", markersize=3.8, label="feature, paper protocol"),
            Line2D([], [], color=grey, marker="o", linestyle="", markersize=3.5, markerfacecolor="white",
                   label="feature, nested"),
        ]  # fmt: skip
    with style.applied():
        fig = Figure(figsize=(width, foot + height + head), dpi=style.DPI)
        ax = style.axes_in(fig, left, foot, width - left - 0.1, height)
        draw(ax, data)
        ax.legend(handles=lines, loc="upper left", frameon=False, handlelength=2.2, borderaxespad=0.2,
                  labelspacing=0.35)  # fmt: skip
    return fig


def caption(data: pd.DataFrame, material: Material) -> str:
    """What was counted, and how large the gap is."""
    first = data.iloc[0]
    noise = data[data["kind"] == "noise"]
    last = noise[noise["dims"] == noise["dims"].max()].set_index("protocol")["accuracy"]
    features = data[data["kind"] == "feature"].pivot_table(
        index="feature", columns="protocol", values="accuracy", sort=False
    )
    gaps = ", ".join(
        f"{style.feature_look(str(name)).label} {100 * (row['paper'] - row['nested']):.0f}"
        for name, row in features.iterrows()
    )
    return (
        f"Optimism of the paper's protocol, phonemes of speaker {first['speaker']} ({material.table.name}): "
        f"{first['n']:,} tokens, {first['n_classes']} phonemes, {first['lda_dims']} discriminants, k = {first['k']}. "
        f"Lines: Gaussian noise with the same labels, mean of {DRAWS} draws, bands their extremes. At "
        f"{noise['dims'].max()} dimensions noise reads {100 * last['paper']:.0f} % under the paper's protocol and "
        f"{100 * last['nested']:.0f} % under the nested one. Marks: the table's features under both; "
        f"the gap in points: {gaps}. Features of one dimension are set apart sideways."
    )


def _dims(n: int, classes: int, least: int) -> list[int]:
    """Dimensions for which the scatter within classes of so many points has full rank."""
    dims = [d for d in DIMS if max(least, 2) <= d < n - classes]
    if len(dims) < 2:
        raise LeftOut(f"{n} tokens of {classes} phonemes are too few to fit LDA in 8 and 16 dimensions of noise")
    return dims


def _noise(codes: np.ndarray, dims: int, protocol: Protocol, lda_dims: int, k: int, seed: int) -> list[float]:
    """Accuracy on every draw of noise; both protocols see the same ones."""
    scores = []
    for i in range(DRAWS):
        points = np.random.default_rng([seed, dims, i]).normal(size=(len(codes), dims))
        try:
            outcome = classify(points, codes, protocol=protocol, lda_dims=lda_dims, ks=(k,))
        except InputError as error:
            raise LeftOut(f"noise of {dims} dimensions: {error}") from None
        scores.append(float(outcome.accuracy[0]))
    return scores


def _check(data: pd.DataFrame) -> None:
    if missing := [name for name in COLUMNS if name not in data]:
        raise LeftOut(f"accuracies over the dimension lack the columns {', '.join(missing)}")
    if not (data["kind"] == "noise").any():
        raise LeftOut("accuracies over the dimension hold none of noise")


def _dodged(features: pd.DataFrame) -> dict[str, float]:
    """Where each feature stands: at its dimension, those of one dimension side by side."""
    places = {}
    for dims, some in features.groupby("dims"):
        names = style.feature_order(some["feature"])
        for i, name in enumerate(names):
            places[name] = float(str(dims)) * 2 ** (_DODGE * (i - (len(names) - 1) / 2))
    return places


def _label(ax: Axes, features: pd.DataFrame, places: dict[str, float]) -> None:
    """The name of each feature above its upper mark, pushed off the others and off the marks."""
    fig = ax.get_figure(root=True)
    if fig is None:
        raise ValueError("these axes are in no figure")
    if not places:
        return
    by = features.set_index(["feature", "protocol"])["accuracy"]
    upper = {name: 100 * float(by[name].max()) for name in places}
    texts = [
        ax.annotate(
            style.feature_look(name).label, (x, upper[name]), xytext=(0, 0), textcoords="offset points", ha="center",
            va="center", color=style.blend(style.feature_look(name).colour, "black", 0.2), fontsize=style.SMALL,
            zorder=5, annotation_clip=False,
        )
        for name, x in places.items()
    ]  # fmt: skip
    measure, point = style.renderer(fig), fig.dpi / 72
    boxes = [text.get_window_extent(measure) for text in texts]
    sizes = np.array([[box.width, box.height] for box in boxes]) + point
    anchors = ax.transData.transform([(x, upper[name]) for name, x in places.items()])
    stems = [(places[name], y) for name in places for y in 100 * np.linspace(by[name].min(), by[name].max(), 9)]
    marks = ax.transData.transform(stems)
    frame = ax.get_window_extent(measure)
    bounds = np.array([[frame.x0, frame.y0], [frame.x1, frame.y1]])
    centres = spread(anchors + np.array([0.0, 7 * point]), sizes, bounds, marks=marks, mark_size=5 * point)
    for text, centre, anchor in zip(texts, centres, anchors, strict=True):
        text.set_position(tuple((centre - anchor) / point))
