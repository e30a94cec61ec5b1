"""Piano rolls as MIDI files, and as sound synthesised by NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from lvm_probe import InputError
from lvm_probe.models.io.files import write_atomically
from lvm_probe.probing.corpora.sequences.midi import STEPS_PER_BEAT, mido
from lvm_probe.probing.corpora.sequences.pianoroll_pickle import LOWEST
from lvm_probe.probing.corpora.sequences.sequence_corpus import STEPS

SAMPLE_RATE = 22_050
"""Of the sound, in Hz."""

SECONDS_PER_STEP = 0.25
"""Of the sound and of the MIDI file: an eighth note at 120 beats a minute."""

_TICKS_PER_BEAT = 480
_VELOCITY = 80
_HARMONICS = ((1, 1.0), (2, 0.5), (3, 0.25), (4, 0.12))
_ATTACK, _RELEASE, _DECAY = 0.005, 0.06, 0.8  # seconds: to full loudness, after the note, and to 37 % while it is held


def held_notes(values: np.ndarray) -> list[tuple[int, int, int]]:
    """The notes of a piano roll: first step, the step after the last, and MIDI number, in the order of their starts.

    A roll does not say whether a note that sounds in consecutive steps is struck again: it is one note here.

    Raises:
        InputError: there are no steps, or the elements are no whole steps of zeros and ones.

    Example:
        >>> held_notes(np.eye(3, 88, 60, dtype=np.uint8).ravel())
        [(0, 1, 81), (1, 2, 82), (2, 3, 83)]
    """
    keys = STEPS["pianoroll"]
    elements = np.asarray(values)
    if not len(elements) or len(elements) % keys or not np.isin(elements, (0, 1)).all():
        raise InputError(f"a piano roll needs zeros and ones in whole steps of {keys}, at least one step")
    edges = np.diff(elements.reshape(-1, keys).astype(np.int8), axis=0, prepend=0, append=0)
    starts, ends = np.argwhere(edges.T == 1), np.argwhere(edges.T == -1)
    notes = [(int(first), int(last), int(key) + LOWEST) for (key, first), (_, last) in zip(starts, ends, strict=True)]
    return sorted(notes)


def write_midi(path: Path, values: np.ndarray) -> None:
    """Write a piano roll as a MIDI file of type 0, eighth notes at 120 beats a minute.

    Args:
        path: ends in .mid; written whole or not at all.
        values: elements of every step.

    Raises:
        InputError: mido is not installed, or the elements are no piano roll.
    """
    library = mido()
    ticks = _TICKS_PER_BEAT // STEPS_PER_BEAT
    # At one time, notes end before others begin: a note after another of its key is not cut off.
    events = [(last * ticks, 0, number) for _, last, number in held_notes(values)]
    events += [(first * ticks, 1, number) for first, _, number in held_notes(values)]
    song = library.MidiFile(type=0, ticks_per_beat=_TICKS_PER_BEAT)
    track = song.add_track()
    now = 0
    for at, begins, number in sorted(events):
        kind = "note_on" if begins else "note_off"
        track.append(library.Message(kind, note=number, velocity=_VELOCITY if begins else 0, time=at - now))
        now = at
    with write_atomically(path) as temporary:
        song.save(str(temporary))


def synthesise(values: np.ndarray) -> np.ndarray:
    """The sound of a piano roll: decaying tones of four harmonics, in equal temperament with A4 at 440 Hz.

    Args:
        values: elements of every step.

    Returns:
        float64 in [-0.9, 0.9] at `SAMPLE_RATE`, `SECONDS_PER_STEP` for each step and the last notes' decay.
    """
    steps = len(values) // STEPS["pianoroll"]
    per_step = round(SECONDS_PER_STEP * SAMPLE_RATE)
    release = round(_RELEASE * SAMPLE_RATE)
    sound = np.zeros(steps * per_step + release)
    for first, last, number in held_notes(values):
        held = (last - first) * per_step
        time = np.arange(held + release) / SAMPLE_RATE
        hertz = 440 * 2 ** ((number - 69) / 12)
        tone = sum(
            share * np.sin(2 * np.pi * harmonic * hertz * time)
            for harmonic, share in _HARMONICS
            if harmonic * hertz < SAMPLE_RATE / 2
        )
        loudness = np.minimum(time / _ATTACK, 1) * np.exp(-time / _DECAY)
        loudness[held:] *= np.linspace(1, 0, release)
        sound[first * per_step : first * per_step + len(time)] += tone * loudness
    peak = np.abs(sound).max()
    return sound * (0.9 / peak) if peak > 0 else sound


def write_wav(path: Path, values: np.ndarray) -> None:
    """Write the sound of a piano roll as 16-bit WAV.

    Args:
        path: ends in .wav; written whole or not at all.
        values: elements of every step.
    """
    sound = synthesise(values)
    with write_atomically(path) as temporary:
        soundfile.write(str(temporary), sound, SAMPLE_RATE, subtype="PCM_16", format="WAV")
