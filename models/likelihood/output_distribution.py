"""Output distributions: from the parameters that a network outputs to the likelihood of 16-bit audio.

A discretized mixture of logistics, a Gaussian or a mixture of Gaussians, on μ-law or linear audio (Havtorn et al. 2022,
section 2.7 and appendix F). The normalisation is part of the configuration, and so of the checkpoint.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int16
from torch import Tensor, nn
from torch.nn import functional as F

from lvm_probe import InputError
from lvm_probe.models.likelihood import mulaw
from lvm_probe.models.likelihood.gaussian_mixture import GaussianMixture
from lvm_probe.models.likelihood.logistic_mixture import LogisticMixture

Likelihood = Literal["dmol", "gaussian"]
Target = Literal["mulaw", "linear"]


@dataclass(frozen=True)
class OutputConfig:
    """The distribution of an audio sample, and the scale on which it is modelled.

    Attributes:
        likelihood: "dmol", a discretized mixture of logistics (a probability), or "gaussian", a mixture of Gaussians (a
            density).
        components: of the mixture; one Gaussian is a plain Gaussian.
        target: what is modelled, 16-bit μ-law or linear audio in [-1, 1].
        min_std: smallest standard deviation of a Gaussian, in units of the normalised target.
        shift: subtracted from the target; 0 for a dmol.
        scale: then divides it; 1 for a dmol.

    Raises:
        InputError: if a value is unknown or out of its range.

    Example:
        >>> OutputConfig("gaussian", components=1).size
        2
    """

    likelihood: Likelihood = "dmol"
    components: int = 10
    target: Target = "mulaw"
    min_std: float = 0.01
    shift: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        for value, known, what in (
            (self.likelihood, get_args(Likelihood), "likelihood"),
            (self.target, get_args(Target), "target"),
        ):
            if value not in known:
                raise InputError(f"{what} must be one of {', '.join(known)}; got {value!r}")
        if not isinstance(self.components, int) or self.components < 1:
            raise InputError(f"components must be a positive whole number; got {self.components!r}")
        if not (self.min_std > 0 and self.scale > 0 and math.isfinite(self.min_std * self.scale + self.shift)):
            raise InputError(f"min_std and scale must be positive, shift finite; got {self}")
        if self.likelihood == "dmol" and (self.shift, self.scale) != (0, 1):
            raise InputError(f"a dmol is discretized on [-1, 1]: leave shift 0 and scale 1; got {self}")

    @property
    def size(self) -> int:
        """Parameters per audio sample: logits (for more than one component), locations, log scales."""
        return (3 if self.components > 1 else 2) * self.components

    def is_density(self) -> bool:
        """Whether the likelihood is a density, whose bits are no code length."""
        return self.likelihood == "gaussian"


@dataclass(frozen=True)
class Output:
    """The distributions of a batch of audio.

    Attributes:
        config: the kind of distribution.
        parameters: (batch, samples, config.size), as the network outputs them.
    """

    config: OutputConfig
    parameters: Float[Tensor, "batch samples size"]

    def log_prob(self, pcm: Int16[Tensor, "batch samples"]) -> Float[Tensor, "batch samples"]:
        """The paper's log likelihood of each audio sample, in nats.

        For a dmol on the μ-law axis it is the log mass of the uniform bin around the sample, which is no code length
        (see `mulaw.bins_around`); on the linear axis, of the cell of the PCM value. For Gaussians it is the log density
        of the normalised value.

        Raises:
            InputError: if `pcm` is not int16.
        """
        if self.config.likelihood == "dmol" and self.config.target == "linear":
            return self.log_mass(pcm)
        mixture = self._mixture()
        if isinstance(mixture, GaussianMixture):
            return mixture.log_density(self._normalised(self._companded(pcm, mixture.parameters.dtype)))
        return mixture.log_mass(*mulaw.bins_around(self._companded(pcm, mixture.parameters.dtype)))

    def log_mass(self, pcm: Int16[Tensor, "batch samples"]) -> Float[Tensor, "batch samples"]:
        """Log probability of each 16-bit PCM value, in nats; over all 65,536 values the probabilities sum to one.

        Raises:
            InputError: if `pcm` is not int16.
        """
        mixture = self._mixture()
        dtype = torch.float64 if isinstance(mixture, GaussianMixture) else mixture.parameters.dtype
        lower, upper = mulaw.pcm_edges(pcm, dtype, linear=self.config.target == "linear")
        if isinstance(mixture, GaussianMixture):
            return mixture.log_mass(self._normalised(lower), self._normalised(upper))
        return mixture.log_mass(lower, upper)

    def sample(self, generator: torch.Generator) -> Float[Tensor, "batch samples"]:
        """Draw a waveform in [-1, 1] for each row, on the device of the generator."""
        parameters = self.parameters.to(generator.device)
        return self._waveform(Output(self.config, parameters)._mixture().sample(generator))

    def centre(self) -> Float[Tensor, "batch samples"]:
        """The expectation on the axis of the target, as a waveform in [-1, 1]."""
        logits, means, _ = self._mixture().parameters.chunk(3, -1)
        return self._waveform((logits.softmax(-1) * means).sum(-1))

    def _waveform(self, y: Tensor) -> Tensor:
        y = (y * self.config.scale + self.config.shift).clamp(-1, 1)
        return (mulaw.decode(y) if self.config.target == "mulaw" else y).clamp(-1, 1)  # decoding may round past 1

    def _mixture(self) -> LogisticMixture | GaussianMixture:
        parameters = self.parameters
        if self.config.components == 1:  # a logit of zero
            parameters = F.pad(parameters, (1, 0))
        if self.config.likelihood == "gaussian":
            return GaussianMixture(parameters, self.config.min_std)
        return LogisticMixture(parameters)

    def _companded(self, pcm: Tensor, dtype: torch.dtype) -> Tensor:
        x = mulaw.from_pcm(pcm, dtype)
        return mulaw.encode(x) if self.config.target == "mulaw" else x

    def _normalised(self, x: Tensor) -> Tensor:
        return (x - self.config.shift) / self.config.scale


def output_head(width: int, samples: int, config: OutputConfig) -> nn.Linear:
    """A linear layer that outputs the parameters of several audio samples.

    Its components start spread over the range: otherwise all of them would get the same gradient and stay equal.

    Args:
        width: of its input.
        samples: audio samples.
        config: their distribution.
    """
    head = nn.Linear(width, samples * config.size)
    k = config.components
    with torch.no_grad():
        bias = head.bias.view(samples, config.size)
        bias[:] = 0
        if k > 1:
            # on the meta device, linspace would import for half a second
            bias[:, k : 2 * k] = torch.linspace(-0.8, 0.8, k, device="cpu")
        bias[:, -k:] = -2 if config.likelihood == "dmol" and k > 1 else -1
    return head
