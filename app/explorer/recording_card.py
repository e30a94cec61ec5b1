"""A recording of the user's own on the page of the map: it is chosen, encoded and compared with the tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from lvm_probe import InputError
from lvm_probe.app.explorer import map_selection, recording_query
from lvm_probe.app.explorer.inputs import ExplorerInputs
from lvm_probe.app.explorer.map_tokens import NEIGHBOURS, MapTokens
from lvm_probe.app.explorer.recording_query import MAX_MEGABYTES, MAX_SECONDS, Encoded, nearest_tokens, place_among
from lvm_probe.app.explorer.result_cache import digest
from lvm_probe.app.explorer.token_grid import token_grid
from lvm_probe.app.explorer.views import MapView, plain
from lvm_probe.app.explorer.waiting import computed
from lvm_probe.figures import style
from lvm_probe.probing.features.feature import Feature

_SEGMENT, _LAST_SEGMENT = "map segment of the recording", "map last segment of the recording"


@dataclass(frozen=True)
class Upload:
    """Files from the browser: a recording, and perhaps its TextGrid."""

    name: str
    audio: bytes
    text_grid: bytes | None = None


def choose_upload() -> Upload | None:
    """Controls for a file or a recording in the browser."""
    with st.expander("Your recording"):
        help = f"Mono, up to {MAX_SECONDS} s and {MAX_MEGABYTES} MB. A TextGrid beside it cuts it into phones or words."
        files = st.file_uploader(
            "WAV, and its TextGrid", ["wav", "TextGrid"], accept_multiple_files=True, key="map Upload", help=help,
            max_upload_size=MAX_MEGABYTES,
        )  # fmt: skip
        spoken = st.audio_input("Or record", sample_rate=16000, key="map Microphone")
    waves = [file for file in files if file.name.lower().endswith(".wav")]
    grids = [file for file in files if file.name.lower().endswith(".textgrid")]
    if len(waves) > 1 or len(grids) > 1:
        st.warning("Give one WAV file, and at most one TextGrid.")
    elif waves:
        return Upload(waves[0].name, waves[0].getvalue(), grids[0].getvalue() if grids else None)
    elif spoken is not None and len(spoken.getvalue()) > MAX_MEGABYTES << 20:
        st.warning(f"The recording is larger than {MAX_MEGABYTES} MB; record less.")
    elif spoken is not None:
        return Upload("recorded.wav", spoken.getvalue())
    return None


def encoded(inputs: ExplorerInputs, shown: MapTokens, view: MapView, upload: Upload) -> Encoded:
    """The recording encoded as the table of a map was; waits for it.

    Raises:
        InputError: it cannot be; the message is a sentence for the page.
    """
    from lvm_probe.app.explorer.latent_probes import made_by
    from lvm_probe.app.explorer.model_computations import CheckpointFile

    checkpoint = inputs.checkpoint
    if not made_by(shown.table, checkpoint):
        raise InputError(f"The table {view.table} was not made with {checkpoint.name}; nothing can be compared.")
    file = CheckpointFile.of(checkpoint)
    key = ("encoded", file, shown.table.path, upload.name, digest(upload.audio, upload.text_grid), view.unit)
    arguments = (shown.table.extraction, upload.name, upload.audio, upload.text_grid, view.unit)
    return computed(key, f"Encoding {upload.name}", recording_query.encode, file, *arguments)


def points_of(found: Encoded, feature: str) -> np.ndarray:
    """A feature of the segments of a recording.

    Raises:
        InputError: it is none of those that are computed here; the message is a sentence for the page.
    """
    parts = Feature.parse(feature).parts
    if missing := [part for part in parts if part not in found.features]:
        raise InputError(f"{missing[0]} is not computed of a recording here; choose another feature.")
    return np.concatenate([found.features[part] for part in parts], axis=1).astype(np.float64)


def places_of(found: Encoded, shown: MapTokens, view: MapView, drawn: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Where the segments are on a map.

    Raises:
        InputError: as `points_of`.
    """
    points = points_of(found, view.feature)
    return place_among(shown.points[drawn], places, points, linear=view.layout != "UMAP")


def chosen_segment(found: Encoded) -> int:
    """The segment that was chosen last."""
    at = int(st.session_state.get(_SEGMENT, st.session_state.get(_LAST_SEGMENT, 0)) or 0)
    return at if at < len(found.segments) else 0


def segment_texts(found: Encoded) -> list[str]:
    """Label and times of every segment."""
    rate = found.sample_rate
    return [f"{one.label}, {one.start / rate:.2f} to {one.end / rate:.2f} s" for one in found.segments]


def show_recording(inputs: ExplorerInputs, shown: MapTokens, view: MapView, name: str, found: Encoded) -> None:
    """A segment of the recording and its nearest tokens."""
    from lvm_probe.app.explorer import audio

    st.markdown(f"##### {plain(name)}")
    for notice in found.notices:
        st.caption(plain(notice))
    texts: Sequence[str] = segment_texts(found)
    at = chosen_segment(found)
    if len(texts) > 1:
        at = st.selectbox("Segment", range(len(texts)), at, format_func=texts.__getitem__, key=_SEGMENT)
        st.session_state[_LAST_SEGMENT] = at  # Streamlit forgets the box while a token is shown instead
    segment = found.segments[at]
    st.audio(audio.wav(found.pcm[segment.start : segment.end], found.sample_rate), format="audio/wav")
    rows, distances = nearest_tokens(shown.points, points_of(found, view.feature)[at], NEIGHBOURS)
    near = shown.tokens.iloc[rows]
    notes = [f"{distance:.2f} · {who}" for distance, who in zip(distances, near["speaker"], strict=True)]
    token_grid(inputs, near, notes, "map nearest", lambda token: map_selection.select((token,)), click="go")
    place = "; its place on the map is the mean of the nearest" if view.layout == "UMAP" else ""
    st.caption(
        f"Nearest tokens in {plain(style.feature_style(view.feature).label)}, standardised, with distances{place}. "
        "Click one to go there."
    )
