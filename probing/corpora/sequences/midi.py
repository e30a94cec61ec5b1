"""Piano rolls from MIDI files: a folder of them, or a single one.

A step is an eighth note, as in the piano rolls of Boulanger-Lewandowski et al. (2012): the notes that sound at its
beginning, by the beats of the file, whatever the tempo. Notes are not transposed, as theirs were to C. Left out, with a
count, are percussion (channel 10), notes beyond the 88 keys and notes that end before a step begins. A folder with the
folders `train`, `valid` and `test` in it, such as theirs, has these splits, and any other `everything`.

Files are read by mido (MIT licence), an optional dependency: it is pure Python, maintained, and reads and writes the
messages themselves, in beats; pretty_midi builds on it and works in seconds.
"""

from __future__ import annotations

import io
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from lvm_probe import InputError
from lvm_probe.probing.corpora.audio import SUFFIXES
from lvm_probe.probing.corpora.intake import InvalidFile, read_bytes, walk
from lvm_probe.probing.corpora.sequences.pianoroll_pickle import LOWEST
from lvm_probe.probing.corpora.sequences.registry import Options
from lvm_probe.probing.corpora.sequences.sequence_corpus import EVERYTHING, STEPS, SequenceCorpus, SequenceRecording

DOMAINS = ("pianoroll",)

STEPS_PER_BEAT = 2
"""Steps of a quarter note."""

_PERCUSSION = 9
_MOST_STEPS = 100_000  # a damaged file may last for years
_ENDINGS = (".mid", ".midi")
_SPLITS = {"train": "train", "valid": "valid", "validation": "valid", "test": "test"}


def recognises(path: Path) -> bool:
    """A file that ends in .mid or .midi, or a folder with such files and no audio."""
    if not path.is_dir():
        return path.suffix.lower() in _ENDINGS
    found = False
    for file in walk(path):
        if file.suffix.lower() in SUFFIXES:
            return False
        found |= file.suffix.lower() in _ENDINGS
    return found


def mido() -> Any:
    """The library; raises InputError, which says how to install it, where it is missing."""
    try:
        import mido as library
    except ImportError:
        raise InputError("MIDI files need mido: pip install 'lvm-probe[midi]'") from None
    return library


def read(path: Path, options: Options) -> SequenceCorpus:
    """Every file; those that cannot be read are left out, with a notice for each."""
    single = not path.is_dir()
    files = [path] if single else sorted(file for file in walk(path) if file.suffix.lower() in _ENDINGS)
    notices = [f"sampled at eighth notes ({STEPS_PER_BEAT} steps a beat)"]
    lost: Counter[str] = Counter()
    splits: dict[str, list[SequenceRecording]] = {}
    for file in files:
        inside = Path(EVERYTHING, "1") if single else file.relative_to(path).with_suffix("")
        split = next((_SPLITS[part.lower()] for part in inside.parts[:-1] if part.lower() in _SPLITS), EVERYTHING)
        try:
            roll = piano_roll(file, lost)
        except InvalidFile as error:
            if single:
                raise
            notices.append(f"left out: {error}")
            continue
        if len(roll):
            splits.setdefault(split, []).append(SequenceRecording(inside.as_posix(), roll.ravel()))
        else:
            notices.append(f"left out: {InvalidFile(file, None, 'no notes')}")
    if not splits:
        raise InvalidFile(path, None, f"none of its MIDI files can be read; {notices[-1]}")
    if len(splits) > 1 and EVERYTHING in splits:
        first = splits[EVERYTHING][0].name
        message = f"{first} is in none of the folders train, valid and test, but others are; move it"
        raise InvalidFile(path, None, message)
    notices += [f"left out {count:,} notes {why}" for why, count in sorted(lost.items())]
    ordered = {split: tuple(splits[split]) for split in ("train", "valid", "test", EVERYTHING) if split in splits}
    return SequenceCorpus(path, "pianoroll", ordered, notices=tuple(notices))


def piano_roll(path: Path, lost: Counter[str]) -> np.ndarray:
    """Steps x 88 zeros and ones of a MIDI file.

    Args:
        path: the file.
        lost: counts the notes that are left out, by reason.

    Raises:
        InvalidFile: the file is damaged, or counts time in seconds or in independent tracks.
    """
    library = mido()
    content = read_bytes(path)
    try:
        song = library.MidiFile(file=io.BytesIO(content))
        notes = [note for track in song.tracks for note in _notes(track)]
        division, kind = song.ticks_per_beat, song.type
    except Exception as error:  # mido checks some things, and damage finds others
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        raise InvalidFile(path, None, f"is no MIDI file ({reason}); restore it") from error
    if division <= 0:
        raise InvalidFile(path, None, "counts time in seconds (SMPTE), not beats; convert it")
    if kind == 2:
        raise InvalidFile(path, None, "holds tracks that are songs of their own (type 2); save each as a file")
    spans = []
    for start, end, number, channel in notes:
        first, last = (math.ceil(ticks * STEPS_PER_BEAT / division) for ticks in (start, end))
        if channel == _PERCUSSION:
            lost["of percussion"] += 1
        elif not LOWEST <= number < LOWEST + STEPS["pianoroll"]:
            lost["beyond the 88 keys"] += 1
        elif first == last:
            lost["that end before a step begins"] += 1
        else:
            spans.append((first, last, number - LOWEST))
    steps = max((last for _, last, _ in spans), default=0)
    if steps > _MOST_STEPS:
        raise InvalidFile(path, None, f"lasts {steps:,} eighth notes; restore it")
    roll = np.zeros((steps, STEPS["pianoroll"]), np.uint8)
    for first, last, key in spans:
        roll[first:last, key] = 1
    return roll


def _notes(track: Any) -> list[tuple[int, int, int, int]]:
    """Start and end in ticks, MIDI number and channel of the notes of a track; what sounds at its end ends there."""
    notes: list[tuple[int, int, int, int]] = []
    begun: dict[tuple[int, int], list[int]] = {}
    now = 0
    for message in track:
        now += message.time
        if message.type not in ("note_on", "note_off"):
            continue
        key = (message.note, message.channel)
        if message.type == "note_on" and message.velocity:
            begun.setdefault(key, []).append(now)
        elif begun.get(key):
            notes.append((begun[key].pop(0), now, *key))
    return notes + [(start, now, *key) for key, starts in begun.items() for start in starts]
