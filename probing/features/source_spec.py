"""The name of a model that makes latents, from which any process that sees the same files can open it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.models.checkpoints.checkpoint import Checkpoint
from lvm_probe.probing.features.encoder_import import import_encoder, names_file
from lvm_probe.probing.features.encoders import Encoder, os_threads


@dataclass(frozen=True)
class SourceSpec:
    """Names one of: a checkpoint, an encoder, a torchaudio model, a transformers model. Paths are made absolute.

    Attributes:
        checkpoint: file, run folder or shipped name.
        encoder: `FILE.py:NAME` or `package.module:NAME`.
        torchaudio: name of a model that torchaudio builds.
        hf: folder of a transformers model.
        weights: state dict of the torchaudio model, or checkpoint of an s3prl upstream.
        layers: layers of the torchaudio model, from 1, or of the transformers model, from 0.
        untrained_seed: seed of random weights.
        folder: where an encoder's modules are looked for, beside Python's own path.
    """

    checkpoint: str | None = None
    encoder: str | None = None
    torchaudio: str | None = None
    hf: Path | None = None
    weights: Path | None = None
    layers: tuple[int, ...] = ()
    untrained_seed: int | None = None
    folder: Path = field(default_factory=Path.cwd)

    def __post_init__(self) -> None:
        if self.checkpoint and Path(self.checkpoint).exists():  # otherwise the name of a shipped one
            object.__setattr__(self, "checkpoint", str(self.folder / self.checkpoint))
        if self.encoder and names_file(self.encoder):
            object.__setattr__(self, "encoder", str(self.folder / self.encoder))
        for name in ("weights", "hf"):
            if path := getattr(self, name):
                object.__setattr__(self, name, self.folder / path)

    @property
    def name(self) -> str:
        return self.checkpoint or self.encoder or self.torchaudio or str(self.hf or "")

    def open(self, device: torch.device) -> Checkpoint | Encoder:
        """Open the model.

        Raises:
            InputError: the file is missing, or not what it should be.
        """
        if self.checkpoint:
            return checkpoint.load(self.checkpoint)
        threads = os_threads()
        if self.encoder:
            encoder = import_encoder(self.encoder, device, self.folder, weights=self.weights)
        elif self.hf:
            from lvm_probe.probing.features import transformers_models

            encoder = transformers_models.load(self.hf, self.layers, device=device, untrained_seed=self.untrained_seed)
        else:
            from lvm_probe.probing.features import torchaudio_models  # torchaudio's models take a second to import

            encoder = torchaudio_models.load(
                self.torchaudio or "", self.weights, self.layers, device=device, untrained_seed=self.untrained_seed
            )
        return replace(encoder, forkable=os_threads() == threads)
