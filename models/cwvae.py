"""Clockwork VAE for waveforms: `papers/001` sections 2.5 to 2.7 and appendix B (Saxena et al. 2021).

    p(x, z) = Π_t p(x_t | z¹) Π_l Π_{t in T_l} p(z^l_t | z^l_{<t}, z^{l+1})      (equation 9)
    q(z | x) = Π_l Π_{t in T_l} q(z^l_t | z^l_{<t}, z^{l+1}, e^l(x))            (equation 10)

Departures from the paper: no layer runs at the full rate (the first is a framing of 8 samples, the last
writes 8 samples at once); blocks normalise each frame by itself and strides are exact, so that an utterance's
latents depend neither on padding nor on company; the encoder may see three compandings of each sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Int16
from torch import Tensor, nn
from torch.nn import functional as F

from models import mulaw
from models.blocks import Downsample, Framing, Stack, Upsample, mask
from models.cell import Cell
from models.logistic_mixture import LogisticMixture
from models.presets import Companding, CWVAEConfig
from models.scan import Trajectory


@dataclass(frozen=True)
class Pass:
    """What one pass over a batch states: a trajectory per layer (lowest first, time first) and p(x | z¹).

    `waveform` is the auxiliary linear estimate of 2·μlaw255(x), which only training looks at.
    """

    layers: tuple[Trajectory, ...]
    output: LogisticMixture
    waveform: Float[Tensor, "batch samples"]


class CWVAE(nn.Module):
    """Clockwork VAE with 1 to 3 layers. Waveforms are 16-bit PCM, (batch, samples), zero-padded behind."""

    family = "cwvae"

    def __init__(self, config: CWVAEConfig) -> None:
        super().__init__()
        self.config = c = config
        self.strides = c.strides
        self.latents = c.latents
        self.framing = Framing(len(c.inputs), c.front_width, c.front_stride)
        self.front = Stack(c.front_width, c.front_depth)
        widths = (c.front_width, *[c.width] * len(c.latents))
        self.down = nn.ModuleList(Downsample(w, c.width, f) for w, f in zip(widths, c.factors, strict=False))
        self.ladder = nn.ModuleList(Stack(c.width, c.depth) for _ in c.latents)
        top = len(c.latents) - 1
        self.cells = nn.ModuleList(
            Cell(c.width if level < top else 0, c.width, z, c.hidden, c.posterior_std)
            for level, z in enumerate(c.latents)
        )
        self.context = nn.ModuleList(
            Upsample(z + c.hidden, c.width, factor) for z, factor in zip(c.latents[1:], c.factors[1:], strict=True)
        )
        self.back_in = nn.Linear(c.latents[0] + c.hidden, c.width)
        self.back = Stack(c.width, c.depth)
        self.up = Upsample(c.width, c.front_width, c.factors[0])
        self.back_front = Stack(c.front_width, c.front_depth)
        self.head = nn.Linear(c.front_width, c.front_stride * 3 * c.components)
        self.aux_features = nn.Linear(c.front_width, c.front_stride)
        self.aux_latent = nn.Linear(c.latents[0], c.strides[0])
        with torch.no_grad():
            bias = self.head.bias.view(c.front_stride, 3, c.components)
            bias[:, 0] = 0
            bias[:, 1] = torch.linspace(-0.8, 0.8, c.components)
            bias[:, 2] = -2

    @classmethod
    def seeded(cls, config: CWVAEConfig, seed: int) -> CWVAE:
        """A model with random weights that depend on the seed alone; where training with that seed begins."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(config)

    @property
    def coarsest_stride(self) -> int:
        """Utterances are padded to a multiple of this, the highest stride."""
        return self.strides[-1]

    def pad(self, pcm: Int16[Tensor, "batch samples"]) -> Int16[Tensor, "batch padded"]:
        """Zero-pad behind to whole steps of the highest layer."""
        return F.pad(pcm, (0, -pcm.shape[1] % self.coarsest_stride))

    def encode(
        self, pcm: Int16[Tensor, "batch samples"], lengths: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "_time batch _features"], ...]:
        """The ladder encoder: every layer's evidence features, lowest first, time first, from one sweep."""
        pcm = self.pad(pcm)
        x = mulaw.from_pcm(pcm, self.head.weight.dtype)
        x = torch.stack([_compand(x, how) for how in self.config.inputs], -1)
        stride, size = self.config.front_stride, pcm.shape[1]
        keep = mask(lengths, stride, size // stride)
        y = self.front(self.framing(x), keep)
        features = []
        for stride, down, stack in zip(self.strides, self.down, self.ladder, strict=True):
            y = down(y, keep)
            keep = mask(lengths, stride, size // stride)
            y = stack(y, keep)
            features.append(y.transpose(0, 1))
        return tuple(features)

    def infer(
        self,
        encoded: Sequence[Float[Tensor, "_time one_or_rows features"]],
        noise: Sequence[Float[Tensor, "_time rows _latent"]],
    ) -> tuple[Trajectory, ...]:
        """Sample the posterior top-down: one trajectory per layer, lowest first.

        `noise` is standard normal per layer. The evidence may have one row for many rows of noise: that is
        how a hundred samples of one utterance share its encoding.
        """
        context: Tensor | None = None
        layers: list[Trajectory] = []
        for level, cell in reversed(list(enumerate(self._cells()))):
            layer = cell.infer(context, encoded[level], noise[level])
            layers.append(layer)
            if level:
                context = self._context(level, layer.z, layer.h)
        return tuple(reversed(layers))

    def decode(
        self,
        z: Float[Tensor, "time batch latent"],
        h: Float[Tensor, "time batch hidden"],
        lengths: Int[Tensor, " batch"],
    ) -> tuple[LogisticMixture, Float[Tensor, "batch samples"]]:
        """p(x | z¹) over (batch, samples), and the auxiliary waveform."""
        z, h = z.transpose(0, 1), h.transpose(0, 1)
        batch, size = z.shape[0], z.shape[1]
        y = self.back(self.back_in(torch.cat((z, h), -1)), mask(lengths, self.strides[0], size))
        y = self.up(y)
        y = self.back_front(y, mask(lengths, self.config.front_stride, y.shape[1]))
        parameters = self.head(y).reshape(batch, -1, 3 * self.config.components)
        waveform = self.aux_features(y).reshape(batch, -1) + self.aux_latent(z).reshape(batch, -1)
        return LogisticMixture(parameters), waveform

    def forward(
        self,
        pcm: Int16[Tensor, "batch samples"],
        lengths: Int[Tensor, " batch"],
        noise: Sequence[Float[Tensor, "_time batch _latent"]],
    ) -> Pass:
        """Encode, sample the posterior once and decode."""
        layers = self.infer(self.encode(pcm, lengths), noise)
        output, waveform = self.decode(layers[0].z, layers[0].h, lengths)
        return Pass(layers, output, waveform)

    def noise(
        self, samples: int, rows: int, generator: torch.Generator, dtype: torch.dtype = torch.float32
    ) -> tuple[Float[Tensor, "_time rows _latent"], ...]:
        """Standard normal noise for every layer (lowest first) of `samples` samples of audio, on the CPU."""
        whole = -(-samples // self.coarsest_stride) * self.coarsest_stride
        return tuple(
            torch.randn(whole // s, rows, z, generator=generator, dtype=dtype)
            for s, z in zip(self.strides, self.latents, strict=True)
        )

    @torch.no_grad()
    def sample(self, samples: int, rows: int, generator: torch.Generator) -> Float[Tensor, "rows samples"]:
        """Waveforms in [-1, 1] from the prior, through the cell that training conditions on."""
        device = self.head.weight.device
        noise = [n.to(device) for n in self.noise(samples, rows, generator, self.head.weight.dtype)]
        context: Tensor | None = None
        for level, cell in reversed(list(enumerate(self._cells()))):
            h, z = cell.generate(cell.hoist(context, noise[level]), noise[level])
            if level:
                context = self._context(level, z, h)
        lengths = torch.full((rows,), z.shape[0] * self.strides[0], device=device)
        output, _ = self.decode(z, h, lengths)
        draws = LogisticMixture(output.parameters.cpu()).sample(generator)
        return mulaw.decode(draws)[:, :samples].clamp(-1, 1)  # full scale decodes to a rounding more

    def _cells(self) -> list[Cell]:
        return [cell for cell in self.cells if isinstance(cell, Cell)]

    def _context(self, level: int, z: Tensor, h: Tensor) -> Tensor:
        """What this level tells the one below, at that one's rate, time first."""
        up = self.context[level - 1](torch.cat((z, h), -1).transpose(0, 1))
        return F.relu(up).transpose(0, 1)


def _compand(x: Tensor, how: Companding) -> Tensor:
    match how:
        case "mulaw16":
            return mulaw.encode(x)
        case "mulaw8":
            return 2 * mulaw.encode(x, 255)
        case "linear":
            return 10 * x
