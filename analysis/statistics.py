"""Intervals and tests for accuracies, errors and their differences, over speakers (or other groups of rows).

The rows of a speaker depend on each other, so the speaker is the unit. A statistic is computed from all groups and
again without each of them; Tukey's jackknife turns these into a variance (Efron and Stein 1981, "The jackknife estimate
of variance"), which serves weighted means, ratios and ABX scores alike, and Student's t turns the variance into
intervals and tests. With two groups there is no interval.

Where each group was judged by a probe that was trained on the others, the groups' results depend on each other too. The
variance is then multiplied by 1 + J n_test / n_train (Nadeau and Bengio 2003, "Inference for the generalization error",
section 3), which is about 2 where one group in turn is held out.

`benchmarks/coverage.py` measures how often the intervals cover and the tests reject.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Bool, Float, Int

LEVEL = 0.95
MIN_GROUPS = 3
"""Fewest groups (speakers) for an interval or a test: the spread of two tells next to nothing."""

_ROUNDING = 1e-12
"""A variance below this share of the largest there could be is that of equal groups."""


@dataclass(frozen=True)
class Interval:
    """An interval for each column; NaN where there are too few groups to tell."""

    low: Float[np.ndarray, " ks"]
    high: Float[np.ndarray, " ks"]


@dataclass(frozen=True)
class Difference:
    """A paired difference for each column, with its interval, two-sided p value and size.

    Attributes:
        mean: the difference of the two statistics.
        low, high: its interval; NaN with fewer than three groups.
        p_value: that there is none; NaN with fewer than three groups.
        effect: the difference in standard deviations between groups, with Hedges' correction for few of them (Hedges
            1981, "Distribution theory for Glass's estimator of effect size"); NaN where the groups do not differ.
    """

    mean: Float[np.ndarray, " ks"]
    low: Float[np.ndarray, " ks"]
    high: Float[np.ndarray, " ks"]
    p_value: Float[np.ndarray, " ks"]
    effect: Float[np.ndarray, " ks"]


@dataclass(frozen=True)
class Jackknife:
    """A statistic of all groups, and of all groups but one.

    Attributes:
        value: one per column, such as the accuracy at every k.
        without: the same without each group.
        weights: of the groups, such as their numbers of rows.
    """

    value: Float[np.ndarray, " ks"]
    without: Float[np.ndarray, "groups ks"]
    weights: Float[np.ndarray, " groups"]

    @classmethod
    def of_means(
        cls, values: Bool[np.ndarray, "rows ks"] | Float[np.ndarray, "rows ks"], groups: Int[np.ndarray, " rows"]
    ) -> Jackknife:
        """The mean over rows of every column, such as which rows are right.

        Example:
            >>> mean = Jackknife.of_means(np.array([[1.0], [2.0], [6.0]]), np.array([7, 7, 9]))
            >>> mean.value, mean.without.ravel()
            (array([3.]), array([6. , 1.5]))
        """
        sums, sizes = _group_sums(values, groups)
        return cls.of_ratios(sums, np.broadcast_to(sizes[:, None], sums.shape))

    @classmethod
    def of_ratios(
        cls, numerators: Float[np.ndarray, "groups ks"], denominators: Float[np.ndarray, "groups ks"]
    ) -> Jackknife:
        """Sums of numerators over sums of denominators, such as bits per second; NaN where the latter sum to zero.

        Example:
            >>> rate = Jackknife.of_ratios(np.array([[6.0], [10.0]]), np.array([[2.0], [3.0]]))
            >>> rate.value, rate.without.ravel().round(2)
            (array([3.2]), array([3.33, 3.  ]))
        """
        above, below = numerators.sum(axis=0), denominators.sum(axis=0)
        shares = denominators.mean(axis=1)
        return cls(_ratio(above, below), _ratio(above - numerators, below - denominators), shares)

    def __sub__(self, other: Jackknife) -> Jackknife:
        return Jackknife(self.value - other.value, self.without - other.without, self.weights)

    def map(self, function: Callable[[Float[np.ndarray, "n ks"]], Float[np.ndarray, "n others"]]) -> Jackknife:
        """A function of the statistics, such as the ratio of two of them.

        Example:
            >>> rates = Jackknife.of_ratios(np.array([[6.0, 1.0], [9.0, 2.0]]), np.ones((2, 2)))
            >>> rates.map(lambda rows: rows[:, :1] / rows[:, 1:]).value
            array([5.])
        """
        return Jackknife(function(self.value[None])[0], function(self.without), self.weights)

    def variance(self, *, shared_training: bool = False) -> Float[np.ndarray, " ks"]:
        """The variance of the statistic over groups; NaN for fewer than three.

        Args:
            shared_training: whether each group was judged by what was fitted to the others.
        """
        n = len(self.without)
        if n < MIN_GROUPS:
            return np.full(self.value.shape, np.nan)
        variance = (n - 1) / n * ((self.without - self.without.mean(axis=0)) ** 2).sum(axis=0)
        return variance * (1 + n / (n - 1)) if shared_training else variance

    @property
    def degrees(self) -> float:
        """Degrees of freedom: one less than the groups, or than Kish's (1965) effective number where weights differ."""
        return float(max(self.weights.sum() ** 2 / (self.weights**2).sum() - 1, 1.0))


def mean_interval(statistic: Jackknife, *, shared_training: bool = False) -> Interval:
    """Student's t interval.

    Args:
        statistic: without bounds, such as an error in cm.
        shared_training: see `Jackknife.variance`.

    Example:
        >>> errors = Jackknife.of_means(np.array([[2.0], [3.0], [4.0]]), np.arange(3))
        >>> interval = mean_interval(errors)
        >>> interval.low.round(2), interval.high.round(2)
        (array([0.52]), array([5.48]))
    """
    half = _quantile(statistic.degrees) * np.sqrt(statistic.variance(shared_training=shared_training))
    return Interval(statistic.value - half, statistic.value + half)


def share_interval(statistic: Jackknife, *, shared_training: bool = False) -> Interval:
    """An interval for a share, such as an accuracy, that stays between 0 and 1.

    Wilson's score interval (Wilson 1927) with the number of independent rows that has the jackknife's variance in place
    of the number of rows, and Student's t in place of the normal (as Korn and Graubard 1998 for surveys). Where all
    groups have the same share, above all none or all, the variance says nothing, and each group counts as one row.

    Args:
        statistic: of shares.
        shared_training: see `Jackknife.variance`.

    Example:
        >>> right = Jackknife.of_means(np.arange(60)[:, None] % 7 > 1, np.arange(60) // 10)
        >>> interval = share_interval(right)
        >>> interval.low.round(2), interval.high.round(2)
        (array([0.6]), array([0.78]))
    """
    share, variance = np.clip(statistic.value, 0.0, 1.0), statistic.variance(shared_training=shared_training)
    spread = share * (1 - share)
    known = variance > _ROUNDING * spread
    groups = len(statistic.without)
    independent = np.divide(spread, variance, out=np.full(share.shape, float(groups)), where=known)
    independent[np.isnan(variance)] = np.nan
    return _wilson(share, independent, _quantile(statistic.degrees))


def independent_interval(right: Bool[np.ndarray, "rows ks"]) -> Interval:
    """Wilson's score interval for the share of right rows, each independent of the others (Wilson 1927).

    Args:
        right: one row per token, or per speaker.

    Returns:
        The interval; NaN for fewer than three rows.

    Example:
        >>> interval = independent_interval(np.ones((5, 1), dtype=bool))
        >>> interval.low.round(2), interval.high
        (array([0.57]), array([1.]))
    """
    n = len(right)
    share = right.mean(axis=0)
    return _wilson(share, np.full(share.shape, float(n) if n >= MIN_GROUPS else np.nan), float(stats.norm.isf(0.025)))


def paired_difference(ours: Jackknife, theirs: Jackknife, *, shared_training: bool = False) -> Difference:
    """The difference of two statistics of the same groups, with Student's t interval and test.

    Args:
        ours: such as the accuracy of a latent feature.
        theirs: such as that of Mel.
        shared_training: see `Jackknife.variance`.

    Example:
        >>> groups = np.repeat(np.arange(4), 2)
        >>> ours = Jackknife.of_means(np.array([1.0, 0, 1, 1, 1, 1, 0, 1])[:, None], groups)
        >>> theirs = Jackknife.of_means(np.array([0.0, 0, 1, 0, 0, 1, 0, 0])[:, None], groups)
        >>> found = paired_difference(ours, theirs)
        >>> found.mean, found.p_value
        (array([0.5]), array([0.]))
    """
    gap = ours - theirs
    n, variance = len(gap.without), gap.variance(shared_training=shared_training)
    error = np.sqrt(variance)
    half = _quantile(gap.degrees) * error
    # Equal differences in all groups: as sure as can be, unless there is none at all.
    t = np.divide(gap.value, error, out=np.where(gap.value == 0, 0.0, np.inf), where=~(error == 0))
    p_value = 2 * stats.t.sf(np.abs(t), gap.degrees)
    deviation = np.sqrt(n * gap.variance())
    hedges = 1 - 3 / (4 * (n - 1) - 1) if n >= MIN_GROUPS else np.nan
    effect = hedges * np.divide(gap.value, deviation, out=np.full(error.shape, np.nan), where=deviation > 0)
    return Difference(gap.value, gap.value - half, gap.value + half, p_value, effect)


def independent_difference(ours: Bool[np.ndarray, "rows ks"], theirs: Bool[np.ndarray, "rows ks"]) -> Difference:
    """The difference of two shares of the same rows, each row independent of the others.

    The test is McNemar's in its exact form (McNemar 1947), the interval Bonett and Price's (2012, "Adjusted Wald
    confidence interval for a difference of binomial proportions based on paired data").

    Args:
        ours: which rows one probe got right.
        theirs: which rows the other did.

    Example:
        >>> ours, theirs = np.arange(14)[:, None] < 12, np.arange(14)[:, None] < 6
        >>> found = independent_difference(ours, theirs)
        >>> found.mean.round(2), found.p_value.round(3)
        (array([0.43]), array([0.031]))
    """
    n = len(ours)
    better, worse = (ours & ~theirs).sum(axis=0), (theirs & ~ours).sum(axis=0)
    mean = (better - worse) / n
    if n < MIN_GROUPS:
        unknown = np.full(mean.shape, np.nan)
        return Difference(mean, unknown, unknown, unknown, unknown)
    p_value = np.array([_sign_test(int(b), int(w)) for b, w in zip(better, worse, strict=True)])
    above, below = (better + 1) / (n + 2), (worse + 1) / (n + 2)
    half = stats.norm.isf(0.025) * np.sqrt((above + below - (above - below) ** 2) / (n + 2))
    low, high = np.clip([above - below - half, above - below + half], -1, 1)
    deviation = np.std(ours.astype(float) - theirs, axis=0, ddof=1)
    effect = np.divide(mean, deviation, out=np.full(mean.shape, np.nan), where=deviation > 0)
    return Difference(mean, low, high, p_value, effect * (1 - 3 / (4 * (n - 1) - 1)))


def holm(p_values: Sequence[float] | Float[np.ndarray, " tests"]) -> Float[np.ndarray, " tests"]:
    """p values adjusted for all tests together (Holm 1979): below 0.05, none of them is a false alarm in 95 % of cases.

    Args:
        p_values: of the tests; NaN where there was none, which stays NaN and does not count.

    Example:
        >>> holm([0.01, 0.04, np.nan, 0.03])
        array([0.03, 0.06,  nan, 0.06])
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p_values.shape, np.nan)
    order = np.argsort(p_values)[: np.isfinite(p_values).sum()]
    steps = np.arange(len(order), 0, -1) * p_values[order]
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def group_means(
    values: Bool[np.ndarray, "points ks"] | Float[np.ndarray, "points ks"],
    groups: Int[np.ndarray, " points"],
) -> Float[np.ndarray, "groups ks"]:
    """The mean of every column in every group (such as the accuracy of every speaker), groups ascending.

    Example:
        >>> group_means(np.array([[1.0], [2.0], [6.0]]), np.array([7, 7, 9]))
        array([[1.5],
               [6. ]])
    """
    sums, sizes = _group_sums(values, groups)
    return sums / sizes[:, None]


def _group_sums(
    values: np.ndarray, groups: np.ndarray
) -> tuple[Float[np.ndarray, "groups ks"], Float[np.ndarray, " groups"]]:
    """The sum of every column in every group, groups ascending, and the groups' sizes."""
    _, index = np.unique(groups, return_inverse=True)
    if len(groups) != len(values):
        raise InputError(f"{len(groups)} groups for {len(values)} tokens; give one group per token")
    sizes = np.bincount(index)
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    in_order = values[np.argsort(index, kind="stable")].astype(np.float64)
    sums = np.add.reduceat(in_order, first, axis=0)
    return sums, sizes.astype(np.float64)


def _wilson(share: np.ndarray, n: np.ndarray, quantile: float) -> Interval:
    """Where |share - p| = quantile √(p (1 - p) / n) for p."""
    z2 = quantile**2 / n
    centre = (share + z2 / 2) / (1 + z2)
    half = np.sqrt(np.maximum(z2 * share * (1 - share) + z2**2 / 4, 0)) / (1 + z2)
    low, high = np.where(share <= 0, 0.0, centre - half), np.where(share >= 1, 1.0, centre + half)
    return Interval(np.where(np.isnan(n), np.nan, low), np.where(np.isnan(n), np.nan, high))


def _sign_test(better: int, worse: int) -> float:
    """Two-sided: are the rows that differ as often better as worse?"""
    total = better + worse
    return 1.0 if total == 0 else float(stats.binomtest(better, total).pvalue)


def _quantile(degrees: float) -> float:
    return float(stats.t.isf((1 - LEVEL) / 2, degrees))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=np.asarray(below) > 0)
