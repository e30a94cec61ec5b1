"""Checkpoints: one safetensors file with weights, configuration, preprocessing and provenance.

Loading reads tensors and JSON; it never executes anything from the file.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lvm_probe import InputError
from lvm_probe.models.checkpoints.shipped_checkpoints import BEST, resolve
from lvm_probe.models.io.files import write_atomically
from lvm_probe.models.model import SpeechModel
from lvm_probe.models.registry import config_from_dict, config_to_dict, family

FORMAT = "lvm-probe/1"

_PRECISIONS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True)
class Checkpoint:
    """A model rebuilt from one file, in single precision and evaluation mode, with where it came from."""

    path: Path
    model: SpeechModel
    provenance: dict[str, Any]
    sha256: str

    @property
    def name(self) -> str:
        """The file's name without its ending; of the best checkpoint of a run, the name of the run's folder."""
        return self.path.absolute().parent.name if self.path.name == BEST else self.path.stem


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write tensors and JSON-able metadata as one safetensors file, whole or not at all."""
    text = {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}
    with write_atomically(path) as temporary:
        try:
            save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, temporary, metadata=text)
        except SafetensorError as error:  # its name for a full disk
            raise OSError(str(error)) from None


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file; InputError when it is missing, truncated or foreign."""
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give a checkpoint, a run folder or a shipped name") from None
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a whole safetensors file ({_line(error)}); copy or train it again") from None


def read_provenance(path: Path) -> dict[str, Any]:
    """Where a checkpoint says it comes from, without its tensors; empty where it says nothing that can be read."""
    try:
        with safe_open(path, framework="pt") as file:
            said = json.loads((file.metadata() or {}).get("provenance", "{}"))
    except (SafetensorError, OSError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def save(
    path: Path,
    model: SpeechModel,
    provenance: Mapping[str, Any],
    *,
    weights: Mapping[str, Tensor] | None = None,
    precision: Literal["float32", "float16"] = "float32",
) -> None:
    """Write a checkpoint. `weights` replaces the model's own (an average of them, say)."""
    tensors = {k: v.to(getattr(torch, precision)) for k, v in (weights or model.state_dict()).items()}
    metadata = {
        "format": FORMAT,
        "family": model.family,
        "config": config_to_dict(model.config),
        "preprocessing": {
            "audio": "16-bit PCM, mono",
            "sample_rate": model.config.sample_rate,
            "target": model.config.output.target,
            "shift": model.config.output.shift,
            "scale": model.config.output.scale,
        },
        "provenance": dict(provenance),
    }
    save_tensors(path, tensors, metadata)


def load(name: str | Path) -> Checkpoint:
    """Rebuild a model from a checkpoint file, run folder or shipped name.

    Raises InputError, naming the file, when it is missing, truncated, not ours, of another shape, not finite, or
    replaced while it is read. What the configuration wants is compared with the tensors before any memory is taken.
    """
    path = resolve(name)
    before = _stamp(path)
    tensors, metadata = load_tensors(path)
    if metadata.get("format") != FORMAT:
        found = _line(metadata.get("format", "no format at all"))
        raise InputError(f"{path}: not a checkpoint of lvm-probe (format {FORMAT} wanted, found {found})")
    try:
        config = config_from_dict(metadata["family"], json.loads(metadata["config"]))
        provenance = json.loads(metadata["provenance"])
        if not isinstance(provenance, dict):
            raise ValueError("its provenance is no table")
        wanted = _outline(metadata["family"], config, len(tensors))
    except (KeyError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: its metadata cannot be read ({_line(error)}); copy or train it again") from None
    for key in sorted(wanted.keys() | tensors.keys()):
        if key not in tensors or key not in wanted:
            side = "lacks" if key not in tensors else "has an unknown"
            raise InputError(f"{path}: {side} tensor '{key}'; it was written by another version of the model")
        if tensors[key].shape != wanted[key].shape:
            have, want = tuple(tensors[key].shape), tuple(wanted[key].shape)
            raise InputError(f"{path}: tensor '{key}' has shape {have}, the configuration wants {want}")
        if tensors[key].dtype not in _PRECISIONS:
            raise InputError(f"{path}: tensor '{key}' is of type {tensors[key].dtype}; copy or train it again")
        if not tensors[key].isfinite().all():
            raise InputError(f"{path}: tensor '{key}' holds NaN or infinity; the training diverged, train it again")
    model = family(metadata["family"])(config)
    model.load_state_dict({k: v.float() for k, v in tensors.items()})
    try:
        sha256, after = hashlib.sha256(path.read_bytes()).hexdigest(), _stamp(path)
    except OSError:
        sha256, after = "", None
    if after != before:
        raise InputError(f"{path}: replaced while it was being read; start again")
    return Checkpoint(path, model.eval(), provenance, sha256)


def _outline(family_name: str, config: Any, tensors: int) -> dict[str, Tensor]:
    """The tensors that a model of this configuration would have, without memory (on PyTorch's meta device).

    Raises ValueError where no model can be built, or where it grows far beyond the number of tensors that there are: a
    damaged number of layers would otherwise keep us building.
    """
    here, parts = threading.get_ident(), 0

    def count(*_: object) -> None:
        nonlocal parts
        parts += threading.get_ident() == here
        if parts > 8 * tensors + 64:
            raise ValueError(f"its configuration wants far more than the {tensors} tensors that are there")

    hooks = [
        torch.nn.modules.module.register_module_parameter_registration_hook(count),
        torch.nn.modules.module.register_module_module_registration_hook(count),
    ]
    try:
        with torch.device("meta"):
            return family(family_name)(config).state_dict()
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError) as error:
        raise ValueError(f"its configuration makes no {family_name}: {error}") from None
    finally:
        for hook in hooks:
            hook.remove()


def _line(said: object) -> str:
    """What a file or a library says, as part of a line."""
    line = " ".join(str(said).split())
    return line if len(line) <= 300 else f"{line[:300]} ..."


def _stamp(path: Path) -> tuple[int, int, int]:
    """What changes when a file is replaced or rewritten."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
