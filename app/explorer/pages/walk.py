"""The page 'Walk': from one sound to another through the latent space of a model with one latent for a whole sound."""

from __future__ import annotations

from typing import get_args

import numpy as np
import streamlit as st

from lvm_probe import InputError
from lvm_probe.app.explorer import model_computations
from lvm_probe.app.explorer.decoded_audio import is_silent, show_waves
from lvm_probe.app.explorer.inputs import ExplorerInputs
from lvm_probe.app.explorer.model_computations import CheckpointFile
from lvm_probe.app.explorer.recording_choice import (
    Excerpt,
    Speakers,
    choose_speaker,
    choose_utterance,
    speakers_of,
)
from lvm_probe.app.explorer.sound_walk import Line, Sound
from lvm_probe.app.explorer.views import plain
from lvm_probe.app.explorer.waiting import computed
from lvm_probe.probing.corpora.audio import resample_segment
from lvm_probe.probing.corpora.phones import SILENCES

STEPS = 5
GAP_SECONDS = 0.15
NAMES: dict[Line, str] = {"z": "straight in z", "base": "straight in the flow's base space"}


def show(inputs: ExplorerInputs) -> None:
    """The page."""
    st.title("Walk")
    try:
        checkpoint = inputs.checkpoint
        model = checkpoint.model
        if model.token_segment is None:
            raise InputError(
                f"{checkpoint.path.stem} has no latent for a whole sound. Give a wavevae with one latent for a "
                "segment: `probe train wavevae`, then `--ckpt`."
            )
        st.markdown(
            "Two sounds are encoded into one latent each. What lies on a line between them is decoded from its latent "
            "alone. In the base space of the prior's flow latents are normally distributed; a line that is straight "
            "there bends around latents that no sound has."
        )
        speakers = speakers_of(inputs)
        first, last = (_choose_sound(inputs, speakers, side, model.config.sample_rate) for side in ("From", "To"))
        line = st.segmented_control(
            "Line", get_args(Line), default="z", required=True, format_func=NAMES.__getitem__, key="line",
            bind="query-params",
        )  # fmt: skip
        file = CheckpointFile.of(checkpoint)
        waves = computed(
            ("walk", file, first[0], last[0], line), "Decoding the walk",
            model_computations.walk, file, first[1], last[1], line, STEPS,
        )  # fmt: skip
        if all(map(is_silent, waves)):
            st.caption(
                "All that is decoded is silent: the expectation of a model that knows how loud sounds are, but not "
                "their waveforms. Train it longer, or its decoder with `--stage 2`."
            )
        rate = model.config.sample_rate
        gap = np.zeros(round(GAP_SECONDS * rate), np.float32)
        show_waves(
            {"All, one after another": np.concatenate([part for wave in waves for part in (wave, gap)])}, rate, "walk"
        )
        shares = np.linspace(0, 100, STEPS)
        show_waves({f"{share:.0f} %": wave for share, wave in zip(shares, waves, strict=True)}, rate, "walk step")
    except InputError as error:
        st.info(plain(error))


def _choose_sound(
    inputs: ExplorerInputs, speakers: Speakers, side: str, sample_rate: int
) -> tuple[tuple[str, int, int], Sound]:
    """Boxes of speakers, utterances and phones; returns what identifies the sound, and the sound."""
    ids = list(speakers.values())
    start = ids[0 if side == "From" else -1][1][0]
    left, middle, right = st.columns(3)
    with left:
        speaker = choose_speaker(f"{side}: speaker", speakers, start)
    with middle:
        utterance = inputs.utterance(choose_utterance(f"{side}: utterance", speakers, speaker, start))
    rate = utterance.sample_rate
    phones = [
        (name, segment) for name, of in (("phone", utterance.phonemes), ("word", utterance.words)) for segment in of
    ]
    if not phones:
        raise InputError(f"{utterance.id} has no phones or words to choose a sound from.")

    def length(i: int) -> int:
        kind, segment = phones[i]
        return segment.samples if kind == "phone" and segment.label not in SILENCES else 0

    longest = max(range(len(phones)), key=length)
    with right:
        chosen = st.selectbox(
            f"{side}: sound", range(len(phones)), longest, key=f"{side} in {utterance.id}",
            format_func=lambda i: f"{phones[i][0]} {phones[i][1].label} at {phones[i][1].start / rate:.2f} s",
        )  # fmt: skip
    segment = phones[int(chosen)][1]
    pcm = Excerpt(utterance, 0, utterance.samples).pcm(sample_rate)
    return (utterance.id, segment.start, segment.end), (
        pcm,
        resample_segment(segment, utterance.sample_rate, sample_rate),
    )
