"""Audio of the explorer's pages: recordings, clips as WAV, and spectrograms.

Positions are samples of the recording's own rate, ends exclusive; times are in seconds from the recording's start.
"""

from __future__ import annotations

import io
import wave
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from lvm_probe.analysis.shape_annotations import Float, Float32, Shaped
from lvm_probe.probing.corpora.audio import FULL_SCALE, read_audio, resample
from lvm_probe.probing.corpora.corpus import Utterance

_FADE_SECONDS = 0.005
_PAUSE_SECONDS = 0.2
_WINDOW_SECONDS = 0.008  # resolves formants and the closures of stops rather than harmonics
_MOST_COLUMNS = 700
_HIGHEST_HZ = 8000.0
_LOWEST_DB = -100
_RANGE_DB, _LEAST_RANGE_DB = 60, 20
_EMPHASIS = 0.97


class Spectrogram(NamedTuple):
    """Levels in dB relative to full scale, of frames at `times_s` (seconds) and bins at `hz`."""

    times_s: Float[np.ndarray, " frames"]
    hz: Float[np.ndarray, " bins"]
    level: Float[np.ndarray, "bins frames"]

    @property
    def loudest(self) -> int:
        """The level of all but the loudest spots, so that a click does not darken everything else."""
        return round(float(np.percentile(self.level, 99.8)))


def shown_levels(loudest: int) -> tuple[int, int]:
    """The levels in dB that get the darkest and the brightest colour: a range of 60 dB, and silence is dark."""
    lowest = max(loudest - _RANGE_DB, _LOWEST_DB)
    return lowest, max(loudest, lowest + _LEAST_RANGE_DB)


@lru_cache(maxsize=32)
def samples(utterance: Utterance) -> Float32[np.ndarray, " n"]:
    """The recording in [-1, 1) at its own rate, read-only. The last few are cached.

    Raises:
        InputError: the audio cannot be read; it names the file.
    """
    audio = read_audio(utterance, utterance.sample_rate)
    audio.flags.writeable = False
    return audio


def clip(utterance: Utterance, start: int, end: int, margin_s: float = 0.0) -> bytes:
    """Samples [start, end) with `margin_s` seconds of context on both sides, faded over 5 ms, as WAV.

    Raises:
        InputError: the audio cannot be read; it names the file.
    """
    margin = round(margin_s * utterance.sample_rate)
    return wav(_faded(utterance, start - margin, end + margin), utterance.sample_rate)


def in_a_row(pieces: Sequence[tuple[Utterance, int, int]]) -> bytes:
    """Samples [start, end) of several recordings one after the other, with pauses between them, as WAV.

    Each is faded as in `clip`. The rate is that of the first; others are resampled.

    Raises:
        InputError: an audio file cannot be read, or its rate not converted; it names the file.
    """
    rate = pieces[0][0].sample_rate
    pause = np.zeros(round(_PAUSE_SECONDS * rate), np.float32)
    joined: list[np.ndarray] = []
    for utterance, start, end in pieces:
        piece = _faded(utterance, start, end)
        joined += [resample(piece, utterance.sample_rate, rate, utterance.audio), pause]
    return wav(np.concatenate(joined[:-1]), rate)


def _faded(utterance: Utterance, start: int, end: int) -> Float32[np.ndarray, " n"]:
    """Those of samples [start, end) that the recording has, faded at both ends."""
    piece = samples(utterance)[max(0, start) : end].copy()
    fade = min(round(_FADE_SECONDS * utterance.sample_rate), len(piece) // 2)
    rising = np.linspace(0, 1, fade, endpoint=False, dtype=np.float32)
    piece[:fade] *= rising
    piece[len(piece) - fade :] *= rising[::-1]
    return piece


def wav(samples: Shaped[np.ndarray, " n"], rate: int) -> bytes:
    """A mono 16-bit WAV file at `rate` Hz, from 16-bit integers or from floats in [-1, 1] (others are clipped)."""
    if samples.dtype.kind == "f":
        samples = np.clip(np.rint(samples * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1)
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(samples.astype("<i2").tobytes())
    return file.getvalue()


def spectrogram(utterance: Utterance, start: int, end: int) -> Spectrogram:
    """Spectrogram of samples [start, end) of a recording.

    Raises:
        InputError: the audio cannot be read; it names the file.
    """
    return spectrogram_of(samples(utterance), utterance.sample_rate, start, end)


def spectrogram_of(audio: Float[np.ndarray, " n"], rate: int, start: int = 0, end: int | None = None) -> Spectrogram:
    """Spectrogram of samples [start, end) of a waveform in [-1, 1]: 8 ms Hann windows, pre-emphasis, up to 8 kHz."""
    start, end = max(0, start), len(audio) if end is None else min(end, len(audio))
    window = max(16, round(_WINDOW_SECONDS * rate))
    hop = max(window // 8, -(-(end - start) // _MOST_COLUMNS))
    centres = np.arange(start + hop // 2, max(end, start + hop // 2 + 1), hop)
    first, half = int(centres[0]) - window // 2, window // 2
    last = int(centres[-1]) - half + window
    inside = audio[max(0, first - 1) : max(0, last)].astype(np.float64)
    padded = np.pad(inside, (max(0, 1 - first), max(0, last - len(audio))))  # one sample more in front
    emphasised = padded[1:] - _EMPHASIS * padded[:-1]
    frames = np.lib.stride_tricks.sliding_window_view(emphasised, window)[centres - half - first]
    taper = np.hanning(window)
    size = 1 << (2 * window - 1).bit_length()
    power = np.abs(np.fft.rfft(frames * taper, size)) ** 2 / taper.sum() ** 2
    hz = np.fft.rfftfreq(size, 1 / rate)
    shown = hz <= _HIGHEST_HZ
    return Spectrogram(centres / rate, hz[shown], 10 * np.log10(power.T[shown] + 10 ** (_LOWEST_DB / 10)))
