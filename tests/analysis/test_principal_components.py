import numpy as np
import pytest
from scipy.spatial.distance import pdist

from lvm_probe import InputError
from lvm_probe.analysis.moments import standardised
from lvm_probe.analysis.principal_components import checked_match_dims, principal_axes
from tests import reference
from tests.analysis.labelled_folds import folds_without, labelled, mixed, without


@pytest.mark.parametrize("dims", [1, 3, 6])
def test_principal_axes_are_those_of_the_folds_correlations(dims) -> None:
    points, labels = labelled(60, 6, 5)
    points = np.hstack([points, np.full((60, 1), 0.1)])
    space = standardised(points)
    folds = mixed(labels)
    for rows, fold in zip(folds, folds_without(space, labels, 5, folds), strict=True):
        ours = space @ principal_axes(fold, dims)
        expected = reference.principal_components(points, without(60, *rows), dims)
        np.testing.assert_allclose(pdist(ours), pdist(expected), rtol=1e-8)  # eigenvalue gaps above 1e-3


@pytest.mark.parametrize(("match_dims", "left"), [(None, 9), (4, 4), (9, 9), (12, 9)])
def test_matched_dimensions_are_no_more_than_there_are(match_dims, left) -> None:
    assert checked_match_dims(match_dims, 9) == left


@pytest.mark.parametrize("match_dims", [0, -3])
def test_matched_dimensions_out_of_range_are_refused(match_dims) -> None:
    with pytest.raises(InputError, match="1 or more"):
        checked_match_dims(match_dims, 9)
