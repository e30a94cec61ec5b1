"""Linear concept erasure: features from which no linear probe can tell a concept, changed as little as possible.

LEACE (Belrose et al. 2023, "LEACE: Perfect linear concept erasure in closed form", theorem 4.3). With features x of
mean μ and covariance Σ, the concept as one-hot vectors z, W = (Σ^½)⁺ and P the orthogonal projection onto the columns
of W Cov(x, z), it is

    r(x) = x - W⁺ P W (x - μ)

Over the points it was fitted to, every class of the concept then has the same mean, so no linear probe with a convex
loss beats the shares of the classes (theorem 3.1); of all affine maps with this property it moves the points least in
the mean square, in any inner product. It takes one dimension less than there are classes, at most.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.moments import about_class_means, standardised
from lvm_probe.analysis.shape_annotations import Float, Int

# Of standardised features, below this share of the largest: eigenvalues are those of linear dependence, and singular
# values of the whitened cross-covariance those of its rounding (about 1e-16).
_DEPENDENT, _ROUNDING = 1e-10, 1e-8


@dataclass(frozen=True)
class Eraser:
    """The map r(x) = x - (x - mean) @ read @ write.

    Attributes:
        mean: of the features.
        read: of the features, what tells the concept.
        write: the direction in which each of these values is taken out.
    """

    mean: Float[np.ndarray, " dims"]
    read: Float[np.ndarray, "dims rank"]
    write: Float[np.ndarray, "rank dims"]

    def __call__(self, points: Float[np.ndarray, "points dims"]) -> Float[np.ndarray, "points dims"]:
        """Points without the concept."""
        return points - (points - self.mean) @ self.read @ self.write

    @property
    def rank(self) -> int:
        """Dimensions that are taken."""
        return self.read.shape[1]


def fit_eraser(points: Float[np.ndarray, "points dims"], concept: Int[np.ndarray, " points"]) -> Eraser:
    """The eraser of a concept, by LEACE.

    Args:
        points: features, any unit; their scales do not matter.
        concept: the class of every point; of a single class nothing is erased.

    Raises:
        InputError: a value that is not finite.

    Example:
        >>> points = np.array([[0.0, 1.0], [1.0, -1.0], [4.0, 1.0], [5.0, -1.0]])
        >>> fit_eraser(points, np.array([0, 0, 1, 1]))(points).round(6) + 0.0
        array([[ 2.,  1.],
               [ 3., -1.],
               [ 2.,  1.],
               [ 3., -1.]])
    """
    if not np.isfinite(points).all():
        raise InputError("a feature is not finite; drop such points, or extract them again")
    points = np.asarray(points, dtype=np.float64)
    n, mean = len(points), points.mean(axis=0)
    scale = np.where(np.ptp(points, axis=0) > 0, points.std(axis=0), 1.0)
    x = standardised(points)
    variances, axes = np.linalg.eigh(x.T @ x / n)
    kept = variances > _DEPENDENT * max(variances[-1], 0)
    axes, spreads = axes[:, kept], np.sqrt(variances[kept])
    names, codes = np.unique(concept, return_inverse=True)
    counts, means, _ = about_class_means(x, codes, len(names))
    # The columns of Cov(x, z), times the roots of the shares, which changes nothing of the space that they span.
    found, sizes, _ = np.linalg.svd((axes / spreads).T @ means.T * np.sqrt(counts / n), full_matrices=False)
    found = found[:, (sizes > _ROUNDING) & (sizes > _ROUNDING * sizes[:1])]
    return Eraser(mean, (axes / spreads) @ found / scale[:, None], (axes * spreads @ found).T * scale)


def erased(
    points: Float[np.ndarray, "points dims"],
    concept: Int[np.ndarray, " points"] | None,
    fitted: Int[np.ndarray, " fitted"],
) -> Float[np.ndarray, "points dims"]:
    """All points without a concept, as erased from some of them.

    Args:
        points: features.
        concept: the class of every point; None erases nothing.
        fitted: rows that the eraser is fitted to.
    """
    return points if concept is None else fit_eraser(points[fitted], concept[fitted])(points)
