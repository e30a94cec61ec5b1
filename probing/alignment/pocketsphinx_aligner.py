"""Forced alignment by PocketSphinx, with the English model and dictionary of its wheel or others of CMU Sphinx.

D. Huggins-Daines et al., "PocketSphinx: a free, real-time continuous speech recognition system for hand-held devices",
ICASSP 2006. Its times come in steps of a frame, and a phone lasts three frames at least: 30 ms at the usual 100 frames
a second, which is longer than many phones. An utterance is therefore aligned at several frame rates (`FRAME_RATES`),
with the pronunciations that the first of them has chosen. A boundary is the median of its times, and their range says
how sure it is: the recogniser's own scores say nothing about that (their rank correlation with the errors of word
boundaries on a third of the TIMIT sample is between -0.1 and 0.0, that of the range 0.4). The rates were chosen on that
third.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Int16
from lvm_probe.probing.alignment.lexicon import Pronunciation
from lvm_probe.probing.corpora.corpus import Segment

SAMPLE_RATE = 16_000

FRAME_RATES = (200, 150, 100)
"""Frames per second of the alignments, the one that chooses pronunciations and pauses first."""

WINDOW_SECONDS = 0.025625
"""Window of a frame (PocketSphinx's default); a frame stands for the step about the middle of its window."""

HALF_CONFIDENCE_MS = 20.0


@dataclass(frozen=True)
class AlignedSegment:
    """A phone or a word with its confidence.

    Attributes:
        segment: label and samples at `SAMPLE_RATE`.
        spread_ms: range of its start over the alignments or that of its end, whichever is greater.
    """

    segment: Segment
    spread_ms: float

    @property
    def confidence(self) -> float:
        """From 1, where the alignments agree, to 0; 0.5 where they are 20 ms apart.

        That is about the share of such phones in the TIMIT sample of which both ends lie within 20 ms of the hand
        labels (docs/results.md).
        """
        return HALF_CONFIDENCE_MS / (HALF_CONFIDENCE_MS + self.spread_ms)


@dataclass(frozen=True)
class AlignedUtterance:
    """Phones without pauses, and words, in order."""

    phones: tuple[AlignedSegment, ...]
    words: tuple[AlignedSegment, ...]


def require() -> None:
    """Raise InputError where PocketSphinx is not installed."""
    if find_spec("pocketsphinx") is None:
        raise InputError("alignment needs PocketSphinx; install it: pip install 'lvm-probe[align]'")


def shipped_model() -> tuple[Path, Path]:
    """The English acoustic model and the dictionary that PocketSphinx's wheel ships."""
    require()
    import pocketsphinx

    folder = Path(pocketsphinx.get_model_path("en-us"))
    return folder / "en-us", folder / "cmudict-en-us.dict"


@dataclass(frozen=True)
class PocketSphinxAligner:
    """An aligner for the words of a dictionary.

    Attributes:
        model: folder of the acoustic model.
        pronunciations: how each word may be pronounced.
    """

    model: Path
    pronunciations: Mapping[str, Sequence[Pronunciation]]

    def align(self, pcm: Int16[np.ndarray, " samples"], words: Sequence[str]) -> AlignedUtterance:
        """Find the phones and words in a recording.

        Args:
            pcm: audio at `SAMPLE_RATE`.
            words: what is said, words of `pronunciations`.

        Raises:
            InputError: the words do not fit the audio.
        """
        chosen, first = self._aligned(FRAME_RATES[0], pcm, words)
        passes = [first]
        for rate in FRAME_RATES[1:]:
            found, more = self._aligned(rate, pcm, [_alone(name) for name in chosen])
            assert found == [_alone(name) for name in chosen]
            passes.append(more)
        labels = [phone for name in chosen for phone in self._variants[name]]
        times = np.array(passes, dtype=np.float64)  # (rates, phones, 2) in seconds
        times = np.clip(times, 0, len(pcm) / SAMPLE_RATE)
        phones = list(_segments(labels, times))
        place, of_words = 0, []
        for word, name in zip(words, chosen, strict=True):
            size = len(self._variants[name])
            both = np.stack([times[:, place, 0], times[:, place + size - 1, 1]], axis=1)[:, None]
            of_words += list(_segments([word], both))
            place += size
        return AlignedUtterance(tuple(phones), tuple(of_words))

    def _aligned(
        self, rate: int, pcm: Int16[np.ndarray, " samples"], words: Sequence[str]
    ) -> tuple[list[str], list[tuple[float, float]]]:
        """The names of the pronunciations, and start and end of all phones in seconds, at one frame rate."""
        decoder = self._decoders[rate]
        decoder.set_align_text(" ".join(words))
        _decode(decoder, pcm)
        if decoder.hyp() is None:
            raise InputError(
                "the words do not fit the audio; check that the transcript is that of the recording, from its "
                "beginning to its end"
            )
        decoder.set_alignment()
        _decode(decoder, pcm)
        names, times = [], []
        offset = (WINDOW_SECONDS - 1 / rate) / 2
        for word in decoder.get_alignment():
            if word.name not in self._variants:  # pauses and noises, which belong to no word
                continue
            names.append(word.name)
            times += [(p.start / rate + offset, (p.start + p.duration) / rate + offset) for p in word]
        return names, times

    @cached_property
    def _variants(self) -> dict[str, Pronunciation]:
        """The pronunciations by PocketSphinx's names: `word`, `word(2)`, ...; each also as a word by itself."""
        names = {
            word if number == 1 else f"{word}({number})": pronunciation
            for word, some in self.pronunciations.items()
            for number, pronunciation in enumerate(some, 1)
        }
        return names | {_alone(name): pronunciation for name, pronunciation in names.items()}

    @cached_property
    def _decoders(self) -> dict[int, Any]:
        """A recogniser for each frame rate; they read a dictionary of these words only, which is fast."""
        from pocketsphinx import Decoder

        with tempfile.NamedTemporaryFile("w", suffix=".dict", encoding="utf-8") as file:
            file.writelines(f"{name} {' '.join(phones)}\n" for name, phones in self._variants.items())
            file.flush()
            try:
                return {
                    rate: Decoder(
                        hmm=str(self.model), dict=file.name, lm=None, frate=rate, bestpath=False, loglevel="FATAL"
                    )
                    for rate in FRAME_RATES
                }
            except RuntimeError as error:
                raise InputError(
                    f"{self.model}: PocketSphinx cannot load this acoustic model with these phones ({error}); give the "
                    "folder of a CMU Sphinx model (mdef, means, ...) and the dictionary that belongs to it"
                ) from None


def _alone(name: str) -> str:
    """A name for a pronunciation as of a word that has no other."""
    return "=" + name.replace("(", "=").replace(")", "")


def _decode(decoder: Any, pcm: Int16[np.ndarray, " samples"]) -> None:
    """Pass the audio through the recogniser, which is made to forget what it knows of the recordings before."""
    decoder.reinit_feat()
    decoder.start_utt()
    try:
        decoder.process_raw(pcm.tobytes(), full_utt=True)
    finally:
        decoder.end_utt()


def _segments(labels: Sequence[str], times: np.ndarray) -> Iterator[AlignedSegment]:
    """Segments at the medians of their times, which keep the order that every alignment has."""
    medians = np.rint(np.median(times, axis=0) * SAMPLE_RATE).astype(int)
    spreads = 1000 * np.ptp(times, axis=0).max(axis=1)
    for label, (start, end), spread in zip(labels, medians.tolist(), spreads.tolist(), strict=True):
        yield AlignedSegment(Segment(label, start, end), spread)
