"""The page 'Map': tokens as points of a plane; a click plays one, a lasso lists many, and two maps are linked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from lvm_probe import InputError
from lvm_probe.app.explorer import map_selection, map_tokens, moved, projections
from lvm_probe.app.explorer.class_outlines import ClassPlace, class_places
from lvm_probe.app.explorer.class_styles import PREDICTION, class_styles, glyph
from lvm_probe.app.explorer.inputs import ExplorerInputs, feature_choices, opening_feature
from lvm_probe.app.explorer.map_tokens import MapTokens
from lvm_probe.app.explorer.projections import Projection
from lvm_probe.app.explorer.recording_card import (
    Upload,
    choose_upload,
    chosen_segment,
    encoded,
    places_of,
    points_of,
    show_recording,
)
from lvm_probe.app.explorer.recording_query import Encoded
from lvm_probe.app.explorer.result_cache import digest
from lvm_probe.app.explorer.scatter import hover_texts, picture, scatter
from lvm_probe.app.explorer.selection_card import (
    choose_neighbours,
    neighbours,
    show_members,
    show_neighbours,
    show_token,
)
from lvm_probe.app.explorer.token_filters import SEARCH_HELP, milliseconds
from lvm_probe.app.explorer.views import MapView, current_view, keep_view, plain
from lvm_probe.app.explorer.waiting import computed
from lvm_probe.figures import style
from lvm_probe.figures.style import ClassStyle
from lvm_probe.figures.wording import counted
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.question import MAX_K, default_protocol

_CHARTS = ("map-chart", "map-chart-2")
_MOVED, _ASKED = "map moved", "map asks what moved"
_NO_SECOND = "none"
_UNITS = {"phoneme": "phone", "word": "word", "utterance": "utterance"}
_VERDICTS = ("all", "right", "wrong")


def show(inputs: ExplorerInputs) -> None:
    """The page."""
    view = current_view(MapView, map_selection.STATE)
    with st.container(key="map-title"):  # for screen readers: the window belongs to the map
        st.title("Map")
    chosen = _controls(inputs, view)
    with st.sidebar:
        upload = choose_upload()
    if chosen is None:
        return
    maps = []
    for one in (chosen, _second_view(chosen)):
        if one is None:
            continue
        try:
            maps.append((map_tokens.map_tokens(inputs.tables[one.table], one), one))
        except InputError as error:
            st.warning(plain(error))
            return
        if len(maps[-1][0].tokens) < 2:
            st.info("No tokens are left: widen the choice in the sidebar.")
            return
    _show_maps(inputs, maps, upload)


# The sidebar.


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
        feature = _pick(
            "Feature", feature_choices(table), view.feature or opening_feature(table),
            format_func=lambda f: style.feature_style(f).label,
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
        colours = [*targets, "duration", PREDICTION]
        colour = _pick("Colour by", colours, view.colour or ("manner" if "manner" in colours else target))
        view = _choose_filters(replace(view, unit=unit), table)
        view = _choose_second(inputs, view, name, feature)
        with st.expander("More"):
            k = st.slider("k: neighbours that vote", 1, MAX_K, min(max(view.k, 1), MAX_K), key="map k")
            phone_set, silence = "as labelled", False
            if unit == "phoneme":
                sets = projections.phone_sets(tokens)
                phone_set = _pick("Phone set", sets, view.phones, help="Folds labels as Lee and Hon (1989), or stress.")
                silence = st.checkbox("Include silences", view.silence, key="map Silences")
    return replace(
        view, table=name, feature=feature, layout=layout, target=target, colour=colour, phones=phone_set,
        silence=silence, k=k, only=view.only if colour == view.colour else (),
    )  # fmt: skip


@dataclass(frozen=True)
class _Range:
    """What the filters of a table's tokens can be set to: the longest duration in ms, and values of columns."""

    longest: int
    speakers: list[str]
    genders: list[str]
    splits: list[str]

    @classmethod
    def of(cls, table: TokenTable, unit: str) -> _Range:
        tokens = table.tokens
        longest = int(-(-milliseconds(tokens[tokens["unit"] == unit]).max() // 10) * 10)
        values = (sorted(tokens[name].dropna().astype(str).unique()) for name in ("speaker", "gender", "split"))
        return cls(longest, *values)


def _choose_filters(view: MapView, table: TokenTable) -> MapView:
    """Which tokens are in colour."""
    able = map_tokens.cache().get(("range", table.path, view.unit), lambda: _Range.of(table, view.unit))
    longest = able.longest
    search = st.text_input(
        "Search", view.search, key="map Search", placeholder="label, word, speaker…", help=SEARCH_HELP
    )
    with st.expander("Filter"):
        low, high = st.slider(
            "Duration (ms)", 0, longest, (min(view.shortest, longest), min(view.longest or longest, longest)), 10,
            key=f"map Duration {view.unit}",
        )  # fmt: skip
        before = [speaker for speaker in view.speakers if speaker in able.speakers]
        speakers = st.multiselect("Speakers", able.speakers, default=before, placeholder="all", key="map Speakers")
        gender = _choose_value("Gender", able.genders, view.gender)
        split = _choose_value("Split", able.splits, view.split)
        alone = st.checkbox(
            "Map these speakers alone", view.alone, key="map Alone",
            help="Leave the tokens of other speakers, genders and splits out, and fit the axes without them; "
            "otherwise they are grey.",
        )  # fmt: skip
        verdict = _pick("Predictions", _VERDICTS, view.verdict, help="Of the kNN, for the target")
    return replace(
        view, search=search, shortest=low, longest=high if high < longest else 0, speakers=tuple(speakers),
        gender=gender, split=split, alone=alone, verdict=verdict,
    )  # fmt: skip


def _choose_value(label: str, values: list[str], chosen: str) -> str:
    return _pick(label, ["all", *values], chosen) if len(values) > 1 else "all"


def _choose_second(inputs: ExplorerInputs, view: MapView, name: str, feature: str) -> MapView:
    """Feature and table of a second map."""
    with st.expander("Second map", expanded=bool(view.second)):
        names = list(inputs.tables)
        other = _pick("Its table", names, view.other or name) if len(names) > 1 else names[0]
        features = [f for f in feature_choices(inputs.tables[other]) if (f, other) != (feature, name)]
        second = _pick(
            "Its feature", [_NO_SECOND, *features], view.second or _NO_SECOND,
            format_func=lambda f: f if f == _NO_SECOND else style.feature_style(f).label,
            help="Another map beside the first: what is selected on one is selected on both.",
        )  # fmt: skip
    return replace(view, second="" if second == _NO_SECOND else second, other=other if len(names) > 1 else "")


def _second_view(view: MapView) -> MapView | None:
    return replace(view, table=view.other or view.table, feature=view.second) if view.second else None


def _targets(table: TokenTable, unit: str) -> list[str]:
    tokens = table.tokens
    return map_tokens.cache().get(
        ("targets", table.path, unit), lambda: projections.targets_of(tokens[tokens["unit"] == unit], unit)
    )


# The maps.


@dataclass(frozen=True)
class _Map:
    """One of the maps: its tokens, how it is viewed, the colours of all tokens, those drawn, and their places."""

    shown: MapTokens
    view: MapView
    colour: np.ndarray
    drawn: np.ndarray
    projection: Projection

    @property
    def plane(self) -> str:
        return digest((self.view.layout, self.shown.key))


@dataclass(frozen=True)
class _Marked:
    """What is emphasised among the tokens of a map.

    Attributes:
        visible: those that the legend and the filters let through; they can be selected.
        lit: those in colour: the selected ones of these, or all where fewer than two are selected.
        selected: ids.
        near: ids of the neighbours that are listed.
        only: the classes that are chosen in the legend.
    """

    visible: np.ndarray
    lit: np.ndarray
    selected: tuple[str, ...]
    near: tuple[str, ...]
    only: tuple[str, ...]

    def on(self, first: MapTokens, other: MapTokens) -> _Marked:
        """The same tokens on another map."""
        if first.key == other.key:
            return self
        rows = map_tokens.cache().get(("rows", first.key, other.key), lambda: _rows_of(first, other))
        there = rows >= 0
        return replace(self, visible=there & self.visible[rows], lit=there & self.lit[rows])


def _rows_of(first: MapTokens, other: MapTokens) -> np.ndarray:
    """For each token of the other map its row on the first; -1 where it is not there."""
    return pd.Index(first.tokens["token_id"]).get_indexer(pd.Index(other.tokens["token_id"]))


def _marked(
    shown: MapTokens,
    colour: np.ndarray,
    only: tuple[str, ...],
    match: np.ndarray | None,
    selected: tuple[str, ...],
    near: tuple[str, ...],
) -> _Marked:
    visible = np.isin(colour.astype(str), only) if only else np.ones(len(colour), dtype=bool)
    visible &= True if match is None else match
    chosen = shown.tokens["token_id"].isin(selected).to_numpy(dtype=bool) if len(selected) > 1 else True
    return _Marked(visible, visible & chosen, selected, near, only)


@st.fragment
def _show_maps(
    inputs: ExplorerInputs, chosen: Sequence[tuple[MapTokens, MapView]], upload: Upload | None = None
) -> None:
    """The pictures, and beside them legend and selection; a click runs only this again."""
    view = chosen[0][1]
    before = st.session_state.get(map_selection.STATE)
    if before is not None:
        view = replace(
            view,
            only=before.only if before.colour == view.colour else view.only,
            tokens=before.tokens,
            near=before.near,
        )
    try:
        maps = [_placed(shown, one) for shown, one in chosen]
        match = map_tokens.matching(inputs, chosen[0][0], view)
    except InputError as error:
        st.warning(plain(error))
        return
    queries = [_query(inputs, one, upload) for one in maps]
    shown, colour = maps[0].shown, maps[0].colour
    dark = st.context.theme.type == "dark"
    styles = None if colour.dtype.kind == "f" else class_styles(_colours_of(maps), view.colour, dark=dark)
    left, right = st.container(key="map-row").columns([3, 1], gap="small")
    side = right.container(key="map-side", gap="small")
    legend, only = side.container(), _only(styles, view)
    selected = tuple(token for token in map_selection.current(view) if token in _known(shown))
    view = replace(view, only=only, tokens=selected)
    place = shown.place(selected[0]) if len(selected) == 1 else None
    if place is not None:
        with side:
            above = st.container(gap="small")
            view = replace(view, near=choose_neighbours(view))
    keep_view(view, map_selection.STATE)
    marked = _marked(shown, colour, only, match, selected, _near(shown, view, place))
    columns = left.columns(len(maps)) if len(maps) > 1 else [left]
    for key, column, one, query in zip(_CHARTS, columns, maps, queries, strict=False):
        with column:
            extra = _extra_points(one, query) if query is not None else ()
            _draw(one, key, styles, marked.on(shown, one.shown), extra, dark=dark)
    _legend(legend, styles, view)  # after the pictures, which need not wait for it
    with side:
        if place is not None:
            with above:
                show_token(inputs, shown, view, place)
            show_neighbours(inputs, shown, view, place)
        elif upload is not None and queries[0] is not None and not selected:
            show_recording(inputs, shown, view, upload.name, queries[0])
        elif selected or match is not None:
            _show_many(inputs, maps[0], view, np.flatnonzero(marked.lit), selected)
        else:
            st.info(
                "Every point is a token, placed by its latents. **Click a point to hear it**, and to see its "
                "spectrogram and neighbours. Draw a box or a lasso to list many.",
                icon=":material/touch_app:",
            )
        if len(maps) > 1:
            _offer_moved(maps[0].shown, maps[1].shown)
        about = st.expander("About this map") if selected or match is not None else st.container()
        with about:
            for one in maps:
                st.caption(_description(one))
            _download_figure(maps[0], styles)


def _placed(shown: MapTokens, view: MapView) -> _Map:
    colour = map_tokens.colours(shown, view)
    drawn = map_tokens.drawn_rows(shown, view, colour)
    return _Map(shown, view, colour, drawn, map_tokens.projection(shown, view.layout, drawn))


def _colours_of(maps: Sequence[_Map]) -> set[str]:
    return {str(name) for one in maps for name in pd.unique(one.colour)}


def _known(shown: MapTokens) -> frozenset[str]:
    return map_tokens.cache().get(("ids", *shown.key), lambda: frozenset(shown.tokens["token_id"]))


def _near(shown: MapTokens, view: MapView, place: int | None) -> tuple[str, ...]:
    """The listed neighbours of the selected token."""
    if place is None:
        return ()
    try:
        return tuple(shown.tokens["token_id"].iloc[neighbours(shown, view, place)[0]])
    except InputError:
        return ()


def _query(inputs: ExplorerInputs, one: _Map, upload: Upload | None) -> Encoded | None:
    """The user's recording encoded for a map; None, and a sentence on the page, if it cannot be."""
    if upload is None:
        return None
    try:
        found = encoded(inputs, one.shown, one.view, upload)
        points_of(found, one.view.feature)
    except InputError as error:
        st.warning(plain(error))
        return None
    return found


def _extra_points(one: _Map, found: Encoded) -> list[tuple[float, float, str]]:
    """The segments of the user's recording on a map, the chosen one last."""
    places = places_of(found, one.shown, one.view, one.drawn, one.projection.places)
    order = sorted(range(len(places)), key=lambda at: at == chosen_segment(found))
    return [(float(places[at, 0]), float(places[at, 1]), found.segments[at].label) for at in order]


def _draw(
    one: _Map,
    key: str,
    styles: Mapping[str, ClassStyle] | None,
    marked: _Marked,
    extra: Sequence[tuple[float, float, str]],
    *,
    dark: bool,
) -> None:
    """One picture, and `extra` points in it."""
    ids, hover = map_tokens.cache().get(
        ("texts", digest(one.drawn), *one.shown.key), lambda: _texts(one.shown.tokens.iloc[one.drawn])
    )
    colour = one.colour[one.drawn]
    frame = pd.DataFrame({
        "token_id": ids, "x": one.projection.places[:, 0], "y": one.projection.places[:, 1],
        "held_out": one.projection.held_out, "hover": hover,
        "coloured": marked.lit[one.drawn], "selectable": marked.visible[one.drawn],
        "value" if styles is None else "class": colour,
    })  # fmt: skip
    classes = () if styles is None else _class_places(one, colour)
    only = marked.only
    data = picture(
        frame, one.projection.axes, one.plane, styles=styles, selected=marked.selected, near=marked.near,
        title=_title(one),
        classes=[place for place in classes if place.name != projections.UNKNOWN and (not only or place.name in only)],
        outline=map_selection.outline(one.plane), extra=extra,
    )  # fmt: skip
    scatter(data, key, lambda tokens, outline: map_selection.take(tokens, outline, one.plane), dark=dark)


def _texts(tokens: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Ids and what is shown under the pointer."""
    return tokens["token_id"].to_numpy(dtype=object), hover_texts(tokens).to_numpy(dtype=object)


def _class_places(one: _Map, colour: np.ndarray) -> Sequence[ClassPlace]:
    """Names and outlines of the classes that colour the points, by the points in full colour."""
    view, full = one.view, one.projection.held_out
    key = ("class places", view.layout, view.colour, view.k if view.colour == PREDICTION else 0, *one.shown.key)
    return map_tokens.cache().get(key, lambda: class_places(one.projection.places[full], colour[full]))


def _title(one: _Map) -> str:
    table = f"{one.view.table}: " if one.view.other else ""
    return (
        f"{table}{style.feature_style(one.view.feature).label}, {counted(len(one.shown.tokens), _UNITS[one.view.unit])}"
    )


def _legend_key(styles: Mapping[str, ClassStyle], view: MapView) -> str:
    return f"only {view.colour} {view.phones} {view.unit} {len(styles)}"


def _only(styles: Mapping[str, ClassStyle] | None, view: MapView) -> tuple[str, ...]:
    """The classes that are chosen in the legend."""
    if styles is None:
        return ()
    chosen = st.session_state.get(_legend_key(styles, view), view.only)
    return tuple(name for name in styles if name in chosen)


def _legend(place: Any, styles: Mapping[str, ClassStyle] | None, view: MapView) -> None:
    """The classes as buttons that filter."""
    if styles is None:
        return
    names = list(styles)
    place.container(key="map-legend").pills(
        f"{view.colour}: choose classes to turn the others grey", names, selection_mode="multi",
        default=[name for name in view.only if name in styles],
        format_func=lambda name: f':color[{glyph(styles[name])}]{{foreground="{styles[name].colour}"}} {plain(name)}',
        key=_legend_key(styles, view), wrap=True, label_visibility="collapsed",
    )  # fmt: skip


def _show_many(inputs: ExplorerInputs, one: _Map, view: MapView, members: np.ndarray, selected: Sequence[str]) -> None:
    """The tokens that are selected and match, or that match where none is selected."""
    shared: dict[str, int] = st.session_state.get(_MOVED, {})
    ids = one.shown.tokens["token_id"].to_numpy(dtype=object)
    if selected and set(selected) <= shared.keys():
        order = {token: at for at, token in enumerate(selected)}
        members = members[np.argsort([order[str(token)] for token in ids[members]])]
        title = f"{len(members):,} tokens moved most"
        show_members(
            inputs, one.shown, view, members, one.colour, title, lambda token: f"{shared[token]} of {moved.K} stay"
        )
        return
    title = f"{len(members):,} tokens selected" if selected else f"{counted(len(members), 'token')} found"
    if selected and len(members) < len(selected):
        title = f"{len(members):,} of {len(selected):,} selected tokens"
    show_members(inputs, one.shown, view, members, one.colour, title)


def _offer_moved(first: MapTokens, second: MapTokens) -> None:
    """A button that selects the tokens whose neighbours differ most between two maps."""
    st.button(
        "What moved", icon=":material/compare_arrows:", key="map what moved",
        help=f"Select the tokens whose {moved.K} nearest neighbours differ most between the two features",
        on_click=lambda: st.session_state.update({_ASKED: True}),
    )  # fmt: skip
    if not st.session_state.get(_ASKED):
        return
    common = np.array(sorted(_known(first) & _known(second)), dtype=object)
    common = common[projections.thinned(np.zeros(len(common), dtype=int), moved.MAX_COMPARED)]
    points = [one.points[pd.Index(one.tokens["token_id"]).get_indexer(pd.Index(common))] for one in (first, second)]
    try:
        what = f"Comparing the neighbours of {counted(len(common), 'token')}"
        found = computed(("moved", first.key, second.key), what, moved.most_moved, *points, moved.K)
    except InputError as error:
        st.warning(plain(error))
        return
    st.session_state[_ASKED] = False
    st.session_state[_MOVED] = {
        str(common[row]): int(count)
        for row, count in zip(found.rows[: moved.LISTED], found.shared[: moved.LISTED], strict=True)
    }
    map_selection.select(tuple(st.session_state[_MOVED]))
    st.rerun()


def _description(one: _Map) -> str:
    """What is drawn, in sentences."""
    shown, view = one.shown, one.view
    total, drawn = len(shown.tokens), len(one.drawn)
    speakers, classes = map_tokens.cache().get(
        ("counts", *shown.key), lambda: (shown.tokens["speaker"].nunique(), pd.Series(shown.labels).nunique())
    )
    text = f"{counted(total, _UNITS[view.unit])} of {counted(speakers, 'speaker')}, {classes} classes of {view.target}."
    text += f" {one.projection.description}"
    if drawn < total:
        text += f" {drawn:,} are drawn: all of rare classes, a random part of the others."
    if one.colour.dtype.kind != "f":
        text += " Names stand at class means"
        text += "; lines enclose the densest half of each class." if _outlined(one) else "."
    if view.colour == PREDICTION:
        protocol = default_protocol(view.target)  # type: ignore[arg-type]
        text += f" Right or wrong: {view.target}, protocol {protocol}, k = {view.k}."
    return plain(text)


def _outlined(one: _Map) -> bool:
    return any(place.lines for place in _class_places(one, one.colour[one.drawn]))


def _download_figure(one: _Map, styles: Mapping[str, ClassStyle] | None) -> None:
    """A button for the map as a print figure."""
    if styles is None:
        return
    view = one.view

    def pdf() -> bytes:
        from lvm_probe.figures import lda_scatter

        data = pd.DataFrame({
            "x": one.projection.places[:, 0], "y": one.projection.places[:, 1], "held_out": one.projection.held_out,
            "label": one.colour[one.drawn], "feature": view.feature,
        })  # fmt: skip
        data = data[data["label"].isin(view.only)] if view.only else data
        light = class_styles(data["label"], view.colour)
        figure = lda_scatter.panels(data, f"by {view.layout}", one.projection.description, styles=light)
        figure.axes[0].set(xlabel=one.projection.axes[0], ylabel=one.projection.axes[1])
        return style.pdf(figure)

    name = f"map-{view.feature}-{view.layout}-{view.colour}".replace(" ", "-")
    st.download_button("Save as print figure (PDF)", pdf, f"{name}.pdf", "application/pdf", on_click="ignore")
