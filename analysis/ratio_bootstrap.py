"""Bootstrap over groups (speakers) of ratios of sums, such as bits per second."""

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
    """Sum of numerators over sum of denominators, for groups drawn with replacement.

    Args:
        numerators: such as the bits of every speaker, in a column per layer.
        denominators: such as the seconds.
        rng: source of the resamples; all columns share them.
        resamples: number of resamples.

    Returns:
        One row per resample; NaN where the denominators of the groups drawn sum to zero.

    Raises:
        InputError: fewer than two groups, or shapes that differ.

    Example:
        >>> bits, seconds = np.array([[6.0], [9.0]]), np.array([[2.0], [3.0]])
        >>> resampled_ratios(bits, seconds, rng=np.random.default_rng(0), resamples=2)
        array([[3.],
               [3.]])
    """
    if numerators.shape != denominators.shape or len(numerators) < 2:
        raise InputError(
            f"numerators {numerators.shape}, denominators {denominators.shape}; give two or more groups of each"
        )
    groups = len(numerators)
    weights = rng.multinomial(groups, np.full(groups, 1 / groups), resamples).astype(np.float64)
    above, below = weights @ numerators, weights @ denominators
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def percentile_interval(values: Float[np.ndarray, "resamples columns"], level: float = 0.95) -> Interval:
    """The central `level` of the known values in each column; NaN where none is known."""
    low, high = np.full((2, values.shape[1]), np.nan)
    some = np.isfinite(values).any(0)
    tail = (1 - level) / 2
    if some.any():
        low[some], high[some] = np.nanquantile(values[:, some], [tail, 1 - tail], axis=0)
    return Interval(low, high, level)
