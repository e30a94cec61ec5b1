"""One token of a table as the pages show it: its speaker, its word, its sound and its spectrogram."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from lvm_probe import InputError
from lvm_probe.app.explorer import sound
from lvm_probe.app.explorer.views import plain
from lvm_probe.probing.corpora.corpus import Utterance

CONTEXT_SECONDS = 0.25
"""On either side of a token."""


def speaker_of(row: pd.Series) -> str:
    """The speaker's data in words; what is not known is left out."""
    gender = {"F": "woman", "M": "man"}.get(row["gender"], row["gender"])
    height = None if pd.isna(row["height_cm"]) else f"{row['height_cm']:.0f} cm"
    facts = [row["speaker"], gender, height, row["dialect"], row["split"]]
    return ", ".join(plain(fact) for fact in facts if fact is not None and not pd.isna(fact))


def word_at(utterance: Utterance | str, row: pd.Series) -> str | None:
    """The word that a phone belongs to."""
    if isinstance(utterance, str) or row["unit"] != "phoneme":
        return None
    middle = (row["start"] + row["end"]) // 2
    return next((word.label for word in utterance.words if word.start <= middle < word.end), None)


def heard(utterance: Utterance | str, row: pd.Series, *, autoplay: bool) -> None:
    """Players and spectrogram, or why there are none."""
    if isinstance(utterance, str):
        st.info(plain(utterance))
        return
    start, end = int(row["start"]), int(row["end"])
    around = round(CONTEXT_SECONDS * utterance.sample_rate)
    try:
        alone, context = sound.clip(utterance, start, end), sound.clip(utterance, start, end, CONTEXT_SECONDS)
        picture = sound.picture(utterance, max(0, start - around), min(utterance.samples, end + around), (start, end))
    except InputError as error:
        st.warning(plain(error))
        return
    one, other = st.columns(2)
    one.caption("Alone")
    one.audio(alone, format="audio/wav", autoplay=autoplay)
    other.caption("In context")
    other.audio(context, format="audio/wav")
    picture.update_layout(height=300, margin={"l": 44, "r": 4, "t": 4, "b": 36})
    st.plotly_chart(picture, key="spectrogram", config={"displayModeBar": False})
