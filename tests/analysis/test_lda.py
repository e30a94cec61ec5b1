import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from analysis import lda
from analysis.errors import InputError
from tests import reference


def labelled(n: int, dims: int, classes: int, *, seed: int = 0, spread: float = 1.0):
    """Correlated classes on scales from 0.01 to 100, the last class a singleton."""
    rng = np.random.default_rng(seed)
    labels = np.append(rng.permutation(np.arange(n - 1) % (classes - 1)), classes - 1)
    points = rng.normal(size=(n, dims)) @ rng.normal(size=(dims, dims)) / np.sqrt(dims)
    points += spread * rng.normal(size=(classes, dims))[labels]
    return points * 10 ** rng.uniform(-2, 2, size=dims) + rng.normal(size=dims), labels


def without(n: int, i: int) -> list[int]:
    return [j for j in range(n) if j != i]


# Downdating loses the digits that the removed point holds: here at most a few units of 1e-15 each, so 1e-10
# leaves four orders of magnitude for the condition of the covariances (below 1e3).
EXACT = 1e-10


def test_moments_without_each_are_those_of_the_remaining_points() -> None:
    points, codes = labelled(41, 6, 7)
    points = lda.standardised(points)
    for i, fold in enumerate(lda.moments_without_each(points, codes, 7, chunk=10)):
        others = without(41, i)
        fresh = lda.moments(points[others], codes[others], 7)
        present = fresh.counts > 0
        assert fold.n_classes == fresh.n_classes == (6 if i == 40 else 7)
        np.testing.assert_array_equal(fold.counts, fresh.counts)
        np.testing.assert_allclose(fold.means[present], fresh.means[present], atol=EXACT)
        for name in ("mean", "variance", "within", "fourth"):
            np.testing.assert_allclose(getattr(fold, name), getattr(fresh, name), rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("shrinkage", ["none", "ledoit-wolf", 0.3, 1.0])
@pytest.mark.parametrize(("dims", "classes", "kept"), [(4, 9, 4), (7, 5, 4), (7, 5, 2), (5, 3, 1)])
def test_downdated_distances_equal_a_fit_from_scratch(shrinkage, dims, classes, kept) -> None:
    points, labels = labelled(45, dims, classes, seed=dims + classes)
    space = lda.standardised(points)
    for i, fold in enumerate(lda.moments_without_each(space, labels, classes)):
        axes = lda.discriminants(fold, lda.intensity(fold, shrinkage), kept)
        expected = reference.discriminant_space(points, labels, without(45, i), kept, shrinkage)
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
    for i, fold in enumerate(lda.moments_without_each(space, labels, 9)):
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
    for i, fold in enumerate(lda.moments_without_each(lda.standardised(points), labels, 6)):
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
def test_a_feature_constant_in_a_fold_takes_no_part(shrinkage) -> None:
    points, labels = labelled(40, 3, 4)
    only_here = np.zeros((40, 1))
    only_here[7] = 3.0  # constant once point 7 is left out
    points = np.hstack([points, only_here, np.full((40, 1), 0.1)])
    space = lda.standardised(points)
    fold = list(lda.moments_without_each(space, labels, 4))[7]
    axes = lda.discriminants(fold, lda.intensity(fold, shrinkage), 2)
    expected = reference.discriminant_space(points, labels, without(40, 7), 2, shrinkage)
    np.testing.assert_array_equal(axes[3:], 0)
    np.testing.assert_allclose(pdist(space @ axes), pdist(expected), rtol=1e-8)  # as above


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
