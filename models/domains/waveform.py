"""Waveforms: 16-bit audio, and its likelihood from the parameters that a network outputs.

A discretized mixture of logistics, a Gaussian or a mixture of Gaussians, on μ-law or linear audio (Havtorn et al. 2022,
section 2.7 and appendix F). The normalisation is part of the configuration, and so of the checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Int16
from torch import Tensor
from torch.nn import functional as F

from lvm_probe import InputError
from lvm_probe.models.batches import Recording, pcm_histogram
from lvm_probe.models.domains.domain import Domain
from lvm_probe.models.io.pcm import check_pcm
from lvm_probe.models.likelihood import mulaw
from lvm_probe.models.likelihood.gaussian_mixture import GaussianMixture
from lvm_probe.models.likelihood.logistic_mixture import LogisticMixture

Likelihood = Literal["dmol", "gaussian"]
Target = Literal["mulaw", "mulaw8", "linear"]

_MU: dict[str, int | None] = {"mulaw": mulaw.MU, "mulaw8": mulaw.MU8, "linear": None}


@dataclass(frozen=True)
class WaveformView:
    """A recording of which some samples are seen, in another order; see `Waveform`.

    Attributes:
        recording: what is seen.
        every: of so many samples one is kept.
        permuted: samples of a block in which they change places; an incomplete block at the end keeps its order.

    Example:
        >>> class Ramp:
        ...     name, samples = "ramp", 9
        ...     def read(self, start, stop):
        ...         return np.arange(start, stop, dtype=np.int16)
        >>> WaveformView(Ramp(), every=4, permuted=0).read(0, 3).tolist()
        [0, 4, 8]
    """

    recording: Recording
    every: int
    permuted: int

    @property
    def name(self) -> str:
        """The recording's."""
        return self.recording.name

    @property
    def samples(self) -> int:
        """Samples that are kept."""
        return -(-self.recording.samples // self.every)

    def read(self, start: int, stop: int) -> Int16[np.ndarray, " n"]:
        """Samples [start, stop) of those that are kept."""
        if not self.permuted:
            return self._kept(start, stop)
        first = start - start % self.permuted
        last = min(self.samples, -(-stop // self.permuted) * self.permuted)
        samples = self._kept(first, last).copy()
        blocks = len(samples) // self.permuted
        order = np.random.default_rng(self.permuted).permutation(self.permuted)
        whole = samples[: blocks * self.permuted].reshape(blocks, self.permuted)
        whole[:] = whole[:, order]
        return samples[start - first : stop - first]

    def _kept(self, start: int, stop: int) -> Int16[np.ndarray, " n"]:
        last = min(self.recording.samples, (stop - 1) * self.every + 1)
        kept: np.ndarray = check_pcm(self.recording.read(start * self.every, last))[:: self.every]
        return kept


@dataclass(frozen=True)
class Waveform(Domain):
    """16-bit audio: the distribution of an audio sample, and the scale on which it is modelled.

    Attributes:
        likelihood: "dmol", a discretized mixture of logistics (a probability), or "gaussian", a mixture of Gaussians (a
            density).
        components: of the mixture; one Gaussian is a plain Gaussian.
        target: what is modelled: 16-bit μ-law, the 256 codes of 8-bit μ-law, or linear audio, in [-1, 1]. Networks see
            16 bits in any case, also those that predict the codes from past audio.
        min_std: smallest standard deviation of a Gaussian, in units of the normalised target.
        shift: subtracted from the target; 0 for a dmol.
        scale: then divides it; 1 for a dmol.
        every: of so many samples one is kept, the first (stride-TIMIT of Dai et al. 2019, section 3.3).
        permuted: samples of a block in which they are put in another order, the same in every block (their Perm-TIMIT);
            0 for the order of time.

    Raises:
        InputError: if a value is unknown or out of its range.

    Example:
        >>> Waveform("gaussian", components=1).size
        2
    """

    name = "waveform"
    dtype = torch.int16

    likelihood: Likelihood = "dmol"
    components: int = 10
    target: Target = "mulaw"
    min_std: float = 0.01
    shift: float = 0.0
    scale: float = 1.0
    every: int = 1
    permuted: int = 0

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
        views = (self.every, self.permuted)
        if (
            any(not isinstance(view, int) for view in views)
            or self.every < 1
            or self.permuted < 0
            or self.permuted == 1
        ):
            raise InputError(f"every is 1 or more, and a permuted block has 2 samples or more (0 for none); got {self}")
        if self.likelihood == "gaussian" and self.target == "mulaw8":
            raise InputError("the target mulaw8 is 256 codes, which have no density: choose the likelihood dmol")
        if self.likelihood == "dmol" and (self.shift, self.scale) != (0, 1):
            raise InputError(f"a dmol is discretized on [-1, 1]: leave shift 0 and scale 1; got {self}")

    @property
    def size(self) -> int:
        """Parameters per audio sample: logits (for more than one component), locations, log scales."""
        return (3 if self.components > 1 else 2) * self.components

    @property
    def whole(self) -> bool:
        """Whether waveforms are seen as they are."""
        return self.every == 1 and self.permuted == 0

    def seen(self, recordings: Sequence[Recording]) -> Sequence[Recording]:
        """The recordings as this domain sees them: every `every`-th sample, in blocks of another order."""
        if self.whole:
            return recordings
        return [WaveformView(recording, self.every, self.permuted) for recording in recordings]

    def is_density(self) -> bool:
        """Whether the likelihood is a density, whose bits are no code length."""
        return self.likelihood == "gaussian"

    def is_eight_bit(self) -> bool:
        """Whether the likelihood is of 8-bit codes, whose bits are not to be compared with those of 16-bit audio."""
        return self.target == "mulaw8"

    def check(self, x: Any) -> Any:
        """Return 16-bit PCM as it is.

        Raises:
            InputError: if it is not int16.
        """
        return check_pcm(x)

    def start(self, elements: int) -> Float[Tensor, "elements size"]:
        """Components spread over the range, of a moderate width."""
        k = self.components
        start = torch.zeros(elements, self.size)
        if k > 1:
            # on the meta device, linspace would import for half a second
            start[:, k : 2 * k] = torch.linspace(-0.8, 0.8, k, device="cpu")
        start[:, -k:] = -2 if self.likelihood == "dmol" and k > 1 else -1
        return start

    def log_prob(
        self, parameters: Float[Tensor, "batch samples size"], x: Int16[Tensor, "batch samples"]
    ) -> Float[Tensor, "batch samples"]:
        """The paper's log likelihood of each audio sample, in nats.

        For a dmol on the μ-law axis it is the log mass of the uniform bin around the sample, which is no code length
        (see `mulaw.bins_around`); for the target mulaw8, of the bin of the sample's code, and the masses of the 256
        codes sum to one; on the linear axis, of the cell of the PCM value. For Gaussians it is the log density of the
        normalised value.

        Raises:
            InputError: if `x` is not int16.
        """
        mu = _MU[self.target]
        if self.likelihood == "dmol" and mu is None:
            return self.log_mass(parameters, x)
        mixture = self._mixture(parameters)
        y = self.companded(mulaw.from_pcm(x, mixture.parameters.dtype))
        if isinstance(mixture, GaussianMixture):
            return mixture.log_density(self._normalised(y))
        assert mu is not None
        return mixture.log_mass(*mulaw.bins_around(self._coded(y), mu))

    def log_mass(
        self, parameters: Float[Tensor, "batch samples size"], x: Int16[Tensor, "batch samples"]
    ) -> Float[Tensor, "batch samples"]:
        """Log probability of each 16-bit PCM value, in nats; over all 65,536 values the probabilities sum to one.

        Raises:
            InputError: if `x` is not int16.
        """
        mixture = self._mixture(parameters)
        dtype = torch.float64 if isinstance(mixture, GaussianMixture) else mixture.parameters.dtype
        lower, upper = mulaw.pcm_edges(x, dtype, _MU[self.target])
        if isinstance(mixture, GaussianMixture):
            return mixture.log_mass(self._normalised(lower), self._normalised(upper))
        return mixture.log_mass(lower, upper)

    def draw(
        self, parameters: Float[Tensor, "batch samples size"], generator: torch.Generator
    ) -> Float[Tensor, "batch samples"]:
        """Draw a waveform in [-1, 1] for each row; for the target mulaw8, of the codes' amplitudes."""
        return self._waveform(self._coded(self._mixture(parameters).sample(generator)))

    def quantise(self, x: Float[Tensor, "*shape"]) -> Int16[Tensor, "*shape"]:
        """Round to 16 bits."""
        return mulaw.to_pcm(x)

    def centre(self, parameters: Float[Tensor, "batch samples size"]) -> Float[Tensor, "batch samples"]:
        """The expectation on the axis of the target, as a waveform in [-1, 1]."""
        logits, means, _ = self._mixture(parameters).parameters.chunk(3, -1)
        return self._waveform((logits.softmax(-1) * means).sum(-1))

    def normalised(self, recordings: Sequence[Recording]) -> Waveform:
        """Normalised by the mean and standard deviation of the training audio, on the axis of the target.

        A discretized mixture of logistics is defined on [-1, 1] and stays as it is.

        Args:
            recordings: to train on, read whole.

        Raises:
            InputError: if the audio is constant.
        """
        if self.likelihood == "dmol":
            return self
        counts = pcm_histogram(self.seen(recordings))
        values = mulaw.from_pcm(torch.arange(-mulaw.FULL_SCALE, mulaw.FULL_SCALE).short(), torch.float64)
        y = self.companded(values).numpy()
        mean = float(counts @ y / counts.sum())
        std = math.sqrt(float(counts @ (y - mean) ** 2 / counts.sum()))
        if std == 0:
            raise InputError("the training audio is constant: there is nothing to normalise a Gaussian output by")
        return replace(self, shift=mean, scale=std)

    def companded(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Amplitudes in [-1, 1] on the axis of the target.

        Example:
            >>> Waveform(target="mulaw8").companded(torch.tensor([0.01]))
            tensor([0.2285])
        """
        mu = _MU[self.target]
        return x if mu is None else mulaw.encode(x, mu)

    def _coded(self, y: Tensor) -> Tensor:
        """The code's place on the axis for the target mulaw8, else y itself."""
        return mulaw.on_grid(y, mulaw.MU8) if self.is_eight_bit() else y

    def _waveform(self, y: Tensor) -> Tensor:
        y, mu = (y * self.scale + self.shift).clamp(-1, 1), _MU[self.target]
        return (y if mu is None else mulaw.decode(y, mu)).clamp(-1, 1)  # decoding may round past 1

    def _mixture(self, parameters: Tensor) -> LogisticMixture | GaussianMixture:
        if self.components == 1:  # a logit of zero
            parameters = F.pad(parameters, (1, 0))
        if self.likelihood == "gaussian":
            return GaussianMixture(parameters, self.min_std)
        return LogisticMixture(parameters)

    def _normalised(self, x: Tensor) -> Tensor:
        return (x - self.shift) / self.scale
