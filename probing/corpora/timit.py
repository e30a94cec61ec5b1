"""TIMIT: read American English, 630 speakers with 10 sentences each, hand-checked phones and words.

J. S. Garofolo, L. F. Lamel, W. M. Fisher, J. G. Fiscus, D. S. Pallett, N. L. Dahlgren, V. Zue, "TIMIT
Acoustic-Phonetic Continuous Speech Corpus", LDC93S1, Linguistic Data Consortium, 1993.
https://catalog.ldc.upenn.edu/LDC93S1

Licence: LDC user agreement; the sample that NLTK distributes (`nltk.download("timit")`) is CC BY-NC-SA.

Layouts, in any mixture of upper and lower case, with .WAV (SPHERE or RIFF) or .FLAC:

    TRAIN/DR1/FVMH0/SX116.WAV  .PHN .WRD .TXT   DOC/SPKRINFO.TXT     as the LDC ships it
    dr1-fvmh0/sx116.wav        .phn .wrd .txt   spkrinfo.txt         as NLTK ships it

A folder is named by sex and speaker: FVMH0 is VMH0 in SPKRINFO. Ids are the same in both layouts
(`FVMH0_SX116`). An utterance needs its .PHN; a missing .WRD is a notice, a missing .TXT nothing. Words
may overlap (a vowel that ends one and starts the next belongs to both, by up to 150 ms in the sample);
phones may not. Of the times in .TXT nothing is used: they exceed the audio by a sample in places.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lvm_probe.probing.corpora.corpus import Gender, Problem, Segment, Speaker, Utterance
from lvm_probe.probing.corpora.intake import (
    InvalidFile,
    Options,
    Row,
    Tree,
    audio_header,
    gather,
    once,
    one_each,
    read_lines,
    segments,
    stem,
)
from lvm_probe.probing.corpora.phones import TIMIT61

CM_PER_INCH = 2.54

_FOLDER = re.compile(r"(?:dr([1-8])-)?(([fm])[a-z]{3}[0-9])", re.IGNORECASE)
_DIALECT = re.compile(r"dr[1-8]", re.IGNORECASE)
_SENTENCE = re.compile(r"s[aix][0-9]+", re.IGNORECASE)
_ROW = re.compile(r"([0-9]{1,12})\s+([0-9]{1,12})\s+(\S.*)", re.DOTALL)
_HEIGHT = re.compile(r"""([0-9])'([0-9]{1,2}(?:\.[0-9]+)?)?"?""")
_USES = {"TRN": "train", "TST": "test"}


@dataclass(frozen=True)
class _Listed:
    """A row of SPKRINFO."""

    dialect: str | None
    split: str | None
    height_cm: float | None


def looks_like(tree: Tree) -> bool:
    """Whether there is a .PHN file, or audio named like a sentence in a folder named like a speaker.

    TIMIT aligned anew has TextGrids in place of the .PHN, and is read as such a folder.
    """
    if tree.ending(".phn", ".textgrid"):
        return bool(tree.ending(".phn"))
    return any(_speaker_folder(path) and _SENTENCE.fullmatch(stem(path)) for path in tree.audio)


def read(tree: Tree, options: Options) -> tuple[list[Utterance], list[Problem]]:
    """Every utterance under the root that can be used, and the problems of the rest."""
    problems: list[Problem] = []
    speakers_file = tree.find("spkrinfo.txt", above=3)
    listed: Mapping[str, _Listed] = {}
    if speakers_file is None:
        message = "no SPKRINFO.TXT here or above: heights unknown, gender from the folders' first letter"
        problems.append(Problem(tree.root, None, message, "notice"))
    else:
        listed = _read_speakers(speakers_file, problems)

    annotations = {(*_key(path), path.suffix.lower()): path for path in tree.ending(".phn", ".wrd", ".txt")}
    audio = one_each(tree.ending(".wav", ".flac"), _key, problems)
    for *key, suffix in sorted(annotations):
        if suffix == ".phn" and tuple(key) not in audio:
            message = "no .wav or .flac of this name beside it; restore the audio or remove the annotation"
            problems.append(Problem(annotations[(key[0], key[1], suffix)], None, message, "error"))

    def read_one(path: Path, notices: list[Problem]) -> Utterance:
        folder = _speaker_folder(path)
        if not folder:
            raise InvalidFile(path, None, "not in the folder of a TIMIT speaker, such as DR1/FVMH0; move or remove it")
        dialect, id, sex = folder.group(1), folder.group(2).upper(), folder.group(3).upper()
        row = listed.get(id)
        if row is None:
            if speakers_file is not None:
                message = f"speaker {id} is not listed: height unknown, gender {sex} from the folder's name"
                notices.append(Problem(speakers_file, None, message, "notice"))
            row = _Listed(None, None, None)
        above = [part.lower() for part in path.absolute().parts[:-2]]
        if dialect is not None:
            dialect = f"DR{dialect}"
        elif above and _DIALECT.fullmatch(above[-1]):
            dialect = above[-1].upper()
        gender: Gender = "F" if sex == "F" else "M"
        speaker = Speaker(id, gender, row.height_cm, dialect or row.dialect)
        usage = next((part for part in reversed(above[-2:]) if not _DIALECT.fullmatch(part)), "")
        split = usage if usage in ("train", "test") else row.split

        header = audio_header(path, options, notices)
        phones_file, words_file, text_file = (
            annotations.get((*_key(path), suffix)) for suffix in (".phn", ".wrd", ".txt")
        )
        if phones_file is None:
            raise InvalidFile(path, None, "no .PHN of this name beside it; restore the annotation or remove the audio")
        phonemes = segments(_phone_rows(phones_file), phones_file, header, notices)
        if not phonemes:
            raise InvalidFile(phones_file, None, "holds no phones; restore the annotation")
        if words_file is None:
            notices.append(Problem(path, None, "no .WRD of this name beside it: its words are unknown", "notice"))
            words: tuple[Segment, ...] = ()
        else:
            words = segments(_rows(words_file), words_file, header, notices, may_overlap=True)
        return Utterance(
            id=f"{id}_{stem(path).upper()}",
            speaker=speaker,
            audio=path,
            samples=header.samples,
            sample_rate=header.sample_rate,
            split=split,
            phonemes=phonemes,
            words=words,
            text=_read_text(text_file, notices) if text_file else None,
            files=tree.stamps(path, phones_file, words_file, text_file, speakers_file),
        )

    utterances, found = gather(audio.values(), read_one)
    return utterances, once(problems + found)


def _key(path: Path) -> tuple[str, str]:
    """Folder and stem: what the files of one utterance share."""
    return str(path.parent), stem(path).lower()


def _speaker_folder(path: Path) -> re.Match[str] | None:
    return _FOLDER.fullmatch(path.absolute().parent.name)


def _rows(path: Path) -> Iterator[Row]:
    """The rows `start end label` of a .PHN or .WRD."""
    for number, line in read_lines(path):
        if not (match := _ROW.fullmatch(line.strip())):
            raise InvalidFile(path, number, f"{line.strip()[:40]!r} is not a row `start end label`; mend it")
        yield Row(number, int(match[1]), int(match[2]), match[3])


def _phone_rows(path: Path) -> Iterator[Row]:
    for row in _rows(path):
        label = row.label.lower()
        if label not in TIMIT61:
            raise InvalidFile(path, row.line, f"unknown phone label {row.label[:20]!r}, none of TIMIT's 61; mend it")
        yield Row(row.line, row.start, row.end, label)


def _read_text(path: Path, notices: list[Problem]) -> str | None:
    """The orthography behind the two numbers of a .TXT; `None`, with a notice, where there is none."""
    try:
        rows = list(_rows(path))
    except InvalidFile as refused:
        notices.append(Problem(path, refused.problem.line, f"text unknown: {refused.problem.message}", "notice"))
        return None
    return " ".join(row.label for row in rows) or None


def _read_speakers(path: Path, problems: list[Problem]) -> dict[str, _Listed]:
    """SPKRINFO by speaker id with its sex letter; columns ID Sex DR Use RecDate BirthDate Ht Race Edu ..."""
    try:
        lines = read_lines(path)
    except InvalidFile as refused:
        message = f"{refused.problem.message}; until then heights are unknown"
        problems.append(Problem(path, refused.problem.line, message, "notice"))
        return {}
    listed: dict[str, _Listed] = {}
    for number, line in lines:
        if line.lstrip().startswith(";"):
            continue
        match line.split():
            case [id, ("F" | "M" | "f" | "m") as sex, dialect, use, _, _, height, *_]:
                listed[(sex + id).upper()] = _Listed(
                    dialect=f"DR{dialect}" if dialect in tuple("12345678") else None,
                    split=_USES.get(use.upper()),
                    height_cm=height_cm(height),
                )
                if height_cm(height) is None and height.strip("?"):
                    message = f"height {height[:20]!r} is not feet and inches such as 5'11\": taken as unknown"
                    problems.append(Problem(path, number, message, "notice"))
            case _:
                message = f"{line.strip()[:40]!r} is not a speaker's row `ID Sex DR Use RecDate BirthDate Ht ...`"
                problems.append(Problem(path, number, message, "notice"))
    return listed


def height_cm(text: str) -> float | None:
    """Feet and inches in centimetres (2.54 an inch): `5'11"` is 180.34. `None` if it is no such height."""
    match = _HEIGHT.fullmatch(text.strip())
    if not match or float(match[2] or 0) >= 12 or match[1] == "0":
        return None
    return round((12 * int(match[1]) + float(match[2] or 0)) * CM_PER_INCH, 3)  # no binary dust: 180.34
