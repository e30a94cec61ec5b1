"""Tokens in the plane of two linear discriminants (Havtorn et al. 2022, figures 3 and 6).

The paper shows the tokens that its axes were fitted to. In many dimensions those fall into clusters even when the
features are noise, so here the axes are fitted to half of the utterances and the other half is shown.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lvm_probe import InputError
from lvm_probe.analysis.lda import checked_dims, discriminants
from lvm_probe.analysis.moments import moments, moments_without, standardised
from lvm_probe.analysis.shape_annotations import Bool, Float, Int
from lvm_probe.analysis.shrinkage import Shrinkage, checked_shrinkage, intensity
from lvm_probe.figures import class_legend, layout, style
from lvm_probe.figures.inputs import check_columns

COLUMNS = ("x", "y", "label", "held_out")

Styles = Mapping[str, style.ClassStyle]

MIN_NAMED = 3
"""Fewest tokens shown of a phoneme whose name is written at their mean."""

_AREA = 5.0  # points squared
_NAME = 5.5  # points, size of the names of classes
_PER_ROW = 3  # panels next to each other
_OUTLINED = 0.68  # of a group's density
_MIN_OUTLINED = 8  # tokens; the density of fewer means little
_REACH = 0.15  # how far the axes reach beyond the first and last per cent of tokens, as a share of what lies between


def half_of_utterances(utterances: Sequence[str], *, seed: int = 0) -> Bool[np.ndarray, " tokens"]:
    """Which tokens belong to a random half of the utterances (the larger half of an odd number).

    Args:
        utterances: utterance of every token.
        seed: of the choice.

    Raises:
        InputError: fewer than two utterances.
    """
    names = np.unique(np.asarray(utterances, dtype=str))
    if len(names) < 2:
        raise InputError("tokens of one utterance leave none to hold out; give two utterances, or fit on all")
    chosen = np.random.default_rng(seed).permutation(names)[: (len(names) + 1) // 2]
    return np.isin(np.asarray(utterances, dtype=str), chosen)


def project(
    points: Float[np.ndarray, "tokens dims"],
    labels: Sequence[str],
    fit_rows: Bool[np.ndarray, " tokens"] | Int[np.ndarray, " rows"],
    *,
    dims: int = 2,
    shrinkage: Shrinkage = "ledoit-wolf",
) -> Float[np.ndarray, "tokens axes"]:
    """Project all points on the leading discriminants of some of them, about the mean of those.

    The unit is the standard deviation within classes. The sign of a discriminant carries no meaning, so both axes point
    to the farther class mean, and a single axis to the last class.

    Args:
        points: features, any unit.
        labels: class of every token.
        fit_rows: the tokens that the axes are fitted to, as a mask (see `half_of_utterances`) or as indices.
        dims: number of discriminants.
        shrinkage: of the covariance within classes.

    Raises:
        InputError: values that are not finite, no more classes than `dims` or no class of two tokens among those
            fitted, or a singular covariance.
    """
    _check_points(points, labels)
    fitted = np.zeros(len(points), dtype=bool)
    fitted[fit_rows] = True
    # Only classes among the fitted tokens take part in the fit.
    classes, codes = np.unique(np.asarray(labels, dtype=str)[fitted], return_inverse=True)
    space = standardised(np.asarray(points, dtype=float))
    checked_dims(dims, len(classes), space.shape[1])
    fold = moments(space[fitted], codes, len(classes))
    axes = discriminants(fold, intensity(fold, checked_shrinkage(shrinkage)), dims)
    means = (fold.means - fold.mean) @ axes
    ends = means[-1] if dims == 1 else means[np.abs(means).argmax(axis=0), np.arange(dims)]
    return (space - fold.mean) @ (axes * np.where(ends < 0, -1.0, 1.0))


def project_held_out(
    points: Float[np.ndarray, "tokens dims"],
    labels: Sequence[str],
    groups: Sequence[str],
    *,
    dims: int = 2,
    shrinkage: Shrinkage = "ledoit-wolf",
) -> Float[np.ndarray, "tokens axes"]:
    """Project every group's points on the discriminants of all other groups, all folds in one orientation.

    Each fold has its own axes, in units of its standard deviation within classes. They are rotated or mirrored such
    that the class means of the points they were fitted to lie as close as possible to those of `project` on all points
    (orthogonal Procrustes, Schönemann 1966; for a single axis only its sign). The rotation depends on the fold and on a
    target that is the same for all folds, so no label helps to place its own point. Points are relative to the mean of
    all points, which uses no labels: relative to the mean of its fold, a point would appear farther from other classes.

    Args:
        points: features, any unit.
        labels: class of every token.
        groups: what is held out together: the speaker of every token.
        dims: number of discriminants.
        shrinkage: of the covariance within classes.

    Raises:
        InputError: a class of one group, which has no mean without it; or as `project`.
    """
    target_points = project(points, labels, np.ones(len(points), dtype=bool), dims=dims, shrinkage=shrinkage)
    classes, codes = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    _, places = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    for code, name in enumerate(classes):
        if (count := len(np.unique(places[codes == code]))) < 2:
            raise InputError(
                f"class {name} has {count} speaker, and holding that one out leaves none; give two or more"
            )
    target = np.array([target_points[codes == code].mean(axis=0) for code in range(len(classes))])
    space = standardised(np.asarray(points, dtype=float))  # so that the mean of all points is 0
    folds = [np.flatnonzero(places == place) for place in range(places.max() + 1)]
    at = np.empty_like(target_points)
    for some, fold in moments_without(space, codes, len(classes), folds):
        axes = discriminants(fold, intensity(fold, checked_shrinkage(shrinkage)), dims)
        left, _, right = np.linalg.svd((fold.means @ axes).mT @ target)
        for rows, turned in zip(some, axes @ left @ right, strict=True):
            at[rows] = space[rows] @ turned
    return at


def _check_points(points: np.ndarray, labels: Sequence[str]) -> None:
    if len(points) != len(labels):
        raise InputError(f"{len(points)} points, but {len(labels)} labels; give one label a point")
    if not np.isfinite(points).all():
        raise InputError("points hold NaN or infinity; extract the features again")


def prepare(
    points: Float[np.ndarray, "tokens dims"],
    labels: Sequence[str],
    utterances: Sequence[str],
    *,
    fit: Literal["held-out", "paper"] = "held-out",
    shrinkage: Shrinkage = "ledoit-wolf",
    seed: int = 0,
) -> pd.DataFrame:
    """The table that `draw` needs: x, y, label, held_out, one row per token.

    Args:
        points: features, any unit.
        labels: class of every token.
        utterances: utterance of every token.
        fit: fit the axes to half of the utterances, or to all tokens as the paper does.
        shrinkage: of the covariance within classes.
        seed: of the choice of utterances.

    Raises:
        InputError: as `project` and `half_of_utterances`.
    """
    fitted = half_of_utterances(utterances, seed=seed) if fit == "held-out" else np.ones(len(points), dtype=bool)
    at = project(points, labels, fitted, shrinkage=shrinkage)
    return pd.DataFrame({"x": at[:, 0], "y": at[:, 1], "label": list(labels), "held_out": ~fitted})


def draw(ax: Axes, data: pd.DataFrame, *, styles: Styles | None = None, area: float = _AREA) -> None:
    """Draw tokens in the colour of their group, each group's densest part, and the names of classes at their means.

    Phonemes are grouped by manner of articulation; classes that have none are groups themselves, and the legend names
    them. Held-out tokens are drawn; all, where none is held out (the paper's way). The outline holds 68 % of a group's
    estimated density. The axes end near the first and last per cent, and a text counts the tokens beyond.

    Args:
        ax: where; its limits are set here, so its size must be final.
        data: columns x, y, label and held_out.
        styles: of the labels; None: as phonemes.
        area: of a mark, in points squared.

    Raises:
        InputError: columns missing, no rows, or values that are not finite.
    """
    shown = in_full_colour(_checked(data))
    styles = styles or style.phone_styles(shown["label"])
    groups, looks = style.grouped(styles)
    bounds = {axis: _reach(shown[axis].to_numpy(float)) for axis in "xy"}
    near = shown[np.logical_and.reduce([shown[axis].between(*bounds[axis]) for axis in "xy"])]
    with style.theme():
        for group, look in looks.items():
            for corners in _outline(ax, near[near["label"].map(groups) == group], look.colour):
                for i, axis in enumerate("xy"):
                    low, high = bounds[axis]
                    bounds[axis] = min(low, corners[:, i].min()), max(high, corners[:, i].max())
            some = shown[shown["label"].map(groups) == group]
            style.draw_marks(ax, some["x"], some["y"], look, area=area, alpha=0.75, zorder=2)
        for axis, (low, high) in bounds.items():
            room = 0.06 * max(high - low, 1e-6)
            ax.set(**{f"{axis}lim": (low - room, high + room)})
        for scale in (ax.xaxis, ax.yaxis):
            scale.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
        ax.set(xlabel="LDA 1", ylabel="LDA 2")
        _count_beyond(ax, shown)
        if set(groups.values()) != set(styles):
            _name_classes(ax, shown, {label: looks[group].text_colour for label, group in groups.items()})


def _reach(values: Float[np.ndarray, " tokens"]) -> tuple[float, float]:
    """What the first and the last per cent of the values, and a little more, end at."""
    low, high = np.percentile(values, [1, 99])
    more = _REACH * (high - low)
    return max(low - more, values.min()), min(high + more, values.max())


def _outline(ax: Axes, some: pd.DataFrame, colour: str) -> list[np.ndarray]:
    """Draw the region that holds 68 % of a group's estimated density, if it has enough tokens; its corners (n, 2)."""
    if len(some) < _MIN_OUTLINED or np.linalg.matrix_rank(np.cov(some["x"], some["y"])) < 2:
        return []
    import seaborn as sns  # the explorer's map, which draws no density, need not wait for it

    shared = {"data": some, "x": "x", "y": "y", "ax": ax, "color": colour, "gridsize": 100}
    sns.kdeplot(**shared, levels=[1 - _OUTLINED, 1], fill=True, alpha=0.13, zorder=0.5)
    sns.kdeplot(**shared, levels=[1 - _OUTLINED], linewidths=0.8, zorder=1)
    paths = [np.asarray(path.vertices) for path in ax.collections[-1].get_paths()]
    return [corners for corners in paths if len(corners)]


def _count_beyond(ax: Axes, shown: pd.DataFrame) -> None:
    """Say how many tokens lie beyond the axes, if any do."""
    inside = shown["x"].between(*ax.get_xlim()) & shown["y"].between(*ax.get_ylim())
    if beyond := int((~inside).sum()):
        ax.text(0.99, 0.01, f"{beyond} beyond the axes", transform=ax.transAxes, ha="right", va="bottom",
                fontsize=_NAME, color=style.DARK)  # fmt: skip


def _name_classes(ax: Axes, shown: pd.DataFrame, colours: Mapping[str, str]) -> None:
    """Write the names of classes with enough tokens at the means of those."""
    means = shown.groupby("label")[["x", "y"]].mean()[shown["label"].value_counts().sort_index() >= MIN_NAMED]
    means = means[means["x"].between(*ax.get_xlim()) & means["y"].between(*ax.get_ylim())]
    layout.label_points(
        ax, means.index.astype(str).tolist(), means.to_numpy(float), [colours[str(label)] for label in means.index],
        marks=np.empty((0, 2)), mark_size=0.0, fontsize=_NAME,
    )  # fmt: skip


def panels(
    data: pd.DataFrame,
    axes: str,
    text: str,
    *,
    styles: Styles | None = None,
    draw_panel: Callable[[Axes, pd.DataFrame], None] | None = None,
    tall: float = 3.0,
) -> Figure:
    """One scatter per feature across both columns, up to three next to each other, with one legend below.

    Args:
        data: as `prepare` gives, of several features, with the column `feature`.
        axes: what they were fitted to, for the titles.
        text: note below the panels.
        styles: of the labels; None: as phonemes, coloured by manner of articulation.
        draw_panel: draws a panel; None: `draw`.
        tall: height of a panel in inches.

    Raises:
        InputError: as `draw`.
    """
    check_columns(data, ("feature",), "points")
    data = _checked(data)
    features = style.feature_order(data["feature"])
    _, looks = style.grouped(styles or style.phone_styles(in_full_colour(data)["label"]))
    legend = class_legend.legend_lines(looks, style.TWO_COLUMNS - 0.1)
    with style.theme():
        text, foot = layout.note(text, style.TWO_COLUMNS)
        fig, places = layout.grid(len(features), per_row=_PER_ROW, tall=tall, foot=foot + class_legend.height(legend))
        for ax, feature in zip(places, features, strict=True):
            some = data[data["feature"] == feature]
            if draw_panel is None:
                draw(ax, some, styles=styles)
            else:
                draw_panel(ax, some)
            ax.set_title(f"{style.feature_style(feature).label}: {axes}", pad=4)
        class_legend.draw_legend(fig, foot, legend)
        layout.write_note(fig, text)
    return fig


def in_full_colour(data: pd.DataFrame) -> pd.DataFrame:
    """The held-out tokens; all where none is held out."""
    return data[data["held_out"]] if data["held_out"].any() else data


def fitted_on(data: pd.DataFrame) -> str:
    """What the axes were fitted on, for a title."""
    return f"axes fitted on {'other tokens' if data['held_out'].any() else 'these tokens'}"


def _checked(data: pd.DataFrame) -> pd.DataFrame:
    check_columns(data, COLUMNS, "points")
    if not np.isfinite(data[["x", "y"]].to_numpy(float)).all():
        raise InputError("some points are not finite; extract the features again")
    return data.assign(label=data["label"].astype(str), held_out=data["held_out"].astype(bool)).reset_index(drop=True)
