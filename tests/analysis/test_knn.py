import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from analysis import knn
from analysis.errors import InputError
from tests import reference


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(3, 25), dims=st.integers(1, 3), side=st.integers(1, 4))
def test_points_on_a_grid_with_all_their_ties_agree_with_the_loops(seed, n, dims, side) -> None:
    rng = np.random.default_rng(seed)
    points = rng.integers(side, size=(n, dims)).astype(float)
    labels = rng.integers(3, size=n)
    ks = list(range(1, n))
    voted = knn.vote(labels[knn.neighbours_without_each(points, n - 1)], 3, ks)
    for i in range(n):
        others = [j for j in range(n) if j != i]
        assert voted[i].tolist() == reference.judged_by_others(points, labels, i, others, ks)


def test_one_nearest_neighbour_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    points, labels = rng.normal(size=(80, 6)), rng.integers(4, size=80)
    voted = knn.vote(labels[knn.neighbours_without_each(points, 5)], 4, (1, 2, 3, 5))
    for i in range(80):
        others = np.delete(np.arange(80), i)
        for column, k in ((0, 1), (2, 3), (3, 5)):
            model = KNeighborsClassifier(k, algorithm="brute").fit(points[others], labels[others])
            _, nearest = model.kneighbors(points[[i]])
            counts = np.bincount(labels[others][nearest[0]], minlength=4)
            if (counts == counts.max()).sum() == 1:  # scikit-learn settles tied votes otherwise
                assert voted[i, column] == model.predict(points[[i]])[0]


def test_self_is_left_out_by_index_and_its_duplicate_is_not() -> None:
    points = np.array([[0.0, 0.0], [5.0, 5.0], [0.0, 0.0], [0.0, 0.0]])
    found = knn.neighbours_without_each(points, 3)
    assert found.tolist() == [[2, 3, 1], [0, 2, 3], [0, 3, 1], [0, 2, 1]]


def test_tied_votes_go_to_the_class_whose_nearest_member_is_closest() -> None:
    codes = np.array([[2, 1, 1, 2, 0]])
    # k=1: 2. k=2: 2 and 1 tie, 2 is nearer. k=3: 1. k=4: tie again, 2. k=5: still 2 against 1.
    assert knn.vote(codes, 3, (1, 2, 3, 4, 5)).tolist() == [[2, 2, 1, 2, 2]]
    assert knn.vote(codes, 3, (3, 1)).tolist() == [[1, 2]]


def test_a_held_out_group_is_never_among_the_neighbours() -> None:
    rng = np.random.default_rng(1)
    points, held_out = rng.normal(size=(30, 2)), np.array([3, 4, 17])
    found = knn.neighbours_without_group(points, held_out, 27)
    for row in found:
        assert sorted(row.tolist()) == sorted(set(range(30)) - {3, 4, 17})


def test_chunks_change_nothing(monkeypatch) -> None:
    rng = np.random.default_rng(2)
    points = rng.integers(4, size=(50, 2)).astype(float)
    whole = knn.neighbours_without_each(points, 7), knn.vote(rng.integers(3, size=(50, 7)), 3, (7,))
    monkeypatch.setattr(knn, "_NUMBERS_AT_ONCE", 120)
    rng = np.random.default_rng(2)
    rng.integers(4, size=(50, 2))
    pieces = knn.neighbours_without_each(points, 7), knn.vote(rng.integers(3, size=(50, 7)), 3, (7,))
    for a, b in zip(whole, pieces, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("ks", "says"),
    [((), "once"), ((3, 3), "once"), ((0, 1), "k = 0"), ((1, 10), "k = 10, .*use k up to 9")],
)
def test_ks_out_of_range_are_refused_with_the_cure(ks, says) -> None:
    with pytest.raises(InputError, match=says):
        knn.checked_ks(ks, 9)
