"""Against loops in float64 and scikit-learn, which share no code with it."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from lvm_probe.analysis.softmax_regression import SoftmaxRegression


def tokens(n: int = 150, dims: int = 7, classes: int = 5):
    rng = np.random.default_rng(classes)
    codes = np.concatenate([np.arange(classes), (rng.integers(classes**2, size=n - classes) ** 0.5).astype(int)])
    points = rng.normal(size=(n, dims)) + 0.7 * rng.normal(size=(classes, dims))[codes]
    return points - points.mean(axis=0), codes


@pytest.mark.parametrize("classes", [2, 3, 12])
def test_a_path_of_penalties_is_scikit_learn_s(classes) -> None:
    points, codes = tokens(classes=classes)
    model = SoftmaxRegression(points, codes, tolerance=1e-8)
    for strength in (1e-4, 1e-2, 1.0, 10.0):
        model.fit(strength)
        theirs = LogisticRegression(C=strength, tol=1e-10, max_iter=10_000).fit(points, codes)
        # A gradient of 1e-8 of the mean loss leaves scores this near to the optimum under the weakest penalty.
        np.testing.assert_allclose(
            np.exp(model.log_probabilities(points)), theirs.predict_proba(points), atol=2e-5, rtol=1e-4
        )


def test_the_gradient_vanishes_at_the_optimum() -> None:
    points, codes = tokens()
    model = SoftmaxRegression(points, codes, tolerance=1e-7)
    model.fit(0.1)
    shares, slopes = np.exp(model.log_probabilities(points)), []
    for step in (1e-5, -1e-5):  # along every feature, for the class 0, by central differences of the scores
        moved = SoftmaxRegression(points, codes, tolerance=1e-7)
        moved._weights = model._weights.copy()
        moved._weights[0, 0] += step
        penalty = np.full((8, 1), 1 / (0.1 * len(points)))
        penalty[-1] = 0
        slopes.append(moved._loss(moved._weights, penalty)[0])
    assert abs(slopes[0] - slopes[1]) / 2e-5 < 1e-6
    np.testing.assert_allclose(shares.mean(axis=0), np.bincount(codes) / len(codes), atol=1e-6)  # free intercepts


def test_copies_of_a_feature_and_constants_are_no_obstacle() -> None:
    points, codes = tokens()
    wide = np.column_stack([points, points[:, :2], np.zeros(len(points))])
    model = SoftmaxRegression(wide, codes, tolerance=1e-8)
    model.fit(1.0)
    theirs = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(wide, codes)
    np.testing.assert_allclose(np.exp(model.log_probabilities(wide)), theirs.predict_proba(wide), atol=1e-5)


def test_separable_classes_of_one_point_each_end() -> None:
    points = np.eye(4) - 0.25
    model = SoftmaxRegression(points, np.arange(4), tolerance=1e-6)
    for strength in (1e-4, 1.0, 1e3):
        model.fit(strength)
    assert (model.log_probabilities(points).argmax(axis=1) == np.arange(4)).all()
