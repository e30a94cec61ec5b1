"""The permuted null: what the same protocol scores when the labels mean nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.knn import vote
from lvm_probe.analysis.predictions import Outcome
from lvm_probe.analysis.shape_annotations import Float, Int

Shuffle = Literal["tokens", "within-groups", "across-groups"]


@dataclass(frozen=True)
class Null:
    """Accuracies of a protocol under permuted labels, one row a permutation.

    Attributes:
        shuffle: how the labels were permuted.
        ks: as in the outcome that this is the null of.
        accuracies: fractions.
        judged: points judged, in all permutations together.
        group_accuracies: where there are groups, each one's over all permutations, groups ascending; NaN of a group
            that had no point judged.
    """

    shuffle: Shuffle
    ks: tuple[int, ...]
    accuracies: Float[np.ndarray, "rounds ks"]
    judged: int
    group_accuracies: Float[np.ndarray, "groups ks"] | None = None

    @property
    def accuracy(self) -> Float[np.ndarray, " ks"]:
        """The mean over the permutations."""
        return self.accuracies.mean(axis=0)


def permuted_null(
    outcome: Outcome,
    probe: Callable[..., Outcome],
    *,
    rng: np.random.Generator,
    rounds: int = 10,
    judged: int | None = None,
    shuffle: Shuffle | None = None,
) -> Null:
    """Runs the whole protocol again on permuted labels: fits, folds and votes included.

    Args:
        outcome: what the probe said of the true labels.
        probe: the probe itself: labels in, outcome out, everything else as it was. Where `judged` is given, it is told
            under that name which rows to judge.
        rng: source of the permutations, and of the rows.
        rounds: number of permutations.
        judged: rows to judge in each, drawn anew, each in its own fold of all the others; None judges all.
        shuffle: see `permuted`. By default `across-groups` where each group has a single label (an attribute
            of the speaker: shuffling its tokens would hide what knowing the voice alone scores); else, for
            phonemes, `within-groups` under `speaker` and `tokens` under `paper` and `nested`.

    Raises:
        InputError: as the probe; no rounds; rows to judge fewer than one or more than there are; groups missing where
            the shuffle needs them.
    """
    if rounds < 1:
        raise InputError(f"rounds is {rounds}; give a positive number of permutations, such as 10")
    labels, groups = outcome.labels, outcome.groups
    if judged is not None and not 0 < judged <= len(labels):
        raise InputError(f"judged is {judged} of {len(labels)} rows; give 1 to {len(labels)}, or None for all")
    shuffle = shuffle or _usual_shuffle(outcome)
    names, place = np.unique(np.zeros_like(labels) if groups is None else groups, return_inverse=True)
    accuracies, right, sizes = [], np.zeros((len(names), len(outcome.ks))), np.zeros((len(names), 1))
    rows = np.arange(len(labels))
    for _ in range(rounds):
        relabelled = permuted(labels, shuffle=shuffle, groups=groups, rng=rng)
        if judged is not None:
            rows = np.sort(rng.choice(len(labels), judged, replace=False))
        if outcome.dims == 0 and outcome.neighbours is not None:
            # Without LDA nothing is fitted to the labels, so that the search need not be repeated.
            classes, codes = np.unique(relabelled, return_inverse=True)
            predicted = classes[vote(codes[outcome.neighbours[rows]], len(classes), outcome.ks)]
            correct = predicted == relabelled[rows, None]
        else:
            correct = (probe(relabelled) if judged is None else probe(relabelled, judged=rows)).correct
        accuracies.append(correct.mean(axis=0))
        right += np.stack([np.bincount(place[rows], column, len(names)) for column in correct.T], axis=1)
        sizes[:, 0] += np.bincount(place[rows], minlength=len(names))
    of_groups = np.divide(right, sizes, out=np.full_like(right, np.nan), where=sizes > 0)
    return Null(shuffle, outcome.ks, np.stack(accuracies), rounds * len(rows), None if groups is None else of_groups)


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
    return "within-groups" if outcome.protocol == "grouped" else "tokens"


def _one_label_each(labels: np.ndarray, groups: np.ndarray) -> bool:
    _, first, index = np.unique(groups, return_index=True, return_inverse=True)
    return bool((labels == labels[first][index]).all())
