"""A map of tokens with their sound as one HTML file, which opens without a server, a network or a GPU.

The page is `map_page.html`; numbers and sound are in it as base64, text as JSON that cannot end its element. Its own
policy forbids all access to networks and files.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lvm_probe.analysis.shape_annotations import Float, Int
from lvm_probe.figures import lda_scatter, style, token_map
from lvm_probe.probing.exports.token_audio import Clip

_TEMPLATE = Path(__file__).with_name("map_page.html")
_ON_DARK = 0.45  # share of white that colours are mixed with on a dark page


def as_html(
    places: pd.DataFrame,
    clips: Sequence[Clip],
    neighbours: Int[np.ndarray, "tokens k"],
    distances: Float[np.ndarray, "tokens k"],
    *,
    title: str,
    about: str,
) -> str:
    """The page.

    Args:
        places: one row per token, as `token_map.places` gives them.
        clips: the sound of each.
        neighbours: rows of the nearest tokens of each, nearest first.
        distances: to them.
        title: heading of the page.
        about: a sentence below it.
    """
    seconds = places[["start", "end"]].div(places["sample_rate"], axis=0).to_numpy(float)
    offsets = np.concatenate([[0], np.cumsum([len(clip.audio) for clip in clips])])
    audio = np.concatenate([clip.audio for clip in clips])
    data = {
        "feature": style.feature_style(places["feature"].iloc[0]).label,
        "x": _base64(places["x"], "<f4"),
        "y": _base64(places["y"], "<f4"),
        "label": places["token"].astype(str).tolist(),
        "speaker": places["speaker"].astype(str).tolist(),
        "utterance": places["utterance"].astype(str).tolist(),
        "start": seconds[:, 0].tolist(),
        "end": seconds[:, 1].tolist(),
        "context": [clip.context for clip in clips],
        "neighbours": _base64(neighbours, "<i4"),
        "distances": _base64(distances, "<f4"),
        "audio": _base64(audio, "<i2"),
        "offsets": _base64(offsets, "<i4"),
        "rates": _base64(np.array([clip.sample_rate for clip in clips]), "<i4"),
        "colourings": list(_colourings(places)),
    }
    text = json.dumps(data, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    marks = style.MARKS.read_text(encoding="utf-8")
    parts = {"title": escape(title), "about": escape(about), "data": text, "marks": marks}
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _TEMPLATE.read_text(encoding="utf-8"))


def _base64(values: Any, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype=kind).tobytes()).decode()


def _colourings(places: pd.DataFrame) -> list[dict[str, Any]]:
    """The colours that the page offers: the map's own first, then those of the speaker."""
    own = places["colour"].iloc[0]
    found = [_colouring(places, own, places["label"].astype(str))]
    for name in ("gender", "speaker"):
        values = places[name]
        if name != own and values.notna().all() and len(set(values)) > 1:
            found.append(_colouring(places, name, values.astype(str)))
    return found


def _colouring(places: pd.DataFrame, by: str, labels: pd.Series) -> dict[str, Any]:
    """The class of every token, what each class looks like, and where the names are."""
    groups, looks = style.grouped(token_map.styles(by, labels))
    names = list(looks)
    codes = [names.index(groups[label]) for label in labels]
    counts = np.bincount(codes, minlength=len(names))
    classes = [
        {
            "name": name, "colour": look.colour, "dark": style.blend(look.colour, "white", _ON_DARK),
            "mark": look.marker, "filled": look.filled, "count": int(count),
        }
        for (name, look), count in zip(looks.items(), counts, strict=True)
    ]  # fmt: skip
    means = places[["x", "y"]].groupby(labels.to_numpy()).agg(["mean", "size"])
    written = [
        {"text": str(label), "x": row["x", "mean"], "y": row["y", "mean"], "code": names.index(groups[str(label)])}
        for label, row in means.sort_values(("x", "size"), ascending=False).iterrows()
        if row["x", "size"] >= lda_scatter.MIN_NAMED
    ]
    return {"by": by, "codes": codes, "classes": classes, "names": written}
