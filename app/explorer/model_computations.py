"""What the pages compute with the model, as functions for `background`; each worker loads a checkpoint once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lvm_probe import InputError
from lvm_probe.app.explorer import latent_probes, reconstruction, sound_walk
from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.models.checkpoints.checkpoint import Checkpoint
from lvm_probe.models.likelihood.mulaw import to_pcm
from lvm_probe.probing.corpora.corpus import Segment, Utterance
from lvm_probe.probing.corpora.recordings import CorpusRecording
from lvm_probe.probing.diagnostics import kl_rate
from lvm_probe.probing.diagnostics.dimensions import LayerDimensions, measure_dimensions

Progress = Callable[[float], None]


@dataclass(frozen=True)
class CheckpointFile:
    """A checkpoint that a worker loads; the hash tells whether it is still the one on the page."""

    path: Path
    sha256: str

    @classmethod
    def of(cls, loaded: Checkpoint) -> CheckpointFile:
        return cls(loaded.path.absolute(), loaded.sha256)


def layer_kl(
    file: CheckpointFile, name: str, pcm: np.ndarray, draws: int, seed: int, *, progress: Progress
) -> tuple[kl_rate.LayerKL, ...]:
    """`kl_rate.layer_kl`."""
    return kl_rate.layer_kl(loaded_checkpoint(file).model, name, pcm, draws, seed)


def dimensions(
    file: CheckpointFile, utterances: Sequence[Utterance], draws: int, *, progress: Progress
) -> tuple[LayerDimensions, ...]:
    """`probing.diagnostics.dimensions.measure_dimensions`."""
    model = loaded_checkpoint(file).model
    recordings = [CorpusRecording(utterance, model.config.sample_rate, keep=False) for utterance in utterances]
    return measure_dimensions(model, recordings, draws=draws, progress=progress)


def reconstruct(
    file: CheckpointFile, name: str, pcm: np.ndarray, seed: int, prior: Sequence[int],
    given: Mapping[int, np.ndarray], *, progress: Progress,
) -> reconstruction.Reconstruction:  # fmt: skip
    """`reconstruction.reconstruct`."""
    return reconstruction.reconstruct(loaded_checkpoint(file).model, name, pcm, seed, prior=prior, given=given)


def audio_features(
    file: CheckpointFile, wave: np.ndarray, segments: Sequence[Segment], mel: dict[str, Any], *, progress: Progress
) -> dict[str, np.ndarray]:
    """`latent_probes.audio_features` of a decoded waveform in [-1, 1]."""
    import torch

    pcm = to_pcm(torch.from_numpy(wave)).numpy()
    return latent_probes.audio_features(loaded_checkpoint(file), "decoded", pcm, segments, mel)


def walk(
    file: CheckpointFile, first: sound_walk.Sound, last: sound_walk.Sound, line: sound_walk.Line, steps: int, *,
    progress: Progress,
) -> np.ndarray:  # fmt: skip
    """`sound_walk.walk`."""
    return sound_walk.walk(loaded_checkpoint(file).model, first, last, line, steps)


@lru_cache(maxsize=1)
def loaded_checkpoint(file: CheckpointFile) -> Checkpoint:
    """The checkpoint, loaded once in this process.

    Raises:
        InputError: the file has changed.
    """
    loaded = checkpoint.load(file.path)
    if loaded.sha256 != file.sha256:
        raise InputError(f"{file.path}: has changed since the explorer was started; start it again")
    return loaded
