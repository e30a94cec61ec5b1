"""The predictions of a probe for every point, and the accuracies that follow from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from lvm_probe.analysis.shape_annotations import Bool, Float, Int
from lvm_probe.analysis.statistics import group_means

Protocol = Literal["paper", "nested", "grouped", "transfer"]


@dataclass(frozen=True)
class Outcome:
    """Predictions of one probe under one protocol.

    Attributes:
        protocol: how the points were held out. `paper` fits on all of them and leaks.
        dims: number of discriminants; 0 where the features were used as they are.
        shrinkage: mean intensity over the folds, in [0, 1]; 0 where nothing was shrunk.
        ks: numbers of neighbours that voted, one per column of `predictions`; (0,) where none vote.
        labels: the true labels.
        predictions: predicted labels, one column per k.
        groups: the group of every point, or None.
        neighbours: rows of the nearest others in the space of the point's fold, nearest first; None where none vote.
    """

    protocol: Protocol
    dims: int
    shrinkage: float
    ks: tuple[int, ...]
    labels: Int[np.ndarray, " points"]
    predictions: Int[np.ndarray, "points ks"]
    groups: Int[np.ndarray, " points"] | None = None
    neighbours: Int[np.ndarray, "points most"] | None = None

    def of_rows(self, rows: Bool[np.ndarray, " points"] | Int[np.ndarray, " some"]) -> Outcome:
        """The outcome of some of the points."""
        return replace(
            self,
            labels=self.labels[rows],
            predictions=self.predictions[rows],
            groups=None if self.groups is None else self.groups[rows],
            neighbours=None if self.neighbours is None else self.neighbours[rows],
        )

    @property
    def n(self) -> int:
        """Number of points."""
        return len(self.labels)

    @property
    def n_classes(self) -> int:
        """Number of classes among the labels."""
        return len(np.unique(self.labels))

    @property
    def correct(self) -> Bool[np.ndarray, "points ks"]:
        """Which predictions are correct."""
        return self.predictions == self.labels[:, None]

    @property
    def accuracy(self) -> Float[np.ndarray, " ks"]:
        """Fraction of correct predictions."""
        return self.correct.mean(axis=0)

    @property
    def balanced_accuracy(self) -> Float[np.ndarray, " ks"]:
        """Mean over the classes of their recall, the fraction of their points that are predicted correctly."""
        return group_means(self.correct, self.labels).mean(axis=0)

    @property
    def chance(self) -> float:
        """Chance: the share of the most frequent class."""
        return float(np.unique(self.labels, return_counts=True)[1].max() / self.n)
