import numpy as np
import pytest
import torch
from concept_erasure.leace import LeaceFitter
from scipy.linalg import sqrtm
from sklearn.linear_model import LogisticRegression

from lvm_probe import InputError
from lvm_probe.analysis.code_length import code_length
from lvm_probe.analysis.erasure import erased, fit_eraser
from lvm_probe.analysis.logistic import logistic_classify
from lvm_probe.analysis.protocols import classify, held_out, lda_classify


def voices(n: int = 240, dims: int = 7, speakers: int = 4, seed: int = 0):
    """Correlated features on scales from 0.1 to 10 that know the speaker and the class."""
    rng = np.random.default_rng(seed)
    speaker, label = rng.permutation(np.arange(n) % speakers), rng.permutation(np.arange(n) % 3)
    points = rng.normal(size=(n, dims)) + 2 * rng.normal(size=(speakers, dims))[speaker]
    points = (points + 2 * rng.normal(size=(3, dims))[label]) @ rng.normal(size=(dims, dims))
    return points * 10 ** rng.uniform(-1, 1, size=dims) + 5, speaker * 3 + 1, label


def textbook(points: np.ndarray, concept: np.ndarray) -> np.ndarray:
    """r(x) = x - W⁺ P W (x - μ), matrix by matrix."""
    z = (concept[:, None] == np.unique(concept)).astype(float)
    x, z = points - points.mean(axis=0), z - z.mean(axis=0)
    w = np.linalg.pinv(np.real(sqrtm(x.T @ x / len(x))))
    cross = w @ (x.T @ z / len(x))
    project = cross @ np.linalg.pinv(cross, rcond=1e-10)  # the columns add up to zero
    return points - x @ (np.linalg.pinv(w) @ project @ w).T


def test_the_eraser_is_the_closed_form() -> None:
    points, speaker, _ = voices()
    eraser = fit_eraser(points, speaker)
    assert eraser.rank == 3  # one less than speakers
    np.testing.assert_allclose(eraser(points), textbook(points, speaker), atol=1e-8 * np.abs(points).max())


def test_the_eraser_is_that_of_the_authors() -> None:
    points, speaker, _ = voices()
    onehot = torch.tensor((speaker[:, None] == np.unique(speaker)).astype(float))
    # Their tolerance of singular values is 0.01 by default, which leaves weak parts of a concept in.
    theirs = LeaceFitter.fit(torch.tensor(points), onehot, shrinkage=False, svd_tol=1e-8).eraser
    expected = theirs(torch.tensor(points)).numpy()
    np.testing.assert_allclose(fit_eraser(points, speaker)(points), expected, atol=1e-8 * np.abs(points).max())


def test_every_class_has_the_same_mean_and_no_linear_probe_knows_the_concept() -> None:
    points, speaker, _ = voices()
    assert lda_classify(points, speaker, protocol="paper").accuracy[0] > 0.9
    clean = fit_eraser(points, speaker)(points)
    means = np.array([clean[speaker == s].mean(axis=0) for s in np.unique(speaker)])
    np.testing.assert_allclose(means, np.broadcast_to(points.mean(axis=0), means.shape), atol=1e-9)
    fitted = LogisticRegression(max_iter=1000, C=1e3).fit(clean / clean.std(axis=0), speaker)
    np.testing.assert_allclose(fitted.predict_proba(clean / clean.std(axis=0)), 0.25, atol=1e-3)


def test_no_affine_map_with_equal_means_moves_the_points_less() -> None:
    """In the mean square: maps that add to the eraser's any multiple of a map that also leaves the means equal."""
    points, speaker, _ = voices()
    clean = fit_eraser(points, speaker)(points)
    least = ((clean - points) ** 2).sum()
    rng = np.random.default_rng(0)
    centred = clean - points.mean(axis=0)
    for _ in range(20):
        other = clean + 0.1 * centred @ rng.normal(size=(7, 7))  # affine in clean, so the means stay equal
        assert ((other - points) ** 2).sum() > least


def test_scales_rotations_and_repeated_features_change_nothing_but_themselves() -> None:
    points, speaker, _ = voices()
    clean = fit_eraser(points, speaker)(points)
    mixing = np.random.default_rng(1).normal(size=(7, 7))
    np.testing.assert_allclose(
        fit_eraser(points @ mixing, speaker)(points @ mixing), clean @ mixing, rtol=1e-4, atol=1e-4
    )
    # The features' scales differ a hundredfold and their correlations are strong, which costs digits.
    twice = np.concatenate([points, points[:, :2], np.ones((240, 1))], axis=1)
    expected = np.concatenate([clean, clean[:, :2], np.ones((240, 1))], axis=1)
    np.testing.assert_allclose(fit_eraser(twice, speaker)(twice), expected, rtol=1e-4, atol=1e-4)


def test_of_one_class_nothing_is_erased_and_of_too_many_everything() -> None:
    points, speaker, _ = voices(dims=3, speakers=5)
    np.testing.assert_array_equal(fit_eraser(points, speaker * 0)(points), points)
    assert fit_eraser(points, speaker).rank == 3
    np.testing.assert_allclose(np.ptp(fit_eraser(points, speaker)(points), axis=0), 0, atol=1e-9)


PROBES = {
    "lda": lda_classify,
    "knn": lambda *a, **k: classify(*a, ks=(1, 5), lda_dims=2, **k),
    "neighbours": lambda *a, **k: classify(*a, ks=(1, 5), lda_dims=0, **k),
    "joined neighbours": lambda *a, **k: classify(*a, ks=(1, 5), lda_dims=0, parts=(3, 4), **k),
    "components": lambda *a, **k: lda_classify(*a, match_dims=3, **k),
    "logistic": logistic_classify,
}


@pytest.mark.parametrize("probe", PROBES)
def test_the_eraser_is_fitted_inside_the_fold(probe) -> None:
    """Each fold by itself: its training points are erased by their own eraser, and its judged points by the same."""
    points, speaker, label = voices(60)
    groups = np.arange(60) % 4
    found = PROBES[probe](points, label, protocol="grouped", groups=groups, erase=speaker)
    expected = np.empty_like(found.predictions)
    for fold in held_out("grouped", 60, groups):
        space = erased(points, speaker, np.delete(np.arange(60), fold.excluded))
        expected[fold.judged] = PROBES[probe](space, label, protocol="grouped", groups=groups).predictions[fold.judged]
    # The strengths of logistic regression are chosen on folds that are drawn from the same generator.
    assert (found.predictions == expected).mean() > (0.95 if probe == "logistic" else 0.999)


@pytest.mark.parametrize("protocol", ["paper", "nested", "grouped"])
@pytest.mark.parametrize("probe", ["lda", "knn", "neighbours"])
def test_an_erased_concept_is_not_found_and_another_is(probe, protocol) -> None:
    points, speaker, label = voices(300)
    groups = np.arange(300) % 10
    how = {"protocol": protocol, "groups": groups, "erase": speaker}
    assert PROBES[probe](points, speaker, **how | {"erase": None}).accuracy[-1] > 0.75
    if probe == "lda":  # neighbours may see more than means
        assert PROBES[probe](points, speaker, **how).accuracy[-1] < 0.4
    assert PROBES[probe](points, label, **how).accuracy[-1] > 0.7


def test_a_code_without_the_concept_is_as_long_as_that_of_class_shares() -> None:
    points, speaker, _ = voices(400)
    groups = np.arange(400) % 10
    plain, clean = (code_length(points, speaker, groups=groups, erase=e, orders=1) for e in (None, speaker))
    assert plain.bits.sum() < 0.7 * plain.share_bits.sum()
    assert clean.bits.sum() > 0.98 * clean.share_bits.sum()


def test_refusals() -> None:
    points, speaker, _ = voices()
    with pytest.raises(InputError, match="not finite"):
        fit_eraser(np.where(points > 0, points, np.nan), speaker)
