"""Features of the sound itself, which need no model: log-Mel, cepstra, statistics of raw frames.

All are averaged over a token like a latent, from frames on the grid of the lowest latent step.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.frames import SPLIT_HERTZ, STATISTICS, frame_statistics
from lvm_probe.analysis.mel import log_mel
from lvm_probe.analysis.mfcc import COEFFICIENTS, delta_reach, mfcc
from lvm_probe.analysis.shape_annotations import Float
from lvm_probe.probing.corpora.corpus import Segment
from lvm_probe.probing.features.extraction_settings import Settings
from lvm_probe.probing.features.pooling import Pooling

NAMES = ("mel", "mel_halves", "mfcc", "stats")
"""Every column that `pooled` may make; no other feature may take these names."""

LEAST_WINDOW = 16
"""Samples of the shortest window whose spectrum is worth statistics."""


def sizes(settings: Settings, sample_rate: int) -> dict[str, int]:
    """The acoustic columns and their lengths. Raises InputError where the settings cannot make them at this rate."""
    if "stats" in settings.also and (settings.mel.window < LEAST_WINDOW or sample_rate <= 2 * SPLIT_HERTZ):
        raise InputError(
            f"--also stats: needs --mel-window {LEAST_WINDOW} or more and audio above {2 * SPLIT_HERTZ:.0f} Hz; "
            f"got a window of {settings.mel.window} at {sample_rate} Hz"
        )
    found = {"mel": settings.mel.bins}
    if "halves" in settings.also:
        found["mel_halves"] = 2 * settings.mel.bins
    if "mfcc" in settings.also:
        found["mfcc"] = 3 * COEFFICIENTS
    if "stats" in settings.also:
        found["stats"] = len(STATISTICS)
    return found


def pooled(
    wave: Float[np.ndarray, " samples"], segments: Sequence[Segment], settings: Settings, sample_rate: int, hop: int
) -> dict[str, Float[np.ndarray, "tokens _size"]]:
    """Every column of `sizes`, one row a segment, from frames of `hop` samples (at `sample_rate`, as the segments)."""
    mel = settings.mel
    frames = log_mel(wave, sample_rate=sample_rate, hop=hop, window=mel.window, bins=mel.bins, n_fft=mel.n_fft)
    pool = Pooling(segments, hop, len(frames))
    found = {"mel": pool.mean(frames)}
    if "halves" in settings.also:
        found["mel_halves"] = pool.halves(frames)
    if "mfcc" in settings.also:
        found["mfcc"] = pool.mean(mfcc(frames, reach=delta_reach(sample_rate, hop)))
    if "stats" in settings.also:
        found["stats"] = pool.mean(frame_statistics(wave, sample_rate=sample_rate, hop=hop, window=mel.window))
    return found
