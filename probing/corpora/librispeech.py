"""LibriSpeech: about 1,000 hours of audiobooks read in English, 2,484 speakers, 16 kHz FLAC.

V. Panayotov, G. Chen, D. Povey, S. Khudanpur, "LibriSpeech: an ASR corpus based on public domain audio
books", ICASSP 2015. https://www.openslr.org/12 Licence: CC BY 4.0.

Layouts:

    LibriSpeech/SPEAKERS.TXT
    LibriSpeech/train-clean-100/103/1240/103-1240-0000.flac      as distributed
    LibriSpeech/train-clean-100/103/1240/103-1240.trans.txt
    anywhere/103-1240-0000.flac                                  flat

SPEAKERS.TXT gives the gender and is looked for in the folder and up to three above it. The split is the
subset's name (train-clean-100, dev-clean, ...) when one of the folders around a file has it. LibriSpeech
comes without alignments; TextGrids made for it (such as those of the Montreal Forced Aligner) are used
where a file of the same stem lies anywhere under the root.
"""

import re
from pathlib import Path
from typing import NamedTuple

from lvm_probe.probing.corpora import textgrid
from lvm_probe.probing.corpora.corpus import Gender, Problem, Segment, Speaker, Utterance
from lvm_probe.probing.corpora.intake import (
    InvalidFile,
    Options,
    Tree,
    audio_header,
    gather,
    once,
    one_each,
    read_lines,
)

_ID = re.compile(r"([0-9]+)-([0-9]+)-([0-9]+)")
_SUBSET = re.compile(r"(train|dev|test)-(clean|other)(-[0-9]+)?")


class _Line(NamedTuple):
    """A transcript and where it stands."""

    path: Path
    line: int
    text: str


def looks_like(tree: Tree) -> bool:
    """Whether most audio files are named reader-chapter-number."""
    named = sum(bool(_ID.fullmatch(path.stem)) for path in tree.audio)
    return 2 * named > len(tree.audio)


def read(tree: Tree, options: Options) -> tuple[list[Utterance], list[Problem]]:
    """Every utterance under the root that can be used, and the problems of the rest."""
    problems: list[Problem] = []
    genders = _read_speakers(tree, problems)
    texts = _read_transcripts(tree, problems)
    grids = {path.stem: path for path in tree.ending(".textgrid")}
    audio = one_each(tree.audio, lambda path: (str(path.parent), path.stem), problems)
    present = {path.stem for path in audio.values()}
    for id, line in texts.items():
        if id not in present:
            message = f"{id} has a transcript but no audio; restore the audio or remove the line"
            problems.append(Problem(line.path, line.line, message, "error"))
    for id, path in grids.items():
        if id not in present:
            message = "no audio of this name; restore the audio or remove the annotation"
            problems.append(Problem(path, None, message, "error"))

    def read_one(path: Path, notices: list[Problem]) -> Utterance:
        id = path.stem
        if not (match := _ID.fullmatch(id)):
            message = "is not named reader-chapter-number, such as 103-1240-0000.flac; rename or remove it"
            raise InvalidFile(path, None, message)
        reader = match[1]
        if genders is not None and reader not in genders:
            message = f"speaker {reader} is not in SPEAKERS.TXT: gender unknown"
            notices.append(Problem(tree.root, None, message, "notice"))
        if id not in texts and texts:
            notices.append(Problem(path, None, "no transcript in any .trans.txt: its text is unknown", "notice"))
        header = audio_header(path, options, notices)
        phonemes: tuple[Segment, ...] = ()
        words: tuple[Segment, ...] = ()
        if id in grids:
            phonemes, words = textgrid.read_tiers(grids[id], header, options, notices)
        return Utterance(
            id=id,
            speaker=Speaker(reader, (genders or {}).get(reader)),
            audio=path,
            samples=header.samples,
            sample_rate=header.sample_rate,
            split=_subset(path),
            phonemes=phonemes,
            words=words,
            text=texts[id].text if id in texts else None,
            files=tree.stamps(path, grids.get(id), texts[id].path if id in texts else None),
        )

    utterances, found = gather(audio.values(), read_one)
    return utterances, once(problems + found)


def _subset(path: Path) -> str | None:
    """The nearest of the four folders around a file that is named like a subset."""
    around = list(path.absolute().parents)[:4]
    return next((folder.name for folder in around if _SUBSET.fullmatch(folder.name)), None)


def _read_transcripts(tree: Tree, problems: list[Problem]) -> dict[str, _Line]:
    """The text of each utterance id, from every `*.trans.txt`; what cannot be read is a notice."""
    texts: dict[str, _Line] = {}
    for path in tree.files:
        if not path.name.lower().endswith(".trans.txt"):
            continue
        try:
            lines = read_lines(path)
        except InvalidFile as refused:
            message = f"{refused.problem.message}; until then its texts are unknown"
            problems.append(Problem(path, refused.problem.line, message, "notice"))
            continue
        for number, line in lines:
            match line.split(maxsplit=1):
                case [id, text] if _ID.fullmatch(id):
                    if id in texts:
                        message = f"{id} has a transcript already, in {texts[id].path}; remove one"
                        problems.append(Problem(path, number, message, "notice"))
                    texts.setdefault(id, _Line(path, number, text.strip()))
                case _:
                    message = f"{line.strip()[:40]!r} is not a row `103-1240-0000 TEXT`; mend it"
                    problems.append(Problem(path, number, message, "notice"))
    return texts


def _read_speakers(tree: Tree, problems: list[Problem]) -> dict[str, Gender] | None:
    """Gender by reader id, from `ID | SEX | ...` rows; `None`, with a notice, without SPEAKERS.TXT."""
    path = tree.find("speakers.txt", above=3)
    if path is None:
        message = "no SPEAKERS.TXT here or up to three folders above: genders unknown; copy it from the corpus"
        problems.append(Problem(tree.root, None, message, "notice"))
        return None
    genders: dict[str, Gender] = {}
    try:
        lines = read_lines(path)
    except InvalidFile as refused:
        message = f"{refused.problem.message}; until then genders are unknown"
        problems.append(Problem(path, refused.problem.line, message, "notice"))
        return None
    for number, line in lines:
        if line.lstrip().startswith(";"):
            continue
        match [field.strip() for field in line.split("|")]:
            case [id, "F", *_]:
                genders[id] = "F"
            case [id, "M", *_]:
                genders[id] = "M"
            case _:
                message = f"{line.strip()[:40]!r} is not a row `ID | F or M | ...`; mend it"
                problems.append(Problem(path, number, message, "notice"))
    return genders
