import math

import numpy as np
import pytest

from lvm_probe import InputError
from lvm_probe.analysis.autocorrelation import autocorrelation, decay_time, integrated_time, lagged_products, pairs


def autoregression(rho: float, steps: int, rng: np.random.Generator) -> np.ndarray:
    """x(t) = rho x(t - 1) + noise, of variance one from the first step on; its autocorrelation is rho^k."""
    noise = rng.normal(size=steps) * math.sqrt(1 - rho**2)
    noise[0] /= math.sqrt(1 - rho**2)
    series = np.empty(steps)
    last = 0.0
    for t in range(steps):
        last = series[t] = rho * last + noise[t]
    return series


def of_series(series: np.ndarray, lags: int) -> np.ndarray:
    return autocorrelation(lagged_products(series, lags), pairs(len(series), lags)[:, None])


@pytest.mark.parametrize(("steps", "lags"), [(1, 1), (5, 3), (17, 17), (17, 40), (64, 5)])
def test_lagged_products_are_those_of_loops(steps: int, lags: int) -> None:
    series = np.random.default_rng(0).normal(3, 1, (steps, 2))
    expected = np.zeros((lags, 2))
    deviation = series - series.mean(0)
    for k in range(lags):
        for t in range(steps - k):
            expected[k] += deviation[t] * deviation[t + k]
    # Double precision through a Fourier transform of some tens of numbers.
    np.testing.assert_allclose(lagged_products(series, lags), expected, atol=1e-12)
    assert pairs(steps, lags).tolist() == [len(range(steps - k)) for k in range(lags)]


@pytest.mark.parametrize("rho", [0.3, 0.9, 0.98])
def test_known_autocorrelations_give_their_times(rho: float) -> None:
    lags = 2000
    exact = (rho ** np.arange(lags))[:, None]
    window = next(w for w in range(1, lags) if w >= 5 * (0.5 + sum(rho**k for k in range(1, w + 1))))
    np.testing.assert_allclose(integrated_time(exact), 0.5 + rho * (1 - rho**window) / (1 - rho), rtol=1e-12)
    # Without a window it is the textbook's; five times in, exp(-5) of the tail is missing.
    assert integrated_time(exact)[0] == pytest.approx((1 + rho) / (1 - rho) / 2, rel=0.01)
    k = math.floor(-1 / math.log(rho))
    line = k + (rho**k - 1 / math.e) / (rho**k - rho ** (k + 1))
    np.testing.assert_allclose(decay_time(exact), line, rtol=1e-12)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_a_first_order_autoregression_has_its_time(rho: float) -> None:
    series = np.stack([autoregression(rho, 100_000, np.random.default_rng(seed)) for seed in range(4)], 1)
    found = of_series(series, 400)
    truth = (1 + rho) / (1 - rho) / 2
    # Sokal's error of tau is tau sqrt(2 (2 W + 1) / T) with W = 5 tau: 4.5 % at rho = 0.9; the mean of four has half.
    assert integrated_time(found).mean() == pytest.approx(truth, rel=0.09)
    if rho:
        assert decay_time(found).mean() == pytest.approx(-1 / math.log(rho), rel=0.1)
    else:
        assert decay_time(found).mean() == pytest.approx(1 - 1 / math.e, abs=0.02)  # on the line from 1 to 0


def test_recordings_add_up_and_their_own_means_lower_it_a_little() -> None:
    rho, steps, lags = 0.9, 200, 100
    rng = np.random.default_rng(1)
    recordings = [autoregression(rho, steps, rng)[:, None] + rng.normal(0, 100) for _ in range(500)]
    products = sum(lagged_products(series, lags) for series in recordings)
    found = integrated_time(autocorrelation(np.asarray(products), 500 * pairs(steps, lags)[:, None]))[0]
    truth = (1 + rho) / (1 - rho) / 2
    # 9.5 steps in 200: each recording's own mean takes about 2 tau / T = 10 % off at every lag of the 50 in the window.
    assert 0.6 * truth < found < truth


def test_what_is_not_known_is_not_a_number() -> None:
    constant = np.full((30, 1), 0.1)
    assert np.isnan(integrated_time(of_series(constant, 10))).all()
    assert np.isnan(decay_time(of_series(constant, 10))).all()
    slow = np.ones((20, 1))  # correlated at every lag: no window is long enough
    assert np.isnan(integrated_time(slow)).all()
    assert np.isnan(decay_time(slow)).all()
    assert np.isnan(integrated_time(np.ones((1, 2)))).tolist() == [True, True]
    assert np.isnan(of_series(np.arange(3.0)[:, None], 5)[3:]).all()
    with pytest.raises(InputError, match="0 lags"):
        lagged_products(constant, 0)
