"""Mel-frequency cepstral coefficients from a log-Mel spectrogram, with their first and second derivatives."""

import numpy as np
from scipy.fft import dct

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Float, Int

COEFFICIENTS = 13
DELTA_SECONDS = 0.02
"""Reach of a derivative to either side: two frames at the usual hop of 10 ms."""


def cepstrum(
    log_mel: Float[np.ndarray, "frames bins"], coefficients: int = COEFFICIENTS
) -> Float[np.ndarray, "frames coefficients"]:
    """The cepstrum of every frame: the orthonormal DCT-II of its log-Mel bins (Davis and Mermelstein 1980).

    There is no liftering. The zeroth coefficient, the level of the frame, comes first.

    Raises:
        InputError: fewer Mel bins than coefficients.

    Example:
        >>> cepstrum(np.zeros((10, 80))).shape
        (10, 13)
    """
    if log_mel.shape[1] < coefficients:
        raise InputError(f"{coefficients} cepstral coefficients need as many Mel bins; got {log_mel.shape[1]}")
    return dct(log_mel, type=2, norm="ortho", axis=1)[:, :coefficients]


def with_derivatives(
    steps: Float[np.ndarray, "frames dims"], reach: int, lengths: Int[np.ndarray, " stretches"] | None = None
) -> Float[np.ndarray, "frames three_dims"]:
    """Every frame, its first derivative over time and its second; the arguments are those of `deltas`."""
    first = deltas(steps, reach, lengths)
    return np.concatenate([steps, first, deltas(first, reach, lengths)], axis=1)


def deltas(
    steps: Float[np.ndarray, "frames dims"], reach: int, lengths: Int[np.ndarray, " stretches"] | None = None
) -> Float[np.ndarray, "frames dims"]:
    """Slope per frame of the least-squares line through `reach` frames to either side (HTK book, section 5.9).

    Beyond the ends of a stretch, its first and its last frame are repeated.

    Args:
        steps: the frames of one or several stretches, one stretch after another.
        reach: in frames.
        lengths: number of frames of each stretch; None for a single one.

    Example:
        >>> deltas(np.array([[0.0], [2.0], [4.0]]), 1).ravel()
        array([1., 2., 1.])
        >>> deltas(np.array([[0.0], [2.0], [4.0]]), 1, np.array([2, 1])).ravel()
        array([1., 1., 0.])
    """
    lengths = np.array([len(steps)]) if lengths is None else lengths
    ends = np.repeat(np.cumsum(lengths), lengths)
    starts = ends - np.repeat(lengths, lengths)
    frames = np.arange(len(steps))
    slope = np.zeros_like(steps)
    for n in range(1, reach + 1):
        slope += n * (steps[np.minimum(frames + n, ends - 1)] - steps[np.maximum(frames - n, starts)])
    return slope / steps.dtype.type(2 * sum(n * n for n in range(1, reach + 1)))


def delta_reach(sample_rate: int, hop: int) -> int:
    """DELTA_SECONDS in frames of `hop` samples, at least one."""
    return max(1, round(DELTA_SECONDS * sample_rate / hop))
