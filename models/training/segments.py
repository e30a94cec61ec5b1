"""The batch of an update: which stretches of which recordings, and the gain that each gets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int, Int16, Int64, Shaped
from torch import Tensor

from lvm_probe.models.batches import Recording, collate
from lvm_probe.models.domains.domain import Domain
from lvm_probe.models.io.pcm import FULL_SCALE
from lvm_probe.models.training.augmentation import changed, draw_changes
from lvm_probe.models.training.recipe import Recipe


class Segments(NamedTuple):
    """The stretches of audio of a batch; a recording shorter than a segment is taken whole.

    Attributes:
        recordings: numbers of the recordings.
        starts: first audio sample of each in its recording.
        lengths: audio samples of each.
        gains: factor of each.
    """

    recordings: Int64[np.ndarray, " rows"]
    starts: Int64[np.ndarray, " rows"]
    lengths: Int64[np.ndarray, " rows"]
    gains: Float32[np.ndarray, " rows"]


def draw_segments(
    sizes: Int64[np.ndarray, " recordings"],
    recipe: Recipe,
    seed: int,
    update: int,
    weights: Float64[np.ndarray, " recordings"] | None = None,
    step: int = 1,
    ratios: Float64[np.ndarray, " rows"] | float = 1.0,
) -> Segments:
    """Segments from uniformly random positions in all the audio.

    Args:
        sizes: audio samples of each recording.
        recipe: its batch size, length of segments and how much quieter they get.
        seed: of the run.
        update: the number of this update.
        weights: how often each recording is drawn, relative to its length; equally without.
        step: elements that belong together; segments begin and end with a step.
        ratios: of the length that is taken to that of the segment.

    Example:
        >>> from lvm_probe.models.training.recipe import SMALL
        >>> draw_segments(np.array([50_000, 9_000]), SMALL, 0, 0).lengths.max()
        np.int64(16384)
    """
    random = np.random.default_rng((seed, update))
    shares = sizes if weights is None else sizes * weights
    chosen = random.choice(len(sizes), recipe.batch, p=shares / shares.sum())
    lengths = np.minimum(sizes[chosen], np.ceil(max(1, recipe.segment // step) * step * ratios).astype(np.int64))
    starts = random.integers((sizes[chosen] - lengths) // step + 1) * step
    decibels = random.uniform(0, recipe.quieter, recipe.batch)
    return Segments(chosen, starts, lengths, (10 ** (-decibels / 20)).astype(np.float32))


def with_gain(pcm: Int16[Tensor, "rows samples"], gains: Float[Tensor, " rows"]) -> Int16[Tensor, "rows samples"]:
    """Each row times its gain, rounded to 16 bits and clipped at full scale."""
    louder = (pcm.float() * gains.unsqueeze(1)).round()
    return louder.clamp(-FULL_SCALE, FULL_SCALE - 1).to(torch.int16)


def training_batch(
    recordings: Sequence[Recording],
    domain: Domain,
    recipe: Recipe,
    seed: int,
    update: int,
    weights: Float64[np.ndarray, " recordings"] | None = None,
    sample_rate: int = 16_000,
) -> tuple[Shaped[Tensor, "batch elements"], Int[Tensor, " batch"], list[str]]:
    """The batch of an update: segments as `draw_segments` has them, or whole recordings of similar length.

    Args:
        recordings: to train on.
        domain: what they are made of.
        recipe: its batch size, length of segments and how they are changed.
        seed: of the run.
        update: the number of this update.
        weights: how often each recording is drawn, relative to its length; only of segments.
        sample_rate: of the recordings, in Hz.

    Returns:
        Zero-padded elements, such as 16-bit PCM, the length of each row in elements, and the names of the recordings.
    """
    sizes = np.array([r.samples for r in recordings])
    if recipe.segment == 0:
        random = np.random.default_rng((seed, update))
        order = np.argsort(sizes * random.uniform(0.9, 1.1, len(sizes)))
        first = recipe.batch * int(random.integers(-(-len(order) // recipe.batch)))  # every recording is equally likely
        chosen = [recordings[i] for i in order[first : first + recipe.batch]]
        return *collate(chosen, domain), [r.name for r in chosen]
    changes = draw_changes(recipe, seed, update)
    drawn = draw_segments(sizes, recipe, seed, update, weights, domain.step, changes.ratios)
    stretches = [
        domain.check(recordings[i].read(int(start), int(start + length)))
        for i, start, length in zip(*drawn[:3], strict=True)
    ]
    names = [recordings[i].name for i in drawn.recordings]
    elements = torch.zeros(recipe.batch, max(1, recipe.segment // domain.step) * domain.step, dtype=domain.dtype)
    lengths = drawn.lengths
    if recipe.augmented:
        lengths = np.minimum(np.floor(lengths / changes.ratios).astype(np.int64), recipe.segment).clip(min=1)
        random = np.random.default_rng((seed, update, 2))
        for i, (stretch, length) in enumerate(zip(stretches, lengths, strict=True)):
            noise = random.uniform(-0.5, 0.5, len(stretch)) if recipe.dequantise else None
            gain = float(drawn.gains[i])
            stretches[i] = changed(stretch, int(length), changes, i, gain, sample_rate=sample_rate, noise=noise)
    for row, stretch in zip(elements, stretches, strict=True):
        row[: len(stretch)] = torch.from_numpy(stretch)
    if recipe.quieter and not recipe.augmented:
        elements = with_gain(elements, torch.from_numpy(drawn.gains))
    return elements, torch.from_numpy(lengths), names
