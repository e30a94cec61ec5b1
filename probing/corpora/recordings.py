"""Recordings of a corpus as the models use them: 16-bit PCM at the model's sample rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Int16
from lvm_probe.probing.corpora.audio import (
    check_mono,
    check_resampling,
    read_audio,
    read_audio_header,
    to_pcm,
)
from lvm_probe.probing.corpora.corpus import Corpus, Speaker, Utterance

CACHED_SECONDS = 20 * 3600
"""Corpora up to this long are kept in memory once read (2.3 GB at 16 kHz); longer ones are read from disk each time."""


class UnreadableRecording(InputError):
    """A recording that turns out to be damaged, or to have changed on disk, only when its audio is read."""


def read_pcm(utterance: Utterance, sample_rate: int) -> Int16[np.ndarray, " n"]:
    """All samples of an utterance as 16-bit PCM.

    Args:
        utterance: the recording to read.
        sample_rate: the wanted rate in Hz; the audio is resampled where its own rate differs.

    Raises:
        UnreadableRecording: the audio is damaged, or one of the utterance's files has changed since the corpus was
            opened.
    """
    try:
        audio = read_audio(utterance, sample_rate)
        utterance.check_unchanged()
    except InputError as error:
        raise UnreadableRecording(str(error)) from error
    return to_pcm(audio)


def read_pcm_file(path: Path, sample_rate: int) -> Int16[np.ndarray, " n"]:
    """All samples of a mono audio file that belongs to no corpus, as 16-bit PCM at `sample_rate` (Hz).

    Raises:
        InputError: the file is missing, damaged, not mono, or of a rate that cannot be converted.
    """
    header = read_audio_header(path)
    check_mono(path, header.channels)
    check_resampling(path, header.sample_rate, sample_rate)
    return read_pcm(Utterance(path.stem, Speaker("unknown"), path, header.samples, header.sample_rate), sample_rate)


class CorpusRecording:
    """One utterance at `sample_rate` (Hz), read from its file at first use; `keep` keeps it in memory from then on."""

    def __init__(self, utterance: Utterance, sample_rate: int, keep: bool) -> None:
        self.utterance = utterance
        self.name = utterance.id
        self.sample_rate = sample_rate
        self.samples = -(-utterance.samples * sample_rate // utterance.sample_rate)
        self._keep = keep
        self._pcm: Int16[np.ndarray, " n"] | None = None

    def read(self, start: int, stop: int) -> Int16[np.ndarray, " n"]:
        """16-bit PCM of samples [start, stop) at `sample_rate`; raises UnreadableRecording as `read_pcm` does."""
        if self._pcm is not None:
            return self._pcm[start:stop]
        pcm = read_pcm(self.utterance, self.sample_rate)
        if self._keep:
            self._pcm = pcm
        return pcm[start:stop]


def open_recordings(corpus: Corpus, sample_rate: int) -> list[CorpusRecording]:
    """Every utterance of the corpus at `sample_rate` (Hz), in the corpus's order; no audio is read yet."""
    keep = corpus.seconds <= CACHED_SECONDS
    return [CorpusRecording(utterance, sample_rate, keep) for utterance in corpus.utterances]


@dataclass(frozen=True)
class LoadedRecordings:
    """The readable recordings of a corpus.

    Attributes:
        corpus: the corpus restricted to these recordings.
        recordings: one per utterance of `corpus`, in its order.
        left_out: for each unreadable recording one line that says why.
    """

    corpus: Corpus
    recordings: tuple[CorpusRecording, ...]
    left_out: tuple[str, ...] = ()


def load_recordings(
    corpus: Corpus,
    sample_rate: int,
    *,
    strict: bool = False,
    progress: Callable[[float], None] = lambda seconds: None,
) -> LoadedRecordings:
    """Read all recordings into memory and leave out those whose audio is damaged.

    Only corpora that fit in memory (up to CACHED_SECONDS) are read here. A longer one is returned whole, and its
    damaged recordings raise UnreadableRecording when they are used.

    Args:
        corpus: the corpus to read.
        sample_rate: the rate in Hz at which the recordings are wanted.
        strict: raise at the first damaged recording instead of leaving it out.
        progress: called after each recording with its duration in seconds.

    Raises:
        UnreadableRecording: with `strict`, for the first damaged recording.
        InputError: no recording can be read.
    """
    recordings = open_recordings(corpus, sample_rate)
    if corpus.seconds > CACHED_SECONDS:
        return LoadedRecordings(corpus, tuple(recordings))
    loaded: list[CorpusRecording] = []
    left_out: list[str] = []
    for recording in recordings:
        try:
            recording.read(0, 0)
        except UnreadableRecording as error:
            if strict:
                raise
            left_out.append(str(error))
        else:
            loaded.append(recording)
        progress(recording.utterance.seconds)
    if left_out and not loaded:
        raise InputError(f"{corpus.root}: none of {len(recordings)} recordings can be read; the first: {left_out[0]}")
    restricted = replace(corpus, utterances=tuple(recording.utterance for recording in loaded))
    return LoadedRecordings(restricted, tuple(loaded), tuple(left_out))
