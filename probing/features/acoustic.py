"""Features of the sound itself, which need no model: log-Mel, cepstra, statistics of raw frames, acoustic measures.

All are averaged over a token like a latent, from frames at the time steps of the lowest layer. They use the frames that
overlap the token and no others: MFCC's derivatives repeat its first and last frame beyond its borders.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.acoustic_measures import acoustic_measures, check_rate
from lvm_probe.analysis.frames import SPLIT_HERTZ, STATISTICS, frame_statistics
from lvm_probe.analysis.mel import log_mel
from lvm_probe.analysis.mfcc import COEFFICIENTS, cepstrum, delta_reach, with_derivatives
from lvm_probe.analysis.shape_annotations import Float
from lvm_probe.probing.corpora.corpus import Segment
from lvm_probe.probing.features.extraction_settings import Settings
from lvm_probe.probing.features.feature import MEASURES
from lvm_probe.probing.features.pooling import Pooling

NAMES = ("mel", "mel_halves", "mfcc", "mfcc_halves", "stats", *MEASURES)
"""All acoustic features; no other feature may have one of these names."""

MIN_WINDOW = 16
"""Samples of the shortest window whose spectrum has meaningful statistics."""


def sizes(settings: Settings, sample_rate: int) -> dict[str, int]:
    """Names and lengths of the acoustic features.

    Args:
        settings: which ones, and the Mel baseline.
        sample_rate: of the audio, in Hz.

    Raises:
        InputError: the settings cannot be applied at this rate.
    """
    if "stats" in settings.also and (settings.mel.window < MIN_WINDOW or sample_rate <= 2 * SPLIT_HERTZ):
        raise InputError(
            f"--also stats: needs --mel-window {MIN_WINDOW} or more and audio above {2 * SPLIT_HERTZ:.0f} Hz; "
            f"got a window of {settings.mel.window} at {sample_rate} Hz"
        )
    lengths = {"mel": settings.mel.bins}
    if "halves" in settings.also:
        lengths["mel_halves"] = 2 * settings.mel.bins
    if "mfcc" in settings.also:
        lengths["mfcc"] = 3 * COEFFICIENTS
        if "halves" in settings.also:
            lengths["mfcc_halves"] = 6 * COEFFICIENTS
    if "stats" in settings.also:
        lengths["stats"] = len(STATISTICS)
    if "measures" in settings.also:
        check_rate(sample_rate)
        lengths |= dict.fromkeys(MEASURES, 1)
    return lengths


def pooled(
    wave: Float[np.ndarray, " samples"],
    segments: Sequence[Segment],
    settings: Settings,
    sample_rate: int,
    hop: int,
    *,
    gender: str | None = None,
) -> dict[str, Float[np.ndarray, "tokens _size"]]:
    """The acoustic features of some segments of a recording.

    Args:
        wave: samples in [-1, 1].
        segments: in samples of `wave`.
        settings: which features, and the Mel baseline.
        sample_rate: in Hz.
        hop: samples per frame.
        gender: of the speaker, F or M, for the formants among the measures; None if unknown.

    Returns:
        For each feature of `sizes` an array with one row per segment.
    """
    mel = settings.mel
    frames = log_mel(wave, sample_rate=sample_rate, hop=hop, window=mel.window, bins=mel.bins, n_fft=mel.n_fft)
    pool = Pooling(segments, hop, len(frames))
    features = {"mel": pool.mean(frames)}
    if "halves" in settings.also:
        features["mel_halves"] = pool.halves(partial(Pooling.mean, steps=frames))
    if "mfcc" in settings.also:
        cepstra, reach = cepstrum(frames), delta_reach(sample_rate, hop)

        def mfcc(pool: Pooling) -> Float[np.ndarray, "_tokens dims"]:
            return pool.mean_within(cepstra, lambda own, n: with_derivatives(own, reach, n))

        features["mfcc"] = mfcc(pool)
        if "halves" in settings.also:
            features["mfcc_halves"] = pool.halves(mfcc)
    if "stats" in settings.also:
        features["stats"] = pool.mean(frame_statistics(wave, sample_rate=sample_rate, hop=hop, window=mel.window))
    if "measures" in settings.also:
        measures = acoustic_measures(wave, sample_rate=sample_rate, hop=hop, gender=gender)
        features |= {
            name: values[:, None] for name, values in zip(MEASURES, pool.mean_of_known(measures).T, strict=True)
        }
    return features
