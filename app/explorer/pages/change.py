"""The page 'Change a latent': decode another speaker's upper layer, a step between classes, or an erased concept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pandas as pd
import streamlit as st

from lvm_probe import InputError
from lvm_probe.app.explorer import latent_probes, model_computations, reconstruction, time_plots
from lvm_probe.app.explorer.decoded_audio import conditioning_text, reconstruct, show_waves
from lvm_probe.app.explorer.inputs import ExplorerInputs
from lvm_probe.app.explorer.latent_probes import Concept, Target, Way
from lvm_probe.app.explorer.model_computations import CheckpointFile
from lvm_probe.app.explorer.reconstruction import Below, Reconstruction, options_for_change
from lvm_probe.app.explorer.recording_choice import (
    Excerpt,
    checkpoint_with_latents,
    choose_below,
    choose_excerpt,
    choose_output,
    choose_recording,
    choose_speaker,
    choose_utterance,
    speakers_of,
)
from lvm_probe.app.explorer.time_plots import Strip
from lvm_probe.app.explorer.views import plain
from lvm_probe.app.explorer.waiting import computed
from lvm_probe.models.checkpoints.checkpoint import Checkpoint
from lvm_probe.models.model import SpeechModel
from lvm_probe.probing.corpora.audio import FULL_SCALE, resample_segment
from lvm_probe.probing.corpora.corpus import Segment
from lvm_probe.probing.corpora.phones import NON_PHONEMES
from lvm_probe.probing.features.pooling import Pooling
from lvm_probe.probing.features.token_table import TokenTable

SWAP, STEP = "take a layer of another recording", "step from one class to another"
ERASE = "erase what tells a class"
TARGETS: tuple[Target, ...] = get_args(Target)
RECORDING, UNCHANGED, CHANGED = "Recording", "Decoded, unchanged", "Decoded, changed"


@dataclass(frozen=True)
class Change:
    """A change of one layer.

    Attributes:
        layer: which (0 is the lowest).
        z: its new latents, one row per time step of the padded recording.
        below: what happens to the layers below.
        key: identifies the change, for caches.
        description: a sentence about it.
        held_out: utterances and speakers that no probe may be fitted on.
        donor: the other recording, where there is one.
    """

    layer: int
    z: np.ndarray
    below: Below
    key: tuple[Any, ...]
    description: str
    held_out: tuple[tuple[str, ...], tuple[str, ...]]
    donor: Excerpt | None = None


def show(inputs: ExplorerInputs) -> None:
    """The page."""
    st.title("Change a latent")
    try:
        _ = inputs.corpus, inputs.checkpoint  # raise where one is missing
        st.markdown(
            "The model encodes a recording into latents. Here one of their layers is changed before they are decoded, "
            "so that you can hear what it encodes. Probes then classify the result."
        )
        id, seed = choose_recording(speakers_of(inputs))
        excerpt = choose_excerpt(inputs.utterance(id))
        checkpoint = checkpoint_with_latents(inputs, excerpt)
        table = next((one for one in inputs.tables.values() if latent_probes.made_by(one, checkpoint)), None)
        own = reconstruct(checkpoint, excerpt, seed)
        kind = st.segmented_control(
            "Change", (SWAP, STEP, ERASE), default=SWAP, required=True, key="change", bind="query-params"
        )
        if kind == SWAP:
            change = _swap(inputs, excerpt, checkpoint, own, seed)
        elif kind == STEP:
            change = _step(table, excerpt, checkpoint.model, own)
        else:
            change = _erase(table, excerpt, checkpoint.model, own)
        _show_outcome(excerpt, checkpoint, table, own, change, seed)
    except InputError as error:
        st.info(plain(error))


def _swap(inputs: ExplorerInputs, excerpt: Excerpt, checkpoint: Checkpoint, own: Reconstruction, seed: int) -> Change:
    """The layer of another recording, cut to this one's length or repeated."""
    model = checkpoint.model
    if len(model.latents) < 2:
        raise InputError(
            f"{checkpoint.path.stem} has one layer of latents; with that of another recording you would hear the other "
            f"recording. Choose “{STEP}”, or a checkpoint with several layers."
        )
    speakers, speaker = speakers_of(inputs), excerpt.utterance.speaker
    others = {id: who for id, who in speakers.items() if id != speaker.id}
    if not others:
        raise InputError("The corpus has only one speaker, so there is no other recording to take a layer of.")
    opposite = [id for id, (who, _) in others.items() if who.gender and who.gender != speaker.gender]
    first = others[opposite[0] if opposite else next(iter(others))][1][0]
    one, two, three, four = st.columns([1, 2, 2, 2])
    with one:
        layer = _choose_layer(range(1, len(model.latents)))
    with two:
        other = choose_speaker("Other speaker", others, first)
    with three:
        utterance = inputs.utterance(choose_utterance("Other utterance", others, other, first))
    with four:
        below = choose_below(layer)
    donor = Excerpt(utterance, 0, min(utterance.samples, excerpt.end - excerpt.start + utterance.sample_rate))
    theirs = reconstruct(checkpoint, donor, seed).latents[layer]
    steps = len(own.latents[layer])
    fit = "cut where this recording ends" if len(theirs) >= steps else "repeated up to the end of this recording"
    return Change(
        layer, reconstruction.repeated(theirs, steps), below, (SWAP, layer, below, donor.key),
        f"z{layer + 1} comes from {plain(utterance.id)}, time step by time step from the start and {fit}; the two are "
        "not aligned.",
        ((excerpt.utterance.id, utterance.id), (speaker.id, utterance.speaker.id)), donor,
    )  # fmt: skip


def _step(table: TokenTable | None, excerpt: Excerpt, model: SpeechModel, own: Reconstruction) -> Change:
    """Every time step of the layer (or those of one phone) moved from one class of the table's tokens to another."""
    if table is None:
        raise InputError("None of the tables was made with this checkpoint, so there are no classes to step between.")
    utterance = excerpt.utterance
    one, two, three, four, five = st.columns([1, 1, 1, 1, 2])
    with one:
        layer = _choose_layer([l for l in range(len(model.latents)) if f"z{l + 1}" in table.features])
    with two:
        target: Target = st.selectbox("Classes", TARGETS, key="classes", bind="query-params")
    held_out = ((utterance.id,), (utterance.speaker.id,))
    rows = latent_probes.training_rows(table, target, *held_out)
    labels = latent_probes.labels_of(table, target)[rows].astype(str)
    known = sorted(set(labels))
    here = known if target == "gender" else sorted({s.label for s in _tokens(excerpt)} & set(known))
    if len(known) < 2 or not here:
        raise InputError(f"The other tokens of the table have no two classes of {target} to step between.")
    with three:
        own_class = utterance.speaker.gender if target == "gender" else None
        start = st.selectbox("From", here, here.index(own_class) if own_class in here else 0, key=f"from {target}")
    with four:
        goals = [label for label in known if label != start]
        goal = st.selectbox("To", goals, key=f"to {target} from {start}")
    with five:
        amount = st.slider("Step size", -3.0, 3.0, 1.0, 0.25, key="far", bind="query-params",
                           help="1 is the distance between the means of the two classes.")  # fmt: skip
    left, right = st.columns(2)
    with left:
        way = st.segmented_control(
            "Direction", get_args(Way), default=get_args(Way)[0], required=True, key="way", bind="query-params",
            help="Both change the value of the discriminant by the same amount. The class means lie where latents lie; "
            "the discriminant itself is the shortest way across the decision boundary.",
        )  # fmt: skip
    with right:
        below = choose_below(layer)
    direction = latent_probes.class_step(table.matrix(f"z{layer + 1}")[rows], labels.tolist(), start, goal, way)
    z, where = own.latents[layer], "at every time step"
    share = np.ones(len(z))
    if target == "phoneme":
        spans = [_at_model_rate(excerpt, model, s) for s in _tokens(excerpt) if s.label == start]
        share = reconstruction.coverage(spans, model.strides[layer], len(z))
        where = f"wherever {plain(start)} is spoken ({len(spans)} times here)"
    moved = z + (amount * share[:, None] * direction).astype(np.float32)
    return Change(
        layer, moved, below, (STEP, layer, below, target, start, goal, amount, way, str(table.path)),
        f"z{layer + 1} is moved by {amount:g} times the step from {plain(start)} to {plain(goal)}, {where}. The step "
        f"comes from tokens of other {'speakers' if target == 'gender' else 'recordings'}.",
        held_out,
    )  # fmt: skip


def _erase(table: TokenTable | None, excerpt: Excerpt, model: SpeechModel, own: Reconstruction) -> Change:
    """Every time step of the layer without what tells the gender, the speaker or the phoneme in the table's tokens."""
    if table is None:
        raise InputError("None of the tables was made with this checkpoint, so nothing can be erased.")
    utterance = excerpt.utterance
    one, two, three = st.columns([1, 1, 2])
    with one:
        layer = _choose_layer([l for l in range(len(model.latents)) if f"z{l + 1}" in table.features])
    with two:
        concept: Concept = st.selectbox("Erase the", get_args(Concept), key="concept", bind="query-params")
    with three:
        below = choose_below(layer)
    held_out = ((utterance.id,), (utterance.speaker.id,))
    z, rank = latent_probes.erased_latents(table, f"z{layer + 1}", concept, *held_out, own.latents[layer])
    others = "speakers" if concept == "gender" else "recordings"
    return Change(
        layer, z, below, (ERASE, layer, below, concept, str(table.path)),
        f"From z{layer + 1} what tells the {concept} is erased at every time step (LEACE), {rank} of {z.shape[1]} "
        f"dimensions, as fitted to the mean latents of phone tokens of other {others}: no linear probe of those tokens "
        "can tell it any more.",
        held_out,
    )  # fmt: skip


def _choose_layer(layers: Sequence[int]) -> int:
    return int(st.selectbox("Layer", layers, format_func=lambda l: f"z{l + 1}", key=f"layer among {list(layers)}"))


def _show_outcome(
    excerpt: Excerpt, checkpoint: Checkpoint, table: TokenTable | None, own: Reconstruction, change: Change, seed: int
) -> None:
    """The audio before and after, and the predictions of probes."""
    model = checkpoint.model
    prior, given = options_for_change(own, change.layer, change.z, change.below)
    changed = reconstruct(checkpoint, excerpt, seed, prior, given, change.key)
    output = choose_output()
    rate = model.config.sample_rate
    waves = {RECORDING: excerpt.pcm(rate) / np.float32(FULL_SCALE)} | {
        title: result.expectation if output == "expectation" else result.draw
        for title, result in ((UNCHANGED, own), (CHANGED, changed))
    }
    donor = {}
    if change.donor is not None:
        donor[f"Source of z{change.layer + 1}"] = change.donor.pcm(rate) / np.float32(FULL_SCALE)
    show_waves(waves | donor, rate, "change")
    st.caption(f"{change.description} {conditioning_text(model)}")
    st.subheader("Predictions of probes")
    tokens = _tokens(excerpt)
    if table is None:
        raise InputError("None of the tables was made with this checkpoint, so there is nothing to fit probes on.")
    if not tokens:
        raise InputError("This utterance has no aligned phones, so there are no tokens to classify.")
    segments = [_at_model_rate(excerpt, model, segment) for segment in tokens]
    points = {
        title: _features(checkpoint, (excerpt.key, output, seed, title, change.key), wave, segments, table)
        for title, wave in waves.items()
    }
    features = [name for name in points[RECORDING] if name in table.features]
    points["Changed latents themselves"] = {
        f"z{l + 1}": Pooling(segments, stride, len(z)).mean(z)
        for l, (stride, z) in enumerate(zip(model.strides, changed.latents, strict=True))
    }
    left, right = st.columns(2)
    with left:
        target: Target = st.segmented_control(
            "Target", TARGETS, default="gender", required=True, key="ask", bind="query-params"
        )
    with right:
        shown = st.segmented_control("Probe shown below", features, default=features[0], required=True, key="probe")
    probes = {name: _probe(table, str(table.path), name, target, change.held_out) for name in features}
    predictions = {
        title: {name: probes[name].predict(by[name]) for name in features if name in by} for title, by in points.items()
    }
    _show_shares(predictions, [segment.label for segment in tokens], target, excerpt.utterance.speaker.gender)
    _show_tiers(excerpt, tokens, {title: by[shown] for title, by in predictions.items() if shown in by})
    st.caption(
        f"LDA probes on {', '.join(features)}, fitted on the table's phone tokens of other "
        f"{'speakers' if target == 'gender' else 'recordings'}. Approximate: the features here are averaged over "
        f"{latent_probes.DRAWS} Monte Carlo draws, those of the table over {table.extraction.get('samples', 'more')}; "
        "the changed latents are a single draw. Decoding alone changes predictions too (compare the first two rows), "
        "and only the Mel probe is independent of the model. The last row shows the latents as they were set: that a "
        "probe follows a step along its own axis is arithmetic; whether the audio does is the result."
    )


def _features(
    checkpoint: Checkpoint, key: tuple[Any, ...], wave: np.ndarray, segments: list[Segment], table: TokenTable
) -> dict[str, np.ndarray]:
    """The probes' features of a waveform; `key` identifies it."""
    file = CheckpointFile.of(checkpoint)
    return computed(
        ("features", file, str(table.path), *key), "Encoding the decoded audio",
        model_computations.audio_features, file, wave, segments, table.extraction["mel"],
    )  # fmt: skip


@st.cache_data(show_spinner="Fitting the probes", max_entries=64)
def _probe(
    _table: TokenTable, path: str, feature: str, target: Target, held_out: tuple[tuple[str, ...], tuple[str, ...]]
) -> latent_probes.Probe:
    """A probe on one feature, fitted without the tokens of these utterances (and speakers)."""
    rows = latent_probes.training_rows(_table, target, *held_out)
    labels = latent_probes.labels_of(_table, target)[rows].tolist()
    return latent_probes.fit_probe(_table.matrix(feature)[rows], labels)


def _show_shares(
    predictions: dict[str, dict[str, list[str]]], labels: list[str], target: Target, gender: str | None
) -> None:
    """Shares of tokens, a row per waveform and a column per probe."""
    wanted = np.array(["F"] * len(labels) if target == "gender" else labels)
    frame = pd.DataFrame({
        title: {name: 100 * float((np.array(some) == wanted).mean()) for name, some in by.items()}
        for title, by in predictions.items()
    }).T  # fmt: skip
    columns = {
        name: st.column_config.ProgressColumn(f"by {name}", min_value=0, max_value=100, format="%.0f %%")
        for name in frame.columns
    }
    speaker = {"F": "a woman", "M": "a man"}.get(gender or "", "of unknown gender")
    what = f"predicted as **a woman's** (the speaker is {speaker})" if target == "gender" else "predicted **correctly**"
    st.markdown(f"Share of {len(labels)} phone tokens that are {what}:")
    st.dataframe(frame, column_config=columns, width="stretch")


def _show_tiers(excerpt: Excerpt, tokens: list[Segment], predictions: dict[str, list[str]]) -> None:
    """The predictions of one probe for every token over time; those that differ from the recording's are marked."""
    rate, strips = excerpt.utterance.sample_rate, []
    for title, labels in {"phone": [s.label for s in tokens], **predictions}.items():
        segments = [Segment(label, s.start, s.end) for label, s in zip(labels, tokens, strict=True)]
        trace = time_plots.segments_trace(title.lower(), segments, rate, excerpt.start, excerpt.end)
        if title in predictions:
            pairs = zip(labels, predictions[RECORDING], strict=True)
            trace.marker.color = [
                time_plots.UNMARKED if label == before else time_plots.MARKED for label, before in pairs
            ]
        strips.append(Strip(26, trace, {"fixedrange": True}))
    figure = time_plots.stacked(strips, *excerpt.seconds)
    figure.update_layout(margin={"l": 170})
    st.plotly_chart(figure, key=f"tiers {list(predictions)}", config={"displayModeBar": False})
    st.caption("Orange: a different prediction than for the recording.")


def _tokens(excerpt: Excerpt) -> list[Segment]:
    """Phones inside the excerpt, without silences."""
    return [
        s for s in excerpt.utterance.phonemes
        if s.label not in NON_PHONEMES and excerpt.start <= s.start and s.end <= excerpt.end
    ]  # fmt: skip


def _at_model_rate(excerpt: Excerpt, model: SpeechModel, segment: Segment) -> Segment:
    """A segment of the excerpt in samples at the model's rate, counted from the start of the excerpt."""
    inside = Segment(segment.label, segment.start - excerpt.start, segment.end - excerpt.start)
    return resample_segment(inside, excerpt.utterance.sample_rate, model.config.sample_rate)
