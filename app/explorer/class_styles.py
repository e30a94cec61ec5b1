"""Styles of classes on the explorer's pages: the figures' colours and marks, lighter on a dark page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from matplotlib.colors import to_rgb

from lvm_probe.app.explorer.projections import UNKNOWN
from lvm_probe.figures import style
from lvm_probe.figures.style import ClassStyle

MUTED = "#9AA0A6"
"""Colour of points outside the selection: visible on white and on black."""

GLYPHS = {
    "o": "●○", "s": "■□", "D": "◆◇", "^": "▲△", "v": "▼▽", "P": "✚✛", "X": "✖✕", "d": "♦♢", "<": "◀◁", "*": "★☆",
    ">": "▶▷", "p": "⬟⬠", "h": "⬢⬡",
}  # fmt: skip
"""Characters that look like matplotlib's marks, filled and open."""

PREDICTION = "prediction"
"""The colouring by whether the kNN's prediction is right."""

_PREDICTIONS = {
    "right": ClassStyle("#0072B2", "o"),
    "wrong": ClassStyle("#D55E00", "X"),
    "none": ClassStyle(MUTED, "s", filled=False),
}
_LEAST_LUMINANCE = 0.24  # that a mark needs on a black page


def class_styles(labels: Iterable[str], by: str, *, dark: bool = False) -> dict[str, ClassStyle]:
    """Style of every class, as in the figures and in the order of a legend; lighter on a dark page."""
    present = set(labels)
    if by == PREDICTION:
        styles = {label: one for label, one in _PREDICTIONS.items() if label in present}
    else:
        styles = style.class_styles(by, present - {UNKNOWN})
    if UNKNOWN in present:
        styles[UNKNOWN] = ClassStyle(MUTED, "o", filled=False)
    return {label: replace(one, colour=visible(one.colour, dark)) for label, one in styles.items()}


def visible(colour: str, dark: bool) -> str:
    """The colour itself; on a dark page mixed with white until it stands out."""
    share = 0.0
    while dark and share < 0.9 and _luminance(style.blend(colour, "white", share)) < _LEAST_LUMINANCE:
        share += 0.05
    return style.blend(colour, "white", share)


def _luminance(colour: str) -> float:
    r, g, b = (np.asarray(to_rgb(colour)) ** 2.2).tolist()
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def glyph(one: ClassStyle) -> str:
    """The mark as a character."""
    return GLYPHS.get(one.marker, "●○")[0 if one.filled else 1]
