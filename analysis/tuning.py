"""How the dimensions of a feature are tuned to classes: by class their mean and spread, and the variance explained."""

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Float, Int


def class_means_and_spreads(
    points: Float[np.ndarray, "tokens dims"], codes: Int[np.ndarray, " tokens"], classes: int
) -> tuple[Float[np.ndarray, "classes dims"], Float[np.ndarray, "classes dims"]]:
    """Mean and standard deviation (of the class as a population) of each dimension over each class's tokens.

    NaN for a class without tokens.

    Args:
        points: one row per token.
        codes: the class of each token, from 0.
        classes: how many there are.

    Example:
        >>> mean, spread = class_means_and_spreads(np.array([[1.0], [3.0], [5.0]]), np.array([0, 0, 1]), 2)
        >>> mean.ravel().tolist(), spread.ravel().tolist()
        ([2.0, 5.0], [1.0, 0.0])
    """
    counts = np.bincount(codes, minlength=classes)[:, None].astype(np.float64)
    sums, squares = np.zeros((classes, points.shape[1])), np.zeros((classes, points.shape[1]))
    np.add.at(sums, codes, points)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sums / counts
        np.add.at(squares, codes, (points - mean[codes]) ** 2)
        return mean, np.sqrt(squares / counts)


def explained_variance(
    points: Float[np.ndarray, "tokens dims"], codes: Int[np.ndarray, " tokens"]
) -> Float[np.ndarray, " dims"]:
    """The share of each dimension's variance that lies between the classes, adjusted for their number.

    This is epsilon squared (Kelley 1935), the adjusted R² of a regression on the classes: 1 - MSW / MST with the mean
    squares within classes and in total. Unlike the raw share it is 0 on average where the classes have nothing to do
    with the dimension, however many there are, so that it can be a little below 0. NaN for a constant dimension.

    Args:
        points: one row per token.
        codes: the class of each token.

    Raises:
        InputError: no two classes, or not more tokens than classes.

    Example:
        >>> explained_variance(np.array([[0.0, 1.0], [0.0, 3.0], [1.0, 1.0], [1.0, 3.0]]), np.array([0, 0, 1, 1]))
        array([ 1. , -0.5])
    """
    names, codes = np.unique(codes, return_inverse=True)
    tokens, classes = len(points), len(names)
    if classes < 2 or tokens <= classes:
        raise InputError(
            f"{tokens} tokens of {classes} classes: the variance between classes needs two classes or more, and more "
            "tokens than classes"
        )
    values = np.asarray(points, dtype=np.float64)
    means, _ = class_means_and_spreads(values, codes, classes)
    within = ((values - means[codes]) ** 2).sum(0) / (tokens - classes)
    total = ((values - values.mean(0)) ** 2).sum(0) / (tokens - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.ptp(values, axis=0) > 0, 1 - within / total, np.nan)
