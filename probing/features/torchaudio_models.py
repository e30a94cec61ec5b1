"""Layers of the speech models that torchaudio builds, with weights from a local file: nothing is downloaded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchaudio.models as zoo
from torch import Tensor, nn

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Float32
from lvm_probe.models.checkpoints.weights_file import read_weights
from lvm_probe.probing.features.encoders import Encoder, Layer

STRIDE = 320
SAMPLE_RATE = 16_000

MIN_SAMPLES = 400
"""Audio samples that the convolutions need for one step; shorter audio is padded with zeros."""

BUILDERS: dict[str, tuple[Callable[[], nn.Module], bool]] = {
    "wav2vec2_base": (zoo.wav2vec2_base, False),
    "wav2vec2_large": (zoo.wav2vec2_large, False),
    "wav2vec2_large_lv60k": (zoo.wav2vec2_large_lv60k, True),
    "wav2vec2_xlsr_300m": (zoo.wav2vec2_xlsr_300m, True),
    "wav2vec2_xlsr_1b": (zoo.wav2vec2_xlsr_1b, True),
    "wav2vec2_xlsr_2b": (zoo.wav2vec2_xlsr_2b, True),
    "hubert_base": (zoo.hubert_base, False),
    "hubert_large": (zoo.hubert_large, True),
    "hubert_xlarge": (zoo.hubert_xlarge, True),
    "wavlm_base": (zoo.wavlm_base, False),
    "wavlm_large": (zoo.wavlm_large, True),
}
"""For each model the function that builds it, and whether utterances are first normalised to mean 0 and variance 1.

The latter is what torchaudio's pipelines of the pretrained models do (`torchaudio.pipelines.Wav2Vec2Bundle`): models
whose encoder starts with layer normalisation need it.
"""


@dataclass(frozen=True)
class TorchaudioEncoder:
    """Outputs of some transformer layers, 20 ms per step, as features `hubert_base_6`, ...

    Attributes:
        name: name of the model.
        model: the module, in evaluation mode.
        layers: numbers of the layers, from 1.
        normalise: whether the wave is normalised to mean 0 and variance 1.
        device: where the model is.
    """

    name: str
    model: Any
    layers: tuple[int, ...]
    normalise: bool
    device: torch.device

    def encode(self, wave: Float32[np.ndarray, " samples"]) -> list[Layer]:
        x = torch.from_numpy(wave).to(self.device).unsqueeze(0)
        if self.normalise:
            x = nn.functional.layer_norm(x, x.shape)
        x = nn.functional.pad(x, (0, max(0, MIN_SAMPLES - len(wave))))
        outputs, _ = self.model.extract_features(x, num_layers=max(self.layers))
        return [Layer(f"{self.name}_{l}", outputs[l - 1][0], None, STRIDE) for l in self.layers]


def load(
    name: str, weights: Path | None, layers: Sequence[int], *, device: torch.device, untrained_seed: int | None = None
) -> Encoder:
    """A torchaudio model as an encoder.

    Args:
        name: one of `BUILDERS`.
        weights: file with the model's state dict (torch.save or safetensors). A readout (`aux`) in it is ignored.
        layers: numbers of the wanted transformer layers, from 1.
        device: where to compute.
        untrained_seed: seed of random weights, for a baseline; instead of `weights`.

    Raises:
        InputError: there is no such model or layer, or the weights do not fit.
    """
    if name not in BUILDERS:
        raise InputError(f"--torchaudio {name}: unknown; choose among {', '.join(BUILDERS)}")
    if (weights is None) == (untrained_seed is None):
        raise InputError(f"--torchaudio {name}: give either --weights FILE (nothing is downloaded) or --untrained")
    build, normalise = BUILDERS[name]
    # The state dict is read first, so that a wrong file is reported before a large model is built.
    tensors = None if weights is None else _state_dict(weights)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(untrained_seed or 0)
        model: Any = build()
    count = len(model.encoder.transformer.layers)
    if not layers or not all(1 <= layer <= count for layer in layers):
        given = ", ".join(map(str, layers)) or "none given"
        raise InputError(f"--layer: {given}; {name} has layers 1 to {count}, choose one with each --layer")
    provenance: dict[str, Any] = {"layers": sorted(set(layers)), "normalised": normalise}
    if weights is not None and tensors is not None:
        _fill(model, tensors, name, weights)
        provenance |= {"weights": weights.name, "sha256": _sha256(weights)}
    encoder = TorchaudioEncoder(name, model.to(device).eval(), tuple(sorted(set(layers))), normalise, device)
    return Encoder(f"torchaudio {name}", encoder.encode, SAMPLE_RATE, provenance)


def _state_dict(path: Path) -> dict[str, Tensor]:
    tensors = read_weights(path, "save model.state_dict() by itself")
    if not isinstance(tensors, dict) or not all(isinstance(t, Tensor) for t in tensors.values()) or not tensors:
        raise InputError(f"{path}: not a state dict, which maps names to tensors; save model.state_dict() by itself")
    if all(key.startswith("model.") for key in tensors):  # from a pipeline that wraps the model to normalise its input
        tensors = {key.removeprefix("model."): tensor for key, tensor in tensors.items()}
    return {key: tensor for key, tensor in tensors.items() if not key.startswith("aux.")}


def _fill(model: nn.Module, tensors: dict[str, Tensor], name: str, path: Path) -> None:
    """Load checked tensors into a model."""
    cure = "give weights in torchaudio's own naming (torchaudio.models.wav2vec2.utils converts others)"
    own = model.state_dict()
    for key, tensor in tensors.items():
        if key in own and own[key].shape != tensor.shape:
            have, want = tuple(tensor.shape), tuple(own[key].shape)
            raise InputError(f"{path}: tensor '{key}' has shape {have}, {name} needs {want}; name the right model")
        if not tensor.isfinite().all():
            raise InputError(f"{path}: tensor '{key}' holds NaN or infinity; copy the file again from its source")
    # load_state_dict also accepts the older names of a weight norm's tensors.
    result = model.load_state_dict(tensors, strict=False)
    if result.missing_keys or result.unexpected_keys:
        side = "lacks" if result.missing_keys else "has an unknown"
        key = (result.missing_keys or result.unexpected_keys)[0]
        raise InputError(f"{path}: {side} tensor '{key}' for {name}; {cure}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
