"""Encoders of CPC_audio (Rivière et al. 2020; github.com/facebookresearch/CPC_audio) from a local file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lvm_probe import InputError
from lvm_probe.models.checkpoints.weights_file import read_weights
from lvm_probe.models.layers.cpc_encoder import KERNELS, CPCEncoder
from lvm_probe.models.model import SpeechModel

_CURE = "give a checkpoint of CPC_audio, or a .safetensors with its tensors (gEncoder.conv0.weight, ...)"
_NAMES = {
    f"{ours}.{i}.{part}": f"gEncoder.{theirs}{i}.{part}"
    for ours, theirs in (("conv", "conv"), ("norm", "batchNorm"))
    for i in range(len(KERNELS))
    for part in ("weight", "bias")
}
"""Of every tensor of a `CPCEncoder`, its name in CPC_audio."""


@dataclass(frozen=True)
class EncoderWeights:
    """The weights of a `CPCEncoder`.

    Attributes:
        name: of the file that they were read from.
        sha256: of the file.
        tensors: by the encoder's names, in single precision.
    """

    name: str
    sha256: str
    tensors: dict[str, Tensor]

    @property
    def channels(self) -> int:
        """Of the encoder."""
        return len(self.tensors["conv.0.weight"])


def read_encoder(path: Path) -> EncoderWeights:
    """The encoder in a checkpoint of CPC_audio.

    Its released checkpoint has the tensors under the key `weights`, those that its training saves under `gEncoder`; a
    .safetensors has them by the same names. Everything else in the file is passed over.

    Args:
        path: of the file.

    Raises:
        InputError: if there is no such file, it cannot be read safely, or it does not hold such an encoder. The message
            names the tensor.
    """
    found = read_weights(path, _CURE)
    if isinstance(found, dict) and path.suffix != ".safetensors":
        found = found.get("weights", found.get("gEncoder"))
    if not isinstance(found, dict):
        raise InputError(f"{path}: has no tensors under 'weights' or 'gEncoder'; {_CURE}")
    tensors = {}
    for ours, theirs in _NAMES.items():
        tensor = found.get(theirs)
        if not isinstance(tensor, Tensor):
            raise InputError(f"{path}: lacks tensor '{theirs}': no convolutional encoder with channel norm; {_CURE}")
        if not tensor.is_floating_point() or not tensor.isfinite().all():
            raise InputError(f"{path}: tensor '{theirs}' is no array of finite numbers; copy the file again")
        tensors[ours] = tensor.float()
    weights = EncoderWeights(path.name, hashlib.sha256(path.read_bytes()).hexdigest(), tensors)
    with torch.device("meta"):
        wanted = CPCEncoder(max(2, tensors["conv.0.bias"].numel())).state_dict()
    for ours, tensor in tensors.items():
        if tensor.shape != wanted[ours].shape:
            have, want = tuple(tensor.shape), tuple(wanted[ours].shape)
            raise InputError(f"{path}: tensor '{_NAMES[ours]}' has shape {have} instead of {want}; {_CURE}")
    return weights


def begin_with_encoder(model: SpeechModel, weights: EncoderWeights | None, *, frozen: bool) -> None:
    """Change a model with such an encoder before its training.

    Args:
        model: any whose configuration has the encoder "cpc".
        weights: of its encoder; None to keep those that it has.
        frozen: whether training leaves them as they are.
    """
    encoder = model.get_submodule("cpc")
    if weights is not None:
        encoder.load_state_dict(weights.tensors)
    encoder.requires_grad_(not frozen)
