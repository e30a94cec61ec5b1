"""Intervals and tests for accuracies: bootstraps over tokens or speakers, and paired sign flips."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Bool, Float, Int

_DRAWS_AT_ONCE = 1 << 16  # so that they stay in a cache
_NUMBERS_AT_ONCE = 1 << 20
_ENUMERATED = 1 << 14
_EXACT_IN_SINGLE = 1 << 24  # up to which single precision has every whole number


@dataclass(frozen=True)
class Interval:
    """A percentile interval for the mean of each column, as fractions."""

    low: Float[np.ndarray, " ks"]
    high: Float[np.ndarray, " ks"]
    level: float


@dataclass(frozen=True)
class SignFlip:
    """Two-sided paired tests: the mean differences, their p values, and whether all flips were enumerated."""

    mean: Float[np.ndarray, " tests"]
    p_value: Float[np.ndarray, " tests"]
    exact: bool


def group_means(
    values: Bool[np.ndarray, "tokens ks"] | Float[np.ndarray, "tokens ks"],
    groups: Int[np.ndarray, " tokens"],
) -> Float[np.ndarray, "groups ks"]:
    """The mean of every column in every group (the accuracy of every speaker), groups ascending."""
    sums, sizes = _group_sums(values, groups)
    return sums / sizes[:, None]


def token_bootstrap_interval(correct: Bool[np.ndarray, "tokens ks"], *, level: float = 0.95) -> Interval:
    """Percentile bootstrap over tokens of the fraction right (Efron and Tibshirani 1993, chapter 13), of all resamples.

    With c of n tokens right, the number right in a resample is binomial, B(n, c/n): its quantiles need no draws.

    Args:
        correct: one row a token, such as `Outcome.correct`.
        level: coverage, in (0, 1).

    Raises:
        InputError: fewer than two tokens, a level outside (0, 1).
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
        # One half token more and less where all or none are right, for the logarithm; the answer is set below.
        share = np.clip(counts[some, None], 0.5, n - 0.5) / n
        chances = np.exp(log_ways + right * np.log(share) + right[::-1] * np.log1p(-share))
        below = np.cumsum(chances, axis=1)
        for end, tail in enumerate(((1 - level) / 2, (1 + level) / 2)):
            ends[some, end] = (below < tail).sum(axis=1) / n
    sure = (counts == 0) | (counts == n)
    ends[sure] = counts[sure, None] / n
    low, high = ends[place].T
    return Interval(low, high, level)


def cluster_bootstrap_interval(
    values: Bool[np.ndarray, "tokens ks"] | Float[np.ndarray, "tokens ks"],
    groups: Int[np.ndarray, " tokens"],
    *,
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """Percentile bootstrap over groups (speakers) of the mean over tokens of every column.

    Whole groups are drawn with replacement and their tokens pooled, so that tokens of one speaker need
    not be independent (Davison and Hinkley 1997, section 3.8).

    Args:
        values: one row a token, such as `Outcome.correct`.
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
    by_column.sort(axis=1)  # which the quantiles take half as long to do
    low, high = np.quantile(by_column, [tail, 1 - tail], axis=1)
    return Interval(low, high, level)


def sign_flip_test(
    differences: Float[np.ndarray, "groups tests"], *, rng: np.random.Generator, rounds: int = 10_000
) -> SignFlip:
    """Tests whether paired differences, one a speaker, are symmetric about zero (Fisher 1935, section 21).

    Every flip of signs is enumerated up to 2^14 of them (14 speakers), and drawn beyond that, where the
    observed signs count as one draw more so that p is never zero. Two-sided; ties count as extreme.

    Args:
        differences: one a group, such as the accuracy of z1 minus that of Mel, in a column for every test.
        rng: source of the flips where they are drawn; all tests share them.
        rounds: number of flips drawn.

    Raises:
        InputError: no differences, or one that is not finite.
    """
    n = len(differences)
    if n == 0 or not np.isfinite(differences).all():
        raise InputError(f"differences are {differences}; give one finite number a speaker")
    observed = np.abs(differences.sum(axis=0))
    # Sums of the same numbers in another order differ in their last digits and are still ties.
    extreme = observed - 1e-12 * np.abs(differences).sum(axis=0)
    exact = 1 << n <= _ENUMERATED
    hits = np.zeros(observed.shape, dtype=np.intp)
    for flips in _half_of_all_flips(n) if exact else _drawn_flips(n, rounds, rng):
        hits += (np.abs(flips @ differences) >= extreme).sum(axis=0)
    return SignFlip(differences.mean(axis=0), hits / 2 ** (n - 1) if exact else (1 + hits) / (1 + rounds), exact)


def _half_of_all_flips(n: int) -> Iterator[Float[np.ndarray, "flips groups"]]:
    """Those that leave the last sign; the others give the same sums with the other sign."""
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
        raise InputError(f"{len(groups)} groups for {len(values)} tokens; give one group a token")
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
