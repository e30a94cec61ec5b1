"""What can be asked of a token table: for each target its rows, their labels, and what a memorising probe could use.

A *token target* (phoneme, manner, place, word) has one row a token. An *attribute* (gender, height, dialect) belongs to
the speaker: it has one row a speaker under the protocol `speaker`, one an utterance under the others, where the same
speaker is among the neighbours; or what `rows` says. The target `speaker` is asked of utterances, or of tokens.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, get_args

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis import predictions
from lvm_probe.analysis.shape_annotations import Bool, Int
from lvm_probe.probing.corpora import phones
from lvm_probe.probing.features.token_table import TokenTable

Target = Literal["phoneme", "manner", "place", "word", "gender", "height", "height-cm", "dialect", "speaker"]
Rows = Literal["speaker", "utterance", "token"]
Protocol = Literal["paper", "nested", "speaker"]

TARGETS: tuple[Target, ...] = get_args(Target)
TOKEN_TARGETS: tuple[Target, ...] = ("phoneme", "manner", "place", "word")
ATTRIBUTES: tuple[Target, ...] = ("gender", "height", "height-cm", "dialect")
HEIGHT_EDGES = (175.0, 185.0)
"""The paper's three classes (section 3.2): below 175 cm, from there to 185 cm, above."""

LEAST_WORDS = 5
"""Fewest tokens of a word that is asked for, where nothing else is said."""

_DIALECT_SENTENCE = re.compile(r"(?i:_SA[12])$")


@dataclass(frozen=True)
class Selection:
    """Which rows of a table a question is about, and what of them it asks.

    `rows`, `phones` and `least` of None take the target's defaults.
    """

    target: Target = "phoneme"
    protocol: Protocol = "nested"
    rows: Rows | None = None
    speakers: tuple[str, ...] = ()
    gender: str | None = None
    phones: phones.PhoneSet | None = None
    keep_sa: bool = True
    keep_silence: bool = False
    keep_closures: bool = True
    least: int | None = None
    height_edges: tuple[float, ...] = HEIGHT_EDGES

    @property
    def row(self) -> Rows:
        """What one row stands for."""
        if self.target in TOKEN_TARGETS:
            return "token"
        if self.rows is not None:
            return self.rows
        return "speaker" if self.protocol == "speaker" and self.target != "speaker" else "utterance"


@dataclass(frozen=True)
class Asked:
    """The rows of a question.

    Attributes:
        table: the rows with their features.
        labels: one a row; text, or centimetres for `height-cm`.
        types: for a control task (Hewitt and Liang 2019), what a probe could know a row by without knowing its class:
            of a phoneme or word its neighbours and itself, of a class of phonemes the phoneme, of an attribute the
            speaker, of a speaker the utterance.
    """

    table: TokenTable
    labels: np.ndarray
    types: Int[np.ndarray, " rows"]


def analysis_protocol(protocol: Protocol) -> predictions.Protocol:
    """The protocol of the analysis: `speaker` holds out whole groups, with the speakers as groups."""
    return "grouped" if protocol == "speaker" else protocol


def default_protocol(target: Target) -> Protocol:
    """`nested` for phonemes, asked one speaker at a time, and for the speakers; `speaker` for attributes and words."""
    return "nested" if target in ("phoneme", "manner", "place", "speaker") else "speaker"


def asked(table: TokenTable, selection: Selection) -> Asked:
    """The rows that a selection is about, their labels and types.

    Raises InputError when nothing is left, or the table does not hold what the selection speaks of.
    """
    _check(table, selection)
    table = _selected(table, selection)
    match selection.target:
        case "phoneme" | "manner" | "place":
            found = _phonemes(table, selection)
        case "word":
            found = _words(table, selection)
        case "speaker":
            found = _of_speakers(table, selection, "speaker", lambda column: column)
        case "gender" | "dialect":
            found = _of_speakers(table, selection, selection.target, lambda column: column)
        case "height":
            found = _of_speakers(
                table, selection, "height_cm", lambda column: height_classes(column, selection.height_edges)
            )
        case "height-cm":
            table = table.select(_known(table.columns["gender"]))  # heights are compared within a gender
            found = _of_speakers(table, selection, "height_cm", lambda column: column)
            found = replace(found, labels=found.labels.astype(np.float64))
    if len(found.labels) == 0:
        raise InputError(f"{table.path}: no rows with a known {selection.target} are left; widen the selection")
    return found


def same_rows(other: Asked, found: Asked) -> Asked:
    """The rows of another table (the untrained model's) for the same question; refused unless they are the same tokens.

    Raises InputError when they are not.
    """
    mine, theirs = (some.table.columns["token_id"] for some in (found, other))
    if len(mine) != len(theirs) or (mine != theirs).any():
        raise InputError(
            f"{other.table.path}: not the same tokens as {found.table.path}; extract both from the same corpus with "
            "the same --units and --split"
        )
    return other


def height_classes(heights: np.ndarray, edges: Sequence[float]) -> np.ndarray:
    """`<175`, `175-185`, `>185` for edges 175 and 185, both of the middle; `<170`, `>=170` for one edge."""
    edges = sorted(edges)
    middle = [f"{a:g}-{b:g}" for a, b in pairwise(edges)]
    names = np.array([f"<{edges[0]:g}", *middle, f"{'>' if middle else '>='}{edges[-1]:g}"], dtype=object)
    place = np.searchsorted(edges, heights, side="right")
    if middle:
        place[heights == edges[-1]] -= 1
    return names[place]


def _check(table: TokenTable, selection: Selection) -> None:
    """Refuses what does not go together."""
    if selection.target == "speaker" and selection.protocol == "speaker":
        raise InputError(
            "protocol speaker leaves out the very speaker that is to be named; use nested for the target speaker"
        )
    if selection.target == "speaker" and selection.row == "speaker":
        raise InputError("--rows speaker: with one row each nobody could be recognised; use utterance or token")
    if selection.rows is not None and selection.target in TOKEN_TARGETS:
        raise InputError(f"--rows {selection.rows}: the target {selection.target} has one row a token; leave it out")
    if selection.target not in ("phoneme", "manner", "place") and selection.phones is not None:
        raise InputError(
            f"--phones {selection.phones}: folds phonemes, and the target is {selection.target}; leave it out"
        )
    if selection.row == "speaker" and selection.protocol == "nested":
        raise InputError("--rows speaker with protocol nested is protocol speaker; use that")
    if len(selection.height_edges) == 0:
        raise InputError("--height-edges: give one height in cm or more, such as 175,185")
    speakers = set(table.columns["speaker"])
    if strangers := [s for s in selection.speakers if s not in speakers]:
        known = ", ".join(sorted(speakers))
        raise InputError(f"{table.path}: no speaker {', '.join(strangers)}; it has {known}")


def _selected(table: TokenTable, selection: Selection) -> TokenTable:
    columns = table.columns
    dialect = np.array([_DIALECT_SENTENCE.search(id) is not None for id in columns["utterance"]], dtype=bool)
    closures = (columns["unit"] == "phoneme") & _among(columns["label"], phones.CLOSURES)
    if not selection.keep_sa and not dialect.any():
        raise InputError(
            f"{table.path}: no utterance is a dialect sentence (..._SA1, ..._SA2), which only TIMIT has; "
            "leave out --sa drop"
        )
    if not selection.keep_closures and not closures.any():
        raise InputError(
            f"{table.path}: no row is a closure of TIMIT's ({' '.join(sorted(phones.CLOSURES))}); "
            "leave out --closures drop"
        )
    kept = np.ones(len(table), dtype=bool)
    if selection.speakers:
        kept &= _among(columns["speaker"], selection.speakers)
    if selection.gender:
        kept &= columns["gender"] == selection.gender
    if not selection.keep_sa:
        kept &= ~dialect
    if not selection.keep_closures:
        kept &= ~closures
    if not kept.any():
        raise InputError(f"{table.path}: no rows are left; widen the selection")
    return table.select(kept)


def _phonemes(table: TokenTable, selection: Selection) -> Asked:
    table = _of_unit(table, "phoneme")
    labels = table.columns["label"]
    types = _in_context(table)
    kept = np.ones(len(labels), dtype=bool)
    if not selection.keep_silence:
        kept = ~_among(labels, phones.NON_PHONEMES)
    if selection.phones is not None or selection.target != "phoneme":
        if strangers := sorted(set(labels[kept]) - phones.TIMIT61):
            cure = (
                "leave --phones out to take the labels as they are"
                if selection.target == "phoneme"
                else f"{selection.target} is known of TIMIT's labels only"
            )
            raise InputError(
                f"{table.path}: unknown phone label {strangers[0]!r}, none of the 61 of TIMIT that "
                f"{'--phones folds' if selection.target == 'phoneme' else 'have a ' + selection.target}; {cure}"
            )
        names = {label: _class_of(str(label), selection) for label in set(labels[kept])}
        if selection.target != "phoneme":
            types = np.unique(labels.astype(str), return_inverse=True)[1]
        labels = np.array([names.get(label) for label in labels], dtype=object)
        kept &= np.array([label is not None for label in labels], dtype=bool)
    return _frequent(Asked(table.select(kept), labels[kept], types[kept]), selection.least or 1)


def _class_of(label: str, selection: Selection) -> str | None:
    folded = phones.fold(label, selection.phones or "timit61", silences=True)
    if folded is None or selection.target == "phoneme":
        return folded
    return phones.manner(folded) if selection.target == "manner" else phones.place(folded)


def _words(table: TokenTable, selection: Selection) -> Asked:
    table = _of_unit(table, "word")
    labels = np.array([label.lower() for label in table.columns["label"]], dtype=object)
    least = LEAST_WORDS if selection.least is None else selection.least
    found = _frequent(Asked(table, labels, _in_context(table)), least)
    if len(found.labels) == 0:
        raise InputError(f"{table.path}: no word occurs {least} times; lower --least, or give more utterances")
    return found


def _frequent(found: Asked, least: int) -> Asked:
    """Without the labels that have fewer rows: of a label with a single row, nothing can be learnt."""
    _, codes, counts = np.unique(found.labels.astype(str), return_inverse=True, return_counts=True)
    kept = counts[codes] >= least
    return found if kept.all() else Asked(found.table.select(kept), found.labels[kept], found.types[kept])


def _of_speakers(
    table: TokenTable, selection: Selection, column: str, labelled: Callable[[np.ndarray], np.ndarray]
) -> Asked:
    """Rows of an attribute of the speaker (or of the speaker's name); rows that lack it are left out."""
    table = _spoken(table, selection.keep_silence)
    table = table.select(_known(table.columns[column]))
    if len(table) == 0:
        raise InputError(f"{table.path}: no rows with a known {selection.target} are left; widen the selection")
    if selection.row != "token":
        table = _averaged(table, selection.row)
    labels = labelled(table.columns[column]).astype(object)
    by = "utterance" if selection.target == "speaker" else "speaker"
    types = np.unique(table.columns[by].astype(str), return_inverse=True)[1]
    return Asked(table, labels, types)


def _of_unit(table: TokenTable, unit: str) -> TokenTable:
    rows = table.columns["unit"] == unit
    if not rows.any():
        has = ", ".join(sorted(set(table.columns["unit"])))
        raise InputError(f"{table.path}: no {unit} rows, only {has}; extract them: probe extract --units {unit}")
    return table.select(rows)


def _spoken(table: TokenTable, keep_silence: bool) -> TokenTable:
    """The rows that speak for their speaker: phonemes, else words, else utterances."""
    units = table.columns["unit"]
    unit = next(unit for unit in ("phoneme", "word", "utterance") if (units == unit).any())
    rows = units == unit
    if unit == "phoneme" and not keep_silence:
        rows &= ~_among(table.columns["label"], phones.SILENCES)
    return table.select(rows)


def _averaged(table: TokenTable, by: str) -> TokenTable:
    """One row per speaker or utterance: the mean of its rows, weighted by their duration."""
    columns = table.columns
    groups, first, place = np.unique(columns[by], return_index=True, return_inverse=True)
    seconds = (columns["end"] - columns["start"]) / columns["sample_rate"]
    shares = seconds / np.bincount(place, seconds)[place]
    order = np.argsort(place, kind="stable")
    begin = np.searchsorted(place[order], np.arange(len(groups)))
    means = {k: np.add.reduceat((shares[:, None] * v)[order], begin, axis=0) for k, v in table.features.items()}
    return replace(table, columns={name: values[first] for name, values in columns.items()}, features=means)


def _in_context(table: TokenTable) -> Int[np.ndarray, " rows"]:
    """A code for every row's label with its neighbours' labels in the utterance."""
    labels, label = np.unique(table.columns["label"].astype(str), return_inverse=True)
    _, utterance = np.unique(table.columns["utterance"], return_inverse=True)
    order = np.lexsort((table.columns["start"], utterance))
    label, joined = label[order] + 1, utterance[order][1:] == utterance[order][:-1]
    before = np.concatenate([[0], label[:-1] * joined])  # 0 at either end of an utterance
    after = np.concatenate([label[1:] * joined, [0]])
    types = np.empty(len(table), dtype=np.intp)
    most = len(labels) + 1
    types[order] = np.unique((before * most + label) * most + after, return_inverse=True)[1]
    return types


def _known(values: np.ndarray) -> Bool[np.ndarray, " rows"]:
    return np.array([value is not None and value == value for value in values], dtype=bool)


def _among(values: np.ndarray, names: Collection[str]) -> Bool[np.ndarray, " rows"]:
    return np.array([value in names for value in values], dtype=bool)
