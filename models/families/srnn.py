"""Stochastic recurrent neural network (SRNN, Fraccaro et al. 2016) on stacks of samples.

    d_t = GRU(φ(x_{t-1}), d_{t-1}),  d_0 = 0
    a_t = GRU([φ(x_t), d_t], a_{t+1}),  a after the last step 0     (smoothing)
    a_t = MLP([φ(x_t), d_t])                                        (filtering)
    p(z_t | z_{t-1}, d_t),  q(z_t | z_{t-1}, a_t),  z_0 = 0         (`models.layers.srnn_chain`)
    p(x_t | z_{≤t}, x_{<t}) = D(φ_dec(z_t, d_t))

The states d depend on the audio alone, so both GRUs run once per utterance and only the chain of latents is computed
for each Monte Carlo draw. The backward GRU starts at the utterance's last step, whatever padding follows. Departures
from Havtorn et al. (2022, section 2.4): the posterior sees x_t through a_t alone, as in Fraccaro et al.; the posterior
may also be the product with the prior, as in the CW-VAE.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from lvm_probe import InputError
from lvm_probe.models.batches import step_counts
from lvm_probe.models.domains.domain import Distributions
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.layers.gru import GRU, reverse, run
from lvm_probe.models.layers.srnn_chain import Chain
from lvm_probe.models.layers.stacked_samples import StackDecoder, StackedConfig, StackEncoder, shifted, stacked_presets
from lvm_probe.models.likelihood.gaussian import Posterior
from lvm_probe.models.model import SpeechModel
from lvm_probe.models.training.recipe import PAPER, SMALL, TINY, Preset
from lvm_probe.models.trajectory import Trajectory

POSTERIORS: tuple[Posterior, ...] = ("direct", "residual", "product")


@dataclass(frozen=True, kw_only=True)
class SRNNConfig(StackedConfig):
    """Shape of an SRNN.

    Attributes:
        latent: size of z.
        hidden: units of the GRUs and of the distributions' networks.
        smoothing: whether the posterior sees the whole utterance, or the audio up to its own step.
        posterior: one of `POSTERIORS`; see `layers.srnn_chain.Chain`.
        posterior_std: standard deviation of the evidence's Gaussian at the start of training.
    """

    latent: int
    hidden: int
    smoothing: bool = True
    posterior: Posterior = "direct"
    posterior_std: float = 0.15

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check((self.latent, self.hidden))
        if self.posterior not in POSTERIORS:
            raise InputError(f"an SRNN's posterior is one of {', '.join(POSTERIORS)}; got {self.posterior!r}")
        if not isinstance(self.smoothing, bool) or not self.posterior_std > 0:
            raise InputError(f"smoothing must be true or false and posterior_std positive; got {self}")


class SRNN(SpeechModel):
    """SRNN with one layer of latents, at the rate of the stacks."""

    family = "srnn"
    Config = SRNNConfig
    decoder_sees_audio = True
    prior_sees_audio = True
    presets = stacked_presets(
        small=Preset(SRNNConfig(latent=64, hidden=256), SMALL, "s=64, z=64; trains on two cores in about an hour"),
        paper=Preset(
            SRNNConfig(latent=256, hidden=256, depth=3, inputs=("mulaw16",)),
            PAPER,
            "s=64, z=256 as in the paper, with its schedule",
        ),
        tiny=Preset(SRNNConfig(latent=8, hidden=16, width=16, output=Waveform(components=3)), TINY, "for tests"),
    )

    def __init__(self, config: SRNNConfig) -> None:
        super().__init__()
        self.config = c = config
        self.stride, self.strides, self.latents = c.stride, (c.stride,), (c.latent,)
        self.encode_reach, self.decode_reach = None, (0, 0)
        self.frames = StackEncoder(c)
        self.states = GRU(c.width, c.hidden)
        self.summary: nn.GRU | nn.Sequential
        if c.smoothing:
            self.summary = GRU(c.width + c.hidden, c.hidden)
        else:
            layers = (nn.Linear(c.width + c.hidden, c.hidden), nn.ReLU(), nn.Linear(c.hidden, c.hidden), nn.ReLU())
            self.summary = nn.Sequential(*layers)
        self.chain = Chain(c.hidden, c.hidden, c.latent, c.hidden, c.posterior_std, c.posterior)
        self.decoder = StackDecoder(c.latent + c.hidden, c.latent, c)

    @property
    def posterior_modules(self) -> tuple[Chain]:
        """The chain."""
        return (self.chain,)

    def encode(
        self, x: Shaped[Tensor, "batch elements"], lengths: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "time batch hidden"], Float[Tensor, "time batch hidden"]]:
        """d, which has seen the audio before every step, and a, what the posterior sees at it."""
        features = self.frames(self.pad(x))
        states, _ = run(self.states, shifted(features))
        both = torch.cat((features, states), -1)
        if not isinstance(self.summary, nn.GRU):
            return states, self.summary(both)
        valid = step_counts(lengths, self.stride)
        return states, reverse(run(self.summary, reverse(both, valid))[0], valid)

    def infer(
        self,
        encoded: Sequence[Float[Tensor, "time one_or_rows hidden"]],
        noise: Sequence[Float[Tensor, "time rows latent"]],
        before: Sequence[Trajectory] = (),
    ) -> tuple[Trajectory, ...]:
        """Run the posterior; the trajectory's h is d."""
        states, summaries = encoded
        return (self.chain.infer(states, summaries, noise[0], before[0] if before else None),)

    def decode(
        self,
        encoded: Sequence[Float[Tensor, "time batch hidden"]],
        layers: Sequence[Trajectory],
        lengths: Int[Tensor, " batch"],
    ) -> tuple[Distributions, Float[Tensor, "batch samples"] | None]:
        """p(x_t | z_{≤t}, x_{<t}) for every audio sample, and the auxiliary waveform."""
        (layer,) = layers
        return self.decoder(torch.cat((layer.z, layer.h), -1), layer.z)

    @torch.no_grad()
    def sample(self, samples: int, rows: int, generator: torch.Generator) -> Shaped[Tensor, "rows elements"]:
        """Generate step by step: a stack is drawn, rounded as the data are and fed back."""
        where = self.parameter
        (noise,) = (n.to(where.device) for n in self.noise(samples, rows, generator, where.dtype))
        z, features = where.new_zeros(rows, self.config.latent), where.new_zeros(1, rows, self.config.width)
        carried = where.new_zeros(1, rows, self.config.hidden)
        stacks: list[Tensor] = []
        for step, eps in enumerate(noise):
            state, carried = run(self.states, features, carried)
            prior = self.chain.prior_of(state[0], z)
            z = prior.mean + prior.std * eps
            output, _ = self.decoder(torch.cat((z, state[0]), -1).unsqueeze(0), z.unsqueeze(0))
            stacks.append(output.sample(generator))
            features = self.frames.of_drawn(stacks[-1], step)
        return torch.cat(stacks, 1)[:, :samples]
