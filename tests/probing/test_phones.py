"""The phone sets against the counts that Lee and Hon give, and against facts about English."""

import pytest

from lvm_probe import InputError
from lvm_probe.probing.corpora.phones import (
    CLOSURES,
    NON_PHONEMES,
    SILENCES,
    TIMIT39,
    TIMIT48,
    TIMIT61,
    LabelSet,
    PhoneSet,
    belongs,
    fold,
    foldings,
    phone_class,
    recognise,
    recognised,
    timit_symbol,
)

# Lee and Hon's 39 classes, written out.
SCORED = "iy ih eh ae ah uw uh aa ey ay oy aw ow er l r w y m n ng v f dh th z s sh ch jh b p d t g k dx hh sil"


def test_the_sets_have_their_sizes() -> None:
    assert (len(TIMIT61), len(TIMIT48), len(TIMIT39)) == (61, 48, 39)
    assert set(SCORED.split()) == TIMIT39


@pytest.mark.parametrize(
    ("label", "to48", "to39"),
    [
        ("iy", "iy", "iy"),
        ("ux", "uw", "uw"),
        ("ax-h", "ax", "ah"),
        ("axr", "er", "er"),
        ("ix", "ix", "ih"),
        ("ao", "ao", "aa"),
        ("zh", "zh", "sh"),
        ("eng", "ng", "ng"),
        ("em", "m", "m"),
        ("en", "en", "n"),
        ("nx", "n", "n"),
        ("el", "el", "l"),
        ("hv", "hh", "hh"),
        ("kcl", "cl", "sil"),
        ("gcl", "vcl", "sil"),
        ("q", None, None),
    ],
)
def test_folds(label: str, to48: str | None, to39: str | None) -> None:
    assert fold(label, "timit61") == label
    assert fold(label, "timit48") == to48
    assert fold(label, "timit39") == to39


@pytest.mark.parametrize("to", ["timit61", "timit48", "timit39"])
def test_silences_are_left_out_unless_asked_for(to: PhoneSet) -> None:
    assert {fold(label, to) for label in SILENCES} == {None}
    assert None not in {fold(label, to, silences=True) for label in SILENCES}


def test_folding_reaches_every_class_and_no_other() -> None:
    sets: dict[PhoneSet, frozenset[str]] = {"timit61": TIMIT61, "timit48": TIMIT48, "timit39": TIMIT39}
    for to, labels in sets.items():
        assert {fold(label, to, silences=True) for label in TIMIT61} - {None} == labels


def test_every_label_has_a_manner() -> None:
    manner = {label: phone_class(label, "manner", "timit") for label in TIMIT61 | TIMIT48 | TIMIT39}
    assert {manner[label] for label in CLOSURES} == {"closure"}
    assert [manner[label] for label in ("t", "jh", "s", "ng", "w", "iy", "h#", "cl", "sil")] == [
        *("stop", "affricate", "fricative", "nasal", "semivowel", "vowel", "silence", "closure", "silence")
    ]
    assert all(manner.values())


def test_every_phone_has_a_place_and_a_voicing_and_vowels_have_a_height() -> None:
    for label in TIMIT61:
        vowel = phone_class(label, "manner", "timit") == "vowel"
        assert (phone_class(label, "place", "timit") is None) == (label in SILENCES)
        assert (phone_class(label, "voicing", "timit") is None) == (label in SILENCES)
        assert (phone_class(label, "vowel-height", "timit") is not None) == vowel
        assert phone_class(label, "vowel-backness", "timit") == (
            phone_class(label, "place", "timit") if vowel else None
        )
    assert [phone_class(label, "place", "timit") for label in ("cl", "vcl", "sil")] == [None, None, None]
    assert [phone_class(label, "voicing", "timit") for label in ("cl", "vcl", "sil")] == ["voiceless", "voiced", None]


def test_classes_of_before() -> None:
    """Manner and place of TIMIT's labels as every released result has them."""
    manners = {
        "stop": "b d g p t k dx q", "closure": "bcl dcl gcl pcl tcl kcl", "affricate": "jh ch",
        "fricative": "s sh z zh f th v dh", "nasal": "m n ng em en eng nx", "semivowel": "l r w y hh hv el",
        "vowel": "iy ih eh ey ae aa aw ay ah ao oy ow uh uw ux er ax ix axr ax-h", "silence": "pau epi h#",
    }  # fmt: skip
    places = {
        "labial": "b bcl p pcl m em f v w", "dental": "th dh", "alveolar": "d dcl t tcl dx s z n en nx l el",
        "postalveolar": "sh zh ch jh r", "palatal": "y", "velar": "g gcl k kcl ng eng", "glottal": "q hh hv",
        "front": "iy ih eh ey ae", "central": "ah ax ax-h ix ux er axr", "back": "aa ao ow oy uh uw aw ay",
    }  # fmt: skip
    for by, classes in (("manner", manners), ("place", places)):
        for name, labels in classes.items():
            assert {phone_class(label, by, "timit") for label in labels.split()} == {name}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        ("iy sh h# dcl spn", "timit"),
        ("iy aa s t", "timit"),  # also letters of the IPA, but iy is no diphthong of any language
        ("AA1 AA0 S HH spn h#", "arpabet"),
        ("AA S F M", "arpabet"),
        ("aa1 ah0 s t", "arpabet"),
        ("a s t̪ tʃ", "ipa"),
        ("iː ʃ aɪ h#", "ipa"),
        ("p t ɡ", "ipa"),
        ("h# spn", "timit"),
    ],
)
def test_sets_are_recognised(labels: str, name: LabelSet) -> None:
    assert recognise(labels.split()) == name


def test_labels_of_no_set_are_named_with_the_cure() -> None:
    with pytest.raises(
        InputError, match="5 of 7 are ARPAbet, but not '@', 'S1'; phone_set='arpabet' leaves the others out"
    ):
        recognise(["AA1", "B", "D", "S", "T", "@", "S1", "h#"])
    with pytest.raises(
        InputError, match="the phone labels @ dZ are SAMPA's or X-SAMPA's, which have no classes here; conv"
    ):
        recognise(["dZ", "I", "@", "n"])
    with pytest.raises(InputError, match="could be TIMIT's or IPA; say which: phone_set='timit' or phone_set='ipa'"):
        recognise(["p", "t", "y", "h#"])
    assert recognised(["@"]) is None
    assert recognised(["F", "M", "aa"]) is None  # ARPAbet is written in one case
    assert not belongs("S1", "arpabet")


def test_arpabet_is_timit_in_upper_case() -> None:
    cmu = str.split(
        "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH"
    )
    vowels = [label for label in cmu if phone_class(label, "manner", "arpabet") == "vowel"]
    assert len(vowels) == 15
    labels = [*cmu, *(f"{vowel}{stress}" for vowel in vowels for stress in "012")]
    assert recognise(labels) == "arpabet"
    for label in labels:
        plain = label.rstrip("012")
        assert fold(label, "arpabet", "arpabet") == plain
        assert fold(label, "timit39", "arpabet") == fold(plain.lower(), "timit39")
        assert fold(label, "timit48", "arpabet") == fold(plain.lower(), "timit48")
        assert timit_symbol(label) == plain.lower()
    reached = {fold(label, "timit39", "arpabet") for label in labels}
    assert reached == TIMIT39 - {"sil", "dx"}  # neither closures nor flaps
    assert fold("h#", "arpabet", "arpabet") is None
    assert fold("h#", "timit39", "arpabet", silences=True) == "sil"
    assert fold("Q", "timit48", "arpabet") is None


def test_unstressed_vowels_of_arpabet_are_schwas() -> None:
    labels = ("AH0", "AH1", "AH", "ER0", "ER1", "ah0")
    heights = [phone_class(label, "vowel-height", "arpabet") for label in labels]
    assert heights == ["mid", "open-mid", "open-mid", "mid", "open-mid", "mid"]


def test_what_cannot_be_folded_is_refused_with_the_reason() -> None:
    assert foldings("ipa") == ()
    with pytest.raises(InputError, match="labels are IPA, and there is no agreed map from IPA to timit39, .*English"):
        fold("a", "timit39", "ipa")
    with pytest.raises(
        InputError, match="TIMIT's 61, which can be folded to timit61, timit48, timit39, not to arpabet"
    ):
        fold("iy", "arpabet")
    with pytest.raises(InputError, match="ARPAbet, which can be folded to arpabet, timit48, timit39, not to timit61"):
        fold("AA", "timit61", "arpabet")


def test_unknown_labels_and_sets_are_named() -> None:
    with pytest.raises(InputError, match="'xx'"):
        fold("xx", "timit61")
    assert phone_class("xx", "manner", "timit") is None
    with pytest.raises(InputError, match="timit40"):
        fold("iy", "timit40")  # type: ignore[arg-type]


def test_in_39_the_closures_share_a_class_with_the_silences_and_with_nothing_else() -> None:
    assert {label for label in TIMIT61 if fold(label, "timit39", silences=True) == "sil"} == CLOSURES | SILENCES
    assert {label for label in TIMIT61 if fold(label, "timit39") == "sil"} == CLOSURES


def test_an_unknown_word_is_neither_a_phoneme_nor_a_silence() -> None:
    assert {"spn"} == NON_PHONEMES - SILENCES
    assert "spn" not in TIMIT61
