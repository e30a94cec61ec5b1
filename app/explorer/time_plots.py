"""Plotly pictures of one recording over time: strips above each other on one axis, of audio, alignment and latents.

Positions are samples of the recording's own rate, ends exclusive; axes are in seconds from the recording's start. Text
from files is escaped, because Plotly reads some HTML in labels.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lvm_probe.analysis.shape_annotations import Float, Int
from lvm_probe.app.explorer import audio
from lvm_probe.probing.corpora.corpus import Segment, Utterance

if TYPE_CHECKING:
    from plotly.graph_objects import Bar, Figure, Heatmap, Scatter

MAGMA = ("#010005", "#221150", "#5F187F", "#982D80", "#D3436E", "#F8765C", "#FEBA80", "#FCFDBF")
"""Perceptually uniform, rising in lightness, distinct under the common kinds of colour blindness. The darkest is not
quite #000004, which Streamlit replaces by a colour of its theme."""
BERLIN = (
    "#9eb0ff", "#62a6e0", "#3280a6", "#20526a", "#112732", "#190c09",
    "#371000", "#61200b", "#964a36", "#ca7b71", "#ffadad",
)  # fmt: skip
"""Diverging, by F. Crameri: dark at zero, so that in either theme what is not zero stands out."""
MARKED, UNMARKED, WAVE = "#D55E00", "#8FA3B8", "#7A93AC"
INK = "#10151C"
"""Text on marked and unmarked segments, in both themes."""
NO_TICKS = {"showticklabels": False, "ticks": "", "fixedrange": True}

_LABEL_SIZE = 11
_SPREADS = 2.5  # standard deviations from the middle of the colours of latents to their ends
_GAP = 8  # pixels between strips


class Strip(NamedTuple):
    """A strip of a picture: its height in pixels, its trace, the settings of its vertical axis, and traces over it."""

    height: int
    trace: Any
    axis: Mapping[str, Any]
    over: Sequence[Any] = ()


def stacked(strips: Sequence[Strip], start_s: float, end_s: float) -> Figure:
    """Strips above each other on one axis of time, in order from the top."""
    from plotly.subplots import make_subplots

    heights = [strip.height for strip in strips]
    height = sum(heights) + _GAP * (len(strips) - 1)
    figure = make_subplots(len(strips), 1, shared_xaxes=True, vertical_spacing=_GAP / height, row_heights=heights)
    for place, strip in enumerate(strips, 1):
        for trace in (strip.trace, *strip.over):
            figure.add_trace(trace, place, 1)
        figure.update_yaxes(**strip.axis, showgrid=False, zeroline=False, row=place, col=1)
        figure.update_yaxes(title_font={"size": 12}, row=place, col=1)
    figure.update_xaxes(range=[start_s, end_s], showgrid=False, zeroline=False)
    figure.update_xaxes(title_text="seconds", row=len(strips), col=1)
    figure.update_layout(
        height=height + 60,
        margin={"l": 84, "r": 8, "t": 8, "b": 52},
        showlegend=False,
        bargap=0,
        uniformtext={"minsize": _LABEL_SIZE, "mode": "hide"},  # a label that does not fit its segment is hidden
        clickmode="event+select",
        dragmode="zoom",
    )
    return figure


def spectrogram_strips(
    utterance: Utterance, start: int, end: int, mark: tuple[int, int] | None = None, height: int = 170
) -> list[Strip]:
    """The spectrogram of samples [start, end), and phones and words below; `mark` is a segment in another colour.

    Raises:
        InputError: the audio cannot be read; it names the file.
    """
    strips = [Strip(height, spectrogram_trace(audio.spectrogram(utterance, start, end)), {"title": "kHz"})]
    for name, segments in (("phone", utterance.phonemes), ("word", utterance.words)):
        if segments:
            trace = segments_trace(name, segments, utterance.sample_rate, start, end, mark)
            strips.append(Strip(24, trace, {"fixedrange": True}))
    return strips


def token_picture(utterance: Utterance, start: int, end: int, token: tuple[int, int]) -> Figure:
    """The spectrogram of samples [start, end) with its alignment, and lines at the ends of a token.

    Raises:
        InputError: the audio cannot be read; it names the file.
    """
    rate = utterance.sample_rate
    figure = stacked(spectrogram_strips(utterance, start, end, token, 150), start / rate, end / rate)
    for at in token:
        for colour, width in (("black", 4), ("white", 1.5)):  # visible on dark and on bright
            figure.add_vline(at / rate, line={"color": colour, "width": width}, row=1, col=1)
    figure.update_layout(height=250, margin={"l": 52, "r": 4, "t": 4, "b": 26})
    figure.update_xaxes(title_text="", ticksuffix=" s")
    return figure


def spectrogram_trace(spectrogram: audio.Spectrogram, top: int | None = None) -> Heatmap:
    """A spectrogram in kHz, over a range of 60 dB below `top` (default: its `loudest`); silence is dark."""
    from plotly.graph_objects import Heatmap

    bottom, top = audio.shown_levels(spectrogram.loudest if top is None else top)
    return Heatmap(
        x=spectrogram.times_s,
        y=spectrogram.hz / 1000,
        z=np.clip(np.rint(spectrogram.level), bottom, top).astype(np.int8),  # Plotly miscolours values beyond the ends
        zmin=bottom,
        zmax=top,
        colorscale=MAGMA,
        showscale=False,
        zsmooth="fast",
        hovertemplate="%{x:.3f} s, %{y:.2f} kHz: %{z} dB<extra></extra>",
    )


def segments_trace(
    name: str, segments: Sequence[Segment], rate: int, start: int, end: int, mark: tuple[int, int] | None = None
) -> Bar:
    """The segments that overlap samples [start, end) as bars, the one at `mark` in another colour."""
    from plotly.graph_objects import Bar

    shown = [s for s in segments if s.end > start and s.start < end]
    spans = [(max(s.start, start) / rate, min(s.end, end) / rate) for s in shown]
    labels = [html.escape(s.label) for s in shown]
    hover = [
        f"{label}<br>{s.start / rate:.3f} to {s.end / rate:.3f} s ({1000 * s.samples / rate:.0f} ms)"
        for label, s in zip(labels, shown, strict=True)
    ]
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
        textfont={"color": INK, "size": _LABEL_SIZE},
        constraintext="inside",
        marker={
            "color": [MARKED if (s.start, s.end) == mark else UNMARKED for s in shown],
            "line": {"color": "white", "width": 1},
        },
        customdata=[[text, s.start, s.end] for text, s in zip(hover, shown, strict=True)],
        hovertemplate="%{customdata[0]}<extra></extra>",
    )


def clicked_segments(event: Any, utterance: Utterance) -> list[Segment]:
    """The segments of a picture that were clicked, by their places in time."""
    spans = [tuple(point["customdata"])[1:] for point in event["selection"]["points"] if "customdata" in point]
    return [s for s in (*utterance.phonemes, *utterance.words) if (s.start, s.end) in spans]


def formant_traces(times_s: Float[np.ndarray, " frames"], hz: Float[np.ndarray, "formants frames"]) -> list[Scatter]:
    """Dots at the formants, in kHz, to lie over a spectrogram."""
    from plotly.graph_objects import Scatter

    return [
        Scatter(
            x=times_s, y=row / 1000, mode="markers", name=f"F{i}",
            marker={"size": 4, "color": "#33E0FF", "line": {"width": 0.8, "color": "#10151C"}},
            hovertemplate=f"F{i} at %{{x:.3f}} s: %{{customdata:.0f}} Hz<extra></extra>", customdata=row,
        )
        for i, row in enumerate(hz, 1)
    ]  # fmt: skip


def pitch_trace(times_s: Float[np.ndarray, " frames"], hz: Float[np.ndarray, " frames"], colour: str) -> Scatter:
    """Pitch over time, with gaps where there is none."""
    from plotly.graph_objects import Scatter

    return Scatter(
        x=times_s, y=hz, mode="lines+markers", connectgaps=False, line={"width": 2, "color": colour},
        marker={"size": 3}, hovertemplate="pitch at %{x:.3f} s: %{y:.0f} Hz<extra></extra>",
    )  # fmt: skip


def predicted_trace(
    name: str, tokens: Sequence[Segment], predictions: Sequence[str], rate: int, start: int, end: int
) -> Bar:
    """The predicted label of each token, in another colour where it is not the token's own."""
    from dataclasses import replace

    shown = [(t, p) for t, p in zip(tokens, predictions, strict=True) if t.end > start and t.start < end]
    trace = segments_trace(name, [replace(t, label=p) for t, p in shown], rate, start, end)
    trace.marker.color = [UNMARKED if t.label == p else MARKED for t, p in shown]
    return trace


def waveform_trace(wave: Float[np.ndarray, " n"], start: int, rate: int, most: int = 1500) -> Scatter:
    """The waveform as the lowest and highest sample of each of at most `most` intervals."""
    from plotly.graph_objects import Scatter

    width = max(1, -(-len(wave) // most))
    columns = np.arange(0, len(wave), width)
    low, high = np.minimum.reduceat(wave, columns), np.maximum.reduceat(wave, columns)
    t = (start + columns + width / 2) / rate
    x, y = np.concatenate([t, t[::-1]]), np.concatenate([high, low[::-1]])
    return Scatter(x=x, y=y, fill="toself", mode="lines", line={"width": 0.5, "color": WAVE}, hoverinfo="skip")


def steps_trace(
    name: str, edges_s: Float[np.ndarray, " edges"], values: Float[np.ndarray, " steps"], colour: str, unit: str
) -> Scatter:
    """Values of time steps as a filled staircase."""
    from plotly.graph_objects import Scatter

    return Scatter(
        x=edges_s,
        y=np.append(values, values[-1:]),
        line={"shape": "hv", "width": 1.5, "color": colour},
        fill="tozeroy",
        mode="lines",
        hovertemplate=f"{name} at %{{x:.3f}} s: %{{y:.0f}} {unit}<extra></extra>",
    )


def latents_trace(
    name: str,
    edges_s: Float[np.ndarray, " edges"],
    values: Float[np.ndarray, "steps size"],
    dims: Int[np.ndarray, " shown"],
) -> Heatmap:
    """Some dimensions of latents over time, the first on top, each in units of its own spread around its mean."""
    from plotly.graph_objects import Heatmap

    rows = values[:, dims[::-1]].T  # Plotly starts at the bottom
    spread = np.nanstd(rows, axis=1, keepdims=True)
    scaled = (rows - np.nanmean(rows, axis=1, keepdims=True)) / np.where(spread > 0, spread, 1)
    return Heatmap(
        x=edges_s,
        z=np.clip(scaled, -_SPREADS, _SPREADS).astype(np.float32),
        zmin=-_SPREADS,
        zmax=_SPREADS,
        colorscale=list(BERLIN),
        showscale=False,
        customdata=np.stack([np.broadcast_to(dims[::-1, None], rows.shape), rows], -1).astype(np.float32),
        hovertemplate=f"{name}[%{{customdata[0]}}] at %{{x:.3f}} s: %{{customdata[1]:.2f}}<extra></extra>",
    )
