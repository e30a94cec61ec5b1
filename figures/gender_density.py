"""Densities of women and men along one linear discriminant, and how far they overlap (Havtorn et al. 2022, figure 5).

The paper fits the discriminant to the utterances that it shows. Here each speaker is shown on the discriminant of the
other speakers, unless the paper's way is asked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from scipy.stats import gaussian_kde

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Float
from lvm_probe.figures import layout, style
from lvm_probe.figures.inputs import FigureInputs, check_columns
from lvm_probe.figures.lda_scatter import project, project_held_out
from lvm_probe.figures.wording import joined
from lvm_probe.probing.questions.rows import select_rows

NAME = "gender-density"
TITLE = "Gender along one linear discriminant (as figure 5 of Havtorn et al. 2022)"

COLUMNS = ("feature", "x", "label", "held_out", "speaker", "overlap", "null_overlap")
"""The columns that are drawn; the last four belong to the feature and are the same in each of its rows."""


_PAPERS_WAY = "The paper's way: the axis separates the utterances that it was fitted on too well."
_MEANS = "means of speakers"
_TALL = 0.62  # inches, of a feature's densities
_PLACES = (1.12, 1.38)  # of the two numbers, in widths of the axes
_GRID = 400  # points at which a density is computed
_CUT = 3.0  # bandwidths beyond the outermost point: less than 1.4 thousandths of its kernel lie farther


def data(inputs: FigureInputs) -> pd.DataFrame:
    """Where each utterance lies: feature, x, label (gender), held_out, utterance, speaker, and the feature's overlap.

    x is in standard deviations within genders; the axis points from women to men.

    Raises:
        InputError: fewer than two genders with two speakers each.
    """
    question = inputs.question("gender", protocol="speaker", rows="utterance")
    rows = select_rows(inputs.table, question)
    tokens = rows.table.tokens
    labels, speakers = rows.labels.astype(str), tokens["speaker"].to_numpy(dtype=str)
    names, place = np.unique(speakers, return_inverse=True)
    genders = pd.Series(labels).groupby(speakers).first().loc[names].to_numpy(dtype=str)
    kinds, counts = np.unique(genders, return_counts=True)
    if len(kinds) != 2 or counts.min() < 2:
        has = joined(f"{count} {kind}" for kind, count in zip(kinds, counts, strict=True))
        raise InputError(
            f"{inputs.table.path}: gender of {has} speakers; densities need two genders of two speakers each"
        )
    held_out = inputs.fit != "paper"
    permutations = question.default_permutations if inputs.permutations is None else inputs.permutations
    parts = []
    for feature in inputs.features:
        inputs.progress(f"gender density, {feature}")
        rng = np.random.default_rng([inputs.seed, *feature.encode()])
        points = rows.table.matrix(feature)
        try:
            x = _project(points, labels, speakers, held_out)
            nulls = []
            for _ in range(permutations):
                permuted = rng.permutation(genders)[place]
                nulls.append(overlap(*_by_gender(permuted, _project(points, permuted, speakers, held_out))[0]))
        except InputError as error:
            raise InputError(f"feature {feature}: {error}") from None
        women, men = _by_gender(labels, x)[0]
        part = pd.DataFrame({"feature": feature, "x": x, "label": labels, "held_out": held_out})
        parts.append(part.assign(
            utterance=tokens["utterance"], speaker=speakers, overlap=overlap(women, men),
            null_overlap=np.mean(nulls) if nulls else np.nan,
        ))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def overlap(one: Float[np.ndarray, " a"], other: Float[np.ndarray, " b"]) -> float:
    """The area, from 0 to 1, that two densities share: the integral of the smaller of both (Weitzman 1970).

    The densities are estimated by Gaussian kernels, see `bandwidth`. There is no interval: kernel densities of a few
    speakers never overlap fully, so resampled ones do not cover the truth. Compare with permuted labels.
    """
    sides = [(values, bandwidth(values)) for values in (one, other)]
    low = min(values.min() - _CUT * width for values, width in sides)
    high = max(values.max() + _CUT * width for values, width in sides)
    grid = np.linspace(low, high, _GRID)
    densities = [
        np.exp(-(((grid[:, None] - values) / width) ** 2) / 2).mean(axis=1) / (width * np.sqrt(2 * np.pi))
        for values, width in sides
    ]
    return float(np.minimum(*densities).sum() * (grid[1] - grid[0]))


def bandwidth(values: Float[np.ndarray, " n"]) -> float:
    """Silverman's rule of thumb (1986, equation 3.31): 0.9 min(sd, interquartile range / 1.34) n^(-1/5)."""
    deviation = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    quartiles = float(np.subtract(*np.percentile(values, [75, 25]))) / 1.34
    spread = min(deviation, quartiles) if quartiles > 0 else deviation
    return (0.9 * spread if spread > 0 else 1.0) * len(values) ** -0.2


def draw(ax: Axes, data: pd.DataFrame) -> None:
    """Draw the densities of one feature, and the speakers' means below them.

    Raises:
        InputError: columns missing, rows of several features, or not two genders.
    """
    _check(data)
    if len(set(data["feature"])) > 1:
        raise InputError("densities of several features in one panel; give those of one")
    with style.theme():
        for gender, some in data.groupby("label"):
            look = style.gender_style(str(gender))
            density = {"x": some["x"], "ax": ax, "bw_method": _bandwidth_factor, "cut": _CUT, "gridsize": _GRID,
                       "color": look.colour}  # fmt: skip
            sns.kdeplot(**density, fill=True, alpha=0.22, linewidth=0)
            sns.kdeplot(**density, linestyle=look.linestyle)
        ax.axhline(0, color="black", linewidth=0.6)
        ax.set(xlabel="LDA 1", ylabel="density")
        _mark_speakers(ax, data, ax.dataLim.y1)
        ax.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10], integer=True))


def _mark_speakers(ax: Axes, data: pd.DataFrame, top: float) -> None:
    """Mark the means of speakers below the densities, and set the axis of densities from there to `top`."""
    for marks in [marks for marks in ax.collections if marks.get_label() == _MEANS]:
        marks.remove()
    for i, (gender, some) in enumerate(data.groupby("label")):
        look, means = style.gender_style(str(gender)), some.groupby("speaker")["x"].mean()
        ax.scatter(means, np.full(len(means), -top * (0.1 + 0.14 * i)), s=8, marker=look.marker, label=_MEANS,
                   facecolors=look.colour, edgecolors="white", linewidths=0.2, zorder=3)  # fmt: skip
    ax.set_ylim(-0.34 * top, 1.08 * top)
    ticks = MaxNLocator(3, steps=[1, 2, 5, 10]).tick_values(0, top)
    ax.set_yticks([tick for tick in ticks if 0 <= tick <= 1.05 * top])


def figure(data: pd.DataFrame) -> Figure:
    """The features below each other on the same axes, each with its overlap at the right."""
    _check(data)
    features = style.feature_order(data["feature"])
    first = data[data["feature"] == features[0]]
    text = "" if data["held_out"].all() else _PAPERS_WAY
    left, width, between, below, head = 1.05, 3.7, 0.1, 0.5, 0.22
    with style.theme():
        text, foot = layout.note(text, style.TWO_COLUMNS) if text else ("", 0.05)
        size = (style.TWO_COLUMNS, foot + below + len(features) * (_TALL + between) - between + head)
        fig = Figure(figsize=size, dpi=style.DPI)
        places = [
            layout.axes_in(fig, left, foot + below + i * (_TALL + between), width, _TALL)
            for i in reversed(range(len(features)))
        ]
        for ax, feature in zip(places, features, strict=True):
            some = data[data["feature"] == feature]
            draw(ax, some)
            ax.set(xlabel="", ylabel="")
            ax.tick_params(labelbottom=False)
            ax.text(-0.09, 0.55, style.feature_style(feature).label, transform=ax.transAxes, ha="right", va="center")
            for place, number in zip(_PLACES, _numbers(some.iloc[0]), strict=True):
                ax.text(place, 0.55, number, transform=ax.transAxes, ha="center", va="center")
        lows, highs = zip(*(ax.get_xlim() for ax in places), strict=True)
        top = max(ax.dataLim.y1 for ax in places)
        for ax, feature in zip(places, features, strict=True):
            ax.set_xlim(min(lows), max(highs))
            _mark_speakers(ax, data[data["feature"] == feature], top)
        places[0].set_title("density", pad=4)
        for place, name in zip(_PLACES, ("overlap", "permuted labels"), strict=True):
            places[0].annotate(name, (place, 1), (0, 4), xycoords="axes fraction", textcoords="offset points",
                               ha="center", va="bottom", annotation_clip=False)  # fmt: skip
        places[-1].tick_params(labelbottom=True)
        fitted = "other speakers" if data["held_out"].all() else "these utterances"
        places[-1].set_xlabel(f"LDA 1 (axis fitted on {fitted})")
        keys: list[Line2D] = []
        for gender, own in first.groupby("label"):
            look = style.gender_style(str(gender))
            label = f"{look.label}: {own['speaker'].nunique()} speakers, {len(own):,} utterances"
            line: dict[str, Any] = {"color": look.colour, "linestyle": look.linestyle, "marker": look.marker}
            keys.append(Line2D([], [], **line, markersize=2.8, label=label))
        fig.legend(handles=keys, loc="lower left", ncols=2, borderpad=0.2, handlelength=3.0, borderaxespad=0.2,
                   bbox_to_anchor=(left / style.TWO_COLUMNS, foot / fig.get_figheight()))  # fmt: skip
        if text:
            layout.write_note(fig, text)
    return fig


def _numbers(row: pd.Series) -> tuple[str, str]:
    """The overlap, and its null where it is known."""
    return f"{row['overlap']:.2f}", f"{row['null_overlap']:.2f}" if np.isfinite(row["null_overlap"]) else "-"


def caption(data: pd.DataFrame, inputs: FigureInputs) -> str:
    """What is shown, of whom, and what the numbers are."""
    first = data[data["feature"] == data["feature"].iloc[0]]
    counts = first.groupby("label")["speaker"].nunique()
    who = joined(f"{count} {style.gender_style(str(kind)).label}" for kind, count in counts.items())
    how = (
        "each speaker on the discriminant fitted to the others"
        if data["held_out"].all()
        else "on the discriminant fitted to these very utterances, as in the paper, which separates even noise in many "
        "dimensions"
    )
    return (
        f"Utterances of {who}, {how}, in standard deviations within genders. Densities are "
        "estimated with Gaussian kernels, each of area 1; overlap: the area that both share, from 0 (separate) to 1 "
        "(identical), which kernel densities of few speakers never reach; permuted labels: their overlap when the "
        "genders of whole speakers are permuted and the discriminant is fitted to those. Marks below the densities are "
        "means of speakers."
    )


def _check(data: pd.DataFrame) -> None:
    check_columns(data, COLUMNS, "points")
    if data["label"].nunique() != 2:
        raise InputError(f"points of {data['label'].nunique()} genders; give two")


def _bandwidth_factor(kde: gaussian_kde) -> float:
    """`bandwidth` in the unit of SciPy's estimator, which is the standard deviation."""
    values = kde.dataset[0]
    return bandwidth(values) / float(values.std(ddof=1))


def _project(
    points: np.ndarray, labels: np.ndarray, speakers: np.ndarray, held_out: bool
) -> Float[np.ndarray, " rows"]:
    """All points on one discriminant, fitted to the other speakers or to all points."""
    if held_out:
        return project_held_out(points, labels.tolist(), speakers.tolist(), dims=1)[:, 0]
    return project(points, labels.tolist(), np.ones(len(points), dtype=bool), dims=1)[:, 0]


def _by_gender(labels: np.ndarray, *arrays: np.ndarray) -> list[list[np.ndarray]]:
    """These arrays, each split by the two labels in alphabetical order."""
    return [[array[labels == kind] for kind in np.unique(labels)] for array in arrays]
