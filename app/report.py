"""Results for people: a table, and sentences that claim no more than the numbers do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

SHOWN_K = (1, 5, 10, 20, 50)
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
    return [
        {str(key): None if isinstance(value, float) and value != value else value for key, value in row.items()}
        for row in frame.to_dict("records")
    ]


def as_text(frame: pd.DataFrame) -> str:
    """The pooled rows (of a table of one speaker, that speaker's) at a few k, then what they say."""
    pooled = frame["speaker"] == ""
    rows = frame[pooled | ~pooled.groupby(frame["table"]).transform("any")]
    shown = rows[rows["k"].isin(_shown(rows["k"]))]
    lines = [_heading(rows), "", *_table(shown), "", *_sentences(rows)]
    return "\n".join(lines)


def by_speaker(frame: pd.DataFrame) -> str:
    """Accuracy of every speaker in per cent at one k: a row a speaker, a column a protocol and feature."""
    k = SPOKEN_K if SPOKEN_K in set(frame["k"]) else max(_shown(frame["k"]))
    at_k = frame[frame["k"] == k].assign(speaker=frame["speaker"].replace("", "all"))
    columns = ["table", "protocol", "feature"] if len(set(frame["table"])) > 1 else ["protocol", "feature"]
    wide = at_k.pivot_table(index="speaker", columns=columns, values="accuracy", sort=False) * 100
    return wide.to_string(float_format=lambda value: f"{value:.1f}")


def _shown(ks: pd.Series) -> list[int]:
    some = [k for k in SHOWN_K if k in set(ks)]
    return some or sorted(set(ks))[:5]


def _heading(rows: pd.DataFrame) -> str:
    first = rows.iloc[0]
    how = "k nearest neighbours" if first["method"] == "knn" else "linear discriminant classifier"
    dims = f" among {first['lda_dims']} discriminants" if first["lda_dims"] and first["method"] == "knn" else ""
    who = f" of {first['speaker']}" if len(set(rows["speaker"])) == 1 and first["speaker"] else ""
    return f"{first['target']}{who} by {how}{dims}, in per cent; {first['n']:,} rows, {first['n_classes']} classes"


def _table(rows: pd.DataFrame) -> list[str]:
    several = len(set(rows["table"])) > 1
    header = [
        "feature",
        "protocol",
        "k",
        "accuracy",
        "95 % interval",
        "balanced",
        "null",
        "majority",
        "minus mel",
        "p",
    ]
    body = [
        [
            row["feature"],
            row["protocol"],
            str(row["k"]) if row["k"] else "-",
            _percent(row["accuracy"]),
            f"{_percent(row['ci_low'])}-{_percent(row['ci_high'])}",
            _percent(row["balanced_accuracy"]),
            _percent(row["null_accuracy"]),
            _percent(row["chance"]),
            "" if row["minus_mel"] != row["minus_mel"] else f"{100 * row['minus_mel']:+.1f}",
            "" if row["p_minus_mel"] != row["p_minus_mel"] else f"{row['p_minus_mel']:.4f}",
        ]
        for row in rows.to_dict("records")
    ]
    if several:
        header = ["table", *header]
        body = [[str(t), *cells] for t, cells in zip(rows["table"], body, strict=True)]
    used = [i for i in range(len(header)) if any(cells[i] for cells in body)]
    widths = {i: max(len(cells[i]) for cells in [header, *body]) for i in used}
    left = {"table", "feature", "protocol"}
    return [
        "  ".join(cells[i].ljust(widths[i]) if header[i] in left else cells[i].rjust(widths[i]) for i in used).rstrip()
        for cells in [header, *body]
    ]


def _sentences(rows: pd.DataFrame) -> list[str]:
    k = SPOKEN_K if SPOKEN_K in set(rows["k"]) else max(_shown(rows["k"]))
    at_k = rows[rows["k"] == k]
    fitted = rows.iloc[0]["lda_dims"] > 0  # without LDA nothing is fitted, so that nothing leaks
    said = []
    for (table, protocol), some in at_k.groupby(["table", "protocol"], sort=False):
        where = f"{table}, {protocol}" if len(set(rows["table"])) > 1 else str(protocol)
        said += [_against_mel(where, k, row) for _, row in some.iterrows() if row["minus_mel"] == row["minus_mel"]]
    for (table, feature), some in at_k.groupby(["table", "feature"], sort=False):
        by = some.set_index("protocol")["accuracy"]
        if fitted and {"paper", "nested"} <= set(by.index):
            name = f"{table}, {feature}" if len(set(rows["table"])) > 1 else str(feature)
            gap = 100 * (by["paper"] - by["nested"])
            more = "higher" if gap >= 0 else "lower"
            said.append(
                f"{name}: the paper's protocol reads {abs(gap):.1f} points {more} than `nested`, which fits LDA "
                "without the held-out point."
            )
    if set(rows["protocol"]) & {"paper", "nested"} and rows.iloc[0]["target"] == "gender":
        said.append(
            "Under paper and nested the same speaker is among the neighbours, and so they are in the null, which "
            "permutes whole speakers: only what exceeds it is gender."
        )
    if fitted and "paper" in set(rows["protocol"]):
        hint = "" if "nested" in set(rows["protocol"]) else "; add --protocol nested to see how much is optimism"
        said.append(f"`paper` fits LDA on the held-out point too: do not take its figures for knowledge{hint}.")
    unit = rows.iloc[0]["interval"]
    rounds = rows.iloc[0]["permutations"]
    said.append(f"Intervals: bootstrap over {unit}." + (f" Null: mean over {rounds} permutations." if rounds else ""))
    return said


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


def _percent(value: float) -> str:
    return "" if value != value else f"{100 * value:.1f}"
