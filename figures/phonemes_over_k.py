"""Accuracy of nearest neighbours over k for phonemes, the paper's protocol beside the honest one: figure 3, right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

from lvm_probe.figures import accuracy_over_k, style
from lvm_probe.figures.accuracy_over_k import draw
from lvm_probe.figures.inputs import Material
from lvm_probe.probing.questions.question import Question

if TYPE_CHECKING:
    from lvm_probe.probing.questions.question import Protocol

__all__ = ["NAME", "TITLE", "caption", "data", "draw", "figure"]

NAME = "phonemes-over-k"
TITLE = "Phonemes by their nearest neighbours, over k (figure 3, right)"

PROTOCOLS: tuple[Protocol, ...] = ("paper", "nested")


def data(material: Material) -> pd.DataFrame:
    """The result rows of all speakers together (of a single speaker its own), under both protocols.

    Raises LeftOut without phonemes, or with too few of them to ask.
    """
    answers = [
        material.findings(
            Question(target="phoneme", protocol=protocol, permutations=material.permutations, seed=material.seed)
        ).frame
        for protocol in PROTOCOLS
    ]
    return accuracy_over_k.drawn(pd.concat(answers, ignore_index=True)).reset_index(drop=True)


def figure(data: pd.DataFrame) -> Figure:
    """A panel for each protocol."""
    return accuracy_over_k.panels(data)


def caption(data: pd.DataFrame, material: Material) -> str:
    """What was asked of how many, and what each line is."""
    first = data.iloc[0]
    speakers = int(data["speakers"].max())
    who = f"{speakers} speakers" if speakers > 1 else f"speaker {first['speaker']}" if first["speaker"] else "1 speaker"
    names = style.listed(style.feature_look(name).label for name in style.feature_order(data["feature"]))
    return (
        f"Leave-one-out accuracy of k nearest neighbours in {int(first['lda_dims'])} linear discriminants for "
        f"phonemes, asked one speaker at a time: {int(data['n'].max()):,} tokens of {int(data['n_classes'].max())} "
        f"phonemes, {who}; features {names}. Under the paper's protocol the discriminants were fitted to the token "
        "that is asked for as well; nested, they are fitted again without it. Bands: 95 % bootstrap intervals over "
        f"{data['interval'].iloc[0]}. Dotted: the same on permuted labels ({int(data['permutations'].max())} "
        "permutations). Grey dashes: always the largest class."
    )
