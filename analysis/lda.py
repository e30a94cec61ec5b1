"""Linear discriminants from class moments, and the moments of every fold without a second pass.

Fisher's discriminants (Hastie, Tibshirani and Friedman 2009, section 4.3.3) maximise the scatter between
class means, each weighted by its count, against the covariance within classes. Both follow from moments;
leaving one point out changes the moments by terms of rank one, so the fit without it is exact and cheap.

Standardising the features to unit variance leaves unshrunk discriminants as they are and matters only for
the target of the shrinkage, so the shrinkage is written in the units of the points: the target is
μ diag(variance), which is μ I after standardising. A feature that is constant in a fold takes no part.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Float, Int

Shrinkage = Literal["ledoit-wolf", "none"] | float
Dims = int | Literal["full"]
Rows = Int[np.ndarray, "_"]  # as many as each fold has

# Of a feature's variance over all points: one that varies less in a fold is constant there.
_CONSTANT = 1e-10
# Of a feature's scatter about its mean: where a fold keeps less, subtraction leaves fewer than ten digits, and the
# moments are summed again.
_FEW_DIGITS = 1e-6
# Of a feature's variance: what the features before it leave unexplained. Rounding leaves about 1e-15.
_COLLINEAR = 1e-12
# Of the largest eigenvalue. A direction below it separates nothing: some class means coincide.
NO_SEPARATION = 1e-10
# scikit-learn's: of a singular value, in the discriminants of `scikit_discriminants` alone.
_SCIKIT_TOLERANCE = 1e-4
# Of the largest eigenvalue of a Gram matrix: one above the second has eight digits left at least, and scikit-learn
# keeps it; one below the first is 0 but for rounding, and dropped.
_NOTHING, _SOUND = 1e-12, 1e-7
_NUMBERS_AT_ONCE = 1 << 22


def checked_shrinkage(shrinkage: Shrinkage) -> Shrinkage:
    """The shrinkage itself.

    Raises:
        InputError: not "ledoit-wolf", "none" or a number in [0, 1].
    """
    match shrinkage:
        case "ledoit-wolf" | "none":
            return shrinkage
        case float() | int() if 0 <= shrinkage <= 1:
            return float(shrinkage)
    raise InputError(f'shrinkage is {shrinkage!r}; use "ledoit-wolf", "none" or a number from 0 to 1')


def checked_dims(dims: Dims, n_classes: int, n_features: int) -> int:
    """The number of discriminants asked for; "full" is all there are, min(classes - 1, features).

    Raises:
        InputError: negative, or more than there are.
    """
    most = min(n_classes - 1, n_features)
    if dims == "full":
        return most
    if not isinstance(dims, int | np.integer) or dims < 0:
        raise InputError(f'LDA dimensions are {dims!r}; use 0 (no LDA), a positive number or "full"')
    if dims > most:
        raise InputError(
            f"{dims} LDA dimensions, but {n_classes} classes of {n_features} features "
            f"have only {most}; use {most} or fewer"
        )
    return int(dims)


def checked_match_dims(match_dims: int | None, n_features: int) -> int:
    """The number of features left after matching dimensions: no more than there are, and all for None.

    Raises:
        InputError: not a positive number.
    """
    if match_dims is None:
        return n_features
    if not isinstance(match_dims, int | np.integer) or match_dims < 1:
        raise InputError(f"match_dims is {match_dims!r}; give the dimensions to reduce the features to, 1 or more")
    return min(int(match_dims), n_features)


def standardised(points: Float[np.ndarray, "tokens dims"]) -> Float[np.ndarray, "tokens dims"]:
    """Every feature with mean 0 and variance 1; a constant one becomes 0.

    For the digits only: nothing fitted to the result depends on a feature's origin or scale.
    """
    varies = np.ptp(points, axis=0) > 0
    centred = np.where(varies, points - points.mean(axis=0), 0.0)
    return centred / np.where(varies, centred.std(axis=0), 1.0)


@dataclass(frozen=True)
class Moments:
    """All that the discriminants of some points need to know about them.

    Attributes:
        counts: points of each class; 0 for a class that this fold lacks.
        mean: mean of all points.
        means: mean of each class; anything finite for an absent one.
        variance: of each feature over all points, dividing by their number; 0 for a constant feature.
        within: scatter about the class means, summed.
        fourth: sum over points of |e/σ|⁴, e the distance from the class mean and σ² the variance
            (features of variance 0 left out).
    """

    counts: Int[np.ndarray, " classes"]
    mean: Float[np.ndarray, " dims"]
    means: Float[np.ndarray, "classes dims"]
    variance: Float[np.ndarray, " dims"]
    within: Float[np.ndarray, "dims dims"]
    fourth: float

    @property
    def n(self) -> int:
        """Points."""
        return int(self.counts.sum())

    @property
    def n_classes(self) -> int:
        """Classes that occur."""
        return int((self.counts > 0).sum())

    @property
    def deviations(self) -> Float[np.ndarray, "classes dims"]:
        """Class means about the mean, times the root of the class's share: their Gram is the scatter."""
        return np.sqrt(self.counts / self.n)[:, None] * (self.means - self.mean) * (self.variance > 0)


def moments(points: Float[np.ndarray, "tokens dims"], codes: Int[np.ndarray, " tokens"], n_classes: int) -> Moments:
    """The moments of these points.

    Args:
        points: features, of variance about 1 in the whole that these points are a fold of.
        codes: classes in [0, n_classes).
        n_classes: number of classes; a fold may lack some.
    """
    counts, means, residuals = _about_class_means(points, codes, n_classes)
    variance = _or_constant(points.var(axis=0))
    return Moments(
        counts=counts,
        mean=points.mean(axis=0),
        means=means,
        variance=variance,
        within=residuals.T @ residuals,
        fourth=float(np.sum((residuals**2 @ _inverse(variance)) ** 2)),
    )


def moments_without(
    points: Float[np.ndarray, "tokens dims"],
    codes: Int[np.ndarray, " tokens"],
    n_classes: int,
    folds: Sequence[Rows],
) -> Iterator[Moments]:
    """The moments without each fold's rows: exactly those of the remaining points, by subtraction.

    A fold leaves n' points, n_c' of them in class c. With the residuals r = x - m_c of all points, y = x - m,
    and sums over the rows held out (those of class c for the first), the means move by

        δ_c = -Σ r / n_c'        δ = -Σ y / n'

        within' = within - Σ r rᵀ - Σ_c n_c' δ_c δ_cᵀ        variance' = (n variance - Σ y²) / n' - δ²

    and the points that remain in c have the residuals r - δ_c. A class that loses its last point is gone.

    Args:
        points: features, of variance about 1.
        codes: classes in [0, n_classes).
        n_classes: number of classes.
        folds: the rows that each fold holds out, fewer than all.
    """
    n, dims = points.shape
    counts, means, residuals = _about_class_means(points, codes, n_classes)
    mean, scatter = points.mean(axis=0), n * points.var(axis=0)
    within = residuals.T @ residuals
    members = [np.flatnonzero(codes == c) for c in range(n_classes)]
    place = np.empty(n, dtype=np.intp)  # among the members of its class
    for rows in members:
        place[rows] = np.arange(len(rows))

    chunk = max(1, _NUMBERS_AT_ONCE // max(n, n_classes * dims))
    for start in range(0, len(folds), chunk):
        some = folds[start : start + chunk]
        held_out = np.concatenate(some)
        fold_of = np.repeat(np.arange(len(some)), [len(rows) for rows in some])
        cell = fold_of * n_classes + codes[held_out]
        fold_counts = counts - np.bincount(cell, minlength=len(some) * n_classes).reshape(-1, n_classes)
        n_left = fold_counts.sum(axis=1)[:, None]
        sums = _sums(cell, residuals[held_out], len(some) * n_classes).reshape(-1, n_classes, dims)
        shifts = np.where(fold_counts[..., None] > 0, -sums / np.maximum(fold_counts, 1)[..., None], 0.0)
        y = points[held_out] - mean
        shift = -_sums(fold_of, y, len(some)) / n_left
        variances = (scatter - _sums(fold_of, y**2, len(some))) / n_left - shift**2
        few_digits = (variances * n_left < _FEW_DIGITS * scatter).any(axis=1)
        variances = _or_constant(variances)

        inverses = _inverse(variances)
        fourths = np.zeros(len(some))
        for c, rows in enumerate(members):
            norms = residuals[rows] ** 2 @ inverses.T  # |r/σ|² of every member in the units of every fold
            touched = np.flatnonzero(fold_counts[:, c] < counts[c])
            if len(touched):
                scaled = shifts[touched, c] * inverses[touched]
                norms[:, touched] += (shifts[touched, c] * scaled).sum(axis=1) - 2 * residuals[rows] @ scaled.T
                gone = codes[held_out] == c
                norms[place[held_out[gone]], fold_of[gone]] = 0
            fourths += np.einsum("ij,ij->j", norms, norms)

        for j, rows in enumerate(some):
            if few_digits[j]:
                others = np.delete(np.arange(n), rows)
                yield moments(points[others], codes[others], n_classes)
                continue
            touched = np.flatnonzero(fold_counts[j] < counts)
            lost = np.vstack([residuals[rows], np.sqrt(fold_counts[j, touched])[:, None] * shifts[j, touched]])
            yield Moments(
                counts=fold_counts[j],
                mean=mean + shift[j],
                means=means + shifts[j],
                variance=variances[j],
                within=within - lost.T @ lost,
                fourth=float(fourths[j]),
            )


def ledoit_wolf(fold: Moments) -> float:
    """The intensity in [0, 1] that shrinks the fold's standardised covariance within classes towards μ I.

    Ledoit and Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices",
    Journal of Multivariate Analysis 88, lemma 3.2 and section 3.2, for residuals of known mean 0.
    """
    inverse = _inverse(fold.variance)
    n, p = fold.n, np.count_nonzero(inverse)
    if p == 0:
        return 0.0
    squared_norm = float(inverse @ (fold.within / n) ** 2 @ inverse)
    mu = float(inverse @ np.diag(fold.within)) / n / p
    distance = squared_norm - p * mu**2  # of the sample covariance from its target
    error = (fold.fourth / n - squared_norm) / n  # of the sample covariance from the true one, estimated
    return float(np.clip(error / distance, 0, 1)) if distance > 0 else 0.0


def intensity(fold: Moments, shrinkage: Shrinkage) -> float:
    """The intensity of this shrinkage for this fold, in [0, 1]."""
    match shrinkage:
        case "ledoit-wolf":
            return ledoit_wolf(fold)
        case "none":
            return 0.0
        case _:
            return float(shrinkage)


def within_factor(fold: Moments, amount: float) -> Float[np.ndarray, "dims dims"]:
    """Lower Cholesky factor of the covariance within classes, shrunk: (1 - λ) W/n + λ μ diag(variance).

    A constant feature has a row of the identity, so that it stays apart.

    Args:
        fold: its moments.
        amount: the intensity λ.

    Raises:
        InputError: the covariance is singular.
    """
    alive = fold.variance > 0
    p = np.count_nonzero(alive)
    spare = fold.n - fold.n_classes
    if spare == 0:
        raise InputError(
            f"{fold.n} points in {fold.n_classes} classes: no class has two members, so nothing is known "
            "of the spread within classes; give more tokens a class, or merge classes"
        )
    if amount == 0 and spare < p:
        raise InputError(
            f"{fold.n} points in {fold.n_classes} classes leave {spare} degrees of freedom for {p} features, "
            f"so their covariance is singular; use shrinkage, or {spare} features or fewer"
        )
    covariance = fold.within * ((1 - amount) / fold.n)
    if p < len(alive):
        covariance[~alive] = 0
        covariance[:, ~alive] = 0
    target = (np.diag(fold.within) * _inverse(fold.variance)).sum() / fold.n / max(p, 1)
    diagonal = np.where(alive, np.diag(covariance) + amount * target * fold.variance, 1.0)
    np.fill_diagonal(covariance, diagonal)
    try:
        factor = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        factor = np.zeros_like(covariance)
    if (np.diag(factor) ** 2 <= _COLLINEAR * diagonal).any():
        raise InputError(
            f"the covariance within classes of {fold.n} points in {fold.n_classes} classes is singular: a "
            "feature repeats others, or is constant within every class; use shrinkage, or drop such features"
        )
    return factor


def discriminants(fold: Moments, amount: float, dims: int) -> Float[np.ndarray, "features dims"]:
    """The leading discriminants as columns; wᵀΣw = 1 for each, Σ the shrunk covariance within classes.

    Whitens the class means by the Cholesky factor L of Σ, and takes the leading eigenvectors of the smaller
    of their two Gram matrices. A fold with too few classes for `dims` has columns of zeros instead.

    Args:
        fold: its moments.
        amount: intensity of the shrinkage.
        dims: how many, at most min(classes, features).

    Raises:
        InputError: Σ is singular.
    """
    whitening = np.linalg.inv(within_factor(fold, amount))
    whitened = whitening @ fold.deviations.T
    features, classes = whitened.shape
    kept = min(dims, fold.n_classes - 1, features)
    axes = np.zeros((features, dims))
    if kept == 0:
        return axes
    by_class = classes <= features
    gram = whitened.T @ whitened if by_class else whitened @ whitened.T
    values, vectors = np.linalg.eigh(gram)
    values, vectors = values[-kept:], vectors[:, -kept:]
    separates = values > NO_SEPARATION * max(values[-1], np.finfo(float).tiny)
    values, vectors = values[separates][::-1], vectors[:, separates][:, ::-1]
    directions = whitened @ vectors / np.sqrt(values) if by_class else vectors
    axes[:, : len(values)] = whitening.T @ directions
    return axes


def scikit_discriminants(
    points: Float[np.ndarray, "tokens features"], codes: Int[np.ndarray, " tokens"], n_classes: int
) -> Float[np.ndarray, "features dims"]:
    """All unshrunk discriminants, as `LinearDiscriminantAnalysis(solver="svd")` of scikit-learn 1.9 finds them.

    By singular values of the residuals (here by their Gram matrix, where that leaves the digits) and then of the class
    means, of which it drops small ones: features that repeat others, or are constant within classes, are no error. Here
    because scikit-learn takes longer to import than most questions take to answer.

    Args:
        points: features, any unit.
        codes: classes in [0, n_classes), each at least once.
        n_classes: number of classes.
    """
    n = len(points)
    counts, means, residuals = _about_class_means(points, codes, n_classes)
    spread = residuals.std(axis=0)
    spread[spread == 0] = 1
    residuals /= spread * np.sqrt(n)
    squares, axes = np.linalg.eigh(residuals.T @ residuals)  # in a third of the time, but half of the digits
    values, axes = np.sqrt(np.maximum(squares, 0)), axes.T
    if ((squares > _NOTHING * squares[-1]) & (squares < _SOUND * squares[-1])).any():
        _, values, axes = np.linalg.svd(residuals, full_matrices=False)
    kept = values > _SCIKIT_TOLERANCE
    whitening = (axes[kept] / spread).T / values[kept]
    weights = np.sqrt(counts / (n_classes - 1))
    _, values, axes = np.linalg.svd(weights[:, None] * (means - counts / n @ means) @ whitening, full_matrices=False)
    return whitening @ axes[values > _SCIKIT_TOLERANCE * values[:1]].T


def principal_axes(fold: Moments, dims: int) -> Float[np.ndarray, "features dims"]:
    """The leading principal components of the fold's standardised features, as columns, in the units of the points.

    A component's variance is its eigenvalue of the correlation matrix. A constant feature takes no part.

    Args:
        fold: its moments; the classes do not matter, as the scatters within and between them add up.
        dims: how many, at most the features.
    """
    from scipy.linalg import eigh  # finds some of the axes sooner; takes long to import

    scale = np.sqrt(_inverse(fold.variance))
    total = fold.within / fold.n + fold.deviations.T @ fold.deviations
    size = len(total)
    _, vectors = eigh(scale[:, None] * total * scale, subset_by_index=(size - dims, size - 1), check_finite=False)
    return scale[:, None] * vectors[:, ::-1]


@dataclass(frozen=True)
class GaussianRule:
    """The Gaussian classes of one shared covariance as a linear rule: the largest xᵀ weights + biases.

    Hastie, Tibshirani and Friedman 2009, equation 4.10; the priors are the classes' shares. It equals the
    nearest class mean in the space of all discriminants, with log priors. An absent class has bias -inf.
    """

    weights: Float[np.ndarray, "dims classes"]
    biases: Float[np.ndarray, " classes"]

    def predict(self, points: Float[np.ndarray, "tokens dims"]) -> Int[np.ndarray, " tokens"]:
        """The class of each point; the first of equals."""
        return np.argmax(points @ self.weights + self.biases, axis=1)


def gaussian_rule(fold: Moments, amount: float) -> GaussianRule:
    """The rule fitted to a fold. Its covariance is divided by n, as scikit-learn's (the book's: n - classes).

    Args:
        fold: its moments.
        amount: intensity of the shrinkage.

    Raises:
        InputError: the covariance is singular.
    """
    from scipy.linalg import solve_triangular  # quicker than an inverse; takes long to import

    present, alive = fold.counts > 0, fold.variance > 0
    factor = within_factor(fold, amount)
    means = ((fold.means - fold.mean) * alive).T
    whitened = solve_triangular(factor, means, lower=True, check_finite=False)
    weights = solve_triangular(factor, whitened, lower=True, trans="T", check_finite=False)
    shares = np.where(present, fold.counts, 1) / fold.n
    biases = np.log(shares) - (whitened**2).sum(axis=0) / 2 - fold.mean @ weights
    return GaussianRule(weights, np.where(present, biases, -np.inf))


def _about_class_means(
    points: np.ndarray, codes: np.ndarray, n_classes: int
) -> tuple[Int[np.ndarray, " classes"], Float[np.ndarray, "classes dims"], Float[np.ndarray, "tokens dims"]]:
    counts = np.bincount(codes, minlength=n_classes)
    means = _sums(codes, points, n_classes) / np.maximum(counts, 1)[:, None]
    return counts, means, points - means[codes]


def _sums(codes: np.ndarray, points: np.ndarray, n_codes: int) -> np.ndarray:
    """The sum of the points of each code, (codes, dims)."""
    order = np.argsort(codes, kind="stable")
    present, first = np.unique(codes[order], return_index=True)
    sums = np.zeros((n_codes, points.shape[1]))
    sums[present] = np.add.reduceat(points[order], first, axis=0)
    return sums


def _or_constant(variance: np.ndarray) -> np.ndarray:
    return np.where(variance > _CONSTANT, variance, 0.0)


def _inverse(variance: np.ndarray) -> np.ndarray:
    return np.divide(1.0, variance, out=np.zeros_like(variance), where=variance > 0)
