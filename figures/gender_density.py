"""Densities of women and men along one linear discriminant, and how far they overlap: the paper's figure 5.

The paper fits the discriminant to the utterances that it shows. Here each speaker is shown on the discriminant of the
other speakers, unless the paper's way is asked for.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Float
from lvm_probe.figures import style
from lvm_probe.figures.inputs import LeftOut, Material
from lvm_probe.figures.lda_scatter import project, project_held_out
from lvm_probe.probing.features.feature import default_features
from lvm_probe.probing.questions.question import Question
from lvm_probe.probing.questions.rows import select_rows

NAME = "gender-density"
TITLE = "Gender along one linear discriminant (figure 5)"

COLUMNS = ("feature", "x", "label", "held_out", "speaker", "overlap", "overlap_low", "overlap_high", "null_overlap")
"""What is drawn of a row; the last four are those of the feature, on each of its rows."""

RESAMPLES = 1000

_PER_ROW = 3
_SEEN = 0.004  # of the highest density: lower ones lie on the axis
_GRID = 400  # places where a density is computed
_BEYOND = 3.0  # bandwidths beyond the outermost point: less than 1.4 thousandths of its kernel lie farther


def data(material: Material) -> pd.DataFrame:
    """Where each utterance lies: feature, x, label (gender), held_out, utterance, speaker, and the feature's overlap.

    x is in standard deviations within genders; men are meant to lie to the right.

    Raises LeftOut unless there are two genders with two speakers each.
    """
    question = Question(
        target="gender", protocol="speaker", rows="utterance", permutations=material.permutations, seed=material.seed
    )
    try:
        found = select_rows(material.table, question)
    except InputError as error:
        raise LeftOut(str(error)) from None
    tokens = found.table.tokens
    labels, speakers = found.labels.astype(str), tokens["speaker"].to_numpy(dtype=str)
    names, own = np.unique(speakers, return_inverse=True)
    genders = pd.Series(labels).groupby(speakers).first().loc[names].to_numpy(dtype=str)
    kinds, counts = np.unique(genders, return_counts=True)
    if len(kinds) != 2 or counts.min() < 2:
        has = style.listed(f"{count} {kind}" for kind, count in zip(kinds, counts, strict=True))
        raise LeftOut(
            f"{material.table.path}: gender of {has} speakers; densities need two genders of two speakers each"
        )
    held_out = material.fit != "paper"
    permutations = question.default_permutations if question.permutations is None else question.permutations
    parts = []
    for feature in map(str, default_features(material.table)):
        material.progress(f"gender density, {feature}")
        rng = np.random.default_rng([material.seed, *feature.encode()])
        points = found.table.matrix(feature)
        place = partial(_place, points, speakers=speakers, held_out=held_out)
        try:
            x = place(labels)
            null = [
                overlap(*_by_kind(place(some), some)[0])
                for some in (rng.permutation(genders)[own] for _ in range(permutations))
            ]
        except InputError as error:
            raise LeftOut(f"feature {feature}: {error}") from None
        (women, men), (of_women, of_men) = _by_kind(x, labels, speakers)
        low, high = overlap_interval(women, men, of_women, of_men, rng=rng)
        parts.append(
            pd.DataFrame(
                {
                    "feature": feature,
                    "x": x,
                    "label": labels,
                    "held_out": held_out,
                    "utterance": tokens["utterance"],
                    "speaker": speakers,
                    "overlap": overlap(women, men),
                    "overlap_low": low,
                    "overlap_high": high,
                    "null_overlap": np.mean(null) if null else np.nan,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def overlap(one: Float[np.ndarray, " a"], other: Float[np.ndarray, " b"]) -> float:
    """The area, from 0 to 1, that two densities share: the integral of the smaller of both (Weitzman 1970).

    The densities are estimated by Gaussian kernels, see `bandwidth`.
    """
    grid, kernels = _kernels(one, other)
    return float(np.minimum(*(kernel.mean(axis=1) for kernel in kernels)).sum() * (grid[1] - grid[0]))


def overlap_interval(
    one: Float[np.ndarray, " a"],
    other: Float[np.ndarray, " b"],
    groups_of_one: np.ndarray,
    groups_of_other: np.ndarray,
    *,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> tuple[float, float]:
    """95 % percentile interval of the overlap over speakers, each side resampled by itself; bandwidths stay.

    A resampled density is lumpier than the sample's, which lowers the overlap. In simulations of seven speakers a side
    the interval covered the truth in 84 to 90 of 100 cases, but it cannot reach 1, so two equal densities are never
    covered: the overlap under permuted labels says what those give.

    Args:
        one: points of the one side.
        other: points of the other.
        groups_of_one: the speaker of each.
        groups_of_other: likewise.
        rng: source of the resamples.
        resamples: how many.
    """
    grid, kernels = _kernels(one, other)
    densities = []
    for kernel, groups in zip(kernels, (groups_of_one, groups_of_other), strict=True):
        names, place = np.unique(groups, return_inverse=True)
        sums = np.stack([kernel[:, place == i].sum(axis=1) for i in range(len(names))], axis=1)
        drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
        densities.append(sums @ drawn.T / (drawn @ np.bincount(place)))
    shared = np.minimum(*densities).sum(axis=0) * (grid[1] - grid[0])
    low, high = np.percentile(shared, [2.5, 97.5])
    return float(low), float(high)


def bandwidth(values: Float[np.ndarray, " n"]) -> float:
    """Silverman's rule of thumb (1986, equation 3.31): 0.9 min(sd, interquartile range / 1.34) n^(-1/5)."""
    deviation = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    quartiles = float(np.subtract(*np.percentile(values, [75, 25]))) / 1.34
    spread = min(deviation, quartiles) if quartiles > 0 else deviation
    return (0.9 * spread if spread > 0 else 1.0) * len(values) ** -0.2


def draw(ax: Axes, data: pd.DataFrame) -> None:
    """Draw the densities of one feature, the speakers' means below them, and the overlap as a number.

    Args:
        ax: where; its limits are set here.
        data: `COLUMNS`, of one feature.

    Raises:
        InputError: columns missing, rows of several features, or other than two genders.
    """
    _check(data)
    if len(data["feature"].unique()) > 1:
        raise InputError("densities of several features in one panel; give those of one")
    ((one, other),) = _by_kind(data["x"].to_numpy(float), data["label"].to_numpy(str))
    kinds = sorted(data["label"].astype(str).unique())
    grid, kernels = _kernels(one, other)
    curves = [kernel.mean(axis=1) for kernel in kernels]
    top = max(curve.max() for curve in curves)
    with style.applied():
        ax.axhline(0, color="black", linewidth=0.6)
        for i, (kind, curve) in enumerate(zip(kinds, curves, strict=True)):
            look = style.gender_look(kind)
            ax.fill_between(grid, curve, color=look.colour, alpha=0.22, linewidth=0)
            seen = np.where(curve > _SEEN * top, curve, np.nan)
            ax.plot(grid, seen, color=look.colour, linestyle=look.linestyle)
            means = data[data["label"] == kind].groupby("speaker")["x"].mean()
            ax.plot(means, np.full(len(means), -top * (0.07 + 0.09 * i)), linestyle="none", marker=look.marker,
                    markersize=2.8, markerfacecolor=look.colour, markeredgewidth=0.2, markeredgecolor="white",
                    alpha=0.9, zorder=3)  # fmt: skip
        row = data.iloc[0]
        said = f"overlap {row['overlap']:.2f}\n[{row['overlap_low']:.2f}, {row['overlap_high']:.2f}]"
        if np.isfinite(row["null_overlap"]):
            said += f"\npermuted {row['null_overlap']:.2f}"
        ax.text(0.02, 0.99, said, transform=ax.transAxes, va="top", fontsize=style.SMALL, linespacing=1.2)
        ax.set(xlim=(grid[0], grid[-1]), ylim=(-0.22 * top, 1.42 * top), xlabel="LDA 1", ylabel="density")
        ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
        ax.set_yticks(
            [tick for tick in MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(0, top) if 0 <= tick <= 1.2 * top]
        )


def figure(data: pd.DataFrame) -> Figure:
    """A panel for each feature, all with the same axes."""
    _check(data)
    features = style.feature_order(data["feature"])
    first = data[data["feature"] == features[0]]
    held_out = bool(data["held_out"].all())
    axis = "axis fitted on other speakers" if held_out else "axis fitted on these utterances"
    text = (
        "Marks below: means of speakers. [ ]: 95 % interval over speakers. Permuted: overlap with speakers' genders "
        "permuted."
    )
    if not held_out:
        text += " The paper's way: the axis flatters the utterances that it was fitted on."
    wide = style.TWO_COLUMNS - 0.1
    with style.applied():
        text = style.wrapped(text, wide, style.SMALL)
        key = 0.17
        fig, places = style.grid(len(features), per_row=_PER_ROW, tall=1.5, foot=style.foot_height(text) + key)
        for i, (ax, feature) in enumerate(zip(places, features, strict=True)):
            draw(ax, data[data["feature"] == feature])
            ax.set_title(f"{style.feature_look(feature).label}: {axis}", pad=4)
            if i % _PER_ROW:
                ax.set_ylabel("")
        lows, highs = zip(*(ax.get_xlim() for ax in places), strict=True)
        for ax in places:
            ax.set_xlim(min(lows), max(highs))
        for kind in sorted(first["label"].unique()):
            look, own = style.gender_look(kind), first[first["label"] == kind]
            label = f"{look.label}: {own['speaker'].nunique()} speakers, {len(own):,} utterances"
            places[0].plot([], [], color=look.colour, linestyle=look.linestyle, marker=look.marker, markersize=2.8,
                           label=label)  # fmt: skip
        key_at = (0.0, style.foot_height(text) / fig.get_figheight())
        fig.legend(*places[0].get_legend_handles_labels(), loc="lower left", bbox_to_anchor=key_at, ncols=2,
                   frameon=False, borderpad=0.2, borderaxespad=0.15, handlelength=3.0)  # fmt: skip
        style.foot(fig, text)
    return fig


def caption(data: pd.DataFrame, material: Material) -> str:
    """What is shown, of whom, and what the numbers are."""
    first = data[data["feature"] == data["feature"].iloc[0]]
    counts = first.groupby("label")["speaker"].nunique()
    who = style.listed(f"{count} {style.gender_look(str(kind)).label}" for kind, count in counts.items())
    how = (
        "each speaker on the discriminant fitted to the others"
        if data["held_out"].all()
        else "on the discriminant fitted to these very utterances, as in the paper, which separates noise too where "
        "there are many dimensions"
    )
    return (
        f"{len(first):,} utterances of {who}, {how}, in standard deviations within "
        "genders. Densities by Gaussian kernels, each of area 1; overlap: the area that both share, from 0 (apart) to "
        "1 (alike), with its 95 % bootstrap interval over speakers. Kernel densities of few speakers never overlap "
        "fully; permuted: what they do where the genders of whole speakers are permuted, and the discriminant is "
        "fitted to those."
    )


def _check(data: pd.DataFrame) -> None:
    if missing := [name for name in COLUMNS if name not in data]:
        raise InputError(f"points lack the columns {', '.join(missing)}; give what data returns")
    if data["label"].nunique() != 2:
        raise InputError(f"points of {data['label'].nunique()} genders; give two")


def _place(
    points: np.ndarray, labels: np.ndarray, *, speakers: np.ndarray, held_out: bool
) -> Float[np.ndarray, " rows"]:
    """All points on one discriminant, of the other speakers or of all."""
    if held_out:
        return project_held_out(points, labels.tolist(), speakers.tolist(), dims=1)[:, 0]
    return project(points, labels.tolist(), np.ones(len(points), dtype=bool), dims=1)[:, 0]


def _by_kind(values: np.ndarray, labels: np.ndarray, *more: np.ndarray) -> list[list[np.ndarray]]:
    """These arrays, each split by the two labels in their order."""
    kinds = np.unique(labels)
    return [[array[labels == kind] for kind in kinds] for array in (values, *more)]


def _kernels(
    one: np.ndarray, other: np.ndarray
) -> tuple[Float[np.ndarray, " grid"], list[Float[np.ndarray, "grid points"]]]:
    """Places that cover both sides, and there every point's kernel."""
    widths = [bandwidth(one), bandwidth(other)]
    low = min(values.min() - _BEYOND * h for values, h in zip((one, other), widths, strict=True))
    high = max(values.max() + _BEYOND * h for values, h in zip((one, other), widths, strict=True))
    grid = np.linspace(low, high, _GRID)
    kernels = [
        np.exp(-(((grid[:, None] - values) / h) ** 2) / 2) / (h * np.sqrt(2 * np.pi))
        for values, h in zip((one, other), widths, strict=True)
    ]
    return grid, kernels
