import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from lvm_probe.analysis import knn, neighbours
from tests import reference

WAYS = ("differences", "products", "tree")


@pytest.fixture(params=WAYS)
def way(request, monkeypatch) -> str:
    """Every way of searching, in small pieces."""
    take(request.param, monkeypatch)
    monkeypatch.setattr(neighbours, "_QUERIES_AT_ONCE", 7)
    return request.param


def take(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_MANY_POINTS", 10**9 if way == "differences" else 0)
    monkeypatch.setattr(neighbours, "_MANY_QUERIES", 0)
    monkeypatch.setattr(neighbours, "_TREE_DIMS", 8 if way == "tree" else 0)


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(4, 40), dims=st.integers(1, 3), side=st.integers(1, 4))
def test_points_on_a_grid_with_all_their_ties_agree_with_the_loops(way, seed, n, dims, side) -> None:
    rng = np.random.default_rng(seed)
    points = rng.integers(side, size=(n, dims)).astype(float)
    held_out = np.flatnonzero(rng.permutation(np.arange(n) < rng.integers(1, n)))
    others = [j for j in range(n) if j not in held_out]
    with pytest.MonkeyPatch.context() as patch:
        take(way, patch)
        for k in {1, len(others)}:
            for i, found in zip(held_out, neighbours.neighbours_without(points, held_out, held_out, k), strict=True):
                assert found.tolist() == reference.nearest(points, i, others, k)
        for k in {1, n - 1}:
            for i, found in enumerate(neighbours.neighbours_of_each(points, k)):
                assert found.tolist() == reference.nearest(points, i, [j for j in range(n) if j != i], k)


def test_one_nearest_neighbour_agrees_with_scikit_learn(way) -> None:
    rng = np.random.default_rng(0)
    points, labels = rng.normal(size=(80, 6)), rng.integers(4, size=80)
    voted = knn.vote(labels[neighbours.neighbours_of_each(points, 5)], 4, (1, 2, 3, 5))
    for i in range(80):
        others = np.delete(np.arange(80), i)
        for column, k in ((0, 1), (2, 3), (3, 5)):
            model = KNeighborsClassifier(k, algorithm="brute").fit(points[others], labels[others])
            _, nearest = model.kneighbors(points[[i]])
            counts = np.bincount(labels[others][nearest[0]], minlength=4)
            if (counts == counts.max()).sum() == 1:  # scikit-learn settles tied votes otherwise
                assert voted[i, column] == model.predict(points[[i]])[0]


def test_self_is_left_out_by_index_and_its_duplicate_is_not(way) -> None:
    points = np.array([[0.0, 0.0], [5.0, 5.0], [0.0, 0.0], [0.0, 0.0]])
    assert neighbours.neighbours_of_each(points, 3).tolist() == [[2, 3, 1], [0, 2, 3], [0, 3, 1], [0, 2, 1]]


def test_a_held_out_group_is_never_among_the_neighbours(way) -> None:
    rng = np.random.default_rng(1)
    points, held_out = rng.normal(size=(30, 2)), np.array([3, 4, 17])
    for row in neighbours.neighbours_without(points, held_out, held_out, 27):
        assert sorted(row.tolist()) == sorted(set(range(30)) - {3, 4, 17})


def clusters(rng: np.random.Generator, n: int, dims: int) -> np.ndarray:
    """Two clusters so narrow for their distance that float32 tells nothing apart inside them."""
    return 1e-7 * rng.normal(size=(n, dims)) + np.arange(n)[:, None] % 2


def outliers(rng: np.random.Generator, n: int, dims: int) -> np.ndarray:
    """Two points so far out that the squares of the others, scaled to their norms, underflow in float32.

    They come first, and cancel in the mean: the others would else be far from it too, as in `clusters`.
    """
    points = rng.normal(size=(n, dims))
    points[0] *= 1e21
    points[1] = -points[0]
    return points


def spread(rng: np.random.Generator, n: int, dims: int) -> np.ndarray:
    points = 10 ** rng.uniform(-3, 3, size=(n, 1)) * rng.normal(size=(n, dims)) + 1000
    points[n // 2 :: 2] = points[: n - n // 2 : 2]
    return points


@pytest.mark.parametrize("make", [clusters, outliers, spread])
@pytest.mark.parametrize(("way", "dims"), [("tree", 5), ("products", 5), ("products", 90)])
def test_candidates_lead_to_what_comparing_all_finds(way, dims, make, monkeypatch) -> None:
    rng = np.random.default_rng(dims)
    points, held_out = make(rng, 1500, dims), np.arange(0, 1500, 3)
    take("differences", monkeypatch)
    expected = neighbours.neighbours_without(points, held_out, held_out, 20), neighbours.neighbours_of_each(points, 5)
    take(way, monkeypatch)
    np.testing.assert_array_equal(neighbours.neighbours_without(points, held_out, held_out, 20), expected[0])
    np.testing.assert_array_equal(neighbours.neighbours_of_each(points, 5), expected[1])


@pytest.mark.parametrize(("way", "dims"), [("tree", 5), ("products", 64)])
def test_candidates_usually_suffice(way, dims, monkeypatch) -> None:
    """Wider bounds would find the same neighbours, only later."""
    compared = []
    squared_distances = neighbours._squared_distances

    def counted(queries, columns):
        if isinstance(columns, np.ndarray):  # all points, not candidates
            compared.append(len(queries))
        return squared_distances(queries, columns)

    take(way, monkeypatch)
    monkeypatch.setattr(neighbours, "_squared_distances", counted)
    neighbours.neighbours_of_each(np.random.default_rng(0).normal(size=(2000, dims)), 50)
    assert sum(compared) == 0


@pytest.mark.parametrize("way", WAYS)
def test_order_and_rotation_change_nothing(way, monkeypatch) -> None:
    take(way, monkeypatch)
    rng = np.random.default_rng(5)
    points, order = rng.normal(size=(300, 6)), rng.permutation(300)
    plain = neighbours.neighbours_of_each(points, 9)
    np.testing.assert_array_equal(order[neighbours.neighbours_of_each(points[order], 9)], plain[order])
    rotation = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    np.testing.assert_array_equal(neighbours.neighbours_of_each(points @ rotation, 9), plain)


@pytest.mark.parametrize("step", [0.0, 0.5])
def test_of_a_space_a_fold_they_are_those_of_each_space(step) -> None:
    spaces = np.random.default_rng(0).normal(size=(7, 3, 40))
    if step:
        spaces = np.round(spaces / step) * step  # many ties
    held_out = np.array([3, 3, 0, 39, 12, 8, 5])
    for k in (1, 6, 39):
        found = neighbours.neighbours_in_own_spaces(spaces, list(held_out[:, None]), list(held_out[:, None]), k)
        for space, row, some in zip(spaces, held_out, found, strict=True):
            others = [j for j in range(40) if j != row]
            assert some.tolist() == reference.nearest(space.T, row, others, k)


def test_distances_that_differ_in_the_last_bits_are_told_apart() -> None:
    space = np.array([[0.0, 1.0 + 2**-52, 1.0, 1.0 + 2**-51, 5.0]])
    assert neighbours.neighbours_in_own_spaces(space[None], [np.array([0])], [np.array([0])], 3).tolist() == [[2, 1, 3]]
    assert neighbours.neighbours_of_each(space.T, 3)[0].tolist() == [2, 1, 3]
