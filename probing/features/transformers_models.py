"""Layers of the speech models of Hugging Face's transformers, from a local folder: nothing is downloaded.

wav2vec 2.0 (Baevski et al. 2020), HuBERT (Hsu et al. 2021), WavLM (Chen et al. 2022) and their relatives take the wave;
of Whisper (Radford et al. 2023) it is the encoder. All layers come from one pass: what transformers calls
`hidden_states`, where 0 is what enters the first transformer layer and l is what layer l gives.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Float32
from lvm_probe.probing.features.encoders import Encoder, Layer, one_line

WAVE_MODELS = (
    "wav2vec2", "hubert", "wavlm", "data2vec-audio", "unispeech", "unispeech-sat", "wav2vec2-conformer", "sew", "sew-d",
)  # fmt: skip
"""Values of `model_type` in config.json of models that take the wave itself."""

WHISPER = "whisper"

WEIGHTS = ("*.safetensors", "pytorch_model*.bin")

_UNUSED = ("masked_spec_embed",)  # what only training uses: older checkpoints lack it


@dataclass(frozen=True)
class WaveEncoder:
    """A model on the wave, without padding.

    Attributes:
        model: the module, in evaluation mode.
        names: names of the wanted layers, by their numbers.
        normalise: whether the wave is normalised to mean 0 and variance 1.
        stride: samples per step.
        receptive_field: samples of one step; shorter audio is padded with zeros.
        device: where the model is.
    """

    model: Any
    names: dict[int, str]
    normalise: bool
    stride: int
    receptive_field: int
    device: torch.device

    def encode(self, wave: Float32[np.ndarray, " samples"]) -> list[Layer]:
        x = torch.from_numpy(wave).to(self.device)
        if self.normalise:  # as Wav2Vec2FeatureExtractor does
            x = (x - x.mean()) / torch.sqrt(x.var(correction=0) + 1e-7)
        x = nn.functional.pad(x, (0, max(0, self.receptive_field - len(x))))
        states = self.model(x[None], output_hidden_states=True).hidden_states
        return [Layer(name, states[l][0], None, self.stride) for l, name in self.names.items()]


@dataclass(frozen=True)
class WhisperEncoder:
    """Whisper's encoder, which takes windows of a fixed length (30 s), the last one padded with silence.

    Attributes:
        model: the encoder, in evaluation mode.
        names: names of the wanted layers, by their numbers.
        extractor: gives the log-Mel spectrogram of a window.
        device: where the model is.
    """

    model: Any
    names: dict[int, str]
    extractor: Any
    device: torch.device

    @property
    def stride(self) -> int:
        """Samples per step: two frames of the spectrogram."""
        return 2 * int(self.extractor.hop_length)

    def encode(self, wave: Float32[np.ndarray, " samples"]) -> list[Layer]:
        window = int(self.extractor.n_samples)
        parts: dict[int, list[Tensor]] = {l: [] for l in self.names}
        for start in range(0, len(wave), window):
            some = wave[start : start + window]
            mel = self.extractor(some, sampling_rate=self.extractor.sampling_rate, return_tensors="pt")
            states = self.model(mel.input_features.to(self.device), output_hidden_states=True).hidden_states
            for l, part in parts.items():
                part.append(states[l][0, : math.ceil(len(some) / self.stride)])
        return [
            Layer(name, torch.cat(parts[l]).float().cpu().numpy(), None, self.stride) for l, name in self.names.items()
        ]


def load(
    folder: Path, layers: Sequence[int] = (), *, device: torch.device, untrained_seed: int | None = None
) -> Encoder:
    """A model of transformers as an encoder, with features `hubert_0`, `hubert_1`, ...

    Args:
        folder: with config.json, preprocessor_config.json and the weights, as `save_pretrained` writes it.
        layers: numbers of the wanted layers, from 0 (default: all).
        device: where to compute.
        untrained_seed: seed of random weights, for a baseline; the folder then needs none.

    Raises:
        InputError: transformers is missing, the folder is no such model, or it has no such layer.
    """
    config_file = folder / "config.json"
    if not config_file.is_file():
        raise InputError(f"{folder}: no config.json here; give --hf the folder of a transformers model on this machine")
    kind = str(_json(config_file).get("model_type", "none"))
    if kind not in (*WAVE_MODELS, WHISPER):
        raise InputError(
            f"{config_file}: model_type is {kind!r}; --hf knows {', '.join(WAVE_MODELS)} and {WHISPER}; give others by "
            "--encoder"
        )
    if find_spec("transformers") is None:
        raise InputError("--hf needs the library transformers; install it: pip install 'lvm-probe[transformers]'")
    weights = sorted(path for pattern in WEIGHTS for path in folder.glob(pattern))
    if untrained_seed is None and not weights:
        raise InputError(f"{folder}: no weights here ({' or '.join(WEIGHTS)}); add them, or give --untrained")
    # The smaller files are read first, so that what is wrong there is reported before a large model is built.
    preprocessing = _preprocessing(folder, kind)
    rate = int(preprocessing.get("sampling_rate", 16_000))
    model = _model(folder, untrained_seed)
    count = int(model.config.encoder_layers if kind == WHISPER else model.config.num_hidden_layers)
    if not all(0 <= layer <= count for layer in layers):
        given = ", ".join(map(str, layers))
        raise InputError(f"--layer: {given}; {folder.name} has layers 0 to {count}; leave --layer out for all")
    chosen = sorted(set(layers)) or range(count + 1)
    names = {l: f"{kind.replace('-', '_')}_{l}" for l in chosen}
    provenance: dict[str, Any] = {
        "folder": folder.name,
        "layers": list(chosen),
        "config_sha256": _sha256([config_file]),
        "preprocessing": preprocessing,
    }
    if untrained_seed is None:
        provenance["sha256"] = _sha256(weights)
    encoder: WaveEncoder | WhisperEncoder
    if kind == WHISPER:
        from transformers import WhisperFeatureExtractor

        extractor = WhisperFeatureExtractor(**preprocessing)
        encoder = WhisperEncoder(model.encoder.to(device).eval(), names, extractor, device)
    else:
        strides, kernels = list(model.config.conv_stride), list(model.config.conv_kernel)
        normalise = bool(preprocessing.get("do_normalize", True))
        field = receptive_field(kernels, strides)
        encoder = WaveEncoder(model.to(device).eval(), names, normalise, math.prod(strides), field, device)
    return Encoder(f"transformers {folder.name}", encoder.encode, rate, provenance)


def receptive_field(kernels: Sequence[int], strides: Sequence[int]) -> int:
    """Samples that a stack of convolutions needs for one step.

    Example:
        >>> receptive_field([10, 3, 3, 3, 3, 2, 2], [5, 2, 2, 2, 2, 2, 2])  # wav2vec 2.0: 25 ms
        400
    """
    samples = 1
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        samples = (samples - 1) * stride + kernel
    return samples


def _preprocessing(folder: Path, kind: str) -> dict[str, Any]:
    """What preprocessor_config.json says of the input."""
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        raise InputError(
            f"{folder}: no preprocessor_config.json, which says how the model takes its input; copy it from where the "
            "weights come from"
        )
    found = _json(path)
    if kind == WHISPER:
        names = ("feature_size", "sampling_rate", "hop_length", "chunk_length", "n_fft", "padding_value", "dither")
        return {name: found[name] for name in names if name in found}
    return {name: found[name] for name in ("do_normalize", "sampling_rate") if name in found}


def _model(folder: Path, untrained_seed: int | None) -> Any:
    """The model, with the folder's weights or random ones; a head on top of it is left out."""
    import transformers

    level = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(untrained_seed or 0)
            config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
            if untrained_seed is not None:
                return transformers.AutoModel.from_config(config)
            model, said = transformers.AutoModel.from_pretrained(
                folder, config=config, local_files_only=True, output_loading_info=True
            )
    except Exception as error:  # the library's own checks raise all kinds
        raise InputError(f"{folder}: transformers cannot load this model ({one_line(error)}); save it again") from error
    finally:
        transformers.logging.set_verbosity(level)
    if missing := sorted(key for key in said["missing_keys"] if not key.endswith(_UNUSED)):
        raise InputError(
            f"{folder}: its weights lack {missing[0]} ({len(missing)} tensors in all), which would be random; give the "
            "weights that belong to config.json"
        )
    return model


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({one_line(error)}); copy it again from its source") from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: holds no JSON object; copy it again from its source")
    return found


def _sha256(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
