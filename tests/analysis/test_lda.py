import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from lvm_probe import InputError
from lvm_probe.analysis import lda
from lvm_probe.analysis.moments import moments, standardised
from lvm_probe.analysis.shrinkage import intensity, shrunk_covariance
from tests import reference
from tests.analysis.labelled_folds import each, folds_without, labelled, mixed, without


@pytest.mark.parametrize("shrinkage", ["none", "ledoit-wolf", 0.3, 1.0])
@pytest.mark.parametrize(("dims", "classes", "kept"), [(4, 9, 4), (7, 5, 4), (7, 5, 2), (5, 3, 1)])
@pytest.mark.parametrize("folds", [lambda labels: each(len(labels)), mixed])
def test_downdated_distances_equal_a_fit_from_scratch(folds, shrinkage, dims, classes, kept) -> None:
    points, labels = labelled(60, dims, classes, seed=dims + classes)
    folds = folds(labels)
    space = standardised(points)
    for rows, fold in zip(folds, folds_without(space, labels, classes, folds), strict=True):
        if shrinkage == "none" and fold.n - fold.n_classes < dims:
            continue
        axes = lda.discriminants(fold, intensity(fold, shrinkage), kept)
        expected = reference.discriminant_space(points, labels, without(60, *rows), kept, shrinkage)
        # 1e-8: both solve an eigenproblem whose gaps are above 1e-3, so errors of 1e-15 grow to 1e-12 or so.
        np.testing.assert_allclose(pdist(space @ axes), pdist(expected), rtol=1e-8, atol=1e-8)


def test_distances_follow_the_closed_downdate_of_a_mahalanobis_distance() -> None:
    """As many discriminants as dimensions keep Mahalanobis distances, whose downdate has a closed form."""
    points, labels = labelled(60, 4, 9)
    space = standardised(points)
    residuals = space - np.array([space[labels == c].mean(axis=0) for c in labels])
    lower = np.linalg.cholesky(residuals.T @ residuals)
    z, v = np.linalg.solve(lower, space.T).T, np.linalg.solve(lower, residuals.T).T
    counts = np.bincount(labels)[labels]
    for i, fold in enumerate(folds_without(space, labels, 9, each(60))):
        projected = space @ lda.discriminants(fold, 0.0, 4)
        ours = ((projected - projected[i]) ** 2).sum(axis=1) / fold.n  # Σ is the scatter over n
        gap = z - z[i]
        expected = (gap**2).sum(axis=1)
        if counts[i] > 1:
            alpha = counts[i] / (counts[i] - 1)
            expected += alpha / (1 - alpha * v[i] @ v[i]) * (gap @ v[i]) ** 2
        np.testing.assert_allclose(ours, expected, rtol=1e-8, atol=1e-12)  # as above


@pytest.mark.parametrize("kept", [1, 3, 5])
def test_unshrunk_discriminants_are_scikit_learns(kept) -> None:
    points, labels = labelled(80, 10, 6)
    space = standardised(points)
    ours = pdist(space @ lda.discriminants(moments(space, labels, 6), 0.0, kept))
    theirs = pdist(LinearDiscriminantAnalysis(n_components=kept).fit(points, labels).transform(points))
    # Its releases differ in the divisor of the covariance, a global scale; the rest is two decompositions.
    np.testing.assert_allclose(ours / ours.mean(), theirs / theirs.mean(), rtol=1e-8)


def test_axes_whiten_and_an_empty_class_plays_no_part() -> None:
    points, labels = labelled(70, 6, 6)
    space = standardised(points)
    fold = moments(space, labels, 6)
    axes = lda.discriminants(fold, 0.2, 5)
    np.testing.assert_allclose(axes.T @ shrunk_covariance(fold, 0.2) @ axes, np.eye(5), atol=1e-10)
    wider = replace(fold, counts=np.append(fold.counts, 0), means=np.vstack([fold.means, np.zeros(6)]))
    np.testing.assert_allclose(pdist(space @ lda.discriminants(wider, 0.2, 5)), pdist(space @ axes), rtol=1e-8)


def predicted(rule: lda.GaussianRule, points: np.ndarray) -> np.ndarray:
    return np.argmax(points @ rule.weights + rule.biases, axis=1)


def test_nearest_mean_among_all_discriminants_is_the_gaussian_rule() -> None:
    points, labels = labelled(90, 8, 5)
    space = standardised(points)
    fold = moments(space, labels, 5)
    axes = lda.discriminants(fold, 0.1, 4)
    gaps = (space @ axes)[:, None] - (fold.means @ axes)[None]
    nearest = np.argmax(np.log(fold.counts / 90) - (gaps**2).sum(axis=2) / 2, axis=1)
    np.testing.assert_array_equal(predicted(lda.gaussian_rule(fold, 0.1), space), nearest)


def test_unshrunk_gaussian_rule_is_scikit_learns() -> None:
    points, labels = labelled(90, 8, 5)
    space, labels = standardised(points[:-1]), labels[:-1]  # it warns of the singleton
    rule = lda.gaussian_rule(moments(space, labels, 4), 0.0)
    ours = space @ rule.weights + rule.biases
    theirs = LinearDiscriminantAnalysis(solver="lsqr").fit(space, labels).decision_function(space)
    gaps = [scores - scores[:, :1] for scores in (ours, theirs)]  # what all classes share is free
    np.testing.assert_allclose(*gaps, rtol=1e-8, atol=1e-8)  # scores of tens, a condition below 1e3


@pytest.mark.parametrize("shrinkage", ["none", "ledoit-wolf", 0.5])
@pytest.mark.parametrize("held_out", [[7], [7, 11], [0, 7, 30]])
def test_a_feature_constant_in_a_fold_takes_no_part(shrinkage, held_out) -> None:
    points, labels = labelled(40, 3, 4)
    only_here = np.zeros((40, 1))
    only_here[7] = 3.0  # constant once point 7 is left out
    points = np.hstack([points, only_here, np.full((40, 1), 0.1)])
    space = standardised(points)
    (fold,) = folds_without(space, labels, 4, [np.array(held_out)])
    axes = lda.discriminants(fold, intensity(fold, shrinkage), 2)
    expected = reference.discriminant_space(points, labels, without(40, *held_out), 2, shrinkage)
    np.testing.assert_array_equal(axes[3:], 0)
    np.testing.assert_allclose(pdist(space @ axes), pdist(expected), rtol=1e-8)  # as above


def test_unshrunk_discriminants_do_not_depend_on_rotation() -> None:
    """Shrinkage standardises each feature, so that its target turns with the axes."""
    points, labels = labelled(60, 5, 6)
    points = standardised(points)
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(5, 5)))[0]
    plain, turned = (
        [pdist(space @ lda.discriminants(fold, 0.0, 3)) for fold in folds_without(space, labels, 6, mixed(labels))]
        for space in (points, points @ rotation)
    )
    np.testing.assert_allclose(plain, turned, rtol=1e-8)  # as above


def test_a_fold_with_one_class_has_no_discriminants() -> None:
    points = np.random.default_rng(0).normal(size=(9, 3))
    fold = moments(points, np.zeros(9, dtype=int), 2)
    np.testing.assert_array_equal(lda.discriminants(fold, 0.5, 1), np.zeros((3, 1)))
    assert predicted(lda.gaussian_rule(fold, 0.5), points).tolist() == [0] * 9


def test_coinciding_class_means_leave_a_direction_out() -> None:
    points, labels = labelled(60, 4, 4)
    for c in range(4):
        points[labels == c] -= points[labels == c].mean(axis=0)
    points[labels == 0] += np.array([50.0, 0, 0, 0])
    space = standardised(points)
    axes = lda.discriminants(moments(space, labels, 4), 0.0, 3)
    assert (axes != 0).any(axis=0).tolist() == [True, False, False]


@pytest.mark.parametrize(("dims", "says"), [(5, "only 4; use 4 or fewer"), (-1, "-1"), (4, None), ("full", None)])
def test_dims_out_of_range_are_refused_with_the_cure(dims, says) -> None:
    if says is None:
        assert lda.checked_dims(dims, 5, 9) == 4
        return
    with pytest.raises(InputError, match=says):
        lda.checked_dims(dims, 5, 9)


@pytest.mark.parametrize("case", ["plain", "one repeats another", "constant", "two classes", "nearly repeats", "many"])
def test_svd_discriminants_are_scikit_learns(case) -> None:
    points, codes = labelled(60, 58 if case == "many" else 5, 2 if case == "two classes" else 6)
    if case == "nearly repeats":  # too few digits for a Gram matrix
        points = np.hstack([points, points[:, :1] + 1e-4 * np.random.default_rng(1).normal(size=(60, 1))])
    if case == "one repeats another":
        points = np.hstack([points, points[:, :2] @ [[1.0], [2.0]]])
    if case == "constant":
        points = np.hstack([points, np.full((60, 1), 0.5)])
    classes, codes = np.unique(codes, return_inverse=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = LinearDiscriminantAnalysis(solver="svd").fit(points, codes).transform(points)
    axes = lda.svd_discriminants(points, codes, len(classes))[:, : expected.shape[1]]
    # The same steps, but for signs and for how the singular values are found.
    np.testing.assert_allclose(np.abs((points - points.mean(axis=0)) @ axes), np.abs(expected), rtol=1e-8, atol=1e-8)
