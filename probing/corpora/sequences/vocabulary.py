"""Vocabularies of words or characters: made from a training split, and applied to text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from lvm_probe import InputError

UNKNOWN = "<unk>"
"""Number 0 of every vocabulary that is made here: tokens that the vocabulary lacks."""

END = "<eos>"
"""Number 1 of every vocabulary that is made here: the end of a line, sentence or paragraph."""


def make_vocabulary(sequences: Iterable[Sequence[str]], most: int | None) -> tuple[str, ...]:
    """`<unk>`, `<eos>`, and then the most frequent tokens; those equally frequent in the order of their characters.

    Args:
        sequences: the tokens of each sequence of the training split; a string is one of characters.
        most: tokens of the vocabulary, the two included; None takes all.

    Example:
        >>> make_vocabulary([["b", "a"], ["c", "a"]], most=4)
        ('<unk>', '<eos>', 'a', 'b')
    """
    counts: Counter[str] = Counter()
    for tokens in sequences:
        counts.update(tokens)
    for special in (UNKNOWN, END, "\n"):
        counts.pop(special, None)
    ordered = sorted(counts, key=lambda token: (-counts[token], token))
    return (UNKNOWN, END, *ordered[: None if most is None else most - 2])


def check_vocabulary(vocabulary: Sequence[str]) -> None:
    """Raise InputError if the vocabulary lacks `<unk>` or `<eos>`, or holds a token twice."""
    if missing := [token for token in (UNKNOWN, END) if token not in vocabulary]:
        raise InputError(f"the vocabulary lacks {' and '.join(missing)}; add them")
    if len(set(vocabulary)) < len(vocabulary):
        (token, _), *_ = Counter(vocabulary).most_common(1)
        raise InputError(f"the vocabulary holds {token!r} twice; remove one")


class Encoder:
    """Turns tokens into their numbers, and counts those that the vocabulary lacks.

    Args:
        vocabulary: checked by `check_vocabulary`.

    Attributes:
        tokens: tokens read so far.
        unknown: how many of them the vocabulary lacks; a `<unk>` that stands in the text is not among them.

    Example:
        >>> encoder = Encoder(("<unk>", "<eos>", "a"))
        >>> encoder.numbers("ab\\n").tolist(), encoder.unknown
        ([2, 0, 1], 1)
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._numbers = {token: number for number, token in enumerate(vocabulary)}
        self._unknown = self._numbers[UNKNOWN]
        self._numbers.setdefault("\n", self._numbers[END])
        self.tokens = 0
        self.unknown = 0

    def numbers(self, tokens: Sequence[str]) -> np.ndarray:
        """The int32 numbers of some tokens; a string is one of characters, and a line end stands for `<eos>`."""
        found = [self._numbers.get(token, -1) for token in tokens]
        numbers = np.array(found, np.int32)
        missing = numbers < 0
        numbers[missing] = self._unknown
        self.tokens += len(numbers)
        self.unknown += int(missing.sum())
        return numbers
