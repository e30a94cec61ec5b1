"""Change a latent and hear it: another speaker's upper layer, or a step along a probe's axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import streamlit as st

from lvm_probe import InputError
from lvm_probe.app.explorer import lda_directions, reconstruction, sound
from lvm_probe.app.explorer.inputs import Given
from lvm_probe.app.explorer.pages.utterance import (
    Row,
    Stretch,
    choose_listening,
    choose_recording,
    choose_speaker,
    choose_stretch,
    choose_utterance,
    conditioning,
    heard,
    said,
    side_by_side,
    speakers_of,
    stacked,
    with_latents,
)
from lvm_probe.app.explorer.views import plain
from lvm_probe.models.checkpoints.checkpoint import Checkpoint
from lvm_probe.models.likelihood.mulaw import to_pcm
from lvm_probe.models.model import SpeechModel
from lvm_probe.probing.corpora.audio import FULL_SCALE, resample_segment
from lvm_probe.probing.corpora.corpus import Segment
from lvm_probe.probing.corpora.phones import NON_PHONEMES
from lvm_probe.probing.features.pooling import Pooling
from lvm_probe.probing.features.token_table import TokenTable

Below = Literal["stay as they were", "inferred again", "from their prior"]
SWAP, STEP = "take a layer of another recording", "step from one class to another"
BELOW: tuple[Below, ...] = ("stay as they were", "inferred again", "from their prior")
WAYS: tuple[lda_directions.Way, ...] = ("between the class means", "along the discriminant")
GENDERS = {"F": "a woman", "M": "a man"}
RECORDING, UNCHANGED, CHANGED = "Recording", "Decoded, unchanged", "Decoded, changed"


@dataclass(frozen=True)
class Change:
    """What is done to a layer (0 the lowest): its new latents, and what becomes of the layers below.

    Attributes:
        layer: which.
        z: new latents, one row a step of the padded recording.
        below: what the layers below do.
        key: tells the change from others, for caches.
        told: a sentence on it.
        left_out: utterances and speakers that no probe may be fitted on.
        donor: the other recording, where there is one.
    """

    layer: int
    z: np.ndarray
    below: Below
    key: tuple[Any, ...]
    told: str
    left_out: tuple[tuple[str, ...], tuple[str, ...]]
    donor: Stretch | None = None


def show(given: Given) -> None:
    """The page."""
    st.title("Change a latent")
    if isinstance(given.sounds, str) or isinstance(given.model, str):
        st.info(said(given.model if isinstance(given.model, str) else given.sounds))
        return
    st.markdown(
        "The model turns a recording into latents; here one layer of them is changed before they are decoded, so that "
        "you hear what it stands for. Then probes say what they make of the result."
    )
    id, seed = choose_recording(speakers_of(given))
    utterance = given.utterance(id)
    assert not isinstance(utterance, str)  # the ids are the corpus's
    stretch = choose_stretch(utterance)
    checkpoint = with_latents(given, stretch)
    if isinstance(checkpoint, str):
        st.info(said(checkpoint))
        return
    table = next((table for table in given.tables.values() if lda_directions.fits(table, checkpoint)), None)
    plain_sound = heard(checkpoint.model, stretch, (checkpoint.sha256, stretch.key), seed)
    how = st.segmented_control("Change", (SWAP, STEP), default=SWAP, required=True, key="change", bind="query-params")
    try:
        if how == SWAP:
            change = _swap(given, stretch, checkpoint, plain_sound, seed)
        else:
            change = _step(table, stretch, checkpoint.model, plain_sound)
    except InputError as error:
        st.info(said(error))
        return
    if change is None:
        return
    _outcome(stretch, checkpoint, table, plain_sound, change, seed)


def _swap(
    given: Given, stretch: Stretch, checkpoint: Checkpoint, own: reconstruction.Heard, seed: int
) -> Change | None:
    """Another recording's layer, cut to this one's length or begun again."""
    model = checkpoint.model
    if len(model.latents) < 2:
        st.info(
            f"{plain(checkpoint.path.stem)} has one layer of latents. With another recording's, you would hear that "
            f"other recording: choose “{STEP}”, or a checkpoint with several layers."
        )
        return None
    speakers, speaker = speakers_of(given), stretch.utterance.speaker
    strangers = {id: who for id, who in speakers.items() if id != speaker.id}
    if not strangers:
        st.info("The corpus has one speaker only, so there is nobody to take a layer of.")
        return None
    opposite = [id for id, (who, _) in strangers.items() if who.gender and who.gender != speaker.gender]
    first = strangers[opposite[0] if opposite else next(iter(strangers))][1][0]
    one, two, three, four = st.columns([1, 2, 2, 2])
    with one:
        layer = _choose_layer(range(1, len(model.latents)))
    with two:
        other = choose_speaker("Of", strangers, first)
    with three:
        id = choose_utterance("In", strangers, other, first)
    with four:
        below = _choose_below(layer)
    donor = given.utterance(id)
    assert not isinstance(donor, str)
    whole = Stretch(donor, 0, min(donor.samples, stretch.end - stretch.start + donor.sample_rate))
    theirs = heard(model, whole, (checkpoint.sha256, whole.key), seed).latents[layer]
    steps = len(own.latents[layer])
    told = (
        "cut where this recording ends" if len(theirs) >= steps else "begun again where it ends before this recording"
    )
    return Change(
        layer, reconstruction.fitted(theirs, steps), below, (SWAP, layer, below, whole.key),
        f"z{layer + 1} is that of {plain(donor.id)}, step by step from the start and {told}: nothing aligns the two.",
        ((stretch.utterance.id, donor.id), (speaker.id, donor.speaker.id)), whole,
    )  # fmt: skip


def _step(table: TokenTable | None, stretch: Stretch, model: SpeechModel, own: reconstruction.Heard) -> Change | None:
    """Every step of the layer (or those of one phone) moved from one class of the table's tokens towards another."""
    if table is None:
        st.info("No table given was made by this checkpoint, so there are no classes to step between.")
        return None
    utterance = stretch.utterance
    layers = [l for l in range(len(model.latents)) if f"z{l + 1}" in table.features]
    one, two, three, four, five = st.columns([1, 1, 1, 1, 2])
    with one:
        layer = _choose_layer(layers)
    with two:
        target: lda_directions.Target = st.selectbox(
            "Classes", ("gender", "phoneme"), key="classes", bind="query-params"
        )
    left_out = ((utterance.id,), (utterance.speaker.id,))
    kept = lda_directions.others(table, target, *left_out)
    labels = lda_directions.labels_of(table, target)[kept].astype(str)
    known = sorted(set(labels))
    here = known if target == "gender" else sorted({s.label for s in _tokens(stretch)} & set(known))
    if len(known) < 2 or not here:
        st.info(f"The table's other tokens say too little of {target}: there are no two classes to step between.")
        return None
    with three:
        mine = utterance.speaker.gender if target == "gender" else None
        start = st.selectbox("From", here, here.index(mine) if mine in here else 0, key=f"from {target}")
    with four:
        goals = [label for label in known if label != start]
        goal = st.selectbox("To", goals, key=f"to {target} from {start}")
    with five:
        amount = st.slider("How far", -3.0, 3.0, 1.0, 0.25, key="far", bind="query-params",
                           help="1 is as far as from the mean of one class to that of the other.")  # fmt: skip
    left, right = st.columns(2)
    with left:
        way = st.segmented_control(
            "Which way", WAYS, default=WAYS[0], required=True, key="way", bind="query-params",
            help="Both move the discriminant's value by as much. The class means lie where latents lie; the "
            "discriminant itself is the shortest way over the boundary.",
        )  # fmt: skip
    with right:
        below = _choose_below(layer)
    direction = lda_directions.step(table.matrix(f"z{layer + 1}")[kept], labels.tolist(), start, goal, way)
    z, told = own.latents[layer], "at every step"
    size = np.ones(len(z))
    if target == "phoneme":
        spans = [_at(stretch, model, s) for s in _tokens(stretch) if s.label == start]
        size = reconstruction.cover(spans, model.strides[layer], len(z))
        told = f"wherever {plain(start)} is spoken ({len(spans)} times here)"
    moved = z + (amount * size[:, None] * direction).astype(np.float32)
    return Change(
        layer, moved, below, (STEP, layer, below, target, start, goal, amount, way, str(table.path)),
        f"z{layer + 1} is moved by {amount:g} times the step from {plain(start)} to {plain(goal)}, {told}. "
        + f"The step comes from {'other speakers' if target == 'gender' else 'other recordings'}' tokens.",
        left_out,
    )  # fmt: skip


def _choose_layer(layers: Sequence[int]) -> int:
    return int(st.selectbox("Layer", layers, format_func=lambda l: f"z{l + 1}", key=f"layer among {list(layers)}"))


def _choose_below(layer: int) -> Below:
    if layer == 0:
        return "stay as they were"
    chosen: Below = st.selectbox(
        "Layers below", BELOW, key="below", bind="query-params",
        help="As they were: only what the changed layer tells them differs. Inferred again: from this recording's "
        "sound, which can undo the change. From their prior: all that remains of the recording is in the layers above.",
    )  # fmt: skip
    return chosen


def _outcome(
    stretch: Stretch,
    checkpoint: Checkpoint,
    table: TokenTable | None,
    own: reconstruction.Heard,
    change: Change,
    seed: int,
) -> None:
    """Sounds beside one another, and what the probes say."""
    model, key = checkpoint.model, (checkpoint.sha256, stretch.key)
    changed = _changed(model, stretch, (key, change.key), seed, change, own.latents)
    listen = choose_listening()
    rate, pcm = model.config.sample_rate, stretch.pcm(model.config.sample_rate)

    def wave(result: reconstruction.Heard) -> np.ndarray:
        return result.centre if listen == "expectation" else result.drawn

    sounds = {
        RECORDING: pcm / np.float32(FULL_SCALE),
        UNCHANGED: wave(own),
        CHANGED: wave(changed),
    }
    shown = dict(sounds)
    if change.donor is not None:
        shown[f"z{change.layer + 1} is from here"] = change.donor.pcm(rate) / np.float32(FULL_SCALE)
    side_by_side(shown, rate, "change")
    st.caption(f"{change.told} {conditioning(model)}")
    st.subheader("What the probes say")
    tokens = _tokens(stretch)
    if table is None:
        st.info("No table given was made by this checkpoint, so there is nothing to fit probes on.")
        return
    if not tokens:
        st.info("This utterance has no aligned phones, so there are no tokens to ask the probes about.")
        return
    segments = [_at(stretch, model, segment) for segment in tokens]
    mel = table.extraction["mel"]
    heard_again = {
        title: _features(checkpoint, (key, listen, seed, title, change.key), audio, segments, mel)
        for title, audio in sounds.items()
    }
    as_set = {
        f"z{l + 1}": Pooling(segments, stride, len(z)).mean(z)
        for l, (stride, z) in enumerate(zip(model.strides, changed.latents, strict=True))
    }
    rows = {**heard_again, "Changed latents themselves": as_set}
    left, right = st.columns(2)
    with left:
        target: lda_directions.Target = st.segmented_control(
            "Ask for", ("gender", "phoneme"), default="gender", required=True, key="ask", bind="query-params"
        )
    features = [name for name in heard_again[RECORDING] if name in table.features]
    with right:
        chosen = st.segmented_control("Probe shown below", features, default=features[0], required=True, key="probe")
    try:
        probes = {name: _probe(table, str(table.path), name, target, change.left_out) for name in features}
    except InputError as error:
        st.info(said(error))
        return
    told = {
        title: {name: probes[name].answers(points[name]) for name in features if name in points}
        for title, points in rows.items()
    }
    truth = [segment.label for segment in tokens]
    _table_of(told, truth, target, GENDERS.get(stretch.utterance.speaker.gender or "", "of unknown gender"))
    _tiers(stretch, tokens, told, chosen)
    st.caption(
        f"LDA probes on {', '.join(features)}, fitted on the table's phone tokens of "
        + ("other speakers" if target == "gender" else "other recordings")
        + f". Approximate: a sound's features here are means of {lda_directions.PATHS} sampled paths, the table's of "
        f"{table.extraction.get('samples', 'more')}; the changed latents are one path. Decoding alone moves the probes "
        "(compare the first two rows), and the Mel probe alone owes nothing to the model. The last row shows "
        "the latents as they were set: that a probe follows a step along its own axis is arithmetic; whether the sound "
        "does is news."
    )


@st.cache_data(show_spinner="Decoding", max_entries=64)
def _changed(
    _model: SpeechModel, _stretch: Stretch, key: object, seed: int, _change: Change, _own: tuple[np.ndarray, ...]
) -> reconstruction.Heard:
    """The sound of the changed latents; `key` stands for all that is not hashed."""
    given, prior = {_change.layer: _change.z}, range(0)
    match _change.below:
        case "stay as they were":
            given |= {layer: _own[layer] for layer in range(_change.layer)}
        case "from their prior":
            prior = range(_change.layer)
    pcm = _stretch.pcm(_model.config.sample_rate)
    return reconstruction.heard(_model, _stretch.utterance.id, pcm, seed, prior=prior, given=given)


@st.cache_data(show_spinner="Listening to what was decoded", max_entries=64)
def _features(
    _checkpoint: Checkpoint, key: object, _wave: np.ndarray, _segments: list[Segment], _mel: dict[str, Any]
) -> dict[str, np.ndarray]:
    """The probes' features of a sound; `key` stands for it."""
    import torch

    pcm = to_pcm(torch.from_numpy(_wave)).numpy()
    return lda_directions.features_of(_checkpoint, "heard again", pcm, _segments, _mel)


@st.cache_data(show_spinner="Fitting the probes", max_entries=64)
def _probe(
    _table: TokenTable,
    path: str,
    feature: str,
    target: lda_directions.Target,
    left_out: tuple[tuple[str, ...], tuple[str, ...]],
) -> lda_directions.Probe:
    """A probe on one feature, without the tokens of these utterances (and speakers)."""
    kept = lda_directions.others(_table, target, *left_out)
    return lda_directions.fit(_table.matrix(feature)[kept], lda_directions.labels_of(_table, target)[kept].tolist())


def _table_of(told: dict[str, dict[str, list[str]]], truth: list[str], target: lda_directions.Target, who: str) -> None:
    """Shares of tokens, a row a sound and a column a probe."""

    def share(taken_for: list[str]) -> float:
        counted = ["F"] * len(truth) if target == "gender" else truth
        return 100 * float(np.mean([one == other for one, other in zip(taken_for, counted, strict=True)]))

    frame = pd.DataFrame({title: {name: share(s) for name, s in by.items()} for title, by in told.items()}).T
    columns = {
        name: st.column_config.ProgressColumn(f"by {name}", min_value=0, max_value=100, format="%.0f %%")
        for name in frame.columns
    }
    what = f"a woman's (the speaker is {who})" if target == "gender" else "what they are labelled"
    st.markdown(f"Of {len(truth)} phone tokens, those taken for **{what}**:")
    st.dataframe(frame, column_config=columns, width="stretch")


def _tiers(stretch: Stretch, tokens: list[Segment], told: dict[str, dict[str, list[str]]], shown: str) -> None:
    """What one probe says of every token, over time; what it did not say of the recording in another colour."""
    utterance = stretch.utterance
    labels = {"phone": [s.label for s in tokens]} | {
        title.lower(): by[shown] for title, by in told.items() if shown in by
    }
    before, rows = labels[RECORDING.lower()], []
    for title, answered in labels.items():
        segments = [Segment(label, s.start, s.end) for label, s in zip(answered, tokens, strict=True)]
        trace = sound.tier(title, segments, utterance.sample_rate, stretch.start, stretch.end)
        if title != "phone":
            pairs = zip(answered, before, strict=True)
            trace.marker.color = [sound.UNMARKED if now == then else sound.MARKED for now, then in pairs]
        rows.append(Row(26, trace, {"fixedrange": True}))
    figure = stacked(rows, stretch.start / utterance.sample_rate, stretch.end / utterance.sample_rate)
    figure.update_layout(margin={"l": 170})
    st.plotly_chart(figure, key=f"told {shown}", config={"displayModeBar": False})
    st.caption("Orange: another answer than for the recording.")


def _tokens(stretch: Stretch) -> list[Segment]:
    """Phones of the stretch that are no silences."""
    return [
        s for s in stretch.utterance.phonemes
        if s.label not in NON_PHONEMES and stretch.start <= s.start and s.end <= stretch.end
    ]  # fmt: skip


def _at(stretch: Stretch, model: SpeechModel, segment: Segment) -> Segment:
    """A segment of the stretch in samples of the model's rate, counted from the stretch's start."""
    rate, utterance = model.config.sample_rate, stretch.utterance
    inside = Segment(segment.label, segment.start - stretch.start, segment.end - stretch.start)
    return resample_segment(inside, utterance.sample_rate, rate)
