"""Libri-Light: 60,000 hours of audiobooks read in English, 7,439 speakers, 16 kHz FLAC without transcripts.

J. Kahn et al., "Libri-Light: a benchmark for ASR with limited or no supervision", ICASSP 2020.
https://github.com/facebookresearch/libri-light The recordings are LibriVox's, in the public domain.

Layouts:

    small/100/sea_fairies_0812_librivox_64kb_mp3/01_baum_sea_fairies_64kb.flac     .json     as distributed
    out/100/422/01_baum_sea_fairies_64kb_0000.wav                                            as cut_by_vad.py cuts it

The speaker is the number that the second folder above a file has for its name. The split is the subset (`small`,
`medium`, `large` or `duplicate`) if the folder above that has its name. Genders are unknown. Of the `.json` files only
the names are looked at, by which the layout is recognised. Its sets of 10 hours, 1 hour and 10 minutes are laid out as
LibriSpeech is, and read as that.
"""

import re
from pathlib import Path

from lvm_probe.probing.corpora.corpus import Problem, Speaker, Utterance
from lvm_probe.probing.corpora.intake import (
    InvalidFile,
    Options,
    Tree,
    audio_header,
    one_audio_file_per,
    read_utterances,
    sorted_once,
)
from lvm_probe.probing.corpora.non_speech import ALIGNERS

NON_SPEECH = ALIGNERS

_SUBSETS = ("small", "medium", "large", "duplicate")
_CUT = re.compile(r".+_[0-9]{4}")


def sign(tree: Tree) -> Path | None:
    """A file SPEAKER/BOOK/name.flac with a .json beside it, or SPEAKER/NUMBER/name_0000.wav, if most are either."""
    described = {path.with_suffix("") for path in tree.by_suffix(".json")}

    def is_libri_light(path: Path) -> bool:
        cut = path.parent.name.isdecimal() and _CUT.fullmatch(path.stem)
        return path.parent.parent.name.isdecimal() and bool(cut or path.with_suffix("") in described)

    matching = [path for path in tree.audio if is_libri_light(path)]
    return matching[0] if 2 * len(matching) > len(tree.audio) else None


def read(tree: Tree, options: Options) -> tuple[list[Utterance], list[Problem]]:
    """Every usable utterance, and everything that is wrong with the files."""
    problems: list[Problem] = []
    audio = one_audio_file_per(lambda path: (str(path.parent), path.stem), tree.audio, problems)
    described = {path.with_suffix(""): path for path in tree.by_suffix(".json")}

    def read_one(path: Path, notices: list[Problem]) -> Utterance:
        speaker = path.absolute().parent.parent.name
        if not speaker.isdecimal():
            message = "the second folder above it is no speaker's number, as in 100/BOOK/name.flac; move or remove it"
            raise InvalidFile(path, None, message)
        header = audio_header(path, options, notices)
        subset = path.absolute().parent.parent.parent.name
        return Utterance(
            id=f"{speaker}_{path.parent.name}_{path.stem}",
            speaker=Speaker(speaker),
            audio=path,
            samples=header.samples,
            sample_rate=header.sample_rate,
            split=subset if subset in _SUBSETS else None,
            files=tree.states(path, described.get(path.with_suffix(""))),
        )

    utterances, more = read_utterances(audio.values(), read_one)
    return utterances, sorted_once(problems + more)
