"""The data model of a corpus: segments, speakers, utterances, and problems found in the files.

Positions are integer samples at the audio file's own rate, with exclusive ends. What a corpus does not say is `None`.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from lvm_probe import InputError

Gender = Literal["F", "M"]
Severity = Literal["error", "notice"]


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """A labelled stretch of audio.

    Args:
        label: phone, word or text.
        start: first sample.
        end: the sample after the last one.

    Raises:
        InputError: unless 0 <= start < end.

    Example:
        >>> Segment("sh", 1000, 2400).samples
        1400
    """

    label: str
    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise InputError(
                f"segment {self.label!r} spans samples {self.start} to {self.end}: "
                "it needs 0 <= start < end; fix the annotation"
            )

    @property
    def samples(self) -> int:
        """Duration in samples."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Speaker:
    """A speaker; everything but the id is `None` where the corpus does not say.

    Args:
        id: unique within the corpus; of TIMIT speakers the folder name in upper case with the sex letter (`FVMH0`).
        gender: "F" or "M".
        height_cm: body height in centimetres.
        dialect: dialect region, such as TIMIT's "DR1".
        age: in years.

    Raises:
        InputError: the id is empty, the gender is none of the two, the height is not between 30 and 300 cm, or the age
            is not a positive number.

    Example:
        >>> Speaker("FVMH0", gender="F", height_cm=165.1).dialect is None
        True
    """

    id: str
    gender: Gender | None = None
    height_cm: float | None = None
    dialect: str | None = None
    age: float | None = None

    def __post_init__(self) -> None:
        if not self.id:
            raise InputError("a speaker has an empty id; name the speaker in the folder or file name")
        if self.gender not in ("F", "M", None):
            raise InputError(f"speaker {self.id}: unknown gender {self.gender!r}; use F, M or None")
        if self.height_cm is not None and not 30 <= self.height_cm <= 300:
            message = f"speaker {self.id}: {self.height_cm} cm is not a person's height"
            raise InputError(f"{message}; give centimetres, or leave it out if it is unknown")
        if self.age is not None and not (math.isfinite(self.age) and self.age > 0):
            message = f"speaker {self.id}: {self.age} years is not an age"
            raise InputError(f"{message}; give years, or leave it out if it is unknown")


@dataclass(frozen=True, slots=True)
class FileState:
    """Size in bytes and modification time in ns of a file when the corpus was opened; both -1 if it did not exist."""

    path: Path
    size: int
    modified: int

    @classmethod
    def now(cls, path: Path) -> "FileState":
        """The file's present state."""
        try:
            status = path.stat()
        except OSError:
            return cls(path, -1, -1)
        return cls(path, status.st_size, status.st_mtime_ns)

    def change(self) -> str | None:
        """How the file differs from this state, in words; `None` if it does not."""
        now = FileState.now(self.path)
        return None if now == self else f"{'gone' if now.size < 0 else 'changed'} since the corpus was opened"


@dataclass(frozen=True)
class Utterance:
    """One recording and its alignment.

    Args:
        id: unique within the corpus: `FVMH0_SX116` (TIMIT), `103-1240-0000` (LibriSpeech).
        speaker: who speaks.
        audio: the audio file.
        samples: its length in samples.
        sample_rate: rate of the audio file in Hz; all positions are in its samples, from the start of the utterance.
        split: such as "train" or "test".
        phonemes: phones in order, without overlaps; pauses are among them (see `phones.NON_PHONEMES`).
        words: words ordered by their start; they may overlap, as TIMIT's do.
        text: what is said, as a sentence.
        prompt: what was to be read, where speakers share prompts: TIMIT's sentence (`SX116`), or the text.
        offset: the utterance's first sample in an audio file that holds several; None if the whole file is one.
        non_speech: labels of noises and unknown words, and of words that are pauses, as written: they are no words,
            and `spn` or a pause among the phonemes (see `non_speech.py`).
        files: the state of every file that this was read from, from before it was read.

    Raises:
        InputError: the id is empty, there is no audio, or segments are out of order, overlap or exceed the audio.

    Example:
        >>> utterance = Utterance("anna_1", Speaker("anna"), Path("anna/1.wav"), samples=8000, sample_rate=16000)
        >>> utterance.seconds
        0.5
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
    prompt: str | None = None
    offset: int | None = None
    non_speech: tuple[str, ...] = ()
    files: tuple[FileState, ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.id:
            raise InputError(f"{self.audio}: the utterance's id is empty; give the file a name")
        if self.samples < 1 or self.sample_rate < 1:
            raise InputError(f"{self.audio}: {self.samples} samples at {self.sample_rate} Hz; both must be positive")
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
        """Raise InputError if one of the files that this was read from has changed or gone."""
        for state in self.files:
            if change := state.change():
                raise InputError(f"{state.path}: {change}; run again while the corpus is not being written to")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a file.

    Attributes:
        path: the file.
        line: counts from 1; None if unknown.
        message: what was found, and the cure.
        severity: an "error" leaves its utterance out, a "notice" does not.
        topic: what the notices of several files have in common, if their messages differ; they become one line.
    """

    path: Path
    line: int | None
    message: str
    severity: Severity
    topic: str = ""

    def __str__(self) -> str:
        location = f"{self.path}:{self.line}" if self.line else f"{self.path}"
        text = f"{location}: {self.message}"
        return text.encode(errors="backslashreplace").decode()  # file names that are not UTF-8 stay printable


@dataclass(frozen=True, repr=False)
class Corpus:
    """A corpus as `open_corpus` reads it.

    Args:
        name: the layout, such as "timit".
        root: its folder.
        utterances: in any order; the attribute is sorted by id.
        problems: what was wrong with the files.
        only_split: the split that was selected, None for all.
        only_speakers: the speakers that were selected, None for all.
        moved_ms: standard deviation by which the boundaries were moved at random, in milliseconds; None if they were
            not.

    Raises:
        InputError: two utterances have the same id, or a speaker is described in two ways.

    Example:
        >>> anna, bert = Speaker("anna", "F"), Speaker("bert", "M")
        >>> second = Utterance("b_1", bert, Path("b.wav"), 8000, 16000)
        >>> first = Utterance("a_1", anna, Path("a.wav"), 8000, 16000)
        >>> corpus = Corpus("textgrid", Path("corpus"), (second, first))
        >>> [utterance.id for utterance in corpus.utterances], corpus.seconds
        (['a_1', 'b_1'], 1.0)
        >>> corpus.select(speakers=["bert"]).speakers
        (Speaker(id='bert', gender='M', height_cm=None, dialect=None, age=None),)
    """

    name: str
    root: Path
    utterances: tuple[Utterance, ...]
    problems: tuple[Problem, ...] = ()
    only_split: str | None = None
    only_speakers: tuple[str, ...] | None = None
    moved_ms: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "utterances", tuple(sorted(self.utterances, key=lambda u: u.id)))
        for before, after in pairwise(self.utterances):
            if before.id == after.id:
                raise InputError(f"{after.audio}: has the same utterance id {after.id} as {before.audio}; rename one")
        described: dict[str, Speaker] = {}
        for utterance in self.utterances:
            speaker = utterance.speaker
            if described.setdefault(speaker.id, speaker) != speaker:
                raise InputError(f"{utterance.audio}: speaker {speaker.id} is described in two ways in this corpus")

    def __repr__(self) -> str:
        genders = Counter(speaker.gender or "unknown gender" for speaker in self.speakers)
        by_gender = ", ".join(f"{count} {gender}" for gender, count in sorted(genders.items()))
        phonemes, words = (sum(len(getattr(u, kind)) for u in self.utterances) for kind in ("phonemes", "words"))
        lines = [
            f"Corpus {self.root} ({self.name})",
            f"  utterances  {len(self.utterances):,}, {self.seconds / 60:.1f} minutes",
            f"  speakers    {len(self.speakers):,} ({by_gender})",
            f"  segments    {phonemes:,} phonemes, {words:,} words",
        ]
        if self.problems:
            lines.append(f"  problems    {len(self.problems):,}, listed in .problems")
        return "\n".join(lines)

    @cached_property
    def speakers(self) -> tuple[Speaker, ...]:
        """Each speaker once, sorted by id."""
        unique = {utterance.speaker.id: utterance.speaker for utterance in self.utterances}
        return tuple(unique[id] for id in sorted(unique))

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits, sorted; utterances that belong to no split have `None` and add no name."""
        return tuple(sorted({utterance.split for utterance in self.utterances if utterance.split is not None}))

    @property
    def seconds(self) -> float:
        """Total duration in seconds."""
        return math.fsum(utterance.seconds for utterance in self.utterances)

    def fingerprint(self) -> str:
        """SHA-256 (hex) over ids, lengths, rates, splits, texts, segments, speakers and audio file sizes.

        It does not depend on the corpus's location. It does not read the audio, so it is fast, but a change of the
        audio that keeps the file's size goes unnoticed.

        Raises:
            InputError: an audio file no longer exists.
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
            # Appended only where known, so that the fingerprint of other corpora stays that of earlier tables.
            row += [] if speaker.age is None else [speaker.age]
            row += [] if utterance.offset is None else [utterance.offset]
            digest.update(json.dumps(row, separators=(",", ":")).encode() + b"\n")
        return digest.hexdigest()

    def changed(self) -> list[str]:
        """One line for each file that has changed or gone since the corpus was opened; reads none of them."""
        states = {state.path: state for utterance in self.utterances for state in utterance.files}
        return [f"{path}: {change}" for path, state in states.items() if (change := state.change())]

    def select(self, *, split: str | None = None, speakers: Collection[str] | None = None) -> "Corpus":
        """The part of the corpus in one split, of some speakers, or both; problems are kept.

        Args:
            split: the split to keep; None keeps all.
            speakers: ids of the speakers to keep; None keeps all.

        Raises:
            InputError: the corpus lacks the split or a speaker, or nothing is left.
        """
        if isinstance(speakers, str):
            speakers = (speakers,)
        if split is not None and split not in self.splits:
            known = ", ".join(self.splits) or "none: its utterances belong to no split"
            raise InputError(f"{self.root}: no split {split!r} in this corpus; it has {known}")
        if speakers is not None and (unknown := set(speakers) - {s.id for s in self.speakers}):
            known = abbreviated([s.id for s in self.speakers])
            raise InputError(f"{self.root}: no speaker {abbreviated(sorted(unknown))} in this corpus; it has {known}")
        selected = tuple(
            utterance
            for utterance in self.utterances
            if (split is None or utterance.split == split) and (speakers is None or utterance.speaker.id in speakers)
        )
        if not selected:
            where = "" if split is None else f" in split {split!r}"
            raise InputError(f"{self.root}: no utterance of these speakers{where}; choose others")
        return replace(
            self,
            utterances=selected,
            only_split=self.only_split if split is None else split,
            only_speakers=self.only_speakers if speakers is None else tuple(sorted(set(speakers))),
        )

    def with_moved_boundaries(self, std_ms: float, seed: int = 0) -> "Corpus":
        """The corpus with every boundary of phones and words moved at random, to see what errors of alignment do.

        Each boundary takes one draw, also where several segments meet there. None moves further than halfway to the
        next boundary, so that all segments remain; those at the ends of a recording stay.

        Args:
            std_ms: standard deviation of the draws, which are normal, in milliseconds.
            seed: of the draws; those of an utterance depend on it and on the utterance's id alone.

        Raises:
            InputError: the standard deviation is not a positive number, or the boundaries were moved before.

        Example:
            >>> phones = (Segment("s", 0, 3000), Segment("iy", 3000, 6000))
            >>> one = Utterance("a_1", Speaker("anna"), Path("a.wav"), 8000, 16000, phonemes=phones)
            >>> moved = Corpus("textgrid", Path("corpus"), (one,)).with_moved_boundaries(10)
            >>> moved.utterances[0].phonemes
            (Segment(label='s', start=0, end=2789), Segment(label='iy', start=2789, end=6112))
        """
        if not 0 < std_ms < math.inf:
            raise InputError(f"boundaries moved by {std_ms:g} ms: give a positive number of milliseconds, such as 20")
        if self.moved_ms is not None:
            raise InputError(f"{self.root}: its boundaries were moved by {self.moved_ms:g} ms already; open it again")
        moved = tuple(_with_moved_boundaries(utterance, std_ms, seed) for utterance in self.utterances)
        return replace(self, utterances=moved, moved_ms=float(std_ms))

    def split_speakers(self, validation_share: float, test_share: float, seed: int) -> "SpeakerSplit":
        """Divide by speaker into training, validation and test, each with both genders in proportion.

        The speakers are put into one order, which depends on them, their genders and the seed: a random permutation,
        sorted by relative rank within the gender. The first are the test speakers, the next the validation speakers, so
        that the test speakers do not depend on the validation share.

        Args:
            validation_share: share of the speakers that choose the checkpoint, above 0; at least one speaker.
            test_share: share of the speakers that choose nothing; at least one speaker, or with 0 none.
            seed: of the random permutation.

        Raises:
            InputError: a share is out of range, or no speaker would remain to train on.

        Example:
            >>> from lvm_probe.probing.corpora.demo import CORPUS
            >>> from lvm_probe.probing.corpora.registry import open_corpus
            >>> split = open_corpus(CORPUS).split_speakers(0.2, 0.1, seed=0)
            >>> len(split.train.speakers), len(split.validation.speakers), len(split.test.speakers)
            (7, 2, 1)
        """
        for name, share in (("validation", validation_share), ("test", test_share)):
            if not (0 < share < 1 or (name == "test" and share == 0)):
                raise InputError(f"the share of {name} speakers is {share}; it must lie between 0 and 1")
        n = len(self.speakers)
        shuffled = [self.speakers[i] for i in np.random.default_rng(seed).permutation(n)]
        by_gender: dict[str | None, list[str]] = {}
        for speaker in shuffled:
            by_gender.setdefault(speaker.gender, []).append(speaker.id)
        # Sorted by relative rank within their gender, the first speakers hold each gender in proportion, however many.
        ranked = sorted(
            ((rank + 0.5) / len(ids), order, id)
            for order, ids in enumerate(by_gender.values())
            for rank, id in enumerate(ids)
        )
        ordered = [id for _, _, id in ranked]
        tested = max(1, round(test_share * n)) if test_share else 0
        first = tested + max(1, round(validation_share * n))
        if first >= n:
            raise InputError(
                f"{self.root}: {n} speaker{'s' if n > 1 else ''}, of which {first} would be held out "
                f"({first - tested} for validation, {tested} for the test): none remains to train on; "
                "hold fewer out (the test may have none), or add speakers"
            )
        test = self.select(speakers=ordered[:tested]) if tested else replace(self, utterances=(), only_speakers=())
        return SpeakerSplit(self.select(speakers=ordered[first:]), self.select(speakers=ordered[tested:first]), test)


def _with_moved_boundaries(utterance: Utterance, std_ms: float, seed: int) -> Utterance:
    """Move each boundary by one draw, at most halfway to its neighbours."""
    segments = (*utterance.phonemes, *utterance.words)
    places = np.array(sorted({0, utterance.samples, *(place for one in segments for place in (one.start, one.end))}))
    draws = np.random.default_rng([seed, *utterance.id.encode()]).normal(size=len(places) - 2)
    inner = places[1:-1] + np.round(draws * std_ms * utterance.sample_rate / 1000).astype(int)
    halfway = (places[:-1] + places[1:]) // 2
    new = dict(zip(places.tolist(), [0, *np.clip(inner, halfway[:-1] + 1, halfway[1:]).tolist(), utterance.samples],
                   strict=True))  # fmt: skip

    def moved(some: tuple[Segment, ...]) -> tuple[Segment, ...]:
        return tuple(replace(one, start=new[one.start], end=new[one.end]) for one in some)

    return replace(utterance, phonemes=moved(utterance.phonemes), words=moved(utterance.words))


class SpeakerSplit(NamedTuple):
    """The parts of a corpus that `Corpus.split_speakers` makes; no speaker is in two of them.

    Attributes:
        train: what a model is trained on.
        validation: what chooses among its checkpoints.
        test: what chooses nothing; without utterances if none was asked for.
    """

    train: Corpus
    validation: Corpus
    test: Corpus


def unaligned(utterances: Iterable[Utterance]) -> list[str]:
    """The ids of the utterances that have neither phones nor words."""
    return [utterance.id for utterance in utterances if not utterance.phonemes and not utterance.words]


def abbreviated(names: list[str], at_most: int = 8) -> str:
    """`a, b, c ... (n in all)`."""
    shown = ", ".join(names[:at_most])
    return shown if len(names) <= at_most else f"{shown} ... ({len(names)} in all)"
