"""Many folds at once against the discriminants of each, fitted from scratch."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lvm_probe.analysis import downdate, lda
from lvm_probe.analysis.protocols import nested
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


@pytest.fixture(autouse=True)
def few_points_too(monkeypatch) -> None:
    """A certificate has to hold for few points as well; that most are refused there only costs time."""
    monkeypatch.setattr(downdate, "LEAST_POINTS", 2)


def without_each(points, codes, dims, shrinkage, rows=None):
    n_classes = int(codes.max()) + 1
    rows = np.arange(len(points)) if rows is None else rows
    return list(downdate.without_each(lda.standardised(points), codes, n_classes, dims, shrinkage, rows))


def assert_as_refitted(
    found: list[downdate.Found], points, codes, dims, shrinkage, most: int = 1000, share: float = 1e-6
) -> int:
    """Distances from the point held out agree to a share of the largest: 1e-6 where axes agree to 1e-7."""
    checked = 0
    for some in found:
        for row, space, amount in zip(some.rows, some.projected, some.amounts, strict=True):
            if checked == most:
                return checked
            fold = [j for j in range(len(points)) if j != row]
            expected = reference.discriminant_space(points, codes, fold, dims, shrinkage)
            ours = ((space - space[:, [row]]) ** 2).sum(axis=0)
            theirs = ((expected - expected[row]) ** 2).sum(axis=1)
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=share * theirs.max())
            units = reference.standardised_fold(points, fold)
            assert amount == pytest.approx(reference.within_covariance(units, codes, fold, shrinkage)[1], abs=1e-10)
            checked += 1
    return checked


@pytest.mark.parametrize("shrinkage", SHRINKAGES)
@pytest.mark.parametrize(
    ("n", "dims", "classes", "kept"), [(60, 6, 5, 2), (60, 6, 9, 5), (50, 2, 4, 1), (80, 12, 3, 2), (70, 5, 12, 1)]
)
def test_folds_are_as_refitted(n, dims, classes, kept, shrinkage) -> None:
    points, codes = labelled(n, dims, classes)
    found = without_each(points, codes, kept, shrinkage)
    # A few folds may be left to the exact route; here most are certified.
    assert assert_as_refitted(found, points, codes, kept, shrinkage) > 0.8 * n


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    n=st.integers(12, 40),
    dims=st.integers(1, 9),
    classes=st.integers(2, 8),
    kept=st.integers(1, 8),
    shrinkage=st.sampled_from(SHRINKAGES),
    tails=st.sampled_from([0.0, 1.0]),
    seed=st.integers(0, 1000),
)
def test_what_is_certified_is_as_refitted(n, dims, classes, kept, shrinkage, tails, seed) -> None:
    points, codes = labelled(n, dims, classes, seed=seed, tails=tails)
    points[1] = points[0]
    points = np.hstack([points, np.full((n, 1), 0.3)])  # takes no part
    kept = min(kept, classes - 1, dims)
    assert_as_refitted(without_each(points, codes, kept, shrinkage), points, codes, kept, shrinkage, most=12)


def test_some_folds_are_as_among_all() -> None:
    points, codes = labelled(70, 6, 7)
    rows = np.array([3, 4, 40, 69])
    some = without_each(points, codes, 3, "ledoit-wolf", rows)
    assert set(np.concatenate([found.rows for found in some])) <= set(rows)
    assert assert_as_refitted(some, points, codes, 3, "ledoit-wolf") > 0


@pytest.mark.parametrize("shrinkage", SHRINKAGES)
@pytest.mark.parametrize("lda_dims", [1, 3, "full"])
def test_certified_and_left_together_predict_as_the_loops_do(lda_dims, shrinkage) -> None:
    points, codes = labelled(50, 6, 8, seed=3, tails=0.5)
    points[7] = points[4]
    dims = 6 if lda_dims == "full" else lda_dims
    expected = reference.refitted(points, codes, np.arange(50), dims, [1, 3, 8], shrinkage)
    outcome = nested(points, codes, lda_dims=lda_dims, ks=(1, 3, 8), shrinkage=shrinkage)
    np.testing.assert_array_equal(outcome.predictions, expected)


def near_equal(n: int):
    """Four classes in a cross, noise that is turned with them: the first two eigenvalues are equal."""
    rng = np.random.default_rng(0)
    quarter = rng.normal(size=(n // 8, 4))
    both = np.concatenate([quarter, -quarter]) + np.array([1.5, 0, 0, 0])
    points = np.concatenate([both] * 4)
    for place, (c, s) in enumerate(((1, 0), (0, 1), (-1, 0), (0, -1))):
        rows = slice(place * len(both), (place + 1) * len(both))
        points[rows, :2] = points[rows, :2] @ np.array([[c, s], [-s, c]])
    return points, np.repeat(np.arange(4), len(both))


@pytest.mark.parametrize("shrinkage", SHRINKAGES)
def test_eigenvalues_that_nearly_meet_are_left_to_the_exact_route(shrinkage) -> None:
    points, codes = near_equal(1600)
    first = without_each(points, codes, 1, shrinkage)
    assert sum(len(some.rows) for some in first) < 0.8 * len(points)
    assert_as_refitted(first, points, codes, 1, shrinkage, most=3)
    both = without_each(points, codes, 2, shrinkage)  # between these two no cut is made
    assert sum(len(some.rows) for some in both) == len(points)
    assert_as_refitted(both, points, codes, 2, shrinkage, most=3)


@pytest.mark.parametrize("axes_taken", [[1, 2, 3], [0, 2, 2], [2, 0, 1]])
def test_a_wrong_guess_is_never_certified(axes_taken, monkeypatch) -> None:
    """Corrections converge to some discriminants: the count tells which, and that none comes twice; in any order."""
    points, codes = labelled(80, 6, 9)
    begun, rng = downdate._Folds.begun, np.random.default_rng(0)

    def taken(folds, dims: int):
        axes = begun(folds, dims + 1)[:, axes_taken]
        return axes + 1e-3 * rng.normal(size=axes.shape)

    monkeypatch.setattr(downdate._Folds, "begun", taken)
    monkeypatch.setattr(downdate, "_ROUNDS", ((4, 0),))  # the last would look among all
    found = without_each(points, codes, 3, "ledoit-wolf")
    assert_as_refitted(found, points, codes, 3, "ledoit-wolf")
    certified = sum(len(some.rows) for some in found)
    assert certified > 60 if axes_taken == [2, 0, 1] else certified < 40


def test_axes_that_are_nearly_orthogonal_become_orthonormal_and_others_stay() -> None:
    nearly = np.array([[2, 0, 3e-6], [0, 3, 1e-6], [1e-6, 0, 0.5]])
    twice = np.array([[2, 0, 0], [0, 3, 0.1], [0, 2, 0.1]])
    axes = np.stack([np.eye(3), nearly, -nearly, twice, -twice, np.zeros((3, 3))])
    turns, orthogonal = downdate._orthonormal(axes @ axes.mT)
    np.testing.assert_array_equal(orthogonal, [True, True, True, False, False, False])
    turned = turns[:3] @ axes[:3]
    np.testing.assert_allclose(turned @ turned.mT, np.broadcast_to(np.eye(3), (3, 3, 3)), atol=1e-10)
    np.testing.assert_array_equal(turns[3:], np.broadcast_to(np.eye(3), (3, 3, 3)))


def test_a_fold_that_comes_to_nothing_leaves_the_others_alone(monkeypatch) -> None:
    points, codes = labelled(80, 6, 9)
    begun, improved = downdate._Folds.begun, downdate._Folds.improved

    def lost(folds, dims: int):
        axes = begun(folds, dims)
        axes[0] = np.nan
        axes[1:] += 0.01  # so that the others need another round
        return axes

    def sound(folds, axes, *more):
        assert np.isfinite(axes).all() or more == downdate._ROUNDS[0]
        return improved(folds, axes, *more)

    monkeypatch.setattr(downdate._Folds, "begun", lost)
    monkeypatch.setattr(downdate._Folds, "improved", sound)
    found = without_each(points, codes, 3, "ledoit-wolf")
    assert_as_refitted(found, points, codes, 3, "ledoit-wolf")
    assert sum(len(some.rows) for some in found) > 60


def test_corrections_keep_their_digits_where_an_eigenvalue_of_all_points_is_one_of_the_fold() -> None:
    points, codes = labelled(80, 6, 9)
    whole = downdate._Whole.of(lda.standardised(points), codes, int(codes.max()) + 1, "ledoit-wolf")
    assert whole is not None
    folds = downdate._Folds.of(whole, np.arange(80))
    diagonal = folds.grown * whole.theta
    residuals, within = np.random.default_rng(0).normal(size=(2, 80, 1, 6))
    for split in (downdate._Split.of(folds, 0), downdate._Split.of(folds.single, 0)):
        kind = split.diagonal.dtype
        own = 1 + float(np.finfo(kind).eps) ** downdate._BESIDE
        for place in range(5):
            for beside in (0, 1e-12, 1e-7, -1e-7, 1e-6, 1e-4, -1e-3):
                shifts = (1 + beside) * diagonal[place] / folds.diagonal[:, place, None]
                olsen = downdate._Olsen.of(split, (shifts / own).astype(kind), within.astype(kind))
                ours = olsen.solved(residuals.astype(kind))
                pencils = (folds.pair.mT * (split.constant + split.slope * shifts)[:, None]) @ folds.pair
                pencils += np.eye(6) * (diagonal - shifts * folds.diagonal)[:, None]
                left = residuals - ours @ pencils
                left -= (np.vecdot(left, within) / np.vecdot(within, within))[..., None] * within  # which it may leave
                assert np.median(np.linalg.norm(left, axis=2) / np.linalg.norm(residuals, axis=2)) < 0.1
                across = np.vecdot(ours, within) / np.linalg.norm(ours, axis=2) / np.linalg.norm(within, axis=2)
                assert np.median(np.abs(across)) < 1e-3


def test_what_cannot_be_certified_is_left() -> None:
    points, codes = labelled(30, 5, 4)
    repeated = np.hstack([points, points[:, :1]])
    assert not without_each(repeated, codes, 2, "none")  # singular
    assert not without_each(points, codes, 2, 1.0)  # all target
    assert not without_each(np.ones((30, 2)), codes, 1, "ledoit-wolf")
    assert not without_each(points[:, :1], codes, 1, "ledoit-wolf")
    alone, codes = labelled(30, 40, 4)
    assert not without_each(alone, codes, 2, "none")  # too few points
    assert without_each(alone, codes, 2, "ledoit-wolf")


@pytest.mark.parametrize("shrinkage", SHRINKAGES)
def test_the_order_of_rows_plays_no_part(shrinkage) -> None:
    points, codes = labelled(70, 6, 7, seed=5)
    order = np.random.default_rng(0).permutation(70)
    plain = nested(points, codes, lda_dims=3, ks=(1, 5), shrinkage=shrinkage)
    moved = nested(points[order], codes[order], lda_dims=3, ks=(1, 5), shrinkage=shrinkage)
    assert plain.neighbours is not None
    assert moved.neighbours is not None
    np.testing.assert_array_equal(order[moved.neighbours], plain.neighbours[order])
