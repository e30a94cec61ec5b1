"""What a question can judge: rows, speakers, classes and features that cannot be asked are left out by name.

Rows are chosen before features, so that all features are compared on the same rows.
"""

from __future__ import annotations

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.protocols import held_out
from lvm_probe.analysis.shape_annotations import Bool, Int
from lvm_probe.probing.corpora.corpus import abbreviated
from lvm_probe.probing.features.context import with_both_sides
from lvm_probe.probing.features.feature import Feature
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.question import REPORTED_K, SPEAKER_ATTRIBUTES, TOKEN_MEASURES, Question
from lvm_probe.probing.questions.rows import Pool, Rows, select_rows
from lvm_probe.probing.questions.transfer import rows_to_transfer

MIN_SPEAKERS_OF_GENDER = 3
"""Fewest speakers of a gender for heights: with one held out, two are left to take the mean of."""

Notes = tuple[str, ...]

# Share of the largest magnitude below which deviations are rounding: eight times the precision of single floats.
_CONSTANT = 1e-6


def rows_to_judge(table: TokenTable, question: Question, test: TokenTable | None = None) -> tuple[Rows, Notes]:
    """The rows of a question without those that it cannot judge, and notes that name what was left out.

    Where each speaker is asked alone, a speaker is left out who has too few utterances, classes or rows. Where all are
    asked together, a class is left out that has no rows to train on once its only speaker (utterance, row) is held out.

    Raises:
        InputError: as `select_rows`; or nothing remains.
    """
    if test is not None:
        return rows_to_transfer(table, test, question)
    rows = select_rows(table, question)
    if question.method == "ridge":
        return _measures_to_judge(rows) if question.target in TOKEN_MEASURES else _with_enough_speakers_of_gender(rows)
    if question.method == "abx":
        rows, notes = _with_triples(rows)
    elif question.one_speaker_at_a_time:
        rows, notes = _speakers_to_judge(rows)
    else:
        rows, notes = _classes_to_judge(rows)
    if rows.prompts is None:
        return rows, notes
    known = _is_known(rows.table.columns["prompt"])
    if not known.all():
        notes += (f"what was read is unknown for {(~known).sum()} rows, which count as prompts of their own",)
    if question.method == "abx":
        return rows, notes
    rows, more = _with_class_in_other_prompts(rows)
    return rows, notes + more


def features_to_judge(rows: Rows, features: tuple[Feature, ...]) -> tuple[tuple[Feature, ...], Notes]:
    """The features without those that cannot be asked of these rows, and notes that name these and say why.

    Raises:
        InputError: the table lacks a feature; none remains.
    """
    kept, refused, notes = [], [], []
    for feature in features:
        if reason := _unusable(rows, feature):
            refused.append(f"feature {feature}: {reason}")
            continue
        kept.append(feature)
        if constant := [pool.speaker for pool in rows.pools if _is_constant(rows, feature, pool)]:
            names = abbreviated(list(constant))
            notes.append(f"feature {feature} is constant over the rows of {names}: nothing but the majority is known")
    if not kept:
        raise InputError(f"{rows.table.path}: {'; '.join(refused)}")
    return tuple(kept), (*(f"left out, {reason}" for reason in refused), *notes)


def _unusable(rows: Rows, feature: Feature) -> str | None:
    """Why a feature cannot be asked, or None."""
    values = rows.table.matrix(feature, slice(None))
    if rows.question.context and (alone := set(feature.parts) - set(with_both_sides(rows.table.features))):
        return f"the table has no context of {', '.join(sorted(alone))}"
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        if parts := [part for part in feature.parts if part.endswith("_var")]:
            return (
                f"{parts[0]} is unknown, for a single Monte Carlo draw has no variance; extract into another folder "
                "with --samples 2 or more"
            )
        return f"{(~finite).sum()} of {len(finite)} rows are not finite"
    if all(_is_constant(rows, feature, pool) for pool in rows.pools):
        return "it is constant over the rows" + (" of each speaker" if len(rows.pools) > 1 else "")
    if rows.question.method == "abx" and rows.question.distance == "cosine":
        if values.shape[1] == 1:
            return "of one dimension the cosine distance compares the sign only; use distance='euclidean'"
        points = np.concatenate([rows.points(feature, pool) for pool in rows.pools])
        lengths = np.linalg.norm(points, axis=1)
        if (zero := int((lengths == 0).sum())) > 0:
            return f"{zero} rows are zero, and the cosine distance needs a direction; use distance='euclidean'"
        if (np.abs(points @ points[0]) >= (1 - _CONSTANT**2) * lengths * lengths[0]).all():
            return "all rows have the same direction, so the cosine distance is zero; use distance='euclidean'"
    return None


def _is_constant(rows: Rows, feature: Feature, pool: Pool) -> bool:
    points = rows.points(feature, pool)
    return bool((np.ptp(points, axis=0) <= _CONSTANT * np.abs(points).max(axis=0)).all())


def _held_out_together(rows: Rows) -> tuple[str, Int[np.ndarray, " rows"]]:
    """What is held out together, in a word and as a code for every row."""
    if rows.question.protocol in ("utterance", "speaker", "speaker+prompt"):
        return "utterance" if rows.question.protocol == "utterance" else "speaker", rows.groups
    return "row", np.arange(len(rows))


def _speakers_to_judge(rows: Rows) -> tuple[Rows, Notes]:
    """Without the speakers of whom nothing can be predicted from their other rows."""
    question, notes = rows.question, list[str]()
    if question.protocol == "utterance":
        rows, note = _without_single_utterances(rows)
        notes += note
    unit, units = _held_out_together(rows)
    unfit = np.array([not _always_fits(rows.classes.codes[p.rows], units[p.rows]) for p in rows.pools])
    need = f"a speaker needs, besides any one {unit}, two classes, one of them with two rows"
    rows, note = _without_speakers(rows, unfit, need)
    notes += note
    if question.method == "knn":
        rows, note = _without_few_neighbours(rows)
        notes += note
    if (question.protocol != "paper" or question.method == "knn") and question.method != "mdl":
        notes += _certain_errors(rows)
    return rows, tuple(notes)


def _always_fits(codes: Int[np.ndarray, " rows"], units: Int[np.ndarray, " rows"]) -> bool:
    """Whether two classes, one of them with two rows, are left without any one unit."""
    _, place, counts = np.unique(codes, return_inverse=True, return_counts=True)
    names, unit = np.unique(units, return_inverse=True)
    if len(names) == len(codes):  # units are rows: what is left depends on the class of the row alone
        held_out = np.eye(len(counts), dtype=np.intp)
    else:
        held_out = np.zeros((len(names), len(counts)), dtype=np.intp)
        np.add.at(held_out, (unit, place), 1)
    left = counts - held_out
    return bool((((left > 0).sum(axis=1) > 1) & (left > 1).any(axis=1)).all())


def _without_single_utterances(rows: Rows) -> tuple[Rows, Notes]:
    pairs = np.unique(np.stack([rows.speakers.codes, rows.utterances.codes]), axis=1)
    return _without_speakers(rows, np.bincount(pairs[0]) < 2, "protocol utterance needs two utterances of a speaker")


def _without_few_neighbours(rows: Rows) -> tuple[Rows, Notes]:
    """Without the speakers who have fewer other rows than the largest k that is asked for, or than `REPORTED_K`."""
    neighbours = np.array(neighbours_of_pools(rows))
    most = max(rows.question.ks or (min(REPORTED_K, neighbours.max()),))
    need = f"{most} neighbours need {most} rows of the speaker that are not held out together"
    return _without_speakers(rows, neighbours < most, need, cure=f"use k up to {neighbours.max()}, or more tokens")


def neighbours_of_pools(rows: Rows) -> list[int]:
    """How many neighbours every row of a pool has, pool by pool."""
    if rows.tested is not None:
        return [int((~rows.tested).sum())]
    units = _held_out_together(rows)[1]
    if rows.prompts is not None:
        folds = held_out("grouped", len(rows), units, rows.prompts)
        return [len(rows) - max(len(fold.excluded) for fold in folds)]
    return [len(p.rows) - int(np.unique(units[p.rows], return_counts=True)[1].max()) for p in rows.pools]


def _certain_errors(rows: Rows) -> list[str]:
    """A note on the rows whose class their speaker has nowhere else; for the same rows, whatever the feature."""
    unit, units = _held_out_together(rows)
    place = rows.speakers.codes * len(rows.classes.names) + rows.classes.codes
    units_with = np.bincount(np.unique(np.stack([place, units]), axis=1)[0])
    alone = units_with[place] < 2
    if not alone.any():
        return []
    names = abbreviated(list(rows.classes.names[np.unique(rows.classes.codes[alone])]))
    count = "1 row counts as an error" if alone.sum() == 1 else f"{alone.sum()} rows count as errors"
    return [f"{count}, because the speaker has the class in no other {unit}: {names}"]


def _without_speakers(
    rows: Rows, unfit: Bool[np.ndarray, " speakers"], need: str, cure: str | None = None
) -> tuple[Rows, Notes]:
    """Without some of the speakers; `need` says what they lack."""
    if not unfit.any():
        return rows, ()
    names = abbreviated(list(rows.speakers.names[unfit]))
    if unfit.all():
        if cure is None:
            others = "protocol='nested' or protocol='speaker'"
            cure = f"give more, or use {others}" if rows.question.protocol == "utterance" else "give more"
        raise InputError(f"{rows.table.path}: {need}, and none has that ({names}); {cure}")
    left_out = unfit[rows.speakers.codes]
    return rows.where(~left_out), (f"left out because {need}: {names} ({left_out.sum()} rows)",)


def _classes_to_judge(rows: Rows) -> tuple[Rows, Notes]:
    """Without the classes that are unknown wherever their only speaker (utterance, row) is held out."""
    target, protocol = rows.question.target, rows.question.protocol
    if len(rows.classes.names) < 2:
        raise InputError(
            f"{rows.table.path}: the target {target} has one class among {len(rows)} rows, so there is nothing to "
            "predict; choose another target or more speakers"
        )
    if protocol in ("speaker", "speaker+prompt") and len(rows.speakers.names) < 2:
        raise InputError(
            f"{rows.table.path}: protocol {protocol} holds out one speaker and needs two or more; use protocol='nested'"
        )
    unit, units = _held_out_together(rows)
    pairs = np.unique(np.stack([rows.classes.codes, units]), axis=1)
    single = np.bincount(pairs[0]) < 2
    if not single.any():
        return rows, ()
    names = f"{target} {abbreviated(list(rows.classes.names[single]))}"
    if (~single).sum() < 2:
        raise InputError(
            f"{rows.table.path}: only one {unit} has {names}, and holding one out needs two {unit}s "
            f"of each of two classes; give more {unit}s"
            + (", or use protocol='nested'" if protocol == "speaker" and target not in SPEAKER_ATTRIBUTES else "")
        )
    left_out = single[rows.classes.codes]
    note = f"left out because only one {unit} has the class: {names} ({left_out.sum()} rows)"
    return rows.where(~left_out), (note,)


def _with_class_in_other_prompts(rows: Rows) -> tuple[Rows, Notes]:
    """Without the rows whose class no other speaker has in another prompt, which nothing could predict."""
    classes, speakers, prompts = rows.classes.codes, rows.speakers.codes, rows.prompts
    assert prompts is not None
    known = np.zeros(len(rows), dtype=bool)
    for fold in held_out("grouped", len(rows), speakers, prompts):
        known[fold.judged] = np.isin(classes[fold.judged], np.delete(classes, fold.excluded))
    unit = rows.question.target + "s" * (rows.question.target in ("word", "phoneme"))
    if known.sum() == 0 or len(np.unique(classes[known])) < 2:
        raise InputError(
            f"{rows.table.path}: no two {unit} occur in prompts of other speakers too, so protocol speaker+prompt has "
            "nothing to train on; give more speakers and sentences, lower min_count, or use protocol='speaker'"
        )
    lost = sorted(set(rows.classes.names) - set(rows.classes.names[np.unique(classes[known])]))
    which = f", among them all of {abbreviated(list(lost))}" if lost else ""
    note = f"{known.sum()} of {len(known)} rows remain, whose class another speaker has in another prompt{which}"
    return rows.where(known), (note,)


def _is_known(values: np.ndarray) -> Bool[np.ndarray, " rows"]:
    return np.array([value is not None for value in values], dtype=bool)


def _with_triples(rows: Rows) -> tuple[Rows, Notes]:
    """Without the speakers who have no A, B and X: two labels, one of them also of X, which is another token."""
    across = rows.question.protocol in ("across", "across+prompt")
    if across and len(rows.speakers.names) < 2:
        raise InputError(f"{rows.table.path}: ABX across speakers needs two or more; use protocol='within'")
    counts = np.zeros((len(rows.speakers.names), len(rows.classes.names)), dtype=np.intp)
    np.add.at(counts, (rows.speakers.codes, rows.classes.codes), 1)
    candidates = (counts > 0) & ((counts > 0).sum(axis=0) > 1) if across else counts > 1
    unfit = ((counts > 0).sum(axis=1) < 2) | ~candidates.any(axis=1)
    need = "ABX needs two labels of a speaker, one of them " + ("of another speaker too" if across else "twice")
    cure = "give more tokens, or a target that varies within speakers"
    return _without_speakers(rows, unfit, need, cure)


def _measures_to_judge(rows: Rows) -> tuple[Rows, Notes]:
    """Without the speakers of a single utterance, where each is asked alone; elsewhere two speakers are needed."""
    if rows.question.protocol == "utterance":
        return _without_single_utterances(rows)
    if len(rows.speakers.names) < 2:
        raise InputError(
            f"{rows.table.path}: protocol speaker holds out one speaker and needs two or more; use protocol='utterance'"
        )
    return rows, ()


def _with_enough_speakers_of_gender(rows: Rows) -> tuple[Rows, Notes]:
    names, codes = rows.genders
    counts = np.array([len(np.unique(rows.speakers.codes[codes == code])) for code in range(len(names))])
    few = counts < MIN_SPEAKERS_OF_GENDER
    if not few.any():
        return rows, ()
    what = rows.question.target.removesuffix("-cm")
    which = " and ".join(
        f"{n} {name} speaker{'' if n == 1 else 's'}" for n, name in zip(counts[few], names[few], strict=True)
    )
    if few.all():
        raise InputError(
            f"{rows.table.path}: {which} of known {what}; the mean of the others needs three of a gender, so give more "
            "speakers"
        )
    return rows.where(~few[codes]), (f"left out because a gender needs three speakers of known {what}: {which}",)
