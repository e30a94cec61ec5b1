"""Find checkpoints by name without reading them: shipped with the package, in files and in run folders.

A module of its own, so that a command can refuse a wrong name before it imports PyTorch.
"""

from __future__ import annotations

from pathlib import Path

from lvm_probe import InputError

SHIPPED = Path(__file__).parent / "shipped"
"""Folder of the checkpoints shipped with the package, `<family>-<preset>.safetensors`, each with a model card."""
BEST = "best.safetensors"
"""The checkpoint in a run folder with the best validation result."""


def shipped() -> list[tuple[str, str, Path]]:
    """The checkpoints shipped with the package: name, family and file of each."""
    return [(path.stem, path.stem.split("-")[0], path) for path in sorted(SHIPPED.glob("*.safetensors"))]


def resolve(name: str | Path) -> Path:
    """The file of a checkpoint.

    Args:
        name: a file, a run folder (its best checkpoint) or the name of a shipped checkpoint.

    Raises:
        InputError: if there is no such checkpoint; it lists the shipped ones.

    Example:
        >>> resolve("cwvae-small").name
        'cwvae-small.safetensors'
    """
    path = Path(name)
    if path.is_dir():
        if (path / BEST).is_file():
            return path / BEST
        raise InputError(f"{path}: no {BEST} in this folder yet; train longer, or name the file itself")
    if path.is_file():
        return path
    ours = {known: file for known, _, file in shipped()}
    if str(name) in ours:
        return ours[str(name)]
    known = ", ".join(ours) or "none"
    raise InputError(f"{name}: no such checkpoint; give a file, a run folder, or a shipped name ({known})")
