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
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.layers.gru import GRU, reverse, run
from lvm_probe.models.layers.srnn_chain import Chain
from lvm_probe.models.layers.stacked_samples import StackDecoder, shifted, stacked_presets
from lvm_probe.models.likelihood.gaussian import Posterior
from lvm_probe.models.stacked_model import Generation, OneLayerConfig, OneLayerModel
from lvm_probe.models.training.recipe import PAPER, SMALL, TINY, Preset

POSTERIORS: tuple[Posterior, ...] = ("direct", "residual", "product")


@dataclass(frozen=True, kw_only=True)
class SRNNConfig(OneLayerConfig):
    """Shape of an SRNN: that of a `OneLayerConfig`, where `hidden` holds for the distributions' networks too, and

    Attributes:
        smoothing: whether the posterior sees the whole utterance, or the audio up to its own step.
        posterior: one of `POSTERIORS`; see `layers.srnn_chain.Chain`.
    """

    smoothing: bool = True
    posterior: Posterior = "direct"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.posterior not in POSTERIORS:
            raise InputError(f"an SRNN's posterior is one of {', '.join(POSTERIORS)}; got {self.posterior!r}")
        if not isinstance(self.smoothing, bool):
            raise InputError(f"smoothing must be true or false; got {self}")


class SRNN(OneLayerModel):
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
        super().__init__(config)
        c = config
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
        features = self.features(self.pad(x))
        states, _ = run(self.states, shifted(features))
        both = torch.cat((features, states), -1)
        if not isinstance(self.summary, nn.GRU):
            return states, self.summary(both)
        valid = step_counts(lengths, self.stride)
        return states, reverse(run(self.summary, reverse(both, valid))[0], valid)

    def generate(self, noise: Sequence[Float[Tensor, "_time rows _latent"]], rows: int) -> Generation:
        """The equations with the prior in place of the posterior."""
        (eps,), c, zeros = noise, self.config, self.parameter.new_zeros
        past, z, d = zeros(1, rows, c.width), zeros(rows, c.latent), zeros(1, rows, c.hidden)
        for e in eps:
            _, d = run(self.states, past, d)
            prior = self.chain.prior_of(d[0], z)
            z = prior.mean + prior.std * e
            past = yield self.output(z.unsqueeze(0), d)
