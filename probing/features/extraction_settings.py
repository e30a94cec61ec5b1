"""How an extraction is to be done: whatever changes a row of the table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from lvm_probe import InputError
from lvm_probe.analysis.mfcc import COEFFICIENTS

UNITS = ("phoneme", "word", "utterance")
ALSO = ("mfcc", "stats", "states", "halves")
"""What `--also` adds: cepstra, frame statistics, the states of a model with latents, means of a token's halves."""

Estimator = Literal["sample", "posterior-mean"]
SAMPLES: dict[Estimator, int] = {"sample": 100, "posterior-mean": 12}
"""Of each estimator where nothing else is said: the paper's, and as many as err less in every layer of the shipped
checkpoints (10 about as much; `probe convergence`)."""


@dataclass(frozen=True)
class Mel:
    """The Mel baseline: the paper's window of 256 and 80 bands; its hop is the lowest stride, or 64 where that is 1."""

    bins: int = 80
    window: int = 256
    n_fft: int | None = None

    def __post_init__(self) -> None:
        if min(self.bins, self.window) < 1:
            raise InputError(f"--mel-bins {self.bins}, --mel-window {self.window}: give positive numbers")
        if self.n_fft is not None and (self.n_fft < self.window or self.n_fft % 2):
            raise InputError(
                f"--mel-fft {self.n_fft}: give an even number, at least the window's {self.window} samples"
            )


@dataclass(frozen=True)
class Settings:
    """How latents become tokens. What changes a row is here, and in `_extraction.json`.

    `posterior-mean` averages the posterior's means along the sampled paths, which has the same expectation as averaging
    z (`sample`, the paper's way) and less noise.
    """

    samples: int = SAMPLES["posterior-mean"]
    estimator: Estimator = "posterior-mean"
    seed: int = 0
    units: tuple[str, ...] = ("phoneme",)
    untrained: bool = False
    mel: Mel = Mel()
    also: tuple[str, ...] = ()

    @classmethod
    def of(cls, *, samples: int | None = None, estimator: Estimator = "posterior-mean", **others: Any) -> Settings:
        """Settings with as many samples as the estimator takes by default, where no number is given."""
        usual = cls(estimator=estimator, **others)
        return replace(usual, samples=SAMPLES[estimator] if samples is None else samples)

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise InputError(f"--samples {self.samples}: at least one sample is needed")
        if not self.units or set(self.units) - set(UNITS):
            raise InputError(f"--units {','.join(self.units) or '(none)'}: choose among {', '.join(UNITS)}")
        if set(self.also) - set(ALSO):
            raise InputError(f"--also {','.join(self.also)}: choose among {', '.join(ALSO)}")
        if self.estimator not in ("sample", "posterior-mean"):
            raise InputError(f"--estimator {self.estimator}: choose sample or posterior-mean")
        if "mfcc" in self.also and self.mel.bins < COEFFICIENTS:
            raise InputError(f"--also mfcc: {COEFFICIENTS} coefficients need as many --mel-bins, not {self.mel.bins}")
        object.__setattr__(self, "units", tuple(dict.fromkeys(self.units)))
        object.__setattr__(self, "also", tuple(name for name in ALSO if name in self.also))
