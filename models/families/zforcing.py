"""Z-forcing SRNN (Goyal et al. 2017) on stacks of samples, as Dai et al. (2019, appendix B) write it.

    b_t = GRU(φ(x_t), b_{t+1}),  b after the last step 0
    v_t = GRU([φ(x_{t-1}), z_{t-1}], v_{t-1}),  v_0 = 0
    p(z_t | x_{<t}, z_{<t}) = N(f_p(v_t)),  q(z_t | x, z_{<t}) = N(f_q(v_t, b_t))
    p(x_t | z_{≤t}, x_{<t}) = D(φ_dec(z_t, v_t))

The latent enters the forward state, so nothing is Markov: it is a VRNN whose posterior sees the whole utterance.
Training adds to the negative ELBO

    α Σ_t -log N(b_t; f_b(z_t))  +  β Σ_t -log D(x_t | b_{t+1})

so that a latent says what is to come, and the backward states what came after. No gradient of the first reaches b.
Neither is part of any likelihood.

`simplified` is the variant that Dai et al. train for speed: prior and posterior see no latents, so both recurrent
states and all latents are computed at once, and only the state of the output is recurrent in z:

    v_t = GRU(φ(x_{t-1}), v_{t-1}),  p(z_t | x_{<t}) = N(f_p(v_t)),  q(z_t | x) = N(f_q(v_t, b_t))
    h_t = GRU([v_t, z_t], h_{t-1}),  p(x_t | z_{≤t}, x_{<t}) = D(φ_dec(h_t))

Departures: GRUs instead of LSTMs; rectified instead of leaky units; z enters the GRU without a layer of its own; log
precisions are kept in `LOG_PRECISION_RANGE`; the posterior starts at a small standard deviation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from lvm_probe import InputError
from lvm_probe.models.batches import sample_mask, step_counts, step_mask
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.layers.cwvae_cell import Cell
from lvm_probe.models.layers.gaussian_network import GaussianNetwork, InferenceNetwork
from lvm_probe.models.layers.gru import GRU, reverse, run
from lvm_probe.models.layers.stacked_samples import StackDecoder, shifted
from lvm_probe.models.stacked_model import Decoded, Generation, OneLayerConfig, OneLayerModel
from lvm_probe.models.training.recipe import DAI, SMALL, TINY, Preset
from lvm_probe.models.trajectory import Trajectory


@dataclass(frozen=True, kw_only=True)
class ZForcingConfig(OneLayerConfig):
    """Shape of an SRNN: that of a `OneLayerConfig`, where `hidden` holds for the distributions' networks too, and

    Attributes:
        simplified: whether prior and posterior see the data alone and no latents.
        future_weight: α, the weight in training of the cost of predicting b_t from z_t; 0 for no such prediction.
        backward_weight: β, the weight of the cost of predicting x_t from b_{t+1}; 0 for no such prediction.
    """

    simplified: bool = False
    future_weight: float = 0.005
    backward_weight: float = 0.005

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.simplified, bool):
            raise InputError(f"simplified must be true or false; got {self}")
        if not (0 <= self.future_weight < 1e6 and 0 <= self.backward_weight < 1e6):
            raise InputError(f"weights of auxiliary costs must be 0 or more; got {self}")


class LatentsInState(Cell):
    """The model with latents in the forward state, v, which is the trajectory's h."""

    def __init__(self, c: ZForcingConfig) -> None:
        super().__init__(c.width, c.hidden, c.latent, c.hidden, c.posterior_std, "direct")
        self.output_size = c.latent + c.hidden

    def context(self, past: Float[Tensor, "time batch width"]) -> Float[Tensor, "time batch width"]:
        """What the encoder can say of every step's past: the features of the step before."""
        return past

    @staticmethod
    def seen(z: Float[Tensor, "*time rows latent"], h: Float[Tensor, "*time rows hidden"]) -> Tensor:
        """What the output of a step depends on."""
        return torch.cat((z, h), -1)

    def from_prior(
        self,
        noise: Float[Tensor, "time rows latent"],
        past: Float[Tensor, "1 rows width"],
        output: Callable[[Tensor, Tensor], Decoded],
    ) -> Generation:
        """The equations with the prior in place of the posterior; `output` is p(x_t | ...) given z and v."""
        z, v = torch.zeros_like(noise[0]), noise.new_zeros(noise.shape[1], self.hidden)
        for eps in noise:
            v = self.state(self.gate_inputs(past, past)[0], z, v)
            prior = self.prior_of(v)
            z = prior.draw(eps)
            past = yield output(z.unsqueeze(0), v.unsqueeze(0))


class LatentsInOutput(InferenceNetwork):
    """The simplified model; the trajectory's h is the state of the output, h."""

    def __init__(self, c: ZForcingConfig) -> None:
        super().__init__(2 * c.hidden, c.hidden, c.latent, c.posterior_std)
        self.output_size = c.hidden
        self.states = GRU(c.width, c.hidden)
        self.prior = GaussianNetwork(c.hidden, c.hidden, c.latent)
        self.outputs = GRU(c.hidden + c.latent, c.hidden)

    def context(self, past: Float[Tensor, "time batch width"]) -> Float[Tensor, "time batch hidden"]:
        """What the encoder can say of every step's past: v."""
        return run(self.states, past)[0]

    @staticmethod
    def seen(z: Float[Tensor, "*time rows latent"], h: Float[Tensor, "*time rows hidden"]) -> Tensor:
        """What the output of a step depends on."""
        return h

    def infer(
        self,
        context: Float[Tensor, "time one_or_rows hidden"],
        encoded: Float[Tensor, "time one_or_rows hidden"],
        noise: Float[Tensor, "time rows latent"],
        before: Trajectory | None = None,
    ) -> Trajectory:
        """Draw the latents of all steps at once, then run the state of the output over them."""
        v, b = (x.to(noise.dtype).expand(-1, noise.shape[1], -1) for x in (context, encoded))
        with torch.autocast(noise.device.type, enabled=False):
            prior = self.prior(v)
            posterior = self(torch.cat((v, b), -1), prior)
            z = posterior.draw(noise)
        h, _ = run(self.outputs, torch.cat((v, z), -1), None if before is None else before.h[-1:])
        return Trajectory(h, z, prior, posterior)

    def from_prior(
        self,
        noise: Float[Tensor, "time rows latent"],
        past: Float[Tensor, "1 rows width"],
        output: Callable[[Tensor, Tensor], Decoded],
    ) -> Generation:
        """The equations with the prior in place of the posterior; `output` is p(x_t | ...) given z and h."""
        v, h = None, None
        for eps in noise.unsqueeze(1):
            _, v = run(self.states, past, v)
            prior = self.prior(v)
            z = prior.draw(eps)
            _, h = run(self.outputs, torch.cat((v, z), -1), h)
            past = yield output(z, h)


_SMALL = Preset(ZForcingConfig(latent=64, hidden=256), SMALL, "s=64, z=64; trains on two cores in about an hour")

_PAPER = Preset(
    ZForcingConfig(
        stride=200,
        latent=256,
        hidden=825,
        width=512,
        depth=1,
        inputs=("linear",),
        output=Waveform("gaussian", components=20, target="linear"),
    ),
    DAI,
    "s=200, z=256, mixtures of 20 Gaussians and the schedule for TIMIT of Dai et al. (2019); needs a GPU",
)

_TINY = Preset(ZForcingConfig(latent=8, hidden=16, width=16, output=Waveform(components=3)), TINY, "for tests")


def _simplified(like: Preset, note: str) -> Preset:
    return replace(like, config=replace(like.config, simplified=True), note=note)


class ZForcing(OneLayerModel):
    """Z-forcing SRNN with one layer of latents, at the rate of the stacks."""

    family = "zforcing"
    Config = ZForcingConfig
    decoder_sees_audio = True
    prior_sees_audio = True
    presets = {  # noqa: RUF012
        "small": _SMALL,
        "small-simplified": _simplified(_SMALL, "small without latents in prior and posterior"),
        "paper": _PAPER,
        "paper-simplified": _simplified(_PAPER, "paper without latents in prior and posterior"),
        "tiny": _TINY,
        "tiny-simplified": _simplified(_TINY, "for tests"),
    }

    def __init__(self, config: ZForcingConfig) -> None:
        super().__init__(config)
        c = config
        self.backward_states = GRU(c.width, c.hidden)
        self.dynamics = LatentsInOutput(c) if c.simplified else LatentsInState(c)
        self.decoder = StackDecoder(self.dynamics.output_size, c.latent, c)
        self.future = GaussianNetwork(c.latent, c.hidden, c.hidden) if c.future_weight else None
        self.backward_decoder = StackDecoder(c.hidden, 0, c) if c.backward_weight else None

    @property
    def posterior_modules(self) -> tuple[LatentsInState | LatentsInOutput]:
        """The one that infers z."""
        return (self.dynamics,)

    def encode(
        self, x: Shaped[Tensor, "batch elements"], lengths: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "time batch _features"], Float[Tensor, "time batch hidden"]]:
        """What the data say of every step's past (the features of the step before, or v of the simplified), and b."""
        features = self.features(self.pad(x))
        valid = step_counts(lengths, self.stride)
        backward = reverse(run(self.backward_states, reverse(features, valid))[0], valid)
        return self.dynamics.context(shifted(features)), backward

    def seen(self, z: Float[Tensor, "*time rows latent"], h: Float[Tensor, "*time rows hidden"]) -> Tensor:
        """What the output of a step depends on: z and v, or the state h of the simplified."""
        return self.dynamics.seen(z, h)

    def auxiliary_cost(
        self,
        x: Shaped[Tensor, "batch elements"],
        encoded: Sequence[Float[Tensor, "time batch _features"]],
        layers: Sequence[Trajectory],
        lengths: Int[Tensor, " batch"],
    ) -> Float[Tensor, ""] | None:
        """α times the cost of b_t given z_t, and β times that of x_t given b_{t+1}."""
        (layer,), backward, x = layers, encoded[1], self.pad(x)
        inside = step_mask(lengths, self.stride, len(backward))
        costs = []
        if self.future is not None:
            costs.append(self.config.future_weight * self.future.cost(layer.z, backward, inside))
        if self.backward_decoder is not None:
            after = backward * inside  # zero behind the end, so that the last step is predicted from nothing
            output, _ = self.backward_decoder(torch.cat((after[1:], torch.zeros_like(after[:1]))))
            likelihood = output.given(x).log_prob(x) * sample_mask(lengths, x.shape[1])
            costs.append(-self.config.backward_weight * likelihood.sum())
        return torch.stack(costs).sum() if costs else None

    def generate(self, noise: Sequence[Float[Tensor, "_time rows _latent"]], rows: int) -> Generation:
        """The equations with the prior in place of the posterior."""
        return self.dynamics.from_prior(noise[0], self.parameter.new_zeros(1, rows, self.config.width), self.output)
