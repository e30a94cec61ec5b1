"""Votes of the k nearest neighbours, for every k from one search."""

from collections.abc import Sequence

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Int

_NUMBERS_AT_ONCE = 1 << 22


def checked_ks(ks: Sequence[int], most: int) -> tuple[int, ...]:
    """The ks as a tuple.

    Args:
        ks: numbers of neighbours, in any order.
        most: number of neighbours that every point has.

    Raises:
        InputError: no k, a repeated one, or one outside [1, most].
    """
    checked = tuple(int(k) for k in ks)
    if not checked or len(set(checked)) < len(checked):
        raise InputError(f"ks are {list(ks)}; give each number of neighbours once")
    if min(checked) < 1:
        raise InputError(f"k = {min(checked)}; give 1 or more neighbours")
    if max(checked) > most:
        raise InputError(
            f"k = {max(checked)}, but some points have only {most} others to choose from; "
            f"use k up to {most}, or more tokens"
        )
    return checked


def vote(
    codes: Int[np.ndarray, "queries neighbours"], n_classes: int, ks: Sequence[int]
) -> Int[np.ndarray, "queries ks"]:
    """The class of most of the k nearest neighbours, for every k; ties go to the nearest of the tied classes.

    Args:
        codes: classes of the neighbours, nearest first, in [0, n_classes).
        n_classes: number of classes.
        ks: numbers of neighbours that vote, in any order.

    Example:
        >>> vote(np.array([[1, 0, 0]]), 2, (1, 2, 3))
        array([[1, 1, 0]])
    """
    queries, most = codes.shape
    winners = np.empty((queries, len(ks)), dtype=np.intp)
    column = {k: j for j, k in enumerate(ks)}
    chunk = max(1, _NUMBERS_AT_ONCE // n_classes)
    for start in range(0, queries, chunk):
        some = codes[start : start + chunk]
        ranks, rows = np.ascontiguousarray(some.T), n_classes * np.arange(len(some))
        # A class scores most + 1 per vote, and a bonus of at most `most` that is larger the nearer its first member is.
        # So no two classes have the same score, and only the class that gets a vote can take the lead.
        score = np.zeros(len(some) * n_classes, dtype=np.int64)
        leader, best = np.zeros((2, len(some)), dtype=np.int64)
        for rank in range(max(ks)):
            voted = ranks[rank]
            place = rows + voted
            new = score[place]
            new += most + 1 + (new == 0) * (most - rank)
            score[place] = new
            leader, best = np.where(new > best, voted, leader), np.maximum(new, best)
            if rank + 1 in column:
                winners[start : start + chunk, column[rank + 1]] = leader
    return winners
