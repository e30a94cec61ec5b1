"""Baselines without a model: the uniform distribution, lossless FLAC, and the largest Gaussian likelihood.

Havtorn et al. (2022, section 3) compare models with a uniform distribution and with FLAC. Their appendix G (equation
13, table 5) shows how far a minimum standard deviation lets a Gaussian likelihood rise.
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
"""Bits per sample of PCM."""
FLAC_BEST = 1.0
"""The strongest compression, on libsndfile's scale from 0 to 1 (level 8 of the flac program)."""

PAPER_SAMPLES = 49_367.3
"""Mean length of a TIMIT test utterance in audio samples (Havtorn et al. 2022, appendix G)."""
TABLE_5 = (1.0, 0.5, 0.1, 0.05, 0.01, 0.005, 0.001)
"""Minimum standard deviations of Havtorn et al.'s table 5."""
PAPER_TABLE_5 = (-45_367, -11_146, 68_307, 102_525, 181_979, 216_198, 295_651)
"""Log likelihoods that the table gives for them, in nats per utterance."""


def uniform(recordings: Sequence[Recording], *, progress: Callable[[int], None] = lambda samples: None) -> Evaluation:
    """All 65,536 values equally likely: 16 bits per frame. The audio is not read.

    Raises:
        InputError: if there is nothing to evaluate.
    """
    return _evaluation(recordings, lambda recording: BITS * recording.samples, progress)


def flac(
    recordings: Sequence[Recording],
    sample_rate: int,
    level: float = FLAC_BEST,
    *,
    progress: Callable[[int], None] = lambda samples: None,
) -> Evaluation:
    """The code length of every recording as a FLAC file with its header, written by libsndfile, read back and compared.

    FLAC encodes the 16-bit PCM values, so its bits are comparable with a model's `pcm_bits_per_frame`; the paper
    compares them with bits per frame. The flac program adds 8 KiB of padding to a file by default, 1.3 bits per frame
    of TIMIT, which may be part of the paper's figures; libsndfile adds none.

    Args:
        recordings: read whole, one after another.
        sample_rate: in Hz.
        level: of compression, from 0 (fast) to 1 (small).
        progress: called with the samples of each recording.

    Raises:
        InputError: if there is nothing to evaluate, or the level is out of its range.
    """
    if not 0 <= level <= 1:
        raise InputError(f"FLAC's compression level goes from 0 to 1; got {level}")

    def bits(recording: Recording) -> int:
        pcm = check_pcm(recording.read(0, recording.samples))
        data = flac_encode(pcm, sample_rate, level)
        if not np.array_equal(flac_decode(data), pcm):
            raise RuntimeError(f"{recording.name}: libsndfile's FLAC does not return the audio that it was given")
        return 8 * len(data)

    return _evaluation(recordings, bits, progress)


def flac_encode(pcm: Int16[np.ndarray, " n"], sample_rate: int, level: float = FLAC_BEST) -> bytes:
    """A FLAC file of mono 16-bit PCM."""
    file = io.BytesIO()
    soundfile.write(file, pcm, sample_rate, format="FLAC", subtype="PCM_16", compression_level=level)
    return file.getvalue()


def flac_decode(data: bytes) -> Int16[np.ndarray, " n"]:
    """The audio of a FLAC file as 16-bit PCM."""
    pcm, _ = soundfile.read(io.BytesIO(data), dtype="int16")
    return np.asarray(pcm)


def _evaluation(
    recordings: Sequence[Recording], bits: Callable[[Recording], int], progress: Callable[[int], None]
) -> Evaluation:
    """An evaluation whose two likelihoods are both the sum of the code lengths."""
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
    """One row of Havtorn et al.'s (2022) table 5.

    Attributes:
        min_std: minimum standard deviation.
        nats: largest log likelihood of an utterance, by equation 13.
        paper_nats: the printed value.
        note: how they differ; empty if they agree within one nat.
    """

    min_std: float
    nats: float
    paper_nats: int
    note: str


def largest_gaussian_likelihood(min_std: float, samples: float | int) -> float:
    """The largest log likelihood of Gaussians with a minimum standard deviation (Havtorn et al. 2022, equation 13).

    It is reached by perfect prediction with the minimum standard deviation; a mixture reaches no more. As a density it
    has no upper bound when `min_std` goes to zero.

    Args:
        min_std: in units of the normalised audio.
        samples: audio samples.

    Returns:
        Nats.

    Raises:
        InputError: if an argument is out of its range.

    Example:
        >>> round(largest_gaussian_likelihood(0.01, 1), 3)
        3.686
    """
    if not min_std > 0 or not samples >= 0:
        raise InputError(
            f"min_std must be positive and the number of samples not negative; got {min_std} and {samples}"
        )
    return -samples * (0.5 * math.log(2 * math.pi) + math.log(min_std))


def table_5() -> tuple[GaussianLimit, ...]:
    """Havtorn et al.'s (2022) table 5, computed from equation 13 and as printed.

    All rows agree within one nat except the first: for a standard deviation of 1 the table prints -45,367, and the
    formula gives 1.5 more. (The text's 181,967 for 0.01² comes from the rounded 3.686 nats per sample.)
    """
    rows = []
    for min_std, paper in zip(TABLE_5, PAPER_TABLE_5, strict=True):
        nats = largest_gaussian_likelihood(min_std, PAPER_SAMPLES)
        gap = nats - paper
        note = f"the paper's {paper:,} differs from its own formula by {abs(gap):.1f} nats" if abs(gap) > 1 else ""
        rows.append(GaussianLimit(min_std, nats, paper, note))
    return tuple(rows)
