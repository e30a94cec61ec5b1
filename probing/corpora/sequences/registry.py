"""The formats of sequences by name, and `open_sequences`, which reads a file or folder of any of them.

Importing this module is fast: the readers and their libraries are imported when a corpus is opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from lvm_probe import InputError

if TYPE_CHECKING:
    from lvm_probe.probing.corpora.sequences.sequence_corpus import SequenceCorpus

FORMATS: dict[str, str] = {
    "pianoroll_mat": "piano rolls as .mat with traindata, validdata and testdata (Boulanger-Lewandowski et al.)",
    "pianoroll_pickle": "piano rolls as .pickle of MIDI numbers (Boulanger-Lewandowski et al.)",
    "midi": "piano rolls from MIDI files, a folder or one",
    "deepwriting": "pen strokes as .npz of DeepWriting, a folder or one file",
    "stroke_npz": "pen strokes as .npz of sketch-rnn: train, valid and test",
    "iam_ondb": "pen strokes as XML of IAM-OnDB, in a folder",
    "text": "text, as .txt or the Penn Treebank's folder: words or characters",
}
"""Every format, named like the module of this folder that reads it, and what it is.

They are asked in this order; the first that knows a path reads it.
"""

MOST_WORDS = 10_000
"""Size of a vocabulary of words unless another is asked for: that of the Penn Treebank of Mikolov et al."""


@dataclass(frozen=True, slots=True)
class Options:
    """The user's options for a reader; see `open_sequences`."""

    domain: str
    vocabulary: tuple[str, ...] | None = None
    most_words: int = MOST_WORDS


class Format(Protocol):
    """What the module of a format defines."""

    @property
    def DOMAINS(self) -> tuple[str, ...]:
        """What the format can be read as; one domain, except for text."""

    def recognises(self, path: Path) -> bool:
        """Whether a path, which may not exist, is of this format; reads at most the names of files."""

    def read(self, path: Path, options: Options) -> SequenceCorpus:
        """The corpus; raises InputError if the file is damaged. The domain of the options is one of `DOMAINS`."""


def _format(path: Path) -> Format | None:
    formats = (cast(Format, import_module(f"lvm_probe.probing.corpora.sequences.{name}")) for name in FORMATS)
    return next((one for one in formats if one.recognises(path)), None)


def is_sequences(path: Path | str) -> bool:
    """Whether `open_sequences` reads this path; a folder of speech is none such, nor is a folder of other files.

    Files are told by their endings, also where they do not exist, and folders by the names of the files in them.

    Example:
        >>> is_sequences("Nottingham.mat"), is_sequences("TIMIT")
        (True, False)
    """
    return _format(Path(path).expanduser()) is not None


def open_sequences(
    path: Path | str,
    domain: str | None = None,
    vocabulary: Sequence[str] | None = None,
    *,
    most_words: int = MOST_WORDS,
) -> SequenceCorpus:
    """Read a corpus of sequences other than speech.

    Nothing in a file is executed: pickles may hold containers, numbers and arrays only.

    Args:
        path: a file or folder of one of `FORMATS`.
        domain: pianoroll, strokes, words or characters; None where the format says it.
        vocabulary: of words and characters, the tokens by their numbers, such as those of a checkpoint; what is not
            among them becomes `<unk>` and is counted in a notice. None makes one from the training split: of the
            `most_words` most frequent words, or of all characters.
        most_words: size of a vocabulary of words that is made here, `<unk>` and `<eos>` included.

    Returns:
        The corpus; its notices say what was left out or decided by a rule.

    Raises:
        InputError: the path is of no known format, damaged, or of another domain, or text and the domain is not given.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "rhyme.txt")
        ...     _ = file.write_text("one two\\nbuckle my shoe\\n")
        ...     corpus = open_sequences(file, "words")
        >>> corpus.vocabulary[:2], [len(one.values) for one in corpus.recordings("everything")]
        (('<unk>', '<eos>'), [3, 4])
    """
    from lvm_probe.probing.corpora.sequences.sequence_corpus import STEPS, TEXT
    from lvm_probe.probing.corpora.sequences.vocabulary import check_vocabulary

    root = Path(path).expanduser()
    if domain is not None and domain not in STEPS:
        raise InputError(f"unknown domain {domain!r} of sequences; choose one of {', '.join(STEPS)}")
    if most_words < 3:
        raise InputError(f"a vocabulary of {most_words} words: give at least 3, of which <unk> and <eos> are two")
    found = _format(root)
    if found is None:
        kinds = "; ".join(FORMATS.values())
        raise InputError(f"{root}: in no known format of sequences ({kinds}); convert it to one of them")
    if not root.exists():
        raise InputError(f"{root}: no such file; check the path")
    if domain is None and len(found.DOMAINS) > 1:
        raise InputError(f"{root}: can be read as {' or '.join(found.DOMAINS)}; choose with --domain")
    if domain is not None and domain not in found.DOMAINS:
        raise InputError(f"{root}: holds {' or '.join(found.DOMAINS)}, not {domain}; leave --domain out")
    domain = domain or found.DOMAINS[0]
    if vocabulary is not None:
        if domain not in TEXT:
            raise InputError(f"{root}: {domain} have no vocabulary; leave it out")
        check_vocabulary(vocabulary)
    return found.read(root, Options(domain, None if vocabulary is None else tuple(vocabulary), most_words))
