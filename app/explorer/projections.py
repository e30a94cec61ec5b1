"""Tokens as points of a plane: which rows, which classes, which two axes, and which of very many points are drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from lvm_probe import InputError
from lvm_probe.analysis.moments import moments, standardised
from lvm_probe.analysis.principal_components import principal_axes
from lvm_probe.analysis.shape_annotations import Bool, Float, Int
from lvm_probe.app.explorer.result_cache import cache_folder, cached_array, digest
from lvm_probe.figures.embedding import MIN_DIST, NEIGHBOURS
from lvm_probe.figures.lda_scatter import half_of_utterances
from lvm_probe.figures.lda_scatter import project as discriminants_of
from lvm_probe.probing.corpora import phones
from lvm_probe.probing.questions.question import HEIGHT_EDGES, PHONEME_TARGETS
from lvm_probe.probing.questions.rows import height_classes

Layout = Literal["LDA", "PCA", "UMAP"]

UNKNOWN = "unknown"
"""The class of a token where the table does not know it."""

TOKEN_CLASSES = (*PHONEME_TARGETS, "word")
VOWEL_CLASSES = ("vowel-height", "vowel-backness")
SPEAKER_CLASSES = ("gender", "height", "dialect", "speaker")

MAX_DRAWN = 20_000
"""Points in the picture: browsers without a graphics card move and select that many smoothly."""


def filtered_rows(
    tokens: pd.DataFrame,
    unit: str,
    *,
    speakers: tuple[str, ...] = (),
    gender: str = "all",
    split: str = "all",
    silence: bool = False,
) -> Int[np.ndarray, " rows"]:
    """The rows of a unit with these speakers (none: all), gender and split; silences only if wanted."""
    rows = tokens["unit"] == unit
    if speakers:
        rows &= tokens["speaker"].isin(speakers)
    for column, wanted in (("gender", gender), ("split", split)):
        if wanted != "all":
            rows &= tokens[column] == wanted
    if unit == "phoneme" and not silence:
        rows &= ~tokens["label"].isin(phones.NON_PHONEMES)
    return np.flatnonzero(rows.to_numpy(dtype=bool))


def classes(tokens: pd.DataFrame, by: str, *, phone_set: str = "as labelled") -> np.ndarray:
    """The class of every token as text, or `UNKNOWN`.

    `by` is one of `TOKEN_CLASSES` and `SPEAKER_CLASSES`. Unknown are phones that the phone set drops, and the
    classes of phones that have none. Labels that the phone set is not for stay as they are.
    """
    match by:
        case "phoneme" | "manner" | "place" | "voicing" | "vowel-height" | "vowel-backness":
            column = tokens["label"].map(_phone_classes(tokens["label"].unique(), by, phone_set))
        case "word":
            column = tokens["label"].str.lower()
        case "height":
            column = pd.Series(None, index=tokens.index, dtype=object)
            known = tokens["height_cm"].notna()
            column[known] = height_classes(tokens.loc[known, "height_cm"].to_numpy(), HEIGHT_EDGES)
        case "gender" | "dialect" | "speaker":
            column = tokens[by]
        case _:
            raise ValueError(f"no classes by {by}")
    return column.astype(object).where(column.notna(), UNKNOWN).astype(str).to_numpy(dtype=object)


def _phone_classes(labels: Iterable[str], by: Any, phone_set: Any) -> dict[str, str | None]:
    label_set = phones.recognised(labels) or "timit"
    folds = phone_set in phones.foldings(label_set)
    folded_set = label_set if not folds or phone_set == "arpabet" else "timit"

    def class_of(label: str) -> str | None:
        now: str | None = label
        if folds and (label in phones.SILENCES or phones.belongs(label, label_set)):
            now = phones.fold(label, phone_set, label_set, silences=True)
        return now if now is None or by == "phoneme" else phones.phone_class(now, by, folded_set)

    return {label: class_of(label) for label in labels}


def phone_sets(tokens: pd.DataFrame) -> list[str]:
    """What the phone labels of a table can be folded to, after "as labelled"."""
    label_set = phones.recognised(tokens.loc[tokens["unit"] == "phoneme", "label"].unique())
    return ["as labelled", *(phones.foldings(label_set) if label_set else ())]


def targets_of(tokens: pd.DataFrame, unit: str) -> list[str]:
    """Targets of which these tokens have two or more known classes, the unit's own first."""
    own = {"phoneme": PHONEME_TARGETS, "word": ("word",)}.get(unit, ())
    return [by for by in (*own, *SPEAKER_CLASSES) if len(set(classes(tokens, by)) - {UNKNOWN}) > 1]


@dataclass(frozen=True)
class Projection:
    """Points in two dimensions.

    Attributes:
        places: the two coordinates of every point.
        held_out: which points the axes were not fitted to.
        axes: names of the coordinates.
        description: how the axes were found, in a sentence.
    """

    places: Float[np.ndarray, "points 2"]
    held_out: Bool[np.ndarray, " points"]
    axes: tuple[str, str]
    description: str


def lda_projection(points: Float[np.ndarray, "points dims"], tokens: pd.DataFrame, labels: np.ndarray,
                   target: str, *, seed: int = 0) -> Projection:  # fmt: skip
    """The leading discriminants of the known labels, fitted to half of the utterances, or of the speakers.

    Half of the speakers where the target is an attribute of speakers. Two classes have one discriminant; the second
    axis is then the first principal component. Where nothing can be held out, the axes are fitted to all points, and
    the description says so.

    Raises:
        InputError: fewer than two known classes among those fitted, no class of two tokens, values that are not finite.
    """
    unit = "speaker" if target in ("gender", "height", "dialect") else "utterance"
    known = labels != UNKNOWN
    try:
        fitted = half_of_utterances(tokens[unit].tolist(), seed=seed) & known
        if len(set(labels[fitted])) < 2:
            raise InputError("one class in that half")
        text = (
            f"Axes: linear discriminants of {target}, fitted on half of the {unit}s; the other half is in full colour"
        )
    except InputError:
        fitted = known
        text = f"Axes: linear discriminants of {target}, fitted on these tokens, which separates them too well"
    dims = min(2, len(set(labels[fitted])) - 1, points.shape[1])
    if dims < 1:
        raise InputError(f"LDA of {target} needs two classes, and these tokens have one; choose other tokens or PCA")
    at = discriminants_of(points, labels.tolist(), fitted, dims=dims)
    if dims == 2:
        return Projection(at, ~fitted, ("LDA 1", "LDA 2"), text + ".")
    other = pca_projection(points).places[:, :1]
    text += "; two classes have one discriminant, so the other axis is the first principal component."
    return Projection(np.hstack([at, other]), ~fitted, ("LDA 1", "PCA 1"), text)


def pca_projection(points: Float[np.ndarray, "points dims"]) -> Projection:
    """The two leading principal components of the standardised features; labels are not used."""
    space = standardised(points)
    axes = principal_axes(moments(space, np.zeros(len(space), dtype=np.intp), 1), min(2, space.shape[1]))
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] < 0, -1.0, 1.0)
    at = np.zeros((len(space), 2))
    at[:, : axes.shape[1]] = space @ axes
    text = "Axes: the two principal components of the standardised feature; labels are not used."
    return Projection(at, np.ones(len(at), dtype=bool), ("PCA 1", "PCA 2"), text)


def umap_projection(points: Float[np.ndarray, "points dims"], progress: Callable[[float], None], *,
                    seed: int = 0) -> Projection:  # fmt: skip
    """UMAP of the standardised features: computed once, then read from the user's cache folder.

    `progress` is called with the share of epochs done (0 to 1); the search for neighbours precedes them.

    Raises:
        InputError: umap-learn is not installed, or there are too few points.
    """
    if len(points) < 2 * NEIGHBOURS:
        raise InputError(f"UMAP needs {2 * NEIGHBOURS} tokens or more, and there are {len(points)}; choose PCA")
    settings = ("umap", NEIGHBOURS, MIN_DIST, seed)
    path = cache_folder() / "maps" / f"{digest(points.astype(np.float32), *settings)}.npy"
    at = cached_array(path, lambda: _umap(standardised(points), progress, seed))
    text = (
        f"Axes: UMAP of the standardised feature ({NEIGHBOURS} neighbours); labels are not used. Neighbours stay "
        "neighbours; distances between clusters and their sizes mean little."
    )
    return Projection(at.astype(float), np.ones(len(at), dtype=bool), ("UMAP 1", "UMAP 2"), text)


def _umap(space: np.ndarray, progress: Callable[[float], None], seed: int) -> np.ndarray:
    try:
        from umap import UMAP
    except ImportError:
        raise InputError("UMAP needs another package: pip install umap-learn") from None

    class Percentages:
        """A file for tqdm, which writes its percentage there."""

        def write(self, text: str) -> None:
            if (number := text.strip().rstrip("%")).isdigit():
                progress(int(number) / 100)

        def flush(self) -> None:
            """Nothing is buffered."""

    bar = {"file": Percentages(), "bar_format": "{percentage:.0f}%", "mininterval": 0.3, "disable": False}
    reducer = UMAP(n_neighbors=NEIGHBOURS, min_dist=MIN_DIST, random_state=seed, n_jobs=1, tqdm_kwds=bar)
    return reducer.fit_transform(space.astype(np.float32))


def thinned(labels: np.ndarray, most: int = MAX_DRAWN, *, seed: int = 0) -> Int[np.ndarray, " rows"]:
    """At most `most` rows in ascending order: all of rare classes, and an equal number of random rows of the others.

    That number is the largest that fits, so only classes larger than it lose any; with more classes than `most`, some
    have none.
    """
    if len(labels) <= most:
        return np.arange(len(labels))
    _, codes, counts = np.unique(labels.astype(str), return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(codes[order], kind="stable")]
    rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)  # of a row within its class
    turns = np.argsort(rank, kind="stable")[:most]  # every class's first, then every class's second, ...
    return np.sort(order[turns])
