"""Folders of recordings with one annotation file each: which files belong together, and who speaks.

Layouts:

    anna/s1.wav          anna/s1.lab          the annotation beside the audio
    wav/anna/s1.wav      lab/anna/s1.lab      in a parallel tree
    anna/wav/s1.wav      anna/lab/s1.lab      in a parallel folder of each speaker

The speaker is the nearest folder with a name of its own (not `wav`, `lab`, `train` or the like), or in a flat folder
the part of the file name before the first `_` or `-`. A folder named like a voice of CMU ARCTIC (`cmu_us_slt_arctic`)
is the speaker in any case, also if it is the root or above it. The option `speaker_from` names speakers by another rule
(`speakers.py`). An utterance's id is its speaker and file name, and where several files share these, also the folders
between. The file `speakers.csv` in the root, with the columns
speaker, gender (F or M), height_cm, dialect and age (in years), describes the speakers; its cells may be empty, and
semicolons may stand for the commas.
"""

import csv
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from lvm_probe import InputError
from lvm_probe.probing.corpora.audio import AudioHeader
from lvm_probe.probing.corpora.corpus import Gender, Problem, Segment, Speaker, Utterance, abbreviated
from lvm_probe.probing.corpora.intake import (
    InvalidFile,
    Options,
    Tree,
    audio_header,
    name_key,
    one_audio_file_per,
    read_utterances,
    sorted_once,
)
from lvm_probe.probing.corpora.speakers import (
    GENERIC_FOLDERS,
    SpeakerRule,
    notice_shared_folder_names,
    notice_speakers_of_file_names,
    speaker_rule,
    table_reader,
    usual_speaker,
)

SPLITS = {"train": "train", "dev": "dev", "valid": "valid", "validation": "valid", "test": "test"}
SPEAKER_COLUMNS = ("speaker", "gender", "height_cm", "dialect", "age")


class Annotation(NamedTuple):
    """What an annotation file says, labels that are no speech, and other files that were used with it."""

    phonemes: tuple[Segment, ...]
    words: tuple[Segment, ...] = ()
    text: str | None = None
    non_speech: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()


ReadAnnotation = Callable[[Path, Path, AudioHeader, list[Problem]], Annotation]
"""Reads an annotation file; its other arguments are the audio file, the audio's header and a list to append notices to.
Raises InvalidFile if the annotation is unusable."""

Annotate = Callable[[Path, str, AudioHeader, list[Problem]], Annotation]
"""The annotation of an audio file, given its utterance's id, its header and a list to append notices to. Raises
InvalidFile if it is unusable."""


def read_folders(
    tree: Tree, options: Options, suffix: str, read_annotation: ReadAnnotation
) -> tuple[list[Utterance], list[Problem]]:
    """Read every recording that has an annotation.

    Args:
        tree: the corpus's folder.
        options: the user's options.
        suffix: of the annotations, such as ".TextGrid"; files with it in any case are read.
        read_annotation: reads one of them.

    Returns:
        Every usable utterance, and everything that is wrong with the files.
    """
    problems: list[Problem] = []
    audio = one_audio_file_per(lambda path: (str(path.parent), name_key(path.stem)), tree.audio, problems)
    annotations = tree.by_suffix(suffix.lower())
    annotation_of = _pair(tree.root, audio.values(), annotations)
    namesakes: dict[str, list[Path]] = {}
    for path in audio.values():
        namesakes.setdefault(name_key(path.stem), []).append(path)
    possible: dict[Path, list[str]] = {}
    for path in sorted({*annotations} - {*annotation_of.values()}):
        match namesakes.get(name_key(path.stem), []):
            case [owner] if owner not in annotation_of:
                possible.setdefault(owner, []).append(str(path))
            case [owner] if _parallel(owner, tree.root) == _parallel(path, tree.root):
                message = f"ignored: {owner} is read with {annotation_of[owner]}; remove one of the two annotations"
                problems.append(Problem(path, None, message, "notice"))
            case owners:
                others = (
                    f" ({abbreviated([str(owner) for owner in owners], 3)} has another annotation)" if owners else ""
                )
                message = f"no audio of this name beside it or in a parallel folder{others}; "
                problems.append(Problem(path, None, f"{message}restore it or remove the annotation", "error"))

    def annotate(path: Path, id: str, header: AudioHeader, notices: list[Problem]) -> Annotation:
        annotation_file = annotation_of.get(path)
        if annotation_file is None and path in possible:
            names = abbreviated(possible[path], 3)
            if len(possible[path]) == 1:
                message = (
                    f"its annotation may be {names}, in another folder; move that beside it, or remove one of them"
                )
            else:
                message = f"several annotations could belong to it ({names}); keep one of them"
            raise InvalidFile(path, None, message)
        if annotation_file is None:
            raise InvalidFile(path, None, f"no {suffix} file of this name; align the recording or remove it")
        annotation = read_annotation(annotation_file, path, header, notices)
        return annotation._replace(files=(annotation_file, *annotation.files))

    utterances, more = read_recordings(tree, options, audio.values(), annotate)
    return utterances, sorted_once(problems + more)


def read_recordings(
    tree: Tree, options: Options, audio: Iterable[Path], annotate: Annotate
) -> tuple[list[Utterance], list[Problem]]:
    """Read recordings of which folders, file names and `speakers.csv` say who speaks.

    Args:
        tree: the corpus's folder.
        options: the user's options.
        audio: the audio files.
        annotate: gives the annotation of each.

    Returns:
        Every usable utterance, and everything that is wrong with the files.
    """
    problems: list[Problem] = []
    audio = list(audio)
    described = _read_speakers(tree, problems)
    described_in = () if described is None else (tree.root / "speakers.csv",)
    rule = speaker_rule(tree.root, options.speaker_from)
    if options.speaker_from is None:
        notice_shared_folder_names(audio, tree.root, problems)
        notice_speakers_of_file_names(audio, tree.root, problems)
    ids = _ids(audio, rule, tree.root)

    def read_one(path: Path, notices: list[Problem]) -> Utterance:
        speaker = rule.speaker(path)
        if described and speaker not in described:
            message = f"speaker {speaker} is not listed: gender and height unknown"
            notices.append(Problem(tree.root / "speakers.csv", None, message, "notice"))
        header = audio_header(path, options, notices)
        annotation = annotate(path, ids[path], header, notices)
        return Utterance(
            id=ids[path],
            speaker=(described or {}).get(speaker) or Speaker(speaker),
            audio=path,
            samples=header.samples,
            sample_rate=header.sample_rate,
            split=next((SPLITS[part] for part in _folders(path, tree.root) if part in SPLITS), None),
            phonemes=annotation.phonemes,
            words=annotation.words,
            text=annotation.text,
            non_speech=annotation.non_speech,
            files=(*tree.states(path, *annotation.files, *described_in), *rule.files),
        )

    utterances, more = read_utterances(audio, read_one)
    return utterances, sorted_once(problems + more)


def _ids(paths: Iterable[Path], rule: SpeakerRule, root: Path) -> dict[Path, str]:
    """Utterance ids; those that several files would share are told apart by the folders that are no speaker."""
    files: dict[str, list[tuple[Path, str]]] = {}
    for path in paths:
        try:
            speaker = rule.speaker(path)
        except InvalidFile:
            continue
        stem = unicodedata.normalize("NFC", path.stem)
        files.setdefault(stem if _begins_with(stem, speaker) else f"{speaker}_{stem}", []).append((path, speaker))
    ids: dict[Path, str] = {}
    for id, group in files.items():
        for path, speaker in group:
            parts = [unicodedata.normalize("NFC", part) for part in path.relative_to(root).parts[:-1]]
            between = [part for part in parts if part != speaker and name_key(part) not in GENERIC_FOLDERS]
            ids[path] = "_".join([*between, id]) if len(group) > 1 else id
    return ids


def _folders(path: Path, root: Path) -> tuple[str, ...]:
    """The folders between the root and a file, in lower case, the nearest first."""
    return tuple(name_key(part) for part in reversed(path.relative_to(root).parts[:-1]))


def _pair(root: Path, audio: Iterable[Path], annotations: Iterable[Path]) -> dict[Path, Path]:
    """The annotation of each audio file: of the same name beside it, else in a parallel folder, else in a tree that
    lacks some of its folders or has some more, or anywhere if the name begins with the speaker's: `wav/anna/s1.wav`
    goes with `lab/s1.lab`, not with `lab/berta/s1.lab`.
    """

    def beside(path: Path) -> tuple[str, ...]:
        return (str(path.parent), name_key(path.stem))

    def anywhere(path: Path) -> tuple[str, ...]:
        return (name_key(path.stem),)

    pairs: dict[Path, Path] = {}
    for key in (beside, lambda path: _parallel(path, root), anywhere):
        taken = set(pairs.values())
        free = _unique((path for path in annotations if path not in taken), key)
        unpaired = _unique((path for path in audio if path not in pairs), key)
        same = ((unpaired[name], free[name]) for name in unpaired.keys() & free.keys())
        pairs |= {path: annotation for path, annotation in same if _agree(path, annotation, root)}
    return pairs


def _agree(path: Path, annotation: Path, root: Path) -> bool:
    """Whether the folders of one are among the folders of the other, or its name says who speaks."""
    one, other = ({*_parallel(file, root)[:-1]} for file in (path, annotation))
    return one <= other or other <= one or _begins_with(path.stem, usual_speaker(path, root))


def _begins_with(stem: str, speaker: str) -> bool:
    """Whether a file's name begins with the speaker's."""
    return stem == speaker or stem.startswith((f"{speaker}_", f"{speaker}-"))


def _parallel(path: Path, root: Path) -> tuple[str, ...]:
    """What the paths of an audio file and an annotation in parallel folders have in common."""
    return (*(part for part in _folders(path, root) if part not in GENERIC_FOLDERS), name_key(path.stem))


def _unique(paths: Iterable[Path], key: Callable[[Path], tuple[str, ...]]) -> dict[tuple[str, ...], Path]:
    """Paths by key, without the keys that several share."""
    groups: dict[tuple[str, ...], list[Path]] = {}
    for path in paths:
        groups.setdefault(key(path), []).append(path)
    return {name: group[0] for name, group in groups.items() if len(group) == 1}


def _read_speakers(tree: Tree, problems: list[Problem]) -> dict[str, Speaker] | None:
    """`speakers.csv` by speaker id; `None`, with a notice, if there is none. Malformed rows are notices."""
    path = tree.root / "speakers.csv"

    def note(line: int | None, message: str) -> None:
        problems.append(Problem(path, line, message, "notice"))

    if path not in tree.files:
        note(None, f"no such file: genders and heights unknown; write it with the columns {','.join(SPEAKER_COLUMNS)}")
        return None
    described: dict[str, Speaker] = {}
    malformed: set[str] = set()
    try:
        reader = table_reader(path)
        if "speaker" not in (reader.fieldnames or ()):
            columns = ",".join(SPEAKER_COLUMNS)
            note(1, f"no column `speaker` in the first line; the columns are {columns}; no row is read")
            return {}
        for row in reader:
            cells = {name: (row.get(name) or "").strip() for name in SPEAKER_COLUMNS}
            try:
                speaker = _parse_speaker(cells)
            except InputError as error:
                note(reader.line_num, f"{error}; nothing is known about this speaker until this is fixed")
                malformed.add(_name(cells))
                continue
            if speaker.id in described:
                note(reader.line_num, f"speaker {speaker.id} is listed twice; the first row counts")
            described.setdefault(speaker.id, speaker)
    except InvalidFile as error:
        note(error.problem.line, f"{error.problem.message}; genders and heights are unknown until this is fixed")
    except csv.Error as error:
        note(None, f"not a CSV file ({error}); genders and heights are unknown until this is fixed")
    return {name: Speaker(name) for name in malformed if name} | described


def _parse_speaker(cells: dict[str, str]) -> Speaker:
    genders: dict[str, Gender | None] = {"F": "F", "M": "M", "": None}
    if (gender := cells["gender"].upper()) not in genders:
        raise InputError(f"gender {gender[:20]!r} is not F, M or empty")
    height, age = (_number(name, cells[name]) for name in ("height_cm", "age"))
    return Speaker(_name(cells), genders[gender], height, cells["dialect"] or None, age)


def _name(cells: dict[str, str]) -> str:
    return unicodedata.normalize("NFC", cells["speaker"])


def _number(name: str, cell: str) -> float | None:
    try:
        return float(cell) if cell else None
    except ValueError:
        raise InputError(f"{name} {cell[:20]!r} is not a number") from None
