"""Log-Mel spectrograms whose frames are aligned with the latent steps of a model."""

import warnings
from functools import cache

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.frames import padded
from lvm_probe.analysis.shape_annotations import Float, Int

FLOOR = 1e-10
"""Added to the power before the logarithm: less than the rounding of 16-bit audio adds to an FFT bin (7e-9)."""

_MAX_PADDING = 32  # in lengths of the window


def log_mel(
    wave: Float[np.ndarray, " samples"],
    *,
    sample_rate: int,
    hop: int = 64,
    window: int = 256,
    bins: int = 80,
    n_fft: int | None = None,
) -> Float[np.ndarray, "frames bins"]:
    """Natural logarithm of the Mel power spectrum, one frame per step of `hop` samples.

    Frame t belongs to the latent step of the samples [t hop, (t+1) hop). It covers the `window` samples centred on that
    step, [a, a + window) with a = t hop + hop//2 - window//2, under a periodic Hann window; outside the wave there are
    zeros. There are ceil(samples / hop) frames, so the last step may be incomplete. Hop 64, window 256 and 80 bins are
    the Mel baseline of Havtorn et al. 2022, "Towards Generative Latent Variable Models for Speech". The Mel scale is
    HTK's from 0 Hz to half the sample rate, with triangles of height one.

    With an FFT as short as the window, a triangle that falls between two frequencies gives the constant log(FLOOR), and
    two triangles that share their only frequency give the same bin twice: at 16 kHz, 2 of 80 bins are empty and 7
    repeat the one before. By default the windowed frame is padded with zeros to the smallest power of two without
    either (512 at 16 kHz), which samples the same spectrum more finely.

    Args:
        wave: samples in [-1, 1].
        sample_rate: Hz.
        hop: samples per step.
        window: samples per frame.
        bins: Mel bins.
        n_fft: length of the FFT, even and at least `window`; None chooses.

    Raises:
        InputError: no samples, a sample that is not finite, or a length out of range.

    Example:
        >>> log_mel(np.zeros(640, dtype=np.float32), sample_rate=16000).shape
        (10, 80)
    """
    if len(wave) == 0 or not np.isfinite(wave).all():
        raise InputError(f"wave of {len(wave)} samples is empty or not finite; check the recording")
    if min(sample_rate, hop, window, bins) < 1:
        raise InputError(f"sample rate {sample_rate}, hop {hop}, window {window} and bins {bins} must all be positive")
    n_fft = n_fft or shortest_full_fft(sample_rate=sample_rate, window=window, bins=bins)
    if n_fft < window or n_fft % 2:
        raise InputError(f"n_fft is {n_fft}; give an even number, at least the window's {window} samples")

    import torch  # takes a second, which commands without audio should not wait for

    # A frame of n_fft samples has the window in its middle.
    begin = hop // 2 - window // 2 - (n_fft - window) // 2
    samples = padded(wave, hop=hop, begin=begin, length=n_fft)
    spectrum = torch.stft(
        torch.from_numpy(samples),
        n_fft,
        hop_length=hop,
        win_length=window,
        window=torch.hann_window(window, dtype=torch.float64),
        center=False,
        return_complex=True,
    )
    power = spectrum.abs().square().T.numpy()
    mel = power @ mel_filters(sample_rate=sample_rate, bins=bins, n_fft=n_fft)
    return np.log(mel + FLOOR).astype(wave.dtype)


def mel_filters(*, sample_rate: int, bins: int, n_fft: int) -> Float[np.ndarray, "frequencies bins"]:
    """Weights of the n_fft//2 + 1 frequencies in every Mel bin: triangles of height one on HTK's Mel scale."""
    import torchaudio

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "At least one mel filterbank has all zero values")
        return torchaudio.functional.melscale_fbanks(n_fft // 2 + 1, 0.0, sample_rate / 2, bins, sample_rate).numpy()


def empty_bins(*, sample_rate: int, bins: int = 80, n_fft: int = 256) -> Int[np.ndarray, " empty"]:
    """Mel bins that contain no frequency of this FFT, so that they are constant whatever the sound."""
    return np.flatnonzero(mel_filters(sample_rate=sample_rate, bins=bins, n_fft=n_fft).sum(axis=0) == 0)


def copied_bins(*, sample_rate: int, bins: int = 80, n_fft: int = 256) -> Int[np.ndarray, " copies"]:
    """Mel bins whose only frequency is also the only one of the bin before, so that they differ by a constant."""
    contains = mel_filters(sample_rate=sample_rate, bins=bins, n_fft=n_fft) > 0
    single = contains.sum(axis=0) == 1
    same = (contains[:, 1:] == contains[:, :-1]).all(axis=0)
    return 1 + np.flatnonzero(single[1:] & same)


@cache
def shortest_full_fft(*, sample_rate: int, window: int = 256, bins: int = 80) -> int:
    """The smallest power of two, at least `window`, with which no Mel bin is empty or repeats another.

    Raises:
        InputError: there is none up to 32 times the window.
    """
    n_fft = 1 << (window - 1).bit_length()
    while n_fft <= _MAX_PADDING * window:
        empty = empty_bins(sample_rate=sample_rate, bins=bins, n_fft=n_fft)
        copied = copied_bins(sample_rate=sample_rate, bins=bins, n_fft=n_fft)
        if len(empty) + len(copied) == 0:
            return n_fft
        n_fft *= 2
    raise InputError(f"{bins} Mel bins at {sample_rate} Hz are too narrow for a window of {window}; use fewer bins")
