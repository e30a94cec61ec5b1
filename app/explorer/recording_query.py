"""A recording of the user's own among the tokens of a map: encoded as the table was, placed, its neighbours found."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.moments import standardised
from lvm_probe.analysis.shape_annotations import Float, Int, Int16
from lvm_probe.probing.corpora.corpus import Segment

MAX_MEGABYTES = 10
"""Of an uploaded file."""
MAX_SECONDS = 30
"""Of a recording, which goes through the model at once."""
WHOLE = "recording"
"""The label of a recording that is not cut."""

_PLACING = 5  # nearest tokens that place a segment where the axes are no function of the feature
_FITTED = 5000  # tokens from which the axes of LDA and PCA are recovered


@dataclass(frozen=True)
class Encoded:
    """A recording with the features of its segments.

    Attributes:
        pcm: the audio at `sample_rate`.
        sample_rate: of the model, in Hz.
        segments: in samples of `pcm`.
        features: by their names, a row per segment.
        notices: what was found in the TextGrid, a sentence each.
    """

    pcm: Int16[np.ndarray, " samples"]
    sample_rate: int
    segments: tuple[Segment, ...]
    features: Mapping[str, Float[np.ndarray, "segments _size"]]
    notices: tuple[str, ...]


def encode(
    file: Any,
    extraction: Mapping[str, Any],
    name: str,
    audio: bytes,
    text_grid: bytes | None,
    unit: str,
    *,
    progress: Callable[[float], None],
) -> Encoded:
    """Encode a recording by the settings of a table.

    The files are written to a temporary folder, which is removed.

    Args:
        file: the `CheckpointFile` that made the table.
        extraction: the table's `_extraction.json`.
        name: file name of the recording; the noise depends on it, as on an utterance's.
        audio: the file.
        text_grid: its TextGrid; without one the recording is not cut.
        unit: phoneme or word, which a TextGrid cuts it into, or utterance.
        progress: is not called.

    Raises:
        InputError: the files cannot be used.
    """
    from lvm_probe.app.explorer.model_computations import loaded_checkpoint
    from lvm_probe.models.io.pcm import FULL_SCALE
    from lvm_probe.probing.corpora.audio import check_mono, read_audio_header, resample_segment
    from lvm_probe.probing.corpora.recordings import read_pcm_file
    from lvm_probe.probing.features import acoustic
    from lvm_probe.probing.features.extraction_settings import Mel, Settings
    from lvm_probe.probing.features.token_latents import source_of

    mel = extraction["mel"]
    settings = Settings(
        extraction["samples"], extraction["estimator"], extraction["seed"], also=tuple(extraction.get("also", ())),
        mel=Mel(mel["bins"], mel["window"], mel["n_fft"]),
    )  # fmt: skip
    source = source_of(loaded_checkpoint(file).model, settings)
    stem = re.sub(r"[^\w.-]+", "_", Path(name).stem) or WHOLE
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"{stem}.wav"
        path.write_bytes(audio)
        try:
            header = read_audio_header(path)
            check_mono(path, header.channels)
            if header.samples > MAX_SECONDS * header.sample_rate:
                seconds = header.samples / header.sample_rate
                raise InputError(f"{stem}: {seconds:.1f} s long; cut it to at most {MAX_SECONDS} s")
            pcm = read_pcm_file(path, source.sample_rate)
            found, notices = _segments(path, header, text_grid, unit)
        except InputError as error:
            raise InputError(str(error).replace(f"{folder}/", "")) from None
    segments = [resample_segment(one, header.sample_rate, source.sample_rate) for one in found]
    segments = segments or [Segment(WHOLE, 0, len(pcm))]
    latents = source.pooled(stem, pcm, segments)
    sounded = acoustic.pooled((pcm / FULL_SCALE).astype(np.float32), segments, settings, source.sample_rate, source.hop)
    features = {key: value for key, value in {**sounded, **latents}.items() if np.ndim(value) == 2}
    return Encoded(pcm, source.sample_rate, tuple(segments), features, notices)


def _segments(path: Path, header: Any, text_grid: bytes | None, unit: str) -> tuple[list[Segment], tuple[str, ...]]:
    """What a TextGrid cuts the recording into; nothing without one, or for whole utterances."""
    from lvm_probe.probing.corpora import phones
    from lvm_probe.probing.corpora.corpus import Problem
    from lvm_probe.probing.corpora.intake import Options
    from lvm_probe.probing.corpora.textgrid import read_tiers

    if text_grid is None or unit == "utterance":
        return [], ()
    grid = path.with_suffix(".TextGrid")
    grid.write_bytes(text_grid)
    notices: list[Problem] = []
    phonemes, words = read_tiers(grid, header, Options(), notices, [])
    found = [one for one in phonemes if one.label not in phones.NON_PHONEMES] if unit == "phoneme" else list(words)
    if not found:
        raise InputError(f"{grid}: has no {'phones' if unit == 'phoneme' else 'words'}; choose other tokens on the map")
    other = f"no tier of {'words' if unit == 'phoneme' else 'phones'}"  # which nothing here needs
    return found, tuple(problem.message for problem in notices if not problem.message.startswith(other))


def standardised_as(
    tokens: Float[np.ndarray, "tokens dims"], points: Float[np.ndarray, "points dims"]
) -> Float[np.ndarray, "points dims"]:
    """Points by the means and standard deviations of the tokens; 0 where those do not vary."""
    varies = np.ptp(tokens, axis=0) > 0
    return np.where(varies, (points - tokens.mean(axis=0)) / np.where(varies, tokens.std(axis=0), 1.0), 0.0)


def nearest_tokens(
    tokens: Float[np.ndarray, "tokens dims"], point: Float[np.ndarray, " dims"], k: int
) -> tuple[Int[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """The k nearest tokens of a point in the tokens' standardised feature, and their distances; ties by row."""
    distances = np.sqrt(((standardised(tokens) - standardised_as(tokens, point[None])) ** 2).sum(axis=1))
    rows = np.argsort(distances, kind="stable")[:k]
    return rows, distances[rows]


def place_among(
    tokens: Float[np.ndarray, "tokens dims"],
    places: Float[np.ndarray, "tokens 2"],
    points: Float[np.ndarray, "points dims"],
    *,
    linear: bool,
) -> Float[np.ndarray, "points 2"]:
    """Places on a map for points that are not on it.

    Args:
        tokens: feature of the tokens on the map.
        places: of these tokens.
        points: the same feature of others.
        linear: whether the places are a linear function of the feature, as those of LDA and PCA; it is then recovered
            from the tokens. Otherwise a point is placed at the mean of its nearest tokens.
    """
    if not linear:
        return np.stack([places[nearest_tokens(tokens, point, _PLACING)[0]].mean(axis=0) for point in points])
    some = np.random.default_rng(0).permutation(len(tokens))[:_FITTED]
    space = standardised_as(tokens, tokens[some])
    with_one = np.hstack([space, np.ones((len(space), 1))])
    axes = np.linalg.lstsq(with_one, places[some], rcond=None)[0]
    return np.hstack([standardised_as(tokens, points), np.ones((len(points), 1))]) @ axes
