"""LibriSpeech: about 1,000 hours of audiobooks read in English, 2,484 speakers, 16 kHz FLAC.

V. Panayotov, G. Chen, D. Povey, S. Khudanpur, "LibriSpeech: an ASR corpus based on public domain audio
books", ICASSP 2015. https://www.openslr.org/12 Licence: CC BY 4.0.

Layouts:

    LibriSpeech/SPEAKERS.TXT
    LibriSpeech/train-clean-100/103/1240/103-1240-0000.flac      as distributed
    LibriSpeech/train-clean-100/103/1240/103-1240.trans.txt
    anywhere/103-1240-0000.flac                                  flat

SPEAKERS.TXT gives the gender and is looked for in the folder and up to three above it. The split is the subset's name
(train-clean-100, dev-clean, ...) if one of the folders around a file has it. LibriSpeech comes without alignments;
TextGrids made for it (such as those of the Montreal Forced Aligner) are used if they have the names of the audio files,
wherever they are under the root. Without a TextGrid, the words of the condensed alignments `103-1240.alignment.txt` are
used, which hold the words of a chapter and the seconds at which they end, the empty word being a pause:

    103-1240-0000 ",CHAPTER,ONE," "0.450,0.980,1.520,1.900"
"""

import re
from pathlib import Path
from typing import NamedTuple

from lvm_probe.probing.corpora import textgrid
from lvm_probe.probing.corpora.audio import AudioHeader
from lvm_probe.probing.corpora.corpus import Gender, Problem, Segment, Speaker, Utterance
from lvm_probe.probing.corpora.intake import (
    InvalidFile,
    Options,
    Row,
    Tree,
    audio_header,
    one_audio_file_per,
    read_lines,
    read_utterances,
    segments,
    sorted_once,
    to_sample,
)

NON_SPEECH = textgrid.NON_SPEECH

_ID = re.compile(r"([0-9]+)-([0-9]+)-([0-9]+)")
_ALIGNED = re.compile(r'"([^"]*)"\s+"([^"]*)"')
_TIME = re.compile(r"[0-9]{1,6}(\.[0-9]{0,20})?")
_SUBSET = re.compile(r"(train|dev|test)-(clean|other)(-[0-9]+)?")


class _Line(NamedTuple):
    """What follows the utterance id in a line of a `.trans.txt` or `.alignment.txt`."""

    path: Path
    line: int
    content: str


def sign(tree: Tree) -> Path | None:
    """An audio file named reader-chapter-number, if most are."""
    matching = [path for path in tree.audio if _ID.fullmatch(path.stem)]
    return matching[0] if 2 * len(matching) > len(tree.audio) else None


def read(tree: Tree, options: Options) -> tuple[list[Utterance], list[Problem]]:
    """Every usable utterance, and everything that is wrong with the files."""
    problems: list[Problem] = []
    genders = _read_speakers(tree, problems)
    transcripts = _read_lists(tree, ".trans.txt", "transcript", "103-1240-0000 TEXT", problems)
    alignments = _read_lists(tree, ".alignment.txt", "alignment", '103-1240-0000 ",WORD," "0.45,0.98,1.2"', problems)
    grids: dict[str, Path] = {}
    doubled: dict[str, str] = {}
    for path in tree.by_suffix(".textgrid"):
        first = grids.setdefault(path.stem, path)
        if first != path:
            doubled[path.stem] = f"{first} and {path} could both belong to it; remove one of them"
    audio = one_audio_file_per(lambda path: (str(path.parent), path.stem), tree.audio, problems)
    present = {path.stem for path in audio.values()}
    for what, lines in (("a transcript", transcripts), ("an alignment", alignments)):
        for id, line in lines.items():
            if id not in present:
                message = f"{id} has {what} but no audio; restore the audio or remove the line"
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
        speaker = match[1]
        if genders is not None and speaker not in genders:
            message = f"speaker {speaker} is not in SPEAKERS.TXT: gender unknown"
            notices.append(Problem(tree.root, None, message, "notice"))
        transcript = transcripts.get(id)
        if transcript is None and transcripts:
            notices.append(Problem(path, None, "no transcript in any .trans.txt: its text is unknown", "notice"))
        if (both := doubled.get(id)) is not None:
            raise InvalidFile(path, None, both)
        alignment = alignments.get(id)
        header = audio_header(path, options, notices)
        left_out: list[str] = []
        phonemes: tuple[Segment, ...] = ()
        words: tuple[Segment, ...] = ()
        if id in grids:
            phonemes, words = textgrid.read_tiers(grids[id], header, options, notices, left_out)
            if alignment:
                message = f"alignment of {id} ignored: {grids[id]} is read instead; remove one of them"
                topic = "alignments ignored where there are TextGrids"
                notices.append(Problem(alignment.path, alignment.line, message, "notice", topic))
                alignment = None
        if alignment:
            spoken = NON_SPEECH.changed(options.non_speech).without(_aligned_words(alignment, header), left_out)
            words = segments(spoken, alignment.path, header, notices)
        return Utterance(
            id=id,
            speaker=Speaker(speaker, (genders or {}).get(speaker)),
            audio=path,
            samples=header.samples,
            sample_rate=header.sample_rate,
            split=_subset(path),
            phonemes=phonemes,
            words=words,
            text=transcript.content if transcript else None,
            prompt=transcript.content if transcript else None,
            non_speech=tuple(left_out),
            files=tree.states(path, grids.get(id), *(line.path for line in (transcript, alignment) if line)),
        )

    utterances, more = read_utterances(audio.values(), read_one)
    return utterances, sorted_once(problems + more)


def _subset(path: Path) -> str | None:
    """The nearest of the four folders around a file that is named like a subset."""
    around = list(path.absolute().parents)[:4]
    return next((folder.name for folder in around if _SUBSET.fullmatch(folder.name)), None)


def _read_lists(tree: Tree, suffix: str, what: str, form: str, problems: list[Problem]) -> dict[str, _Line]:
    """The lines of every file with this suffix by utterance id; what cannot be read is a notice."""
    lists: dict[str, _Line] = {}
    for path in tree.files:
        if not path.name.lower().endswith(suffix):
            continue
        try:
            lines = read_lines(path)
        except InvalidFile as error:
            message = f"{error.problem.message}; its {what}s are unknown until this is fixed"
            problems.append(Problem(path, error.problem.line, message, "notice"))
            continue
        for number, line in lines:
            match line.split(maxsplit=1):
                case [id, content] if _ID.fullmatch(id):
                    if id in lists:
                        message = f"ignored: {lists[id].path} has the {what} of {id} that is read; remove one of them"
                        problems.append(Problem(path, number, message, "notice"))
                    lists.setdefault(id, _Line(path, number, content.strip()))
                case _:
                    message = f"{line.strip()[:40]!r} is not a row `{form}`; fix it"
                    problems.append(Problem(path, number, message, "notice"))
    return lists


def _aligned_words(alignment: _Line, header: AudioHeader) -> list[Row]:
    """The words of a line of an `.alignment.txt`, in samples."""

    def invalid(reason: str) -> InvalidFile:
        return InvalidFile(alignment.path, alignment.line, f"{reason}; fix the line")

    match = _ALIGNED.fullmatch(alignment.content)
    if not match:
        raise invalid(f"{alignment.content[:40]!r} is not a list of words and one of times, each in quotes")
    labels, times = match[1].split(","), match[2].split(",")
    if len(labels) != len(times):
        raise invalid(f"{len(labels)} words (pauses among them) but {len(times)} times")
    rows, start = [], 0
    for label, time in zip(labels, times, strict=True):
        if not _TIME.fullmatch(time.strip()):
            raise invalid(f"{time.strip()[:20]!r} is not a time in seconds")
        end = to_sample(float(time), header.sample_rate)
        if end < start:
            raise invalid(f"{label[:40]!r} ends at {time.strip()} s, before the word above it")
        if label.strip():
            rows.append(Row(alignment.line, start, end, label.strip()))
        start = end
    return rows


def _read_speakers(tree: Tree, problems: list[Problem]) -> dict[str, Gender] | None:
    """Gender by speaker id, from `ID | SEX | ...` rows; `None`, with a notice, without SPEAKERS.TXT."""
    path = tree.find("speakers.txt", problems, above=3)
    if path is None:
        message = "no SPEAKERS.TXT here or up to three folders above: genders unknown; copy it from the corpus"
        problems.append(Problem(tree.root, None, message, "notice"))
        return None
    genders: dict[str, Gender] = {}
    try:
        lines = read_lines(path)
    except InvalidFile as error:
        message = f"{error.problem.message}; genders are unknown until this is fixed"
        problems.append(Problem(path, error.problem.line, message, "notice"))
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
                message = f"{line.strip()[:40]!r} is not a row `ID | F or M | ...`; fix it"
                problems.append(Problem(path, number, message, "notice"))
    return genders
