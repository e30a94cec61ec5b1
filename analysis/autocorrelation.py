"""Autocorrelation of time series pooled over recordings, and correlation times.

All times are in steps of the series.
"""

import math

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Float, Int

WINDOW = 5.0
"""Sokal's c: the sum of autocorrelations stops at the first lag that is c times the correlation time found so far."""


def lagged_products(series: Float[np.ndarray, "time dims"], lags: int) -> Float[np.ndarray, "lags dims"]:
    """Sums over t of d(t) d(t + k) for k = 0 to lags - 1, where d is the deviation from the mean of the series.

    Zero at lags that the series is too short for. Sums of several series may be added, as may their `pairs`.

    Raises:
        InputError: no lags, or an empty series.

    Example:
        >>> lagged_products(np.array([[1.0], [-1.0], [1.0], [-1.0]]), 2).round(6)
        array([[ 4.],
               [-3.]])
    """
    if lags < 1 or len(series) == 0:
        raise InputError(f"{lags} lags of a series of {len(series)} steps; give at least one of each")
    deviation = series - series.mean(0)
    size = next_fast_len(
        len(series) + lags, real=True
    )  # long enough that the end does not wrap around to the beginning
    spectrum = rfft(deviation, size, axis=0)
    return irfft(spectrum.real**2 + spectrum.imag**2, size, axis=0)[:lags]


def pairs(steps: int, lags: int) -> Int[np.ndarray, " lags"]:
    """Number of pairs of steps that are k apart, for k = 0 to lags - 1."""
    return np.maximum(steps - np.arange(lags), 0)


def autocorrelation(
    products: Float[np.ndarray, "lags dims"],
    pairs: Int[np.ndarray, "lags #dims"] | Float[np.ndarray, "lags #dims"],
) -> Float[np.ndarray, "lags dims"]:
    """Mean product at each lag divided by the mean square; NaN where there is no pair or no variance.

    Subtracting each recording's own mean lowers it everywhere by about 2 tau / T for recordings of T steps.

    Args:
        products: sums of `lagged_products`.
        pairs: sums of `pairs`, for all columns or one each.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        covariance = products / pairs
        # A smaller mean square is the rounding of a constant series.
        return np.where(covariance[0] > np.finfo(np.float64).tiny, covariance / covariance[0], np.nan)


def integrated_time(correlation: Float[np.ndarray, "lags dims"], window: float = WINDOW) -> Float[np.ndarray, " dims"]:
    """Integrated autocorrelation time of each column, in steps: tau = 1/2 + sum of rho(k) for k = 1 to W.

    W is the smallest lag that is at least `window` times tau(W) (Sokal 1989, "Monte Carlo methods in statistical
    mechanics", section 3). White noise has tau = 1/2, and exp(-k/tau) has tau where tau is many steps. NaN where no lag
    is long enough, or the autocorrelation is not known up to it.

    Example:
        >>> integrated_time(np.exp(-np.arange(200) / 10)[:, None]).round(1)
        array([9.9])
    """
    time = 0.5 + np.cumsum(correlation[1:], axis=0)
    reached = np.arange(1, len(correlation))[:, None] >= window * time
    return np.array([of[stop.argmax()] if stop.any() else np.nan for of, stop in zip(time.T, reached.T, strict=True)])


def decay_time(correlation: Float[np.ndarray, "lags dims"], level: float = 1 / math.e) -> Float[np.ndarray, " dims"]:
    """First lag at which each column falls below `level`, in steps, interpolated between lags; NaN if it never does.

    Example:
        >>> decay_time(np.array([[1.0], [0.75], [0.25]]), level=0.5)
        array([1.5])
    """
    times = np.full(correlation.shape[1], np.nan)
    for i, column in enumerate(correlation.T):
        below = np.flatnonzero(column < level)
        if len(below) and below[0] > 0:
            before, after = column[below[0] - 1], column[below[0]]
            times[i] = below[0] - 1 + (before - level) / (before - after)
    return times
