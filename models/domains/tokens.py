"""Text as words or characters, each a choice among the tokens of a vocabulary."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int32
from torch import Tensor

from lvm_probe import InputError
from lvm_probe.models.domains.domain import Domain


@dataclass(frozen=True)
class Tokens(Domain):
    """Numbers of tokens.

    Attributes:
        vocabulary: the tokens in the order of their numbers.

    Raises:
        InputError: if there are fewer than two tokens, or one occurs twice.

    Example:
        >>> Characters(("a", "b")).log_prob(torch.zeros(1, 1, 2), torch.tensor([[1]], dtype=torch.int32))
        tensor([[-0.6931]])
    """

    dtype = torch.int32

    vocabulary: tuple[str, ...] = ("<eos>", "<unk>")

    def __post_init__(self) -> None:
        strings = isinstance(self.vocabulary, tuple) and all(isinstance(token, str) for token in self.vocabulary)
        if not strings or len(self.vocabulary) < 2 or len(set(self.vocabulary)) < len(self.vocabulary):
            raise InputError("a vocabulary has at least two tokens, each once")

    @property
    def categories(self) -> int:
        """How many tokens there are."""
        return len(self.vocabulary)

    @property
    def size(self) -> int:
        """A logit for each token."""
        return len(self.vocabulary)

    def start(self, elements: int) -> Float[Tensor, "elements size"]:
        """All tokens alike."""
        return torch.zeros(elements, self.size)

    def log_prob(
        self, parameters: Float[Tensor, "batch elements size"], x: Int32[Tensor, "batch elements"]
    ) -> Float[Tensor, "batch elements"]:
        """Log probability of each token, in nats."""
        logits = parameters.to(torch.promote_types(parameters.dtype, torch.float32))
        return logits.gather(-1, self.check(x).long().unsqueeze(-1)).squeeze(-1) - logits.logsumexp(-1)

    def draw(
        self, parameters: Float[Tensor, "batch elements size"], generator: torch.Generator
    ) -> Int32[Tensor, "batch elements"]:
        """Draw each token."""
        probabilities = parameters.float().softmax(-1)
        drawn = torch.multinomial(probabilities.flatten(0, 1), 1, generator=generator)
        return drawn.view(parameters.shape[:2]).to(torch.int32)


@dataclass(frozen=True)
class Words(Tokens):
    """Text in words."""

    name = "words"


@dataclass(frozen=True)
class Characters(Tokens):
    """Text in characters."""

    name = "characters"
