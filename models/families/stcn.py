"""Stochastic temporal convolutional network (STCN, Aksan and Hilliges 2019) on stacks of samples.

    d^l = K gated blocks above d^{l-1},  d^0 = φ(x)                                          (equation 2, figure 4)
    p(z^l_t | z^{l+1}_t, x_{<t}) = N(f_p(z^{l+1}_t, d^l_{t-1}))                              (equations 7, 8)
    q(z^l_t | z^{l+1}_t, x_{≤t}) ∝ N(f_q(z^{l+1}_t, d^l_t)) p(z^l_t | z^{l+1}_t, x_{<t})     (equations 10 to 13)
    p(x_t | z) = D(f_o(z^1_{≤t})), or D(f_o([z^1 … z^L]_{≤t})) with dense connections        (equations 9, 16, 17)

Latents depend on the layer above but not on earlier latents, so training and inference run over all steps at once. f_p
and f_q are two 1x1 layers with ReLU and a third one for means and log precisions. f_o is a 1x1 layer to the filters,
five blocks with dilation 1 and a ReLU before the parameters of the output; through the blocks it sees the latents of
the five steps before. For handwriting the blocks are five 1x1 layers with ReLU (appendix 7.1; `pointwise`). Before the
first step all d and z are zero.

Interpretations: dilations start at 1 again in every layer's K blocks; equation 11, printed with σ for the variance,
adds precisions; blocks have no skip connections (appendix 7.1), so the output layer continues from its last block's
output. Departures: stacks pass through the perceptron of the other models on stacks and a 1x1 layer before the first
block; log precisions are kept in `LOG_PRECISION_RANGE` (σ from 0.0025 to 20) instead of σ from 0.001 to 5; the evidence
starts at a small standard deviation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from lvm_probe import InputError
from lvm_probe.models.domains.domain import Distributions
from lvm_probe.models.domains.strokes import Strokes
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.layers.cwvae_cell import initialise_head
from lvm_probe.models.layers.stacked_samples import StackedConfig, shifted
from lvm_probe.models.layers.tcn import GatedStack, doubling_dilations
from lvm_probe.models.layers.within_step import distributions, step_head
from lvm_probe.models.likelihood.gaussian import Gaussian, Posterior, gaussian_of, posterior_of
from lvm_probe.models.model import PosteriorModule
from lvm_probe.models.stacked_model import Decoded, Generation, StackedModel
from lvm_probe.models.training.recipe import PAPER, SMALL, TINY, Preset, Recipe
from lvm_probe.models.trajectory import Trajectory


@dataclass(frozen=True, kw_only=True)
class STCNConfig(StackedConfig):
    """Shape of an STCN; `width` and `depth` are those of the perceptron on stacks.

    Attributes:
        latents: size of each layer's latents, z¹ (next to the output) first.
        filters: of all blocks and of the networks of the latents.
        blocks: of each layer; K in the paper.
        output_blocks: of the output network.
        pointwise: whether 1x1 layers with ReLU take the place of the output network's blocks.
        dense: whether the output depends on all latents, or on z¹ alone.
        posterior_std: standard deviation of the evidence's Gaussian at the start of training.
    """

    latents: tuple[int, ...]
    filters: int
    blocks: int = 5
    output_blocks: int = 5
    pointwise: bool = False
    dense: bool = False
    posterior_std: float = 0.15

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.latents, tuple) or not self.latents:
            raise InputError(f"there must be at least one layer of latents; got {self}")
        self.check((*self.latents, self.filters, self.blocks, self.output_blocks))
        if not isinstance(self.dense, bool) or not isinstance(self.pointwise, bool) or self.blocks > 20:
            raise InputError(f"dense and pointwise are true or false, and a layer has at most 20 blocks; got {self}")
        if not self.posterior_std > 0:
            raise InputError(f"posterior_std must be positive; got {self}")


_SMALL = Preset(
    config=STCNConfig(latents=(64, 32, 16, 8, 8), filters=96),
    recipe=SMALL,
    note="s=64, 96 filters; trains on two cores in about an hour",
)

_PAPER = Preset(
    config=STCNConfig(latents=(256, 128, 64, 32, 16), filters=256, depth=3, inputs=("mulaw16",)),
    recipe=PAPER,
    note="s=64, 25 blocks of 256 filters; needs a GPU",
)

_HANDWRITING = Preset(
    config=STCNConfig(
        latents=(32, 16, 8, 5, 2), filters=256, blocks=6, pointwise=True, stride=3, output=Strokes(components=20)
    ),
    recipe=Recipe(
        updates=60_000,
        batch=20,
        segment=0,
        learning_rate=5e-4,
        cosine=True,
        beta=(0.0, 1.0, 1 / 6),
        free_nats=(0.0, 0.0, 1.0),
        validate_every=1_000,
    ),
    note="pen strokes: 30 blocks of 256 filters as in the paper; needs a GPU",
)
"""The batch, the first learning rate and the ramp of the KL divergence over 10,000 updates are the paper's (appendix
7.2); the rate falls as a cosine, in the paper exponentially."""


def _with(like: Preset, note: str, **changes: object) -> Preset:
    return replace(like, config=replace(like.config, **changes), note=note)


_TINY = Preset(
    config=STCNConfig(latents=(8, 4), filters=12, blocks=2, width=16, output=Waveform(components=3)),
    recipe=TINY,
    note="for tests",
)


@runtime_checkable
class Stack(Protocol):
    """Layers over time between two layers of latents, run over all steps or one at a time; see `tcn.GatedStack`.

    Attributes:
        channels: of d.
        receptive_field: steps that d depends on, including its own; None for all before.
    """

    channels: int
    receptive_field: int | None

    def __call__(self, x: Float[Tensor, "time rows channel"]) -> tuple[Tensor, Tensor]:
        """d of all steps, and skips."""

    def step(self, x: Float[Tensor, "rows channel"], memory: Any) -> tuple[Tensor, Tensor]:
        """The next step; updates `memory`."""

    def memory(self, rows: int) -> Any:
        """What is remembered before the first step."""


class PointwiseStack(nn.Module):
    """1x1 layers with ReLU, in the place of blocks."""

    receptive_field = 1

    def __init__(self, channels: int, layers: int) -> None:
        super().__init__()
        self.channels = channels
        self.layers = nn.ModuleList(nn.Linear(channels, channels) for _ in range(layers))

    def forward(self, x: Float[Tensor, "*time rows channel"]) -> tuple[Tensor, Tensor]:
        """All steps, each by itself; there are no skips."""
        for layer in self.layers:
            x = F.relu(layer(x))
        return x, x[..., :0]

    def step(self, x: Float[Tensor, "rows channel"], memory: None) -> tuple[Tensor, Tensor]:
        """One step."""
        found: tuple[Tensor, Tensor] = self(x)
        return found

    def memory(self, rows: int) -> None:
        """Nothing is remembered."""


class Conditional(PosteriorModule):
    """f_p or f_q: a Gaussian of z^l from d^l and from the latents above (`above` is 0 for the top layer)."""

    def __init__(self, state: int, filters: int, above: int, latent: int, std: float) -> None:
        super().__init__()
        self.posterior: Posterior = "product"
        self.state = nn.Linear(state, filters)
        self.above = nn.Linear(above, filters, bias=False) if above else None
        self.hidden = nn.Linear(filters, filters)
        self.head = nn.Linear(filters, 2 * latent)
        initialise_head(self.head, std)

    def forward(
        self, d: Float[Tensor, "*time one_or_rows state"], above: Float[Tensor, "*time rows above"] | None
    ) -> Gaussian:
        """The Gaussian of every step."""
        x = self.state(d)
        if self.above is not None:
            x = x + self.above(above)
        return gaussian_of(self.head(F.relu(self.hidden(F.relu(x)))))


class STCN(StackedModel):
    """STCN with any number of layers of latents, all at the rate of the stacks."""

    family = "stcn"
    Config: ClassVar[type[Any]] = STCNConfig
    decoder_sees_audio = False
    prior_sees_audio = True
    presets = {  # noqa: RUF012
        "small": _SMALL,
        "small-dense": _with(_SMALL, "small with dense connections to the output", dense=True),
        "paper": _PAPER,
        "paper-dense": _with(_PAPER, "paper with dense connections to the output", dense=True),
        "paper-200": _with(_PAPER, "paper with s=200, its stacking of TIMIT", stride=200),
        "paper-200-dense": _with(_PAPER, "paper-dense with s=200, its stacking of TIMIT", stride=200, dense=True),
        "paper-200-dense-large": _with(
            _PAPER, "paper-200-dense with 512 filters, STCN-dense-large", stride=200, dense=True, filters=512
        ),
        "paper-256": _with(_PAPER, "paper with s=256", stride=256),
        "handwriting": _HANDWRITING,
        "handwriting-dense": _with(_HANDWRITING, "handwriting with dense connections to the output", dense=True),
        "tiny": _TINY,
        "tiny-dense": _with(_TINY, "for tests", dense=True),
    }

    def __init__(self, config: STCNConfig) -> None:
        super().__init__(config, config.latents)
        c = config
        self.first = nn.Linear(c.width, c.filters)
        self.stacks = nn.ModuleList(self.make_stack(layer) for layer in range(len(c.latents)))
        states = [stack.channels for stack in self._stacks()]
        sizes = list(zip(states, (*c.latents[1:], 0), c.latents, strict=True))
        self.priors = nn.ModuleList(Conditional(d, c.filters, a, z, 1.0) for d, a, z in sizes)
        self.evidence = nn.ModuleList(Conditional(d, c.filters, a, z, c.posterior_std) for d, a, z in sizes)
        seen = sum(c.latents) if c.dense else c.latents[0]
        self.back_in = nn.Linear(seen, c.filters)
        self.back: GatedStack | PointwiseStack
        if c.pointwise:
            self.back = PointwiseStack(c.filters, c.output_blocks)
        else:
            self.back = GatedStack(c.filters, (1,) * c.output_blocks)
        self.head = step_head(c.filters, c)
        waveform = isinstance(c.output, Waveform)
        self.aux_features = nn.Linear(c.filters, c.stride) if waveform else None
        self.aux_latent = nn.Linear(seen, c.stride) if waveform else None
        self.encode_reach = None if self.receptive_field is None else (self.receptive_field * c.stride, 0)
        self.decode_reach = ((self.back.receptive_field - 1) * c.stride, 0)

    def make_stack(self, layer: int) -> nn.Module:
        """A `Stack` between the layer of latents below this one, or the audio, and this one."""
        return GatedStack(self.config.filters, doubling_dilations(self.config.blocks))

    @property
    def receptive_field(self) -> int | None:
        """Steps that the topmost d depends on, including its own; None for all before."""
        fields = [stack.receptive_field for stack in self._stacks()]
        return None if None in fields else 1 + sum(field - 1 for field in fields if field)

    @property
    def posterior_modules(self) -> tuple[Conditional, ...]:
        """f_q of each layer."""
        return tuple(e for e in self.evidence if isinstance(e, Conditional))

    def encode(
        self, x: Shaped[Tensor, "batch elements"], lengths: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "time batch channels"], ...]:
        """d^l of every step's predecessor (zeros before the first), lowest layer first; then d^l of the step itself."""
        x = self.first(self.features(self.pad(x)))
        d: list[Tensor] = []
        for stack in self._stacks():
            x, _ = stack(x)
            d.append(x)
        return (*(shifted(x) for x in d), *d)

    def infer(
        self,
        encoded: Sequence[Float[Tensor, "time one_or_rows channels"]],
        noise: Sequence[Float[Tensor, "time rows _latent"]],
        before: Sequence[Trajectory] = (),
    ) -> tuple[Trajectory, ...]:
        """Draw latents from the top layer down, all steps at once; a trajectory's h is d^l_{t-1}.

        `before` is not needed: the past is in the encoding.
        """
        past, present = encoded[: len(noise)], encoded[len(noise) :]
        above: Tensor | None = None
        layers: list[Trajectory] = []
        with torch.autocast(noise[0].device.type, enabled=False):
            for l, eps in reversed(list(enumerate(noise))):
                evidence = self.posterior_modules[l]
                h, d = past[l].to(eps.dtype), present[l].to(eps.dtype)
                prior = _expanded(self.priors[l](h, above), eps)
                if evidence.given is None:
                    posterior = posterior_of(evidence.posterior, prior, _expanded(evidence(d, above), eps))
                else:
                    posterior = evidence.certain(evidence.given.expand_as(eps))
                above = posterior.draw(eps)
                layers.append(Trajectory(h.expand(-1, eps.shape[1], -1), above, prior, posterior))
        return tuple(reversed(layers))

    def decode(
        self,
        encoded: Sequence[Float[Tensor, "time batch channels"]],
        layers: Sequence[Trajectory],
        lengths: Int[Tensor, " batch"],
    ) -> Decoded:
        """p(x_t | z_{≤t}) for every audio sample, and the auxiliary waveform."""
        z = self._seen([layer.z for layer in layers])
        y, _ = self.back(self.back_in(z))
        y = F.relu(y).transpose(0, 1)
        batch = y.shape[0]
        if self.aux_features is None or self.aux_latent is None:
            return self._output(y), None
        waveform = self.aux_features(y) + self.aux_latent(z.transpose(0, 1))
        return self._output(y), waveform.reshape(batch, -1)

    def generate(self, noise: Sequence[Float[Tensor, "_time rows _latent"]], rows: int) -> Generation:
        """The equations with the priors in place of the posteriors."""
        memories = [stack.memory(rows) for stack in self._stacks()]
        back: Any = self.back.memory(rows)
        d = [self.parameter.new_zeros(rows, stack.channels) for stack in self._stacks()]
        for eps in zip(*noise, strict=True):
            z: list[Tensor] = []
            for l in reversed(range(len(eps))):
                prior = self.priors[l](d[l], z[-1] if z else None)
                z.append(prior.draw(eps[l]))
            y, _ = self.back.step(self.back_in(self._seen(z[::-1])), back)
            features = yield self._output(F.relu(y).unsqueeze(1)), None
            x = self.first(features[0])
            for l, (stack, memory) in enumerate(zip(self._stacks(), memories, strict=True)):
                x, _ = stack.step(x, memory)
                d[l] = x

    def _seen(self, z: Sequence[Tensor]) -> Tensor:
        """The latents that the output depends on."""
        return torch.cat(list(z), -1) if self.config.dense else z[0]

    def _output(self, y: Float[Tensor, "batch time filters"]) -> Distributions:
        return distributions(self.head, y, self.config.output)

    def _stacks(self) -> list[Stack]:
        return list(cast("Iterable[Stack]", self.stacks))


def _expanded(gaussian: Gaussian, noise: Float[Tensor, "time rows latent"]) -> Gaussian:
    """One row repeated for all rows of the noise."""
    return Gaussian(gaussian.mean.expand_as(noise), gaussian.log_precision.expand_as(noise))
