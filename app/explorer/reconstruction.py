"""Reconstructions of a recording by a model, also with latents that are changed or left to their prior.

A changed latent has all the consequences that the model gives it: `SpeechModel.with_latents` computes states and lower
layers from the given latents by the model's own equations.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from lvm_probe.analysis.shape_annotations import Float, Int16
from lvm_probe.models.model import SpeechModel
from lvm_probe.models.noise import utterance_generator
from lvm_probe.probing.corpora.corpus import Segment

Below = Literal["unchanged", "inferred again", "from their prior"]
"""What happens to the layers below a layer that is changed."""


@dataclass(frozen=True)
class Reconstruction:
    """A waveform in [-1, 1] at the model's rate, and the latents that it was decoded from.

    Attributes:
        expectation: the expectation of p(x | z) on the output's own axis.
        draw: one draw from p(x | z).
        latents: of each layer, lowest first, one row per time step of the padded recording.
    """

    expectation: Float[np.ndarray, " samples"]
    draw: Float[np.ndarray, " samples"]
    latents: tuple[Float[np.ndarray, "_steps _size"], ...]


@torch.inference_mode()
def reconstruct(
    model: SpeechModel,
    name: str,
    pcm: Int16[np.ndarray, " samples"],
    seed: int,
    *,
    prior: Collection[int] = (),
    given: Mapping[int, Float[np.ndarray, "_steps _size"]] | None = None,
) -> Reconstruction:
    """Infer the latents of a recording, one Monte Carlo draw, and decode them.

    The noise depends on the seed, the recording's name and its length only, so two calls differ only by their options.
    A decoder that is conditioned on past audio gets that of the recording.

    Args:
        model: any with latents.
        name: of the recording.
        pcm: the recording at the model's rate.
        seed: of the latents and of the draw from the output.
        prior: layers (0 is the lowest) that are drawn from their prior.
        given: latents of layers that are not inferred, with as many time steps as `Reconstruction.latents` has.
    """
    for layer in prior:
        model = model.without_inference(layer)
    for layer, z in (given or {}).items():
        model = model.with_latents(layer, torch.from_numpy(z))
    generator = utterance_generator(seed, name)
    noise = model.noise(len(pcm), 1, generator)
    lengths = torch.tensor([len(pcm)])
    padded = model.pad(torch.from_numpy(pcm).unsqueeze(0))
    encoded = model.encode(padded, lengths)
    layers = model.infer(encoded, noise)
    output, _ = model.decode(encoded, layers, lengths)
    waveforms = model.config.output.centre(output.given(padded).parameters), output.sample(generator)
    expectation, draw = (x[0, : len(pcm)].numpy() for x in waveforms)
    return Reconstruction(expectation, draw, tuple(layer.z[:, 0].numpy() for layer in layers))


def options_for_change(
    own: Reconstruction, layer: int, z: Float[np.ndarray, "_steps _size"], below: Below
) -> tuple[tuple[int, ...], dict[int, np.ndarray]]:
    """The options `prior` and `given` of `reconstruct` for a change of one layer.

    Args:
        own: the recording, reconstructed without a change.
        layer: the layer that is changed.
        z: its new latents.
        below: what happens to the layers below it.
    """
    match below:
        case "unchanged":
            return (), {l: own.latents[l] for l in range(layer)} | {layer: z}
        case "inferred again":
            return (), {layer: z}
        case "from their prior":
            return tuple(range(layer)), {layer: z}


def repeated(z: Float[np.ndarray, "steps size"], steps: int) -> Float[np.ndarray, "wanted size"]:
    """Latents for this many time steps: cut at the end, or repeated from the beginning."""
    return z[np.arange(steps) % len(z)]


def coverage(segments: Sequence[Segment], stride: int, steps: int) -> Float[np.ndarray, " steps"]:
    """The share of each time step of `stride` samples that lies inside the segments, which must not overlap."""
    edges = np.arange(steps + 1) * stride
    inside = np.zeros(steps + 1)
    for segment in segments:
        inside += np.clip(edges, segment.start, segment.end)
    return np.diff(inside) / stride
