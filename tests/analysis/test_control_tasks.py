import numpy as np
import pytest

from lvm_probe import InputError
from lvm_probe.analysis.control_tasks import control_accuracy, control_labels
from lvm_probe.analysis.protocols import classify


def test_a_type_has_one_label_of_the_shares_of_the_tokens() -> None:
    rng = np.random.default_rng(0)
    labels, types = rng.choice([2, 5, 9], size=5000, p=[0.6, 0.3, 0.1]), rng.integers(1000, size=5000) * 3
    drawn = control_labels(labels, types, rng=np.random.default_rng(1))
    for some in np.unique(types)[:50]:
        assert len(np.unique(drawn[types == some])) == 1
    # 1,000 types: the standard deviation of a share is at most 0.016, of its tokens' a little more.
    shares = [(drawn == c).mean() for c in (2, 5, 9)]
    np.testing.assert_allclose(shares, [0.6, 0.3, 0.1], atol=0.06)
    np.testing.assert_array_equal(drawn, control_labels(labels, types, rng=np.random.default_rng(1)))
    assert (drawn != control_labels(labels, types, rng=np.random.default_rng(2))).any()


def test_an_attribute_keeps_its_counts_among_the_types() -> None:
    speakers = np.repeat([4, 6, 7, 9, 12], [3, 1, 4, 2, 2])
    gender = np.repeat([0, 0, 0, 1, 1], [3, 1, 4, 2, 2])
    seen = set()
    rng = np.random.default_rng(0)
    for _ in range(200):
        drawn = control_labels(gender, speakers, rng=rng)
        each = [np.unique(drawn[speakers == s]) for s in np.unique(speakers)]
        assert [len(e) for e in each] == [1] * 5
        assert sorted(int(e[0]) for e in each) == [0, 0, 0, 1, 1]
        seen.add(tuple(int(e[0]) for e in each))
    assert len(seen) == 10  # all arrangements


def test_a_rare_class_is_drawn_again_until_there_are_two() -> None:
    labels, types = np.array([0] * 99 + [1]), np.arange(100) % 2
    for seed in range(20):
        assert len(np.unique(control_labels(labels, types, rng=np.random.default_rng(seed)))) == 2


def test_a_probe_that_remembers_types_is_not_selective_and_one_that_reads_is() -> None:
    rng = np.random.default_rng(0)
    types = np.arange(300) % 60
    labels = types % 4
    label_is_read = 6 * np.eye(4)[labels] + rng.normal(size=(300, 4))
    types_are_remembered = rng.normal(size=(60, 20))[types]  # every token of a type is the same point
    accuracies = {}
    for name, points in (("read", label_is_read), ("remembered", types_are_remembered)):

        def probe(some_labels: np.ndarray, points: np.ndarray = points):
            return classify(points, some_labels, protocol="paper", lda_dims=0, ks=(1, 3))

        control = control_accuracy(labels, types, probe, rng=rng, rounds=5)
        assert control.ks == (1, 3)
        assert control.accuracies.shape == (5, 2)
        np.testing.assert_allclose(control.accuracy, control.accuracies.mean(axis=0))
        accuracies[name] = probe(labels).accuracy[0], control.accuracy[0]
    assert accuracies["remembered"] == (1.0, 1.0)
    assert accuracies["read"][0] > 0.95
    assert accuracies["read"][1] < 0.5


@pytest.mark.parametrize(
    ("labels", "types", "rounds", "says"),
    [
        ([0, 1, 1], [3, 3, 3], 1, "1 types and 2 classes"),
        ([1, 1, 1], [1, 2, 3], 1, "3 types and 1 classes"),
        ([0, 1, 1], [1, 2, 3], 0, "rounds is 0"),
    ],
)
def test_refusals(labels, types, rounds, says) -> None:
    with pytest.raises(InputError, match=says):
        control_accuracy(
            np.array(labels),
            np.array(types),
            lambda _: pytest.fail("nothing to probe"),
            rng=np.random.default_rng(0),
            rounds=rounds,
        )
