"""What phoneticians measure in speech, at every step: pitch, voicing, intensity, formants, tilt and centroid."""

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.frames import STATISTICS, frame_statistics, padded
from lvm_probe.analysis.pitch_formants import FORMANTS, long_enough, tracks
from lvm_probe.analysis.shape_annotations import Float

WINDOW_S = 0.025
"""Length of the frames of intensity, tilt and centroid, in seconds."""
TILT_HZ = (100.0, 5000.0)
"""The spectral tilt is that of this band."""
MIN_RATE = 8000
"""Hz: telephone speech, which ends at 4 kHz, still has three formants."""

_FLOOR = 1e-10  # added to powers, as in log_mel


def check_rate(sample_rate: int) -> None:
    """Refuse audio whose rate is too low for three formants.

    Raises:
        InputError: the rate is below `MIN_RATE`.
    """
    if sample_rate < MIN_RATE:
        raise InputError(f"acoustic measures need audio of {MIN_RATE:,} Hz or more, not {sample_rate:,} Hz")


def acoustic_measures(
    wave: Float[np.ndarray, " samples"], *, sample_rate: int, hop: int, gender: str | None = None
) -> Float[np.ndarray, "steps 8"]:
    """Acoustic measures at the middle of every step of `hop` samples, NaN where there is none.

    The columns are

    - f0 in Hz (Boersma 1993); NaN where the sound is unvoiced;
    - voiced: 1 where there is a pitch, 0 elsewhere; pitch and formants are those of the nearest 5 ms;
    - intensity: 10 log10 of the mean square, in dB below full scale;
    - F1, F2 and F3 in Hz, by linear prediction (Burg); NaN where the sound is unvoiced;
    - tilt: slope of the level over the logarithm of frequency between 100 Hz and 5 kHz, in dB per octave, each octave
      with the same weight;
    - centroid: mean frequency weighted by power, in Hz.

    Intensity, tilt and centroid are of frames of 25 ms about the step; the last two under a Hann window. In audio of
    less than 50 ms nothing is voiced.

    Args:
        wave: samples in [-1, 1].
        sample_rate: Hz, at least 8,000.
        hop: samples per step.
        gender: of the speaker, F or M, for the highest frequency of the formants; None takes a woman's.

    Raises:
        InputError: the rate is too low, or `wave` is empty or not finite.

    Example:
        >>> wave = 0.5 * np.sin(2 * np.pi * 200 * np.arange(4000) / 16000)
        >>> float(acoustic_measures(wave, sample_rate=16000, hop=160)[12, 2].round(1))
        -9.0
    """
    check_rate(sample_rate)
    window = round(WINDOW_S * sample_rate)
    frames = frame_statistics(wave, sample_rate=sample_rate, hop=hop, window=window)
    statistics = dict(zip(STATISTICS, frames.T.astype(np.float64), strict=True))
    steps = len(statistics["log_rms"])
    pitch = np.full(steps, np.nan)
    formants = np.full((FORMANTS, steps), np.nan)
    if long_enough(len(wave), sample_rate):
        found = tracks(wave, sample_rate, gender)
        middles = (np.arange(steps) + 0.5) * hop / sample_rate
        nearest, far = _nearest(found.times_s, middles)
        pitch = np.where(far, np.nan, found.pitch_hz[nearest])
        formants = np.where(far, np.nan, found.formants_hz[:, nearest])
    voiced = np.isfinite(pitch).astype(np.float64)
    intensity = 20 / np.log(10) * statistics["log_rms"]
    tilt = _tilt(wave, sample_rate, hop, window)
    return np.stack([pitch, voiced, intensity, *formants, tilt, statistics["centroid"]], axis=1)


def _nearest(times: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest of rising times to each wanted one, and whether it lies beyond the first or last by over a step."""
    right = np.clip(np.searchsorted(times, wanted), 1, max(len(times) - 1, 1))
    right = np.minimum(right, len(times) - 1)
    left = np.maximum(right - 1, 0)
    nearest = np.where(wanted - times[left] <= times[right] - wanted, left, right)
    step = times[1] - times[0] if len(times) > 1 else np.inf
    return nearest, np.abs(times[nearest] - wanted) > step


def _tilt(wave: np.ndarray, sample_rate: int, hop: int, window: int) -> Float[np.ndarray, " steps"]:
    """The slope of a straight line through the level in dB over octaves, weighted so that octaves count alike."""
    samples = padded(wave, hop=hop, begin=hop // 2 - window // 2, length=window)
    frames = np.lib.stride_tricks.sliding_window_view(samples, window)[::hop]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    level = 10 * np.log10(np.square(np.abs(np.fft.rfft(frames * hann))) + _FLOOR)
    hertz = np.fft.rfftfreq(window, 1 / sample_rate)
    band = (hertz >= TILT_HZ[0]) & (hertz <= TILT_HZ[1])
    octaves, weights = np.log2(hertz[band]), 1 / hertz[band]
    octaves = octaves - np.average(octaves, weights=weights)
    return np.asarray(level[:, band] @ (weights * octaves) / (weights * octaves**2).sum())
