"""Regression of a real-valued attribute within strata: height in centimetres, given the gender.

Men are taller than women, so a probe that knows no more than the gender predicts height well. Here all probes know
the stratum: in every fold, values and features are centred by their means in the stratum, and one ridge regression for
all strata predicts the rest. The prediction is the mean of the stratum plus that, and is compared with the mean alone.
Values that differ from token to token, such as pitch, have a single stratum.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh

from lvm_probe import InputError
from lvm_probe.analysis.predictions import Protocol
from lvm_probe.analysis.principal_components import checked_match_dims
from lvm_probe.analysis.shape_annotations import Float, Int

# Ridge penalties on features of variance 1 and errors averaged over groups, strongest first: at one end no weight is
# left, at the other 14 speakers are fitted without error.
PENALTIES = (1e3, 1e2, 1e1, 1.0, 1e-1, 1e-2, 1e-3)

# Below this share of a feature's largest magnitude, its deviation is rounding (about 1e-16) and the feature constant.
_CONSTANT = 1e-10


@dataclass(frozen=True)
class RegressionOutcome:
    """Predictions under one protocol, in the unit of the values.

    Attributes:
        protocol: how the points were held out. `paper` fits on all of them and leaks.
        values: the true values.
        strata: the stratum of every point.
        predictions: the predicted values.
        baseline: the mean of the point's stratum in its fold, where every training group counts once.
        groups: the group of every point, or None.
    """

    protocol: Protocol
    values: Float[np.ndarray, " points"]
    strata: Int[np.ndarray, " points"]
    predictions: Float[np.ndarray, " points"]
    baseline: Float[np.ndarray, " points"]
    groups: Int[np.ndarray, " points"] | None = None

    @property
    def errors(self) -> Float[np.ndarray, " points"]:
        """Absolute errors."""
        return np.abs(self.predictions - self.values)

    @property
    def mae(self) -> float:
        """Mean absolute error over the points."""
        return float(self.errors.mean())

    @property
    def baseline_errors(self) -> Float[np.ndarray, " points"]:
        """Absolute errors of the baseline."""
        return np.abs(self.baseline - self.values)

    @property
    def squares(self) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
        """Squared errors of the predictions and of the baseline: one minus the ratio of their sums is R²."""
        return (self.predictions - self.values) ** 2, (self.baseline - self.values) ** 2

    def squares_within(
        self, units: Int[np.ndarray, " points"]
    ) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
        """The same about each unit's own mean, such as a speaker's: of the errors, and of the values.

        One minus the ratio of their sums is the share of the variance within units that is explained when the mean of
        every unit is known.
        """
        return _within(self.predictions - self.values, units) ** 2, _within(self.values, units) ** 2

    @property
    def correlation(self) -> float:
        """Pearson's correlation, within strata, of the values with what the regression adds to the baseline.

        The baseline itself is left out, because it is lower where the held-out value is higher, so a feature without
        information would correlate at -1. What ridge adds is biased the same way, but less: without information the
        correlation is somewhat below 0. NaN where the regression always adds the same.
        """
        truth = _within(self.values, self.strata)
        added = _within(self.predictions - self.baseline, self.strata)
        spread = np.sqrt((truth**2).sum() * (added**2).sum())
        return float((truth * added).sum() / spread) if spread > _CONSTANT * (self.values**2).sum() else np.nan


class RegressionNull(NamedTuple):
    """What is reached on permuted values.

    Attributes:
        mae: the mean absolute error of every permutation.
        squares: the sum of its squared errors.
        baseline_squares: the same of the baseline.
    """

    mae: Float[np.ndarray, " rounds"]
    squares: Float[np.ndarray, " rounds"]
    baseline_squares: Float[np.ndarray, " rounds"]


def regress(
    points: Float[np.ndarray, "points dims"],
    values: Float[np.ndarray, " points"],
    strata: Int[np.ndarray, " points"],
    *,
    protocol: Protocol = "nested",
    groups: Int[np.ndarray, " points"] | None = None,
    match_dims: int | None = None,
) -> RegressionOutcome:
    """Predict every point's value from its features and its stratum.

    In every fold, features and values are centred by the means of their stratum, and features are divided by their
    standard deviation within strata; a constant feature takes no part. The prediction is the mean of the stratum plus a
    linear function of the features. The ridge penalty is chosen inside the fold by exact leave-one-out of points, or of
    groups under `grouped` (Hastie, Tibshirani and Friedman 2009, equation 7.64, for blocks).

    A point weighs 1 / (points of its group), so every speaker counts once.

    `paper` fits means, scales and ridge on all points, those that it judges among them, so it leaks. `nested` refits
    without each point, `grouped` without each group.

    Args:
        points: features, any unit.
        values: real numbers, any unit.
        strata: integers, the same for all points of a group.
        protocol: how points are held out.
        groups: the group (speaker) of every point; None makes every point a group of its own.
        match_dims: number of principal components of the centred and scaled features, fitted in the fold; None, or as
            many as there are features or more, keeps the features.

    Returns:
        The predictions and the baseline.

    Raises:
        InputError: shapes that disagree or values that are not finite; a stratum of fewer than two points (two groups
            under `grouped`); a group in several strata; no groups for `grouped`; `match_dims` out of range.

    Example:
        >>> points = np.arange(12.0)[:, None]
        >>> heights = 160 + 2 * points.ravel()
        >>> outcome = regress(points, heights, np.zeros(12, dtype=int))
        >>> bool(outcome.mae < outcome.baseline_errors.mean())
        True
    """
    data = _Data(points, values, strata, groups)
    predictions, baseline = _regressed(data, values[:, None], protocol, match_dims)
    return RegressionOutcome(protocol, values, strata, predictions[:, 0], baseline[:, 0], groups)


def permuted_regression_null(
    points: Float[np.ndarray, "points dims"],
    values: Float[np.ndarray, " points"],
    strata: Int[np.ndarray, " points"],
    *,
    rng: np.random.Generator,
    rounds: int = 10,
    protocol: Protocol = "nested",
    groups: Int[np.ndarray, " points"] | None = None,
    match_dims: int | None = None,
) -> RegressionNull:
    """The errors of the same protocol when values are permuted.

    Where each group has one value, as a speaker has one height, those of whole groups are permuted within strata.
    Otherwise the values of each group are permuted among its points, so that what is left to predict are the groups'
    means. Every fold is made once, because permutations do not move the points.

    Args:
        points: as in `regress`, like all arguments that are not listed here.
        rng: source of the permutations.
        rounds: number of permutations.

    Returns:
        The errors of each permutation.

    Raises:
        InputError: no rounds; what `regress` refuses.
    """
    if rounds < 1:
        raise InputError(f"rounds is {rounds}; give a positive number of permutations, such as 10")
    data = _Data(points, values, strata, groups)
    permuted = np.stack([_permuted(data, rng) for _ in range(rounds)], axis=1)
    predictions, baseline = _regressed(data, permuted, protocol, match_dims)
    squares, of_baseline = (((x - permuted) ** 2).sum(axis=0) for x in (predictions, baseline))
    return RegressionNull(np.abs(predictions - permuted).mean(axis=0), squares, of_baseline)


@dataclass(frozen=True)
class _Data:
    """Checked input; `units` are the groups, or single points where there are none."""

    points: np.ndarray
    values: np.ndarray
    strata: np.ndarray
    groups: np.ndarray | None

    def __post_init__(self) -> None:
        if self.points.ndim != 2 or 0 in self.points.shape:
            raise InputError(
                f"points have shape {self.points.shape}; give one row per point and one column per feature"
            )
        for name, column in (("values", self.values), ("strata", self.strata), ("groups", self.groups)):
            if column is not None and column.shape != self.points.shape[:1]:
                raise InputError(f"{name} have shape {column.shape} for {len(self.points)} points; give one per point")
        finite = np.isfinite(self.points).all(axis=1) & np.isfinite(self.values)
        if not finite.all():
            raise InputError(
                f"point {np.flatnonzero(~finite)[0]}, or its value, is not finite; drop such tokens, or extract again"
            )
        object.__setattr__(self, "points", np.ascontiguousarray(self.points, dtype=np.float64))
        _, first, index = np.unique(self.units, return_index=True, return_inverse=True)
        if (self.strata != self.strata[first][index]).any():
            raise InputError("a group has points in several strata; give every group a single stratum")

    @property
    def units(self) -> Int[np.ndarray, " points"]:
        return np.arange(len(self.points)) if self.groups is None else self.groups


@dataclass(frozen=True)
class _Fold:
    """A fit to the training rows.

    Attributes:
        rows: training rows.
        weights: of these rows; those of a group sum to 1.
        baseline: mean value of every point's stratum, for every column of values.
        space: all points about the mean of their stratum, in units of the deviation within strata; or the leading
            components of that.
    """

    rows: np.ndarray
    weights: np.ndarray
    baseline: Float[np.ndarray, "points columns"]
    space: Float[np.ndarray, "points size"]


def _permuted(data: _Data, rng: np.random.Generator) -> Float[np.ndarray, " points"]:
    """The values of whole groups permuted within strata; of groups that have several values, these within the group."""
    values = data.values.copy()
    _, first, index = np.unique(data.units, return_index=True, return_inverse=True)
    if (values == values[first][index]).all():
        moved = values[first]
        for stratum in np.unique(data.strata):
            members = data.strata[first] == stratum
            moved[members] = rng.permutation(moved[members])
        return np.asarray(moved[index])
    for rows in _rows_of(data.units):
        values[rows] = rng.permutation(values[rows])
    return values


def _within(columns: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """The columns about their means in each stratum."""
    centred = columns.astype(np.float64)
    for stratum in np.unique(strata):
        centred[strata == stratum] -= centred[strata == stratum].mean(axis=0)
    return centred


def _fold(data: _Data, values: np.ndarray, rows: np.ndarray, size: int) -> _Fold:
    _, unit, sizes = np.unique(data.units[rows], return_inverse=True, return_counts=True)
    weights = 1 / sizes[unit]
    centres, baseline = np.empty_like(data.points), np.empty(values.shape)
    for stratum in np.unique(data.strata):
        inside = data.strata[rows] == stratum
        centres[data.strata == stratum] = np.average(data.points[rows[inside]], axis=0, weights=weights[inside])
        baseline[data.strata == stratum] = np.average(values[rows[inside]], axis=0, weights=weights[inside])
    space = data.points - centres
    deviations = np.sqrt(np.average(space[rows] ** 2, axis=0, weights=weights))
    varies = deviations > _CONSTANT * np.abs(data.points[rows]).max(axis=0)
    space = np.divide(space, deviations, out=np.zeros_like(space), where=varies)
    n_features = space.shape[1]
    if size < n_features:
        scaled = space[rows] * np.sqrt(weights)[:, None]
        space = space @ eigh(scaled.T @ scaled, subset_by_index=(n_features - size, n_features - 1))[1]
    return _Fold(rows, weights, baseline, space)


def _regressed(
    data: _Data, values: Float[np.ndarray, "points columns"], protocol: Protocol, match_dims: int | None
) -> tuple[Float[np.ndarray, "points columns"], Float[np.ndarray, "points columns"]]:
    """Predictions and baselines for every column of values, from one set of folds."""
    size = checked_match_dims(match_dims, data.points.shape[1])
    units = _held_out_together(data, protocol)
    everyone = np.arange(len(values))
    predictions, baseline = np.empty(values.shape), np.empty(values.shape)
    for held_out in [everyone] if protocol == "paper" else _rows_of(units):
        rows = everyone if protocol == "paper" else np.delete(everyone, held_out)
        fold = _fold(data, values, rows, size)
        baseline[held_out] = fold.baseline[held_out]
        predictions[held_out] = baseline[held_out] + _ridge(fold, values, data.strata, units, held_out)
    return predictions, baseline


def _held_out_together(data: _Data, protocol: Protocol) -> Int[np.ndarray, " points"]:
    """What is held out together: the point itself, or its group under `grouped`; two or more in every stratum."""
    match protocol:
        case "paper" | "nested":
            units, what = np.arange(len(data.points)), "points"
        case "grouped":
            if data.groups is None:
                raise InputError("protocol grouped needs groups; give the group of every point, or use nested")
            units, what = data.groups, "groups"
        case _:
            raise InputError(f"protocol is {protocol!r}; use paper, nested or grouped")
    for stratum in np.unique(data.strata):
        n = len(np.unique(units[data.strata == stratum]))
        if n < 2:
            raise InputError(
                f"stratum {stratum} has {n} {what[:-1]} and none is left when it is held out; "
                f"give two or more {what} per stratum, or drop the stratum"
            )
    return units


def _rows_of(units: Int[np.ndarray, " points"]) -> Iterator[np.ndarray]:
    order = np.argsort(units, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(units[order])) + 1)


def _ridge(
    fold: _Fold, values: np.ndarray, strata: np.ndarray, units: np.ndarray, rows: np.ndarray
) -> Float[np.ndarray, "rows columns"]:
    """What ridge adds to the baseline of some rows, with the penalty of every column chosen by leave-one-out.

    With rows multiplied by the root of their weights, X = U S Vᵀ, Z = X V and n the sum of the weights, the fit is H y,
    where H = P + Z (S² + n λ)⁻¹ Zᵀ and P projects on the means of the strata, which are not penalised. The errors of a
    unit g when it is left out are (I - H_gg)⁻¹ times those of the fit, exactly those of a refit of slopes and means
    with the scales of the fold. H_gg is A D Aᵀ with a column of A for the mean and one for each of Z, so for a unit of
    more rows than that the same is I + A (D⁻¹ - Aᵀ A)⁻¹ Aᵀ (Woodbury).
    """
    root = np.sqrt(fold.weights)[:, None]
    x, y = fold.space[fold.rows] * root, (values - fold.baseline)[fold.rows] * root
    # The axes of a tall X are those of XᵀX as well, and what that costs in precision no penalty notices.
    axes = eigh(x.T @ x)[1].T if len(x) > x.shape[1] else np.linalg.svd(x, full_matrices=False)[2]
    z = x @ axes.T
    projected = z.T @ y
    penalised = (z**2).sum(axis=0)[:, None] + fold.weights.sum() * np.array(PENALTIES)
    losses = np.zeros((len(PENALTIES), values.shape[1]))
    strata = strata[fold.rows]
    for g in _rows_of(units[fold.rows]):
        stratum = strata[g[0]]
        of_stratum = fold.weights[strata == stratum].sum()
        if len(g) == (strata == stratum).sum():
            continue  # without it the stratum has no mean
        shrunk = z[g] / penalised.T[:, None]  # (penalties, unit, components)
        of_fit = y[g] - shrunk @ projected
        a = np.hstack([root[g], z[g]])
        if len(g) <= a.shape[1]:
            hat = root[g] @ root[g].T / of_stratum + shrunk @ z[g].T
            errors = np.linalg.solve(np.eye(len(g)) - hat, of_fit)
        else:
            inner = -np.repeat((a.T @ a)[None], len(PENALTIES), axis=0)
            diagonal = np.arange(len(inner[0]))
            inner[:, diagonal, diagonal] += np.column_stack([np.full(len(PENALTIES), of_stratum), penalised.T])
            errors = of_fit + a @ np.linalg.solve(inner, a.T @ of_fit)
        losses += (errors**2).sum(axis=1)
    chosen = penalised[:, losses.argmin(axis=0)]  # the strongest of equally good ones
    return fold.space[rows] @ axes.T @ (projected / chosen)
