import math

import numpy as np
import pytest

from lvm_probe import InputError
from lvm_probe.analysis.tuning import class_means_and_spreads, explained_variance


def test_means_and_spreads_are_those_of_loops() -> None:
    rng = np.random.default_rng(0)
    points, codes = rng.normal(5, 2, (60, 3)), rng.integers(0, 4, 60)
    mean, spread = class_means_and_spreads(points, codes, 5)
    for c in range(4):
        for d in range(3):
            own = [points[i, d] for i in range(60) if codes[i] == c]
            average = sum(own) / len(own)
            assert mean[c, d] == pytest.approx(average, rel=1e-12)
            assert spread[c, d] == pytest.approx(math.sqrt(sum((x - average) ** 2 for x in own) / len(own)), rel=1e-12)
    assert np.isnan(mean[4]).all()
    assert np.isnan(spread[4]).all()


def test_the_explained_share_is_that_of_a_regression_on_the_classes() -> None:
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 6, 200)
    points = rng.normal(size=(200, 4)) + rng.normal(size=(6, 4))[codes] * [0, 0.5, 1, 3]
    design = (codes[:, None] == np.arange(6)).astype(float)
    residual = points - design @ np.linalg.lstsq(design, points, rcond=None)[0]
    share = 1 - (residual**2).sum(0) / ((points - points.mean(0)) ** 2).sum(0)
    adjusted = 1 - (1 - share) * 199 / (200 - 6)
    np.testing.assert_allclose(explained_variance(points, codes), adjusted, rtol=1e-10)


def test_classes_of_another_kind_explain_nothing_on_average_and_known_shares_are_found() -> None:
    rng = np.random.default_rng(2)
    codes = np.repeat(np.arange(50), 40)
    noise = rng.normal(size=(2000, 200))
    # The raw share would be 49/1999 = 2.5 %; the mean over 200 dimensions is known to 0.07 %.
    assert abs(explained_variance(noise, codes).mean()) < 0.003
    halves = noise[:, :20] + rng.normal(size=(50, 20))[codes]
    # As much variance between as within the classes; 50 classes and 20 dimensions know it to some 2 %.
    assert explained_variance(halves, codes).mean() == pytest.approx(0.5, abs=0.06)


def test_a_constant_dimension_has_no_share_and_one_class_none_to_explain() -> None:
    assert np.isnan(explained_variance(np.ones((4, 1)), np.array([0, 0, 1, 1]))).all()
    for codes in ([0, 0, 0], [0, 1, 2]):
        with pytest.raises(InputError, match="two classes or more"):
            explained_variance(np.arange(3.0)[:, None], np.array(codes))
