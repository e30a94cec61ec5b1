"""The random numbers of an utterance, which depend on nothing but the run's seed and the utterance's name.

So the same utterance gets the same noise in any order, batch or process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from lvm_probe.models.batches import Recording
from lvm_probe.models.model import SpeechModel


def utterance_seed(seed: int, name: str) -> int:
    """A seed for one utterance.

    Args:
        seed: the seed of the run.
        name: the utterance's name, unique in its corpus.

    Returns:
        A whole number below 2^56.

    Example:
        >>> utterance_seed(0, "FVMH0/SA1") == utterance_seed(0, "FVMH0/SA1")
        True
        >>> utterance_seed(0, "FVMH0/SA1") == utterance_seed(1, "FVMH0/SA1")
        False
    """
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:7], "big")


def utterance_generator(seed: int, name: str) -> torch.Generator:
    """PyTorch's generator on the CPU, started from `utterance_seed`."""
    return torch.Generator().manual_seed(utterance_seed(seed, name))


def path_noise(
    model: SpeechModel, name: str, samples: int, paths: Sequence[int], seed: int
) -> tuple[Float[Tensor, "_time paths _latent"], ...]:
    """Noise for several Monte Carlo paths through the latents of one utterance.

    Path i is the same path whichever others are asked for with it.

    Args:
        model: the model whose latents are drawn.
        name: the utterance's name.
        samples: the utterance's length in audio samples.
        paths: numbers of the paths, from 0.
        seed: the seed of the run.

    Returns:
        Standard normal noise of every layer, lowest first, on the model's device and in its type, drawn in single
        precision.
    """
    drawn = [model.noise(samples, 1, utterance_generator(seed, f"{name} path {path}")) for path in paths]
    return tuple(torch.cat(layer, 1).to(model.parameter) for layer in zip(*drawn, strict=True))


def batch_noise(
    model: SpeechModel, recordings: Sequence[Recording], samples: int, seed: int
) -> tuple[Float[Tensor, "_time batch _latent"], ...]:
    """Noise for one path through each recording of a batch.

    Args:
        model: the model whose latents are drawn.
        recordings: the rows of the batch.
        samples: the padded length of the batch in audio samples.
        seed: the seed of the run.

    Returns:
        Standard normal noise of every layer, lowest first, on the model's device; zero beyond the end of a recording.
    """
    noise = tuple(torch.zeros_like(n) for n in model.noise(samples, len(recordings), torch.Generator()))
    for row, recording in enumerate(recordings):
        own = model.noise(recording.samples, 1, utterance_generator(seed, recording.name))
        for whole, part in zip(noise, own, strict=True):
            whole[: len(part), row] = part[:, 0]
    return tuple(n.to(model.parameter.device) for n in noise)
