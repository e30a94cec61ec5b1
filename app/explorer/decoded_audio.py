"""Reconstructions on the pages: computed once, played next to each other, with a sentence on what the decoder sees."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import streamlit as st

from lvm_probe.app.explorer import audio, model_computations, time_plots
from lvm_probe.app.explorer.model_computations import CheckpointFile
from lvm_probe.app.explorer.reconstruction import Reconstruction
from lvm_probe.app.explorer.recording_choice import Excerpt
from lvm_probe.app.explorer.views import plain
from lvm_probe.app.explorer.waiting import computed
from lvm_probe.models.checkpoints.checkpoint import Checkpoint
from lvm_probe.models.model import SpeechModel


def reconstruct(
    checkpoint: Checkpoint,
    excerpt: Excerpt,
    seed: int,
    prior: Sequence[int] = (),
    given: Mapping[int, np.ndarray] | None = None,
    key: Hashable = (),
) -> Reconstruction:
    """`reconstruction.reconstruct` for the excerpt; `key` identifies the given latents."""
    file, utterance = CheckpointFile.of(checkpoint), excerpt.utterance
    pcm = excerpt.pcm(checkpoint.model.config.sample_rate)
    what = f"Decoding {utterance.id}{', changed' if given else ''}"
    return computed(
        ("reconstruct", file, excerpt.key, seed, tuple(prior), key), what,
        model_computations.reconstruct, file, utterance.id, pcm, seed, tuple(prior), given or {},
    )  # fmt: skip


def is_silent(wave: np.ndarray) -> bool:
    """Whether a waveform in [-1, 1] rounds to zeros in 16 bits."""
    return float(np.abs(wave).max()) < 0.5 / 32_768


def conditioning_text(model: SpeechModel) -> str:
    """A sentence on what the decoder of this model is conditioned on."""
    if model.decoder_sees_audio:
        return (
            "This decoder also depends on the recording up to each time step: what you hear is a prediction one step "
            "ahead, and good even where the latents carry nothing."
        )
    if model.prior_sees_audio:
        return (
            "This decoder depends on the latents alone, but their priors depend on the recording up to each time step: "
            "a layer drawn from its prior still depends on the past."
        )
    return "This decoder depends on the latents alone, and so do their priors: the latents carry all that you hear."


def show_waves(waves: Mapping[str, np.ndarray], rate: int, key: str) -> None:
    """Waveforms in [-1, 1] at `rate` next to each other, each with a player and a spectrogram; one scale for all."""
    from plotly.graph_objects import Figure

    spectrograms = {title: audio.spectrogram_of(wave, rate) for title, wave in waves.items()}
    top = max(one.loudest for one in spectrograms.values())
    for column, (title, wave) in zip(st.columns(len(waves)), waves.items(), strict=True):
        with column:
            st.markdown(f"**{plain(title)}**")
            st.audio(audio.wav(wave, rate))
            figure = Figure(time_plots.spectrogram_trace(spectrograms[title], top))
            figure.update_layout(height=190, margin={"l": 44, "r": 4, "t": 4, "b": 30})
            figure.update_xaxes(showgrid=False, zeroline=False, ticksuffix=" s")
            figure.update_yaxes(showgrid=False, zeroline=False, title={"text": "kHz", "standoff": 2})
            st.plotly_chart(figure, key=f"{key} {title}", config={"displayModeBar": False})
