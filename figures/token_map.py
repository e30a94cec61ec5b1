"""Tokens of a table in two dimensions, coloured by what they are: by discriminants, principal components or UMAP."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lvm_probe import InputError
from lvm_probe.analysis.moments import standardised
from lvm_probe.figures import embedding, lda_scatter, style
from lvm_probe.figures.style import ClassStyle
from lvm_probe.figures.wording import counted
from lvm_probe.probing.features.feature import Feature
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.question import SPEAKER_ATTRIBUTES, Question, Target
from lvm_probe.probing.questions.rows import Rows, select_rows

Layout = Literal["LDA", "PCA", "UMAP"]

MAX_TOKENS = 5000
"""Tokens on a map at most: more would hide each other."""

_FULL_AREA, _SMALL_AREA, _FEW = 8.0, 2.0, 400  # points squared of a mark for so few tokens or fewer, and for many
_TALL = 4.4  # inches


def select(table: TokenTable, colour: Target, **options: Any) -> Rows:
    """The tokens of a map, with their classes.

    Args:
        table: the tokens.
        colour: the target of a question, whose classes give the colours.
        options: fields of `Question` that restrict the tokens, such as `speakers`, `phones` or `rows`.

    Raises:
        InputError: no tokens with a known class, or what `Question` refuses.
    """
    if colour == "height-cm":
        raise InputError("colour is 'height-cm'; colour by the classes of 'height'")
    protocol = {"protocol": "nested", "rows": "token"} if colour in (*SPEAKER_ATTRIBUTES, "speaker") else {}
    return select_rows(table, Question(target=colour, **protocol | options))


def places(
    rows: Rows, feature: str | Feature, layout: Layout, *, max_tokens: int = MAX_TOKENS, seed: int = 0
) -> pd.DataFrame:
    """Where each token lies: x, y, label, class, held_out, and the columns of the table that say what it is.

    `drawn_from` is the number of tokens that those of the map were drawn from.

    Args:
        rows: as `select` gives them.
        feature: columns of the table; `z1+z2` joins two.
        layout: `LDA`: discriminants of the classes, fitted to half of the utterances, which are not held out; `PCA`:
            principal components; `UMAP`. The last two use no classes. Features are standardised first.
        max_tokens: of more tokens, so many are drawn at random.
        seed: of that, of the choice of utterances, and of UMAP.

    Raises:
        InputError: an unknown layout or feature, or too few tokens or classes.
    """
    if max_tokens < 3:
        raise InputError(f"{max_tokens} tokens are too few for a map; give 3 or more")
    drawn_from = len(rows)
    if drawn_from > max_tokens:
        chosen = np.zeros(drawn_from, dtype=bool)
        chosen[np.random.default_rng(seed).choice(drawn_from, max_tokens, replace=False)] = True
        rows = rows.where(chosen)
    points = rows.table.matrix(feature)
    classes = rows.labels.astype(str)
    tokens = rows.table.tokens
    held_out = np.zeros(len(points), dtype=bool)
    match layout:
        case "LDA":
            fitted = lda_scatter.half_of_utterances(tokens["utterance"].tolist(), seed=seed)
            at, held_out = lda_scatter.project(points, classes.tolist(), fitted), ~fitted
        case "PCA" | "UMAP":
            space = standardised(points)
            if len(space) < 3 or space.shape[1] < 2 or not space.any():
                raise InputError(f"{rows.table.path}: '{feature}' has one dimension, or one value, or too few rows")
            at = embedding.principal(space)[0] if layout == "PCA" else embedding.umap(space, seed=seed)
        case _:
            raise InputError(f"layout is {layout!r}; choose one of {', '.join(get_args(Layout))}")
    # The phones of a map that is coloured by manner are named on it.
    label = tokens["label"] if rows.question.target == "manner" else classes
    what = tokens[["token_id", "utterance", "speaker", "gender", "unit", "start", "end", "sample_rate"]]
    return what.assign(
        token=tokens["label"], **{"x": at[:, 0], "y": at[:, 1], "label": label, "class": classes}, held_out=held_out,
        feature=str(feature), layout=layout, colour=rows.question.target, drawn_from=drawn_from,
    )  # fmt: skip


def styles(colour: str, labels: pd.Series) -> dict[str, ClassStyle]:
    """Style of every label of a map, in the order of a legend; one that is coloured by manner has phones as labels."""
    return style.class_styles("phoneme" if colour == "manner" else colour, labels.astype(str))


def figure(data: pd.DataFrame) -> Figure:
    """The map across both columns, with the legend of its classes below.

    Args:
        data: as `places` gives it.
    """
    first = data.iloc[0]
    shown = lda_scatter.in_full_colour(data)
    looks = styles(first["colour"], shown["label"])
    area = float(np.clip(_FULL_AREA * (_FEW / len(shown)) ** 0.5, _SMALL_AREA, _FULL_AREA))
    text = f"{counted(len(shown), first['unit'])} of {counted(shown['speaker'].nunique(), 'speaker')}."
    if first["drawn_from"] > len(data):
        text += f" The map is of {len(data):,} tokens, drawn at random from {first['drawn_from']:,}."
    if shown["held_out"].any():
        text += f" The axes were fitted on {len(data) - len(shown):,} tokens of other utterances, which are not shown."
    with style.theme():
        fig = lda_scatter.panels(
            data, f"{first['layout']}, coloured by {first['colour']}", text, styles=looks, tall=_TALL,
            draw_panel=partial(lda_scatter.draw, styles=looks, area=area),
        )  # fmt: skip
        if first["layout"] != "LDA":
            name = {"PCA": "PC", "UMAP": "UMAP"}[first["layout"]]
            fig.axes[0].set(xlabel=f"{name} 1", ylabel=f"{name} 2")
        if first["layout"] == "UMAP":
            fig.axes[0].set(xticks=[], yticks=[])
    return fig
