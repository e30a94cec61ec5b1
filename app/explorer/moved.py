"""Which tokens have other neighbours in another feature: what moves between two maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.moments import standardised
from lvm_probe.analysis.neighbours import neighbours_of_each
from lvm_probe.analysis.shape_annotations import Float, Int

K = 10
"""Neighbours that are compared."""
LISTED = 48
"""Tokens that are listed."""
MAX_COMPARED = 20_000
"""Tokens among which neighbours are compared; of more, a random part."""


@dataclass(frozen=True)
class Moved:
    """Tokens in descending order of how much their neighbours differ.

    Attributes:
        rows: of the tokens.
        shared: how many of each token's `K` nearest are the same in both features, in that order.
    """

    rows: Int[np.ndarray, " tokens"]
    shared: Int[np.ndarray, " tokens"]


def most_moved(
    first: Float[np.ndarray, "tokens _"],
    second: Float[np.ndarray, "tokens _"],
    k: int = K,
    progress: Callable[[float], None] = lambda share: None,
) -> Moved:
    """Compare the k nearest of every token in two standardised features.

    Tokens that share equally many are ordered by how far each feature's neighbours lie in the other: the mean distance
    in units of that to the k-th nearest there, averaged over both directions.

    Raises:
        InputError: not more than k tokens.
    """
    if len(first) <= k:
        raise InputError(f"{len(first)} tokens are on both maps, and comparing {k} neighbours needs more")
    spaces = [standardised(first), standardised(second)]
    near = []
    for i, space in enumerate(spaces):
        near.append(neighbours_of_each(space, k))
        progress((i + 1) / 3)
    shared = (near[0][:, :, None] == near[1][:, None, :]).any(axis=2).sum(axis=1)
    away = np.zeros(len(first))
    for space, own, others in ((spaces[0], near[0], near[1]), (spaces[1], near[1], near[0])):
        for rows in np.array_split(np.arange(len(space)), max(1, len(space) // 1000)):
            distance = np.sqrt(((space[others[rows]] - space[rows, None]) ** 2).sum(axis=2)).mean(axis=1)
            farthest = np.sqrt(((space[own[rows, -1]] - space[rows]) ** 2).sum(axis=1))
            away[rows] += distance / np.maximum(farthest, 1e-12)
    order = np.lexsort((np.arange(len(first)), -away, shared))
    return Moved(order, shared[order])
