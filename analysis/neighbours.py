"""The k nearest others of each point, Euclidean and exact: equal distances come in order of index.

The distance is the sum of squared differences in float64, so that duplicates tie exactly, and a point is kept
from itself and from its group by index. Few points are searched just so. For many, a k-d tree (Bentley 1975) finds
candidates in few dimensions; in many, float32 products give bounds of all distances from below, and only the points
that the bounds cannot rule out are compared; a bound allows for the worst rounding (Higham 2002, *Accuracy and
Stability of Numerical Algorithms*, section 3.1). So all ways find the same neighbours.
"""

import math

import numpy as np

from lvm_probe.analysis.shape_annotations import Float, Int

_NUMBERS_AT_ONCE = 1 << 17
_COLUMNS_AT_ONCE, _ROWS_AT_ONCE = 4096, 384  # a block of products stays within a cache of a few megabytes

# Below either, bounds gain nothing: measured with 50 neighbours, 64 of 5,000 points in 5 dimensions take as long
# either way, in 128 half the time by bounds; 8 are found sooner by differences in any dimension.
_MANY_POINTS, _MANY_QUERIES = 5000, 32
# A tree looks at ever more of the points with every dimension. Up to here it was several times faster than bounds,
# 13 times for 8,000 of two million points in 5 dimensions. Of fewer points or queries differences take no longer than
# its import and its making.
_TREE_DIMS, _TREE_POINTS, _TREE_QUERIES = 8, 2500, 64
_SPARE = 8  # candidates of the tree beyond k, so that a tie for the last place is seen
# Of the candidates that bounds usually leave: rows with more (their norms far above their distances, or
# duplicates by the hundred) hold too much memory, and are searched by differences.
_CROWDED = 8

_TREE_ROUNDING = 1e-12  # of a squared distance in float64: far more than up to eight differences can lose
_FEW_DIMS = 16  # up to which a pass over all pairs for every dimension is quicker

_UNIT = 2.0**-24  # unit roundoff of float32
_UNDERFLOW = 1e-30  # of the largest squared norm: above what float32 products lose by underflow


def neighbours_without_group(
    points: Float[np.ndarray, "tokens dims"], held_out: Int[np.ndarray, " rows"], k: int
) -> Int[np.ndarray, "rows k"]:
    """The k nearest of each held-out point among all that are not held out, nearest first.

    Args:
        points: all points.
        held_out: rows of `points`.
        k: how many, at most the points that are not held out.
    """
    others = np.delete(np.arange(len(points)), held_out)
    if _suits_a_tree(points, len(others), len(held_out), k):
        return _by_tree(points[others], others, points[held_out], np.full(len(held_out), -1), k)
    return _search(points[others], others, points[held_out], _no_spans(held_out), k)


def neighbours_without_each(
    spaces: Float[np.ndarray, "folds dims tokens"], held_out: Int[np.ndarray, " folds"], k: int
) -> Int[np.ndarray, "folds k"]:
    """The k nearest of one held-out point a fold among all others, in a space of the fold's own.

    Args:
        spaces: all points in each fold's space; they are overwritten.
        held_out: the point that each fold holds out.
        k: how many, fewer than the points.
    """
    place = np.arange(len(spaces))
    spaces -= spaces[place, :, held_out][..., None]
    spaces *= spaces
    squares = spaces.sum(axis=1)
    squares[place, held_out] = np.inf
    return _nearest_of_rows(squares, np.arange(squares.shape[1]), k)


def neighbours_in_other_groups(
    points: Float[np.ndarray, "tokens dims"], groups: Int[np.ndarray, " tokens"], k: int
) -> Int[np.ndarray, "tokens k"]:
    """The k nearest of every point among the points of other groups, nearest first.

    Args:
        points: all points.
        groups: the group of each; all different for leave-one-out.
        k: how many, at most the points outside the largest group.
    """
    if _suits_a_tree(points, len(points), len(points), k) and _all_differ(groups):
        each = np.arange(len(points))
        return _by_tree(points, each, points, each, k)
    order = np.argsort(groups, kind="stable")  # so that a group is a span of rows
    spans = np.stack([np.searchsorted(groups[order], groups[order], side) for side in ("left", "right")], axis=1)
    found = np.empty((len(points), k), dtype=np.intp)
    by_group = points[order]
    found[order] = _search(by_group, order, by_group, spans, k)
    return found


def _search(
    base: Float[np.ndarray, "points dims"],
    names: Int[np.ndarray, " points"],
    queries: Float[np.ndarray, "queries dims"],
    spans: Int[np.ndarray, "queries 2"],
    k: int,
) -> Int[np.ndarray, "queries k"]:
    """The names of the k nearest of `base` to each query, outside its span of rows; equals in order of name."""
    if len(base) < _MANY_POINTS or len(queries) < _MANY_QUERIES:
        return _by_differences(base, names, queries, spans, k)
    return _by_bounds(base, names, queries, spans, k)


def _by_differences(
    base: np.ndarray, names: np.ndarray, queries: np.ndarray, spans: np.ndarray, k: int
) -> Int[np.ndarray, "queries k"]:
    found = np.empty((len(queries), k), dtype=np.intp)
    chunk = max(1, _NUMBERS_AT_ONCE // len(base))
    for start in range(0, len(queries), chunk):
        some = slice(start, start + chunk)
        distances = _squared_distances(queries[some], base)
        _leave_out(distances, spans[some])
        found[some] = _nearest_of_rows(distances, names, k)
    return found


def _by_tree(
    base: np.ndarray, names: np.ndarray, queries: np.ndarray, own: np.ndarray, k: int
) -> Int[np.ndarray, "queries k"]:
    """As `_by_differences`, of the candidates that a tree finds; queries whose last place it leaves open go there.

    `own` is each query's row of `base`, which it must not find; -1 where it is none of them.
    """
    from scipy.spatial import KDTree  # takes long to import

    tree = KDTree(base, leafsize=32, balanced_tree=False, compact_nodes=False)  # built in a third of the time
    found = np.empty((len(queries), k), dtype=np.intp)
    open_ = np.zeros(len(queries), dtype=bool)
    candidates = k + _SPARE + 1  # one of them may be the query
    chunk = max(1, _NUMBERS_AT_ONCE // candidates // base.shape[1])
    for start in range(0, len(queries), chunk):
        some = slice(start, start + chunk)
        distances, places = tree.query(queries[some], candidates)
        # The tree's own distances are rounded otherwise: they only tell that whatever it left out is farther.
        squares = np.zeros(places.shape)
        for theirs, ours in zip(base.T, queries[some].T, strict=True):  # in the order of `_squared_distances`
            squares += np.square(theirs[places] - ours[:, None])
        squares[places == own[some, None]] = np.inf
        last = np.partition(squares, k - 1, axis=1)[:, k - 1]
        open_[some] = distances[:, -1] ** 2 <= last * (1 + _TREE_ROUNDING)
        order = np.lexsort((names[places], squares))[:, :k]
        found[some] = names[np.take_along_axis(places, order, axis=1)]
    rows = np.flatnonzero(open_)
    spans = np.stack([own[rows], own[rows] + 1], axis=1)
    found[rows] = _by_differences(base, names, queries[rows], spans, k)
    return found


def _by_bounds(
    base: np.ndarray, names: np.ndarray, queries: np.ndarray, spans: np.ndarray, k: int
) -> Int[np.ndarray, "queries k"]:
    """As `_by_differences`, of the points whose bound from below does not exceed k bounds from above.

    With q and b centred and scaled to norms of at most 1, the float32 product of (q, 1) and (-2 b, |b|²), of
    length d + 1, is within ε (|q| + |b|)² of |q - b|² - |q|² as found in float64: each of its terms errs by a
    factor of (1 + u)^(d + 3) at most, and ε = (d + 16) u leaves room for the terms of second order and for the
    roundings in float64. Two more columns put the part of ε that depends on b into the product.
    """
    n, dims = base.shape
    epsilon = (dims + 16) * _UNIT
    centre = base.mean(axis=0)
    norms = np.sqrt(_squared_norms(base - centre))
    scale = max(norms.max(), math.sqrt(_squared_norms(queries - centre).max())) or 1.0
    norms /= scale
    below = np.empty((n, dims + 2), dtype=np.float32)
    np.multiply(base - centre, -2 / scale, out=below[:, :dims], casting="same_kind")
    below[:, dims] = (1 - epsilon) * norms**2
    below[:, dims + 1] = -2 * epsilon * norms

    # k points of a sample bound the distance of the k-th neighbour from above. The larger the sample the fewer
    # the candidates: k n / sample of them, so that both grow with the root of k n.
    stride = max(1, int(math.sqrt(n / k) / 1.5))
    above = below[::stride].copy()
    above[:, dims] = (1 + epsilon) * norms[::stride] ** 2
    above[:, dims + 1] *= -1
    most = _CROWDED * k * stride

    found = np.empty((len(queries), k), dtype=np.intp)
    for some in np.array_split(np.arange(len(queries)), math.ceil(len(queries) / _ROWS_AT_ONCE)):
        rows = np.ones((len(some), dims + 2), dtype=np.float32)
        centred = (queries[some] - centre) / scale
        squares = _squared_norms(centred)
        rows[:, :dims] = centred
        rows[:, dims + 1] = np.sqrt(squares)
        slack = 2 * (epsilon * squares + _UNDERFLOW)  # the part of ε that depends on q alone, on both sides

        bounds = rows @ above.T
        _leave_out(bounds, -(-spans[some] // stride))
        limits = np.partition(bounds, k - 1, axis=1)[:, k - 1] + slack
        counts, places, lows, crowded = _candidates(rows, below, spans[some], limits, most)

        ends = np.cumsum(counts)
        norm = norms[places]
        highs = lows + 2 * epsilon * norm * (norm + 2 * np.repeat(np.sqrt(squares), counts))
        for j, (query, begin, end) in enumerate(zip(some, ends - counts, ends, strict=True)):
            if crowded[j]:
                continue
            limit = np.partition(highs[begin:end], k - 1)[k - 1] + slack[j]
            near = places[begin:end][lows[begin:end] <= limit]
            distances = _squared_distances(queries[query, None], base[near])[0]
            found[query] = _nearest(distances, names[near], k)
        slow = some[crowded]
        found[slow] = _by_differences(base, names, queries[slow], spans[slow], k)
    return found


def _candidates(
    rows: np.ndarray, below: np.ndarray, spans: np.ndarray, limits: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The products up to each row's limit: how many a row, their places and values by row, and the rows given up.

    A row with more than `most` is given up, and keeps what it has by then.
    """
    limits = _rounded_up(limits)
    counts = np.zeros(len(rows), dtype=np.intp)
    of_rows, places, values = [], [], []
    for start in range(0, len(below), _COLUMNS_AT_ONCE):
        products = rows @ below[start : start + _COLUMNS_AT_ONCE].T
        _leave_out(products, spans - start)
        hits = np.flatnonzero(products <= limits[:, None])
        row, column = np.divmod(hits, products.shape[1])
        of_rows.append(row.astype(np.int16))
        places.append(column + start)
        values.append(products.ravel()[hits])
        counts += np.bincount(row, minlength=len(rows))
        limits[counts > most] = -np.inf
    order = np.argsort(np.concatenate(of_rows), kind="stable")
    return counts, np.concatenate(places)[order], np.concatenate(values)[order].astype(float), counts > most


def _leave_out(distances: np.ndarray, spans: np.ndarray) -> None:
    """Makes each row's span of columns infinitely far; what of a span lies outside is passed over."""
    begins, ends = np.clip(spans, 0, distances.shape[1]).T
    (one,) = np.nonzero(ends - begins == 1)
    distances[one, begins[one]] = np.inf
    for row in np.flatnonzero(ends - begins > 1):
        distances[row, begins[row] : ends[row]] = np.inf


def _suits_a_tree(points: np.ndarray, n: int, queries: int, k: int) -> bool:
    return points.shape[1] <= _TREE_DIMS and n >= max(_TREE_POINTS, k + 1 + _SPARE) and queries >= _TREE_QUERIES


def _all_differ(groups: np.ndarray) -> bool:
    return len(np.unique(groups)) == len(groups)


def _no_spans(queries: np.ndarray) -> Int[np.ndarray, "queries 2"]:
    return np.zeros((len(queries), 2), dtype=np.intp)


def _squared_distances(queries: np.ndarray, base: np.ndarray) -> Float[np.ndarray, "queries points"]:
    """Sums of squared differences, the same of the same two points wherever they stand."""
    if base.shape[1] > _FEW_DIMS:
        from scipy.spatial.distance import cdist  # takes long to import

        return cdist(queries, base, "sqeuclidean")
    squares = np.zeros((len(queries), len(base)))
    for query, point in zip(queries.T, base.T, strict=True):
        gaps = query[:, None] - point
        gaps *= gaps
        squares += gaps
    return squares


def _nearest_of_rows(distances: np.ndarray, names: np.ndarray, k: int) -> np.ndarray:
    """The names of the k nearest in every row, which has so many; equals in order of name.

    Sorts distances whose last bits give way to the name, and looks again at rows where two tie in the other bits.
    """
    last_bits = (1 << int(names.max()).bit_length()) - 1
    keys = distances.view(np.int64) & ~last_bits
    keys |= names
    if k < keys.shape[1]:  # the next one too, for it may tie with the last
        keys = np.partition(keys, k, axis=1)[:, : k + 1]
    keys = np.sort(keys, axis=1)
    found = keys[:, :k] & last_bits
    keys &= ~last_bits
    for row in np.flatnonzero((keys[:, 1:] == keys[:, :-1]).any(axis=1)):
        within = np.flatnonzero(distances[row] <= np.partition(distances[row], k - 1)[k - 1])
        found[row] = _nearest(distances[row, within], names[within], k)
    return found


def _nearest(distances: np.ndarray, names: np.ndarray, k: int) -> np.ndarray:
    return names[np.lexsort((names, distances))[:k]]


def _squared_norms(points: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", points, points)


def _rounded_up(numbers: np.ndarray) -> np.ndarray:
    """In float32, none smaller than it was; but finite, so that what is left out stays beyond it."""
    return np.minimum(np.nextafter(numbers.astype(np.float32), np.float32(np.inf)), np.finfo(np.float32).max)
