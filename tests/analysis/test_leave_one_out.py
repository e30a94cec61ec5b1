"""Stacks of folds that leave one point out each, against discriminants fitted from scratch to the other points."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lvm_probe.analysis import moments
from lvm_probe.analysis.lda import discriminants
from lvm_probe.analysis.moments import moments_without, standardised
from lvm_probe.analysis.protocols import classify
from lvm_probe.analysis.shrinkage import intensity
from tests import reference

SHRINKAGES = ["none", "ledoit-wolf", 0.4]


def labelled(n: int, dims: int, classes: int, *, seed: int = 0, tails: float = 0.0):
    """Overlapping classes of unequal sizes, the last with one member and the one before with two; scales apart."""
    rng = np.random.default_rng(seed)
    codes = np.sort(rng.integers(max(classes - 2, 1), size=n))
    codes[:classes] = np.arange(classes)
    if classes > 3:
        codes[classes] = classes - 2
    codes = rng.permutation(codes)
    points = rng.normal(size=(n, dims)) + rng.normal(size=(classes, dims))[codes]
    points *= np.exp(tails * rng.normal(size=(n, 1)))
    return points * 10 ** rng.uniform(-1, 1, size=dims), codes


def spaces_without_each(points, codes, dims, shrinkage) -> Iterator[tuple[int, np.ndarray, float]]:
    """The held-out row, all points in the discriminants of its fold, and the intensity of the shrinkage."""
    space, n_classes = standardised(points), int(codes.max()) + 1
    for some, fold in moments_without(space, codes, n_classes, list(np.arange(len(points))[:, None])):
        amounts = intensity(fold, shrinkage)
        for (row,), axes, amount in zip(some, discriminants(fold, amounts, dims), amounts, strict=True):
            yield int(row), space @ axes, float(amount)


def assert_as_refitted(points, codes, dims, shrinkage, *, most: int = 1000, share: float = 1e-9) -> None:
    """Distances from the held-out point agree to a share of the largest, and the intensity too."""
    for row, space, amount in spaces_without_each(points, codes, dims, shrinkage):
        if row >= most:
            return
        fold = [j for j in range(len(points)) if j != row]
        expected = reference.discriminant_space(points, codes, fold, dims, shrinkage)
        ours = ((space - space[row]) ** 2).sum(axis=1)
        theirs = ((expected - expected[row]) ** 2).sum(axis=1)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=share * theirs.max())
        units = reference.standardised_fold(points, fold)
        assert amount == pytest.approx(reference.within_covariance(units, codes, fold, shrinkage)[1], abs=1e-10)


@pytest.mark.parametrize("shrinkage", SHRINKAGES)
@pytest.mark.parametrize(
    ("n", "dims", "classes", "kept"), [(60, 6, 5, 2), (60, 6, 9, 5), (50, 2, 4, 1), (80, 12, 3, 2), (70, 5, 12, 1)]
)
def test_folds_are_as_refitted(n, dims, classes, kept, shrinkage, monkeypatch) -> None:
    monkeypatch.setattr(moments, "_NUMBERS_AT_ONCE", 7 * n)  # several stacks, the last of them smaller
    assert_as_refitted(*labelled(n, dims, classes), kept, shrinkage)


@pytest.mark.parametrize("shrinkage", ["ledoit-wolf", 0.4, 1.0])
@pytest.mark.parametrize(("n", "dims", "classes", "kept"), [(14, 128, 2, 1), (14, 40, 3, 2), (31, 80, 7, 5)])
def test_folds_of_few_points_are_as_refitted(n, dims, classes, kept, shrinkage) -> None:
    assert_as_refitted(*labelled(n, dims, classes), kept, shrinkage)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(12, 40),
    dims=st.integers(1, 9),
    classes=st.integers(2, 8),
    kept=st.integers(1, 8),
    shrinkage=st.sampled_from([*SHRINKAGES, 1.0]),
    tails=st.sampled_from([0.0, 1.0]),
    seed=st.integers(0, 1000),
)
def test_folds_of_any_shape_are_as_refitted(n, dims, classes, kept, shrinkage, tails, seed) -> None:
    assume(shrinkage != "none" or n - 1 - classes > dims)
    points, codes = labelled(n, dims, classes, seed=seed, tails=tails)
    points = np.hstack([points, np.full((n, 1), 0.3)])  # takes no part
    # Eigenvalues may come close to each other, and the axes beside the cut lose as many digits.
    assert_as_refitted(points, codes, min(kept, classes - 1, dims), shrinkage, most=12, share=1e-6)


def near_equal(n: int):
    """Four classes in a cross with noise that is turned with them: the first two eigenvalues are equal."""
    rng = np.random.default_rng(0)
    quarter = rng.normal(size=(n // 8, 4))
    both = np.concatenate([quarter, -quarter]) + np.array([1.5, 0, 0, 0])
    points = np.concatenate([both] * 4)
    for place, (c, s) in enumerate(((1, 0), (0, 1), (-1, 0), (0, -1))):
        rows = slice(place * len(both), (place + 1) * len(both))
        points[rows, :2] = points[rows, :2] @ np.array([[c, s], [-s, c]])
    return points, np.repeat(np.arange(4), len(both))


@pytest.mark.parametrize("shrinkage", SHRINKAGES)
@pytest.mark.parametrize("dims", [1, 2])
def test_eigenvalues_of_all_points_may_be_equal(dims, shrinkage) -> None:
    assert_as_refitted(*near_equal(400), dims, shrinkage, most=3)


@pytest.mark.parametrize("shrinkage", SHRINKAGES)
@pytest.mark.parametrize("lda_dims", [1, 3, "full"])
def test_predictions_are_those_of_the_loops(lda_dims, shrinkage) -> None:
    points, codes = labelled(50, 6, 8, seed=3, tails=0.5)
    points[7] = points[4]
    dims = 6 if lda_dims == "full" else lda_dims
    expected = reference.refitted(points, codes, np.arange(50), dims, [1, 3, 8], shrinkage)
    outcome = classify(points, codes, lda_dims=lda_dims, ks=(1, 3, 8), shrinkage=shrinkage)
    np.testing.assert_array_equal(outcome.predictions, expected)


@pytest.mark.parametrize("shrinkage", SHRINKAGES)
def test_the_order_of_rows_plays_no_part(shrinkage) -> None:
    points, codes = labelled(70, 6, 7, seed=5)
    order = np.random.default_rng(0).permutation(70)
    plain = classify(points, codes, lda_dims=3, ks=(1, 5), shrinkage=shrinkage)
    moved = classify(points[order], codes[order], lda_dims=3, ks=(1, 5), shrinkage=shrinkage)
    assert plain.neighbours is not None
    assert moved.neighbours is not None
    np.testing.assert_array_equal(order[moved.neighbours], plain.neighbours[order])
