"""Where checkpoints lie: those that come with the package, files, and run folders. Reads none of them.

Apart from `models.checkpoints.checkpoint`, so that a command can tell a wrong name at once, before PyTorch is there.
"""

from __future__ import annotations

from pathlib import Path

from lvm_probe import InputError

SHIPPED = Path(__file__).parent / "shipped"
"""Checkpoints that come with the package, `<family>-<preset>.safetensors`, each with its card."""
BEST = "best.safetensors"
"""The checkpoint of a run folder."""


def shipped() -> list[tuple[str, str, Path]]:
    """Checkpoints that come with the package: name, family, file."""
    return [(path.stem, path.stem.split("-")[0], path) for path in sorted(SHIPPED.glob("*.safetensors"))]


def resolve(name: str | Path) -> Path:
    """The file behind `--ckpt`: a file, a run folder (its best checkpoint), or a shipped name."""
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
