"""Three ways of holding points out, for nearest neighbours among discriminants and for LDA itself.

`paper` fits on all points and leaves one out among the neighbours only (Havtorn et al., *Towards Generative
Latent Variable Models for Speech*): the held-out point has shaped the space it is judged in, so this leaks,
and leaks more with every dimension. `nested` fits again without each point, exactly. `speaker` fits again
without each group and judges its points by the others.
"""

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from analysis.errors import InputError
from analysis.knn import checked_ks, neighbours_without_each, neighbours_without_group, vote
from analysis.labelled import LabelledPoints
from analysis.lda import (
    Dims,
    Moments,
    Shrinkage,
    checked_dims,
    checked_shrinkage,
    discriminants,
    gaussian_rule,
    intensity,
    moments,
    moments_without_each,
    standardised,
)
from analysis.outcome import Outcome, Protocol

DEFAULT_KS = tuple(range(1, 51))

Rows = Int[np.ndarray, " rows"]


def classify(
    points: Float[np.ndarray, "tokens dims"],
    labels: Int[np.ndarray, " tokens"],
    *,
    protocol: Protocol = "nested",
    lda_dims: Dims = 5,
    ks: Sequence[int] = DEFAULT_KS,
    shrinkage: Shrinkage = "ledoit-wolf",
    groups: Int[np.ndarray, " tokens"] | None = None,
) -> Outcome:
    """Predicts every point's label from its k nearest neighbours among linear discriminants.

    Args:
        points: features, any unit.
        labels: integers.
        protocol: how points are held out.
        lda_dims: discriminants kept; 0 uses the features as they are; "full" keeps all there are.
        ks: numbers of neighbours, all from one search.
        shrinkage: of the covariance within classes, fitted in the fold. `paper` has none by definition.
        groups: for `speaker`, the group of every point; otherwise only carried to the outcome.

    Raises:
        InputError: points or labels that `LabelledPoints` refuses; k, D or shrinkage out of range; no
            groups for `speaker`; a singular covariance.
    """
    match protocol:
        case "paper":
            return paper(points, labels, lda_dims=lda_dims, ks=ks, groups=groups)
        case "nested":
            return nested(points, labels, lda_dims=lda_dims, ks=ks, shrinkage=shrinkage, groups=groups)
        case "speaker":
            return speaker(points, labels, groups, lda_dims=lda_dims, ks=ks, shrinkage=shrinkage)
    raise _unknown(protocol)


def paper(
    points: Float[np.ndarray, "tokens dims"],
    labels: Int[np.ndarray, " tokens"],
    *,
    lda_dims: Dims = 5,
    ks: Sequence[int] = DEFAULT_KS,
    groups: Int[np.ndarray, " tokens"] | None = None,
) -> Outcome:
    """LDA fitted on all points by scikit-learn, then leave-one-out neighbours: the paper's, and it leaks."""
    data = LabelledPoints(points, labels, groups)
    dims = checked_dims(lda_dims, len(data.classes), data.points.shape[1])
    ks = checked_ks(ks, len(data.points) - 1)
    space = data.points
    if dims:
        distinct, place = np.unique(space, axis=0, return_inverse=True)  # so that duplicates tie exactly
        space = _scikit_lda(data, n_components=dims).transform(distinct)[place]
    return _by_vote("paper", data, dims, 0.0, ks, neighbours_without_each(space, max(ks)))


def nested(
    points: Float[np.ndarray, "tokens dims"],
    labels: Int[np.ndarray, " tokens"],
    *,
    lda_dims: Dims = 5,
    ks: Sequence[int] = DEFAULT_KS,
    shrinkage: Shrinkage = "ledoit-wolf",
    groups: Int[np.ndarray, " tokens"] | None = None,
) -> Outcome:
    """LDA with its scales and shrinkage fitted again without each point, which the others then judge.

    The only member of its class meets no other and counts as an error. A fold with too few classes for D
    keeps the discriminants it has. Without LDA nothing is fitted, and this equals `paper`.
    """
    data = LabelledPoints(points, labels, groups)
    dims = checked_dims(lda_dims, len(data.classes), data.points.shape[1])
    ks = checked_ks(ks, len(data.points) - 1)
    if dims == 0:
        return _by_vote("nested", data, 0, 0.0, ks, neighbours_without_each(data.points, max(ks)))
    found, amount = _refitted_neighbours(data, "nested", dims, checked_shrinkage(shrinkage), max(ks))
    return _by_vote("nested", data, dims, amount, ks, found)


def speaker(
    points: Float[np.ndarray, "tokens dims"],
    labels: Int[np.ndarray, " tokens"],
    groups: Int[np.ndarray, " tokens"] | None,
    *,
    lda_dims: Dims = 5,
    ks: Sequence[int] = DEFAULT_KS,
    shrinkage: Shrinkage = "ledoit-wolf",
) -> Outcome:
    """LDA with its scales and shrinkage fitted again without each group, which the other groups then judge.

    Rules as in `nested`, which this equals where every point is a group of its own.
    """
    data = LabelledPoints(points, labels, groups)
    dims = checked_dims(lda_dims, len(data.classes), data.points.shape[1])
    rows = _rows_of_groups(data)
    ks = checked_ks(ks, len(data.points) - max(map(len, rows)))
    if dims == 0:
        found = np.empty((len(data.points), max(ks)), dtype=np.intp)
        for held_out in rows:
            found[held_out] = neighbours_without_group(data.points, held_out, max(ks))
        return _by_vote("speaker", data, 0, 0.0, ks, found)
    found, amount = _refitted_neighbours(data, "speaker", dims, checked_shrinkage(shrinkage), max(ks))
    return _by_vote("speaker", data, dims, amount, ks, found)


def lda_classify(
    points: Float[np.ndarray, "tokens dims"],
    labels: Int[np.ndarray, " tokens"],
    *,
    protocol: Protocol = "nested",
    shrinkage: Shrinkage = "ledoit-wolf",
    groups: Int[np.ndarray, " tokens"] | None = None,
) -> Outcome:
    """Predicts every point's label by LDA: the nearest class mean among all discriminants, with log priors.

    Under `paper` this is resubstitution: fitted by scikit-learn on all points and judged on the same ones.
    The outcome has ks (0,), for no neighbour votes. Arguments and errors are those of `classify`.
    """
    data = LabelledPoints(points, labels, groups)
    shrinkage = checked_shrinkage(shrinkage)
    dims = checked_dims("full", len(data.classes), data.points.shape[1])
    predicted = np.empty_like(data.labels)
    amounts = [0.0]
    match protocol:
        case "paper":
            predicted[:] = _scikit_lda(data).predict(data.points)
        case "nested" | "speaker":
            space = standardised(data.points)
            amounts.clear()
            for held_out, fold in _folds(data, space, protocol):
                amounts.append(intensity(fold, shrinkage))
                codes = gaussian_rule(fold, amounts[-1]).predict(space[held_out])
                predicted[held_out] = data.classes[codes]
        case _:
            raise _unknown(protocol)
    return Outcome(protocol, dims, float(np.mean(amounts)), (0,), data.labels, predicted[:, None], data.groups)


def _refitted_neighbours(
    data: LabelledPoints, protocol: Protocol, dims: int, shrinkage: Shrinkage, k: int
) -> tuple[Int[np.ndarray, "tokens k"], float]:
    """The neighbours of every point in the discriminants of its fold, and the mean intensity of shrinkage."""
    space = standardised(data.points)
    distinct, place = np.unique(space, axis=0, return_inverse=True)  # so that duplicates tie exactly
    found = np.empty((len(space), k), dtype=np.intp)
    amounts = []
    for held_out, fold in _folds(data, space, protocol):
        amounts.append(intensity(fold, shrinkage))
        projected = (distinct @ discriminants(fold, amounts[-1], dims))[place]
        found[held_out] = neighbours_without_group(projected, held_out, k)
    return found, float(np.mean(amounts))


def _folds(
    data: LabelledPoints, space: Float[np.ndarray, "tokens dims"], protocol: Protocol
) -> Iterator[tuple[Rows, Moments]]:
    """The rows held out by each fold, and the moments of all others."""
    rows = list(np.arange(len(space))[:, None]) if protocol == "nested" else _rows_of_groups(data)
    if len(rows) == len(space):
        without_each = moments_without_each(space, data.codes, len(data.classes))
        yield from zip(np.arange(len(space))[:, None], without_each, strict=True)
        return
    for held_out in rows:
        others = np.delete(np.arange(len(space)), held_out)
        yield held_out, moments(space[others], data.codes[others], len(data.classes))


def _rows_of_groups(data: LabelledPoints) -> list[Rows]:
    if data.groups is None:
        raise InputError("protocol speaker needs groups; give the speaker of every point, or use nested")
    names = np.unique(data.groups)
    if len(names) < 2:
        raise InputError("protocol speaker found one group; give points of two or more speakers, or use nested")
    return [np.flatnonzero(data.groups == name) for name in names]


def _scikit_lda(data: LabelledPoints, n_components: int | None = None) -> LinearDiscriminantAnalysis:
    if len(data.points) <= len(data.classes):
        raise InputError(
            f"{len(data.points)} points in {len(data.classes)} classes; "
            "LDA needs more points than classes, so give more tokens or merge classes"
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Variables are collinear")  # it drops them, as the paper's did
        return LinearDiscriminantAnalysis(solver="svd", n_components=n_components).fit(data.points, data.labels)


def _by_vote(
    protocol: Protocol,
    data: LabelledPoints,
    dims: int,
    amount: float,
    ks: tuple[int, ...],
    neighbours: Int[np.ndarray, "tokens most"],
) -> Outcome:
    codes = vote(data.codes[neighbours], len(data.classes), ks)
    return Outcome(protocol, dims, amount, ks, data.labels, data.classes[codes], data.groups, neighbours=neighbours)


def _unknown(protocol: str) -> InputError:
    return InputError(f"protocol is {protocol!r}; use paper, nested or speaker")
