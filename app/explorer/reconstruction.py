"""Reconstructions of a recording by a model, also with latents that are changed or left to their prior.

A layer with given latents (`with_latents`) takes those instead of inferring them. Its states and the layers below are
computed from them by the model's own recurrence, so that a change has all the consequences that the model gives it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lvm_probe import InputError
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
"""Log precision of given latents: a standard deviation of 1e-13."""


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
        model = with_latents(model, layer, z)
    generator = utterance_generator(seed, name)
    noise = model.noise(len(pcm), 1, generator)
    lengths = torch.tensor([len(pcm)])
    encoded = model.encode(model.pad(torch.from_numpy(pcm).unsqueeze(0)), lengths)
    layers = model.infer(encoded, noise)
    output, _ = model.decode(encoded, layers, lengths)
    expectation, draw = (x[0, : len(pcm)].numpy() for x in (output.centre(), output.sample(generator)))
    return Reconstruction(expectation, draw, tuple(layer.z[:, 0].numpy() for layer in layers))


def with_latents(model: SpeechModel, layer: int, z: Float[np.ndarray, "steps size"]) -> SpeechModel:
    """A copy of the model whose layer (0 is the lowest) has these latents, one row per time step of the recording.

    Raises:
        InputError: the layers of this family cannot be given latents.
    """
    other = copy.deepcopy(model)
    part = other.posterior_modules[layer]
    if type(part) not in _WITH_LATENTS:
        raise InputError(f"latents of a {model.family} cannot be set; choose a checkpoint of another family")
    part.__class__ = _WITH_LATENTS[type(part)]
    part.given = torch.from_numpy(z).to(model.parameter).unsqueeze(1)
    return other


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


class _GivenCell(Cell):
    """A cell with given latents; its states follow from them."""

    given: Tensor

    def infer(
        self, context: Tensor | None, encoded: Tensor, noise: Tensor, before: Trajectory | None = None
    ) -> Trajectory:
        z = self.given.expand_as(noise)
        h, states = noise.new_zeros(noise.shape[1], self.hidden), []
        for gate, past in zip(self.gate_inputs(context, encoded), _before(z), strict=True):
            h = self.state(gate.expand(len(h), -1), past, h)
            states.append(h)
        all_h = torch.stack(states)
        return Trajectory(all_h, z, _stepwise(self.prior_of, all_h), _certain(z))


class _GivenChain(Chain):
    """A chain with given latents; its states do not depend on them."""

    given: Tensor

    def infer(self, state: Tensor, encoded: Tensor, noise: Tensor, before: Trajectory | None = None) -> Trajectory:
        z = self.given.expand_as(noise)
        state = state.expand(-1, noise.shape[1], -1)
        return Trajectory(state, z, _stepwise(self.prior_of, state, _before(z)), _certain(z))


class _GivenConditional(Conditional):
    """A layer of an STCN with given latents."""

    given: Tensor

    def forward(self, d: Tensor, above: Tensor | None) -> Gaussian:
        self.posterior = "direct"
        return _certain(self.given)


_WITH_LATENTS: dict[type, type] = {Cell: _GivenCell, Chain: _GivenChain, Conditional: _GivenConditional}


def _before(z: Tensor) -> Tensor:
    """The latents of the previous time step; zeros before the first."""
    return torch.cat((torch.zeros_like(z[:1]), z[:-1]))


def _stepwise(prior: Callable[..., Gaussian], *inputs: Tensor) -> Gaussian:
    """The priors of all time steps at once."""
    steps = inputs[0].shape[:2]
    flat = prior(*(x.flatten(0, 1) for x in inputs))
    return Gaussian(flat.mean.unflatten(0, steps), flat.log_precision.unflatten(0, steps))


def _certain(z: Tensor) -> Gaussian:
    return Gaussian(z, torch.full_like(z, _CERTAIN))
