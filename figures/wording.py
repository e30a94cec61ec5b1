"""Small pieces of sentences for captions: lists, counts and ranges."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

EIGHT_BIT = (
    "(8-bit): bits and nats of 8-bit μ-law codes, not to be compared with those of 16 bits. PCM code lengths are of 16 "
    "bits for all models."
)
"""A sentence on the mark of `eight_bit_mark`."""


def eight_bit_mark(eight_bit: bool) -> str:
    """What follows bits per frame in a table."""
    return " (8-bit)" if eight_bit else ""


def joined(names: Iterable[str]) -> str:
    """`a, b and c`."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def counted(number: int, noun: str) -> str:
    """`1 speaker`, `1,200 speakers`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def number_range(values: pd.Series) -> str:
    """`12`, or `12 to 1,200` where the values differ."""
    low, high = int(values.min()), int(values.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def intervals(results: pd.DataFrame) -> str:
    """A sentence on the intervals of result rows: of what kind they are, and over what."""
    units = results["interval"]
    independent = (units == "tokens") | (results["n"] == results["speakers"])
    kinds = [
        f"{method} over {joined(sorted(set(units[chosen])))}"
        for method, chosen in (
            ("Student's t with the jackknife's variance", (units != "none") & ~independent),
            ("Wilson's", (units != "none") & independent),
        )
        if chosen.any()
    ]
    if not kinds:
        return "There are no intervals: they take three speakers or more."
    return f"Intervals (95 %): {joined(kinds)}."
