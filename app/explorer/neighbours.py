"""Nearest neighbours of tokens: in the feature itself, and as the probe `knn` finds them and lets them vote."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.knn import vote
from lvm_probe.analysis.lda import checked_dims, discriminants
from lvm_probe.analysis.moments import moments_without, standardised
from lvm_probe.analysis.neighbours import neighbours_without_group
from lvm_probe.analysis.protocols import classify
from lvm_probe.analysis.shape_annotations import Float, Int
from lvm_probe.analysis.shrinkage import intensity
from lvm_probe.probing.questions.plan import analysis_protocol
from lvm_probe.probing.questions.question import DEFAULT_LDA_DIMS, MAX_K, TOKEN_TARGETS, Protocol

NOT_JUDGED = -1


@dataclass(frozen=True)
class Asked:
    """What the kNN is asked: points with a class and a speaker each, and how a point is held out.

    Attributes:
        points: features.
        codes: class of every point.
        speakers: code of every point's speaker.
        utterances: code of every point's utterance.
        ask: the target; a token's own classes are asked one speaker at a time unless the protocol is `speaker`.
        protocol: `nested`, `utterance`, `speaker` or `paper`.
    """

    points: Float[np.ndarray, "points dims"]
    codes: Int[np.ndarray, " points"]
    speakers: Int[np.ndarray, " points"]
    utterances: Int[np.ndarray, " points"]
    ask: str
    protocol: Protocol

    @property
    def alone(self) -> bool:
        """Whether every speaker's points are a pool of their own."""
        return self.ask in TOKEN_TARGETS and self.protocol != "speaker"

    @property
    def groups(self) -> Int[np.ndarray, " points"]:
        """Code of what each point is held out with; a number of its own under `nested` and `paper`."""
        match self.protocol:
            case "utterance":
                return self.utterances
            case "speaker":
                return self.speakers
        return np.arange(len(self.codes))

    def pools(self) -> Iterator[Int[np.ndarray, " rows"]]:
        """The rows that are asked together."""
        if not self.alone:
            yield np.arange(len(self.codes))
            return
        for speaker in np.unique(self.speakers):
            yield np.flatnonzero(self.speakers == speaker)

    def dims(self) -> int:
        """Discriminants: five, or as many as every pool has; pools of one class, of which nothing can be asked, aside.

        Raises InputError (of analysis) where no pool has two classes.
        """
        counts = [count for pool in self.pools() if (count := len(np.unique(self.codes[pool]))) > 1]
        if not counts:
            raise InputError("one class in every pool: nothing to tell apart; choose more tokens")
        return checked_dims(min(DEFAULT_LDA_DIMS, min(counts) - 1, self.points.shape[1]), min(counts),
                            self.points.shape[1])  # fmt: skip


def judged(asked: Asked, progress: Callable[[float], None] = lambda share: None) -> Int[np.ndarray, "points ks"]:
    """What every point is taken for by its k nearest, k = 1 to 50; `NOT_JUDGED` where it has too few others.

    Raises InputError (of analysis) where nothing can be asked at all.
    """
    predictions = np.full((len(asked.codes), MAX_K), NOT_JUDGED)
    dims, pools = asked.dims(), list(asked.pools())
    for i, pool in enumerate(pools):
        groups = asked.groups[pool]
        most = min(MAX_K, len(pool) - int(np.unique(groups, return_counts=True)[1].max()))
        if most > 0 and len(np.unique(asked.codes[pool])) > 1:
            try:
                outcome = classify(
                    asked.points[pool], asked.codes[pool], protocol=analysis_protocol(asked.protocol), lda_dims=dims,
                    ks=tuple(range(1, most + 1)), groups=groups,
                )  # fmt: skip
                predictions[pool, :most] = outcome.predictions
            except InputError:
                if len(pools) == 1:
                    raise
        progress((i + 1) / len(pools))
    return predictions


@dataclass(frozen=True)
class Opinion:
    """What the kNN says of one point: its neighbours (rows, nearest first), their classes, and its own by vote."""

    rows: Int[np.ndarray, " k"]
    codes: Int[np.ndarray, " k"]
    taken_for: int
    dims: int


def opinion(asked: Asked, row: int, k: int) -> Opinion:
    """What `judged` finds of one point under any protocol but `paper`, from its own fold alone, with the neighbours.

    Raises InputError (of analysis) where there is nothing to ask, or not k others.
    """
    mine = asked.speakers == asked.speakers[row]
    pool = np.flatnonzero(mine) if asked.alone else np.arange(len(asked.codes))
    place = int(np.flatnonzero(pool == row)[0])
    groups = asked.groups[pool]
    held_out = np.flatnonzero(groups == groups[place])
    if len(pool) - len(held_out) < k:
        raise InputError(f"only {len(pool) - len(held_out)} other tokens to choose from; choose a smaller k")
    names, codes = np.unique(asked.codes[pool], return_inverse=True)
    space, dims = standardised(asked.points[pool]), asked.dims()
    ((_, fold),) = moments_without(space, codes, len(names), [held_out])
    projected = space @ discriminants(fold, intensity(fold, "ledoit-wolf"), dims)[0]
    found = neighbours_without_group(projected, held_out, k)[np.flatnonzero(held_out == place)[0]]
    taken_for = vote(codes[found][None], len(names), [k])[0, 0]
    return Opinion(pool[found], names[codes[found]], int(names[taken_for]), dims)


def nearest(points: Float[np.ndarray, "points dims"], row: int, k: int) -> tuple[Int[np.ndarray, " k"], np.ndarray]:
    """The k nearest others of a point in the standardised feature, and their distances; ties by row."""
    space = standardised(points)
    distances = np.sqrt(((space - space[row]) ** 2).sum(axis=1))
    distances[row] = np.inf  # a point is no neighbour of itself; duplicates are
    found = np.argsort(distances, kind="stable")[: min(k, len(points) - 1)]
    return found, distances[found]
