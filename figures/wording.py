"""Small pieces of sentences for captions: lists, counts and ranges."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd


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
