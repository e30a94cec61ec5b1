"""Piano rolls of Boulanger-Lewandowski et al. (2012) as pickles: Nottingham, MuseData, JSB chorales, Piano-midi.de.

http://www-etud.iro.umontreal.ca/~boulanni/icml2012 A dictionary of `train`, `valid` and `test`, each a list of songs; a
song is a list of steps, a step the MIDI numbers of the notes that sound, from 21 (A0) to 108 (C8). The pickle is not
executed (`restricted_pickle.py`).
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from lvm_probe.probing.corpora.intake import InvalidFile, read_bytes
from lvm_probe.probing.corpora.sequences.registry import Options
from lvm_probe.probing.corpora.sequences.restricted_pickle import RefusedPickle, loads
from lvm_probe.probing.corpora.sequences.sequence_corpus import STEPS, SequenceCorpus, SequenceRecording, numbered

DOMAINS = ("pianoroll",)

LOWEST = 21
"""MIDI number of the lowest key, A0."""

_SPLITS = ("train", "valid", "test")
_MOST_BYTES = 1 << 30


def recognises(path: Path) -> bool:
    """A file that ends in .pickle or .pkl."""
    return path.suffix.lower() in (".pickle", ".pkl") and not path.is_dir()


def read(path: Path, options: Options) -> SequenceCorpus:
    """Every song of the file."""
    try:
        content = loads(read_bytes(path, _MOST_BYTES))
    except RefusedPickle as error:
        raise InvalidFile(path, None, f"refused, {error}; give a pickle of lists of MIDI numbers") from error
    if not isinstance(content, dict) or not any(split in content for split in _SPLITS):
        raise InvalidFile(path, None, "is no dictionary of train, valid and test; give a file of piano rolls")
    notices: list[str] = [f"the file has no {split}" for split in _SPLITS if split not in content]
    splits: dict[str, tuple[SequenceRecording, ...]] = {}
    for split in _SPLITS:
        if split in content:
            songs = _list(path, f"{split} is", content[split])
            splits[split] = numbered(split, [_elements(path, split, song) for song in songs], notices)
    return SequenceCorpus(path, "pianoroll", splits, notices=tuple(notices))


def _list(path: Path, what: str, value: Any) -> list[Any]:
    if not isinstance(value, list | tuple | np.ndarray):
        raise InvalidFile(path, None, f"{what} a {type(value).__name__} where a list belongs; fix the file")
    return list(value)


def _elements(path: Path, split: str, song: Any) -> np.ndarray:
    """The elements of one song."""
    steps = [_list(path, f"a step of {split} is", step) for step in _list(path, f"a song of {split} is", song)]
    keys = STEPS["pianoroll"]
    notes = list(chain.from_iterable(steps))
    for note in notes:
        number = isinstance(note, int | np.integer) and not isinstance(note, bool)
        if not number or not LOWEST <= note < LOWEST + keys:
            message = f"note {str(note)[:20]} in {split} is no MIDI number from 21 (A0) to 108 (C8); fix the file"
            raise InvalidFile(path, None, message)
    roll = np.zeros((len(steps), keys), np.uint8)
    roll[np.repeat(np.arange(len(steps)), [len(step) for step in steps]), np.array(notes, int) - LOWEST] = 1
    return roll.ravel()
