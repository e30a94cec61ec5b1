"""How the elements of a step depend on each other, given what the model knows of the step.

With h_t for what a decoder computes from states and latents, and x_{t,1..L} for the elements of a step:

    factorised      Π_i p(x_{t,i} | h_t)
    interleave:U    Π_{i in a} p(x_{t,i} | h_t)  Π_{i in b} p(x_{t,i} | h_t, x^a_t),  a: every U-th element
    random:V        the same with V elements in a, drawn once
    rnn             Π_i p(x_{t,i} | g_{t,i}),  g_{t,i} = LSTM([φ(x_{t,i-1}), h_t], g_{t,i-1})
    masked-mlp      Π_i p(x_{t,i} | h_t, x_{t,<i}) by a masked perceptron (Germain et al. 2015)

The first is what all models of Havtorn et al. (2022) do. The others are those of Dai et al. (2019), "Re-examination of
the role of latent variables in sequence modeling": the second and third make an LSTM their δ-RNN (equation 12), the
last two their RNN-hier (equation 8); a stride of one element is their RNN-flat, which needs nothing of this.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from lvm_probe import InputError
from lvm_probe.models.domains.domain import Distributions, Domain, Output, output_head

FACTORISED = "factorised"
KINDS = (FACTORISED, "interleave:U", "random:V", "rnn", "masked-mlp")


@runtime_checkable
class StepConfig(Protocol):
    """What a configuration says of a step; see `layers.stacked_samples.StackedConfig`."""

    @property
    def output(self) -> Domain: ...
    @property
    def stride(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def within_step(self) -> str: ...
    @property
    def element_channels(self) -> int: ...
    def element_features(self, x: Tensor, dtype: torch.dtype) -> Tensor: ...


def check_within_step(config: StepConfig) -> None:
    """Raise InputError unless the factorisation is known and the steps of the model can have it."""
    kind, number = _parse(config.within_step)
    if kind == FACTORISED:
        return
    if config.output.categories or config.stride < 2:
        raise InputError(f"within-step {config.within_step}: a step of one element has nothing within it; leave it out")
    if kind in ("interleave", "random"):
        if not config.output.uniform:
            raise InputError(f"within-step {kind}: the elements of {config.output.name} are of several kinds; use rnn")
        least, most = (2, config.stride) if kind == "interleave" else (1, config.stride - 1)
        if not least <= number <= most:
            raise InputError(f"within-step {config.within_step}: give a number from {least} to {most}")


def _parse(text: str) -> tuple[str, int]:
    kind, colon, number = text.partition(":")
    numbered = kind in ("interleave", "random")
    if numbered == bool(colon) and (kind in KINDS or numbered) and (not numbered or number.isdecimal()):
        return kind, int(number or 0)
    raise InputError(f"unknown within-step {text!r}: choose one of {', '.join(KINDS)}")


def step_head(width: int, config: StepConfig) -> nn.Linear | WithinStep:
    """The last layer of a decoder: from `width` features of a step to the distributions of its elements."""
    kind, number = _parse(config.within_step)
    match kind:
        case "factorised":
            return output_head(width, config.stride, config.output)
        case "interleave":
            return TwoGroups(width, config, np.arange(0, config.stride, number))
        case "random":
            drawn = np.random.default_rng(config.stride).permutation(config.stride)[:number]
            return TwoGroups(width, config, np.sort(drawn))
        case "rnn":
            return StepRNN(width, config)
        case "masked-mlp":
            return MaskedMLP(width, config)
        case _:
            raise AssertionError(kind)


def distributions(
    head: nn.Linear | WithinStep, features: Float[Tensor, "batch time width"], domain: Domain
) -> Distributions:
    """The distributions of the elements of all steps."""
    if isinstance(head, WithinStep):
        return StepOutput(head, features)
    return Output(domain, head(features).reshape(len(features), -1, domain.size))


class WithinStep(nn.Module, ABC):
    """A factorisation other than the first.

    Args:
        width: features of a step.
        config: of the model.
    """

    def __init__(self, width: int, config: StepConfig) -> None:
        super().__init__()
        self.width, self.config, self.domain, self.stride = width, config, config.output, config.stride

    @abstractmethod
    def parameters_given(
        self, h: Float[Tensor, "rows width"], x: Float[Tensor, "rows stride channels"]
    ) -> Float[Tensor, "rows stride size"]:
        """The parameters of each element, given the features of its step's elements that it depends on."""

    def given(
        self, features: Float[Tensor, "batch time width"], x: Shaped[Tensor, "batch elements"]
    ) -> Float[Tensor, "batch elements size"]:
        """The parameters of each element, given the step's others that it depends on."""
        weights = next(self.parameters())
        with torch.autocast(features.device.type, enabled=False):  # the elements enter a likelihood
            h = features.to(weights.dtype).flatten(0, 1)
            seen = self.config.element_features(x, weights.dtype).reshape(len(h), self.stride, -1)
            return self.parameters_given(h, seen).reshape(len(features), -1, self.domain.size)

    @torch.no_grad()
    def sample(self, features: Float[Tensor, "batch time width"], generator: torch.Generator) -> Tensor:
        """Draw the elements of all steps one after another; as many passes as a step has elements."""
        weights = next(self.parameters())
        h, period = features.to(weights.dtype).flatten(0, 1), self.domain.step if not self.domain.uniform else 1
        elements = torch.zeros(len(h), self.stride, dtype=self.domain.dtype, device=h.device)
        values: list[Tensor] = []
        for i in range(self.stride):
            first = i - i % period
            parameters = self.parameters_given(h, self._features(elements))[:, first : i + 1].to(generator.device)
            before = elements[:, first:i].to(generator.device)
            values.append(self.domain.draw_next(parameters, before, generator))
            elements[:, i : i + 1] = self.domain.quantise(values[-1]).to(h.device)
        return torch.cat(values, 1).reshape(len(features), -1)

    def _features(self, elements: Shaped[Tensor, "rows elements"]) -> Float[Tensor, "rows elements channels"]:
        return self.config.element_features(elements, next(self.parameters()).dtype)


@dataclass(frozen=True)
class StepOutput:
    """Distributions of elements that depend on others of their step.

    Attributes:
        head: states them.
        features: of every step.
    """

    head: WithinStep
    features: Float[Tensor, "batch time width"]

    def given(self, x: Shaped[Tensor, "batch elements"]) -> Output:
        """The distribution of every element given those of its step that it depends on."""
        return Output(self.head.domain, self.head.given(self.features, x))

    def elements(self, start: int, stop: int) -> StepOutput:
        """Those of elements [start, stop), which are whole steps."""
        return StepOutput(self.head, self.features[:, start // self.head.stride : stop // self.head.stride])

    def sample(self, generator: torch.Generator) -> Tensor:
        """Draw every element; waveforms in [-1, 1]."""
        return self.head.sample(self.features, generator)


class TwoGroups(WithinStep):
    """Some elements of a step first, then the others given these.

    Args:
        width: features of a step.
        config: of the model.
        first: numbers of the elements that come first.
    """

    def __init__(self, width: int, config: StepConfig, first: np.ndarray) -> None:
        super().__init__(width, config)
        rest = np.setdiff1d(np.arange(self.stride), first)
        self.order = np.argsort(np.concatenate((first, rest)))
        self.first = first
        self.head = output_head(width, len(first), self.domain)
        self.seen = nn.Linear(width + len(first) * config.element_channels, width)
        self.rest = output_head(width, len(rest), self.domain)

    def parameters_given(
        self, h: Float[Tensor, "rows width"], x: Float[Tensor, "rows stride channels"]
    ) -> Float[Tensor, "rows stride size"]:
        first = self.head(h).unflatten(1, (-1, self.domain.size))
        seen = F.relu(self.seen(torch.cat((h, x[:, self.first].flatten(1)), -1)))
        rest = self.rest(seen).unflatten(1, (-1, self.domain.size))
        return torch.cat((first, rest), 1)[:, self.order]

    @torch.no_grad()
    def sample(self, features: Float[Tensor, "batch time width"], generator: torch.Generator) -> Tensor:
        """Draw the first elements at once, then the others at once."""
        h = features.to(self.seen.weight.dtype).flatten(0, 1)
        elements = torch.zeros(len(h), self.stride, dtype=self.domain.dtype, device=h.device)
        values = [Output(self.domain, self.parameters_given(h, self._features(elements))).sample(generator)]
        elements[:, self.first] = self.domain.quantise(values[0][:, self.first]).to(h.device)
        drawn = Output(self.domain, self.parameters_given(h, self._features(elements))).sample(generator)
        drawn[:, self.first] = values[0][:, self.first]
        return drawn.reshape(len(features), -1)


class StepRNN(WithinStep):
    """An LSTM over the elements of a step, which tells its place in the step by a learned bias of each element."""

    def __init__(self, width: int, config: StepConfig) -> None:
        super().__init__(width, config)
        self.state = nn.Linear(width, width)
        self.element = nn.Linear(config.element_channels, width, bias=False)
        self.place = nn.Parameter(0.1 * torch.randn(self.stride, 1, width))
        self.lstm = nn.LSTM(width, width)
        self.head = nn.Linear(width, self.domain.size, bias=False)
        self.bias = nn.Parameter(self.domain.start(self.stride))

    def parameters_given(
        self, h: Float[Tensor, "rows width"], x: Float[Tensor, "rows stride channels"]
    ) -> Float[Tensor, "rows stride size"]:
        before = F.pad(x, (0, 0, 1, 0))[:, :-1].transpose(0, 1)
        states, _ = self.lstm(self._inputs(h, before, slice(None)))
        return self.head(states.transpose(0, 1)) + self.bias

    @torch.no_grad()
    def sample(self, features: Float[Tensor, "batch time width"], generator: torch.Generator) -> Tensor:
        """Draw the elements one after another, one step of the LSTM for each."""
        h = features.to(self.state.weight.dtype).flatten(0, 1)
        period = 1 if self.domain.uniform else self.domain.step
        x = h.new_zeros(1, len(h), self.config.element_channels)
        carried: tuple[Tensor, Tensor] | None = None
        parameters: list[Tensor] = []
        values: list[Tensor] = []
        elements = torch.zeros(len(h), self.stride, dtype=self.domain.dtype, device=h.device)
        for i in range(self.stride):
            states, carried = self.lstm(self._inputs(h, x, slice(i, i + 1)), carried)
            first = i - i % period
            parameters.append((self.head(states[0]) + self.bias[i]).unsqueeze(1))
            known = torch.cat(parameters[first:], 1).to(generator.device)
            values.append(self.domain.draw_next(known, elements[:, first:i].to(generator.device), generator))
            elements[:, i : i + 1] = self.domain.quantise(values[-1]).to(h.device)
            x = self._features(elements)[:, i].unsqueeze(0)
        return torch.cat(values, 1).reshape(len(features), -1)

    def _inputs(self, h: Tensor, before: Float[Tensor, "time rows channels"], places: slice) -> Tensor:
        return torch.tanh(self.state(h) + self.element(before) + self.place[places])


class MaskedMLP(WithinStep):
    """A masked perceptron with two hidden layers: an element's parameters see those before it only.

    Hidden units of degree m see elements 1 to m and units of degrees up to m; element i sees units below degree i.
    """

    def __init__(self, width: int, config: StepConfig) -> None:
        super().__init__(width, config)
        units = max(width, 2 * self.stride)
        elements = np.arange(1, self.stride + 1)
        degrees = np.arange(units) % (self.stride - 1) + 1
        self.state = nn.Linear(width, units)
        self.layers = nn.ModuleList(
            _Masked(before, after, "<=")
            for before, after in pairwise((elements.repeat(config.element_channels), degrees, degrees))
        )
        self.out = _Masked(degrees, elements.repeat(self.domain.size), "<")
        self.head = output_head(width, self.stride, self.domain)

    def parameters_given(
        self, h: Float[Tensor, "rows width"], x: Float[Tensor, "rows stride channels"]
    ) -> Float[Tensor, "rows stride size"]:
        y, state = x.flatten(1), self.state(h)
        for layer in self.layers:
            y = F.relu(layer(y) + state)
        return (self.out(y) + self.head(h)).unflatten(1, (self.stride, -1))


class _Masked(nn.Module):
    """A linear layer without bias from units of some degrees to units of others, where the comparison allows it."""

    def __init__(self, before: np.ndarray, after: np.ndarray, allowed: str) -> None:
        super().__init__()
        mask = before[None] <= after[:, None] if allowed == "<=" else before[None] < after[:, None]
        self.mask: Tensor
        self.register_buffer("mask", torch.from_numpy(mask).float(), persistent=False)
        seen = torch.from_numpy(np.maximum(mask.sum(1, keepdims=True), 1)).float()
        self.weight = nn.Parameter(torch.empty(mask.shape))
        with torch.no_grad():  # copied, for on the meta device the others would not be there
            self.weight.copy_(torch.randn(mask.shape, device="cpu") / seen.sqrt())

    def forward(self, x: Float[Tensor, "rows before"]) -> Float[Tensor, "rows after"]:
        return F.linear(x, self.weight * self.mask)
