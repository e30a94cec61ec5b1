"""Frames of a waveform aligned with the latent steps of a model, and simple acoustic statistics of each frame."""

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Float

STATISTICS = ("log_rms", "zero_crossings", "centroid", "spread", "log_flatness", "rolloff", "high_low")
"""The columns of `frame_statistics`, in their order."""

SPLIT_HERTZ = 2000.0
"""Border of the low and the high band: above most first formants and voicing, below most frication."""

ROLLOFF = 0.85

_FLOOR = 1e-10  # added to powers, as in log_mel


def padded(wave: Float[np.ndarray, " samples"], *, hop: int, begin: int, length: int) -> Float[np.ndarray, " padded"]:
    """The wave, padded with zeros so that frame t is [t hop, t hop + length), for ceil(samples / hop) frames.

    Args:
        wave: samples.
        hop: samples per step.
        begin: begin of a frame relative to its step, in samples.
        length: samples per frame.

    Returns:
        The padded wave in double precision.

    Example:
        >>> padded(np.array([1.0, 2.0, 3.0]), hop=2, begin=-1, length=4)
        array([0., 1., 2., 3., 0., 0.])
    """
    frames = -(-len(wave) // hop)
    samples = np.zeros((frames - 1) * hop + length)
    inside = wave[max(begin, 0) : begin + len(samples)]
    samples[max(-begin, 0) : max(-begin, 0) + len(inside)] = inside
    return samples


def frame_statistics(
    wave: Float[np.ndarray, " samples"], *, sample_rate: int, hop: int = 64, window: int = 256
) -> Float[np.ndarray, "frames 7"]:
    """Simple acoustic statistics of every frame; the columns are STATISTICS.

    Frames are those of `analysis.mel.log_mel`: ceil(samples / hop) of them, each of the `window` samples centred on
    its step. The first two columns describe the frame itself, the others its power spectrum under a periodic Hann
    window:

    - log_rms: natural logarithm of the root mean square;
    - zero_crossings: changes of sign per second; zero counts as positive;
    - centroid and spread: mean and standard deviation of frequency, weighted by power, in Hz;
    - log_flatness: natural logarithm of the geometric over the arithmetic mean of the power; 0 for a flat spectrum;
    - rolloff: the frequency below which 85 % of the power lies, in Hz;
    - high_low: natural logarithm of the power from 2 kHz up over that below.

    Args:
        wave: samples in [-1, 1].
        sample_rate: Hz.
        hop: samples per step.
        window: samples per frame, at least 16.

    Raises:
        InputError: no samples, a sample that is not finite, or a length or rate out of range.

    Example:
        >>> wave = np.sin(2 * np.pi * 1000 * np.arange(800) / 16000)
        >>> found = frame_statistics(wave, sample_rate=16000)[6]
        >>> dict(zip(STATISTICS, found.round(1).tolist()))["centroid"]
        1000.0
    """
    if len(wave) == 0 or not np.isfinite(wave).all():
        raise InputError(f"wave of {len(wave)} samples is empty or not finite; check the recording")
    if hop < 1 or window < 16 or sample_rate <= 2 * SPLIT_HERTZ:
        raise InputError(
            f"frame statistics need a window of at least 16 samples at more than {2 * SPLIT_HERTZ:.0f} Hz; "
            f"got a window of {window}, a hop of {hop} and {sample_rate} Hz"
        )
    samples = padded(wave, hop=hop, begin=hop // 2 - window // 2, length=window)
    frames = np.lib.stride_tricks.sliding_window_view(samples, window)[::hop]
    negative = frames < 0
    crossings = (negative[:, 1:] != negative[:, :-1]).sum(1) * sample_rate / (window - 1)

    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    power = np.square(np.abs(np.fft.rfft(frames * hann))) + _FLOOR
    hertz = np.fft.rfftfreq(window, 1 / sample_rate)
    total = power.sum(1)
    centroid = power @ hertz / total
    spread = np.sqrt(np.maximum(power @ np.square(hertz) / total - np.square(centroid), 0))
    rolloff = hertz[(np.cumsum(power, 1) < ROLLOFF * total[:, None]).sum(1)]
    high = hertz >= SPLIT_HERTZ
    columns = (
        0.5 * np.log(np.mean(np.square(frames), 1) + _FLOOR),
        crossings,
        centroid,
        spread,
        np.log(power).mean(1) - np.log(power.mean(1)),
        rolloff,
        np.log(power[:, high].sum(1) / power[:, ~high].sum(1)),
    )
    return np.stack(columns, 1).astype(wave.dtype)
