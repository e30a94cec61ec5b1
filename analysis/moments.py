"""Class moments: counts, means and scatter of labelled points, all that a linear discriminant analysis needs.

The moments of the points that a fold leaves follow from those of all points by subtracting what the held-out points
contribute, so a refit without them is exact and takes no second pass over the data.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np

from lvm_probe.analysis.shape_annotations import Float, Int

Rows = Int[np.ndarray, "_"]  # as many as the fold holds out

# Below this share of a feature's variance over all points, the feature counts as constant in a fold.
_CONSTANT = 1e-10
# Where a fold keeps less than this share of a feature's scatter, subtraction leaves fewer than ten digits, and the
# moments are computed from the remaining points instead.
_FEW_DIGITS = 1e-6
_NUMBERS_AT_ONCE = 1 << 20  # of the largest array of a stack of folds


@dataclass(frozen=True)
class Moments:
    """Moments of labelled points, or of a stack of folds along a first axis of every array.

    Attributes:
        counts: points in each class; 0 for a class that does not occur.
        means: mean of each class; anything finite for a class that does not occur.
        variance: of each feature over all points, dividing by their number; 0 for a constant feature.
        within: scatter about the class means, summed over the points.
        fourth: sum over the points of |e / σ|⁴, where e is a point's distance from its class mean and σ² the variance;
            features of variance 0 are left out.
    """

    counts: Int[np.ndarray, "*folds classes"]
    means: Float[np.ndarray, "*folds classes dims"]
    variance: Float[np.ndarray, "*folds dims"]
    within: Float[np.ndarray, "*folds dims dims"]
    fourth: Float[np.ndarray, "*folds"]

    @property
    def n(self) -> Int[np.ndarray, "*folds"]:
        """Number of points."""
        return np.asarray(self.counts.sum(axis=-1))

    @property
    def n_classes(self) -> Int[np.ndarray, "*folds"]:
        """Number of classes that occur."""
        return np.asarray((self.counts > 0).sum(axis=-1))

    @property
    def mean(self) -> Float[np.ndarray, "*folds dims"]:
        """Mean of all points."""
        return (self.counts[..., None, :] @ self.means)[..., 0, :] / self.n[..., None]

    @property
    def inverse_variance(self) -> Float[np.ndarray, "*folds dims"]:
        """1 / variance; 0 for a constant feature."""
        return _inverse(self.variance)

    @property
    def deviations(self) -> Float[np.ndarray, "*folds classes dims"]:
        """Class means about the mean, times the root of the class's share; their Gram matrix is the scatter between."""
        shares = self.counts / self.n[..., None]
        varies = (self.variance > 0)[..., None, :]
        return np.sqrt(shares)[..., None] * (self.means - self.mean[..., None, :]) * varies


def standardised(points: Float[np.ndarray, "points dims"]) -> Float[np.ndarray, "points dims"]:
    """Every feature with mean 0 and variance 1; a constant feature becomes 0.

    Example:
        >>> standardised(np.array([[1.0, 5.0], [3.0, 5.0]]))
        array([[-1.,  0.],
               [ 1.,  0.]])
    """
    varies = np.ptp(points, axis=0) > 0
    centred = np.where(varies, points - points.mean(axis=0), 0.0)
    return centred / np.where(varies, centred.std(axis=0), 1.0)


def moments(points: Float[np.ndarray, "points dims"], codes: Int[np.ndarray, " points"], n_classes: int) -> Moments:
    """The moments of these points.

    Args:
        points: features, standardised over the data that these points are part of.
        codes: classes in [0, n_classes).
        n_classes: number of classes; some may not occur.

    Example:
        >>> found = moments(np.array([[0.0], [2.0], [5.0]]), np.array([0, 0, 1]), 2)
        >>> found.means.ravel(), found.within
        (array([1., 5.]), array([[2.]]))
    """
    counts, means, residuals = about_class_means(points, codes, n_classes)
    variance = _constant_as_zero(points.var(axis=0))
    return Moments(
        counts=counts,
        means=means,
        variance=variance,
        within=residuals.T @ residuals,
        fourth=np.asarray(np.sum((residuals**2 @ _inverse(variance)) ** 2)),
    )


def moments_without(
    points: Float[np.ndarray, "points dims"],
    codes: Int[np.ndarray, " points"],
    n_classes: int,
    folds: Sequence[Rows],
) -> Iterator[tuple[Sequence[Rows], Moments]]:
    """The moments of the points that each fold leaves, in stacks of some folds at a time.

    A fold leaves n' points, n_c' of them in class c. With the residuals r = x - m_c from the class means of all points,
    summed over the held-out points (those of class c, for δ_c), the class means move by

        δ_c = -Σ r / n_c'

    The scatter within classes and that of all points are

        W' = W - Σ r rᵀ - Σ_c n_c' δ_c δ_cᵀ        W' + Σ_c n_c' (m_c' - m')(m_c' - m')ᵀ

    and the points that stay in class c have the residuals r - δ_c.

    Args:
        points: features, standardised over all points.
        codes: classes in [0, n_classes).
        n_classes: number of classes.
        folds: the rows that each fold holds out, fewer than all.

    Yields:
        Some of the folds, in order, and the stack of their moments.

    Example:
        >>> points, codes = np.array([[0.0], [2.0], [5.0]]), np.array([0, 0, 1])
        >>> ((folds, found),) = moments_without(points, codes, 2, [np.array([1]), np.array([2])])
        >>> found.means[..., 0]
        array([[0., 5.],
               [1., 5.]])
    """
    n, dims = points.shape
    counts, means, residuals = about_class_means(points, codes, n_classes)
    scatter, within = n * points.var(axis=0), residuals.T @ residuals
    order = np.argsort(codes, kind="stable")  # so that a class is a block of rows
    place, by_class, ends = np.argsort(order), residuals[order], np.cumsum(counts)
    squares = by_class**2

    at_once = max(1, _NUMBERS_AT_ONCE // max(n, dims * dims, dims * n_classes))
    for start in range(0, len(folds), at_once):
        some = folds[start : start + at_once]
        held_out = np.concatenate(some)
        fold_of = np.repeat(np.arange(len(some)), [len(rows) for rows in some])
        class_of = fold_of * n_classes + codes[held_out]
        left = counts - np.bincount(class_of, minlength=len(some) * n_classes).reshape(-1, n_classes)
        sums = _sums(class_of, residuals[held_out], len(some) * n_classes).reshape(-1, n_classes, dims)
        shifts = -sums / np.maximum(left, 1)[..., None]
        scatters = np.empty((len(some), dims, dims))
        for f, rows in enumerate(some):
            moved = np.flatnonzero(left[f] < counts)
            lost = np.vstack([residuals[rows], np.sqrt(left[f, moved])[:, None] * shifts[f, moved]])
            np.subtract(within, lost.T @ lost, out=scatters[f])

        n_left = left.sum(axis=1)[:, None]
        from_mean = means + shifts
        from_mean -= (left[:, None] @ from_mean) / n_left[..., None]
        variance = np.diagonal(scatters, axis1=1, axis2=2) / n_left + np.einsum(
            "fc,fcd,fcd->fd", left / n_left, from_mean, from_mean
        )
        few_digits = np.flatnonzero((variance * n_left < _FEW_DIGITS * scatter).any(axis=1))
        variance = _constant_as_zero(variance)

        inverse = _inverse(variance)
        scaled = shifts * inverse[:, None]
        products = np.empty((n, len(some)))
        for c, (begin, end) in enumerate(zip(ends - counts, ends, strict=True)):
            products[begin:end] = by_class[begin:end] @ scaled[:, c].T
        # |(r - δ) / σ|² of every point that stays
        norms = squares @ inverse.T - 2 * products + np.vecdot(scaled, shifts).T[codes[order]]
        norms[place[held_out], fold_of] = 0
        found = Moments(left, means + shifts, variance, scatters, np.einsum("pf,pf->f", norms, norms))
        for f in few_digits.tolist():
            others = np.delete(np.arange(n), some[f])
            fresh = moments(points[others], codes[others], n_classes)
            for field in fields(Moments):
                getattr(found, field.name)[f] = getattr(fresh, field.name)
        yield some, found


def about_class_means(
    points: np.ndarray, codes: np.ndarray, n_classes: int
) -> tuple[Int[np.ndarray, " classes"], Float[np.ndarray, "classes dims"], Float[np.ndarray, "points dims"]]:
    """The size and mean of each class, and every point about the mean of its class."""
    counts = np.bincount(codes, minlength=n_classes)
    means = _sums(codes, points, n_classes) / np.maximum(counts, 1)[:, None]
    return counts, means, points - means[codes]


def _sums(codes: np.ndarray, points: np.ndarray, n_codes: int) -> Float[np.ndarray, "codes dims"]:
    """The sum of the points of each code."""
    order = np.argsort(codes, kind="stable")
    present, first = np.unique(codes[order], return_index=True)
    sums = np.zeros((n_codes, points.shape[1]))
    sums[present] = np.add.reduceat(points[order], first, axis=0)
    return sums


def _constant_as_zero(variance: np.ndarray) -> np.ndarray:
    return np.where(variance > _CONSTANT, variance, 0.0)


def _inverse(variance: np.ndarray) -> np.ndarray:
    return np.divide(1.0, variance, out=np.zeros_like(variance), where=variance > 0)
