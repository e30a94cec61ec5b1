"""Discriminators of waveforms: what tells recordings from reconstructions while a decoder learns to sound right.

- multi-scale (Kumar et al. 2019): convolutions on the waveform, and on its means over 2 and 4 samples;
- multi-period (Kong et al. 2020): the waveform in p columns, p = 2, 3, 5, 7, 11, each of which has every p-th sample;
- multi-resolution spectral (Jang et al. 2021; Kumar et al. 2023): real and imaginary part of spectra with windows of
  2048, 1024 and 512 samples, each in five bands with convolutions of their own.

They are state of the training, saved for `--resume`, and no part of a checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

SCALES = (1, 2, 4)
PERIODS = (2, 3, 5, 7, 11)
WINDOWS = (2048, 1024, 512)
BANDS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
"""Edges of the spectral discriminator's bands, as shares of the highest frequency."""

Features = list[Tensor]


class ScaleDiscriminator(nn.Module):
    """Strided convolutions on means of `scale` samples."""

    def __init__(self, scale: int, channels: int) -> None:
        super().__init__()
        self.scale = scale
        sizes = (1, channels, 2 * channels, 4 * channels)
        self.layers = nn.ModuleList(nn.Conv1d(a, b, 15, 4, padding=7) for a, b in pairwise(sizes))
        self.last = nn.Conv1d(sizes[-1], 1, 3, padding=1)

    def forward(self, wave: Float[Tensor, "rows samples"]) -> Features:
        x = F.avg_pool1d(wave.unsqueeze(1), self.scale) if self.scale > 1 else wave.unsqueeze(1)
        return _stack(x, self.layers, self.last)


class PeriodDiscriminator(nn.Module):
    """Strided convolutions along the columns of the waveform in `period` columns."""

    def __init__(self, period: int, channels: int) -> None:
        super().__init__()
        self.period = period
        sizes = (1, channels, 2 * channels, 4 * channels)
        self.layers = nn.ModuleList(nn.Conv2d(a, b, (5, 1), (3, 1), padding=(2, 0)) for a, b in pairwise(sizes))
        self.last = nn.Conv2d(sizes[-1], 1, (3, 1), padding=(1, 0))

    def forward(self, wave: Float[Tensor, "rows samples"]) -> Features:
        return _stack(self.columns(wave).unsqueeze(1), self.layers, self.last)

    def columns(self, wave: Float[Tensor, "rows samples"]) -> Float[Tensor, "rows steps period"]:
        """Sample t in row t // period and column t % period; zeros at the end."""
        return F.pad(wave, (0, -wave.shape[1] % self.period)).unflatten(1, (-1, self.period))


class SpectralDiscriminator(nn.Module):
    """Convolutions over time and frequency of a spectrum, in five bands that are joined at the end."""

    def __init__(self, window: int, channels: int) -> None:
        super().__init__()
        self.window = window
        bins = window // 2 + 1
        self.edges = [int(edge * bins) for edge in BANDS]
        self.bands = nn.ModuleList(
            nn.ModuleList(
                [
                    nn.Conv2d(2, channels, (3, 9), padding=(1, 4)),
                    nn.Conv2d(channels, channels, (3, 9), (1, 2), padding=(1, 4)),
                    nn.Conv2d(channels, channels, (3, 9), (1, 2), padding=(1, 4)),
                ]
            )
            for _ in BANDS[1:]
        )
        self.last = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, wave: Float[Tensor, "rows samples"]) -> Features:
        x = torch.view_as_real(spectrum(wave, self.window)).permute(0, 3, 2, 1)  # rows, parts, time, frequency
        found: Features = []
        ends = []
        for first, stop, layers in zip(self.edges, self.edges[1:], self.bands, strict=False):
            assert isinstance(layers, nn.ModuleList)
            y = x[..., first:stop]
            for layer in layers:
                y = F.leaky_relu(layer(y), 0.1)
                found.append(y)
            ends.append(y)
        return [*found, self.last(torch.cat(ends, -1))]


class Discriminators(nn.Module):
    """All of them; each returns its features, the last of which is its verdict on every stretch of the waveform."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        parts = [ScaleDiscriminator(scale, channels) for scale in SCALES]
        parts += [PeriodDiscriminator(period, channels) for period in PERIODS]  # type: ignore[misc]
        parts += [SpectralDiscriminator(window, channels) for window in WINDOWS]  # type: ignore[misc]
        self.parts = nn.ModuleList(parts)

    def forward(self, wave: Float[Tensor, "rows samples"]) -> list[Features]:
        return [part(wave) for part in self.parts]


def spectrum(wave: Float[Tensor, "rows samples"], window: int) -> Tensor:
    """The short-time spectrum, (rows, frequencies, frames), complex: Hann windows a quarter apart, zeros around."""
    taper = torch.hann_window(window, device=wave.device, dtype=wave.dtype)
    return torch.stft(
        wave, window, window // 4, window=taper, center=True, pad_mode="constant", return_complex=True
    )  # fmt: skip


def spectral_distance(ours: Float[Tensor, "rows samples"], wanted: Float[Tensor, "rows samples"]) -> Float[Tensor, ""]:
    """The multi-resolution STFT loss: spectral convergence plus log magnitude error (Yamamoto et al. 2020, eq. 4-6).

    Example:
        >>> wave = torch.randn(1, 4096, generator=torch.Generator().manual_seed(0))
        >>> spectral_distance(wave, wave).item()
        0.0
    """
    total = ours.new_zeros(())
    for window in WINDOWS:
        a, b = (spectrum(wave, window).abs().clamp(min=1e-5) for wave in (ours, wanted))
        total = total + torch.linalg.vector_norm(b - a) / torch.linalg.vector_norm(b)
        total = total + (b.log() - a.log()).abs().mean()
    return total / len(WINDOWS)


def discriminator_loss(real: Sequence[Features], drawn: Sequence[Features]) -> Float[Tensor, ""]:
    """The hinge loss: verdicts of recordings above 1, of reconstructions below -1."""
    losses = [F.relu(1 - r[-1]).mean() + F.relu(1 + d[-1]).mean() for r, d in zip(real, drawn, strict=True)]
    return torch.stack(losses).mean()


def adversarial_loss(drawn: Sequence[Features]) -> Float[Tensor, ""]:
    """Minus the mean verdict of reconstructions."""
    return -torch.stack([d[-1].mean() for d in drawn]).mean()


def feature_distance(real: Sequence[Features], drawn: Sequence[Features]) -> Float[Tensor, ""]:
    """Feature matching: the mean absolute difference of all features but the verdicts."""
    pairs = [pair for r, d in zip(real, drawn, strict=True) for pair in zip(r[:-1], d[:-1], strict=True)]
    return torch.stack([(r.detach() - d).abs().mean() for r, d in pairs]).mean()


def _stack(x: Tensor, layers: nn.ModuleList, last: nn.Module) -> Features:
    found: Features = []
    for layer in layers:
        x = F.leaky_relu(layer(x), 0.1)
        found.append(x)
    return [*found, last(x)]
