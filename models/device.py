"""The device that is computed on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvm_probe import InputError

if TYPE_CHECKING:
    import torch


def pick_device(name: str | torch.device) -> torch.device:
    """The device of this name, `auto` being CUDA where PyTorch sees it. Raises InputError if there is none."""
    import torch

    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
    except (RuntimeError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device {name}: unknown to PyTorch ({reason}); give auto, cpu or cuda") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device {name}: PyTorch sees {torch.cuda.device_count()} CUDA devices here; use cpu")
    return device
