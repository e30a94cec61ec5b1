"""Phoneme accuracy over k, under the paper's protocol and without its leak (Havtorn et al. 2022, figure 3, right)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

from lvm_probe.figures import accuracy_over_k, style
from lvm_probe.figures.accuracy_over_k import draw as draw
from lvm_probe.figures.inputs import FigureInputs
from lvm_probe.figures.wording import counted, intervals

if TYPE_CHECKING:
    from lvm_probe.probing.questions.question import Protocol

NAME = "phonemes-over-k"
TITLE = "Phoneme accuracy over k (as figure 3, right, of Havtorn et al. 2022)"

PROTOCOLS: tuple[Protocol, ...] = ("paper", "nested")


def data(inputs: FigureInputs) -> pd.DataFrame:
    """Result rows of all speakers together (or of a single one) under both protocols.

    Raises:
        InputError: no phonemes, or too few to ask for.
    """
    answers = [inputs.answer(inputs.question(protocol=protocol)).frame for protocol in PROTOCOLS]
    return accuracy_over_k.drawn_rows(pd.concat(answers, ignore_index=True)).reset_index(drop=True)


def figure(data: pd.DataFrame) -> Figure:
    """One panel per protocol."""
    return accuracy_over_k.panels(data)


def caption(data: pd.DataFrame, inputs: FigureInputs) -> str:
    """What was asked, how tokens are held out, and what the intervals are over."""
    return (
        "Accuracy of k nearest neighbours among linear discriminants, within one speaker at a time; features "
        f"{style.feature_list(data['feature'])}. Left, the paper protocol: the discriminants were fitted to the "
        "held-out "
        "token too. Right, the protocol `nested`: they are fitted again without it. "
        f"{intervals(data)} Labels were permuted {counted(int(data['permutations'].max()), 'time')}. Chance is the "
        "share of the most frequent phoneme."
    )
