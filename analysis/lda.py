"""Fisher's linear discriminants and the Gaussian classifier of linear discriminant analysis, from class moments.

Discriminants maximise the scatter between the class means, each weighted by its share of the points, against the
covariance within classes (Hastie, Tibshirani and Friedman 2009, *The Elements of Statistical Learning*, section 4.3.3).
All functions of moments take those of one set of points or of a stack of folds, which NumPy solves in one call.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.moments import Moments, about_class_means
from lvm_probe.analysis.shape_annotations import Float, Int
from lvm_probe.analysis.shrinkage import Amount, shrunk_covariance

Dims = int | Literal["full"]

# Share of the largest eigenvalue below which a direction separates nothing: some class means coincide.
_NO_SEPARATION = 1e-10
# scikit-learn's tolerance for singular values, used by `svd_discriminants` alone.
_SCIKIT_TOLERANCE = 1e-4


def checked_dims(dims: Dims, n_classes: int, n_features: int) -> int:
    """The number of discriminants; "full" is as many as there are, min(classes - 1, features).

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


def discriminants(fold: Moments, amount: Amount, dims: int) -> Float[np.ndarray, "*folds features dims"]:
    """The leading discriminants w as columns, scaled so that wᵀ Σ w = 1, with Σ the shrunk covariance within classes.

    With D the weighted deviations of the class means, w = Σ⁻¹ Dᵀ v / √θ for the leading eigenvectors v and eigenvalues
    θ of D Σ⁻¹ Dᵀ, a matrix of the size of the number of classes. A fold that has too few classes for `dims` gets
    columns of zeros.

    Args:
        fold: moments.
        amount: intensity of the shrinkage.
        dims: how many, fewer than the classes.

    Raises:
        InputError: Σ is singular.

    Example:
        >>> from lvm_probe.analysis.moments import moments
        >>> points, codes = np.array([[0.0, 0.0], [0.0, 2.0], [3.0, 0.0], [5.0, 3.0]]), np.array([0, 0, 1, 1])
        >>> axes = discriminants(moments(points, codes, 2), np.zeros(()), 1)
        >>> np.abs((points - points[0]) @ axes).ravel().round(1)
        array([0. , 2.3, 7.6, 9.3])
    """
    deviations = fold.deviations
    solved = np.linalg.solve(shrunk_covariance(fold, amount), deviations.mT)
    values, vectors = np.linalg.eigh(deviations @ solved)
    values, vectors = values[..., ::-1][..., :dims], vectors[..., ::-1][..., :dims]
    separates = values > _NO_SEPARATION * np.maximum(values[..., :1], np.finfo(float).tiny)
    separates &= np.arange(dims) < np.minimum(fold.n_classes - 1, len(fold.mean.T))[..., None]
    scale = np.where(separates, 1 / np.sqrt(np.where(separates, values, 1)), 0)
    return solved @ (vectors * scale[..., None, :])


@dataclass(frozen=True)
class GaussianRule:
    """Gaussian classes with a common covariance: a point belongs to the class with the largest xᵀ weights + bias.

    Hastie, Tibshirani and Friedman 2009, equation 4.10; the priors are the classes' shares. It equals the nearest class
    mean in the space of all discriminants, with log priors. A class that does not occur has bias -inf.
    """

    weights: Float[np.ndarray, "*folds dims classes"]
    biases: Float[np.ndarray, "*folds classes"]


def gaussian_rule(fold: Moments, amount: Amount) -> GaussianRule:
    """The rule fitted to these moments. Its covariance divides by n, as scikit-learn's does (the book: n - classes).

    Args:
        fold: moments.
        amount: intensity of the shrinkage.

    Raises:
        InputError: the covariance is singular.
    """
    means = (fold.means - fold.mean[..., None, :]) * (fold.variance > 0)[..., None, :]
    weights = np.linalg.solve(shrunk_covariance(fold, amount), means.mT)
    log_shares = np.log(np.maximum(fold.counts, 1) / fold.n[..., None])
    biases = log_shares - np.vecdot(means, weights.mT) / 2 - np.vecdot(fold.mean[..., None, :], weights.mT)
    return GaussianRule(weights, np.where(fold.counts > 0, biases, -np.inf))


def svd_discriminants(
    points: Float[np.ndarray, "points features"], codes: Int[np.ndarray, " points"], n_classes: int
) -> Float[np.ndarray, "features dims"]:
    """All discriminants without shrinkage, as scikit-learn 1.9 finds them: `LinearDiscriminantAnalysis(solver="svd")`.

    It drops small singular values of the residuals and of the class means, so features that repeat others or are
    constant within classes are no error. Written here because importing scikit-learn takes a second, longer than most
    questions take to answer.

    Args:
        points: features, any unit.
        codes: classes in [0, n_classes), each at least once.
        n_classes: number of classes.
    """
    n = len(points)
    counts, means, residuals = about_class_means(points, codes, n_classes)
    spread = residuals.std(axis=0)
    spread[spread == 0] = 1
    _, values, axes = np.linalg.svd(residuals / spread / np.sqrt(n), full_matrices=False)
    kept = values > _SCIKIT_TOLERANCE
    whitening = (axes[kept] / spread).T / values[kept]
    weights = np.sqrt(counts / (n_classes - 1))
    _, values, axes = np.linalg.svd(weights[:, None] * (means - counts / n @ means) @ whitening, full_matrices=False)
    return whitening @ axes[values > _SCIKIT_TOLERANCE * values[:1]].T
