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

from lvm_probe.models.batches import step_counts
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.families.storn import Recognition
from lvm_probe.models.layers.stacked_samples import StackDecoder, shifted
from lvm_probe.models.stacked_model import Decoded, Generation, OneLayerConfig, OneLayerModel
from lvm_probe.models.training.recipe import PAPER, SMALL, TINY, Preset
from lvm_probe.models.trajectory import Trajectory


@dataclass(frozen=True, kw_only=True)
class BowmanConfig(OneLayerConfig):
    """Shape of a sentence VAE: that of a `OneLayerConfig`, and

    Attributes:
        steps: of a segment, which has one latent; a sentence must not have more.
    """

    steps: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check((self.steps,))


def _per_segment(preset: Preset) -> Preset:
    """The preset with free nats for each segment, not for each of its steps."""
    return replace(preset, recipe=replace(preset.recipe, scale_free_nats=False))


class Bowman(OneLayerModel):
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
        super().__init__(config)
        c, self.encode_reach = config, (0, 0)
        self.strides = (c.steps * c.stride,)
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
        features = self._segments(self.features(self.pad(x)))
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
        z, prior, posterior = self.recognition(encoded[1], eps)
        with torch.autocast(eps.device.type, enabled=False):
            return (Trajectory(self.start(z), z, prior, posterior),)

    def decode(
        self,
        encoded: Sequence[Float[Tensor, "_time batch _features"]],
        layers: Sequence[Trajectory],
        lengths: Int[Tensor, " batch"],
    ) -> Decoded:
        """p(x_t | z, x_{<t}) for every audio sample, and the auxiliary waveform."""
        (layer,) = layers
        rows = layer.z.shape[1]
        with torch.autocast(layer.z.device.type, enabled=False):
            past = self._segments(encoded[0].to(layer.h.dtype).expand(-1, rows, -1))
            states, _ = self.states(past, self._carried(layer.h.flatten(0, 1)))
        return self.output(layer.z.repeat_interleave(self.config.steps, 0), self._sequence(states, rows))

    def seen(self, z: Float[Tensor, "*time rows latent"], h: Float[Tensor, "*time rows hidden"]) -> Tensor:
        """What the output of a step depends on: the decoder's state alone."""
        return h

    def generate(self, noise: Sequence[Float[Tensor, "_time rows _latent"]], rows: int) -> Generation:
        """The equations with latents from the prior, which are the noise itself; every segment starts again."""
        for z in noise[0].unsqueeze(1):
            past, carried = self.parameter.new_zeros(1, rows, self.config.width), self._carried(self.start(z[0]))
            for _ in range(self.config.steps):
                state, carried = self.states(past, carried)
                past = yield self.output(z, state)

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
