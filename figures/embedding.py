"""Tokens of one speaker in two dimensions that no label had a part in: principal components, and UMAP.

What falls apart here does so without being told the classes, unlike in the plane of an LDA. UMAP keeps neighbours
together; how far its clusters lie from each other, and how large they are, means nothing.
"""

from __future__ import annotations

import warnings
from typing import get_args

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lvm_probe import InputError
from lvm_probe.analysis.moments import standardised
from lvm_probe.analysis.shape_annotations import Float
from lvm_probe.figures import style
from lvm_probe.figures.confusion import single_layers
from lvm_probe.figures.inputs import LeftOut, Material
from lvm_probe.probing.corpora.phones import Manner
from lvm_probe.probing.questions.question import Question
from lvm_probe.probing.questions.rows import select_rows

NAME = "embedding"
TITLE = "Tokens by principal components and by UMAP"

LEAST_TOKENS = 30
"""Fewer tell nothing, and leave UMAP no neighbours."""

NEIGHBOURS, MIN_DIST = 15, 0.1
"""UMAP's own defaults (McInnes, Healy and Melville, arXiv:1802.03426), written down so that they stay."""

COLUMNS = ("method", "feature", "x", "y", "manner")
METHODS = ("PCA", "UMAP")

# A colour of each manner's own family in `style`, by one of its phonemes, and a shape of its own.
_MARKS: dict[Manner, tuple[str, str]] = {
    "stop": ("t", "o"),
    "closure": ("tcl", "s"),
    "affricate": ("jh", "X"),
    "fricative": ("sh", "^"),
    "nasal": ("ng", "D"),
    "semivowel": ("w", "P"),
    "vowel": ("aa", "o"),
    "silence": ("pau", "d"),
}
_OPEN = ("vowel",)  # the most numerous: open marks hide less
_AREA = 7.0  # points squared


def data(material: Material) -> pd.DataFrame:
    """One row per method, feature and token: its place, label and manner of articulation.

    Features are standardised over the speaker's tokens first. `share_x` and `share_y` are the fractions of the
    variance that the two principal components hold; of UMAP there are none. Of every axis the end that lies farther
    out is positive, for the sign means nothing.

    Raises:
        LeftOut: no phonemes, labels that are not TIMIT's, or fewer than 30 tokens.
    """
    speaker = material.one_speaker()
    try:
        found = select_rows(material.table, Question(target="manner", speakers=(speaker,)))
    except InputError as error:
        raise LeftOut(str(error)) from None
    if len(found.labels) < LEAST_TOKENS:
        raise LeftOut(f"{material.table.path}: {len(found.labels)} phonemes of speaker {speaker}; {LEAST_TOKENS} are "
                      "needed")  # fmt: skip
    tokens = pd.DataFrame({"label": found.table.tokens["label"], "manner": found.labels, "speaker": speaker})
    names = [*single_layers(material), *(["mel"] if "mel" in material.table.features else [])]
    if not names:
        raise LeftOut(f"{material.table.path}: no layer of a model and no Mel")
    frames = []
    for name in names:
        material.progress(f"UMAP of {name}")
        space = standardised(found.table.matrix(name))
        if space.shape[1] < 2 or not space.any():
            raise LeftOut(f"{material.table.path}: feature '{name}' has one dimension, or one value for all tokens")
        for method in METHODS:
            if method == "PCA":
                at, shares = principal(space)
            else:
                at, shares = umap(space, seed=material.seed), np.full(2, np.nan)
            farther = at[np.abs(at).argmax(axis=0), np.arange(2)]
            at = at * np.where(farther < 0, -1.0, 1.0)
            frames.append(tokens.assign(method=method, feature=name, x=at[:, 0], y=at[:, 1], share_x=shares[0],
                                        share_y=shares[1]))  # fmt: skip
    return pd.concat(frames, ignore_index=True)[[*COLUMNS, "label", "speaker", "share_x", "share_y"]]


def principal(
    space: Float[np.ndarray, "tokens dims"],
) -> tuple[Float[np.ndarray, "tokens 2"], Float[np.ndarray, " 2"]]:
    """The first two principal components, and the fraction of the variance that each holds."""
    centred = space - space.mean(0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    variance = values**2
    return left[:, :2] * values[:2], variance[:2] / variance.sum()


def umap(space: Float[np.ndarray, "tokens dims"], *, seed: int) -> Float[np.ndarray, "tokens 2"]:
    """UMAP with Euclidean distances, about its mean; in one thread with a fixed seed, so that a machine repeats it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from umap import UMAP  # takes seconds: only when it is drawn

        reduced = UMAP(
            n_neighbors=min(NEIGHBOURS, len(space) - 1), min_dist=MIN_DIST, random_state=seed, n_jobs=1
        ).fit_transform(space)
    at = np.asarray(reduced, dtype=np.float64)
    return at - at.mean(0)


def draw(ax: Axes, data: pd.DataFrame) -> None:
    """Draw the tokens of one feature by one method, in the colour and mark of their manner.

    Args:
        ax: where; its limits are set here.
        data: rows of one method and feature.

    Raises:
        LeftOut: columns missing or no rows.
    """
    _check(data)
    with style.applied():
        for manner, look in looks(data).items():
            some = data[data["manner"] == manner]
            ax.scatter(
                some["x"], some["y"], s=_AREA if look.filled else 0.8 * _AREA, marker=look.marker,
                facecolors=look.colour if look.filled else "none", edgecolors="white" if look.filled else look.colour,
                linewidths=0.2 if look.filled else 0.6, label=manner,
            )  # fmt: skip
        for axis in "xy":
            low, high = data[axis].min(), data[axis].max()
            room = 0.05 * max(high - low, 1e-6)
            ax.set(**{f"{axis}lim": (low - room, high + room), f"{axis}ticks": []})
        ax.spines[["top", "right"]].set_visible(True)
        if data["method"].iloc[0] == "PCA":
            ax.set_xlabel(f"PC 1 ({100 * data['share_x'].iloc[0]:.0f} %)")
            ax.set_ylabel(f"PC 2 ({100 * data['share_y'].iloc[0]:.0f} %)")


def looks(data: pd.DataFrame) -> dict[str, style.PhoneLook]:
    """Colour and mark of every manner in the table, in the order of the legend."""
    present = set(data["manner"])
    return {
        manner: style.PhoneLook(
            style.phone_look(_MARKS[manner][0]).colour, _MARKS[manner][1], manner not in _OPEN, manner
        )
        for manner in get_args(Manner)
        if manner in present
    }


def figure(data: pd.DataFrame) -> Figure:
    """Principal components above, UMAP beneath, a column for each feature, and the legend under them.

    Raises:
        LeftOut: as `draw`.
    """
    _check(data)
    features = list(dict.fromkeys(data["feature"]))
    left, between, foot, apart, head = 0.3, 0.24, 0.36, 0.42, 0.24
    width = style.TWO_COLUMNS
    side = min((width - left - 0.06 - between * (len(features) - 1)) / len(features), 2.3)
    width = left + len(features) * (side + between) - between + 0.06
    tall = 0.86 * side
    height = foot + 2 * tall + apart + head
    with style.applied():
        fig = Figure(figsize=(width, height), dpi=style.DPI)
        for i, feature in enumerate(features):
            for j, method in enumerate(METHODS):
                bottom = foot + (1 - j) * (tall + apart)
                ax = style.axes_in(fig, left + i * (side + between), bottom, side, tall)
                draw(ax, data[(data["feature"] == feature) & (data["method"] == method)])
                ax.set_title(f"{style.feature_look(feature).label}, {method}", pad=3)
        marks, names = fig.axes[0].get_legend_handles_labels()
        fig.legend(marks, names, loc="lower center", ncols=len(names), frameon=False, handletextpad=0.1,
                   columnspacing=1.4, borderaxespad=0.3, markerscale=1.4)  # fmt: skip
    return fig


def caption(data: pd.DataFrame, material: Material) -> str:
    """Whose tokens, and what the distances mean."""
    one = data[(data["feature"] == data["feature"].iloc[0]) & (data["method"] == METHODS[0])]
    return (
        f"Phonemes of speaker {data['speaker'].iloc[0]} ({material.table.name}), {len(one):,} tokens of "
        f"{one['label'].nunique()} phonemes, by manner of articulation, which neither method was told. Features are "
        f"standardised. Above: the first two principal components, with their share of the variance. Beneath: UMAP of "
        f"{min(NEIGHBOURS, len(one) - 1)} neighbours, seed {material.seed}: who is near whom means something; the "
        "distances between clusters, their sizes and the axes mean nothing."
    )


def _check(data: pd.DataFrame) -> None:
    if missing := [name for name in COLUMNS if name not in data]:
        raise LeftOut(f"places of tokens lack the columns {', '.join(missing)}")
    if data.empty or not np.isfinite(data[["x", "y"]].to_numpy(float)).all():
        raise LeftOut(f"{len(data)} places of tokens: none, or some are not finite")
