"""The interval of an accuracy, and its differences to other accuracies on the same rows, as columns of a result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lvm_probe.analysis.shape_annotations import Bool, Float, Int
from lvm_probe.analysis.statistics import (
    MIN_GROUPS,
    Difference,
    Interval,
    Jackknife,
    independent_difference,
    independent_interval,
    paired_difference,
    share_interval,
)


@dataclass(frozen=True)
class Units:
    """What the rows are sampled in: their results depend on each other within a unit, not between units.

    Attributes:
        name: `speakers` or `utterances`; `tokens` where each row counts by itself.
        codes: the unit of every row.
        shared_training: whether each unit was judged by a probe that was trained on the others.
    """

    name: str
    codes: Int[np.ndarray, " rows"]
    shared_training: bool

    @property
    def are_rows(self) -> bool:
        """Whether each row is a unit of its own."""
        return len(np.unique(self.codes)) == len(self.codes)

    def interval(self, correct: Bool[np.ndarray, "rows ks"]) -> dict[str, Any]:
        """The columns of the interval of the share of correct rows."""
        if self.are_rows:
            interval = independent_interval(correct)
        else:
            interval = share_interval(Jackknife.of_means(correct, self.codes), shared_training=self.shared_training)
        return interval_columns(interval, self.name)

    def difference(
        self, ours: Bool[np.ndarray, "rows ks"], theirs: Bool[np.ndarray, "rows ks"] | Float[np.ndarray, "rows ks"]
    ) -> Difference:
        """The difference between two shares of correct rows; theirs may be correct in a share of several runs."""
        if self.are_rows and theirs.dtype == bool:
            return independent_difference(ours, theirs)
        one, other = Jackknife.of_means(ours, self.codes), Jackknife.of_means(theirs, self.codes)
        return paired_difference(one, other, shared_training=self.shared_training)


def units_of(name: str, codes: Int[np.ndarray, " rows"], *, shared_training: bool) -> Units:
    """The units of some rows; tokens of too few utterances count as units themselves.

    Args:
        name: `speakers` or `utterances`.
        codes: the unit of every row.
        shared_training: see `Units`.
    """
    if name == "utterances" and len(np.unique(codes)) < MIN_GROUPS:
        return Units("tokens", np.arange(len(codes)), shared_training=False)
    return Units(name, codes, shared_training)


def interval_columns(interval: Interval, unit: str) -> dict[str, Any]:
    """The columns of an interval; its unit is `none` where there are too few to tell."""
    known = np.isfinite(interval.low).any()
    return {"ci_low": interval.low, "ci_high": interval.high, "interval": unit if known else "none"}


def difference_columns(to: str, difference: Difference, unit: str = "") -> dict[str, Any]:
    """The columns of a difference `to` Mel, to the untrained model or to a baseline.

    Args:
        to: what the names of the columns say.
        difference: in fractions, or in the unit.
        unit: a suffix of what has it, `_cm`.

    Example:
        >>> from lvm_probe.analysis.statistics import Jackknife, paired_difference
        >>> means = Jackknife.of_means(np.arange(6.0)[:, None], np.arange(3).repeat(2))
        >>> sorted(difference_columns("mel", paired_difference(means, means)))
        ['effect_minus_mel', 'minus_mel', 'minus_mel_high', 'minus_mel_low', 'p_minus_mel']
    """
    return {
        f"minus_{to}{unit}": difference.mean,
        f"minus_{to}{unit}_low": difference.low,
        f"minus_{to}{unit}_high": difference.high,
        f"p_minus_{to}": difference.p_value,
        f"effect_minus_{to}": difference.effect,
    }
