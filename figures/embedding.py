"""Tokens of one speaker in two dimensions found without labels: principal components, and UMAP.

Clusters here do not come from the labels, unlike in the plane of an LDA. UMAP keeps neighbours together; the distances
between its clusters and their sizes carry no meaning.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lvm_probe import InputError
from lvm_probe.analysis.moments import standardised
from lvm_probe.analysis.shape_annotations import Float
from lvm_probe.figures import layout, style
from lvm_probe.figures.inputs import FigureInputs, check_columns
from lvm_probe.probing.questions.rows import Rows, select_rows

NAME = "embedding"
TITLE = "Tokens by principal components and by UMAP"

MIN_TOKENS = 30
"""Fewer show nothing, and leave UMAP no neighbours."""

NEIGHBOURS, MIN_DIST = 15, 0.1
"""UMAP's own defaults (McInnes, Healy and Melville, arXiv:1802.03426), written down so that they stay."""

COLUMNS = ("method", "feature", "x", "y", "manner")
METHODS = ("PCA", "UMAP")

_AREA = 7.0  # points squared


def data(inputs: FigureInputs) -> pd.DataFrame:
    """One row per method, feature and token: its place, label and manner of articulation.

    Features are standardised over the speaker's tokens first. `share_x` and `share_y` are the fractions of the variance
    along the two principal components; UMAP has none. Signs carry no meaning, so every axis is turned such that its
    farthest point is positive.

    Raises:
        InputError: no phonemes, labels that are not TIMIT's, or fewer than 30 tokens.
    """
    speaker = inputs.one_speaker()
    rows = _rows(inputs, speaker)
    if len(rows.labels) < MIN_TOKENS:
        raise InputError(
            f"{inputs.table.path}: {len(rows.labels)} phonemes of speaker {speaker}; {MIN_TOKENS} are needed"
        )
    tokens = pd.DataFrame({"label": rows.table.tokens["label"], "manner": rows.labels, "speaker": speaker})
    names = inputs.single_features
    if not names:
        raise InputError(f"{inputs.table.path}: no layer of a model and no Mel")
    parts = []
    for name in names:
        inputs.progress(f"UMAP of {name}")
        space = standardised(rows.table.matrix(name))
        if space.shape[1] < 2 or not space.any():
            raise InputError(f"{inputs.table.path}: feature '{name}' has one dimension, or one value for all tokens")
        for method in METHODS:
            if method == "PCA":
                at, shares = principal(space)
            else:
                at, shares = umap(space, seed=inputs.seed), np.full(2, np.nan)
            farthest = at[np.abs(at).argmax(axis=0), np.arange(2)]
            at = at * np.where(farthest < 0, -1.0, 1.0)
            parts.append(tokens.assign(method=method, feature=name, x=at[:, 0], y=at[:, 1], share_x=shares[0],
                                       share_y=shares[1]))  # fmt: skip
    return pd.concat(parts, ignore_index=True)[[*COLUMNS, "label", "speaker", "share_x", "share_y"]]


def _rows(inputs: FigureInputs, speaker: str) -> Rows:
    return select_rows(inputs.table, inputs.question("manner", speakers=(speaker,)))


def principal(
    space: Float[np.ndarray, "tokens dims"],
) -> tuple[Float[np.ndarray, "tokens 2"], Float[np.ndarray, " 2"]]:
    """The first two principal components, and the fraction of the variance along each."""
    left, values, _ = np.linalg.svd(space - space.mean(0), full_matrices=False)
    variance = values**2
    return left[:, :2] * values[:2], variance[:2] / variance.sum()


def umap(space: Float[np.ndarray, "tokens dims"], *, seed: int) -> Float[np.ndarray, "tokens 2"]:
    """UMAP with Euclidean distances, about its mean; in one thread with a fixed seed, so that it can be repeated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from umap import UMAP  # takes seconds to import

        reducer = UMAP(n_neighbors=min(NEIGHBOURS, len(space) - 1), min_dist=MIN_DIST, random_state=seed, n_jobs=1)
        at = np.asarray(reducer.fit_transform(space), dtype=np.float64)
    return at - at.mean(0)


def draw(ax: Axes, data: pd.DataFrame) -> None:
    """Draw the tokens of one feature by one method, in the colour and mark of their manner."""
    _check(data)
    with style.theme():
        for manner, look in style.manner_styles(data["manner"]).items():
            some = data[data["manner"] == manner]
            style.draw_marks(ax, some["x"], some["y"], look, area=_AREA, label=manner)
        ax.margins(0.05)
        ax.set(xticks=[], yticks=[])
        ax.spines[["top", "right"]].set_visible(True)
        if data["method"].iloc[0] == "PCA":
            ax.set_xlabel(f"PC 1 ({100 * data['share_x'].iloc[0]:.0f} %)")
            ax.set_ylabel(f"PC 2 ({100 * data['share_y'].iloc[0]:.0f} %)")


def figure(data: pd.DataFrame) -> Figure:
    """Principal components above, UMAP below, a column for each feature, and the legend at the bottom."""
    _check(data)
    features = list(dict.fromkeys(data["feature"]))
    first = data[(data["feature"] == features[0]) & (data["method"] == METHODS[0])]
    with style.theme():
        text, bottom = layout.note(f"Speaker {data['speaker'].iloc[0]}: {len(first):,} tokens.", style.TWO_COLUMNS)
        fig, places = layout.grid(2 * len(features), per_row=len(features), tall=1.85, foot=bottom + 0.17, left=0.3,
                                  between=0.24, below=0.2)  # fmt: skip
        for ax, (method, feature) in zip(places, [(m, f) for m in METHODS for f in features], strict=True):
            draw(ax, data[(data["feature"] == feature) & (data["method"] == method)])
            ax.set_title(f"{style.feature_style(feature).label}, {method}", pad=3)
        marks, names = places[0].get_legend_handles_labels()
        fig.legend(marks, names, loc="lower left", ncols=len(names), handletextpad=0.1, columnspacing=1.4,
                   borderpad=0.2, borderaxespad=0.2, markerscale=1.4,
                   bbox_to_anchor=(0, bottom / fig.get_figheight()))  # fmt: skip
        layout.write_note(fig, text)
    return fig


def caption(data: pd.DataFrame, inputs: FigureInputs) -> str:
    """Whose tokens, and what the distances mean."""
    first = data[(data["feature"] == data["feature"].iloc[0]) & (data["method"] == METHODS[0])]
    notes = _rows(inputs, str(data["speaker"].iloc[0])).notes
    return (
        f"One speaker's tokens of {first['label'].nunique()} phonemes ({inputs.table.name}), coloured by manner of "
        "articulation, which neither method uses. Features "
        "are standardised. Above: the first two principal components, with their share of the variance. Below: UMAP "
        f"with {min(NEIGHBOURS, len(first) - 1)} neighbours, seed {inputs.seed}: which tokens are close is "
        "meaningful; distances between clusters, their sizes and the axes mean nothing."
        + "".join(f" {note[0].upper()}{note[1:]}." for note in notes)
    )


def _check(data: pd.DataFrame) -> None:
    check_columns(data, COLUMNS, "token places")
    if not np.isfinite(data[["x", "y"]].to_numpy(float)).all():
        raise InputError("some token places are not finite; extract the features again")
