"""Training recipes and presets."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from lvm_probe import InputError


@dataclass(frozen=True)
class Recipe:
    """How to train. Lengths are in updates, not epochs, so that a schedule means the same on every corpus.

    `beta`, `free_nats` and `auxiliary` are ramps (first, last, share): linear from the first value to the last over
    that share of all updates, then constant.

    Attributes:
        updates: of the weights, in all.
        batch: segments or utterances per update.
        segment: audio samples, cut at random from the recordings; 0 for whole utterances in batches of similar length.
        quieter: each segment is made quieter by up to so many dB, uniformly, and rounded to 16 bits again.
        mangle: share of the segments whose phases are changed by an all-pass filter (`augmentation` has the formulas).
        dequantise: whether segments get noise within a PCM value before they are changed otherwise.
        flip: whether the sign of half of the segments changes.
        pitch: each segment is resampled by up to so many semitones, up or down.
        learning_rate: the highest.
        warm_up: updates with a linearly rising learning rate.
        cosine: whether the learning rate then falls to zero as a cosine; constant otherwise.
        decay: factor on the learning rate every 1,000 updates, by powers in between (Aksan and Hilliges 2019: 0.94).
        optimizer: "adam", or "muon" for the matrices and Adam for the rest (`muon` says how).
        betas: of Adam.
        clip: the largest norm of the gradient; 0 for none.
        ema: decay of the moving average of the weights, which is what is validated and saved; 0 for none.
        beta: ramp of the weight of the KL divergence.
        free_nats: ramp of the free nats per step, shared evenly by the dimensions of a layer: each dimension's KL
            counts as max(KL, floor).
        scale_free_nats: whether a layer's free nats grow with its stride relative to the lowest (Havtorn et al. 2022).
        upper_free_nats: factor on the free nats of the layers above the lowest.
        auxiliary: ramp of the weight of the auxiliary waveform's squared error.
        dropout: share of the features before and behind the dynamics that each update sets to zero; for models on
            stacks (Dai et al. 2019 have 0.5 in their code for piano rolls).
        validate_every: updates between validations.

    Raises:
        InputError: if a number is out of its range.

    Example:
        >>> from dataclasses import replace
        >>> replace(SMALL, updates=1_000, batch=4).segment
        16384
    """

    updates: int
    batch: int
    segment: int
    learning_rate: float
    quieter: float = 0.0
    mangle: float = 0.0
    dequantise: bool = False
    flip: bool = False
    pitch: float = 0.0
    warm_up: int = 0
    cosine: bool = False
    decay: float = 1.0
    optimizer: str = "adam"
    betas: tuple[float, float] = (0.9, 0.999)
    clip: float = 0.0
    ema: float = 0.0
    beta: tuple[float, float, float] = (0.0, 1.0, 0.5)
    free_nats: tuple[float, float, float] = (4.0, 0.0, 1.0)
    scale_free_nats: bool = False
    upper_free_nats: float = 1.0
    auxiliary: tuple[float, float, float] = (0.0, 0.0, 0.5)
    dropout: float = 0.0
    validate_every: int = 500

    def __post_init__(self) -> None:
        if min(self.updates, self.batch, self.validate_every) < 1 or self.segment < 0 or self.learning_rate <= 0:
            raise InputError(f"updates, batch, validation interval and learning rate must be positive; got {self}")
        if not 0 < self.decay <= 1:
            raise InputError(f"the learning rate decays by a factor above 0 and up to 1; got {self}")
        if self.optimizer not in ("adam", "muon"):
            raise InputError(f"the optimizer is adam or muon; got {self}")
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout is a share from 0 to below 1; got {self}")
        if not 0 <= self.quieter <= 96 or (self.quieter and self.segment == 0):
            raise InputError(f"quieter lies between 0 and 96 dB, and applies to segments only; got {self}")
        if not (0 <= self.mangle <= 1 and 0 <= self.pitch <= 12) or (self.augmented and self.segment == 0):
            raise InputError(
                "mangle lies between 0 and 1, pitch between 0 and 12 semitones, and they, dequantise and flip apply to "
                f"segments only; got {self}"
            )

    @property
    def augmented(self) -> bool:
        """Whether segments are changed otherwise than by their gain."""
        return bool(self.mangle or self.dequantise or self.flip or self.pitch)


@dataclass(frozen=True)
class Preset:
    """A configuration with the recipe that trains it.

    Attributes:
        config: of the family that the preset belongs to.
        recipe: how to train it.
        note: a line for `probe models`; presets that differ in it alone are equal.
    """

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
"""A recipe against posterior collapse for two CPU cores: many small updates, rising β, falling free nats, and an
auxiliary waveform loss during the first half."""

GPU = replace(
    SMALL,
    updates=30_000,
    batch=64,
    segment=8_192,
    learning_rate=2e-3,
    warm_up=500,
    ema=0.999,
    quieter=20.0,
    free_nats=(4.0, 0.0, 0.8),
    validate_every=5_000,
)
"""A recipe for minutes on a GPU, where an update takes as long as its segments are, however many there are: more and
shorter segments, a higher learning rate, recordings made quieter at random, and no free nats at the end."""

CONTINUE = replace(
    SMALL,
    updates=26_000,
    segment=8_192,
    warm_up=500,
    ema=0.999,
    beta=(1.0, 1.0, 1.0),
    free_nats=(0.8, 0.8, 1.0),
    auxiliary=(0.0, 0.0, 1.0),
    validate_every=5_000,
)
"""A recipe for weights that are trained already: no ramps, which would make them forget their latents."""

SEQUENCES = Recipe(
    updates=4_000,
    batch=16,
    segment=128,
    learning_rate=1e-3,
    warm_up=100,
    cosine=True,
    clip=1.0,
    ema=0.998,
    beta=(0.2, 1.0, 0.5),
    free_nats=(0.0, 0.0, 1.0),
    validate_every=200,
)
"""For other data than speech, after Dai et al. (2019, appendix D): Adam at 0.001 that falls as a cosine, and a weight
of the KL divergence that rises from 0.2. Its segment is in steps of the domain."""

DAI = Recipe(
    updates=40_000,
    batch=32,
    segment=8_000,
    learning_rate=1e-3,
    cosine=True,
    clip=0.5,
    beta=(0.2, 1.0, 0.4),
    free_nats=(0.0, 0.0, 1.0),
    validate_every=2_000,
)
"""The schedule of Dai et al. (2019) for segments of half a second of TIMIT."""

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
"""The schedule of Havtorn et al. (2022, appendix C): whole utterances, Adam with its defaults at a constant rate."""

TINY = replace(SMALL, updates=40, batch=2, segment=4_096, warm_up=5, validate_every=20)
"""For tests: seconds."""

RECIPES = {"cpu": SMALL, "gpu": GPU, "continue": CONTINUE, "sequences": SEQUENCES, "paper": PAPER, "tiny": TINY}
"""By their names on the command line."""
