"""Variational autoencoder of waveforms with one latent for a whole segment, and normalising flows.

    u ~ q(u | x) = N(μ(x), σ(x)),   z = f(u),   p(x | z) = D(z)
    p(z):  z = g(w),  w ~ N(0, 1)

f and g are Real NVP flows (Rezende and Mohamed 2015; Dinh et al. 2017), or the identity. The bound is

    log p(x | z) - KL,   KL = KL(N(μ, σ) || N(0, 1)) - E[ (u² - w²)/2 + log |det ∂f/∂u| + log |det ∂g⁻¹/∂z| ]

with w = g⁻¹(z). Only the second part, which vanishes when both flows are the identity, is estimated, from the drawn u.
A trajectory holds u as `z`, its Gaussians, that second part as `flow`, and z, which the decoder reads, as `h`.

Coder and decoder are residual dilated convolutions (`layers.waveform_coder`), between the bands of a filter bank or on
the waveform itself. An utterance is cut into consecutive segments of `stride` samples. Each is coded alone, with zeros
around it, read out into one latent, and decoded from that latent alone. With `series` there are no segments: the
convolutions run along the utterance, and each step of the coder has a latent.

The audio reaches the decoder through the latents only. So bits per frame say how well so few numbers describe so much
audio, and are far above those of the models that see past audio.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

import torch
from jaxtyping import Float, Int, Int16
from torch import Tensor, nn

from lvm_probe import InputError
from lvm_probe.models.domains.domain import Output, output_head
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.layers.cwvae_cell import initialise_head
from lvm_probe.models.layers.real_nvp import RealNVP
from lvm_probe.models.layers.waveform_coder import (
    Activation,
    CoderShape,
    Convolution,
    Upsampling,
    WaveformDecoder,
    WaveformEncoder,
    ends,
    kept,
)
from lvm_probe.models.likelihood.gaussian import Gaussian, gaussian_of, posterior_of
from lvm_probe.models.model import ModelConfig, PosteriorModule, SpeechModel, compand
from lvm_probe.models.training.recipe import GPU, SMALL, TINY, Preset
from lvm_probe.models.trajectory import Trajectory


@dataclass(frozen=True, kw_only=True)
class WaveVAEConfig(ModelConfig):
    """Shape of a waveform VAE.

    Attributes:
        latent: size of z.
        stride: audio samples of a segment; with `series`, of a step of the coder, its bands times its ratios.
        series: whether each step of the coder has a latent, instead of each segment.
        channels: at the coder's highest rate; they double with every lower one.
        ratios: factors of rate, from the waveform's end inwards; SoundStream's are 2, 4, 5, 8.
        bands: of the filter bank in front of the coder and behind the decoder; 1 for none.
        activation: between convolutions.
        weight_norm: whether kernels are normalised.
        upsampling: how the decoder raises the rate.
        amplitude_modulation: whether the decoder multiplies its output by an amplitude.
        posterior_flow: couplings of f; 0 for the identity.
        prior_flow: couplings of g; 0 for the identity.
        flow_width: hidden units of a coupling.
        variational: whether latents are drawn and cost their divergence; a plain autoencoder otherwise.
        posterior_std: standard deviation of the posterior at the start of training.
        stage: 1 if trained on the bound alone, 2 if the decoder was then trained on how it sounds.
    """

    latent: int
    stride: int
    series: bool = False
    channels: int
    ratios: tuple[int, ...]
    bands: int = 1
    activation: Activation = "snake"
    weight_norm: bool = True
    upsampling: Upsampling = "transposed"
    amplitude_modulation: bool = False
    posterior_flow: int = 0
    prior_flow: int = 0
    flow_width: int = 128
    variational: bool = True
    posterior_std: float = 0.15
    stage: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.ratios, tuple) or not self.ratios:
            raise InputError(f"a coder has at least one ratio; got {self}")
        positive = (self.latent, self.stride, self.channels, *self.ratios, self.bands, self.flow_width)
        self.check(positive, (self.posterior_flow, self.prior_flow))
        for name, known in (("activation", Activation), ("upsampling", Upsampling)):
            if getattr(self, name) not in get_args(known):
                raise InputError(f"{name} must be one of {', '.join(get_args(known))}; got {getattr(self, name)!r}")
        switches = ("series", "weight_norm", "amplitude_modulation", "variational")
        if any(not isinstance(getattr(self, name), bool) for name in switches):
            raise InputError(f"{', '.join(switches)} are true or false; got {self}")
        if self.series and self.stride != self.coder.hop:
            raise InputError(
                f"the stride of a series is bands times ratios, {self.coder.hop} audio samples; got {self.stride}"
            )
        flows = self.posterior_flow + self.prior_flow
        if flows and (self.latent < 2 or not self.variational):
            raise InputError(f"flows need two latent dimensions and a variational model; got {self}")
        if not isinstance(self.output, Waveform):
            raise InputError(f"a wavevae is a model of waveforms; got {self.output}")
        if not self.posterior_std > 0:
            raise InputError(f"posterior_std must be positive; got {self}")
        if self.stage not in (1, 2):
            raise InputError(f"stage is 1 or 2; got {self.stage!r}")

    @property
    def coder(self) -> CoderShape:
        """What encoder and decoder share."""
        return CoderShape(self.channels, self.ratios, self.bands, self.activation, self.weight_norm, self.upsampling)

    @property
    def steps(self) -> int:
        """Steps of the coder in a segment, the last of which may be cut off; 1 for a series."""
        return -(-self.stride // self.coder.hop)


_SMALL = Preset(
    WaveVAEConfig(latent=64, stride=2_048, channels=16, ratios=(2, 4, 5), bands=8, posterior_flow=4, prior_flow=4),
    replace(SMALL, updates=6_000, auxiliary=(0.0, 0.0, 0.0), validate_every=1_000),
    "one z=64 for 128 ms, 8 bands, flows; trains on one core in half an hour",
)

_TINY = Preset(
    WaveVAEConfig(
        latent=8, stride=1_024, channels=8, ratios=(4, 4), bands=4, posterior_flow=2, prior_flow=2, flow_width=16,
        output=Waveform(components=3),
    ),
    replace(TINY, auxiliary=(0.0, 0.0, 0.0)),
    "for tests",
)  # fmt: skip


def _with(like: Preset, note: str, **changes: object) -> Preset:
    return replace(like, config=replace(like.config, **changes), note=note)


_FULL_BAND = _with(
    _SMALL, "small without a filter bank, with SoundStream's ratios", bands=1, channels=4, ratios=(2, 4, 5, 8)
)


LEAST_LOG_PRECISION = -2.0
"""Of the posterior before its flow, whose base is standard normal. Wider draws, of which a training that has just begun
may think for a recording, would be blown up by the flows until nothing is finite."""


class Recognition(PosteriorModule):
    """q(u | x) from the coder's features."""

    def __init__(self, features: int, latent: int, std: float, *, variational: bool) -> None:
        super().__init__()
        self.posterior, self.variational = "direct", variational
        self.head = nn.Linear(features, 2 * latent)
        initialise_head(self.head, std)

    def forward(self, features: Float[Tensor, "steps one_or_rows features"], prior: Gaussian) -> Gaussian:
        """The posterior of every step and row."""
        if self.given is not None:
            return self.certain(self.given.expand_as(prior.mean))
        found = posterior_of(self.posterior, prior, gaussian_of(self.head(features)))
        found = Gaussian(found.mean, found.log_precision.clamp(min=LEAST_LOG_PRECISION))
        if not self.variational:
            found = self.certain(found.mean)
        return Gaussian(found.mean.expand_as(prior.mean), found.log_precision.expand_as(prior.mean))


class WaveVAE(SpeechModel):
    """A waveform VAE with one layer of latents."""

    family = "wavevae"
    Config = WaveVAEConfig
    decoder_sees_audio = False
    prior_sees_audio = False
    presets = {  # noqa: RUF012
        "small": _SMALL,
        "small-64ms": _with(_SMALL, "small with one z for 64 ms", stride=1_024),
        "small-256ms": _with(_SMALL, "small with one z for 256 ms", stride=4_096),
        "small-series": replace(
            _with(_SMALL, "small with a z every 20 ms", series=True, stride=320, latent=16),
            recipe=replace(_SMALL.recipe, segment=16_320),
        ),
        "small-no-flow": _with(_SMALL, "small without flows", posterior_flow=0, prior_flow=0),
        "small-posterior-flow": _with(_SMALL, "small with a flow on the posterior alone", prior_flow=0),
        "small-prior-flow": _with(_SMALL, "small with a flow on the prior alone", posterior_flow=0),
        "small-leaky-relu": _with(_SMALL, "small with leaky ReLUs instead of snakes", activation="leaky-relu"),
        "small-no-weight-norm": _with(_SMALL, "small without weight normalisation", weight_norm=False),
        "small-full-band": _FULL_BAND,
        **{
            f"small-full-band-{how}": _with(_FULL_BAND, f"small-full-band with {note}", upsampling=how)
            for how, note in (
                ("uneven", "kernels that their stride does not divide"),
                ("nearest", "repeated steps and convolutions"),
                ("linear", "interpolated steps and convolutions"),
            )
        },
        "small-modulated": _with(_SMALL, "small with amplitude modulation", amplitude_modulation=True),
        "small-autoencoder": _with(
            _SMALL, "small as a plain autoencoder", variational=False, posterior_flow=0, prior_flow=0
        ),
        "large": replace(
            _with(_SMALL, "small with four times the channels; needs a GPU", channels=64, latent=128),
            recipe=replace(GPU, auxiliary=(0.0, 0.0, 0.0)),
        ),
        "tiny": _TINY,
        "tiny-series": _with(_TINY, "for tests", series=True, stride=64),
    }

    def __init__(self, config: WaveVAEConfig) -> None:
        super().__init__()
        self.config = c = config
        self.stride, self.strides, self.latents = c.stride, (c.stride,), (c.latent,)
        shape, width = c.coder, c.coder.widths[-1]
        reach = shape.reach if c.series else 0
        self.encode_reach, self.decode_reach = (reach, reach), (reach, reach)
        self.encoder = WaveformEncoder(len(c.inputs), shape)
        self.recognition = Recognition(c.steps * width, c.latent, c.posterior_std, variational=c.variational)
        self.posterior_flow = RealNVP(c.latent, c.posterior_flow, c.flow_width)
        self.prior_flow = RealNVP(c.latent, c.prior_flow, c.flow_width)
        self.expand = (
            Convolution(c.latent, width, 3, c.weight_norm) if c.series else nn.Linear(c.latent, width * c.steps)
        )
        self.decoder = WaveformDecoder(c.output.size, shape, modulated=c.amplitude_modulation)
        self.offset = nn.Parameter(output_head(1, 1, c.output).bias.detach().clone())

    @property
    def posterior_modules(self) -> tuple[Recognition]:
        """The read-out."""
        return (self.recognition,)

    @property
    def no_likelihood(self) -> str | None:
        """Of a plain autoencoder, and of stage two."""
        if not self.config.variational:
            return "a plain autoencoder has no prior and so no bound"
        if self.config.stage == 2:
            return "its decoder was trained on how it sounds and no longer on the likelihood (stage 2)"
        return None

    @property
    def can_sample(self) -> bool:
        """All but a plain autoencoder."""
        return bool(self.config.variational)

    @property
    def token_segment(self) -> int | None:
        """The segment that has one latent."""
        return None if self.config.series else int(self.stride)

    def encode(
        self, pcm: Int16[Tensor, "batch samples"], lengths: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "steps batch features"]]:
        """The coder's features of every segment, or of every step of a series."""
        x = compand(self.pad(pcm), self.config.inputs, self.parameter.dtype).transpose(1, 2)
        if self.config.series:
            return (self.encoder(x, lengths).permute(2, 0, 1),)
        segments = x.unflatten(2, (-1, self.stride)).transpose(1, 2).flatten(0, 1)
        whole = nn.functional.pad(segments, (0, self.config.steps * self.config.coder.hop - self.stride))
        return (self.encoder(whole, None).flatten(1).unflatten(0, (len(pcm), -1)).transpose(0, 1),)

    def infer(
        self,
        encoded: Sequence[Float[Tensor, "steps one_or_rows features"]],
        noise: Sequence[Float[Tensor, "steps rows latent"]],
        before: Sequence[Trajectory] = (),
    ) -> tuple[Trajectory, ...]:
        """Draw the latents of all steps at once; they do not depend on each other."""
        (features,), (eps,) = encoded, noise
        with torch.autocast(eps.device.type, enabled=False):
            prior = Gaussian(torch.zeros_like(eps), torch.zeros_like(eps))
            if self.recognition.posterior == "prior" and self.recognition.given is None:
                u = self.prior_draw(prior, eps)
                return (Trajectory(self.to_decoder(u), u, prior, prior),)
            posterior = self.recognition(features.to(eps.dtype), prior)
            u = posterior.draw(eps)
            if not self.config.variational:
                return (Trajectory(u, u, posterior, posterior),)
            if not self.config.posterior_flow + self.config.prior_flow:
                return (Trajectory(u, u, prior, posterior),)
            z, stretched = self.posterior_flow(u)
            w, shrunk = self.prior_flow.inverse(z)
            return (Trajectory(z, u, prior, posterior, 0.5 * (u.square() - w.square()) + stretched + shrunk),)

    def decode(
        self,
        encoded: Sequence[Float[Tensor, "steps batch features"]],
        layers: Sequence[Trajectory],
        lengths: Int[Tensor, " batch"],
    ) -> tuple[Output, None]:
        """p(x | z) for every audio sample, segment by segment."""
        (layer,) = layers
        return self.decode_latents(layer.h, lengths), None

    def decode_latents(
        self, z: Float[Tensor, "steps batch latent"], lengths: Int[Tensor, " batch"] | None = None
    ) -> Output:
        """p(x | z) for every audio sample.

        Args:
            z: as the decoder sees them.
            lengths: audio samples of each row before the padding; None where nothing is padding.
        """
        c = self.config
        if c.series:
            x = z.permute(1, 2, 0)
            parameters = self.decoder(self.expand(kept(x, ends(lengths, c.stride, len(z)))), lengths)
        else:
            segments = self.expand(z.transpose(0, 1).flatten(0, 1)).unflatten(1, (-1, c.steps))
            parameters = self.decoder(segments, None)[..., : c.stride]
            parameters = parameters.unflatten(0, (z.shape[1], -1)).transpose(1, 2).flatten(2)
        return Output(c.output, parameters.transpose(1, 2) + self.offset)

    @torch.no_grad()
    def sample(self, samples: int, rows: int, generator: torch.Generator) -> Float[Tensor, "rows samples"]:
        """Generate every segment from a latent of its own."""
        if not self.can_sample:
            raise InputError("a plain autoencoder has no prior to sample from: choose a variational preset")
        where = self.parameter
        (w,) = (n.to(where.device) for n in self.noise(samples, rows, generator, where.dtype))
        return self.decode_latents(self.from_base(w)).sample(generator)[:, :samples]

    def prior_draw(
        self, prior: Gaussian, noise: Float[Tensor, "*time rows latent"]
    ) -> Float[Tensor, "*time rows latent"]:
        """u of a draw from the prior."""
        return self.posterior_flow.inverse(self.from_base(noise))[0]

    def to_decoder(self, u: Float[Tensor, "*shape latent"]) -> Float[Tensor, "*shape latent"]:
        """z = f(u)."""
        return self.posterior_flow(u)[0]

    def from_base(self, w: Float[Tensor, "*shape latent"]) -> Float[Tensor, "*shape latent"]:
        """z = g(w)."""
        return self.prior_flow(w)[0]

    def to_base(self, z: Float[Tensor, "*shape latent"]) -> Float[Tensor, "*shape latent"]:
        """w = g⁻¹(z)."""
        return self.prior_flow.inverse(z)[0]
