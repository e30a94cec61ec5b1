"""The page 'Map': tokens as points of a plane; a click plays one, a lasso lists many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from lvm_probe import InputError
from lvm_probe.app.explorer import audio, projections
from lvm_probe.app.explorer.class_styles import PREDICTION, class_styles, glyph
from lvm_probe.app.explorer.inputs import ExplorerInputs, feature_choices
from lvm_probe.app.explorer.neighbours import NO_PREDICTION, KnnProbe, nearest, predict_all, predict_one
from lvm_probe.app.explorer.result_cache import ResultCache, digest
from lvm_probe.app.explorer.scatter import hover_texts, picture, scatter
from lvm_probe.app.explorer.token_card import show_audio, token_speaker, word_at
from lvm_probe.app.explorer.views import MAX_TOKENS, MapView, current_view, keep_view, plain
from lvm_probe.app.explorer.waiting import computed
from lvm_probe.figures import style
from lvm_probe.figures.wording import counted
from lvm_probe.probing.features.feature import Feature
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.question import MAX_K, default_protocol

PLAYABLE_NEIGHBOURS = 5
_STATE = "map view"
_CHART = "map-chart"
_CLICKED = "map tokens clicked"
_UNITS = {"phoneme": "phone", "word": "word", "utterance": "utterance"}


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


def show(inputs: ExplorerInputs) -> None:
    """The page."""
    view = current_view(MapView, _STATE)
    st.title("Map")
    st.markdown(
        "Every point is one token: a phone or word in a recording, placed by its latents. **Click a point to hear "
        "it**; draw a box or a lasso (top right of the picture) to list many. Points that are close have similar "
        "latents."
    )
    chosen = _controls(inputs, view)
    if chosen is not None and (shown := _map_tokens(inputs, chosen)) is not None:
        _show_map(inputs, shown, chosen)


def _pick(label: str, options: Sequence[str], chosen: str, **how: Any) -> str:
    """A select box; a choice that is no longer among the options gives way to the first.

    The key keeps the user's choice although `chosen`, which follows it, differs in the next run.
    """
    at = options.index(chosen) if chosen in options else 0
    return st.selectbox(label, options, index=at, key=f"map {label}", **how)


def _controls(inputs: ExplorerInputs, view: MapView) -> MapView | None:
    """The sidebar; None if there is nothing to show."""
    with st.sidebar:
        names = list(inputs.tables)
        name = _pick("Table", names, view.table) if len(names) > 1 else names[0]
        table = inputs.tables[name]
        tokens = table.tokens
        units = [unit for unit in _UNITS if (tokens["unit"] == unit).any()]
        if not units:
            st.warning("This table has no tokens. Extract some: `probe extract --help`.")
            return None
        features = feature_choices(table)
        feature = _pick(
            "Feature", features, view.feature, format_func=lambda f: style.feature_style(f).label,
            help="What places the tokens: latents of one layer (z1, z2) or several, or the Mel spectrum.",
        )  # fmt: skip
        layout = st.segmented_control(
            "Layout", ["LDA", "PCA", "UMAP"], default=view.layout if view.layout in ("LDA", "PCA", "UMAP") else "LDA",
            required=True,
            help="LDA: directions that separate the classes, fitted on one half and shown on the other. PCA: "
            "directions of most variance. UMAP: keeps neighbours together (takes a while the first time).",
            key="map Layout",
        )  # fmt: skip
        unit = view.unit if view.unit in units else units[0]
        if len(units) > 1:
            unit = _pick("Tokens", units, view.unit, format_func=lambda u: f"{_UNITS[u]}s")
        targets = _targets(table, unit)
        target = _pick(
            "Target", targets or ["speaker"], view.target, help="The classes that LDA separates and the kNN predicts."
        )
        colour = _pick("Colour by", [*targets, "duration", PREDICTION], view.colour or target)
        k = st.slider("k: neighbours that vote", 1, MAX_K, min(max(view.k, 1), MAX_K), key="map k")
        with st.expander("Which tokens"):
            everyone = sorted(tokens["speaker"].astype(str).unique())
            before = [speaker for speaker in view.speakers if speaker in everyone]
            speakers = st.multiselect("Speakers", everyone, default=before, placeholder="all", key="map Speakers")
            gender = _filter("Gender", tokens["gender"], view.gender)
            split = _filter("Split", tokens["split"], view.split)
            phone_set, silence = "as labelled", False
            if unit == "phoneme":
                phone_set = _pick(
                    "Phone set",
                    projections.phone_sets(tokens),
                    view.phones,
                    help="Folds labels as Lee and Hon (1989), or stress.",
                )
                silence = st.checkbox("Include silences", view.silence, key="map Silences")
    return replace(
        view, table=name, feature=feature, layout=layout, target=target, colour=colour, unit=unit, phones=phone_set,
        speakers=tuple(speakers), gender=gender, split=split, silence=silence, k=k,
        only=view.only if colour == view.colour else (),
    )  # fmt: skip


def _filter(label: str, column: pd.Series, chosen: str) -> str:
    values = sorted(column.dropna().astype(str).unique())
    return _pick(label, ["all", *values], chosen) if len(values) > 1 else "all"


@st.cache_resource(show_spinner=False)
def _cache() -> ResultCache:
    """Results for any visitor; tables do not change while the server runs."""
    return ResultCache(40)


def _targets(table: TokenTable, unit: str) -> list[str]:
    tokens = table.tokens
    return _cache().get(
        ("targets", table.path, unit), lambda: projections.targets_of(tokens[tokens["unit"] == unit], unit)
    )


def _map_tokens(inputs: ExplorerInputs, view: MapView) -> MapTokens | None:
    """The tokens of a view; None, and a sentence on the page, if there are none."""
    table = inputs.tables[view.table]
    key = (table.path, view.feature, view.unit, view.speakers, view.gender, view.split, view.silence, view.target,
           view.phones)  # fmt: skip
    try:
        shown = _cache().get(key, lambda: map_tokens(table, view, key))
    except InputError as error:
        st.warning(plain(error))
        return None
    if len(shown.tokens) < 2:
        st.info("No tokens are left: widen the choice under 'Which tokens' in the sidebar.")
        return None
    return shown


def map_tokens(table: TokenTable, view: MapView, key: tuple[Any, ...] = ()) -> MapTokens:
    """The tokens of a view; vowels alone if the target is a class of vowels.

    Raises:
        InputError: the table lacks the feature.
    """
    rows = projections.filtered_rows(
        table.tokens, view.unit, speakers=view.speakers, gender=view.gender, split=view.split, silence=view.silence
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


def _probe(shown: MapTokens) -> tuple[KnnProbe, np.ndarray, np.ndarray]:
    return _cache().get(("probe", *shown.key), shown.probe)


def _nearest(shown: MapTokens, place: int) -> tuple[np.ndarray, np.ndarray]:
    return _cache().get(("nearest", place, *shown.key), lambda: nearest(shown.points, place, PLAYABLE_NEIGHBOURS))


def _predictions(shown: MapTokens) -> tuple[np.ndarray, np.ndarray]:
    """The kNN's prediction for every token and every k: codes (tokens, ks), and the names of the classes."""
    probe, names, known = _probe(shown)
    predictions = np.full((len(shown.labels), MAX_K), NO_PREDICTION)
    what = f"Classifying {len(known):,} tokens by the kNN, computed once"
    predictions[known] = computed(("predictions", *shown.key), what, predict_all, probe)
    return predictions, names


def _projection(shown: MapTokens, layout: str, drawn: np.ndarray) -> projections.Projection:
    """Places of the tokens that are drawn; the axes of LDA and PCA are fitted on all that the view has."""
    if layout == "UMAP":  # places what is drawn, which depends on the colours where there is too much to draw
        what = f"UMAP of {len(drawn):,} tokens, computed once: finding neighbours, then placing tokens"
        key = (layout, digest(drawn), *shown.key)
        return computed(key, what, projections.umap_projection, shown.points[drawn])

    def compute() -> projections.Projection:
        if layout == "LDA":
            return projections.lda_projection(shown.points, shown.tokens, shown.labels, shown.target)
        return projections.pca_projection(shown.points)

    projection = _cache().get((layout, *shown.key), compute)
    return replace(projection, places=projection.places[drawn], held_out=projection.held_out[drawn])


def _colours(shown: MapTokens, view: MapView) -> np.ndarray:
    """The class that colours every token; milliseconds for durations."""
    if view.colour == "duration":
        tokens = shown.tokens
        return (1000 * (tokens["end"] - tokens["start"]) / tokens["sample_rate"]).to_numpy(dtype=float)
    if view.colour == PREDICTION:
        predictions, names = _predictions(shown)
        predicted = predictions[:, view.k - 1]
        right = names[np.maximum(predicted, 0)] == shown.labels
        return np.where(predicted == NO_PREDICTION, "none", np.where(right, "right", "wrong")).astype(object)
    return projections.classes(shown.tokens, view.colour, phone_set=view.phones)


@st.fragment
def _show_map(inputs: ExplorerInputs, shown: MapTokens, view: MapView) -> None:
    """Picture and legend on the left, the selection on the right; a click runs only this again."""
    before = st.session_state.get(_STATE)
    if before is not None:
        view = replace(view, only=before.only if before.colour == view.colour else view.only, tokens=before.tokens)
    try:
        colour = _colours(shown, view)
        numeric = colour.dtype.kind == "f"
        drawn = projections.thinned(shown.labels if numeric else colour)
        projection = _projection(shown, view.layout, drawn)
    except InputError as error:
        st.warning(plain(error))
        return
    tokens = shown.tokens.iloc[drawn]
    dark = st.context.theme.type == "dark"
    styles = None if numeric else class_styles(colour, view.colour, dark=dark)
    left, right = st.columns([3, 2], gap="medium")
    above, below = left.container(), left.container()
    only = _legend(below, styles, view)
    selected = _selected(shown, view)
    view = replace(view, only=only, tokens=selected)
    keep_view(view, _STATE)
    of_class = np.isin(colour[drawn].astype(str), only) if only else np.ones(len(drawn), dtype=bool)
    in_selection = tokens["token_id"].isin(selected).to_numpy() if len(selected) > 1 else True
    frame = pd.DataFrame({
        "token_id": tokens["token_id"].to_numpy(), "x": projection.places[:, 0], "y": projection.places[:, 1],
        "held_out": projection.held_out, "hover": hover_texts(tokens).to_numpy(), "coloured": of_class & in_selection,
        "selectable": of_class, "value" if numeric else "class": colour[drawn],
    })  # fmt: skip
    near: tuple[str, ...] = ()
    if len(selected) == 1 and (place := shown.place(selected[0])) is not None:
        rows, _ = _nearest(shown, place)
        near = tuple(shown.tokens["token_id"].iloc[rows])
    with above:
        plane = digest((view.layout, shown.key))
        scatter(
            picture(frame, projection.axes, plane, styles=styles, selected=selected, near=near), _CHART, _click,
            dark=dark,
        )  # fmt: skip
    with below:
        st.caption(_description(shown, projection, len(drawn), view))
        _download_figure(frame, projection, view, styles)
    with right:
        if len(selected) == 1:
            _show_token(inputs, shown, view, selected[0])
        elif selected:
            _show_selection(inputs, shown, view, selected, colour)
        else:
            st.info(
                "Click a point to hear it, and to see its spectrogram and the kNN's prediction.",
                icon=":material/touch_app:",
            )
            st.markdown(_class_counts(shown))


def _legend(place: Any, styles: dict[str, style.ClassStyle] | None, view: MapView) -> tuple[str, ...]:
    """The classes as buttons that filter; returns those chosen."""
    if styles is None:
        return ()
    names = list(styles)
    chosen = place.pills(
        f"{view.colour}: choose classes to turn the others grey", names, selection_mode="multi",
        default=[name for name in view.only if name in styles],
        format_func=lambda name: f':color[{glyph(styles[name])}]{{foreground="{styles[name].colour}"}} {plain(name)}',
        key=f"only {view.colour} {view.phones} {view.unit} {len(names)}", wrap=True, label_visibility="collapsed",
    )  # fmt: skip
    return tuple(chosen or ())


def _click(tokens: list[str]) -> None:
    """Keep the tokens that were clicked or surrounded for the next run."""
    st.session_state[_CLICKED] = tuple(dict.fromkeys(tokens))
    st.session_state["map clicked"] = True


def _selected(shown: MapTokens, view: MapView) -> tuple[str, ...]:
    """The selected tokens: by the last click or lasso, by a button since then, or by the address at the start."""
    tokens = st.session_state.pop(_CLICKED, view.tokens)
    here = set(shown.tokens["token_id"]) if tokens else set()
    return tuple(token for token in tokens if token in here)


def _description(shown: MapTokens, projection: projections.Projection, drawn: int, view: MapView) -> str:
    """What is drawn, in sentences."""
    total = len(shown.tokens)
    text = f"{counted(total, _UNITS[view.unit])} of {counted(shown.tokens['speaker'].nunique(), 'speaker')}. "
    text += projection.description
    if drawn < total:
        text += f" {drawn:,} are drawn: all of rare classes, a random part of the others."
    if view.colour == PREDICTION:
        protocol = default_protocol(view.target)  # type: ignore[arg-type]
        text += f" Right or wrong: {view.target}, protocol {protocol}, k = {view.k}."
    return plain(text)


def _class_counts(shown: MapTokens) -> str:
    counts = pd.Series(shown.labels).value_counts()
    return f"{len(shown.tokens):,} tokens, {len(counts)} classes of {shown.target}; most frequent: " + ", ".join(
        f"{plain(name)} ({count:,})" for name, count in counts.head(5).items()
    )


def _download_figure(frame: pd.DataFrame, projection: projections.Projection, view: MapView,
                     styles: dict[str, style.ClassStyle] | None) -> None:  # fmt: skip
    """A button for the map as a print figure."""
    if styles is None:
        return

    def pdf() -> bytes:
        from lvm_probe.figures import lda_scatter

        data = frame[frame["coloured"]].rename(columns={"class": "label"}).assign(feature=view.feature)
        light = class_styles(data["label"], view.colour)
        figure = lda_scatter.panels(data, f"by {view.layout}", projection.description, styles=light)
        figure.axes[0].set(xlabel=projection.axes[0], ylabel=projection.axes[1])
        return style.pdf(figure)

    name = f"map-{view.feature}-{view.layout}-{view.colour}".replace(" ", "-")
    st.download_button("Save as print figure (PDF)", pdf, f"{name}.pdf", "application/pdf", on_click="ignore")


def _show_token(inputs: ExplorerInputs, shown: MapTokens, view: MapView, token: str) -> None:
    """One token: its audio, spectrogram, speaker and neighbours, and the kNN's prediction for it."""
    place = shown.place(token)
    if place is None:
        st.info("This token is not among those shown.")
        return
    row = shown.tokens.iloc[place]
    word = word_at(inputs, row)
    _heading(f"{plain(row['label'])}{f' in “{plain(word)}”' if word else ''}")
    st.caption(
        f"{token_speaker(row)}. {plain(row['utterance'])}, {row['start'] / row['sample_rate']:.2f} s, "
        f"{1000 * (row['end'] - row['start']) / row['sample_rate']:.0f} ms."
    )
    show_audio(inputs, row, autoplay=bool(st.session_state.get("map clicked")))  # not when a page is only opened
    _show_prediction(shown, view, place)
    st.markdown(f"**Nearest in {plain(style.feature_style(view.feature).label)}** ({shown.points.shape[1]} dimensions)")
    rows, distances = _nearest(shown, place)
    for other, distance in zip(rows, distances, strict=True):
        _show_neighbour(inputs, shown.tokens.iloc[int(other)], float(distance), row)


def _heading(text: str) -> None:
    """The heading of the selection, and a button that clears it."""
    head, close = st.columns([5, 1], vertical_alignment="center")
    head.markdown(f"#### {text}")
    close.button("", icon=":material/close:", key="map away", help="Select nothing", on_click=_select, args=((),))


def _select(tokens: tuple[str, ...]) -> None:
    """Select these tokens instead, before the page is drawn again."""
    st.session_state[_STATE] = replace(st.session_state[_STATE], tokens=tokens)
    st.session_state["map clicked"] = True


def _show_prediction(shown: MapTokens, view: MapView, place: int) -> None:
    """The kNN's prediction for a token."""
    probe, names, known = _probe(shown)
    at = np.flatnonzero(known == place)
    if not len(at):
        st.markdown(f"The table does not know its {shown.target}, so there is no prediction.")
        return
    try:
        found = predict_one(probe, int(at[0]), view.k)
    except InputError as error:
        st.markdown(f"The kNN cannot predict: {plain(error)}")
        return
    truth, predicted = shown.labels[place], names[found.predicted]
    votes = pd.Series(names[found.codes]).value_counts(sort=False).sort_values(ascending=False, kind="stable")
    verdict = ":green[**right**]" if predicted == truth else f":red[**wrong**], it is **{plain(truth)}**"
    st.markdown(
        f"The kNN predicts **{plain(predicted)}**: {verdict}. Votes: "
        + ", ".join(f"{plain(name)} {count}" for name, count in votes.items())
    )
    held_out = "token" if probe.protocol == "nested" else probe.protocol
    others = "the same speaker's" if probe.within_speaker else "all"
    st.caption(
        f"{shown.target}, protocol {probe.protocol}, k = {view.k}, among {others} tokens without this {held_out}, in "
        f"{counted(found.dims, 'discriminant')} fitted without it."
    )


def _show_neighbour(inputs: ExplorerInputs, near: pd.Series, distance: float, row: pd.Series) -> None:
    """A neighbour in a line: what it is, a player, and a button that goes there."""
    left, right = st.columns([5, 6], vertical_alignment="center")
    who = "same speaker" if near["speaker"] == row["speaker"] else plain(near["speaker"])
    left.button(
        f"**{plain(near['label'])}** {who}", key=f"go {near['token_id']}", type="tertiary",
        help=f"Distance {distance:.1f}. Click to go there: {plain(near['utterance'])}",
        on_click=_select, args=((near["token_id"],),),
    )  # fmt: skip
    if inputs.corpus_folder is None:
        return
    try:
        wav = audio.clip(inputs.utterance(near["utterance"]), int(near["start"]), int(near["end"]), 0.05)
        right.audio(wav, format="audio/wav")
    except InputError as error:
        right.caption(plain(error))


def _show_selection(
    inputs: ExplorerInputs, shown: MapTokens, view: MapView, selected: tuple[str, ...], colour: np.ndarray
) -> None:
    """Many tokens: counted, listed, played and exported."""
    places = np.flatnonzero(shown.tokens["token_id"].isin(selected).to_numpy())
    tokens = shown.tokens.iloc[places]
    _heading(f"{len(tokens):,} tokens selected")
    if view.colour != "duration":
        counts = pd.Series(colour[places]).value_counts()
        share = counts / pd.Series(colour).value_counts()[counts.index]
        frame = pd.DataFrame({view.colour: counts.index, "selected": counts.to_numpy(), "of all": share.to_numpy()})
        st.dataframe(
            frame, hide_index=True, height=min(36 * len(counts) + 40, 200),
            column_config={"of all": st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1)},
        )  # fmt: skip
    listed = tokens[["label", "speaker", "gender", "utterance", "token_id"]].reset_index(drop=True)
    ms = 1000 * (tokens["end"] - tokens["start"]) / tokens["sample_rate"]
    listed.insert(1, "ms", ms.round().to_numpy())
    event = st.dataframe(
        listed, hide_index=True, on_select="rerun", selection_mode="single-row", height=260,
        key=f"map members {digest(selected)}",
    )  # fmt: skip
    chosen = event["selection"]["rows"]
    if chosen and chosen[0] < len(tokens):
        row = tokens.iloc[chosen[0]]
        st.caption(f"{plain(row['label'])}: {token_speaker(row)}")
        show_audio(inputs, row, autoplay=True)
    else:
        st.caption("Choose a row to hear it.")
    csv, parquet = st.columns(2)
    name = f"tokens-{len(tokens)}"
    csv.download_button("CSV", lambda: tokens.to_csv(index=False).encode(), f"{name}.csv", "text/csv",
                        on_click="ignore", width="stretch")  # fmt: skip
    parquet.download_button(
        "Parquet", lambda: exported(shown, view.feature, places), f"{name}.parquet", "application/octet-stream",
        on_click="ignore", width="stretch", help=f"With {style.feature_style(view.feature).label} of every token",
    )  # fmt: skip
    if len(selected) > MAX_TOKENS:
        st.caption(f"The address holds selections of up to {MAX_TOKENS} tokens; save this one as a file.")


def exported(shown: MapTokens, feature: str, places: np.ndarray) -> bytes:
    """Tokens with their feature as one Parquet file."""
    frame = shown.tokens.iloc[places].reset_index(drop=True)
    frame[feature] = list(shown.points[places].astype(np.float32))
    file = BytesIO()
    frame.to_parquet(file, index=False)
    return file.getvalue()
