"""How classes look on the explorer's pages: the figures' colours and marks, lighter on a dark page."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from matplotlib.colors import to_rgb

from lvm_probe.app.explorer.projections import UNKNOWN
from lvm_probe.figures import style

CONTEXT = "#9AA0A6"
"""Of points that are there, but not meant: seen on white and on black."""

GLYPHS = {
    "o": "●○", "s": "■□", "D": "◆◇", "^": "▲△", "v": "▼▽", "P": "✚✛", "X": "✖✕", "d": "♦♢", "<": "◀◁", "*": "★☆",
    ">": "▶▷", "p": "⬟⬠", "h": "⬢⬡",
}  # fmt: skip

_MANNERS = {
    "stop": "k", "closure": "dcl", "affricate": "ch", "fricative": "sh", "nasal": "n", "semivowel": "r",
    "vowel": "aa", "silence": "pau",
}  # fmt: skip
_LEAST_LIGHT = 0.24  # relative luminance that a mark needs on a black page


def looks_of(labels: Iterable[str], by: str, *, dark: bool = False) -> dict[str, style.PhoneLook]:
    """Colour and mark of every class, as the figures have them, in the order of a legend; lighter on a dark page."""
    known = sorted(set(labels) - {UNKNOWN})
    match by:
        case "gender":
            looks = {
                label: style.PhoneLook(style.gender_look(label).colour, style.gender_look(label).marker, True, "other")
                for label in known
            }
        case "height":
            looks = style.ordered_looks(known)
        case "manner":
            marks = {label: style.phone_look(_MANNERS[label]) for label in known if label in _MANNERS}
            looks = {label: marks[label] for label in _MANNERS if label in marks}
        case "the kNN's answer":
            colours = {"right": "#0072B2", "wrong": "#D55E00", "not asked": CONTEXT}
            marks_of = {"right": "o", "wrong": "X", "not asked": "s"}
            looks = {
                label: style.PhoneLook(colour, marks_of[label], label != "not asked", "other")
                for label, colour in colours.items()
                if label in known
            }
        case _:
            looks = style.phone_looks(known)
    if UNKNOWN in set(labels):
        looks[UNKNOWN] = style.PhoneLook(CONTEXT, "o", False, "other")
    return {label: look._replace(colour=seen(look.colour, dark)) for label, look in looks.items()}


def seen(colour: str, dark: bool) -> str:
    """The colour itself; on a dark page mixed with white until it stands out."""
    share = 0.0
    while dark and share < 0.9 and _luminance(style.blend(colour, "white", share)) < _LEAST_LIGHT:
        share += 0.05
    return style.blend(colour, "white", share)


def _luminance(colour: str) -> float:
    r, g, b = (np.asarray(to_rgb(colour)) ** 2.2).tolist()
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def glyph(look: style.PhoneLook) -> str:
    """The mark as a character."""
    return GLYPHS.get(look.marker, "●○")[0 if look.filled else 1]
