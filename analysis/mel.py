"""Log-Mel spectrograms whose frames line up with a model's latent steps."""

import warnings
from functools import cache

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.frames import padded
from lvm_probe.analysis.shape_annotations import Float, Int

FLOOR = 1e-10
"""Added to the power before the logarithm: below what rounding to 16 bits puts into one FFT bin (7e-9)."""

_MOST_PADDING = 32  # lengths of the window


def log_mel(
    wave: Float[np.ndarray, " samples"],
    *,
    sample_rate: int,
    hop: int = 64,
    window: int = 256,
    bins: int = 80,
    n_fft: int | None = None,
) -> Float[np.ndarray, "frames bins"]:
    """Natural logarithm of the Mel power spectrum, one frame for each step of `hop` samples.

    Frame t stands for the samples [t hop, (t+1) hop) of a latent step of that stride. It sees the `window`
    samples centred on that step, [a, a + window) with a = t hop + hop//2 - window//2, under a periodic Hann
    window; what lies outside the wave is zero. There are ceil(samples / hop) frames, so the last step may
    be partly empty. Hop 64, window 256 and 80 bins are the Mel baseline of Havtorn et al., *Towards
    Generative Latent Variable Models for Speech*; the Mel scale is HTK's from 0 Hz to half the sample rate,
    its triangles of height one.

    Where a triangle falls between the frequencies of an FFT as short as the window, its bin is the constant
    log(FLOOR), and where two triangles share their only frequency, their bins are copies: at 16 kHz, of 80
    bins 2 are empty and 7 copy the one before. By default the windowed frame is padded with zeros to the
    smallest power of two without either (512 there): a finer reading of the same spectrum.

    Args:
        wave: samples in [-1, 1].
        sample_rate: Hz.
        hop: samples a step.
        window: samples a frame sees.
        bins: Mel bins.
        n_fft: length of the FFT, even and at least `window`; None chooses.

    Raises:
        InputError: no samples, a sample that is not finite, or a length out of range.
    """
    if len(wave) == 0 or not np.isfinite(wave).all():
        raise InputError(f"wave of {len(wave)} samples is empty or not finite; check the recording")
    if min(sample_rate, hop, window, bins) < 1:
        raise InputError(f"sample rate {sample_rate}, hop {hop}, window {window} and bins {bins} must all be positive")
    n_fft = n_fft or shortest_full_fft(sample_rate=sample_rate, window=window, bins=bins)
    if n_fft < window or n_fft % 2:
        raise InputError(f"n_fft is {n_fft}; give an even number, at least the window's {window} samples")

    import torch  # takes a second: only when there is sound

    # A frame is n_fft samples with the window in its middle, and begins here relative to its step.
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
    """Weights of the n_fft//2 + 1 frequencies in every Mel bin, from torchaudio: HTK scale, height one."""
    import torchaudio

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "At least one mel filterbank has all zero values")
        return torchaudio.functional.melscale_fbanks(n_fft // 2 + 1, 0.0, sample_rate / 2, bins, sample_rate).numpy()


def empty_bins(*, sample_rate: int, bins: int = 80, n_fft: int = 256) -> Int[np.ndarray, " empty"]:
    """Mel bins that contain no frequency of this FFT, and are constant whatever the sound."""
    return np.flatnonzero(mel_filters(sample_rate=sample_rate, bins=bins, n_fft=n_fft).sum(axis=0) == 0)


def copied_bins(*, sample_rate: int, bins: int = 80, n_fft: int = 256) -> Int[np.ndarray, " copies"]:
    """Mel bins whose only frequency is also the only one of the bin before: equal but for a constant."""
    heard = mel_filters(sample_rate=sample_rate, bins=bins, n_fft=n_fft) > 0
    single = heard.sum(axis=0) == 1
    same = (heard[:, 1:] == heard[:, :-1]).all(axis=0)
    return 1 + np.flatnonzero(single[1:] & same)


@cache
def shortest_full_fft(*, sample_rate: int, window: int = 256, bins: int = 80) -> int:
    """The smallest power of two, at least `window`, that leaves no Mel bin empty or a copy of another.

    Raises:
        InputError: even an FFT of many windows leaves some.
    """
    n_fft = 1 << (window - 1).bit_length()
    while n_fft <= _MOST_PADDING * window:
        empty = empty_bins(sample_rate=sample_rate, bins=bins, n_fft=n_fft)
        copied = copied_bins(sample_rate=sample_rate, bins=bins, n_fft=n_fft)
        if len(empty) + len(copied) == 0:
            return n_fft
        n_fft *= 2
    raise InputError(f"{bins} Mel bins at {sample_rate} Hz are too narrow for a window of {window}; use fewer bins")
