"""Multinomial logistic regression, with scales, dimension and penalty fitted again in every fold.

A linear probe that weighs the features directly instead of modelling their distribution, as LDA does (Alain and Bengio
2017, "Understanding intermediate layers using linear classifier probes"; Hastie, Tibshirani and Friedman 2009, section
4.4). It minimises

    Σ_i -log softmax(W x_i + b)[label_i] + ‖W‖² / (2C)

over features x of mean 0 and variance 1 in the fold. C is chosen by cross-validation inside the fold.
`softmax_regression` finds the minimum.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.linalg import eigh

from lvm_probe import InputError
from lvm_probe.analysis.erasure import erased
from lvm_probe.analysis.labelled_points import LabelledPoints
from lvm_probe.analysis.predictions import Outcome, Protocol
from lvm_probe.analysis.principal_components import checked_match_dims
from lvm_probe.analysis.protocols import Fold, held_out
from lvm_probe.analysis.shape_annotations import Float, Int
from lvm_probe.analysis.softmax_regression import SoftmaxRegression

# C, strongest penalty first. At 1e-4 a few hundred points are predicted little better than by the shares of their
# classes, which is right for noise; at 10 they are fitted without error.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
OUTER_FOLDS = 10
INNER_FOLDS = 3
PROMPT_BLOCKS = 5
# Up to this number every group is a fold of its own; of more, several groups share a fold.
MAX_SINGLE_GROUPS = 20

# Largest entry of the gradient of the mean loss where the solver stops. With the coarse one, held-out losses are within
# a hundredth of the optimum's where they are least, and those of the next strengths differ by a tenth; under weaker
# penalties it stops earlier than that, but the loss has long grown. Predictions need the fine one: one in ten thousand
# changes when it is ten times as large.
_COARSE, _FINE = 4e-3, 1e-5
# In single precision, where the fine fit begins.
_ROUGH = 1e-4


def logistic_classify(
    points: Float[np.ndarray, "points dims"],
    labels: Int[np.ndarray, " points"],
    *,
    protocol: Protocol = "nested",
    groups: Int[np.ndarray, " points"] | None = None,
    prompts: Int[np.ndarray, " points"] | None = None,
    match_dims: int | None = None,
    erase: Int[np.ndarray, " points"] | None = None,
    rng: np.random.Generator | None = None,
    only_fold: int | None = None,
) -> Outcome:
    """Predict every point's label by logistic regression with an L2 penalty.

    `paper` fits on all points and judges the same ones (resubstitution), so it leaks. `nested` has ten folds of points,
    with the classes spread over them as evenly as possible, because every fold is a fit from scratch. `grouped` holds
    out whole groups: each alone where there are at most 20 of them, otherwise ten folds of groups. A point whose class
    does not occur in the training part of its fold counts as an error.

    Points are sorted before folds are drawn, so the order of the rows changes nothing.

    Args:
        points: features, any unit.
        labels: integers.
        protocol: how points are held out.
        groups: the group of every point, for `grouped`; otherwise only passed on to the outcome.
        prompts: as in `classify`. More than five are joined at random to five blocks, each of which is left out whole.
        match_dims: as in `classify`.
        erase: as in `classify`; the folds in which C is chosen share the eraser of their outer fold.
        rng: assigns points to folds; None is a generator seeded with 0.
        only_fold: predict the points of this fold only, of `fold_count`; the others get a label that does not occur.
            So folds can be computed side by side.

    Returns:
        The predictions, with ks (0,), dims 0 and shrinkage 0.

    Raises:
        InputError: points or labels that `LabelledPoints` refuses; fewer than two groups for `grouped`; `match_dims`
            below 1.

    Example:
        >>> points = np.arange(20.0)[:, None]
        >>> logistic_classify(points, np.arange(20) // 10).accuracy
        array([1.])
    """
    unsorted = LabelledPoints(points, labels, groups)
    size = checked_match_dims(match_dims, unsorted.points.shape[1])
    rng = np.random.default_rng(0) if rng is None else rng
    order = np.lexsort([labels, *([] if groups is None else [groups]), *unsorted.points.T])
    data = LabelledPoints(unsorted.points[order], labels[order], None if groups is None else groups[order])
    units = data.groups if protocol == "grouped" else None  # held out together, in the inner folds too

    predictions = np.full_like(labels, labels.min() - 1)
    folds = _folds(data, protocol, None if prompts is None else prompts[order], rng)
    for f, (fold, inside_rng) in enumerate(zip(folds, rng.spawn(len(folds)), strict=True)):
        if only_fold not in (None, f):
            continue
        fitted = np.full(len(order), True)
        fitted[fold.excluded] = protocol == "paper"
        inside = None if units is None else units[fitted]
        space = erased(data.points, None if erase is None else erase[order], np.flatnonzero(fitted))
        strength = chosen_strength(space[fitted], data.codes[fitted], inside, size, inside_rng)
        names, scores = class_log_probabilities(space[fitted], data.codes[fitted], space[fold.judged], size, strength)
        predictions[order[fold.judged]] = data.classes[names[scores.argmax(axis=1)]]
    outcome = Outcome(protocol, 0, 0.0, (0,), labels, predictions[:, None], groups)
    return outcome if protocol != "transfer" else outcome.of_rows(np.sort(order[folds[0].judged]))


def fold_count(
    n: int,
    protocol: Protocol,
    groups: Int[np.ndarray, " points"],
    prompts: Int[np.ndarray, " points"] | None = None,
) -> int:
    """The number of folds that `logistic_classify` has at most."""
    match protocol:
        case "paper" | "transfer":
            return 1
        case "nested":
            return min(n, OUTER_FOLDS)
        case "grouped":
            n_groups = len(np.unique(groups))
            blocks = 1 if prompts is None else min(len(np.unique(prompts)), PROMPT_BLOCKS)
            return blocks * (n_groups if n_groups <= MAX_SINGLE_GROUPS else OUTER_FOLDS)
    raise InputError(f"protocol is {protocol!r}; use paper, nested or grouped")


def chosen_strength(
    points: Float[np.ndarray, "points dims"],
    codes: Int[np.ndarray, " points"],
    units: Int[np.ndarray, " points"] | None,
    size: int,
    rng: np.random.Generator,
) -> float:
    """The C with the smallest cross-validated log loss among these points; scales and components are refitted.

    The search starts at the strongest penalty and stops where the loss grows for the first time, because weaker ones
    overfit and take longest. Points whose class does not occur in a fold are not scored; their loss would be infinite
    for every C.

    Args:
        points: the training part of an outer fold.
        codes: classes, in [0, n).
        units: points of one unit are held out together; None, or a single unit, holds out points.
        size: number of principal components; the features themselves where there are no more.
        rng: assigns points to the folds.
    """
    if units is not None and len(np.unique(units)) < 2:
        units = None
    fold = assigned(codes, units, INNER_FOLDS, rng)
    paths = [_losses(points, codes, fold == f, size) for f in np.unique(fold)]
    least, chosen = np.inf, STRENGTHS[0]
    for strength in STRENGTHS:
        loss = 0.0
        for path in paths:
            loss += next(path)
            if loss >= least:
                return chosen
        least, chosen = loss, strength
    return chosen


def class_log_probabilities(
    points: Float[np.ndarray, "points dims"],
    codes: Int[np.ndarray, " points"],
    others: Float[np.ndarray, "others dims"],
    size: int,
    strength: float,
) -> tuple[Int[np.ndarray, " classes"], Float[np.ndarray, "others classes"]]:
    """The classes of some points, and the natural logarithms of the probabilities that a fit to these gives to others.

    Args:
        points: fitted to; scales and components too.
        codes: classes.
        others: points whose classes are predicted.
        size: number of principal components; the features themselves where there are no more.
        strength: C.
    """
    names, place = np.unique(codes, return_inverse=True)
    if len(names) == 1:
        return names, np.zeros((len(others), 1))
    train, judged = _scaled_as_first(points, others, size)
    rough = SoftmaxRegression(train.astype(np.float32), place, _ROUGH)
    rough.fit(strength)
    model = SoftmaxRegression(train, place, _FINE)
    model.start_from(rough)
    model.fit(strength)
    return names, model.log_probabilities(judged)


def _folds(
    data: LabelledPoints, protocol: Protocol, prompts: Int[np.ndarray, " points"] | None, rng: np.random.Generator
) -> list[Fold]:
    """As `held_out`, but of fewer folds: of points under `nested`, of groups where there are many, and of prompts."""
    n, codes, groups = len(data.points), data.codes, data.groups
    match protocol:
        case "paper":
            every = np.arange(n)
            return [Fold(every, every)]
        case "nested":
            return held_out("grouped", n, assigned(codes, None, OUTER_FOLDS, rng))
    if protocol == "grouped" and groups is not None and len(np.unique(groups)) > MAX_SINGLE_GROUPS:
        groups = assigned(codes, groups, OUTER_FOLDS, rng)
    if prompts is not None:
        prompts = assigned(codes, prompts, PROMPT_BLOCKS, rng)
    return held_out(protocol, n, groups, prompts)


def assigned(
    codes: Int[np.ndarray, " points"],
    units: Int[np.ndarray, " points"] | None,
    folds: int,
    rng: np.random.Generator,
) -> Int[np.ndarray, " points"]:
    """The fold of every point: shuffled units in turn, class by class, so that each class is spread evenly.

    A unit counts as the class that most of its points have. Fewer units than folds fill the first folds.

    Args:
        codes: classes, in [0, n).
        units: points of one unit share a fold; None: each point is its own.
        folds: how many.
        rng: source of the order.
    """
    index = np.arange(len(codes)) if units is None else np.unique(units, return_inverse=True)[1]
    if units is not None:
        tokens = np.zeros((index.max() + 1, codes.max() + 1))
        np.add.at(tokens, (index, codes), 1)
        codes = tokens.argmax(axis=1)
    shuffled = rng.permutation(len(codes))
    turns = shuffled[np.argsort(codes[shuffled], kind="stable")]
    fold = np.empty(len(codes), dtype=np.intp)
    fold[turns] = np.arange(len(codes)) % folds
    return fold[index]


def _losses(points: np.ndarray, codes: np.ndarray, held_out: np.ndarray, size: int) -> Iterator[float]:
    """Summed log loss of the held-out points for one strength after another; each fit starts from the one before."""
    present = np.unique(codes[~held_out])
    if len(present) < 2:
        yield from [0.0] * len(STRENGTHS)
        return
    scored = held_out & np.isin(codes, present)
    train, others = (part.astype(np.float32) for part in _scaled_as_first(points[~held_out], points[scored], size))
    column = np.searchsorted(present, codes[scored])
    model = SoftmaxRegression(train, np.searchsorted(present, codes[~held_out]), _COARSE)
    for strength in STRENGTHS:
        model.fit(strength)
        yield -float(model.log_probabilities(others)[np.arange(len(column)), column].sum())


def _scaled_as_first(train: np.ndarray, others: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Both scaled so that the first have mean 0 and variance 1, or their leading components; constants become 0."""
    varies = np.ptp(train, axis=0) > 0
    mean, scale = train.mean(axis=0), np.where(varies, train.std(axis=0), 1.0)
    train, others = ((points - mean) / scale * varies for points in (train, others))
    n_features = train.shape[1]
    if size < n_features:
        axes = eigh(train.T @ train, subset_by_index=(n_features - size, n_features - 1))[1]
        train, others = train @ axes, others @ axes
    return train, others
