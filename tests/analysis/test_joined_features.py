import numpy as np
import pytest
from scipy.spatial.distance import cdist

from lvm_probe.analysis.abx import abx
from lvm_probe.analysis.joined_features import of_equal_size, of_equal_variance_without
from lvm_probe.analysis.protocols import classify

PARTS = (4, 2)


def joined(n: int = 40, seed: int = 0):
    """A part of large numbers that knows nothing, and one of small numbers that knows the class."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % 3)
    knows = np.eye(3)[labels][:, :2] + rng.normal(size=(n, 2)) * 0.2
    return np.hstack([rng.normal(size=(n, 4)) * 100 + 50, knows]), labels, np.arange(n) % 5


def test_parts_have_the_same_size_afterwards() -> None:
    points, _, _ = joined()
    for about_mean in (False, True):
        scaled = of_equal_size(points, PARTS, about_mean=about_mean)
        blocks = np.split(scaled - scaled.mean(axis=0) if about_mean else scaled, [4], axis=1)
        assert [np.mean(np.sum(block**2, axis=1)) for block in blocks] == pytest.approx([1, 1])
    np.testing.assert_array_equal(of_equal_size(points, (6,), about_mean=True), points)
    constant = np.hstack([points[:, :4], np.full((40, 2), 3.0)])
    np.testing.assert_array_equal(of_equal_size(constant, PARTS, about_mean=True)[:, 4:], constant[:, 4:])


@pytest.mark.parametrize("protocol", ["nested", "grouped"])
def test_neighbours_without_discriminants_see_every_part_as_the_fold_scales_it(protocol) -> None:
    points, labels, groups = joined()
    how = {"protocol": protocol, "lda_dims": 0, "ks": (1, 5), "groups": groups}
    found = classify(points, labels, parts=PARTS, **how)
    units = groups if protocol == "grouped" else np.arange(40)
    for i in range(40):
        others = np.flatnonzero(units != units[i])
        parts = np.split(points, [4], axis=1)
        squares = sum(
            cdist(part[[i]], part[others], "sqeuclidean")[0] / part[others].var(axis=0).sum() for part in parts
        )
        assert found.neighbours[i].tolist() == others[np.argsort(squares, kind="stable")[:5]].tolist()
    assert found.accuracy[1] > 0.9 > classify(points, labels, **how).accuracy[1] + 0.3


def test_scales_of_folds_are_those_of_the_points_they_keep() -> None:
    points, _, groups = joined()
    excluded = [np.flatnonzero(groups == g) for g in range(5)]
    scales = of_equal_variance_without(points, PARTS, excluded)
    for rows, scale in zip(excluded, scales, strict=True):
        kept = np.delete(points, rows, axis=0)
        expected = [np.sqrt(block.var(axis=0).sum()) for block in np.split(kept, [4], axis=1)]
        np.testing.assert_allclose(scale, np.repeat(expected, PARTS), rtol=1e-10)


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_abx_compares_every_part(distance) -> None:
    points, labels, groups = joined()
    alone = abx(points, labels, groups, distance=distance).error
    both = abx(points, labels, groups, distance=distance, parts=PARTS).error
    assert alone > 0.35 > both + 0.1
