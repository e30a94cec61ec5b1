"""ABX over frames: fastabx's scores, exhaustive oracles, noise at chance and a planted difference found."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from benchmarks.fastabx_scores import FREQUENCY, made_up
from lvm_probe import InputError
from lvm_probe.analysis.frame_abx import Mode, Tokens, angular_distances, frame_abx, frame_bounds, warped_distance

FASTABX = {
    0: {"within within": 0.032852282747626305, "within any": 0.034604883403517306,
        "across within": 0.0446774335578084, "across any": 0.04602639703080058},
    1: {"within within": 0.059564868143449225, "within any": 0.07394450499365728,
        "across within": 0.12292550007502238, "across any": 0.12290368601679802},
    2: {"within within": 0.1811233366218706, "within any": 0.19909412578757232,
        "across within": 0.248885290697217, "across any": 0.2506832287957271},
}  # fmt: skip
"""What fastabx 0.9.0 prints (`benchmarks/fastabx_scores.py`)."""


def tokens(seed: int, context: str) -> Tokens:
    rows, features = made_up(seed)
    frames, columns = [], []
    for row in rows:
        file, onset, offset, phone, before, after, speaker = row.split()
        first, last = frame_bounds(Fraction(onset), Fraction(offset), Fraction(FREQUENCY))
        frames.append(features[file][first:last])
        columns.append((phone, speaker, f"{before} {after}"))
    labels, speakers, contexts = (np.unique(column, return_inverse=True)[1] for column in zip(*columns, strict=True))
    return Tokens(frames, labels, speakers, contexts if context == "within" else None)


@pytest.mark.parametrize("seed", FASTABX)
@pytest.mark.parametrize("task", FASTABX[0])
def test_scores_are_those_of_fastabx(seed: int, task: str) -> None:
    mode, context = task.split()
    found = frame_abx(tokens(seed, context), mode="within" if mode == "within" else "across")
    # It computes in single precision, in which one comparison of a cell in a thousand may turn out differently.
    assert found.error == pytest.approx(FASTABX[seed][task], abs=2e-5)


def every_path(rows: int, columns: int) -> list[list[tuple[int, int]]]:
    if rows == columns == 1:
        return [[(0, 0)]]
    paths = []
    for i, j in ((rows - 1, columns - 1), (rows, columns - 1), (rows - 1, columns)):
        if i and j:
            paths += [[*path, (rows - 1, columns - 1)] for path in every_path(i, j)]
    return paths


@pytest.mark.parametrize("seed", range(8))
def test_the_path_is_the_best_of_all(seed: int) -> None:
    generator = np.random.default_rng(seed)
    rows, columns = generator.integers(1, 6, 2)
    costs = generator.uniform(size=(rows, columns))
    best = min(every_path(rows, columns), key=lambda path: sum(costs[i, j] for i, j in path))
    assert warped_distance(costs) == pytest.approx(sum(costs[i, j] for i, j in best) / len(best), rel=1e-12)


def test_equal_costs_go_on_in_both() -> None:
    assert warped_distance(np.ones((3, 3))) == 1.0
    assert warped_distance(np.zeros((4, 2))) == 0.0
    assert warped_distance(np.array([[1.0, 0.0], [0.0, 1.0]])) == 1.0  # 2 over 2 points; along a side 2 over 3


def test_angles() -> None:
    units = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [np.sqrt(0.5), np.sqrt(0.5)]])
    np.testing.assert_allclose(angular_distances(units[:1], units)[0], [0, 0.5, 1, 0.25], atol=1e-15)


@pytest.mark.parametrize(
    ("onset", "offset", "frequency", "bounds"),
    [
        ("0", "1", "50", (0, 50)),  # middles from 0.01 to 0.99 s
        ("0.01", "0.03", "50", (0, 2)),  # both middles on the edges
        ("0.0100001", "0.0299999", "50", (1, 1)),  # none between
        ("0.5", "0.532", "31.25", (16, 17)),  # a layer with steps of 512 samples
    ],
)
def test_frames_are_those_whose_middle_is_inside(
    onset: str, offset: str, frequency: str, bounds: tuple[int, int]
) -> None:
    assert frame_bounds(Fraction(onset), Fraction(offset), Fraction(frequency)) == bounds


def oracle(data: Tokens, mode: Mode) -> float:
    """Every triple by itself, averaged in stages."""
    n = len(data.frames)
    units = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in data.frames]
    distance = {(i, j): warped_distance(angular_distances(units[i], units[j])) for i, j in product(range(n), range(n))}
    contexts = np.zeros(n) if data.contexts is None else data.contexts
    cells: dict[tuple[int, ...], list[float]] = {}
    for a, b, x in product(range(n), repeat=3):
        same = data.speakers[x] == data.speakers[a]
        if (
            data.labels[a] == data.labels[x] != data.labels[b] and a != x and data.speakers[a] == data.speakers[b]
            and contexts[a] == contexts[b] == contexts[x] and same == (mode == "within")
        ):  # fmt: skip
            key = (data.labels[a], data.labels[b], data.speakers[a], data.speakers[x], contexts[a])
            gap = distance[a, x] - distance[b, x]
            cells.setdefault(key, []).append(0.5 if abs(gap) < 1e-12 else float(gap > 0))
    scores = {key: float(np.mean(errors)) for key, errors in cells.items()}
    for length in (3, 2, 0):
        groups: dict[tuple[int, ...], list[float]] = {}
        for key, score in scores.items():
            groups.setdefault(key[:length], []).append(score)
        scores = {key: float(np.mean(some)) for key, some in groups.items()}
    return scores[()]


@pytest.mark.parametrize("mode", ["within", "across"])
@pytest.mark.parametrize("context", [False, True])
def test_against_every_triple(mode: Mode, context: bool) -> None:
    generator = np.random.default_rng(3)
    frames = [generator.normal(size=(generator.integers(1, 5), 3)) for _ in range(24)]
    labels, speakers, contexts = generator.integers(0, [[3], [2], [2]], (3, 24))
    data = Tokens(frames, labels, speakers, contexts if context else None)
    found = frame_abx(data, mode=mode)
    assert found.error == pytest.approx(oracle(data, mode), rel=1e-12)
    assert np.isnan(found.pairs.diagonal()).all()
    kept = data.speakers != 0
    if mode == "within":
        others = [one for one, keep in zip(frames, kept, strict=True) if keep]
        rest = Tokens(others, labels[kept], speakers[kept], contexts[kept] if context else None)
        assert found.without[0] == pytest.approx(frame_abx(rest).error)


def test_noise_is_at_chance_and_identity_too() -> None:
    generator = np.random.default_rng(0)
    frames = [generator.normal(size=(generator.integers(2, 8), 6)) for _ in range(300)]
    labels, speakers = generator.integers(0, [[4], [5]], (2, 300))
    for mode in ("within", "across"):
        assert frame_abx(Tokens(frames, labels, speakers), mode=mode).error == pytest.approx(0.5, abs=0.02)
    same = [np.ones((2, 3))] * 300
    assert frame_abx(Tokens(same, labels, speakers)).error == 0.5


def test_an_order_of_frames_is_found() -> None:
    """Two labels with the same frames in opposite order: means cannot tell them, warping can."""
    generator = np.random.default_rng(1)
    rise = np.stack([np.cos(np.linspace(0, 1.5, 8)), np.sin(np.linspace(0, 1.5, 8))], 1)
    labels = np.arange(40) % 2
    frames = [(rise if label else rise[::-1]) + 0.05 * generator.normal(size=rise.shape) for label in labels]
    assert frame_abx(Tokens(frames, labels, np.zeros(40, int))).error == 0.0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: f[0].fill(0), "token 0 has a frame of zeros, which has no direction"),
        (lambda f: f[1].fill(np.nan), "token 1 holds NaN"),
        (lambda f: f.__setitem__(2, np.ones((3, 9))), r"token 2 has frames of shape \(3, 9\)"),
        (lambda f: f.__setitem__(2, np.ones((0, 4))), r"token 2 has frames of shape \(0, 4\)"),
        (lambda f: f.pop(), "are not those of 3 tokens"),
    ],
)
def test_bad_input_is_named(change: object, says: str) -> None:
    frames = [np.ones((2, 4)) for _ in range(4)]
    change(frames)  # type: ignore[operator]
    with pytest.raises(InputError, match=says):
        Tokens(frames, np.array([0, 0, 1, 1]), np.zeros(4, int))


def test_no_triples() -> None:
    with pytest.raises(InputError, match="no triples"):
        frame_abx(Tokens([np.ones((2, 4))] * 2, np.array([0, 1]), np.zeros(2, int)))
