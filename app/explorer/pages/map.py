"""The page 'Map': tokens as points of a plane; a click plays one, a lasso lists many."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from lvm_probe import InputError
from lvm_probe.app.explorer import class_colours as appearance
from lvm_probe.app.explorer import projections, sound
from lvm_probe.app.explorer.address import recalled, remember
from lvm_probe.app.explorer.cache import Memory, digest
from lvm_probe.app.explorer.inputs import Given
from lvm_probe.app.explorer.neighbours import NOT_JUDGED, Asked, judged, nearest, opinion
from lvm_probe.app.explorer.scatter import hover_texts, picture, scatter
from lvm_probe.app.explorer.token_card import heard, speaker_of, word_at
from lvm_probe.app.explorer.views import MOST_TOKENS, MapView, plain
from lvm_probe.figures import style
from lvm_probe.probing.features.feature import Feature, default_features
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.question import MAX_K, default_protocol

ANSWER = "the kNN's answer"
PLAYABLE_NEIGHBOURS = 5
_STATE = "map view"
_CHART = "map-chart"
_CLICKED = "map tokens clicked"
_ERRORS = InputError
_UNITS = {"phoneme": "phone", "word": "word", "utterance": "utterance"}


@dataclass(frozen=True)
class Shown:
    """What the map shows, before colours.

    Attributes:
        key: tells this from all else that was shown, for caches.
        table: the whole table.
        rows: rows of the table that are meant, `place` gives a row's place among them.
        tokens: of these rows.
        points: of these rows, the feature.
        labels: of these rows, what is asked.
        ask: its name.
    """

    key: tuple[Any, ...]
    table: TokenTable
    rows: np.ndarray
    tokens: pd.DataFrame
    points: np.ndarray
    labels: np.ndarray
    ask: str

    def place(self, token: str) -> int | None:
        """The place of a token, by its id."""
        found = np.flatnonzero((self.tokens["token_id"] == token).to_numpy())
        return int(found[0]) if len(found) else None

    def question(self) -> tuple[Asked, np.ndarray, np.ndarray]:
        """What the kNN is asked of the tokens whose class is known; the names of the classes, and those rows."""
        known = np.flatnonzero(self.labels != projections.UNKNOWN)
        names, codes = np.unique(self.labels[known].astype(str), return_inverse=True)
        speakers, utterances = (
            np.unique(self.tokens[name].to_numpy(dtype=object)[known].astype(str), return_inverse=True)[1]
            for name in ("speaker", "utterance")
        )
        asked = Asked(self.points[known], codes, speakers, utterances, self.ask, default_protocol(self.ask))  # type: ignore[arg-type]
        return asked, names, known


def show(given: Given) -> None:
    """The whole page."""
    view = recalled(MapView, _STATE)
    st.title("Map")
    st.markdown(
        "Every point is a recording of a phone (or word), placed by what the model made of it. **Click a point to hear "
        "it**; draw a box or a lasso (top right of the picture) to list many. Points that lie together sound alike "
        "to the model."
    )
    chosen = _controls(given, view)
    if chosen is None:
        return
    shown = _shown(given, chosen)
    if shown is not None:
        _map(given, shown, chosen)


def _pick(label: str, options: Sequence[str], chosen: str, **how: Any) -> str:
    """A choice of one; what is no longer among the options gives way to the first.

    The key is what lets the choice stay the user's when `chosen`, which follows it, is another in the next run.
    """
    at = options.index(chosen) if chosen in options else 0
    return st.selectbox(label, options, index=at, key=f"map {label}", **how)


def _controls(given: Given, view: MapView) -> MapView | None:
    """The sidebar; None where there is nothing to show."""
    with st.sidebar:
        name = view.table
        if len(given.tables) > 1 or name not in given.tables:
            name = _pick("Table", list(given.tables), view.table) if len(given.tables) > 1 else next(iter(given.tables))
        table = given.tables[name]
        tokens = table.tokens
        units = [unit for unit in _UNITS if (tokens["unit"] == unit).any()]
        if not units:
            st.warning("This table holds no tokens. Extract some: `probe extract --help`.")
            return None
        features = _features(table)
        feature = _pick(
            "Feature", features, view.feature, format_func=lambda f: style.feature_look(f).label,
            help="What the tokens are placed by: a layer's latents (z1, z2), several joined, or Mel, the sound itself.",
        )  # fmt: skip
        layout = st.segmented_control(
            "Layout", ["LDA", "PCA", "UMAP"], default=view.layout if view.layout in ("LDA", "PCA", "UMAP") else "LDA",
            required=True,
            help="LDA: directions that tell the classes apart, fitted on one half and shown on the other. PCA: "
            "directions of most variance. UMAP: keeps neighbours together (takes a while the first time).",
            key="map Layout",
        )  # fmt: skip
        unit = view.unit if view.unit in units else units[0]
        if len(units) > 1:
            unit = _pick("Tokens", units, view.unit, format_func=lambda u: f"{_UNITS[u]}s")
        questions = _questions_of(table, unit)
        ask = _pick(
            "Ask for", questions or ["speaker"], view.ask, help="What LDA tells apart, and what the kNN guesses."
        )
        colours = [*dict.fromkeys([*questions, "duration", ANSWER])]
        if unit != "phoneme":
            colours = [c for c in colours if c not in ("phoneme", "manner", "place")]
        colour = _pick("Colour by", colours, view.colour or ask)
        k = st.slider("k: neighbours that vote", 1, MAX_K, min(max(view.k, 1), MAX_K), key="map k")
        with st.expander("Which tokens"):
            everyone = sorted(tokens["speaker"].astype(str).unique())
            kept = [speaker for speaker in view.speakers if speaker in everyone]
            speakers = tuple(st.multiselect("Speakers", everyone, default=kept, placeholder="all", key="map Speakers"))
            gender = _some("Gender", tokens["gender"], view.gender)
            split = _some("Split", tokens["split"], view.split)
            phone_set, silence = "as labelled", False
            if unit == "phoneme":
                sets = ["as labelled", "timit61", "timit48", "timit39"]
                phone_set = _pick("Phone set", sets, view.phones, help="Folds TIMIT's 61 labels as Lee and Hon (1989).")
                silence = st.checkbox("Silences too", view.silence, key="map Silences")
    chosen = replace(
        view, table=name, feature=feature, layout=layout, ask=ask, colour=colour, unit=unit, phones=phone_set,
        speakers=speakers, gender=gender, split=split, silence=silence, k=k,
        only=view.only if colour == view.colour else (),
    )  # fmt: skip
    return chosen


def _some(label: str, column: pd.Series, chosen: str) -> str:
    values = sorted(column.dropna().astype(str).unique())
    return _pick(label, ["all", *values], chosen) if len(values) > 1 else "all"


def _features(table: TokenTable) -> list[str]:
    """The usual ones first, then all others that say something of a token by themselves."""
    rest = [name for name in table.features if not name.endswith("_var")]
    return list(dict.fromkeys([*map(str, default_features(table)), *rest]))


@st.cache_resource(show_spinner=False)
def _memory() -> Memory:
    """What was computed for any visitor; tables do not change while the server runs."""
    return Memory(40)


def _questions_of(table: TokenTable, unit: str) -> list[str]:
    tokens = table.tokens
    return _memory().get(
        ("questions", table.path, unit), lambda: projections.questions_of(tokens[tokens["unit"] == unit], unit)
    )


def _shown(given: Given, view: MapView) -> Shown | None:
    """The tokens of a view; None, and a sentence on the page, where there are none."""
    table = given.tables[view.table]
    key = (table.path, view.feature, view.unit, view.speakers, view.gender, view.split, view.silence, view.ask,
           view.phones)  # fmt: skip
    try:
        shown = _memory().get(key, lambda: shown_of(table, view, key))
    except _ERRORS as error:
        st.warning(plain(error))
        return None
    if len(shown.rows) < 2:
        st.info("No tokens are left: widen the choice under 'Which tokens' in the sidebar.")
        return None
    return shown


def shown_of(table: TokenTable, view: MapView, key: tuple[Any, ...] = ()) -> Shown:
    """The tokens of a view.

    Raises InputError where the table lacks the feature.
    """
    rows = projections.chosen_rows(
        table.tokens, view.unit, speakers=view.speakers, gender=view.gender, split=view.split, silence=view.silence
    )
    tokens = table.tokens.iloc[rows].reset_index(drop=True)
    parts = Feature.parse(view.feature).parts
    if missing := [part for part in parts if part not in table.features]:
        raise InputError(f"{table.path}: no feature {missing[0]}; choose another")
    values = np.concatenate([table.features[part][rows] for part in parts], axis=1).astype(np.float64)
    return Shown(
        key, table, rows, tokens, values, projections.classes(tokens, view.ask, phone_set=view.phones), view.ask
    )


def _asked(shown: Shown) -> tuple[Asked, np.ndarray, np.ndarray]:
    return _memory().get(("asked", *shown.key), shown.question)


def _nearest(shown: Shown, place: int) -> tuple[np.ndarray, np.ndarray]:
    return _memory().get(("nearest", place, *shown.key), lambda: nearest(shown.points, place, PLAYABLE_NEIGHBOURS))


@contextmanager
def _progress(text: str) -> Iterator[Callable[[float], None]]:
    """A bar that goes when the work is done."""
    bar = st.progress(0.0, text)
    try:

        def told(share: float) -> None:
            bar.progress(min(share, 1.0), text)

        yield told
    finally:
        bar.empty()


def _answers(shown: Shown) -> tuple[np.ndarray, np.ndarray]:
    """What the kNN takes every token for, at every k: codes (tokens, ks) and the names of the classes."""

    def make() -> tuple[np.ndarray, np.ndarray]:
        asked, names, known = _asked(shown)
        found = np.full((len(shown.labels), MAX_K), NOT_JUDGED)
        with _progress("Asking the kNN about every token, once") as told:
            found[known] = judged(asked, told)
        return found, names

    return _memory().get(("answers", *shown.key), make)


def _projected(shown: Shown, layout: str, drawn: np.ndarray) -> projections.Projection:
    """Of the tokens drawn; the axes of LDA and PCA are fitted on all that are shown."""

    def make() -> projections.Projection:
        match layout:
            case "UMAP":
                with _progress("UMAP, computed once and kept on disk: finding neighbours, then placing tokens") as told:
                    return projections.by_umap(shown.points[drawn], told)
            case "LDA":
                return projections.by_discriminants(shown.points, shown.tokens, shown.labels, shown.ask)
            case _:
                return projections.by_variance(shown.points)

    # UMAP places what is drawn, which depends on the colours where there is too much to draw.
    which = digest(drawn) if layout == "UMAP" else ""
    found = _memory().get((layout, which, *shown.key), make)
    if layout == "UMAP":
        return found
    return replace(found, places=found.places[drawn], held_out=found.held_out[drawn])


def _colours(shown: Shown, view: MapView) -> np.ndarray:
    """The class that colours every token; milliseconds for durations."""
    if view.colour == "duration":
        tokens = shown.tokens
        return (1000 * (tokens["end"] - tokens["start"]) / tokens["sample_rate"]).to_numpy(dtype=float)
    if view.colour == ANSWER:
        found, names = _answers(shown)
        said = found[:, view.k - 1]
        right = names[np.maximum(said, 0)] == shown.labels
        return np.where(said == NOT_JUDGED, "not asked", np.where(right, "right", "wrong")).astype(object)
    return projections.classes(shown.tokens, view.colour, phone_set=view.phones)


@st.fragment
def _map(given: Given, shown: Shown, view: MapView) -> None:
    """Picture and legend on the left, what was clicked on the right; a click runs only this again."""
    kept = st.session_state.get(_STATE)
    if kept is not None:
        view = replace(view, only=kept.only if kept.colour == view.colour else view.only, tokens=kept.tokens)
    try:
        colour = _colours(shown, view)
        numeric = colour.dtype.kind == "f"
        drawn = projections.thinned(shown.labels if numeric else colour)
        projection = _projected(shown, view.layout, drawn)
    except _ERRORS as error:
        st.warning(plain(error))
        return
    tokens = shown.tokens.iloc[drawn]
    dark = st.context.theme.type == "dark"
    looks = None if numeric else appearance.looks_of(colour, view.colour, dark=dark)
    left, right = st.columns([3, 2], gap="medium")
    above, below = left.container(), left.container()
    only = _legend(below, looks, view)
    picked = _picked(shown, view)
    view = replace(view, only=only, tokens=picked)
    remember(view, _STATE)
    among = np.isin(colour[drawn].astype(str), only) if only else np.ones(len(drawn), dtype=bool)
    chosen = tokens["token_id"].isin(picked).to_numpy() if len(picked) > 1 else True
    frame = pd.DataFrame({
        "token_id": tokens["token_id"].to_numpy(), "x": projection.places[:, 0], "y": projection.places[:, 1],
        "held_out": projection.held_out,
        "hover": hover_texts(tokens).to_numpy(), "shown": among & chosen, "open": among,
        "value" if numeric else "class": colour[drawn],
    })  # fmt: skip
    near: tuple[str, ...] = ()
    if len(picked) == 1 and (place := shown.place(picked[0])) is not None:
        rows, _ = _nearest(shown, place)
        near = tuple(shown.tokens["token_id"].iloc[rows])
    with above:
        plane = digest((view.layout, shown.key))
        scatter(
            picture(frame, projection.axes, plane, looks=looks, picked=picked, near=near), _CHART, _click, dark=dark
        )
    with below:
        st.caption(_said(shown, projection, len(drawn), view))
        _print(frame, projection, shown, view, looks)
    with right:
        if len(picked) == 1:
            _token(given, shown, view, picked[0])
        elif picked:
            _selection(given, shown, view, picked, colour)
        else:
            st.info(
                "Click a point to hear it, see its spectrogram and what the kNN takes it for.",
                icon=":material/touch_app:",
            )
            st.markdown(_counts_line(shown))


def _legend(place: Any, looks: dict[str, style.PhoneLook] | None, view: MapView) -> tuple[str, ...]:
    """The classes as buttons that filter; those chosen."""
    if looks is None:
        return ()
    names = list(looks)
    chosen = place.pills(
        f"{view.colour}: choose some to turn the others grey", names, selection_mode="multi",
        default=[name for name in view.only if name in looks],
        format_func=lambda name: _coloured(name, looks[name]),
        key=f"only {view.colour} {view.phones} {view.unit} {len(names)}", wrap=True, label_visibility="collapsed",
    )  # fmt: skip
    return tuple(chosen or ())


def _coloured(name: str, look: style.PhoneLook) -> str:
    """A class with its mark in its colour, as Markdown."""
    return f':color[{appearance.glyph(look)}]{{foreground="{look.colour}"}} {plain(name)}'


def _click(tokens: list[str]) -> None:
    """Keep what was clicked or surrounded for the run that follows."""
    st.session_state[_CLICKED] = tuple(dict.fromkeys(tokens))
    st.session_state["map clicked"] = True


def _picked(shown: Shown, view: MapView) -> tuple[str, ...]:
    """The tokens selected: by the last click or lasso, by a button since then, or by the address at the start."""
    tokens = st.session_state.pop(_CLICKED, view.tokens)
    here = set(shown.tokens["token_id"]) if tokens else set()
    return tuple(token for token in tokens if token in here)


def _said(shown: Shown, projection: projections.Projection, drawn: int, view: MapView) -> str:
    """What is drawn, in sentences."""
    total = len(shown.rows)
    speakers = shown.tokens["speaker"].nunique()
    text = f"{total:,} {_UNITS[view.unit]}s of {speakers} speaker{'s' if speakers > 1 else ''}. {projection.said}"
    if drawn < total:
        text += f" Drawn are {drawn:,}: rare classes whole, of the common ones a random part."
    if view.colour == ANSWER:
        protocol = default_protocol(view.ask)  # type: ignore[arg-type]
        text += f" Right or wrong: {view.ask}, protocol {protocol}, k = {view.k}."
    return plain(text)


def _counts_line(shown: Shown) -> str:
    counts = pd.Series(shown.labels).value_counts()
    return f"{len(shown.rows):,} tokens, {len(counts)} classes of {shown.ask}; most frequent: " + ", ".join(
        f"{plain(name)} ({count:,})" for name, count in counts.head(5).items()
    )


def _print(frame: pd.DataFrame, projection: projections.Projection, shown: Shown, view: MapView,
           looks: dict[str, style.PhoneLook] | None) -> None:  # fmt: skip
    """A button for the print figure."""
    if looks is None:
        return

    def pdf() -> bytes:
        from lvm_probe.figures import lda_scatter

        data = frame[frame["shown"]].rename(columns={"class": "label"}).assign(feature=view.feature)
        light = appearance.looks_of(data["label"], view.colour)
        figure = lda_scatter.panels(data, f"by {view.layout}", projection.said, looks=light)
        for ax in figure.axes[:1]:
            ax.set(xlabel=projection.axes[0], ylabel=projection.axes[1])
        return style.pdf(figure)

    name = f"map-{view.feature}-{view.layout}-{view.colour}".replace(" ", "-")
    st.download_button("Save as print figure (PDF)", pdf, f"{name}.pdf", "application/pdf", on_click="ignore")


def _token(given: Given, shown: Shown, view: MapView, token: str) -> None:
    """One token: heard, seen, its speaker, its neighbours, and what the kNN says of it."""
    place = shown.place(token)
    if place is None:
        st.info("This token is not among those shown.")
        return
    row = shown.tokens.iloc[place]
    length = 1000 * (row["end"] - row["start"]) / row["sample_rate"]
    utterance = given.utterance(row["utterance"])
    clicked = bool(st.session_state.get("map clicked"))  # a page that was only opened does not begin to speak
    word = word_at(utterance, row)
    _head(f"{plain(row['label'])}{f' in “{plain(word)}”' if word else ''}")
    st.caption(
        f"{speaker_of(row)}. {plain(row['utterance'])}, {row['start'] / row['sample_rate']:.2f} s, {length:.0f} ms."
    )
    heard(utterance, row, autoplay=clicked)
    _opinion(shown, view, place)
    st.markdown(f"**Nearest in {plain(style.feature_look(view.feature).label)}** ({shown.points.shape[1]} dimensions)")
    rows, distances = _nearest(shown, place)
    for other, distance in zip(rows, distances, strict=True):
        _neighbour(given, shown, int(other), float(distance), row)


def _head(text: str) -> None:
    """The heading of what is selected, and a button that puts it away."""
    head, away = st.columns([5, 1], vertical_alignment="center")
    head.markdown(f"#### {text}")
    away.button("", icon=":material/close:", key="map away", help="Select nothing", on_click=_select, args=((),))


def _select(tokens: tuple[str, ...]) -> None:
    """Select these instead: before the page is drawn again."""
    st.session_state[_STATE] = replace(st.session_state[_STATE], tokens=tokens)
    st.session_state["map clicked"] = True


def _opinion(shown: Shown, view: MapView, place: int) -> None:
    """What the kNN takes the token for."""
    asked, names, known = _asked(shown)
    here = np.flatnonzero(known == place)
    if not len(here):
        st.markdown(f"The table does not say its {shown.ask}, so the kNN is not asked.")
        return
    try:
        said = opinion(asked, int(here[0]), view.k)
    except _ERRORS as error:
        st.markdown(f"The kNN cannot be asked: {plain(error)}")
        return
    truth, taken = shown.labels[place], names[said.taken_for]
    votes = pd.Series(names[said.codes]).value_counts(sort=False).sort_values(ascending=False, kind="stable")
    how = f"LDA fitted without this {'token' if asked.protocol == 'nested' else asked.protocol}"
    among = "the same speaker's tokens" if asked.alone else "other speakers' tokens" if asked.protocol == "speaker" \
        else "all other tokens"  # fmt: skip
    right = taken == truth
    verdict = ":green[**right**]" if right else f":red[**wrong**], it is **{plain(truth)}**"
    st.markdown(
        f"The kNN takes it for **{plain(taken)}**: {verdict}. Votes: "
        + ", ".join(f"{plain(name)} {count}" for name, count in votes.items())
    )
    st.caption(
        f"{shown.ask}, protocol {asked.protocol}, k = {view.k} among {among} in {said.dims} "
        f"discriminant{'s' if said.dims > 1 else ''} ({how})."
    )


def _neighbour(given: Given, shown: Shown, other: int, distance: float, row: pd.Series) -> None:
    """A neighbour in a line: what it is, a player, and a button that goes there."""
    near = shown.tokens.iloc[other]
    what, play = st.columns([5, 6], vertical_alignment="center")
    who = "same speaker" if near["speaker"] == row["speaker"] else plain(near["speaker"])
    what.button(
        f"**{plain(near['label'])}** {who}", key=f"go {near['token_id']}", type="tertiary",
        help=f"Distance {distance:.1f}. Click to go there: {plain(near['utterance'])}",
        on_click=_select, args=((near["token_id"],),),
    )  # fmt: skip
    utterance = given.utterance(near["utterance"])
    if isinstance(utterance, str):
        return
    try:
        play.audio(sound.clip(utterance, int(near["start"]), int(near["end"]), 0.05), format="audio/wav")
    except _ERRORS as error:
        play.caption(plain(error))


def _selection(given: Given, shown: Shown, view: MapView, picked: tuple[str, ...], colour: np.ndarray) -> None:
    """Many tokens: counted, listed, played and exported."""
    places = np.flatnonzero(shown.tokens["token_id"].isin(picked).to_numpy())
    tokens = shown.tokens.iloc[places]
    _head(f"{len(tokens):,} tokens selected")
    if view.colour != "duration":
        counts = pd.Series(colour[places], name=view.colour).value_counts()
        of_all = pd.Series(colour).value_counts()
        st.dataframe(
            pd.DataFrame({view.colour: counts.index, "selected": counts.to_numpy(),
                          "of all": (counts / of_all[counts.index]).to_numpy()}),
            hide_index=True, height=min(36 * len(counts) + 40, 200),
            column_config={"of all": st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1)},
        )  # fmt: skip
    listed = tokens[["label", "speaker", "gender", "utterance", "start", "end", "token_id"]].reset_index(drop=True)
    listed.insert(1, "ms", (1000 * (listed["end"] - listed["start"]) / tokens["sample_rate"].to_numpy()).round())
    event = st.dataframe(
        listed.drop(columns=["start", "end"]), hide_index=True, on_select="rerun", selection_mode="single-row",
        height=260, key=f"map members {digest(picked)}",
    )  # fmt: skip
    chosen = event["selection"]["rows"]
    if chosen and chosen[0] < len(tokens):
        row = tokens.iloc[chosen[0]]
        utterance = given.utterance(row["utterance"])
        st.caption(f"{plain(row['label'])}: {speaker_of(row)}")
        heard(utterance, row, autoplay=True)
    else:
        st.caption("Choose a row to hear it.")
    csv, parquet = st.columns(2)
    name = f"tokens-{len(tokens)}"
    csv.download_button("CSV", lambda: tokens.to_csv(index=False).encode(), f"{name}.csv", "text/csv",
                        on_click="ignore", width="stretch")  # fmt: skip
    parquet.download_button(
        "Parquet", lambda: exported(shown, view.feature, places), f"{name}.parquet", "application/octet-stream",
        on_click="ignore", width="stretch", help=f"With {style.feature_look(view.feature).label} of every token",
    )  # fmt: skip
    if len(picked) > MOST_TOKENS:
        st.caption(f"The address holds selections of up to {MOST_TOKENS} tokens; keep this one by a file.")


def exported(shown: Shown, feature: str, places: np.ndarray) -> bytes:
    """Tokens with their feature as one Parquet file."""
    frame = shown.tokens.iloc[places].reset_index(drop=True)
    frame[feature] = list(shown.points[places].astype(np.float32))
    file = BytesIO()
    frame.to_parquet(file, index=False)
    return file.getvalue()
