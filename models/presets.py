"""Model sizes and training recipes as data. Imports no torch, so that the command line lists them at once."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

from models.errors import InputError

SHIPPED = Path(__file__).parent / "shipped"
"""Checkpoints that come with the package, `<family>-<preset>.safetensors`, each with its card."""

Companding = Literal["mulaw16", "mulaw8", "linear"]


@dataclass(frozen=True)
class CWVAEConfig:
    """Shape of a Clockwork VAE (`papers/001` sections 2.5 to 2.7), lowest layer first.

    `strides` in samples: the first a multiple of `front_stride`, each next a multiple of the one below.
    `inputs` are the compandings of each sample that the encoder sees: 16-bit μ-law alone as in the paper, or
    with 8-bit μ-law and ten times the waveform beside it, without which the amplified quiet noise of the
    16-bit μ-law drowns the speech.
    """

    latents: tuple[int, ...]
    strides: tuple[int, ...]
    width: int
    hidden: int
    front_width: int
    front_stride: int = 8
    front_depth: int = 1
    depth: int = 2
    components: int = 10
    inputs: tuple[Companding, ...] = ("mulaw16", "mulaw8", "linear")
    posterior_std: float = 0.15
    sample_rate: int = 16_000

    def __post_init__(self) -> None:
        if not 1 <= len(self.latents) <= 3 or len(self.latents) != len(self.strides):
            raise InputError(f"a CW-VAE has 1 to 3 layers with a stride each; got {self.latents} and {self.strides}")
        rates, depths = (self.front_stride, *self.strides), (self.front_depth, self.depth)
        widths = (self.width, self.hidden, self.front_width, self.components)
        sizes = (*self.latents, *rates, *widths, self.sample_rate)
        if any(not isinstance(size, int) for size in (*sizes, *depths)):
            raise InputError(f"sizes must be whole numbers; got {self}")
        if min(sizes) < 1 or min(depths) < 0 or self.front_stride % 2 or not self.posterior_std > 0:
            raise InputError(f"sizes must be positive and the front stride even; got {self}")
        if any(high % low or high <= low for low, high in pairwise(rates)):
            raise InputError(f"strides must be rising multiples of one another; got {rates}")
        known = get_args(Companding)
        if not self.inputs or any(how not in known for how in self.inputs):
            raise InputError(f"inputs must be some of {', '.join(known)}; got {self.inputs}")

    @property
    def factors(self) -> tuple[int, ...]:
        """Ratio of each layer's stride to the one below it; the first to the front stride."""
        return tuple(high // low for low, high in pairwise((self.front_stride, *self.strides)))


@dataclass(frozen=True)
class Recipe:
    """How to train. Updates are counted, never epochs, so that a schedule means the same on every corpus.

    `free_nats`, `beta` and `auxiliary` go linearly from the first to the second number over the given share
    of all updates. Free nats are per step, shared evenly over the layer's dimensions (per dimension
    max(kl, floor)); each layer's floor is also scaled by its stride relative to the lowest, as in the paper,
    when `scale_free_nats`. `segment` samples are cut at random from the recordings; 0 takes whole utterances
    in batches of like length.
    """

    updates: int
    batch: int
    segment: int
    learning_rate: float
    warm_up: int = 0
    cosine: bool = False
    betas: tuple[float, float] = (0.9, 0.999)
    clip: float = 0.0
    ema: float = 0.0
    beta: tuple[float, float, float] = (0.0, 1.0, 0.5)
    free_nats: tuple[float, float, float] = (4.0, 0.0, 1.0)
    scale_free_nats: bool = False
    auxiliary: tuple[float, float, float] = (0.0, 0.0, 0.5)
    validate_every: int = 500

    def __post_init__(self) -> None:
        if min(self.updates, self.batch, self.validate_every) < 1 or self.segment < 0 or self.learning_rate <= 0:
            raise InputError(f"updates, batch, validation interval and learning rate must be positive; got {self}")


@dataclass(frozen=True)
class Preset:
    """A model's shape with the recipe that trains it."""

    family: str
    config: CWVAEConfig
    recipe: Recipe
    note: str = field(default="", compare=False)


_SMALL = Preset(
    family="cwvae",
    config=CWVAEConfig(latents=(64, 64), strides=(64, 512), width=192, hidden=192, front_width=64),
    recipe=Recipe(
        updates=14_000,
        batch=8,
        segment=16_384,
        learning_rate=1.2e-3,
        warm_up=200,
        cosine=True,
        betas=(0.9, 0.99),
        clip=1.0,
        ema=0.998,
        beta=(0.02, 1.0, 0.5),
        free_nats=(4.0, 0.8, 0.5),
        scale_free_nats=True,
        auxiliary=(3.0, 0.0, 0.5),
    ),
    note="3.5 M parameters; trains on two cores in about an hour",
)

_PAPER = Preset(
    family="cwvae",
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
    recipe=Recipe(
        updates=600_000,
        batch=4,
        segment=0,
        learning_rate=3e-4,
        beta=(0.0, 1.0, 0.25),
        free_nats=(4.0, 0.0, 0.5),
        scale_free_nats=True,
        validate_every=2_000,
    ),
    note="d=192, z=(128, 64), s=(64, 512) as in the paper, with its schedule; wants a GPU",
)


def _with_layers(like: Preset, latents: tuple[int, ...], strides: tuple[int, ...], note: str) -> Preset:
    """The same widths and recipe with another ladder, so that only the number of layers differs."""
    return replace(like, config=replace(like.config, latents=latents, strides=strides), note=note)


# Strides grow by c = 8 as in the paper's section 3. Its table 1 compares 1, 2 and 3 layers at one width for all
# (D_z = d = 96); here d stays 192 and each layer above has half the latents, as in the paper's two-layer model.
PRESETS: dict[str, dict[str, Preset]] = {
    "cwvae": {
        "small": _SMALL,
        "small-1": _with_layers(_SMALL, (64,), (64,), "small with one layer"),
        "small-3": _with_layers(_SMALL, (64, 64, 64), (64, 512, 4096), "small with three layers, s=(64, 512, 4096)"),
        "paper": _PAPER,
        "paper-1": _with_layers(_PAPER, (128,), (64,), "paper with one layer, z=128"),
        "paper-3": _with_layers(
            _PAPER, (128, 64, 32), (64, 512, 4096), "paper with three layers, z=(128, 64, 32), s=(64, 512, 4096)"
        ),
        "tiny": Preset(
            family="cwvae",
            config=CWVAEConfig(
                latents=(8, 4), strides=(64, 512), width=16, hidden=16, front_width=8, depth=1, components=3
            ),
            recipe=replace(_SMALL.recipe, updates=40, batch=2, segment=4_096, warm_up=5, validate_every=20),
            note="for tests: learns nothing worth having, in seconds",
        ),
    }
}


def preset(family: str, name: str) -> Preset:
    """The preset of that name; raises InputError listing what there is."""
    if family not in PRESETS:
        raise InputError(f"unknown model family '{family}': choose one of {', '.join(PRESETS)}")
    if name not in PRESETS[family]:
        raise InputError(f"unknown preset '{name}' of {family}: choose one of {', '.join(PRESETS[family])}")
    return PRESETS[family][name]


def shipped() -> list[tuple[str, str, Path]]:
    """Checkpoints that come with the package: name, family, file."""
    return [(path.stem, path.stem.split("-")[0], path) for path in sorted(SHIPPED.glob("*.safetensors"))]


def config_from_dict(family: str, data: Any) -> CWVAEConfig:
    """Rebuild a configuration from its JSON form; unknown or missing keys are an InputError."""
    if family not in PRESETS:
        raise InputError(f"unknown model family '{family}': choose one of {', '.join(PRESETS)}")
    try:
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return CWVAEConfig(**values)
    except (TypeError, AttributeError) as error:
        raise InputError(f"not a configuration of {family}: {error}") from None


def config_to_dict(config: CWVAEConfig) -> dict[str, Any]:
    """The configuration as JSON types."""
    return asdict(config)
