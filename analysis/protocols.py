"""Classification of held-out points by nearest neighbours among linear discriminants, or by LDA itself.

Three protocols differ in what the fit has seen of the point that it judges:

- `paper` (Havtorn et al. 2022, "Towards Generative Latent Variable Models for Speech") fits once on all points and
  leaves a point out among the neighbours only. The held-out point has shaped the space in which it is judged, so label
  information leaks, and more of it with every dimension.
- `nested` refits everything without each point.
- `grouped` refits everything without each group of points, and judges the group by the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.knn import checked_ks, vote
from lvm_probe.analysis.labelled_points import LabelledPoints
from lvm_probe.analysis.lda import Dims, checked_dims, discriminants, gaussian_rule, svd_discriminants
from lvm_probe.analysis.moments import Moments, Rows, about_class_means, moments, moments_without, standardised
from lvm_probe.analysis.neighbours import neighbours_in_own_spaces, neighbours_of_each, neighbours_without_group
from lvm_probe.analysis.predictions import Outcome, Protocol
from lvm_probe.analysis.principal_components import checked_match_dims, principal_axes
from lvm_probe.analysis.shape_annotations import Float, Int
from lvm_probe.analysis.shrinkage import Shrinkage, checked_shrinkage, intensity

DEFAULT_KS = tuple(range(1, 51))


def classify(
    points: Float[np.ndarray, "points dims"],
    labels: Int[np.ndarray, " points"],
    *,
    protocol: Protocol = "nested",
    lda_dims: Dims = 5,
    ks: Sequence[int] = DEFAULT_KS,
    shrinkage: Shrinkage = "ledoit-wolf",
    groups: Int[np.ndarray, " points"] | None = None,
    match_dims: int | None = None,
) -> Outcome:
    """Predict every point's label from its k nearest neighbours among linear discriminants.

    Under `nested` and `grouped`, scales, principal components, shrinkage and discriminants are refitted in every fold.
    The only member of its class (or the only group with a class) meets no other of it and counts as an error. A fold
    with too few classes for `lda_dims` keeps the discriminants that it has.

    Args:
        points: features, any unit.
        labels: integers.
        protocol: how points are held out.
        lda_dims: number of discriminants; 0 uses the features as they are; "full" takes all.
        ks: numbers of neighbours, all from one search.
        shrinkage: of the covariance within classes. `paper` has none by definition.
        groups: the group of every point, for `grouped`; otherwise only passed on to the outcome.
        match_dims: reduce the features first to this many principal components of the standardised features; None, or
            as many as there are features or more, leaves them as they are. The components keep their variances, which
            matters where `lda_dims` is 0.

    Returns:
        The predictions for every k, and the neighbours.

    Raises:
        InputError: points or labels that `LabelledPoints` refuses; k, dimensions or shrinkage out of range; fewer than
            two groups for `grouped`; a singular covariance.

    Example:
        >>> points = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.2], [9.0, 9.0], [8.0, 9.5], [8.5, 8.0]])
        >>> outcome = classify(points, np.array([0, 0, 0, 1, 1, 1]), protocol="nested", lda_dims=1, ks=(1, 3))
        >>> outcome.accuracy
        array([1., 1.])
    """
    data = LabelledPoints(points, labels, groups)
    n, n_features = data.points.shape
    size = checked_match_dims(match_dims, n_features)
    dims = checked_dims(lda_dims, len(data.classes), size)
    shrinkage = checked_shrinkage(shrinkage)
    folds = _folds(data, protocol)
    ks = checked_ks(ks, n - max(map(len, folds)))
    most, amount = max(ks), 0.0
    unfitted = dims == 0 and size == n_features
    if protocol == "paper":
        space = _paper_space(data, size, dims)
        neighbours = neighbours_of_each(space, most)
    elif unfitted and protocol == "nested":
        neighbours = neighbours_of_each(data.points, most)
    elif unfitted:
        neighbours = np.empty((n, most), dtype=np.intp)
        for rows in folds:
            neighbours[rows] = neighbours_without_group(data.points, rows, most)
    else:
        neighbours, amount = _refitted_neighbours(data, folds, size, dims, shrinkage, most)
    codes = vote(data.codes[neighbours], len(data.classes), ks)
    return Outcome(protocol, dims, amount, ks, data.labels, data.classes[codes], data.groups, neighbours)


def lda_classify(
    points: Float[np.ndarray, "points dims"],
    labels: Int[np.ndarray, " points"],
    *,
    protocol: Protocol = "nested",
    shrinkage: Shrinkage = "ledoit-wolf",
    groups: Int[np.ndarray, " points"] | None = None,
    match_dims: int | None = None,
) -> Outcome:
    """Predict every point's label by LDA: the nearest class mean among all discriminants, with log priors.

    Under `paper` this is resubstitution: fitted on all points and judged on the same ones. Arguments and errors are
    those of `classify`.

    Returns:
        The predictions, with ks (0,) because no neighbours vote.

    Example:
        >>> points = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.2], [9.0, 9.0], [8.0, 9.5], [8.5, 8.0]])
        >>> lda_classify(points, np.array([0, 0, 0, 1, 1, 1])).predictions.ravel()
        array([0, 0, 0, 1, 1, 1])
    """
    data = LabelledPoints(points, labels, groups)
    shrinkage = checked_shrinkage(shrinkage)
    size = checked_match_dims(match_dims, data.points.shape[1])
    dims = checked_dims("full", len(data.classes), size)
    codes, amount = np.empty_like(data.codes), 0.0
    folds = _folds(data, protocol)
    if protocol == "paper":
        codes[:] = _nearest_mean(_paper_space(data, size, dims), data.codes, len(data.classes))
    else:
        for some, space, fold in _refits(data, folds, size):
            amounts = intensity(fold, shrinkage)
            rule = gaussian_rule(fold, amounts)
            for rows, weights, biases in zip(some, rule.weights, rule.biases, strict=True):
                codes[rows] = np.argmax(space[rows] @ weights + biases, axis=1)
            amount += amounts.sum() / len(folds)
    return Outcome(protocol, dims, amount, (0,), data.labels, data.classes[codes][:, None], data.groups)


def _folds(data: LabelledPoints, protocol: Protocol) -> list[Rows]:
    """The rows that are held out together."""
    match protocol:
        case "paper" | "nested":
            return list(np.arange(len(data.points))[:, None])
        case "grouped":
            if data.groups is None:
                raise InputError("protocol grouped needs groups; give the group of every point, or use nested")
            names, place = np.unique(data.groups, return_inverse=True)
            if len(names) < 2:
                raise InputError("protocol grouped found one group; give points of two or more groups, or use nested")
            return np.split(np.argsort(place, kind="stable"), np.cumsum(np.bincount(place))[:-1])
    raise InputError(f"protocol is {protocol!r}; use paper, nested or grouped")


def _refits(
    data: LabelledPoints, folds: list[Rows], size: int
) -> Iterator[tuple[Sequence[Rows], Float[np.ndarray, "points features"], Moments]]:
    """Some folds at a time: the rows held out, all points as these folds see them, and the moments of the others."""
    space, codes, n_classes = standardised(data.points), data.codes, len(data.classes)
    for some, fold in moments_without(space, codes, n_classes, folds):
        if size == space.shape[1]:
            yield some, space, fold
            continue
        for rows, axes in zip(some, principal_axes(fold, size), strict=True):
            components = space @ axes
            ((one, its_moments),) = moments_without(components, codes, n_classes, [rows])
            yield one, components, its_moments


def _refitted_neighbours(
    data: LabelledPoints, folds: list[Rows], size: int, dims: int, shrinkage: Shrinkage, k: int
) -> tuple[Int[np.ndarray, "points k"], float]:
    """The neighbours of every point in the discriminants of its fold, and the mean intensity of the shrinkage."""
    neighbours, amount = np.empty((len(data.points), k), dtype=np.intp), 0.0
    first = _first_copies(data.points)
    for some, space, fold in _refits(data, folds, size):
        spaces = space.T[None]
        if dims:
            amounts = intensity(fold, shrinkage)
            axes = discriminants(fold, amounts, dims).mT
            spaces = (axes.reshape(-1, size) @ space.T).reshape(len(some), dims, -1)
            amount += amounts.sum() / len(folds)
        _make_copies_equal(spaces, first)
        neighbours[np.concatenate(some)] = neighbours_in_own_spaces(spaces, some, k)
    return neighbours, float(amount)


def _paper_space(data: LabelledPoints, size: int, dims: int) -> Float[np.ndarray, "points dims"]:
    """All points in the components and discriminants that were fitted to all of them."""
    n_classes, space = len(data.classes), data.points
    if size < space.shape[1]:
        space = standardised(space)
        space = space @ principal_axes(moments(space, data.codes, n_classes), size)
    if dims:
        if len(space) <= n_classes:
            raise InputError(
                f"{len(space)} points in {n_classes} classes; LDA needs more points than classes, so give more tokens "
                "or merge classes"
            )
        axes = svd_discriminants(space, data.codes, n_classes)[:, :dims]
        if not axes.size:  # a constant feature has no discriminant: all points coincide
            axes = np.zeros((space.shape[1], 1))
        space = (space - space.mean(axis=0)) @ axes
    return _make_copies_equal(space.T.copy(), _first_copies(data.points)).T


def _first_copies(points: Float[np.ndarray, "points dims"]) -> Int[np.ndarray, " points"]:
    """For every point the first row with the same coordinates."""
    seen: dict[bytes, int] = {}
    return np.array([seen.setdefault(row.tobytes(), i) for i, row in enumerate(points + 0.0)])  # -0.0 becomes 0.0


def _make_copies_equal(
    projected: Float[np.ndarray, "*folds dims points"], first: Int[np.ndarray, " points"]
) -> Float[np.ndarray, "*folds dims points"]:
    """In place: a matrix product may round equal rows differently, and copies must tie exactly."""
    copies = np.flatnonzero(first != np.arange(len(first)))
    projected[..., copies] = projected[..., first[copies]]
    return projected


def _nearest_mean(
    space: Float[np.ndarray, "points dims"], codes: Int[np.ndarray, " points"], n_classes: int
) -> Int[np.ndarray, " points"]:
    """The class of the nearest mean in a space where the covariance within classes is I, with log priors."""
    counts, means, _ = about_class_means(space, codes, n_classes)
    return np.argmax(space @ means.T - (means**2).sum(axis=1) / 2 + np.log(counts), axis=1)
