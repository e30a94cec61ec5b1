"""What the phone labels of a token table become under a question: folded labels, or classes of articulation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from lvm_probe.probing.corpora import phones
from lvm_probe.probing.corpora.phones import LabelSet
from lvm_probe.probing.questions.question import PHONE_CLASSES, Question


class _LeftOut(NamedTuple):
    """Why a label has no class, and as what it is counted."""

    why: str
    kind: str


def phone_classes(
    counts: Mapping[str, int], question: Question, labels: Iterable[str]
) -> tuple[dict[str, str | None], tuple[str, ...]]:
    """The class of every label, and notes that say what labels were taken for and what is left out.

    Args:
        counts: rows of every label that is asked for.
        question: for folded phonemes, or for a class of phonemes.
        labels: of the whole table, by which their set is recognised.

    Returns:
        The class of each label, None where it has none; and the notes.

    Raises:
        InputError: the set of the labels is unknown or ambiguous, or cannot be folded to the one asked for.
    """
    label_set = question.phone_set or phones.recognise(labels)
    notes = []
    if question.phones is not None:
        phones.check_folding(label_set, question.phones)
        notes.append(f"the phone labels are {phones.NAMES[label_set]}, folded to {question.phones}")
    elif label_set != "timit":
        notes.append(f"the phone labels are taken for {phones.NAMES[label_set]}")
    classes: dict[str, str | None] = {}
    left_out: dict[str, Counter[str]] = {}
    for label, count in sorted(counts.items()):
        found = _class_of(label, label_set, question)
        if isinstance(found, _LeftOut):
            left_out.setdefault(found.why, Counter())[found.kind] += count
        classes[label] = None if isinstance(found, _LeftOut) else found
    for why, kinds in left_out.items():
        listed = ", ".join(f"{kind} ({n:,})" for kind, n in kinds.most_common())
        notes.append(f"rows left out, {why}: {listed}")
    return classes, tuple(notes)


def _class_of(label: str, label_set: LabelSet, question: Question) -> str | _LeftOut:
    if label not in phones.SILENCES and not phones.belongs(label, label_set):
        return _LeftOut(f"their labels not {phones.NAMES[label_set]}", label)
    folded: str | None = label
    if question.phones is not None:
        folded = phones.fold(label, question.phones, label_set, silences=True)
        label_set = "arpabet" if question.phones == "arpabet" else "timit"
    if folded is None:
        return _LeftOut(f"which {question.phones} does not have", label)
    if question.target not in PHONE_CLASSES:
        return folded
    how = phones.articulation(folded, label_set)
    if how is None:
        return _LeftOut("their labels more than one phone", label)
    return phones.phone_class(folded, question.target, label_set) or _LeftOut(
        f"without a {question.target}", how.manner
    )
