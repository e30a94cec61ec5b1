"""The context of a token: the same features of the stretches of audio right before and right after it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Float
from lvm_probe.probing.corpora.corpus import Segment
from lvm_probe.probing.features.feature import CONTEXT, MEASURES, columns_in_context

if TYPE_CHECKING:
    from lvm_probe.probing.features.token_table import TokenTable


def has_context(name: str) -> bool:
    """Whether a feature has columns of its context: all but variances and acoustic measures do."""
    return not name.endswith("_var") and name not in MEASURES


def with_context(sizes: Mapping[str, int]) -> dict[str, int]:
    """Names and lengths of features, each followed by those of its context.

    Example:
        >>> with_context({"z1": 64, "z1_var": 64})
        {'z1': 64, 'z1_before': 64, 'z1_after': 64, 'z1_var': 64}
    """
    return {
        name + ending: size for name, size in sizes.items() for ending in ("", *(CONTEXT if has_context(name) else ()))
    }


def around(segments: Sequence[Segment], reach: int, samples: int) -> list[Segment]:
    """The stretches of `reach` samples before all segments, then those after all segments.

    They end where the audio does. At a segment with nothing before it (or after it), the first (or last) sample of the
    audio is taken, so that its frame or step is the context.

    Args:
        segments: in samples of the audio.
        reach: in samples.
        samples: length of the audio.

    Example:
        >>> around([Segment("iy", 0, 300), Segment("t", 300, 1000)], 400, 1200)[1:3]
        [Segment(label='t', start=0, end=300), Segment(label='iy', start=300, end=700)]
    """
    before = [Segment(s.label, max(0, s.start - reach), max(1, s.start)) for s in segments]
    after = [Segment(s.label, min(s.end, samples - 1), min(samples, s.end + reach)) for s in segments]
    return before + after


def as_columns(
    pooled: Mapping[str, Float[np.ndarray, "_all _size"]], tokens: int
) -> dict[str, Float[np.ndarray, "tokens _size"]]:
    """The features of tokens and of their context as columns.

    Args:
        pooled: for each feature a row for each token, then for the stretch before each, then for the one after each.
        tokens: number of tokens.

    Returns:
        The features of `with_context`.
    """
    columns = {}
    for name, values in pooled.items():
        columns[name] = values[:tokens]
        if has_context(name):
            for index, ending in enumerate(CONTEXT, 1):
                columns[name + ending] = values[index * tokens : (index + 1) * tokens]
    return columns


def in_context(table: TokenTable) -> TokenTable:
    """The table with every feature in its context: the values of `F_before`, F and `F_after`, joined under the name F.

    A feature without columns of its context stays as it is.

    Raises:
        InputError: the table was made without context.
    """
    if table.extraction.get("context_ms") is None:
        raise InputError(
            f"{table.path}: has no context; add it with `probe extract --add --context 40ms` and the options that the "
            "table was made with"
        )
    joined = {
        name: np.concatenate([table.features[column] for column in columns_in_context(name)], axis=1)
        for name in with_both_sides(table.features)
    }
    return replace(table, features=table.features | joined)


def with_both_sides(names: Collection[str]) -> tuple[str, ...]:
    """Those of some columns that have columns of their context among them."""
    return tuple(name for name in names if set(columns_in_context(name)) <= set(names))


def check_same_context(other: TokenTable, table: TokenTable) -> None:
    """Refuse a table of the untrained model, or to be tested, that has another context.

    Raises:
        InputError: the contexts differ.
    """
    ours, theirs = (one.extraction.get("context_ms") or 0 for one in (table, other))
    if ours != theirs:
        raise InputError(
            f"{other.path}: has {theirs:g} ms of context and {table.path} {ours:g} ms; extract both with the same"
        )
