"""Families against their equations, which their tests write as loops over steps and units in plain Python."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pytest
import torch

from lvm_probe.models.likelihood.elbo import elbo
from lvm_probe.models.model import SpeechModel
from tests import reference_models as reference
from tests.models import miniature

Model = TypeVar("Model", bound=torch.nn.Module)
Steps = list[list[float]]


@torch.no_grad()
def far_from_start(model: Model, scale: float = 0.3) -> Model:
    """In double precision, with weights far from their small start."""
    generator = torch.Generator().manual_seed(1)
    for parameter in model.double().parameters():
        parameter += scale * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return model


class Oracle(reference.Network):
    """The layers of a model on stacks of samples, and one utterance.

    Attributes:
        c: the model's configuration.
        stacks: the samples of each step.
        phi: the features of each step, whose stack is padded with zeros.
    """

    def __init__(self, model: SpeechModel, pcm: list[int]) -> None:
        super().__init__({name: parameter.tolist() for name, parameter in model.named_parameters()})
        self.c: Any = model.config
        stride = model.stride
        self.stacks = [pcm[t * stride : (t + 1) * stride] for t in range(reference.touched_steps(len(pcm), stride))]
        padded = [stack + [0] * (stride - len(stack)) for stack in self.stacks]
        seen = [[v for x in stack for v in reference.companded(x, self.c.inputs)] for stack in padded]
        self.phi = [self.perceptron("frames", x) for x in seen]

    def parameters(self, state: reference.Row, decoder: str = "decoder") -> Steps:
        """Of the distribution of every sample of a stack."""
        return self.cut(self.linear(f"{decoder}.head", self.perceptron(decoder, state)))

    def cut(self, parameters: reference.Row) -> Steps:
        """The parameters of every sample from those of a stack."""
        size = self.c.output.size
        return [list(parameters[i * size : (i + 1) * size]) for i in range(self.c.stride)]

    def log_likelihood(self, t: int, state: reference.Row, decoder: str = "decoder") -> float:
        """log p(x_t | ...) of the samples inside the utterance."""
        return likelihood(self.parameters(state, decoder), self.stacks[t])


def likelihood(parameters: Steps, samples: Sequence[int]) -> float:
    """Log probability of samples; parameters behind the last sample are of padding."""
    terms = zip(parameters, samples, strict=False)
    return sum(reference.mixture_log_mass(p, *reference.uniform_bin(x)) for p, x in terms)


def divergence(posterior: tuple[list[float], list[float]], prior: tuple[list[float], list[float]]) -> float:
    """KL divergence of Gaussians, means and standard deviations each."""
    return sum(reference.gaussian_kl(*four) for four in zip(*posterior, *prior, strict=True))


def drawn(gaussian: tuple[list[float], list[float]], noise: reference.Row) -> list[float]:
    return [mean + std * eps for mean, std, eps in zip(*gaussian, noise, strict=True)]


@torch.no_grad()
def check_latents(
    model: SpeechModel, by_equations: Callable[[Oracle, list[Steps]], dict[str, Any]], sizes: Sequence[int], padded: int
) -> None:
    """Compare a model that has latents with its equations.

    Args:
        model: in double precision.
        by_equations: from an utterance and the noise of each layer "elbo" of the utterance, latents "z" of each layer,
            and perhaps the states "h" and the auxiliary "cost".
        sizes: samples of the utterances of a batch.
        padded: samples of the batch.
    """
    pcm, lengths = miniature.batch(sizes, size=padded)
    noise = model.noise(padded, len(sizes), torch.Generator().manual_seed(0), torch.float64)
    ours, passed, cost = elbo(model, pcm, lengths, noise), model(pcm, lengths, noise), 0.0
    for row, size in enumerate(sizes):
        oracle = Oracle(model, pcm[row, :size].tolist())
        slow = by_equations(oracle, [n[:, row].tolist() for n in noise])
        # A few steps of double precision, in another order of sums.
        assert (ours.reconstruction - sum(ours.kl))[row].item() == pytest.approx(slow["elbo"], rel=1e-10)
        for key in {"z", "h"} & set(slow):
            for layer, wanted in zip(passed.layers, slow[key], strict=True):
                steps = getattr(layer, key)[: len(wanted), row]
                torch.testing.assert_close(steps, steps.new_tensor(wanted), rtol=1e-10, atol=1e-10)
        cost += slow.get("cost", 0.0)
    assert float(passed.auxiliary_cost or 0) == pytest.approx(cost, rel=1e-10)


@torch.no_grad()
def check_predictions(
    model: SpeechModel,
    states_by_equations: Callable[[Oracle], Steps],
    sizes: Sequence[int],
    parameters: Callable[[Oracle, list[float]], Steps] = Oracle.parameters,
) -> None:
    """Compare a model without latents with its equations.

    Args:
        model: in double precision.
        states_by_equations: the state after every step of an utterance.
        sizes: samples of the utterances of a batch.
        parameters: of the distributions of the stack after a state.
    """
    pcm, lengths = miniature.batch(sizes)
    passed, ours = model(pcm, lengths, ()), elbo(model, pcm, lengths, ())
    (states,) = model.encode(pcm, lengths)
    for row, size in enumerate(sizes):
        oracle = Oracle(model, pcm[row, :size].tolist())
        slow = states_by_equations(oracle)
        torch.testing.assert_close(states[: len(slow), row], states.new_tensor(slow), rtol=0, atol=1e-11)
        wanted = [p for state in [[0.0] * len(slow[0]), *slow[:-1]] for p in parameters(oracle, state)]
        found = passed.output.parameters[row, : len(wanted)]
        torch.testing.assert_close(found, found.new_tensor(wanted), rtol=0, atol=1e-11)
        assert ours.reconstruction[row].item() == pytest.approx(likelihood(wanted, pcm[row, :size].tolist()), rel=1e-9)
    assert passed.layers == ours.kl == ()
    assert passed.waveform is None
