"""ABX discriminability: is a token closer to a token of the same label than to one of another label?

Schatz, Peddinti, Bach, Jansen, Hermansky and Dupoux 2013, "Evaluating speech features with the Minimal-Pair ABX task";
Schatz 2016, "ABX-discriminability measures and applications". A and X have label a, B has label b; the triple is an
error where d(A,X) > d(B,X), and half an error where the distances are equal. Nothing is fitted, so nothing leaks, and
chance is 0.5 whatever the frequencies of the labels.

Written here because the library fastabx needs Python 3.12, and because pooled tokens are single vectors: all triples of
an X are counted by one search in the sorted distances d(A,X), without visiting them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.spatial.distance import cdist

from lvm_probe import InputError
from lvm_probe.analysis.joined_features import of_equal_size
from lvm_probe.analysis.labelled_points import LabelledPoints
from lvm_probe.analysis.shape_annotations import Float, Int

Mode = Literal["within", "across"]
Distance = Literal["cosine", "euclidean"]

_NUMBERS_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class AbxResult:
    """Error rates of ABX triples, averaged in stages as ZeroSpeech does.

    Plain means are taken over the triples of a cell (labels a and b, speaker of A and B, speaker of X, context), then
    over contexts, over the speakers of X (with `across`), over the speakers of A and B, and over ordered pairs of
    labels. So rare labels and speakers with few tokens count as much as others.

    Attributes:
        mode: `within`: A, B and X of one speaker. `across`: A and B of one speaker, X of another.
        distance: between tokens.
        labels: the labels a and b of the rows and columns of `by_group`, ascending.
        groups: the speakers of A and B, ascending; a single 0 without groups.
        by_group: error rate of each speaker and ordered pair (a, b); NaN where there is no triple.
        error_without: the error rate without each speaker, both as that of A and B and as that of X; NaN where that
            leaves nothing.
        cells: number of cells that have a triple.
        triples: number of triples.
    """

    mode: Mode
    distance: Distance
    labels: Int[np.ndarray, " labels"]
    groups: Int[np.ndarray, " groups"]
    by_group: Float[np.ndarray, "groups labels labels"]
    error_without: Float[np.ndarray, " groups"]
    cells: int
    triples: int

    @property
    def pairs(self) -> Float[np.ndarray, "labels labels"]:
        """Error rate of each ordered pair (a, b); NaN where there is no triple, as on the diagonal."""
        return _mean_of_known(self.by_group, 0)

    @property
    def error(self) -> float:
        """The error rate; chance is 0.5."""
        return _mean_over_pairs(self.by_group)

    @property
    def group_errors(self) -> Float[np.ndarray, " groups"]:
        """Error rate of each speaker over its ordered pairs of labels; NaN for a speaker without triples."""
        return _mean_of_known(self.by_group.reshape(len(self.groups), -1), 1)


def abx(
    points: Float[np.ndarray, "points dims"],
    labels: Int[np.ndarray, " points"],
    groups: Int[np.ndarray, " points"] | None = None,
    contexts: Int[np.ndarray, " points"] | None = None,
    prompts: Int[np.ndarray, " points"] | None = None,
    *,
    mode: Mode = "within",
    distance: Distance = "cosine",
    parts: Sequence[int] = (),
) -> AbxResult:
    """Compare every token X with all pairs (A, B) of its cell, except X itself.

    The time grows with the square of the number of tokens of a speaker (`within`) or of all speakers (`across`).

    Args:
        points: one vector per token.
        labels: integers.
        groups: the speaker of every token; None is one speaker, for `within` only.
        contexts: integers that A, B and X have in common. None compares across contexts.
        prompts: integers, what was read at every token; X has another than A and B. None compares within prompts too.
        mode: where X comes from.
        distance: cosine ignores the length of vectors; euclidean does not.
        parts: dimensions of the parts of a joined feature, each of which is scaled to the same size over all points.

    Raises:
        InputError: what `LabelledPoints` refuses; a zero vector under cosine; fewer than two speakers for `across`; no
            triple at all.

    Example:
        >>> points = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
        >>> abx(points, np.array([0, 0, 1, 1])).error
        0.0
    """
    data = LabelledPoints(of_equal_size(points, parts, about_mean=distance == "euclidean"), labels, groups)
    for name, column in (("contexts", contexts), ("prompts", prompts)):
        if column is not None and column.shape != labels.shape:
            raise InputError(f"{name} have shape {column.shape} for {len(labels)} points; give one per point")
    if distance not in ("cosine", "euclidean"):
        raise InputError(f"distance is {distance!r}; use cosine or euclidean")
    if distance == "cosine" and not data.points.any(axis=1).all():
        row = int(np.flatnonzero(~data.points.any(axis=1))[0])
        raise InputError(f"point {row} is the zero vector, which has no direction; use euclidean, or drop such tokens")
    names, codes = np.unique(np.zeros_like(labels) if data.groups is None else data.groups, return_inverse=True)
    if mode == "across" and len(names) < 2:
        raise InputError("mode across found one speaker; give tokens of two or more speakers, or use within")
    place = np.zeros_like(labels) if contexts is None else contexts

    by_speakers = []  # the error rates of every g, for every h that X comes from
    cells = triples = 0
    for g in range(len(names)):
        of_x = np.full((len(names), len(data.classes), len(data.classes)), np.nan)
        for h in _speakers_of_x(g, len(names), mode):
            of_contexts = []
            for sources, queries in _shared_contexts(np.flatnonzero(codes == g), np.flatnonzero(codes == h), place):
                errors, counts = _errors_of_other_prompts(data, sources, queries, prompts, mode, distance)
                of_contexts.append(_ratio(errors, counts))
                cells += int((counts > 0).sum())
                triples += int(counts.sum())
            if of_contexts:
                of_x[h] = _mean_of_known(np.stack(of_contexts), 0)
        by_speakers.append(of_x)
    if not triples:
        raise InputError(
            "no triples: no speaker (in one context) has tokens of two labels with a third to compare; give more "
            "tokens, coarser contexts, or a target that varies within speakers"
        )
    by_group = np.stack([_mean_of_known(of_x, 0) for of_x in by_speakers])
    error_without = np.array([_error_without(by_speakers, d) for d in range(len(names))])
    return AbxResult(mode, distance, data.classes, names, by_group, error_without, cells, triples)


def _error_without(by_speakers: list[np.ndarray], speaker: int) -> float:
    """The error rate of all speakers but one."""
    others = [np.delete(of_x, speaker, axis=0) for g, of_x in enumerate(by_speakers) if g != speaker]
    return _mean_over_pairs(np.stack([_mean_of_known(of_x, 0) for of_x in others])) if others else np.nan


def _mean_over_pairs(by_group: Float[np.ndarray, "groups labels labels"]) -> float:
    """The mean over speakers, then over ordered pairs of labels; NaN where nothing is known."""
    pairs = _mean_of_known(by_group, 0)
    known = np.isfinite(pairs)
    return float(pairs[known].mean()) if known.any() else np.nan


def _speakers_of_x(g: int, n: int, mode: Mode) -> np.ndarray:
    match mode:
        case "within":
            return np.array([g])
        case "across":
            return np.delete(np.arange(n), g)
    raise InputError(f"mode is {mode!r}; use within or across")


def _shared_contexts(
    sources: np.ndarray, queries: np.ndarray, contexts: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The rows of both in every context that both have."""
    for context in np.intersect1d(contexts[sources], contexts[queries]):
        yield sources[contexts[sources] == context], queries[contexts[queries] == context]


def _errors_of_other_prompts(
    data: LabelledPoints,
    sources: np.ndarray,
    queries: np.ndarray,
    prompts: np.ndarray | None,
    mode: Mode,
    distance: Distance,
) -> tuple[Float[np.ndarray, "labels labels"], Int[np.ndarray, "labels labels"]]:
    """Errors and triples, where A and B have another prompt than X if there are prompts."""
    if prompts is None:
        return _errors(data, sources, queries, mode, distance)
    shape = (len(data.classes), len(data.classes))
    errors, counts = np.zeros(shape), np.zeros(shape, dtype=np.int64)
    for prompt in np.unique(prompts[queries]):
        others = sources[prompts[sources] != prompt]
        if not len(others):
            continue
        # X is not among the others, as across speakers, so none of them has to be left out.
        some = _errors(data, others, queries[prompts[queries] == prompt], "across", distance)
        errors, counts = errors + some[0], counts + some[1]
    return errors, counts


def _errors(
    data: LabelledPoints, sources: np.ndarray, queries: np.ndarray, mode: Mode, distance: Distance
) -> tuple[Float[np.ndarray, "labels labels"], Int[np.ndarray, "labels labels"]]:
    """Errors and triples of every (a, b), A and B among the sources and X among the queries (the same in `within`).

    For one X and B, the errors are the A that are farther than B, plus half of those at the same distance: a binary
    search of d(B,X) among the sorted d(A,X).
    """
    n_classes = len(data.classes)
    onehot = np.eye(n_classes)[data.codes[sources]]
    here = onehot.sum(axis=0).astype(np.int64)
    errors = np.zeros((n_classes, n_classes))
    counts = np.zeros((n_classes, n_classes), dtype=np.int64)
    chunk = max(1, _NUMBERS_AT_ONCE // len(sources))
    metric = (
        "sqeuclidean" if distance == "euclidean" else "cosine"
    )  # the square has the same order and ties as the distance
    for a in np.unique(data.codes[queries]):
        own = np.flatnonzero(data.codes[sources] == a)
        candidates = len(own) - (mode == "within")
        if candidates < 1:
            continue
        of_label = queries[data.codes[queries] == a]
        for start in range(0, len(of_label), chunk):
            some = of_label[start : start + chunk]
            distances = cdist(data.points[some], data.points[sources], metric)
            for x, row in zip(some, distances, strict=True):
                d_a = np.sort(row[own[sources[own] != x]])
                row[:] = candidates - (d_a.searchsorted(row, "left") + d_a.searchsorted(row, "right")) / 2
            errors[a] += distances.sum(axis=0) @ onehot
        counts[a] = len(of_label) * candidates * here
    np.fill_diagonal(counts, 0)
    return errors, counts


def _ratio(errors: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.divide(errors, counts, out=np.full(errors.shape, np.nan), where=counts > 0)


def _mean_of_known(values: np.ndarray, axis: int) -> np.ndarray:
    """The mean along the axis without NaN; NaN where all values are."""
    known = ~np.isnan(values)
    return np.asarray(_ratio(np.where(known, values, 0).sum(axis=axis), known.sum(axis=axis)))
