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
    PhoneSet,
    fold,
    manner,
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
    assert {manner(label) for label in CLOSURES} == {"closure"}
    assert [manner(label) for label in ("t", "jh", "s", "ng", "w", "iy", "h#", "cl", "sil")] == [
        *("stop", "affricate", "fricative", "nasal", "semivowel", "vowel", "silence", "closure", "silence")
    ]
    assert all(manner(label) for label in TIMIT61 | TIMIT48 | TIMIT39)


def test_unknown_labels_and_sets_are_named() -> None:
    with pytest.raises(InputError, match="'xx'"):
        fold("xx", "timit61")
    with pytest.raises(InputError, match="'xx'"):
        manner("xx")
    with pytest.raises(InputError, match="timit40"):
        fold("iy", "timit40")  # type: ignore[arg-type]


def test_in_39_the_closures_share_a_class_with_the_silences_and_with_nothing_else() -> None:
    assert {label for label in TIMIT61 if fold(label, "timit39", silences=True) == "sil"} == CLOSURES | SILENCES
    assert {label for label in TIMIT61 if fold(label, "timit39") == "sil"} == CLOSURES


def test_an_unknown_word_is_neither_a_phoneme_nor_a_silence() -> None:
    assert {"spn"} == NON_PHONEMES - SILENCES
    assert "spn" not in TIMIT61
