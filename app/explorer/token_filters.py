"""Which tokens of a map are in colour: by a search text, duration, speaker, gender, split, and right or wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import translate

import numpy as np
import pandas as pd

from lvm_probe.analysis.shape_annotations import Bool

SEARCHED = ("label", "word", "utterance", "speaker")
"""What a search looks at."""
SEARCH_HELP = (
    "A label, word, utterance or speaker; `*` stands for any text. Several terms must all hold, and terms between "
    "commas are alternatives. `label:s`, `word:she`, `utterance:*_SA1` and `speaker:F*` look at one column."
)


def searched(text: str, columns: Mapping[str, pd.Series]) -> Bool[np.ndarray, " tokens"]:
    """The tokens that a search finds, whatever the case.

    Args:
        text: alternatives between commas, each of terms that must all hold, such as `iy speaker:F*, s`.
        columns: texts of the tokens by the names of `SEARCHED`; those that are not known may be missing.

    Example:
        >>> columns = {"label": pd.Series(["s", "iy"]), "word": pd.Series(["she", "she"])}
        >>> searched("she label:i*", columns)
        array([False,  True])
    """
    count = len(next(iter(columns.values())))
    alternatives = [part.split() for part in text.split(",") if part.strip()]
    if not alternatives:
        return np.ones(count, dtype=bool)
    found = np.zeros(count, dtype=bool)
    for terms in alternatives:
        found |= np.logical_and.reduce([_matches(term, columns) for term in terms])
    return found


def _matches(term: str, columns: Mapping[str, pd.Series]) -> np.ndarray:
    name, colon, rest = term.partition(":")
    one_column = bool(colon) and name.lower() in SEARCHED
    pattern = re.compile(translate((rest if one_column else term).replace("[", "[[]")), re.IGNORECASE)
    found = np.zeros(len(next(iter(columns.values()))), dtype=bool)
    for column in (name.lower(),) if one_column else SEARCHED:
        if column in columns:
            texts = columns[column]
            fitting = {text for text in texts.dropna().unique() if pattern.fullmatch(str(text))}
            found |= texts.isin(fitting).to_numpy(dtype=bool)
    return found


def word_of_each(tokens: pd.DataFrame, words: pd.DataFrame) -> pd.Series:
    """The word in which the middle of each token lies; None where there is none.

    Args:
        tokens: with utterance, start and end.
        words: with utterance, label, start and end; those of one utterance do not overlap.
    """
    texts = np.full(len(tokens), None, dtype=object)
    by_utterance = {str(name): own for name, own in words.sort_values("start").groupby("utterance", sort=False)}
    middles = (tokens["start"].to_numpy() + tokens["end"].to_numpy()) // 2
    for utterance, rows in tokens.groupby("utterance", sort=False).indices.items():
        if (own := by_utterance.get(str(utterance))) is None:
            continue
        middle = middles[rows]
        place = np.searchsorted(own["start"].to_numpy(), middle, side="right") - 1
        inside = (place >= 0) & (middle < own["end"].to_numpy()[place])
        texts[rows[inside]] = own["label"].to_numpy(dtype=object)[place[inside]]
    return pd.Series(texts, index=tokens.index, dtype=object)


def milliseconds(tokens: pd.DataFrame) -> np.ndarray:
    """Durations."""
    return (1000 * (tokens["end"] - tokens["start"]) / tokens["sample_rate"]).to_numpy(dtype=float)
