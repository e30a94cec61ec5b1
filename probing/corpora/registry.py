"""The corpus layouts by name, and `open_corpus`, which reads a corpus of any of them.

Importing this module is fast, so that the command line can name the layouts in its help: the readers and their
libraries are imported when a corpus is opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from lvm_probe import InputError

if TYPE_CHECKING:
    from lvm_probe.probing.corpora.corpus import Corpus, Problem, Utterance
    from lvm_probe.probing.corpora.intake import Options, Tree
    from lvm_probe.probing.corpora.non_speech import NonSpeech

LAYOUTS: dict[str, str] = {
    "librispeech": "most audio files named like 103-1240-0000.flac",
    "timit": ".PHN files, or sentences such as SA1.WAV in folders such as FVMH0",
    "lab": "Festival or HTK .lab files, as CMU ARCTIC has",
    "textgrid": "Praat .TextGrid files",
    "kaldi": "Kaldi's data folders: a wav.scp",
    "ctm": ".ctm files of words or phones",
    "vctk": "audio files named like p225_001, in folders of their speakers",
    "librilight": "folders SPEAKER/BOOK of numbered speakers, with .json files or cut by voice activity",
    "unaligned": "no annotations: any other folder with a speakers.csv, or if named",
}
"""Every layout, named like the module of this folder that reads it, and what it is recognised by.

They are tried in this order, so the more specific come first: LibriSpeech and TIMIT may have TextGrids.
"""

SPEAKERS_IN_FOLDERS = ("lab", "textgrid", "ctm", "unaligned")
"""The layouts that do not say who speaks but by the names of folders and files."""


class Reader(Protocol):
    """What the module of a layout defines."""

    @property
    def NON_SPEECH(self) -> NonSpeech:
        """The layout's labels of phones and words that are no speech."""

    def sign(self, tree: Tree) -> Path | None:
        """A file by which the folder is recognised as of this layout; None if it is not."""

    def read(self, tree: Tree, options: Options) -> tuple[list[Utterance], list[Problem]]:
        """Every usable utterance, and everything that is wrong with the files."""


def reader(layout: str) -> Reader:
    """The module that reads a layout."""
    return cast(Reader, import_module(f"lvm_probe.probing.corpora.{layout}"))


def open_corpus(
    path: Path | str,
    *,
    layout: str = "auto",
    strict: bool = False,
    resample: bool = True,
    sample_rate: int = 16000,
    phoneme_tier: str | None = None,
    word_tier: str | None = None,
    speaker_from: str | None = None,
    non_speech: str | Sequence[str] = (),
) -> Corpus:
    """Read the corpus in a folder.

    Only audio headers and annotations are read, not the audio itself (but for files of one size, which may be copies),
    so damage inside a recording shows later, when it is used. Unusable utterances are left out and listed in the
    corpus's `problems` with the severity "error".

    Args:
        path: the corpus's folder.
        layout: one of `LAYOUTS`, or "auto" to recognise it.
        strict: raise the first error instead of leaving the utterance out.
        resample: whether files of another sample rate are kept (with a notice) or left out.
        sample_rate: the rate in Hz at which the corpus will be used.
        phoneme_tier: TextGrid tier of the phones, by name or number from 1; None takes the one with a usual name. Of
            CTM files the name of the file, or a pattern such as `*.ctm`.
        word_tier: TextGrid tier or CTM file of the words, likewise.
        speaker_from: what names the speakers of layouts `textgrid`, `lab`, `ctm` and `unaligned`: a folder level (1 for
            the folders in `path`, -1 for the folder of the file), a table `*.csv` with the columns file and speaker,
            or a regular expression whose first group is the speaker, searched in the path below `path`. None for the
            usual rule.
        non_speech: more labels of noises and unknown words, which are neither phonemes nor words, in any case. `<>`,
            `[]` and `{}` stand for all labels in such brackets. A `-` before a label says that it is speech.

    Returns:
        The corpus; its positions are in samples of each audio file's own rate.

    Raises:
        InputError: the folder is missing, has no audio, is of no known layout, or has no usable utterance.

    Example:
        >>> from lvm_probe.probing.corpora.demo import CORPUS
        >>> corpus = open_corpus(CORPUS)
        >>> corpus.name, len(corpus.utterances), len(corpus.speakers)
        ('timit', 100, 10)
        >>> corpus.utterances[0].phonemes[1]
        Segment(label='dh', start=1770, end=2537)
    """
    from lvm_probe.probing.corpora.checks import check
    from lvm_probe.probing.corpora.corpus import Corpus
    from lvm_probe.probing.corpora.intake import Options, Tree, one_line_each

    if layout != "auto" and layout not in LAYOUTS:
        raise InputError(f"unknown corpus layout {layout!r}; choose one of auto, {', '.join(LAYOUTS)}")
    if sample_rate < 1:
        raise InputError(f"sample rate {sample_rate} Hz: give a positive number, such as 16000")
    tree = Tree.scan(Path(path))
    options = Options(sample_rate, resample, phoneme_tier, word_tier, speaker_from, _labels(non_speech))
    signs = _detect(tree) if layout == "auto" else {layout: None}
    name, sign = next(iter(signs.items()))
    if speaker_from is not None and name not in SPEAKERS_IN_FOLDERS:
        raise InputError(f"--speaker-from {speaker_from}: layout {name} names its speakers itself; leave it out")
    utterances, problems = reader(name).read(tree, options)

    errors = [problem for problem in problems if problem.severity == "error"]
    if strict and errors:
        raise InputError(str(errors[0]))
    if not utterances:
        others = f" ({len(errors)} such problems, no usable utterance)" if len(errors) > 1 else ""
        reason = f"{errors[0]}{others}" if errors else f"{tree.root}: no audio of layout {name}"
        if sign is None:
            raise InputError(reason if errors else f"{reason}; choose another layout")
        alternatives = [other for other in signs if other != name] or [other for other in LAYOUTS if other != name]
        raise InputError(
            f"{reason}; the layout was taken for {name} because of {sign.relative_to(tree.root)}, "
            f"choose another with --layout {'|'.join(alternatives)}"
        )
    problems += check(name, tree, utterances, problems)
    return Corpus(name, tree.root, tuple(utterances), tuple(one_line_each(problems, tree.root)))


def _labels(non_speech: str | Sequence[str]) -> tuple[str, ...]:
    labels = (non_speech,) if isinstance(non_speech, str) else tuple(non_speech)
    if "" in (label.removeprefix("-").strip() for label in labels):
        raise InputError("non-speech labels: one of them is empty; give labels such as ns, or [] for those in brackets")
    return labels


def _detect(tree: Tree) -> dict[str, Path | None]:
    """The layouts that the folder may have, the first of them most likely, and by which file each is recognised."""
    signs = {layout: reader(layout).sign(tree) for layout in LAYOUTS}
    if recognised := {layout: sign for layout, sign in signs.items() if sign is not None}:
        return dict(recognised)
    known = "; ".join(f"{layout}: {signs}" for layout, signs in LAYOUTS.items())
    raise InputError(
        f"{tree.root}: {len(tree.audio)} audio files in no known layout ({known}); add annotations, or name the layout"
    )
