"""Intervals and tests for accuracies: bootstraps over tokens or speakers, and paired sign-flip tests."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Bool, Float, Int

_DRAWS_AT_ONCE = 1 << 16  # few enough to stay in the processor's cache
_NUMBERS_AT_ONCE = 1 << 20
_ENUMERATED = 1 << 14
_EXACT_IN_SINGLE = 1 << 24  # single precision represents every integer up to here


@dataclass(frozen=True)
class Interval:
    """A percentile interval for the mean of each column, as fractions."""

    low: Float[np.ndarray, " ks"]
    high: Float[np.ndarray, " ks"]
    level: float


@dataclass(frozen=True)
class SignFlip:
    """Two-sided paired tests: mean differences, p values, and whether all flips of signs were enumerated."""

    mean: Float[np.ndarray, " tests"]
    p_value: Float[np.ndarray, " tests"]
    exact: bool


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


def token_bootstrap_interval(correct: Bool[np.ndarray, "points ks"], *, level: float = 0.95) -> Interval:
    """Percentile bootstrap over tokens of the fraction of correct tokens (Efron and Tibshirani 1993, chapter 13).

    With c of n tokens correct, their number in a resample is binomial, B(n, c/n), so its quantiles need no draws.

    Args:
        correct: one row per token, such as `Outcome.correct`.
        level: coverage, in (0, 1).

    Raises:
        InputError: fewer than two tokens, a level outside (0, 1).

    Example:
        >>> interval = token_bootstrap_interval(np.arange(100)[:, None] < 80)
        >>> interval.low, interval.high
        (array([0.72]), array([0.88]))
    """
    _check_level(level)
    n = len(correct)
    _check_units(n)
    counts, place = np.unique(correct.sum(axis=0), return_inverse=True)
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    log_ways = log_factorials[n] - log_factorials - log_factorials[::-1]
    ends = np.empty((len(counts), 2))
    right = np.arange(n + 1)
    for some in np.array_split(np.arange(len(counts)), math.ceil(len(counts) * (n + 1) / _NUMBERS_AT_ONCE)):
        # Half a token more or less where none or all are correct, only for the logarithm; their ends are set below.
        share = np.clip(counts[some, None], 0.5, n - 0.5) / n
        chances = np.exp(log_ways + right * np.log(share) + right[::-1] * np.log1p(-share))
        below = np.cumsum(chances, axis=1)
        for end, tail in enumerate(((1 - level) / 2, (1 + level) / 2)):
            ends[some, end] = (below < tail).sum(axis=1) / n
    certain = (counts == 0) | (counts == n)
    ends[certain] = counts[certain, None] / n
    low, high = ends[place].T
    return Interval(low, high, level)


def cluster_bootstrap_interval(
    values: Bool[np.ndarray, "points ks"] | Float[np.ndarray, "points ks"],
    groups: Int[np.ndarray, " points"],
    *,
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """Percentile bootstrap over groups (speakers) of the mean over tokens of every column.

    Whole groups are drawn with replacement and their tokens pooled, so that the tokens of a speaker need not be
    independent (Davison and Hinkley 1997, section 3.8).

    Args:
        values: one row per token, such as `Outcome.correct`.
        groups: the group of every token.
        rng: source of the resamples; all columns share them.
        level: coverage, in (0, 1).
        resamples: number of resamples.

    Raises:
        InputError: fewer than two groups, a level outside (0, 1), no resamples.
    """
    _check_level(level)
    if resamples < 1:
        raise InputError(f"resamples is {resamples}; give a positive number, such as 2000")
    sums, sizes = _group_sums(values, groups)
    n = len(sizes)
    if values.dtype == bool and n * sizes.max() <= _EXACT_IN_SINGLE:
        sums = sums.astype(np.float32)
    _check_units(n)
    means = []
    chunk = max(1, _DRAWS_AT_ONCE // n)
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        drawn = rng.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(sums.dtype)
        means.append((weights @ sums).astype(np.float64) / (weights @ sizes)[:, None])
    tail = (1 - level) / 2
    by_column = np.ascontiguousarray(np.concatenate(means).T)
    by_column.sort(axis=1)  # halves the time of the quantiles
    low, high = np.quantile(by_column, [tail, 1 - tail], axis=1)
    return Interval(low, high, level)


def sign_flip_test(
    differences: Float[np.ndarray, "groups tests"], *, rng: np.random.Generator, rounds: int = 10_000
) -> SignFlip:
    """Two-sided tests whether paired differences, one per speaker, are symmetric about zero (Fisher 1935, section 21).

    All flips of signs are enumerated where there are at most 2^14 (14 speakers). Otherwise flips are drawn, and the
    observed signs count as one more draw, so p is never zero. Ties count as extreme.

    Args:
        differences: one row per group, such as the accuracy of z1 minus that of Mel, and one column per test.
        rng: source of the flips where they are drawn; all tests share them.
        rounds: number of flips drawn.

    Raises:
        InputError: no differences, or one that is not finite.

    Example:
        >>> sign_flip_test(np.array([[1.0], [2.0], [3.0]]), rng=np.random.default_rng(0)).p_value
        array([0.25])
    """
    n = len(differences)
    if n == 0 or not np.isfinite(differences).all():
        raise InputError(f"differences are {differences}; give one finite number per speaker")
    observed = np.abs(differences.sum(axis=0))
    # Sums of the same numbers in another order may differ in their last digits; they are still ties.
    extreme = observed - 1e-12 * np.abs(differences).sum(axis=0)
    exact = 1 << n <= _ENUMERATED
    hits = np.zeros(observed.shape, dtype=np.intp)
    for flips in _half_of_all_flips(n) if exact else _drawn_flips(n, rounds, rng):
        hits += (np.abs(flips @ differences) >= extreme).sum(axis=0)
    return SignFlip(differences.mean(axis=0), hits / 2 ** (n - 1) if exact else (1 + hits) / (1 + rounds), exact)


def _half_of_all_flips(n: int) -> Iterator[Float[np.ndarray, "flips groups"]]:
    """The flips that keep the last sign; the others give the same sums with the opposite sign."""
    chunk = max(1, _DRAWS_AT_ONCE // n)
    for start in range(0, 1 << (n - 1), chunk):
        yield 1.0 - 2 * (np.arange(start, min(start + chunk, 1 << (n - 1)))[:, None] >> np.arange(n) & 1)


def _drawn_flips(n: int, rounds: int, rng: np.random.Generator) -> Iterator[Float[np.ndarray, "flips groups"]]:
    chunk = max(1, _DRAWS_AT_ONCE // n)
    for start in range(0, rounds, chunk):
        yield 1.0 - 2 * rng.integers(2, size=(min(chunk, rounds - start), n))


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


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise InputError(f"level is {level}; give a coverage between 0 and 1, such as 0.95")


def _check_units(n: int) -> None:
    if n < 2:
        raise InputError(f"{n} unit to resample; an interval needs two or more tokens or speakers")
