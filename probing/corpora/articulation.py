"""How phones are articulated: the classes, and those of TIMIT's 61 symbols with their equivalents in IPA.

Manner of TIMIT's symbols is as TIMIT's `phoncode.doc` groups them: flaps (`dx`, `nx`) with stops and nasals, `hh` and
`hv` with semivowels and glides. Place is as the chart of the International Phonetic Association has the closest
symbols, with `w` among the labials and `r` among the postalveolars. Diphthongs are classed by their nucleus. ARPAbet is
the same alphabet in upper case. Labels in IPA are classed by `ipa.py`.
"""

from typing import Literal, NamedTuple

Manner = Literal[
    "stop", "closure", "affricate", "fricative", "nasal", "trill", "tap", "click", "semivowel", "approximant", "vowel",
    "silence",
]  # fmt: skip
"""In the order of figures. `closure`, `semivowel` and `silence` are TIMIT's."""

Backness = Literal["front", "central", "back"]
Place = Literal[
    "labial", "dental", "alveolar", "postalveolar", "retroflex", "palatal", "velar", "uvular", "pharyngeal", "glottal",
    "front", "central", "back",
]  # fmt: skip
"""Of consonants from the lips to the glottis; of vowels their backness."""

Height = Literal["close", "near-close", "close-mid", "mid", "open-mid", "near-open", "open"]
Voicing = Literal["voiceless", "voiced"]


class Articulation(NamedTuple):
    """How a phone is articulated; None where a class does not apply, or is not known.

    Attributes:
        manner: manner of articulation.
        place: place of articulation of a consonant, backness of a vowel.
        voicing: voiced or voiceless.
        height: of a vowel.
    """

    manner: Manner
    place: Place | None = None
    voicing: Voicing | None = None
    height: Height | None = None

    @property
    def backness(self) -> Place | None:
        """Backness of a vowel."""
        return self.place if self.manner == "vowel" else None


# Symbol, IPA, manner, place, voicing, height.
_TIMIT = """
    b     b    stop       labial        voiced     -
    d     d    stop       alveolar      voiced     -
    g     ɡ    stop       velar         voiced     -
    p     p    stop       labial        voiceless  -
    t     t    stop       alveolar      voiceless  -
    k     k    stop       velar         voiceless  -
    dx    ɾ    stop       alveolar      voiced     -
    q     ʔ    stop       glottal       voiceless  -
    bcl   b̚   closure    labial        voiced     -
    dcl   d̚   closure    alveolar      voiced     -
    gcl   ɡ̚   closure    velar         voiced     -
    pcl   p̚   closure    labial        voiceless  -
    tcl   t̚   closure    alveolar      voiceless  -
    kcl   k̚   closure    velar         voiceless  -
    jh    d͡ʒ  affricate  postalveolar  voiced     -
    ch    t͡ʃ  affricate  postalveolar  voiceless  -
    s     s    fricative  alveolar      voiceless  -
    sh    ʃ    fricative  postalveolar  voiceless  -
    z     z    fricative  alveolar      voiced     -
    zh    ʒ    fricative  postalveolar  voiced     -
    f     f    fricative  labial        voiceless  -
    th    θ    fricative  dental        voiceless  -
    v     v    fricative  labial        voiced     -
    dh    ð    fricative  dental        voiced     -
    m     m    nasal      labial        voiced     -
    n     n    nasal      alveolar      voiced     -
    ng    ŋ    nasal      velar         voiced     -
    em    m̩   nasal      labial        voiced     -
    en    n̩   nasal      alveolar      voiced     -
    eng   ŋ̍   nasal      velar         voiced     -
    nx    ɾ̃   nasal      alveolar      voiced     -
    l     l    semivowel  alveolar      voiced     -
    r     ɹ    semivowel  postalveolar  voiced     -
    w     w    semivowel  labial        voiced     -
    y     j    semivowel  palatal       voiced     -
    hh    h    semivowel  glottal       voiceless  -
    hv    ɦ    semivowel  glottal       voiced     -
    el    l̩   semivowel  alveolar      voiced     -
    iy    i    vowel      front         voiced     close
    ih    ɪ    vowel      front         voiced     near-close
    eh    ɛ    vowel      front         voiced     open-mid
    ey    eɪ   vowel      front         voiced     close-mid
    ae    æ    vowel      front         voiced     near-open
    aa    ɑ    vowel      back          voiced     open
    aw    aʊ   vowel      back          voiced     open
    ay    aɪ   vowel      back          voiced     open
    ah    ʌ    vowel      central       voiced     open-mid
    ao    ɔ    vowel      back          voiced     open-mid
    oy    ɔɪ   vowel      back          voiced     open-mid
    ow    oʊ   vowel      back          voiced     close-mid
    uh    ʊ    vowel      back          voiced     near-close
    uw    u    vowel      back          voiced     close
    ux    ʉ    vowel      central       voiced     close
    er    ɝ    vowel      central       voiced     open-mid
    ax    ə    vowel      central       voiced     mid
    ix    ɨ    vowel      central       voiced     close
    axr   ɚ    vowel      central       voiced     mid
    ax-h  ə̥   vowel      central       voiceless  mid
    pau   -    silence    -             -          -
    epi   -    silence    -             -          -
    h#    -    silence    -             -          -
"""
_ROWS = {symbol: values for symbol, *values in (line.split() for line in _TIMIT.strip().splitlines())}

IPA_OF = {symbol: ipa for symbol, (ipa, *_) in _ROWS.items() if ipa != "-"}
"""The equivalents in IPA of TIMIT's symbols."""


def _articulation(manner: str, *classes: str) -> Articulation:
    return Articulation(manner, *(None if name == "-" else name for name in classes))  # type: ignore[arg-type]


TIMIT = {symbol: _articulation(*classes) for symbol, (_, *classes) in _ROWS.items()}
"""How TIMIT's 61 symbols are articulated."""

FOLDED = {
    "cl": Articulation("closure", None, "voiceless"),
    "vcl": Articulation("closure", None, "voiced"),
    "sil": Articulation("silence"),
}
"""The classes into which the 48 and 39 merge closures and silences."""
