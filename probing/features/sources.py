"""Sources of latents: what extraction needs of a model, and our own models as such a source.

`probing.features.encoders` is the source for all other models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Float, Int16
from lvm_probe.models.checkpoints.checkpoint import Checkpoint
from lvm_probe.models.model import SpeechModel
from lvm_probe.models.trajectory import Trajectory
from lvm_probe.probing.corpora.corpus import Segment
from lvm_probe.probing.features.extraction_settings import Estimator, Settings
from lvm_probe.probing.features.pooling import Pooling
from lvm_probe.probing.features.posterior_sampler import PosteriorSampler

HOP = 64
"""Step of the acoustic features in samples, as in Havtorn et al. (2022), where the model's lowest stride is 1."""


class Source(Protocol):
    """A model that gives latents.

    Attributes:
        forkable: whether it works in a fork of this process.
        sample_rate: the rate in Hz of the audio that it takes.
        hop: step of the acoustic features beside its latents, in samples.
        layers: the features that stand for its layers, lowest first.
        sizes: names and lengths of all its features.
        provenance: what `_extraction.json` says of it.
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
        """All features, averaged over segments of one utterance.

        Args:
            name: name of the utterance; what is drawn depends on it and on the seed.
            pcm: its audio at `sample_rate`.
            segments: in samples of `pcm`.

        Returns:
            For each feature of `sizes` an array with one row per segment.
        """
        ...


@dataclass(frozen=True)
class ModelSource:
    """One of our own models. For each layer l it gives

    - `zl`, the Monte Carlo mean averaged over the segment; `zl_var`, the Monte Carlo variance of that mean (NaN for a
      single draw); `zl_logms`, the log mean square over the segment of the Monte Carlo mean at each step;
    - with `states`, `hl`: the layer's deterministic state, averaged over the draws and the segment;
    - with `halves`, `zl_halves`, `zl_logms_halves` (and `hl_halves`): the same of the segment's first and second half.

    A deterministic model has `h1` (and `h1_halves`) only: its state after each stack of samples.

    Attributes:
        model: the model, in evaluation mode.
        settings: number of draws, estimator, seed and further features.
        memory_gb: memory limit for the draws of an utterance.
        checkpoint: where the model comes from.
        sizes: names and lengths of the features.
    """

    model: SpeechModel
    settings: Settings = field(default_factory=Settings)
    memory_gb: float = 1.0
    checkpoint: Checkpoint | None = None
    sizes: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", self._sizes())

    @property
    def forkable(self) -> bool:
        return True

    @property
    def sample_rate(self) -> int:
        return int(self.model.config.sample_rate)

    @property
    def hop(self) -> int:
        return self.model.stride if self.model.stride > 1 else HOP

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(f"z{l + 1}" for l in range(len(self.model.latents))) or ("h1",)

    @property
    def provenance(self) -> dict[str, Any]:
        provenance: dict[str, Any] = {}
        if self.checkpoint is not None:
            provenance["checkpoint"] = {
                "name": self.checkpoint.name,
                "sha256": self.checkpoint.sha256,
                "trained_on": self.checkpoint.provenance.get("corpus"),
            }
        provenance["model"] = {"family": self.model.family, **asdict(self.model.config)}
        return provenance | {"samples": self.settings.draws, "estimator": self.settings.estimator}

    @property
    def _states(self) -> bool:
        return "states" in self.settings.also

    @property
    def _halves(self) -> bool:
        return "halves" in self.settings.also

    @torch.inference_mode()
    def _sizes(self) -> dict[str, int]:
        silence = np.zeros(self.model.coarsest_stride, np.int16)
        sampler = PosteriorSampler.of(self.model, "", silence)
        states: list[int] = []
        if self.model.deterministic:
            states = [sampler.encoded[0].shape[-1]]
            if not states[0]:
                raise InputError(
                    f"a model of family {self.model.family} has neither latents nor states: there is nothing to probe"
                )
        elif self._states:
            states = [layer.h.shape[-1] for _, layer in next(sampler.draw([0]))]
        sizes: dict[str, int] = {}
        for l, size in enumerate(self.model.latents, 1):
            sizes |= {f"z{l}": size, f"z{l}_var": size, f"z{l}_logms": size}
            if self._halves:
                sizes |= {f"z{l}_halves": 2 * size, f"z{l}_logms_halves": 2 * size}
        for l, size in enumerate(states, 1):
            sizes[f"h{l}"] = size
            if self._halves:
                sizes[f"h{l}_halves"] = 2 * size
        return sizes

    @torch.inference_mode()
    def pooled(
        self, name: str, pcm: Int16[np.ndarray, " samples"], segments: Sequence[Segment]
    ) -> dict[str, Float[np.ndarray, "tokens _size"]]:
        sampler = PosteriorSampler.of(self.model, name, pcm, self.settings.seed)
        if self.model.deterministic:
            states = sampler.encoded[0][: -(-len(pcm) // self.model.stride), 0].cpu().numpy()
            return self._state("h1", Pooling(segments, self.model.stride, len(states)), states)
        layers = [
            _LayerSums(Pooling(segments, stride, steps), latent, self.sizes.get(f"h{l}", 0))
            for l, (stride, steps, latent) in enumerate(
                zip(self.model.strides, sampler.steps, self.model.latents, strict=True), 1
            )
        ]
        for paths in sampler.batches(range(self.settings.draws), self.memory_gb):
            for layer in layers:
                layer.start(len(paths))
            for stretch in sampler.draw(paths):
                for layer, (first, trajectory) in zip(layers, stretch, strict=True):
                    layer.add(first, trajectory, self.settings.estimator)
            for layer in layers:
                layer.finish()
        pooled: dict[str, np.ndarray] = {}
        for l, layer in enumerate(layers, 1):
            mean_steps = (layer.steps / layer.draws).astype(np.float32)
            pooled[f"z{l}"], pooled[f"z{l}_var"] = layer.mean_and_variance()
            pooled[f"z{l}_logms"] = layer.pool.log_mean_square(mean_steps)
            if self._halves:
                pooled[f"z{l}_halves"] = layer.pool.halves(partial(Pooling.mean, steps=mean_steps))
                pooled[f"z{l}_logms_halves"] = layer.pool.halves(partial(Pooling.log_mean_square, steps=mean_steps))
        if self._states:
            for l, layer in enumerate(layers, 1):
                pooled |= self._state(f"h{l}", layer.pool, (layer.states / layer.draws).astype(np.float32))
        return pooled

    def _state(self, name: str, pool: Pooling, steps: np.ndarray) -> dict[str, np.ndarray]:
        halves = {f"{name}_halves": pool.halves(partial(Pooling.mean, steps=steps))} if self._halves else {}
        return {name: pool.mean(steps), **halves}


class _LayerSums:
    """Sums over the draws of one layer: at each time step, and of each token's mean and its square.

    Attributes:
        pool: averages time steps over tokens.
        draws: number of draws so far.
        steps: sum of the latents (or posterior means) at each step.
        states: sum of the states at each step; of no dimension where they are not needed.
    """

    def __init__(self, pool: Pooling, latent: int, hidden: int) -> None:
        self.pool, self.draws = pool, 0
        self.steps, self.states = np.zeros((pool.steps, latent)), np.zeros((pool.steps, hidden))
        tokens = len(pool.segments)
        self._sum, self._square, self._shift = np.zeros((3, tokens, latent))
        self._tokens = np.zeros((tokens, 0, latent))

    def start(self, paths: int) -> None:
        """Start a batch of so many paths."""
        self._tokens = np.zeros((len(self._sum), paths, self._sum.shape[1]))

    def add(self, first: int, trajectory: Trajectory, estimator: Estimator) -> None:
        """Add a stretch of the batch from time step `first` on."""
        values = trajectory.z if estimator == "sample" else trajectory.posterior.mean
        here = slice(first, first + len(values))
        self.steps[here] += values.sum(1, dtype=torch.float64).cpu().numpy()
        if self.states.shape[1]:
            self.states[here] += trajectory.h.sum(1, dtype=torch.float64).cpu().numpy()
        self.pool.add(values.cpu().numpy(), first, self._tokens)

    def finish(self) -> None:
        """Finish a batch."""
        if not self.draws:  # about the first draw, so that the difference of squares does not cancel
            self._shift = self._tokens[:, 0].copy()
        self._tokens -= self._shift[:, None]
        self._sum += self._tokens.sum(1)
        self._square += np.square(self._tokens).sum(1)
        self.draws += self._tokens.shape[1]

    def mean_and_variance(self) -> tuple[Float[np.ndarray, "tokens latent"], Float[np.ndarray, "tokens latent"]]:
        """Each token's mean over the draws, and the variance of that mean."""
        mean = self._sum / self.draws
        spread = np.maximum(self._square / self.draws - np.square(mean), 0)
        variance = spread / (self.draws - 1) if self.draws > 1 else np.full_like(mean, np.nan)
        return mean + self._shift, variance
