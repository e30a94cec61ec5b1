"""The nouns of a corpus: segments, utterances, speakers, and what was wrong with the files.

Time is integer sample positions of the audio file's own rate, ends exclusive. What a corpus does not
say is `None`, never a made-up number.
"""

import hashlib
import json
import math
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Literal

from lvm_probe import InputError

Gender = Literal["F", "M"]
Severity = Literal["error", "notice"]


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """A labelled stretch of audio: samples [start, end)."""

    label: str
    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise InputError(
                f"segment {self.label!r} spans samples {self.start} to {self.end}: "
                "it needs 0 <= start < end; mend the annotation"
            )

    @property
    def samples(self) -> int:
        """Duration in samples."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who speaks. `height_cm` in centimetres; `None` where the corpus does not say."""

    id: str
    gender: Gender | None = None
    height_cm: float | None = None
    dialect: str | None = None

    def __post_init__(self) -> None:
        if not self.id:
            raise InputError("a speaker without an id: name the speaker in the folder or the file name")
        if self.gender not in ("F", "M", None):
            raise InputError(f"speaker {self.id}: gender {self.gender!r} is none of F, M or unknown")
        if self.height_cm is not None and not (math.isfinite(self.height_cm) and self.height_cm > 0):
            raise InputError(f"speaker {self.id}: height {self.height_cm} cm is no height; leave it out instead")


@dataclass(frozen=True, slots=True)
class Stamp:
    """A file as it was found: its size in bytes and when it was last written to (ns); negative where there is none."""

    path: Path
    size: int
    written: int

    @classmethod
    def of(cls, path: Path) -> "Stamp":
        """The file as it is now."""
        try:
            status = path.stat()
        except OSError:
            return cls(path, -1, -1)
        return cls(path, status.st_size, status.st_mtime_ns)

    def change(self) -> str | None:
        """What has happened to the file since, if anything."""
        now = Stamp.of(self.path)
        return None if now == self else f"{'gone' if now.size < 0 else 'changed'} since the corpus was opened"


@dataclass(frozen=True)
class Utterance:
    """One recording and its alignments, in samples of the audio file's own rate.

    `id` is unique within the corpus: `FVMH0_SX116` (TIMIT), `103-1240-0000` (LibriSpeech). Phonemes are
    ordered and disjoint. Words are ordered by their start and may overlap, as they do in TIMIT. `files` are those
    that this was read from, as they were before.
    """

    id: str
    speaker: Speaker
    audio: Path
    samples: int
    sample_rate: int
    split: str | None = None
    phonemes: tuple[Segment, ...] = ()
    words: tuple[Segment, ...] = ()
    text: str | None = None
    files: tuple[Stamp, ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.id:
            raise InputError(f"{self.audio}: an utterance without an id; give the file a name")
        if self.samples < 1 or self.sample_rate < 1:
            raise InputError(f"{self.audio}: {self.samples} samples at {self.sample_rate} Hz hold no sound")
        for before, after in pairwise(self.phonemes):
            if after.start < before.end:
                raise InputError(f"{self.audio}: phonemes {before} and {after} overlap or are out of order")
        for before, after in pairwise(self.words):
            if after.start < before.start:
                raise InputError(f"{self.audio}: words {before} and {after} are out of order")
        last = max((segment.end for segment in (*self.phonemes, *self.words)), default=0)
        if last > self.samples:
            raise InputError(f"{self.audio}: the alignment ends at sample {last}, the audio at {self.samples}")

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.samples / self.sample_rate

    def check_unchanged(self) -> None:
        """Raise InputError when one of the files that this was read from is no longer as it was."""
        for stamp in self.files:
            if what := stamp.change():
                raise InputError(f"{stamp.path}: {what}; run again when nobody writes to the corpus")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a file. An "error" left its utterance out; a "notice" kept it. `line` from 1."""

    path: Path
    line: int | None
    message: str
    severity: Severity

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else f"{self.path}"
        text = f"{where}: {self.message}"
        return text.encode(errors="backslashreplace").decode()  # names that are not UTF-8 stay printable


@dataclass(frozen=True)
class Corpus:
    """The utterances under `root`, sorted by id, and the problems met on the way."""

    name: str
    root: Path
    utterances: tuple[Utterance, ...]
    problems: tuple[Problem, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "utterances", tuple(sorted(self.utterances, key=lambda u: u.id)))
        for before, after in pairwise(self.utterances):
            if before.id == after.id:
                raise InputError(f"{after.audio}: utterance id {after.id} is that of {before.audio} too; rename one")
        described: dict[str, Speaker] = {}
        for utterance in self.utterances:
            speaker = utterance.speaker
            if described.setdefault(speaker.id, speaker) != speaker:
                raise InputError(f"{utterance.audio}: speaker {speaker.id} is described in two ways in this corpus")

    @cached_property
    def speakers(self) -> tuple[Speaker, ...]:
        """Each speaker once, sorted by id."""
        unique = {utterance.speaker.id: utterance.speaker for utterance in self.utterances}
        return tuple(unique[id] for id in sorted(unique))

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits, sorted; utterances outside any split have `None` and are not named."""
        return tuple(sorted({utterance.split for utterance in self.utterances if utterance.split is not None}))

    @property
    def seconds(self) -> float:
        """Audio in seconds."""
        return math.fsum(utterance.seconds for utterance in self.utterances)

    def fingerprint(self) -> str:
        """SHA-256 (hex) of ids, lengths, rates, splits, texts, segments, speakers and audio file sizes.

        It does not depend on where the corpus lies and does not read the audio, so it is fast; a change
        of samples that keeps the file's size goes unseen. Raises InputError when a file has gone.
        """
        digest = hashlib.sha256()
        for utterance in self.utterances:
            try:
                size = utterance.audio.stat().st_size
            except OSError as error:
                raise InputError(f"{utterance.audio}: gone since the corpus was opened; open it again") from error
            speaker = utterance.speaker
            row = [
                utterance.id,
                utterance.samples,
                utterance.sample_rate,
                size,
                utterance.split,
                utterance.text,
                [speaker.id, speaker.gender, speaker.height_cm, speaker.dialect],
                [[s.label, s.start, s.end] for s in utterance.phonemes],
                [[s.label, s.start, s.end] for s in utterance.words],
            ]
            digest.update(json.dumps(row, separators=(",", ":")).encode() + b"\n")
        return digest.hexdigest()

    def changed(self) -> list[str]:
        """What has changed since the corpus was opened, each file once in a line; reads none of them."""
        stamps = {stamp.path: stamp for utterance in self.utterances for stamp in utterance.files}
        return [f"{path}: {what}" for path, stamp in stamps.items() if (what := stamp.change())]

    def select(self, *, split: str | None = None, speakers: Collection[str] | None = None) -> "Corpus":
        """The corpus restricted to one split, to some speakers (ids), or both; problems are kept.

        Raises InputError when a split or a speaker is not in the corpus, or when nothing is left.
        """
        if isinstance(speakers, str):
            speakers = (speakers,)
        if split is not None and split not in self.splits:
            known = ", ".join(self.splits) or "none: its utterances belong to no split"
            raise InputError(f"{self.root}: no split {split!r} in this corpus; it has {known}")
        if speakers is not None and (strangers := set(speakers) - {s.id for s in self.speakers}):
            known = _some([s.id for s in self.speakers])
            raise InputError(f"{self.root}: no speaker {_some(sorted(strangers))} in this corpus; it has {known}")
        kept = tuple(
            utterance
            for utterance in self.utterances
            if (split is None or utterance.split == split) and (speakers is None or utterance.speaker.id in speakers)
        )
        if not kept:
            raise InputError(f"{self.root}: no utterance of these speakers in split {split!r}; choose others")
        return replace(self, utterances=kept)


def _some(names: list[str], at_most: int = 8) -> str:
    """`a, b, c ... (n in all)`: enough to recognise a list in one line."""
    shown = ", ".join(names[:at_most])
    return shown if len(names) <= at_most else f"{shown} ... ({len(names)} in all)"
