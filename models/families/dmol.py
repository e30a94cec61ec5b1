"""One distribution for every audio sample: the optimal DMoL of Havtorn et al. (2022, section 3).

    p(x_t) = D(ρ),  the same ρ for all t

A baseline that uses no context. There are no latents and no network, so the likelihood is maximised on the histogram of
the 65,536 PCM values (`fit`), in seconds for any corpus. The paper does not say how it fits its two components; here
L-BFGS in double precision starts from several points, and the best optimum counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Int, Int16, Int64
from torch import Tensor, nn

from lvm_probe import InputError
from lvm_probe.models.batches import Recording, pcm_histogram
from lvm_probe.models.domains.domain import Output
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.likelihood import mulaw
from lvm_probe.models.likelihood.logistic_mixture import MIN_LOG_SCALE
from lvm_probe.models.model import ModelConfig, SpeechModel
from lvm_probe.models.training.recipe import SMALL, TINY, Preset
from lvm_probe.models.trajectory import Trajectory

ITERATIONS = 300
"""Largest number of L-BFGS steps from one start; two components need about fifty."""
NARROW = MIN_LOG_SCALE + 0.5
"""Smallest log scale of a start."""


@dataclass(frozen=True, kw_only=True)
class UnconditionalConfig(ModelConfig):
    """The output, with two components as in the paper; `inputs` are not used."""

    output: Waveform = field(default_factory=lambda: Waveform(components=2))

    def __post_init__(self) -> None:
        self.check(())
        if self.output.likelihood != "dmol":
            raise InputError(f"the dmol family is a mixture of logistics; got the likelihood {self.output.likelihood}")


_OPTIMAL = Preset(
    UnconditionalConfig(),
    replace(SMALL, updates=1_000, learning_rate=1e-2, auxiliary=(0.0, 0.0, 0.0)),
    "two components for every sample: the paper's optimal DMoL",
)


class Unconditional(SpeechModel):
    """`output.size` numbers: logits, locations and log scales of the distribution of every audio sample.

    Deterministic: `encode` returns a tensor without features, whose shape is the number of samples.
    """

    family = "dmol"
    Config = UnconditionalConfig
    decoder_sees_audio = False
    prior_sees_audio = False
    presets = {  # noqa: RUF012
        "small": _OPTIMAL,
        "optimal": _OPTIMAL,
        "tiny": Preset(UnconditionalConfig(), TINY, "for tests"),
    }

    def __init__(self, config: UnconditionalConfig) -> None:
        super().__init__()
        self.config = config
        self.stride, self.strides, self.latents = 1, (), ()
        self.encode_reach, self.decode_reach = (0, 0), (0, 0)
        self.distribution = nn.Parameter(_start(*_spread(config.output)).float())

    def encode(
        self, pcm: Int16[Tensor, "batch samples"], lengths: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "samples batch 0"]]:
        """No features for every sample."""
        return (self.distribution.new_empty(pcm.shape[1], pcm.shape[0], 0),)

    def decode(
        self,
        encoded: Sequence[Float[Tensor, "samples batch 0"]],
        layers: Sequence[Trajectory],
        lengths: Int[Tensor, " batch"],
    ) -> tuple[Output, Float[Tensor, "batch samples"] | None]:
        """The distribution, expanded to all samples without a copy."""
        return self._output(len(lengths), len(encoded[0])), None

    @torch.no_grad()
    def sample(self, samples: int, rows: int, generator: torch.Generator) -> Float[Tensor, "rows samples"]:
        """Generate independent samples."""
        return self._output(rows, samples).sample(generator)

    def _output(self, rows: int, samples: int) -> Output:
        return Output(self.config.output, self.distribution.expand(rows, samples, -1))


def fit(
    config: UnconditionalConfig,
    recordings: Sequence[Recording],
    *,
    progress: Callable[[int], None] = lambda samples: None,
) -> Unconditional:
    """The model with the largest likelihood of the recordings (`Output.log_prob`, not the code length).

    The audio is read once. There is no randomness.

    Args:
        config: of the model.
        recordings: read whole, one after another.
        progress: called with the samples of each recording.

    Raises:
        InputError: if there are no samples, or no optimum is found.
    """
    return fit_histogram(config, pcm_histogram(config.output.seen(recordings), progress))


def fit_histogram(config: UnconditionalConfig, counts: Int64[np.ndarray, " 65536"]) -> Unconditional:
    """`fit` from the counts of the PCM values from -32,768 to 32,767."""
    seen = np.flatnonzero(counts)
    if not len(seen):
        raise InputError("no samples to fit a distribution to: choose another split or corpus")
    pcm = torch.from_numpy((seen - mulaw.FULL_SCALE).astype(np.int16))
    shares = torch.from_numpy(counts[seen] / counts.sum())
    fits = [_descend(config.output, pcm, shares, start) for start in _starts(config.output, pcm, shares)]
    nats, best = min(fits, key=lambda found: found[0])
    if not math.isfinite(nats):
        raise InputError(f"no mixture of {config.output.components} logistics could be fitted: choose another number")
    model = Unconditional(config)
    with torch.no_grad():
        model.distribution.copy_(best)
    return model


def _descend(
    config: Waveform, pcm: Int16[Tensor, " values"], shares: Float[Tensor, " values"], start: Float[Tensor, " size"]
) -> tuple[float, Float[Tensor, " size"]]:
    """Mean negative log likelihood in nats (infinite if no optimum was found) and parameters, starting from `start`."""
    ours = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [ours],
        max_iter=ITERATIONS,
        history_size=20,
        tolerance_grad=1e-9,
        tolerance_change=1e-13,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        output = Output(config, ours.expand(1, len(pcm), -1))
        return -(output.log_prob(pcm.unsqueeze(0))[0] * shares).sum()

    def closure() -> float:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return float(value.detach())

    optimizer.step(closure)
    with torch.no_grad():
        final = float(loss())
    return (final if math.isfinite(final) else math.inf), ours.detach()


def _starts(
    config: Waveform, pcm: Int16[Tensor, " values"], shares: Float[Tensor, " values"]
) -> list[Float[Tensor, " size"]]:
    """Starting points, in double precision, for the shapes that the histogram of speech may have.

    Components spread over the range; at the quantiles, wide and narrow; all around the mean, each wider than the one
    before; and one narrow component on the most frequent value.
    """
    x = config.companded(mulaw.from_pcm(pcm, torch.float64))
    k = config.components
    middle = (x * shares).sum()
    scale = torch.log(((x - middle).square() * shares).sum().sqrt().clamp(min=1e-5))
    levels = (torch.arange(k, dtype=torch.float64) + 0.5) / k
    quantiles = x[torch.searchsorted(shares.cumsum(0), levels).clamp(max=len(x) - 1)]
    apart = torch.linspace(-1, 1, k, dtype=torch.float64) if k > 1 else quantiles.new_zeros(1)
    spiked = torch.cat((x[shares.argmax()].view(1), quantiles[1:]))
    return [
        _start(*_spread(config)),
        _start(quantiles, (scale - math.log(k)).expand(k)),
        _start(quantiles, (scale - math.log(4 * k)).expand(k)),
        _start(middle + 0.01 * scale.exp() * apart, scale - 1 + 1.5 * apart),
        _start(spiked, torch.cat((scale.new_tensor([NARROW]), (scale - math.log(k)).expand(k - 1)))),
    ]


def _spread(config: Waveform) -> tuple[Float[Tensor, " k"], Float[Tensor, " k"]]:
    """Means and log scales as `output_head` initialises them."""
    k = config.components
    means = torch.linspace(-0.8, 0.8, k, dtype=torch.float64) if k > 1 else torch.zeros(1, dtype=torch.float64)
    return means, means.new_full((k,), -2.0)


def _start(means: Float[Tensor, " k"], log_scales: Float[Tensor, " k"]) -> Float[Tensor, " size"]:
    """Parameters with equal weights and log scales above their minimum, below which there is no gradient."""
    logits = means.new_zeros(len(means) if len(means) > 1 else 0)
    return torch.cat((logits, means, log_scales.clamp(min=NARROW)))
