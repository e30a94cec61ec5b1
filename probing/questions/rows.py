"""The rows of a token table that a question is about: which tokens, with which labels.

A token target (phoneme, a class of phonemes such as manner, word) has one row per token. For an attribute of the
speaker (gender, height, dialect), and for the speaker itself, a row is a token or the mean over an utterance or a
speaker, see `Question.row_unit`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Bool, Float, Int
from lvm_probe.probing.corpora import phones
from lvm_probe.probing.corpora.corpus import abbreviated
from lvm_probe.probing.features.context import in_context
from lvm_probe.probing.features.feature import MEASURES, Feature
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.phone_classes import phone_classes
from lvm_probe.probing.questions.question import TOKEN_TARGETS, Question, RowUnit

MIN_WORDS = 5
"""Fewest tokens of a word that is asked for, unless the question says otherwise."""

REFERENCE_HZ = 100.0
"""What pitch in semitones is counted from."""

_DIALECT_SENTENCE = re.compile(r"(?i:_SA[12])$")


class Categories(NamedTuple):
    """The values of a column and, for every row, the place of its own among them.

    Attributes:
        names: the values that occur, as text, ascending.
        codes: one per row.
    """

    names: np.ndarray
    codes: Int[np.ndarray, " rows"]

    @classmethod
    def of(cls, column: np.ndarray) -> Categories:
        return cls(*np.unique(column.astype(str), return_inverse=True))


@dataclass(frozen=True)
class Pool:
    """Rows that are judged together: one speaker's, or those of all speakers, whose id is then empty."""

    speaker: str
    rows: Int[np.ndarray, " rows"]


@dataclass(frozen=True)
class Rows:
    """The rows of a question.

    Attributes:
        question: which they are of.
        table: the rows with their features.
        labels: one per row; text, or numbers in the target's unit (`UNITS`).
        types: for a control task (Hewitt and Liang 2019), what a probe could know a row by without knowing its class:
            the label with its neighbours' for a phoneme or word, the phoneme for a class of phonemes, the speaker for
            an attribute, the utterance for a speaker.
        notes: what phone labels were taken for, which have no class, and whether boundaries were moved.
        tested: whether a row is of the test table, where a probe is fitted to another; otherwise None.
    """

    question: Question
    table: TokenTable
    labels: np.ndarray
    types: Int[np.ndarray, " rows"]
    notes: tuple[str, ...] = ()
    tested: Bool[np.ndarray, " rows"] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def judged(self) -> Int[np.ndarray, " judged"]:
        """The rows that are judged: all, or those of the test table."""
        return np.arange(len(self)) if self.tested is None else np.flatnonzero(self.tested)

    @cached_property
    def classes(self) -> Categories:
        """The labels."""
        return Categories.of(self.labels)

    @cached_property
    def speakers(self) -> Categories:
        """The speakers' ids."""
        return Categories.of(self.table.columns["speaker"])

    @cached_property
    def utterances(self) -> Categories:
        """The utterances' ids."""
        return Categories.of(self.table.columns["utterance"])

    @cached_property
    def genders(self) -> Categories:
        """The speakers' genders."""
        return Categories.of(self.table.columns["gender"])

    @cached_property
    def pools(self) -> tuple[Pool, ...]:
        """The rows that are judged together: each speaker's, or all."""
        if not self.question.one_speaker_at_a_time:
            return (Pool("", np.arange(len(self))),)
        names, codes = self.speakers
        return tuple(Pool(str(name), np.flatnonzero(codes == code)) for code, name in enumerate(names))

    @property
    def groups(self) -> Int[np.ndarray, " rows"]:
        """Codes of what is held out together by `utterance` and `speaker`, and has one label in the permuted null.

        Utterances under `utterance`, speakers otherwise. For the target `speaker` always utterances: to permute the
        labels of whole speakers would only rename them.
        """
        if self.tested is not None:
            return self.tested.astype(np.intp)
        by_utterance = self.question.protocol == "utterance" or self.question.target == "speaker"
        return self.utterances.codes if by_utterance else self.speakers.codes

    @cached_property
    def prompts(self) -> Int[np.ndarray, " rows"] | None:
        """Codes of what was read, where the protocol holds it out; an unknown prompt is like no other."""
        if self.question.protocol not in ("speaker+prompt", "across+prompt"):
            return None
        prompts = self.table.columns["prompt"]
        unknown = [prompt is None for prompt in prompts]
        return np.unique(
            np.where(unknown, self.table.columns["utterance"], prompts).astype(str) + np.where(unknown, "?", ""),
            return_inverse=True,
        )[1]

    @cached_property
    def erased(self) -> Int[np.ndarray, " rows"] | None:
        """Codes of the concept that is erased from the features, or None.

        Raises:
            InputError: a row lacks it.
        """
        match self.question.erase:
            case None:
                return None
            case "speaker":
                return self.speakers.codes
            case "gender":
                known = _is_known(self.table.columns["gender"])
                if not known.all():
                    raise InputError(
                        f"{self.table.path}: the gender of {(~known).sum()} rows is unknown, so it cannot be erased; "
                        "choose speakers of known gender"
                    )
                return self.genders.codes
            case "phoneme":
                units = sorted(set(self.table.columns["unit"]))
                if units != ["phoneme"]:
                    raise InputError(
                        f"{self.table.path}: rows are of {', '.join(units)}s, which have no phoneme to erase; extract "
                        "phonemes"
                    )
                return Categories.of(self.table.columns["label"]).codes

    def where(self, chosen: Bool[np.ndarray, " rows"]) -> Rows:
        """The rows where `chosen` is true."""
        if chosen.all():
            return self
        tested = None if self.tested is None else self.tested[chosen]
        labels, types = self.labels[chosen], self.types[chosen]
        return replace(self, table=self.table.select(chosen), labels=labels, types=types, tested=tested)

    def size(self, feature: Feature) -> int:
        """Dimensions of a feature.

        Raises:
            InputError: the table lacks the feature.
        """
        return self.table.matrix(feature, slice(0)).shape[1]

    def points(self, feature: Feature, pool: Pool) -> Float[np.ndarray, "rows dims"]:
        """A feature's values in a pool, centred and scaled over each speaker's or utterance's rows where asked for."""
        points = self.table.matrix(feature, pool.rows)
        if self.question.normalise == "none":
            return points
        units = self.speakers.codes if self.question.normalise == "speaker" else self.utterances.codes
        _, unit, sizes = np.unique(units[pool.rows], return_inverse=True, return_counts=True)

        def mean(values: np.ndarray) -> np.ndarray:
            return np.stack([np.bincount(unit, column) for column in values.T], axis=1) / sizes[:, None]

        points -= mean(points)[unit]
        deviation = np.sqrt(mean(points**2))
        return points / np.where(deviation > 0, deviation, 1.0)[unit]


def select_rows(table: TokenTable, question: Question) -> Rows:
    """Select the rows that a question is about.

    Raises:
        InputError: no rows are left, or the table lacks what the question names.
    """
    if question.context:
        table = in_context(table)
    whole, table = table, _restricted(table, question)
    match question.target:
        case "phoneme" | "manner" | "place" | "voicing" | "vowel-height" | "vowel-backness":
            rows = _phonemes(table, question, whole)
        case "word":
            rows = _words(table, question)
        case "height-cm" | "age":
            table = table.select(_is_known(table.columns["gender"]))  # numbers are compared within a gender
            rows = _of_speakers(table, question, question.target.replace("-", "_"))
            rows = replace(rows, labels=rows.labels.astype(np.float64))
        case "f0" | "voiced" | "intensity" | "f1" | "f2" | "f3" | "tilt" | "centroid" | "duration":
            rows = _measured(table, question)
        case "height":
            rows = _of_speakers(table, question, "height_cm")
            rows = replace(rows, labels=height_classes(rows.labels.astype(np.float64), tuple(question.height_edges)))
        case "gender" | "dialect" | "speaker":
            rows = _of_speakers(table, question, question.target)
    if len(rows) == 0:
        raise _nothing_left(table, question)
    if rows.prompts is not None and not _is_known(rows.table.columns["prompt"]).any():
        other = str(question.protocol).removesuffix("+prompt")
        raise InputError(
            f"{table.path}: the corpus does not say what was read, so protocol {question.protocol} cannot hold it out; "
            f"use protocol={other!r}, under which sentences that several speakers read give answers away"
        )
    moved = table.extraction.get("corpus", {}).get("moved_ms")
    if moved is None or question.target not in TOKEN_TARGETS:
        return rows
    note = f"the boundaries of the tokens were moved at random (standard deviation {moved:g} ms)"
    return replace(rows, notes=(*rows.notes, note))


def check_same_tokens(untrained: TokenTable, table: TokenTable) -> None:
    """Refuse an untrained model's table that holds other tokens.

    Raises:
        InputError: the tokens differ.
    """
    ours, theirs = table.columns["token_id"], untrained.columns["token_id"]
    if len(ours) != len(theirs) or (ours != theirs).any():
        raise InputError(
            f"{untrained.path}: not the same tokens as {table.path}; extract both from the same corpus with the same "
            "--units and --split"
        )


def with_measures_of(table: TokenTable, untrained: TokenTable) -> TokenTable:
    """The untrained model's table with the acoustic measures of the same tokens in the other table, NaN for others."""
    ours, theirs = table.columns["token_id"], untrained.columns["token_id"]
    measures = {name: table.features[name] for name in MEASURES if name in table.features}
    if measures and not np.array_equal(ours, theirs):
        places = {token: place for place, token in enumerate(ours)}
        place = np.array([places.get(token, len(ours)) for token in theirs])
        measures = {
            name: np.vstack([values, np.full_like(values[:1], np.nan)])[place] for name, values in measures.items()
        }
    return replace(untrained, features=measures | untrained.features)


def differs(feature: Feature, untrained: TokenTable, table: TokenTable) -> bool:
    """Whether the untrained model's table has the feature with other values; Mel is the same in both."""
    if not feature.is_among(untrained.features):
        return False
    return not all(np.array_equal(untrained.features[part], table.features[part]) for part in feature.parts)


def height_classes(heights: np.ndarray, edges: Sequence[float]) -> np.ndarray:
    """Classes of heights in cm.

    Example:
        >>> height_classes(np.array([170.0, 180.0, 190.0]), (175, 185)).tolist()
        ['<175', '175-185', '>185']
        >>> height_classes(np.array([170.0, 180.0]), (175,)).tolist()
        ['<175', '>=175']
    """
    edges = sorted(edges)
    middle = [f"{a:g}-{b:g}" for a, b in pairwise(edges)]
    names = np.array([f"<{edges[0]:g}", *middle, f"{'>' if middle else '>='}{edges[-1]:g}"], dtype=object)
    place = np.searchsorted(edges, heights, side="right")
    if middle:
        place[heights == edges[-1]] -= 1
    return names[place]


def _nothing_left(table: TokenTable, question: Question) -> InputError:
    return InputError(f"{table.path}: no rows with a known {question.target} are left; widen the selection")


def _restricted(table: TokenTable, question: Question) -> TokenTable:
    """The tokens of the speakers, gender and kinds that the question is restricted to."""
    columns = table.columns
    if unknown := sorted(set(question.speakers) - set(columns["speaker"])):
        known = ", ".join(sorted(set(columns["speaker"])))
        raise InputError(f"{table.path}: no speaker {', '.join(unknown)}; it has {known}")
    dialect = np.array([_DIALECT_SENTENCE.search(id) is not None for id in columns["utterance"]], dtype=bool)
    closures = (columns["unit"] == "phoneme") & _is_among(columns["label"], phones.CLOSURES)
    if not question.keep_sa and not dialect.any():
        raise InputError(
            f"{table.path}: no utterance is a dialect sentence (..._SA1, ..._SA2), which only TIMIT has; "
            "leave out keep_sa=False"
        )
    if not question.keep_closures and not closures.any():
        raise InputError(
            f"{table.path}: no row is one of TIMIT's closures ({' '.join(sorted(phones.CLOSURES))}); "
            "leave out keep_closures=False"
        )
    chosen = np.ones(len(table), dtype=bool)
    if question.speakers:
        chosen &= _is_among(columns["speaker"], question.speakers)
    if question.gender:
        chosen &= columns["gender"] == question.gender
    if not question.keep_sa:
        chosen &= ~dialect
    if not question.keep_closures:
        chosen &= ~closures
    if not chosen.any():
        raise InputError(f"{table.path}: no rows are left; widen the selection")
    return table.select(chosen)


def _phonemes(table: TokenTable, question: Question, whole: TokenTable) -> Rows:
    """Rows of phonemes; all labels of the whole table say what they are written in."""
    unit = "frame" if question.row_unit == "frame" else "phoneme"
    table = _of_unit(table, unit)
    labels = table.columns["label"]
    types = _in_context(table)
    notes: tuple[str, ...] = ()
    chosen = labels != ""  # frames between phones
    if not question.keep_silence:
        chosen &= ~_is_among(labels, phones.NON_PHONEMES)
    if question.phones is not None or question.target != "phoneme":
        try:
            known = whole.columns["label"][whole.columns["unit"] == unit]
            names, notes = phone_classes(Counter(labels[chosen]), question, set(known) - {""})
        except InputError as error:
            raise InputError(f"{table.path}: {error}") from error
        if question.target != "phoneme":
            types = np.unique(labels.astype(str), return_inverse=True)[1]
        labels = np.array([names.get(label) for label in labels], dtype=object)
        chosen &= np.array([label is not None for label in labels], dtype=bool)
    return _frequent(Rows(question, table, labels, types, notes).where(chosen), question.min_count or 1)


def _words(table: TokenTable, question: Question) -> Rows:
    table = _of_unit(table, "word")
    labels = np.array([label.lower() for label in table.columns["label"]], dtype=object)
    min_count = MIN_WORDS if question.min_count is None else question.min_count
    rows = _frequent(Rows(question, table, labels, _in_context(table)), min_count)
    if len(rows) == 0:
        raise InputError(f"{table.path}: no word occurs {min_count} times; lower min_count, or give more utterances")
    return rows


def _measured(table: TokenTable, question: Question) -> Rows:
    """Rows of an acoustic measure, or of the duration; rows that have none are left out, with a note."""
    table = _speech(table, question)
    if question.target == "duration":
        values = 1000 * (table.columns["end"] - table.columns["start"]) / table.columns["sample_rate"]
    elif question.target in table.features:
        values = table.features[question.target][:, 0].astype(np.float64)
        match question.target:
            case "f0":
                values = 12 * np.log2(values / REFERENCE_HZ)
            case "voiced":
                values = 100 * values
    else:
        raise InputError(
            f"{table.path}: no acoustic measures; add them with `probe extract --add --also measures` and the options "
            "that the table was made with"
        )
    known = np.isfinite(values)
    if question.normalise != "none":
        values = _about_means(values, table.columns[question.normalise])
    unit = table.columns["unit"][0] if len(table) else "token"
    why = " (less than half of it is voiced)" if question.target in ("f0", "f1", "f2", "f3") else ""
    notes = () if known.all() else (f"{(~known).sum()} of {len(known)} {unit} rows have no {question.target}{why}",)
    types = np.unique(table.columns["label"].astype(str), return_inverse=True)[1]
    return Rows(question, table, values, types, notes).where(known)


def _about_means(values: Float[np.ndarray, " rows"], units: np.ndarray) -> Float[np.ndarray, " rows"]:
    """The values about the mean of their unit, such as the speaker, over those that are known."""
    place = np.unique(units.astype(str), return_inverse=True)[1]
    known = np.isfinite(values)
    sizes = np.bincount(place, known)
    means = np.bincount(place, np.where(known, values, 0)) / np.maximum(sizes, 1)
    return np.asarray(values - means[place])


def _frequent(rows: Rows, min_count: int) -> Rows:
    """Without the labels that have fewer rows, with a note."""
    counts = np.bincount(rows.classes.codes, minlength=len(rows.classes.names))
    rare = counts < min_count
    if not rare.any() or rare.all():
        return rows.where(~rare[rows.classes.codes])
    labels = abbreviated(list(rows.classes.names[rare]), 5)
    note = f"left out because fewer than {min_count} tokens have the label: {labels} ({counts[rare].sum()} rows)"
    return replace(rows.where(~rare[rows.classes.codes]), notes=(*rows.notes, note))


def _of_speakers(table: TokenTable, question: Question, column: str) -> Rows:
    """Rows of an attribute of the speaker, or of the speaker's id; rows that lack it are left out."""
    table = _speech(table, question)
    table = table.select(_is_known(table.columns[column]))
    if len(table) == 0:
        raise _nothing_left(table, question)
    if question.row_unit not in ("token", "frame"):
        table = _averaged(table, question.row_unit)
    by = "utterance" if question.target == "speaker" else "speaker"
    types = np.unique(table.columns[by].astype(str), return_inverse=True)[1]
    return Rows(question, table, table.columns[column].astype(object), types)


def _of_unit(table: TokenTable, unit: str) -> TokenTable:
    chosen = table.columns["unit"] == unit
    if not chosen.any():
        present = sorted(set(table.columns["unit"]))
        checkpoint = (table.extraction.get("checkpoint") or {}).get("name", "CKPT")
        raise InputError(
            f"{table.path}: no {unit} rows, only {', '.join(present)}; add them: probe extract --ckpt {checkpoint} "
            f"--corpus CORPUS --out {table.path} --add --units {unit}, with the options that the table was made with"
            + (", or ask the frames with rows='frame'" if unit == "phoneme" and present == ["frame"] else "")
        )
    return table.select(chosen)


def _speech(table: TokenTable, question: Question) -> TokenTable:
    """The rows that an attribute of the speaker is averaged over: phonemes, else words, else utterances, else frames.

    Frames without a phone are silences, unless there are no phones at all.
    """
    if question.row_unit == "frame":
        table = _of_unit(table, "frame")
    units = table.columns["unit"]
    unit = next(unit for unit in ("phoneme", "word", "utterance", "frame") if (units == unit).any())
    chosen = units == unit
    if unit in ("phoneme", "frame") and not question.keep_silence:
        labels = table.columns["label"]
        silences = phones.SILENCES | {""} if (labels[chosen] != "").any() else phones.SILENCES
        chosen &= ~_is_among(labels, silences)
    return table.select(chosen)


def _averaged(table: TokenTable, by: RowUnit) -> TokenTable:
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
    """A code for every row's label together with its neighbours' labels in the utterance.

    Neighbouring frames with one label count as a single row.
    """
    labels, label = np.unique(table.columns["label"].astype(str), return_inverse=True)
    _, utterance = np.unique(table.columns["utterance"], return_inverse=True)
    order = np.lexsort((table.columns["start"], utterance))
    if (table.columns["unit"] == "frame").all():
        label, utterance = label[order], utterance[order]
        begins = np.append(True, (label[1:] != label[:-1]) | (utterance[1:] != utterance[:-1]))
        runs = np.empty(len(order), dtype=np.intp)
        runs[order] = np.cumsum(begins) - 1
        return _with_neighbours(label[begins], utterance[begins], np.arange(begins.sum()), len(labels))[runs]
    return _with_neighbours(label, utterance, order, len(labels))


def _with_neighbours(
    label: Int[np.ndarray, " rows"], utterance: Int[np.ndarray, " rows"], order: Int[np.ndarray, " rows"], count: int
) -> Int[np.ndarray, " rows"]:
    """A code for every row's label with those of the rows before and after it, in an order that is that of time."""
    label, joined = label[order] + 1, utterance[order][1:] == utterance[order][:-1]
    before = np.concatenate([[0], label[:-1] * joined])  # 0 at either end of an utterance
    after = np.concatenate([label[1:] * joined, [0]])
    types = np.empty(len(order), dtype=np.intp)
    base = count + 1
    types[order] = np.unique((before * base + label) * base + after, return_inverse=True)[1]
    return types


def _is_known(values: np.ndarray) -> Bool[np.ndarray, " rows"]:
    return np.array([value is not None and value == value for value in values], dtype=bool)


def _is_among(values: np.ndarray, names: Collection[str]) -> Bool[np.ndarray, " rows"]:
    return np.array([value in names for value in values], dtype=bool)
