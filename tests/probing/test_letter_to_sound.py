"""Letter-to-sound rules: a planted spelling is learned, and held-out words of a real dictionary are pronounced."""

import numpy as np
import pytest

from lvm_probe import InputError
from lvm_probe.probing.alignment import pocketsphinx_aligner
from lvm_probe.probing.alignment.letter_to_sound import LetterToSound
from lvm_probe.probing.alignment.lexicon import Lexicon

LETTERS = {"a": "AA", "e": "EH", "s": "S", "t": "T", "m": "M", "x": "K S"}


def spelled(word: str) -> tuple[str, ...]:
    """The planted rules: c is S before e and else K, h is silent, x is two phones."""
    phones: list[str] = []
    for at, letter in enumerate(word):
        if letter == "c":
            phones.append("S" if word[at + 1 : at + 2] == "e" else "K")
        elif letter != "h":
            phones += LETTERS[letter].split()
    return tuple(phones)


def test_planted_rules_are_learned() -> None:
    generator = np.random.default_rng(0)
    words = ["".join(generator.choice([*"aestmxch"], generator.integers(2, 9))) for _ in range(1200)]
    train, test = words[:1000], words[1000:]
    learned = LetterToSound.learn([(word, spelled(word)) for word in train])
    right = [learned.phones(word) == spelled(word) for word in test]
    assert np.mean(right) == 1.0
    # Two contexts suffice: the rules of wider ones are exceptions that the narrower ones do not explain.
    assert sum(map(len, learned.rules[3:])) < 20


def test_it_does_not_depend_on_the_order_of_words() -> None:
    words = [("cat", ("K", "AE", "T")), ("cell", ("S", "EH", "L")), ("tall", ("T", "AO", "L"))]
    assert LetterToSound.learn(words) == LetterToSound.learn(words[::-1])


def test_no_words_are_refused() -> None:
    with pytest.raises(InputError, match="no words to learn"):
        LetterToSound.learn([("a", ("T", "UW", "M", "EH"))])


def test_held_out_words_of_the_shipped_dictionary() -> None:
    """A phone in seven or eight is wrong of words that were not learned from; without context two in five are."""
    pytest.importorskip("pocketsphinx", reason="needs the dictionary of PocketSphinx")
    lexicon = Lexicon.read(pocketsphinx_aligner.shipped_model()[1])
    words = [(word, some[0]) for word, some in sorted(lexicon.entries.items()) if word.isalpha()]
    learned = LetterToSound.learn(words[::25])
    held_out = words[7::250]
    errors = sum(edits(learned.phones(word), phones) for word, phones in held_out)
    share = errors / sum(len(phones) for _, phones in held_out)
    narrow = LetterToSound(learned.rules[:1] + ({},) * (len(learned.rules) - 1))
    without_context = sum(edits(narrow.phones(word), phones) for word, phones in held_out)
    assert share < 0.22
    assert errors < 0.6 * without_context


def edits(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    row = list(range(len(second) + 1))
    for i, one in enumerate(first, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(second, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (one != other))
    return row[-1]
