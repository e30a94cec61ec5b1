import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform

from lvm_probe.analysis import moments as module
from lvm_probe.analysis.moments import moments, standardised
from tests.analysis.labelled_folds import each, folds_without, labelled, mixed, without

# Downdating loses the digits that the removed point holds: here at most a few units of 1e-15 each, so 1e-10
# leaves four orders of magnitude for the condition of the covariances (below 1e3).
EXACT = 1e-10


@pytest.mark.parametrize("folds", [lambda codes: each(len(codes)), mixed])
def test_moments_without_a_fold_are_those_of_the_remaining_points(folds, monkeypatch) -> None:
    monkeypatch.setattr(module, "_NUMBERS_AT_ONCE", 130)  # three folds at once
    points, codes = labelled(41, 6, 7)
    points = standardised(points)
    for rows, fold in zip(folds(codes), folds_without(points, codes, 7, folds(codes)), strict=True):
        others = without(41, *rows)
        fresh = moments(points[others], codes[others], 7)
        present = fresh.counts > 0
        assert fold.n_classes == fresh.n_classes
        np.testing.assert_array_equal(fold.counts, fresh.counts)
        np.testing.assert_allclose(fold.means[present], fresh.means[present], atol=EXACT)
        for name in ("mean", "variance", "within", "fourth"):
            np.testing.assert_allclose(getattr(fold, name), getattr(fresh, name), rtol=EXACT, atol=EXACT)


def test_a_fold_that_keeps_little_of_a_feature_keeps_its_digits() -> None:
    points, codes = labelled(41, 3, 4)
    points = np.hstack([points, np.random.default_rng(1).normal(size=(41, 1))])
    points[[4, 5], 3] = 1e4, -3e4
    points = standardised(points)
    (fold,) = folds_without(points, codes, 4, [np.array([4, 5])])
    others = without(41, 4, 5)
    fresh = moments(points[others], codes[others], 4)
    assert 0 < fresh.variance[3] < 1e-6
    for name in ("variance", "within", "fourth"):
        np.testing.assert_allclose(getattr(fold, name), getattr(fresh, name), rtol=EXACT)


def test_standardised_keeps_nothing_of_origin_and_scale() -> None:
    points, _ = labelled(30, 4, 3)
    space = standardised(np.hstack([points, np.full((30, 1), 0.1)]))
    np.testing.assert_allclose(space[:, :4].std(axis=0), 1, rtol=1e-12)  # one division
    np.testing.assert_array_equal(space[:, 4], 0)
    moved = standardised(np.hstack([points * 1e-6 + 5, np.full((30, 1), 7e5)]))
    # The offset costs six digits of the features' own, and the squares of distances double that share.
    np.testing.assert_allclose(squareform(pdist(moved)), squareform(pdist(space)), rtol=1e-4, atol=1e-6)
