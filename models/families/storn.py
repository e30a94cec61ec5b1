"""Stochastic recurrent network (STORN, Bayer and Osendorfer 2014), on stacks of samples.

    p(z_t) = N(0, 1)
    h_t = GRU([φ(x_{t-1}), z_t], h_{t-1}),  h_0 = 0
    p(x_t | z_{≤t}, x_{<t}) = D(φ_dec(h_t))
    a_t = GRU(φ(x_t), a_{t-1}),  a_0 = 0;    q(z_t | x_{≤t}) = N(μ(a_t), σ(a_t))

The latents are independent of each other and of the audio in the prior, and the posterior does not see other latents,
so inference runs over all steps at once and only the generating state h is recurrent in z. Dai et al. (2019, appendix
B) compare the model with VRNN and SRNN.

Departures: GRUs instead of simple recurrent units, and one perceptron φ for both networks. The posterior sees x_t. Dai
et al. describe a posterior given x_{<t}, as for prediction; its latents could carry nothing about their own step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.layers.cwvae_cell import initialise_head
from lvm_probe.models.layers.gru import GRU, run
from lvm_probe.models.layers.stacked_samples import StackDecoder, shifted, stacked_presets
from lvm_probe.models.likelihood.gaussian import Gaussian, gaussian_of, posterior_of
from lvm_probe.models.model import PosteriorModule
from lvm_probe.models.stacked_model import Generation, OneLayerConfig, OneLayerModel
from lvm_probe.models.training.recipe import PAPER, SMALL, TINY, Preset
from lvm_probe.models.trajectory import Trajectory


@dataclass(frozen=True, kw_only=True)
class STORNConfig(OneLayerConfig):
    """Shape of a STORN."""


class Recognition(PosteriorModule):
    """q(z_t | x_{≤t}) from the state a_t of the recognition network; the prior is N(0, 1)."""

    def __init__(self, hidden: int, latent: int, std: float) -> None:
        super().__init__()
        self.posterior = "direct"
        self.head = nn.Linear(hidden, 2 * latent)
        initialise_head(self.head, std)

    def forward(
        self, a: Float[Tensor, "time one_or_rows hidden"], noise: Float[Tensor, "time rows latent"]
    ) -> tuple[Float[Tensor, "time rows latent"], Gaussian, Gaussian]:
        """Latents, prior and posterior of every step and row, in the precision of `noise`."""
        with torch.autocast(noise.device.type, enabled=False):
            prior = Gaussian(torch.zeros_like(noise), torch.zeros_like(noise))
            if self.given is None:
                posterior = posterior_of(self.posterior, prior, gaussian_of(self.head(a.to(noise.dtype))))
                posterior = Gaussian(posterior.mean.expand_as(noise), posterior.log_precision.expand_as(noise))
            else:
                posterior = self.certain(self.given.expand_as(noise))
            return posterior.draw(noise), prior, posterior


class STORN(OneLayerModel):
    """STORN with one layer of latents, at the rate of the stacks."""

    family = "storn"
    Config = STORNConfig
    decoder_sees_audio = True
    prior_sees_audio = False
    presets = stacked_presets(
        small=Preset(STORNConfig(latent=64, hidden=256), SMALL, "s=64, z=64; trains on two cores in about an hour"),
        paper=Preset(
            STORNConfig(latent=256, hidden=256, depth=3, inputs=("mulaw16",)),
            PAPER,
            "s=64, z=256, in the sizes and with the schedule of Havtorn et al. (2022)",
        ),
        tiny=Preset(STORNConfig(latent=8, hidden=16, width=16, output=Waveform(components=3)), TINY, "for tests"),
    )

    def __init__(self, config: STORNConfig) -> None:
        super().__init__(config)
        c = config
        self.summary = GRU(c.width, c.hidden)
        self.recognition = Recognition(c.hidden, c.latent, c.posterior_std)
        self.states = GRU(c.width + c.latent, c.hidden)
        self.decoder = StackDecoder(c.hidden, c.latent, c)

    @property
    def posterior_modules(self) -> tuple[Recognition]:
        """The recognition network's output layer."""
        return (self.recognition,)

    def encode(
        self, x: Shaped[Tensor, "batch elements"], lengths: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "time batch width"], Float[Tensor, "time batch hidden"]]:
        """The features of every step's predecessor (zeros before the first), and a."""
        features = self.features(self.pad(x))
        return shifted(features), run(self.summary, features)[0]

    def infer(
        self,
        encoded: Sequence[Float[Tensor, "time one_or_rows _features"]],
        noise: Sequence[Float[Tensor, "time rows latent"]],
        before: Sequence[Trajectory] = (),
    ) -> tuple[Trajectory, ...]:
        """Draw the latents of all steps at once, then run the generating network over them."""
        past, a = encoded
        (eps,) = noise
        z, prior, posterior = self.recognition(a, eps)
        inputs = torch.cat((past.to(z.dtype).expand(-1, z.shape[1], -1), z), -1)
        h, _ = run(self.states, inputs, before[0].h[-1:] if before else None)
        return (Trajectory(h, z, prior, posterior),)

    def seen(self, z: Float[Tensor, "*time rows latent"], h: Float[Tensor, "*time rows hidden"]) -> Tensor:
        """What the output of a step depends on: h alone."""
        return h

    def generate(self, noise: Sequence[Float[Tensor, "_time rows _latent"]], rows: int) -> Generation:
        """The equations with latents from the prior, which are the noise itself."""
        (latents,), c, zeros = noise, self.config, self.parameter.new_zeros
        past, h = zeros(1, rows, c.width), zeros(1, rows, c.hidden)
        for z in latents.unsqueeze(1):
            _, h = run(self.states, torch.cat((past, z), -1), h)
            past = yield self.output(z, h)
