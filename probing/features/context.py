"""The context of a token: the same features of the stretches of audio right before and right after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lvm_probe.analysis.shape_annotations import Float
from lvm_probe.probing.corpora.corpus import Segment

ENDINGS = ("_before", "_after")
"""Of the columns that hold a feature's context."""


def has_context(name: str) -> bool:
    """Whether a feature has columns of its context: all but variances do."""
    return not name.endswith("_var")


def with_context(sizes: Mapping[str, int]) -> dict[str, int]:
    """Names and lengths of features, each followed by those of its context.

    Example:
        >>> with_context({"z1": 64, "z1_var": 64})
        {'z1': 64, 'z1_before': 64, 'z1_after': 64, 'z1_var': 64}
    """
    return {
        name + ending: size for name, size in sizes.items() for ending in ("", *(ENDINGS if has_context(name) else ()))
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
            for index, ending in enumerate(ENDINGS, 1):
                columns[name + ending] = values[index * tokens : (index + 1) * tokens]
    return columns
