"""Phone labels of TIMIT: the 61 symbols, their foldings to 48 and 39, closures, manner and place of articulation.

The symbols and their classes are those of TIMIT's `phoncode.doc`. The foldings are those of K.-F. Lee and
H.-W. Hon, "Speaker-independent phone recognition using hidden Markov models", IEEE Trans. ASSP 37(11),
1989: 61 symbols are folded to 48 for training and 39 for scoring, and the glottal stop `q` is left out of
both.
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
SILENCES = frozenset(_MANNERS["silence"].split())
CLOSURES = frozenset(_MANNERS["closure"].split())
UNKNOWN_WORD = "spn"
"""What the Montreal Forced Aligner writes for a word missing from its dictionary: speech, but no phoneme."""
NON_PHONEMES = SILENCES | {UNKNOWN_WORD}

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
    """A TIMIT label in a smaller set; `None` where it is left out.

    `h#`, `pau` and `epi` are no phonemes, so they are left out unless `silences` is true. `q` is left out of
    48 and 39. A closure is part of a stop, so it stays: as `cl` or `vcl` in 48, and in 39 in Lee and Hon's
    class `sil` of closures and silences, which without the silences holds closures only.
    Raises InputError when the label is none of the 61.
    """
    check(label)
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
            raise InputError(f"no phone set {to!r}: choose one of {', '.join(get_args(PhoneSet))}")


def manner(label: str) -> Manner:
    """Manner of articulation of a label of the 61, 48 or 39, as TIMIT's `phoncode.doc` groups them.

    That groups flaps (`dx`, `nx`) with stops and nasals, and `hh`, `hv` with the semivowels and glides.
    Raises InputError when the label is in none of the sets.
    """
    match label:
        case "cl" | "vcl":
            return "closure"
        case "sil":
            return "silence"
        case _:
            check(label)
            return _MANNER_OF[label]


def place(label: str) -> Place | None:
    """Place of articulation of a consonant, or the part of the tongue that makes a vowel; `None` of a silence.

    A diphthong counts by its nucleus, the labial-velar `w` as a labial, `r` as a postalveolar, as the International
    Phonetic Association's chart groups the closest symbols. Foldings that merge places have none: `cl`, `vcl`, `sil`.
    Raises InputError when the label is in none of the sets.
    """
    if label in ("cl", "vcl", "sil"):
        return None
    check(label)
    return _PLACE_OF.get(label)


def check(label: str) -> None:
    """Raise InputError unless the label is one of the 61."""
    if label not in TIMIT61:
        raise InputError(f"unknown phone label {label!r}: it is none of TIMIT's 61 ({' '.join(sorted(TIMIT61))})")
