"""Weights that another program saved, read without executing anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from lvm_probe import InputError
from lvm_probe.models.checkpoints.checkpoint import load_tensors


def read_weights(path: Path, cure: str) -> Any:
    """What a file of weights holds: tensors by name in .safetensors, or whatever was given to `torch.save`.

    Args:
        path: of the file.
        cure: what to do where `torch.save` was given more than tensors in plain containers, for the message.

    Raises:
        InputError: if there is no such file, or it cannot be read safely.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "weights.pt"
        ...     torch.save({"a": torch.ones(2)}, path)
        ...     read_weights(path, "save a state dict")
        {'a': tensor([1., 1.])}
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; name a file of weights on this machine (nothing is downloaded)")
    if path.suffix == ".safetensors":
        return load_tensors(path)[0]
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes can raise anything
        why = " ".join(str(error).split()).split(". ")[0] or type(error).__name__
        raise InputError(f"{path}: torch cannot load it safely ({why}); {cure}") from None
