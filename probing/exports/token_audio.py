"""The sound of tokens, as 16-bit PCM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Int16
from lvm_probe.probing.corpora.audio import read_audio, to_pcm
from lvm_probe.probing.corpora.corpus import Corpus

SHORT_SECONDS = 0.05
"""Shorter tokens cannot be recognised by themselves: they come with their context."""

CONTEXT_SECONDS = 0.15
"""Before and after a short token."""


@dataclass(frozen=True)
class Clip:
    """The sound of a token.

    Attributes:
        audio: the samples.
        sample_rate: in Hz.
        context: whether it holds more than the token itself.
    """

    audio: Int16[np.ndarray, " samples"]
    sample_rate: int
    context: bool


def clips(corpus: Corpus, tokens: pd.DataFrame, *, max_bytes: int) -> list[Clip]:
    """The sound of every token, in order; each recording is read once.

    Args:
        corpus: the recordings that the table was made from.
        tokens: columns utterance, start, end and sample_rate (positions are samples of that rate, ends exclusive).
        max_bytes: of all of them; more is refused before it is read.

    Raises:
        InputError: a recording is not in the corpus, cannot be read or is shorter than a token; or they are too many.
    """
    utterances = {utterance.id: utterance for utterance in corpus.utterances}
    if missing := sorted(set(tokens["utterance"]) - utterances.keys()):
        raise InputError(
            f"{corpus.root}: no utterance {missing[0]}" + (f" and {len(missing) - 1} others" if missing[1:] else "")
            + " of the token table; give the corpus that the table was made from"
        )  # fmt: skip
    pieces = [_piece(row, utterances[row["utterance"]].sample_rate) for row in tokens.to_dict("records")]
    size = 2 * sum(end - start for start, end, _ in pieces)
    if size > max_bytes:
        raise InputError(
            f"the sound of {len(tokens):,} tokens takes {size / 2**20:.0f} MB, and a file of this kind holds "
            f"{max_bytes / 2**20:.0f}; choose fewer with --max-tokens"
        )
    found: list[Clip | None] = [None] * len(tokens)
    for name, places in tokens.groupby("utterance", sort=False).indices.items():
        utterance = utterances[str(name)]
        audio = to_pcm(read_audio(utterance, utterance.sample_rate))
        for place in places:
            start, end, context = pieces[place]
            if start >= len(audio):
                raise InputError(
                    f"{utterance.audio}: {len(audio)} samples, but a token starts at {start}; give the corpus that the "
                    "table was made from"
                )
            found[place] = Clip(audio[start:end], utterance.sample_rate, context)
    return [clip for clip in found if clip is not None]


def _piece(row: dict[Any, Any], rate: int) -> tuple[int, int, bool]:
    """First and last sample of what is played of a token, at the recording's rate, and whether that is more than it."""
    start, end = (round(row[name] * rate / row["sample_rate"]) for name in ("start", "end"))
    context = end - start < SHORT_SECONDS * rate
    more = round(CONTEXT_SECONDS * rate) if context else 0
    return max(0, start - more), end + more, context
