"""Articulation of phones in the International Phonetic Alphabet (IPA).

A label is one phone: a letter with its diacritics, an affricate (`tʃ`, `t͡ʃ`), a diphthong (`aɪ`, `aj`) or a doubled
letter (`tt`). Length, stress, tone and other diacritics do not change its classes, except those of voicing and of the
place of consonants.

The features of consonants are panphon's (Mortensen et al., COLING 2016). They have no central vowels, three heights and
no difference between trills and taps; vowels and a few consonants are therefore classed by the chart of the
International Phonetic Association (revised to 2020), which is written out below.
"""

import re
import unicodedata
from functools import cache
from typing import Any

from lvm_probe.probing.corpora.articulation import Articulation, Backness, Height, Manner, Place

# The vowels of the chart: front, central and back ones.
_VOWELS: dict[Height, tuple[str, str, str]] = {
    "close": ("iy", "ɨʉ", "ɯu"),
    "near-close": ("ɪʏ", "ᵻᵿ", "ʊ"),
    "close-mid": ("eø", "ɘɵ", "ɤo"),
    "mid": ("", "əɚ", ""),
    "open-mid": ("ɛœ", "ɜɝɞ", "ʌɔ"),
    "near-open": ("æ", "ɐ", ""),
    "open": ("aɶ", "", "ɑɒ"),
}
_BACKNESS: tuple[Backness, ...] = ("front", "central", "back")
_VOWEL_OF: dict[str, Articulation] = {
    letter: Articulation("vowel", backness, "voiced", height)
    for height, columns in _VOWELS.items()
    for backness, letters in zip(_BACKNESS, columns, strict=True)
    for letter in letters
}
_CONSONANTS = (
    "pbtdʈɖcɟkɡqɢʔʡɓɗʄɠʛ" "mɱnɳɲŋɴ" "ʙrʀⱱɾɽɺ" "ɸβfvθðszʃʒʂʐɕʑɧçʝxɣχʁħʕʜʢhɦɬɮ" "ʋɹɻjɰwʍɥlɫɭʎʟ" "ʘǀǃǂǁ"
)  # fmt: skip
LETTERS = (*_VOWEL_OF, *_CONSONANTS)
"""The letters of the chart, without diacritics."""

# Where panphon has no features, or features that the chart contradicts.
_BY_CHART: dict[str, Articulation] = {
    "ʡ": Articulation("stop", "pharyngeal", "voiceless"),
    "ʙ": Articulation("trill", "labial", "voiced"),
    "r": Articulation("trill", "alveolar", "voiced"),
    "ʀ": Articulation("trill", "uvular", "voiced"),
    "ⱱ": Articulation("tap", "labial", "voiced"),
    "ɺ": Articulation("tap", "alveolar", "voiced"),
    "h": Articulation("fricative", "glottal", "voiceless"),
    "ɦ": Articulation("fricative", "glottal", "voiced"),
    "ʜ": Articulation("fricative", "pharyngeal", "voiceless"),
    "ʢ": Articulation("fricative", "pharyngeal", "voiced"),
    "ɮ": Articulation("fricative", "alveolar", "voiced"),
    "ʎ": Articulation("approximant", "palatal", "voiced"),
    "ǂ": Articulation("click", "palatal", "voiceless"),
}
_GLIDES = "jwɥɰ"
_CORONAL = ("dental", "alveolar", "postalveolar", "retroflex")

_VOICELESS, _VOICED, _NON_SYLLABIC, _TIES = "\u0325\u030a", "\u032c", "\u032f", "\u0361\u035c"
_SPELLINGS = {
    "c\u0327": "ç", "g": "ɡ", ":": "ː", "’": "ʼ",
    "ʧ": "t͡ʃ", "ʤ": "d͡ʒ", "ʦ": "t͡s", "ʣ": "d͡z", "ʨ": "t͡ɕ", "ʥ": "d͡ʑ",
}  # fmt: skip
# Stress, syllables, length and tones, which change no class.
_PROSODY = re.compile("[ˈˌ.‿|ːˑ˥˦˧˨˩ꜛꜜ↗↘¹²³⁴⁵⁰]")
_SEGMENT = re.compile(
    # modifier letters before the letter (ⁿd), modifier letters and combining marks after it (tʲ, n̥, ə˞)
    f"[ʰʱⁿᵐᵑˀ]*([{''.join(LETTERS)}])([\u0300-\u036f˞ʰʱʷʲˠˤʼⁿᵐˡˀ˔˕˖˗᷄᷅᷈]*)"
)


def is_phone(label: str) -> bool:
    """Whether a label can be one phone in IPA, by its letters alone.

    Example:
        >>> is_phone("t͡ʃʰ"), is_phone("aɪ"), is_phone("eva"), is_phone("AA1")
        (True, True, False, False)
    """
    segments = _segments(label)
    letters = "".join(segment[1] for segment in segments)
    return (
        len(segments) == 1
        or (1 < len(segments) <= 3 and _is_diphthong(letters))
        or (len(segments) == 2 and (letters[0] == letters[1] or not set(letters) & _VOWEL_OF.keys()))
    )


@cache
def articulation(label: str) -> Articulation | None:
    """How a label in IPA is articulated; None unless it is one phone.

    Diphthongs are classed by their nucleus, the first vowel that is not marked as non-syllabic; affricates by the place
    of their fricative.

    Example:
        >>> articulation("t͡ʃ")
        Articulation(manner='affricate', place='postalveolar', voicing='voiceless', height=None)
        >>> articulation("aɪ").height, articulation("st")
        ('open', None)
    """
    segments = _segments(label)
    letters = "".join(segment[1] for segment in segments)
    if not segments:
        return None
    if _is_diphthong(letters):
        vowels = [segment for segment in segments if segment[1] in _VOWEL_OF]
        nucleus = next((vowel for vowel in vowels if _NON_SYLLABIC not in vowel[2]), vowels[0])
        return _classes(*nucleus)
    parts = [_classes(*segment) for segment in segments]
    if len(parts) == 1 or (len(parts) == 2 and letters[0] == letters[1]):
        return parts[0]
    first, second = parts[0], parts[1]
    if len(parts) > 2 or first is None or second is None:
        return None
    tied = segments[0][2][-1:] in tuple(_TIES)
    if first.manner == "stop" and second.manner == "fricative" and (tied or _homorganic(first.place, second.place)):
        return second._replace(manner="affricate", voicing=first.voicing)
    if tied and second.manner == "click":
        return second._replace(voicing=first.voicing)
    if tied and first.manner == second.manner:  # doubly articulated, such as k͡p
        return first if first.place == "labial" else second
    return None


def _segments(label: str) -> list[tuple[str, str, str]]:
    """The letters of a label as (whole, letter, marks after it); none if it has characters that are not of the IPA."""
    text = unicodedata.normalize("NFD", label)
    for spelling, letter in _SPELLINGS.items():
        text = text.replace(spelling, letter)
    text = _PROSODY.sub("", text)
    found = list(_SEGMENT.finditer(text))
    return [(m[0], m[1], m[2]) for m in found] if "".join(m[0] for m in found) == text else []


def _is_diphthong(letters: str) -> bool:
    vowels = sum(letter in _VOWEL_OF for letter in letters)
    return vowels > 0 and all(letter in _VOWEL_OF or letter in _GLIDES for letter in letters) and len(letters) <= 3


def _homorganic(one: Place | None, other: Place | None) -> bool:
    return one == other or (one in _CORONAL and other in _CORONAL)


def _classes(segment: str, letter: str, marks: str) -> Articulation | None:
    """The classes of one letter with its diacritics."""
    found = _VOWEL_OF.get(letter) or _BY_CHART.get(letter) or _consonant(segment, letter, marks)
    if set(marks) & set(_VOICELESS):
        return found._replace(voicing="voiceless")
    return found._replace(voicing="voiced") if _VOICED in marks else found


def _consonant(segment: str, letter: str, marks: str) -> Articulation:
    """Classes by panphon's features of the letter, with as many of its diacritics as panphon knows."""
    table = _panphon()
    marks = "".join(mark for mark in marks if mark not in _TIES)
    spelled = (letter + marks[:n] for n in range(len(marks), -1, -1))
    has: dict[str, int] = next(found for text in spelled if (found := table.fts(text)))
    place: Place
    if has["lab"] == 1:
        place = "labial"
    elif has["cor"] == 1 and has["ant"] == 1:
        place = "dental" if has["distr"] == 1 else "alveolar"
    elif has["cor"] == 1:
        place = "postalveolar" if has["distr"] == 1 else "retroflex"
    elif has["lo"] == 1:
        place = "pharyngeal"
    elif has["hi"] == 1:
        place = "velar" if has["back"] == 1 else "palatal"
    else:
        place = "glottal" if has["cons"] == -1 else "uvular"
    manner: Manner
    if has["velaric"] == 1:
        manner = "click"
    elif has["cont"] == -1:
        manner = "nasal" if has["nas"] == 1 else "stop"
    elif has["son"] == -1:
        manner = "fricative"
    else:
        manner = "approximant" if has["lat"] == 1 or has["cons"] == -1 else "tap"
    return Articulation(manner, place, "voiced" if has["voi"] == 1 else "voiceless")


@cache
def _panphon() -> Any:
    from panphon.featuretable import FeatureTable  # takes more than a second, so only for labels in IPA

    return FeatureTable()
