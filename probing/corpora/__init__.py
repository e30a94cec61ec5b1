"""One module per corpus layout, and `open_corpus`, which tells them apart."""

from pathlib import Path
from typing import Literal, get_args

from lvm_probe import InputError
from lvm_probe.probing.corpora import librispeech, textgrid, timit
from lvm_probe.probing.corpora.corpus import Corpus
from lvm_probe.probing.corpora.intake import Options, Tree

Layout = Literal["auto", "timit", "librispeech", "textgrid"]


def open_corpus(
    path: Path | str,
    *,
    layout: Layout = "auto",
    strict: bool = False,
    resample: bool = True,
    sample_rate: int = 16000,
    phoneme_tier: str | None = None,
    word_tier: str | None = None,
) -> Corpus:
    """Read the corpus in a folder: headers and annotations, never the samples.

    An utterance that cannot be used is left out and listed in `problems` with severity "error"; `strict`
    makes the first of them fatal. Files whose rate differs from `sample_rate` (Hz) are kept with a notice,
    or left out when `resample` is false. The tier names are for TextGrids. A FLAC that is cut
    short shows only when it is read (`read_audio`). Raises InputError when the folder is missing, has no
    audio, is of no known layout, or has no usable utterance.
    """
    if layout not in get_args(Layout):
        raise InputError(f"no corpus layout {layout!r}: choose one of {', '.join(get_args(Layout))}")
    if sample_rate < 1:
        raise InputError(f"sample rate {sample_rate} Hz: give a positive number, such as 16000")
    tree = Tree.of(Path(path))
    options = Options(sample_rate, resample, phoneme_tier, word_tier)
    name = _detect(tree) if layout == "auto" else layout
    match name:
        case "timit":
            utterances, problems = timit.read(tree, options)
        case "librispeech":
            utterances, problems = librispeech.read(tree, options)
        case _:
            utterances, problems = textgrid.read(tree, options)

    errors = [problem for problem in problems if problem.severity == "error"]
    if strict and errors:
        raise InputError(str(errors[0]))
    if not utterances:
        more = f" ({len(errors)} such problems, no usable utterance)" if len(errors) > 1 else ""
        raise InputError(
            f"{errors[0]}{more}" if errors else f"{tree.root}: no audio of layout {name}; choose another layout"
        )
    return Corpus(name, tree.root, tuple(utterances), tuple(problems))


def _detect(tree: Tree) -> Literal["timit", "librispeech", "textgrid"]:
    """The layout that the files show; LibriSpeech before TextGrids, for it may carry them too."""
    if timit.looks_like(tree):
        return "timit"
    if librispeech.looks_like(tree):
        return "librispeech"
    if textgrid.looks_like(tree):
        return "textgrid"
    raise InputError(
        f"{tree.root}: {len(tree.audio)} audio files in no known layout (TIMIT .PHN, LibriSpeech names like "
        "103-1240-0000.flac, Praat .TextGrid); put a TextGrid beside each file, or name the layout"
    )
