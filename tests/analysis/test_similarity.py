import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.cross_decomposition import CCA

from lvm_probe import InputError
from lvm_probe.analysis.shape_distance import shape_distance
from lvm_probe.analysis.similarity import (
    biased_cka,
    cka_over_groups,
    distances,
    held_out_pwcca,
    rsa,
    rsa_over_groups,
    unbiased_cka,
)


def pair(n: int = 120, shared: int = 3, dims: tuple[int, int] = (8, 5), noise: float = 0.3, seed: int = 0):
    """Two representations of the same few dimensions, and the speaker of every token."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, shared))
    x, y = (common @ rng.normal(size=(shared, d)) + noise * rng.normal(size=(n, d)) for d in dims)
    return x, y, np.arange(n) % 6


def independent(n: int, dims: int, seed: int):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, dims)), rng.normal(size=(n, dims)), np.arange(n) % 8


def song(x: np.ndarray, y: np.ndarray) -> float:
    """HSIC as Song et al. write it, over all tuples of four different tokens."""
    k, l = x @ x.T, y @ y.T
    n, total = len(x), 0.0
    for i in range(n):
        for j in range(n):
            for q in range(n):
                for r in range(n):
                    if len({i, j, q, r}) == 4:
                        total += k[i, j] * (l[i, j] + l[q, r] - 2 * l[i, q])
    return total / (n * (n - 1) * (n - 2) * (n - 3))


def test_unbiased_cka_is_a_mean_over_four_different_tokens() -> None:
    x, y, _ = pair(9)
    expected = song(x, y) / np.sqrt(song(x, x) * song(y, y))
    assert unbiased_cka(x, y) == pytest.approx(expected, rel=1e-10)


def test_biased_cka_grows_with_few_tokens_and_the_unbiased_does_not() -> None:
    """At the sizes and values of the documentation: Gaussian noise of as many dimensions as make 0.198 and 0.029."""
    for n, dims, expected in ((32, 8, 0.198), (256, 8, 0.029)):
        some = [independent(n, dims, seed) for seed in range(100)]
        assert np.mean([biased_cka(x, y) for x, y, _ in some]) == pytest.approx(expected, abs=0.012)
        unbiased = [unbiased_cka(x, y) for x, y, _ in some]
        assert abs(np.mean(unbiased)) < 4 * np.std(unbiased) / np.sqrt(100)


def test_what_changes_cka_and_what_does_not() -> None:
    x, y, groups = pair()
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))[0]
    assert unbiased_cka(3 * x @ rotation + 1, y) == pytest.approx(unbiased_cka(x, y))
    assert unbiased_cka(x, x) == pytest.approx(1)
    assert 0.3 < unbiased_cka(x, y) < 1
    assert np.isnan(unbiased_cka(np.ones((10, 2)), x[:10]))
    found = cka_over_groups(x, y, groups)
    assert found.without[2, 0] == unbiased_cka(x[groups != 2], y[groups != 2])
    with pytest.raises(InputError, match="3 tokens; the unbiased estimator needs 4"):
        unbiased_cka(x[:3], y[:3])


def test_held_out_pwcca_is_that_of_plain_cca_on_the_other_groups(monkeypatch) -> None:
    monkeypatch.setattr("lvm_probe.analysis.similarity.KEPT_VARIANCE", 1.0)
    x, y, groups = pair(dims=(4, 3))
    found = held_out_pwcca(x, y, groups)
    expected, sizes = [], []
    for g in range(6):
        train, test = groups != g, groups == g
        # Features are standardised over all tokens first: weights depend on their scale, canonical directions do not.
        a, b = ((p - p.mean(axis=0)) / p.std(axis=0) for p in (x, y))
        cca = CCA(n_components=3, scale=False, max_iter=5000, tol=1e-12).fit(a[train], b[train])
        h, k = cca.transform(a[train], b[train])
        judged = cca.transform(a[test], b[test])
        rho = [np.corrcoef(judged[0][:, i], judged[1][:, i])[0, 1] for i in range(3)]
        weights = [
            np.abs((v / np.linalg.norm(v, axis=0)).T @ (p[train] - p[train].mean(axis=0))).sum(axis=1)
            for v, p in ((h, a), (k, b))
        ]
        expected.append(np.mean([np.average(rho, weights=w) for w in weights]))
        sizes.append(test.sum())
    assert found.value[0] == pytest.approx(np.average(expected, weights=sizes), abs=1e-4)


def test_pwcca_sees_through_linear_maps_and_is_near_zero_for_independent_inputs() -> None:
    x, y, groups = pair(300, noise=0.1)
    mixed = x @ np.random.default_rng(1).normal(size=(8, 8))
    assert held_out_pwcca(x, mixed, groups).value[0] > 0.9
    assert held_out_pwcca(x, y, groups).value[0] > 0.5
    noise = [held_out_pwcca(*independent(400, 20, seed)).value[0] for seed in range(10)]
    assert abs(np.mean(noise)) < 0.03
    assert np.isnan(held_out_pwcca(np.ones((300, 2)), y, groups).value[0])
    with pytest.raises(InputError, match="two groups or more"):
        held_out_pwcca(x, y, groups * 0)


def test_rsa_is_spearman_s_correlation_over_pairs_of_different_groups() -> None:
    x, y, groups = pair(40)
    a, b = distances(x), distances(y)
    pairs = [(i, j) for i in range(40) for j in range(i) if groups[i] != groups[j]]
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    assert a[3, 5] == pytest.approx(1 - np.corrcoef(z[3], z[5])[0, 1])
    expected = spearmanr([a[p] for p in pairs], [b[p] for p in pairs]).statistic
    found = rsa_over_groups(a, b, groups)
    assert found.value[0] == rsa(a, b, groups) == pytest.approx(expected)
    kept = [p for p in pairs if 4 not in (groups[p[0]], groups[p[1]])]
    assert found.without[4, 0] == pytest.approx(spearmanr([a[p] for p in kept], [b[p] for p in kept]).statistic)
    noise = [rsa(distances(x), distances(y), g) for x, y, g in (independent(60, 10, s) for s in range(10))]
    assert abs(np.mean(noise)) < 0.05
    with pytest.raises(InputError, match="two groups or more"):
        rsa(a, b, groups * 0)


def test_shape_distance_has_closed_forms() -> None:
    """In one dimension; without variances it is Procrustes' distance; with equal spheres these add nothing."""
    rng = np.random.default_rng(0)
    mu, nu, s, t = rng.normal(size=30), rng.normal(size=30), rng.uniform(size=30), rng.uniform(size=30)
    size = [np.sqrt(np.mean((m - m.mean()) ** 2 + d**2)) for m, d in ((mu, s), (nu, t))]
    m, n = (mu - mu.mean()) / size[0], (nu - nu.mean()) / size[1]
    expected = min(np.mean((m - sign * n) ** 2 + (s / size[0] - t / size[1]) ** 2) for sign in (1, -1))
    found = shape_distance(mu[:, None], s[:, None] ** 2, nu[:, None], t[:, None] ** 2)
    assert found == pytest.approx(np.sqrt(expected))

    x, y = rng.normal(size=(2, 30, 4))
    x, y = ((p - p.mean(axis=0)) for p in (x, y))
    x, y = (p / np.sqrt((p**2).sum() / 30) for p in (x, y))
    nuclear = np.linalg.svd(x.T @ y, compute_uv=False).sum() / 30
    none = np.zeros_like(x)
    assert shape_distance(x, none, 7 * y, none) == pytest.approx(np.sqrt(2 - 2 * nuclear))
    round_ = np.full_like(x, 0.25)  # a sphere of trace 1, as large as the means
    assert shape_distance(x, round_, y, round_) == pytest.approx(np.sqrt((2 - 2 * nuclear) / 2))


def test_shape_distance_is_the_least_over_rotations() -> None:
    """Never more than the textbook distance at any rotation that is tried, and nothing at the planted one."""
    rng = np.random.default_rng(1)
    means, variances = rng.normal(size=(20, 3)), rng.uniform(size=(20, 3))
    order = [2, 0, 1]
    assert shape_distance(means, variances, -means[:, order], variances[:, order]) == pytest.approx(0, abs=1e-3)
    filled = [np.concatenate([part, np.zeros((20, 2))], axis=1) for part in (means, variances)]
    assert shape_distance(means, variances, *filled) == pytest.approx(0, abs=1e-6)

    others, spreads = rng.normal(size=(20, 3)), rng.uniform(size=(20, 3))
    found = shape_distance(means, variances, others, spreads)
    sizes = [
        np.sqrt((((m - m.mean(axis=0)) ** 2).sum() + v.sum()) / 20) for m, v in ((means, variances), (others, spreads))
    ]
    mu, nu = (means - means.mean(axis=0)) / sizes[0], (others - others.mean(axis=0)) / sizes[1]
    a, b = variances / sizes[0] ** 2, spreads / sizes[1] ** 2

    def at(turn: np.ndarray) -> float:
        total = ((mu - nu @ turn.T) ** 2).sum()
        for one, other in zip(a, b, strict=True):
            root, turned = np.diag(np.sqrt(one)), turn @ np.diag(other) @ turn.T
            inner = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ turned @ root), 0)).sum()
            total += one.sum() + other.sum() - 2 * inner
        return float(np.sqrt(total / 20))

    tried = [at(np.linalg.qr(rng.normal(size=(3, 3)))[0]) for _ in range(300)]
    assert found <= min(tried) + 1e-6
    assert found > 0.9 * min(tried)


def test_shape_distance_refuses_what_has_no_shape() -> None:
    ones = np.ones((5, 2))
    with pytest.raises(InputError, match="no shape"):
        shape_distance(ones, 0 * ones, ones, ones)
    with pytest.raises(InputError, match="below zero"):
        shape_distance(ones, -ones, ones, ones)
    with pytest.raises(InputError, match="not finite"):
        shape_distance(ones, np.nan * ones, ones, ones)
