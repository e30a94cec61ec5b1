"""What a model makes of one recording, and of the same recording with a latent changed. Arrays in, arrays out.

A changed latent has all the consequences that the model gives it: `SpeechModel.with_latents` computes states and lower
layers from the given latents by the model's own equations.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lvm_probe.analysis.shape_annotations import Float, Int16
from lvm_probe.models.model import SpeechModel
from lvm_probe.models.noise import utterance_generator
from lvm_probe.models.trajectory import Trajectory
from lvm_probe.probing.corpora.corpus import Segment


@dataclass(frozen=True)
class Heard:
    """A waveform from latents, in [-1, 1] at the model's rate, and the latents that it comes from.

    Attributes:
        centre: the expectation of p(x | z) on the output's own axis.
        drawn: one draw from p(x | z).
        latents: of each layer, lowest first, one row a step of the padded recording.
    """

    centre: Float[np.ndarray, " samples"]
    drawn: Float[np.ndarray, " samples"]
    latents: tuple[Float[np.ndarray, "_steps _size"], ...]


@torch.inference_mode()
def heard(
    model: SpeechModel,
    name: str,
    pcm: Int16[np.ndarray, " samples"],
    seed: int,
    *,
    prior: Collection[int] = (),
    given: Mapping[int, Float[np.ndarray, "_steps _size"]] | None = None,
) -> Heard:
    """Infer the latents of a recording along one path, and decode them.

    The noise depends on the seed, the recording's name and its length only: what differs between two calls is what
    was asked. A decoder that sees past audio sees the recording's own.

    Args:
        model: any with latents.
        name: the recording's.
        pcm: at the model's rate.
        seed: of the path and of the draw.
        prior: layers (0 the lowest) that are left to their prior.
        given: latents of layers that are not inferred, for as many steps as `Heard.latents` has.
    """
    for layer in prior:
        model = model.without_inference(layer)
    for layer, z in (given or {}).items():
        model = model.with_latents(layer, torch.from_numpy(z))
    noise, generator = _noise(model, name, len(pcm), seed)
    lengths = torch.tensor([len(pcm)])
    encoded = model.encode(model.pad(torch.from_numpy(pcm).unsqueeze(0)), lengths)
    layers = model.infer(encoded, noise)
    output, _ = model.decode(encoded, layers, lengths)
    centre, drawn = (x[0, : len(pcm)].numpy() for x in (output.centre(), output.sample(generator)))
    return Heard(centre, drawn, _latents(layers))


@torch.inference_mode()
def inferred(
    model: SpeechModel, name: str, pcm: Int16[np.ndarray, " samples"], seed: int
) -> tuple[Float[np.ndarray, "_steps _size"], ...]:
    """The latents of `heard` without the sound."""
    noise, _ = _noise(model, name, len(pcm), seed)
    encoded = model.encode(model.pad(torch.from_numpy(pcm).unsqueeze(0)), torch.tensor([len(pcm)]))
    return _latents(model.infer(encoded, noise))


def fitted(z: Float[np.ndarray, "steps size"], steps: int) -> Float[np.ndarray, "wanted size"]:
    """Another recording's latents for this many steps: cut at the end, or from the beginning again."""
    return z[np.arange(steps) % len(z)]


def cover(segments: Sequence[Segment], stride: int, steps: int) -> Float[np.ndarray, " steps"]:
    """The share of each step of `stride` samples that lies in some of the (disjoint) segments."""
    edges = np.arange(steps + 1) * stride
    inside = np.zeros(steps + 1)
    for segment in segments:
        inside += np.clip(edges, segment.start, segment.end)
    return np.diff(inside) / stride


def _noise(model: SpeechModel, name: str, samples: int, seed: int) -> tuple[tuple[Tensor, ...], torch.Generator]:
    generator = utterance_generator(seed, name)
    return model.noise(samples, 1, generator), generator


def _latents(layers: Sequence[Trajectory]) -> tuple[np.ndarray, ...]:
    return tuple(layer.z[:, 0].numpy() for layer in layers)
