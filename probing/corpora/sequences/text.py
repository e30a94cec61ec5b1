"""Text, as words or characters: the Penn Treebank as Mikolov et al. prepared it, WikiText, or any UTF-8 text.

M. P. Marcus, B. Santorini, M. A. Marcinkiewicz, "Building a large annotated corpus of English: the Penn Treebank",
Computational Linguistics 19, 1993 (LDC99T42); T. Mikolov, M. Karafiát, L. Burget, J. Černocký, S. Khudanpur, "Recurrent
neural network based language model", Interspeech 2010.

A folder with `ptb.train.txt`, `ptb.valid.txt` and `ptb.test.txt` (or `train.txt`, `wiki.train.tokens`, ...) has the
splits that the names say. Files named `ptb.char.train.txt` are read as characters: they separate them by spaces and
write `_` for a space. Of any other text, a file or a folder of .txt files, the last tenth of the lines of each file is
`test` and the tenth before `valid`; a notice says so.

A sequence is one of these, by the form of the text, and ends with `<eos>`:

- *one a line*, if no line is blank, and always in files with splits: a line is a sequence, its words separated by
  spaces;
- *running text*, if blank lines separate its paragraphs. As words, a sequence is a sentence: it ends at `.`, `!` or `?`
  (with the quotes and brackets that follow) before a space, unless a lower-case letter follows or an abbreviation or
  initial precedes. Words and punctuation marks are tokens of their own; case is kept. As characters, a sequence is a
  stretch of 500 characters of a split, in which `<eos>` ends a paragraph and the line breaks inside are spaces.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from lvm_probe.probing.corpora.audio import SUFFIXES
from lvm_probe.probing.corpora.intake import InvalidFile, read_text, walk
from lvm_probe.probing.corpora.sequences.registry import Options
from lvm_probe.probing.corpora.sequences.sequence_corpus import EVERYTHING, SequenceCorpus, SequenceRecording
from lvm_probe.probing.corpora.sequences.vocabulary import END, UNKNOWN, Encoder, make_vocabulary

DOMAINS = ("words", "characters")

STRETCH = 500
"""Characters of a sequence of running text."""

_MOST_BYTES = 1 << 30
_HELD_OUT = 10  # one line in so many is valid, and one test
_SPLIT_FILE = re.compile(r"(?:[\w-]+\.)*?(char\.)?(train|valid|test)\.(?:txt|tokens|raw)")
_SENTENCE_END = re.compile(r"""(\w+)?[.!?]+["'”’)\]]*\s+(?=(["'“‘(\[_-]*)(\w?))""")
_ABBREVIATIONS = frozenset(("Mr", "Mrs", "Ms", "Messrs", "Dr", "St", "Prof", "Rev", "Hon", "Col", "Capt", "Gen", "Lt"))
_WORD = re.compile(r"\w+(?:['’-]\w+)*|([^\w\s])\1*")


def recognises(path: Path) -> bool:
    """A file that ends in .txt, or a folder of files with splits, or of .txt files only."""
    if not path.is_dir():
        return path.suffix.lower() == ".txt"
    if any(_SPLIT_FILE.fullmatch(name) for name in _names(path)):
        return not any(file.suffix.lower() in SUFFIXES for file in walk(path))
    found = False
    for file in walk(path):
        if file.suffix.lower() != ".txt":
            return False
        found = True
    return found


def _names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    except OSError:
        return []


def read(path: Path, options: Options) -> SequenceCorpus:
    """Every sequence of the text, by the numbers of its tokens."""
    words = options.domain == "words"
    notices: list[str] = []
    named = _split_files(path, words) if path.is_dir() else {}
    if named:
        lines = {split: {"": _lines(file)} for split, file in named.items()}
        if missing := [split for split in ("train", "valid", "test") if split not in named]:
            notices.append(f"no file is named {' or '.join(missing)}")
        spelled = any(".char." in file.name for file in named.values())
        texts = {split: _one_a_line(files[""], words, spelled) for split, files in lines.items()}
    else:
        texts = _divided(path, words, notices)
    return _numbered(path, texts, options, notices)


def _split_files(folder: Path, words: bool) -> dict[str, Path]:
    """The files whose names say their split; those that spell characters if characters are wanted and there are any."""
    found: dict[bool, dict[str, Path]] = {True: {}, False: {}}
    for name in _names(folder):
        if match := _SPLIT_FILE.fullmatch(name):
            spelled, split = bool(match[1]), match[2]
            if split in found[spelled]:
                message = f"{found[spelled][split].name} could be {split} too; remove one of them"
                raise InvalidFile(folder / name, None, message)
            found[spelled][split] = folder / name
    if words and found[True] and not found[False]:
        name = next(iter(found[True].values())).name
        raise InvalidFile(folder, None, f"{name} holds single characters; choose --domain characters")
    chosen = found[False] if words else found[True] or found[False]
    if chosen and "train" not in chosen:
        raise InvalidFile(folder, None, f"has {', '.join(file.name for file in chosen.values())} but no train; add it")
    return {split: chosen[split] for split in ("train", "valid", "test") if split in chosen}


def _lines(path: Path) -> list[str]:
    return read_text(path, most_bytes=_MOST_BYTES).split("\n")


def _one_a_line(lines: Iterable[str], words: bool, spelled: bool = False) -> list[Sequence[str]]:
    """The tokens of every line that is not blank, with the end."""
    stripped = (line.strip() for line in lines)
    if spelled:
        stripped = ("".join(" " if mark == "_" else mark for mark in line.split()) for line in stripped)
    return [[*line.split(), END] if words else line + "\n" for line in stripped if line]


def _divided(path: Path, words: bool, notices: list[str]) -> dict[str, list[Sequence[str]]]:
    """Text without splits, each file divided by its lines."""
    files = sorted(walk(path)) if path.is_dir() else [path]
    texts: dict[str, list[Sequence[str]]] = {}
    running = 0
    undivided = []
    for file in files:
        lines = _lines(file)
        while lines and not lines[-1].strip():
            lines.pop()
        held_out = len(lines) // _HELD_OUT
        if not held_out:
            undivided.append(file.name)
        ends = {"train": len(lines) - 2 * held_out, "valid": len(lines) - held_out, "test": len(lines)}
        is_running = any(not line.strip() for line in lines[next((i for i, l in enumerate(lines) if l.strip()), 0) :])
        running += is_running
        start = 0
        for split, end in ends.items():
            part = lines[start:end]
            texts.setdefault(split, []).extend(_running(part, words) if is_running else _one_a_line(part, words))
            start = end
    texts = {split: sequences for split, sequences in texts.items() if sequences}
    if set(texts) == {"train"}:
        texts = {EVERYTHING: texts["train"]}
        notices.append(f"fewer than {_HELD_OUT} lines: not divided")
    else:
        notices.append("divided by lines: the last tenth of each file is test, the tenth before valid")
        if undivided:
            notices.append(f"all of {', '.join(undivided[:3])} is train: fewer than {_HELD_OUT} lines")
    if running:
        form = "sentences" if words else f"stretches of {STRETCH} characters"
        which = "" if len(files) == 1 else f" in {running} of {len(files)} files"
        notices.append(f"blank lines separate paragraphs{which}: running text, read as {form}")
    return texts


def _running(lines: Sequence[str], words: bool) -> list[Sequence[str]]:
    """Sentences of words, or stretches of characters."""
    paragraphs = list(_paragraphs(lines))
    if words:
        every = (sentence for paragraph in paragraphs for sentence in sentences(paragraph))
        return [[*(match[0] for match in _WORD.finditer(sentence)), END] for sentence in every]
    whole = "".join(paragraph + "\n" for paragraph in paragraphs)
    return [whole[at : at + STRETCH] for at in range(0, len(whole), STRETCH)]


def _paragraphs(lines: Sequence[str]) -> Iterator[str]:
    """Lines between blank lines, joined, with single spaces."""
    together: list[str] = []
    for line in [*lines, ""]:
        if line.strip():
            together += line.split()
        elif together:
            yield " ".join(together)
            together = []


def sentences(paragraph: str) -> list[str]:
    """Split a paragraph into sentences by the rule at the top of this module.

    Example:
        >>> sentences('"Stop!" cried Mr. Knightley. She did not. J. Smith laughed.')
        ['"Stop!" cried Mr. Knightley.', 'She did not.', 'J. Smith laughed.']
    """
    found, start = [], 0
    for match in _SENTENCE_END.finditer(paragraph):
        before, after = match[1] or "", match[3]
        initial = len(before) == 1 and before.isupper() and before != "I"
        if after.islower() or before in _ABBREVIATIONS or initial:
            continue
        found.append(paragraph[start : match.end()].strip())
        start = match.end()
    rest = paragraph[start:].strip()
    return [*found, rest] if rest else found


def _numbered(
    path: Path, texts: dict[str, list[Sequence[str]]], options: Options, notices: list[str]
) -> SequenceCorpus:
    """The tokens as numbers of the vocabulary that was given, else of one made from the training split."""
    train = texts.get("train") or texts.get(EVERYTHING)
    if not train:
        raise InvalidFile(path, None, "holds no text; restore it")
    vocabulary = options.vocabulary or make_vocabulary(train, options.most_words if options.domain == "words" else None)
    splits: dict[str, tuple[SequenceRecording, ...]] = {}
    for split, sequences in texts.items():
        encoder = Encoder(vocabulary)
        values: list[np.ndarray] = [encoder.numbers(tokens) for tokens in sequences]
        splits[split] = tuple(SequenceRecording(f"{split}/{n}", one) for n, one in enumerate(values, start=1))
        if encoder.unknown:
            share = encoder.unknown / encoder.tokens
            how_many = f"{encoder.unknown:,} of {encoder.tokens:,} {options.domain} ({share:.2%})"
            notices.append(f"{split}: {how_many} are not in the vocabulary and read as {UNKNOWN}")
    return SequenceCorpus(path, options.domain, splits, vocabulary, tuple(notices))
