import numpy as np
import pytest

from lvm_probe import InputError
from lvm_probe.analysis import logistic
from lvm_probe.analysis.code_length import CurvePoint, code_length, joined_curves
from tests import reference_probes


def speech(n: int = 160, classes: int = 4, signal: float = 3.0, groups: int = 8, seed: int = 0):
    """Classes of uneven sizes that lie apart, and the group of every point."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.minimum(np.arange(n) % (classes + 1), classes - 1))
    points = rng.normal(size=(n, 5)) + signal * rng.normal(size=(classes, 5))[labels]
    return points, labels, rng.permutation(np.arange(n) % groups)


def test_the_code_is_what_a_receiver_computes_block_by_block(monkeypatch) -> None:
    """Each label by fits of plain gradient descent to the groups before it, in the orders that were drawn."""
    monkeypatch.setattr(logistic, "STRENGTHS", (0.1,))
    points, labels, groups = speech(60, 3, groups=6)
    labels = labels * 2 + 5
    found = code_length(points, labels, groups=groups, n_classes=4, orders=2, rng=np.random.default_rng(3))
    expected, shares = np.zeros(60), np.zeros(60)
    for place in orders():
        for begin, end in ((0, 1), (1, 2), (2, 4), (4, 6)):
            before, sent = place[groups] < begin, (begin <= place[groups]) & (place[groups] < end)
            if begin == 0:
                expected[sent] += 2  # log2 of four classes, one of which never occurs
                shares[sent] += 2
                continue
            names, scores = reference_probes.logistic_scores(points[before], labels[before], points[sent], 0.1)
            n, unseen = before.sum(), 4 - len(names)
            for i, row in zip(np.flatnonzero(sent), scores, strict=True):
                p = np.exp(row[names == labels[i]]).sum() * n / (n + unseen / 2)
                expected[i] -= np.log2(p or 0.5 / (n + unseen / 2))
                share = (labels[before] == labels[i]).sum() or 0.5
                shares[i] -= np.log2(share / (n + unseen / 2))
    # The fit of the probe stops at a gradient of 1e-6 of the mean loss, that of the oracle at 1e-7.
    np.testing.assert_allclose(found.bits, expected / 2, atol=1e-3)
    np.testing.assert_allclose(found.share_bits, shares / 2, atol=1e-12)
    assert found.uniform_bits == 2
    assert [(point.groups, point.n) for point in found.curve][:2] == [(0, 20), (1, 20)]
    assert sum(point.bits for point in found.curve) == pytest.approx(2 * found.bits.sum())


def orders() -> list[np.ndarray]:
    """The places of the six groups in two orders, half a turn apart."""
    place = np.random.default_rng(3).permutation(6)
    return [place, (place + 3) % 6]


@pytest.mark.parametrize("orders", [1, 3, 5, 12])
def test_no_group_comes_first_twice_before_every_group_has(orders) -> None:
    found = code_length(*speech(40, 2)[:2], groups=np.arange(40) % 5, orders=orders)
    first = np.isnan(found.accuracy).sum() / 8
    assert first == (orders == 1)  # the group that was never predicted
    assert found.curve[0].n == 8 * orders


def test_a_constant_feature_has_the_code_of_the_class_shares() -> None:
    _, labels, groups = speech()
    found = code_length(np.ones((160, 1)), labels, groups=groups)
    np.testing.assert_allclose(found.bits, found.share_bits, atol=1e-4)


def test_noise_has_no_shorter_code_than_the_class_shares_and_a_planted_signal_has() -> None:
    points, labels, groups = speech(400, signal=4)
    noise = code_length(np.random.default_rng(1).normal(size=points.shape), labels, groups=groups)
    signal = code_length(points, labels, groups=groups)
    assert 0.97 * noise.share_bits.sum() < noise.bits.sum() < 1.1 * noise.share_bits.sum()
    assert np.nanmean(noise.accuracy) < 0.5
    assert signal.bits.sum() < 0.5 * signal.share_bits.sum()
    assert np.nanmean(signal.accuracy) > 0.9
    first, *later = [point.bits / point.n for point in signal.curve]
    assert first == signal.uniform_bits
    assert later == sorted(later, reverse=True)


def test_what_takes_longer_to_learn_has_a_longer_code_at_the_same_final_accuracy() -> None:
    """The same classes beside many dimensions of noise; the probe gets both right in the end."""
    points, labels, groups = speech(600, signal=8, groups=40)
    hard = np.concatenate([points, 1.0 * np.random.default_rng(1).normal(size=(600, 60))], axis=1)
    easy, later = (code_length(p, labels, groups=groups, orders=2) for p in (points, hard))
    last = [code.curve[-1].right / code.curve[-1].n for code in (easy, later)]
    assert abs(last[0] - last[1]) < 0.05
    assert later.bits.sum() > 1.3 * easy.bits.sum()


def test_nothing_is_fitted_to_the_groups_and_prompts_that_are_sent(monkeypatch) -> None:
    points, labels, groups = speech()
    prompts = (np.arange(160) // 3) % 4
    tagged = np.column_stack([points, np.arange(160)])
    seen = []

    def spy(points, codes, others, size, strength):
        seen.append((points[:, -1].astype(int), others[:, -1].astype(int)))
        return logistic_fit(points, codes, others, size, strength)

    from lvm_probe.analysis import code_length as module

    logistic_fit = module.class_log_probabilities
    monkeypatch.setattr(module, "class_log_probabilities", spy)
    found = code_length(tagged, labels, groups=groups, prompts=prompts, orders=2)
    sizes: dict[int, list[int]] = {}
    for fitted, _ in seen:
        sizes.setdefault(len(set(groups[fitted])), []).append(len(fitted))
    assert {point.groups: point.fitted for point in found.curve} == {0: 0} | {n: np.mean(s) for n, s in sizes.items()}
    for fitted, sent in seen:
        assert not set(groups[fitted]) & set(groups[sent])
        assert not set(prompts[fitted]) & set(prompts[sent])
    assert {len(set(groups[fitted])) for fitted, _ in seen} <= {1, 2, 3, 4}  # of eight groups at most half
    assert {tuple(np.unique(prompts[sent])) for _, sent in seen} == {(0,), (1,), (2,), (3,)}


def test_the_order_of_rows_changes_nothing_and_single_points_are_groups_of_their_own() -> None:
    points, labels, groups = speech(80)
    order = np.random.default_rng(5).permutation(80)
    for how in (groups, None):
        plain = code_length(points, labels, groups=how)
        moved = code_length(points[order], labels[order], groups=None if how is None else how[order])
        np.testing.assert_allclose(moved.bits, plain.bits[order])
    assert [point.groups for point in plain.curve] == [0, 1, 2, 4, 8, 16, 32, 64]
    assert [point.n for point in plain.curve] == [3 * n for n in (1, 1, 2, 4, 8, 16, 32, 16)]


def test_curves_of_pools_add_up() -> None:
    last = CurvePoint(2, 8.0, 4, 1.0, 5.0, 4.0)
    short, long = (CurvePoint(1, 3.0, 2, 4.0, 5.0, 1.0),), (CurvePoint(1, 5.0, 4, 2.0, 5.0, 3.0), last)
    assert joined_curves([short, long]) == (CurvePoint(1, 4.0, 6, 6.0, 10.0, 4.0), last)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": np.zeros(160, dtype=int)}, "of one group"),
        ({"n_classes": 3}, "n_classes is 3, but 4 occur"),
        ({"orders": 0}, "orders is 0"),
        ({"match_dims": 0}, "match_dims is 0"),
    ],
)
def test_refusals(change, message) -> None:
    points, labels, groups = speech()
    with pytest.raises(InputError, match=message):
        code_length(points, labels, **{"groups": groups} | change)
