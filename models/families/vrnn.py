"""Variational recurrent neural network (VRNN, Chung et al. 2015) on stacks of samples.

With the equations of Havtorn et al. (2022, section 2.3):

    d_t = GRU([φ(x_{t-1}), z_{t-1}], d_{t-1}),  d_0 = 0                                          (below equation 2)
    p(z_t | x_{<t}, z_{<t}) = N(φ_prior(d_t)),  q(z_t | x_{≤t}, z_{<t}) = N(φ_enc(φ(x_t), d_t))   (equations 6, 7)
    p(x_t | z_{≤t}, x_{<t}) = D(φ_dec(z_t, d_t))                                                 (equation 8)

The recurrence is the CW-VAE's cell, with the previous stack as context and the present one as evidence. The decoder
takes the state before the present stack enters, in training and in generation. Departures: z enters the GRU without a
perceptron of its own; the posterior may be the product with the prior, as in the CW-VAE.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float, Int, Shaped
from torch import Tensor

from lvm_probe import InputError
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.layers.cwvae_cell import Cell
from lvm_probe.models.layers.stacked_samples import StackDecoder, shifted, stacked_presets
from lvm_probe.models.likelihood.gaussian import Posterior
from lvm_probe.models.stacked_model import Generation, OneLayerConfig, OneLayerModel
from lvm_probe.models.training.recipe import PAPER, SMALL, TINY, Preset


@dataclass(frozen=True, kw_only=True)
class VRNNConfig(OneLayerConfig):
    """Shape of a VRNN: that of a `OneLayerConfig`, where `hidden` holds for the distributions' networks too, and

    Attributes:
        posterior: "direct", or "product" with the prior.
        output_sees_state: whether x_t depends on d_t besides z_t.
        state_sees_data: whether d_t depends on x_{t-1} besides z_{t-1}. Without either the data reach the output
            through the latents alone, as in a CW-VAE of one layer; the experiments behind Havtorn et al. (2022) tried
            both.
    """

    posterior: Posterior = "direct"
    output_sees_state: bool = True
    state_sees_data: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.posterior not in ("direct", "product"):
            raise InputError(f"a VRNN's posterior is direct or product; got {self}")
        if not isinstance(self.output_sees_state, bool) or not isinstance(self.state_sees_data, bool):
            raise InputError(f"output_sees_state and state_sees_data are true or false; got {self}")


class VRNN(OneLayerModel):
    """VRNN with one layer of latents, at the rate of the stacks."""

    family = "vrnn"
    Config = VRNNConfig
    decoder_sees_audio = True
    prior_sees_audio = True
    presets = stacked_presets(
        small=Preset(VRNNConfig(latent=64, hidden=256), SMALL, "s=64, z=64; trains on two cores in about an hour"),
        paper=Preset(
            VRNNConfig(latent=256, hidden=256, depth=3, inputs=("mulaw16",)),
            PAPER,
            "s=64, z=256 as in the paper, with its schedule",
        ),
        tiny=Preset(VRNNConfig(latent=8, hidden=16, width=16, output=Waveform(components=3)), TINY, "for tests"),
    ) | {
        "small-no-output-state": Preset(
            VRNNConfig(latent=64, hidden=256, output_sees_state=False),
            SMALL,
            "small, whose output sees z alone (no h to x)",
        ),
        "small-no-state-data": Preset(
            VRNNConfig(latent=64, hidden=256, state_sees_data=False),
            SMALL,
            "small, whose state sees z alone (no x to h)",
        ),
    }

    def __init__(self, config: VRNNConfig) -> None:
        super().__init__(config)
        c, self.encode_reach = config, (config.stride, 0)
        context = c.width if c.state_sees_data else 0
        self.cell = Cell(context, c.width, c.latent, c.hidden, c.posterior_std, c.posterior)
        self.decoder_sees_audio = c.output_sees_state and c.state_sees_data
        self.prior_sees_audio = c.state_sees_data
        self.decoder = StackDecoder(c.latent + c.hidden * c.output_sees_state, c.latent, c)

    @property
    def posterior_modules(self) -> tuple[Cell]:
        """The cell."""
        return (self.cell,)

    def encode(
        self, x: Shaped[Tensor, "batch elements"], lengths: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "time batch width"], Float[Tensor, "time batch width"]]:
        """The features of every step's predecessor (zeros before the first) and of the step itself."""
        features = self.features(self.pad(x))
        return shifted(features), features

    def seen(self, z: Float[Tensor, "*time rows latent"], h: Float[Tensor, "*time rows hidden"]) -> Tensor:
        """What the output of a step depends on: z, and d unless left out."""
        return super().seen(z, h) if self.config.output_sees_state else z

    def generate(self, noise: Sequence[Float[Tensor, "_time rows _latent"]], rows: int) -> Generation:
        """The equations with the prior in place of the posterior."""
        (eps,), c, zeros = noise, self.config, self.parameter.new_zeros
        past, z, d = zeros(1, rows, c.width), zeros(rows, c.latent), zeros(rows, c.hidden)
        for e in eps:
            d = self.cell.state(self.cell.gate_inputs(past, past)[0].expand(rows, -1), z, d)
            prior = self.cell.prior_of(d)
            z = prior.mean + prior.std * e
            past = yield self.output(z.unsqueeze(0), d.unsqueeze(0))
