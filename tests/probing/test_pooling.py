from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lvm_probe import InputError
from lvm_probe.probing.corpora.corpus import Segment
from lvm_probe.probing.features.pooling import LOG_FLOOR, Pooling, split_in_half
from tests.probing import reference_pooling as reference

STRIDE, SAMPLES = 64, 1000  # 16 steps, the last of them only 40 samples
STEPS = -(-SAMPLES // STRIDE)

# Float32 products of at most a thousand weights that sum to one.
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


def steps(count: int = STEPS, dims: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(2, 3, size=(count, dims)).astype(np.float32)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (0, 64),  # one whole step
        (0, SAMPLES),  # all
        (70, 80),  # inside one step
        (127, 128),  # one sample
        (120, 140),  # shorter than a step, astride two
        (30, 500),  # partial steps at both ends
        (128, 192),  # on the grid
        (970, SAMPLES),  # in the last, partial step
        (900, SAMPLES),  # into it
    ],
)
def test_every_kind_of_segment_is_the_average_of_its_samples(start: int, end: int) -> None:
    segment = Segment("x", start, end)
    values = steps()
    pool = Pooling([segment], STRIDE, STEPS)
    np.testing.assert_allclose(pool.mean(values)[0], reference.pooled_mean(values, segment, STRIDE), **CLOSE)
    np.testing.assert_allclose(
        pool.log_mean_square(values)[0],
        reference.pooled_log_mean_square(values, segment, STRIDE, LOG_FLOOR),
        **CLOSE,
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Segment], int, int]:
    stride = draw(st.integers(1, 600))
    samples = draw(st.integers(1, 1500))
    spans = st.tuples(st.integers(0, samples - 1), st.integers(1, samples))
    segments = [Segment("x", start, min(start + size, samples)) for start, size in draw(st.lists(spans, max_size=4))]
    return segments, stride, -(-samples // stride)


@given(cases())
@settings(max_examples=60, deadline=None)
def test_any_segment_at_any_stride(case: tuple[list[Segment], int, int]) -> None:
    segments, stride, count = case
    values = steps(count, 2)
    pool = Pooling(segments, stride, count)
    mean, log_mean_square = pool.mean(values), pool.log_mean_square(values)
    assert mean.shape == log_mean_square.shape == (len(segments), 2)
    np.testing.assert_allclose(pool.matrix.sum(1), np.ones(len(segments)), rtol=1e-5)
    for row, segment in enumerate(segments):
        np.testing.assert_allclose(mean[row], reference.pooled_mean(values, segment, stride), **CLOSE)
        expected = reference.pooled_log_mean_square(values, segment, stride, LOG_FLOOR)
        np.testing.assert_allclose(log_mean_square[row], expected, **CLOSE)


def test_silence_has_a_finite_log_mean_square() -> None:
    found = Pooling([Segment("x", 0, 100)], STRIDE, STEPS).log_mean_square(np.zeros((STEPS, 2), np.float32))
    np.testing.assert_allclose(found, np.log(LOG_FLOOR), rtol=1e-6)


def test_results_stay_in_single_precision() -> None:
    pool = Pooling([Segment("x", 0, 100)], STRIDE, STEPS)
    assert pool.mean(steps()).dtype == pool.log_mean_square(steps()).dtype == np.float32


def test_a_segment_past_the_last_step_is_refused() -> None:
    Pooling([Segment("x", 0, STEPS * STRIDE)], STRIDE, STEPS)
    with pytest.raises(InputError, match="ends past the last of 16 steps"):
        Pooling([Segment("x", 0, STEPS * STRIDE + 1)], STRIDE, STEPS)


@given(cases())
@settings(max_examples=60, deadline=None)
def test_halves_are_means_before_and_after_the_middle_sample(case: tuple[list[Segment], int, int]) -> None:
    segments, stride, count = case
    values = steps(count, 2)
    found = Pooling(segments, stride, count).halves(partial(Pooling.mean, steps=values))
    assert found.shape == (len(segments), 4)
    for row, segment in zip(found, segments, strict=True):
        middle = (segment.start + segment.end) // 2
        first = Segment("x", segment.start, max(middle, segment.start + 1))
        second = Segment("x", middle, segment.end)
        np.testing.assert_allclose(row[:2], reference.pooled_mean(values, first, stride), **CLOSE)
        np.testing.assert_allclose(row[2:], reference.pooled_mean(values, second, stride), **CLOSE)


def test_one_sample_is_both_of_its_halves() -> None:
    assert split_in_half(Segment("x", 5, 6)) == (Segment("x", 5, 6), Segment("x", 5, 6))
    assert split_in_half(Segment("x", 5, 8)) == (Segment("x", 5, 6), Segment("x", 6, 8))
    pool = Pooling([Segment("x", 100, 101)], STRIDE, STEPS)
    np.testing.assert_array_equal(
        pool.halves(partial(Pooling.mean, steps=steps()))[0], np.tile(pool.mean(steps())[0], 2)
    )


@given(cases())
@settings(max_examples=60, deadline=None)
def test_means_of_what_is_computed_within_a_token(case: tuple[list[Segment], int, int]) -> None:
    segments, stride, count = case
    values = steps(count, 2)

    def centred(own: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        assert len(lengths) == len(segments)
        return np.concatenate(
            [np.empty((0, 2), np.float32), *(o - o[0] for o in np.split(own, np.cumsum(lengths)[:-1]) if len(o))]
        )

    found = Pooling(segments, stride, count).mean_within(values, centred)
    for row, segment in zip(found, segments, strict=True):
        expected = reference.pooled_mean(values - values[segment.start // stride], segment, stride)
        np.testing.assert_allclose(row, expected, **CLOSE)


@given(cases(), st.integers(1, 7))
@settings(max_examples=60, deadline=None)
def test_means_of_many_paths_add_up_from_stretches(case: tuple[list[Segment], int, int], size: int) -> None:
    segments, stride, count = case
    values = np.random.default_rng(1).normal(2, 3, size=(count, 2, 3)).astype(np.float32)
    pool = Pooling(segments, stride, count)
    totals = np.zeros((len(segments), 2, 3))
    for first in range(0, count, max(1, count // size)):
        pool.add(values[first : first + max(1, count // size)], first, totals)
    for row, segment in zip(totals, segments, strict=True):
        for path in range(2):
            np.testing.assert_allclose(row[path], reference.pooled_mean(values[:, path], segment, stride), **CLOSE)
