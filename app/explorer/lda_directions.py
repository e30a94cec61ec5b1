"""Probes that are asked of a sound: an LDA classifier fitted on a table's tokens, and the way from class to class."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.lda import gaussian_rule
from lvm_probe.analysis.moments import moments
from lvm_probe.analysis.shape_annotations import Bool, Float, Int16
from lvm_probe.analysis.shrinkage import ledoit_wolf, shrunk_covariance
from lvm_probe.models.checkpoints.checkpoint import Checkpoint
from lvm_probe.probing.corpora.audio import FULL_SCALE
from lvm_probe.probing.corpora.corpus import Segment
from lvm_probe.probing.corpora.phones import NON_PHONEMES
from lvm_probe.probing.features import acoustic
from lvm_probe.probing.features.extraction_settings import Mel, Settings
from lvm_probe.probing.features.sources import ModelSource
from lvm_probe.probing.features.token_table import TokenTable

Target = Literal["gender", "phoneme"]
Way = Literal["between the class means", "along the discriminant"]

PATHS = 4
"""Sampled paths behind the features of a sound that is heard here; tables have more."""


@dataclass(frozen=True)
class Probe:
    """A linear classifier: the class of the largest x·weights + biases."""

    classes: tuple[str, ...]
    weights: Float[np.ndarray, "size classes"]
    biases: Float[np.ndarray, " classes"]

    def answers(self, points: Float[np.ndarray, "tokens size"]) -> list[str]:
        """The class that each point is taken for."""
        return [self.classes[i] for i in np.argmax(points @ self.weights + self.biases, axis=1)]


def fit(points: Float[np.ndarray, "tokens size"], labels: Sequence[str]) -> Probe:
    """LDA with shrinkage by Ledoit and Wolf. Raises InputError where there are fewer than two classes."""
    classes, codes = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    if len(classes) < 2:
        raise InputError("the other tokens of the table are all of one class, so a probe has nothing to tell apart")
    mean, scale = _scales(points)
    fold = moments((points - mean) / scale, codes, len(classes))
    rule = gaussian_rule(fold, ledoit_wolf(fold))
    weights = rule.weights / scale[:, None]
    return Probe(tuple(classes.tolist()), weights, rule.biases - mean @ weights)


def step(
    points: Float[np.ndarray, "tokens size"], labels: Sequence[str], start: str, goal: str, way: Way
) -> Float[np.ndarray, " size"]:
    """What to add to a latent to go from one class to another, as the two-class LDA on these tokens has it.

    Let δ be the goal's mean less the start's, and w = Σ⁻¹δ the discriminant. δ = Σw is the direction in which the
    latents go together when the discriminant's value grows (Haufe et al. 2014); w itself is the shortest way across the
    boundary, but leaves where latents lie. Both steps change the discriminant's value by as much: by wᵀδ.

    Raises:
        InputError: a class without tokens.
    """
    text = np.asarray(labels, dtype=str)
    for name in (start, goal):
        if not (text == name).any():
            raise InputError(f"the other tokens of the table hold no {name}, so there is no way to or from it")
    kept = (text == start) | (text == goal)
    mean, scale = _scales(points[kept])
    fold = moments((points[kept] - mean) / scale, (text[kept] == goal).astype(np.intp), 2)
    apart = fold.means[1] - fold.means[0]
    if way == "between the class means":
        return apart * scale
    axis = np.linalg.solve(shrunk_covariance(fold, ledoit_wolf(fold)), apart) / scale
    return axis * ((apart * scale) @ axis) / (axis @ axis)


def others(
    table: TokenTable, target: Target, utterances: Collection[str], speakers: Collection[str]
) -> Bool[np.ndarray, " rows"]:
    """Phone tokens (without silences) that a probe may be fitted on.

    Those of the given utterances are left out; asked for gender, those of the given speakers, and of unknown gender.
    """
    tokens = table.tokens
    kept = (tokens["unit"] == "phoneme") & ~tokens["label"].isin(NON_PHONEMES) & ~tokens["utterance"].isin(utterances)
    if target == "gender":
        kept &= tokens["gender"].notna() & ~tokens["speaker"].isin(speakers)
    return kept.to_numpy(dtype=bool)


def labels_of(table: TokenTable, target: Target) -> np.ndarray:
    """What is asked of each token of the table."""
    return table.tokens["gender" if target == "gender" else "label"].to_numpy(dtype=object)


def features_of(
    checkpoint: Checkpoint,
    name: str,
    pcm: Int16[np.ndarray, " samples"],
    segments: Sequence[Segment],
    mel: dict[str, Any],
) -> dict[str, np.ndarray]:
    """The latents of every layer and Mel of a sound, pooled over segments, as `probe extract` does from fewer paths.

    `mel` is what the table says of its own.
    """
    settings = Settings(PATHS, "posterior-mean", mel=Mel(mel["bins"], mel["window"], mel["n_fft"]))
    source = ModelSource(checkpoint.model, settings)
    pooled = source.pooled(name, pcm, segments)
    wave = (pcm / FULL_SCALE).astype(np.float32)
    sounded = acoustic.pooled(wave, segments, settings, source.sample_rate, source.hop)
    return {layer: pooled[layer] for layer in source.layers} | {"mel": sounded["mel"]}


def fits(table: TokenTable, checkpoint: Checkpoint) -> bool:
    """Whether the table's latents are this checkpoint's."""
    made_by = table.extraction.get("checkpoint") or {}
    return made_by.get("sha256") == checkpoint.sha256 and not table.extraction.get("untrained")


def _scales(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each feature; 1 for a constant one."""
    varies = np.ptp(points, axis=0) > 0
    return points.mean(axis=0), np.where(varies, points.std(axis=0), 1.0)
