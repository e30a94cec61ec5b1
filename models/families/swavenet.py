"""Stochastic WaveNet (Lai et al. 2018) on stacks of samples: a WaveNet with latents in every layer.

    x^1_t = W φ(x_{t-1}) + w;    d^l_t = the gated block of `models.layers.tcn` of x^l_t and x^l_{t-j},  j = 2^{l-1}
    p(z^l_t | z^{<l}_{≤t}, x_{<t}) = N(f_p(d^l_t)),  q(z^l_t | z^{<l}_{≤t}, x) = N(f_q(d^l_t, b^l_t))
    x^{l+1}_t = f_x(d^l_t, z^l_t);    s_t = f_s(x^1_t) + Σ_l f_s(d^l_t, z^l_t),   p(x_t | ...) = D(φ_dec(ReLU(s_t)))

Inference runs a WaveNet backwards, from the longest dilation to the shortest, because the latents of a layer reach the
data to come through the layers above it:

    e_t = W φ(x_t) + w,  y^{L+1} = e;    y^l_t = a gated block of y^{l+1}_t and y^{l+1}_{t+j},   b^l_t = f_b(y^l_t, e_t)

All f have a layer of rectified units. Within a layer no latent depends on another, so training and inference take one
pass over all steps for each layer. Before the first step and behind the utterance's last one x^l and y^l are zero.

Departures: no batch normalisation, which would make an utterance's latents depend on the rest of its batch; the blocks
have a 1x1 layer behind the gates; stacks pass through the perceptron of the other models on stacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from lvm_probe import InputError
from lvm_probe.models.batches import step_counts
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.layers.gaussian_network import GaussianNetwork, InferenceNetwork
from lvm_probe.models.layers.gru import reverse
from lvm_probe.models.layers.stacked_samples import StackDecoder, StackedConfig, shifted
from lvm_probe.models.layers.tcn import GatedBlock, doubling_dilations
from lvm_probe.models.stacked_model import Decoded, Generation, StackedModel
from lvm_probe.models.training.recipe import DAI, SMALL, TINY, Preset
from lvm_probe.models.trajectory import Trajectory


@dataclass(frozen=True, kw_only=True)
class SWaveNetConfig(StackedConfig):
    """Shape of a Stochastic WaveNet; `width` is also that of the networks f.

    Attributes:
        latents: size of each layer's latents, the layer with dilation 1 first.
        channels: of all convolutions.
        posterior_std: standard deviation of the posterior at the start of training.
    """

    latents: tuple[int, ...]
    channels: int
    posterior_std: float = 0.15

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.latents, tuple) or not 1 <= len(self.latents) <= 20:
            raise InputError(f"a Stochastic WaveNet has 1 to 20 layers, which double their dilation; got {self}")
        self.check((*self.latents, self.channels))
        if not self.posterior_std > 0:
            raise InputError(f"posterior_std must be positive; got {self}")


class Layer(InferenceNetwork):
    """A block with its latents, and what it passes on. A trajectory's h is [x^l_t, d^l_t]."""

    def __init__(self, c: SWaveNetConfig, number: int) -> None:
        latent, dilation = c.latents[number], doubling_dilations(len(c.latents))[number]
        super().__init__(2 * c.channels, c.width, latent, c.posterior_std)
        self.block = GatedBlock(c.channels, dilation)
        self.prior = GaussianNetwork(c.channels, c.width, latent)
        self.skip = _network(c.channels + latent, c.width, c.channels)
        topmost = number == len(c.latents) - 1
        self.onward = None if topmost else _network(c.channels + latent, c.width, c.channels)
        self.backward_block = GatedBlock(c.channels, dilation)
        self.backward_out = _network(2 * c.channels, c.width, c.channels)

    def infer(
        self,
        x: Float[Tensor, "time rows channel"],
        b: Float[Tensor, "time rows channel"],
        noise: Float[Tensor, "time rows latent"],
        before: Trajectory | None,
    ) -> Trajectory:
        """Draw the latents of all steps.

        Args:
            x: input of the block.
            b: what inference knows.
            noise: standard normal.
            before: the time before; its last steps, as many as the dilation has, are looked back on.
        """
        front = x.new_zeros(self.block.dilation, *x.shape[1:])
        if before is not None:
            front = torch.cat((front, before.h[..., : x.shape[-1]].detach()))[-self.block.dilation :]
        d, _ = self.block(x, torch.cat((front, x))[: len(x)])
        prior = self.prior(d)
        posterior = self(torch.cat((d, b), -1), prior)
        z = posterior.draw(noise)
        return Trajectory(torch.cat((x, d), -1), z, prior, posterior)


def _network(inputs: int, units: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, units), nn.ReLU(), nn.Linear(units, outputs))


class SWaveNet(StackedModel):
    """Stochastic WaveNet with any number of layers, all at the rate of the stacks."""

    family = "swavenet"
    Config = SWaveNetConfig
    decoder_sees_audio = True
    prior_sees_audio = True
    presets = {  # noqa: RUF012
        "small": Preset(
            SWaveNetConfig(latents=(32, 32, 32, 32), channels=96),
            SMALL,
            "s=64, four layers of 96 channels, z=32 each; trains on two cores in about an hour",
        ),
        "paper": Preset(
            SWaveNetConfig(
                stride=200,
                latents=(512, 512, 512, 512),
                channels=1024,
                width=512,
                depth=1,
                inputs=("linear",),
                output=Waveform("gaussian", components=1, target="linear"),
            ),
            replace(DAI, batch=128, learning_rate=5e-4, clip=0.1, beta=(0.0, 1.0, 0.5)),
            "s=200, one Gaussian, sizes and rate for TIMIT as in the authors' code, with linear β; needs a GPU",
        ),
        "tiny": Preset(
            SWaveNetConfig(latents=(8, 4), channels=12, width=16, output=Waveform(components=3)), TINY, "for tests"
        ),
    }

    def __init__(self, config: SWaveNetConfig) -> None:
        super().__init__(config, config.latents)
        c = config
        self.first = nn.Linear(c.width, c.channels)
        self.skip = _network(c.channels, c.width, c.channels)
        self.layers = nn.ModuleList(Layer(c, number) for number in range(len(c.latents)))
        self.decoder = StackDecoder(c.channels, sum(c.latents), c)
        ahead = sum(layer.block.dilation for layer in self.posterior_modules)
        self.encode_reach, self.decode_reach = (c.stride, ahead * c.stride), (0, 0)
        self.infer_reach = max(layer.block.dilation for layer in self.posterior_modules)

    @property
    def posterior_modules(self) -> tuple[Layer, ...]:
        """The layers, the one with dilation 1 first."""
        return tuple(layer for layer in self.layers if isinstance(layer, Layer))

    def encode(
        self, x: Shaped[Tensor, "batch elements"], lengths: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "time batch channel"], ...]:
        """x^1, then b^l of every layer."""
        features = self.features(self.pad(x))
        valid = step_counts(lengths, self.stride)
        first, e = self.first(shifted(features)), reverse(self.first(features), valid)  # from the end to the beginning
        y, found = e, list[Tensor]()
        for layer in reversed(self.posterior_modules):
            y, _ = layer.backward_block(y, shifted(y, layer.block.dilation))
            found.append(reverse(layer.backward_out(torch.cat((y, e), -1)), valid))
        return (first, *reversed(found))

    def infer(
        self,
        encoded: Sequence[Float[Tensor, "time one_or_rows channel"]],
        noise: Sequence[Float[Tensor, "time rows _latent"]],
        before: Sequence[Trajectory] = (),
    ) -> tuple[Trajectory, ...]:
        """Draw latents from the lowest layer up, all steps at once; a trajectory's h is [x^l, d^l]."""
        rows, dtype = noise[0].shape[1], noise[0].dtype
        x, *evidence = (e.to(dtype).expand(-1, rows, -1) for e in encoded)
        found: list[Trajectory] = []
        with torch.autocast(noise[0].device.type, enabled=False):
            for l, (layer, b, eps) in enumerate(zip(self.posterior_modules, evidence, noise, strict=True)):
                found.append(layer.infer(x, b, eps, before[l] if before else None))
                if layer.onward is not None:
                    x = layer.onward(self._seen(found[-1]))
        return tuple(found)

    def decode(
        self,
        encoded: Sequence[Float[Tensor, "time batch channel"]],
        layers: Sequence[Trajectory],
        lengths: Int[Tensor, " batch"],
    ) -> Decoded:
        """p(x_t | z_{≤t}, x_{<t}) for every audio sample, and the auxiliary waveform."""
        skips = self.skip(encoded[0])
        for layer, trajectory in zip(self.posterior_modules, layers, strict=True):
            skips = skips + layer.skip(self._seen(trajectory))
        return self.decoder(F.relu(skips), torch.cat([layer.z for layer in layers], -1))

    def generate(self, noise: Sequence[Float[Tensor, "_time rows _latent"]], rows: int) -> Generation:
        """The equations with the prior in place of the posterior."""
        zeros = self.parameter.new_zeros
        rings = [zeros(layer.block.dilation, rows, self.config.channels) for layer in self.posterior_modules]
        past = zeros(1, rows, self.config.width)
        for step, eps in enumerate(zip(*noise, strict=True)):
            x = self.first(past[0])
            skips, z = self.skip(x), list[Tensor]()
            for layer, ring, e in zip(self.posterior_modules, rings, eps, strict=True):
                slot = ring[step % layer.block.dilation]  # the input of so many steps before
                d, _ = layer.block(x, slot)
                slot.copy_(x)
                prior = layer.prior(d)
                z.append(prior.draw(e))
                seen = torch.cat((d, z[-1]), -1)
                skips = skips + layer.skip(seen)
                x = x if layer.onward is None else layer.onward(seen)
            past = yield self.decoder(F.relu(skips).unsqueeze(0), torch.cat(z, -1).unsqueeze(0))

    def _seen(self, layer: Trajectory) -> Float[Tensor, "time rows _both"]:
        """[d^l, z^l]."""
        return torch.cat((layer.h[..., self.config.channels :], layer.z), -1)
