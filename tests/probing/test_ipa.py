"""Articulation of labels in IPA against the chart of the International Phonetic Association, copied by hand."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvm_probe.probing.corpora import ipa
from lvm_probe.probing.corpora.articulation import IPA_OF, TIMIT, Articulation

# Segment, manner, place (of vowels: backness), voicing, height. From the chart of 2020; none of it from panphon.
CHART = """
    p   stop         labial        voiceless  -
    b   stop         labial        voiced     -
    t   stop         alveolar      voiceless  -
    ɖ   stop         retroflex     voiced     -
    c   stop         palatal       voiceless  -
    ɟ   stop         palatal       voiced     -
    k   stop         velar         voiceless  -
    g   stop         velar         voiced     -
    q   stop         uvular        voiceless  -
    ʔ   stop         glottal       voiceless  -
    ɓ   stop         labial        voiced     -
    m   nasal        labial        voiced     -
    ɱ   nasal        labial        voiced     -
    n   nasal        alveolar      voiced     -
    ɳ   nasal        retroflex     voiced     -
    ɲ   nasal        palatal       voiced     -
    ŋ   nasal        velar         voiced     -
    ɴ   nasal        uvular        voiced     -
    ʙ   trill        labial        voiced     -
    r   trill        alveolar      voiced     -
    ʀ   trill        uvular        voiced     -
    ⱱ   tap          labial        voiced     -
    ɾ   tap          alveolar      voiced     -
    ɽ   tap          retroflex     voiced     -
    ɸ   fricative    labial        voiceless  -
    v   fricative    labial        voiced     -
    θ   fricative    dental        voiceless  -
    ð   fricative    dental        voiced     -
    s   fricative    alveolar      voiceless  -
    ʒ   fricative    postalveolar  voiced     -
    ʂ   fricative    retroflex     voiceless  -
    ç   fricative    palatal       voiceless  -
    ɣ   fricative    velar         voiced     -
    χ   fricative    uvular        voiceless  -
    ʁ   fricative    uvular        voiced     -
    ħ   fricative    pharyngeal    voiceless  -
    ʕ   fricative    pharyngeal    voiced     -
    h   fricative    glottal       voiceless  -
    ɦ   fricative    glottal       voiced     -
    ɬ   fricative    alveolar      voiceless  -
    ɮ   fricative    alveolar      voiced     -
    ʋ   approximant  labial        voiced     -
    ɹ   approximant  alveolar      voiced     -
    ɻ   approximant  retroflex     voiced     -
    j   approximant  palatal       voiced     -
    ɰ   approximant  velar         voiced     -
    l   approximant  alveolar      voiced     -
    ɭ   approximant  retroflex     voiced     -
    ʎ   approximant  palatal       voiced     -
    ʟ   approximant  velar         voiced     -
    ʘ   click        labial        voiceless  -
    ǂ   click        palatal       voiceless  -
    i   vowel        front         voiced     close
    y   vowel        front         voiced     close
    ɨ   vowel        central       voiced     close
    ʉ   vowel        central       voiced     close
    ɯ   vowel        back          voiced     close
    u   vowel        back          voiced     close
    ɪ   vowel        front         voiced     near-close
    ʊ   vowel        back          voiced     near-close
    e   vowel        front         voiced     close-mid
    ɘ   vowel        central       voiced     close-mid
    ɤ   vowel        back          voiced     close-mid
    ə   vowel        central       voiced     mid
    ɛ   vowel        front         voiced     open-mid
    œ   vowel        front         voiced     open-mid
    ɜ   vowel        central       voiced     open-mid
    ʌ   vowel        back          voiced     open-mid
    ɔ   vowel        back          voiced     open-mid
    æ   vowel        front         voiced     near-open
    ɐ   vowel        central       voiced     near-open
    a   vowel        front         voiced     open
    ɑ   vowel        back          voiced     open
    ɒ   vowel        back          voiced     open
"""


def row(line: str) -> tuple[str, Articulation]:
    label, *classes = line.split()
    return label, Articulation(*(None if name == "-" else name for name in classes))  # type: ignore[arg-type]


@pytest.mark.parametrize(("label", "expected"), [row(line) for line in CHART.strip().splitlines()])
def test_the_chart(label: str, expected: Articulation) -> None:
    assert ipa.is_phone(label)
    assert ipa.articulation(label) == expected


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        *[row(f"{label} affricate postalveolar voiceless -") for label in ("tʃ", "t͡ʃ", "t͜ʃ", "ʧ", "tʃʰ", "tɕ", "tːʃ")],
        row("dʒ affricate postalveolar voiced -"),
        row("ts affricate alveolar voiceless -"),
        row("pf affricate labial voiceless -"),
        row("ɟʝ affricate palatal voiced -"),
        row("k͡x affricate velar voiceless -"),
        row("t̪ stop dental voiceless -"),
        row("pʲː stop labial voiceless -"),
        row("kʷ stop velar voiceless -"),
        row("tt stop alveolar voiceless -"),
        row("k͡p stop labial voiceless -"),
        row("ⁿd stop alveolar voiced -"),
        row("kʼ stop velar voiceless -"),
        row("b̚ stop labial voiced -"),  # panphon has no b̚, z̥ or s̬
        row("n̥ nasal alveolar voiceless -"),
        row("z̥ fricative alveolar voiceless -"),
        row("ɡ̊ stop velar voiceless -"),
        row("s̬ fricative alveolar voiced -"),
        row("n̩ nasal alveolar voiced -"),
        row("ɹ̩ approximant alveolar voiced -"),
        row("ŋ͡ǃ click alveolar voiced -"),
        row("ɚ vowel central voiced mid"),
        row("ɝː vowel central voiced open-mid"),
        row("ã vowel front voiced open"),
        row("ɔ̃ː vowel back voiced open-mid"),
        row("ˈiː vowel front voiced close"),
        row("a˥˩ vowel front voiced open"),
        row("é vowel front voiced close-mid"),
        row("i̥ vowel front voiceless close"),
        row("aɪ vowel front voiced open"),
        row("ow vowel back voiced close-mid"),
        row("ɔj vowel back voiced open-mid"),
        row("i̯a vowel front voiced open"),
        row("uo̯ vowel back voiced close"),
    ],
)
def test_affricates_diphthongs_and_diacritics(label: str, expected: Articulation) -> None:
    assert ipa.is_phone(label)
    assert ipa.articulation(label) == expected


@pytest.mark.parametrize("label", ["st", "ks", "kp", "mb"])
def test_clusters_are_letters_of_the_ipa_but_no_phone(label: str) -> None:
    assert ipa.articulation(label) is None


@pytest.mark.parametrize("label", ["", "AA1", "h#", "@", "eva", "ə1", "str", "ː", "the"])
def test_what_is_not_ipa(label: str) -> None:
    assert not ipa.is_phone(label)
    assert ipa.articulation(label) is None


@pytest.mark.parametrize("label", ["ç", "ã", "é", "ç̟"])
def test_unicode_forms_are_alike(label: str) -> None:
    forms = {ipa.articulation(unicodedata.normalize(form, label)) for form in ("NFC", "NFD")}
    assert len(forms) == 1
    assert None not in forms


def test_timit_agrees_with_its_equivalents_in_ipa_except_by_convention() -> None:
    """Where panphon or the chart class an equivalent otherwise, TIMIT's documentation and earlier results decide."""
    different = {}
    for symbol, equivalent in IPA_OF.items():
        found, ours = ipa.articulation(equivalent), TIMIT[symbol]
        assert found is not None
        different[symbol] = {name for name, a, b in zip(ours._fields, ours, found, strict=True) if a != b}
    conventions = {
        "dx nx": {"manner"},  # phoncode.doc has flaps among stops and nasals
        "bcl dcl gcl pcl tcl kcl": {"manner"},  # parts of stops
        "l w y el hh hv": {"manner"},  # phoncode.doc's semivowels and glides, with hh and hv
        "r": {"manner", "place"},  # the English r is a postalveolar approximant
        "aw ay ah": {"place"},  # American English: [ɑʊ], [ɑɪ], and a central [ʌ]
    }
    expected = {symbol: names for symbols, names in conventions.items() for symbol in symbols.split()}
    assert {symbol: names for symbol, names in different.items() if names} == expected


@given(
    st.text("ptkbdɡszʃʒhŋmnlrɾɹjwɥǃʘʡⱱaeiouɪəɝç\u0325\u030a\u032c\u0361\u035c\u032f\u0303\u0327ʰʲːˈ˥ⁿAE1 ", max_size=5)
)
def test_any_label_has_an_answer_in_either_unicode_form(label: str) -> None:
    composed, decomposed = (unicodedata.normalize(form, label) for form in ("NFC", "NFD"))
    assert ipa.articulation(composed) == ipa.articulation(decomposed)
    assert ipa.is_phone(composed) == ipa.is_phone(decomposed)
    assert ipa.articulation(label) is None or ipa.is_phone(label)


def test_every_letter_has_a_place_and_a_voicing() -> None:
    for letter in ipa.LETTERS:
        found = ipa.articulation(letter)
        assert found is not None
        assert None not in (found.place, found.voicing)
