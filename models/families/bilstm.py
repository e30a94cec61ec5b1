"""Variational Bi-LSTM (Shabanian et al. 2017) on stacks of samples.

    b_t = LSTM(φ(x_t), b_{t+1}),  b after the last step 0
    p(z_t | x_{<t-1}, z_{<t}) = N(f_p(h_{t-1})),  q(z_t | x, z_{<t}) = N(f_q(h_{t-1}, b_t))     (equations 3, 4)
    h_t = LSTM([φ(x_{t-1}), z_t, b̃_t], h_{t-1}),  h_0 = 0;   b̃_t = the mean of N(f_b(z_t))      (equation 5)
    p(x_t | z_{≤t}, x_{<t}) = D(φ_dec(h_t))

Two LSTMs read a sequence from either end and meet in the latents: the forward one is told what the latent says of the
backward state, b̃_t, which in generation there is no other way to know. Training adds to the negative ELBO

    α Σ_t -log N(b_t; f_b(z_t))  +  β Σ_t -log N(h_{t-1}; f_h(z_t))                              (equation 6)

with no gradient to b_t and h_{t-1} themselves. It is no part of any likelihood.

Time is counted by the step that is predicted: our φ(x_{t-1}) and x_t are the paper's x_t and x_{t+1}. Interpretation:
b_t has seen x_t, as in Z-forcing, to which the paper refers. Departures: b̃_t is the mean of its Gaussian instead of a
draw, whose posterior would be its prior and which could carry nothing but noise; no gradients are skipped at random;
rectified instead of leaky units; stacks pass through the perceptron of the other models on stacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from lvm_probe import InputError
from lvm_probe.models.batches import step_counts, step_mask
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.layers.gaussian_network import GaussianNetwork, InferenceNetwork
from lvm_probe.models.layers.gru import reverse
from lvm_probe.models.layers.stacked_samples import StackDecoder, shifted
from lvm_probe.models.likelihood.gaussian import Gaussian
from lvm_probe.models.stacked_model import Generation, OneLayerConfig, OneLayerModel
from lvm_probe.models.training.recipe import DAI, SMALL, TINY, Preset
from lvm_probe.models.trajectory import Trajectory


@dataclass(frozen=True, kw_only=True)
class BiLSTMConfig(OneLayerConfig):
    """Shape of a Bi-LSTM: that of a `OneLayerConfig`, where `width` holds for the distributions' networks too, and

    Attributes:
        future_weight: α, the weight in training of the cost of predicting b_t from z_t.
        past_weight: β, the weight of the cost of predicting h_{t-1} from z_t; 0 for no such prediction.
    """

    future_weight: float = 1.0
    past_weight: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 <= self.future_weight < 1e6 and 0 <= self.past_weight < 1e6):
            raise InputError(f"weights of auxiliary costs must be 0 or more; got {self}")


class ForwardLSTM(InferenceNetwork):
    """The forward LSTM and its latents. A trajectory's h is [h_t, c_t], the state and the cell."""

    def __init__(self, c: BiLSTMConfig) -> None:
        super().__init__(2 * c.hidden, c.width, c.latent, c.posterior_std)
        self.size = c.hidden
        self.prior = GaussianNetwork(c.hidden, c.width, c.latent)
        self.future = GaussianNetwork(c.latent, c.width, c.hidden)
        self.past_to_gates = nn.Linear(c.width, 4 * c.hidden)  # input, forget, candidate, output
        self.latents_to_gates = nn.Linear(c.latent + c.hidden, 4 * c.hidden, bias=False)
        self.state_to_gates = nn.Linear(c.hidden, 4 * c.hidden, bias=False)

    def infer(
        self,
        past: Float[Tensor, "time one_or_rows width"],
        backward: Float[Tensor, "time one_or_rows hidden"],
        noise: Float[Tensor, "time rows latent"],
        before: Trajectory | None = None,
    ) -> Trajectory:
        """Run the posterior through time, in the precision of `noise`.

        Args:
            past: features of the step before every step.
            backward: b of every step.
            noise: standard normal.
            before: the stretch of time before this one; its last step is where the recurrence continues.
        """
        rows = noise.shape[1]
        states, zs, priors, posteriors = list[Tensor](), list[Tensor](), list[Gaussian](), list[Gaussian]()
        with torch.autocast(noise.device.type, enabled=False):
            gates = self.past_to_gates(past.to(noise.dtype))
            state = noise.new_zeros(rows, 2 * self.size) if before is None else before.h[-1].detach()
            for step, (gate, b, eps) in enumerate(zip(gates, backward.to(noise.dtype), noise, strict=True)):
                h = state[:, : self.size]
                priors.append(self.prior(h))
                posteriors.append(self(torch.cat((h, b.expand(rows, -1)), -1), priors[-1], step))
                zs.append(posteriors[-1].draw(eps))
                state = self.advance(gate, zs[-1], state)
                states.append(state)
        return Trajectory(torch.stack(states), torch.stack(zs), Gaussian.stack(priors), Gaussian.stack(posteriors))

    def advance(
        self,
        gates: Float[Tensor, "one_or_rows gates"],
        z: Float[Tensor, "rows latent"],
        state: Float[Tensor, "rows both"],
    ) -> Float[Tensor, "rows both"]:
        """[h_t, c_t] from what the past contributes to the gates, z_t and [h_{t-1}, c_{t-1}]."""
        h, cell = state.chunk(2, -1)
        told = torch.cat((z, self.future(z).mean), -1)
        entered, kept, candidate, shown = (gates + self.latents_to_gates(told) + self.state_to_gates(h)).chunk(4, -1)
        cell = torch.sigmoid(kept) * cell + torch.sigmoid(entered) * torch.tanh(candidate)
        return torch.cat((torch.sigmoid(shown) * torch.tanh(cell), cell), -1)


class BiLSTM(OneLayerModel):
    """Variational Bi-LSTM with one layer of latents, at the rate of the stacks."""

    family = "bilstm"
    Config = BiLSTMConfig
    decoder_sees_audio = True
    prior_sees_audio = True
    presets = {  # noqa: RUF012
        "small": Preset(
            BiLSTMConfig(latent=64, hidden=256, future_weight=0.01),
            SMALL,
            "s=64, z=64; trains on two cores in about an hour",
        ),
        "paper": Preset(
            BiLSTMConfig(
                stride=200,
                latent=128,
                hidden=2048,
                width=1024,
                depth=1,
                inputs=("linear",),
                output=Waveform("gaussian", components=1, target="linear"),
            ),
            replace(DAI, batch=128, learning_rate=1e-4, cosine=False, clip=0.0),
            "s=200, z=128, one Gaussian, sizes and rate for TIMIT as in the paper; updates and β as in zforcing paper",
        ),
        "tiny": Preset(
            BiLSTMConfig(latent=8, hidden=16, width=16, future_weight=0.01, output=Waveform(components=3)),
            TINY,
            "for tests",
        ),
    }

    def __init__(self, config: BiLSTMConfig) -> None:
        super().__init__(config)
        c = config
        self.backward_lstm = nn.LSTM(c.width, c.hidden)
        self.forward_lstm = ForwardLSTM(c)
        self.decoder = StackDecoder(c.hidden, c.latent, c)
        self.past = GaussianNetwork(c.latent, c.width, c.hidden) if c.past_weight else None

    @property
    def posterior_modules(self) -> tuple[ForwardLSTM]:
        """The forward LSTM with its latents."""
        return (self.forward_lstm,)

    def encode(
        self, x: Shaped[Tensor, "batch elements"], lengths: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "time batch width"], Float[Tensor, "time batch hidden"]]:
        """The features of every step's predecessor (zeros before the first), and b."""
        features = self.features(self.pad(x))
        valid = step_counts(lengths, self.stride)
        with torch.autocast(x.device.type, enabled=False):
            states, _ = self.backward_lstm(reverse(features.to(self.parameter.dtype), valid))
        return shifted(features), reverse(states, valid)

    def seen(self, z: Float[Tensor, "*time rows latent"], h: Float[Tensor, "*time rows both"]) -> Tensor:
        """What the output of a step depends on: the state h without its cell."""
        return h[..., : self.config.hidden]

    def auxiliary_cost(
        self,
        x: Shaped[Tensor, "batch elements"],
        encoded: Sequence[Float[Tensor, "time batch _features"]],
        layers: Sequence[Trajectory],
        lengths: Int[Tensor, " batch"],
    ) -> Float[Tensor, ""] | None:
        """α times the cost of b_t given z_t, and β times that of h_{t-1}."""
        (layer,), backward = layers, encoded[1]
        inside = step_mask(lengths, self.stride, len(backward))
        cost = self.config.future_weight * self.forward_lstm.future.cost(layer.z, backward, inside)
        if self.past is not None:
            states = shifted(layer.h[..., : self.config.hidden])
            cost = cost + self.config.past_weight * self.past.cost(layer.z, states, inside)
        return cost

    def generate(self, noise: Sequence[Float[Tensor, "_time rows _latent"]], rows: int) -> Generation:
        """The equations with the prior in place of the posterior."""
        (eps,), c, lstm, zeros = noise, self.config, self.forward_lstm, self.parameter.new_zeros
        past, state = zeros(1, rows, c.width), zeros(rows, 2 * c.hidden)
        for e in eps:
            prior = lstm.prior(state[:, : c.hidden])
            z = prior.draw(e)
            state = lstm.advance(lstm.past_to_gates(past[0]), z, state)
            past = yield self.output(z.unsqueeze(0), state.unsqueeze(0))
