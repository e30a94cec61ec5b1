"""How alike two representations of the same tokens are: unbiased CKA, cross-validated PWCCA and RSA.

All three ask about the arrangement of the tokens, not about single dimensions, so features of different sizes can be
compared. Independent inputs must score 0, however many dimensions they have. Biased CKA does not (0.20 for 32 tokens,
0.03 for 256, of 8 dimensions), and canonical correlations of the tokens they were fitted to least of all.

- `unbiased_cka`: centred kernel alignment with linear kernels (Kornblith et al. 2019, "Similarity of neural network
  representations revisited"), each HSIC by its unbiased estimator (Song et al. 2012, "Feature selection via dependence
  maximization", equation 5). Rotations and a common scale change nothing.
- `held_out_pwcca`: projection-weighted canonical correlation (Morcos et al. 2018, "Insights on representational
  similarity in neural networks with canonical correlation", section 2.2), whose directions and weights are fitted to
  the other groups. Invertible linear maps change nothing.
- `rsa`: Spearman's correlation of the distances between tokens of different groups (Kriegeskorte et al. 2008,
  "Representational similarity analysis").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from lvm_probe import InputError
from lvm_probe.analysis.moments import standardised
from lvm_probe.analysis.shape_annotations import Bool, Float, Int
from lvm_probe.analysis.statistics import Jackknife

MIN_TOKENS = 4
"""Fewest for the unbiased estimator."""
KEPT_VARIANCE = 0.99
"""Share of the variance in the components among which canonical directions are sought (as SVCCA; Raghu et al. 2017)."""

_CONSTANT = 1e-12


def biased_cka(x: Float[np.ndarray, "tokens dims"], y: Float[np.ndarray, "tokens others"]) -> float:
    """Linear CKA as it is mostly given: it grows with dimensions and with 1 / tokens.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(50, 3))
        >>> round(biased_cka(x, 2 * x), 6)
        1.0
    """
    x, y = (points - points.mean(axis=0) for points in (x, y))
    spread = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.linalg.norm(x.T @ y) ** 2 / spread) if spread > 0 else float("nan")


def unbiased_cka(x: Float[np.ndarray, "tokens dims"], y: Float[np.ndarray, "tokens others"]) -> float:
    """Linear CKA of unbiased estimates; it can be a little below 0, and NaN where either representation is constant.

    Args:
        x: one representation, a row for each token.
        y: the other, of the same tokens.

    Raises:
        InputError: fewer than four tokens.

    Example:
        >>> x, y = np.random.default_rng(0).normal(size=(2, 50, 20))
        >>> round(unbiased_cka(x, 2 * x), 6), round(biased_cka(x, y), 1), round(abs(unbiased_cka(x, y)), 1)
        (1.0, 0.3, 0.0)
    """
    if len(x) < MIN_TOKENS:
        raise InputError(f"{len(x)} tokens; the unbiased estimator needs {MIN_TOKENS} or more")
    x, y = (points - points.mean(axis=0) for points in (x, y))
    spread = _unbiased_hsic(x, x) * _unbiased_hsic(y, y)
    return float(_unbiased_hsic(x, y) / np.sqrt(spread)) if spread > 0 else float("nan")


def _unbiased_hsic(x: np.ndarray, y: np.ndarray) -> float:
    """Of the kernels K = x xᵀ and L = y yᵀ without their diagonals, by sums over features."""
    n = len(x)
    k, l = (x**2).sum(axis=1), (y**2).sum(axis=1)  # the diagonals
    of_k, of_l = x @ x.sum(axis=0) - k, y @ y.sum(axis=0) - l  # sums of the rows
    product = np.linalg.norm(x.T @ y) ** 2 - k @ l
    means = of_k.sum() * of_l.sum() / ((n - 1) * (n - 2))
    return float((product + means - 2 / (n - 2) * (of_k @ of_l)) / (n * (n - 3)))


def cka_over_groups(
    x: Float[np.ndarray, "tokens dims"], y: Float[np.ndarray, "tokens others"], groups: Int[np.ndarray, " tokens"]
) -> Jackknife:
    """Unbiased CKA of all tokens, and without each group (speaker)."""
    return _over_groups(lambda kept: unbiased_cka(x[kept], y[kept]), groups)


class _Sums(NamedTuple):
    """Sums over the tokens of each group."""

    n: Int[np.ndarray, " groups"]
    x: Float[np.ndarray, "groups dims"]
    y: Float[np.ndarray, "groups others"]
    xx: Float[np.ndarray, "groups dims dims"]
    yy: Float[np.ndarray, "groups others others"]
    xy: Float[np.ndarray, "groups dims others"]


def held_out_pwcca(
    x: Float[np.ndarray, "tokens dims"],
    y: Float[np.ndarray, "tokens others"],
    groups: Int[np.ndarray, " tokens"],
) -> Jackknife:
    """Projection-weighted canonical correlation of the tokens of each group, by directions fitted to the others.

    Canonical directions are sought among the principal components that hold 99 % of the variance of the standardised
    features. Their correlations are those of the held-out tokens, and their weights the sums of their absolute
    projections on the training features; once on those of x and once on those of y, and the mean of both is taken.

    Args:
        x: one representation, a row for each token.
        y: the other, of the same tokens.
        groups: what is held out together (speakers); groups of fewer than three tokens are not judged.

    Returns:
        The mean over the groups, weighted by their tokens, and without each. NaN where a representation is constant.

    Raises:
        InputError: fewer than two groups of three tokens.
    """
    x, y = standardised(x), standardised(y)
    _, place = np.unique(groups, return_inverse=True)
    members = [np.flatnonzero(place == g) for g in range(place.max() + 1)]
    judged = [g for g, rows in enumerate(members) if len(rows) > 2]
    if len(members) < 2 or not judged:
        raise InputError("canonical correlations are held out by group: give two groups or more, of three tokens")
    sums = _Sums(
        np.array([len(rows) for rows in members]),
        np.stack([x[rows].sum(axis=0) for rows in members]),
        np.stack([y[rows].sum(axis=0) for rows in members]),
        np.stack([x[rows].T @ x[rows] for rows in members]),
        np.stack([y[rows].T @ y[rows] for rows in members]),
        np.stack([x[rows].T @ y[rows] for rows in members]),
    )
    total = _Sums(*(part.sum(axis=0) for part in sums))
    found = np.array([_held_out(_Sums(*(t - part[g] for t, part in zip(total, sums, strict=True))), x[members[g]],
                                y[members[g]]) for g in judged])  # fmt: skip
    sizes = sums.n[judged].astype(np.float64)[:, None]
    return Jackknife.of_ratios(found[:, None] * sizes, sizes)


def _held_out(train: _Sums, x: np.ndarray, y: np.ndarray) -> float:
    """The weighted correlation of held-out tokens by directions that were fitted to sums over others."""
    n = train.n
    mean_x, mean_y = train.x / n, train.y / n
    white_x, size_x = _whitening(train.xx / n - np.outer(mean_x, mean_x))
    white_y, size_y = _whitening(train.yy / n - np.outer(mean_y, mean_y))
    if not (white_x.size and white_y.size):
        return float("nan")
    left, _, right = np.linalg.svd(white_x.T @ (train.xy / n - np.outer(mean_x, mean_y)) @ white_y, full_matrices=False)
    a, b = (x - x.mean(axis=0)) @ white_x @ left, (y - y.mean(axis=0)) @ white_y @ right.T
    spread = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    correlations = np.divide((a * b).sum(axis=0), spread, out=np.zeros_like(spread), where=spread > _CONSTANT)
    # |<h, feature>| of a canonical variate h of length 1: its coordinates in the features' own components.
    weights = [np.abs(size_x @ left).sum(axis=0), np.abs(size_y @ right.T).sum(axis=0)]
    return float(np.mean([np.average(correlations, weights=w) for w in weights]))


def _whitening(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """From features to their leading components of variance 1, and the features' covariances with these."""
    variances, axes = np.linalg.eigh(covariance)
    variances, axes = variances[::-1], axes[:, ::-1]
    positive = variances > _CONSTANT * max(variances[0], 0) + _CONSTANT
    variances, axes = variances[positive], axes[:, positive]
    if not len(variances):
        return axes, axes
    kept = np.searchsorted(np.cumsum(variances) / variances.sum(), KEPT_VARIANCE) + 1
    axes, deviations = axes[:, :kept], np.sqrt(variances[:kept])
    return axes / deviations, axes * deviations


def distances(points: Float[np.ndarray, "tokens dims"]) -> Float[np.ndarray, "tokens tokens"]:
    """One minus Pearson's correlation between the standardised features of every two tokens.

    Of a single dimension, where it would compare signs only, the absolute difference instead.
    """
    points = standardised(points)
    if points.shape[1] == 1:
        return np.abs(points - points.T)
    points = points - points.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    points = np.divide(points, lengths, out=np.zeros_like(points), where=lengths > 0)
    return 1 - points @ points.T


def rsa(
    x: Float[np.ndarray, "tokens tokens"], y: Float[np.ndarray, "tokens tokens"], groups: Int[np.ndarray, " tokens"]
) -> float:
    """Spearman's correlation of two arrays of distances over pairs of tokens of different groups.

    Args:
        x: the distances of one representation.
        y: those of the other, of the same tokens.
        groups: speakers: pairs within a speaker, whose voice makes them alike, are left out.

    Raises:
        InputError: fewer than two groups.
    """
    if len(np.unique(groups)) < 2:
        raise InputError("distances are compared across groups: give two groups or more")
    pairs = np.triu(groups[:, None] != groups, k=1)
    ranks = [rankdata(values[pairs]) for values in (x, y)]
    a, b = (values - values.mean() for values in ranks)
    spread = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / spread) if spread > 0 else float("nan")


def rsa_over_groups(
    x: Float[np.ndarray, "tokens tokens"], y: Float[np.ndarray, "tokens tokens"], groups: Int[np.ndarray, " tokens"]
) -> Jackknife:
    """RSA of all tokens, and without each group; of two groups no interval is known."""

    def without(kept: np.ndarray) -> float:
        some = groups[kept]
        return rsa(x[np.ix_(kept, kept)], y[np.ix_(kept, kept)], some) if len(np.unique(some)) > 1 else float("nan")

    return _over_groups(without, groups)


def _over_groups(statistic: Callable[[Bool[np.ndarray, " tokens"]], float], groups: np.ndarray) -> Jackknife:
    names, sizes = np.unique(groups, return_counts=True)
    whole = statistic(np.ones(len(groups), dtype=bool))
    without = [statistic(groups != name) for name in names] if len(names) > 1 else [np.nan]
    return Jackknife(np.array([whole]), np.array(without)[:, None], sizes.astype(np.float64))
