"""Monte Carlo paths through the latents of one recording."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Int16
from lvm_probe.models.likelihood.chunks import cut
from lvm_probe.models.model import SpeechModel
from lvm_probe.models.noise import path_noise
from lvm_probe.models.trajectory import Trajectory

STRETCH = 64
"""Time steps of the lowest layer in a stretch: few enough that its arrays stay in the processor's cache."""

MAX_PATHS = 128
"""Paths in a batch; larger batches are no faster."""

NOISE_BYTES = 16
"""Memory per number of noise: as drawn, as joined with the other paths, and as much again for the tokens."""


def require_latents(model: SpeechModel, name: str) -> None:
    """Raise InputError unless the model has latents.

    Args:
        model: the model.
        name: what to call it in the message.
    """
    if model.deterministic:
        raise InputError(
            f"{name}: a model of family {model.family} is deterministic: it has no latents, and nothing is sampled; "
            "choose a checkpoint with latents (see `probe models`)"
        )


@dataclass(frozen=True)
class PosteriorSampler:
    """Draws paths from the posterior given one recording.

    A path depends on the model, the recording, its name, the seed and the path's number alone: path i is the same one
    in every batch, and in `probe extract`, `probe rate` and `probe convergence`.

    Attributes:
        model: a model with latents.
        name: the recording's name.
        samples: its length in audio samples.
        encoded: its encoding, time first.
        seed: the seed of the run.
    """

    model: SpeechModel
    name: str
    samples: int
    encoded: tuple[Tensor, ...]
    seed: int = 0

    @classmethod
    def of(cls, model: SpeechModel, name: str, pcm: Int16[np.ndarray, " samples"], seed: int = 0) -> PosteriorSampler:
        """Encode a recording of 16-bit PCM on the model's device."""
        wave = torch.from_numpy(pcm).unsqueeze(0).to(model.parameter.device)
        encoded = model.encode(wave, torch.tensor([len(pcm)], device=wave.device))
        return cls(model, name, len(pcm), encoded, seed)

    @property
    def steps(self) -> list[int]:
        """Number of time steps of each layer, lowest first."""
        return [-(-self.samples // stride) for stride in self.model.strides]

    def batches(self, paths: range, memory_gb: float) -> Iterator[range]:
        """Split numbers of paths into batches that fit into memory.

        Args:
            paths: numbers of the wanted paths, from 0.
            memory_gb: memory limit in gigabytes.
        """
        numbers = sum(steps * latent for steps, latent in zip(self.steps, self.model.latents, strict=True))
        size = min(MAX_PATHS, max(1, int(memory_gb * 1e9 / (NOISE_BYTES * numbers))))
        for start in range(paths.start, paths.stop, size):
            yield range(start, min(start + size, paths.stop))

    def draw(self, paths: Sequence[int]) -> Iterator[list[tuple[int, Trajectory]]]:
        """Draw paths side by side, one stretch of time after the other, up to the end of the audio.

        Args:
            paths: numbers of the paths, from 0; they become the rows of the trajectories.

        Yields:
            For each layer, lowest first, the number of the stretch's first time step and the trajectory from there.
        """
        model = self.model
        noise = path_noise(model, self.name, self.samples, paths, self.seed)
        before: tuple[Trajectory, ...] = ()
        coarsest = model.coarsest_stride
        padded, size = (-(-n // coarsest) * coarsest for n in (self.samples, STRETCH * model.stride))
        for start in range(0, padded, size):
            stop = min(start + size, padded)
            parts = [n[start // stride : stop // stride] for n, stride in zip(noise, model.strides, strict=True)]
            layers = model.infer(cut(self.encoded, padded, start, stop), parts, before)
            before = model.continuing(before, layers)
            stretch = []
            for layer, stride in zip(layers, model.strides, strict=True):
                first = start // stride
                stretch.append((first, layer.steps(0, -(-min(self.samples, stop) // stride) - first)))
            yield stretch
