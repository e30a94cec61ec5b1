"""Tokens as a grid of small spectrograms that play, one by one or in a row; `token_grid.js` shows it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import streamlit as st

from lvm_probe import InputError
from lvm_probe.app.explorer import audio
from lvm_probe.app.explorer.inputs import ExplorerInputs
from lvm_probe.app.explorer.token_card import CONTEXT_SECONDS, SHORT_SECONDS
from lvm_probe.probing.corpora.corpus import Utterance

PER_PAGE = 48
"""Tokens in a grid; the others follow on further pages."""

_WIDTH, _HEIGHT = 80, 56  # pixels of a spectrogram
_ICONS = {
    "play": "M7 5v14l12-7z",
    "stop": "M6 6h12v12H6z",
    "go": "M5 12h13M12 6l6 6-6 6",
}
_HTML = f"""<div class="grid"><button class="row" type="button">
<svg viewBox="0 0 24 24"><path d="{_ICONS["play"]}"/></svg><span></span></button><div class="cells"></div></div>"""
_CSS = """
.grid {font-family: var(--st-font); color: var(--st-text-color)}
.cells {display: grid; grid-template-columns: repeat(auto-fill, minmax(86px, 1fr)); gap: 6px}
button {border: 1px solid var(--st-border-color); border-radius: 6px; background: none; color: inherit; font: inherit;
  cursor: pointer}
button:hover {border-color: var(--st-primary-color)}
.row {display: flex; align-items: center; gap: 4px; padding: 2px 10px 2px 6px; margin-bottom: 8px; font-size: 14px}
.cell {position: relative; min-width: 0}
.token {width: 100%; padding: 2px; text-align: left; overflow: hidden}
.playing .token {border-color: var(--st-primary-color); box-shadow: 0 0 0 1px var(--st-primary-color)}
img {display: block; width: 100%; height: 52px; border-radius: 4px}
.name, .note {display: block; line-height: 1.3; white-space: nowrap; overflow: hidden; text-overflow: ellipsis}
.name {font-size: 13px}
.note {font-size: 11px; opacity: .75}
.other {position: absolute; top: 4px; right: 4px; padding: 0; width: 22px; height: 22px;
  background: var(--st-background-color)}
svg {width: 16px; height: 16px; display: block; margin: auto; fill: none; stroke: currentColor; stroke-width: 1.8}
[hidden] {display: none}
"""

_mount = st.components.v2.component(
    "token_grid", html=_HTML, css=_CSS, js=Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
)


def token_grid(
    inputs: ExplorerInputs,
    tokens: pd.DataFrame,
    notes: Sequence[str],
    key: str,
    go: Callable[[str], None],
    *,
    click: Literal["play", "go"],
) -> None:
    """Show tokens with a note below each.

    Args:
        inputs: without a corpus there is nothing to see and to hear.
        tokens: at most `PER_PAGE` rows of a table.
        notes: a text for each.
        key: of the grid on the page.
        go: is called before the next run with the id of the token to go to.
        click: what a click on a token does; a small button does the other.
    """
    cells = [_cell(inputs, row, note) for row, note in zip(tokens.to_dict("records"), notes, strict=True)]
    _mount(
        key=key, data={"cells": cells, "click": click, "icons": _ICONS},
        on_go_change=lambda: go(str(st.session_state[key].get("go"))),
    )  # fmt: skip


def _cell(inputs: ExplorerInputs, row: dict[Any, Any], note: str) -> dict[str, Any]:
    label = str(row["label"])
    cell: dict[str, Any] = {
        "token": str(row["token_id"]), "label": label, "note": note,
        "title": f"{label}, {row['utterance']}, {1000 * (row['end'] - row['start']) / row['sample_rate']:.0f} ms",
    }  # fmt: skip
    if inputs.corpus_folder is None:
        return cell
    try:
        image, sound = _image_and_sound(inputs.utterance(row["utterance"]), int(row["start"]), int(row["end"]))
    except InputError as error:
        return cell | {"title": f"{cell['title']}: {error}"}
    return cell | {"image": image, "sound": sound}


@lru_cache(maxsize=1000)
def _image_and_sound(utterance: Utterance, start: int, end: int) -> tuple[str, str]:
    """The spectrogram of a token as PNG, and what is heard of it as WAV, both in base64."""
    short = end - start < SHORT_SECONDS * utterance.sample_rate
    wav = audio.clip(utterance, start, end, CONTEXT_SECONDS if short else 0.0)
    return b64encode(thumbnail(utterance, start, end)).decode(), b64encode(wav).decode()


def thumbnail(utterance: Utterance, start: int, end: int) -> bytes:
    """The spectrogram of samples [start, end), from 0 to 8 kHz, as a small PNG file.

    Its colours are those of the whole recording, so that a pause is darker than a vowel.
    """
    from matplotlib.image import imsave

    level = audio.spectrogram(utterance, start, end).level
    bins, frames = (
        np.linspace(0, size - 1, most).round().astype(int)
        for size, most in zip(level.shape, (_HEIGHT, _WIDTH), strict=True)
    )
    lowest, highest = audio.shown_levels(_loudest(utterance))
    file = BytesIO()
    imsave(file, level[np.ix_(bins, frames)], vmin=lowest, vmax=highest, cmap="magma", origin="lower", format="png")
    return file.getvalue()


@lru_cache(maxsize=200)
def _loudest(utterance: Utterance) -> int:
    return audio.spectrogram(utterance, 0, utterance.samples).loudest
