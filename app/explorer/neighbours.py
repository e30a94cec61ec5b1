"""Nearest neighbours of tokens: in the feature itself, and as the probe `knn` finds them and lets them vote."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.knn import vote
from lvm_probe.analysis.lda import checked_dims, discriminants
from lvm_probe.analysis.moments import moments_without, standardised
from lvm_probe.analysis.neighbours import neighbours_without
from lvm_probe.analysis.shape_annotations import Float, Int
from lvm_probe.analysis.shrinkage import intensity
from lvm_probe.probing.questions.question import DEFAULT_LDA_DIMS, MAX_K, TOKEN_TARGETS, Protocol, analysis_protocol

NO_PREDICTION = -1


@dataclass(frozen=True)
class KnnProbe:
    """The probe `knn` on some points.

    Attributes:
        points: features.
        codes: class of every point.
        speakers: code of every point's speaker.
        utterances: code of every point's utterance.
        target: what is predicted. Classes of tokens are predicted within one speaker, unless speakers are held out.
        protocol: `nested`, `utterance`, `speaker` or `paper`.
    """

    points: Float[np.ndarray, "points dims"]
    codes: Int[np.ndarray, " points"]
    speakers: Int[np.ndarray, " points"]
    utterances: Int[np.ndarray, " points"]
    target: str
    protocol: Protocol

    @property
    def within_speaker(self) -> bool:
        """Whether every speaker's points are a pool of their own."""
        return self.target in TOKEN_TARGETS and self.protocol != "speaker"

    @property
    def groups(self) -> Int[np.ndarray, " points"]:
        """Code of what each point is held out with: its utterance, its speaker, or itself alone."""
        match self.protocol:
            case "utterance":
                return self.utterances
            case "speaker":
                return self.speakers
            case _:
                return np.arange(len(self.codes))

    def pools(self) -> Iterator[Int[np.ndarray, " rows"]]:
        """The rows that are classified among each other."""
        if not self.within_speaker:
            yield np.arange(len(self.codes))
            return
        for speaker in np.unique(self.speakers):
            yield np.flatnonzero(self.speakers == speaker)

    def dims(self) -> int:
        """Number of discriminants: five, or as many as every pool with two classes or more has.

        Raises:
            InputError: no pool has two classes.
        """
        counts = [count for pool in self.pools() if (count := len(np.unique(self.codes[pool]))) > 1]
        if not counts:
            raise InputError("one class in every pool: nothing to tell apart; choose more tokens")
        size = self.points.shape[1]
        return checked_dims(min(DEFAULT_LDA_DIMS, min(counts) - 1, size), min(counts), size)


def predict_all(
    probe: KnnProbe, progress: Callable[[float], None] = lambda share: None
) -> Int[np.ndarray, "points ks"]:
    """The predicted class of every point for k = 1 to 50; `NO_PREDICTION` where there are not k others.

    Raises:
        InputError: nothing can be predicted at all.
    """
    from lvm_probe.analysis.protocols import classify  # imports scipy.stats

    predictions = np.full((len(probe.codes), MAX_K), NO_PREDICTION)
    dims, pools = probe.dims(), list(probe.pools())
    for i, pool in enumerate(pools):
        groups = probe.groups[pool]
        held_out = int(np.unique(groups, return_counts=True)[1].max())
        most = min(MAX_K, len(pool) - held_out)
        if most > 0 and len(np.unique(probe.codes[pool])) > 1:
            try:
                outcome = classify(
                    probe.points[pool], probe.codes[pool], protocol=analysis_protocol(probe.protocol), lda_dims=dims,
                    ks=tuple(range(1, most + 1)), groups=groups,
                )  # fmt: skip
                predictions[pool, :most] = outcome.predictions
            except InputError:
                if len(pools) == 1:
                    raise
        progress((i + 1) / len(pools))
    return predictions


@dataclass(frozen=True)
class Prediction:
    """The prediction for one point.

    Attributes:
        rows: its neighbours, nearest first.
        distances: to them, in the space of the discriminants.
        codes: their classes.
        predicted: the class that they elect.
        dims: number of discriminants.
    """

    rows: Int[np.ndarray, " k"]
    distances: Float[np.ndarray, " k"]
    codes: Int[np.ndarray, " k"]
    predicted: int
    dims: int


def predict_one(probe: KnnProbe, row: int, k: int) -> Prediction:
    """What `predict_all` finds for one point, from its own fold alone, with the neighbours; not for protocol `paper`.

    Raises:
        InputError: there is nothing to predict, or there are not k others.
    """
    pool = np.arange(len(probe.codes))
    if probe.within_speaker:
        pool = np.flatnonzero(probe.speakers == probe.speakers[row])
    place = int(np.flatnonzero(pool == row)[0])
    held_out = np.flatnonzero(probe.groups[pool] == probe.groups[row])
    if len(pool) - len(held_out) < k:
        raise InputError(f"only {len(pool) - len(held_out)} other tokens to choose from; choose a smaller k")
    names, codes = np.unique(probe.codes[pool], return_inverse=True)
    space, dims = standardised(probe.points[pool]), probe.dims()
    ((_, fold),) = moments_without(space, codes, len(names), [held_out])
    projected = space @ discriminants(fold, intensity(fold, "ledoit-wolf"), dims)[0]
    rows = neighbours_without(projected, held_out, held_out, k)[np.flatnonzero(held_out == place)[0]]
    predicted = vote(codes[rows][None], len(names), [k])[0, 0]
    distances = np.sqrt(((projected[rows] - projected[place]) ** 2).sum(axis=1))
    return Prediction(pool[rows], distances, names[codes[rows]], int(names[predicted]), dims)


def nearest(points: Float[np.ndarray, "points dims"], row: int, k: int) -> tuple[Int[np.ndarray, " k"], np.ndarray]:
    """The k nearest others of a point in the standardised feature, and their distances; ties by row."""
    space = standardised(points)
    distances = np.sqrt(((space - space[row]) ** 2).sum(axis=1))
    distances[row] = np.inf  # a point is not its own neighbour; duplicates are
    rows = np.argsort(distances, kind="stable")[: min(k, len(points) - 1)]
    return rows, distances[rows]
