"""One utterance over time: its sound, its alignment, what each layer spends on it, and what the model makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import streamlit as st

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Float
from lvm_probe.app.explorer import reconstruction, sound
from lvm_probe.app.explorer.inputs import Given
from lvm_probe.app.explorer.views import plain
from lvm_probe.figures.style import feature_look
from lvm_probe.models.checkpoints.checkpoint import Checkpoint
from lvm_probe.models.likelihood.elbo import ACTIVE_NATS, NATS_PER_BIT
from lvm_probe.models.model import SpeechModel
from lvm_probe.probing.corpora.audio import FULL_SCALE
from lvm_probe.probing.corpora.corpus import Segment, Speaker, Utterance
from lvm_probe.probing.corpora.recordings import CorpusRecording
from lvm_probe.probing.diagnostics.kl_rate import LayerKL, layer_kl
from lvm_probe.probing.features.token_table import TokenTable

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

MOST_SECONDS = 30
"""What is shown, and goes through the model, at once."""
PATHS = 8
"""Sampled paths that KL and posterior means are averaged over."""
PATIENCE_MS = 10
"""The KL of shorter steps is averaged over steps that are together about so long."""
EXPLAINED = (
    f"KL is what a layer's posterior spends against its prior, the mean of {PATHS} sampled paths (averaged over about "
    f"{PATIENCE_MS} ms where steps are shorter). Heat maps: the posterior's means of the active dimensions, each "
    "against its own mean and spread here; those of the largest KL on top."
)

WAVE = "#7A93AC"
DIVERGING = (
    "#9eb0ff", "#62a6e0", "#3280a6", "#20526a", "#112732", "#190c09",
    "#371000", "#61200b", "#964a36", "#ca7b71", "#ffadad",
)  # fmt: skip
"""Crameri's "berlin": dark at zero, so that in either theme what lights up is what is not zero."""
SPREADS = 2.5
"""Standard deviations from the middle of the heat maps' colours to their ends."""
QUIET = {"showticklabels": False, "ticks": "", "fixedrange": True}

Speakers = Mapping[str, tuple[Speaker, tuple[str, ...]]]
"""Of each speaker's id, who that is and the ids of the utterances."""


@dataclass(frozen=True)
class Stretch:
    """Samples [start, end) of an utterance, at its own rate: all of it unless it is long."""

    utterance: Utterance
    start: int
    end: int

    def pcm(self, rate: int) -> np.ndarray:
        """16-bit PCM at this rate (Hz). Raises InputError, naming the file, when the audio cannot be read."""
        recording = CorpusRecording(self.utterance, rate, keep=False)
        return recording.read(self.at(rate, self.start), self.at(rate, self.end))

    def at(self, rate: int, sample: int) -> int:
        """A position at another rate (Hz), rounded up."""
        return -(-sample * rate // self.utterance.sample_rate)

    @property
    def key(self) -> tuple[str, int, int]:
        """What tells it from others, for caches."""
        return str(self.utterance.audio), self.start, self.end


class Row(NamedTuple):
    """A strip of the picture: its height in pixels, its trace, and the settings of its vertical axis."""

    height: int
    trace: Any
    axis: Mapping[str, Any]


def show(given: Given) -> None:
    """The page."""
    st.title("Utterance")
    speakers = speakers_of(given)
    if not speakers:
        st.info("There is no utterance to show: the table has no rows, and no corpus was given.")
        return
    id, seed = choose_recording(speakers)
    utterance = given.utterance(id)
    if isinstance(utterance, str):
        st.info(f"{said(utterance)} Below is what the table says of each token.")
        _from_table(given, id)
        return
    stretch = choose_stretch(utterance)
    st.markdown(described(utterance))
    try:
        st.audio(sound.clip(utterance, stretch.start, stretch.end))
    except InputError as error:
        st.error(said(error))
        _from_table(given, id)
        return
    checkpoint = with_latents(given, stretch)
    _overview(stretch, checkpoint, seed)
    st.subheader("What the model makes of it")
    if isinstance(checkpoint, str):
        st.info(said(checkpoint))
    else:
        _reconstructions(stretch, checkpoint, seed)


def speakers_of(given: Given) -> Speakers:
    """The speakers of the corpus, or without one those of the tables."""
    found: dict[str, tuple[Speaker, list[str]]] = {}
    if not isinstance(given.sounds, str):
        for utterance in given.sounds.utterances:
            found.setdefault(utterance.speaker.id, (utterance.speaker, []))[1].append(utterance.id)
    else:
        for table in given.tables.values():
            for id, speaker in table.tokens[["utterance", "speaker"]].drop_duplicates().itertuples(index=False):
                found.setdefault(speaker, (Speaker(speaker), []))[1].append(id)
    return {id: (found[id][0], tuple(sorted(set(found[id][1])))) for id in sorted(found)}


def choose_recording(speakers: Speakers) -> tuple[str, int]:
    """The id of the utterance that the pages are about, kept in the address and from page to page; and the seed."""
    first = wanted(speakers)
    left, middle, right = st.columns([2, 2, 1])
    with left:
        speaker = choose_speaker("Speaker", speakers, first)
    with middle:
        id = choose_utterance("Utterance", speakers, speaker, first)
    with right:
        help = "Of all that is drawn on this page: the same seed gives the same sounds and pictures."
        seed = st.number_input("Seed", 0, 1_000_000, 0, key="seed", bind="query-params", help=help)
    st.query_params["utterance"] = st.session_state["chosen utterance"] = id
    return id, int(seed or 0)


def wanted(speakers: Speakers) -> str:
    """The utterance that the address names, or that was looked at before; else the first."""
    known = {id for _, ids in speakers.values() for id in ids}
    for id in (st.query_params.get("utterance"), st.session_state.get("chosen utterance")):
        if id in known:
            return str(id)
    return next(iter(speakers.values()))[1][0]


def choose_speaker(label: str, speakers: Speakers, first: str) -> str:
    """A box of all speakers, at first that of the utterance `first`."""
    index = next(i for i, (_, ids) in enumerate(speakers.values()) if first in ids)
    chosen = st.selectbox(label, list(speakers), index, format_func=lambda id: who(speakers[id][0]), key=f"{label} box")
    return str(chosen)


def choose_utterance(label: str, speakers: Speakers, speaker: str, first: str) -> str:
    """A box of a speaker's utterances, at first the utterance `first` where it is among them."""
    ids = speakers[speaker][1]
    return str(st.selectbox(label, ids, ids.index(first) if first in ids else 0, key=f"{label} of {speaker}"))


def choose_stretch(utterance: Utterance) -> Stretch:
    """All of an utterance, or which part of a long one."""
    most = MOST_SECONDS * utterance.sample_rate
    if utterance.samples <= most:
        return Stretch(utterance, 0, utterance.samples)
    latest = -(-(utterance.samples - most) // utterance.sample_rate)
    help = "A long recording is shown in parts, and to the model a part is all there is."
    second = st.slider(f"{MOST_SECONDS} seconds from second", 0, latest, 0, key=f"from in {utterance.id}", help=help)
    start = min(int(second) * utterance.sample_rate, utterance.samples - most)
    return Stretch(utterance, start, start + most)


def choose_listening() -> str:
    """A switch between the expectation and a draw."""
    chosen = st.segmented_control(
        "Listen to", ("expectation", "draw"), default="expectation", required=True, key="listen", bind="query-params",
        help="Of p(x | z): its expectation sounds muffled, a draw from it noisy.",
    )  # fmt: skip
    return str(chosen)


def who(speaker: Speaker) -> str:
    """A speaker's id and what is known of them."""
    height = None if speaker.height_cm is None else f"{speaker.height_cm:.0f} cm"
    known = ({"F": "woman", "M": "man"}.get(speaker.gender or ""), height, speaker.dialect)
    return ", ".join([speaker.id, *(fact for fact in known if fact)])


def described(utterance: Utterance) -> str:
    """Markdown: the text, its length and rate."""
    text = f"“{plain(utterance.text)}” " if utterance.text else ""
    split = f", {plain(utterance.split)} split" if utterance.split else ""
    return f"{text}:small[{utterance.seconds:.2f} s at {utterance.sample_rate / 1000:g} kHz{split}]"


def said(text: object) -> str:
    """A sentence for the page: text that may hold anything, without the marks of code around options."""
    return plain(str(text).replace("`", ""))


def with_latents(given: Given, stretch: Stretch) -> Checkpoint | str:
    """The checkpoint, or a sentence saying why there is none whose latents of this can be looked at."""
    checkpoint = given.model
    if isinstance(checkpoint, str):
        return checkpoint
    if checkpoint.model.deterministic:
        family = checkpoint.model.family
        return f"{checkpoint.path.stem} is a {family}, which is deterministic: it has no latents to look at."
    try:
        stretch.pcm(checkpoint.model.config.sample_rate)
    except InputError as error:
        return str(error)
    return checkpoint


@st.cache_data(show_spinner="Inferring the latents", max_entries=64)
def _spent(_model: SpeechModel, _stretch: Stretch, key: object, seed: int) -> tuple[LayerKL, ...]:
    """`probing.diagnostics.kl_rate.layer_kl` on the stretch; `key` stands for it and for the model."""
    return layer_kl(_model, _stretch.utterance.id, _stretch.pcm(_model.config.sample_rate), PATHS, seed)


@st.cache_data(show_spinner="Decoding", max_entries=64)
def heard(
    _model: SpeechModel, _stretch: Stretch, key: object, seed: int, prior: tuple[int, ...] = ()
) -> reconstruction.Heard:
    """`latents.heard` on the stretch; `key` stands for it and for the model."""
    return reconstruction.heard(
        _model, _stretch.utterance.id, _stretch.pcm(_model.config.sample_rate), seed, prior=prior
    )


def _overview(stretch: Stretch, checkpoint: Checkpoint | str, seed: int) -> None:
    utterance, rate = stretch.utterance, stretch.utterance.sample_rate
    rows, told = sound_rows(stretch), []
    if utterance.phonemes or utterance.words:
        told.append("Click a phone or a word to hear it; drag to zoom in, double-click to see all.")
    else:
        told.append("The corpus has no alignment of this utterance.")
    if not isinstance(checkpoint, str):
        spent = _spent(checkpoint.model, stretch, (checkpoint.sha256, stretch.key), seed)
        rows += model_rows(stretch, checkpoint.model, spent)
        told += [resampled(stretch, checkpoint.model), EXPLAINED]
    chosen = st.plotly_chart(
        stacked(rows, stretch.start / rate, stretch.end / rate),
        on_select="rerun",
        selection_mode="points",
        key=f"overview {stretch.key}",
        config={"displaylogo": False},
    )
    for segment in clicked(chosen, utterance)[:1]:
        st.markdown(f"**{plain(segment.label)}** :small[{1000 * segment.samples / rate:.0f} ms]")
        st.audio(sound.clip(utterance, segment.start, segment.end), autoplay=True)
    st.caption(" ".join(told))


def resampled(stretch: Stretch, model: SpeechModel) -> str:
    """A sentence where the model's rate is another than the recording's."""
    own, rate = model.config.sample_rate, stretch.utterance.sample_rate
    return "" if own == rate else f"The model hears the recording resampled from {rate / 1000:g} to {own / 1000:g} kHz."


def sound_rows(stretch: Stretch) -> list[Row]:
    """Waveform, spectrogram and alignment."""
    utterance, start, end = stretch.utterance, stretch.start, stretch.end
    rate = utterance.sample_rate
    rows = [
        Row(56, envelope(sound.samples(utterance)[start:end], start, rate), QUIET),
        Row(170, sound.heat(sound.spectrogram(utterance, start, end)), {"title": "kHz"}),
    ]
    for name, segments in (("phone", utterance.phonemes), ("word", utterance.words)):
        if segments:
            rows.append(Row(24, sound.tier(name, segments, rate, start, end), {"fixedrange": True}))
    return rows


def envelope(audio: Float[np.ndarray, " n"], start: int, rate: int, most: int = 1500) -> Any:
    """The waveform as a Plotly trace: lowest and highest sample of each of so many stretches."""
    from plotly.graph_objects import Scatter

    width = max(1, -(-len(audio) // most))
    columns = np.arange(0, len(audio), width)
    low, high = np.minimum.reduceat(audio, columns), np.maximum.reduceat(audio, columns)
    t = (start + columns + width / 2) / rate
    x, y = np.concatenate([t, t[::-1]]), np.concatenate([high, low[::-1]])
    return Scatter(x=x, y=y, fill="toself", mode="lines", line={"width": 0.5, "color": WAVE}, hoverinfo="skip")


def model_rows(stretch: Stretch, model: SpeechModel, spent: Sequence[LayerKL]) -> list[Row]:
    """KL of every layer over time, and its posterior means."""
    from plotly.graph_objects import Scatter

    rate = model.config.sample_rate
    rows = []
    for layer, (stride, found) in enumerate(zip(model.strides, spent, strict=True)):
        name = f"z{layer + 1}"
        edges = (stretch.at(rate, stretch.start) + np.arange(len(found.bits) + 1) * stride) / rate
        first, bits = averaged(found.bits, max(1, round(PATIENCE_MS / 1000 * rate / stride)))
        line = Scatter(
            x=np.append(edges[first], edges[-1]),
            y=np.append(bits, bits[-1:]) * rate / stride,
            line={"shape": "hv", "width": 1.5, "color": feature_look(name).colour},
            fill="tozeroy",
            mode="lines",
            hovertemplate=f"{name} at %{{x:.3f}} s: %{{y:.0f}} bits/s<extra></extra>",
        )
        rows.append(Row(64, line, {"title": f"{name} KL<br>bits/s", "rangemode": "tozero", "nticks": 3}))
        order, active = by_kl(found)
        shown = order[: max(active, min(8, len(order)))]
        title = {"title": f"{name}<br>{active} of {len(order)}", **QUIET}
        rows.append(Row(int(np.clip(5 * len(shown), 70, 150)), heat_of(name, edges, found.mean, shown), title))
    return rows


def heat_of(
    name: str, edges_s: Float[np.ndarray, " edges"], values: Float[np.ndarray, "steps size"], shown: np.ndarray
) -> Any:
    """Some dimensions over time as a Plotly trace, the first on top, each in units of its own spread about its mean."""
    from plotly.graph_objects import Heatmap

    rows = values[:, shown[::-1]].T  # Plotly's begin at the bottom
    spread = np.nanstd(rows, axis=1, keepdims=True)
    scaled = (rows - np.nanmean(rows, axis=1, keepdims=True)) / np.where(spread > 0, spread, 1)
    return Heatmap(
        x=edges_s,
        z=np.clip(scaled, -SPREADS, SPREADS).astype(np.float32),
        zmin=-SPREADS,
        zmax=SPREADS,
        colorscale=list(DIVERGING),
        showscale=False,
        customdata=np.stack([np.broadcast_to(shown[::-1, None], rows.shape), rows], -1).astype(np.float32),
        hovertemplate=f"{name}[%{{customdata[0]}}] at %{{x:.3f}} s: %{{customdata[1]:.2f}}<extra></extra>",
    )


def by_kl(spent: LayerKL) -> tuple[np.ndarray, int]:
    """A layer's dimensions, those of the largest KL first, and how many of them are active."""
    order = np.argsort(-spent.bits_by_dimension, kind="stable")
    active = spent.bits_by_dimension * NATS_PER_BIT / len(spent.bits) >= ACTIVE_NATS
    return order, int(active.sum())


def averaged(bits: Float[np.ndarray, " steps"], width: int) -> tuple[np.ndarray, np.ndarray]:
    """The first step of each run of `width` steps (the last may be shorter), and the mean of the run."""
    first = np.arange(0, len(bits), width)
    return first, np.add.reduceat(bits, first) / np.diff(np.append(first, len(bits)))


def stacked(rows: Sequence[Row], start_s: float, end_s: float) -> Figure:
    """Strips one above another on one axis of time."""
    from plotly.subplots import make_subplots

    gap = 8
    height = sum(row.height for row in rows) + gap * (len(rows) - 1)
    figure = make_subplots(
        len(rows), 1, shared_xaxes=True, vertical_spacing=gap / height, row_heights=[row.height for row in rows]
    )
    for place, row in enumerate(rows, 1):
        figure.add_trace(row.trace, place, 1)
        figure.update_yaxes(**row.axis, showgrid=False, zeroline=False, row=place, col=1)
        figure.update_yaxes(title_font={"size": 12}, row=place, col=1)
    figure.update_xaxes(range=[start_s, end_s], showgrid=False, zeroline=False)
    figure.update_xaxes(title_text="seconds", row=len(rows), col=1)
    figure.update_layout(
        height=height + 60,
        margin={"l": 84, "r": 8, "t": 8, "b": 52},
        showlegend=False,
        bargap=0,
        uniformtext=sound.LABELS,
        clickmode="event+select",
        dragmode="zoom",
    )
    return figure


def clicked(chosen: Any, utterance: Utterance) -> list[Segment]:
    """The segments of the picture that were clicked, by their places in time."""
    spans = [tuple(point["customdata"])[1:] for point in chosen["selection"]["points"] if "customdata" in point]
    return [s for s in (*utterance.phonemes, *utterance.words) if (s.start, s.end) in spans]


def _reconstructions(stretch: Stretch, checkpoint: Checkpoint, seed: int) -> None:
    model = checkpoint.model
    layers = [f"z{layer + 1}" for layer in range(len(model.latents))]
    left, right = st.columns([3, 2])
    with left:
        left_out = st.pills(
            "Left to the prior", layers, selection_mode="multi", key="prior", bind="query-params",
            help="These layers are not inferred from the sound: they are drawn from the prior, given the layers above.",
        )  # fmt: skip
    with right:
        listen = choose_listening()
    chosen: dict[str, tuple[int, ...]] = {"All layers inferred": ()}
    if left_out:
        prior = tuple(layer for layer, name in enumerate(layers) if name in left_out)
        chosen[f"{' and '.join(layers[layer] for layer in prior)} from the prior"] = prior
    rate = model.config.sample_rate
    sounds = {"Recording": stretch.pcm(rate) / np.float32(FULL_SCALE)}
    for title, prior in chosen.items():
        result = heard(model, stretch, (checkpoint.sha256, stretch.key), seed, prior)
        sounds[title] = result.centre if listen == "expectation" else result.drawn
    side_by_side(sounds, rate, "reconstructed")
    st.caption(
        f"{conditioning(model)} One path of the latents, by the seed above; the same noise whatever is inferred."
    )


def conditioning(model: SpeechModel) -> str:
    """A sentence on what the decoder of this model sees."""
    if model.decoder_sees_audio:
        return (
            "This decoder also sees the recording up to each time step: what you hear is a prediction one step ahead, "
            "and good even where the latents carry nothing."
        )
    if model.prior_sees_audio:
        return (
            "This decoder sees the latents alone, but their priors see the recording up to each time step: a layer "
            "left to its prior knows what came before too."
        )
    return "This decoder sees the lowest layer's latents and states alone: all that you hear came through them."


def side_by_side(sounds: Mapping[str, np.ndarray], rate: int, key: str) -> None:
    """Waveforms in [-1, 1] at `rate`, each to play and with its spectrogram."""
    from plotly.graph_objects import Figure

    for column, (title, audio) in zip(st.columns(len(sounds)), sounds.items(), strict=True):
        with column:
            st.markdown(f"**{plain(title)}**")
            st.audio(sound.wav(audio, rate))
            figure = Figure(sound.heat(sound.spectrogram_of(audio, rate)))
            figure.update_layout(height=190, margin={"l": 36, "r": 4, "t": 4, "b": 30})
            figure.update_xaxes(showgrid=False, zeroline=False)
            figure.update_yaxes(showgrid=False, zeroline=False)
            st.plotly_chart(figure, key=f"{key} {title}", config={"displayModeBar": False})


def _from_table(given: Given, id: str) -> None:
    """The tokens of the first table that has the utterance."""
    for table in given.tables.values():
        rows = (table.tokens["utterance"] == id).to_numpy()
        if rows.any():
            _tokens(table.select(rows))
            return
    st.info("The table has no token of this utterance.")


def _tokens(table: TokenTable) -> None:
    """Segments and pooled latents of one utterance's tokens over time."""
    rate, end = int(table.tokens["sample_rate"].iloc[0]), int(table.tokens["end"].max())
    rows = []
    for unit, name in (("phoneme", "phone"), ("word", "word")):
        some = table.tokens[table.tokens["unit"] == unit].sort_values("start")
        if len(some):
            segments = [Segment(*span) for span in some[["label", "start", "end"]].itertuples(index=False)]
            rows.append(Row(24, sound.tier(name, segments, rate, 0, end), {"fixedrange": True}))
    finest = table.tokens[table.tokens["unit"] == table.tokens["unit"].iloc[0]].sort_values("start")
    for layer in table.extraction["layers"]:
        values = table.features[layer][finest.index]
        edges, columns = columns_of(finest[["start", "end"]].to_numpy(), values)
        ranked = np.argsort(-values.var(0), kind="stable")
        rows.append(Row(150, heat_of(layer, edges / rate, columns, ranked), {"title": layer, **QUIET}))
    st.plotly_chart(stacked(rows, 0, end / rate), key="tokens", config={"displaylogo": False})
    st.caption(
        "Heat maps: the table's mean of each token, each dimension against its own mean and spread here; those of the "
        "largest variance on top."
    )


def columns_of(
    spans: np.ndarray, values: Float[np.ndarray, "tokens size"]
) -> tuple[np.ndarray, Float[np.ndarray, "columns size"]]:
    """Edges (samples) of columns that lie side by side, and their values: NaN where there is no token."""
    edges, columns = [int(spans[0, 0])], []
    for (start, end), value in zip(spans, values, strict=True):
        if start > edges[-1]:
            columns.append(np.full_like(value, np.nan))
            edges.append(int(start))
        if end > edges[-1]:
            columns.append(value)
            edges.append(int(end))
    return np.array(edges), np.array(columns)
