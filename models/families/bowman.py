"""Sentence VAE (Bowman et al. 2016) on stacks of samples: one latent for a whole sequence.

    a = LSTM_enc(φ(x_1), …, φ(x_T)), its last state;   p(z) = N(0, 1),   q(z | x) = N(μ(a), σ(a))
    [d_1, c_1] = W z + w,   d_{t+1} = LSTM_dec(φ(x_t), d_t),   p(x_t | z, x_{<t}) = D(φ_dec(d_t))

A latent of the family has a stride, so a sequence is cut into consecutive segments of `steps` steps, each with a latent
of its own and with both LSTMs started again: what follows a segment knows nothing of it. The model is that of the paper
where a sequence fits into one segment, as a sentence shall. In what is longer, such as speech, a segment is what the
paper calls a sentence. The evidence is a segment's last step inside the sequence, whatever padding follows.

Departures: φ and φ_dec are the perceptrons of the other models on stacks, φ shared by both LSTMs; there is no word
dropout; the weight of the KL divergence rises linearly, in the paper as a logistic function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from lvm_probe import InputError
from lvm_probe.models.batches import step_counts
from lvm_probe.models.domains.domain import Distributions
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.families.storn import Recognition
from lvm_probe.models.layers.stacked_samples import StackDecoder, StackedConfig, StackEncoder, shifted
from lvm_probe.models.likelihood.gaussian import Gaussian
from lvm_probe.models.model import SpeechModel
from lvm_probe.models.training.recipe import PAPER, SMALL, TINY, Preset
from lvm_probe.models.trajectory import Trajectory


@dataclass(frozen=True, kw_only=True)
class BowmanConfig(StackedConfig):
    """Shape of a sentence VAE.

    Attributes:
        latent: size of z.
        hidden: units of both LSTMs.
        steps: of a segment, which has one latent; a sentence must not have more.
        posterior_std: standard deviation of the posterior at the start of training.
    """

    latent: int
    hidden: int
    steps: int = 128
    posterior_std: float = 0.15

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check((self.latent, self.hidden, self.steps))
        if not self.posterior_std > 0:
            raise InputError(f"posterior_std must be positive; got {self}")


def _per_segment(preset: Preset) -> Preset:
    """The preset with free nats for each segment, not for each of its steps."""
    return replace(preset, recipe=replace(preset.recipe, scale_free_nats=False))


class Bowman(SpeechModel):
    """Sentence VAE with one latent for each segment."""

    family = "bowman"
    Config = BowmanConfig
    decoder_sees_audio = True
    prior_sees_audio = False
    presets = {  # noqa: RUF012
        "small": _per_segment(
            Preset(BowmanConfig(latent=64, hidden=256), SMALL, "s=64, one z=64 for 128 steps, 512 ms of speech")
        ),
        "paper": _per_segment(
            Preset(
                BowmanConfig(latent=256, hidden=256, depth=3, inputs=("mulaw16",)),
                PAPER,
                "s=64, one z=256 for 128 steps, in the sizes and with the schedule of Havtorn et al. (2022)",
            )
        ),
        "tiny": _per_segment(
            Preset(
                BowmanConfig(latent=8, hidden=16, width=16, steps=16, output=Waveform(components=3)), TINY, "for tests"
            )
        ),
    }

    def __init__(self, config: BowmanConfig) -> None:
        super().__init__()
        self.config = c = config
        self.stride, self.strides, self.latents = c.stride, (c.steps * c.stride,), (c.latent,)
        self.encode_reach, self.decode_reach = (0, 0), (0, 0)
        self.frames = StackEncoder(c)
        self.summary = nn.LSTM(c.width, c.hidden)
        self.recognition = Recognition(c.hidden, c.latent, c.posterior_std)
        self.start = nn.Linear(c.latent, 2 * c.hidden)
        self.states = nn.LSTM(c.width, c.hidden)
        self.decoder = StackDecoder(c.hidden, c.latent, c)

    @property
    def posterior_modules(self) -> tuple[Recognition]:
        """The recognition network's output layer."""
        return (self.recognition,)

    def encode(
        self, x: Shaped[Tensor, "batch elements"], lengths: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "time batch width"], Float[Tensor, "segments batch hidden"]]:
        """The features of every step's predecessor in its segment (zeros before the first), and a of each segment."""
        features = self._segments(self.frames(self.pad(x)))
        before = self.config.steps * torch.arange(features.shape[1] // len(lengths), device=lengths.device).unsqueeze(1)
        valid = (step_counts(lengths, self.stride) - before).clamp(0, self.config.steps).flatten()
        with torch.autocast(x.device.type, enabled=False):
            states, _ = self.summary(features.to(self.parameter.dtype))
        last = states[(valid - 1).clamp(min=0), torch.arange(len(valid), device=valid.device)]
        a = last * (valid > 0).unsqueeze(1)
        return self._sequence(shifted(features), len(lengths)), a.unflatten(0, (-1, len(lengths)))

    def infer(
        self,
        encoded: Sequence[Float[Tensor, "_time one_or_rows _features"]],
        noise: Sequence[Float[Tensor, "segments rows latent"]],
        before: Sequence[Trajectory] = (),
    ) -> tuple[Trajectory, ...]:
        """Draw the latents of all segments at once; a trajectory's h is what the decoder starts from, [d_1, c_1].

        `before` is not needed: segments know nothing of each other.
        """
        (eps,) = noise
        with torch.autocast(eps.device.type, enabled=False):
            prior = Gaussian(torch.zeros_like(eps), torch.zeros_like(eps))
            posterior = self.recognition(encoded[1].to(eps.dtype), prior)
            z = torch.addcmul(posterior.mean, posterior.std, eps)
            return (Trajectory(self.start(z), z, prior, posterior),)

    def decode(
        self,
        encoded: Sequence[Float[Tensor, "_time batch _features"]],
        layers: Sequence[Trajectory],
        lengths: Int[Tensor, " batch"],
    ) -> tuple[Distributions, Float[Tensor, "batch samples"] | None]:
        """p(x_t | z, x_{<t}) for every audio sample, and the auxiliary waveform."""
        (layer,) = layers
        rows = layer.z.shape[1]
        with torch.autocast(layer.z.device.type, enabled=False):
            past = self._segments(encoded[0].to(layer.h.dtype).expand(-1, rows, -1))
            states, _ = self.states(past, self._carried(layer.h.flatten(0, 1)))
        return self.decoder(self._sequence(states, rows), layer.z.repeat_interleave(self.config.steps, 0))

    @torch.no_grad()
    def sample(self, samples: int, rows: int, generator: torch.Generator) -> Shaped[Tensor, "rows elements"]:
        """Generate step by step: a stack is drawn, rounded as the data are and fed back."""
        where = self.parameter
        (noise,) = (n.to(where.device) for n in self.noise(samples, rows, generator, where.dtype))
        stacks: list[Tensor] = []
        for step in range(-(-samples // self.stride)):
            segment, place = divmod(step, self.config.steps)
            if place == 0:
                features, carried = (
                    where.new_zeros(1, rows, self.config.width),
                    self._carried(self.start(noise[segment])),
                )
            state, carried = self.states(features, carried)
            output, _ = self.decoder(state, noise[segment].unsqueeze(0))
            stacks.append(output.sample(generator))
            features = self.frames.of_drawn(stacks[-1], step)
        return torch.cat(stacks, 1)[:, :samples]

    @staticmethod
    def _carried(start: Float[Tensor, "rows both"]) -> tuple[Tensor, Tensor]:
        """State and memory cell of an LSTM."""
        d, c = start.unsqueeze(0).chunk(2, -1)
        return d.contiguous(), c.contiguous()

    def _segments(self, x: Float[Tensor, "time batch channel"]) -> Float[Tensor, "steps rows channel"]:
        """Every segment as a row of its own."""
        return x.unflatten(0, (-1, self.config.steps)).transpose(0, 1).flatten(1, 2)

    def _sequence(self, x: Float[Tensor, "steps rows channel"], batch: int) -> Float[Tensor, "time batch channel"]:
        """The inverse of `_segments`."""
        return x.unflatten(1, (-1, batch)).transpose(0, 1).flatten(0, 1)
