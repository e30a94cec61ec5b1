"""Phone labels: which set they are of, their foldings, the classes of their articulation, and non-phonemes.

Three sets are known: TIMIT's 61 symbols; ARPAbet, the same alphabet in upper case without closures, whose vowels may
have a stress digit (CMU's dictionary, the Montreal Forced Aligner's `english_us_arpa`); and IPA.

The foldings are those of K.-F. Lee and H.-W. Hon, "Speaker-independent phone recognition using hidden Markov models",
IEEE Trans. ASSP 37(11), 1989: 61 symbols are folded to 48 for training and to 39 for scoring; the glottal stop `q` is
dropped from both.
"""

import re
from collections.abc import Iterable
from typing import Literal, get_args

from lvm_probe import InputError
from lvm_probe.probing.corpora import ipa
from lvm_probe.probing.corpora.articulation import FOLDED, TIMIT, Articulation

LabelSet = Literal["timit", "arpabet", "ipa"]
"""What labels are written in."""

PhoneSet = Literal["timit61", "timit48", "timit39", "arpabet"]
"""What labels can be folded to; `arpabet` is without stress."""

PhoneClass = Literal["manner", "place", "voicing", "vowel-height", "vowel-backness"]
"""What is known of how a phone is articulated."""

NAMES: dict[LabelSet, str] = {"timit": "TIMIT's 61", "arpabet": "ARPAbet", "ipa": "IPA"}

TIMIT61 = frozenset(TIMIT)
SILENCE = "h#"
"""The label that readers give to pauses, whatever the layout calls them."""
SILENCES = frozenset(symbol for symbol, how in TIMIT.items() if how.manner == "silence")
CLOSURES = frozenset(symbol for symbol, how in TIMIT.items() if how.manner == "closure")
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

_ARPABET = re.compile(r"(?P<symbol>[A-Z]+(?:-H)?|[a-z]+(?:-h)?)(?P<stress>[0-2]?)")
_SAMPA = frozenset({"@", "6", "9", "2:", "E:", "O:", "aI", "aU", "OY", "{", "}", "I@", "tS", "dZ"})
"""Labels by which it is known, because no other set has two of them."""
_UNSTRESSED = {"ah0": "ax", "er0": "axr"}
_FOLDINGS: dict[LabelSet, tuple[PhoneSet, ...]] = {
    "timit": ("timit61", "timit48", "timit39"),
    "arpabet": ("arpabet", "timit48", "timit39"),
    "ipa": (),
}


def recognise(labels: Iterable[str]) -> LabelSet:
    """The set that labels are written in; non-phonemes among them say nothing.

    Labels in lower case without stress digits that are TIMIT's are taken for TIMIT's, except where they are single
    letters which could be IPA as well.

    Raises:
        InputError: there is no set to which all belong, or they could be TIMIT's or IPA, or they are SAMPA's.

    Example:
        >>> recognise(["iy", "dcl", "h#"]), recognise(["AA1", "AA0", "S"]), recognise(["tʃ", "iː"])
        ('timit', 'arpabet', 'ipa')
    """
    phones = sorted(set(labels) - NON_PHONEMES)
    strangers = {name: [label for label in phones if not belongs(label, name)] for name in get_args(LabelSet)}
    if any(label.isupper() for label in phones):  # ARPAbet is written in one case
        strangers["arpabet"] = [label for label in phones if not (label.isupper() and belongs(label, "arpabet"))]
    if not strangers["timit"] and not strangers["ipa"] and phones and all(len(label) == 1 for label in phones):
        raise InputError(
            f"the phone labels {' '.join(phones)} could be TIMIT's or IPA; say which: phone_set='timit' or "
            "phone_set='ipa'"
        )
    for name, misfits in strangers.items():
        if not misfits:
            return name
    if len(sampa := sorted(_SAMPA & {*phones})) > 1:
        raise InputError(
            f"the phone labels {' '.join(sampa)} are SAMPA's or X-SAMPA's, which have no classes here; convert them to "
            "IPA, or let the aligner write IPA"
        )
    nearest, misfits = min(strangers.items(), key=lambda item: len(item[1]))
    shown = ", ".join(map(repr, misfits[:5])) + (" ..." if len(misfits) > 5 else "")
    raise InputError(
        f"the phone labels are neither TIMIT's 61 nor ARPAbet nor IPA: {len(phones) - len(misfits)} of {len(phones)} "
        f"are {NAMES[nearest]}, but not {shown}; phone_set={nearest!r} leaves the others out"
    )


def recognised(labels: Iterable[str]) -> LabelSet | None:
    """As `recognise`, but None where it raises."""
    try:
        return recognise(labels)
    except InputError:
        return None


def belongs(label: str, label_set: LabelSet) -> bool:
    """Whether a set has a label. A stress digit of ARPAbet belongs to vowels only."""
    match label_set:
        case "timit":
            return label in TIMIT61
        case "arpabet":
            symbol = timit_symbol(label)
            return symbol in TIMIT and (label[-1:].isalpha() or TIMIT[symbol].manner == "vowel")
        case "ipa":
            return ipa.is_phone(label)


def timit_symbol(label: str) -> str | None:
    """The symbol of TIMIT for an ARPAbet label, without stress; None for any other.

    Example:
        >>> timit_symbol("AA1"), timit_symbol("HH"), timit_symbol("@")
        ('aa', 'hh', None)
    """
    found = _ARPABET.fullmatch(label)
    symbol = found["symbol"].lower() if found else ""
    return symbol if symbol in TIMIT61 - CLOSURES - SILENCES else None


def foldings(label_set: LabelSet) -> tuple[PhoneSet, ...]:
    """The sets that labels of a set can be folded to."""
    return _FOLDINGS[label_set]


def check_folding(label_set: LabelSet, to: PhoneSet) -> None:
    """Raise InputError unless labels of a set can be folded to another."""
    if to in foldings(label_set):
        return
    if label_set == "ipa":
        raise InputError(
            f"the phone labels are IPA, and there is no agreed map from IPA to {to}, whose classes are those of "
            f"English; leave out phones={to!r} to take the labels as they are"
        )
    raise InputError(
        f"the phone labels are {NAMES[label_set]}, which can be folded to {', '.join(foldings(label_set))}, not to "
        f"{to}; leave out phones={to!r} to take them as they are"
    )


def fold(label: str, to: PhoneSet, label_set: LabelSet = "timit", *, silences: bool = False) -> str | None:
    """Fold a label to a smaller set.

    Closures are parts of stops, so they are kept: as `cl` or `vcl` in 48, and in 39 as Lee and Hon's class `sil` of
    closures and silences, which holds closures only when silences are dropped. ARPAbet has no closures; its `AH` is
    `ah` with any stress.

    Args:
        label: one of the set.
        to: the set to fold to.
        label_set: what the label is written in.
        silences: whether `h#`, `pau` and `epi`, which are not phonemes, are kept.

    Returns:
        The label in the smaller set; `None` if it is dropped: a silence, or `q` in 48 and 39.

    Raises:
        InputError: the label is not of the set, or the set cannot be folded to the other.

    Example:
        >>> fold("ux", "timit48"), fold("kcl", "timit39"), fold("h#", "timit39")
        ('uw', 'sil', None)
        >>> fold("AA1", "arpabet", "arpabet"), fold("ZH", "timit39", "arpabet")
        ('AA', 'sh')
    """
    check_folding(label_set, to)
    if label in SILENCES:
        if not silences:
            return None
        return label if to in ("timit61", "arpabet") else _folded(label, to)
    if not belongs(label, label_set):
        raise InputError(f"unknown phone label {label!r}: not one of {NAMES[label_set]}")
    if to == "timit61":
        return label
    symbol = label if label_set == "timit" else timit_symbol(label)
    assert symbol is not None
    if to == "arpabet":
        return symbol.upper()
    return None if symbol == "q" else _folded(symbol, to)


def _folded(symbol: str, to: PhoneSet) -> str:
    in48 = _FOLDED_48.get(symbol, symbol)
    return in48 if to == "timit48" else _FOLDED_39.get(in48, in48)


def articulation(label: str, label_set: LabelSet) -> Articulation | None:
    """How a label is articulated; None for what is no phone of the set. TIMIT's are the 61, 48 and 39.

    ARPAbet's unstressed `AH0` and `ER0` are mid vowels, the schwas of TIMIT's `ax` and `axr`.

    Example:
        >>> articulation("AA1", "arpabet") == articulation("aa", "timit")
        True
    """
    if label in SILENCES:
        return TIMIT[label]
    match label_set:
        case "timit":
            return TIMIT.get(label) or FOLDED.get(label)
        case "arpabet":
            symbol = timit_symbol(label) if belongs(label, "arpabet") else None
            return TIMIT.get(_UNSTRESSED.get(label.lower(), symbol or ""))
        case "ipa":
            return ipa.articulation(label)


def phone_class(label: str, by: PhoneClass, label_set: LabelSet) -> str | None:
    """The class of a label by one aspect of its articulation.

    Returns:
        The class; None where it has none, such as the height of a consonant, or the place of `cl` in the 48.

    Example:
        >>> phone_class("sh", "place", "timit"), phone_class("iː", "vowel-height", "ipa")
        ('postalveolar', 'close')
    """
    how = articulation(label, label_set)
    if how is None:
        return None
    match by:
        case "manner":
            return how.manner
        case "place":
            return how.place
        case "voicing":
            return how.voicing
        case "vowel-height":
            return how.height
        case "vowel-backness":
            return how.backness
