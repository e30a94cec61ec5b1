"""ABX discriminability of sequences of frames, as the ZeroSpeech challenges measure it.

Schatz et al. 2013, "Evaluating speech features with the Minimal-Pair ABX task"; Nguyen et al. 2020, "The Zero Resource
Speech Benchmark 2021", arXiv:2011.11588. Tokens are compared by dynamic time warping over the angular distance of
their frames, divided by the length of the path. What a cell is, in which order cells are averaged and which frames
belong to a token are fastabx's rules (Poli, Chemla and Dupoux 2025, arXiv:2505.02692), so that the scores are its own.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any, Literal

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Float, Int

Mode = Literal["within", "across"]


def frame_bounds(onset: Fraction, offset: Fraction, frequency: Fraction) -> tuple[int, int]:
    """The frames of a token: those whose middle, (i + 1/2) / frequency, lies between onset and offset.

    Args:
        onset: in seconds.
        offset: in seconds.
        frequency: frames per second.

    Returns:
        The first frame, and the one after the last. Their difference is below 1 for a token that has no frame.

    Example:
        >>> frame_bounds(Fraction("0.11"), Fraction("0.17"), Fraction(100))
        (11, 17)
    """
    half = Fraction(1, 2)
    return math.ceil(onset * frequency - half), math.floor(offset * frequency - half) + 1


def angular_distances(
    first: Float[np.ndarray, "frames dims"], second: Float[np.ndarray, "others dims"]
) -> Float[np.ndarray, "frames others"]:
    """Angles between frames of unit length, as shares of a half turn."""
    return np.arccos(np.clip(first @ second.T, -1, 1)) / np.pi


def warped_distance(costs: Float[np.ndarray, "frames others"]) -> float:
    """The cost of the best path through a lattice, divided by the number of its points.

    A path begins with the first frames, ends with the last and goes on by a frame in either or both sequences. Where
    several lead to a point at the same cost, the one that goes on in both counts, then the one in the second.
    """
    return float(_kernel()(np.ascontiguousarray(costs), np.array([0, costs.shape[1]]))[0])


@cache
def _kernel() -> Any:
    """The recurrence, compiled: numba takes a second to import."""
    import numba

    return numba.njit(cache=True)(inspect.unwrap(_warped))  # without the checks of shapes that tests put around it


def _warped(costs: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Distances of one token to several, whose frames lie side by side in the columns from `starts` on."""
    rows = costs.shape[0]
    found = np.empty(len(starts) - 1)
    total = np.empty((rows, np.max(starts[1:] - starts[:-1])))
    for token in range(len(starts) - 1):
        at, columns = starts[token], starts[token + 1] - starts[token]
        for i in range(rows):
            for j in range(columns):
                before = 0.0
                if i and j:
                    before = min(total[i - 1, j - 1], total[i, j - 1], total[i - 1, j])
                elif i:
                    before = total[i - 1, j]
                elif j:
                    before = total[i, j - 1]
                total[i, j] = costs[i, at + j] + before
        i, j, points = rows - 1, columns - 1, 1
        while i or j:
            both = left = up = np.inf
            if i and j:
                both = total[i - 1, j - 1]
            if j:
                left = total[i, j - 1]
            if i:
                up = total[i - 1, j]
            if both <= left and both <= up:
                i, j = i - 1, j - 1
            elif left <= up:
                j -= 1
            else:
                i -= 1
            points += 1
        found[token] = total[rows - 1, columns - 1] / points
    return found


@dataclass(frozen=True)
class Tokens:
    """Sequences of frames with what is said of them; codes are integers.

    Attributes:
        frames: one array (frames, dims) per token.
        labels: codes of the phones.
        speakers: codes of the speakers.
        contexts: codes of the neighbouring phones that A, B and X have in common; None compares across contexts.

    Raises:
        InputError: a token has no frames, another dimension, values that are not finite or a frame of zeros, or the
            columns have different lengths.
    """

    frames: Sequence[Float[np.ndarray, "_frames _dims"]]
    labels: Int[np.ndarray, " tokens"]
    speakers: Int[np.ndarray, " tokens"]
    contexts: Int[np.ndarray, " tokens"] | None = None

    def __post_init__(self) -> None:
        columns = [self.labels, self.speakers, *([] if self.contexts is None else [self.contexts])]
        if any(len(column) != len(self.frames) for column in columns):
            raise InputError(f"labels, speakers or contexts are not those of {len(self.frames)} tokens; give one each")
        for number, one in enumerate(self.frames):
            if one.ndim != 2 or 0 in one.shape or one.shape[1] != self.frames[0].shape[1]:
                raise InputError(f"token {number} has frames of shape {one.shape}; give (frames, dims), the same dims")
            if not np.isfinite(one).all():
                raise InputError(f"token {number} holds NaN or infinity; fix the features")
            if not one.any(axis=1).all():
                raise InputError(f"token {number} has a frame of zeros, which has no direction; leave it out")


@dataclass(frozen=True)
class FrameAbx:
    """Error rates of ABX triples.

    A cell is an ordered pair of labels with the speaker of A and B, the speaker of X (the same within speakers) and
    the context. Means are taken over a cell's triples, over contexts and the speakers of X together, over the
    speakers of A and B, and over pairs.

    Attributes:
        error: the error rate; chance is 0.5.
        labels: the codes of the labels.
        pairs: error rate of each ordered pair of labels; NaN where there is no triple.
        without: error rate without each speaker, as that of A and B and as that of X, by the speaker's code; NaN where
            nothing is left.
        cells: number of cells.
        triples: number of triples.
    """

    error: float
    labels: Int[np.ndarray, " labels"]
    pairs: Float[np.ndarray, "labels labels"]
    without: dict[int, float]
    cells: int
    triples: int


@dataclass(frozen=True)
class _Cell:
    a: int
    b: int
    speaker: int
    speaker_x: int
    error: float
    triples: int


def frame_abx(tokens: Tokens, *, mode: Mode = "within") -> FrameAbx:
    """Compare every token X with all pairs of a token A of its label and a token B of another.

    Args:
        tokens: what is compared.
        mode: `within`: A, B and X of one speaker. `across`: A and B of one speaker, X of another.

    Raises:
        InputError: there is no triple.

    Example:
        >>> generator = np.random.default_rng(0)
        >>> frames = [generator.normal(size=(5, 3)) + 9 * np.eye(3)[label] for label in (0, 0, 1, 1)]
        >>> frame_abx(Tokens(frames, np.array([0, 0, 1, 1]), np.zeros(4, int))).error
        0.0
    """
    if mode not in ("within", "across"):
        raise InputError(f"mode is {mode!r}; use within or across")
    contexts = np.zeros(len(tokens.labels), dtype=int) if tokens.contexts is None else tokens.contexts
    frames = [one.astype(np.float64) for one in tokens.frames]
    units = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in frames]
    cells: list[_Cell] = []
    order = np.argsort(contexts, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(contexts[order])) + 1):
        speakers = tokens.speakers[rows]
        groups = [rows[speakers == one] for one in np.unique(speakers)] if mode == "within" else [rows]
        for group in groups:
            if len(np.unique(tokens.labels[group])) > 1:
                cells += _cells(tokens, group, units, mode)
    if not cells:
        raise InputError(
            "no triples: nowhere do the tokens of one speaker and context have two labels with a third token to "
            "compare; give more tokens, or compare across contexts"
        )
    labels = np.unique(tokens.labels)
    without = {
        int(one): _collapse([c for c in cells if one not in (c.speaker, c.speaker_x)], labels)[0]
        for one in np.unique(tokens.speakers)
    }
    error, pairs = _collapse(cells, labels)
    return FrameAbx(error, labels, pairs, without, len(cells), sum(cell.triples for cell in cells))


def _cells(tokens: Tokens, group: np.ndarray, units: Sequence[np.ndarray], mode: Mode) -> Iterator[_Cell]:
    """The cells of one context, and of one speaker within speakers."""
    labels, speakers = tokens.labels[group], tokens.speakers[group]
    distances = _distances([units[row] for row in group])
    for speaker in np.unique(speakers):
        here = speakers == speaker
        for speaker_x in [speaker] if mode == "within" else np.unique(speakers[~here]):
            for a in np.intersect1d(labels[here], labels[speakers == speaker_x]):
                x_rows = np.flatnonzero((speakers == speaker_x) & (labels == a))
                a_rows = np.flatnonzero(here & (labels == a))
                if mode == "within" and len(a_rows) < 2:
                    continue
                d_a = distances[np.ix_(x_rows, a_rows)]
                for b in np.unique(labels[here & (labels != a)]):
                    d_b = distances[np.ix_(x_rows, np.flatnonzero(here & (labels == b)))]
                    errors = _errors(d_a, d_b, itself=mode == "within")
                    triples = len(x_rows) * (len(a_rows) - (mode == "within")) * d_b.shape[1]
                    yield _Cell(int(a), int(b), int(speaker), int(speaker_x), errors / triples, triples)


def _errors(d_a: np.ndarray, d_b: np.ndarray, *, itself: bool) -> float:
    """Triples with d(A,X) > d(B,X), and half of those where they are equal; `itself`: X is not an A for itself."""
    errors = 0.0
    for x, (row_a, row_b) in enumerate(zip(d_a, d_b, strict=True)):
        ranked = np.sort(np.delete(row_a, x) if itself else row_a)
        errors += (len(ranked) - (ranked.searchsorted(row_b, "left") + ranked.searchsorted(row_b, "right")) / 2).sum()
    return errors


def _distances(units: Sequence[np.ndarray]) -> Float[np.ndarray, "tokens tokens"]:
    """Distances between all tokens."""
    kernel, starts = _kernel(), np.concatenate([[0], np.cumsum([len(one) for one in units])])
    every = np.concatenate(units)
    distances = np.zeros((len(units), len(units)))
    for i, one in enumerate(units[:-1]):  # the later ones only: the distance is symmetric
        later = starts[i + 1 :] - starts[i + 1]
        distances[i, i + 1 :] = kernel(angular_distances(one, every[starts[i + 1] :]), later)
    return distances + distances.T


def _collapse(cells: Sequence[_Cell], labels: Int[np.ndarray, " labels"]) -> tuple[float, np.ndarray]:
    """The error rate, and that of each pair of labels."""
    by_speaker: dict[tuple[int, int, int], list[float]] = {}
    for cell in cells:
        by_speaker.setdefault((cell.a, cell.b, cell.speaker), []).append(cell.error)
    by_pair: dict[tuple[int, int], list[float]] = {}
    for (a, b, _), errors in by_speaker.items():
        by_pair.setdefault((a, b), []).append(float(np.mean(errors)))
    pairs = np.full((len(labels), len(labels)), np.nan)
    for (a, b), errors in by_pair.items():
        pairs[np.searchsorted(labels, a), np.searchsorted(labels, b)] = np.mean(errors)
    known = pairs[np.isfinite(pairs)]
    return (float(known.mean()) if len(known) else np.nan), pairs
