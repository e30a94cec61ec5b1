"""Where latents come from: the contract that extraction asks, and our own models by Monte Carlo.

`probing.features.encoders` meets the same contract for everybody else's models.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Float, Int16
from lvm_probe.models.checkpoints.checkpoint import Checkpoint
from lvm_probe.models.likelihood.chunks import cut
from lvm_probe.models.model import SpeechModel
from lvm_probe.models.noise import path_noise
from lvm_probe.models.trajectory import Trajectory
from lvm_probe.probing.corpora.corpus import Segment
from lvm_probe.probing.features.extraction_settings import Settings
from lvm_probe.probing.features.pooling import Pooling

STRETCH = 64
"""Steps of the lowest layer that paths are followed at once."""

MOST_PATHS = 128
"""Paths that are followed together."""

NOISE_BYTES = 16
"""For a number of a path's noise: as drawn, beside that of the other paths, and as much again for the tokens."""


class Source(Protocol):
    """Pools latents over segments; says what it is and which columns it makes.

    `layers` are the columns that stand for its layers, lowest first, among those of `sizes`; `hop` is the step of
    the acoustic features beside them, in samples; `provenance` is what `_extraction.json` says of it.
    """

    @property
    def forkable(self) -> bool: ...

    @property
    def sample_rate(self) -> int: ...

    @property
    def hop(self) -> int: ...

    @property
    def layers(self) -> tuple[str, ...]: ...

    @property
    def sizes(self) -> dict[str, int]: ...

    @property
    def provenance(self) -> dict[str, Any]: ...

    def pooled(
        self, name: str, pcm: Int16[np.ndarray, " samples"], segments: Sequence[Segment]
    ) -> dict[str, Float[np.ndarray, "tokens _size"]]:
        """Every column of `sizes` for the utterance of this name, one row a segment."""
        ...


@dataclass(frozen=True)
class ModelSource:
    """A model of the family. Of each layer l it gives

    - `zl`, the mean over the Monte Carlo samples, averaged over the segment; `zl_var`, the Monte Carlo variance of
      that mean (NaN for a single sample); `zl_logms`, the log mean square over the segment of the mean per step;
    - with `states`, `hl`: the layer's deterministic state, averaged over the samples and the segment;
    - with `halves`, `zl_halves` (and `hl_halves`): the means over the segment's first and second half.

    A deterministic model has `h1` (and `h1_halves`) only: its state after each stack of samples. `memory_gb` bounds
    what the samples of an utterance take at once.
    """

    model: SpeechModel
    settings: Settings = field(default_factory=Settings)
    memory_gb: float = 1.0
    checkpoint: Checkpoint | None = None
    sizes: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", self._sizes())

    @classmethod
    def of(cls, checkpoint: Checkpoint, settings: Settings, device: torch.device, memory_gb: float) -> ModelSource:
        """A checkpoint's model, or with `settings.untrained` the same model as training with that seed begins."""
        model = checkpoint.model
        if settings.untrained:
            model = type(model).seeded(model.config, settings.seed)
        return cls(model.to(device).eval(), settings, memory_gb, checkpoint)

    @property
    def forkable(self) -> bool:
        return True

    @property
    def sample_rate(self) -> int:
        return int(self.model.config.sample_rate)

    @property
    def hop(self) -> int:
        return self.model.stride if self.model.stride > 1 else 64

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(f"z{l + 1}" for l in range(len(self.model.latents))) or ("h1",)

    @property
    def provenance(self) -> dict[str, Any]:
        said: dict[str, Any] = {}
        if self.checkpoint is not None:
            said["checkpoint"] = {
                "name": self.checkpoint.name,
                "sha256": self.checkpoint.sha256,
                "trained_on": self.checkpoint.provenance.get("corpus"),
            }
        said["model"] = {"family": self.model.family, **asdict(self.model.config)}
        return said | {"samples": self.settings.samples, "estimator": self.settings.estimator}

    @property
    def _states(self) -> bool:
        return "states" in self.settings.also

    @property
    def _halves(self) -> bool:
        return "halves" in self.settings.also

    @torch.inference_mode()
    def _sizes(self) -> dict[str, int]:
        model, samples = self.model, self.model.coarsest_stride
        silence = torch.zeros(1, samples, dtype=torch.int16, device=model.parameter.device)
        encoded = model.encode(silence, torch.tensor([samples], device=silence.device))
        states: list[int] = []
        if model.deterministic:
            states = [encoded[0].shape[-1]]
            if not states[0]:
                raise InputError(
                    f"a model of family {model.family} has neither latents nor states: there is nothing to probe"
                )
        elif self._states:
            states = [layer.h.shape[-1] for _, layer in next(followed(model, "", encoded, samples, range(1), 0))]
        sizes: dict[str, int] = {}
        for l, size in enumerate(model.latents):
            sizes |= {f"z{l + 1}": size, f"z{l + 1}_var": size, f"z{l + 1}_logms": size}
            if self._halves:
                sizes[f"z{l + 1}_halves"] = 2 * size
        for l, size in enumerate(states):
            sizes[f"h{l + 1}"] = size
            if self._halves:
                sizes[f"h{l + 1}_halves"] = 2 * size
        return sizes

    @torch.inference_mode()
    def pooled(
        self, name: str, pcm: Int16[np.ndarray, " samples"], segments: Sequence[Segment]
    ) -> dict[str, Float[np.ndarray, "tokens _size"]]:
        model = self.model
        wave = torch.from_numpy(pcm).unsqueeze(0).to(model.parameter.device)
        encoded = model.encode(wave, torch.tensor([len(pcm)], device=wave.device))
        if model.deterministic:
            states = encoded[0][: -(-len(pcm) // model.stride), 0].cpu().numpy()
            return self._state("h1", Pooling(segments, model.stride, len(states)), states)
        return self._latents(name, len(pcm), encoded, segments)

    def _state(self, name: str, pool: Pooling, steps: np.ndarray) -> dict[str, np.ndarray]:
        halves = {f"{name}_halves": pool.halves(steps)} if self._halves else {}
        return {name: pool.mean(steps), **halves}

    def _latents(
        self, name: str, length: int, encoded: Sequence[Tensor], segments: Sequence[Segment]
    ) -> dict[str, np.ndarray]:
        model, n = self.model, self.settings.samples
        steps = [-(-length // stride) for stride in model.strides]
        pools = [Pooling(segments, stride, count) for stride, count in zip(model.strides, steps, strict=True)]
        per_step = [np.zeros((count, z)) for count, z in zip(steps, model.latents, strict=True)]
        total = [np.zeros((len(segments), z)) for z in model.latents]
        square = [np.zeros((len(segments), z)) for z in model.latents]
        states = [np.zeros((count, self.sizes[f"h{l + 1}"])) for l, count in enumerate(steps) if self._states]
        shift: list[np.ndarray] = []
        for paths in side_by_side(model, range(n), length, self.memory_gb):
            tokens = [np.zeros((len(segments), len(paths), z)) for z in model.latents]
            for stretch in followed(model, name, encoded, length, paths, self.settings.seed):
                for l, (first, layer) in enumerate(stretch):
                    values = layer.z if self.settings.estimator == "sample" else layer.posterior.mean
                    here = slice(first, first + len(values))
                    per_step[l][here] += values.sum(1, dtype=torch.float64).cpu().numpy()
                    pools[l].add(values.cpu().numpy(), first, tokens[l])
                    if self._states:
                        states[l][here] += layer.h.sum(1, dtype=torch.float64).cpu().numpy()
            if not shift:  # squares about the first sample's value do not cancel
                shift = [of_layer[:, 0].copy() for of_layer in tokens]
            for l, of_layer in enumerate(tokens):
                of_layer -= shift[l][:, None]
                total[l] += of_layer.sum(1)
                square[l] += np.square(of_layer).sum(1)
        pooled = {}
        for l in range(len(steps)):
            mean = total[l] / n
            spread = square[l] / n - np.square(mean)
            variance = np.maximum(spread, 0) / (n - 1) if n > 1 else np.full_like(mean, np.nan)
            mean_steps = (per_step[l] / n).astype(np.float32)
            pooled[f"z{l + 1}"] = mean + shift[l]
            pooled[f"z{l + 1}_var"] = variance
            pooled[f"z{l + 1}_logms"] = pools[l].log_mean_square(mean_steps)
            if self._halves:
                pooled[f"z{l + 1}_halves"] = pools[l].halves(mean_steps)
        for l, summed in enumerate(states):
            pooled |= self._state(f"h{l + 1}", pools[l], (summed / n).astype(np.float32))
        return pooled


def trajectories(
    model: SpeechModel, name: str, encoded: Sequence[Tensor], samples: int, paths: Sequence[int], seed: int
) -> tuple[Trajectory, ...]:
    """Monte Carlo paths of the given numbers side by side: `model.infer`'s trajectory per layer, lowest first.

    `encoded` is `model.encode`'s, of one utterance of `samples` samples. A trajectory may be longer than the audio: its
    first ceil(samples / stride) steps count.
    """
    return model.infer(encoded, path_noise(model, name, samples, paths, seed))


def followed(
    model: SpeechModel, name: str, encoded: Sequence[Tensor], samples: int, paths: Sequence[int], seed: int
) -> Iterator[list[tuple[int, Trajectory]]]:
    """The same paths without what only a likelihood needs, a stretch at a time: each layer's first step and paths.

    Stretches are short, so that what is computed of one stays in the processor's cache. None goes beyond the audio.
    """
    noise = path_noise(model, name, samples, paths, seed)
    layers: tuple[Trajectory, ...] = ()
    coarsest = model.coarsest_stride
    padded, size = (-(-n // coarsest) * coarsest for n in (samples, STRETCH * model.stride))
    for start in range(0, padded, size):
        stop = min(start + size, padded)
        parts = [n[start // stride : stop // stride] for n, stride in zip(noise, model.strides, strict=True)]
        layers = model.infer(cut(encoded, padded, start, stop), parts, layers)
        found = []
        for layer, stride in zip(layers, model.strides, strict=True):
            kept = -(-min(samples, stop) // stride) - start // stride
            found.append((start // stride, layer.steps(0, kept)))
        yield found


def side_by_side(model: SpeechModel, paths: range, samples: int, memory_gb: float) -> Iterator[range]:
    """The paths to follow together, some at a time: more than `MOST_PATHS` gain nothing, and their noise takes room."""
    floats = sum(-(-samples // stride) * z for stride, z in zip(model.strides, model.latents, strict=True))
    some = min(MOST_PATHS, max(1, int(memory_gb * 1e9 / (NOISE_BYTES * floats))))
    for start in range(paths.start, paths.stop, some):
        yield range(start, min(start + some, paths.stop))


def bytes_a_path(model: SpeechModel, encoded: Sequence[Tensor], samples: int) -> float:
    """Memory of one sample's trajectories, by what the first steps need."""
    coarsest = model.coarsest_stride
    padded = -(-samples // coarsest) * coarsest
    noise = [n.to(encoded[0].device) for n in model.noise(1, 1, torch.Generator())]
    layers = model.infer(cut(encoded, padded, 0, coarsest), noise)
    floats = sum(len(layer.z) * (8 * layer.h.shape[-1] + 12 * layer.z.shape[-1]) for layer in layers)
    return 6.0 * floats * padded / coarsest
