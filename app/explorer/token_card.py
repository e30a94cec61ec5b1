"""One token of a table on a page: its speaker, its word, its audio and its spectrogram."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from lvm_probe import InputError
from lvm_probe.app.explorer import audio, time_plots
from lvm_probe.app.explorer.inputs import ExplorerInputs
from lvm_probe.app.explorer.recording_choice import speaker_text
from lvm_probe.app.explorer.views import plain

CONTEXT_SECONDS = 0.25
"""On either side of a token."""
SHORT_SECONDS = 0.05
"""A shorter token is played in its context: alone it is a click."""


def token_speaker(row: pd.Series) -> str:
    """Markdown: the speaker of a token, with the attributes that are known."""
    columns = ("speaker", "gender", "height_cm", "dialect", "split")
    id, *others = (None if pd.isna(row[name]) else row[name] for name in columns)
    return plain(speaker_text(str(id), *others))


def word_at(inputs: ExplorerInputs, row: pd.Series) -> str | None:
    """The word that a phone belongs to, if it is known."""
    if row["unit"] != "phoneme":
        return None
    middle = (row["start"] + row["end"]) // 2
    try:
        words = inputs.utterance(row["utterance"]).words
    except InputError:
        return None
    return next((word.label for word in words if word.start <= middle < word.end), None)


def show_audio(
    inputs: ExplorerInputs, row: pd.Series, *, autoplay: bool, whole: bool = False, key: str = "spectrogram"
) -> None:
    """Players and spectrogram of a token, or of its whole utterance, or the reason why there are none."""
    try:
        utterance = inputs.utterance(row["utterance"])
        start, end = (0, utterance.samples) if whole else (int(row["start"]), int(row["end"]))
        around = round(CONTEXT_SECONDS * utterance.sample_rate)
        alone, context = audio.clip(utterance, start, end), audio.clip(utterance, start, end, CONTEXT_SECONDS)
        picture = time_plots.token_picture(
            utterance, max(0, start - around), min(utterance.samples, end + around), (start, end)
        )
    except InputError as error:
        st.info(plain(error))
        return
    short = end - start < SHORT_SECONDS * utterance.sample_rate
    players = st.container(horizontal=True, wrap=False, gap="small")
    for title, wav, first in (("Alone", alone, not short), ("In context", context, short)):
        with players.container(gap="xxsmall"):
            st.caption(title)
            st.audio(wav, format="audio/wav", autoplay=autoplay and first)
    st.plotly_chart(picture, key=key, config={"displayModeBar": False})
