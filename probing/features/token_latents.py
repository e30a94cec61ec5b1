"""One latent for each token: models that encode a whole sound at once instead of averages over time steps.

A token's own audio [start, end) is put into the middle of a segment of S samples and nothing else is:

    segment[(S - n)//2 + i] = round(w_i x[first + i]),   i = 0 ... n-1
    n = min(end - start, S),   first = start + (end - start - n)//2
    w_i = sin²(π/2 min(1, (i + ½)/r, (n - i - ½)/r)),   r = min(5 ms, n/2)

so a token that is longer than the segment gives its middle, and its edges fade in and out within 5 ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Float, Int16
from lvm_probe.models.checkpoints.checkpoint import Checkpoint
from lvm_probe.models.model import SpeechModel
from lvm_probe.probing.corpora.corpus import Segment
from lvm_probe.probing.features.extraction_settings import Settings
from lvm_probe.probing.features.pooling import split_in_half
from lvm_probe.probing.features.sources import HOP, ModelSource

FADE_SECONDS = 0.005
BATCH = 16
"""Tokens that are encoded at once. The last batch is filled up with silence, so that the order in which a product is
summed, and so a token's last bit, does not depend on how many tokens there are."""


@dataclass(frozen=True)
class TokenLatentSource(ModelSource):
    """A model with one latent for a segment, such as the waveform VAE. For each token it gives

    - `z`, the posterior's mean, and `z_var`, the posterior's variance; nothing is drawn;
    - with `states`, `h`: that mean as the decoder sees it, behind the flow;
    - with `halves`, `z_halves`: z of the token's first and second half.
    """

    @property
    def hop(self) -> int:
        return HOP

    @property
    def layers(self) -> tuple[str, ...]:
        return ("z",)

    @property
    def provenance(self) -> dict[str, Any]:
        return super().provenance | {"token_segment": self.model.token_segment}

    def _sizes(self) -> dict[str, int]:
        (size,) = self.model.latents
        sizes = {"z": size, "z_var": size}
        if self._states:
            sizes["h"] = size
        if self._halves:
            sizes["z_halves"] = 2 * size
        return sizes

    @torch.inference_mode()
    def pooled(
        self, name: str, pcm: Int16[np.ndarray, " samples"], segments: Sequence[Segment]
    ) -> dict[str, Float[np.ndarray, "tokens _size"]]:
        found = self._encoded(pcm, segments)
        features = {"z": found[0], "z_var": found[1]}
        if self._states:
            features["h"] = found[2]
        if self._halves:
            halves = [half for segment in segments for half in split_in_half(segment)]
            features["z_halves"] = self._encoded(pcm, halves)[0].reshape(len(segments), -1)
        return features

    def _encoded(
        self, pcm: Int16[np.ndarray, " samples"], segments: Sequence[Segment]
    ) -> Float[np.ndarray, "three tokens latent"]:
        """Mean and variance of the posterior of each token, and the mean as the decoder sees it."""
        model, samples = self.model, self.model.token_segment
        assert samples is not None
        found = np.zeros((3, len(segments), model.latents[0]), np.float32)
        lengths = torch.full((BATCH,), samples, device=model.parameter.device)
        silence = torch.zeros(1, BATCH, model.latents[0], device=model.parameter.device)
        for first in range(0, len(segments), BATCH):
            batch = np.zeros((BATCH, samples), np.int16)
            for row, segment in zip(batch, segments[first : first + BATCH], strict=False):
                row[:] = token_segment(pcm, segment, samples, self.sample_rate)
            encoded = model.encode(torch.from_numpy(batch).to(lengths.device), lengths)
            (layer,) = model.infer(encoded, (silence.to(model.parameter),))
            parts = torch.stack([layer.posterior.mean[0], layer.posterior.std[0].square(), layer.h[0]])
            found[:, first : first + BATCH] = parts.cpu().numpy()[:, : len(segments) - first]
        return found


def token_segment(
    pcm: Int16[np.ndarray, " samples"], token: Segment, size: int, sample_rate: int
) -> Int16[np.ndarray, " size"]:
    """A token's audio as the model gets it: centred, with faded edges and zeros around.

    Args:
        pcm: of the whole recording.
        token: in samples of `pcm`.
        size: samples of the segment, S.
        sample_rate: in Hz.

    Example:
        >>> token_segment(np.full(9, 100, np.int16), Segment("t", 2, 6), 8, 400).tolist()
        [0, 0, 15, 85, 85, 15, 0, 0]
    """
    n = min(token.samples, size)
    first = token.start + (token.samples - n) // 2
    ramp = min(FADE_SECONDS * sample_rate, n / 2)
    i = np.arange(n) + 0.5
    fade = np.sin(np.pi / 2 * np.minimum(1, np.minimum(i, n - i) / ramp)) ** 2
    segment = np.zeros(size, np.int16)
    segment[(size - n) // 2 :][:n] = np.round(fade * pcm[first : first + n])
    return segment


def source_of(model: SpeechModel, settings: Settings, *options: Any) -> ModelSource:
    """The source for a model: one latent for each token where the model has a segment for it, else averages over steps.

    Args:
        model: in evaluation mode, on its device.
        settings: how latents become rows.
        options: further arguments of `ModelSource`.
    """
    return (ModelSource if model.token_segment is None else TokenLatentSource)(model, settings, *options)


def checkpoint_source(
    checkpoint: Checkpoint, settings: Settings, device: torch.device, memory_gb: float
) -> ModelSource:
    """A checkpoint's model, or with `settings.untrained` the model with which training with that seed starts.

    Raises:
        InputError: if Monte Carlo draws are asked for where nothing is drawn.
    """
    model = checkpoint.model
    if settings.untrained:
        model = type(model).seeded(model.config, settings.seed)
    usual = Settings()
    if model.token_segment is not None and (settings.draws, settings.estimator) != (usual.draws, usual.estimator):
        raise InputError(
            f"--samples, --estimator: nothing is drawn for the tokens of {checkpoint.name}, whose posterior has its "
            "mean and variance in closed form; leave them out"
        )
    return source_of(model.to(device).eval(), settings, memory_gb, checkpoint)
