"""A corpus as the models see it: recordings of 16-bit PCM at the model's rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Int16
from lvm_probe.probing.corpora.audio import check_rates, not_mono, probe_audio, read_audio, to_pcm
from lvm_probe.probing.corpora.corpus import Corpus, Speaker, Utterance

CACHED_SECONDS = 20 * 3600
"""Corpora up to this long are kept in memory as they are read (2.3 GB at 16 kHz); longer ones are read each time."""


class Unreadable(InputError):
    """This recording's audio is damaged, or was changed under our hands, which shows only when it is read."""


class CorpusRecording:
    """One utterance at `sample_rate`; read from its file at first use."""

    def __init__(self, utterance: Utterance, sample_rate: int, keep: bool) -> None:
        self.utterance = utterance
        self.name = utterance.id
        self.sample_rate = sample_rate
        self.samples = -(-utterance.samples * sample_rate // utterance.sample_rate)
        self._keep = keep
        self._pcm: Int16[np.ndarray, " n"] | None = None

    def read(self, start: int, stop: int) -> Int16[np.ndarray, " n"]:
        """16-bit PCM of samples [start, stop) at `sample_rate`. Raises Unreadable, naming the file.

        So it does when the recording or its alignment has changed since the corpus was opened.
        """
        if self._pcm is not None:
            return self._pcm[start:stop]
        try:
            audio = read_audio(self.utterance, self.sample_rate)
            self.utterance.check_unchanged()
        except InputError as error:
            raise Unreadable(str(error)) from error
        pcm = to_pcm(audio)
        if self._keep:
            self._pcm = pcm
        return pcm[start:stop]


def recordings(corpus: Corpus, sample_rate: int) -> list[CorpusRecording]:
    """Every utterance of the corpus, in the corpus's order."""
    keep = corpus.seconds <= CACHED_SECONDS
    return [CorpusRecording(utterance, sample_rate, keep) for utterance in corpus.utterances]


def single(path: Path, sample_rate: int) -> Int16[np.ndarray, " n"]:
    """A lone mono audio file as 16-bit PCM at `sample_rate`. Raises InputError, naming the file."""
    header = probe_audio(path)
    if header.channels != 1:
        raise InputError(not_mono(path, header.channels))
    check_rates(path, header.sample_rate, sample_rate)
    utterance = Utterance(path.stem, Speaker("unknown"), path, header.samples, header.sample_rate)
    return CorpusRecording(utterance, sample_rate, keep=False).read(0, 1 << 62)


@dataclass(frozen=True)
class Reading:
    """The recordings of a corpus, the corpus restricted to them, and why each of the others was left out."""

    corpus: Corpus
    recordings: tuple[CorpusRecording, ...]
    left_out: tuple[str, ...] = ()


def readable(
    corpus: Corpus,
    sample_rate: int,
    *,
    strict: bool = False,
    progress: Callable[[float], None] = lambda seconds: None,
) -> Reading:
    """The recordings without those whose audio is damaged, found by reading all of them now, into memory.

    Only corpora that are kept in memory anyway (up to CACHED_SECONDS) are read here. A longer one is returned whole:
    its damaged files raise Unreadable when their turn comes. Raises Unreadable at the first damaged file when
    `strict`, and InputError when nothing can be read. `progress` is called with the seconds of audio read.
    """
    found = recordings(corpus, sample_rate)
    if corpus.seconds > CACHED_SECONDS:
        return Reading(corpus, tuple(found))
    kept: list[CorpusRecording] = []
    left_out: list[str] = []
    for recording in found:
        try:
            recording.read(0, 0)
        except Unreadable as error:
            if strict:
                raise
            left_out.append(str(error))
        else:
            kept.append(recording)
        progress(recording.utterance.seconds)
    if left_out and not kept:
        raise InputError(
            f"{corpus.root}: not one of the {len(found)} recordings chosen here can be read, for one {left_out[0]}"
        )
    restricted = replace(corpus, utterances=tuple(recording.utterance for recording in kept))
    return Reading(restricted, tuple(kept), tuple(left_out))


def hold_out(corpus: Corpus, share: float, seed: int) -> tuple[Corpus, Corpus]:
    """Split by speaker into training and validation: no speaker is in both.

    `share` of the speakers (at least one) is held out, drawn evenly from each gender. Raises InputError when
    that leaves no speaker to train on.
    """
    if not 0 < share < 1:
        raise InputError(f"the share of speakers held out is {share}; it must lie between 0 and 1")
    speakers = corpus.speakers
    if len(speakers) < 2:
        raise InputError(f"{corpus.root}: {len(speakers)} speaker; holding one out needs at least two")
    random = np.random.default_rng(seed)
    shuffled = [speakers[i] for i in random.permutation(len(speakers))]
    by_gender: dict[str | None, list[str]] = {}
    for speaker in shuffled:
        by_gender.setdefault(speaker.gender, []).append(speaker.id)
    # Rank within one's gender, as a share, orders all speakers so that any prefix is even between genders.
    ranked = sorted(
        ((place + 0.5) / len(ids), order, id)
        for order, ids in enumerate(by_gender.values())
        for place, id in enumerate(ids)
    )
    held = {id for _, _, id in ranked[: max(1, round(share * len(speakers)))]}
    kept = {speaker.id for speaker in speakers} - held
    if not kept:
        raise InputError(f"{corpus.root}: holding out {share:.0%} of {len(speakers)} speakers leaves none to train on")
    return corpus.select(speakers=kept), corpus.select(speakers=held)
