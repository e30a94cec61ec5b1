"""Models and recordings small enough for every test."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from models.cwvae import CWVAE
from models.presets import CWVAEConfig

SHAPES = {1: ((6,), (64,)), 2: ((6, 4), (64, 512)), 3: ((6, 4, 3), (16, 64, 256))}
"""Latent sizes and strides by number of layers."""


def config(layers: int) -> CWVAEConfig:
    latents, strides = SHAPES[layers]
    return CWVAEConfig(latents, strides, width=12, hidden=10, front_width=8, depth=1, components=3)


def model(layers: int, seed: int = 0) -> CWVAE:
    torch.manual_seed(seed)
    return CWVAE(config(layers))


@dataclass(frozen=True)
class Take:
    """A recording in memory."""

    name: str
    pcm: np.ndarray

    @property
    def samples(self) -> int:
        return len(self.pcm)

    def read(self, start: int, stop: int) -> np.ndarray:
        assert 0 <= start < stop <= len(self.pcm)
        return self.pcm[start:stop]


def take(name: str, samples: int, seed: int = 0) -> Take:
    """Something between a voice and noise."""
    rng = np.random.default_rng((seed, samples, *name.encode()))
    t = np.arange(samples)
    wave = np.sin(t * rng.uniform(0.02, 0.06)) * np.sin(t / 900) + 0.05 * rng.normal(size=samples)
    return Take(name, np.clip(8_000 * wave, -32_768, 32_767).astype(np.int16))


def batch(lengths: Sequence[int], size: int = 0, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Zero-padded PCM and lengths."""
    pcm = torch.zeros(len(lengths), max(size, *lengths), dtype=torch.int16)
    for row, (own, length) in enumerate(zip(pcm, lengths, strict=True)):
        own[:length] = torch.from_numpy(take(f"row {row}", length, seed).pcm)
    return pcm, torch.tensor(lengths)
