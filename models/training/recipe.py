"""Training recipes as data, and what a preset is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from lvm_probe import InputError


@dataclass(frozen=True)
class Recipe:
    """How to train. Updates are counted, never epochs, so that a schedule means the same on every corpus.

    `free_nats`, `beta` and `auxiliary` go linearly from the first to the second number over the given share
    of all updates. Free nats are per step, shared evenly over the layer's dimensions (per dimension
    max(kl, floor)); each layer's floor is also scaled by its stride relative to the lowest, as in the paper,
    when `scale_free_nats`, and by `upper_free_nats` in the layers above the lowest. `segment` samples are cut at
    random from the recordings; 0 takes whole utterances in batches of like length.
    """

    updates: int
    batch: int
    segment: int
    learning_rate: float
    warm_up: int = 0
    cosine: bool = False
    betas: tuple[float, float] = (0.9, 0.999)
    clip: float = 0.0
    ema: float = 0.0
    beta: tuple[float, float, float] = (0.0, 1.0, 0.5)
    free_nats: tuple[float, float, float] = (4.0, 0.0, 1.0)
    scale_free_nats: bool = False
    upper_free_nats: float = 1.0
    auxiliary: tuple[float, float, float] = (0.0, 0.0, 0.5)
    validate_every: int = 500

    def __post_init__(self) -> None:
        if min(self.updates, self.batch, self.validate_every) < 1 or self.segment < 0 or self.learning_rate <= 0:
            raise InputError(f"updates, batch, validation interval and learning rate must be positive; got {self}")


@dataclass(frozen=True)
class Preset:
    """A model's shape with the recipe that trains it."""

    config: Any
    recipe: Recipe
    note: str = field(default="", compare=False)


SMALL = Recipe(
    updates=14_000,
    batch=8,
    segment=16_384,
    learning_rate=1.2e-3,
    warm_up=200,
    cosine=True,
    betas=(0.9, 0.99),
    clip=1.0,
    ema=0.998,
    beta=(0.02, 1.0, 0.5),
    free_nats=(4.0, 0.8, 0.5),
    scale_free_nats=True,
    auxiliary=(3.0, 0.0, 0.5),
)
"""The recipe against collapse that fits two cores: many small updates, rising β, falling free nats, and an auxiliary
waveform loss over the first half."""

PAPER = Recipe(
    updates=600_000,
    batch=4,
    segment=0,
    learning_rate=3e-4,
    beta=(0.0, 1.0, 0.25),
    free_nats=(4.0, 0.0, 0.5),
    scale_free_nats=True,
    validate_every=2_000,
)
"""The paper's schedule (`papers/001` appendix C): whole utterances, Adam with its defaults at a constant rate."""

TINY = replace(SMALL, updates=40, batch=2, segment=4_096, warm_up=5, validate_every=20)
"""For tests."""
