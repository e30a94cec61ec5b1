"""What the page 'Questions' lists, as data frames: which questions can be asked, results, differences, tokens."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from lvm_probe import InputError
from lvm_probe.app.explorer.projections import targets_of
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.comparison_report import LEVEL
from lvm_probe.probing.questions.probe import Probe
from lvm_probe.probing.questions.question import PROTOCOLS_OF, TARGETS_OF, Method, Protocol, Question, Target
from lvm_probe.probing.questions.results import unit_of

METHODS: dict[Method, str] = {
    "knn": "k nearest neighbours",
    "lda": "linear discriminants (LDA)",
    "logistic": "logistic regression",
    "mdl": "online code length",
    "ridge": "ridge regression (height in cm)",
    "abx": "ABX discrimination",
}
PROTOCOL_TITLES: dict[Protocol, str] = {
    "paper": "paper: nothing held out (leaks)",
    "nested": "nested: single tokens held out",
    "utterance": "utterance: whole utterances held out",
    "speaker": "speaker: whole speakers held out",
    "speaker+prompt": "speaker+prompt: speakers and their sentences held out",
    "transfer": "transfer: judged on another table",
    "within": "within: A, B and X of one speaker",
    "across": "across: X of another speaker",
    "across+prompt": "across+prompt: X of another speaker and sentence",
}
_COMPARED = {
    "baseline": ("minus_baseline", "effect_minus_baseline", "p_baseline", "gender's mean height"),
    "mel": ("minus_mel", "effect_minus_mel", "p_minus_mel", "Mel"),
    "untrained": ("minus_untrained", "effect_minus_untrained", "p_minus_untrained", "untrained model"),
}


def targets_by_method(table: TokenTable) -> dict[Method, list[Target]]:
    """What each method can predict for any unit of a table; methods that can predict nothing are left out."""
    tokens = table.tokens
    known: list[str] = []
    for unit in ("phoneme", "word", "utterance"):
        of_unit = tokens[tokens["unit"] == unit]
        known += targets_of(of_unit, unit) if len(of_unit) else []
    if len(set(tokens["height_cm"].dropna())) > 1:
        known.append("height-cm")
    targets = {method: [target for target in TARGETS_OF[method] if target in known] for method in METHODS}
    return {method: some for method, some in targets.items() if some}


def protocols_of(method: Method, target: Target, *, tables: int = 1) -> list[Protocol]:
    """The protocols under which a method can be asked for a target; `transfer` needs two tables."""
    possible = []
    for protocol in PROTOCOLS_OF[method]:
        if protocol == "transfer" and tables < 2:
            continue
        try:
            Question(target=target, method=method, protocol=protocol)
        except InputError:
            continue
        possible.append(protocol)
    return possible


def comparison_table(frame: pd.DataFrame) -> pd.DataFrame:
    """The differences of a comparison: a row for each feature and what it is compared with, a column for each probe.

    Cells are text: the difference in points (height: cm), a star where p < 0.05 after Holm, and the 95 % interval.
    """
    rows = frame[frame["compared_with"] != ""]
    height = (rows["target"] == "height-cm").all()
    factor, digits = (1, 2) if height else (100, 1)
    ranges = _ranges(rows, "difference_low", "difference_high", factor, sign="+")
    cells = [
        f"{round(factor * row['difference'], digits) + 0.0:+.{digits}f}{'*' if row['p_holm'] < LEVEL else ''}"
        + (f" ({between})" if between else "")
        for row, between in zip(rows.to_dict("records"), ranges, strict=True)
    ]
    probes = [str(Probe(*code)) for code in zip(rows["method"], rows["protocol"], strict=True)]
    wide = rows.assign(probe=probes, cell=cells).pivot_table(
        index=["compared_with", "feature"], columns="probe", values="cell", aggfunc="first", sort=False
    )
    wide = wide[list(dict.fromkeys(probes))].reset_index().rename_axis(columns=None)
    return wide.rename(columns={"compared_with": "Compared with", "feature": "Feature"})


def result_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Results at one k for the page: accuracies in per cent, errors in cm, codes in bits; no empty columns."""
    unit = unit_of(rows)
    factor, low, high = {"": (100, "ci_low", "ci_high"), "_cm": (1, "mae_low", "mae_high")}.get(
        unit, (1, "bits_low", "bits_high")
    )
    columns = {
        "": {
            "Accuracy": "accuracy", "Balanced": "balanced_accuracy", "Chance": "chance", "Null": "null_accuracy",
            "Untrained": "untrained_accuracy", "Paper protocol": "paper_accuracy",
        },
        "_cm": {
            "Error": "mae_cm", "Gender's mean": "baseline_mae_cm", "Null": "null_mae_cm",
            "Untrained": "untrained_mae_cm",
        },
        "_bits": {
            "Bits per label": "bits", "Class shares": "baseline_bits", "Null": "null_bits",
            "Untrained": "untrained_bits", "Control labels": "control_bits", "Compression": "compression",
        },
    }[unit]  # fmt: skip
    table = _named(rows)
    for title, name in columns.items():
        table[title] = factor * rows[name]
        if name in ("accuracy", "mae_cm", "bits"):
            table["95 % interval"] = _ranges(rows, low, high, factor)
    table["p (null)"] = rows["p_null"].map(_p)
    return _without_empty(table)


def difference_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Differences at one k to Mel, the untrained model and the baseline, in points, cm or bits."""
    unit = unit_of(rows)
    factor = 1 if unit else 100
    parts = []
    for difference, effect, p, other in _COMPARED.values():
        column = difference + unit
        if column not in rows or rows[column].isna().all():
            continue
        some = rows[rows[column].notna()]
        part = _named(some)
        part["Compared with"] = "class shares" if (difference, unit) == ("minus_baseline", "_bits") else other
        part["Difference"] = (factor * some[column]).round(2 if unit else 1) + 0.0  # never -0.0
        part["95 % interval"] = _ranges(some, f"{column}_low", f"{column}_high", factor, sign="+")
        part["Effect"] = some[effect]
        part["p"] = some[f"{p}_holm"].map(_p)
        parts.append(part)
    return _without_empty(pd.concat(parts, ignore_index=True)) if parts else pd.DataFrame()


def _named(rows: pd.DataFrame) -> pd.DataFrame:
    """The columns that say what a row is of."""
    titles = {"table": "Table", "feature": "Feature", "protocol": "Protocol", "gender": "Gender", "k": "k", "n": "n"}
    named = rows[[name for name in titles if name in rows]].rename(columns=titles).copy()
    if "Gender" in named:
        named["Gender"] = named["Gender"].replace("", "both")
    if len(set(named["Table"])) < 2:
        named = named.drop(columns="Table")
    return named.drop(columns="k") if (named["k"] == 0).all() else named


def _ranges(rows: pd.DataFrame, low: str, high: str, factor: float, sign: str = "") -> list[str | None]:
    """Intervals as text, None where there is none."""
    digits = 2 if factor == 1 else 1

    def number(value: float) -> str:
        return f"{round(factor * value, digits) + 0.0:{sign}.{digits}f}"

    return [
        None if np.isnan(a) or np.isnan(b) else f"{number(a)} to {number(b)}"
        for a, b in zip(rows[low], rows[high], strict=True)
    ]


def _p(value: float) -> str | None:
    if np.isnan(value):
        return None
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def _without_empty(table: pd.DataFrame) -> pd.DataFrame:
    return table.dropna(axis="columns", how="all").reset_index(drop=True)


def cell_tokens(table: TokenTable, ids: Iterable[str]) -> pd.DataFrame:
    """The tokens with these ids, in this order."""
    tokens = table.tokens.set_index("token_id", drop=False)
    return tokens.loc[[id for id in ids if id in tokens.index]].rename_axis(None)
