"""Phoneme accuracy over k, under the paper's protocol and without its leak (Havtorn et al. 2022, figure 3, right)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

from lvm_probe.figures import accuracy_over_k, style
from lvm_probe.figures.accuracy_over_k import draw as draw
from lvm_probe.figures.inputs import FigureInputs
from lvm_probe.figures.wording import counted
from lvm_probe.probing.questions.question import Question

if TYPE_CHECKING:
    from lvm_probe.probing.questions.question import Protocol

NAME = "phonemes-over-k"
TITLE = "Phoneme accuracy over k (Havtorn et al. 2022, figure 3, right)"

PROTOCOLS: tuple[Protocol, ...] = ("paper", "nested")


def data(inputs: FigureInputs) -> pd.DataFrame:
    """Result rows of all speakers together (or of a single one) under both protocols.

    Raises:
        InputError: no phonemes, or too few to ask for.
    """
    answers = [
        inputs.answer(
            Question(target="phoneme", protocol=protocol, permutations=inputs.permutations, seed=inputs.seed)
        ).frame
        for protocol in PROTOCOLS
    ]
    return accuracy_over_k.drawn_rows(pd.concat(answers, ignore_index=True)).reset_index(drop=True)


def figure(data: pd.DataFrame) -> Figure:
    """One panel per protocol."""
    return accuracy_over_k.panels(data)


def caption(data: pd.DataFrame, inputs: FigureInputs) -> str:
    """What was asked of how many, and what each line is."""
    first = data.iloc[0]
    speakers = int(data["speakers"].max())
    who = f"speaker {first['speaker']}" if speakers == 1 else counted(speakers, "speaker")
    return (
        f"Accuracy of k nearest neighbours in {int(first['lda_dims'])} linear discriminants for phonemes, within one "
        f"speaker at a time: {int(data['n'].max()):,} tokens of {int(data['n_classes'].max())} phonemes, {who}; "
        f"features {style.feature_list(data['feature'])}. Left, the paper protocol: the discriminants were fitted to "
        "the held-out token too. Right, the protocol `nested`: they are fitted again without it. Bands: 95 % bootstrap "
        f"intervals over {data['interval'].iloc[0]}. Dotted: permuted labels ({int(data['permutations'].max())} "
        "permutations). Grey dashes: majority class."
    )
