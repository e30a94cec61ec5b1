"""Pronunciation dictionaries, and the pronunciation of words that they lack."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from lvm_probe import InputError
from lvm_probe.probing.alignment.letter_to_sound import TRAINING_WORDS, LetterToSound
from lvm_probe.probing.corpora.intake import InvalidFile, read_lines

Pronunciation = tuple[str, ...]

_VARIANT = re.compile(r"(.+?)\([0-9]+\)")


@dataclass(frozen=True)
class Lexicon:
    """Words and how they may be pronounced.

    Attributes:
        entries: pronunciations by the word in lower case, the usual one first.
        path: the file that they come from, for error messages.

    Example:
        >>> lexicon = Lexicon({"good": (("G", "UH", "D"),), "looking": (("L", "UH", "K", "IH", "NG"),)})
        >>> lexicon.pronunciations("good-looking")
        (('G', 'UH', 'D', 'L', 'UH', 'K', 'IH', 'NG'),)
    """

    entries: Mapping[str, tuple[Pronunciation, ...]]
    path: Path | None = field(default=None, compare=False)

    @classmethod
    def read(cls, path: Path) -> Lexicon:
        """Read a dictionary as CMU's is written: rows `word PH ON ES`; further pronunciations are `word(2)`.

        Raises:
            InputError: the file cannot be read, is empty, or has a word without phones.
        """
        entries: dict[str, tuple[Pronunciation, ...]] = {}
        for number, line in read_lines(path):
            if line.startswith((";;;", "#")):
                continue
            word, *phones = line.split()
            if not phones:
                raise InvalidFile(path, number, f"{word[:40]!r} has no phones; complete the row `word PH ON ES`")
            if variant := _VARIANT.fullmatch(word):
                word = variant[1]
            word = word.casefold()
            if (pronunciation := tuple(phones)) not in entries.get(word, ()):
                entries[word] = (*entries.get(word, ()), pronunciation)
        if not entries:
            raise InputError(f"{path}: holds no words; give a dictionary with rows `word PH ON ES`")
        return cls(entries, path)

    @property
    def phones(self) -> frozenset[str]:
        """All phones of the dictionary."""
        return frozenset(phone for some in self.entries.values() for one in some for phone in one)

    def extended(self, other: Lexicon) -> Lexicon:
        """With the words of another, whose pronunciations replace those that are here.

        Raises:
            InputError: the other uses phones that are not here.
        """
        if unknown := sorted(other.phones - self.phones):
            raise InputError(
                f"{other.path}: unknown phones {' '.join(unknown[:8])}; the dictionary's are "
                f"{' '.join(sorted(self.phones))}"
            )
        return Lexicon({**self.entries, **other.entries}, self.path)

    def pronunciations(self, word: str) -> tuple[Pronunciation, ...]:
        """How a word may be pronounced; empty where neither it nor the parts between its hyphens are known."""
        if word in self.entries:
            return self.entries[word]
        if (bare := word.strip("'")) in self.entries:
            return self.entries[bare]
        parts = [self.entries.get(part) for part in word.split("-")]
        if len(parts) < 2 or not all(parts):
            return ()
        return (tuple(phone for part in parts if part for phone in part[0]),)

    @cached_property
    def rules(self) -> LetterToSound:
        """Letter-to-sound rules, learned from words of letters only; it takes some seconds."""
        words = [(word, some[0]) for word, some in sorted(self.entries.items()) if word.replace("'", "").isalpha()]
        return LetterToSound.learn(words[:: -(-len(words) // TRAINING_WORDS)])

    def spelled(self, word: str) -> Pronunciation:
        """The pronunciation of an unknown word by rule; parts between hyphens that are known are pronounced so.

        Raises:
            InputError: the rules make all of its letters silent, as those of another script.
        """
        phones = tuple(
            phone
            for part in word.split("-")
            for phone in (self.entries[part][0] if part in self.entries else self.rules.phones(part))
        )
        if not phones:
            raise InputError(f"{word!r} is not written in the letters of the dictionary; add it with --pronunciations")
        return phones
