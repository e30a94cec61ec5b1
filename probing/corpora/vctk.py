"""CSTR VCTK: 110 English speakers with various accents, about 400 sentences each, 44 hours at 48 kHz.

J. Yamagishi, C. Veaux, K. MacDonald, "CSTR VCTK Corpus: English multi-speaker corpus for CSTR Voice Cloning Toolkit
(version 0.92)", University of Edinburgh, 2019. https://doi.org/10.7488/ds/2645 Licence: CC BY 4.0 (up to 0.80: ODC-By).

Layouts:

    wav48_silence_trimmed/p225/p225_001_mic1.flac     txt/p225/p225_001.txt     speaker-info.txt     version 0.92
    wav48/p225/p225_001.wav                           txt/p225/p225_001.txt     speaker-info.txt     up to 0.80

Of two microphones the first is read where there are both. `speaker-info.txt` has the columns ID (with or without the
p), AGE, GENDER and ACCENTS, which is taken for the dialect. There are no alignments, and no splits.
"""

import re
from pathlib import Path

from lvm_probe.probing.corpora.corpus import Gender, Problem, Speaker, Utterance
from lvm_probe.probing.corpora.intake import (
    InvalidFile,
    Options,
    Tree,
    audio_header,
    name_key,
    one_audio_file_per,
    read_lines,
    read_text,
    read_utterances,
    sorted_once,
)
from lvm_probe.probing.corpora.non_speech import ALIGNERS

NON_SPEECH = ALIGNERS

_NAME = re.compile(r"([ps][0-9]+)_([0-9]+)(?:_mic([12]))?")
_GENDERS: dict[str, Gender] = {"F": "F", "M": "M"}


def sign(tree: Tree) -> Path | None:
    """A file named like p225_001 in a folder named like its speaker, if most are."""
    matching = [path for path in tree.audio if (m := _NAME.fullmatch(path.stem)) and m[1] == path.parent.name]
    return matching[0] if 2 * len(matching) > len(tree.audio) else None


def read(tree: Tree, options: Options) -> tuple[list[Utterance], list[Problem]]:
    """Every usable utterance, and everything that is wrong with the files."""
    problems: list[Problem] = []
    speakers = _read_speakers(tree, problems)
    table = tree.find("speaker-info.txt", [], above=2)
    texts = {name_key(path.stem): path for path in tree.by_suffix(".txt") if _NAME.fullmatch(path.stem)}
    audio = one_audio_file_per(_id, _first_microphone(tree, problems), problems)

    def read_one(path: Path, notices: list[Problem]) -> Utterance:
        if not (match := _NAME.fullmatch(path.stem)):
            message = "is not named speaker_number, such as p225_001.wav; rename or remove it"
            raise InvalidFile(path, None, message)
        speaker, id = match[1], _id(path)
        if speakers is not None and speaker not in speakers:
            message = f"speaker {speaker} is not in speaker-info.txt: gender, age and dialect unknown"
            notices.append(Problem(tree.root, None, message, "notice"))
        header = audio_header(path, options, notices)
        text_file = texts.get(name_key(id))
        if text_file is None and texts:
            topic = "no transcript among the .txt files"
            notices.append(Problem(path, None, f"{topic}: its text is unknown", "notice", topic))
        text = " ".join(read_text(text_file).split()) or None if text_file else None
        return Utterance(
            id=id,
            speaker=(speakers or {}).get(speaker) or Speaker(speaker),
            audio=path,
            samples=header.samples,
            sample_rate=header.sample_rate,
            text=text,
            prompt=text,
            files=tree.states(path, text_file, table),
        )

    utterances, more = read_utterances(audio.values(), read_one)
    return utterances, sorted_once(problems + more)


def _id(path: Path) -> str:
    match = _NAME.fullmatch(path.stem)
    return f"{match[1]}_{match[2]}" if match else path.stem


def _first_microphone(tree: Tree, problems: list[Problem]) -> list[Path]:
    """The audio files without those of the second microphone that the first recorded too."""
    first = {_id(path) for path in tree.audio if (match := _NAME.fullmatch(path.stem)) and match[3] != "2"}
    second = [path for path in tree.audio if (m := _NAME.fullmatch(path.stem)) and m[3] == "2" and _id(path) in first]
    if second:
        message = f"{len(second):,} recordings of the second microphone are not read"
        problems.append(Problem(tree.root, None, message, "notice"))
    return sorted({*tree.audio} - {*second})


def _read_speakers(tree: Tree, problems: list[Problem]) -> dict[str, Speaker] | None:
    """The speakers of speaker-info.txt by id; None, with a notice, if there is none."""
    path = tree.find("speaker-info.txt", problems, above=2)
    if path is None:
        message = "no speaker-info.txt here or up to two folders above: genders and ages unknown; copy it"
        problems.append(Problem(tree.root, None, message, "notice"))
        return None
    try:
        lines = read_lines(path)
    except InvalidFile as error:
        message = f"{error.problem.message}; genders and ages are unknown until this is fixed"
        problems.append(Problem(path, error.problem.line, message, "notice"))
        return None
    speakers: dict[str, Speaker] = {}
    for number, line in lines:
        match line.split():
            case ["ID", *_]:
                continue
            case [id, age, gender, *rest] if re.fullmatch("[ps]?[0-9]+", id) and gender in _GENDERS:
                id = id if id[0] in "ps" else f"p{id}"
                years = float(age) if re.fullmatch("[1-9][0-9]{0,2}", age) else None
                speakers[id] = Speaker(id, _GENDERS[gender], dialect=rest[0] if rest else None, age=years)
            case _:
                message = f"{line.strip()[:40]!r} is not a row `ID AGE GENDER ACCENTS REGION`; fix it"
                problems.append(Problem(path, number, message, "notice"))
    return speakers
