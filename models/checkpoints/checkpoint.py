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
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.io.files import write_atomically
from lvm_probe.models.model import SpeechModel
from lvm_probe.models.registry import config_from_dict, config_to_dict, family

FORMAT = "lvm-probe/1"

_PRECISIONS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True)
class Checkpoint:
    """A model that was loaded from a file.

    Attributes:
        path: of the file.
        model: in single precision and evaluation mode.
        provenance: how it was trained.
        sha256: of the file.
    """

    path: Path
    model: SpeechModel
    provenance: dict[str, Any]
    sha256: str

    @property
    def name(self) -> str:
        """The name of the run's folder for a run's best checkpoint, else the name of the file without its ending."""
        return self.path.absolute().parent.name if self.path.name == BEST else self.path.stem


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write a safetensors file, whole or not at all.

    Args:
        path: of the file.
        tensors: by name.
        metadata: strings, or values that JSON can hold.

    Raises:
        InputError: if it cannot be written.
    """
    text = {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}
    with write_atomically(path) as temporary:
        try:
            save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, temporary, metadata=text)
        except SafetensorError as error:  # as which the library reports a full disk
            raise OSError(str(error)) from None


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata of a safetensors file.

    Raises:
        InputError: if it is missing, truncated or no safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give a checkpoint, a run folder or a shipped name") from None
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a complete safetensors file ({_line(error)}); copy or train it again") from None


def read_provenance(path: Path) -> dict[str, Any]:
    """The provenance of a checkpoint, without reading its tensors; empty if it cannot be read."""
    try:
        with safe_open(path, framework="pt") as file:
            provenance = json.loads((file.metadata() or {}).get("provenance", "{}"))
    except (SafetensorError, OSError, ValueError, RecursionError):
        return {}
    return provenance if isinstance(provenance, dict) else {}


def save(
    path: Path,
    model: SpeechModel,
    provenance: Mapping[str, Any],
    *,
    precision: Literal["float32", "float16"] = "float32",
) -> None:
    """Write a checkpoint: weights, configuration, preprocessing and provenance.

    Args:
        path: of the file.
        model: to save.
        provenance: how it was trained; values that JSON can hold.
        precision: of the stored weights.

    Raises:
        InputError: if it cannot be written.

    Example:
        >>> import tempfile
        >>> from lvm_probe.models.registry import preset
        >>> model = family("vrnn").seeded(preset("vrnn", "tiny").config, seed=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(Path(folder) / "vrnn.safetensors", model, {"corpus": "none"})
        ...     load(Path(folder) / "vrnn.safetensors").provenance
        {'corpus': 'none'}
    """
    tensors = {k: v.to(getattr(torch, precision)) for k, v in model.state_dict().items()}
    metadata = {
        "format": FORMAT,
        "family": model.family,
        "config": config_to_dict(model.config),
        "preprocessing": _preprocessing(model),
        "provenance": dict(provenance),
    }
    save_tensors(path, tensors, metadata)


def _preprocessing(model: SpeechModel) -> dict[str, Any]:
    """What the model's input is, for readers of the file; loading takes it from the configuration."""
    domain = model.config.output
    if not isinstance(domain, Waveform):
        return {"domain": domain.name}
    return {
        "audio": "16-bit PCM, mono",
        "sample_rate": model.config.sample_rate,
        "target": domain.target,
        "shift": domain.shift,
        "scale": domain.scale,
    }


def load(name: str | Path, *, any_domain: bool = False) -> Checkpoint:
    """Load a model.

    The tensors are compared with what the configuration demands before a model is built.

    Args:
        name: a checkpoint file, a run folder (its best checkpoint) or the name of a shipped checkpoint.
        any_domain: whether a model of other data than whole waveforms is wanted too.

    Raises:
        InputError: if the model is of other data and these are not wanted; if the file is missing, truncated, not a
            checkpoint of this package or not finite; if its tensors do not fit its configuration; or if it is replaced
            while it is read. The message names the file.

    Example:
        >>> load("cwvae-small").model.strides
        (64, 512)
    """
    path = resolve(name)
    before = _stamp(path)
    tensors, metadata = load_tensors(path)
    if metadata.get("format") != FORMAT:
        found = _line(metadata.get("format", "none"))
        raise InputError(f"{path}: not a checkpoint of lvm-probe (format: {found}; expected: {FORMAT})")
    try:
        config = config_from_dict(metadata["family"], json.loads(metadata["config"]))
        provenance = json.loads(metadata["provenance"])
        if not isinstance(provenance, dict):
            raise ValueError("the provenance is not a JSON object")
        wanted = _outline(metadata["family"], config, len(tensors))
    except (KeyError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: its metadata cannot be read ({_line(error)}); copy or train it again") from None
    for key in sorted(wanted.keys() | tensors.keys()):
        if key not in tensors or key not in wanted:
            side = "lacks" if key not in tensors else "has an unknown"
            raise InputError(f"{path}: {side} tensor '{key}'; it was written by another version of the model")
        if tensors[key].shape != wanted[key].shape:
            have, want = tuple(tensors[key].shape), tuple(wanted[key].shape)
            raise InputError(f"{path}: tensor '{key}' has shape {have}, but the configuration demands {want}")
        if tensors[key].dtype not in _PRECISIONS:
            raise InputError(f"{path}: tensor '{key}' is of type {tensors[key].dtype}; copy or train it again")
        if not tensors[key].isfinite().all():
            raise InputError(f"{path}: tensor '{key}' holds NaN or infinity; the training diverged, train it again")
    if not any_domain and not (isinstance(config.output, Waveform) and config.output.whole):
        kind = "thinned or permuted waveforms" if isinstance(config.output, Waveform) else config.output.name
        raise InputError(f"{path}: a model of {kind}; this needs one of speech")
    model = family(metadata["family"])(config)
    model.load_state_dict({k: v.float() for k, v in tensors.items()})
    try:
        sha256, after = hashlib.sha256(path.read_bytes()).hexdigest(), _stamp(path)
    except OSError:
        sha256, after = "", None
    if after != before:
        raise InputError(f"{path}: replaced while it was being read; run the command again")
    return Checkpoint(path, model.eval(), provenance, sha256)


def _outline(family_name: str, config: Any, tensors: int) -> dict[str, Tensor]:
    """The tensors of a model of this configuration, without their memory (on PyTorch's meta device).

    Raises ValueError if no model can be built, or if it would have far more than the given number of tensors: a damaged
    number of layers could otherwise take forever to build.
    """
    here, parts = threading.get_ident(), 0

    def count(*_: object) -> None:
        nonlocal parts
        parts += threading.get_ident() == here
        if parts > 8 * tensors + 64:
            raise ValueError(f"its configuration demands far more than the {tensors} tensors of the file")

    hooks = [
        torch.nn.modules.module.register_module_parameter_registration_hook(count),
        torch.nn.modules.module.register_module_module_registration_hook(count),
    ]
    try:
        with torch.device("meta"):
            return family(family_name)(config).state_dict()
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError) as error:
        raise ValueError(f"it is not a configuration of {family_name}: {error}") from None
    finally:
        for hook in hooks:
            hook.remove()


def _line(message: object) -> str:
    """A message of a file or a library, on one line of limited length."""
    line = " ".join(str(message).split())
    return line if len(line) <= 300 else f"{line[:300]} ..."


def _stamp(path: Path) -> tuple[int, int, int]:
    """Changes when a file is replaced or rewritten."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
