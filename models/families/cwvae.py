"""Clockwork VAE (Saxena et al. 2021) for waveforms, after Havtorn et al. (2022, sections 2.5 to 2.7, appendix B).

    p(x, z) = Π_t p(x_t | z¹) Π_l Π_{t in T_l} p(z^l_t | z^l_{<t}, z^{l+1})      (equation 9)
    q(z | x) = Π_l Π_{t in T_l} q(z^l_t | z^l_{<t}, z^{l+1}, e^l(x))            (equation 10)

Departures: no layer runs at the rate of the audio (the first one takes in windows with a stride of 8 samples, the last
one outputs 8 samples at once); blocks normalise each step by itself and strides are exact, so an utterance's latents do
not depend on padding or on the rest of the batch; the encoder may see three compandings of each sample, or begin with
the convolutions of contrastive predictive coding (`layers.cpc_encoder`), whose weights may be trained elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from jaxtyping import Float, Int, Int16
from torch import Tensor, nn
from torch.nn import functional as F

from lvm_probe import InputError
from lvm_probe.models.domains.domain import Output, output_head
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.layers.blocks import (
    Downsample,
    Framing,
    NearestUpsample,
    ResidualStack,
    TransposedUpsample,
    Upsample,
    mask,
    masked,
)
from lvm_probe.models.layers.cpc_encoder import HOP, REACH, CPCEncoder
from lvm_probe.models.layers.cwvae_cell import Cell
from lvm_probe.models.likelihood import mulaw
from lvm_probe.models.model import ModelConfig, SpeechModel, compand
from lvm_probe.models.training.recipe import PAPER, SMALL, TINY, Preset
from lvm_probe.models.trajectory import Trajectory

ENCODERS = ("residual", "cpc")
"""A strided convolution and residual blocks; the convolutions of contrastive predictive coding."""
UPSAMPLING = {"sub-pixel": Upsample, "transposed": TransposedUpsample, "nearest": NearestUpsample}
"""A linear layer that outputs all new steps at once; a transposed convolution; repetition and a convolution."""


@dataclass(frozen=True, kw_only=True)
class CWVAEConfig(ModelConfig):
    """Shape of a Clockwork VAE.

    Attributes:
        latents: size of each layer's latents, lowest first; 1 to 3 layers.
        strides: audio samples per step of each layer, the first a multiple of `front_stride`, each other one of the one
            below it.
        width: channels of the encoder and the decoder at the rates of the latents.
        hidden: units of the recurrent cells.
        front_width: channels at the rate of `front_stride`.
        front_stride: audio samples per step of the first convolution and of the output layer; even.
        front_depth: residual blocks at that rate.
        depth: residual blocks at the rate of each layer.
        posterior_std: standard deviation of the evidence's Gaussian at the start of training.
        upsampling: how the decoder gets from the lowest layer's rate to that of `front_stride`; one of `UPSAMPLING`.
        encoder: what is below the encoder's part at the rate of z1; one of `ENCODERS`. "cpc" sees the waveform itself
            instead of `inputs`, and takes the place of all that is at the rate of `front_stride`.
        cpc_channels: of a "cpc" encoder.
    """

    latents: tuple[int, ...]
    strides: tuple[int, ...]
    width: int
    hidden: int
    front_width: int
    front_stride: int = 8
    front_depth: int = 1
    depth: int = 2
    posterior_std: float = 0.15
    upsampling: str = "sub-pixel"
    encoder: str = "residual"
    cpc_channels: int = 256

    def __post_init__(self) -> None:
        if not 1 <= len(self.latents) <= 3 or len(self.latents) != len(self.strides):
            raise InputError(f"a CW-VAE has 1 to 3 layers with a stride each; got {self.latents} and {self.strides}")
        rates = (self.front_stride, *self.strides)
        widths = (self.width, self.hidden, self.front_width, self.cpc_channels)
        self.check((*self.latents, *rates, *widths), (self.front_depth, self.depth))
        if self.upsampling not in UPSAMPLING:
            raise InputError(f"upsampling is one of {', '.join(UPSAMPLING)}; got {self.upsampling!r}")
        if self.encoder not in ENCODERS:
            raise InputError(f"encoder is one of {', '.join(ENCODERS)}; got {self.encoder!r}")
        if self.encoder == "cpc" and (self.strides[0] % HOP or self.cpc_channels < 2):
            raise InputError(f"a cpc encoder has 2 channels or more and a step every {HOP} audio samples; got {self}")
        if self.front_stride % 2 or not self.posterior_std > 0:
            raise InputError(f"posterior_std must be positive and front_stride even; got {self}")
        if any(high % low or high <= low for low, high in pairwise(rates)):
            raise InputError(f"strides must be rising multiples of one another; got {rates}")

    @property
    def factors(self) -> tuple[int, ...]:
        """Ratio of each layer's stride to the one below it, of the first to the front stride."""
        return tuple(high // low for low, high in pairwise((self.front_stride, *self.strides)))

    @property
    def encoder_factors(self) -> tuple[int, ...]:
        """The same in the encoder, whose first step may be another."""
        return (self.strides[0] // (HOP if self.encoder == "cpc" else self.front_stride), *self.factors[1:])


_SMALL = Preset(
    config=CWVAEConfig(latents=(64, 64), strides=(64, 512), width=192, hidden=192, front_width=64),
    recipe=SMALL,
    note="z=(64, 64), s=(64, 512); trains on two cores in about an hour",
)

_PAPER = Preset(
    config=CWVAEConfig(
        latents=(128, 64),
        strides=(64, 512),
        width=192,
        hidden=192,
        front_width=192,
        front_depth=4,
        depth=6,
        inputs=("mulaw16",),
    ),
    recipe=PAPER,
    note="d=192, z=(128, 64), s=(64, 512) as in the paper, with its schedule; needs a GPU",
)

_TINY = Preset(
    config=CWVAEConfig(
        latents=(8, 4),
        strides=(64, 512),
        width=16,
        hidden=16,
        front_width=8,
        depth=1,
        output=Waveform(components=3),
    ),
    recipe=TINY,
    note="for tests: seconds of training, no useful latents",
)


def _changed(like: Preset, note: str, **config: object) -> Preset:
    """The same recipe and sizes with other layers of latents, another encoder or decoder."""
    return replace(like, config=replace(like.config, **config), note=note)


# One layer at the rate of CPC's features.
_SMALL_CPC = _changed(
    replace(_SMALL, recipe=replace(SMALL, segment=16_000)),
    "z=64, s=160, with the convolutional encoder of CPC (--encoder-weights, --freeze-encoder)",
    latents=(64,),
    strides=(HOP,),
    encoder="cpc",
)

# Strides grow by a factor of 8 as in Havtorn et al. (2022, section 3). Their table 1 compares 1, 2 and 3 layers with
# D_z = d = 96 in all layers; here d stays 192 and each layer above has half the latents, as in their two-layer model.
_PRESETS = {
    "small": _SMALL,
    "small-1": _changed(_SMALL, "small with one layer", latents=(64,), strides=(64,)),
    "small-3": _changed(
        _SMALL, "small with three layers, s=(64, 512, 4096)", latents=(64, 64, 64), strides=(64, 512, 4096)
    ),
    "paper": _PAPER,
    "paper-1": _changed(_PAPER, "paper with one layer, z=128", latents=(128,), strides=(64,)),
    "paper-3": _changed(
        _PAPER,
        "paper with three layers, z=(128, 64, 32), s=(64, 512, 4096)",
        latents=(128, 64, 32),
        strides=(64, 512, 4096),
    ),
    "paper-256": _changed(_PAPER, "paper with s=(256, 2048)", strides=(256, 2048)),
    "small-transposed": _changed(_SMALL, "small, whose decoder has a transposed convolution", upsampling="transposed"),
    "small-nearest": _changed(_SMALL, "small, whose decoder repeats steps before a convolution", upsampling="nearest"),
    "small-cpc": _SMALL_CPC,
    "small-cpc-512": _changed(_SMALL_CPC, "small-cpc with 512 channels", cpc_channels=512),
    "small-cpc-transposed": _changed(
        _SMALL_CPC, "small-cpc, whose decoder has a transposed convolution", upsampling="transposed"
    ),
    "small-cpc-nearest": _changed(
        _SMALL_CPC, "small-cpc, whose decoder repeats steps before a convolution", upsampling="nearest"
    ),
    "tiny": _TINY,
    "tiny-cpc": _changed(
        replace(_TINY, recipe=replace(TINY, segment=4_000)),
        "tiny with an encoder as in small-cpc",
        latents=(8,),
        strides=(HOP,),
        encoder="cpc",
        cpc_channels=8,
    ),
}


class CWVAE(SpeechModel):
    """Clockwork VAE with 1 to 3 layers of latents."""

    family = "cwvae"
    Config = CWVAEConfig
    decoder_sees_audio = False
    prior_sees_audio = False
    presets = _PRESETS

    def __init__(self, config: CWVAEConfig) -> None:
        super().__init__()
        self.config = c = config
        self.stride, self.strides = c.strides[0], c.strides
        self.latents = c.latents
        if c.encoder == "cpc":
            self.cpc = CPCEncoder(c.cpc_channels)
            first, ahead = c.cpc_channels, REACH
        else:
            self.framing = Framing(len(c.inputs), c.front_width, c.front_stride)
            self.front = ResidualStack(c.front_width, c.front_depth)
            first, ahead = c.front_width, c.front_stride * (2 + c.front_depth)
        widths = (first, *[c.width] * len(c.latents))
        self.down = nn.ModuleList(Downsample(w, c.width, f) for w, f in zip(widths, c.encoder_factors, strict=False))
        self.ladder = nn.ModuleList(ResidualStack(c.width, c.depth) for _ in c.latents)
        top = len(c.latents) - 1
        self.cells = nn.ModuleList(
            Cell(c.width if level < top else 0, c.width, z, c.hidden, c.posterior_std)
            for level, z in enumerate(c.latents)
        )
        self.context = nn.ModuleList(
            Upsample(z + c.hidden, c.width, factor) for z, factor in zip(c.latents[1:], c.factors[1:], strict=True)
        )
        self.back_in = nn.Linear(c.latents[0] + c.hidden, c.width)
        self.back = ResidualStack(c.width, c.depth)
        self.up = UPSAMPLING[c.upsampling](c.width, c.front_width, c.factors[0])
        self.back_front = ResidualStack(c.front_width, c.front_depth)
        self.head = output_head(c.front_width, c.front_stride, c.output)
        self.aux_features = nn.Linear(c.front_width, c.front_stride)
        self.aux_latent = nn.Linear(c.latents[0], c.strides[0])
        # The first convolutions and blocks look some front strides ahead, each layer's blocks some of its own steps.
        ahead += sum(stride * (c.depth + 1) for stride in c.strides)
        self.encode_reach = (ahead, ahead)
        neighbours = 1 + (c.upsampling != "sub-pixel")
        back = c.strides[0] * (c.depth + neighbours) + c.front_stride * c.front_depth
        self.decode_reach = (back, back)

    @property
    def posterior_modules(self) -> tuple[Cell, ...]:
        """The cell of each layer."""
        return tuple(self._cells())

    def encode(
        self, pcm: Int16[Tensor, "batch samples"], lengths: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "_time batch _features"], ...]:
        """The features of each layer's evidence, lowest first, from one pass upwards."""
        pcm = self.pad(pcm)
        size = pcm.shape[1]
        y, keep = self._lowest(pcm, lengths)
        features = []
        for stride, down, stack in zip(self.strides, self.down, self.ladder, strict=True):
            y = down(y, keep)
            keep = mask(lengths, stride, size // stride)
            y = stack(y, keep)
            features.append(y.transpose(0, 1))
        return tuple(features)

    def _lowest(
        self, pcm: Int16[Tensor, "batch samples"], lengths: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch _time _features"], Float[Tensor, "batch _time 1"] | None]:
        """Features at the encoder's highest rate, and the mask of what lies behind the end."""
        c, size, dtype = self.config, pcm.shape[1], self.head.weight.dtype
        if c.encoder == "cpc":
            return self.cpc(mulaw.from_pcm(pcm, dtype), lengths), mask(lengths, HOP, size // HOP)
        keep = mask(lengths, c.front_stride, size // c.front_stride)
        return self.front(self.framing(compand(pcm, c.inputs, dtype)), keep), keep

    def infer(
        self,
        encoded: Sequence[Float[Tensor, "_time one_or_rows _features"]],
        noise: Sequence[Float[Tensor, "_time rows _latent"]],
        before: Sequence[Trajectory] = (),
    ) -> tuple[Trajectory, ...]:
        """Draw latents from the posterior, from the top layer down."""
        context: Tensor | None = None
        layers: list[Trajectory] = []
        for level, cell in reversed(list(enumerate(self._cells()))):
            layer = cell.infer(context, encoded[level], noise[level], before[level] if before else None)
            layers.append(layer)
            if level:
                context = self._context(level, layer.z, layer.h)
        return tuple(reversed(layers))

    def decode(
        self,
        encoded: Sequence[Float[Tensor, "_time batch _features"]],
        layers: Sequence[Trajectory],
        lengths: Int[Tensor, " batch"],
    ) -> tuple[Output, Float[Tensor, "batch samples"]]:
        """p(x | z¹) for every audio sample, and the auxiliary waveform."""
        return self._decode(layers[0].z, layers[0].h, lengths)

    def _decode(
        self,
        z: Float[Tensor, "time batch latent"],
        h: Float[Tensor, "time batch hidden"],
        lengths: Int[Tensor, " batch"],
    ) -> tuple[Output, Float[Tensor, "batch samples"]]:
        z, h = z.transpose(0, 1), h.transpose(0, 1)
        batch, size = z.shape[0], z.shape[1]
        keep = mask(lengths, self.strides[0], size)
        y = self.back(self.back_in(torch.cat((z, h), -1)), keep)
        y = self.up(masked(y, keep))
        y = self.back_front(y, mask(lengths, self.config.front_stride, y.shape[1]))
        parameters = self.head(y).reshape(batch, -1, self.config.output.size)
        waveform = self.aux_features(y).reshape(batch, -1) + self.aux_latent(z).reshape(batch, -1)
        return Output(self.config.output, parameters), waveform

    @torch.no_grad()
    def sample(self, samples: int, rows: int, generator: torch.Generator) -> Float[Tensor, "rows samples"]:
        """Generate from the top layer down, all steps of a layer at once."""
        device = self.head.weight.device
        noise = [n.to(device) for n in self.noise(samples, rows, generator, self.head.weight.dtype)]
        context: Tensor | None = None
        for level, cell in reversed(list(enumerate(self._cells()))):
            h, z = cell.generate(cell.gate_inputs(context, noise[level]), noise[level])
            if level:
                context = self._context(level, z, h)
        lengths = torch.full((rows,), z.shape[0] * self.strides[0], device=device)
        output, _ = self._decode(z, h, lengths)
        return output.sample(generator)[:, :samples]

    def _cells(self) -> list[Cell]:
        return [cell for cell in self.cells if isinstance(cell, Cell)]

    def _context(self, level: int, z: Tensor, h: Tensor) -> Tensor:
        """What this layer passes to the one below, at the rate of that one, time first."""
        up = self.context[level - 1](torch.cat((z, h), -1).transpose(0, 1))
        return F.relu(up).transpose(0, 1)
