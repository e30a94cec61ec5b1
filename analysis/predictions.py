"""What a probe returns: the prediction for every point, from which every figure follows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from lvm_probe.analysis.shape_annotations import Bool, Float, Int
from lvm_probe.analysis.statistics import group_means

Protocol = Literal["paper", "nested", "grouped"]


@dataclass(frozen=True)
class Outcome:
    """Predictions of one probe under one protocol.

    Attributes:
        protocol: how the points were held out. `paper` fits on all of them and leaks.
        dims: discriminants kept, at most; 0 where the features were used as they are.
        shrinkage: mean intensity over the folds, in [0, 1]; 0 where nothing was shrunk.
        ks: neighbours that voted, one entry a column of `predictions`; (0,) for the LDA classifier.
        labels: the truth.
        predictions: predicted labels, one column for each of `ks`.
        groups: the groups given, or None; for bootstraps over them.
        neighbours: rows of the nearest others in the space of the point's fold, nearest first; None for LDA.
    """

    protocol: Protocol
    dims: int
    shrinkage: float
    ks: tuple[int, ...]
    labels: Int[np.ndarray, " tokens"]
    predictions: Int[np.ndarray, "tokens ks"]
    groups: Int[np.ndarray, " tokens"] | None = None
    neighbours: Int[np.ndarray, "tokens most"] | None = None

    def of_rows(self, rows: Bool[np.ndarray, " tokens"] | Int[np.ndarray, " some"]) -> Outcome:
        """Some points' share of the outcome."""
        return replace(
            self,
            labels=self.labels[rows],
            predictions=self.predictions[rows],
            groups=None if self.groups is None else self.groups[rows],
            neighbours=None if self.neighbours is None else self.neighbours[rows],
        )

    @property
    def n(self) -> int:
        """Points classified."""
        return len(self.labels)

    @property
    def n_classes(self) -> int:
        """Classes among the labels."""
        return len(np.unique(self.labels))

    @property
    def correct(self) -> Bool[np.ndarray, "tokens ks"]:
        """Which predictions are right."""
        return self.predictions == self.labels[:, None]

    @property
    def accuracy(self) -> Float[np.ndarray, " ks"]:
        """Fraction right."""
        return self.correct.mean(axis=0)

    @property
    def balanced_accuracy(self) -> Float[np.ndarray, " ks"]:
        """Mean over the classes of the fraction of their points that are right (the mean recall)."""
        return self.recall.mean(axis=0)

    @property
    def classes(self) -> Int[np.ndarray, " classes"]:
        """The labels that occur, ascending."""
        return np.unique(self.labels)

    @property
    def recall(self) -> Float[np.ndarray, "classes ks"]:
        """Of every class, the fraction of its points that are right."""
        return group_means(self.correct, self.labels)

    @property
    def chance(self) -> float:
        """The majority line: the relative frequency of the most frequent class among these labels."""
        return float(np.unique(self.labels, return_counts=True)[1].max() / self.n)
