"""Sampled paths of the posterior for one recording, side by side, as many at once as memory allows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from lvm_probe import InputError
from lvm_probe.models.model import SpeechModel
from lvm_probe.models.trajectory import Trajectory
from lvm_probe.probing.features.sources import bytes_a_path, trajectories


def check_latents(model: SpeechModel, name: str) -> None:
    """InputError unless the model has latents."""
    if model.deterministic:
        raise InputError(
            f"{name}: a model of family {model.family} is deterministic: it has no latents, and nothing is sampled; "
            "choose a checkpoint with latents (see `probe models`)"
        )


def encode(model: SpeechModel, pcm: np.ndarray) -> tuple[Tensor, ...]:
    """The encoding of one recording of 16-bit PCM, on the model's device."""
    device = model.parameter.device
    return model.encode(torch.from_numpy(pcm).unsqueeze(0).to(device), torch.tensor([len(pcm)], device=device))


def blocks(
    model: SpeechModel,
    name: str,
    encoded: Sequence[Tensor],
    samples: int,
    paths: range,
    seed: int,
    memory_gb: float = 1.0,
) -> Iterator[tuple[Trajectory, ...]]:
    """The given paths, some at a time (rows of the trajectories), without the steps beyond the recording's samples.

    Path i has the noise of sample i of `probe extract` with the same seed, whatever block it is in.
    """
    at_once = max(1, int(memory_gb * 1e9 / bytes_a_path(model, encoded, samples)))
    for start in range(paths.start, paths.stop, at_once):
        some = range(start, min(start + at_once, paths.stop))
        layers = trajectories(model, name, encoded, samples, some, seed)
        spans = zip(layers, model.strides, strict=True)
        yield tuple(layer.steps(0, -(-samples // stride)) for layer, stride in spans)
