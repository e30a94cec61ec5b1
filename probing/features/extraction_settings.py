"""How an extraction turns recordings into rows: everything that changes a value of the table."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from lvm_probe import InputError
from lvm_probe.analysis.mfcc import COEFFICIENTS

UNITS = ("phoneme", "word", "utterance", "frame")
FRAME_MS = 10.0
"""Step of the unit `frame` where none is given, in milliseconds."""
ALSO = ("mfcc", "stats", "measures", "states", "halves")
"""Further features: cepstra, statistics of raw frames, acoustic measures (`feature.MEASURES`), a latent model's states,
means over the halves of a token."""

Estimator = Literal["sample", "posterior-mean"]
DEFAULT_DRAWS: dict[Estimator, int] = {"sample": 100, "posterior-mean": 12}
"""Of `sample` the paper's 100; 12 posterior means have a smaller error in every layer of the shipped checkpoints
(`probe convergence`)."""


@dataclass(frozen=True)
class Mel:
    """The Mel baseline; its hop is the lowest stride of the model, or 64 where that is 1.

    Attributes:
        bins: number of bands.
        window: audio samples in a frame's window.
        n_fft: length of the FFT; None for the shortest power of two that leaves no band empty.

    Raises:
        InputError: a number is out of range.
    """

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
    """How latents become rows; `_extraction.json` repeats it.

    Attributes:
        draws: Monte Carlo draws per utterance. Users call them `samples`; here a sample is always an audio sample.
        estimator: `sample` averages the drawn latents, as Havtorn et al. (2022) do; `posterior-mean` averages the
            posterior means along the drawn paths, which have the same expectation and a smaller variance.
        seed: seed of the draws, and of an untrained model's weights.
        units: which segments become rows.
        untrained: whether the model's weights are replaced by random ones.
        mel: the Mel baseline.
        also: further features, among `ALSO`.
        context_ms: milliseconds of audio before and after each token of which columns are added; None for no such
            columns.
        frame_ms: step of the unit `frame`, in milliseconds; that of a layer gives a row for each of its steps.

    Raises:
        InputError: a value is unknown or out of range.
    """

    draws: int = DEFAULT_DRAWS["posterior-mean"]
    estimator: Estimator = "posterior-mean"
    seed: int = 0
    units: tuple[str, ...] = ("phoneme",)
    untrained: bool = False
    mel: Mel = Mel()
    also: tuple[str, ...] = ()
    context_ms: float | None = None
    frame_ms: float = FRAME_MS

    @classmethod
    def of(cls, *, samples: int | None = None, estimator: Estimator = "posterior-mean", **others: Any) -> Settings:
        """Settings from the user's options; without `samples`, as many draws as the estimator needs."""
        settings = cls(estimator=estimator, **others)
        return replace(settings, draws=DEFAULT_DRAWS[estimator] if samples is None else samples)

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise InputError(f"--samples {self.draws}: at least one draw is needed")
        if not self.units or set(self.units) - set(UNITS):
            raise InputError(f"--units {','.join(self.units) or '(none)'}: choose among {', '.join(UNITS)}")
        if set(self.also) - set(ALSO):
            raise InputError(f"--also {','.join(self.also)}: choose among {', '.join(ALSO)}")
        if self.estimator not in get_args(Estimator):
            raise InputError(f"--estimator {self.estimator}: choose {' or '.join(get_args(Estimator))}")
        if "mfcc" in self.also and self.mel.bins < COEFFICIENTS:
            raise InputError(f"--also mfcc: {COEFFICIENTS} coefficients need as many --mel-bins, not {self.mel.bins}")
        if self.context_ms is not None and not 0 < self.context_ms < math.inf:
            raise InputError(f"--context {self.context_ms:g}ms: give more than nothing, such as 40ms, or leave it out")
        if not 1 <= self.frame_ms < math.inf:
            raise InputError(f"--frame-step {self.frame_ms:g}ms: give 1ms or more, such as 10ms")
        object.__setattr__(self, "units", tuple(dict.fromkeys(self.units)))
        object.__setattr__(self, "also", tuple(name for name in ALSO if name in self.also))
