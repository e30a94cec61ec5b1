"""The votes of k nearest neighbours: one search gives the votes for every k."""

from collections.abc import Sequence

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Int

_NUMBERS_AT_ONCE = 1 << 22


def checked_ks(ks: Sequence[int], most: int) -> tuple[int, ...]:
    """The ks as a tuple.

    Args:
        ks: numbers of neighbours, in any order.
        most: neighbours that every point has.

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
            f"k = {max(checked)}, and some point has only {most} others to choose from; "
            f"use k up to {most}, or more tokens"
        )
    return checked


def vote(
    codes: Int[np.ndarray, "queries neighbours"], n_classes: int, ks: Sequence[int]
) -> Int[np.ndarray, "queries ks"]:
    """The class that most of the k nearest belong to, for every k; ties go to the nearest tied class.

    Args:
        codes: classes of the neighbours, nearest first, in [0, n_classes).
        n_classes: number of classes.
        ks: numbers of neighbours that vote, in any order.
    """
    queries, most = codes.shape
    winners = np.empty((queries, len(ks)), dtype=np.intp)
    column = {k: j for j, k in enumerate(ks)}
    chunk = max(1, _NUMBERS_AT_ONCE // n_classes)
    for start in range(0, queries, chunk):
        some = codes[start : start + chunk]
        ranks, rows = np.ascontiguousarray(some.T), n_classes * np.arange(len(some))
        # A vote is worth more than any head start, and the earlier a class appears the larger its own.
        # So no two classes score the same, and the leader changes to the class that gets a vote or not at all.
        score = np.zeros(len(some) * n_classes, dtype=np.int64)
        leader, best = np.zeros((2, len(some)), dtype=np.int64)
        for rank in range(max(ks)):
            cast = ranks[rank]
            place = rows + cast
            now = score[place]
            now += most + 1 + (now == 0) * (most - rank)
            score[place] = now
            leader, best = np.where(now > best, cast, leader), np.maximum(now, best)
            if rank + 1 in column:
                winners[start : start + chunk, column[rank + 1]] = leader
    return winners
