"""What it costs to tell phonemes across speakers when what tells the speaker, or the gender, is erased first.

The sham takes as many dimensions for permuted labels: what an erasure (LEACE, Belrose et al. 2023) costs beyond it, the
phonemes shared with what was erased.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from lvm_probe import InputError
from lvm_probe.figures import accuracy_points
from lvm_probe.figures.accuracy_points import Measure
from lvm_probe.figures.inputs import FigureInputs, check_columns
from lvm_probe.figures.wording import counted, number_range
from lvm_probe.probing.questions.question import Concept
from lvm_probe.probing.questions.results import pooled

NAME = "erasure"
TITLE = "Phoneme accuracy after the speaker or the gender is erased"

COLUMNS = ("feature", "erase", "minus_unerased", "minus_unerased_low", "minus_unerased_high", "sham", "unerased",
           "accuracy", "n", "speakers")  # fmt: skip
CONCEPTS: tuple[Concept, ...] = ("speaker", "gender")

CHANGE = Measure(
    "minus_unerased", "minus_unerased_low", "minus_unerased_high", "sham", "nothing", "change of accuracy (points)",
    "nothing erased", 100, "sham erasure",
)  # fmt: skip

draw = partial(accuracy_points.draw, measure=CHANGE)
"""Draw one row for each feature: the change with its interval, and that of the sham."""


def data(inputs: FigureInputs) -> pd.DataFrame:
    """One row per erased concept and feature: the changes of accuracy by the erasure and by its sham, as fractions.

    Raises:
        InputError: too few phonemes or speakers.
    """
    parts, reasons = [], []
    for concept in CONCEPTS:
        question = inputs.question(method="lda", protocol="speaker", erase=concept)
        question = replace(question, permutations=2 if inputs.permutations is None else inputs.permutations)
        try:
            frame = replace(inputs, untrained=None).answer(question).frame
        except InputError as error:
            reasons.append(str(error))
            continue
        parts.append(pooled(frame))
    if not parts:
        raise InputError("; ".join(dict.fromkeys(reasons)))
    rows = pd.concat(parts, ignore_index=True)
    rows["unerased"], rows["nothing"] = rows["unerased_accuracy"], 0.0
    rows["sham"] = rows["sham_accuracy"] - rows["unerased_accuracy"]
    return rows[[*COLUMNS, "nothing", "permutations"]]


def figure(data: pd.DataFrame) -> Figure:
    """A panel for each erased concept, on the same axis."""
    check_columns(data, COLUMNS, "erasures")
    parts = {f"{concept} erased": rows for concept, rows in data.groupby("erase", sort=False)}
    text = f"n = {data['n'].iloc[0]:,} phonemes, {counted(int(data['speakers'].iloc[0]), 'speaker')}, each held out."
    return accuracy_points.panel_row(parts, text, measure=CHANGE)


def caption(data: pd.DataFrame, inputs: FigureInputs) -> str:
    """What was erased, and how to read the sham."""
    return (
        f"How the accuracy of phonemes across speakers (LDA, {inputs.table.name}) changes when what tells the "
        f"{' or the '.join(dict.fromkeys(data['erase']))} is erased from the features, inside the fold (LEACE). Sham: "
        f"as many dimensions erased for permuted labels (mean of {number_range(data['permutations'])}). What an "
        "erasure costs beyond its sham, the phonemes shared with what was erased. Intervals (95 %) are over speakers."
    )
