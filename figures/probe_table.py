"""The table of all probe results at one k, with everything needed to judge them."""

from __future__ import annotations

from itertools import product

import pandas as pd

from lvm_probe import InputError
from lvm_probe.figures.inputs import FigureInputs
from lvm_probe.figures.table_format import Column, Table, number
from lvm_probe.figures.wording import counted, intervals, joined, number_range
from lvm_probe.probing.questions.question import Protocol, Target
from lvm_probe.probing.questions.results import at_reported_k, pooled

QUESTIONS: tuple[tuple[Target, Protocol], ...] = (("phoneme", "nested"), ("phoneme", "speaker"), ("gender", "speaker"))


def probes(inputs: FigureInputs) -> Table:
    """Probe results at one k, with everything needed to judge them.

    Raises:
        InputError: none of the questions can be asked of the tables.
    """
    parts: list[pd.DataFrame] = []
    remarks: list[str] = []
    reasons: list[str] = []
    tables = [inputs, *map(inputs.of, inputs.others)]
    for one, (target, protocol) in product(tables, QUESTIONS):
        question = one.question(target, protocol=protocol)
        try:
            answer = one.answer(question)
        except InputError as error:
            reasons.append(f"{target}, protocol {protocol}: {error}")
            continue
        remarks += answer.notes
        parts.append(at_reported_k(pooled(answer.frame)))
    if not parts:
        raise InputError("; ".join(reasons))
    frame = pd.concat(parts, ignore_index=True)
    remarks += [f"Not included: {reason}" for reason in reasons]
    caption = _caption(inputs, frame) + "".join(f" {remark}." for remark in dict.fromkeys(remarks))
    several = bool(inputs.others)
    return Table.of("Probe results", frame, _columns(several), caption, text_columns=4 if several else 3)


def _columns(several_tables: bool) -> list[Column]:
    def text(name: str) -> Column:
        return name, lambda row: str(row[name])

    def percent(head: str, name: str, form: str = ".1f") -> Column:
        return head, lambda row: number(100 * row[name], form)

    def interval(row: dict[str, float]) -> str:
        low, high = (number(100 * row[end], ".1f") for end in ("ci_low", "ci_high"))
        return f"{low}–{high}" if low else ""

    return [
        *([text("table")] if several_tables else []),
        text("target"), text("protocol"), text("feature"), text("k"), ("n", lambda row: f"{row['n']:,}"),
        ("classes", lambda row: str(row["n_classes"])), percent("accuracy", "accuracy"), ("95 % interval", interval),
        percent("balanced", "balanced_accuracy"), percent("null", "null_accuracy"),
        percent("chance", "chance"), percent("untrained", "untrained_accuracy"),
        percent("paper protocol", "paper_accuracy"), percent("difference to Mel", "minus_mel", "+.1f"),
        ("p", lambda row: number(row["p_minus_mel_holm"], ".4f")),
    ]  # fmt: skip


def _caption(inputs: FigureInputs, frame: pd.DataFrame) -> str:
    return (
        f"Accuracy in per cent of k nearest neighbours among at most {frame['lda_dims'].max()} linear discriminants, "
        f"for {_subject(inputs)}; {counted(int(frame['speakers'].iloc[0]), 'speaker')}. Protocols: nested: LDA is "
        "fitted again without each token, within one speaker at a time; speaker: whole speakers are held out (gender: "
        f"one row per speaker). Null: the same on permuted labels (mean over {number_range(frame['permutations'])} "
        "permutations); chance: share of the most frequent class; untrained: the same model with random weights; paper "
        "protocol: accuracy on the same rows when LDA has seen the held-out token, which is biased upward. Difference "
        f"to Mel in points, with a paired p value, adjusted after Holm. {intervals(frame)}"
    )


def _subject(inputs: FigureInputs) -> str:
    """The model and the corpus of the table, as far as they are known; the names of several tables."""
    if inputs.others:
        names = joined(table.name for table in (inputs.table, *inputs.others))
        return f"{names} (untrained: of the first)"
    extraction = inputs.table.extraction
    model, corpus = (extraction.get(key, {}).get("name") for key in ("checkpoint", "corpus"))
    draws = f", {extraction['samples']} Monte Carlo draws" if extraction.get("samples") else ""
    return f"{model or inputs.table.name}{f' on {corpus}' if corpus else ''}{draws}"
