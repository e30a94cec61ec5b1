"""What every corpus reader does at the door: list files, read text, look at audio, check segments."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from lvm_probe import InputError
from lvm_probe.probing.corpora.audio import SUFFIXES, AudioHeader, check_mono, check_resampling, read_audio_header
from lvm_probe.probing.corpora.corpus import FileState, Problem, Segment, Utterance

END_TOLERANCE_MS = 10
"""How far an alignment may run past the audio: it is clipped, with a notice. Beyond, something is wrong.

The TIMIT sample needs none (its alignments end up to 175 ms before the audio does); aligners that count
in 10 ms frames round up by less than one.
"""

_LONGEST = 1 << 26  # bytes of an annotation: hours of speech have a hundredth of that

T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """What the user asked of a reader. `sample_rate` in Hz."""

    sample_rate: int = 16000
    resample: bool = True
    phoneme_tier: str | None = None
    word_tier: str | None = None


class InvalidFile(InputError):
    """This utterance is left out, for this reason; the corpus goes on without it."""

    def __init__(self, path: Path, line: int | None, message: str) -> None:
        self.problem = Problem(path, line, message, "error")
        super().__init__(str(self.problem))


@dataclass(frozen=True)
class Row:
    """One row of an annotation before it is checked; positions in samples, `line` from 1 if lines count."""

    line: int | None
    start: int
    end: int
    label: str


@dataclass(frozen=True)
class Tree:
    """The files under a corpus folder, sorted; hidden ones (`.DS_Store`, `._SA1.WAV`) are not its files.

    `found` has each as it was before any of them was read.
    """

    root: Path
    files: tuple[Path, ...]
    found: dict[Path, FileState] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, root: Path) -> "Tree":
        """List a folder. Raises InputError when it is missing, no folder, empty, or without audio."""
        root = root.expanduser()
        if not root.is_dir():
            found = "a file, not a folder" if root.exists() else "no such folder"
            raise InputError(f"{root}: {found}; give the folder that holds the corpus")
        files = tuple(sorted(_walk(root)))
        tree = cls(root, files, {path: FileState.now(path) for path in files})
        if not tree.audio:
            found = f"{len(tree.files)} files but no audio" if tree.files else "the folder is empty"
            raise InputError(f"{root}: {found}; give a folder that holds {', '.join(SUFFIXES)} files")
        return tree

    @cached_property
    def audio(self) -> tuple[Path, ...]:
        """The audio files, by their endings."""
        return self.ending(*SUFFIXES)

    def ending(self, *suffixes: str) -> tuple[Path, ...]:
        """The files whose last ending, in any case, is one of these."""
        return tuple(path for path in self.files if path.suffix.lower() in suffixes)

    def stamps(self, *paths: Path | None) -> tuple[FileState, ...]:
        """The files that an utterance is read from, as they were found."""
        return tuple(self.found.get(path) or FileState.now(path) for path in paths if path is not None)

    def find(self, name: str, *, above: int = 0) -> Path | None:
        """The file of this name (any case): nearest the root, else in so many parents or their DOC."""
        inside = [path for path in self.files if path.name.lower() == name]
        if inside:
            return min(inside, key=lambda path: (len(path.parts), path))
        for parent in list(self.root.absolute().parents)[:above]:
            for folder in (parent, *(entry for entry in _entries(parent) if entry.name.lower() == "doc")):
                for entry in _entries(folder):
                    if entry.name.lower() == name and entry.is_file():
                        return entry
        return None


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _walk(root: Path) -> Iterator[Path]:
    """Files below root, through links to folders, each folder once however the links turn."""
    seen = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder, name) for name in files if not name.startswith("."))


def stem(path: Path) -> str:
    """The name up to its first dot: `SA1` of `SA1.WAV`, and of `SA1.WAV.wav` as in some copies of TIMIT."""
    return path.name.split(".")[0]


def gather(
    items: Iterable[T], read_one: Callable[[T, list[Problem]], Utterance]
) -> tuple[list[Utterance], list[Problem]]:
    """Read each item; one that is refused becomes a problem, and so does one at odds with those before.

    That is one of an id already there, or one that describes a known speaker otherwise.
    """
    utterances: dict[str, Utterance] = {}
    speakers: dict[str, Utterance] = {}
    problems: list[Problem] = []
    for item in items:
        notices: list[Problem] = []
        try:
            utterance = read_one(item, notices)
            if other := utterances.get(utterance.id):
                message = f"utterance {utterance.id} is already there as {other.audio}; rename or remove one"
                raise InvalidFile(utterance.audio, None, message)
            other = speakers.setdefault(utterance.speaker.id, utterance)
            if other.speaker != utterance.speaker:
                message = f"speaks {utterance.speaker}, who is {other.speaker} in {other.audio}; mend one"
                raise InvalidFile(utterance.audio, None, message)
        except InvalidFile as refused:
            problems.append(refused.problem)
        else:
            utterances[utterance.id] = utterance
            problems.extend(notices)
    return list(utterances.values()), problems


def one_each(paths: Iterable[Path], key: Callable[[Path], T], problems: list[Problem]) -> dict[T, Path]:
    """One audio file for each key: WAV before FLAC before the rest, with a notice about those passed over."""

    def rank(path: Path) -> tuple[int, int, Path]:
        return SUFFIXES.index(path.suffix.lower()), len(path.name), path

    chosen: dict[T, Path] = {}
    for path in sorted(paths, key=rank):
        first = chosen.setdefault(key(path), path)
        if first is not path:
            message = f"the same recording as {first.name}, which is taken; remove one of them"
            problems.append(Problem(path, None, message, "notice"))
    return dict(sorted(chosen.items(), key=lambda item: item[1]))


def audio_header(path: Path, options: Options, notices: list[Problem]) -> AudioHeader:
    """The header of a file fit to use; InvalidFile otherwise. Another sample rate than asked for is a notice."""
    try:
        header = read_audio_header(path)
        check_mono(path, header.channels)
        if header.sample_rate != options.sample_rate:
            check_resampling(path, header.sample_rate, options.sample_rate)
    except UnicodeEncodeError as error:
        raise InvalidFile(path, None, "the file's name is not UTF-8; rename it") from error
    except InputError as error:
        raise InvalidFile(path, None, str(error).removeprefix(f"{path}: ")) from error
    except OSError as error:
        raise InvalidFile(path, None, f"cannot be read ({error.strerror}); check its permissions") from error
    if header.sample_rate != options.sample_rate:
        rates = f"from {header.sample_rate} to {options.sample_rate} Hz"
        if not options.resample:
            raise InvalidFile(path, None, f"would have to be resampled {rates}; allow resampling or convert the file")
        notices.append(Problem(path, None, f"resampled {rates}", "notice"))
    return header


def read_lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a text file that are not blank, with their numbers from 1. InvalidFile unless plain UTF-8."""
    return [(n, line) for n, line in enumerate(decode(path).split("\n"), start=1) if line.strip()]


def check_length(path: Path) -> None:
    """InvalidFile when an annotation is far too long to be one; reading it might take all memory."""
    if (size := FileState.now(path).size) > _LONGEST:
        raise InvalidFile(path, None, f"{size:,} bytes are too many for an annotation; restore the file")


def decode(path: Path) -> str:
    """The text of a UTF-8 file, line ends as `\\n`. InvalidFile, with the line, on NUL bytes or other codings."""
    check_length(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InvalidFile(path, None, f"cannot be read ({error.strerror}); check its permissions") from error
    if (nul := raw.find(b"\0")) >= 0:
        raise InvalidFile(
            path, raw.count(b"\n", 0, nul) + 1, "holds NUL bytes; restore the file or save it as UTF-8 text"
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InvalidFile(path, line, "is not UTF-8 text; save the file as UTF-8") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def segments(
    rows: Iterable[Row], path: Path, header: AudioHeader, notices: list[Problem], *, may_overlap: bool = False
) -> tuple[Segment, ...]:
    """Rows as segments, or InvalidFile at the first that is empty, out of order, overlapping, or past the audio.

    The last rows may run past the end by END_TOLERANCE_MS; they are clipped, with one notice.
    """
    checked: list[Segment] = []
    tolerance = header.sample_rate * END_TOLERANCE_MS // 1000
    for row in rows:
        where = f"{row.label!r} at samples {row.start} to {row.end}"
        if not 0 <= row.start < row.end:
            raise InvalidFile(path, row.line, f"{where} holds no samples; mend the annotation")
        if checked and row.start < checked[-1].start:
            raise InvalidFile(path, row.line, f"{where} starts before the segment above it; sort the annotation")
        if checked and not may_overlap and row.start < checked[-1].end:
            message = f"{where} overlaps the segment above it, which ends at {checked[-1].end}; mend the annotation"
            raise InvalidFile(path, row.line, message)
        end, excess = row.end, row.end - header.samples
        if excess > tolerance or row.start >= header.samples:
            raise InvalidFile(
                path,
                row.line,
                f"{where} runs {excess} samples past the end of the audio ({header.samples} samples); "
                "the audio is cut short or belongs to another annotation",
            )
        if excess > 0:
            end = header.samples
            notices.append(Problem(path, row.line, f"{where} clipped to the audio's end at {end}", "notice"))
        checked.append(Segment(row.label, row.start, end))
    return tuple(checked)


def once(problems: Iterable[Problem]) -> list[Problem]:
    """The problems without repetition, errors and notices each in the order of path and line."""
    ordered = sorted(problems, key=lambda p: (p.severity, str(p.path), p.line or 0, p.message))
    return [problem for problem, _ in groupby(ordered)]
