import numpy as np
import pytest

from lvm_probe import InputError
from lvm_probe.analysis import abx as module
from lvm_probe.analysis.abx import abx
from tests import reference_probes


def tokens(n: int = 60, *, seed: int = 0, grid: bool = False):
    """Uneven classes and speakers; a class of one token, points given twice, and on a grid many equal distances."""
    rng = np.random.default_rng(seed)
    labels = rng.choice([3, 5, 8, 9], size=n, p=[0.5, 0.3, 0.15, 0.05])
    labels[7] = 11
    points = rng.integers(1, 4, size=(n, 2)).astype(float) if grid else rng.normal(size=(n, 3))
    points[4] = points[9] = points[20]
    return points, labels, rng.choice([2, 4, 7], size=n, p=[0.6, 0.3, 0.1]), rng.integers(2, size=n)


@pytest.mark.parametrize("mode", ["within", "across"])
@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize("grid", [False, True])
@pytest.mark.parametrize("in_context", [False, True])
def test_counts_are_those_of_every_triple(mode, distance, grid, in_context) -> None:
    points, labels, groups, contexts = tokens(grid=grid and distance == "euclidean", seed=int(grid))
    contexts = contexts if in_context else np.zeros_like(contexts)
    found = abx(points, labels, groups, contexts if in_context else None, mode=mode, distance=distance)
    cells = reference_probes.abx_triples(points, labels, groups, contexts, mode, distance)
    assert found.cells == len(cells)
    assert found.triples == sum(map(len, cells.values()))
    expected = np.full((3, 5, 5), np.nan)
    for (a, b, group), mean in reference_probes.abx_by_group(cells).items():
        expected[np.searchsorted([2, 4, 7], group), *np.searchsorted([3, 5, 8, 9, 11], [a, b])] = mean
    np.testing.assert_allclose(found.by_group, expected)
    assert found.error == pytest.approx(reference_probes.abx_error(cells))
    assert found.labels.tolist() == [3, 5, 8, 9, 11]
    assert np.isnan(np.diag(found.pairs)).all()


@pytest.mark.parametrize("mode", ["within", "across"])
def test_with_prompts_x_has_another_than_a_and_b(mode) -> None:
    points, labels, groups, contexts = tokens()
    prompts = np.random.default_rng(3).integers(3, size=len(labels))
    found = abx(points, labels, groups, prompts=prompts, mode=mode, distance="euclidean")
    cells = reference_probes.abx_triples(points, labels, groups, 0 * contexts, mode, "euclidean", prompts)
    assert found.triples == sum(map(len, cells.values()))
    assert found.error == pytest.approx(reference_probes.abx_error(cells))


def test_a_pair_needs_two_tokens_of_the_first_label_in_one_speaker() -> None:
    points = np.array([[0.0], [1.0], [5.0], [9.0]])
    found = abx(points, np.array([0, 0, 1, 2]), distance="euclidean")
    assert (~np.isnan(found.pairs)).tolist() == [[False, True, True], [False] * 3, [False] * 3]
    assert found.triples == 4
    assert found.error == 0
    across = abx(points, np.array([0, 0, 1, 2]), np.array([0, 1, 0, 1]), mode="across", distance="euclidean")
    assert across.triples == 2  # 0 or 1 as A beside 5 or 9 as B, X the other


@pytest.mark.parametrize("mode", ["within", "across"])
def test_noise_is_at_a_half_whatever_the_shares(mode) -> None:
    rng = np.random.default_rng(0)
    labels, groups = rng.choice(6, size=1200, p=[0.4, 0.3, 0.1, 0.1, 0.05, 0.05]), np.arange(1200) % 12
    found = abx(rng.normal(size=(1200, 64)), labels, groups, mode=mode)
    spread = found.group_errors.std(ddof=1) / np.sqrt(12)
    # The speakers are independent, so that their mean lies within 4.44 errors (t of 11, 999 in 1000) of chance.
    assert abs(found.group_errors.mean() - 0.5) < 4.44 * spread
    assert abs(found.error - 0.5) < 0.02


def test_equal_points_are_at_a_half_and_separated_ones_at_zero() -> None:
    labels, groups = np.arange(40) % 4, np.arange(40) // 20
    assert abx(np.ones((40, 3)), labels, groups).error == 0.5
    apart = np.eye(4)[labels] + 0.01 * np.random.default_rng(0).normal(size=(40, 4))
    for mode in ("within", "across"):
        for distance in ("cosine", "euclidean"):
            assert abx(apart, labels, groups, mode=mode, distance=distance).error == 0


def test_order_rotation_and_scale() -> None:
    points, labels, groups, contexts = tokens()
    rng = np.random.default_rng(5)
    order, rotation = rng.permutation(60), np.linalg.qr(rng.normal(size=(3, 3)))[0]
    for distance in ("cosine", "euclidean"):
        for mode in ("within", "across"):
            plain = abx(points, labels, groups, contexts, mode=mode, distance=distance)
            moved = abx(points[order], labels[order], groups[order], contexts[order], mode=mode, distance=distance)
            np.testing.assert_allclose(moved.by_group, plain.by_group)
            # A power of two changes no digits, so that the ties of equal points stay ties.
            larger = abx(points * 8, labels, groups, contexts, mode=mode, distance=distance)
            np.testing.assert_array_equal(larger.by_group, plain.by_group)
            turned = abx(points @ rotation, labels, groups, contexts, mode=mode, distance=distance)
            np.testing.assert_allclose(turned.by_group, plain.by_group)
    lengths = rng.uniform(0.5, 2, size=(60, 1))
    lengths[[4, 9]] = lengths[20]
    np.testing.assert_allclose(
        abx(points * lengths, labels, groups).by_group, abx(points, labels, groups).by_group
    )  # cosine ignores lengths


def test_chunks_change_nothing(monkeypatch) -> None:
    points, labels, groups, _ = tokens()
    whole = abx(points, labels, groups, mode="across")
    monkeypatch.setattr(module, "_NUMBERS_AT_ONCE", 100)
    np.testing.assert_allclose(abx(points, labels, groups, mode="across").by_group, whole.by_group)


@pytest.mark.parametrize(
    ("change", "arguments", "says"),
    [
        ("zero", {}, "point 3 is the zero vector, .*use euclidean"),
        ("", {"mode": "across", "groups": None}, "found one speaker"),
        ("", {"contexts": np.arange(60)}, "no triples"),
        ("attribute", {}, "no triples: .*varies within speakers"),
    ],
)
def test_requests_that_cannot_be_met_are_refused_with_the_cure(change, arguments, says) -> None:
    points, labels, groups, _ = tokens()
    if change == "zero":
        points[3] = 0
    if change == "attribute":
        labels = groups
    with pytest.raises(InputError, match=says):
        abx(points, labels, **{"groups": groups, **arguments})


@pytest.mark.parametrize("mode", ["within", "across"])
def test_the_error_without_a_speaker_is_that_of_the_others(mode) -> None:
    rng = np.random.default_rng(5)
    points, labels, groups = rng.normal(size=(60, 4)), rng.integers(3, size=60), rng.integers(4, size=60)
    whole = abx(points, labels, groups, mode=mode)
    for place, speaker in enumerate(whole.groups):
        others = groups != speaker
        alone = abx(points[others], labels[others], groups[others], mode=mode)
        assert whole.error_without[place] == pytest.approx(alone.error, rel=1e-12)


def test_without_the_only_speaker_there_is_no_error() -> None:
    points, labels = np.random.default_rng(6).normal(size=(8, 2)), np.arange(8) % 2
    assert np.isnan(abx(points, labels).error_without).all()
