import itertools

import numpy as np
import pytest
from scipy import stats

from benchmarks import coverage
from lvm_probe.analysis.statistics import (
    Jackknife,
    group_means,
    holm,
    independent_difference,
    independent_interval,
    mean_interval,
    paired_difference,
    share_interval,
)


def test_group_means_by_hand() -> None:
    values = np.array([[True, False], [False, False], [True, True]])
    means = group_means(values, np.array([9, 9, 4]))
    np.testing.assert_array_equal(means, [[1, 1], [0.5, 0]])


def test_the_jackknife_leaves_out_whole_groups() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat([8, 3, 5, 4], [2, 5, 1, 9])
    values = rng.normal(size=(17, 2))
    mean = Jackknife.of_means(values, groups)
    np.testing.assert_allclose(mean.value, values.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(mean.without, [values[groups != g].mean(axis=0) for g in (3, 4, 5, 8)], rtol=1e-13)
    assert mean.weights.tolist() == [5, 9, 1, 2]


def test_ratios_are_of_sums_over_groups() -> None:
    above, below = np.array([[2.0, 5.0], [4.0, 5.0], [0.0, 0.0]]), np.array([[1.0, 1.0], [2.0, 5.0], [0.0, 4.0]])
    rates = Jackknife.of_ratios(above, below)
    np.testing.assert_allclose(rates.value, [2, 1])
    np.testing.assert_allclose(rates.without, [[2, 5 / 9], [2, 1], [2, 10 / 6]])
    times = rates.map(lambda rows: rows[:, :1] * rows[:, 1:])
    np.testing.assert_allclose(times.without.ravel(), rates.without.prod(axis=1))
    assert np.isnan(Jackknife.of_ratios(np.zeros((3, 1)), np.zeros((3, 1))).value).all()


def test_groups_of_equal_size_have_students_interval() -> None:
    """Then the mean is that of the groups' means, and the jackknife's variance is theirs."""
    groups, values = np.repeat(np.arange(6), 4), np.random.default_rng(1).normal(size=(24, 3))
    by_group = group_means(values, groups)
    statistic = Jackknife.of_means(values, groups)
    interval = mean_interval(statistic)
    for column in range(3):
        known = stats.ttest_1samp(by_group[:, column], 0)
        low, high = known.confidence_interval(0.95)
        assert interval.low[column] == pytest.approx(low, rel=1e-12)
        assert interval.high[column] == pytest.approx(high, rel=1e-12)
        zero = Jackknife.of_means(np.zeros((24, 3)), groups)
        assert paired_difference(statistic, zero).p_value[column] == pytest.approx(known.pvalue, rel=1e-9)


def test_shared_training_doubles_the_variance_of_many_groups() -> None:
    """Nadeau and Bengio: 1 + J n_test / n_train, J groups of which each in turn is held out."""
    statistic = Jackknife.of_means(np.random.default_rng(2).normal(size=(28, 1)), np.arange(28) // 2)
    ratio = statistic.variance(shared_training=True) / statistic.variance()
    assert ratio[0] == pytest.approx(1 + 14 * (1 / 13))
    wide, narrow = share_of(statistic, True), share_of(statistic, False)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def share_of(statistic: Jackknife, shared: bool) -> tuple[float, float]:
    interval = mean_interval(statistic, shared_training=shared)
    return float(interval.low[0]), float(interval.high[0])


def test_a_group_that_outweighs_the_others_leaves_fewer_degrees() -> None:
    """Kish's effective number: 3 of 10 + 1 + 1, (12)² / 102 = 1.41, and at least one degree."""
    ones = np.ones((12, 1))
    assert Jackknife.of_means(ones, np.repeat(np.arange(3), 4)).degrees == pytest.approx(2)
    assert Jackknife.of_means(ones, np.repeat(np.arange(3), [10, 1, 1])).degrees == 1
    assert Jackknife.of_means(ones, np.repeat(np.arange(4), [4, 4, 2, 2])).degrees == pytest.approx(144 / 40 - 1)


def test_two_groups_have_no_interval_and_no_test() -> None:
    statistic = Jackknife.of_means(np.random.default_rng(3).random((20, 2)) < 0.5, np.arange(20) // 10)
    interval, gap = share_interval(statistic), paired_difference(statistic, statistic)
    for values in (interval.low, interval.high, gap.low, gap.high, gap.p_value, gap.effect):
        assert np.isnan(values).all()


@pytest.mark.parametrize("right", [0, 1])
def test_speakers_who_all_succeed_still_have_an_interval(right) -> None:
    """All that is known is that each speaker did: Wilson's interval for as many rows as speakers."""
    statistic = Jackknife.of_means(np.full((60, 1), right, dtype=bool), np.arange(60) // 10)
    interval = share_interval(statistic)
    t2 = stats.t.isf(0.025, 5) ** 2
    width = t2 / (6 + t2)
    assert [interval.low[0], interval.high[0]] == pytest.approx([0, width] if right == 0 else [1 - width, 1])


def test_equal_shares_of_all_speakers_do_not_make_an_interval_of_no_width() -> None:
    statistic = Jackknife.of_means(np.arange(60)[:, None] % 5 > 0, np.arange(60) // 10)
    interval = share_interval(statistic)
    assert interval.low[0] < 0.6 < 0.8 < 0.9 < interval.high[0]


def test_a_share_in_the_middle_has_nearly_students_interval() -> None:
    rng = np.random.default_rng(4)
    statistic = Jackknife.of_means(rng.random((40_000, 1)) < 0.5, np.arange(40_000) // 1000)
    share, plain = share_interval(statistic), mean_interval(statistic)
    # The two differ by the square of the half width, some 0.005².
    assert share.low[0] == pytest.approx(plain.low[0], abs=1e-4)
    assert share.high[0] == pytest.approx(plain.high[0], abs=1e-4)


@pytest.mark.parametrize("n", [3, 14, 500])
def test_independent_rows_have_wilsons_interval(n) -> None:
    for right in (0, 1, n // 2, n - 1, n):
        interval = independent_interval(np.arange(n)[:, None] < right)
        known = stats.binomtest(right, n).proportion_ci(0.95, method="wilson")
        assert [interval.low[0], interval.high[0]] == pytest.approx([known.low, known.high], abs=1e-12)
    assert np.isnan(independent_interval(np.ones((2, 1), dtype=bool)).low).all()


def test_paired_rows_are_compared_where_they_differ() -> None:
    """McNemar's exact test is a sign test of the rows that one probe alone got right."""
    ours = np.array([1, 1, 1, 1, 1, 1, 1, 0, 0, 1], dtype=bool)[:, None]
    theirs = np.array([1, 0, 0, 0, 0, 0, 0, 1, 0, 0], dtype=bool)[:, None]
    gap = independent_difference(ours, theirs)
    assert gap.mean[0] == pytest.approx(0.6)
    assert gap.p_value[0] == pytest.approx(stats.binomtest(7, 8).pvalue)
    above, below, n = 8 / 12, 2 / 12, 12  # Bonett and Price: one row more on either side
    half = 1.959964 * np.sqrt((above + below - (above - below) ** 2) / n)
    assert [gap.low[0], gap.high[0]] == pytest.approx([above - below - half, above - below + half], abs=1e-6)
    same = independent_difference(ours, ours)
    assert same.p_value[0] == 1
    assert same.low[0] < 0 < same.high[0]
    assert np.isnan(same.effect[0])


def test_the_effect_is_in_standard_deviations_between_groups() -> None:
    gaps = np.array([0.01, 0.05, 0.03, 0.02, 0.04])
    groups = np.arange(5)
    effect = paired_difference(
        Jackknife.of_means(gaps[:, None], groups), Jackknife.of_means(np.zeros((5, 1)), groups)
    ).effect
    assert effect[0] == pytest.approx(gaps.mean() / gaps.std(ddof=1) * (1 - 3 / 15))


def test_equal_differences_in_all_groups_are_certain_and_none_at_all_is_nothing() -> None:
    groups = np.arange(4)
    ones, zeros = (Jackknife.of_means(np.full((4, 1), value), groups) for value in (1.0, 0.0))
    assert paired_difference(ones, zeros).p_value[0] == 0
    assert paired_difference(ones, ones).p_value[0] == 1


def test_holm_by_hand_and_against_all_orders() -> None:
    p_values = [0.01, 0.04, 0.03, 0.005]
    known = dict(zip(p_values, [0.03, 0.06, 0.06, 0.02], strict=True))  # Holm 1979: 4, 3, 2, 1 times, never falling
    for order in itertools.permutations(p_values):
        np.testing.assert_allclose(holm(order), [known[p] for p in order])
    assert holm([0.6, 0.7]).tolist() == [1.0, 1.0]
    np.testing.assert_array_equal(holm([np.nan, 0.04]), [np.nan, 0.04])
    assert holm([]).shape == (0,)


CASES = {case.name: case for case in coverage.cases()}


@pytest.mark.parametrize(
    ("name", "rounds"),
    [
        ("3 speakers, equal, accuracy 0.6", 400),
        ("7 speakers, unequal, accuracy 0.6", 400),
        ("14 speakers, unequal, accuracy 0.9", 400),
        ("14 rows, each a speaker, accuracy 0.9", 400),
        ("ABX across, 5 speakers", 150),
        ("14 speakers held out, 10 dimensions, voices 1.0, accents 0.5", 60),
    ],
)
def test_intervals_cover_and_tests_do_not_reject_too_often(name, rounds) -> None:
    """A small part of `benchmarks/coverage.py`; the seed is fixed, so this cannot fail by chance."""
    rates = coverage.simulate(CASES[name], rounds)
    error = np.sqrt(0.05 * 0.95 / rounds)
    assert rates.covers > 0.95 - 2.5 * error  # 2.5 standard errors of the simulation
    assert rates.difference_covers > 0.95 - 2.5 * error
    assert rates.rejects < 0.05 + 2.5 * error
    assert rates.empty == 0
