"""What the latents of an extraction come from, by name: it can be opened on any machine that sees the files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.models.checkpoints.checkpoint import Checkpoint
from lvm_probe.probing.features import encoders
from lvm_probe.probing.features.encoders import Encoder


@dataclass(frozen=True)
class Given:
    """One of: a checkpoint (file, run folder or shipped name), an encoder (`FILE.py:NAME`), a torchaudio model.

    The last has `weights`, or with `untrained_seed` random ones, and `layers` counted from 1. Paths are kept whole, so
    that they mean the same in any working folder.
    """

    checkpoint: str | None = None
    encoder: str | None = None
    torchaudio: str | None = None
    weights: Path | None = None
    layers: tuple[int, ...] = ()
    untrained_seed: int | None = None

    def __post_init__(self) -> None:
        if self.checkpoint and Path(self.checkpoint).exists():  # else it is a shipped one's name
            object.__setattr__(self, "checkpoint", str(Path(self.checkpoint).absolute()))
        if self.encoder:
            object.__setattr__(self, "encoder", str(Path(self.encoder).absolute()))
        if self.weights:
            object.__setattr__(self, "weights", self.weights.absolute())

    @property
    def name(self) -> str:
        return self.checkpoint or self.encoder or self.torchaudio or ""

    def open(self, device: torch.device) -> Checkpoint | Encoder:
        """Raises InputError, naming the file, when it is not there or not what it should be."""
        if self.checkpoint:
            return checkpoint.load(self.checkpoint)
        if self.encoder:
            return encoders.from_file(self.encoder, device)
        from lvm_probe.probing.features import torchaudio_models  # torchaudio's models take a second to import

        return torchaudio_models.load(
            self.torchaudio or "", self.weights, self.layers, device=device, untrained_seed=self.untrained_seed
        )
