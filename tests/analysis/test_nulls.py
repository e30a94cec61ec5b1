from functools import partial
from typing import Any

import numpy as np
import pytest

from lvm_probe import InputError
from lvm_probe.analysis.nulls import Null, permuted, permuted_null
from lvm_probe.analysis.protocols import classify, lda_classify


def points_of(labels: np.ndarray, dims: int = 6) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(len(labels), dims)) + 3 * rng.normal(size=(labels.max() + 1, dims))[labels]


def null_of(points: np.ndarray, labels: np.ndarray, rng: Any, rounds: int, probe: Any = classify, **how: Any) -> Null:
    asked = partial(probe, points, **how)
    return permuted_null(asked(labels), asked, rng=rng, rounds=rounds)


def test_shuffles_keep_what_they_promise() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat([4, 7, 9, 11], [3, 10, 20, 7])
    labels = rng.integers(5, size=40)
    plain = permuted(labels, shuffle="tokens", rng=rng)
    assert sorted(plain) == sorted(labels)
    inside = permuted(labels, shuffle="within-groups", groups=groups, rng=rng)
    assert (inside != labels).any()
    for g in np.unique(groups):
        assert sorted(inside[groups == g]) == sorted(labels[groups == g])
    attribute = np.repeat([0, 0, 1, 2], [3, 10, 20, 7])
    seen = set()
    for _ in range(300):
        across = permuted(attribute, shuffle="across-groups", groups=groups, rng=rng)
        each = [np.unique(across[groups == g]) for g in np.unique(groups)]
        assert [len(e) for e in each] == [1, 1, 1, 1]
        assert sorted(int(e[0]) for e in each) == [0, 0, 1, 2]
        seen.add(tuple(int(e[0]) for e in each))
    assert len(seen) == 12  # all arrangements


def test_shuffle_follows_protocol_and_target() -> None:
    labels, groups = np.arange(40) % 4, np.arange(40) // 8
    points = points_of(labels)
    rng = np.random.default_rng(0)
    usual = {"rng": rng, "rounds": 1, "lda_dims": 1, "ks": (1,), "groups": groups}
    assert null_of(points, labels, protocol="nested", **usual).shuffle == "tokens"
    assert null_of(points, labels, protocol="grouped", **usual).shuffle == "within-groups"
    for protocol in ("paper", "nested", "grouped"):
        assert null_of(points, groups % 2, protocol=protocol, **usual).shuffle == "across-groups"


@pytest.mark.parametrize("protocol", ["nested", "grouped"])
def test_the_null_of_a_strong_signal_is_near_chance(protocol) -> None:
    labels, groups = np.arange(80) % 4, np.arange(80) // 20
    points = points_of(labels)
    arguments = {"protocol": protocol, "lda_dims": 2, "ks": (1, 5), "groups": groups}
    assert (classify(points, labels, **arguments).accuracy > 0.9).all()
    null = null_of(points, labels, rng=np.random.default_rng(1), rounds=20, **arguments)
    assert null.accuracies.shape == (20, 2)
    # 1,600 guesses at a quarter have a standard deviation of 0.011, twice that where neighbours repeat.
    np.testing.assert_allclose(null.accuracy, 0.25, atol=0.1)


def test_the_null_of_paper_shows_its_leak() -> None:
    rng = np.random.default_rng(0)
    points, labels = rng.normal(size=(100, 60)), np.arange(100) % 4
    null = null_of(points, labels, rng=rng, rounds=3, protocol="paper", lda_dims=3, ks=(5,))
    assert null.accuracy[0] > 0.6


def test_without_lda_one_search_serves_all_rounds() -> None:
    labels, groups = np.arange(60) % 3, np.arange(60) // 12
    points = points_of(labels)
    for protocol in ("nested", "grouped"):
        arguments = {"protocol": protocol, "lda_dims": 0, "ks": (3, 7), "groups": groups}
        null = null_of(points, labels, rng=np.random.default_rng(5), rounds=4, **arguments)
        rng = np.random.default_rng(5)
        for accuracy in null.accuracies:
            relabelled = permuted(labels, shuffle=null.shuffle, groups=groups, rng=rng)
            np.testing.assert_array_equal(accuracy, classify(points, relabelled, **arguments).accuracy)


def test_each_group_has_its_share_of_the_null() -> None:
    labels, groups = np.arange(60) % 3, np.repeat([4, 2, 9], [30, 18, 12])
    arguments = {"rng": np.random.default_rng(5), "rounds": 4, "ks": (3, 7), "groups": groups}
    for dims in (0, 2):
        null = null_of(points_of(labels), labels, protocol="grouped", lda_dims=dims, **arguments)
        assert null.group_accuracies is not None
        sizes = [18, 30, 12]  # of 2, 4 and 9
        np.testing.assert_allclose(np.average(null.group_accuracies, axis=0, weights=sizes), null.accuracy)
    assert (
        null_of(points_of(labels), labels, rng=np.random.default_rng(5), rounds=1, lda_dims=2).group_accuracies is None
    )


def test_the_null_of_the_lda_classifier() -> None:
    labels = np.arange(60) % 3
    points = points_of(labels)
    null = null_of(points, labels, rng=np.random.default_rng(5), rounds=2, probe=lda_classify)
    rng = np.random.default_rng(5)
    expected = [lda_classify(points, rng.permutation(labels)).accuracy for _ in range(2)]
    assert null.ks == (0,)
    np.testing.assert_array_equal(null.accuracies, expected)


def test_refusals() -> None:
    labels, rng = np.arange(12) % 3, np.random.default_rng(0)
    with pytest.raises(InputError, match="rounds is 0"):
        null_of(points_of(labels), labels, rng=rng, rounds=0, lda_dims=1, ks=(1,))
    with pytest.raises(InputError, match="needs groups"):
        permuted(labels, shuffle="within-groups", rng=rng)
    with pytest.raises(InputError, match="several labels"):
        permuted(labels, shuffle="across-groups", groups=np.arange(12) // 3, rng=rng)
