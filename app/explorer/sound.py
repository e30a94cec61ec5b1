"""Sound to hear and to see: clips as WAV, spectrograms, and their picture with the alignment beneath.

Positions are samples of the recording's own rate, ends exclusive; axes are in seconds from the recording's start.
"""

from __future__ import annotations

import html
import io
import wave
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lvm_probe.analysis.shape_annotations import Float, Float32, Shaped
from lvm_probe.probing.corpora.audio import FULL_SCALE, read_audio
from lvm_probe.probing.corpora.corpus import Segment, Utterance

if TYPE_CHECKING:
    from plotly.graph_objects import Bar, Figure, Heatmap

COLOURS = ("#010005", "#221150", "#5F187F", "#982D80", "#D3436E", "#F8765C", "#FEBA80", "#FCFDBF")
"""Magma: perceptually uniform, rising in lightness, told apart under the common kinds of colour blindness. Its darkest,
#000004, is not quite itself: Streamlit takes that very colour for a place to put one of its theme's."""
MARKED = "#D55E00"
UNMARKED = "#8FA3B8"
INK = "#10151C"
"""On marked and unmarked segments alike, in the light theme and in the dark one."""
LABEL_SIZE = 11
LABELS = {"minsize": LABEL_SIZE, "mode": "hide"}
"""The `uniformtext` of a layout with tiers: a label that does not fit its segment is left out."""

_FADE_SECONDS = 0.005
_WINDOW_SECONDS = 0.008  # shows formants and the closures of stops rather than harmonics
_MOST_COLUMNS = 700
_HIGHEST_HZ = 8000.0
_RANGE_DB = 60
_FLOOR = 1e-10  # -100 dB
_EMPHASIS = 0.97


class Spectrogram(NamedTuple):
    """Levels in dB under full scale of frames at `times_s` (seconds) and bins at `hz`."""

    times_s: Float[np.ndarray, " frames"]
    hz: Float[np.ndarray, " bins"]
    level: Float[np.ndarray, "bins frames"]


@lru_cache(maxsize=32)
def samples(utterance: Utterance) -> Float32[np.ndarray, " n"]:
    """The recording in [-1, 1) at its own rate; not to be written to. The last few are kept.

    Raises:
        InputError: the audio cannot be read; it names the file.
    """
    audio = read_audio(utterance, utterance.sample_rate)
    audio.flags.writeable = False
    return audio


def clip(utterance: Utterance, start: int, end: int, margin_s: float = 0.0) -> bytes:
    """Samples [start, end) with `margin_s` seconds of what is around them, faded over 5 ms, as WAV.

    Raises:
        InputError: the audio cannot be read; it names the file.
    """
    margin = round(margin_s * utterance.sample_rate)
    piece = samples(utterance)[max(0, start - margin) : end + margin].copy()
    fade = min(round(_FADE_SECONDS * utterance.sample_rate), len(piece) // 2)
    rising = np.linspace(0, 1, fade, endpoint=False, dtype=np.float32)
    piece[:fade] *= rising
    piece[len(piece) - fade :] *= rising[::-1]
    return wav(piece, utterance.sample_rate)


def wav(samples: Shaped[np.ndarray, " n"], rate: int) -> bytes:
    """A mono 16-bit WAV file at `rate` Hz, of 16-bit integers or of floats in [-1, 1] (clipped beyond)."""
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
    """Of samples [start, end) of a recording.

    Raises:
        InputError: the audio cannot be read; it names the file.
    """
    return spectrogram_of(samples(utterance), utterance.sample_rate, start, end)


def spectrogram_of(audio: Float[np.ndarray, " n"], rate: int, start: int = 0, end: int | None = None) -> Spectrogram:
    """Of samples [start, end) of a waveform in [-1, 1]: 8 ms Hann windows, 6 dB an octave of emphasis, up to 8 kHz."""
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
    return Spectrogram(centres / rate, hz[shown], 10 * np.log10(power.T[shown] + _FLOOR))


def picture(utterance: Utterance, start: int, end: int, mark: tuple[int, int] | None = None) -> Figure:
    """The spectrogram of samples [start, end), phones and words beneath, and the samples `mark` marked.

    A label that does not fit its segment is left out (zooming in brings it back); all are told on hovering.

    Raises:
        InputError: the audio cannot be read; it names the file.
    """
    return picture_of(spectrogram(utterance, start, end), utterance, start, end, mark)


def picture_of(
    seen: Spectrogram, utterance: Utterance, start: int, end: int, mark: tuple[int, int] | None = None
) -> Figure:
    """As `picture`, of any spectrogram over the recording's time."""
    from plotly.subplots import make_subplots

    tiers = [(name, some) for name, some in (("phone", utterance.phonemes), ("word", utterance.words)) if some]
    heights = [8.0, *[1.0] * len(tiers)]
    figure = make_subplots(len(heights), 1, shared_xaxes=True, vertical_spacing=0.012, row_heights=heights)
    figure.add_trace(heat(seen), 1, 1)
    for row, (name, segments) in enumerate(tiers, 2):
        figure.add_trace(tier(name, segments, utterance.sample_rate, start, end, mark), row, 1)
        figure.update_yaxes(fixedrange=True, showgrid=False, row=row, col=1)
    figure.update_yaxes(title_text="kHz", row=1, col=1)
    figure.update_xaxes(
        range=[start / utterance.sample_rate, end / utterance.sample_rate], showgrid=False, zeroline=False
    )
    figure.update_xaxes(title_text="seconds", row=len(heights), col=1)
    for at in mark or ():
        for colour, width in (("black", 4), ("white", 1.5)):  # seen on dark and on bright
            figure.add_vline(at / utterance.sample_rate, line={"color": colour, "width": width}, row=1, col=1)
    figure.update_layout(
        height=240 + 30 * len(tiers),
        margin={"l": 56, "r": 8, "t": 8, "b": 40},
        showlegend=False,
        bargap=0,
        uniformtext=LABELS,
        dragmode="zoom",
    )
    return figure


def heat(seen: Spectrogram) -> Heatmap:
    """A spectrogram as a Plotly trace, in kHz: 60 dB up to all but its loudest spots."""
    from plotly.graph_objects import Heatmap

    top = round(float(np.percentile(seen.level, 99.8)))  # a click does not darken all else
    bottom = top - _RANGE_DB
    return Heatmap(
        x=seen.times_s,
        y=seen.hz / 1000,
        z=np.clip(np.rint(seen.level), bottom, top).astype(np.int8),  # Plotly's colours are wrong beyond their ends
        zmin=bottom,
        zmax=top,
        colorscale=COLOURS,
        showscale=False,
        zsmooth="fast",
        hovertemplate="%{x:.3f} s, %{y:.2f} kHz: %{z} dB<extra></extra>",
    )


def tier(
    name: str, segments: Sequence[Segment], rate: int, start: int, end: int, mark: tuple[int, int] | None = None
) -> Bar:
    """The segments that touch samples [start, end) as a Plotly trace of bars, that of `mark` in another colour."""
    from plotly.graph_objects import Bar

    shown = [s for s in segments if s.end > start and s.start < end]
    spans = [(max(s.start, start) / rate, min(s.end, end) / rate) for s in shown]
    labels = [html.escape(s.label) for s in shown]
    return Bar(
        orientation="h",
        base=[a for a, _ in spans],
        x=[b - a for a, b in spans],
        y=[name] * len(shown),
        width=1,
        text=labels,
        textposition="inside",
        insidetextanchor="middle",
        textangle=0,
        textfont={"color": INK, "size": LABEL_SIZE},
        constraintext="inside",  # what would have to shrink is hidden: see `LABELS`
        marker={
            "color": [MARKED if (s.start, s.end) == mark else UNMARKED for s in shown],
            "line": {"color": "white", "width": 1},
        },
        customdata=[
            [
                f"{label}<br>{s.start / rate:.3f} to {s.end / rate:.3f} s ({1000 * s.samples / rate:.0f} ms)",
                s.start,
                s.end,
            ]
            for label, s in zip(labels, shown, strict=True)
        ],
        hovertemplate="%{customdata[0]}<extra></extra>",
    )
