"""The picture of the map: points that can be hovered, clicked, boxed and lassoed; `scatter.js` draws it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from matplotlib import colormaps
from matplotlib.colors import to_hex

from lvm_probe.app.explorer.class_outlines import ClassPlace
from lvm_probe.app.explorer.class_styles import MUTED
from lvm_probe.figures.style import MARKS, ClassStyle

RING = "#E6007A"
_SELECTED, _NEAR = {"radius": 9, "width": 2.5}, {"radius": 6.5, "width": 1.5}
_SHADES = 128  # colours of numbers

_TOOLS = {
    "pan": ("Move: drag; the wheel zooms", "M12 3v18M3 12h18M12 3l-2.5 2.5M12 3l2.5 2.5M12 21l-2.5-2.5M12 21l2.5-2.5"
            "M3 12l2.5-2.5M3 12l2.5 2.5M21 12l-2.5-2.5M21 12l-2.5 2.5"),
    "box": ("Select with a box", "M4 8V4h4M11 4h3M17 4h3v4M20 11v3M20 17v3h-3M14 20h-3M8 20H4v-3M4 14v-3"),
    "lasso": ("Select with a lasso", "M8 16.5C4.5 15.5 3 13 3 10.5 3 6.5 7 4 12 4s9 2.5 9 6.5-4 6.5-9 6.5"
              "M8 14.5a2 2 0 1 0 .1 0M7 18c0 1.5-.5 2.5-2 3.5"),
    "names": ("Names and outlines of the classes", "M4 7h10l5 5-5 5H4zM8 12h.1"),
    "whole": ("Show all points", "M4 11l8-7 8 7M6 10v9h12v-9"),
    "save": ("Save as PNG", "M12 4v11M12 15l-4-4M12 15l4-4M4 19h16"),
}  # fmt: skip
_MODES = ("pan", "box", "lasso")
_PRESSED = {"names": "true"}  # at first


def _button(name: str) -> str:
    title, path = _TOOLS[name]
    pressed = f' aria-pressed="{_PRESSED.get(name, "false")}"' if name in (*_MODES, *_PRESSED) else ""
    return (
        f'<button name="{name}" title="{title}" aria-label="{title}"{pressed}>'
        f'<svg viewBox="0 0 24 24"><path d="{path}"/></svg></button>'
    )


_HTML = f"""<div class="scatter"><div class="head"><div class="title"></div>
<div class="tools" role="toolbar">{"".join(map(_button, _TOOLS))}</div></div>
<div class="plane"><canvas tabindex="0" role="img"></canvas><div class="tip" hidden></div></div></div>"""

_CSS = """
.scatter {font-family: var(--st-font); color: var(--st-text-color)}
.head {display: flex; align-items: center; height: 30px; gap: 8px}
.title {flex: 1; min-width: 0; font-size: 14px; overflow: hidden; white-space: nowrap; text-overflow: ellipsis}
.tools {display: flex; gap: 2px}
.plane {position: relative}
canvas {position: absolute; width: 100%; height: 100%; touch-action: none; border-radius: 4px; outline-offset: 2px}
button {border: 0; border-radius: 5px; padding: 4px; width: 28px; height: 28px; cursor: pointer; background: none;
  color: inherit}
button:hover {background: var(--st-secondary-background-color)}
button[aria-pressed="true"] {color: var(--st-primary-color); background: var(--st-secondary-background-color)}
svg {width: 20px; height: 20px; fill: none; stroke: currentColor; stroke-width: 1.7; stroke-linecap: round;
  stroke-linejoin: round}
.tip {position: absolute; pointer-events: none; padding: 4px 8px; border-radius: 5px; font-size: 13px;
  line-height: 1.35; white-space: nowrap; background: var(--st-background-color); color: var(--st-text-color);
  border: 1px solid var(--st-border-color); box-shadow: 0 2px 8px rgba(0, 0, 0, .18)}
"""

_SCRIPT = "\n".join(path.read_text(encoding="utf-8") for path in (MARKS, Path(__file__).with_suffix(".js")))
_mount = st.components.v2.component("scatter", html=_HTML, css=_CSS, js=_SCRIPT)

_SEEN = "map was seen"


def scatter(
    data: dict[str, Any], key: str, select: Callable[[list[str], list[list[float]]], None], *, dark: bool
) -> None:
    """Show a `picture`. `select` is called before the next run with the tokens that were clicked or surrounded, and the
    line around them.

    A click beside every point selects none. `dark` is the theme that the colours are made for; if the page has another
    by then, the script runs again. Once the picture is on the screen, the browser gets a hidden Plotly chart, so that
    it has loaded Plotly before the first click.
    """
    _mount(
        key=key, data=data | {"seen": bool(st.session_state.get(_SEEN)), "dark": dark},
        on_selected_change=lambda: select(*_taken(st.session_state[key].get("selected"))),
        on_theme_change=lambda: None,
        on_seen_change=lambda: st.session_state.update({_SEEN: True}),
    )  # fmt: skip
    with st.container(key=f"preload-{key}"):
        if st.session_state.get(_SEEN):
            st.plotly_chart({"data": [{"type": "heatmap", "z": [[0]]}]}, key=f"nothing {key}")


def _taken(sent: Any) -> tuple[list[str], list[list[float]]]:
    """Tokens and line of what `scatter.js` sends."""
    sent = sent or {}
    return list(map(str, sent.get("tokens", ()))), [[float(x), float(y)] for x, y in sent.get("outline", ())]


def picture(frame: pd.DataFrame, axes: tuple[str, str], plane: str, *, styles: Mapping[str, ClassStyle] | None = None,
            selected: Sequence[str] = (), near: Sequence[str] = (), classes: Sequence[ClassPlace] = (),
            title: str = "", outline: Sequence[Sequence[float]] = (),
            extra: Sequence[tuple[float, float, str]] = ()) -> dict[str, Any]:  # fmt: skip
    """What `scatter.js` draws, ready to be sent: arrays as their bytes in base64.

    Args:
        frame: a row per point: token_id, x, y, hover (text, its first line bold), held_out, coloured (or grey),
            selectable (by a box or lasso, though grey), and class or (without styles) value, a number.
        axes: their names.
        plane: identifies the places of the points; while it stays the same, so does the part of them in view.
        styles: of the classes; None colours by value.
        selected: ids; a single one gets a ring.
        near: ids that get a thinner ring.
        classes: whose names and outlines are drawn, the most important first; they have styles.
        title: what the picture shows.
        outline: corners of the box or lasso around the selection.
        extra: places and names of what is no token; the last is emphasised.
    """
    kind = np.where(frame["coloured"], np.where(frame["held_out"], 3, 2), np.where(frame["selectable"], 1, 0))
    scale = None
    if styles is None:
        value = frame["value"].to_numpy(float)
        low, high = 0.0, float(np.nanpercentile(value, 98)) if len(value) else 1.0
        share = np.clip(np.nan_to_num((value - low) / max(high - low, 1e-9)), 0, 1)
        code: np.ndarray = np.round(share * (_SHADES - 1))
        marks = [ClassStyle(to_hex(colour), "o") for colour in colormaps["viridis"](np.linspace(0, 1, _SHADES))]
        scale = {"low": low, "high": high, "unit": "ms"}
    else:
        code = frame["class"].map({label: i for i, label in enumerate(styles)}).to_numpy(np.intp)
        marks = list(styles.values())
    rings = [(selected if len(selected) == 1 else (), _SELECTED), (near, _NEAR)]
    return {
        "tokens": frame["token_id"].tolist(),
        "hover": frame["hover"].tolist(),
        "x": _packed(frame["x"], "<f4"),
        "y": _packed(frame["y"], "<f4"),
        "style": _packed(code, "<u2"),
        "kind": _packed(kind, "u1"),
        "styles": [
            {"colour": one.colour, "text": one.text_colour, "mark": one.marker, "filled": one.filled} for one in marks
        ],
        "rings": [
            {"points": np.flatnonzero(frame["token_id"].isin(list(ids))).tolist(), **how} for ids, how in rings if ids
        ],
        "selected": len(selected),
        "ring": RING,
        "muted": MUTED,
        "scale": scale,
        "axes": list(axes),
        "plane": plane,
        "title": title,
        "extra": [{"x": x, "y": y, "text": text} for x, y, text in extra],
        "outline": [list(corner) for corner in outline],
        "names": [
            {
                "text": one.name, "style": list(styles or ()).index(one.name), "x": one.mean[0], "y": one.mean[1],
                "lines": [_packed(line, "<f4") for line in one.lines],
            }
            for one in classes
        ],
        "label": f"{len(frame):,} tokens as points of a plane: {axes[0]} across, {axes[1]} up",
    }  # fmt: skip


def _packed(values: Any, kind: str) -> str:
    return b64encode(np.asarray(values).astype(kind).tobytes()).decode()


def hover_texts(tokens: pd.DataFrame) -> pd.Series:
    """What is shown of a point under the pointer: label and duration, then the utterance."""
    length = 1000 * (tokens["end"] - tokens["start"]) / tokens["sample_rate"]
    return (
        tokens["label"].astype(str) + "  " + length.round().astype(int).astype(str) + " ms\n"
        + tokens["utterance"].astype(str)
    )  # fmt: skip
