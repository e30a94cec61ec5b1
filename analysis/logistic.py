"""Multinomial logistic regression, its scales, dimension and penalty fitted again in every fold.

A linear probe that weighs features directly instead of modelling them, as LDA does (Alain and Bengio 2017,
*Understanding intermediate layers using linear classifier probes*; Hastie, Tibshirani and Friedman 2009,
section 4.4). It minimises

    Σ_i -log softmax(Wx_i + b)[label_i] + ‖W‖² / (2C)

over features x of mean 0 and variance 1 in the fold; for two classes W is one row, the difference of theirs. C is
chosen by cross-validation inside the fold.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import eigh

from lvm_probe import InputError
from lvm_probe.analysis.labelled_points import LabelledPoints
from lvm_probe.analysis.predictions import Outcome, Protocol
from lvm_probe.analysis.principal_components import checked_match_dims
from lvm_probe.analysis.shape_annotations import Float, Int

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

# C, weakest fit first. At 1e-4 a few hundred tokens hardly move from the shares of their classes, which is
# right for noise; at 10 they are fitted without error.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
OUTER_FOLDS = 10
INNER_FOLDS = 5
# Up to here every group is a fold of its own; beyond, one fit a group costs more than it tells.
MOST_GROUPS_ALONE = 20

# Largest entry of the gradient of the mean loss where the solver stops. The coarse one, enough to compare
# strengths, takes half the time or less; at C = 10 its predictions would differ for two points in a hundred.
_COARSE, _FINE = 1e-4, 1e-6
_MOST_ITERATIONS = 2000


def logistic_classify(
    points: Float[np.ndarray, "tokens dims"],
    labels: Int[np.ndarray, " tokens"],
    *,
    protocol: Protocol = "nested",
    groups: Int[np.ndarray, " tokens"] | None = None,
    match_dims: int | None = None,
    rng: np.random.Generator | None = None,
) -> Outcome:
    """Predicts every point's label by logistic regression with an L2 penalty.

    `paper` fits on all points and judges the same ones (resubstitution): it leaks. `nested` has ten folds of
    tokens with the classes spread as evenly as they allow, instead of a fold for every token: each fold is a
    fit from scratch, with no downdate as LDA has. `grouped` holds out whole groups: each alone up to 20 of
    them, ten folds of groups beyond. A class that a fold lacks is an error for its points.

    Points are put into an order of their own before folds are drawn, so the order of rows plays no part.

    Args:
        points: features, any unit; their scales play no part.
        labels: integers.
        protocol: how points are held out.
        groups: for `grouped`, the group of every point; otherwise only carried to the outcome.
        match_dims: as in `classify`.
        rng: deals points to folds; None is a generator seeded with 0.

    Returns:
        An outcome with ks (0,), dims 0 and shrinkage 0.

    Raises:
        InputError: points or labels that `LabelledPoints` refuses; no groups, or only one, for `grouped`;
            `match_dims` below 1.
    """
    given = LabelledPoints(points, labels, groups)
    kept = checked_match_dims(match_dims, given.points.shape[1])
    rng = np.random.default_rng(0) if rng is None else rng
    keys = [given.labels, *given.points.T] if groups is None else [given.labels, groups, *given.points.T]
    order = np.lexsort(keys)
    data = LabelledPoints(given.points[order], labels[order], None if groups is None else groups[order])
    units = data.groups if protocol == "grouped" else None  # what is held out together, inside as outside

    codes = np.empty_like(data.codes)
    for held_out in _held_out(data, protocol, rng):
        fitted = np.full(len(codes), True) if protocol == "paper" else ~held_out
        inside = None if units is None else units[fitted]
        strength = chosen_strength(data.points[fitted], data.codes[fitted], inside, kept, rng)
        train, others = _in_units_of_first(data.points[fitted], data.points[held_out], kept)
        codes[held_out] = _predicted(train, data.codes[fitted], others, strength)
    predictions = np.empty_like(given.labels)
    predictions[order] = data.classes[codes]
    return Outcome(protocol, 0, 0.0, (0,), given.labels, predictions[:, None], given.groups)


def chosen_strength(
    points: Float[np.ndarray, "tokens dims"],
    codes: Int[np.ndarray, " tokens"],
    units: Int[np.ndarray, " tokens"] | None,
    kept: int,
    rng: np.random.Generator,
) -> float:
    """The C of least cross-validated log loss among these points, scales and components refitted each time.

    The path starts at the strongest penalty and ends where the loss grows for the first time: weaker ones
    overfit, and cost most. Points whose class a fold lacks are not scored; they would be infinitely wrong
    under every C.

    Args:
        points: the training part of an outer fold.
        codes: classes, in [0, n).
        units: tokens of one unit are held out together; None, or a single unit, holds out tokens.
        kept: principal components, or the features where there are no more.
        rng: deals points to the folds.
    """
    if units is not None and len(np.unique(units)) < 2:
        units = None
    fold = _dealt(codes, units, INNER_FOLDS, rng)
    paths = [_losses(points, codes, fold == f, kept) for f in np.unique(fold)]
    least, chosen = np.inf, STRENGTHS[0]
    for strength, losses in zip(STRENGTHS, zip(*paths, strict=True), strict=True):
        if sum(losses) >= least:
            break
        least, chosen = sum(losses), strength
    return chosen


def _held_out(data: LabelledPoints, protocol: Protocol, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Masks of the points judged together, fold by fold."""
    match protocol:
        case "paper":
            yield np.full(len(data.points), True)
            return
        case "nested":
            fold = _dealt(data.codes, None, OUTER_FOLDS, rng)
        case "grouped":
            if data.groups is None:
                raise InputError("protocol grouped needs groups; give the group of every point, or use nested")
            names, index = np.unique(data.groups, return_inverse=True)
            if len(names) < 2:
                raise InputError("protocol grouped found one group; give points of two or more groups, or use nested")
            alone = len(names) <= MOST_GROUPS_ALONE
            fold = index if alone else _dealt(data.codes, data.groups, OUTER_FOLDS, rng)
        case _:
            raise InputError(f"protocol is {protocol!r}; use paper, nested or grouped")
    for f in range(fold.max() + 1):
        yield fold == f


def _dealt(
    codes: Int[np.ndarray, " tokens"],
    units: Int[np.ndarray, " tokens"] | None,
    folds: int,
    rng: np.random.Generator,
) -> Int[np.ndarray, " tokens"]:
    """The fold of every token: shuffled units dealt in turn, class by class, so that each class is spread evenly.

    A unit counts as of the class that most of its tokens have. Fewer units than folds fill the first folds.
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


def _losses(points: np.ndarray, codes: np.ndarray, held_out: np.ndarray, kept: int) -> Iterator[float]:
    """Log loss of the held-out points, summed, under one strength after another; each fit starts at the last."""
    present = np.unique(codes[~held_out])
    if len(present) < 2:
        yield from [0.0] * len(STRENGTHS)
        return
    scored = held_out & np.isin(codes, present)
    train, others = _in_units_of_first(points[~held_out], points[scored], kept)
    column = np.searchsorted(present, codes[scored])
    model = _started(train, codes[~held_out], _COARSE)
    for strength in STRENGTHS:
        model.set_params(C=strength).fit(train, codes[~held_out])
        scores = model.predict_log_proba(others) if len(others) else np.zeros((0, len(present)))
        yield -float(scores[np.arange(len(column)), column].sum())


def _predicted(train: np.ndarray, codes: np.ndarray, others: np.ndarray, strength: float) -> np.ndarray:
    if (codes == codes[0]).all():
        return np.full(len(others), codes[0])
    return _started(train, codes, _FINE).set_params(C=strength).fit(train, codes).predict(others)


def _started(train: np.ndarray, codes: np.ndarray, tolerance: float) -> LogisticRegression:
    """A model that predicts the classes' shares, where the solver is to start: the answer of an endless penalty."""
    from sklearn.linear_model import LogisticRegression  # takes longer to import than all else here

    model = LogisticRegression(warm_start=True, tol=tolerance, max_iter=_MOST_ITERATIONS)
    log_shares = np.log(np.unique(codes, return_counts=True)[1] / len(codes))
    if len(log_shares) == 2:  # scikit-learn keeps one row for two classes, as differences from the first
        log_shares = log_shares[1:] - log_shares[:1]
    model.coef_ = np.zeros((len(log_shares), train.shape[1]))
    model.intercept_ = log_shares
    return model


def _in_units_of_first(train: np.ndarray, others: np.ndarray, kept: int) -> tuple[np.ndarray, np.ndarray]:
    """Both in units where the first have mean 0 and variance 1, or in their leading components; constants are 0."""
    varies = np.ptp(train, axis=0) > 0
    mean, scale = train.mean(axis=0), np.where(varies, train.std(axis=0), 1.0)
    train, others = ((points - mean) / scale * varies for points in (train, others))
    size = train.shape[1]
    if kept < size:
        axes = eigh(train.T @ train, subset_by_index=(size - kept, size - 1))[1]
        train, others = train @ axes, others @ axes
    return train, others
