"""Random changes of the segments that a model is trained on, as in RAVE (Caillon and Esling 2021) and its code.

Each segment x of 16-bit PCM is changed by those of these that its recipe has, in this order, and then rounded to 16
bits and clipped at full scale:

- `dequantise`: x[n] + u[n] with u uniform in (-½, ½), which spreads a PCM value over its cell. By itself it changes
  nothing, since rounding returns x; before another change it takes the place of the rounding error that x has already;
- `pitch`: y[n] = x(ρn) with ρ = 2^(s/12), s uniform within ± `pitch` semitones, by a windowed sinc. Speech gets higher
  and faster, or lower and slower;
- `mangle`: with this probability, the all-pass filter of second order
  H(z) = (r² - 2r cos θ z⁻¹ + z⁻²) / (1 - 2r cos θ z⁻¹ + r² z⁻²) with r = 0.99 and θ = 2πf/rate, log f uniform between
  20 and 2,000 Hz. It delays what is near f by some milliseconds and leaves every amplitude as it is;
- `flip`: with probability ½, -x[n];
- `quieter`: x[n] 10^(-d/20) with d uniform between 0 and `quieter` dB (`segments.draw_segments`).

All draws depend on the run's seed and the update's number alone.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int16
from scipy.signal import lfilter

from lvm_probe.models.io.pcm import FULL_SCALE
from lvm_probe.models.training.recipe import Recipe

RADIUS = 0.99
"""Of the all-pass filter's poles."""
HERTZ = (20.0, 2_000.0)
"""Range of its frequency."""
HALF_TAPS = 16
"""Zero crossings of the sinc on either side; the error of a resampled tone below 0.8 of the highest is under -60 dB."""


class Changes(NamedTuple):
    """What happens to each segment of a batch.

    Attributes:
        ratios: ρ, source samples per sample of the segment.
        hertz: frequency of the all-pass filter; 0 for none.
        flipped: whether its sign changes.
    """

    ratios: Float64[np.ndarray, " rows"]
    hertz: Float64[np.ndarray, " rows"]
    flipped: Bool[np.ndarray, " rows"]


def draw_changes(recipe: Recipe, seed: int, update: int) -> Changes:
    """The changes of an update's segments.

    Args:
        recipe: how much may change.
        seed: of the run.
        update: its number.

    Example:
        >>> from lvm_probe.models.training.recipe import SMALL
        >>> draw_changes(SMALL, seed=0, update=0).ratios[:2]
        array([1., 1.])
    """
    random = np.random.default_rng((seed, update, 1))
    ratios = 2.0 ** (random.uniform(-1, 1, recipe.batch) * recipe.pitch / 12)
    hertz = np.exp(random.uniform(math.log(HERTZ[0]), math.log(HERTZ[1]), recipe.batch))
    hertz[random.random(recipe.batch) >= recipe.mangle] = 0
    flipped = random.random(recipe.batch) < (0.5 if recipe.flip else 0)
    return Changes(ratios, hertz, flipped)


def changed(
    pcm: Int16[np.ndarray, " source"],
    samples: int,
    changes: Changes,
    row: int,
    gain: float,
    *,
    sample_rate: int,
    noise: Float64[np.ndarray, " source"] | None = None,
) -> Int16[np.ndarray, " samples"]:
    """One segment with its changes.

    Args:
        pcm: the stretch of the recording.
        samples: of the segment that it becomes.
        changes: of the batch.
        row: of the segment in the batch.
        gain: its factor.
        sample_rate: in Hz.
        noise: uniform in (-½, ½), for `dequantise`.
    """
    x = pcm.astype(np.float64)
    if noise is not None:
        x = x + noise
    if changes.ratios[row] != 1:
        x = resampled(x, float(changes.ratios[row]), samples)
    if changes.hertz[row]:
        x = all_pass(x, float(changes.hertz[row]), sample_rate)
    x = x * (-gain if changes.flipped[row] else gain)
    return np.clip(np.round(x), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def all_pass(x: Float64[np.ndarray, " n"], hertz: float, sample_rate: int) -> Float64[np.ndarray, " n"]:
    """x behind the all-pass filter of second order, which starts at rest."""
    poles = np.array([1.0, -2 * RADIUS * np.cos(2 * np.pi * hertz / sample_rate), RADIUS**2])
    filtered: np.ndarray = lfilter(poles[::-1], poles, x)
    return filtered


def resampled(x: Float64[np.ndarray, " source"], ratio: float, samples: int) -> Float64[np.ndarray, " samples"]:
    """x at the places 0, ρ, 2ρ, ..., low-passed where ρ > 1 so that nothing is aliased; zeros surround x."""
    cutoff = min(1.0, 1 / ratio)
    reach = int(np.ceil(HALF_TAPS / cutoff))
    places = np.arange(samples) * ratio
    first = np.floor(places).astype(int) - reach + 1
    taps = first[:, None] + np.arange(2 * reach)
    distance = places[:, None] - taps
    window = np.cos(np.pi / 2 * np.clip(distance / reach, -1, 1)) ** 2
    weights = cutoff * np.sinc(cutoff * distance) * window
    padded = np.pad(x, (reach, reach + int(np.ceil(samples * ratio))))
    values: np.ndarray = (padded[taps + reach] * weights).sum(1)
    return values
