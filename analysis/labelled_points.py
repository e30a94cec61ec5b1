"""The labelled points that every probe starts from, checked once where they enter."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Int


@dataclass(frozen=True)
class LabelledPoints:
    """Points, one label each, and where known the group (the speaker) each comes from.

    Attributes:
        points: features (tokens, dims), any unit; kept as float64.
        labels: integers (tokens,); they need not be consecutive.
        groups: integers (tokens,), or None.

    Raises:
        InputError: shapes that disagree, a value that is not finite, fewer than two classes.
    """

    points: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.points.ndim != 2 or 0 in self.points.shape:
            raise InputError(f"points have shape {self.points.shape}; give one row a token and one column a feature")
        for name, column in (("labels", self.labels), ("groups", self.groups)):
            if column is not None and column.shape != self.points.shape[:1]:
                raise InputError(f"{name} have shape {column.shape} for {len(self.points)} points; give one a point")
        if not np.isfinite(self.points).all():
            row, dim = np.argwhere(~np.isfinite(self.points))[0]
            raise InputError(
                f"point {row} has {self.points[row, dim]} in dimension {dim}; drop such tokens, or extract them again"
            )
        if len(self.classes) < 2:
            raise InputError("target has one class; a probe needs two or more, so choose another target or more tokens")
        object.__setattr__(self, "points", np.ascontiguousarray(self.points, dtype=np.float64))

    @property
    def classes(self) -> Int[np.ndarray, " classes"]:
        """The labels that occur, ascending."""
        return self._coded[0]

    @property
    def codes(self) -> Int[np.ndarray, " tokens"]:
        """Each label's place among `classes`."""
        return self._coded[1]

    @cached_property
    def _coded(self) -> tuple[np.ndarray, np.ndarray]:
        return np.unique(self.labels, return_inverse=True)
