"""Folders of recordings with Festival or HTK label files (.lab), such as CMU ARCTIC.

J. Kominek, A. W. Black, "The CMU Arctic speech databases", 5th ISCA Workshop on Speech Synthesis, 2004.
http://festvox.org/cmu_arctic; free for any purpose under the short licence of Carnegie Mellon University in each
voice's COPYING. The licence of other corpora is that of the recordings.

Layouts (more in `folders.py`, also on speakers and `speakers.csv`):

    cmu_us_slt_arctic/wav/arctic_a0001.wav     lab/arctic_a0001.lab     etc/txt.done.data     CMU ARCTIC
    anna/s1.wav                                s1.lab                   txt.done.data         side by side

A label file holds phones, in one of two forms:

    Festival (ESPS xlabel)   a header that ends with a line `#`, then rows `end colour label`. The end is in seconds; a
                             segment starts at the end of the row above. What follows a `;` (such as `; score -2`) is
                             ignored.
    HTK                      no header, rows `start end label` in units of 100 ns

HTK's other columns, transcripts without times (the Montreal Forced Aligner's .lab files), and full-context labels are
refused, and so is every file that could be read in two ways. Rows of no duration are dropped if they are pauses, which
aligners write where an optional pause was not made. The optional `txt.done.data` (rows `( arctic_a0001 "Text." )`)
gives the texts. There are no words.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from lvm_probe.probing.corpora.audio import AudioHeader
from lvm_probe.probing.corpora.corpus import Problem, Segment, Utterance
from lvm_probe.probing.corpora.folders import Annotation, read_folders
from lvm_probe.probing.corpora.intake import (
    InvalidFile,
    Options,
    Row,
    Tree,
    read_lines,
    segments,
    sorted_once,
    to_sample,
)
from lvm_probe.probing.corpora.non_speech import ALIGNERS
from lvm_probe.probing.corpora.phones import SILENCE

NON_SPEECH = replace(ALIGNERS, pauses={**ALIGNERS.pauses, "pau": SILENCE, "brth": SILENCE})

HTK_UNITS = 10_000_000
"""HTK's units of time per second."""

_FESTIVAL_ROW = re.compile(r"([0-9]{1,6}(?:\.[0-9]{0,20})?)\s+[0-9]{1,9}\s+([^\s;]+)(?:\s*;.*)?")
_HTK_ROW = re.compile(r"([0-9]{1,15})\s+([0-9]{1,15})\s+(\S+)")
_FULL_CONTEXT = re.compile(r".+-.+\+.+")
_PROMPT = re.compile(r'\(\s*(\S+)\s+"(.*)"\s*\)')


class _Label(NamedTuple):
    """A row of a label file, its times in seconds."""

    line: int
    start: float
    end: float
    phone: str


class _Prompt(NamedTuple):
    """A row of `txt.done.data`."""

    path: Path
    text: str


def sign(tree: Tree) -> Path | None:
    """A .lab file; beside TextGrids only if there are fewer of them, and it has times.

    Folders aligned by the Montreal Forced Aligner have transcripts in .lab files beside their TextGrids.
    """
    labels, grids = tree.by_suffix(".lab"), tree.by_suffix(".textgrid")
    if not labels or (grids and not (len(labels) > len(grids) and _has_times(labels[0]))):
        return None
    return labels[0]


def _has_times(path: Path) -> bool:
    try:
        lines = [line.strip() for _, line in read_lines(path)]
    except InvalidFile:
        return False
    return "#" in lines or any(_HTK_ROW.fullmatch(line) for line in lines)


def read(tree: Tree, options: Options) -> tuple[list[Utterance], list[Problem]]:
    """Every usable utterance, and everything that is wrong with the files."""
    problems: list[Problem] = []
    prompts = _read_prompts(tree, problems)

    def annotation(path: Path, audio: Path, header: AudioHeader, notices: list[Problem]) -> Annotation:
        left_out: list[str] = []
        phonemes = read_labels(path, header, options, notices, left_out)
        prompt = next((prompts[key] for folder in audio.parents if (key := (folder, audio.stem)) in prompts), None)
        return Annotation(
            phonemes, text=prompt and prompt.text, non_speech=tuple(left_out), files=(prompt.path,) if prompt else ()
        )

    utterances, more = read_folders(tree, options, ".lab", annotation)
    return utterances, sorted_once(problems + more)


def read_labels(
    path: Path, header: AudioHeader, options: Options, notices: list[Problem], left_out: list[str]
) -> tuple[Segment, ...]:
    """The phones of a label file in either form, in samples; raises InvalidFile with the line if it is malformed.

    Labels that are no speech are appended to `left_out`.
    """
    non_speech = NON_SPEECH.changed(options.non_speech)
    lines = [(number, line.strip()) for number, line in read_lines(path)]
    is_festival = any(line == "#" for _, line in lines)
    labels = list(_festival_labels(path, lines) if is_festival else _htk_labels(path, lines, header))
    for label in labels:
        if _FULL_CONTEXT.fullmatch(label.phone):
            message = f"{label.phone[:40]!r} is a phone in its context; replace each label by the phone alone"
            raise InvalidFile(path, label.line, message)
    rows = (
        Row(line, to_sample(start, header.sample_rate), to_sample(end, header.sample_rate), phone)
        for line, start, end, phone in labels
        if start != end or non_speech.name(phone, is_phone=True) is None
    )
    phonemes = non_speech.renamed(segments(rows, path, header, notices), left_out)
    if not phonemes:
        raise InvalidFile(path, None, "contains no labels; restore the file")
    return phonemes


def _festival_labels(path: Path, lines: list[tuple[int, str]]) -> Iterator[_Label]:
    in_header, start = True, 0.0
    for number, line in lines:
        match = _FESTIVAL_ROW.fullmatch(line)
        if in_header:
            if match or _HTK_ROW.fullmatch(line):
                raise InvalidFile(
                    path, number, f"the label {line[:40]!r} is above the line `#`; move that line above it"
                )
            if line.startswith("nfields") and line.split()[1:] != ["1"]:
                raise InvalidFile(path, number, f"{line[:40]!r}: labels of one field are needed; export one field only")
            in_header = line != "#"
            continue
        if not match:
            message = f"{line[:40]!r} is not a row `end colour label` of a Festival label file (end in seconds); fix it"
            raise InvalidFile(path, number, message)
        end = float(match[1])
        if end < start:
            message = f"{line[:40]!r} ends before the row above it, which ends at {start:g} s; fix the times"
            raise InvalidFile(path, number, message)
        yield _Label(number, start, end, match[2])
        start = end


def _htk_labels(path: Path, lines: list[tuple[int, str]], header: AudioHeader) -> Iterator[_Label]:
    last = 0
    for number, line in lines:
        if not (match := _HTK_ROW.fullmatch(line)):
            raise InvalidFile(path, number, f"{line[:40]!r} {_why_not_htk(line)}")
        start, end = int(match[1]), int(match[2])
        yield _Label(number, start / HTK_UNITS, end / HTK_UNITS, match[3])
        last = max(last, end)
    if lines and last <= header.samples:
        seconds = f"{last / HTK_UNITS:g} s in HTK's units of 100 ns"
        message = f"its times go up to {last}, which may be {seconds} or a position in samples; write units of 100 ns"
        raise InvalidFile(path, lines[-1][0], message)


def _why_not_htk(line: str) -> str:
    """What is wrong with a line that is not a row of an HTK label file, and the cure."""
    columns = line.split()
    if _FESTIVAL_ROW.fullmatch(line):
        return "looks like a Festival label, but no line `#` ends a header above it; add that line"
    if len(columns) > 3 and _HTK_ROW.fullmatch(" ".join(columns[:3])):
        return "has more than the three columns `start end label`; remove the others"
    if not re.search("[0-9]", columns[0]):
        return "has no times: if this is a transcript, align it with the audio first"
    return "is not a row `start end label` of an HTK label file, its times whole numbers of 100 ns; fix it"


def _read_prompts(tree: Tree, problems: list[Problem]) -> dict[tuple[Path, str], _Prompt]:
    """Texts by folder (in which audio is looked up) and audio name, from every `txt.done.data`; errors are notices."""
    prompts: dict[tuple[Path, str], _Prompt] = {}
    for path in tree.files:
        if path.name.lower() != "txt.done.data":
            continue
        folder = path.parent.parent if path.parent.name.lower() == "etc" else path.parent
        try:
            lines = read_lines(path)
        except InvalidFile as error:
            message = f"{error.problem.message}; its texts are unknown until this is fixed"
            problems.append(Problem(path, error.problem.line, message, "notice"))
            continue
        for number, line in lines:
            if not (match := _PROMPT.fullmatch(line.strip())):
                message = f'{line.strip()[:40]!r} is not a row `( arctic_a0001 "Text." )`; fix it'
                problems.append(Problem(path, number, message, "notice"))
            elif (folder, match[1]) in prompts:
                problems.append(Problem(path, number, f"{match[1]} is listed twice; the first row counts", "notice"))
            else:
                prompts[folder, match[1]] = _Prompt(path, match[2].replace('\\"', '"'))
    return prompts
