"""TIMIT: read American English, 630 speakers with 10 sentences each, hand-checked phones and words.

J. S. Garofolo, L. F. Lamel, W. M. Fisher, J. G. Fiscus, D. S. Pallett, N. L. Dahlgren, V. Zue, "TIMIT
Acoustic-Phonetic Continuous Speech Corpus", LDC93S1, Linguistic Data Consortium, 1993.
https://catalog.ldc.upenn.edu/LDC93S1

Licence: LDC user agreement; the sample that NLTK distributes (`nltk.download("timit")`) is CC BY-NC-SA.

Layouts, in any mixture of upper and lower case, with .WAV (SPHERE or RIFF) or .FLAC:

    TRAIN/DR1/FVMH0/SX116.WAV  .PHN .WRD .TXT   DOC/SPKRINFO.TXT     as the LDC distributes it
    dr1-fvmh0/sx116.wav        .phn .wrd .txt   spkrinfo.txt         as NLTK distributes it

A folder's name is the sex followed by the speaker: FVMH0 is VMH0 in SPKRINFO. Ids are the same in both layouts
(`FVMH0_SX116`). An utterance needs its .PHN; a missing .WRD is a notice, a missing .TXT is not. Words may overlap (a
vowel that ends one and starts the next belongs to both, by up to 150 ms in the sample); phones may not. The times in
.TXT are not used: some exceed the audio by a sample.

Positions in .PHN and .WRD are samples at 16 kHz. Beside audio of another rate they are scaled to it, unless the .PHN
covers the audio in the audio's own samples only; both are said in a notice. An utterance that fits neither is left out.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lvm_probe.probing.corpora.audio import AudioHeader
from lvm_probe.probing.corpora.corpus import Gender, Problem, Segment, Speaker, Utterance
from lvm_probe.probing.corpora.intake import (
    END_TOLERANCE_MS,
    UNLABELLED_END_MS,
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
)
from lvm_probe.probing.corpora.non_speech import NonSpeech
from lvm_probe.probing.corpora.phones import SILENCES, TIMIT61

NON_SPEECH = NonSpeech(pauses={label: label for label in SILENCES})

CM_PER_INCH = 2.54

LABEL_RATE = 16000
"""The rate in Hz in whose samples .PHN and .WRD are written."""

_MAX_UNLABELLED = 0.1  # share of the audio after the last phone at which labels still fit a rate

_FOLDER = re.compile(r"(?:dr([1-8])-)?(([fm])[a-z]{3}[0-9])", re.IGNORECASE)
_DIALECT = re.compile(r"dr[1-8]", re.IGNORECASE)
_SENTENCE = re.compile(r"s[aix][0-9]+", re.IGNORECASE)
_ROW = re.compile(r"([0-9]{1,12})\s+([0-9]{1,12})\s+(\S.*)", re.DOTALL)
_HEIGHT = re.compile(r"""([0-9])'([0-9]{1,2}(?:\.[0-9]+)?)?"?""")
_USES = {"TRN": "train", "TST": "test"}


@dataclass(frozen=True)
class _SpeakerInfo:
    """A row of SPKRINFO."""

    dialect: str | None = None
    split: str | None = None
    height_cm: float | None = None


def sign(tree: Tree) -> Path | None:
    """A .PHN beside its audio in a folder named like a speaker; without TextGrids or .lab files, any .PHN or sentence.

    A copy of TIMIT that was aligned again has more TextGrids than .PHN files, and is read as layout `textgrid`.
    """
    phones = tree.by_suffix(".phn")
    others = tree.by_suffix(".textgrid", ".lab")
    audio = {_key(path) for path in tree.audio}
    paired = [path for path in phones if _speaker_folder(path) and _key(path) in audio]
    if paired and len(paired) >= len(others):
        return paired[0]
    if others:
        return None
    sentences = (path for path in tree.audio if _speaker_folder(path) and _SENTENCE.fullmatch(_base_name(path)))
    return next(iter(phones), None) or next(sentences, None)


def read(tree: Tree, options: Options) -> tuple[list[Utterance], list[Problem]]:
    """Every usable utterance, and everything that is wrong with the files."""
    problems: list[Problem] = []
    non_speech = NON_SPEECH.changed(options.non_speech)
    info_file = tree.find("spkrinfo.txt", problems, above=3)
    speaker_info: Mapping[str, _SpeakerInfo] = {}
    if info_file is None:
        message = "no SPKRINFO.TXT here or above: heights unknown, gender from the first letter of the folder name"
        problems.append(Problem(tree.root, None, message, "notice"))
    else:
        speaker_info = _read_speaker_info(info_file, problems)

    annotations: dict[tuple[str, str, str], Path] = {}
    doubled: dict[tuple[str, str], str] = {}
    for path in tree.by_suffix(".phn", ".wrd", ".txt"):
        first = annotations.setdefault((*_key(path), path.suffix.lower()), path)
        if first != path:
            doubled[_key(path)] = f"{first.name} and {path.name} could both belong to it; remove one of them"
    audio = one_audio_file_per(_key, tree.by_suffix(".wav", ".flac"), problems)
    for folder, name, suffix in sorted(annotations):
        if suffix == ".phn" and (folder, name) not in audio:
            message = "no .wav or .flac of this name beside it; restore the audio or remove the annotation"
            problems.append(Problem(annotations[folder, name, suffix], None, message, "error"))

    def read_one(path: Path, notices: list[Problem]) -> Utterance:
        folder = _speaker_folder(path)
        if not folder:
            raise InvalidFile(path, None, "not in the folder of a TIMIT speaker, such as DR1/FVMH0; move or remove it")
        dialect, id, sex = folder.group(1), folder.group(2).upper(), folder.group(3).upper()
        info = speaker_info.get(id)
        if info is None:
            if info_file is not None:
                message = f"speaker {id} is not listed: height unknown, gender {sex} from the folder name"
                notices.append(Problem(info_file, None, message, "notice"))
            info = _SpeakerInfo()
        above = [part.lower() for part in path.absolute().parts[:-2]]
        if dialect is not None:
            dialect = f"DR{dialect}"
        elif above and _DIALECT.fullmatch(above[-1]):
            dialect = above[-1].upper()
        gender: Gender = "F" if sex == "F" else "M"
        speaker = Speaker(id, gender, info.height_cm, dialect or info.dialect)
        usage = next((part for part in reversed(above[-2:]) if not _DIALECT.fullmatch(part)), "")
        split = usage if usage in ("train", "test") else info.split

        if (both := doubled.get(_key(path))) is not None:
            raise InvalidFile(path, None, both)
        header = audio_header(path, options, notices)
        phones_file, words_file, text_file = (
            annotations.get((*_key(path), suffix)) for suffix in (".phn", ".wrd", ".txt")
        )
        if phones_file is None:
            raise InvalidFile(path, None, "no .PHN of this name beside it; restore the annotation or remove the audio")
        rows = list(_phone_rows(phones_file))
        if not rows:
            raise InvalidFile(phones_file, None, "contains no phones; restore the annotation")
        left_out: list[str] = []
        label_rate = _label_rate(rows[-1].end, phones_file, header, notices)
        scaled = _scaled(rows, label_rate, header)
        phonemes = non_speech.renamed(segments(scaled, phones_file, header, notices), left_out)
        words: tuple[Segment, ...] = ()
        if words_file is None:
            notices.append(Problem(path, None, "no .WRD of this name beside it: its words are unknown", "notice"))
        else:
            scaled = _scaled(_rows(words_file), label_rate, header)
            spoken = non_speech.without(scaled, left_out)
            words = segments(spoken, words_file, header, notices, may_overlap=True)
        return Utterance(
            id=f"{id}_{_base_name(path).upper()}",
            speaker=speaker,
            audio=path,
            samples=header.samples,
            sample_rate=header.sample_rate,
            split=split,
            phonemes=phonemes,
            words=words,
            text=_read_text(text_file, notices) if text_file else None,
            prompt=_base_name(path).upper(),
            non_speech=tuple(left_out),
            files=tree.states(path, phones_file, words_file, text_file, info_file),
        )

    utterances, more = read_utterances(audio.values(), read_one)
    return utterances, sorted_once(problems + more)


def _base_name(path: Path) -> str:
    """The name up to its first dot: `SA1` of `SA1.WAV`, and of `SA1.WAV.wav` as in some copies of TIMIT."""
    return path.name.split(".")[0]


def _key(path: Path) -> tuple[str, str]:
    """Folder and base name, which the files of one utterance share."""
    return str(path.parent), _base_name(path).lower()


def _speaker_folder(path: Path) -> re.Match[str] | None:
    return _FOLDER.fullmatch(path.absolute().parent.name)


def _rows(path: Path) -> Iterator[Row]:
    """The rows `start end label` of a .PHN or .WRD."""
    for number, line in read_lines(path):
        if not (match := _ROW.fullmatch(line.strip())):
            raise InvalidFile(path, number, f"{line.strip()[:40]!r} is not a row `start end label`; fix it")
        yield Row(number, int(match[1]), int(match[2]), match[3])


def _phone_rows(path: Path) -> Iterator[Row]:
    for row in _rows(path):
        label = row.label.lower()
        if label not in TIMIT61:
            raise InvalidFile(path, row.line, f"unknown phone label {row.label[:20]!r}, not one of TIMIT's 61; fix it")
        yield Row(row.line, row.start, row.end, label)


def _label_rate(end: int, path: Path, header: AudioHeader, notices: list[Problem]) -> int:
    """The rate in whose samples a .PHN is written that ends at `end`; raises InvalidFile if none fits the audio."""
    own_rate, seconds = header.sample_rate, header.samples / header.sample_rate
    if own_rate == LABEL_RATE:
        return own_rate

    def fits(rate: int) -> bool:
        missing = seconds - end / rate
        return -END_TOLERANCE_MS / 1000 <= missing <= max(UNLABELLED_END_MS / 1000, _MAX_UNLABELLED * seconds)

    if fits(LABEL_RATE):
        message = f"labels in samples of {LABEL_RATE} Hz, scaled to the {own_rate} Hz of the audio"
        notices.append(Problem(path, None, message, "notice"))
        return LABEL_RATE
    if fits(own_rate):
        message = f"labels taken as samples of the audio's {own_rate} Hz: in TIMIT's {LABEL_RATE} Hz they would not fit"
        notices.append(Problem(path, None, message, "notice"))
        return own_rate
    message = (
        f"its phones end at {end / LABEL_RATE:.2f} s in samples of {LABEL_RATE} Hz, as TIMIT writes them, and at "
        f"{end / own_rate:.2f} s in samples of the audio's {own_rate} Hz, but the audio lasts {seconds:.2f} s; "
        "restore the annotation, or the audio that belongs to it"
    )
    raise InvalidFile(path, None, message)


def _scaled(rows: Iterable[Row], label_rate: int, header: AudioHeader) -> Iterator[Row]:
    """The rows in samples of the audio, rounded to the nearest (halves up)."""
    for row in rows:
        start, end = ((2 * at * header.sample_rate + label_rate) // (2 * label_rate) for at in (row.start, row.end))
        yield replace(row, start=start, end=end)


def _read_text(path: Path, notices: list[Problem]) -> str | None:
    """The orthography after the two numbers of a .TXT; `None` if it is empty or, with a notice, malformed."""
    try:
        rows = list(_rows(path))
    except InvalidFile as error:
        notices.append(Problem(path, error.problem.line, f"text unknown: {error.problem.message}", "notice"))
        return None
    return " ".join(row.label for row in rows) or None


def _read_speaker_info(path: Path, problems: list[Problem]) -> dict[str, _SpeakerInfo]:
    """SPKRINFO by speaker id with its sex letter; columns ID Sex DR Use RecDate BirthDate Ht Race Edu ..."""
    try:
        lines = read_lines(path)
    except InvalidFile as error:
        message = f"{error.problem.message}; heights are unknown until this is fixed"
        problems.append(Problem(path, error.problem.line, message, "notice"))
        return {}
    speaker_info: dict[str, _SpeakerInfo] = {}
    for number, line in lines:
        if line.lstrip().startswith(";"):
            continue
        match line.split():
            case [id, ("F" | "M" | "f" | "m") as sex, dialect, use, _, _, height, *_]:
                speaker_info[(sex + id).upper()] = _SpeakerInfo(
                    dialect=f"DR{dialect}" if dialect in tuple("12345678") else None,
                    split=_USES.get(use.upper()),
                    height_cm=height_cm(height),
                )
                if height_cm(height) is None and height.strip("?"):
                    message = f"height {height[:20]!r} is not in feet and inches such as 5'11\"; taken as unknown"
                    problems.append(Problem(path, number, message, "notice"))
            case _:
                message = (
                    f"{line.strip()[:40]!r} is not a row `ID Sex DR Use RecDate BirthDate Ht ...`; "
                    "the row is ignored until it is fixed"
                )
                problems.append(Problem(path, number, message, "notice"))
    return speaker_info


def height_cm(text: str) -> float | None:
    """Feet and inches in centimetres; `None` if the text is not such a height.

    Example:
        >>> height_cm("5'11")
        180.34
    """
    match = _HEIGHT.fullmatch(text.strip())
    if not match or float(match[2] or 0) >= 12 or match[1] == "0":
        return None
    return round((12 * int(match[1]) + float(match[2] or 0)) * CM_PER_INCH, 3)  # rounding gives 180.34, not 180.339...
