"""What a model makes of one recording, and of the same recording with a latent changed. Arrays in, arrays out.

A followed layer (`along`) takes given latents instead of inferring them. Its states and the layers below are computed
from those by the model's own recurrence, so that a change has all the consequences that the model gives it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lvm_probe.analysis.shape_annotations import Float, Int16
from lvm_probe.models.families.stcn import Conditional
from lvm_probe.models.layers.cwvae_cell import Cell
from lvm_probe.models.layers.srnn_chain import Chain
from lvm_probe.models.likelihood.gaussian import Gaussian
from lvm_probe.models.model import SpeechModel
from lvm_probe.models.noise import utterance_generator
from lvm_probe.models.trajectory import Trajectory
from lvm_probe.probing.corpora.corpus import Segment

_CERTAIN = 60.0
"""Log precision of latents that are given: a standard deviation of 1e-13."""


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
        model = along(model, layer, z)
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


def along(model: SpeechModel, layer: int, z: Float[np.ndarray, "steps size"]) -> SpeechModel:
    """A copy in which the given layer (0 the lowest) follows these latents, one row a step of the padded recording."""
    other = copy.deepcopy(model)
    part = other.posterior_modules[layer]
    part.__class__ = _FOLLOWING[type(part)]
    part.course = torch.from_numpy(z).to(model.parameter).unsqueeze(1)
    return other


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


class _FollowingCell(Cell):
    """A cell whose latents are given; its states are the recurrence's."""

    course: Tensor

    def infer(
        self, context: Tensor | None, encoded: Tensor, noise: Tensor, before: Trajectory | None = None
    ) -> Trajectory:
        z = self.course.expand_as(noise)
        h, states = noise.new_zeros(noise.shape[1], self.hidden), []
        for gate, past in zip(self.gate_inputs(context, encoded), _before(z), strict=True):
            h = self.state(gate.expand(len(h), -1), past, h)
            states.append(h)
        all_h = torch.stack(states)
        return Trajectory(all_h, z, _stepwise(self.prior_of, all_h), _certain(z))


class _FollowingChain(Chain):
    """A chain whose latents are given; its states do not depend on them."""

    course: Tensor

    def infer(self, state: Tensor, encoded: Tensor, noise: Tensor, before: Trajectory | None = None) -> Trajectory:
        z = self.course.expand_as(noise)
        state = state.expand(-1, noise.shape[1], -1)
        return Trajectory(state, z, _stepwise(self.prior_of, state, _before(z)), _certain(z))


class _FollowingConditional(Conditional):
    """A layer of an STCN whose latents are given."""

    course: Tensor

    def forward(self, d: Tensor, above: Tensor | None) -> Gaussian:
        self.posterior = "direct"
        return _certain(self.course)


_FOLLOWING: dict[type, type] = {Cell: _FollowingCell, Chain: _FollowingChain, Conditional: _FollowingConditional}


def _before(z: Tensor) -> Tensor:
    """Each step's predecessor; zeros before the first."""
    return torch.cat((torch.zeros_like(z[:1]), z[:-1]))


def _stepwise(prior: Callable[..., Gaussian], *inputs: Tensor) -> Gaussian:
    """The priors of all steps at once."""
    steps = inputs[0].shape[:2]
    found = prior(*(x.flatten(0, 1) for x in inputs))
    return Gaussian(found.mean.unflatten(0, steps), found.log_precision.unflatten(0, steps))


def _certain(z: Tensor) -> Gaussian:
    return Gaussian(z, torch.full_like(z, _CERTAIN))


def _noise(model: SpeechModel, name: str, samples: int, seed: int) -> tuple[tuple[Tensor, ...], torch.Generator]:
    generator = utterance_generator(seed, name)
    return model.noise(samples, 1, generator), generator


def _latents(layers: Sequence[Trajectory]) -> tuple[np.ndarray, ...]:
    return tuple(layer.z[:, 0].numpy() for layer in layers)
