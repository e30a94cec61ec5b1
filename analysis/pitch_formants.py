"""Pitch and formants: by Praat where praat-parselmouth is installed, otherwise by the same algorithms here.

Pitch is the best path through the maxima of the autocorrelation (Boersma 1993, "Accurate short-term analysis of the
fundamental frequency and the harmonics-to-noise ratio of a sampled sound"), formants are the poles of linear prediction
by Burg's method (Childers 1978), with Praat's default settings. `engine` says which of the two it is, for they agree
closely, but not to the last digit.
"""

from __future__ import annotations

import importlib.util
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from scipy import signal

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Float

PITCH_HZ = (60.0, 500.0)
"""Lowest and highest pitch."""
CEILING_HZ = {"F": 5500.0, "M": 5000.0, None: 5500.0}
"""Highest frequency of the five formants that are looked for, by the speaker's gender, as Praat's manual advises."""
FORMANTS = 3
"""Formants that are returned."""
STEP_S = 0.005

# Praat's default settings of pitch by autocorrelation.
_CANDIDATES = 15
_SILENCE, _VOICING, _OCTAVE, _OCTAVE_JUMP, _VOICED_UNVOICED = 0.03, 0.45, 0.01, 0.35, 0.14
# Those of formants: window of twice 25 ms, emphasis from 50 Hz, five formants, none nearer than 50 Hz to either end.
_FORMANT_WINDOW_S, _EMPHASIS_HZ, _POLES, _MARGIN_HZ = 0.05, 50.0, 10, 50.0


class Tracks(NamedTuple):
    """Pitch and formants every 5 ms: NaN where there is none.

    Attributes:
        times_s: seconds from the start of the audio.
        pitch_hz: fundamental frequency.
        formants_hz: the lowest formants, where the sound is voiced.
    """

    times_s: Float[np.ndarray, " frames"]
    pitch_hz: Float[np.ndarray, " frames"]
    formants_hz: Float[np.ndarray, "formants frames"]


def installed() -> bool:
    """Whether praat-parselmouth is."""
    return importlib.util.find_spec("parselmouth") is not None


def engine() -> str:
    """What computes pitch and formants, with its version."""
    if not installed():
        return "lvm-probe"
    import parselmouth

    return f"Praat {parselmouth.PRAAT_VERSION}"


def long_enough(samples: int, rate: int) -> bool:
    """Whether audio has three periods of the lowest pitch (50 ms), of which one value of the pitch is computed."""
    return samples >= 3 * rate / PITCH_HZ[0] + 2


def tracks(wave: Float[np.ndarray, " n"], rate: int, gender: str | None) -> Tracks:
    """Pitch by autocorrelation and formants by Burg's method, with Praat's default settings.

    Args:
        wave: audio in [-1, 1].
        rate: its sample rate in Hz.
        gender: of the speaker, F or M, which sets the ceiling of the formants; None takes a woman's.

    Raises:
        InputError: the audio is shorter than three periods of the lowest pitch.

    Example:
        >>> wave = np.sign(np.sin(2 * np.pi * 125 * np.arange(8000) / 16000))
        >>> bool(abs(np.nanmedian(tracks(wave, 16000, "M").pitch_hz) - 125) < 0.5)
        True
    """
    if not long_enough(len(wave), rate):
        raise InputError(
            f"no pitch or formants: {1000 * len(wave) / rate:.0f} ms of audio are too short for three periods of "
            f"{PITCH_HZ[0]:.0f} Hz"
        )
    ceiling = min(CEILING_HZ.get(gender, CEILING_HZ[None]), rate / 2)
    samples = np.asarray(wave, np.float64)
    times, hz, formants = (_by_praat if installed() else _by_ours)(samples, rate, ceiling)
    voiced = hz > 0
    return Tracks(times, np.where(voiced, hz, np.nan), np.where(voiced, formants, np.nan))


_Found = tuple[np.ndarray, np.ndarray, np.ndarray]


def _by_praat(wave: np.ndarray, rate: int, ceiling: float) -> _Found:
    import parselmouth

    sound = parselmouth.Sound(wave, rate)
    try:
        pitch = sound.to_pitch_ac(time_step=STEP_S, pitch_floor=PITCH_HZ[0], pitch_ceiling=PITCH_HZ[1])
        formant = sound.to_formant_burg(time_step=STEP_S, maximum_formant=ceiling)
    except parselmouth.PraatError as error:
        raise InputError(f"no pitch or formants: {str(error).splitlines()[0]}") from None
    times = pitch.xs()
    formants = np.array([[formant.get_value_at_time(i + 1, t) for t in times] for i in range(FORMANTS)])
    return times, pitch.selected_array["frequency"], formants


def _by_ours(wave: np.ndarray, rate: int, ceiling: float) -> _Found:
    length = int(3 * rate / PITCH_HZ[0]) // 2 * 2
    count = int((len(wave) / rate - length / rate) / STEP_S) + 1
    first = 0.5 * (len(wave) / rate - (count - 1) * STEP_S)  # the frames lie in the middle of the audio, as Praat's do
    times = first + STEP_S * np.arange(count)
    return times, _pitch(wave, rate, times, length), _formants(wave, rate, times, ceiling)


def _frames(wave: np.ndarray, rate: int, times: np.ndarray, length: int) -> Float[np.ndarray, "frames length"]:
    """The samples about each time, zeros beyond the ends."""
    starts = np.round(times * rate).astype(np.intp) - length // 2
    padded = np.pad(wave, length)
    return padded[starts[:, None] + length + np.arange(length)]


def _pitch(wave: np.ndarray, rate: int, times: np.ndarray, length: int) -> Float[np.ndarray, " frames"]:
    """The pitch in Hz, 0 where the sound is unvoiced: the best path through the candidates of all frames."""
    wave = wave - wave.mean()
    frames = _frames(wave, rate, times, length)
    frames = frames - frames.mean(axis=1, keepdims=True)
    peak = np.abs(wave).max()
    middle = slice(length // 3, 2 * length // 3)  # a period of the lowest pitch
    loudness = np.abs(frames[:, middle]).max(axis=1) / peak if peak > 0 else np.zeros(len(frames))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(length) + 0.5) / length)
    size = 1 << (3 * length // 2 - 1).bit_length()
    correlations = _autocorrelation(frames * window, size)
    shape = _autocorrelation(window[None], size)
    lags = length // 2
    r = np.divide(correlations[:, :lags], correlations[:, :1], out=np.zeros((len(frames), lags)),
                  where=correlations[:, :1] > 0) / (shape[:, :lags] / shape[:, :1])  # fmt: skip
    hz, strength = _candidates(r, rate)
    unvoiced = _VOICING + np.maximum(0, 2 - loudness / (_SILENCE / (1 + _VOICING)))
    hz = np.concatenate([np.zeros((len(hz), 1)), hz], axis=1)
    strength = np.concatenate([unvoiced[:, None], strength], axis=1)
    return _best_path(hz, strength)


def _autocorrelation(frames: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(np.fft.irfft(np.square(np.abs(np.fft.rfft(frames, size))), size))


def _candidates(r: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """The frequencies and strengths of the highest maxima of the autocorrelation; strength -inf where there is none."""
    low, high = int(np.ceil(rate / PITCH_HZ[1])), min(int(rate / PITCH_HZ[0]), r.shape[1] - 2)
    lag = np.arange(low, high + 1)
    left, here, right = r[:, low - 1 : high], r[:, low : high + 1], r[:, low + 1 : high + 2]
    is_peak = (here > 0.5 * _VOICING) & (here > left) & (here >= right)
    slope, bend = (right - left) / 2, np.where(is_peak, 2 * here - left - right, 1.0)
    exact = lag + slope / bend
    height = np.minimum(here + slope**2 / (2 * bend), 1.0)
    strength = np.where(is_peak, height - _OCTAVE * np.log2(PITCH_HZ[0] * exact / rate), -np.inf)
    best = np.argsort(-strength, axis=1, kind="stable")[:, :_CANDIDATES]
    return rate / np.take_along_axis(exact, best, 1), np.take_along_axis(strength, best, 1)


def _best_path(hz: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """The frequencies of the path with the largest sum of strengths less the costs of its jumps (Viterbi)."""
    scale = 0.01 / STEP_S
    logs = np.log2(np.where(hz > 0, hz, 1.0))
    total, back = strength[0], np.zeros(hz.shape, dtype=np.intp)
    for t in range(1, len(hz)):
        silent, before = hz[t] == 0, hz[t - 1] == 0
        jump = _OCTAVE_JUMP * np.abs(logs[t - 1][:, None] - logs[t])
        jump = np.where(before[:, None] & silent, 0.0, np.where(before[:, None] ^ silent, _VOICED_UNVOICED, jump))
        paths = total[:, None] - scale * jump
        back[t] = paths.argmax(axis=0)
        total = paths[back[t], np.arange(len(silent))] + strength[t]
    path = np.empty(len(hz), dtype=np.intp)
    path[-1] = total.argmax()
    for t in range(len(hz) - 1, 0, -1):
        path[t - 1] = back[t][path[t]]
    return hz[np.arange(len(hz)), path]


def _formants(wave: np.ndarray, rate: int, times: np.ndarray, ceiling: float) -> Float[np.ndarray, "formants frames"]:
    """The lowest frequencies of the poles of linear prediction, NaN where there are fewer."""
    new = round(2 * ceiling)
    if new != rate:
        ratio = Fraction(new, rate)
        wave = signal.resample_poly(wave, ratio.numerator, ratio.denominator)
    wave = signal.lfilter([1, -np.exp(-2 * np.pi * _EMPHASIS_HZ / new)], [1], wave)
    length = int(_FORMANT_WINDOW_S * new)
    middle = (length - 1) / 2
    edge = np.exp(-12.0)
    gauss = (np.exp(-48 * ((np.arange(length) - middle) / (length + 1)) ** 2) - edge) / (1 - edge)
    predictor = _burg(_frames(wave, new, times, length) * gauss, _POLES)
    companion = np.zeros((len(times), _POLES, _POLES))
    companion[:, 0] = predictor
    companion[:, np.arange(1, _POLES), np.arange(_POLES - 1)] = 1
    poles = np.linalg.eigvals(companion)
    poles = poles / np.maximum(np.abs(poles), 1) ** 2  # reflected into the unit circle
    hz = np.angle(poles) * new / (2 * np.pi)
    inside = (hz >= _MARGIN_HZ) & (hz <= ceiling - _MARGIN_HZ)
    return np.sort(np.where(inside, hz, np.nan), axis=1)[:, :FORMANTS].T


def _burg(frames: Float[np.ndarray, "frames length"], order: int) -> Float[np.ndarray, "frames order"]:
    """Coefficients a of the prediction x[t] = Σ a[i] x[t - 1 - i] with the least forward and backward errors."""
    forward, backward = frames[:, 1:], frames[:, :-1]
    coefficients = np.zeros((len(frames), order))
    for m in range(order):
        energy = (forward**2 + backward**2).sum(axis=1)
        reflection = np.divide(2 * (forward * backward).sum(axis=1), energy, out=np.zeros(len(frames)),
                               where=energy > 0)[:, None]  # fmt: skip
        earlier = coefficients[:, :m]
        coefficients[:, :m] = earlier - reflection * earlier[:, ::-1]
        coefficients[:, m] = reflection[:, 0]
        forward, backward = (forward - reflection * backward)[:, 1:], (backward - reflection * forward)[:, :-1]
    return coefficients
