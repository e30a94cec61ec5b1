"""The k nearest neighbours in Euclidean distance, exactly; points at the same distance come in order of their row.

Distances are sums of squared differences in float64, so duplicates tie exactly. A point is kept from its own neighbours
by its row, never by its distance. Among few points, a query is compared with all of them. Among many, candidates come
from a k-d tree (Bentley 1975) in few dimensions and from a matrix product in many; their distances are then computed
as everywhere else, and a query whose candidates may lack a neighbour is compared with all points after all.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from lvm_probe.analysis.shape_annotations import Float, Int

# From the queries to their candidates, and below the squared distance of any point that is not among them.
_Candidates = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

_QUERIES_AT_ONCE = 128
_MANY_POINTS, _MANY_QUERIES = 1000, 64  # with fewer, comparing all takes no longer than finding candidates
_SPARE = 8  # candidates beyond k, so that a tie for the last place is noticed
_TREE_DIMS = 8  # a tree visits more of the points with every dimension; beyond, products are quicker
_TREE_ROUNDING = 1e-12  # of a squared distance: more than sums of up to eight squares can lose


def neighbours_without(
    points: Float[np.ndarray, "points dims"], judged: Int[np.ndarray, " rows"], excluded: Int[np.ndarray, "_"], k: int
) -> Int[np.ndarray, "rows k"]:
    """The k nearest of each judged point among all points that are not excluded.

    Args:
        points: all points.
        judged: rows of `points`.
        excluded: rows of `points`, the judged ones among them.
        k: how many, at most the points that are not excluded.

    Returns:
        Rows of `points`, nearest first.

    Example:
        >>> held_out = np.array([0, 1])
        >>> neighbours_without(np.array([[0.0], [1.0], [3.0], [7.0]]), held_out, held_out, 2)
        array([[2, 3],
               [2, 3]])
    """
    others = np.delete(np.arange(len(points)), excluded)
    return others[_search(points[others], points[judged], k)]


def neighbours_of_each(points: Float[np.ndarray, "points dims"], k: int) -> Int[np.ndarray, "points k"]:
    """The k nearest of every point among all others (leave-one-out).

    Args:
        points: all points.
        k: how many, fewer than the points.

    Returns:
        Rows of `points`, nearest first.

    Example:
        >>> neighbours_of_each(np.array([[0.0], [1.0], [3.0]]), 1)
        array([[1],
               [0],
               [1]])
    """
    found = _search(points, points, k + 1)
    # Where k others lie on the point itself, it may be missing; then the last one is dropped instead.
    itself_last = np.argsort(found == np.arange(len(points))[:, None], axis=1, kind="stable")
    return np.take_along_axis(found, itself_last, axis=1)[:, :k]


def neighbours_in_own_spaces(
    spaces: Float[np.ndarray, "folds dims points"],
    judged: Sequence[Int[np.ndarray, "_"]],
    excluded: Sequence[Int[np.ndarray, "_"]],
    k: int,
) -> Int[np.ndarray, "judged k"]:
    """The k nearest of each fold's judged points among all that the fold keeps, in a space that belongs to the fold.

    Args:
        spaces: coordinates of all points in the space of each fold.
        judged: the rows that each fold judges; no row twice.
        excluded: the rows that each fold leaves out, the judged ones among them.
        k: how many, at most the points that every fold keeps.

    Returns:
        Rows of the points, nearest first, for the judged points of all folds in their order.
    """
    own = zip(spaces, judged, excluded, strict=True)
    if spaces.shape[2] >= _MANY_POINTS and max(map(len, judged)) >= _MANY_QUERIES:
        return np.concatenate([neighbours_without(space.T, rows, without, k) for space, rows, without in own])
    found = []
    for space, rows, without in own:
        squares = _squared_distances(space[:, rows].T, space)
        squares[:, without] = np.inf
        found.append(_nearest(squares, k))
    return np.concatenate(found)


def _search(base: np.ndarray, queries: np.ndarray, k: int) -> Int[np.ndarray, "queries k"]:
    """The rows of `base` that are nearest to each query."""
    n, dims = base.shape
    found = np.empty((len(queries), k), dtype=np.intp)
    candidates = None
    if n >= max(_MANY_POINTS, k + _SPARE) and len(queries) >= _MANY_QUERIES:
        candidates = (_tree_candidates if dims <= _TREE_DIMS else _product_candidates)(base, k + _SPARE)
    by_dimension = np.ascontiguousarray(base.T)
    for some in np.split(np.arange(len(queries)), range(_QUERIES_AT_ONCE, len(queries), _QUERIES_AT_ONCE)):
        doubtful = some
        if candidates is not None:
            rows, nearest_other = candidates(queries[some])
            rows.sort(axis=1)
            squares = _squared_distances(queries[some], (column[rows] for column in by_dimension))
            best = _nearest(squares, k)
            found[some] = np.take_along_axis(rows, best, axis=1)
            doubtful = some[squares[np.arange(len(some)), best[:, -1]] >= nearest_other]
        found[doubtful] = _nearest(_squared_distances(queries[doubtful], by_dimension), k)
    return found


def _tree_candidates(base: np.ndarray, count: int) -> _Candidates:
    from scipy.spatial import KDTree  # takes longer to import than a search among few points

    tree = KDTree(base, leafsize=32, balanced_tree=False, compact_nodes=False)  # much quicker to build

    def candidates(queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        distances, rows = tree.query(queries, count)
        return rows, distances[:, -1] ** 2 * (1 - _TREE_ROUNDING)

    return candidates


def _product_candidates(base: np.ndarray, count: int) -> _Candidates:
    """From |q - b|² = |q|² - 2 q·b + |b|², which a matrix product finds quickly but less accurately."""
    centre = base.mean(axis=0)
    base = base - centre
    norms = np.einsum("ij,ij->i", base, base)
    rounding = 4 * (base.shape[1] + 4) * np.finfo(np.float64).eps  # twice what sums of so many products can lose

    def candidates(queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        queries = queries - centre
        own = np.einsum("ij,ij->i", queries, queries)
        squares = -2 * queries @ base.T
        squares += norms
        rows = np.argpartition(squares, count - 1, axis=1)[:, :count]
        farthest = own + np.take_along_axis(squares, rows, axis=1).max(axis=1)
        return rows, farthest - rounding * (np.sqrt(own) + np.sqrt(norms.max())) ** 2

    return candidates


def _squared_distances(queries: np.ndarray, columns: Iterable[np.ndarray]) -> Float[np.ndarray, "queries points"]:
    """Sums of squared differences; `columns` are the points' coordinates, the same for all queries or a row for each.

    The dimensions are added in order, so the distance of two points is the same wherever they are compared.
    """
    squares: np.ndarray | float = 0.0
    for query, column in zip(queries.T, columns, strict=True):
        differences = query[:, None] - column
        differences *= differences
        differences += squares
        squares = differences
    return np.asarray(squares)


def _nearest(distances: Float[np.ndarray, "queries points"], k: int) -> Int[np.ndarray, "queries k"]:
    """The columns of the k smallest distances in every row, ascending; equal distances in order of column."""
    if k == distances.shape[1]:
        return np.argsort(distances, axis=1, kind="stable")
    near = np.argpartition(distances, k, axis=1)[:, : k + 1]  # the next one too, because it may tie with the last
    values = np.take_along_axis(distances, near, axis=1)
    order = np.argsort(values, axis=1)
    near, values = (np.take_along_axis(array, order, axis=1) for array in (near, values))
    tied = (values[:, 1:] == values[:, :-1]).any(axis=1)
    near[tied] = np.argsort(distances[tied], axis=1, kind="stable")[:, : k + 1]
    return near[:, :k]
