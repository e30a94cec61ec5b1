"""The permuted null: the accuracy of the same protocol when the labels carry no information."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.knn import vote
from lvm_probe.analysis.predictions import Outcome, Protocol
from lvm_probe.analysis.shape_annotations import Float, Int
from lvm_probe.analysis.statistics import group_means

Shuffle = Literal["tokens", "within-groups", "across-groups"]


@dataclass(frozen=True)
class Null:
    """Accuracies of a protocol under permuted labels, one row per permutation.

    Attributes:
        shuffle: how the labels were permuted.
        ks: as in the outcome that this is the null of.
        accuracies: fractions.
        group_accuracies: where there are groups, the mean accuracy of each over all permutations, groups ascending.
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
    probe: Callable[[Int[np.ndarray, " points"]], Outcome],
    *,
    rng: np.random.Generator,
    rounds: int = 10,
) -> Null:
    """Repeat the whole protocol on permuted labels: fits, folds and votes included.

    Labels are permuted `across-groups` where each group has a single one (an attribute of the speaker, of which a
    shuffle of tokens would hide what recognising the voice alone can score); otherwise `within-groups` under `grouped`,
    and as `tokens` under `paper` and `nested`; see `permuted`.

    Args:
        outcome: what the probe predicted with the true labels.
        probe: from labels to predictions; points and settings are its own.
        rng: source of the permutations.
        rounds: number of permutations.

    Raises:
        InputError: no rounds; groups missing where the shuffle needs them; what the probe refuses.

    Example:
        >>> from lvm_probe.analysis.protocols import classify
        >>> points, labels = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
        >>> probe = lambda labels: classify(points, labels, lda_dims=1, ks=(5,))
        >>> null = permuted_null(probe(labels), probe, rng=np.random.default_rng(0), rounds=20)
        >>> bool(0.35 < null.accuracy[0] < 0.65)
        True
    """
    if rounds < 1:
        raise InputError(f"rounds is {rounds}; give a positive number of permutations, such as 10")
    groups = outcome.groups
    shuffle = default_shuffle(outcome.labels, groups, outcome.protocol)
    accuracies, of_groups = [], []
    for _ in range(rounds):
        labels = permuted(outcome.labels, shuffle=shuffle, groups=groups, rng=rng)
        if outcome.dims == 0 and outcome.neighbours is not None:
            # Without LDA nothing is fitted to the labels, so the neighbours stay and only their votes change.
            classes, codes = np.unique(labels, return_inverse=True)
            predicted = classes[vote(codes[outcome.neighbours], len(classes), outcome.ks)]
            correct = predicted == labels[:, None]
        else:
            correct = probe(labels).correct
        accuracies.append(correct.mean(axis=0))
        if groups is not None:
            of_groups.append(group_means(correct, groups))
    return Null(shuffle, outcome.ks, np.stack(accuracies), np.mean(of_groups, axis=0) if of_groups else None)


def permuted(
    labels: Int[np.ndarray, " points"],
    *,
    shuffle: Shuffle,
    rng: np.random.Generator,
    groups: Int[np.ndarray, " points"] | None = None,
) -> Int[np.ndarray, " points"]:
    """Permute labels: over all tokens, among the tokens of each group, or the labels of whole groups.

    Args:
        labels: one per token.
        shuffle: `tokens` ignores the groups; `within-groups` keeps every group's label counts; `across-groups` permutes
            the labels of whole groups, so that each group (a speaker) still has a single label.
        rng: source of the permutation.
        groups: one per token, for the last two.

    Raises:
        InputError: groups missing, or a group with several labels under `across-groups`.

    Example:
        >>> labels, groups = np.array([0, 0, 1, 1]), np.array([7, 7, 8, 8])
        >>> permuted(labels, shuffle="across-groups", groups=groups, rng=np.random.default_rng(1))
        array([0, 0, 1, 1])
    """
    if shuffle == "tokens":
        return rng.permutation(labels)
    if groups is None:
        raise InputError(f"shuffle {shuffle} needs groups; give the group of every token")
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


def default_shuffle(
    labels: Int[np.ndarray, " points"], groups: Int[np.ndarray, " points"] | None, protocol: Protocol
) -> Shuffle:
    """How `permuted_null` permutes labels.

    Args:
        labels: one per token.
        groups: one per token, or None.
        protocol: how tokens are held out.

    Example:
        >>> default_shuffle(np.array([0, 0, 1, 1]), np.array([7, 7, 8, 8]), "grouped")
        'across-groups'
    """
    if groups is None:
        return "tokens"
    if _one_label_each(labels, groups):
        return "across-groups"
    return "within-groups" if protocol == "grouped" else "tokens"


def _one_label_each(labels: np.ndarray, groups: np.ndarray) -> bool:
    _, first, index = np.unique(groups, return_index=True, return_inverse=True)
    return bool((labels == labels[first][index]).all())
