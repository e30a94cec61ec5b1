"""What figures are drawn from, and what a figure is: a module with the functions of `FigureModule`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lvm_probe import InputError
from lvm_probe.probing.features.feature import default_features
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.question import PHONEME_TARGETS, Question, Target

if TYPE_CHECKING:
    from lvm_probe.models.checkpoints.checkpoint import Checkpoint
    from lvm_probe.probing.corpora.corpus import Corpus
    from lvm_probe.probing.corpora.phones import LabelSet, PhoneSet
    from lvm_probe.probing.questions.results import Answer


class Progress(Protocol):
    """Called with what is being computed, and the share of it that is done (0 to 1)."""

    def __call__(self, what: str, share: float = 0.0, /) -> None: ...


def _no_progress(what: str, share: float = 0.0, /) -> None:
    """Ignore progress."""


@dataclass(frozen=True)
class FigureInputs:
    """The data of all figures and tables.

    Attributes:
        table: the tokens.
        untrained: the same tokens from the same model with random weights.
        others: tables of other checkpoints on the same corpus.
        checkpoint: the model, for figures that need more than tokens.
        checkpoints: all models whose likelihoods are compared, by name.
        corpus: the recordings.
        speaker: whose phonemes are shown in figures of one speaker; None: the speaker with the most phonemes.
        fit: `held-out` fits LDA axes to other tokens than those drawn, `paper` to the same.
        phones: fold phone labels to this set; None takes them as they are.
        phone_set: what the phone labels are written in; None recognises it.
        permutations: of the nulls; None takes each question's default.
        seed: of everything random.
        answers: answers so far, by the table's path and the question; see `answer`.
        cache: other results that several figures or tables share.
        progress: called with what is being computed.
    """

    table: TokenTable
    untrained: TokenTable | None = None
    others: tuple[TokenTable, ...] = ()
    checkpoint: Checkpoint | None = None
    checkpoints: Mapping[str, Checkpoint] = field(default_factory=dict)
    corpus: Corpus | None = None
    speaker: str | None = None
    fit: Literal["held-out", "paper"] = "held-out"
    phones: PhoneSet | None = None
    phone_set: LabelSet | None = None
    permutations: int | None = None
    seed: int = 0
    answers: dict[tuple[str, Question], Answer] = field(default_factory=dict)
    cache: dict[Any, Any] = field(default_factory=dict)
    progress: Progress = _no_progress

    def question(self, target: Target = "phoneme", **fields: Any) -> Question:
        """A question about a target, with the phone labels, permutations and seed of these inputs.

        Args:
            target: what to predict.
            fields: other fields of `Question`.
        """
        if target in PHONEME_TARGETS:
            fields |= {"phones": self.phones}
            # Phonemes that are not folded are asked for as they are written.
            fields |= {} if target == "phoneme" and self.phones is None else {"phone_set": self.phone_set}
        return Question(target=target, permutations=self.permutations, seed=self.seed, **fields)

    def answer(self, question: Question) -> Answer:
        """The answer to a question about the table, computed once.

        Raises:
            InputError: the table cannot answer it.
        """
        key = str(self.table.path), question
        try:
            return self.answers[key]
        except KeyError:
            pass
        from lvm_probe.probing.questions.ask import ask  # the explorer draws figures without asking

        what = f"{question.target}, {question.protocol}"
        self.progress(what)
        answer = ask(
            self.table, question, untrained=self.untrained, progress=lambda done, of: self.progress(what, done / of)
        )
        self.answers[key] = answer
        return answer

    def of(self, other: TokenTable) -> FigureInputs:
        """The same settings for another table, whose untrained model is not known."""
        return replace(self, table=other, untrained=None)

    @property
    def features(self) -> list[str]:
        """The table's default features: each layer, the layers joined, and Mel."""
        return [str(feature) for feature in default_features(self.table)]

    @property
    def layers(self) -> list[str]:
        """The table's layers, lowest first."""
        return [name for name in self.single_features if name != "mel"]

    @property
    def single_features(self) -> list[str]:
        """Each layer, and Mel where the table has it."""
        return [name for name in self.features if "+" not in name and "_" not in name]

    def one_speaker(self) -> str:
        """The speaker of figures that show one: the one asked for, or the one with the most phonemes.

        Raises:
            InputError: there are no phonemes (of that speaker).
        """
        tokens = self.table.tokens
        phonemes = tokens[tokens["unit"] == "phoneme"]
        if len(phonemes) == 0:
            raise InputError(f"{self.table.path}: no phoneme rows; extract them: probe extract --units phoneme")
        if self.speaker is None:
            return str(phonemes["speaker"].value_counts().sort_index(kind="stable").idxmax())
        if self.speaker not in set(phonemes["speaker"]):
            raise InputError(f"{self.table.path}: no phonemes of speaker {self.speaker}")
        return self.speaker


class FigureModule(Protocol):
    """A module that draws one figure, which can be drawn again from its CSV alone.

    Attributes:
        NAME: the stem of its files.
        TITLE: its heading in the report.
    """

    NAME: str
    TITLE: str

    def data(self, inputs: FigureInputs) -> pd.DataFrame:
        """The tidy table that the figure is drawn from. Raises InputError if the inputs lack something."""

    def draw(self, ax: Axes, data: pd.DataFrame) -> None:
        """Draw one panel and set its limits; the size of the axes must be final.

        Raises InputError if the table lacks columns or rows, or has rows for several panels.
        """

    def figure(self, data: pd.DataFrame) -> Figure:
        """The whole figure at its printed size. Raises InputError as `draw`."""

    def caption(self, data: pd.DataFrame, inputs: FigureInputs) -> str:
        """A few sentences on the data, the protocol, n, k, intervals and nulls."""


def check_columns(data: pd.DataFrame, columns: Sequence[str], what: str) -> None:
    """Check the table that a figure is drawn from.

    Raises:
        InputError: columns missing, or no rows.
    """
    if missing := [name for name in columns if name not in data]:
        raise InputError(f"{what} lack the columns {', '.join(missing)}; give the table that `data` returns")
    if data.empty:
        raise InputError(f"no {what} to draw; give the table that `data` returns")
