"""Results for people: a table, and sentences that claim no more than the numbers do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lvm_probe.probing.questions.question import SHOWN_KS

if TYPE_CHECKING:
    import pandas as pd

SPOKEN_K = 5
"""The k of the sentences: fixed beforehand, so that no figure chooses it."""


LEAST_SPEAKERS = 6
"""With fewer, no outcome of a two-sided sign-flip test has p < 0.05."""


MOST_NAMED = 3
"""Speakers that a file's name tells one by one; more are counted."""


def results_path(
    tables: Sequence[Path],
    method: str,
    target: str,
    protocols: Sequence[str],
    speakers: Sequence[str] = (),
    choices: Sequence[str] = (),
) -> Path:
    """Where results go by default: beside the first table, in a file named after the question."""
    who = sorted(set(speakers))
    asked = [
        "+".join(path.name for path in tables),
        method,
        target,
        "+".join(protocols),
        "+".join(who) if len(who) <= MOST_NAMED else f"{len(who)}speakers",
        *choices,
    ]
    return tables[0].parent / f"{'-'.join(part for part in asked if part)}.csv"


def rows_as_json(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows with null where a number is not known."""
    columns = [
        [None if isinstance(value, float) and value != value else value for value in frame[name].tolist()]
        for name in frame
    ]
    names = [str(name) for name in frame]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def recalls(confusion: pd.DataFrame) -> pd.DataFrame:
    """Of every class the tokens, the share that was recognised, and what it was most often taken for instead."""
    key = ["table", "feature", "target", "method", "protocol", "k", "label"]
    of_class = confusion.groupby(key, sort=False).ngroup().to_numpy()
    classes, first = np.unique(of_class, return_index=True)
    counts, right = confusion["count"].to_numpy(), (confusion["label"] == confusion["predicted"]).to_numpy()
    n = np.bincount(of_class, counts)
    found = confusion[key].iloc[first].reset_index(drop=True)
    found["n"], found["recall"] = n.astype(np.int64), np.bincount(of_class, counts * right) / n
    wrong = np.argsort(np.where(right, 1, -counts), kind="stable")[: len(counts) - right.sum()]
    mistaken, most = np.unique(of_class[wrong], return_index=True)
    most_often = confusion.iloc[wrong[most]].set_index(mistaken).reindex(classes)
    found["taken_for"], found["taken_for_share"] = most_often["predicted"], most_often["count"] / n
    return found


def as_text(frame: pd.DataFrame) -> str:
    """The pooled rows (of a table of one speaker, that speaker's) at a few k, then what they say."""
    pooled = frame["speaker"] == ""
    rows = frame[pooled | ~pooled.groupby(frame["table"]).transform("any")]
    shown = rows[rows["k"].isin(_shown(rows["k"]))]
    if "mae_cm" in rows:
        return "\n".join([_heading(rows), "", *_table(shown, HEIGHTS), "", *_height_sentences(rows)])
    return "\n".join([_heading(rows), "", *_table(shown, ACCURACIES), "", *_sentences(rows)])


def by_speaker(frame: pd.DataFrame) -> str:
    """Accuracy of every speaker in per cent at one k: a row a speaker, a column a protocol and feature."""
    at_k = _at_spoken_k(frame).assign(speaker=frame["speaker"].replace("", "all"))
    columns = ["table", "protocol", "feature"] if len(set(frame["table"])) > 1 else ["protocol", "feature"]
    wide = at_k.pivot_table(index="speaker", columns=columns, values="accuracy", sort=False) * 100
    return wide.to_string(float_format=lambda value: f"{value:.1f}")


def by_class(recall: pd.DataFrame) -> str:
    """Recall of every class in per cent at one k: a row a class, a column a protocol and feature."""
    at_k = _at_spoken_k(recall)
    columns = ["table", "protocol", "feature"] if len(set(recall["table"])) > 1 else ["protocol", "feature"]
    wide = at_k.pivot_table(index=["label", "n"], columns=columns, values="recall", sort=False) * 100
    return wide.to_string(float_format=lambda value: f"{value:.1f}", na_rep="-")


def _at_spoken_k(frame: pd.DataFrame) -> pd.DataFrame:
    k = SPOKEN_K if SPOKEN_K in set(frame["k"]) else max(_shown(frame["k"]))
    return frame[frame["k"] == k]


def _shown(ks: pd.Series) -> list[int]:
    some = [k for k in SHOWN_KS if k in set(ks)]
    return some or sorted(set(ks))[:5]


def _heading(rows: pd.DataFrame) -> str:
    first = rows.iloc[0]
    how = {
        "knn": "k nearest neighbours",
        "lda": "linear discriminant classifier",
        "logistic": "logistic regression",
        "ridge": "ridge regression",
        "abx cosine": "ABX with cosine distance",
        "abx euclidean": "ABX with Euclidean distance",
    }[first["method"]]
    if first["lda_dims"] > 0 and first["method"] == "knn":
        how += f" among {first['lda_dims']} discriminants"
    if first["match_dims"]:
        how += f", features reduced to {first['match_dims']:.0f} dimensions inside the fold"
    if first["normalise"] != "none":
        how += f", features normalised by {first['normalise']}"
    who = f" of {first['speaker']}" if len(set(rows["speaker"])) == 1 and first["speaker"] else ""
    unit = "in cm" if "mae_cm" in rows else "in per cent"
    classes = "" if "mae_cm" in rows else f", {first['n_classes']} classes"
    each = "" if first["rows"] == "token" else f" (one a {first['rows']})"
    return f"{first['target']}{who} by {how}, {unit}; {first['n']:,} rows{each}{classes}"


def _percent(value: float) -> str:
    return "" if value != value else f"{100 * value:.1f}"


def _points(value: float) -> str:
    return "" if value != value else f"{100 * value:+.1f}"


def _chance_of(value: float) -> str:
    return "" if value != value else f"{value:.4f}"


def _cm(value: float) -> str:
    return "" if value != value else f"{value:.2f}"


Column = tuple[str, Callable[[Any], str]]

_ASKED: tuple[Column, ...] = (
    ("feature", lambda row: row["feature"]),
    ("protocol", lambda row: row["protocol"]),
    ("k", lambda row: str(row["k"]) if row["k"] else ""),
)
ACCURACIES: tuple[Column, ...] = (
    *_ASKED,
    ("accuracy", lambda row: _percent(row["accuracy"])),
    ("95 % interval", lambda row: _span(_percent(row["ci_low"]), _percent(row["ci_high"]))),
    ("balanced", lambda row: "" if row["method"].startswith("abx") else _percent(row["balanced_accuracy"])),
    ("majority", lambda row: "" if row["method"].startswith("abx") else _percent(row["chance"])),
    ("null", lambda row: _percent(row["null_accuracy"])),
    ("p null", lambda row: _chance_of(row["p_null"]) if row["rows"] != "token" else ""),
    ("untrained", lambda row: _percent(row["untrained_accuracy"])),
    ("selectivity", lambda row: _points(row["selectivity"])),
    ("paper reads", lambda row: _percent(row["paper_accuracy"])),
    ("minus mel", lambda row: _points(row["minus_mel"])),
    ("p", lambda row: _chance_of(row["p_minus_mel"])),
)
HEIGHTS: tuple[Column, ...] = (
    *_ASKED,
    ("gender", lambda row: row["gender"] or "both"),
    ("error", lambda row: _cm(row["mae_cm"])),
    ("95 % interval", lambda row: _span(_cm(row["mae_low"]), _cm(row["mae_high"]))),
    ("gender mean's", lambda row: _cm(row["baseline_mae_cm"])),
    ("p", lambda row: _chance_of(row["p_baseline"])),
    ("null", lambda row: _cm(row["null_mae_cm"])),
    ("p null", lambda row: _chance_of(row["p_null"])),
    ("untrained", lambda row: _cm(row["untrained_mae_cm"])),
    ("minus mel", lambda row: "" if row["minus_mel_cm"] != row["minus_mel_cm"] else f"{row['minus_mel_cm']:+.2f}"),
    ("p mel", lambda row: _chance_of(row["p_minus_mel"])),
)


def _span(low: str, high: str) -> str:
    return f"{low}-{high}" if low else ""


def _table(rows: pd.DataFrame, columns: tuple[Column, ...]) -> list[str]:
    if len(set(rows["table"])) > 1:
        columns = (("table", lambda row: str(row["table"])), *columns)
    header = [name for name, _ in columns]
    body = [[show(row) for _, show in columns] for row in rows.to_dict("records")]
    used = [i for i in range(len(header)) if any(cells[i] for cells in body)]
    widths = {i: max(len(cells[i]) for cells in [header, *body]) for i in used}
    left = {"table", "feature", "protocol", "gender"}
    return [
        "  ".join(cells[i].ljust(widths[i]) if header[i] in left else cells[i].rjust(widths[i]) for i in used).rstrip()
        for cells in [header, *body]
    ]


def _sentences(rows: pd.DataFrame) -> list[str]:
    at_k = _at_spoken_k(rows)
    k = int(at_k.iloc[0]["k"])
    first = rows.iloc[0]
    abx = first["method"].startswith("abx")
    # Without LDA nearest neighbours fit nothing, so that nothing leaks.
    fitted = (first["method"] != "knn" or first["lda_dims"] > 0) and not abx
    said = []
    for (table, protocol), some in at_k.groupby(["table", "protocol"], sort=False):
        where = f"{table}, {protocol}" if len(set(rows["table"])) > 1 else str(protocol)
        said += [_against_mel(where, k, row) for _, row in some.iterrows() if row["minus_mel"] == row["minus_mel"]]
        if first["rows"] == "speaker":
            said += [_against_null(where, k, row) for _, row in some.iterrows() if row["p_null"] == row["p_null"]]
    honest = at_k[(at_k["protocol"] != "paper") & at_k["optimism"].notna()]
    if fitted and len(honest):
        worst = honest.iloc[int(honest["optimism"].abs().argmax())]
        more = "higher" if worst["optimism"] >= 0 else "lower"
        said.append(
            f"On the same rows the protocol `paper` reads up to {abs(100 * worst['optimism']):.1f} points {more} "
            f"({worst['feature']}, against {worst['protocol']}): that much is optimism."
        )
    if set(rows["protocol"]) & {"paper", "nested"} and first["target"] in ("gender", "height", "dialect"):
        said.append(
            "Under paper and nested the same speaker is among the neighbours, and so they are in the null, which "
            f"permutes whole speakers: only what exceeds it is {first['target']}."
        )
    if fitted and "paper" in set(rows["protocol"]):
        hint = "" if set(rows["protocol"]) > {"paper"} else "; add --protocol nested to see how much is optimism"
        said.append(f"`paper` fits on the held-out point too: do not take its figures for knowledge{hint}.")
    if abx:
        said.append("Chance is 50; every pair of labels weighs the same. Nothing is fitted.")
    unit = first["interval"]
    intervals = f"Intervals: bootstrap over {unit}." if unit != "none" else "One speaker: no interval."
    said.append(intervals + _nulls(rows))
    return said


def _nulls(rows: pd.DataFrame) -> str:
    """What the null of each protocol is of."""
    of: dict[str, list[str]] = {}
    for protocol, some in rows[rows["permutations"] > 0].groupby("protocol", sort=False):
        rounds, judged, n = (int(some.iloc[0][name]) for name in ("permutations", "null_n", "n"))
        how = f"mean over {rounds} permutations" if rounds > 1 else "1 permutation"
        if judged < n * rounds:
            how += f", {judged:,} of {n:,} rows judged (all of them ten times with --permutations 10)"
        of.setdefault(how, []).append(str(protocol))
    if len(of) < 2:
        return f" Null: {next(iter(of))}." if of else ""
    return " Null " + "; ".join(f"of {', '.join(protocols)}: {how}" for how, protocols in of.items()) + "."


def _against_mel(where: str, k: int, row: pd.Series) -> str:
    at = f" at k={k}" if k else ""
    gap, p = 100 * row["minus_mel"], row["p_minus_mel"]
    if row["speakers"] < LEAST_SPEAKERS:
        verdict = f"{gap:+.1f} points from mel; {row['speakers']} speakers are too few for a test"
    elif p < 0.05:
        verdict = f"{abs(gap):.1f} points {'above' if gap > 0 else 'below'} mel (paired over speakers, p={p:.4f})"
    else:
        verdict = f"not told apart from mel ({gap:+.1f} points, p={p:.2f})"
    return f"{where}{at}: {row['feature']} gets {_percent(row['accuracy'])} % right, {verdict}."


def _against_null(where: str, k: int, row: pd.Series) -> str:
    at = f" at k={k}" if k else ""
    knows = "better than permuted labels" if row["p_null"] < 0.05 else "not told apart from permuted labels"
    return (
        f"{where}{at}: {row['feature']} is {knows} ({_percent(row['accuracy'])} against "
        f"{_percent(row['null_accuracy'])} on average, p={row['p_null']:.3f})."
    )


def _height_sentences(rows: pd.DataFrame) -> list[str]:
    at_k = _at_spoken_k(rows)
    said = []
    for row in at_k[at_k["gender"] == ""].to_dict("records"):
        gap, p = row["minus_baseline_cm"], row["p_baseline"]
        verdict = f"{abs(gap):.2f} cm {'nearer' if gap < 0 else 'farther'} than the mean of the gender"
        if row["speakers"] < LEAST_SPEAKERS:
            verdict += f"; {row['speakers']} speakers are too few for a test"
        else:
            verdict += f" (p={p:.4f})" if p < 0.05 else f", which may be chance (p={p:.2f})"
        said.append(f"{row['protocol']}: {row['feature']} misses the height by {row['mae_cm']:.2f} cm, {verdict}.")
    if set(rows["protocol"]) & {"paper", "nested"}:
        said.append(
            "Under paper and nested the same speaker is among the training rows: that is no knowledge of height."
        )
    said.append("Errors are mean absolute, within gender; intervals: bootstrap over speakers.")
    return said
