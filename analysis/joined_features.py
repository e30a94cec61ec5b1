"""Features that are joined from several, brought to one scale so that each counts where distances are compared.

Without a fit to labels, a distance is dominated by the part with the largest numbers: of a log mean square with vectors
of length 47 joined to a mean with vectors of length 2, it would measure the first alone. Linear discriminants, logistic
regression and principal components do not need this, for they scale every dimension.
"""

from collections.abc import Sequence

import numpy as np

from lvm_probe.analysis.shape_annotations import Float, Int


def of_equal_size(
    points: Float[np.ndarray, "points dims"], parts: Sequence[int], *, about_mean: bool
) -> Float[np.ndarray, "points dims"]:
    """Every part divided by its root mean square over the points.

    Args:
        points: the parts side by side.
        parts: their dimensions; a single part is left as it is.
        about_mean: of the deviations from the mean, for Euclidean distances; otherwise of the vectors themselves, for
            cosine distances.

    Example:
        >>> of_equal_size(np.array([[30.0, 0.1], [-30.0, 0.1]]), (1, 1), about_mean=False)
        array([[ 1.,  1.],
               [-1.,  1.]])
    """
    if len(parts) < 2:
        return points
    centred = points - points.mean(axis=0) if about_mean else points
    return points / _per_dimension(np.sqrt(_part_sums((centred**2).mean(axis=0), parts)), parts)


def of_equal_variance_without(
    points: Float[np.ndarray, "points dims"], parts: Sequence[int], excluded: Sequence[Int[np.ndarray, "_"]]
) -> Float[np.ndarray, "folds dims"]:
    """What each fold divides the dimensions by, so that every part has variance 1 over the points that it keeps.

    Args:
        points: the parts side by side.
        parts: their dimensions.
        excluded: the rows that each fold leaves out.

    Example:
        >>> points = np.array([[1.0, 50.0], [3.0, 10.0], [9.0, 30.0]])
        >>> of_equal_variance_without(points, (1, 1), [np.array([2])])
        array([[ 1., 20.]])
    """
    centred = points - points.mean(axis=0)
    sums, squares = centred.sum(axis=0), (centred**2).sum(axis=0)
    scales = []
    for rows in excluded:
        n = len(points) - len(rows)
        mean = (sums - centred[rows].sum(axis=0)) / n
        variance = (squares - (centred[rows] ** 2).sum(axis=0)) / n - mean**2
        scales.append(_per_dimension(np.sqrt(_part_sums(np.maximum(variance, 0), parts)), parts))
    return np.stack(scales)


def _part_sums(values: Float[np.ndarray, " dims"], parts: Sequence[int]) -> Float[np.ndarray, " parts"]:
    return np.add.reduceat(values, np.cumsum([0, *parts[:-1]]))


def _per_dimension(sizes: Float[np.ndarray, " parts"], parts: Sequence[int]) -> Float[np.ndarray, " dims"]:
    """The size of each dimension's part; 1 for a part that is constant."""
    return np.repeat(np.where(sizes > 0, sizes, 1.0), parts)
