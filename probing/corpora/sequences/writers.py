"""Writes a sequence, such as a sample of a model, to a file that one can look at, listen to or read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from lvm_probe import InputError
from lvm_probe.models.io.files import write_atomically
from lvm_probe.probing.corpora.sequences.pianoroll_writer import write_midi, write_wav
from lvm_probe.probing.corpora.sequences.sequence_corpus import TEXT
from lvm_probe.probing.corpora.sequences.stroke_writer import write_png, write_svg
from lvm_probe.probing.corpora.sequences.vocabulary import END, UNKNOWN

WRITERS: dict[str, dict[str, Callable[[Path, np.ndarray], None]]] = {
    "pianoroll": {".mid": write_midi, ".wav": write_wav},
    "strokes": {".svg": write_svg, ".png": write_png},
}
"""By domain and the ending of the file, what writes the elements of a sequence; text is written as .txt."""

_UNKNOWN_CHARACTER = "\N{REPLACEMENT CHARACTER}"


def as_text(numbers: np.ndarray, domain: str, vocabulary: Sequence[str]) -> str:
    """The text of tokens, with line ends for `<eos>`.

    Args:
        numbers: places in the vocabulary.
        domain: `words`, which are joined by spaces, or `characters`.
        vocabulary: the tokens.

    Raises:
        InputError: the domain is not text, or a number is outside the vocabulary.

    Example:
        >>> as_text(np.array([2, 3, 1, 2]), "words", ["<unk>", "<eos>", "one", "two"])
        'one two\\none'
    """
    if domain not in TEXT:
        raise InputError(f"{domain} are not text; choose one of {', '.join(TEXT)}")
    if len(numbers) and not 0 <= min(numbers) <= max(numbers) < len(vocabulary):
        raise InputError(f"a token is outside the vocabulary of {len(vocabulary):,}")
    tokens = ["\n" if (token := vocabulary[number]) == END else token for number in numbers]
    if domain == "characters":
        return "".join(_UNKNOWN_CHARACTER if token == UNKNOWN else token for token in tokens)
    return " ".join(tokens).replace(" \n ", "\n").replace(" \n", "\n").replace("\n ", "\n")


def write_sequence(path: Path, domain: str, values: np.ndarray, vocabulary: Sequence[str] = ()) -> None:
    """Write a sequence in the format that the file's ending says.

    Args:
        path: ends in .mid or .wav (piano rolls), .svg or .png (strokes), or .txt (text); written whole or not at all.
        domain: pianoroll, strokes, words or characters.
        values: the elements, as `SequenceRecording` has them.
        vocabulary: of words and characters.

    Raises:
        InputError: the domain has no such format, or the values are none that it has.
    """
    if domain in TEXT and path.suffix.lower() == ".txt":
        text = as_text(values, domain, vocabulary)
        with write_atomically(path) as temporary:
            temporary.write_text(text if text.endswith("\n") else f"{text}\n", encoding="utf-8")
        return
    endings = WRITERS.get(domain, {".txt": None} if domain in TEXT else {})
    if path.suffix.lower() not in endings:
        raise InputError(f"{path}: {domain} are written as {' or '.join(endings) or 'no such file'}")
    WRITERS[domain][path.suffix.lower()](path, values)
