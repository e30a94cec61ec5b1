"""The page 'Utterance': audio, alignment, KL rate and latents over time, and reconstructions by the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import streamlit as st

from lvm_probe import InputError
from lvm_probe.analysis import pitch_formants
from lvm_probe.analysis.shape_annotations import Float
from lvm_probe.app.explorer import (
    audio,
    model_computations,
    playback,
    table_computations,
    time_plots,
)
from lvm_probe.app.explorer.decoded_audio import conditioning_text, reconstruct, show_waves
from lvm_probe.app.explorer.inputs import ExplorerInputs, feature_choices
from lvm_probe.app.explorer.model_computations import CheckpointFile
from lvm_probe.app.explorer.recording_choice import (
    Excerpt,
    checkpoint_with_latents,
    choose_excerpt,
    choose_output,
    choose_recording,
    speakers_of,
    utterance_text,
)
from lvm_probe.app.explorer.result_cache import digest
from lvm_probe.app.explorer.time_plots import NO_TICKS, Strip
from lvm_probe.app.explorer.views import plain
from lvm_probe.app.explorer.waiting import computed
from lvm_probe.figures.style import feature_style
from lvm_probe.models.checkpoints.checkpoint import Checkpoint
from lvm_probe.models.likelihood.elbo import ACTIVE_NATS, NATS_PER_BIT
from lvm_probe.models.model import SpeechModel
from lvm_probe.probing.corpora.audio import FULL_SCALE
from lvm_probe.probing.corpora.corpus import Segment
from lvm_probe.probing.corpora.textgrid_writer import as_text, without_overlaps
from lvm_probe.probing.diagnostics.kl_rate import LayerKL
from lvm_probe.probing.features.token_table import TokenTable

DRAWS = 8
"""Monte Carlo draws that KL and posterior means are averaged over."""
SMOOTHING_MS = 10
"""The KL of shorter time steps is averaged over about this duration."""
_RECORDING, _RECONSTRUCTED = "recording-player", "reconstructed-players"
"""Keys of what holds the players whose audio the line on the picture follows."""
_NONE = "none"
_EXPLANATION = (
    f"KL: from a layer's prior to its posterior, averaged over {DRAWS} Monte Carlo draws (and over about "
    f"{SMOOTHING_MS} ms where time steps are shorter). Heat maps: posterior means of the active dimensions, each "
    "relative to its own mean and spread; the dimensions with the largest KL are on top."
)


def show(inputs: ExplorerInputs) -> None:
    """The page."""
    st.title("Utterance")
    speakers = speakers_of(inputs)
    if not speakers:
        st.info("There is no utterance to show: the table has no rows, and no corpus was given.")
        return
    id, seed = choose_recording(speakers)
    try:
        utterance = inputs.utterance(id)
    except InputError as error:
        st.info(f"{plain(error)} Below are the tokens of the table.")
        _show_table(inputs, id)
        return
    excerpt = choose_excerpt(utterance)
    st.markdown(utterance_text(utterance))
    try:
        with st.container(key=_RECORDING):
            st.audio(audio.clip(utterance, excerpt.start, excerpt.end))
    except InputError as error:
        st.error(plain(error))
        _show_table(inputs, id)
        return
    checkpoint, reason = None, ""
    try:
        checkpoint = checkpoint_with_latents(inputs, excerpt)
    except InputError as error:
        reason = str(error)
    _show_overview(inputs, excerpt, checkpoint, seed)
    st.subheader("Reconstructions by the model")
    if checkpoint is None:
        st.info(plain(reason))
    else:
        _show_reconstructions(excerpt, checkpoint, seed)


def _layer_kl(checkpoint: Checkpoint, excerpt: Excerpt, seed: int) -> tuple[LayerKL, ...]:
    """`probing.diagnostics.kl_rate.layer_kl` for the excerpt."""
    file, utterance = CheckpointFile.of(checkpoint), excerpt.utterance
    pcm = excerpt.pcm(checkpoint.model.config.sample_rate)
    return computed(
        ("kl", file, excerpt.key, seed), f"Inferring the latents of {utterance.id}",
        model_computations.layer_kl, file, utterance.id, pcm, DRAWS, seed,
    )  # fmt: skip


def _predicted(inputs: ExplorerInputs, id: str) -> tuple[str, list[Segment], list[str]]:
    """The feature that a probe is fitted on, the phones of the utterance, and what it takes them for."""
    table = next((one for one in inputs.tables.values() if (one.columns["utterance"] == id).any()), None)
    if table is None:
        return "", [], []
    chosen = str(st.selectbox(
        "Predicted phones by LDA on", (_NONE, *feature_choices(table)), 1, key="tier", bind="query-params",
        help="A classifier fitted on the phones of all other recordings; what it gets wrong is orange.",
    ))  # fmt: skip
    if chosen == _NONE:
        return "", [], []
    segments, labels = computed(
        ("predicted phones", str(table.path), chosen, id), f"Predicting the phones of {id} from {chosen}",
        table_computations.predicted_phones, table.path.absolute(), chosen, id,
    )  # fmt: skip
    return chosen, segments, labels


def _controls(inputs: ExplorerInputs, excerpt: Excerpt) -> tuple[str, list[Segment], list[str], bool]:
    """The predicted tier, whether pitch and formants are shown, and the TextGrid to save."""
    utterance = excerpt.utterance
    one, two, three = st.columns([2, 2, 1], vertical_alignment="bottom")
    with two:
        wanted = st.toggle(
            "Pitch and formants", key="praat", bind="query-params",
            help=f"By Praat's algorithms ({pitch_formants.engine()}).",
        )  # fmt: skip
    with one:
        feature, segments, labels = _predicted(inputs, utterance.id)
    tiers = {"phones": utterance.phonemes, "words": utterance.words}
    if segments:
        tiers[f"predicted from {feature}"] = tuple(
            replace(segment, label=label) for segment, label in zip(segments, labels, strict=True)
        )
    with three:
        st.download_button(
            "Save as TextGrid",
            lambda: as_text(without_overlaps(tiers), utterance.samples, utterance.sample_rate),
            f"{utterance.id}.TextGrid", "text/plain", on_click="ignore", icon=":material/download:",
        )  # fmt: skip
    return feature, segments, labels, bool(wanted)


def _show_overview(inputs: ExplorerInputs, excerpt: Excerpt, checkpoint: Checkpoint | None, seed: int) -> None:
    """Waveform, spectrogram, alignment, and for every layer the KL and the latents."""
    utterance, start, end = excerpt.utterance, excerpt.start, excerpt.end
    feature, tokens, labels, praat = _controls(inputs, excerpt)
    wave = time_plots.waveform_trace(audio.samples(utterance)[start:end], start, utterance.sample_rate)
    spectrogram, *tiers = time_plots.spectrogram_strips(utterance, start, end)
    if tokens:
        trace = time_plots.predicted_trace(feature, tokens, labels, utterance.sample_rate, start, end)
        tiers.insert(1, Strip(24, trace, {"fixedrange": True}))
    above = [Strip(56, wave, NO_TICKS), spectrogram]
    if praat:
        above = [above[0], *_with_tracks(excerpt, spectrogram)]
    strips = [*above, *tiers]
    hints = "Drag to zoom in, double-click to see all. "
    if utterance.phonemes or utterance.words:
        hints += "Click a phone or a word to hear it; a label that does not fit shows under the pointer, or zoomed in."
    else:
        hints += "The corpus has no alignment of this utterance."
    notes = []
    if checkpoint is not None:
        model = checkpoint.model
        strips += _latent_strips(excerpt, model, _layer_kl(checkpoint, excerpt, seed))
        if (own := utterance.sample_rate) != (rate := model.config.sample_rate):
            notes.append(f"The recording is resampled for the model, from {own / 1000:g} to {rate / 1000:g} kHz.")
        notes.append(_EXPLANATION)
    chart = f"overview-{digest(excerpt.key)}"
    st.caption(hints)
    playback.playback(chart, [_RECORDING, _RECONSTRUCTED], *excerpt.seconds, key="playback")
    event = st.plotly_chart(
        time_plots.stacked(strips, *excerpt.seconds),
        on_select="rerun",
        selection_mode="points",
        key=chart,
        config={"displaylogo": False},
    )
    for segment in time_plots.clicked_segments(event, utterance)[:1]:
        st.markdown(f"**{plain(segment.label)}** :small[{1000 * segment.samples / utterance.sample_rate:.0f} ms]")
        st.audio(audio.clip(utterance, segment.start, segment.end), autoplay=True)
    if tokens:
        right = sum(token.label == label for token, label in zip(tokens, labels, strict=True))
        notes.append(f"{right} of {len(tokens)} phones are predicted correctly from {feature}; the others are orange.")
    st.caption(" ".join(notes))


def _with_tracks(excerpt: Excerpt, spectrogram: Strip) -> list[Strip]:
    """The spectrogram with formants, and pitch below."""
    utterance, offset = excerpt.utterance, excerpt.seconds[0]
    wave = audio.samples(utterance)[excerpt.start : excerpt.end]
    try:
        found = pitch_formants.tracks(wave, utterance.sample_rate, utterance.speaker.gender)
    except InputError as error:
        st.info(plain(error))
        return [spectrogram]
    times = found.times_s + offset
    pitch = time_plots.pitch_trace(times, found.pitch_hz, feature_style("z1").colour)
    return [
        spectrogram._replace(over=time_plots.formant_traces(times, found.formants_hz)),
        Strip(64, pitch, {"title": "pitch<br>Hz", "nticks": 3}),
    ]


def _latent_strips(excerpt: Excerpt, model: SpeechModel, spent: Sequence[LayerKL]) -> list[Strip]:
    """For every layer the KL over time, and the posterior means."""
    rate = model.config.sample_rate
    strips = []
    for l, (stride, layer) in enumerate(zip(model.strides, spent, strict=True)):
        name = f"z{l + 1}"
        edges = (excerpt.at(rate, excerpt.start) + np.arange(len(layer.bits) + 1) * stride) / rate
        first, bits = averaged(layer.bits, max(1, round(SMOOTHING_MS / 1000 * rate / stride)))
        kl = time_plots.steps_trace(
            name, np.append(edges[first], edges[-1]), bits * rate / stride, feature_style(name).colour, "bits/s"
        )
        strips.append(Strip(64, kl, {"title": f"{name} KL<br>bits/s", "rangemode": "tozero", "nticks": 3}))
        by_kl = np.argsort(-layer.bits_by_dimension, kind="stable")
        active = int((layer.bits_by_dimension * NATS_PER_BIT / len(layer.bits) >= ACTIVE_NATS).sum())
        dims = by_kl[: max(active, min(8, len(by_kl)))]
        latents = time_plots.latents_trace(name, edges, layer.mean, dims)
        title = {"title": f"{name}<br>{active} of {len(by_kl)}", **NO_TICKS}
        strips.append(Strip(int(np.clip(5 * len(dims), 70, 150)), latents, title))
    return strips


def averaged(bits: Float[np.ndarray, " steps"], width: int) -> tuple[np.ndarray, np.ndarray]:
    """The first time step of each run of `width` steps (the last may be shorter), and the mean over the run."""
    first = np.arange(0, len(bits), width)
    return first, np.add.reduceat(bits, first) / np.diff(np.append(first, len(bits)))


def _show_reconstructions(excerpt: Excerpt, checkpoint: Checkpoint, seed: int) -> None:
    """The recording, its reconstruction, and one with some layers drawn from their prior."""
    model = checkpoint.model
    layers = [f"z{layer + 1}" for layer in range(len(model.latents))]
    left, right = st.columns([3, 2])
    with left:
        chosen = st.pills(
            "From the prior", layers, selection_mode="multi", key="prior", bind="query-params",
            help="These layers are not inferred from the audio: they are drawn from the prior, given the layers above.",
        )  # fmt: skip
    with right:
        output = choose_output()
    variants: dict[str, tuple[int, ...]] = {"All layers inferred": ()}
    if chosen:
        prior = tuple(layer for layer, name in enumerate(layers) if name in chosen)
        variants[f"{' and '.join(layers[layer] for layer in prior)} from the prior"] = prior
    rate = model.config.sample_rate
    waves = {"Recording": excerpt.pcm(rate) / np.float32(FULL_SCALE)}
    for title, prior in variants.items():
        result = reconstruct(checkpoint, excerpt, seed, prior)
        waves[title] = result.expectation if output == "expectation" else result.draw
    with st.container(key=_RECONSTRUCTED):
        show_waves(waves, rate, "reconstructed")
    st.caption(
        f"{conditioning_text(model)} One Monte Carlo draw of the latents with the seed above; the noise is the same "
        "whatever is inferred."
    )


def _show_table(inputs: ExplorerInputs, id: str) -> None:
    """The tokens of the first table that has the utterance."""
    for table in inputs.tables.values():
        rows = (table.tokens["utterance"] == id).to_numpy()
        if rows.any():
            _show_tokens(table.select(rows))
            return
    st.info("The table has no token of this utterance.")


def _show_tokens(table: TokenTable) -> None:
    """Segments and averaged latents of one utterance's tokens over time."""
    rate, end = int(table.tokens["sample_rate"].iloc[0]), int(table.tokens["end"].max())
    strips = []
    for unit, name in (("phoneme", "phone"), ("word", "word")):
        some = table.tokens[table.tokens["unit"] == unit].sort_values("start")
        if len(some):
            segments = [Segment(*span) for span in some[["label", "start", "end"]].itertuples(index=False)]
            strips.append(Strip(24, time_plots.segments_trace(name, segments, rate, 0, end), {"fixedrange": True}))
    finest = table.tokens[table.tokens["unit"] == table.tokens["unit"].iloc[0]].sort_values("start")
    for layer in table.extraction["layers"]:
        values = table.features[layer][finest.index]
        edges, columns = token_columns(finest[["start", "end"]].to_numpy(), values)
        dims = np.argsort(-values.var(0), kind="stable")
        trace = time_plots.latents_trace(layer, edges / rate, columns, dims)
        strips.append(Strip(150, trace, {"title": layer, **NO_TICKS}))
    st.plotly_chart(time_plots.stacked(strips, 0, end / rate), key="tokens", config={"displaylogo": False})
    st.caption(
        "Heat maps: mean latents of each token, each dimension relative to its own mean and spread; the dimensions "
        "with the largest variance are on top."
    )


def token_columns(
    spans: np.ndarray, values: Float[np.ndarray, "tokens size"]
) -> tuple[np.ndarray, Float[np.ndarray, "columns size"]]:
    """Edges (samples) of adjacent columns, and their values: NaN where there is no token."""
    edges, columns = [int(spans[0, 0])], []
    for (start, end), value in zip(spans, values, strict=True):
        if start > edges[-1]:
            columns.append(np.full_like(value, np.nan))
            edges.append(int(start))
        if end > edges[-1]:
            columns.append(value)
            edges.append(int(end))
    return np.array(edges), np.array(columns)
