"""Phone labels: TIMIT's 61 symbols, their foldings to 48 and 39, manner and place of articulation, and non-phonemes.

The symbols and their classes are those of TIMIT's `phoncode.doc`. The foldings are those of K.-F. Lee and H.-W. Hon,
"Speaker-independent phone recognition using hidden Markov models", IEEE Trans. ASSP 37(11), 1989: 61 symbols are folded
to 48 for training and to 39 for scoring; the glottal stop `q` is dropped from both.
"""

from typing import Literal, get_args

from lvm_probe import InputError

PhoneSet = Literal["timit61", "timit48", "timit39"]
Manner = Literal["stop", "closure", "affricate", "fricative", "nasal", "semivowel", "vowel", "silence"]

Place = Literal[
    "labial", "dental", "alveolar", "postalveolar", "palatal", "velar", "glottal", "front", "central", "back"
]

_MANNERS: dict[Manner, str] = {
    "stop": "b d g p t k dx q",
    "closure": "bcl dcl gcl pcl tcl kcl",
    "affricate": "jh ch",
    "fricative": "s sh z zh f th v dh",
    "nasal": "m n ng em en eng nx",
    "semivowel": "l r w y hh hv el",
    "vowel": "iy ih eh ey ae aa aw ay ah ao oy ow uh uw ux er ax ix axr ax-h",
    "silence": "pau epi h#",
}
_MANNER_OF: dict[str, Manner] = {label: manner for manner, labels in _MANNERS.items() for label in labels.split()}

_PLACES: dict[Place, str] = {
    "labial": "b bcl p pcl m em f v w",
    "dental": "th dh",
    "alveolar": "d dcl t tcl dx s z n en nx l el",
    "postalveolar": "sh zh ch jh r",
    "palatal": "y",
    "velar": "g gcl k kcl ng eng",
    "glottal": "q hh hv",
    "front": "iy ih eh ey ae",
    "central": "ah ax ax-h ix ux er axr",
    "back": "aa ao ow oy uh uw aw ay",
}
_PLACE_OF: dict[str, Place] = {label: place for place, labels in _PLACES.items() for label in labels.split()}

TIMIT61 = frozenset(_MANNER_OF)
SILENCE = "h#"
"""The label that readers give to pauses, whatever the layout calls them."""
SILENCES = frozenset(_MANNERS["silence"].split())
CLOSURES = frozenset(_MANNERS["closure"].split())
UNKNOWN = "spn"
"""The label that readers give to noises, laughter and unknown words, whatever the layout calls them: sound, but no
phoneme. Kaldi and the Montreal Forced Aligner call it spoken noise."""
NON_PHONEMES = SILENCES | {UNKNOWN}
"""Labels in corpora and token tables that are not phonemes. A layout maps its own to these (`non_speech.py`)."""

_FOLDED_48: dict[str, str] = {
    **{"ux": "uw", "axr": "er", "ax-h": "ax", "em": "m", "nx": "n", "eng": "ng", "hv": "hh"},
    **{"pcl": "cl", "tcl": "cl", "kcl": "cl", "bcl": "vcl", "dcl": "vcl", "gcl": "vcl"},
    **{"h#": "sil", "pau": "sil"},
}
_FOLDED_39: dict[str, str] = {
    **{"ao": "aa", "ax": "ah", "ix": "ih", "el": "l", "en": "n", "zh": "sh"},
    **{"cl": "sil", "vcl": "sil", "epi": "sil"},
}

TIMIT48 = frozenset(_FOLDED_48.get(label, label) for label in TIMIT61 - {"q"})
TIMIT39 = frozenset(_FOLDED_39.get(label, label) for label in TIMIT48)


def fold(label: str, to: PhoneSet, *, silences: bool = False) -> str | None:
    """Fold a TIMIT label to a smaller set.

    Closures are parts of stops, so they are kept: as `cl` or `vcl` in 48, and in 39 as Lee and Hon's class `sil` of
    closures and silences, which holds closures only when silences are dropped.

    Args:
        label: one of the 61.
        to: the set to fold to.
        silences: whether `h#`, `pau` and `epi`, which are not phonemes, are kept.

    Returns:
        The label in the smaller set; `None` if it is dropped: a silence, or `q` in 48 and 39.

    Raises:
        InputError: the label is not one of the 61, or there is no such set.

    Example:
        >>> fold("ux", "timit48"), fold("kcl", "timit39"), fold("h#", "timit39")
        ('uw', 'sil', None)
    """
    check_label(label)
    if label in SILENCES and not silences:
        return None
    match to:
        case "timit61":
            return label
        case "timit48":
            return None if label == "q" else _FOLDED_48.get(label, label)
        case "timit39":
            folded = fold(label, "timit48", silences=silences)
            return None if folded is None else _FOLDED_39.get(folded, folded)
        case _:
            raise InputError(f"unknown phone set {to!r}; choose one of {', '.join(get_args(PhoneSet))}")


def manner(label: str) -> Manner:
    """Manner of articulation of a label of the 61, 48 or 39, as TIMIT's `phoncode.doc` groups them.

    It groups the flaps `dx` and `nx` with stops and nasals, and `hh` and `hv` with the semivowels and glides.

    Raises:
        InputError: the label is in none of the sets.

    Example:
        >>> manner("sh"), manner("cl")
        ('fricative', 'closure')
    """
    match label:
        case "cl" | "vcl":
            return "closure"
        case "sil":
            return "silence"
        case _:
            check_label(label)
            return _MANNER_OF[label]


def place(label: str) -> Place | None:
    """Place of articulation of a consonant, or backness of a vowel, for a label of the 61, 48 or 39.

    Diphthongs are classed by their nucleus, `w` as labial and `r` as postalveolar, as the chart of the International
    Phonetic Association groups the closest symbols.

    Returns:
        The place; `None` for silences and for the foldings that merge places (`cl`, `vcl`, `sil`).

    Raises:
        InputError: the label is in none of the sets.

    Example:
        >>> place("sh"), place("iy"), place("h#")
        ('postalveolar', 'front', None)
    """
    if label in ("cl", "vcl", "sil"):
        return None
    check_label(label)
    return _PLACE_OF.get(label)


def check_label(label: str) -> None:
    """Raise InputError unless the label is one of the 61."""
    if label not in TIMIT61:
        raise InputError(f"unknown phone label {label!r}: not one of TIMIT's 61 ({' '.join(sorted(TIMIT61))})")
