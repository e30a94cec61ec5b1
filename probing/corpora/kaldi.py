"""Data folders of the Kaldi toolkit, which many recipes for public corpora prepare.

D. Povey et al., "The Kaldi speech recognition toolkit", ASRU 2011; the files:
https://kaldi-asr.org/doc/data_prep.html. The licence is that of the corpus.

    data/train/wav.scp        recording-id path           required
    data/train/utt2spk        utterance-id speaker-id     or spk2utt
    data/train/text           utterance-id words ...      what is said
    data/train/spk2gender     speaker-id m                or f
    data/train/spk2age        speaker-id 33               in years
    data/train/segments       utterance-id recording-id start end     in seconds; else a recording is an utterance
    data/train/words.ctm      phones.ctm, ctm             alignments (see `ctm.py`)

Every folder with a wav.scp below the corpus's folder is read, but not the parts of a data folder that lie in it (such
as split4/1). A folder called train, dev or test, also with something after it (train_clean_5), is the split.

Paths in wav.scp are relative to the data folder or, if they do not exist there, to the nearest folder above it in which
they do, because Kaldi's recipes run there; a notice names that folder. Commands (`sph2pipe ... |`) are not run, and
archives (`foo.ark:12`) are not read: such utterances are left out.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lvm_probe.probing.corpora.audio import AudioHeader
from lvm_probe.probing.corpora.corpus import Gender, Problem, Speaker, Utterance, abbreviated
from lvm_probe.probing.corpora.ctm import Alignments, ctm_files
from lvm_probe.probing.corpora.intake import (
    InvalidFile,
    Options,
    Tree,
    audio_header,
    read_lines,
    read_utterances,
    sorted_once,
    to_sample,
)
from lvm_probe.probing.corpora.non_speech import ALIGNERS

NON_SPEECH = ALIGNERS

_ABOVE = 4  # folders above a data folder in which the recipe may have run
_OVERSHOOT_MS = 500  # how far segments may exceed the audio, as in Kaldi's extract-segments
_SPLIT = re.compile(r"(train|dev|valid|validation|test|eval)([-_.].*)?", re.IGNORECASE)
_START = re.compile(r"[0-9]{1,7}(\.[0-9]{0,20})?")
_TO_THE_END = ("-1", "-1.0", "-1.00")
_AGE = re.compile(r"(?=.*[1-9])[0-9]{1,3}(\.[0-9]{1,10})?")
_ARCHIVE = re.compile(r".*\.ark(:[0-9]+)?", re.IGNORECASE)


class _Entry(NamedTuple):
    """What follows the key in a row of a table."""

    line: int
    value: str


_Table = dict[str, _Entry]


class _Part(NamedTuple):
    """A row of `segments`, its times in seconds; the end is None for the end of the recording."""

    line: int
    start: float
    end: float | None


@dataclass(frozen=True)
class _DataFolder:
    """The tables of a data folder; those that are not there are None."""

    path: Path
    audio: _Table
    speakers: _Table
    texts: _Table | None
    genders: _Table | None
    ages: _Table | None
    parts: _Table | None
    alignments: Alignments
    files: tuple[Path, ...]

    @property
    def split(self) -> str | None:
        """The name of the folder, if it is that of a split."""
        name = self.path.absolute().name
        return name if _SPLIT.fullmatch(name) else None


def sign(tree: Tree) -> Path | None:
    """A wav.scp."""
    return next(iter(tree.by_name("wav.scp")), None)


def read(tree: Tree, options: Options) -> tuple[list[Utterance], list[Problem]]:
    """Every usable utterance, and everything that is wrong with the files."""
    problems: list[Problem] = []
    used: set[str] = set()
    headers: dict[Path, AudioHeader] = {}

    def read_one(item: tuple[_DataFolder, str], notices: list[Problem]) -> Utterance:
        folder, id = item
        recording, part = (id, None) if folder.parts is None else _part(folder, id)
        audio = _audio_file(folder, recording, notices)
        used.add(os.path.normpath(audio.absolute()))
        if audio not in headers:
            headers[audio] = audio_header(audio, options, notices)
        header, offset = headers[audio], None
        if part is not None:
            offset, end = _bounds(folder, id, part, header, notices)
            header = header._replace(samples=end - offset)
        within = None if offset is None else (recording, offset)
        text = _value(folder.texts, id)
        annotation = folder.alignments.annotation([id], header, notices, within=within)
        return Utterance(
            id=id,
            speaker=_speaker(folder, id, notices),
            audio=audio,
            samples=header.samples,
            sample_rate=header.sample_rate,
            split=folder.split,
            phonemes=annotation.phonemes,
            words=annotation.words,
            text=text or annotation.text,
            prompt=text,
            offset=offset,
            non_speech=annotation.non_speech,
            files=tree.states(audio, *folder.files),
        )

    items = []
    for path in _data_folders(tree, problems):
        try:
            folder = _read_folder(path, tree, options, problems)
        except InvalidFile as error:
            problems.append(error.problem)
        else:
            items += [(folder, id) for id in sorted(folder.audio if folder.parts is None else folder.parts)]
            _notice_gaps(folder, problems)
    utterances, more = read_utterances(items, read_one)
    for folder in {folder.path: folder for folder, _ in items}.values():
        for file, count in folder.alignments.between_utterances().items():
            message = f"rows outside the utterances of segments are not read: {count:,}"
            problems.append(Problem(file, None, message, "notice"))
    if unused := [path for path in tree.audio if os.path.normpath(path.absolute()) not in used]:
        names = abbreviated([str(path.relative_to(tree.root)) for path in unused], 3)
        message = f"audio that belongs to no usable utterance of a wav.scp is not read: {names}"
        problems.append(Problem(tree.root, None, message, "notice"))
    return utterances, sorted_once(problems + more)


def _data_folders(tree: Tree, problems: list[Problem]) -> list[Path]:
    """The folders with a wav.scp; the parts of another data folder in it are a notice."""
    found = {path.parent for path in tree.by_name("wav.scp")}
    parts = sorted(str(folder.relative_to(tree.root)) for folder in found if not found.isdisjoint(folder.parents))
    if parts:
        message = f"data folders in other data folders are not read: {abbreviated(parts, 3)}"
        problems.append(Problem(tree.root, None, message, "notice"))
    return sorted(folder for folder in found if found.isdisjoint(folder.parents))


def _read_folder(path: Path, tree: Tree, options: Options, problems: list[Problem]) -> _DataFolder:
    """The tables of a data folder; raises InvalidFile without wav.scp or the speakers."""
    files: list[Path] = []

    def table(name: str) -> _Table | None:
        file = path / name
        if file not in tree.files:
            return None
        files.append(file)
        return _read_table(file, problems)

    audio, speakers = table("wav.scp"), table("utt2spk")
    if speakers is None and (of_speaker := table("spk2utt")) is not None:
        pairs = [(id, _Entry(line, speaker)) for speaker, (line, ids) in of_speaker.items() for id in ids.split()]
        speakers = dict(pairs)
        if len(speakers) < len(pairs):
            raise InvalidFile(path / "spk2utt", None, "an utterance has two speakers; remove one of them")
    if speakers is None:
        message = "no utt2spk or spk2utt beside it, so that nobody knows who speaks; add one of them"
        raise InvalidFile(path / "wav.scp", None, message)
    ctms = ctm_files(file for file in tree.files if file.parent == path)
    return _DataFolder(
        path,
        audio or {},
        speakers,
        table("text"),
        table("spk2gender"),
        table("spk2age"),
        table("segments"),
        Alignments.read(ctms, tree.root, options, problems),
        (*files, *ctms),
    )


def _read_table(path: Path, problems: list[Problem]) -> _Table:
    """The rows of a table by their first column; rows with one column and repetitions are ignored, with notices."""
    table: _Table = {}
    for number, line in read_lines(path):
        match line.split(maxsplit=1):
            case [key, value]:
                if key in table:
                    message = f"{key} is listed twice; the first row counts"
                    topic = "keys are listed twice; the first row counts"
                    problems.append(Problem(path, number, message, "notice", topic))
                table.setdefault(key, _Entry(number, value.strip()))
            case _:
                message = f"{line.strip()[:40]!r} is alone in its row: unknown; complete the row"
                topic = "rows with nothing after their key are ignored"
                problems.append(Problem(path, number, message, "notice", topic))
    return table


def _notice_gaps(folder: _DataFolder, problems: list[Problem]) -> None:
    """Notices of rows that belong to no utterance of the folder, and of utterances and speakers without a row."""
    ids = set(folder.audio if folder.parts is None else folder.parts)
    recordings = ids if folder.parts is None else {*folder.audio}
    for name, known, table in (("utt2spk", ids, folder.speakers), ("text", ids, folder.texts)):
        if unknown := sorted(set(table or ()) - known):
            message = f"has rows of utterances that have no audio: {abbreviated(unknown, 3)}; restore it or remove them"
            problems.append(Problem(folder.path / name, None, message, "notice"))
    speakers = {entry.value for id, entry in folder.speakers.items() if id in ids}
    tables = (("text", ids, folder.texts), ("spk2gender", speakers, folder.genders), ("spk2age", speakers, folder.ages))
    for name, known, table in tables:
        if table is not None and (missing := sorted(known - set(table))):
            message = f"has no row of {abbreviated(missing, 3)}: unknown; add it"
            problems.append(Problem(folder.path / name, None, message, "notice"))
    for file, unknown in folder.alignments.unknown(ids | recordings).items():
        message = f"has rows of recordings that are not there: {abbreviated(unknown, 3)}; restore or remove them"
        problems.append(Problem(file, None, message, "notice"))


def _value(table: _Table | None, key: str) -> str | None:
    """What a table that may be missing says of a key, if anything."""
    return table[key].value if table and key in table else None


def _speaker(folder: _DataFolder, id: str, notices: list[Problem]) -> Speaker:
    if id not in folder.speakers:
        raise InvalidFile(folder.path / "utt2spk", None, f"has no row of {id}, which is in wav.scp or segments; add it")
    speaker = folder.speakers[id].value
    gender = _value(folder.genders, speaker)
    genders: dict[str | None, Gender | None] = {None: None, "f": "F", "m": "M"}
    if (key := gender and gender.lower()) not in genders:
        message = f"gender {gender!r:.20} of speaker {speaker} is not f or m: unknown; fix it"
        notices.append(Problem(folder.path / "spk2gender", None, message, "notice"))
    age = _value(folder.ages, speaker)
    if age is not None and not _AGE.fullmatch(age):
        message = f"age {age!r:.20} of speaker {speaker} is not a number of years: unknown; fix it"
        notices.append(Problem(folder.path / "spk2age", None, message, "notice"))
        age = None
    return Speaker(speaker, genders.get(key), age=None if age is None else float(age))


def _audio_file(folder: _DataFolder, recording: str, notices: list[Problem]) -> Path:
    """The audio file of a recording; raises InvalidFile if wav.scp does not name an existing one."""
    scp = folder.path / "wav.scp"
    if recording not in folder.audio:
        raise InvalidFile(scp, None, f"has no row of recording {recording}, which is in segments; add it")
    line, value = folder.audio[recording]
    if "|" in (value[0], value[-1]):
        message = f"{recording} is made by the command {value[:60]!r}, which is not run; run it into a file"
        raise InvalidFile(scp, line, f"{message} and write the name of that file instead")
    if _ARCHIVE.fullmatch(value):
        message = f"{recording} is in the archive {value[:60]!r}; write it to a WAV file, such as by wav-copy"
        raise InvalidFile(scp, line, f"{message}, and give the name of that file instead")
    bases = (folder.path, *list(folder.path.absolute().parents)[:_ABOVE])
    try:
        base = next(base for base in bases if (base / value).is_file())
    except (StopIteration, OSError, ValueError):
        message = f"{recording}: no such audio file: {value[:200]!r}, seen from this folder or from {_ABOVE} above it"
        raise InvalidFile(scp, line, f"{message}; fix the path, or open the folder where the recipe runs") from None
    if base != folder.path and not Path(value).is_absolute():
        notices.append(Problem(scp, None, f"the paths of its audio are relative to {base}", "notice"))
    return base / value


def _part(folder: _DataFolder, id: str) -> tuple[str, _Part]:
    """The recording that an utterance is a part of, and its times."""
    line, value = (folder.parts or {})[id]
    match value.split():
        case [recording, start, end] if _START.fullmatch(start) and (end in _TO_THE_END or _START.fullmatch(end)):
            return recording, _Part(line, float(start), None if end in _TO_THE_END else float(end))
    message = f"{value[:60]!r} is not `recording start end` with times in seconds; fix it"
    raise InvalidFile(folder.path / "segments", line, message)


def _bounds(folder: _DataFolder, id: str, part: _Part, header: AudioHeader, notices: list[Problem]) -> tuple[int, int]:
    """The first sample of a part of a recording, and the one after its last."""
    path, rate = folder.path / "segments", header.sample_rate
    start = to_sample(part.start, rate)
    end = header.samples if part.end is None else to_sample(part.end, rate)
    excess = end - header.samples
    if excess * 1000 > _OVERSHOOT_MS * rate or not start < min(end, header.samples):
        message = f"{id} spans samples {start} to {end} of a recording of {header.samples}; fix its times"
        raise InvalidFile(path, part.line, message)
    if excess > 0:
        message = f"{id} ends {excess} samples after its recording and is clipped"
        topic = f"utterances that end at most {_OVERSHOOT_MS} ms after their recordings are clipped"
        notices.append(Problem(path, part.line, message, "notice", topic))
    return start, min(end, header.samples)
