"""The covariance within classes, shrunk towards a multiple of the features' variances.

In standardised features the target of the shrinkage is μ I (Ledoit and Wolf 2004). Here it is written in the units of
the points: μ diag(variance), with μ the mean share of a feature's variance that lies within classes.
"""

from typing import Literal

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.moments import Moments
from lvm_probe.analysis.shape_annotations import Float

Shrinkage = Literal["ledoit-wolf", "none"] | float
Amount = Float[np.ndarray, "*folds"] | float

# Below this share of a feature's variance, what other features leave unexplained of it is rounding (about 1e-15).
_COLLINEAR = 1e-12


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


def intensity(fold: Moments, shrinkage: Shrinkage) -> Float[np.ndarray, "*folds"]:
    """The intensity λ of the shrinkage for these moments, in [0, 1]."""
    match shrinkage:
        case "ledoit-wolf":
            return ledoit_wolf(fold)
        case "none":
            return np.zeros(fold.n.shape)
        case _:
            return np.full(fold.n.shape, float(shrinkage))


def ledoit_wolf(fold: Moments) -> Float[np.ndarray, "*folds"]:
    """The intensity of the shrinkage with the least expected squared error.

    Ledoit and Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices", Journal of
    Multivariate Analysis 88, lemma 3.2 and section 3.2, for standardised residuals whose mean is known to be 0.
    """
    n, inverse = fold.n, fold.inverse_variance
    p = np.maximum(np.count_nonzero(inverse, axis=-1), 1)
    squared_norm = np.vecdot((fold.within**2 @ inverse[..., None])[..., 0], inverse) / n**2
    distance = squared_norm - p * _mean_share_within(fold) ** 2  # of the sample covariance from its target
    error = (fold.fourth / n - squared_norm) / n  # of the sample covariance from the true one, estimated
    amount = np.divide(error, distance, out=np.zeros(n.shape), where=(distance > 0) & (p > 1))
    return np.asarray(amount.clip(0, 1))


def shrunk_covariance(fold: Moments, amount: Amount) -> Float[np.ndarray, "*folds dims dims"]:
    """The covariance within classes, (1 - λ) W/n + λ μ diag(variance), with W the scatter within classes.

    A constant feature gets a row and a column of the identity, so that it takes no part.

    Args:
        fold: moments.
        amount: the intensity λ.

    Raises:
        InputError: the covariance is singular.
    """
    varies, n, amount = fold.variance > 0, fold.n, np.asarray(amount)
    spare, p = n - fold.n_classes, varies.sum(axis=-1)
    if (spare == 0).any():
        raise InputError(
            f"{n[spare == 0][0]} points in as many classes: no class has two members, so the spread within classes is "
            "unknown; give more tokens per class, or merge classes"
        )
    if ((amount == 0) & (spare < p)).any():
        raise InputError(
            f"{spare.min()} more points than classes for {p.max()} features, so their covariance is singular; use "
            f"shrinkage, or {spare.min()} features or fewer"
        )
    covariance = fold.within * ((1 - amount) / n)[..., None, None]
    if not varies.all():
        covariance *= varies[..., None, :] & varies[..., None]
    ridge = np.asarray(amount * _mean_share_within(fold))
    dims = np.arange(fold.variance.shape[-1])
    covariance[..., dims, dims] += ridge[..., None] * fold.variance + ~varies
    if (ridge <= 10 * _COLLINEAR).any():  # a larger one leaves every feature some variance of its own
        _check_regular(covariance)
    return covariance


def _check_regular(covariance: np.ndarray) -> None:
    diagonal = np.diagonal(covariance, axis1=-2, axis2=-1)
    try:
        unexplained = np.diagonal(np.linalg.cholesky(covariance), axis1=-2, axis2=-1) ** 2
    except np.linalg.LinAlgError:
        unexplained = np.zeros(1)
    if (unexplained <= _COLLINEAR * diagonal).any():
        raise InputError(
            "the covariance within classes is singular: a feature repeats others, or is constant within every class; "
            "use shrinkage, or drop such features"
        )


def _mean_share_within(fold: Moments) -> Float[np.ndarray, "*folds"]:
    """μ: the mean over the features of variance within classes / variance."""
    p = np.maximum((fold.variance > 0).sum(axis=-1), 1)
    within = np.vecdot(np.diagonal(fold.within, axis1=-2, axis2=-1), fold.inverse_variance) / fold.n
    return np.asarray(within / p)
