"""The page 'Dimensions': what each dimension of each layer carries, and how it sounds."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import streamlit as st

from lvm_probe import InputError
from lvm_probe.app.explorer import audio, dimension_plots, latent_probes, model_computations
from lvm_probe.app.explorer.decoded_audio import conditioning_text, reconstruct, show_waves
from lvm_probe.app.explorer.dimension_results import (
    dead_text,
    dimension_name,
    explained,
    extremes,
    list_of_dimensions,
    parsed_name,
    phone_rows,
    tuning,
)
from lvm_probe.app.explorer.inputs import ExplorerInputs
from lvm_probe.app.explorer.model_computations import CheckpointFile
from lvm_probe.app.explorer.reconstruction import options_for_change
from lvm_probe.app.explorer.recording_choice import (
    checkpoint_with_latents,
    choose_below,
    choose_excerpt,
    choose_output,
    choose_recording,
    speakers_of,
)
from lvm_probe.app.explorer.result_cache import ResultCache
from lvm_probe.app.explorer.token_card import show_audio, token_speaker
from lvm_probe.app.explorer.views import plain
from lvm_probe.app.explorer.waiting import computed
from lvm_probe.figures.wording import counted
from lvm_probe.models.checkpoints.checkpoint import Checkpoint
from lvm_probe.models.likelihood.elbo import ACTIVE_NATS
from lvm_probe.probing.corpora.audio import FULL_SCALE
from lvm_probe.probing.diagnostics.dimensions import LayerDimensions, spread_over_speakers
from lvm_probe.probing.features.token_table import TokenTable

DRAWS = 4
"""Monte Carlo draws for the KL rate."""
MOST_TOKENS = 12
"""Tokens listed at either end of a dimension."""
RECORDINGS = (10, 20, 50, 100)
"""Numbers of recordings to measure the KL rate and the autocorrelation on."""
STEPS = (-2, 0, 2)
"""Standard deviations from the mean that are decoded."""
POOLINGS = {"mean": "", "log mean square": "_logms"}
"""Values of a token, by what the table's feature adds to the name of the layer."""
_CHOSEN, _LIST, _LAYERS = "dimension", "dimensions list", "dimensions layers"


@st.cache_resource(show_spinner=False)
def _cache() -> ResultCache:
    return ResultCache(40)


def show(inputs: ExplorerInputs) -> None:
    """The page."""
    st.title("Dimensions")
    try:
        corpus, checkpoint = inputs.corpus, inputs.checkpoint
        if checkpoint.model.deterministic:
            raise InputError(f"{checkpoint.path.stem} is a {checkpoint.model.family}, which has no latents to show.")
        if not corpus.utterances:
            raise InputError(f"The corpus {inputs.corpus_folder} has no utterances to measure the latents on.")
        table = next((one for one in inputs.tables.values() if latent_probes.made_by(one, checkpoint)), None)
        number, shown, pooling = _controls(inputs, checkpoint, table)
        layers = _measured(inputs, checkpoint, number)
        name, index = parsed_name(_choose_dimension(layers, shown, table, pooling))
        layer = next(one for one in layers if one.name == name)
        _show_dimension(inputs, table, pooling, layer, index)
        _show_decoded(inputs, checkpoint, int(name[1:]) - 1, layer, index)
    except InputError as error:
        st.info(plain(error))


def _controls(inputs: ExplorerInputs, checkpoint: Checkpoint, table: TokenTable | None) -> tuple[int, list[str], str]:
    """How many recordings to measure on, the layers that are listed, and the value of a token."""
    utterances = len(inputs.corpus.utterances)
    names = [f"z{l + 1}" for l in range(len(checkpoint.model.latents))]
    poolings = [
        name
        for name, suffix in POOLINGS.items()
        if table is None or any(f"{z}{suffix}" in table.features for z in names)
    ]
    left, middle, right = st.columns([1, 1, 2])
    with left:
        numbers = [number for number in RECORDINGS if number < utterances]
        sizes = [*numbers, utterances] if len(numbers) < len(RECORDINGS) else numbers
        number = st.selectbox(
            "Recordings to measure on", sizes, min(1, len(sizes) - 1), key="dimensions recordings",
            help="The KL rate and the autocorrelation are measured on so many recordings, one of each speaker in turn.",
        )  # fmt: skip
    with middle:
        shown = st.pills("Layers", names, selection_mode="multi", default=names, key=_LAYERS) or names
    with right:
        pooling = st.segmented_control(
            "Value of a token", poolings, default=poolings[0], required=True, key="pooling", bind="query-params",
            help="A dimension that oscillates within a phone averages out; its log mean square tells how strongly.",
        ) if poolings else "mean"  # fmt: skip
    return int(number), list(shown), str(pooling)


def _measured(inputs: ExplorerInputs, checkpoint: Checkpoint, number: int) -> tuple[LayerDimensions, ...]:
    """KL rate and autocorrelation on some recordings of the corpus."""
    some = spread_over_speakers(inputs.corpus.utterances, number)
    speakers = len({utterance.speaker.id for utterance in some})
    file = CheckpointFile.of(checkpoint)
    layers: tuple[LayerDimensions, ...] = computed(
        ("dimensions", file, str(inputs.corpus_folder), number), f"Measuring the latents of {number} recordings",
        model_computations.dimensions, file, some, DRAWS,
    )  # fmt: skip
    st.caption(
        f"KL rate and autocorrelation: {counted(len(some), 'recording')} "
        f"({sum(utterance.seconds for utterance in some):.0f} s) of {counted(speakers, 'speaker')}, "
        f"{counted(DRAWS, 'Monte Carlo draw')}. Dead: a KL below {ACTIVE_NATS:g} nats per time step. "
        f"{dead_text(layers)}"
    )
    return layers


def _choose_dimension(
    layers: tuple[LayerDimensions, ...], names: list[str], table: TokenTable | None, pooling: str
) -> str:
    """The list of the dimensions of some layers, in which a click chooses one; a box does too."""
    shares = {}
    if table is not None and len(rows := phone_rows(table)):
        for layer in layers:
            feature = f"{layer.name}{POOLINGS[pooling]}"
            if feature in table.features:
                key = ("explained", str(table.path), feature)
                shares[layer.name] = _cache().get(key, partial(explained, table, rows, feature))
    every = list_of_dimensions([layer for layer in layers if layer.name in names], shares)
    st.session_state[f"{_LIST} rows"] = every["dimension"].tolist()
    percent = {
        name: st.column_config.NumberColumn(title, format="%.1f %%", help=help)
        for name, title, help in (
            ("phones", "Between phones", "Share of the variance over phone tokens that lies between the means of the "
             "phones, adjusted for their number (epsilon squared): 0 % on average where they say nothing of it"),
            ("speakers", "Between speakers", "The same between speakers' means"),
        )
    }  # fmt: skip
    in_percent = {name: (100 * every[name]).round(1) + 0.0 for name in percent}  # + 0.0: never -0.0
    st.dataframe(
        every.assign(mean=every["mean"].round(2) + 0.0, **in_percent).dropna(axis="columns", how="all"),
        hide_index=True,
        height=36 * min(len(every), 8) + 38,
        on_select=_row_clicked,
        selection_mode="single-row",
        key=_LIST,
        column_config={
            "dimension": "Dimension",
            "bits_per_second": st.column_config.ProgressColumn(
                "KL (bits/s)", format="%.1f", min_value=0, max_value=float(every["bits_per_second"].max()) or 1.0
            ),
            "state": "State",
            "correlation_ms": st.column_config.NumberColumn(
                "Autocorrelation time (ms)", format="%.1f", help="Integrated autocorrelation time of the posterior mean"
            ),
            "mean": st.column_config.NumberColumn("Mean", format="%.2f"),
            "spread": st.column_config.NumberColumn("Standard deviation", format="%.2f"),
            **percent,
        },
    )
    options = every["dimension"].tolist()
    if st.session_state.get(_CHOSEN) not in options:
        st.session_state.pop(_CHOSEN, None)
    return str(st.selectbox("Dimension (or click a row)", options, key=_CHOSEN, bind="query-params", width=240))


def _row_clicked() -> None:
    """Set the box to the row that was clicked, before the page is drawn again."""
    for row in st.session_state[_LIST]["selection"]["rows"]:
        st.session_state[_CHOSEN] = st.session_state[f"{_LIST} rows"][row]


def _show_dimension(
    inputs: ExplorerInputs, table: TokenTable | None, pooling: str, layer: LayerDimensions, index: int
) -> None:
    """Tuning, autocorrelation, and the tokens at either end of one dimension."""
    dark = st.context.theme.type == "dark"
    left, right = st.columns(2, gap="medium")
    with right:
        st.subheader("Over time")
        st.plotly_chart(
            dimension_plots.correlation_plot(
                layer.correlation[:, index], layer.step_s, float(layer.integrated_s[index]), dark=dark
            ),
            key="dimensions correlation", config={"displayModeBar": False}, alt="Autocorrelation",
        )  # fmt: skip
        st.caption(
            "Autocorrelation of the posterior mean about the mean of each recording; the dashed line is the integrated "
            "autocorrelation time."
        )
    feature = f"{layer.name}{POOLINGS[pooling]}"
    rows = phone_rows(table) if table is not None and feature in table.features else np.array([], np.intp)
    if table is None or not len(rows):
        what = "was made with this checkpoint" if table is None else f"has phones and the feature {feature}"
        with left:
            st.info(f"No table {what}, so there are no tokens to show the tuning of.")
        return
    tokens = table.tokens.iloc[rows]
    values = table.features[feature][rows, index].astype(np.float64)
    with left:
        st.subheader("Tuning over phones")
        st.plotly_chart(
            dimension_plots.tuning_plot(
                tuning(values, tokens["label"].tolist()), f"{dimension_name(layer.name, index)}, {pooling}", dark=dark
            ),
            key="dimensions tuning", config={"displayModeBar": False}, alt="Tuning over phones",
        )  # fmt: skip
        st.caption(
            f"The {pooling} over each of the {len(rows):,} phone tokens of {plain(table.name)} (silences left out), by "
            "phone; colours are manners of articulation."
        )
    with right:
        for title, places in zip(("largest", "smallest"), extremes(values, MOST_TOKENS), strict=True):
            _show_extremes(inputs, tokens.iloc[places].assign(value=values[places]), title)


def _show_extremes(inputs: ExplorerInputs, tokens: pd.DataFrame, title: str) -> None:
    """Tokens at one end of the dimension: all in a row, and each by itself."""
    st.subheader(f"Where it is {title}")
    try:
        st.audio(_in_a_row(inputs, tokens))
    except InputError as error:
        st.info(plain(error))
        return
    event = st.dataframe(
        tokens[["value", "label", "speaker", "utterance"]],
        hide_index=True,
        height=36 * min(len(tokens), 4) + 38,
        on_select="rerun",
        selection_mode="single-row",
        key=f"dimensions {title} {tokens['token_id'].iloc[0]}",
        column_config={
            "value": st.column_config.NumberColumn("Value", format="%.2f"), "label": "Phone", "speaker": "Speaker",
            "utterance": "Utterance",
        },
    )  # fmt: skip
    chosen = event["selection"]["rows"]
    if not chosen:
        st.caption(f"Above, the {counted(len(tokens), 'token')} in a row. Choose one to hear it by itself.")
        return
    row = tokens.iloc[chosen[0]]
    st.caption(f"{plain(row['label'])}: {token_speaker(row)}")
    show_audio(inputs, row, autoplay=True, key=f"dimensions {title} spectrogram")


def _in_a_row(inputs: ExplorerInputs, tokens: pd.DataFrame) -> bytes:
    """Tokens one after the other as WAV."""
    spans = zip(tokens["utterance"], tokens["start"], tokens["end"], strict=True)
    return audio.in_a_row([(inputs.utterance(id), int(start), int(end)) for id, start, end in spans])


def _show_decoded(
    inputs: ExplorerInputs, checkpoint: Checkpoint, place: int, layer: LayerDimensions, index: int
) -> None:
    """A recording decoded with the dimension held at some standard deviations from its mean."""
    st.subheader("How it sounds")
    id, seed = choose_recording(speakers_of(inputs))
    excerpt = choose_excerpt(inputs.utterance(id))
    checkpoint_with_latents(inputs, excerpt)
    left, right = st.columns([1, 2], vertical_alignment="bottom")
    with left:
        output = choose_output()
    with right:
        below = choose_below(place)
    name = dimension_name(layer.name, index)
    own = reconstruct(checkpoint, excerpt, seed)
    rate = checkpoint.model.config.sample_rate
    waves = {"Recording": excerpt.pcm(rate) / np.float32(FULL_SCALE)}
    values = {step: float(layer.mean[index] + step * layer.spread[index]) for step in STEPS}
    for step, value in values.items():
        z = own.latents[place].copy()
        z[:, index] = value
        key = ("dimension", place, index, value, below)
        changed = reconstruct(checkpoint, excerpt, seed, *options_for_change(own, place, z, below), key)
        title = f"{name} at {f'{step:+d}'.replace('-', '−') if step else '0'} SD"
        waves[title] = changed.expectation if output == "expectation" else changed.draw
    show_waves(waves, rate, "dimensions decoded")
    st.caption(
        f"{name} is held at {', '.join(f'{value:.2f}' for value in values.values())} at every time step: its mean and "
        f"{STEPS[-1]} standard deviations of its latents below and above. All other latents are those of "
        f"the recording, one Monte Carlo draw with the seed above. {conditioning_text(checkpoint.model)}"
    )
