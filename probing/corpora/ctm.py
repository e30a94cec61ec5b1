"""Folders of recordings with alignments in NIST's CTM form, as Kaldi and other recognisers write them.

NIST, "SCTK, the NIST Scoring Toolkit", ctm format: https://github.com/usnistgov/SCTK. The licence is that of the
recordings.

    words.ctm  phones.ctm  anna/s1.wav  ...      a file of words, one of phones, or both, for all recordings
    words/anna_s1.ctm  phones/anna_s1.ctm        or several; `;;` begins a comment

A row is `recording channel start duration label`, the times in seconds; what follows the label (a confidence) is not
used. A recording is named like its audio file without the suffix, also with its folders (`anna/s1`) or by the
utterance's id (`anna_s1`). The channel is 1 or A.

Whether the labels are words or phones is told by the name of the file or of a folder around it, which contains `word`
or `phone`; or by --word-tier and --phoneme-tier, which take the name of a file or a pattern such as `*.ctm`. A file
called `ctm` holds words, as in Kaldi. A file that could be either is refused. The position of a phone in its word that
Kaldi adds to it (`AH_B`, `_I`, `_E`, `_S`) is removed, with a notice.

Who speaks, and the file `speakers.csv`: see `folders.py`.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, NamedTuple

from lvm_probe.probing.corpora.audio import AudioHeader
from lvm_probe.probing.corpora.corpus import Problem, Segment, Utterance, abbreviated
from lvm_probe.probing.corpora.folders import Annotation, read_recordings
from lvm_probe.probing.corpora.intake import (
    InvalidFile,
    Options,
    Row,
    Tree,
    name_key,
    one_audio_file_per,
    read_lines,
    segments,
    sorted_once,
    to_sample,
)
from lvm_probe.probing.corpora.non_speech import ALIGNERS

NON_SPEECH = ALIGNERS

Unit = Literal["phone", "word"]

_TIME = re.compile(r"[0-9]{1,7}(\.[0-9]{0,20})?")
_POSITION = re.compile(r"(.+)_[BIES]")
_CHANNELS = ("1", "A", "a")
_FORM = "recording channel start duration label"


class _Row(NamedTuple):
    """A row of a CTM file, its times in seconds."""

    line: int
    start: float
    end: float
    label: str


@dataclass
class _Rows:
    """The rows of one unit in a recording.

    Attributes:
        path: their file.
        rows: in the order of the file.
        error: the first reason why they cannot be used.
        lines: of the rows that were read where the recording holds several utterances.
    """

    path: Path
    rows: list[_Row] = field(default_factory=list)
    error: InvalidFile | None = None
    lines: set[int] = field(default_factory=set)


@dataclass
class Alignments:
    """The content of CTM files, by recording and unit."""

    options: Options
    found: dict[tuple[str, Unit], _Rows] = field(default_factory=dict)

    @classmethod
    def read(cls, paths: Iterable[Path], root: Path, options: Options, problems: list[Problem]) -> "Alignments":
        """Read CTM files; what is wrong with whole files is appended to `problems`."""
        alignments = cls(options)
        for path in paths:
            try:
                alignments._add(path, _unit(path, root, options, problems), problems)
            except InvalidFile as error:
                problems.append(error.problem)
        return alignments

    def _add(self, path: Path, unit: Unit, problems: list[Problem]) -> None:
        stripped = 0
        for number, line in read_lines(path):
            if line.lstrip().startswith(";;"):
                continue
            recording, *columns = line.split()
            found = self.found.setdefault((name_key(recording), unit), _Rows(path))
            row = _parse(path, number, recording, columns)
            if isinstance(row, _Row) and found.path != path:
                message = f"{recording} has {unit}s here and in {found.path}; remove one of them"
                row = InvalidFile(path, number, message)
            if isinstance(row, InvalidFile):
                found.error = found.error or row
                continue
            if unit == "phone" and (match := _POSITION.fullmatch(row.label)):
                stripped += 1
                row = row._replace(label=match[1])
            found.rows.append(row)
        if stripped:
            message = f"positions in the word (_B, _I, _E, _S) removed from {stripped:,} phone labels"
            problems.append(Problem(path, None, message, "notice"))

    def between_utterances(self) -> dict[Path, int]:
        """The number of rows of partly read recordings that lie in none of their utterances, by file."""
        between = Counter[Path]()
        for rows in self.found.values():
            between[rows.path] += len(rows.rows) - len(rows.lines) if rows.lines else 0
        return {path: count for path, count in between.items() if count}

    def unknown(self, names: Iterable[str]) -> dict[Path, list[str]]:
        """The recordings that have none of these names, by the file that names them."""
        known = set(map(name_key, names))
        unknown: dict[Path, list[str]] = {}
        for (recording, _), rows in sorted(self.found.items()):
            if recording not in known:
                unknown.setdefault(rows.path, []).append(recording)
        return unknown

    def annotation(
        self,
        names: Sequence[str],
        header: AudioHeader,
        notices: list[Problem],
        *,
        within: tuple[str, int] | None = None,
    ) -> Annotation:
        """What the files say of an utterance.

        Args:
            names: by which it may be called; the first that is found counts.
            header: of its audio.
            notices: notices are appended here.
            within: of an utterance that is a part of a recording, the name of the recording and the first sample; its
                rows may then be those of the recording that lie in it.

        Raises:
            InvalidFile: a row of it is malformed, or cannot be where it says.
        """
        left_out: list[str] = []
        tiers: dict[Unit, tuple[Segment, ...]] = {"phone": (), "word": ()}
        files: list[Path] = []
        non_speech = NON_SPEECH.changed(self.options.non_speech)
        for unit in tiers:
            keys = [(name_key(name), unit) for name in names]
            found = next((self.found[key] for key in keys if key in self.found), None)
            offset = None
            if found is None and within is not None:
                found, offset = self.found.get((name_key(within[0]), unit)), within[1]
            if found is None:
                continue
            if found.error is not None:
                raise found.error
            files.append(found.path)
            rows = list(_in_samples(found, header, offset, notices))
            if unit == "phone":
                tiers[unit] = non_speech.renamed(segments(rows, found.path, header, notices), left_out)
            else:
                tiers[unit] = segments(non_speech.without(rows, left_out), found.path, header, notices)
        text = " ".join(word.label for word in tiers["word"]) or None
        return Annotation(tiers["phone"], tiers["word"], text, tuple(left_out), tuple(files))


def sign(tree: Tree) -> Path | None:
    """A .ctm file."""
    return next(iter(tree.by_suffix(".ctm")), None)


def read(tree: Tree, options: Options) -> tuple[list[Utterance], list[Problem]]:
    """Every usable utterance, and everything that is wrong with the files."""
    problems: list[Problem] = []
    alignments = Alignments.read(ctm_files(tree.files), tree.root, options, problems)
    audio = one_audio_file_per(lambda path: (str(path.parent), name_key(path.stem)), tree.audio, problems)
    stems = [name_key(path.stem) for path in audio.values()]
    shared = {stem for stem, n in Counter(stems).items() if n > 1} & {recording for recording, _ in alignments.found}
    used: set[str] = set()

    def annotate(path: Path, id: str, header: AudioHeader, notices: list[Problem]) -> Annotation:
        stem = name_key(path.stem)
        if stem in shared:
            message = f"several recordings are called {path.stem}; name them in the CTM files with their folders"
            raise InvalidFile(path, None, message)
        names = (id, path.relative_to(tree.root).with_suffix("").as_posix(), path.stem)
        used.update(names)
        return alignments.annotation(names, header, notices)

    utterances, more = read_recordings(tree, options, audio.values(), annotate)
    for file, unknown in alignments.unknown({*used, *stems}).items():
        message = f"has rows of recordings that could not be read: {abbreviated(unknown, 3)}; restore or remove them"
        problems.append(Problem(file, None, message, "notice"))
    return utterances, sorted_once(problems + more)


def ctm_files(paths: Iterable[Path]) -> list[Path]:
    """Those of the files that are called `ctm` or end in `.ctm`."""
    return [path for path in paths if path.name.lower() == "ctm" or path.suffix.lower() == ".ctm"]


def _unit(path: Path, root: Path, options: Options, problems: list[Problem]) -> Unit:
    """What the labels of a CTM file are, by the options or by its name."""
    chosen: dict[Unit, str | None] = {"phone": options.phoneme_tier, "word": options.word_tier}
    by_option: list[Unit] = [unit for unit, name in chosen.items() if name and fnmatchcase(path.name, name)]
    parts = [name_key(part) for part in path.relative_to(root).parts]
    by_name: list[Unit] = [unit for unit in chosen if any(unit in part for part in parts)]
    for units in (by_option, by_name):
        if len(units) == 1:
            return units[0]
    if not by_option and not by_name and path.name.lower() == "ctm":
        problems.append(Problem(path, None, "its labels are taken for words; --phoneme-tier ctm if not", "notice"))
        return "word"
    message = "holds words or phones, which its name does not say; rename it to words.ctm or phones.ctm, or give "
    raise InvalidFile(path, None, f"{message}--word-tier {path.name} or --phoneme-tier {path.name}")


def _parse(path: Path, number: int, recording: str, columns: Sequence[str]) -> _Row | InvalidFile:
    """The columns of a row after the recording's name."""
    what = " ".join((recording, *columns))[:60]
    if len(columns) < 4:
        return InvalidFile(path, number, f"{what!r} is not a row `{_FORM}`; fix it")
    channel, start, duration, label = columns[:4]
    if label.upper().startswith("<ALT"):
        return InvalidFile(path, number, f"{what!r}: alternatives are not read; keep one of them")
    if channel not in _CHANNELS:
        message = (
            f"{what!r} is of channel {channel[:20]}, but audio of one channel is read; use the CTM of channel 1 or A"
        )
        return InvalidFile(path, number, message)
    if not (_TIME.fullmatch(start) and _TIME.fullmatch(duration)):
        return InvalidFile(path, number, f"{what!r}: start and duration are not times in seconds; fix them")
    return _Row(number, float(start), float(start) + float(duration), label)


def _in_samples(found: _Rows, header: AudioHeader, offset: int | None, notices: list[Problem]) -> Iterator[Row]:
    """Rows in samples of the utterance, without those that hold no sample, or lie in another part of the recording."""
    end_before = 0
    dropped: list[_Row] = []
    for row in found.rows:
        start, end = (to_sample(time, header.sample_rate) for time in (row.start, row.end))
        if offset is not None:
            start, end = start - offset, end - offset
            if end <= 0 or start >= header.samples:
                continue
            found.lines.add(row.line)
            if start < 0 or end > header.samples:
                message = f"{row.label[:40]!r} crosses the border of an utterance; fix the segments"
                raise InvalidFile(found.path, row.line, message)
        if start == end_before - 1:  # start and duration are rounded apart from each other
            start = end_before
        if start == end:
            dropped.append(row)
            continue
        end_before = end
        yield Row(row.line, start, end, row.label)
    if dropped and any(NON_SPEECH.name(row.label, is_phone=True) is None for row in dropped):
        message = f"{dropped[0].label[:40]!r} holds no sample and is dropped; {len(dropped)} such in all"
        topic = "rows that hold no sample are dropped"
        notices.append(Problem(found.path, dropped[0].line, message, "notice", topic))
