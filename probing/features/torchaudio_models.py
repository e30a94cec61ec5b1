"""Layers of the speech models that torchaudio builds, with weights from a local file: nothing is downloaded."""

from __future__ import annotations

import hashlib
import pickle
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
from lvm_probe.models.checkpoints.checkpoint import load_tensors
from lvm_probe.probing.features.encoders import Encoder, Layer

STRIDE = 320
SAMPLE_RATE = 16_000

LEAST_SAMPLES = 400
"""What the convolutions need for one step; shorter audio is padded with zeros."""

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
"""torchaudio's function, and whether the waveform is normalised to mean 0 and variance 1 over the utterance first.

As torchaudio's pipelines of the pretrained models do (`torchaudio.pipelines.Wav2Vec2Bundle`): those whose encoder
begins with layer normalisation want it, the others take the samples as they are.
"""


@dataclass(frozen=True)
class TorchaudioEncoder:
    """Outputs of the given transformer layers (from 1), 20 ms a step, as columns `hubert_base_6`, ..."""

    name: str
    model: Any
    layers: tuple[int, ...]
    normalise: bool
    device: torch.device

    def encode(self, wave: Float32[np.ndarray, " samples"]) -> list[Layer]:
        x = torch.from_numpy(wave).to(self.device).unsqueeze(0)
        if self.normalise:
            x = nn.functional.layer_norm(x, x.shape)
        x = nn.functional.pad(x, (0, max(0, LEAST_SAMPLES - len(wave))))
        outputs, _ = self.model.extract_features(x, num_layers=max(self.layers))
        return [Layer(f"{self.name}_{l}", outputs[l - 1][0], None, STRIDE) for l in self.layers]


def load(
    name: str, weights: Path | None, layers: Sequence[int], *, device: torch.device, untrained_seed: int | None = None
) -> Encoder:
    """A torchaudio model as an encoder, with the weights of a state dict (torch.save or safetensors).

    Without weights, `untrained_seed` draws them at random, for a baseline. A readout (`aux`) that the weights may
    have is not used. Raises InputError when a name, a layer or a tensor does not fit.
    """
    if name not in BUILDERS:
        raise InputError(f"--torchaudio {name}: unknown; choose among {', '.join(BUILDERS)}")
    if (weights is None) == (untrained_seed is None):
        raise InputError(f"--torchaudio {name}: give either --weights FILE (nothing is downloaded) or --untrained")
    build, normalise = BUILDERS[name]
    # The state dict is read first: a wrong file is found before a large model is built.
    tensors = None if weights is None else _state_dict(weights)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(untrained_seed or 0)
        model: Any = build()
    there = len(model.encoder.transformer.layers)
    if not layers or not all(1 <= layer <= there for layer in layers):
        asked = ", ".join(map(str, layers)) or "none given"
        raise InputError(f"--layer: {asked}; {name} has layers 1 to {there}, choose one with each --layer")
    provenance: dict[str, Any] = {"layers": sorted(set(layers)), "normalised": normalise}
    if weights is not None and tensors is not None:
        _fill(model, tensors, name, weights)
        provenance |= {"weights": weights.name, "sha256": _sha256(weights)}
    encoder = TorchaudioEncoder(name, model.to(device).eval(), tuple(sorted(set(layers))), normalise, device)
    return Encoder(f"torchaudio {name}", encoder.encode, SAMPLE_RATE, provenance)


def _state_dict(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; give --weights a state dict that is on this machine")
    if path.suffix == ".safetensors":
        found: Any = load_tensors(path)[0]
    else:
        try:
            found = torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
            why = " ".join(str(error).split()).split(". ")[0] or type(error).__name__
            raise InputError(
                f"{path}: torch cannot load it safely ({why}); save model.state_dict() by itself"
            ) from None
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()) or not found:
        raise InputError(f"{path}: not a state dict, which maps names to tensors; save model.state_dict() by itself")
    if all(key.startswith("model.") for key in found):  # torchaudio's pipelines wrap the models that they normalise for
        found = {key.removeprefix("model."): value for key, value in found.items()}
    return {key: value for key, value in found.items() if not key.startswith("aux.")}


def _fill(model: nn.Module, tensors: dict[str, Tensor], name: str, path: Path) -> None:
    cure = "give weights in torchaudio's own naming (torchaudio.models.wav2vec2.utils imports other ones)"
    own = model.state_dict()
    for key, tensor in tensors.items():
        if key in own and own[key].shape != tensor.shape:
            have, want = tuple(tensor.shape), tuple(own[key].shape)
            raise InputError(f"{path}: tensor '{key}' has shape {have}, {name} wants {want}; name the right model")
        if not tensor.isfinite().all():
            raise InputError(f"{path}: tensor '{key}' holds NaN or infinity; copy the file again from its source")
    # torch's own loading knows the older names of a weight norm's tensors.
    found = model.load_state_dict(tensors, strict=False)
    if found.missing_keys or found.unexpected_keys:
        side = "lacks" if found.missing_keys else "has an unknown"
        key = (found.missing_keys or found.unexpected_keys)[0]
        raise InputError(f"{path}: {side} tensor '{key}' for {name}; {cure}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
