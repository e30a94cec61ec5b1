"""Pseudo-quadrature mirror filters (PQMF): a waveform as M bands at 1/M of its rate, and back.

    h_k[n] = 2 p[n] cos((2k + 1) π/(2M) (n - (N-1)/2) + (-1)^k π/4),  f_k[n] = h_k[N-1-n]

(Nguyen 1994; Vaidyanathan 1993, section 8.1). The prototype p is a low-pass of N = 12 M taps, a sinc in a Kaiser
window. Its cut-off, the one free number, makes its autocorrelation vanish as well as it can at multiples of 2M (Lin and
Vaidyanathan 1998). Aliasing between neighbouring bands cancels; what remains is about -63 dB.

Both directions are convolutions of M channels with M channels at the low rate, because a filter bank with decimation is
a convolution of the signal's M phases.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn
from torch.nn import functional as F

from lvm_probe import InputError

HALF_PERIODS = 6
"""N / 2M: a longer prototype has steeper bands and reconstructs no better."""
KAISER_BETA = 8.0
"""Of the window; the reconstruction is best near this value for all M from 4 to 16."""


class PQMF(nn.Module):
    """A bank of `bands` filters, with the same scale for noise on both sides.

    Args:
        bands: M; 1 for the waveform itself.

    Raises:
        InputError: if the number of bands is none of 1, 2, 4, ..., 32.

    Example:
        >>> bank = PQMF(4)
        >>> wave = torch.randn(1, 1, 4096, generator=torch.Generator().manual_seed(0))
        >>> bank.analyse(wave).shape
        torch.Size([1, 4, 1024])
        >>> error = bank.synthesise(bank.analyse(wave)) - wave
        >>> bool(error[..., 64:-64].square().mean() < 1e-6)  # -60 dB, but at the ends
        True
    """

    analysis: Tensor
    synthesis: Tensor

    def __init__(self, bands: int) -> None:
        super().__init__()
        if bands not in (1, 2, 4, 8, 16, 32):
            raise InputError(f"a filter bank has 1, 2, 4, 8, 16 or 32 bands; got {bands}")
        self.bands = bands
        if bands == 1:
            return
        filters = torch.from_numpy(filter_bank(bands)).to(torch.get_default_dtype())
        taps = filters.view(bands, -1, bands)  # band, step, phase
        self.register_buffer("analysis", taps.transpose(1, 2).contiguous(), persistent=False)
        self.register_buffer("synthesis", taps.transpose(0, 2).flip(1).transpose(1, 2).contiguous(), persistent=False)

    def analyse(self, wave: Float[Tensor, "rows channels samples"]) -> Float[Tensor, "rows channels_bands steps"]:
        """Each channel's bands, one channel after another; zeros surround the waveform."""
        if self.bands == 1:
            return wave
        rows, channels, samples = wave.shape
        phases = wave.reshape(rows * channels, -1, self.bands).transpose(1, 2)
        bands = F.conv1d(phases, self.analysis, padding=HALF_PERIODS)[..., :-1]
        return bands.reshape(rows, channels * self.bands, samples // self.bands)

    def synthesise(self, bands: Float[Tensor, "rows channels_bands steps"]) -> Float[Tensor, "rows channels samples"]:
        """The waveforms of bands as `analyse` orders them."""
        if self.bands == 1:
            return bands
        rows, channels, steps = bands.shape
        own = bands.reshape(-1, self.bands, steps)
        phases = F.conv1d(own, self.synthesis, padding=HALF_PERIODS)[..., 1:]
        return phases.transpose(1, 2).reshape(rows, channels // self.bands, steps * self.bands)


def bank_reach(bands: int) -> int:
    """Samples on either side that a step of a band looks at, and at most those that a reconstructed sample does."""
    return 0 if bands == 1 else (HALF_PERIODS + 1) * bands


def filter_bank(bands: int) -> Float64[np.ndarray, "bands taps"]:
    """The analysis filters h_k; scaled so that analysis and synthesis together have a gain of one."""
    taps = 2 * HALF_PERIODS * bands
    n, k = np.arange(taps) - (taps - 1) / 2, np.arange(bands)[:, None]
    phase = (2 * k + 1) * np.pi / (2 * bands) * n + (-1.0) ** k * np.pi / 4
    filters: np.ndarray = prototype(bands) * np.cos(phase)
    return filters * np.sqrt(bands / np.square(filters).sum())


@cache
def prototype(bands: int) -> Float64[np.ndarray, " taps"]:
    """The low-pass with the best cut-off."""
    cutoffs = np.linspace(1.0, 1.4, 4_001) / (2 * bands)
    return _low_pass(bands, min(cutoffs, key=lambda cutoff: _imperfection(bands, cutoff)))


def _low_pass(bands: int, cutoff: float) -> Float64[np.ndarray, " taps"]:
    taps = 2 * HALF_PERIODS * bands
    n = np.arange(taps) - (taps - 1) / 2
    low_pass: np.ndarray = np.sinc(n * cutoff) * _window(taps)
    return low_pass


@cache
def _window(taps: int) -> Float64[np.ndarray, " taps"]:
    """Once for all cut-offs that are tried: it takes longer than the rest of the search."""
    return np.kaiser(taps, KAISER_BETA)


def _imperfection(bands: int, cutoff: float) -> float:
    """The largest autocorrelation of the prototype at a multiple of 2M, relative to that at zero."""
    p = _low_pass(bands, cutoff)
    lags = range(2 * bands, len(p), 2 * bands)
    return max(abs(float(p[lag:] @ p[:-lag])) for lag in lags) / float(p @ p)
