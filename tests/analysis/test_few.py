"""Few points, each left out once, against the discriminants of each fold, fitted from scratch."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lvm_probe.analysis import downdate, few, lda
from lvm_probe.analysis.protocols import classify, lda_classify
from tests.analysis.test_downdate import assert_as_refitted, labelled


def without_each(points, codes, dims, shrinkage, rows=None) -> list[few.Found]:
    rows = np.arange(len(points)) if rows is None else rows
    return list(few.without_each(lda.standardised(points), codes, int(codes.max()) + 1, dims, shrinkage, rows))


@pytest.mark.parametrize("shrinkage", ["ledoit-wolf", 0.4, 1.0])
@pytest.mark.parametrize(
    ("n", "dims", "classes", "kept"), [(14, 128, 2, 1), (14, 40, 3, 2), (31, 80, 7, 5), (20, 3, 4, 3), (9, 2, 2, 1)]
)
def test_folds_are_as_refitted(n, dims, classes, kept, shrinkage) -> None:
    points, codes = labelled(n, dims, classes)
    found = without_each(points, codes, kept, shrinkage)
    assert assert_as_refitted(found, points, codes, kept, shrinkage, share=1e-9) == n


@settings(max_examples=80, deadline=None)
@given(
    n=st.integers(4, 20),
    dims=st.integers(1, 30),
    classes=st.integers(2, 6),
    kept=st.integers(1, 5),
    shrinkage=st.sampled_from(["ledoit-wolf", 0.05, 1.0]),
    tails=st.sampled_from([0.0, 2.0]),
    seed=st.integers(0, 1000),
)
def test_odd_ones_are_as_the_exact_route_has_them_or_left(n, dims, classes, kept, shrinkage, tails, seed) -> None:
    classes = min(classes, n - 2)
    points, codes = labelled(n, dims, classes, seed=seed, tails=tails)
    points[1] = points[0]  # so that class means may coincide
    points = np.hstack([points, np.full((n, 1), 0.3)])  # takes no part
    kept = min(kept, classes - 1, dims)
    space = lda.standardised(points)
    for some in without_each(points, codes, kept, shrinkage):
        folds = lda.moments_without(space, codes, classes, list(some.rows[:, None]))
        for row, ours, amount, fold in zip(some.rows, some.projected, some.amounts, folds, strict=True):
            assert amount == pytest.approx(lda.intensity(fold, shrinkage), abs=1e-10)
            theirs = space @ lda.discriminants(fold, lda.intensity(fold, shrinkage), kept)
            distances = ((theirs - theirs[row]) ** 2).sum(axis=1)
            found = ((ours - ours[:, [row]]) ** 2).sum(axis=0)
            np.testing.assert_allclose(found, distances, rtol=0, atol=1e-7 * distances.max())


def test_what_it_cannot_tell_is_left() -> None:
    points, codes = labelled(12, 30, 3)
    assert not sum(len(some.rows) for some in without_each(points, codes, 2, "none"))  # singular
    assert not without_each(points[:, :1], codes, 1, "ledoit-wolf")  # nothing to choose
    points[:, 0] = np.arange(12) == 5
    (found,) = without_each(points, codes, 2, "ledoit-wolf")
    assert found.rows.tolist() == [i for i in range(12) if i != 5]  # without which a feature is constant
    assert not sum(len(some.rows) for some in without_each(points[:4], np.arange(4), 2, 0.5))  # no class of two


@pytest.mark.parametrize("protocol", ["nested", "grouped"])
@pytest.mark.parametrize(("n", "dims", "classes"), [(14, 50, 2), (20, 10, 5), (90, 8, 6)])
def test_probes_answer_the_same_where_folds_are_found_together(n, dims, classes, protocol, monkeypatch) -> None:
    points, codes = labelled(n, dims, classes)
    knn = partial(classify, lda_dims=1, ks=(1, 3))
    together = [probe(points, codes, protocol=protocol, groups=np.arange(n)) for probe in (knn, lda_classify)]
    count = iter(range(10))
    for module in (few, downdate):
        monkeypatch.setattr(module, "without_each", lambda *_: (next(count), iter(()))[1])
    alone = [probe(points, codes, protocol=protocol, groups=np.arange(n)) for probe in (knn, lda_classify)]
    assert next(count) == 2
    for ours, theirs in zip(together, alone, strict=True):
        np.testing.assert_array_equal(ours.predictions, theirs.predictions)
        assert ours.shrinkage == pytest.approx(theirs.shrinkage, rel=1e-12)
