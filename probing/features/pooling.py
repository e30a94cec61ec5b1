"""From time steps to tokens: averages over a segment, weighted by the overlap of step and segment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from scipy import sparse

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Float, Float64, Int
from lvm_probe.probing.corpora.corpus import Segment

LOG_FLOOR = 1e-10
"""Added to a mean square before its logarithm."""


class Pooling:
    """Averages a layer over tokens: step t covers the samples [t·stride, (t+1)·stride).

    The weight of a step is its overlap with the segment in samples, over the segment's length, so that even a 10 ms
    phone has a value at a stride of 32 ms.

    Attributes:
        segments: the tokens.
        stride: samples per step.
        steps: number of steps.
        matrix: the weights, a sparse (tokens, steps) matrix.

    Raises:
        InputError: a segment ends after the last step.

    Example:
        >>> import numpy as np
        >>> pool = Pooling([Segment("iy", 100, 300)], stride=200, steps=2)
        >>> pool.mean(np.array([[0.0], [1.0]])).tolist()
        [[0.5]]
    """

    def __init__(self, segments: Sequence[Segment], stride: int, steps: int) -> None:
        self.segments, self.stride, self.steps = segments, stride, steps
        rows, columns, weights = [], [], []
        for row, segment in enumerate(segments):
            first, last = segment.start // stride, -(-segment.end // stride)
            if last > steps:
                raise InputError(f"segment {segment} ends past the last of {steps} steps of {stride} samples")
            t = np.arange(first, last)
            overlap = np.minimum((t + 1) * stride, segment.end) - np.maximum(t * stride, segment.start)
            rows.append(np.full(len(t), row))
            columns.append(t)
            weights.append(overlap / segment.samples)
        places = (_concatenate(rows), _concatenate(columns))
        values = _concatenate(weights).astype(np.float32)
        self.matrix = sparse.csr_array((values, places), shape=(len(segments), steps))

    def mean(self, steps: Float[np.ndarray, "steps dims"]) -> Float[np.ndarray, "tokens dims"]:
        """Weighted mean of every token."""
        pooled: np.ndarray = self.matrix @ steps
        return pooled

    def mean_of_known(self, steps: Float[np.ndarray, "steps dims"]) -> Float[np.ndarray, "tokens dims"]:
        """Weighted mean over the steps whose value is known; NaN where these are less than half of the token.

        Example:
            >>> import numpy as np
            >>> pool = Pooling([Segment("iy", 0, 300), Segment("s", 300, 400)], stride=100, steps=4)
            >>> pool.mean_of_known(np.array([[120.0], [130.0], [np.nan], [np.nan]])).ravel()
            array([125.,  nan])
        """
        known = ~np.isnan(steps)
        share = self.mean(known.astype(np.float64))
        total = self.mean(np.where(known, steps, 0.0))
        # A share of exactly one half may come out a rounding below it, for the weights are in single precision.
        return np.divide(total, share, out=np.full(total.shape, np.nan), where=share > 0.5 - 1e-6)

    def mean_within(
        self,
        steps: Float[np.ndarray, "steps dims"],
        values: Callable[[Float[np.ndarray, "_own dims"], Int[np.ndarray, " tokens"]], Float[np.ndarray, "_own _size"]],
    ) -> Float[np.ndarray, "tokens _size"]:
        """Weighted mean of what is computed from every token's own steps.

        Args:
            steps: values at the time steps.
            values: given the steps that overlap each token, one token after another, and their number for each token,
                returns a row for each of these steps.
        """
        own = values(steps[self.matrix.indices], np.diff(self.matrix.indptr))
        places = (np.arange(len(own)), self.matrix.indptr)
        pooled: np.ndarray = sparse.csr_array((self.matrix.data, *places), shape=(len(self.segments), len(own))) @ own
        return pooled

    def add(
        self,
        steps: Float[np.ndarray, "steps paths dims"],
        first: int,
        totals: Float64[np.ndarray, "tokens paths dims"],
    ) -> None:
        """Add to the mean of every token what a stretch of time contributes, for many paths at once.

        Args:
            steps: values at the time steps of the stretch.
            first: number of its first step.
            totals: the means, changed in place.
        """
        part = self._columns[:, first : first + len(steps)]
        tokens = np.unique(part.indices)
        totals[tokens] += (part.tocsr()[tokens] @ steps.reshape(len(steps), -1)).reshape(-1, *steps.shape[1:])

    def log_mean_square(self, steps: Float[np.ndarray, "steps dims"]) -> Float[np.ndarray, "tokens dims"]:
        """Natural logarithm of the weighted mean square: it keeps what the mean of an oscillating value loses."""
        return np.log(self.mean(np.square(steps)) + np.float32(LOG_FLOOR))

    def halves(
        self, pooled: Callable[[Pooling], Float[np.ndarray, "_halves dims"]]
    ) -> Float[np.ndarray, "tokens two_dims"]:
        """What is averaged over the first and over the second half of every token, concatenated: it shows change.

        Args:
            pooled: averages over the segments of another pooling, which are the halves in turn.

        Example:
            >>> import numpy as np
            >>> pool = Pooling([Segment("ay", 0, 400)], stride=200, steps=2)
            >>> pool.halves(lambda half: half.mean(np.array([[0.0], [1.0]]))).tolist()
            [[0.0, 1.0]]
        """
        halves = pooled(self._halves)
        return halves.reshape(len(self.segments), 2 * halves.shape[1])

    @cached_property
    def _columns(self) -> sparse.csc_array:
        return self.matrix.tocsc()

    @cached_property
    def _halves(self) -> Pooling:
        halves = [half for segment in self.segments for half in split_in_half(segment)]
        return Pooling(halves, self.stride, self.steps)


def split_in_half(segment: Segment) -> tuple[Segment, Segment]:
    """The halves of a segment, cut at its middle sample (rounded down); a single sample is both of its halves."""
    if segment.samples == 1:
        return segment, segment
    middle = segment.start + segment.samples // 2
    return Segment(segment.label, segment.start, middle), Segment(segment.label, middle, segment.end)


def _concatenate(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.empty(0)
