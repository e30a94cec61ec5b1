"""The permuted null: what the same protocol scores when the labels mean nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from analysis.errors import InputError
from analysis.knn import vote
from analysis.lda import Dims, Shrinkage
from analysis.outcome import Outcome, Protocol
from analysis.protocols import DEFAULT_KS, classify, lda_classify
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
    points: Float[np.ndarray, "tokens dims"],
    labels: Int[np.ndarray, " tokens"],
    *,
    rng: np.random.Generator,
    rounds: int = 10,
    method: Literal["knn", "lda"] = "knn",
    protocol: Protocol = "nested",
    lda_dims: Dims = 5,
    ks: Sequence[int] = DEFAULT_KS,
    shrinkage: Shrinkage = "ledoit-wolf",
    groups: Int[np.ndarray, " tokens"] | None = None,
    shuffle: Shuffle | None = None,
) -> Null:
    """Runs the whole protocol again on permuted labels: fits, folds and votes included.

    Args:
        points: features.
        labels: the true labels.
        rng: source of the permutations.
        rounds: number of permutations.
        method: "knn" for `classify`, "lda" for `lda_classify` (which has no `lda_dims` and no `ks`).
        protocol: as in `classify`, and so are `lda_dims`, `ks`, `shrinkage` and `groups`.
        shuffle: see `permuted`. By default `across-groups` where each group has a single label (an attribute
            of the speaker: shuffling its tokens would hide what knowing the voice alone scores); else, for
            phonemes, `within-groups` under `speaker` and `tokens` under `paper` and `nested`.

    Raises:
        InputError: as `classify`; no rounds; groups missing where the shuffle needs them.
    """
    if rounds < 1:
        raise InputError(f"rounds is {rounds}; give a positive number of permutations, such as 10")
    shuffle = shuffle or _usual_shuffle(protocol, labels, groups)
    accuracies, by_group = [], []

    def probe(some_labels: np.ndarray) -> Outcome:
        if method == "lda":
            return lda_classify(points, some_labels, protocol=protocol, shrinkage=shrinkage, groups=groups)
        return classify(
            points,
            some_labels,
            protocol=protocol,
            lda_dims=lda_dims,
            ks=ks,
            shrinkage=shrinkage,
            groups=groups,
        )

    fixed = probe(labels).neighbours if method == "knn" and lda_dims == 0 else None
    for _ in range(rounds):
        relabelled = permuted(labels, shuffle=shuffle, groups=groups, rng=rng)
        if fixed is None:
            correct = probe(relabelled).correct
        else:  # without LDA nothing is fitted to the labels, so that the search need not be repeated
            classes, codes = np.unique(relabelled, return_inverse=True)
            predicted = classes[vote(codes[fixed], len(classes), ks)]
            correct = predicted == relabelled[:, None]
        accuracies.append(correct.mean(axis=0))
        if groups is not None:
            by_group.append(group_means(correct, groups))
    ks = (0,) if method == "lda" else tuple(ks)
    return Null(shuffle, ks, np.stack(accuracies), np.mean(by_group, axis=0) if by_group else None)


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
    names, first, index = np.unique(groups, return_index=True, return_inverse=True)
    if shuffle == "across-groups":
        if not _one_label_each(labels, groups):
            raise InputError("a group has several labels; use shuffle within-groups for such a target")
        return rng.permutation(labels[first])[index]
    relabelled = labels.copy()
    for g in range(len(names)):
        relabelled[index == g] = rng.permutation(labels[index == g])
    return relabelled


def _usual_shuffle(protocol: Protocol, labels: np.ndarray, groups: np.ndarray | None) -> Shuffle:
    if groups is None:
        return "tokens"
    if _one_label_each(labels, groups):
        return "across-groups"
    return "within-groups" if protocol == "speaker" else "tokens"


def _one_label_each(labels: np.ndarray, groups: np.ndarray) -> bool:
    _, first, index = np.unique(groups, return_index=True, return_inverse=True)
    return bool((labels == labels[first][index]).all())
