"""What figures are drawn from: the user's tables, and where they are given the checkpoint and the corpus.

A figure is a module with

    NAME            the stem of its files
    TITLE           what it is called in the report
    data(material)  the tidy table it is drawn from; raises `LeftOut` where the material does not allow it
    figure(data)    the whole figure at its printed size, made of `draw(ax, data)` for each panel
    caption(data, material)  a sentence or three: data, protocol, N, k, intervals, nulls

so that the figure can be drawn again from its CSV alone.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

import pandas as pd
from matplotlib.figure import Figure

from lvm_probe import InputError
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.ask import ask
from lvm_probe.probing.questions.question import Question
from lvm_probe.probing.questions.results import Answer

if TYPE_CHECKING:
    from lvm_probe.models.checkpoints.checkpoint import Checkpoint
    from lvm_probe.probing.corpora.corpus import Corpus


class LeftOut(InputError):
    """Why a figure cannot be drawn from this material; the others are."""


class Progress(Protocol):
    """Is told what is being computed, and what share of it is done (0 to 1)."""

    def __call__(self, what: str, share: float = 0.0, /) -> None: ...


def _silent(what: str, share: float = 0.0, /) -> None:
    """Tells nobody."""


@dataclass(frozen=True)
class Material:
    """What the user gave.

    Attributes:
        table: the tokens.
        untrained: the same tokens from the same model with random weights.
        others: more tables, of other checkpoints on the same corpus.
        checkpoint: the model, for what is no column of a table (KL over time).
        checkpoints: all models whose likelihoods are compared, by the names they were given under.
        corpus: the recordings, likewise.
        speaker: whose phonemes a figure of one speaker shows; None takes the one with the most tokens.
        fit: `held-out` fits the axes of LDA to other tokens than those plotted; `paper` to the same.
        permutations: of the nulls; None takes each question's default.
        seed: of everything random.
        asked: answers so far, so that several figures share them; see `findings`.
        memory: other things computed so far that several figures or tables share.
        progress: told what is being computed.
    """

    table: TokenTable
    untrained: TokenTable | None = None
    others: tuple[TokenTable, ...] = ()
    checkpoint: Checkpoint | None = None
    checkpoints: Mapping[str, Checkpoint] = field(default_factory=dict)
    corpus: Corpus | None = None
    speaker: str | None = None
    fit: Literal["held-out", "paper"] = "held-out"
    permutations: int | None = None
    seed: int = 0
    asked: MutableMapping[tuple[str, Question], Answer] = field(default_factory=dict)
    memory: dict[Any, Any] = field(default_factory=dict)
    progress: Progress = _silent

    def findings(self, question: Question) -> Answer:
        """The answer to a question about the table, from memory where it was asked before.

        Raises LeftOut where the table cannot answer it.
        """
        key = str(self.table.path), question
        if key not in self.asked:
            what = f"{question.target}, {question.protocol}"
            self.progress(what)
            try:
                self.asked[key] = ask(
                    self.table,
                    question,
                    untrained=self.untrained,
                    progress=lambda done, of: self.progress(what, done / of),
                )
            except InputError as error:
                raise LeftOut(str(error)) from None
        return self.asked[key]

    def of(self, other: TokenTable) -> Material:
        """The same questions to another table, whose untrained model is not known."""
        return replace(self, table=other, untrained=None)

    def one_speaker(self) -> str:
        """The speaker of figures that show one: the one asked for, or the one with the most phonemes."""
        tokens = self.table.tokens
        phonemes = tokens[tokens["unit"] == "phoneme"]
        if len(phonemes) == 0:
            raise LeftOut(f"{self.table.path}: no phoneme rows; extract them: probe extract --units phoneme")
        if self.speaker is None:
            return str(phonemes["speaker"].value_counts().sort_index(kind="stable").idxmax())
        if self.speaker not in set(phonemes["speaker"]):
            raise LeftOut(f"{self.table.path}: no phonemes of speaker {self.speaker}")
        return self.speaker


class FigureModule(Protocol):
    """A module that draws one figure."""

    NAME: str
    TITLE: str

    def data(self, material: Material) -> pd.DataFrame: ...

    def figure(self, data: pd.DataFrame) -> Figure: ...

    def caption(self, data: pd.DataFrame, material: Material) -> str: ...
