import numpy as np
import pytest

from lvm_probe import InputError
from lvm_probe.analysis import knn


def test_tied_votes_go_to_the_class_whose_nearest_member_is_closest() -> None:
    codes = np.array([[2, 1, 1, 2, 0]])
    # k=1: 2. k=2: 2 and 1 tie, 2 is nearer. k=3: 1. k=4: tie again, 2. k=5: still 2 against 1.
    assert knn.vote(codes, 3, (1, 2, 3, 4, 5)).tolist() == [[2, 2, 1, 2, 2]]
    assert knn.vote(codes, 3, (3, 1)).tolist() == [[1, 2]]


def test_chunks_change_no_vote(monkeypatch) -> None:
    codes = np.random.default_rng(2).integers(3, size=(50, 7))
    whole = knn.vote(codes, 3, (7, 2))
    monkeypatch.setattr(knn, "_NUMBERS_AT_ONCE", 20)
    np.testing.assert_array_equal(knn.vote(codes, 3, (7, 2)), whole)


@pytest.mark.parametrize(
    ("ks", "says"),
    [((), "once"), ((3, 3), "once"), ((0, 1), "k = 0"), ((1, 10), "k = 10, .*use k up to 9")],
)
def test_ks_out_of_range_are_refused_with_the_cure(ks, says) -> None:
    with pytest.raises(InputError, match=says):
        knn.checked_ks(ks, 9)
