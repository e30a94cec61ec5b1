"""Three ways of holding points out, for nearest neighbours among discriminants and for LDA itself.

`paper` fits on all points and leaves one out among the neighbours only (Havtorn et al., *Towards Generative
Latent Variable Models for Speech*): the held-out point has shaped the space it is judged in, so this leaks,
and leaks more with every dimension. `nested` fits again without each point, exactly. `grouped` fits again
without each group and judges its points by the others.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis import downdate, few
from lvm_probe.analysis.knn import checked_ks, vote
from lvm_probe.analysis.labelled_points import LabelledPoints
from lvm_probe.analysis.lda import (
    Dims,
    Moments,
    Rows,
    Shrinkage,
    checked_dims,
    checked_match_dims,
    checked_shrinkage,
    discriminants,
    gaussian_rule,
    intensity,
    moments,
    moments_without,
    principal_axes,
    scikit_discriminants,
    standardised,
)
from lvm_probe.analysis.neighbours import neighbours_in_other_groups, neighbours_without_each, neighbours_without_group
from lvm_probe.analysis.predictions import Outcome, Protocol
from lvm_probe.analysis.shape_annotations import Bool, Float, Int

if TYPE_CHECKING:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

DEFAULT_KS = tuple(range(1, 51))


def classify(
    points: Float[np.ndarray, "tokens dims"],
    labels: Int[np.ndarray, " tokens"],
    *,
    protocol: Protocol = "nested",
    lda_dims: Dims = 5,
    ks: Sequence[int] = DEFAULT_KS,
    shrinkage: Shrinkage = "ledoit-wolf",
    groups: Int[np.ndarray, " tokens"] | None = None,
    match_dims: int | None = None,
    judged: Rows | None = None,
) -> Outcome:
    """Predicts every point's label from its k nearest neighbours among linear discriminants.

    Args:
        points: features, any unit.
        labels: integers.
        protocol: how points are held out.
        lda_dims: discriminants kept; 0 uses the features as they are; "full" keeps all there are.
        ks: numbers of neighbours, all from one search.
        shrinkage: of the covariance within classes, fitted in the fold. `paper` has none by definition.
        groups: for `grouped`, the group of every point; otherwise only carried to the outcome.
        match_dims: reduce the features first, to so many principal components of the standardised features,
            fitted in the fold; None, or as many as there are features or more, leaves them as they are. The
            components keep their variances, which matters where `lda_dims` is 0.
        judged: rows whose labels to predict, ascending, under `nested`; None predicts all.

    Raises:
        InputError: points or labels that `LabelledPoints` refuses; k, D, shrinkage, `match_dims` or `judged` out of
            range; no groups for `grouped`; a singular covariance.
    """
    _check_judged(judged, protocol, len(points))
    match protocol:
        case "paper":
            return paper(points, labels, lda_dims=lda_dims, ks=ks, groups=groups, match_dims=match_dims)
        case "nested":
            return nested(
                points,
                labels,
                lda_dims=lda_dims,
                ks=ks,
                shrinkage=shrinkage,
                groups=groups,
                match_dims=match_dims,
                judged=judged,
            )
        case "grouped":
            return grouped(points, labels, groups, lda_dims=lda_dims, ks=ks, shrinkage=shrinkage, match_dims=match_dims)
    raise _unknown(protocol)


def paper(
    points: Float[np.ndarray, "tokens dims"],
    labels: Int[np.ndarray, " tokens"],
    *,
    lda_dims: Dims = 5,
    ks: Sequence[int] = DEFAULT_KS,
    groups: Int[np.ndarray, " tokens"] | None = None,
    match_dims: int | None = None,
) -> Outcome:
    """LDA fitted on all points as scikit-learn does, then leave-one-out neighbours: the paper's, and it leaks.

    Principal components are fitted on all points too.
    """
    data = LabelledPoints(points, labels, groups)
    n_features = checked_match_dims(match_dims, data.points.shape[1])
    dims = checked_dims(lda_dims, len(data.classes), n_features)
    ks = checked_ks(ks, len(data.points) - 1)
    data = _matched(data, n_features)
    space = data.points
    if dims:
        _check_more_than_classes(data)
        axes = scikit_discriminants(space, data.codes, len(data.classes))[:, :dims]
        space = _Copies.of(space).restored((space - space.mean(axis=0)) @ axes)
    return _by_vote("paper", data, dims, 0.0, ks, _neighbours_of_each(space, ks))


def nested(
    points: Float[np.ndarray, "tokens dims"],
    labels: Int[np.ndarray, " tokens"],
    *,
    lda_dims: Dims = 5,
    ks: Sequence[int] = DEFAULT_KS,
    shrinkage: Shrinkage = "ledoit-wolf",
    groups: Int[np.ndarray, " tokens"] | None = None,
    match_dims: int | None = None,
    judged: Rows | None = None,
) -> Outcome:
    """LDA with its scales and shrinkage fitted again without each point, which the others then judge.

    The only member of its class meets no other and counts as an error. A fold with too few classes for D
    keeps the discriminants it has. Where nothing is fitted, without LDA and principal components, this equals
    `paper`. Only the points of `judged`, where given, are held out and judged.
    """
    data = LabelledPoints(points, labels, groups)
    n_features = checked_match_dims(match_dims, data.points.shape[1])
    dims = checked_dims(lda_dims, len(data.classes), n_features)
    ks = checked_ks(ks, len(data.points) - 1)
    if dims == 0 and n_features == data.points.shape[1]:
        return _by_vote("nested", data, 0, 0.0, ks, _neighbours_of_each(data.points, ks), judged)
    rows = _rows_of_folds(data, "nested", judged)
    found, amount = _refitted_neighbours(data, rows, n_features, dims, checked_shrinkage(shrinkage), max(ks))
    return _by_vote("nested", data, dims, amount, ks, found, judged)


def grouped(
    points: Float[np.ndarray, "tokens dims"],
    labels: Int[np.ndarray, " tokens"],
    groups: Int[np.ndarray, " tokens"] | None,
    *,
    lda_dims: Dims = 5,
    ks: Sequence[int] = DEFAULT_KS,
    shrinkage: Shrinkage = "ledoit-wolf",
    match_dims: int | None = None,
) -> Outcome:
    """LDA with its scales and shrinkage fitted again without each group, which the other groups then judge.

    Rules as in `nested`, which this equals where every point is a group of its own.
    """
    data = LabelledPoints(points, labels, groups)
    n_features = checked_match_dims(match_dims, data.points.shape[1])
    dims = checked_dims(lda_dims, len(data.classes), n_features)
    rows = _rows_of_folds(data, "grouped")
    ks = checked_ks(ks, len(data.points) - max(map(len, rows)))
    if dims == 0 and n_features == data.points.shape[1]:
        assert data.groups is not None  # _rows_of_folds has refused None
        return _by_vote("grouped", data, 0, 0.0, ks, neighbours_in_other_groups(data.points, data.groups, max(ks)))
    found, amount = _refitted_neighbours(data, rows, n_features, dims, checked_shrinkage(shrinkage), max(ks))
    return _by_vote("grouped", data, dims, amount, ks, found)


def lda_classify(
    points: Float[np.ndarray, "tokens dims"],
    labels: Int[np.ndarray, " tokens"],
    *,
    protocol: Protocol = "nested",
    shrinkage: Shrinkage = "ledoit-wolf",
    groups: Int[np.ndarray, " tokens"] | None = None,
    match_dims: int | None = None,
    judged: Rows | None = None,
) -> Outcome:
    """Predicts every point's label by LDA: the nearest class mean among all discriminants, with log priors.

    Under `paper` this is resubstitution: fitted by scikit-learn on all points and judged on the same ones.
    The outcome has ks (0,), for no neighbour votes. Arguments and errors are those of `classify`.
    """
    _check_judged(judged, protocol, len(points))
    data = LabelledPoints(points, labels, groups)
    shrinkage = checked_shrinkage(shrinkage)
    n_features = checked_match_dims(match_dims, data.points.shape[1])
    dims = checked_dims("full", len(data.classes), n_features)
    predicted = np.empty_like(data.labels)
    amounts = np.zeros(1)
    match protocol:
        case "paper":
            data = _matched(data, n_features)
            predicted[:] = _scikit_lda(data).predict(data.points)
        case "nested" | "grouped":
            rows = _rows_of_folds(data, protocol, judged)
            amounts, left = np.zeros(len(rows)), np.ones(len(rows), dtype=bool)
            for places, some in _found_together(data, rows, n_features, dims, shrinkage):
                predicted[some.rows] = data.classes[_nearest_means(some, data.codes, len(data.classes))]
                amounts[places], left[places] = some.amounts, False
            for i, (held_out, space, fold) in _others(data, rows, left, n_features):
                amounts[i] = intensity(fold, shrinkage)
                codes = gaussian_rule(fold, amounts[i]).predict(space[held_out])
                predicted[held_out] = data.classes[codes]
        case _:
            raise _unknown(protocol)
    whole = Outcome(protocol, dims, float(np.mean(amounts)), (0,), data.labels, predicted[:, None], data.groups)
    return whole if judged is None else whole.of_rows(judged)


@dataclass(frozen=True)
class _Copies:
    """Rows that repeat an earlier row. A matrix product may round equal rows differently; they must tie exactly."""

    rows: Rows
    originals: Rows

    @classmethod
    def of(cls, points: Float[np.ndarray, "tokens dims"]) -> _Copies:
        ordered = np.sort(points[:, 0])
        if (ordered[1:] != ordered[:-1]).all():  # usually, and in a tenth of the time
            return cls(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp))
        whole_rows = (points + 0.0).view(np.dtype((np.void, points[0].nbytes)))  # no -0.0: the bytes are compared
        _, first, place = np.unique(whole_rows.ravel(), return_index=True, return_inverse=True)
        rows = np.flatnonzero(first[place] != np.arange(len(points)))
        return cls(rows, first[place][rows])

    def restored(self, projected: Float[np.ndarray, "tokens dims"]) -> Float[np.ndarray, "tokens dims"]:
        """The projected points, in place, with every copy equal to its original again."""
        projected[self.rows] = projected[self.originals]
        return projected

    def restored_in_each(
        self, projected: Float[np.ndarray, "folds dims tokens"]
    ) -> Float[np.ndarray, "folds dims tokens"]:
        """The same in the spaces of several folds."""
        if len(self.rows):
            projected[..., self.rows] = projected[..., self.originals]
        return projected


def _refitted_neighbours(
    data: LabelledPoints, rows: list[Rows], n_features: int, dims: int, shrinkage: Shrinkage, k: int
) -> tuple[Int[np.ndarray, "tokens k"], float]:
    """The neighbours of every point in the discriminants of its fold, and the mean intensity of shrinkage."""
    copies = _Copies.of(data.points)
    found = np.full((len(data.points), k), -1, dtype=np.intp)  # of rows that no fold holds out
    amounts, left = np.zeros(len(rows)), np.ones(len(rows), dtype=bool)
    for places, some in _found_together(data, rows, n_features, dims, shrinkage):
        found[some.rows] = neighbours_without_each(copies.restored_in_each(some.projected), some.rows, k)
        amounts[places], left[places] = some.amounts, False
    for i, (held_out, space, fold) in _others(data, rows, left, n_features):
        amounts[i] = intensity(fold, shrinkage) if dims else 0.0
        projected = space @ discriminants(fold, amounts[i], dims) if dims else space
        found[held_out] = neighbours_without_group(copies.restored(projected), held_out, k)
    return found, float(np.mean(amounts))


def _found_together(
    data: LabelledPoints, rows: list[Rows], n_features: int, dims: int, shrinkage: Shrinkage
) -> Iterator[tuple[Int[np.ndarray, " some"], downdate.Found]]:
    """Folds that can be found many at once, with their places among all; each holds out one row."""
    if max(map(len, rows)) > 1 or n_features < data.points.shape[1]:
        return
    held_out = np.concatenate(rows)
    places = np.empty(len(data.points), dtype=np.intp)
    places[held_out] = np.arange(len(rows))
    space = standardised(data.points)
    together = few if len(space) < downdate.LEAST_POINTS else downdate
    for some in together.without_each(space, data.codes, len(data.classes), dims, shrinkage, held_out):
        yield places[some.rows], some


def _others(
    data: LabelledPoints, rows: list[Rows], left: Bool[np.ndarray, " folds"], n_features: int
) -> Iterator[tuple[int, tuple[Rows, np.ndarray, Moments]]]:
    """The folds that are left, one by one, with their places among all."""
    rest = np.flatnonzero(left)
    if len(rest):
        yield from zip(rest.tolist(), _folds(data, [rows[i] for i in rest], n_features), strict=True)


def _nearest_means(
    some: downdate.Found, codes: Int[np.ndarray, " tokens"], n_classes: int
) -> Int[np.ndarray, " folds"]:
    """What LDA takes the point held out for: the class of the nearest mean among all discriminants, with log priors."""
    place, members = np.arange(len(some.rows)), (codes[:, None] == np.arange(n_classes)).astype(np.float64)
    own, held_out = some.projected[place, :, some.rows], members[some.rows]
    counts = members.sum(axis=0) - held_out
    means = some.projected @ members - own[..., None] * held_out[:, None]
    means /= np.maximum(counts, 1)[:, None]
    distances = ((means - own[..., None]) ** 2).sum(axis=1) / 2 - np.log(np.maximum(counts, 1))
    return np.where(counts > 0, distances, np.inf).argmin(axis=1)


def _folds(
    data: LabelledPoints, rows: list[Rows], n_features: int
) -> Iterator[tuple[Rows, Float[np.ndarray, "tokens features"], Moments]]:
    """The rows held out by each fold, all points as the fold sees them, and the moments of all others there."""
    space, codes, n_classes = standardised(data.points), data.codes, len(data.classes)
    for held_out, fold in zip(rows, moments_without(space, codes, n_classes, rows), strict=True):
        if n_features == space.shape[1]:
            yield held_out, space, fold
        else:
            components = space @ principal_axes(fold, n_features)
            others = np.delete(np.arange(len(space)), held_out)
            yield held_out, components, moments(components[others], codes[others], n_classes)


def _rows_of_folds(data: LabelledPoints, protocol: Protocol, judged: Rows | None = None) -> list[Rows]:
    """The rows that each fold of `nested`, of all folds or those of `judged` rows, or of `grouped` holds out."""
    if protocol == "nested":
        return list((np.arange(len(data.points)) if judged is None else judged)[:, None])
    if data.groups is None:
        raise InputError("protocol grouped needs groups; give the group of every point, or use nested")
    names, place = np.unique(data.groups, return_inverse=True)
    if len(names) < 2:
        raise InputError("protocol grouped found one group; give points of two or more groups, or use nested")
    return np.split(np.argsort(place, kind="stable"), np.cumsum(np.bincount(place))[:-1])


def _matched(data: LabelledPoints, n_features: int) -> LabelledPoints:
    """The same points by principal components of all of them, where fewer features are asked for."""
    if n_features == data.points.shape[1]:
        return data
    space = standardised(data.points)
    components = space @ principal_axes(moments(space, data.codes, len(data.classes)), n_features)
    return replace(data, points=_Copies.of(data.points).restored(components))


def _neighbours_of_each(space: Float[np.ndarray, "tokens dims"], ks: tuple[int, ...]) -> Int[np.ndarray, "tokens most"]:
    return neighbours_in_other_groups(space, np.arange(len(space)), max(ks))


def _scikit_lda(data: LabelledPoints) -> LinearDiscriminantAnalysis:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # takes longer to import than all else here

    _check_more_than_classes(data)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Variables are collinear")  # it drops them, as the paper's did
        return LinearDiscriminantAnalysis(solver="svd").fit(data.points, data.labels)


def _check_more_than_classes(data: LabelledPoints) -> None:
    if len(data.points) <= len(data.classes):
        raise InputError(
            f"{len(data.points)} points in {len(data.classes)} classes; "
            "LDA needs more points than classes, so give more tokens or merge classes"
        )


def _by_vote(
    protocol: Protocol,
    data: LabelledPoints,
    dims: int,
    amount: float,
    ks: tuple[int, ...],
    neighbours: Int[np.ndarray, "tokens most"],
    judged: Rows | None = None,
) -> Outcome:
    rows = np.arange(len(data.points)) if judged is None else judged
    codes = vote(data.codes[neighbours[rows]], len(data.classes), ks)
    groups = None if data.groups is None else data.groups[rows]
    return Outcome(protocol, dims, amount, ks, data.labels[rows], data.classes[codes], groups, neighbours[rows])


def _check_judged(judged: Rows | None, protocol: Protocol, n: int) -> None:
    if judged is None:
        return
    if protocol != "nested":
        raise InputError(f"protocol {protocol} fits once for many rows; leave judged out, or use nested")
    if len(judged) == 0 or judged[0] < 0 or judged[-1] >= n or (np.diff(judged) < 1).any():
        raise InputError(f"judged has to name rows among {n}, ascending and each once")


def _unknown(protocol: str) -> InputError:
    return InputError(f"protocol is {protocol!r}; use paper, nested or grouped")
