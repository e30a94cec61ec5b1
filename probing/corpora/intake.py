"""What the corpus readers share: listing files, reading text, checking audio headers and segments."""

import math
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from lvm_probe import InputError
from lvm_probe.probing.corpora.audio import SUFFIXES, AudioHeader, check_mono, check_resampling, read_audio_header
from lvm_probe.probing.corpora.corpus import FileState, Problem, Segment, Utterance, abbreviated
from lvm_probe.probing.corpora.phones import NON_PHONEMES

END_TOLERANCE_MS = 10
"""How far an alignment may exceed the audio: it is clipped, with a notice. A larger excess is an error.

The TIMIT sample never exceeds its audio (its alignments end up to 175 ms before it); aligners that count in frames of
10 ms round up by less than one.
"""

UNLABELLED_END_MS = 200
"""How long before the end of the audio its phones may end, and its words before the last phone, without a notice.

The alignments of the TIMIT sample end up to 175 ms before the audio.
"""

WORDS_ONLY_UNLABELLED_END_MS = 1000
"""The same for words where there are no phones: the pause after the last word is unlabelled."""

_MAX_BYTES = 1 << 26  # of an annotation: hours of speech have a hundredth of that

T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """The user's options for a reader; see `open_corpus`."""

    sample_rate: int = 16000
    resample: bool = True
    phoneme_tier: str | None = None
    word_tier: str | None = None
    speaker_from: str | None = None
    non_speech: tuple[str, ...] = ()


class InvalidFile(InputError):
    """A file cannot be used. Where an utterance is read from it, the utterance is left out; the corpus is not."""

    def __init__(self, path: Path, line: int | None, message: str) -> None:
        self.problem = Problem(path, line, message, "error")
        super().__init__(str(self.problem))


@dataclass(frozen=True)
class Row:
    """One row of an annotation before it is checked, its positions in samples.

    Attributes:
        line: from 1, or None if unknown.
        place: begins error messages where a line does not say enough, such as "tier 'phones', interval 3: ".
    """

    line: int | None
    start: int
    end: int
    label: str
    place: str = ""


@dataclass(frozen=True)
class Tree:
    """The files in a corpus's folder, sorted, without hidden ones (`.DS_Store`, `._SA1.WAV`).

    Attributes:
        root: the folder.
        files: paths below it.
        scanned: the state of each file before any of them was read.
    """

    root: Path
    files: tuple[Path, ...]
    scanned: dict[Path, FileState] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def scan(cls, root: Path) -> "Tree":
        """List a folder. Raises InputError if it is missing, not a folder, or has neither audio nor a wav.scp."""
        root = root.expanduser()
        if not root.is_dir():
            problem = "a file, not a folder" if root.exists() else "no such folder"
            raise InputError(f"{root}: {problem}; give the folder that holds the corpus")
        files = tuple(sorted(walk(root)))
        tree = cls(root, files, {path: FileState.now(path) for path in files})
        if not tree.audio and not tree.by_name("wav.scp"):
            problem = f"{len(tree.files)} files but no audio" if tree.files else "the folder is empty"
            raise InputError(f"{root}: {problem}; give a folder that holds {', '.join(SUFFIXES)} files")
        return tree

    @cached_property
    def audio(self) -> tuple[Path, ...]:
        """The audio files, recognised by their suffixes."""
        return self.by_suffix(*SUFFIXES)

    def by_suffix(self, *suffixes: str) -> tuple[Path, ...]:
        """The files with one of these suffixes (lower case), whatever case they are written in."""
        return tuple(path for path in self.files if path.suffix.lower() in suffixes)

    def by_name(self, name: str) -> tuple[Path, ...]:
        """The files of exactly this name, those nearest the root first."""
        return tuple(sorted((path for path in self.files if path.name == name), key=lambda path: len(path.parts)))

    def states(self, *paths: Path | None) -> tuple[FileState, ...]:
        """The states of the files that an utterance is read from, skipping those that are None."""
        return tuple(self.scanned.get(path) or FileState.now(path) for path in paths if path is not None)

    def find(self, name: str, problems: list[Problem], *, above: int) -> Path | None:
        """The file of this name (in any case) nearest the root, else in so many parent folders or their DOC folder.

        If there are several, a notice names them and the one that is taken.
        """
        places = [[path for path in self.files if path.name.lower() == name]]
        for parent in list(self.root.absolute().parents)[:above]:
            folders = [parent, *(entry for entry in _entries(parent) if entry.name.lower() == "doc")]
            entries = (entry for folder in folders for entry in _entries(folder))
            places.append([entry for entry in entries if entry.name.lower() == name and entry.is_file()])
        found = next((place for place in places if place), None)
        if found is None:
            return None
        taken, *others = sorted(found, key=lambda path: (len(path.parts), path))
        if others:
            message = (
                f"is read, and not {abbreviated([str(path) for path in others], 3)}; remove those that do not count"
            )
            problems.append(Problem(taken, None, message, "notice"))
        return taken


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def walk(root: Path) -> Iterator[Path]:
    """Files below root, also in linked folders; each folder is visited once, even if links form a loop."""
    seen = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder, name) for name in files if not name.startswith("."))


def read_utterances(
    items: Iterable[T], read_one: Callable[[T, list[Problem]], Utterance]
) -> tuple[list[Utterance], list[Problem]]:
    """Read one utterance per item.

    Args:
        items: the audio files, or what else names the utterances.
        read_one: reads one and appends its notices to the list; raises InvalidFile if it cannot be used.

    Returns:
        The utterances, and the problems: notices of these (also where an alignment stops long before its audio), and
        an error for each of the others, among them those that repeat an id or describe a speaker otherwise than an
        utterance before them.
    """
    utterances: dict[str, Utterance] = {}
    speakers: dict[str, Utterance] = {}
    problems: list[Problem] = []
    for item in items:
        notices: list[Problem] = []
        try:
            utterance = read_one(item, notices)
            if other := utterances.get(utterance.id):
                message = f"utterance id {utterance.id} is taken by {other.audio}; rename or remove one of them"
                raise InvalidFile(utterance.audio, None, message)
            other = speakers.setdefault(utterance.speaker.id, utterance)
            if other.speaker != utterance.speaker:
                message = f"its speaker is {utterance.speaker}, but {other.speaker} in {other.audio}; fix one of them"
                raise InvalidFile(utterance.audio, None, message)
        except InvalidFile as error:
            problems.append(error.problem)
        else:
            utterances[utterance.id] = utterance
            problems.extend(notices)
            problems.extend(_early_ends(utterance))
    return list(utterances.values()), problems


def _early_ends(utterance: Utterance) -> Iterator[Problem]:
    """A notice for phones and for words that stop long before the speech does, as in a file that was cut off."""
    ends: list[tuple[str, tuple[Segment, ...], str, int, int]] = []
    if utterance.phonemes:
        ends.append(("phones", utterance.phonemes, "the audio", utterance.samples, UNLABELLED_END_MS))
    if speech := [segment for segment in utterance.phonemes if segment.label not in NON_PHONEMES]:
        ends.append(("words", utterance.words, "the last phone", speech[-1].end, UNLABELLED_END_MS))
    elif not utterance.phonemes:
        ends.append(("words", utterance.words, "the audio", utterance.samples, WORDS_ONLY_UNLABELLED_END_MS))
    for what, segments_, until, limit, tolerance in ends:
        end = max((segment.end for segment in segments_), default=limit)
        missing = (limit - end) * 1000 // utterance.sample_rate
        if missing > tolerance:
            message = f"its {what} end {missing} ms before {until}; check whether the annotation is complete"
            topic = f"{what} end more than {tolerance} ms before {until}; check whether the annotations are complete"
            yield Problem(utterance.audio, None, message, "notice", topic)


def one_audio_file_per(key: Callable[[Path], T], paths: Iterable[Path], problems: list[Problem]) -> dict[T, Path]:
    """One audio file for each key, WAV before FLAC before the others; a notice names each duplicate."""

    def preference(path: Path) -> tuple[int, int, Path]:
        return SUFFIXES.index(path.suffix.lower()), len(path.name), path

    chosen: dict[T, Path] = {}
    for path in sorted(paths, key=preference):
        first = chosen.setdefault(key(path), path)
        if first is not path:
            message = f"ignored: {first.name} of the same name is read instead; rename or remove one of them"
            problems.append(Problem(path, None, message, "notice"))
    return dict(sorted(chosen.items(), key=lambda item: item[1]))


def audio_header(path: Path, options: Options, notices: list[Problem]) -> AudioHeader:
    """The header of a usable audio file; raises InvalidFile for any other. Resampling is a notice."""
    try:
        str(path).encode()
        header = read_audio_header(path)
        check_mono(path, header.channels)
        if header.sample_rate != options.sample_rate:
            check_resampling(path, header.sample_rate, options.sample_rate)
    except UnicodeEncodeError as error:
        raise InvalidFile(path, None, "the file's name is not UTF-8; rename it") from error
    except InputError as error:
        raise InvalidFile(path, None, str(error).removeprefix(f"{path}: ")) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    if header.open_end:
        message = "its header does not say how long it is, as in a file written through a pipe: read to the end"
        notices.append(Problem(path, None, message, "notice"))
    if header.sample_rate != options.sample_rate:
        rates = f"from {header.sample_rate} to {options.sample_rate} Hz"
        if not options.resample:
            raise InvalidFile(path, None, f"needs resampling {rates}; allow resampling or convert the file")
        notices.append(Problem(path, None, f"resampled {rates}", "notice"))
    return header


def name_key(name: str) -> str:
    """A name as it is compared: in any case and either Unicode form (macOS writes é as two characters)."""
    return unicodedata.normalize("NFC", name).casefold()


def read_lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a UTF-8 file that are not blank, with their numbers from 1; raises InvalidFile as `read_text`."""
    return [(n, line) for n, line in enumerate(read_text(path).split("\n"), start=1) if line.strip()]


def read_text(path: Path, most_bytes: int = _MAX_BYTES) -> str:
    """The text of a UTF-8 file of at most so many bytes, with `\\n` as line ends.

    Raises:
        InvalidFile: naming the line, if the file holds NUL bytes or is not UTF-8; or if it is unreadable or huge.
    """
    raw = read_bytes(path, most_bytes)
    if (nul := raw.find(b"\0")) >= 0:
        line = raw.count(b"\n", 0, nul) + 1
        raise InvalidFile(path, line, "contains NUL bytes; restore the file or save it as UTF-8 text")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InvalidFile(path, line, "is not UTF-8 text; save the file as UTF-8") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_bytes(path: Path, most_bytes: int = _MAX_BYTES) -> bytes:
    """The content of a file; raises InvalidFile if it is unreadable, or so large that it may fill the memory."""
    if (size := FileState.now(path).size) > most_bytes:
        what = "an annotation" if most_bytes == _MAX_BYTES else "such a file"
        raise InvalidFile(path, None, f"{size:,} bytes are too many for {what}; restore the file")
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> InvalidFile:
    return InvalidFile(path, None, f"cannot be read ({error.strerror}); check its permissions")


def to_sample(seconds: float, sample_rate: int) -> int:
    """The nearest sample position to a time (halves up)."""
    return math.floor(seconds * sample_rate + 0.5)


def segments(
    rows: Iterable[Row],
    path: Path,
    header: AudioHeader,
    notices: list[Problem],
    *,
    may_overlap: bool = False,
) -> tuple[Segment, ...]:
    """Check the rows of an annotation and turn them into segments.

    Args:
        rows: in the order of the file, in samples.
        path: the annotation, for messages.
        header: of the audio. Rows may exceed its end by END_TOLERANCE_MS; they are clipped, with a notice.
        notices: notices are appended here.
        may_overlap: whether a segment may begin before the one above it ends, as words of TIMIT do.

    Raises:
        InvalidFile: at the first row that is empty, out of order, overlaps another or exceeds the audio.
    """
    checked: list[Segment] = []
    tolerance = header.sample_rate * END_TOLERANCE_MS // 1000
    for row in rows:
        what = f"{row.place}{row.label!r} at samples {row.start} to {row.end}"
        if not 0 <= row.start < row.end:
            raise InvalidFile(path, row.line, f"{what} contains no samples; fix the annotation")
        if checked and row.start < checked[-1].start:
            raise InvalidFile(path, row.line, f"{what} starts before the segment above it; sort the annotation")
        if checked and not may_overlap and row.start < checked[-1].end:
            message = f"{what} overlaps the segment above it, which ends at {checked[-1].end}; fix the annotation"
            raise InvalidFile(path, row.line, message)
        excess = row.end - header.samples
        if excess > tolerance or row.start >= header.samples:
            raise InvalidFile(
                path,
                row.line,
                f"{what} ends {excess} samples after the audio ({header.samples} samples); "
                "restore the audio if it is truncated, or the annotation that belongs to it",
            )
        if excess > 0:
            message = f"{what} clipped to the audio's end at {header.samples}"
            topic = f"segments that end at most {END_TOLERANCE_MS} ms after the audio are clipped to it"
            notices.append(Problem(path, row.line, message, "notice", topic))
        label = unicodedata.normalize("NFC", row.label)  # ç is one label, written as one character or as two
        checked.append(Segment(label, row.start, min(row.end, header.samples)))
    return tuple(checked)


def one_line_each(problems: Iterable[Problem], root: Path) -> list[Problem]:
    """The problems, with notices that say the same, of several files or one, combined into one with a count."""
    combined: list[Problem] = []
    alike: dict[str, list[Problem]] = {}
    for problem in problems:
        if problem.severity == "notice":
            alike.setdefault(problem.topic or problem.message, []).append(problem)
        else:
            combined.append(problem)
    for topic, group in alike.items():
        paths = list(dict.fromkeys(problem.path for problem in group))
        if len(paths) == 1 and group[0].topic and len(group) > 1:
            combined.append(Problem(paths[0], group[0].line, f"{topic} ({len(group):,} times)", "notice"))
        elif len(paths) == 1:
            combined += group
        else:
            names = [str(path.relative_to(root)) if path.is_relative_to(root) else str(path) for path in paths]
            combined.append(Problem(root, None, f"{topic} ({len(paths)} files: {abbreviated(names, 3)})", "notice"))
    return sorted_once(combined)


def sorted_once(problems: Iterable[Problem]) -> list[Problem]:
    """The problems without repetitions: first errors, then notices, by path and line."""
    ordered = sorted(problems, key=lambda p: (p.severity, str(p.path), p.line or 0, p.message))
    return [problem for problem, _ in groupby(ordered)]
