"""The data model of corpora that are not speech: flat arrays of elements, in splits.

A sequence is a one-dimensional array of *elements*; a *step* is a fixed number of consecutive elements:

| domain | elements of a step | type | values |
|---|---|---|---|
| pianoroll | 88, the keys of a piano from A0 to C8 | uint8 | 1 where the note sounds |
| strokes | 3: pen, dx, dy | float32 | pen is 1 at the last point of a stroke, after which the pen is lifted, else 0; |
|   |   |   | dx and dy lead from the point before to this one, dy downwards |
| words, characters | 1 | int32 | place in the vocabulary |
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lvm_probe import InputError

STEPS = {"pianoroll": 88, "strokes": 3, "words": 1, "characters": 1}
"""The domains that are not waveforms, and how many elements a step of each has."""

TEXT = ("words", "characters")
"""The domains whose elements are places in a vocabulary."""

EVERYTHING = "everything"
"""The name of the only split of a corpus that is not divided."""

DTYPES: dict[str, Any] = {"pianoroll": np.uint8, "strokes": np.float32, "words": np.int32, "characters": np.int32}


@dataclass(frozen=True, eq=False, slots=True)
class SequenceRecording:
    """One sequence; what training and evaluation need of it (`lvm_probe.models.batches.Recording`).

    Args:
        name: unique in the corpus; seeds the sequence's noise.
        values: the elements in order, of the domain's type, whole steps.

    Example:
        >>> chords = np.zeros((3, 88), np.uint8)
        >>> SequenceRecording("train/1", chords.ravel()).samples
        264
    """

    name: str
    values: np.ndarray

    @property
    def samples(self) -> int:
        """Length in elements."""
        return len(self.values)

    def read(self, start: int, stop: int) -> np.ndarray:
        """The elements [start, stop)."""
        return self.values[start:stop]


@dataclass(frozen=True, eq=False, repr=False)
class SequenceCorpus:
    """A corpus as `open_sequences` reads it.

    Args:
        root: its file or folder.
        domain: one of `STEPS`.
        splits: sequences by split: train, valid and test where the files have them, else `everything`.
        vocabulary: of words and characters, the token of each number; of other domains empty.
        notices: one line for each thing that was left out, decided by a rule, or looks odd.

    Raises:
        InputError: the domain is unknown, there is nothing in the corpus, two sequences share a name, or values are
            none that the domain has.

    Example:
        >>> song = SequenceRecording("train/1", np.zeros(88 * 4, np.uint8))
        >>> corpus = SequenceCorpus(Path("songs.mat"), "pianoroll", {"train": (song,)})
        >>> corpus.step, corpus.steps("train")
        (88, 4)
    """

    root: Path
    domain: str
    splits: Mapping[str, tuple[SequenceRecording, ...]]
    vocabulary: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.domain not in STEPS:
            raise InputError(f"unknown domain {self.domain!r}; choose one of {', '.join(STEPS)}")
        if bool(self.vocabulary) != (self.domain in TEXT):
            raise InputError(f"{self.root}: words and characters need a vocabulary, other domains have none")
        if not any(self.splits.values()):
            raise InputError(f"{self.root}: holds no sequences; restore it")
        names: set[str] = set()
        for recordings in self.splits.values():
            for recording in recordings:
                if recording.name in names:
                    raise InputError(f"{self.root}: two sequences are named {recording.name}; rename one")
                names.add(recording.name)
                self._check(recording)

    def _check(self, recording: SequenceRecording) -> None:
        """Raise InputError unless the values are those of the domain."""
        values = recording.values
        what = f"{self.root}: sequence {recording.name}"
        if values.ndim != 1 or values.dtype != DTYPES[self.domain] or not len(values) or len(values) % self.step:
            expected = f"one dimension of {np.dtype(DTYPES[self.domain])} in whole steps of {self.step}"
            raise InputError(f"{what}: shape {values.shape} of {values.dtype}, expected {expected}")
        match self.domain:
            case "pianoroll":
                if values.max() > 1:
                    raise InputError(f"{what}: {values.max()} is neither 0 nor 1; a note sounds or it does not")
            case "strokes":
                pens = values[::3]
                if not np.isfinite(values).all():
                    raise InputError(f"{what}: its points are not all finite numbers; fix the file")
                if not np.isin(pens, (0, 1)).all():
                    raise InputError(f"{what}: a pen state is neither 0 nor 1; the order is pen, dx, dy")
            case _:
                if values.min() < 0 or values.max() >= len(self.vocabulary):
                    raise InputError(f"{what}: a token is outside the vocabulary of {len(self.vocabulary):,}")

    def __repr__(self) -> str:
        sizes = ", ".join(f"{len(self.splits[name]):,} {name} ({self.steps(name):,} steps)" for name in self.splits)
        return f"SequenceCorpus {self.root} ({self.domain}): {sizes}"

    @property
    def step(self) -> int:
        """Elements of a step."""
        return STEPS[self.domain]

    def steps(self, split: str) -> int:
        """Steps of all sequences of a split."""
        return sum(recording.samples for recording in self.recordings(split)) // self.step

    def recordings(self, split: str) -> tuple[SequenceRecording, ...]:
        """The sequences of a split; raises InputError, which names the splits there are, if there is none such."""
        if not self.splits.get(split):
            known = ", ".join(name for name in self.splits if self.splits[name])
            raise InputError(f"{self.root}: no split {split!r}; it has {known}")
        return self.splits[split]

    def divided(
        self, split: str | None, validation_share: float, test_share: float, seed: int
    ) -> dict[str, tuple[SequenceRecording, ...]]:
        """What training uses: `train`, `valid`, which chooses the checkpoint, and `test`, which chooses nothing.

        They are the splits of the files where these have them. Otherwise whole sequences are held out at random.

        Args:
            split: to train on; None for `train`, or for everything where there is one split.
            validation_share: of the training sequences, held out where there is no split `valid`.
            test_share: of them, held out where there is no split `test`; none for 0.
            seed: of the choice.

        Raises:
            InputError: if there is no such split, or nothing would be left to train on or to validate with.

        Example:
            >>> songs = tuple(SequenceRecording(str(i), np.zeros(88, np.uint8)) for i in range(20))
            >>> corpus = SequenceCorpus(Path("songs.mat"), "pianoroll", {"everything": songs})
            >>> {name: len(part) for name, part in corpus.divided(None, 0.1, 0.2, 0).items()}
            {'train': 14, 'valid': 2, 'test': 4}
        """
        present = [name for name in self.splits if self.splits[name]]
        if split is None and "train" not in present and len(present) > 1:
            raise InputError(f"{self.root}: splits {', '.join(present)}; name the one to train on with --split")
        chosen = split or ("train" if "train" in present else present[0])
        train = list(self.recordings(chosen))
        parts: dict[str, tuple[SequenceRecording, ...]] = {}
        order = np.random.default_rng(seed).permutation(len(train))
        for name, share in (("valid", validation_share), ("test", test_share)):
            if name in present and name != chosen:
                parts[name] = self.splits[name]
                continue
            size = math.ceil(share * len(train)) if share else 0
            held, order = order[:size], order[size:]
            parts[name] = tuple(train[i] for i in sorted(held))
        kept = tuple(train[i] for i in sorted(order))
        if not kept or not parts["valid"]:
            few = f"{self.root}: {len(train):,} sequences of {chosen}"
            raise InputError(f"{few} leave none to train on or to validate with; hold fewer out")
        return {"train": kept} | parts

    def fingerprint(self) -> str:
        """SHA-256 (hex) over the domain, the vocabulary, and the split, name and values of every sequence."""
        digest = hashlib.sha256(json.dumps([self.domain, self.vocabulary]).encode())
        for split, recordings in sorted(self.splits.items()):
            for recording in recordings:
                little_endian = recording.values.astype(recording.values.dtype.newbyteorder("<"), copy=False)
                digest.update(json.dumps([split, recording.name, recording.samples]).encode())
                digest.update(np.ascontiguousarray(little_endian).tobytes())
        return digest.hexdigest()


def numbered(split: str, sequences: Iterable[np.ndarray], notices: list[str]) -> tuple[SequenceRecording, ...]:
    """Name the sequences of a split by their places in the file, from 1; empty ones are left out with a notice."""
    recordings = []
    empty = []
    for number, values in enumerate(sequences, start=1):
        if len(values):
            recordings.append(SequenceRecording(f"{split}/{number}", values))
        else:
            empty.append(number)
    if empty:
        first = ", ".join(str(number) for number in empty[:3])
        notices.append(f"left out {len(empty):,} empty sequences of {split}: {first}{' ...' if empty[3:] else ''}")
    return tuple(recordings)


def offset_statistics(recordings: Sequence[SequenceRecording]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of dx and dy over all points of pen strokes, in float64, two values each.

    Example:
        >>> line = SequenceRecording("line", np.array([0, 1, 2, 1, 3, 2], np.float32))
        >>> [part.tolist() for part in offset_statistics([line])]
        [[2.0, 2.0], [1.0, 0.0]]
    """
    offsets = np.concatenate([recording.values.reshape(-1, 3)[:, 1:] for recording in recordings]).astype(np.float64)
    return offsets.mean(0), offsets.std(0)
