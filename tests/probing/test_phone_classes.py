"""Questions about classes of phones, to tables with labels of every set."""

import numpy as np
import pytest

from lvm_probe import InputError
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.ask import ask
from lvm_probe.probing.questions.question import PHONE_CLASSES, Question
from lvm_probe.probing.questions.rows import select_rows
from tests.probing.synthetic_tables import changed, made_up


def labelled(*labels: str) -> TokenTable:
    """Two speakers whose 96 tokens have these labels in turn."""
    table = made_up(speakers=2)
    return changed(table, label=np.resize(np.array(labels, dtype=object), len(table)))


@pytest.mark.parametrize("target", PHONE_CLASSES)
@pytest.mark.parametrize(
    "labels",
    [
        ("iy", "aa", "s", "m"), ("IY1", "AA0", "S", "M"), ("iy1", "aa0", "s", "m"), ("iː", "ɑ", "s", "m"),
    ],
)  # fmt: skip
def test_one_answer_whatever_the_alphabet(labels: tuple[str, ...], target: str) -> None:
    expected = {
        "manner": ["vowel", "vowel", "fricative", "nasal"],
        "place": ["front", "back", "alveolar", "labial"],
        "voicing": ["voiced", "voiced", "voiceless", "voiced"],
        "vowel-height": ["close", "open"],
        "vowel-backness": ["front", "back"],
    }[target]
    rows = select_rows(labelled(*labels), Question(target=target))  # type: ignore[arg-type]
    assert rows.labels[: len(expected)].tolist() == expected
    assert len(rows) == 24 * len(expected)


def test_what_has_no_class_is_counted_and_named() -> None:
    rows = select_rows(labelled("iː", "a", "s", "z", "m", "st"), Question(target="vowel-height"))
    assert rows.notes == (
        "the phone labels are taken for IPA",
        "rows left out, without a vowel-height: fricative (32), nasal (16)",
        "rows left out, their labels more than one phone: st (16)",
    )
    assert len(rows) == 32
    quiet = labelled("iy", "aa", "h#", "spn")
    assert select_rows(quiet, Question(target="manner")).notes == ()
    kept = select_rows(quiet, Question(target="voicing", keep_silence=True, phone_set="timit"))
    assert kept.notes == (
        "rows left out, without a voicing: silence (24)",
        "rows left out, their labels not TIMIT's 61: spn (24)",
    )


def test_stress_is_folded_on_demand_only() -> None:
    table = labelled("AA1", "AA0", "S", "Q")
    assert sorted(select_rows(table, Question()).classes.names) == ["AA0", "AA1", "Q", "S"]
    assert sorted(select_rows(table, Question(phones="arpabet")).classes.names) == ["AA", "Q", "S"]
    answer = ask(table, Question(phones="timit48", features=("z1",), permutations=0, ks=(1,)))
    assert set(answer.confusion["label"]) == {"aa", "s"}
    assert answer.notes == (
        "the phone labels are ARPAbet, folded to timit48",
        "rows left out, which timit48 does not have: Q (24)",
    )
    assert "Note: the phone labels are ARPAbet, folded to timit48." in repr(answer)


def test_the_set_can_be_stated() -> None:
    with pytest.raises(InputError, match="made-up: the phone labels p t y could be TIMIT's or IPA; say which"):
        select_rows(labelled("p", "t", "y"), Question(target="manner"))
    found = {
        name: set(select_rows(labelled("p", "t", "y"), Question(target="manner", phone_set=name)).labels)
        for name in ("timit", "ipa")
    }
    assert found == {"timit": {"stop", "semivowel"}, "ipa": {"stop", "vowel"}}
    with pytest.raises(InputError, match="made-up: .* 3 of 4 are IPA, but not '@'; phone_set='ipa' leaves the others"):
        select_rows(labelled("a", "ʃ", "t", "@"), Question(target="manner"))
    stated = select_rows(labelled("a", "ʃ", "t", "@"), Question(target="manner", phone_set="ipa"))
    assert stated.notes[-1] == "rows left out, their labels not IPA: @ (24)"


def test_ipa_is_not_folded() -> None:
    with pytest.raises(InputError, match="made-up: the phone labels are IPA, and there is no agreed map"):
        select_rows(labelled("a", "ʃ"), Question(phones="timit39"))
    with pytest.raises(InputError, match="no rows with a known vowel-height are left"):
        select_rows(labelled("s", "ʃ"), Question(target="vowel-height"))


def test_the_whole_table_says_what_labels_are_written_in() -> None:
    table = labelled("p", "t", "y")
    names = table.tokens["speaker"]
    mixed = changed(table, label=table.tokens["label"].where(names == names.iloc[0], "iː"))
    first = Question(target="manner", speakers=(names.iloc[0],))
    assert set(select_rows(mixed, first).labels) == {"stop", "vowel"}
    with pytest.raises(InputError, match="could be TIMIT's or IPA"):
        select_rows(table, first)
