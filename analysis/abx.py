"""ABX discriminability: is a token nearer to one of its own label than to one of another?

Schatz, Peddinti, Bach, Jansen, Hermansky and Dupoux 2013, *Evaluating speech features with the Minimal-Pair
ABX task*; Schatz 2016, *ABX-discriminability measures and applications*. A and X have label a, B has label b;
the triple is an error where d(A,X) > d(B,X), and half of one where they are equal. Nothing is fitted, so
nothing leaks, and chance is 0.5 whatever the labels' shares.

Written here because fastabx, the library for it, needs Python 3.12 and this project supports 3.11, and
because pooled tokens are single vectors: a triple is then a comparison of two numbers, and all triples of an X
are counted by one search in the sorted distances d(A,X), without visiting them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.spatial.distance import cdist

from lvm_probe import InputError
from lvm_probe.analysis.labelled_points import LabelledPoints
from lvm_probe.analysis.shape_annotations import Float, Int

Mode = Literal["within", "across"]
Distance = Literal["cosine", "euclidean"]

_NUMBERS_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class AbxResult:
    """Error rates of ABX triples, averaged as ZeroSpeech does: every stage a plain mean over what occurs.

    Over the triples of a cell (labels a and b, speaker of A and B, speaker of X, context); over contexts; over
    the speakers of X (with `across`); over the speakers of A and B; over ordered pairs of labels. Rare labels
    and silent speakers thus count as much as others.

    Attributes:
        mode: `within`: A, B and X of one speaker. `across`: A and B of one, X of another.
        distance: between tokens.
        labels: the labels a, and b, of the rows and columns below, ascending.
        groups: the speakers of A and B, ascending; a single 0 where none were given.
        by_group: error rate of each speaker and ordered pair (a, b); NaN where there is no triple.
        cells: number of cells that hold a triple.
        triples: number of triples.
    """

    mode: Mode
    distance: Distance
    labels: Int[np.ndarray, " labels"]
    groups: Int[np.ndarray, " groups"]
    by_group: Float[np.ndarray, "groups labels labels"]
    cells: int
    triples: int

    @property
    def pairs(self) -> Float[np.ndarray, "labels labels"]:
        """Error rate of each ordered pair (a, b); NaN where there is no triple, as on the diagonal."""
        return _mean_of_known(self.by_group, 0)

    @property
    def error(self) -> float:
        """The error rate; chance is 0.5."""
        return float(np.nanmean(self.pairs))

    @property
    def group_errors(self) -> Float[np.ndarray, " groups"]:
        """Error rate of each speaker over its ordered pairs of labels, for bootstraps; NaN for one without triples."""
        return _mean_of_known(self.by_group.reshape(len(self.groups), -1), 1)


def abx(
    points: Float[np.ndarray, "tokens dims"],
    labels: Int[np.ndarray, " tokens"],
    groups: Int[np.ndarray, " tokens"] | None = None,
    contexts: Int[np.ndarray, " tokens"] | None = None,
    *,
    mode: Mode = "within",
    distance: Distance = "cosine",
    most_others: int | None = None,
    rng: np.random.Generator | None = None,
) -> AbxResult:
    """Compares every token X with all pairs (A, B) of its cell; X is kept from itself by its index.

    Time grows with tokens² of a speaker (`within`) or of all (`across`).

    Args:
        points: one vector a token.
        labels: integers.
        groups: the speaker of every token; None is one speaker, for `within` only.
        contexts: integers; A, B and X share theirs. None compares across contexts.
        mode: where X comes from.
        distance: cosine ignores the length of vectors; euclidean does not.
        most_others: with `across`, at most so many speakers of X for each speaker of A and B; None takes all.
        rng: draws them; None is a generator seeded with 0.

    Raises:
        InputError: what `LabelledPoints` refuses; a zero vector under cosine; fewer than two speakers for
            `across`; `most_others` below 1; no triple at all.
    """
    data = LabelledPoints(points, labels, groups)
    if contexts is not None and contexts.shape != labels.shape:
        raise InputError(f"contexts have shape {contexts.shape} for {len(labels)} points; give one a point")
    if distance not in ("cosine", "euclidean"):
        raise InputError(f"distance is {distance!r}; use cosine or euclidean")
    if distance == "cosine" and not data.points.any(axis=1).all():
        row = int(np.flatnonzero(~data.points.any(axis=1))[0])
        raise InputError(f"point {row} is the zero vector, which has no direction; use euclidean, or drop such tokens")
    if most_others is not None and most_others < 1:
        raise InputError(f"most_others is {most_others}; give 1 or more speakers, or none for all")
    names, codes = np.unique(np.zeros_like(labels) if data.groups is None else data.groups, return_inverse=True)
    if mode == "across" and len(names) < 2:
        raise InputError("mode across found one speaker; give tokens of two or more speakers, or use within")
    place = np.zeros_like(labels) if contexts is None else contexts
    rng = np.random.default_rng(0) if rng is None else rng

    by_group = np.full((len(names), len(data.classes), len(data.classes)), np.nan)
    cells = triples = 0
    for g in range(len(names)):
        of_pairs = []
        for h in _speakers_of_x(g, len(names), mode, most_others, rng):
            of_contexts = []
            for sources, queries in _shared_contexts(np.flatnonzero(codes == g), np.flatnonzero(codes == h), place):
                errors, counts = _errors(data, sources, queries, mode, distance)
                of_contexts.append(_ratio(errors, counts))
                cells += int((counts > 0).sum())
                triples += int(counts.sum())
            if of_contexts:
                of_pairs.append(_mean_of_known(np.stack(of_contexts), 0))
        by_group[g] = _mean_of_known(np.stack(of_pairs), 0) if of_pairs else np.nan
    if not triples:
        raise InputError(
            "no triples: no speaker (in one context) has tokens of two labels with a third to compare; give more "
            "tokens, coarser contexts, or a target that varies within speakers"
        )
    return AbxResult(mode, distance, data.classes, names, by_group, cells, triples)


def _speakers_of_x(g: int, n: int, mode: Mode, most: int | None, rng: np.random.Generator) -> np.ndarray:
    match mode:
        case "within":
            return np.array([g])
        case "across":
            others = np.delete(np.arange(n), g)
            return others if most is None or most >= n - 1 else np.sort(rng.choice(others, most, replace=False))
    raise InputError(f"mode is {mode!r}; use within or across")


def _shared_contexts(
    sources: np.ndarray, queries: np.ndarray, contexts: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The rows of both, context by context, where both have some."""
    for context in np.intersect1d(contexts[sources], contexts[queries]):
        yield sources[contexts[sources] == context], queries[contexts[queries] == context]


def _errors(
    data: LabelledPoints, sources: np.ndarray, queries: np.ndarray, mode: Mode, distance: Distance
) -> tuple[Float[np.ndarray, "labels labels"], Int[np.ndarray, "labels labels"]]:
    """Errors and triples of every (a, b): A and B among the sources, X among the queries, which `within` are the same.

    For one X, the A farther than a given B are those after it among the sorted d(A,X): a binary search. Their
    number, with half of the ties, is the errors of that B.
    """
    n_classes = len(data.classes)
    onehot = np.eye(n_classes)[data.codes[sources]]
    here = onehot.sum(axis=0).astype(np.int64)
    errors = np.zeros((n_classes, n_classes))
    counts = np.zeros((n_classes, n_classes), dtype=np.int64)
    chunk = max(1, _NUMBERS_AT_ONCE // len(sources))
    metric = "sqeuclidean" if distance == "euclidean" else "cosine"  # the square orders and ties as the root does
    for a in np.unique(data.codes[queries]):
        own = np.flatnonzero(data.codes[sources] == a)
        candidates = len(own) - (mode == "within")
        if candidates < 1:
            continue
        asked = queries[data.codes[queries] == a]
        for start in range(0, len(asked), chunk):
            some = asked[start : start + chunk]
            distances = cdist(data.points[some], data.points[sources], metric)
            for x, row in zip(some, distances, strict=True):
                d_a = np.sort(row[own[sources[own] != x]])
                row[:] = candidates - (d_a.searchsorted(row, "left") + d_a.searchsorted(row, "right")) / 2
            errors[a] += distances.sum(axis=0) @ onehot
        counts[a] = len(asked) * candidates * here
    np.fill_diagonal(counts, 0)
    return errors, counts


def _ratio(errors: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.divide(errors, counts, out=np.full(errors.shape, np.nan), where=counts > 0)


def _mean_of_known(values: np.ndarray, axis: int) -> np.ndarray:
    """The mean of what is not NaN along the axis; NaN where all is."""
    known = ~np.isnan(values)
    return np.asarray(_ratio(np.where(known, values, 0).sum(axis=axis), known.sum(axis=axis)))
