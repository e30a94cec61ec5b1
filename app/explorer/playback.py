"""A line that moves over a picture of time while audio plays, and buttons that play and loop the stretch in view."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

_HTML = """<div class="playback">
<button name="play" aria-pressed="false" title="Play what the picture shows; once more: pause">▶ Play what is shown
</button><button name="loop" aria-pressed="false" title="Repeat what the picture shows">⟲ Loop</button>
<output>0.00 s</output></div>"""

_CSS = """
.playback {display: flex; gap: 8px; align-items: center; font-family: var(--st-font); color: var(--st-text-color);
  font-size: 14px; height: 34px}
button {font: inherit; color: inherit; background: none; border: 1px solid var(--st-border-color); border-radius: 6px;
  padding: 3px 10px; cursor: pointer; white-space: nowrap}
button:hover {background: var(--st-secondary-background-color)}
button[aria-pressed="true"] {color: var(--st-primary-color); border-color: var(--st-primary-color)}
output {font-variant-numeric: tabular-nums}
"""

_mount = st.components.v2.component(
    "playback", html=_HTML, css=_CSS, js=Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
)


def playback(chart: str, audio: Sequence[str], start_s: float, end_s: float, key: str) -> None:
    """Buttons, and a line over all strips of a picture at the place that is heard.

    Args:
        chart: key of the picture, a `time_plots.stacked` figure.
        audio: keys of containers with players whose audio begins at `start_s`; the buttons play the first one.
        start_s: start of the audio in seconds of the picture.
        end_s: its end.
        key: of this element.
    """
    _mount(key=key, data={"chart": chart, "audio": list(audio), "start": start_s, "stop": end_s})
