"""The permuted null: what the same protocol scores when the labels mean nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from analysis.errors import InputError
from analysis.knn import vote
from analysis.outcome import Outcome
from analysis.statistics import group_means

Shuffle = Literal["tokens", "within-groups", "across-groups"]


@dataclass(frozen=True)
class Null:
    """Accuracies of a protocol under permuted labels, one row a permutation.

    Attributes:
        shuffle: how the labels were permuted.
        ks: as in the outcome that this is the null of.
        accuracies: fractions.
        group_accuracies: where there are groups, each one's mean over the permutations, groups ascending.
    """

    shuffle: Shuffle
    ks: tuple[int, ...]
    accuracies: Float[np.ndarray, "rounds ks"]
    group_accuracies: Float[np.ndarray, "groups ks"] | None = None

    @property
    def accuracy(self) -> Float[np.ndarray, " ks"]:
        """The mean over the permutations."""
        return self.accuracies.mean(axis=0)


def permuted_null(
    outcome: Outcome,
    probe: Callable[[Int[np.ndarray, " tokens"]], Outcome],
    *,
    rng: np.random.Generator,
    rounds: int = 10,
    shuffle: Shuffle | None = None,
) -> Null:
    """Runs the whole protocol again on permuted labels: fits, folds and votes included.

    Args:
        outcome: what the probe said of the true labels.
        probe: the probe itself: labels in, outcome out, everything else as it was.
        rng: source of the permutations.
        rounds: number of permutations.
        shuffle: see `permuted`. By default `across-groups` where each group has a single label (an attribute
            of the speaker: shuffling its tokens would hide what knowing the voice alone scores); else, for
            phonemes, `within-groups` under `speaker` and `tokens` under `paper` and `nested`.

    Raises:
        InputError: as the probe; no rounds; groups missing where the shuffle needs them.
    """
    if rounds < 1:
        raise InputError(f"rounds is {rounds}; give a positive number of permutations, such as 10")
    labels, groups = outcome.labels, outcome.groups
    shuffle = shuffle or _usual_shuffle(outcome)
    accuracies, by_group = [], []
    for _ in range(rounds):
        relabelled = permuted(labels, shuffle=shuffle, groups=groups, rng=rng)
        if outcome.dims == 0 and outcome.neighbours is not None:
            # Without LDA nothing is fitted to the labels, so that the search need not be repeated.
            classes, codes = np.unique(relabelled, return_inverse=True)
            predicted = classes[vote(codes[outcome.neighbours], len(classes), outcome.ks)]
            correct = predicted == relabelled[:, None]
        else:
            correct = probe(relabelled).correct
        accuracies.append(correct.mean(axis=0))
        if groups is not None:
            by_group.append(group_means(correct, groups))
    return Null(shuffle, outcome.ks, np.stack(accuracies), np.mean(by_group, axis=0) if by_group else None)


def permuted(
    labels: Int[np.ndarray, " tokens"],
    *,
    shuffle: Shuffle,
    rng: np.random.Generator,
    groups: Int[np.ndarray, " tokens"] | None = None,
) -> Int[np.ndarray, " tokens"]:
    """Permutes labels: over all tokens, among the tokens of each group, or whole groups' labels.

    Args:
        labels: one a token.
        shuffle: `tokens` ignores the groups; `within-groups` keeps every group's label counts;
            `across-groups` hands one group's label to another, so that a speaker keeps a single label.
        rng: source of the permutation.
        groups: one a token, for the last two.

    Raises:
        InputError: groups missing, or a group with several labels under `across-groups`.
    """
    if shuffle == "tokens":
        return rng.permutation(labels)
    if groups is None:
        raise InputError(f"shuffle {shuffle} needs groups; give the speaker of every token")
    _, first, index = np.unique(groups, return_index=True, return_inverse=True)
    if shuffle == "across-groups":
        if not _one_label_each(labels, groups):
            raise InputError("a group has several labels; use shuffle within-groups for such a target")
        return rng.permutation(labels[first])[index]
    order = np.argsort(index, kind="stable")
    relabelled = labels.copy()
    for rows in np.split(order, np.cumsum(np.bincount(index))[:-1]):
        relabelled[rows] = rng.permutation(labels[rows])
    return relabelled


def _usual_shuffle(outcome: Outcome) -> Shuffle:
    if outcome.groups is None:
        return "tokens"
    if _one_label_each(outcome.labels, outcome.groups):
        return "across-groups"
    return "within-groups" if outcome.protocol == "speaker" else "tokens"


def _one_label_each(labels: np.ndarray, groups: np.ndarray) -> bool:
    _, first, index = np.unique(groups, return_index=True, return_inverse=True)
    return bool((labels == labels[first][index]).all())
