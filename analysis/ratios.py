"""Ratios of sums, such as bits over seconds, and their bootstrap over groups (speakers)."""

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Float
from lvm_probe.analysis.statistics import Interval


def resampled_ratios(
    numerators: Float[np.ndarray, "groups columns"],
    denominators: Float[np.ndarray, "groups columns"],
    *,
    rng: np.random.Generator,
    resamples: int = 2000,
) -> Float[np.ndarray, "resamples columns"]:
    """Sum of numerators over sum of denominators, for groups drawn with replacement; all columns share the draws.

    NaN where none of the groups drawn has the column, that is where the denominators sum to zero.

    Raises:
        InputError: fewer than two groups, or shapes that differ.
    """
    if numerators.shape != denominators.shape or len(numerators) < 2:
        raise InputError(
            f"numerators {numerators.shape}, denominators {denominators.shape}; give two or more groups of each"
        )
    groups = len(numerators)
    weights = rng.multinomial(groups, np.full(groups, 1 / groups), resamples).astype(np.float64)
    above, below = weights @ numerators, weights @ denominators
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def percentile_interval(draws: Float[np.ndarray, "resamples columns"], level: float = 0.95) -> Interval:
    """The middle `level` of each column's draws that are known; NaN where none is."""
    low, high = np.full(draws.shape[1], np.nan), np.full(draws.shape[1], np.nan)
    some = np.isfinite(draws).any(0)
    tail = (1 - level) / 2
    if some.any():
        low[some], high[some] = np.nanquantile(draws[:, some], [tail, 1 - tail], axis=0)
    return Interval(low, high, level)
