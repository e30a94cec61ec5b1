"""Online code length: how many bits it takes to send labels to somebody who has the features.

Voita and Titov 2020, "Information-Theoretic Probing with Minimum Description Length", section 2.2. The points come in
blocks. The labels of the first are sent by a uniform code, those of every later one by the probabilities of a probe
that was fitted to all blocks before it, which the receiver can fit too:

    L = n₁ log₂ K + Σ_b Σ_{i in block b} -log₂ p(label_i | x_i; fitted to the blocks before b)

A feature has a short code if its probe predicts well and needs few points to learn it from. The probe is logistic
regression as in `logistic`, its penalty chosen inside the blocks that it is fitted to.

A block holds whole groups (utterances, speakers), in random order, and the groups that a probe is fitted to double from
block to block: 1, 2, 4, and so on. The code length is the mean over several orders, which are rotations of one random
order, so that a group that comes early in one of them comes late in another. A class that has not occurred yet counts
as half a point (Krichevsky and Trofimov 1981, "The performance of universal encoding"), or its code would have no end;
once all have occurred, nothing is smoothed but by the penalty.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.erasure import erased
from lvm_probe.analysis.labelled_points import LabelledPoints
from lvm_probe.analysis.logistic import PROMPT_BLOCKS, assigned, chosen_strength, class_log_probabilities
from lvm_probe.analysis.principal_components import checked_match_dims
from lvm_probe.analysis.shape_annotations import Float, Int

DEFAULT_ORDERS = 3
UNSEEN = 0.5
"""Points that a class counts as before it has occurred."""


@dataclass(frozen=True)
class CurvePoint:
    """What probes that were fitted to so many groups say of the next block, over all orders.

    Attributes:
        groups: fitted to; 0 for the first block, which has a uniform code.
        fitted: points that a probe was fitted to, the mean over the orders, and over the prompts that are held out.
        n: points judged, over all orders.
        bits: of their labels, in total.
        share_bits: of the same labels by class shares alone.
        right: how many of them were predicted right; NaN for the first block.
    """

    groups: int
    fitted: float
    n: int
    bits: float
    share_bits: float
    right: float


@dataclass(frozen=True)
class CodeLength:
    """The online code of some labels.

    Attributes:
        labels: the labels.
        n_classes: how many classes the receiver knows that there are.
        bits: of each label, the mean over the orders.
        accuracy: the share of the orders in which each label was predicted right before it was sent, of those where it
            was not in the first block; NaN where it always was.
        share_bits: of each label by a code that knows no features, only how often each class occurred in the blocks
            before.
        curve: the learning curve, fewest groups first.
    """

    labels: Int[np.ndarray, " points"]
    n_classes: int
    bits: Float[np.ndarray, " points"]
    accuracy: Float[np.ndarray, " points"]
    share_bits: Float[np.ndarray, " points"]
    curve: tuple[CurvePoint, ...]

    @property
    def uniform_bits(self) -> float:
        """Bits per label where nothing is known but the number of classes."""
        return float(np.log2(self.n_classes))


class _Block(NamedTuple):
    """Points that are sent together, and the groups before them."""

    sent: Int[np.ndarray, " sent"]
    before: Int[np.ndarray, " before"]
    groups: int


def code_length(
    points: Float[np.ndarray, "points dims"],
    labels: Int[np.ndarray, " points"],
    *,
    groups: Int[np.ndarray, " points"] | None = None,
    prompts: Int[np.ndarray, " points"] | None = None,
    n_classes: int | None = None,
    orders: int = DEFAULT_ORDERS,
    match_dims: int | None = None,
    erase: Int[np.ndarray, " points"] | None = None,
    rng: np.random.Generator | None = None,
) -> CodeLength:
    """The online code length of labels given features.

    Points are sorted before anything is drawn, so the order of the rows changes nothing.

    Args:
        points: features, any unit.
        labels: integers.
        groups: the group (utterance, speaker) of every point: a block holds whole groups. None: each point is its own.
        prompts: what was read at every point: nothing is fitted to what shares a block of prompts with the labels that
            are sent. More than five are joined at random to five blocks.
        n_classes: classes that the receiver knows of; None: those that occur.
        orders: random orders of the groups that the code length is the mean of.
        match_dims: reduce the features to this many principal components, fitted to the blocks before.
        erase: the class of every point in a concept that is erased from the features by an eraser that is fitted to the
            blocks before; None erases nothing.
        rng: of orders and folds; None is a generator seeded with 0.

    Raises:
        InputError: points or labels that `LabelledPoints` refuses; one group; no orders; fewer classes than occur.

    Example:
        >>> points = np.arange(64.0)[:, None] % 2
        >>> code = code_length(points, np.arange(64) % 2)
        >>> bool(code.bits.mean() < 0.2 * code.uniform_bits)
        True
    """
    unsorted = LabelledPoints(points, labels, groups)
    order = np.lexsort([labels, *([] if groups is None else [groups]), *unsorted.points.T])
    data = LabelledPoints(unsorted.points[order], labels[order], None if groups is None else groups[order])
    size = checked_match_dims(match_dims, data.points.shape[1])
    known = len(data.classes) if n_classes is None else n_classes
    if known < len(data.classes):
        raise InputError(f"n_classes is {known}, but {len(data.classes)} occur; give as many or more")
    if orders < 1:
        raise InputError(f"orders is {orders}; give a positive number of orders, such as {DEFAULT_ORDERS}")
    n = len(order)
    units = np.arange(n) if data.groups is None else np.unique(data.groups, return_inverse=True)[1]
    if units.max() == 0:
        raise InputError("the points are of one group, which is sent before anything is learnt; give two or more")

    bits, share_bits, right, times = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    curve: dict[int, list[CurvePoint]] = {}
    rng = np.random.default_rng(0) if rng is None else rng
    places = _places(int(units.max()) + 1, orders, rng)
    for place, draws in zip(places, rng.spawn(orders), strict=True):
        of_prompts = None
        if prompts is not None:
            of_prompts = assigned(data.codes, prompts[order], PROMPT_BLOCKS, draws)
        for block in _blocks(place[units]):
            sent, now, by_shares = block.sent, np.zeros(n), np.zeros(n)
            said, sizes = np.full(n, -1), list[int]()
            for some, fitted in _without_prompts(block, of_prompts):
                inside = units[fitted] if data.groups is not None else None
                sizes.append(len(fitted))
                space = data.points if erase is None or not len(fitted) else erased(data.points, erase[order], fitted)
                where = space[fitted], data.codes[fitted], space[some]
                probabilities = _log2_probabilities(*where, known, inside, size, draws)
                now[some] = -probabilities[np.arange(len(some)), data.codes[some]]
                said[some] = probabilities.argmax(axis=1) if len(fitted) else -1
                by_shares[some] = -_log2_shares(data.codes[fitted], known)[data.codes[some]]
            bits += now
            share_bits += by_shares
            correct = float("nan")
            if block.groups:
                right[sent] += said[sent] == data.codes[sent]
                times[sent] += 1
                correct = float((said[sent] == data.codes[sent]).sum())
            sums = float(now.sum()), float(by_shares.sum())
            point = CurvePoint(block.groups, float(np.mean(sizes)), len(sent), *sums, correct)
            curve.setdefault(block.groups, []).append(point)

    def of_rows(values: np.ndarray) -> np.ndarray:
        unsorted = np.empty(n)
        unsorted[order] = values
        return unsorted

    share = np.divide(right, times, out=np.full(n, np.nan), where=times > 0)
    means = [_joined(points) for _, points in sorted(curve.items())]
    return CodeLength(labels, known, of_rows(bits / orders), of_rows(share), of_rows(share_bits / orders), tuple(means))


def joined_curves(curves: list[tuple[CurvePoint, ...]]) -> tuple[CurvePoint, ...]:
    """The learning curve of several pools of points together, each fitted by itself.

    Example:
        >>> one, other = CurvePoint(1, 10.0, 4, 8.0, 9.0, 1.0), CurvePoint(1, 20.0, 4, 4.0, 9.0, 3.0)
        >>> joined_curves([(one,), (other,)])
        (CurvePoint(groups=1, fitted=15.0, n=8, bits=12.0, share_bits=18.0, right=4.0),)
    """
    by_groups: dict[int, list[CurvePoint]] = {}
    for point in (point for curve in curves for point in curve):
        by_groups.setdefault(point.groups, []).append(point)
    return tuple(_joined(points) for _, points in sorted(by_groups.items()))


def _joined(points: list[CurvePoint]) -> CurvePoint:
    fitted = float(np.mean([point.fitted for point in points]))
    n, *sums = (sum(getattr(point, name) for point in points) for name in ("n", "bits", "share_bits", "right"))
    return CurvePoint(points[0].groups, fitted, n, *sums)


def _places(count: int, orders: int, rng: np.random.Generator) -> list[Int[np.ndarray, " groups"]]:
    """The place of every group in each order: rotations of a random order, as far apart as can be.

    A new order is drawn once each group has been first.
    """
    places = []
    for begin in range(0, orders, count):
        some, place = min(orders - begin, count), rng.permutation(count)
        places += [(place + i * count // some) % count for i in range(some)]
    return places


def _blocks(place: Int[np.ndarray, " points"]) -> Iterator[_Block]:
    """The points of the first group, then of as many as went before each time; the last block has what remains.

    Args:
        place: of every point's group in the order, from 0.
    """
    begin = 0
    while begin <= place.max():
        end = max(1, 2 * begin)
        yield _Block(np.flatnonzero((place >= begin) & (place < end)), np.flatnonzero(place < begin), begin)
        begin = end


def _without_prompts(
    block: _Block, prompts: Int[np.ndarray, " points"] | None
) -> Iterator[tuple[Int[np.ndarray, " sent"], Int[np.ndarray, " fitted"]]]:
    """Parts of a block, and what a probe is fitted to for each: what went before, but for the part's prompts."""
    if prompts is None:
        yield block.sent, block.before
        return
    for prompt in np.unique(prompts[block.sent]):
        yield block.sent[prompts[block.sent] == prompt], block.before[prompts[block.before] != prompt]


def _log2_probabilities(
    points: np.ndarray,
    codes: np.ndarray,
    others: np.ndarray,
    n_classes: int,
    units: np.ndarray | None,
    size: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "others classes"]:
    """Of every class for the others, after a fit to the points."""
    shares = _log2_shares(codes, n_classes)
    if len(np.unique(codes)) < 2:
        return np.tile(shares, (len(others), 1))
    _, place = np.unique(codes, return_inverse=True)  # the strength is chosen among classes 0, 1, and so on
    strength = chosen_strength(points, place, units, size, rng)
    names, scores = class_log_probabilities(points, codes, others, size, strength)
    table = np.tile(shares, (len(others), 1))
    table[:, names] = scores / np.log(2) + np.log2(np.exp2(shares[names]).sum())
    return table


def _log2_shares(codes: np.ndarray, n_classes: int) -> Float[np.ndarray, " classes"]:
    """Of every class by how often it occurred, where each that did not counts as half a point."""
    counts = np.bincount(codes, minlength=n_classes).astype(np.float64)
    counts[counts == 0] = UNSEEN
    return np.log2(counts / counts.sum())
