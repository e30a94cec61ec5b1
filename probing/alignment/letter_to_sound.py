"""Letter-to-sound rules that are learned from a pronunciation dictionary, for words that it lacks.

Every letter of a dictionary word stands for none, one or two of its phones. Which ones is found by Viterbi training, as
in A. W. Black, K. Lenzo and V. Pagel, "Issues in building general letter to sound rules", ESCA Workshop on Speech
Synthesis, 1998. The rules are then the exceptions that wider contexts of a letter make to narrower ones, as in
W. Daelemans and A. van den Bosch, "Language-independent data-oriented grapheme-to-phoneme conversion", 1996.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from lvm_probe import InputError

CONTEXTS = ((0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (2, 3), (3, 3), (3, 4))
"""Letters before and after a letter that a rule looks at, from the narrowest."""

TRAINING_WORDS = 12_000
"""Words of the dictionary that the rules are learned from, evenly spread over it: learning takes some seconds."""

_ROUNDS = 3
_UNSEEN = 12.0  # the cost, in nats, of what a letter has never stood for
_START_COST = (3.0, 0.0, 3.0)  # of none, one and two phones in the first round, which knows of single phones only

Chunk = tuple[str, ...]
Pair = tuple[str, Chunk]
Cost = Callable[[str, Chunk], float]
"""Of what a letter stands for, in nats."""


@dataclass(frozen=True)
class LetterToSound:
    """What every letter stands for in its context.

    Attributes:
        rules: for every context of `CONTEXTS`, the phones by the letters that are seen.

    Example:
        >>> words = {"cat": "K AE T", "cell": "S EH L", "cot": "K AA T", "tell": "T EH L", "lot": "L AA T"}
        >>> learned = LetterToSound.learn([(word, tuple(phones.split())) for word, phones in words.items()])
        >>> learned.phones("cell"), learned.phones("tot")
        (('S', 'EH', 'L'), ('T', 'AA', 'T'))
    """

    rules: tuple[dict[str, Chunk], ...]

    @classmethod
    def learn(cls, entries: Iterable[tuple[str, Sequence[str]]]) -> LetterToSound:
        """Learn the rules from words and their phones; words with more than two phones a letter say nothing."""
        words = [(word, tuple(phones)) for word, phones in entries if 0 < len(phones) <= 2 * len(word)]
        if not words:
            raise InputError("no words to learn letter-to-sound rules from; give a dictionary with some")
        cost = _first_cost(words)
        for _ in range(_ROUNDS):
            aligned = [(word, _align(word, phones, cost)) for word, phones in words]
            cost = _cost(Counter(pair for word, chunks in aligned for pair in zip(word, chunks, strict=True)))
        return cls(_rules(aligned))

    def phones(self, word: str) -> Chunk:
        """The phones of a word, by the widest context of each letter for which there is a rule.

        Letters that the dictionary does not have are silent, so the result may be empty.
        """
        found: list[str] = []
        for at in range(len(word)):
            chunk: Chunk = ()
            for context, rules in zip(CONTEXTS, self.rules, strict=True):
                chunk = rules.get(_seen(word, at, context), chunk)
            found += chunk
        return tuple(found)


def _seen(word: str, at: int, context: tuple[int, int]) -> str:
    """A letter with so many letters before and after it; `#` stands beyond the word's ends."""
    before, after = context
    padded = "#" * before + word + "#" * after
    return padded[at : at + before + 1 + after]


def _rules(aligned: Sequence[tuple[str, Sequence[Chunk]]]) -> tuple[dict[str, Chunk], ...]:
    """For every context the most frequent phones, where they differ from those of the narrower contexts."""
    rules: list[dict[str, Chunk]] = []
    known: list[list[Chunk | None]] = [[None] * len(word) for word, _ in aligned]  # by the narrower contexts
    for context in CONTEXTS:
        counts: dict[str, Counter[Chunk]] = defaultdict(Counter)
        for word, chunks in aligned:
            for at, chunk in enumerate(chunks):
                counts[_seen(word, at, context)][chunk] += 1
        best = {seen: min(some, key=lambda chunk: (-some[chunk], chunk)) for seen, some in counts.items()}
        exceptions: dict[str, Chunk] = {}
        for (word, _), before in zip(aligned, known, strict=True):
            for at in range(len(word)):
                seen = _seen(word, at, context)
                if best[seen] != before[at]:
                    before[at] = exceptions[seen] = best[seen]
        rules.append(exceptions)
    return tuple(rules)


def _first_cost(words: Sequence[tuple[str, Chunk]]) -> Cost:
    """From which phones lie at about the same place in the word as a letter."""
    counts: Counter[Pair] = Counter()
    for word, phones in words:
        for i, letter in enumerate(word):
            for j, phone in enumerate(phones):
                if abs((i + 0.5) / len(word) - (j + 0.5) / len(phones)) < 1 / len(word):
                    counts[letter, (phone,)] += 1
    of_one = _cost(counts)
    return lambda letter, chunk: _START_COST[len(chunk)] + sum(of_one(letter, (phone,)) for phone in chunk)


def _cost(counts: Counter[Pair]) -> Cost:
    """Minus the log probability of the phones given the letter."""
    of_letter: Counter[str] = Counter()
    for (letter, _), count in counts.items():
        of_letter[letter] += count
    costs = {pair: math.log(of_letter[pair[0]] / count) for pair, count in counts.items()}
    return lambda letter, chunk: costs.get((letter, chunk), _UNSEEN)


def _align(word: str, phones: Chunk, cost: Cost) -> list[Chunk]:
    """The phones of every letter, at the least cost."""
    best: list[dict[int, tuple[float, int]]] = [{0: (0.0, 0)}]  # cost and last step, by the number of phones used
    for i, letter in enumerate(word):
        reached: dict[int, tuple[float, int]] = {}
        left = 2 * (len(word) - i - 1)
        for used, (before, _) in best[-1].items():
            for step in (0, 1, 2):
                to = used + step
                if len(phones) - left <= to <= len(phones):
                    total = before + cost(letter, phones[used:to])
                    if to not in reached or total < reached[to][0]:
                        reached[to] = (total, step)
        best.append(reached)
    chunks: list[Chunk] = []
    used = len(phones)
    for reached in reversed(best[1:]):
        step = reached[used][1]
        chunks.append(phones[used - step : used])
        used -= step
    return chunks[::-1]
