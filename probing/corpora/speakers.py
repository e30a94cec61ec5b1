"""Who speaks in a file: the usual rule for folders of recordings, and the user's (`--speaker-from`)."""

import csv
import io
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from lvm_probe import InputError
from lvm_probe.probing.corpora.corpus import FileState, Problem, abbreviated
from lvm_probe.probing.corpora.intake import InvalidFile, name_key, read_text

GENERIC_FOLDERS = frozenset(
    {"wav", "wavs", "audio", "sound", "sounds", "flac", "mp3", "ogg", "recordings", "corpus", "data"}
    | {"textgrid", "textgrids", "grids", "annotation", "annotations", "alignment", "alignments", "aligned"}
    | {"lab", "labels", "train", "dev", "valid", "validation", "test"}
)
"""Names of folders that name no speaker."""

_ARCTIC_VOICE = re.compile(r"cmu_[a-z]+_[a-z]+_arctic", re.IGNORECASE)
_LEVEL = re.compile(r"-?[1-9][0-9]?")

_SpeakerOf = Callable[[Path], str]


@dataclass(frozen=True)
class SpeakerRule:
    """Who speaks in a file.

    Attributes:
        name: the speaker of an audio file, as the rule gives it.
        files: the state of the table that it reads, from before it was read.
    """

    name: _SpeakerOf
    files: tuple[FileState, ...] = ()

    def speaker(self, path: Path) -> str:
        """The speaker of an audio file; raises InvalidFile if the rule does not give one."""
        return unicodedata.normalize("NFC", self.name(path))


def speaker_rule(root: Path, rule: str | None) -> SpeakerRule:
    """Read a rule that names speakers.

    Args:
        root: the corpus's folder.
        rule: None for the usual rule (see `folders.py`); or a folder level, 1 for the folders in the root and -1 for
            the folder of the file; or a table `*.csv` with the columns file (path below the root, or name without
            suffix) and speaker; or a regular expression, searched in the path below the root, whose first group is
            the speaker.

    Raises:
        InputError: the rule is none of these, or the table is unusable.
    """
    if rule is None:
        return SpeakerRule(lambda path: usual_speaker(path, root))
    if _LEVEL.fullmatch(rule):
        return SpeakerRule(_by_level(root, int(rule)))
    if not rule.lower().endswith(".csv"):
        return SpeakerRule(_by_pattern(root, rule))
    table = Path(rule).expanduser()
    if not table.is_file() and (root / table).is_file():
        table = root / table
    state = FileState.now(table)
    return SpeakerRule(_by_table(root, table), (state,))


def usual_speaker(path: Path, root: Path) -> str:
    """The voice of CMU ARCTIC, else the nearest folder with a name of its own, else the beginning of the file name."""
    return _speaker_folder(path, root) or path.stem.replace("-", "_").split("_")[0] or path.stem


def _speaker_folder(path: Path, root: Path) -> str | None:
    for part in reversed(path.absolute().parts[:-1]):
        if _ARCTIC_VOICE.fullmatch(part):
            return part
    for part in reversed(path.relative_to(root).parts[:-1]):
        if name_key(part) not in GENERIC_FOLDERS:
            return part
    return None


def notice_shared_folder_names(paths: Iterable[Path], root: Path, problems: list[Problem]) -> None:
    """Append a notice if folders that name speakers occur below different folders, as sessions of several people do."""
    places: dict[str, dict[tuple[str, ...], Path]] = {}
    for path in paths:
        folder = next((f for f in path.parents if f != root and name_key(f.name) not in GENERIC_FOLDERS), None)
        if folder is None or root not in folder.parents or _ARCTIC_VOICE.fullmatch(folder.name):
            continue
        above = folder.relative_to(root).parts[:-1]
        named = tuple(part for part in map(name_key, above) if part not in GENERIC_FOLDERS)
        places.setdefault(unicodedata.normalize("NFC", folder.name), {}).setdefault(named, folder.relative_to(root))
    shared = {speaker: list(folders.values()) for speaker, folders in places.items() if len(folders) > 1}
    if not shared:
        return
    first = next(iter(shared.values()))
    level = max(len(first[0].parts) - 1, 1)
    message = (
        f"speaker {abbreviated(sorted(shared), 3)}: folders of one name below different folders "
        f"({abbreviated([str(folder) for folder in first], 3)}) are taken for one person; if the folders above them "
        f"are the speakers, give --speaker-from {level}"
    )
    problems.append(Problem(root, None, message, "notice"))


def notice_speakers_of_file_names(paths: Iterable[Path], root: Path, problems: list[Problem]) -> None:
    """Append a notice if the beginnings of file names, taken for speakers, are all different or all the same."""
    named = [path for path in paths if _speaker_folder(path, root) is None]
    speakers = sorted({usual_speaker(path, root) for path in named})
    if len(named) < 2 or 1 < len(speakers) < len(named):
        return
    told = abbreviated(speakers, 3)
    if len(speakers) == 1:
        message = f"all files whose names begin with {told} are taken for one person; if they are several, "
    else:
        message = (
            f"the beginnings of file names are taken for speakers, each of one recording: {told}; if that is wrong, "
        )
    problems.append(Problem(root, None, f"{message}give --speaker-from with a pattern or a table", "notice"))


def _by_level(root: Path, level: int) -> _SpeakerOf:
    def speaker(path: Path) -> str:
        folders = path.relative_to(root).parts[:-1]
        if abs(level) > len(folders):
            message = f"lies in {len(folders)} folders, so that level {level} of --speaker-from names no speaker"
            raise InvalidFile(path, None, f"{message}; choose another level, a pattern or a table")
        return folders[level - 1 if level > 0 else level]

    return speaker


def _by_table(root: Path, table: Path) -> _SpeakerOf:
    if not table.is_file():
        raise InputError(f"{table}: no such table of speakers; give a .csv file with the columns file and speaker")
    speakers: dict[str, str] = {}
    try:
        reader = table_reader(table)
        if not {"file", "speaker"} <= {*(reader.fieldnames or ())}:
            raise InvalidFile(table, 1, "the first line lacks the columns file and speaker; add them")
        for row in reader:
            file, speaker = ((row[column] or "").strip() for column in ("file", "speaker"))
            if not file or not speaker:
                raise InvalidFile(table, reader.line_num, "a cell of file or speaker is empty; fill it")
            if speakers.setdefault(name_key(file), speaker) != speaker:
                raise InvalidFile(table, reader.line_num, f"{file} has two speakers; remove one of the rows")
    except csv.Error as error:
        raise InvalidFile(table, None, f"not a CSV file ({error}); fix it") from error

    def speaker_of(path: Path) -> str:
        for name in (path.relative_to(root).as_posix(), path.relative_to(root).with_suffix("").as_posix(), path.stem):
            if name_key(name) in speakers:
                return speakers[name_key(name)]
        raise InvalidFile(path, None, f"is not in {table}, which names the speakers; add a row for it")

    return speaker_of


def table_reader(path: Path) -> "csv.DictReader[str]":
    """The rows of a table whose cells are separated by commas, or by semicolons, as Excel writes in many countries.

    Raises:
        InvalidFile: as `read_text`.
    """
    text = read_text(path)
    first = text.partition("\n")[0]
    return csv.DictReader(
        io.StringIO(text), skipinitialspace=True, delimiter=";" if ";" in first and "," not in first else ","
    )


def _by_pattern(root: Path, rule: str) -> _SpeakerOf:
    try:
        pattern = re.compile(rule)
    except re.error as error:
        raise InputError(f"--speaker-from {rule!r}: not a regular expression ({error}); fix it") from None
    if not pattern.groups:
        message = "give a folder level such as 1, a table such as speakers-of-files.csv, or a pattern with a group"
        raise InputError(f"--speaker-from {rule!r}: {message} such as '([a-z]+)_'")

    def speaker(path: Path) -> str:
        match = pattern.search(unicodedata.normalize("NFC", path.relative_to(root).as_posix()))
        if not match or not match[1]:
            raise InvalidFile(path, None, f"--speaker-from {rule!r} finds no speaker in its path; change the pattern")
        return match[1]

    return speaker
