"""What is selected on the map: one token with its neighbours, or many as a grid, with files of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import streamlit as st

from lvm_probe import InputError
from lvm_probe.app.explorer import map_selection, token_exports
from lvm_probe.app.explorer.inputs import ExplorerInputs
from lvm_probe.app.explorer.map_tokens import MapTokens, nearest_to, prediction
from lvm_probe.app.explorer.result_cache import digest
from lvm_probe.app.explorer.token_card import show_audio, token_speaker, word_at
from lvm_probe.app.explorer.token_filters import milliseconds
from lvm_probe.app.explorer.token_grid import PER_PAGE, token_grid
from lvm_probe.app.explorer.views import MAX_TOKENS, MapView, plain
from lvm_probe.figures import style
from lvm_probe.figures.wording import counted

OWN_SPACE, VOTES = "in the feature", "probe's votes"
"""The two kinds of neighbours."""


def neighbours(shown: MapTokens, view: MapView, place: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of the neighbours that the view asks for, nearest first, and their distances.

    Raises:
        InputError: the probe has no prediction; the message is a sentence for the page.
    """
    if view.near == VOTES:
        found, _, places, _ = prediction(shown, place, view.k)
        return places, found.distances
    return nearest_to(shown, place)


def show_token(inputs: ExplorerInputs, shown: MapTokens, view: MapView, place: int) -> None:
    """One token: its audio, spectrogram and speaker, and the kNN's prediction for it."""
    row = shown.tokens.iloc[place]
    word = word_at(inputs, row)
    heading(f"{plain(row['label'])}{f' in “{plain(word)}”' if word else ''}")
    st.caption(
        f"{token_speaker(row)}. {plain(row['utterance'])}, {row['start'] / row['sample_rate']:.2f} s, "
        f"{1000 * (row['end'] - row['start']) / row['sample_rate']:.0f} ms."
    )
    show_audio(inputs, row, autoplay=map_selection.clicked())  # not when a page is only opened
    _show_prediction(shown, view, place)


def show_neighbours(inputs: ExplorerInputs, shown: MapTokens, view: MapView, place: int) -> None:
    """The neighbours of a token, which play and can be gone to."""
    row = shown.tokens.iloc[place]
    try:
        places, distances = neighbours(shown, view, place)
    except InputError:
        return  # said with the prediction
    near = shown.tokens.iloc[places]
    same = (near["speaker"] == row["speaker"]).to_numpy()
    who = np.where(same, "same", near["speaker"].to_numpy(dtype=object))
    notes = [f"{distance:.2f} · {speaker}" for distance, speaker in zip(distances, who, strict=True)]
    token_grid(inputs, near, notes, "map neighbours", lambda token: map_selection.select((token,)), click="go")
    space = (
        f"the {counted(len(places), 'token')} that voted, with distances in the probe's discriminants"
        if view.near == VOTES
        else f"nearest in {plain(style.feature_style(view.feature).label)} "
        f"({shown.points.shape[1]} standardised dimensions), all speakers"
    )
    st.caption(f"Label, distance and speaker: {space}. Click one to go there.")


def choose_neighbours(view: MapView) -> str:
    """A switch between the two kinds of neighbours."""
    chosen = st.segmented_control(
        "Neighbours", (OWN_SPACE, VOTES), default=view.near if view.near in (OWN_SPACE, VOTES) else OWN_SPACE,
        required=True, key="map Neighbours",
        help="In the feature: its own standardised space, all speakers. The probe's votes: the discriminants of the "
        "kNN probe, and the tokens that its protocol lets vote.",
    )  # fmt: skip
    return str(chosen)


def heading(text: str) -> None:
    """The heading of the selection, a button back to the one before, and one that clears it."""
    with st.container(horizontal=True, vertical_alignment="center", wrap=False, gap="xsmall"):
        st.markdown(f"##### {text}", width="stretch")
        if map_selection.can_go_back():
            st.button("", icon=":material/undo:", key="map back", help="What was selected before",
                      on_click=map_selection.back, type="tertiary")  # fmt: skip
        st.button("", icon=":material/close:", key="map away", help="Select nothing", on_click=map_selection.select,
                  args=((),), type="tertiary")  # fmt: skip


def _show_prediction(shown: MapTokens, view: MapView, place: int) -> None:
    """The kNN's prediction for a token."""
    try:
        found, names, _, probe = prediction(shown, place, view.k)
    except InputError as error:
        st.markdown(plain(error))
        return
    truth, predicted = shown.labels[place], names[found.predicted]
    votes = pd.Series(names[found.codes]).value_counts(sort=False).sort_values(ascending=False, kind="stable")
    verdict = ":green[**right**]" if predicted == truth else f":red[**wrong**], it is **{plain(truth)}**"
    held_out = "token" if probe.protocol == "nested" else probe.protocol
    others = "the same speaker's" if probe.within_speaker else "all"
    st.markdown(
        f"The kNN predicts **{plain(predicted)}**: {verdict}. Votes: "
        + ", ".join(f"{plain(name)} {count}" for name, count in votes.items()),
        help=f"{shown.target}, protocol {probe.protocol}, k = {view.k}, among {others} tokens without this {held_out}, "
        f"in {counted(found.dims, 'discriminant')} fitted without it.",
    )


def show_members(
    inputs: ExplorerInputs,
    shown: MapTokens,
    view: MapView,
    places: np.ndarray,
    colour: np.ndarray,
    title: str,
    note: Callable[[str], str] | None = None,
) -> None:
    """Many tokens: counted, as a grid that plays, and exported.

    Args:
        inputs: for the audio.
        shown: the tokens of the map.
        view: what is shown of them.
        places: of those that are selected, in the order of the grid.
        colour: class of every token of the map, or milliseconds.
        title: heading, in Markdown.
        note: a text for a token's id, instead of its duration and speaker.
    """
    tokens = shown.tokens.iloc[places]
    heading(title)
    if not len(tokens):
        return
    first = _page_of(len(tokens), digest(tuple(tokens["token_id"])))
    some = tokens.iloc[first : first + PER_PAGE]
    facts = zip(milliseconds(some), some["speaker"], strict=True)
    notes = [note(token) for token in some["token_id"]] if note else [f"{ms:.0f} ms · {who}" for ms, who in facts]
    with st.container(key="map-members"):
        token_grid(inputs, some, notes, "map grid", lambda token: map_selection.select((token,)), click="play")
    _show_exports(inputs, shown, view, places)
    if colour.dtype.kind != "f":
        with st.expander(f"Classes of {view.colour}"):
            counts = pd.Series(colour[places]).value_counts()
            share = counts / pd.Series(colour).value_counts()[counts.index]
            frame = pd.DataFrame({view.colour: counts.index, "selected": counts.to_numpy(), "of all": share.to_numpy()})
            percent = st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1)
            st.dataframe(
                frame, hide_index=True, height=min(36 * len(counts) + 40, 240), column_config={"of all": percent}
            )
    with st.expander("Table"):
        listed = tokens[["label", "speaker", "gender", "utterance", "token_id"]].reset_index(drop=True)
        listed.insert(1, "ms", milliseconds(tokens).round())
        st.dataframe(listed, hide_index=True, height=260)


def _page_of(count: int, key: str) -> int:
    """The first of the tokens in the grid."""
    if count <= PER_PAGE:
        return 0
    pages = -(-count // PER_PAGE)
    page = st.number_input(f"Page (of {pages})", 1, pages, key=f"map page {key}")
    return (int(page) - 1) * PER_PAGE


def _show_exports(inputs: ExplorerInputs, shown: MapTokens, view: MapView, places: np.ndarray) -> None:
    tokens, count = shown.tokens.iloc[places], len(places)
    label = style.feature_style(view.feature).label
    without_audio = inputs.corpus_folder is None or count > token_exports.MAX_SNIPPETS
    why = "needs a corpus" if inputs.corpus_folder is None else f"for up to {token_exports.MAX_SNIPPETS:,} tokens"
    with st.container(horizontal=True, gap="xsmall"):
        st.download_button("Rows", lambda: token_exports.rows(tokens), f"tokens-{count}.csv", "text/csv",
                           icon=":material/download:", on_click="ignore", help="CSV")  # fmt: skip
        st.download_button("Audio", lambda: token_exports.snippets(inputs, tokens), f"audio-{count}.zip",
                           "application/zip", icon=":material/download:", on_click="ignore", disabled=without_audio,
                           help=f"ZIP of WAV files{f': {why}' if without_audio else ''}")  # fmt: skip
        st.download_button("Features", lambda: token_exports.features(tokens, view.feature, shown.points[places]),
                           f"features-{count}.parquet", "application/octet-stream", icon=":material/download:",
                           on_click="ignore", help=f"Parquet: rows with {label}")  # fmt: skip
    if count > MAX_TOKENS:
        st.caption(f"The address holds selections of up to {MAX_TOKENS} tokens; save this one as a file.")
