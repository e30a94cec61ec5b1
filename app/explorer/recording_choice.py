"""Controls with which the pages choose a speaker, an utterance and an excerpt of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import numpy as np
import streamlit as st

from lvm_probe import InputError
from lvm_probe.app.explorer.inputs import ExplorerInputs
from lvm_probe.app.explorer.views import plain
from lvm_probe.probing.corpora.corpus import Speaker, Utterance
from lvm_probe.probing.corpora.recordings import read_pcm

if TYPE_CHECKING:
    from lvm_probe.app.explorer.reconstruction import Below
    from lvm_probe.models.checkpoints.checkpoint import Checkpoint

MAX_SECONDS = 30
"""Length of what is shown, and goes through the model, at once."""

Speakers = Mapping[str, tuple[Speaker, tuple[str, ...]]]
"""For each speaker's id: the speaker, and the ids of the utterances."""


@dataclass(frozen=True)
class Excerpt:
    """Samples [start, end) of an utterance, at its own rate; the whole utterance unless it is long."""

    utterance: Utterance
    start: int
    end: int

    def pcm(self, rate: int) -> np.ndarray:
        """16-bit PCM at this rate (Hz).

        Raises:
            InputError: the audio cannot be read; it names the file.
        """
        return read_pcm(self.utterance, rate)[self.at(rate, self.start) : self.at(rate, self.end)]

    def at(self, rate: int, sample: int) -> int:
        """A position at another rate (Hz), rounded up."""
        return -(-sample * rate // self.utterance.sample_rate)

    @property
    def seconds(self) -> tuple[float, float]:
        """Start and end in seconds."""
        return self.start / self.utterance.sample_rate, self.end / self.utterance.sample_rate

    @property
    def key(self) -> tuple[str, int, int]:
        """Identifies the excerpt, for caches."""
        return f"{self.utterance.audio} {self.utterance.id}", self.start, self.end


def speakers_of(inputs: ExplorerInputs) -> Speakers:
    """The speakers of the corpus, or without one those of the tables."""
    found: dict[str, tuple[Speaker, list[str]]] = {}
    try:
        with st.spinner("Reading the corpus"):
            corpus = inputs.corpus
        for utterance in corpus.utterances:
            found.setdefault(utterance.speaker.id, (utterance.speaker, []))[1].append(utterance.id)
    except InputError:
        for table in inputs.tables.values():
            for id, speaker in table.tokens[["utterance", "speaker"]].drop_duplicates().itertuples(index=False):
                found.setdefault(speaker, (Speaker(speaker), []))[1].append(id)
    return {id: (found[id][0], tuple(sorted(set(found[id][1])))) for id in sorted(found)}


def choose_recording(speakers: Speakers) -> tuple[str, int]:
    """The id of the utterance, kept in the address and from page to page, and the seed."""
    first = _first_utterance(speakers)
    left, middle, right = st.columns([2, 2, 1])
    with left:
        speaker = choose_speaker("Speaker", speakers, first)
    with middle:
        id = choose_utterance("Utterance", speakers, speaker, first)
    with right:
        help = "Seed of everything random on this page: the same seed gives the same audio and pictures."
        seed = st.number_input("Seed", 0, 1_000_000, 0, key="seed", bind="query-params", help=help)
    st.query_params["utterance"] = st.session_state["chosen utterance"] = id
    return id, int(seed or 0)


def _first_utterance(speakers: Speakers) -> str:
    """The utterance in the address, or the one chosen before; otherwise the first."""
    known = {id for _, ids in speakers.values() for id in ids}
    for id in (st.query_params.get("utterance"), st.session_state.get("chosen utterance")):
        if id in known:
            return str(id)
    return next(iter(speakers.values()))[1][0]


def choose_speaker(label: str, speakers: Speakers, first: str) -> str:
    """A box of all speakers, at first the one of the utterance `first`."""
    index = next(i for i, (_, ids) in enumerate(speakers.values()) if first in ids)
    names = {id: speaker_text(id, who.gender, who.height_cm, who.dialect) for id, (who, _) in speakers.items()}
    return str(st.selectbox(label, list(speakers), index, format_func=names.__getitem__, key=f"{label} box"))


def choose_utterance(label: str, speakers: Speakers, speaker: str, first: str) -> str:
    """A box of a speaker's utterances, at first the utterance `first` if it is one of them."""
    ids = speakers[speaker][1]
    return str(st.selectbox(label, ids, ids.index(first) if first in ids else 0, key=f"{label} of {speaker}"))


def choose_excerpt(utterance: Utterance) -> Excerpt:
    """The whole utterance, or a part of a long one."""
    most = MAX_SECONDS * utterance.sample_rate
    if utterance.samples <= most:
        return Excerpt(utterance, 0, utterance.samples)
    latest = -(-(utterance.samples - most) // utterance.sample_rate)
    help = "A long recording is shown in parts, and the model gets one part at a time."
    second = st.slider(f"{MAX_SECONDS} seconds from second", 0, latest, 0, key=f"from in {utterance.id}", help=help)
    start = min(int(second) * utterance.sample_rate, utterance.samples - most)
    return Excerpt(utterance, start, start + most)


def choose_output() -> str:
    """A switch between the expectation of the decoder's output and a draw from it."""
    chosen = st.segmented_control(
        "Listen to", ("expectation", "draw"), default="expectation", required=True, key="listen", bind="query-params",
        help="The expectation of p(x | z) sounds muffled, a draw from it noisy.",
    )  # fmt: skip
    return str(chosen)


def choose_below(layer: int) -> Below:
    """What happens to the layers below one that is changed; nothing to choose for the lowest."""
    from lvm_probe.app.explorer.reconstruction import Below

    if layer == 0:
        return "unchanged"
    chosen: Below = st.selectbox(
        "Layers below", get_args(Below), key="below", bind="query-params",
        help="Unchanged: only the decoding and the priors below depend on the change. Inferred again: from the audio "
        "of this recording, which can undo the change. From their prior: only the layers above still depend on the "
        "recording.",
    )  # fmt: skip
    return chosen


def speaker_text(id: str, gender: str | None, height_cm: float | None, *others: str | None) -> str:
    """A speaker's id and attributes, as far as they are known."""
    height = None if height_cm is None else f"{height_cm:.0f} cm"
    facts = (id, {"F": "woman", "M": "man"}.get(gender or "", gender), height, *others)
    return ", ".join(fact for fact in facts if fact)


def utterance_text(utterance: Utterance) -> str:
    """Markdown: what is said, its length and rate."""
    text = f"“{plain(utterance.text)}” " if utterance.text else ""
    split = f", {plain(utterance.split)} split" if utterance.split else ""
    return f"{text}:small[{utterance.seconds:.2f} s at {utterance.sample_rate / 1000:g} kHz{split}]"


def checkpoint_with_latents(inputs: ExplorerInputs, excerpt: Excerpt) -> Checkpoint:
    """The checkpoint.

    Raises:
        InputError: there is none, its model has no latents, or the excerpt cannot be read at its rate.
    """
    checkpoint = inputs.checkpoint
    if checkpoint.model.deterministic:
        raise InputError(f"{checkpoint.path.stem} is a {checkpoint.model.family}, which has no latents to show.")
    excerpt.pcm(checkpoint.model.config.sample_rate)
    return checkpoint
