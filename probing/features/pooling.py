"""From steps to tokens: averages over a segment, weighted by the overlap of step and segment."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from scipy import sparse

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Float, Float64
from lvm_probe.probing.corpora.corpus import Segment

LOG_FLOOR = 1e-10
"""Added to a mean square before its logarithm."""


class Pooling:
    """Step t of `stride` samples covers samples [t·stride, (t+1)·stride); a token averages what it overlaps.

    The weights are overlaps in samples over the segment's length, so that a 10 ms phone has a value even at a
    32 ms stride. Kept as a sparse matrix (tokens × steps): one product pools everything in one pass.
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
        places = (_joined(rows), _joined(columns))
        self.matrix = sparse.csr_array((_joined(weights).astype(np.float32), places), shape=(len(segments), steps))

    def mean(self, steps: Float[np.ndarray, "steps dims"]) -> Float[np.ndarray, "tokens dims"]:
        """Weighted mean of every token."""
        pooled: np.ndarray = self.matrix @ steps
        return pooled

    def add(
        self,
        steps: Float[np.ndarray, "steps paths dims"],
        first: int,
        totals: Float64[np.ndarray, "tokens paths dims"],
    ) -> None:
        """Add to the means of every token what the steps from `first` on contribute, for many paths side by side."""
        part = self._columns[:, first : first + len(steps)]
        tokens = np.unique(part.indices)
        totals[tokens] += (part.tocsr()[tokens] @ steps.reshape(len(steps), -1)).reshape(-1, *steps.shape[1:])

    def log_mean_square(self, steps: Float[np.ndarray, "steps dims"]) -> Float[np.ndarray, "tokens dims"]:
        """Natural log of the weighted mean square: keeps what a phase code loses in the mean."""
        return np.log(self.mean(np.square(steps)) + np.float32(LOG_FLOOR))

    def halves(self, steps: Float[np.ndarray, "steps dims"]) -> Float[np.ndarray, "tokens two_dims"]:
        """Means over the first and over the second half of every token, side by side: keeps where a sound goes."""
        return self._halves.mean(steps).reshape(len(self.segments), 2 * steps.shape[1])

    @cached_property
    def _columns(self) -> sparse.csc_array:
        return self.matrix.tocsc()

    @cached_property
    def _halves(self) -> Pooling:
        return Pooling([half for segment in self.segments for half in halved(segment)], self.stride, self.steps)


def halved(segment: Segment) -> tuple[Segment, Segment]:
    """The two halves of a segment, cut at its middle sample (rounded down); one sample is both of its halves."""
    if segment.samples == 1:
        return segment, segment
    middle = segment.start + segment.samples // 2
    return Segment(segment.label, segment.start, middle), Segment(segment.label, middle, segment.end)


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.empty(0)
