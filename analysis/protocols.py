"""Classification of held-out points by nearest neighbours among linear discriminants, or by LDA itself.

Three protocols differ in what the fit has seen of the point that it judges:

- `paper` (Havtorn et al. 2022, "Towards Generative Latent Variable Models for Speech") fits once on all points and
  leaves a point out among the neighbours only. The held-out point has shaped the space in which it is judged, so label
  information leaks, and more of it with every dimension.
- `nested` refits everything without each point.
- `grouped` refits everything without each group of points, and judges the group by the others. With prompts, what
  shares a prompt with a judged point is not trained on either.
- `transfer` fits to the points of group 0 once and judges those of group 1, which are all that the outcome holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.erasure import erased
from lvm_probe.analysis.joined_features import of_equal_size, of_equal_variance_without
from lvm_probe.analysis.knn import checked_ks, vote
from lvm_probe.analysis.labelled_points import LabelledPoints
from lvm_probe.analysis.lda import Dims, checked_dims, discriminants, gaussian_rule, svd_discriminants
from lvm_probe.analysis.moments import Moments, Rows, about_class_means, moments, moments_without, standardised
from lvm_probe.analysis.neighbours import neighbours_in_own_spaces, neighbours_of_each, neighbours_without
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
    prompts: Int[np.ndarray, " points"] | None = None,
    match_dims: int | None = None,
    parts: Sequence[int] = (),
    erase: Int[np.ndarray, " points"] | None = None,
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
        prompts: what was read at every point, for `grouped`: the training points of a fold share neither the group nor
            the prompt of the points that it judges.
        match_dims: reduce the features first to this many principal components of the standardised features; None, or
            as many as there are features or more, leaves them as they are. The components keep their variances, which
            matters where `lda_dims` is 0.
        parts: dimensions of the parts of a joined feature. Where nothing else is fitted (`lda_dims` 0, `match_dims`
            None), each is scaled to variance 1 over the training points of the fold.
        erase: the class of every point in a concept, such as the speaker, that is erased from the features before
            anything else, by an eraser that is fitted to the training points of the fold; None erases nothing.

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
    folds = held_out(protocol, n, groups, prompts)
    ks = checked_ks(ks, n - max(len(fold.excluded) for fold in folds))
    most, amount = max(ks), 0.0
    unfitted = dims == 0 and size == n_features
    if unfitted and (len(parts) > 1 or erase is not None):
        neighbours = _neighbours_by_fold(data.points, folds, parts, most, protocol, erase)
    elif protocol == "paper":
        space = _paper_space(data, size, dims, erase)
        neighbours = neighbours_of_each(space, most)
    elif unfitted and protocol == "nested":
        neighbours = neighbours_of_each(data.points, most)
    elif unfitted:
        neighbours = np.zeros((n, most), dtype=np.intp)
        for fold in folds:
            neighbours[fold.judged] = neighbours_without(data.points, fold.judged, fold.excluded, most)
    else:
        neighbours, amount = _refitted_neighbours(data, folds, size, dims, shrinkage, most, erase)
    codes = vote(data.codes[neighbours], len(data.classes), ks)
    outcome = Outcome(protocol, dims, amount, ks, data.labels, data.classes[codes], data.groups, neighbours)
    return outcome if protocol != "transfer" else outcome.of_rows(folds[0].judged)


def lda_classify(
    points: Float[np.ndarray, "points dims"],
    labels: Int[np.ndarray, " points"],
    *,
    protocol: Protocol = "nested",
    shrinkage: Shrinkage = "ledoit-wolf",
    groups: Int[np.ndarray, " points"] | None = None,
    prompts: Int[np.ndarray, " points"] | None = None,
    match_dims: int | None = None,
    erase: Int[np.ndarray, " points"] | None = None,
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
    codes, amount = np.zeros_like(data.codes), 0.0
    folds = held_out(protocol, len(codes), groups, prompts)
    if protocol == "paper":
        codes[:] = _nearest_mean(_paper_space(data, size, dims, erase), data.codes, len(data.classes))
    else:
        for some, space, fold in _refits(data, folds, size, erase):
            amounts = intensity(fold, shrinkage)
            rule = gaussian_rule(fold, amounts)
            for one, weights, biases in zip(some, rule.weights, rule.biases, strict=True):
                codes[one.judged] = np.argmax(space[one.judged] @ weights + biases, axis=1)
            amount += amounts.sum() / len(folds)
    outcome = Outcome(protocol, dims, amount, (0,), data.labels, data.classes[codes][:, None], data.groups)
    return outcome if protocol != "transfer" else outcome.of_rows(folds[0].judged)


class Fold(NamedTuple):
    """Rows that are judged by what is fitted to all rows but the excluded ones, the judged ones among them."""

    judged: Rows
    excluded: Rows


def held_out(
    protocol: Protocol,
    n: int,
    groups: Int[np.ndarray, " points"] | None = None,
    prompts: Int[np.ndarray, " points"] | None = None,
) -> list[Fold]:
    """The folds of a protocol, which judge each of n points once.

    Raises:
        InputError: an unknown protocol; under `grouped` fewer than two groups, or prompts that leave nothing.

    Example:
        >>> groups, prompts = np.array([0, 0, 1, 1]), np.array([7, 8, 7, 9])
        >>> for fold in held_out("grouped", 4, groups, prompts):
        ...     print(fold.judged, "judged without", sorted(fold.excluded.tolist()))
        [1] judged without [0, 1]
        [0] judged without [0, 1, 2]
        [3] judged without [2, 3]
        [2] judged without [0, 2, 3]
    """
    match protocol:
        case "paper" | "nested":
            return [Fold(row, row) for row in np.arange(n)[:, None]]
        case "grouped":
            if groups is None:
                raise InputError("protocol grouped needs groups; give the group of every point, or use nested")
            names, place = np.unique(groups, return_inverse=True)
            if len(names) < 2:
                raise InputError("protocol grouped found one group; give points of two or more groups, or use nested")
            rows = np.split(np.argsort(place, kind="stable"), np.cumsum(np.bincount(place))[:-1])
            if prompts is None:
                return [Fold(group, group) for group in rows]
            folds = [fold for group in rows for fold in _by_prompt(group, prompts)]
            if max(len(fold.excluded) for fold in folds) == n:
                raise InputError(
                    "without a group and its prompt nothing is left to train on; give points of more prompts, or leave "
                    "the prompts out"
                )
            return folds
        case "transfer":
            if groups is None or set(np.unique(groups)) != {0, 1}:
                raise InputError("protocol transfer needs groups 0, to fit to, and 1, to judge")
            judged = np.flatnonzero(groups == 1)
            return [Fold(judged, judged)]
    raise InputError(f"protocol is {protocol!r}; use paper, nested, grouped or transfer")


def _by_prompt(group: Rows, prompts: Int[np.ndarray, " points"]) -> Iterator[Fold]:
    """The folds of a group: one for the prompts that only this group has, and one for each that others share."""
    elsewhere = np.ones(len(prompts), dtype=bool)
    elsewhere[group] = False
    shared = np.isin(prompts[group], prompts[elsewhere])
    if not shared.all():
        yield Fold(group[~shared], group)
    for prompt in np.unique(prompts[group[shared]]):
        others = np.flatnonzero(elsewhere & (prompts == prompt))
        yield Fold(group[prompts[group] == prompt], np.concatenate([group, others]))


def _refits(
    data: LabelledPoints, folds: list[Fold], size: int, erase: Int[np.ndarray, " points"] | None
) -> Iterator[tuple[Sequence[Fold], Float[np.ndarray, "points features"], Moments]]:
    """Some folds at a time: the folds, all points as these folds see them, and the moments of those not excluded."""
    space, codes, n_classes = standardised(data.points), data.codes, len(data.classes)
    begin = 0
    if erase is not None:
        for one in folds:
            seen = erased(space, erase, _kept(len(space), one))
            ((_, fold),) = moments_without(seen, codes, n_classes, [one.excluded])
            if size < space.shape[1]:
                seen = seen @ principal_axes(fold, size)[0]
                ((_, fold),) = moments_without(seen, codes, n_classes, [one.excluded])
            yield [one], seen, fold
        return
    for some, fold in moments_without(space, codes, n_classes, [fold.excluded for fold in folds]):
        those = folds[begin : begin + len(some)]
        begin += len(some)
        if size == space.shape[1]:
            yield those, space, fold
            continue
        for one, axes in zip(those, principal_axes(fold, size), strict=True):
            components = space @ axes
            ((_, its_moments),) = moments_without(components, codes, n_classes, [one.excluded])
            yield [one], components, its_moments


def _refitted_neighbours(
    data: LabelledPoints,
    folds: list[Fold],
    size: int,
    dims: int,
    shrinkage: Shrinkage,
    k: int,
    erase: Int[np.ndarray, " points"] | None,
) -> tuple[Int[np.ndarray, "points k"], float]:
    """The neighbours of every point in the discriminants of its fold, and the mean intensity of the shrinkage."""
    neighbours, amount = np.zeros((len(data.points), k), dtype=np.intp), 0.0
    first = _first_copies(data.points)
    for some, space, fold in _refits(data, folds, size, erase):
        spaces = space.T[None]
        if dims:
            amounts = intensity(fold, shrinkage)
            axes = discriminants(fold, amounts, dims).mT
            spaces = (axes.reshape(-1, size) @ space.T).reshape(len(some), dims, -1)
            amount += amounts.sum() / len(folds)
        _make_copies_equal(spaces, first)
        judged, excluded = [one.judged for one in some], [one.excluded for one in some]
        neighbours[np.concatenate(judged)] = neighbours_in_own_spaces(spaces, judged, excluded, k)
    return neighbours, float(amount)


def _neighbours_by_fold(
    points: Float[np.ndarray, "points dims"],
    folds: list[Fold],
    parts: Sequence[int],
    k: int,
    protocol: Protocol,
    erase: Int[np.ndarray, " points"] | None,
) -> Int[np.ndarray, "points k"]:
    """The neighbours of every point, a concept erased and the parts scaled over the training points of its fold.

    For `paper` these are all points.
    """
    if protocol == "paper":
        return neighbours_of_each(of_equal_size(_erased_from_all(points, erase), parts, about_mean=True), k)
    neighbours = np.zeros((len(points), k), dtype=np.intp)
    scales = of_equal_variance_without(points, parts, [fold.excluded for fold in folds]) if erase is None else None
    for i, fold in enumerate(folds):
        seen = erased(points, erase, _kept(len(points), fold))
        if len(parts) > 1:
            scale = of_equal_variance_without(seen, parts, [fold.excluded])[0] if scales is None else scales[i]
            seen = seen / scale
        neighbours[fold.judged] = neighbours_without(seen, fold.judged, fold.excluded, k)
    return neighbours


def _kept(n: int, fold: Fold) -> Rows:
    """The rows that a fold does not exclude."""
    return np.delete(np.arange(n), fold.excluded)


def _erased_from_all(
    points: Float[np.ndarray, "points dims"], erase: Int[np.ndarray, " points"] | None
) -> Float[np.ndarray, "points dims"]:
    return erased(points, erase, np.arange(len(points)))


def _paper_space(
    data: LabelledPoints, size: int, dims: int, erase: Int[np.ndarray, " points"] | None
) -> Float[np.ndarray, "points dims"]:
    """All points in the components and discriminants that were fitted to all of them."""
    n_classes, space = len(data.classes), _erased_from_all(data.points, erase)
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
