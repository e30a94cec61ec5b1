"""Any folder of recordings with Praat TextGrids, as aligners (MFA, WebMAUS) and phoneticians write them.

P. Boersma, D. Weenink, "Praat: doing phonetics by computer", https://www.praat.org; the files are read by
praatio (T. Mahrt, https://github.com/timmahrt/praatIO, MIT). The licence is that of the recordings.

Layouts: the TextGrid of `anna/s1.wav` is `anna/s1.TextGrid`, or stands in a parallel tree (`wav/anna/s1.wav`
and `TextGrid/anna/s1.TextGrid`; `anna/wav/s1.wav` and `anna/textgrid/s1.TextGrid`).

The speaker is the nearest folder with a name of its own (not `wav`, `audio`, `train` or the like), or in
a flat folder the part of the file name before the first `_` or `-`. A file `speakers.csv` at the root, with
the columns speaker, gender (F or M), height_cm and dialect, says more about them; cells may be empty.

Tiers are found by their usual names, also behind a speaker as MFA writes them (`anna - phones`), or named by
the user. Phones without a label or labelled as silence become `h#`; words without a label, or with one that
P2FA and FAVE give to pauses and noises (`sp`, `sil`, `{SL}`, `{NS}`), are dropped. `spn`, MFA's phone for a word
missing from its dictionary, stays `spn`: it is speech, so no silence, but no phoneme either, and the phoneme
probes leave it out with the silences.
Times in seconds are rounded to the nearest sample of the audio file.
"""

import csv
import io
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from lvm_probe import InputError
from lvm_probe.probing.corpora.audio import AudioHeader
from lvm_probe.probing.corpora.corpus import Gender, Problem, Segment, Speaker, Utterance
from lvm_probe.probing.corpora.intake import (
    END_TOLERANCE_MS,
    InvalidFile,
    Options,
    Row,
    Tree,
    audio_header,
    check_length,
    decode,
    gather,
    once,
    one_each,
    segments,
)
from lvm_probe.probing.corpora.phones import UNKNOWN_WORD

PHONEME_TIERS = ("phones", "phone", "phonemes", "phoneme", "segments", "segment", "mau", "phn")
WORD_TIERS = ("words", "word", "ort-mau", "ort", "orthography", "wrd")
"""Usual tier names, the more usual first; case does not count."""

SILENCE = "h#"
SILENT_PHONES = frozenset({"", "sil", "sp", "<sil>", "<p:>", "<eps>", "#"})
SILENT_WORDS = frozenset({"", "sil", "sp", "<sil>", "<p:>", "<eps>"})

_PLAIN_FOLDERS = frozenset(
    {"wav", "wavs", "audio", "sound", "sounds", "flac", "mp3", "ogg", "recordings", "corpus", "data"}
    | {"textgrid", "textgrids", "grids", "annotation", "annotations", "alignment", "alignments", "aligned"}
    | {"labels", "train", "dev", "valid", "validation", "test"}
)
_SPLITS = {"train": "train", "dev": "dev", "valid": "valid", "validation": "valid", "test": "test"}
_ENDLESS = 1e12  # samples: no recording is that long, and larger positions are NaN, infinite or garbage
_COLUMNS = ("speaker", "gender", "height_cm", "dialect")


def looks_like(tree: Tree) -> bool:
    """Whether there is a TextGrid."""
    return bool(tree.ending(".textgrid"))


def read(tree: Tree, options: Options) -> tuple[list[Utterance], list[Problem]]:
    """Every utterance under the root that can be used, and the problems of the rest."""
    problems: list[Problem] = []
    described = _read_speakers(tree, problems)
    audio = one_each(tree.audio, lambda path: (str(path.parent), path.stem.casefold()), problems)
    grids = _pair(tree, tuple(audio.values()))
    used = set(grids.values())
    for path in tree.ending(".textgrid"):
        if path not in used:
            message = "no audio of this name beside it or in a parallel folder; restore it or remove the TextGrid"
            problems.append(Problem(path, None, message, "error"))

    def read_one(path: Path, notices: list[Problem]) -> Utterance:
        id = _speaker_id(path, tree.root)
        if described is not None and id not in described:
            message = f"speaker {id} is not listed: gender and height unknown"
            notices.append(Problem(tree.root / "speakers.csv", None, message, "notice"))
        if path not in grids:
            raise InvalidFile(path, None, "no TextGrid of this name; align the recording or remove it")
        header = audio_header(path, options, notices)
        phonemes, words = read_tiers(grids[path], header, options, notices)
        return Utterance(
            id=path.stem if path.stem == id or path.stem.startswith((f"{id}_", f"{id}-")) else f"{id}_{path.stem}",
            speaker=(described or {}).get(id) or Speaker(id),
            audio=path,
            samples=header.samples,
            sample_rate=header.sample_rate,
            split=next((_SPLITS[part] for part in _folders(path, tree.root) if part in _SPLITS), None),
            phonemes=phonemes,
            words=words,
            text=" ".join(word.label for word in words) or None,
            files=tree.stamps(path, grids[path], None if described is None else tree.root / "speakers.csv"),
        )

    utterances, found = gather(audio.values(), read_one)
    return utterances, once(problems + found)


def read_tiers(
    path: Path, header: AudioHeader, options: Options, notices: list[Problem]
) -> tuple[tuple[Segment, ...], tuple[Segment, ...]]:
    """Phonemes and words of one TextGrid, in samples. InvalidFile if it is no TextGrid or holds neither tier."""
    tiers = _open(path)
    phoneme_tier = _choose(path, tiers, PHONEME_TIERS, options.phoneme_tier, "phoneme_tier")
    word_tier = _choose(path, tiers, WORD_TIERS, options.word_tier, "word_tier")
    if phoneme_tier is None and word_tier is None:
        names = ", ".join(map(repr, tiers)) or "none"
        raise InvalidFile(
            path, None, f"no tier of phones or words (its interval tiers: {names}); name the tiers to use"
        )
    if phoneme_tier is None or word_tier is None:
        missing = "phones" if phoneme_tier is None else "words"
        notices.append(Problem(path, None, f"no tier of {missing}: they are unknown", "notice"))
    phonemes = [replace(row, label=_phone(row.label)) for row in _rows(path, tiers, phoneme_tier, header, notices)]
    words = [row for row in _rows(path, tiers, word_tier, header, notices) if _is_word(row.label)]
    return segments(phonemes, path, header, notices), segments(words, path, header, notices)


def _phone(label: str) -> str:
    plain = label.casefold()
    return SILENCE if plain in SILENT_PHONES else UNKNOWN_WORD if plain == UNKNOWN_WORD else label


def _is_word(label: str) -> bool:
    return label.casefold() not in SILENT_WORDS and not (label.startswith("{") and label.endswith("}"))


def _open(path: Path) -> dict[str, tuple[Any, ...]]:
    """praatio's intervals by the name of their tier, empty ones included; point tiers are not of interest."""
    from praatio import textgrid as praat

    check_length(path)
    try:
        grid = praat.openTextgrid(
            str(path), includeEmptyIntervals=True, reportingMode="silence", duplicateNamesMode="rename"
        )
        return {
            name: tuple(grid.getTier(name).entries)
            for name in grid.tierNames
            if isinstance(grid.getTier(name), praat.IntervalTier)
        }
    except Exception as error:  # praatio lets any error of its parsing through
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise InvalidFile(
            path, None, f"no usable TextGrid ({reason}); mend it, or save it again from Praat as text"
        ) from error


def _rows(
    path: Path,
    tiers: dict[str, tuple[Any, ...]],
    name: str | None,
    header: AudioHeader,
    notices: list[Problem],
) -> list[Row]:
    """The intervals of a tier in samples, with a notice when they stop before the audio does.

    Praat's tiers always reach the end, so a tier that does not may come from a file that was cut short,
    which praatio reads as far as it goes.
    """
    rows = []
    for interval in tiers[name] if name is not None else ():
        start, end = float(interval.start) * header.sample_rate, float(interval.end) * header.sample_rate
        if not (abs(start) < _ENDLESS and abs(end) < _ENDLESS) or "\0" in interval.label:
            message = f"interval {interval.label[:20]!r} has impossible times or NUL bytes; mend the TextGrid"
            raise InvalidFile(path, None, message)
        label = " ".join(interval.label.split())
        rows.append(Row(None, math.floor(start + 0.5), math.floor(end + 0.5), label))
    missing = (header.samples - (rows[-1].end if rows else 0)) * 1000 // header.sample_rate
    if name is not None and missing > END_TOLERANCE_MS:
        message = f"tier {name!r} stops {missing} ms before the audio; look whether the file is cut short"
        notices.append(Problem(path, None, message, "notice"))
    return rows


def _choose(
    path: Path, tiers: dict[str, tuple[Any, ...]], usual: tuple[str, ...], asked: str | None, option: str
) -> str | None:
    """The tier asked for, or the one of the most usual name; `None` if there is none."""
    if asked is not None:
        if asked not in tiers:
            names = ", ".join(map(repr, tiers)) or "none"
            raise InvalidFile(path, None, f"no interval tier {asked!r} (there are: {names}); change {option}")
        return asked
    for name in usual:
        found = [tier for tier in tiers if tier.split(" - ")[-1].strip().casefold() == name]
        if len(found) > 1:
            names = ", ".join(map(repr, found))
            raise InvalidFile(path, None, f"several tiers could be meant ({names}); choose one by {option}")
        if found:
            return found[0]
    return None


def _folders(path: Path, root: Path) -> tuple[str, ...]:
    """The folders between the root and a file, lower case, the nearest first."""
    return tuple(part.casefold() for part in reversed(path.relative_to(root).parts[:-1]))


def _speaker_id(path: Path, root: Path) -> str:
    for part in reversed(path.relative_to(root).parts[:-1]):
        if part.casefold() not in _PLAIN_FOLDERS:
            return part
    return path.stem.replace("-", "_").split("_")[0] or path.stem


def _pair(tree: Tree, audio: tuple[Path, ...]) -> dict[Path, Path]:
    """Audio and TextGrid of the same stem: side by side, else in parallel folders, else if it is unique."""

    def beside(path: Path) -> tuple[str, ...]:
        return (str(path.parent), path.stem.casefold())

    def parallel(path: Path) -> tuple[str, ...]:
        return (
            *(part for part in _folders(path, tree.root) if part not in _PLAIN_FOLDERS),
            path.stem.casefold(),
        )

    def alone(path: Path) -> tuple[str, ...]:
        return (path.stem.casefold(),)

    pairs: dict[Path, Path] = {}
    grids = tree.ending(".textgrid")
    for key in (beside, parallel, alone):
        taken = set(pairs.values())
        free = _unique((grid for grid in grids if grid not in taken), key)
        waiting = _unique((path for path in audio if path not in pairs), key)
        pairs |= {waiting[name]: free[name] for name in waiting.keys() & free.keys()}
    return pairs


def _unique(paths: Iterable[Path], key: Callable[[Path], tuple[str, ...]]) -> dict[tuple[str, ...], Path]:
    """Paths by key, without the keys that several share."""
    groups: dict[tuple[str, ...], list[Path]] = {}
    for path in paths:
        groups.setdefault(key(path), []).append(path)
    return {name: group[0] for name, group in groups.items() if len(group) == 1}


def _read_speakers(tree: Tree, problems: list[Problem]) -> dict[str, Speaker] | None:
    """`speakers.csv` by speaker; `None`, with a notice, when it is not there. Unfit rows are notices."""
    path = tree.root / "speakers.csv"

    def note(line: int | None, message: str) -> None:
        problems.append(Problem(path, line, message, "notice"))

    if path not in tree.files:
        note(None, f"not there: genders and heights unknown; write one with the columns {','.join(_COLUMNS)}")
        return None
    described: dict[str, Speaker] = {}
    try:
        reader = csv.DictReader(io.StringIO(decode(path)), skipinitialspace=True)
        if "speaker" not in (reader.fieldnames or ()):
            note(1, f"no column `speaker` in the first line; the columns are {','.join(_COLUMNS)}")
            return {}
        for row in reader:
            cells = {name: (row.get(name) or "").strip() for name in _COLUMNS}
            try:
                speaker = _describe(cells)
            except (InputError, ValueError) as error:
                note(reader.line_num, f"{error}; this speaker's data are unknown until it is mended")
                continue
            if speaker.id in described:
                note(reader.line_num, f"speaker {speaker.id} is listed twice; the first row counts")
            described.setdefault(speaker.id, speaker)
    except InvalidFile as refused:
        note(refused.problem.line, f"{refused.problem.message}; until then genders and heights are unknown")
    except csv.Error as error:
        note(None, f"not a CSV file ({error}); until it is mended genders and heights are unknown")
    return described


def _describe(cells: dict[str, str]) -> Speaker:
    genders: dict[str, Gender | None] = {"F": "F", "M": "M", "": None}
    if (gender := cells["gender"].upper()) not in genders:
        raise ValueError(f"gender {gender[:20]!r} is none of F, M or empty")
    try:
        height = float(cells["height_cm"]) if cells["height_cm"] else None
    except ValueError:
        raise ValueError(f"height_cm {cells['height_cm'][:20]!r} is no number") from None
    return Speaker(cells["speaker"], genders[gender], height, cells["dialect"] or None)
