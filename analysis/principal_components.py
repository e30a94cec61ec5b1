"""Principal components of standardised features, to bring features of different sizes to the same dimension."""

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.moments import Moments
from lvm_probe.analysis.shape_annotations import Float


def checked_match_dims(match_dims: int | None, n_features: int) -> int:
    """The number of features after the reduction: no more than there are, and all of them for None.

    Raises:
        InputError: not a positive number.
    """
    if match_dims is None:
        return n_features
    if not isinstance(match_dims, int | np.integer) or match_dims < 1:
        raise InputError(f"match_dims is {match_dims!r}; give the dimensions to reduce the features to, 1 or more")
    return min(int(match_dims), n_features)


def principal_axes(fold: Moments, dims: int) -> Float[np.ndarray, "*folds features dims"]:
    """The leading principal components of the standardised features, as columns, in the units of the points.

    The variance of a component is its eigenvalue of the correlation matrix. A constant feature takes no part.

    Args:
        fold: moments; the classes do not matter, because the scatters within and between them add up.
        dims: how many components, at most the features.
    """
    scale = np.sqrt(fold.inverse_variance)[..., None]
    total = fold.within / fold.n[..., None, None] + fold.deviations.mT @ fold.deviations
    vectors = np.linalg.eigh(scale * total * scale.mT)[1]
    return scale * vectors[..., ::-1][..., :dims]
