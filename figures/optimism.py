"""How much the paper's protocol overestimates accuracy, over the number of dimensions of the feature.

The paper's protocol fits LDA to the same points that it then classifies, and the more dimensions it has, the more
labels it memorises. Gaussian noise shows how much: same tokens, same labels, no information. The table's own features
are drawn at their number of dimensions, under both protocols.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from lvm_probe import InputError
from lvm_probe.analysis.protocols import classify
from lvm_probe.figures import layout, style
from lvm_probe.figures.accuracy_over_k import CHANCE, chance_line
from lvm_probe.figures.confusion import K, answers, question
from lvm_probe.figures.inputs import FigureInputs, check_columns
from lvm_probe.probing.questions.rows import select_rows

if TYPE_CHECKING:
    from lvm_probe.analysis.predictions import Protocol

NAME = "optimism"
TITLE = "Overestimation by the paper protocol over the dimension"

DIMS = (8, 16, 32, 64, 96, 128, 192, 256)
"""Dimensions of the noise, as long as there are more tokens than classes and dimensions together."""

DRAWS = 3
"""Draws of noise for each dimension."""

COLUMNS = ("kind", "feature", "protocol", "dims", "accuracy", "low", "high", "chance")
_PROTOCOLS: tuple[Protocol, ...] = ("paper", "nested")
_NOISE: dict[str, tuple[str, Any]] = {"paper": ("black", "solid"), "nested": (style.GREY, (0, (1.2, 1.2)))}
_DODGE = 0.24  # octaves between features of one dimension


def data(inputs: FigureInputs) -> pd.DataFrame:
    """One row per protocol, and dimension of the noise (kind `noise`) or feature of the table (kind `feature`).

    All for one speaker. `low` and `high` are the extremes over the draws of noise, or the 95 % interval over tokens of
    a feature under `nested`. `feature` is `noise` for noise.

    Raises:
        InputError: the table has fewer than two phonemes, or too few tokens for any dimension.
    """
    results = answers(inputs).frame
    speaker = inputs.one_speaker()
    results = results[results["speaker"] == speaker]
    if results.empty:
        raise InputError(f"{inputs.table.path}: speaker {speaker} has no phonemes besides silences")
    k = max((k for k in results["k"].unique() if k <= K), default=int(results["k"].min()))
    results = results[results["k"] == k]
    first = results.iloc[0]
    shared: dict[str, Any] = {name: int(first[name]) for name in ("k", "n", "n_classes", "lda_dims")}
    shared |= {"chance": float(first["chance"]), "speaker": speaker}
    labels = select_rows(inputs.table, replace(question(inputs), speakers=(speaker,))).labels.astype(str)
    codes = np.unique(labels, return_inverse=True)[1]
    rows: list[dict[str, Any]] = []
    for dims in _dims(shared["n"], shared["n_classes"], shared["lda_dims"]):
        inputs.progress(f"noise of {dims} dimensions")
        for protocol in _PROTOCOLS:
            scores = _noise_accuracy(codes, dims, protocol, shared["lda_dims"], int(k), inputs.seed)
            rows.append({"kind": "noise", "feature": "noise", "protocol": protocol, "dims": dims,
                         "accuracy": np.mean(scores), "low": min(scores), "high": max(scores)} | shared)  # fmt: skip
    for row in results.to_dict("records"):
        of = {"kind": "feature", "feature": row["feature"], "dims": int(row["dims"])} | shared
        rows.append(of | {"protocol": "paper", "accuracy": row["paper_accuracy"], "low": np.nan, "high": np.nan})
        rows.append(of | {"protocol": "nested", "accuracy": row["accuracy"], "low": row["ci_low"],
                          "high": row["ci_high"]})  # fmt: skip
    return pd.DataFrame(rows)[[*COLUMNS, "speaker", "k", "n", "n_classes", "lda_dims"]]


def draw(ax: Axes, data: pd.DataFrame) -> None:
    """Draw accuracy over the dimension: noise as two lines, features as pairs of marks connected by a line."""
    _check(data)
    noise, features = data[data["kind"] == "noise"], data[data["kind"] == "feature"]
    with style.theme():
        ax.set_xscale("log", base=2)
        ax.grid(axis="y")
        ax.axhline(100 * float(data["chance"].iloc[0]), **CHANCE, zorder=1.5)
        for protocol, (colour, linestyle) in _NOISE.items():
            one = noise[noise["protocol"] == protocol].sort_values("dims")
            ax.fill_between(one["dims"], 100 * one["low"], 100 * one["high"], color=colour, alpha=0.14, linewidth=0)
            ax.plot(one["dims"], 100 * one["accuracy"], color=colour, linestyle=linestyle, zorder=2)
        pairs = 100 * features.pivot_table(index="feature", columns="protocol", values="accuracy")
        pairs["x"] = pd.Series(_dodged(features), dtype=float)
        for name, paper, nested, x in pairs.reindex(columns=[*_PROTOCOLS, "x"]).itertuples():
            look = style.feature_style(name)
            ax.plot([x, x], [nested, paper], color=look.colour, linewidth=0.8, zorder=3)
            ax.plot([x], [paper], marker=look.marker, color=look.colour, markersize=4.2, markeredgecolor="white",
                    markeredgewidth=0.3, zorder=4)  # fmt: skip
            ax.plot([x], [nested], marker=look.marker, color=look.colour, markersize=3.9, markerfacecolor="white",
                    markeredgewidth=0.9, zorder=4)  # fmt: skip
        least, most = int(data["dims"].min()), int(data["dims"].max())
        powers = [2**i for i in range(1, 15) if least <= 2**i <= most]
        ax.set_xlim(least / 1.12, most * 1.12)
        ax.xaxis.set_major_locator(FixedLocator(powers))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter("{x:g}")
        top = 100 * float(np.nanmax(data[["accuracy", "high", "chance"]].to_numpy(float)))
        ax.set_ylim(0, min(102, 10 * np.ceil((top + 1) / 10)))
        ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
        ax.set(xlabel="dimensions of the feature", ylabel="accuracy (%)")
        _label(ax, pairs, noise[noise["protocol"] == "paper"].sort_values("dims"))


def figure(data: pd.DataFrame) -> Figure:
    """One panel in one column, with its legend."""
    _check(data)
    lines = [
        Line2D([], [], color=_NOISE["paper"][0], linestyle=_NOISE["paper"][1], label="noise, paper protocol (leaks)"),
        Line2D([], [], color=_NOISE["nested"][0], linestyle=_NOISE["nested"][1], label="noise, single tokens held out"),
        chance_line("chance"),
    ]
    if (data["kind"] == "feature").any():
        mark: dict[str, Any] = {"color": style.DARK, "marker": "o", "linestyle": ""}
        lines += [
            Line2D([], [], **mark, markersize=3.8, label="feature, paper protocol"),
            Line2D([], [], **mark, markersize=3.5, markerfacecolor="white", label="feature, single tokens held out"),
        ]
    with style.theme():
        fig, ax = layout.single(height=2.15, head=0.2)
        draw(ax, data)
        ax.set_title(f"speaker {data['speaker'].iloc[0]}, {data['n'].iloc[0]:,} tokens", pad=4)
        ax.legend(handles=lines, loc="upper left", handlelength=2.2, borderaxespad=0.2, labelspacing=0.35)
    return fig


def caption(data: pd.DataFrame, inputs: FigureInputs) -> str:
    """What was counted, and how large the gap is."""
    first = data.iloc[0]
    noise = data[data["kind"] == "noise"]
    last = noise[noise["dims"] == noise["dims"].max()].set_index("protocol")["accuracy"]
    features = data[data["kind"] == "feature"].pivot_table(
        index="feature", columns="protocol", values="accuracy", sort=False
    )
    gaps = ", ".join(
        f"{style.feature_style(str(name)).label} {100 * (row['paper'] - row['nested']):.0f}"
        for name, row in features.iterrows()
    )
    return (
        f"How much the paper protocol overestimates accuracy, for one speaker's phonemes "
        f"({inputs.table.name}): {first['n_classes']} phonemes, {first['lda_dims']} "
        f"discriminants, k = {first['k']}. Lines: Gaussian noise with the same labels, mean of {DRAWS} draws; bands: "
        f"their extremes. With {noise['dims'].max()} dimensions, {100 * last['paper']:.0f} % of noise is classified "
        f"correctly under the paper protocol and {100 * last['nested']:.0f} % under `nested`, which fits LDA again "
        f"without each token. Marks: the table's features under both; difference in points: {gaps}. Chance is the "
        "share of the most frequent phoneme. Features with the "
        "same number of dimensions are drawn next to each other."
    )


def _dims(n: int, classes: int, least: int) -> list[int]:
    """Dimensions for which the scatter of so many points within classes has full rank."""
    dims = [d for d in DIMS if max(least, 2) <= d < n - classes]
    if len(dims) < 2:
        raise InputError(f"{n} tokens of {classes} phonemes are too few to fit LDA in 8 and 16 dimensions of noise")
    return dims


def _noise_accuracy(codes: np.ndarray, dims: int, protocol: Protocol, lda_dims: int, k: int, seed: int) -> list[float]:
    """Accuracy on every draw of noise; both protocols get the same draws."""
    draws = (np.random.default_rng([seed, dims, i]).normal(size=(len(codes), dims)) for i in range(DRAWS))
    try:
        outcomes = [classify(points, codes, protocol=protocol, lda_dims=lda_dims, ks=(k,)) for points in draws]
    except InputError as error:
        raise InputError(f"noise of {dims} dimensions: {error}") from None
    return [float(outcome.accuracy[0]) for outcome in outcomes]


def _check(data: pd.DataFrame) -> None:
    check_columns(data, COLUMNS, "accuracies over the dimension")
    if not (data["kind"] == "noise").any():
        raise InputError("accuracies over the dimension have no rows of noise")


def _dodged(features: pd.DataFrame) -> dict[str, float]:
    """Where each feature is drawn: at its dimension, those of one dimension next to each other."""
    places = {}
    for dims, some in features.groupby("dims"):
        names = style.feature_order(some["feature"])
        for i, name in enumerate(names):
            places[name] = float(str(dims)) * 2 ** (_DODGE * (i - (len(names) - 1) / 2))
    return places


def _label(ax: Axes, pairs: pd.DataFrame, noise: pd.DataFrame) -> None:
    """The name of each feature above its upper mark, off the line of the noise."""
    if pairs.empty:
        return
    low, high = pairs[list(_PROTOCOLS)].min(axis=1), pairs[list(_PROTOCOLS)].max(axis=1)
    looks = [style.feature_style(str(name)) for name in pairs.index]
    stems = np.linspace(low, high, 9)
    line = np.linspace(np.log2(noise["dims"].min()), np.log2(noise["dims"].max()), 80)
    heights = 100 * np.interp(line, np.log2(noise["dims"]), noise["accuracy"])
    marks = np.column_stack([np.append(np.tile(pairs["x"], 9), 2**line), np.append(stems.ravel(), heights)])
    layout.label_points(
        ax, [look.label for look in looks], np.column_stack([pairs["x"], high]), [look.text_colour for look in looks],
        marks=marks, mark_size=5.0, offsets=np.tile([0.0, 7.0], (len(pairs), 1)), bold=False,
    )  # fmt: skip
