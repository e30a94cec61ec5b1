import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf_shrinkage

from lvm_probe import InputError
from lvm_probe.analysis.lda import discriminants
from lvm_probe.analysis.moments import moments, standardised
from lvm_probe.analysis.shrinkage import checked_shrinkage, ledoit_wolf
from tests import reference
from tests.analysis.labelled_folds import each, folds_without, labelled, without


@pytest.mark.parametrize(("n", "dims"), [(60, 3), (60, 20), (40, 60)])
def test_ledoit_wolf_intensity_is_scikit_learns_on_the_standardised_residuals(n, dims) -> None:
    points, labels = labelled(n, dims, 6)
    for i, fold in enumerate(folds_without(standardised(points), labels, 6, each(n))):
        units = reference.standardised_fold(points, without(n, i))
        means = reference.class_means(units, labels, without(n, i))
        residuals = np.array([units[j] - means[int(labels[j])] for j in without(n, i)])
        expected = ledoit_wolf_shrinkage(residuals, assume_centered=True)
        assert ledoit_wolf(fold) == pytest.approx(expected, rel=1e-9)  # sums of a few thousand terms


def test_singular_covariances_are_refused_with_the_cure() -> None:
    points, labels = labelled(20, 18, 4)
    fold = moments(standardised(points), labels, 4)
    with pytest.raises(InputError, match=r"16 more points than classes for 18 features.*use shrinkage"):
        discriminants(fold, 0.0, 2)
    discriminants(fold, 0.1, 2)
    twice = np.hstack([points[:, :3], points[:, :1] + points[:, 1:2]])
    with pytest.raises(InputError, match="a feature repeats others"):
        discriminants(moments(standardised(twice), labels, 4), 0.0, 2)
    alone = moments(standardised(points[:5, :2]), np.arange(5), 5)
    for amount in (0.0, 0.5):
        with pytest.raises(InputError, match="no class has two members"):
            discriminants(alone, amount, 2)


@pytest.mark.parametrize("shrinkage", [-0.1, 1.1, float("nan")])
def test_shrinkage_out_of_range_is_refused(shrinkage) -> None:
    with pytest.raises(InputError, match="from 0 to 1"):
        checked_shrinkage(shrinkage)
