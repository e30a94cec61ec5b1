"""The contract of all domains.

A sequence is a flat row of *elements*: the samples of a waveform, the 88 keys of each moment of a piano roll one after
another, pen, dx and dy of each point of a drawing, the words of a text. A model takes `stride` elements at a time as a
step. The domain says how a network sees an element, how it states the distribution of one (`size` parameters) and what
their likelihood is. How the elements of a step depend on each other is not its business; see `layers.within_step`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from lvm_probe import InputError

if TYPE_CHECKING:
    from lvm_probe.models.batches import Recording


@dataclass(frozen=True)
class Domain(ABC):
    """The kind of elements of a sequence, and the distribution of one; a frozen dataclass.

    Attributes:
        name: on the command line and in checkpoints.
        step: elements that belong together: 1 for waveforms and text, 88 for piano rolls, 3 for pen strokes.
        dtype: of the elements.
        uniform: whether all elements are of one kind, so that a model may also take fewer than a step at a time.
        categories: number of values of an element that a network sees through an embedding; 0 for numbers.
    """

    name: ClassVar[str]
    step: ClassVar[int] = 1
    dtype: ClassVar[torch.dtype]
    uniform: ClassVar[bool] = True

    @property
    def categories(self) -> int:
        """Values of an element that a network sees through an embedding; 0 where elements are numbers."""
        return 0

    @property
    @abstractmethod
    def size(self) -> int:
        """Parameters of the distribution of an element."""

    def is_density(self) -> bool:
        """Whether the likelihood is a density, whose bits are no code length."""
        return False

    def is_eight_bit(self) -> bool:
        """Whether the likelihood is of 8-bit codes of 16-bit audio."""
        return False

    def check(self, x: Any) -> Any:
        """Return elements as they are.

        Raises:
            InputError: if they are of another type, and so of another domain.
        """
        name, wanted = (str(dtype).removeprefix("torch.") for dtype in (x.dtype, self.dtype))
        if name != wanted:
            raise InputError(f"{self.name}: elements are {wanted}, not {name}; open the file as another domain")
        return x

    def features(self, x: Shaped[Tensor, "*shape"], dtype: torch.dtype) -> Float[Tensor, "*shape channels"]:
        """What a network sees of each element where it sees numbers; one channel."""
        return self.check(x).to(dtype).unsqueeze(-1)

    @abstractmethod
    def start(self, elements: int) -> Float[Tensor, "elements size"]:
        """The parameters with which training begins."""

    @abstractmethod
    def log_prob(
        self, parameters: Float[Tensor, "batch elements size"], x: Shaped[Tensor, "batch elements"]
    ) -> Float[Tensor, "batch elements"]:
        """Log likelihood of each element in nats, in single precision or better."""

    def log_mass(
        self, parameters: Float[Tensor, "batch elements size"], x: Shaped[Tensor, "batch elements"]
    ) -> Float[Tensor, "batch elements"]:
        """Log probability of what is stored of each element, in nats; for waveforms another than `log_prob`."""
        return self.log_prob(parameters, x)

    @abstractmethod
    def draw(
        self, parameters: Float[Tensor, "batch elements size"], generator: torch.Generator
    ) -> Shaped[Tensor, "batch elements"]:
        """Draw elements of whole steps, on the device of the generator, which is the source of all randomness."""

    def draw_next(
        self,
        parameters: Float[Tensor, "batch upto size"],
        before: Shaped[Tensor, "batch before"],
        generator: torch.Generator,
    ) -> Shaped[Tensor, "batch 1"]:
        """Draw the next element of a step.

        Args:
            parameters: of the step's elements up to the one to draw.
            before: those that are drawn already.
            generator: source of all randomness.
        """
        return self.draw(parameters[:, -1:], generator)

    def quantise(self, x: Tensor) -> Shaped[Tensor, "*shape"]:
        """What is drawn, as elements."""
        return x

    def seen(self, recordings: Sequence[Recording]) -> Sequence[Recording]:
        """The recordings as this domain sees them."""
        return recordings

    def normalised(self, recordings: Sequence[Recording]) -> Domain:
        """A copy that is normalised by the data to train on, where the distribution is not bounded."""
        return self


@runtime_checkable
class Distributions(Protocol):
    """What a decoder returns: the distributions of all elements of a batch.

    Where elements depend on others of their step, the distributions of these are stated only once they are `given`.
    """

    def given(self, x: Shaped[Tensor, "batch elements"]) -> Output:
        """The distribution of every element given those of its step that it depends on."""

    def elements(self, start: int, stop: int) -> Distributions:
        """Those of elements [start, stop), which are whole steps."""

    def sample(self, generator: torch.Generator) -> Tensor:
        """Draw every element; waveforms in [-1, 1]."""


@dataclass(frozen=True)
class Output:
    """The distributions of the elements of a batch.

    Attributes:
        domain: what they are.
        parameters: (batch, elements, domain.size), as the network outputs them.
    """

    domain: Domain
    parameters: Float[Tensor, "batch elements size"]

    def given(self, x: Shaped[Tensor, "batch elements"]) -> Output:
        """Itself: no element depends on another of its step."""
        return self

    def elements(self, start: int, stop: int) -> Output:
        """Those of elements [start, stop)."""
        return Output(self.domain, self.parameters[:, start:stop])

    def log_prob(self, x: Shaped[Tensor, "batch elements"]) -> Float[Tensor, "batch elements"]:
        """Log likelihood of each element, in nats; for waveforms the paper's (see `Waveform.log_prob`).

        Raises:
            InputError: if the elements are not of the domain.
        """
        return self.domain.log_prob(self.parameters, x)

    def log_mass(self, x: Shaped[Tensor, "batch elements"]) -> Float[Tensor, "batch elements"]:
        """Log probability of each element as it is stored, in nats; for waveforms of the 16-bit PCM values.

        Raises:
            InputError: if the elements are not of the domain.
        """
        return self.domain.log_mass(self.parameters, x)

    def sample(self, generator: torch.Generator) -> Tensor:
        """Draw every element, on the device of the generator; waveforms in [-1, 1]."""
        return self.domain.draw(self.parameters.to(generator.device), generator)


def output_head(width: int, elements: int, domain: Domain) -> nn.Linear:
    """A linear layer that outputs the parameters of several elements.

    The components of a mixture start spread over the range: otherwise all of them would get the same gradient and stay
    equal.

    Args:
        width: of its input.
        elements: how many.
        domain: what they are.
    """
    head = nn.Linear(width, elements * domain.size)
    with torch.no_grad():
        head.bias.view(elements, domain.size).copy_(domain.start(elements))
    return head
