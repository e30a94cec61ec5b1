"""LDA classifiers fitted on a table's tokens, applied to decoded audio, and steps from one class to another."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.erasure import fit_eraser
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
from lvm_probe.probing.features.token_latents import source_of
from lvm_probe.probing.features.token_table import TokenTable

Target = Literal["gender", "phoneme"]
Concept = Literal["gender", "speaker", "phoneme"]
Way = Literal["between the class means", "along the discriminant"]

DRAWS = 4
"""Monte Carlo draws for the features of audio on the page; tables have more."""


@dataclass(frozen=True)
class Probe:
    """A linear classifier: it predicts the class with the largest x·weights + biases."""

    classes: tuple[str, ...]
    weights: Float[np.ndarray, "size classes"]
    biases: Float[np.ndarray, " classes"]

    def predict(self, points: Float[np.ndarray, "tokens size"]) -> list[str]:
        """The predicted class of each point."""
        return [self.classes[i] for i in np.argmax(points @ self.weights + self.biases, axis=1)]


def fit_probe(points: Float[np.ndarray, "tokens size"], labels: Sequence[str]) -> Probe:
    """Fit LDA with Ledoit-Wolf shrinkage.

    Raises:
        InputError: fewer than two classes.
    """
    classes, codes = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    if len(classes) < 2:
        raise InputError("the other tokens of the table are all of one class, so no probe can be fitted")
    mean, scale = _scales(points)
    fold = moments((points - mean) / scale, codes, len(classes))
    rule = gaussian_rule(fold, ledoit_wolf(fold))
    weights = rule.weights / scale[:, None]
    return Probe(tuple(classes.tolist()), weights, rule.biases - mean @ weights)


def class_step(
    points: Float[np.ndarray, "tokens size"], labels: Sequence[str], start: str, goal: str, way: Way
) -> Float[np.ndarray, " size"]:
    """What to add to a latent to go from one class to another, by the two-class LDA of these tokens.

    Let δ be the difference of the class means and w = Σ⁻¹δ the discriminant. δ = Σw is the direction in which the
    latents vary together when the value of the discriminant grows (Haufe et al. 2014). w itself is the shortest way
    across the decision boundary, but leaves the region where latents lie. Both steps change the discriminant by wᵀδ.

    Raises:
        InputError: a class without tokens.
    """
    text = np.asarray(labels, dtype=str)
    for name in (start, goal):
        if not (text == name).any():
            raise InputError(f"the other tokens of the table have no {name}, so there is no step to or from it")
    here = (text == start) | (text == goal)
    mean, scale = _scales(points[here])
    fold = moments((points[here] - mean) / scale, (text[here] == goal).astype(np.intp), 2)
    difference = fold.means[1] - fold.means[0]
    if way == "between the class means":
        return difference * scale
    axis = np.linalg.solve(shrunk_covariance(fold, ledoit_wolf(fold)), difference) / scale
    return axis * ((difference * scale) @ axis) / (axis @ axis)


def erased_latents(
    table: TokenTable,
    layer: str,
    concept: Concept,
    utterances: Collection[str],
    speakers: Collection[str],
    z: Float[np.ndarray, "steps size"],
) -> tuple[Float[np.ndarray, "steps size"], int]:
    """Latents at every time step without what tells a concept, and how many dimensions that takes (LEACE).

    Args:
        table: its phone tokens, averaged over time, are what the eraser is fitted to.
        layer: column of the table.
        concept: what is erased.
        utterances: held out.
        speakers: held out for the gender. To erase the speaker, other utterances of the same speaker are needed.
        z: the latents.

    Raises:
        InputError: the other tokens are all of one class.
    """
    rows = training_rows(table, "phoneme" if concept == "speaker" else concept, utterances, speakers)
    column = {"speaker": "speaker", "gender": "gender", "phoneme": "label"}[concept]
    names, codes = np.unique(table.tokens[column].to_numpy(dtype=object)[rows].astype(str), return_inverse=True)
    if len(names) < 2:
        raise InputError(f"The other tokens of the table are all of one {concept}, so there is nothing to erase.")
    eraser = fit_eraser(table.matrix(layer)[rows].astype(np.float64), codes)
    return eraser(z.astype(np.float64)).astype(np.float32), eraser.rank


def training_rows(
    table: TokenTable, target: Target, utterances: Collection[str], speakers: Collection[str]
) -> Bool[np.ndarray, " rows"]:
    """Phone tokens without silences that a probe may be fitted on.

    Those of the given utterances are held out; for gender also those of the given speakers and of unknown gender.
    """
    tokens = table.tokens
    rows = (tokens["unit"] == "phoneme") & ~tokens["label"].isin(NON_PHONEMES) & ~tokens["utterance"].isin(utterances)
    if target == "gender":
        rows &= tokens["gender"].notna() & ~tokens["speaker"].isin(speakers)
    return rows.to_numpy(dtype=bool)


def labels_of(table: TokenTable, target: Target) -> np.ndarray:
    """The label of each token of the table."""
    return table.tokens["gender" if target == "gender" else "label"].to_numpy(dtype=object)


def predicted_phones(table: TokenTable, feature: str, utterance: str) -> tuple[list[Segment], list[str]]:
    """The phones of one utterance, and what LDA fitted on the phones of the others takes each of them for.

    Silences are left out. Both are empty where the table has no phone of the utterance.

    Raises:
        InputError: the other phones are all of one class.
    """
    tokens = table.tokens
    mine = (tokens["utterance"] == utterance) & (tokens["unit"] == "phoneme") & ~tokens["label"].isin(NON_PHONEMES)
    own = tokens[mine].sort_values("start")
    segments = [Segment(*span) for span in own[["label", "start", "end"]].itertuples(index=False)]
    if not segments:
        return [], []
    rows = training_rows(table, "phoneme", [utterance], [])
    probe = fit_probe(table.matrix(feature, rows), labels_of(table, "phoneme")[rows].tolist())
    return segments, probe.predict(table.matrix(feature, own.index))


def audio_features(
    checkpoint: Checkpoint,
    name: str,
    pcm: Int16[np.ndarray, " samples"],
    segments: Sequence[Segment],
    mel: dict[str, Any],
) -> dict[str, np.ndarray]:
    """Latents of every layer and Mel of some audio, averaged over segments, as `probe extract` does with more draws.

    Args:
        checkpoint: the model.
        name: of the audio, which seeds the noise.
        pcm: the audio at the model's sample rate.
        segments: in samples of the audio.
        mel: the Mel settings of the table, from its `_extraction.json`.
    """
    settings = Settings(DRAWS, "posterior-mean", mel=Mel(mel["bins"], mel["window"], mel["n_fft"]))
    source = source_of(checkpoint.model, settings)
    pooled = source.pooled(name, pcm, segments)
    wave = (pcm / FULL_SCALE).astype(np.float32)
    sounded = acoustic.pooled(wave, segments, settings, source.sample_rate, source.hop)
    return {layer: pooled[layer] for layer in source.layers} | {"mel": sounded["mel"]}


def made_by(table: TokenTable, checkpoint: Checkpoint) -> bool:
    """Whether the table's latents come from this checkpoint."""
    extracted = table.extraction.get("checkpoint") or {}
    return extracted.get("sha256") == checkpoint.sha256 and not table.extraction.get("untrained")


def _scales(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each feature; 1 for a constant one."""
    varies = np.ptp(points, axis=0) > 0
    return points.mean(axis=0), np.where(varies, points.std(axis=0), 1.0)
