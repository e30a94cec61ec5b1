"""Rows of two tables: a probe is fitted to the one and asked of the other, of other speakers or of another corpus."""

from __future__ import annotations

import numpy as np

from lvm_probe import InputError
from lvm_probe.probing.corpora.corpus import abbreviated
from lvm_probe.probing.features.model_identity import encoder_of, is_of_model, same_model
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.question import Question
from lvm_probe.probing.questions.rows import Rows, select_rows

_SETTINGS = ("estimator", "samples", "mel")


def rows_to_transfer(table: TokenTable, test: TokenTable, question: Question) -> tuple[Rows, tuple[str, ...]]:
    """The rows of a question in both tables, those of the test table marked, and notes on what was left out.

    Args:
        table: what the probe is fitted to.
        test: what it is asked of.
        question: with the protocol `transfer`.

    Raises:
        InputError: features of different models; a speaker in both; no class in both.
    """
    fitted, judged = (select_rows(one, question) for one in (table, test))
    if both := sorted(set(fitted.speakers.names) & set(judged.speakers.names)):
        raise InputError(
            f"{test.path}: speaker {abbreviated(both)} is in {table.path} too, so the probe would know the voice; "
            "extract one of the tables with other speakers (--speaker or --split)"
        )
    notes = _on_model(table, test, question)
    known = np.isin(judged.classes.names, fitted.classes.names)
    notes += fitted.notes + tuple(note for note in judged.notes if note not in fitted.notes)
    if not known.all():
        left_out = ~known[judged.classes.codes]
        names = abbreviated(list(judged.classes.names[~known]))
        if left_out.all():
            raise InputError(f"{test.path}: none of its classes ({names}) is among those of {table.path}")
        judged = judged.where(~left_out)
        notes += (f"left out of {test.name} because {table.name} has no such class: {names} ({left_out.sum()} rows)",)
    if len(unasked := np.setdiff1d(fitted.classes.names, judged.classes.names)):
        notes += (
            f"{test.name} has no rows of classes that the probe may answer all the same: {abbreviated(list(unasked))}",
        )
    notes += tuple(
        f"{table.name} and {test.name} were extracted with different settings: {key} {ours} and {theirs}"
        for key in _SETTINGS
        if (ours := table.extraction.get(key)) != (theirs := test.extraction.get(key))
    )
    notes += _on_prompts(fitted, judged, question)
    codes = judged.types + (fitted.types.max() + 1)
    return Rows(
        question,
        fitted.table.followed_by(judged.table),
        np.concatenate([fitted.labels, judged.labels]),
        np.concatenate([fitted.types, codes]),
        (),
        np.arange(len(fitted) + len(judged)) >= len(fitted),
    ), notes


def _on_model(table: TokenTable, test: TokenTable, question: Question) -> tuple[str, ...]:
    """A note if nothing but its name tells the model of both tables, where features of it are asked.

    Raises:
        InputError: they are of different models.
    """
    asked = {part for feature in question.features_of(table) for part in feature.parts}
    if not any(is_of_model(part, table.extraction) for part in asked):
        return ()
    if not same_model(table.extraction, test.extraction):
        raise InputError(
            f"{test.path}: not of the same model as {table.path}; extract both with the same checkpoint or encoder"
        )
    if "first_utterance_sha256" not in (encoder := encoder_of(test.extraction)):
        return ()
    return (f"{table.name} and {test.name} are taken to be of one encoder: {encoder['name']} has no file to show it",)


def _on_prompts(fitted: Rows, judged: Rows, question: Question) -> tuple[str, ...]:
    """A note on words that were read in sentences of both tables, whose place alone gives them away."""
    read = {prompt for prompt in fitted.table.columns["prompt"] if prompt is not None}
    same = sum(prompt in read for prompt in judged.table.columns["prompt"])
    if question.target != "word" or not same:
        return ()
    return (f"{same} of {len(judged)} judged rows are of sentences that are in both tables",)
