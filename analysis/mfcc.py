"""Mel-frequency cepstral coefficients from a log-Mel spectrogram, with their first and second derivatives."""

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Float

COEFFICIENTS = 13
DELTA_SECONDS = 0.02
"""How far a derivative looks to either side: two frames at the usual hop of 10 ms."""


def mfcc(
    log_mel: Float[np.ndarray, "frames bins"], *, reach: int = 2, coefficients: int = COEFFICIENTS
) -> Float[np.ndarray, "frames three_coefficients"]:
    """Cepstrum of every frame, then its derivative over time, then that one's.

    The cepstrum is the orthonormal DCT-II of the log-Mel bins (Davis and Mermelstein 1980), from the zeroth
    coefficient on, which is the frame's level; there is no liftering. `reach` is in frames, see `deltas`.

    Raises:
        InputError: fewer Mel bins than coefficients.
    """
    from scipy.fft import dct

    if log_mel.shape[1] < coefficients:
        raise InputError(f"{coefficients} cepstral coefficients need as many Mel bins; got {log_mel.shape[1]}")
    cepstrum = dct(log_mel, type=2, norm="ortho", axis=1)[:, :coefficients]
    first = deltas(cepstrum, reach)
    return np.concatenate([cepstrum, first, deltas(first, reach)], axis=1)


def deltas(steps: Float[np.ndarray, "frames dims"], reach: int) -> Float[np.ndarray, "frames dims"]:
    """Slope per frame of the least-squares line through `reach` frames to either side (HTK book, section 5.9).

    The first and the last frame stand for what lies beyond them.
    """
    frames = len(steps)
    around = np.pad(steps, ((reach, reach), (0, 0)), mode="edge")
    slope = np.zeros_like(steps)
    for n in range(1, reach + 1):
        slope += n * (around[reach + n : reach + n + frames] - around[reach - n : reach - n + frames])
    return slope / steps.dtype.type(2 * sum(n * n for n in range(1, reach + 1)))


def delta_reach(sample_rate: int, hop: int) -> int:
    """DELTA_SECONDS in frames of `hop` samples, at least one."""
    return max(1, round(DELTA_SECONDS * sample_rate / hop))
