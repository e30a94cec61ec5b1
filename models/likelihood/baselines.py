"""What needs no model: the uniform distribution, lossless FLAC, and the most that a Gaussian can reach.

`papers/001` section 3 sets its models between a uniform distribution and FLAC; its appendix G (equation 13, table 5)
says how far a floor under the standard deviation lets a Gaussian likelihood rise.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import soundfile
from jaxtyping import Int16

from lvm_probe import InputError
from lvm_probe.models.batches import Recording
from lvm_probe.models.io.pcm import check_pcm
from lvm_probe.models.likelihood.elbo import NATS_PER_BIT, Evaluation

BASELINES = ("uniform", "flac")
BITS = 16
"""Of a sample of PCM."""
FLAC_BEST = 1.0
"""The highest compression, on libsndfile's scale from 0 to 1 (FLAC's own level 8)."""

PAPER_SAMPLES = 49_367.3
"""Mean length in frames of a TIMIT test utterance (`papers/001` appendix G)."""
TABLE_5 = (1.0, 0.5, 0.1, 0.05, 0.01, 0.005, 0.001)
"""Smallest standard deviations of `papers/001` table 5."""
PAPER_TABLE_5 = (-45_367, -11_146, 68_307, 102_525, 181_979, 216_198, 295_651)
"""What the table gives for them, in nats an utterance."""


def uniform(recordings: Sequence[Recording], *, progress: Callable[[int], None] = lambda samples: None) -> Evaluation:
    """All 65,536 values alike: 16 bits a frame, whatever the audio, which is not read."""
    return _evaluation(recordings, lambda recording: BITS * recording.samples, progress)


def flac(
    recordings: Sequence[Recording],
    sample_rate: int,
    level: float = FLAC_BEST,
    *,
    container: bool = True,
    progress: Callable[[int], None] = lambda samples: None,
) -> Evaluation:
    """The code length of every recording as a FLAC file of its own, by libsndfile; the file is read back and compared.

    `level` goes from 0 (fast) to 1 (small). The whole file counts, with its header (`FlacFile.header`, some hundred
    bytes, which short utterances feel); without `container` only the audio frames do. Its bits are spent on the 16-bit
    PCM itself, so they compare with `pcm_bits_per_frame` of a model, and with its bits per frame only as the paper
    does. The flac program's files are larger, by 8 KiB of padding each unless it is told not to: 1.3 bits a frame of
    TIMIT, which may be part of the paper's figures.
    """
    if not 0 <= level <= 1:
        raise InputError(f"FLAC's compression level goes from 0 to 1; got {level}")

    def bits(recording: Recording) -> int:
        pcm = check_pcm(recording.read(0, recording.samples))
        file = flac_file(pcm, sample_rate, level)
        if not np.array_equal(file.decode(), pcm):
            raise RuntimeError(f"{recording.name}: libsndfile's FLAC does not give back the audio it was given")
        return 8 * (len(file.data) if container else len(file.data) - file.header)

    return _evaluation(recordings, bits, progress)


@dataclass(frozen=True)
class FlacFile:
    """A FLAC file in memory."""

    data: bytes

    @property
    def header(self) -> int:
        """Bytes before the first frame of audio: the marker and the metadata blocks."""
        at, last = 4, False
        while not last:  # one bit that says it is the last, seven of type, 24 of length
            last = bool(self.data[at] & 0x80)
            at += 4 + int.from_bytes(self.data[at + 1 : at + 4], "big")
        return at

    def decode(self) -> Int16[np.ndarray, " n"]:
        """The audio as 16-bit PCM."""
        pcm, _ = soundfile.read(io.BytesIO(self.data), dtype="int16")
        return np.asarray(pcm)


def flac_file(pcm: Int16[np.ndarray, " n"], sample_rate: int, level: float = FLAC_BEST) -> FlacFile:
    """Mono 16-bit PCM as a FLAC file."""
    file = io.BytesIO()
    soundfile.write(file, pcm, sample_rate, format="FLAC", subtype="PCM_16", compression_level=level)
    return FlacFile(file.getvalue())


def _evaluation(
    recordings: Sequence[Recording], bits: Callable[[Recording], int], progress: Callable[[int], None]
) -> Evaluation:
    """The sums of code lengths, which stand for both likelihoods."""
    if not recordings:
        raise InputError("no utterance to evaluate: choose another split or corpus")
    total = 0
    for recording in recordings:
        total += bits(recording)
        progress(recording.samples)
    nats = -total * NATS_PER_BIT
    return Evaluation(sum(r.samples for r in recordings), len(recordings), nats, nats, (), ())


@dataclass(frozen=True)
class GaussianLimit:
    """One row of table 5: the floor under the standard deviation, and the greatest log likelihood of an utterance.

    `nats` is by our formula, `paper_nats` as printed; `note` says where they differ (empty: they agree within 1).
    """

    min_std: float
    nats: float
    paper_nats: int
    note: str


def largest_gaussian_likelihood(min_std: float, samples: float | int) -> float:
    """The most that `frames` frames can add up to, in nats: equation 13 times the frames.

    The density of N(x, min_std²) at x: the prediction is perfect and the floor is reached. A mixture reaches no more.
    `min_std` is in units of the normalised audio. It is a density: a smaller floor raises it without bound.
    """
    if not min_std > 0 or not samples >= 0:
        raise InputError(
            f"min_std must be positive and the number of samples not negative; got {min_std} and {samples}"
        )
    return -samples * (0.5 * math.log(2 * math.pi) + math.log(min_std))


def table_5() -> tuple[GaussianLimit, ...]:
    """`papers/001` table 5 from its formula, beside the printed values.

    All rows agree within one nat but the first: for a standard deviation of 1 the table has -45,367 where the formula
    gives 1.5 more. (The text's 181,967 for 0.01² is of the rounded 3.686 nats a frame.)
    """
    rows = []
    for min_std, paper in zip(TABLE_5, PAPER_TABLE_5, strict=True):
        nats = largest_gaussian_likelihood(min_std, PAPER_SAMPLES)
        gap = nats - paper
        note = f"the paper's {paper:,} is {abs(gap):.1f} nats off its own formula" if abs(gap) > 1 else ""
        rows.append(GaussianLimit(min_std, nats, paper, note))
    return tuple(rows)
