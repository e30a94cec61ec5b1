import itertools

import numpy as np
import pytest
from scipy.stats import binom

from lvm_probe import InputError
from lvm_probe.analysis import statistics
from lvm_probe.analysis.statistics import (
    cluster_bootstrap_interval,
    group_means,
    sign_flip_test,
    token_bootstrap_interval,
)


@pytest.mark.parametrize("n", [2, 3, 7, 400])
def test_the_token_bootstrap_has_the_binomials_quantiles(n, monkeypatch) -> None:
    """A resampled count of right answers is binomial."""
    right = np.unique([0, 1, n // 4, n // 2, n - 1, n])
    correct = np.arange(n)[:, None] < right
    for level in (0.5, 0.95):
        interval = token_bootstrap_interval(correct, level=level)
        for end, tail in ((interval.low, (1 - level) / 2), (interval.high, (1 + level) / 2)):
            np.testing.assert_allclose(end, binom.ppf(tail, n, right / n) / n, rtol=1e-14)
    monkeypatch.setattr(statistics, "_NUMBERS_AT_ONCE", 3)  # one count after another
    np.testing.assert_array_equal(token_bootstrap_interval(correct).low, binom.ppf(0.025, n, right / n) / n)


def test_the_token_bootstrap_of_very_many() -> None:
    n = 200_000
    interval = token_bootstrap_interval((np.arange(n) < 70_000)[:, None])
    assert interval.low[0] * n == binom.ppf(0.025, n, 0.35)
    assert interval.high[0] * n == binom.ppf(0.975, n, 0.35)


def test_the_token_bootstrap_is_that_of_groups_of_one() -> None:
    correct = np.arange(300)[:, None] < 100
    tokens = token_bootstrap_interval(correct)
    groups = cluster_bootstrap_interval(correct, np.arange(300), rng=np.random.default_rng(0), resamples=4000)
    # The 2.5 % point of 4,000 draws has a standard error of 0.042 deviations (0.0011): four of them and one step.
    np.testing.assert_allclose([groups.low, groups.high], [tokens.low, tokens.high], atol=0.008)


def test_groups_are_drawn_whole(monkeypatch) -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat([3, 5, 8], [2, 5, 1])
    values = rng.normal(size=(8, 1))
    monkeypatch.setattr(statistics, "_DRAWS_AT_ONCE", 3 * 7)  # seven resamples a chunk
    interval = cluster_bootstrap_interval(values, groups, rng=rng, level=0.999, resamples=2000)
    means = []
    for drawn in itertools.product([3, 5, 8], repeat=3):  # all 27 resamples there are
        pooled = np.concatenate([values[groups == g] for g in drawn])
        means.append(pooled.mean())
    # Each extreme has one chance in 27 a draw, so 2,000 draws reach beyond its 0.05 % point; rounding apart.
    assert interval.low[0] == pytest.approx(min(means), rel=1e-12)
    assert interval.high[0] == pytest.approx(max(means), rel=1e-12)


def test_speakers_that_differ_widen_the_interval() -> None:
    groups = np.arange(200) // 20
    correct = (groups < 5)[:, None]
    tokens = token_bootstrap_interval(correct)
    speakers = cluster_bootstrap_interval(correct, groups, rng=np.random.default_rng(0))
    assert speakers.high[0] - speakers.low[0] > 3 * (tokens.high[0] - tokens.low[0])


def test_group_means_by_hand() -> None:
    values = np.array([[True, False], [False, False], [True, True]])
    means = group_means(values, np.array([9, 9, 4]))
    np.testing.assert_array_equal(means, [[1, 1], [0.5, 0]])


@pytest.mark.parametrize("n", [1, 5, 9])
def test_sign_flips_are_enumerated(n) -> None:
    differences = np.random.default_rng(n).normal(0.5, size=(n, 3))
    result = sign_flip_test(differences, rng=np.random.default_rng(0))
    assert result.exact
    np.testing.assert_array_equal(result.mean, differences.mean(axis=0))
    flips = list(itertools.product([1, -1], repeat=n))
    for test, column in enumerate(differences.T):
        observed = abs(sum(column))
        extreme = [abs(np.dot(f, column)) >= observed - 1e-9 for f in flips]  # ties, rounding apart
        assert result.p_value[test] == sum(extreme) / len(flips)


def test_fourteen_speakers_who_agree_are_as_sure_as_can_be() -> None:
    result = sign_flip_test(np.linspace(0.01, 0.1, 14)[:, None], rng=np.random.default_rng(0))
    assert result.exact
    assert result.mean.tolist() == [np.linspace(0.01, 0.1, 14).mean()]
    assert result.p_value.tolist() == [2 / 2**14]


def test_drawn_flips_agree_with_enumerated_ones() -> None:
    differences = np.append(np.random.default_rng(0).normal(0.4, size=14), 0.0)[:, None]  # a zero changes nothing
    exact = sign_flip_test(differences[:14], rng=np.random.default_rng(0))
    drawn = sign_flip_test(differences, rng=np.random.default_rng(0), rounds=20_000)
    assert exact.exact
    assert not drawn.exact
    # Five standard errors of a fraction among 20,000 draws.
    error = np.sqrt(exact.p_value * (1 - exact.p_value) / 20_000)
    np.testing.assert_allclose(drawn.p_value, exact.p_value, rtol=0, atol=float(5 * error[0]))


def test_no_differences_at_all_mean_nothing() -> None:
    assert sign_flip_test(np.zeros((6, 1)), rng=np.random.default_rng(0)).p_value == 1.0


def test_refusals() -> None:
    rng, values = np.random.default_rng(0), np.ones((4, 1))
    with pytest.raises(InputError, match="1 unit to resample"):
        cluster_bootstrap_interval(values, np.zeros(4, dtype=int), rng=rng)
    with pytest.raises(InputError, match=r"level is 95"):
        token_bootstrap_interval(values > 0, level=95.0)
    with pytest.raises(InputError, match="1 unit to resample"):
        token_bootstrap_interval(values[:1] > 0)
    with pytest.raises(InputError, match="resamples is 0"):
        cluster_bootstrap_interval(values, np.arange(4), rng=rng, resamples=0)
    with pytest.raises(InputError, match="one finite number per speaker"):
        sign_flip_test(np.array([[0.1], [np.nan]]), rng=rng)
    with pytest.raises(InputError, match="one finite number per speaker"):
        sign_flip_test(np.empty((0, 1)), rng=rng)
