"""The tokens on a map, and what is computed of them: places, colours, neighbours and predictions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from lvm_probe import InputError
from lvm_probe.app.explorer import projections
from lvm_probe.app.explorer.class_styles import PREDICTION
from lvm_probe.app.explorer.inputs import ExplorerInputs
from lvm_probe.app.explorer.neighbours import NO_PREDICTION, KnnProbe, Prediction, nearest, predict_all, predict_one
from lvm_probe.app.explorer.result_cache import ResultCache, digest
from lvm_probe.app.explorer.token_filters import milliseconds, searched, word_of_each
from lvm_probe.app.explorer.views import MapView
from lvm_probe.app.explorer.waiting import computed
from lvm_probe.probing.features.feature import Feature
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.question import MAX_K, default_protocol

NEIGHBOURS = 12
"""Nearest tokens in the feature's own space that are listed."""


@dataclass(frozen=True)
class MapTokens:
    """The tokens on the map, before colours.

    Attributes:
        key: identifies them, for caches.
        table: the whole table.
        tokens: rows of the table, without features.
        points: their feature.
        labels: their classes of the target.
        target: what the classes are of.
    """

    key: tuple[Any, ...]
    table: TokenTable
    tokens: pd.DataFrame
    points: np.ndarray
    labels: np.ndarray
    target: str

    def place(self, token: str) -> int | None:
        """The place of a token among these, by its id."""
        places = np.flatnonzero((self.tokens["token_id"] == token).to_numpy())
        return int(places[0]) if len(places) else None

    def probe(self) -> tuple[KnnProbe, np.ndarray, np.ndarray]:
        """The kNN probe of the tokens with a known class, the names of the classes, and the places of those tokens."""
        known = np.flatnonzero(self.labels != projections.UNKNOWN)
        names, codes = np.unique(self.labels[known].astype(str), return_inverse=True)
        speakers, utterances = (
            np.unique(self.tokens[name].to_numpy(dtype=object)[known].astype(str), return_inverse=True)[1]
            for name in ("speaker", "utterance")
        )
        protocol = default_protocol(self.target)  # type: ignore[arg-type]
        return KnnProbe(self.points[known], codes, speakers, utterances, self.target, protocol), names, known


@st.cache_resource(show_spinner=False)
def cache() -> ResultCache:
    """Results for any visitor; tables do not change while the server runs."""
    return ResultCache(60)


def map_tokens(table: TokenTable, view: MapView) -> MapTokens:
    """The tokens of a view; vowels alone if the target is a class of vowels.

    Raises:
        InputError: the table lacks the feature.
    """
    chosen = (view.speakers, view.gender, view.split) if view.alone else ((), "all", "all")
    key = (table.path, view.feature, view.unit, chosen, view.silence, view.target, view.phones)
    return cache().get(key, lambda: _map_tokens(table, view, chosen, key))


def _map_tokens(table: TokenTable, view: MapView, chosen: tuple[Any, ...], key: tuple[Any, ...]) -> MapTokens:
    speakers, gender, split = chosen
    rows = projections.filtered_rows(
        table.tokens, view.unit, speakers=speakers, gender=gender, split=split, silence=view.silence
    )
    labels = projections.classes(table.tokens.iloc[rows], view.target, phone_set=view.phones)
    if view.target in projections.VOWEL_CLASSES:
        rows, labels = rows[labels != projections.UNKNOWN], labels[labels != projections.UNKNOWN]
    tokens = table.tokens.iloc[rows].reset_index(drop=True)
    parts = Feature.parse(view.feature).parts
    if missing := [part for part in parts if part not in table.features]:
        raise InputError(f"{table.path}: no feature {missing[0]}; choose another")
    points = np.concatenate([table.features[part][rows] for part in parts], axis=1).astype(np.float64)
    return MapTokens(key, table, tokens, points, labels, view.target)


def nearest_to(shown: MapTokens, place: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of the nearest tokens in the standardised feature, and their distances."""
    return cache().get(("nearest", place, *shown.key), lambda: nearest(shown.points, place, NEIGHBOURS))


def prediction(shown: MapTokens, place: int, k: int) -> tuple[Prediction, np.ndarray, np.ndarray, KnnProbe]:
    """The kNN's prediction for a token, the names of the classes, the places of its neighbours, and the probe.

    Raises:
        InputError: there is none; the message is a sentence for the page.
    """
    probe, names, known = cache().get(("probe", *shown.key), shown.probe)
    at = np.flatnonzero(known == place)
    if not len(at):
        raise InputError(f"The table does not know its {shown.target}, so there is no prediction.")
    try:
        found = cache().get(("prediction", place, k, *shown.key), lambda: predict_one(probe, int(at[0]), k))
    except InputError as error:
        raise InputError(f"The kNN cannot predict: {error}.") from error
    return found, names, known[found.rows], probe


def verdicts(shown: MapTokens, k: int) -> np.ndarray:
    """`right`, `wrong` or `none`: the kNN's prediction for every token; waits for it."""
    probe, names, known = cache().get(("probe", *shown.key), shown.probe)
    predictions = np.full((len(shown.labels), MAX_K), NO_PREDICTION)
    what = f"Classifying {len(known):,} tokens by the kNN, computed once"
    predictions[known] = computed(("predictions", *shown.key), what, predict_all, probe)
    predicted = predictions[:, k - 1]
    right = names[np.maximum(predicted, 0)] == shown.labels
    return np.where(predicted == NO_PREDICTION, "none", np.where(right, "right", "wrong")).astype(object)


def drawn_rows(shown: MapTokens, view: MapView, colour: np.ndarray) -> np.ndarray:
    """The tokens that are drawn, some of each class that colours them; of the target's where durations do."""
    by_value = colour.dtype.kind == "f"
    key = ("drawn", "" if by_value else view.colour, view.k if view.colour == PREDICTION else 0, *shown.key)
    return cache().get(key, lambda: projections.thinned(shown.labels if by_value else colour))


def projection(shown: MapTokens, layout: str, drawn: np.ndarray) -> projections.Projection:
    """Places of the tokens that are drawn; the axes of LDA and PCA are fitted on all that the view has."""
    if layout == "UMAP":  # places what is drawn, which depends on the colours where there is too much to draw
        what = f"UMAP of {len(drawn):,} tokens, computed once: finding neighbours, then placing tokens"
        return computed((layout, digest(drawn), *shown.key), what, projections.umap_projection, shown.points[drawn])

    def compute() -> projections.Projection:
        if layout == "LDA":
            return projections.lda_projection(shown.points, shown.tokens, shown.labels, shown.target)
        return projections.pca_projection(shown.points)

    found = cache().get((layout, *shown.key), compute)
    return replace(found, places=found.places[drawn], held_out=found.held_out[drawn])


def colours(shown: MapTokens, view: MapView) -> np.ndarray:
    """The class that colours every token; milliseconds for durations."""
    if view.colour == "duration":
        return milliseconds(shown.tokens)
    if view.colour == PREDICTION:
        return verdicts(shown, view.k)
    key = ("classes", view.colour, view.phones, *shown.key)
    return cache().get(key, lambda: projections.classes(shown.tokens, view.colour, phone_set=view.phones))


def matching(inputs: ExplorerInputs, shown: MapTokens, view: MapView) -> np.ndarray | None:
    """The tokens that the view's search and filters let through; None if it has neither."""
    tokens = shown.tokens
    masks = []
    if view.search.strip():
        masks.append(searched(view.search, _searched_columns(inputs, shown, view.unit)))
    if view.shortest or view.longest:
        ms = milliseconds(tokens)
        masks.append((ms >= view.shortest) & (ms <= (view.longest or np.inf)))
    if view.speakers and not view.alone:
        masks.append(tokens["speaker"].isin(view.speakers).to_numpy(dtype=bool))
    for column, wanted in (("gender", view.gender), ("split", view.split)):
        if wanted != "all" and not view.alone:
            masks.append((tokens[column] == wanted).to_numpy(dtype=bool))
    if view.verdict != "all":
        masks.append(verdicts(shown, view.k) == view.verdict)
    return np.logical_and.reduce(masks) if masks else None


def _searched_columns(inputs: ExplorerInputs, shown: MapTokens, unit: str) -> dict[str, pd.Series]:
    columns = {name: shown.tokens[name] for name in ("label", "utterance", "speaker")}
    if unit == "phoneme":
        columns["word"] = cache().get(
            ("words", *shown.key), lambda: word_of_each(shown.tokens, _words(inputs, shown.table))
        )
    return columns


def _words(inputs: ExplorerInputs, table: TokenTable) -> pd.DataFrame:
    """The words of a table, or of the corpus where the table has none."""
    words = table.tokens[table.tokens["unit"] == "word"]
    if len(words) or inputs.corpus_folder is None:
        return words
    return pd.DataFrame(
        [
            (utterance.id, word.label, word.start, word.end)
            for utterance in inputs.corpus.utterances
            for word in utterance.words
        ],
        columns=["utterance", "label", "start", "end"],
    )
