"""The reader of TextGrids against the slow one in `reference_textgrid.py`."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lvm_probe.probing.corpora.praat import Tier, read_text_grid, seconds, whole_number
from tests.probing import reference_textgrid


def checked(tiers: Sequence[Tier]) -> list[reference_textgrid.Tier]:
    """The tiers as the reference gives them, times in seconds; raises ValueError if a time or a size is wrong."""
    result = []
    for tier in tiers:
        if tier.size is not None and whole_number(tier.size) != len(tier.intervals):
            raise ValueError(f"{tier.size} intervals, not {len(tier.intervals)}")
        rows: list[tuple[Any, ...]] = [(seconds(row.start), seconds(row.end), row.label) for row in tier.intervals]
        if tier.has_points:
            rows = [(start, label) for start, _, label in rows]
        result.append(reference_textgrid.Tier("TextTier" if tier.has_points else "IntervalTier", tier.name, rows))
    return result


def same(found: Sequence[reference_textgrid.Tier], wanted: Sequence[reference_textgrid.Tier]) -> bool:
    """Whether tiers are equal, their times up to the last digit."""
    if [tier[:2] for tier in found] != [tier[:2] for tier in wanted]:
        return False
    rows, others = ([row for tier in tiers for row in tier.rows] for tiers in (found, wanted))
    if [len(tier.rows) for tier in found] != [len(tier.rows) for tier in wanted]:
        return False
    return all(
        one[-1] == other[-1] and all(map(lambda a, b: math.isclose(a, b, rel_tol=1e-14), one[:-1], other[:-1]))
        for one, other in zip(rows, others, strict=True)
    )


def assert_agreement(path: Path) -> None:
    """Assert that what is read is what the reference reads, unless a time or size is wrong, which fails in use."""
    tiers = read_text_grid(path, [])
    try:
        found = checked(tiers)
    except ValueError:
        return
    wanted = reference_textgrid.read(reference_textgrid.decode(path.read_bytes()))
    assert same(found, wanted), f"read as {found}, not {wanted}"
