"""Labelled points, checked once where they enter the analysis."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Int


@dataclass(frozen=True)
class LabelledPoints:
    """Points with one label each and, where known, the group (speaker, utterance) that each comes from.

    Attributes:
        points: features, (points, dims), any unit; stored as float64.
        labels: integers, (points,); they need not be consecutive.
        groups: integers, (points,), or None.

    Raises:
        InputError: shapes that disagree, a value that is not finite, fewer than two classes.
    """

    points: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.points.ndim != 2 or 0 in self.points.shape:
            raise InputError(
                f"points have shape {self.points.shape}; give one row per point and one column per feature"
            )
        for name, column in (("labels", self.labels), ("groups", self.groups)):
            if column is not None and column.shape != self.points.shape[:1]:
                raise InputError(f"{name} have shape {column.shape} for {len(self.points)} points; give one per point")
        if not np.isfinite(self.points).all():
            row, dim = np.argwhere(~np.isfinite(self.points))[0]
            raise InputError(
                f"point {row} has {self.points[row, dim]} in dimension {dim}; drop such points, or extract them again"
            )
        if len(self.classes) < 2:
            raise InputError(
                "the points have one class, but a probe needs two or more; choose another target or more tokens"
            )
        object.__setattr__(self, "points", np.ascontiguousarray(self.points, dtype=np.float64))

    @property
    def classes(self) -> Int[np.ndarray, " classes"]:
        """The labels that occur, ascending."""
        return self._coded[0]

    @property
    def codes(self) -> Int[np.ndarray, " points"]:
        """The index of every label among `classes`."""
        return self._coded[1]

    @cached_property
    def _coded(self) -> tuple[np.ndarray, np.ndarray]:
        return np.unique(self.labels, return_inverse=True)
