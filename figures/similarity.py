"""How alike the layers, Mel and the untrained model's layers are: a heat map for CKA, PWCCA and RSA, layers in order.

CKA is unbiased, PWCCA is of held-out speakers and RSA of pairs of tokens of different speakers, so independent inputs
score about 0 in all three.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lvm_probe import InputError
from lvm_probe.figures import layout, style
from lvm_probe.figures.inputs import FigureInputs, check_columns
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.rows import check_same_tokens
from lvm_probe.probing.questions.similarity import ROW_NAMES, Similarities, matrix, similarities

NAME = "similarity"
TITLE = "How alike the layers are"

COLUMNS = ("measure", "first", "second", "value", "null", "n", "rows", "speakers")

_TITLES = {
    "cka": "unbiased CKA", "pwcca": "PWCCA, held-out speakers", "rsa": "RSA across speakers", "shape": "shape distance",
}  # fmt: skip
_COLOURS = "magma_r"  # its lightness falls evenly, so that it can be read in grey
_CELL = 0.34  # inches


def data(inputs: FigureInputs) -> pd.DataFrame:
    """One row per measure and pair of features: the value, its interval, and what independent inputs score.

    Compared are the layers of the table and Mel, the layers of the untrained model, and those of other checkpoints'
    tables that hold the same tokens.

    Raises:
        InputError: fewer than two features, or no phonemes.
    """
    tables = [inputs.table]
    tables += [replace(inputs.untrained, name="untrained")] if inputs.untrained is not None else []
    tables += [other for other in inputs.others if _same_tokens(other, inputs.table)]
    rows = {"phones": inputs.phones}
    permutations = 20 if inputs.permutations is None else inputs.permutations
    inputs.progress("similarity")
    found = similarities(
        tables,
        inputs.single_features,
        rows=rows,
        permutations=permutations,
        seed=inputs.seed,
        progress=lambda done, of: inputs.progress("similarity", done / of),
    )
    return tidy(found, own=inputs.table.name if len(tables) > 1 else "")


def tidy(found: Similarities, own: str = "") -> pd.DataFrame:
    """The rows that are drawn, in the order of the representations.

    Args:
        found: the similarities.
        own: a table whose name is left out of the names of its layers.
    """
    frame = found.frame[found.frame["value"].notna()].reset_index(drop=True)
    if own:
        frame = frame.assign(**{end: frame[end].str.removeprefix(f"{own} ") for end in ("first", "second")})
    return frame


def draw(ax: Axes, data: pd.DataFrame, *, rows: bool = True) -> None:
    """Draw one measure: the value of every pair in its cell; `rows`: label the rows too, not only the columns."""
    check_columns(data, COLUMNS, "similarities")
    measures = set(data["measure"])
    if len(measures) > 1:
        raise InputError(f"similarities by {', '.join(sorted(measures))}; a panel shows one measure")
    (measure,) = measures
    values = matrix(Similarities(tuple(_names(data)), data), measure)
    labels = [_label(name) for name in values.index]
    most = float(np.sqrt(2)) if measure == "shape" else 1.0
    colours = "magma" if measure == "shape" else _COLOURS
    with style.theme():
        sns.heatmap(values, ax=ax, cmap=colours, vmin=0, vmax=most, cbar=False, annot=True, fmt=".2f", square=True,
                    annot_kws={"size": 5}, xticklabels=labels, yticklabels=labels if rows else False,
                    linewidths=0.4, linecolor="white")  # fmt: skip
        ax.set(xlabel="", ylabel="")
        ax.tick_params(length=0)
        ax.set_xticks(ax.get_xticks(), labels, rotation=90)
        if rows:
            ax.set_yticks(ax.get_yticks(), labels, rotation=0)


def figure(data: pd.DataFrame) -> Figure:
    """The measures next to each other, with the same order of features."""
    check_columns(data, COLUMNS, "similarities")
    measures, names = list(dict.fromkeys(data["measure"])), _names(data)
    with style.theme():
        room = max(layout.text_width(_label(name), style.SMALL) for name in names) + 0.14
        head, between = 0.22, 0.14
        most = (style.TWO_COLUMNS - room - between * len(measures)) / len(measures)
        titles = max(layout.text_width(_TITLES[measure], style.NORMAL) for measure in measures)
        side = min(max(_CELL * len(names), titles), most)
        width = room + len(measures) * (side + between)
        fig = Figure(figsize=(width, room + side + head), dpi=style.DPI)
        for i, measure in enumerate(measures):
            ax = layout.axes_in(fig, room + i * (side + between), room, side, side)
            draw(ax, data[data["measure"] == measure], rows=i == 0)
            ax.set_title(_TITLES[measure], pad=4)
    return fig


def caption(data: pd.DataFrame, inputs: FigureInputs) -> str:
    """What is compared, over which tokens, and what independent inputs score."""
    nulls = [
        f"{_TITLES[measure]} {some.abs().max():.3f}"
        for measure in dict.fromkeys(data["measure"])
        if (some := data.loc[data["measure"] == measure, "null"]).notna().any()
    ]
    rsa = data.loc[data["measure"] == "rsa", "n"]
    speakers = int(data["speakers"].iloc[0])
    said = (
        f"Similarity of {len(_names(data))} representations over {int(data['n'].max()):,} "
        f"{ROW_NAMES[data['rows'].iloc[0]]} of {speakers} speaker{'s' * (speakers != 1)} ({inputs.table.name})"
    )
    said += f", RSA over {int(rsa.iloc[0]):,} of them" if len(rsa) else ""
    said += ". 1 is the same up to a rotation and scale (CKA), a linear map (PWCCA), or the order of distances (RSA)"
    said += f"; independent inputs score at most {', '.join(nulls)} in size" if nulls else ""
    left_out = [other.name for other in inputs.others if not _same_tokens(other, inputs.table)]
    said += f". Left out, for their tokens are others: {', '.join(left_out)}" if left_out else ""
    return f"{said}."


def _names(data: pd.DataFrame) -> list[str]:
    """The representations in order: each is first of a pair before it is second, but for the last."""
    return list(dict.fromkeys([*data["first"], *data["second"]]))


def _label(name: str) -> str:
    table, _, feature = name.rpartition(" ")
    return f"{table} {style.feature_style(feature).label}".strip()


def _same_tokens(other: TokenTable, table: TokenTable) -> bool:
    try:
        check_same_tokens(other, table)
    except InputError:
        return False
    return True
