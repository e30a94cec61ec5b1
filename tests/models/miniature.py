"""Models and recordings small enough for every test."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from lvm_probe.models.domains.domain import Domain
from lvm_probe.models.domains.pianoroll import PianoRoll
from lvm_probe.models.domains.strokes import Strokes
from lvm_probe.models.domains.tokens import Characters, Words
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.model import ModelConfig, SpeechModel
from lvm_probe.models.registry import family

OUTPUT = Waveform(components=3)
SHAPES = {1: ((6,), (64,)), 2: ((6, 4), (64, 512)), 3: ((6, 4, 3), (16, 64, 256))}
"""Latent sizes and strides of a CW-VAE by number of layers."""


def cwvae(layers: int) -> ModelConfig:
    latents, strides = SHAPES[layers]
    shape = {"width": 12, "hidden": 10, "front_width": 8, "depth": 1, "output": OUTPUT}
    return family("cwvae").Config(latents=latents, strides=strides, **shape)


def stacked(name: str, **shape: object) -> ModelConfig:
    """The configuration of a family on stacks of samples."""
    return family(name).Config(**({"stride": 16, "width": 12, "output": OUTPUT} | shape))


def vrnn(**changes: object) -> ModelConfig:
    return stacked("vrnn", **({"latent": 5, "hidden": 10} | changes))


def srnn(**changes: object) -> ModelConfig:
    return stacked("srnn", **({"latent": 5, "hidden": 10} | changes))


def stcn(**changes: object) -> ModelConfig:
    return stacked("stcn", **({"latents": (5, 4, 3), "filters": 10, "blocks": 2, "output_blocks": 2} | changes))


def ladder(**changes: object) -> ModelConfig:
    shape = {"latents": (5, 4, 3), "filters": 10, "hidden": 9, "output_blocks": 2}
    return stacked("ladder", **(shape | changes))


def wavenet(**changes: object) -> ModelConfig:
    return stacked("wavenet", **({"channels": 10, "cycles": 2, "layers": 3} | changes))


def wavevae(**changes: object) -> ModelConfig:
    shape = {"latent": 5, "stride": 64, "channels": 4, "ratios": (2, 4), "flow_width": 8, "output": OUTPUT}
    return family("wavevae").Config(**(shape | changes))


MODELS: dict[str, Callable[[], ModelConfig]] = {
    "cwvae-1": lambda: cwvae(1),
    "cwvae-2": lambda: cwvae(2),
    "cwvae-3": lambda: cwvae(3),
    "cwvae-transposed": lambda: replace(cwvae(2), upsampling="transposed"),
    "cwvae-nearest": lambda: replace(cwvae(1), upsampling="nearest"),
    "cwvae-cpc": lambda: replace(cwvae(2), strides=(160, 320), encoder="cpc", cpc_channels=6),
    "vrnn": vrnn,
    "vrnn-product": lambda: vrnn(posterior="product"),
    "vrnn-no-output-state": lambda: vrnn(output_sees_state=False),
    "vrnn-no-state-data": lambda: vrnn(output_sees_state=False, state_sees_data=False),
    "srnn": srnn,
    "srnn-filtering": lambda: srnn(smoothing=False),
    "srnn-residual": lambda: srnn(posterior="residual"),
    "storn": lambda: stacked("storn", latent=5, hidden=10),
    "zforcing": lambda: stacked("zforcing", latent=5, hidden=10),
    "zforcing-simplified": lambda: stacked("zforcing", latent=5, hidden=10, simplified=True),
    "zforcing-plain": lambda: stacked("zforcing", latent=5, hidden=10, future_weight=0.0, backward_weight=0.0),
    "bilstm": lambda: stacked("bilstm", latent=5, hidden=10),
    "bilstm-past": lambda: stacked("bilstm", latent=5, hidden=10, future_weight=0.1, past_weight=0.1),
    "swavenet": lambda: stacked("swavenet", latents=(5, 4, 3), channels=10),
    "stcn": stcn,
    "stcn-dense": lambda: stcn(dense=True),
    "stcn-pointwise": lambda: stcn(pointwise=True),
    "ladder": ladder,
    "ladder-dense": lambda: ladder(dense=True, blocks=2),
    "wavevae": wavevae,
    "wavevae-uneven": lambda: wavevae(stride=60, upsampling="uneven", activation="leaky-relu", weight_norm=False),
    "wavevae-bands": lambda: wavevae(bands=4, amplitude_modulation=True),
    "wavevae-series": lambda: wavevae(series=True, stride=32, bands=4, posterior_flow=2, prior_flow=2),
    "wavevae-linear": lambda: wavevae(series=True, stride=8, upsampling="linear"),
    "wavevae-flows": lambda: wavevae(posterior_flow=3, prior_flow=2),
    "wavenet": wavenet,
    "wavenet-dense": lambda: wavenet(dense=True),
    "wavenet-1": lambda: wavenet(stride=1, depth=1, perceptron=False, inputs=("mulaw16",)),
    "lstm": lambda: stacked("lstm", hidden=10),
    "lstm-2": lambda: stacked("lstm", hidden=10, layers=2),
    "cwrnn": lambda: stacked("cwrnn", hidden=12, periods=(1, 2, 4)),
    "hmlstm": lambda: stacked("hmlstm", hidden=9),
    "bowman": lambda: stacked("bowman", latent=5, hidden=10, steps=4),
    "dmol": lambda: family("dmol").Config(),
}
"""Everything that the contract of models is tested on, by a name that begins with the family's. A model is one line."""


DOMAINS: dict[str, Domain] = {
    "waveform": OUTPUT,
    "strokes": Strokes(components=3, scale=2.0),
    "pianoroll": PianoRoll(),
    "words": Words(("<eos>", "<unk>", "a", "dog", "barks")),
    "characters": Characters(tuple("ab c")),
}
"""Every domain."""


@dataclass(frozen=True)
class Elements:
    """A sequence in memory, of any domain."""

    name: str
    elements: np.ndarray

    @property
    def samples(self) -> int:
        return len(self.elements)

    def read(self, start: int, stop: int) -> np.ndarray:
        assert 0 <= start < stop <= len(self.elements)
        return self.elements[start:stop]


def sequence(domain: Domain, elements: int, seed: int = 0) -> Elements:
    """Random elements, in whole steps."""
    rng = np.random.default_rng((seed, elements))
    match domain.name:
        case "strokes":
            x = np.column_stack((rng.random(elements // 3) < 0.2, rng.normal(size=(elements // 3, 2)) * 2)).ravel()
        case "pianoroll":
            x = rng.random(elements) < 0.2
        case "words" | "characters":
            x = rng.integers(domain.size, size=elements)
        case _:
            x = take("sequence", elements, seed).pcm
    return Elements(f"sequence {seed}", x.astype(str(domain.dtype).removeprefix("torch.")))


ON_STEPS = (
    *("lstm", "vrnn", "srnn", "storn", "stcn", "wavenet", "zforcing", "bilstm", "swavenet"),
    *("cwrnn", "ladder", "hmlstm", "bowman"),
)
"""Families that combine with every domain and within-step factorisation."""


def config(name: str) -> ModelConfig:
    return MODELS[name]()


def model(name: str, seed: int = 0) -> SpeechModel:
    return family(name.split("-")[0]).seeded(config(name), seed)


@dataclass(frozen=True)
class Take:
    """A recording in memory."""

    name: str
    pcm: np.ndarray

    @property
    def samples(self) -> int:
        return len(self.pcm)

    def read(self, start: int, stop: int) -> np.ndarray:
        assert 0 <= start < stop <= len(self.pcm)
        return self.pcm[start:stop]


def take(name: str, samples: int, seed: int = 0) -> Take:
    """A modulated tone with noise."""
    rng = np.random.default_rng((seed, samples, *name.encode()))
    t = np.arange(samples)
    wave = np.sin(t * rng.uniform(0.02, 0.06)) * np.sin(t / 900) + 0.05 * rng.normal(size=samples)
    return Take(name, np.clip(8_000 * wave, -32_768, 32_767).astype(np.int16))


def batch(lengths: Sequence[int], size: int = 0, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Zero-padded PCM and lengths."""
    pcm = torch.zeros(len(lengths), max(size, *lengths), dtype=torch.int16)
    for row, (own, length) in enumerate(zip(pcm, lengths, strict=True)):
        own[:length] = torch.from_numpy(take(f"row {row}", length, seed).pcm)
    return pcm, torch.tensor(lengths)


def run_unchecked(code: str) -> str:
    """What a program prints without the annotation checks of the tests, as users run it."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
