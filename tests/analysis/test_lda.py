import warnings

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from lvm_probe import InputError
from lvm_probe.analysis import lda
from tests import reference


def labelled(n: int, dims: int, classes: int, *, seed: int = 0, spread: float = 1.0):
    """Correlated classes on scales from 0.01 to 100, the last class a singleton."""
    rng = np.random.default_rng(seed)
    labels = np.append(rng.permutation(np.arange(n - 1) % (classes - 1)), classes - 1)
    points = rng.normal(size=(n, dims)) @ rng.normal(size=(dims, dims)) / np.sqrt(dims)
    points += spread * rng.normal(size=(classes, dims))[labels]
    return points * 10 ** rng.uniform(-2, 2, size=dims) + rng.normal(size=dims), labels


def without(n: int, *rows: int) -> list[int]:
    return [j for j in range(n) if j not in rows]


def each(n: int) -> list[np.ndarray]:
    return list(np.arange(n)[:, None])


def mixed(labels: np.ndarray) -> list[np.ndarray]:
    """Folds of one point, of a few, of a whole class, of the singleton among others, and of three points in four."""
    n = len(labels)
    whole_class = np.flatnonzero(labels == labels[0])
    return [np.array([3]), np.array([1, 9, 20]), whole_class, np.array([n - 1, 2]), np.arange(n)[np.arange(n) % 4 > 0]]


# Downdating loses the digits that the removed point holds: here at most a few units of 1e-15 each, so 1e-10
# leaves four orders of magnitude for the condition of the covariances (below 1e3).
EXACT = 1e-10


@pytest.mark.parametrize("folds", [lambda codes: each(len(codes)), mixed])
def test_moments_without_a_fold_are_those_of_the_remaining_points(folds, monkeypatch) -> None:
    monkeypatch.setattr(lda, "_NUMBERS_AT_ONCE", 130)  # three folds at once
    points, codes = labelled(41, 6, 7)
    points = lda.standardised(points)
    for rows, fold in zip(folds(codes), lda.moments_without(points, codes, 7, folds(codes)), strict=True):
        others = without(41, *rows)
        fresh = lda.moments(points[others], codes[others], 7)
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
    points = lda.standardised(points)
    (fold,) = lda.moments_without(points, codes, 4, [np.array([4, 5])])
    others = without(41, 4, 5)
    fresh = lda.moments(points[others], codes[others], 4)
    assert 0 < fresh.variance[3] < 1e-6
    for name in ("variance", "within", "fourth"):
        np.testing.assert_allclose(getattr(fold, name), getattr(fresh, name), rtol=EXACT)


@pytest.mark.parametrize("shrinkage", ["none", "ledoit-wolf", 0.3, 1.0])
@pytest.mark.parametrize(("dims", "classes", "kept"), [(4, 9, 4), (7, 5, 4), (7, 5, 2), (5, 3, 1)])
@pytest.mark.parametrize("folds", [lambda labels: each(len(labels)), mixed])
def test_downdated_distances_equal_a_fit_from_scratch(folds, shrinkage, dims, classes, kept) -> None:
    points, labels = labelled(60, dims, classes, seed=dims + classes)
    folds = folds(labels)
    space = lda.standardised(points)
    for rows, fold in zip(folds, lda.moments_without(space, labels, classes, folds), strict=True):
        if shrinkage == "none" and fold.n - fold.n_classes < dims:
            continue
        axes = lda.discriminants(fold, lda.intensity(fold, shrinkage), kept)
        expected = reference.discriminant_space(points, labels, without(60, *rows), kept, shrinkage)
        # 1e-8: both solve an eigenproblem whose gaps are above 1e-3, so errors of 1e-15 grow to 1e-12 or so.
        np.testing.assert_allclose(pdist(space @ axes), pdist(expected), rtol=1e-8, atol=1e-8)


def test_distances_follow_the_closed_downdate_of_a_mahalanobis_distance() -> None:
    """As many discriminants as dimensions keep Mahalanobis distances, whose downdate has a closed form."""
    points, labels = labelled(60, 4, 9)
    space = lda.standardised(points)
    residuals = space - np.array([space[labels == c].mean(axis=0) for c in labels])
    lower = np.linalg.cholesky(residuals.T @ residuals)
    z, v = np.linalg.solve(lower, space.T).T, np.linalg.solve(lower, residuals.T).T
    counts = np.bincount(labels)[labels]
    for i, fold in enumerate(lda.moments_without(space, labels, 9, each(60))):
        projected = space @ lda.discriminants(fold, 0.0, 4)
        ours = ((projected - projected[i]) ** 2).sum(axis=1) / fold.n  # Σ is the scatter over n
        gap = z - z[i]
        expected = (gap**2).sum(axis=1)
        if counts[i] > 1:
            alpha = counts[i] / (counts[i] - 1)
            expected += alpha / (1 - alpha * v[i] @ v[i]) * (gap @ v[i]) ** 2
        np.testing.assert_allclose(ours, expected, rtol=1e-8, atol=1e-12)  # as above


@pytest.mark.parametrize(("n", "dims"), [(60, 3), (60, 20), (40, 60)])
def test_ledoit_wolf_intensity_is_scikit_learns_on_the_standardised_residuals(n, dims) -> None:
    points, labels = labelled(n, dims, 6)
    for i, fold in enumerate(lda.moments_without(lda.standardised(points), labels, 6, each(n))):
        units = reference.standardised_fold(points, without(n, i))
        means = reference.class_means(units, labels, without(n, i))
        residuals = np.array([units[j] - means[int(labels[j])] for j in without(n, i)])
        expected = ledoit_wolf_shrinkage(residuals, assume_centered=True)
        assert lda.ledoit_wolf(fold) == pytest.approx(expected, rel=1e-9)  # sums of a few thousand terms


@pytest.mark.parametrize("kept", [1, 3, 5])
def test_unshrunk_discriminants_are_scikit_learns(kept) -> None:
    points, labels = labelled(80, 10, 6)
    space = lda.standardised(points)
    ours = pdist(space @ lda.discriminants(lda.moments(space, labels, 6), 0.0, kept))
    theirs = pdist(LinearDiscriminantAnalysis(n_components=kept).fit(points, labels).transform(points))
    # Its releases differ in the divisor of the covariance, a global scale; the rest is two decompositions.
    np.testing.assert_allclose(ours / ours.mean(), theirs / theirs.mean(), rtol=1e-8)


def test_axes_whiten_and_gram_matrices_of_either_size_agree() -> None:
    points, labels = labelled(70, 6, 6)
    space = lda.standardised(points)
    fold = lda.moments(space, labels, 6)
    axes = lda.discriminants(fold, 0.2, 5)
    factor = lda.within_factor(fold, 0.2)
    np.testing.assert_allclose(axes.T @ factor @ factor.T @ axes, np.eye(5), atol=1e-10)
    # An empty seventh class makes the other Gram matrix the smaller one.
    wider = lda.Moments(
        np.append(fold.counts, 0),
        fold.mean,
        np.vstack([fold.means, np.zeros(6)]),
        fold.variance,
        fold.within,
        fold.fourth,
    )
    np.testing.assert_allclose(pdist(space @ lda.discriminants(wider, 0.2, 5)), pdist(space @ axes), rtol=1e-8)


def test_nearest_mean_among_all_discriminants_is_the_gaussian_rule() -> None:
    points, labels = labelled(90, 8, 5)
    space = lda.standardised(points)
    fold = lda.moments(space, labels, 5)
    axes = lda.discriminants(fold, 0.1, 4)
    gaps = (space @ axes)[:, None] - (fold.means @ axes)[None]
    nearest = np.argmax(np.log(fold.counts / 90) - (gaps**2).sum(axis=2) / 2, axis=1)
    np.testing.assert_array_equal(lda.gaussian_rule(fold, 0.1).predict(space), nearest)


def test_unshrunk_gaussian_rule_is_scikit_learns() -> None:
    points, labels = labelled(90, 8, 5)
    space, labels = lda.standardised(points[:-1]), labels[:-1]  # it warns of the singleton
    rule = lda.gaussian_rule(lda.moments(space, labels, 4), 0.0)
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
    space = lda.standardised(points)
    (fold,) = lda.moments_without(space, labels, 4, [np.array(held_out)])
    axes = lda.discriminants(fold, lda.intensity(fold, shrinkage), 2)
    expected = reference.discriminant_space(points, labels, without(40, *held_out), 2, shrinkage)
    np.testing.assert_array_equal(axes[3:], 0)
    np.testing.assert_allclose(pdist(space @ axes), pdist(expected), rtol=1e-8)  # as above


def test_unshrunk_discriminants_do_not_depend_on_rotation() -> None:
    """Shrinkage standardises each feature, so that its target turns with the axes."""
    points, labels = labelled(60, 5, 6)
    points = lda.standardised(points)
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(5, 5)))[0]
    plain, turned = (
        [
            pdist(space @ lda.discriminants(fold, 0.0, 3))
            for fold in lda.moments_without(space, labels, 6, mixed(labels))
        ]
        for space in (points, points @ rotation)
    )
    np.testing.assert_allclose(plain, turned, rtol=1e-8)  # as above


@pytest.mark.parametrize("dims", [1, 3, 6])
def test_principal_axes_are_those_of_the_folds_correlations(dims) -> None:
    points, labels = labelled(60, 6, 5)
    points = np.hstack([points, np.full((60, 1), 0.1)])
    space = lda.standardised(points)
    folds = mixed(labels)
    for rows, fold in zip(folds, lda.moments_without(space, labels, 5, folds), strict=True):
        ours = space @ lda.principal_axes(fold, dims)
        expected = reference.principal_components(points, without(60, *rows), dims)
        np.testing.assert_allclose(pdist(ours), pdist(expected), rtol=1e-8)  # eigenvalue gaps above 1e-3


def test_a_fold_with_one_class_has_no_discriminants() -> None:
    points = np.random.default_rng(0).normal(size=(9, 3))
    fold = lda.moments(points, np.zeros(9, dtype=int), 2)
    np.testing.assert_array_equal(lda.discriminants(fold, 0.5, 1), np.zeros((3, 1)))
    assert lda.gaussian_rule(fold, 0.5).predict(points).tolist() == [0] * 9


def test_coinciding_class_means_leave_a_direction_out() -> None:
    points, labels = labelled(60, 4, 4)
    for c in range(4):
        points[labels == c] -= points[labels == c].mean(axis=0)
    points[labels == 0] += np.array([50.0, 0, 0, 0])
    space = lda.standardised(points)
    axes = lda.discriminants(lda.moments(space, labels, 4), 0.0, 3)
    assert (axes != 0).any(axis=0).tolist() == [True, False, False]


def test_singular_covariances_are_refused_with_the_cure() -> None:
    points, labels = labelled(20, 18, 4)
    fold = lda.moments(lda.standardised(points), labels, 4)
    with pytest.raises(InputError, match=r"16 degrees of freedom for 18 features.*use shrinkage"):
        lda.discriminants(fold, 0.0, 2)
    lda.discriminants(fold, 0.1, 2)
    twice = np.hstack([points[:, :3], points[:, :1] + points[:, 1:2]])
    with pytest.raises(InputError, match="a feature repeats others"):
        lda.discriminants(lda.moments(lda.standardised(twice), labels, 4), 0.0, 2)
    alone = lda.moments(lda.standardised(points[:5, :2]), np.arange(5), 5)
    for amount in (0.0, 0.5):
        with pytest.raises(InputError, match="no class has two members"):
            lda.discriminants(alone, amount, 2)


@pytest.mark.parametrize(("dims", "says"), [(5, "only 4; use 4 or fewer"), (-1, "-1"), (4, None), ("full", None)])
def test_dims_out_of_range_are_refused_with_the_cure(dims, says) -> None:
    if says is None:
        assert lda.checked_dims(dims, 5, 9) == 4
        return
    with pytest.raises(InputError, match=says):
        lda.checked_dims(dims, 5, 9)


@pytest.mark.parametrize(("match_dims", "left"), [(None, 9), (4, 4), (9, 9), (12, 9)])
def test_matched_dimensions_are_no_more_than_there_are(match_dims, left) -> None:
    assert lda.checked_match_dims(match_dims, 9) == left


@pytest.mark.parametrize("match_dims", [0, -3])
def test_matched_dimensions_out_of_range_are_refused(match_dims) -> None:
    with pytest.raises(InputError, match="1 or more"):
        lda.checked_match_dims(match_dims, 9)


@pytest.mark.parametrize("shrinkage", [-0.1, 1.1, float("nan")])
def test_shrinkage_out_of_range_is_refused(shrinkage) -> None:
    with pytest.raises(InputError, match="from 0 to 1"):
        lda.checked_shrinkage(shrinkage)


def test_standardised_keeps_nothing_of_origin_and_scale() -> None:
    points, _ = labelled(30, 4, 3)
    space = lda.standardised(np.hstack([points, np.full((30, 1), 0.1)]))
    np.testing.assert_allclose(space[:, :4].std(axis=0), 1, rtol=1e-12)  # one division
    np.testing.assert_array_equal(space[:, 4], 0)
    moved = lda.standardised(np.hstack([points * 1e-6 + 5, np.full((30, 1), 7e5)]))
    # The offset costs six digits of the features' own, and the squares of distances double that share.
    np.testing.assert_allclose(squareform(pdist(moved)), squareform(pdist(space)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("case", ["plain", "one repeats another", "constant", "two classes", "nearly repeats", "many"])
def test_scikit_discriminants_are_scikit_learns(case) -> None:
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
    axes = lda.scikit_discriminants(points, codes, len(classes))[:, : expected.shape[1]]
    # The same steps, but for signs and for how the singular values are found.
    np.testing.assert_allclose(np.abs((points - points.mean(axis=0)) @ axes), np.abs(expected), rtol=1e-8, atol=1e-8)
