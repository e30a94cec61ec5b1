"""Features of models that are not ours: anything with `encode(wave)` goes through extraction like a checkpoint.

An encoder is a function of a float32 array (samples,) in [-1, 1], or an object with such a method `encode`; it gives a
mean per step for each of its layers, with or without a variance. What it returns is checked here, once, so that the
rest can rely on it; `docs/own-features.md` shows it in use.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Float, Float32, Int16
from lvm_probe.models.noise import utterance_seed
from lvm_probe.probing.corpora.audio import to_float
from lvm_probe.probing.corpora.corpus import Corpus, Segment
from lvm_probe.probing.corpora.recordings import UnreadableRecording, read_pcm
from lvm_probe.probing.features import acoustic
from lvm_probe.probing.features.pooling import Pooling
from lvm_probe.probing.features.token_table import check_feature_name

SAMPLE_RATE = 16_000
HOP = 64
"""Step of the acoustic features beside an encoder's, in samples: the paper's, whatever the encoder's strides."""

SLACK_SECONDS = 0.05
"""What a layer's steps may lack of the audio, or exceed it by (or two strides, where that is more).

Convolutions without padding lack about their field of view at the end (wav2vec 2.0: up to 399 samples), a frame
centred on the last sample exceeds it; a wrong stride misses by much more in any but the shortest recording.
"""

DERIVED = ("_var", "_halves")

_FORMS = "give Layer(name, mean, variance, stride), a tuple (mean, variance, stride), a list of these, or {name: tuple}"


@dataclass(frozen=True)
class Layer:
    """What an encoder says of one layer: step t stands for samples [t·stride, (t+1)·stride).

    Arrays may be NumPy's or torch tensors. `variance` is that of the posterior at each step, where there is one.
    """

    name: str
    mean: Float[np.ndarray, "steps dims"]
    variance: Float[np.ndarray, "steps dims"] | None
    stride: int


@dataclass(frozen=True)
class Encoder:
    """An encoder and what to call it in error messages; `provenance` goes into `_extraction.json`.

    `encode(wave)` returns a Layer, a tuple (mean, variance, stride), a sequence of either, or a dict of such tuples.
    Where it has a parameter `sample_rate`, or a second one without a default, it is given the rate there.
    """

    name: str
    encode: Callable[..., Any]
    sample_rate: int = SAMPLE_RATE
    provenance: dict[str, Any] = field(default_factory=dict)

    def __call__(self, wave: Float32[np.ndarray, " samples"], utterance: str) -> tuple[Layer, ...]:
        """The layers of one utterance, checked and of ceil(samples / stride) steps. Raises InputError."""
        try:
            with torch.no_grad():
                found = _called(self.encode, wave, self.sample_rate)
        except Exception as error:
            raise InputError(f"{self.name}: {_one_line(error)} on utterance {utterance}; mend the encoder") from error
        try:
            return tuple(fitted(layer, len(wave), self.sample_rate) for layer in layers(found))
        except InputError as error:
            raise InputError(f"{self.name}: on utterance {utterance}, {error}") from None


def layers(found: Any) -> tuple[Layer, ...]:
    """What an encoder returned as layers with arrays of float32, checked; unnamed ones are `layer1`, `layer2`, ..."""
    if isinstance(found, Mapping):
        named = [(str(name), layer) for name, layer in found.items()]
    else:
        several = isinstance(found, Sequence) and not _is_triple(found)
        named = [(f"layer{i}", layer) for i, layer in enumerate(found if several else [found], 1)]
    if not named:
        raise InputError(f"it returned no layer; {_FORMS}")
    checked = tuple(_layer(name, layer) for name, layer in named)
    names = [layer.name for layer in checked]
    if len(set(names)) < len(names):
        raise InputError(f"two layers have one name ({', '.join(names)}); name them differently")
    return checked


def _is_triple(found: Any) -> bool:
    return isinstance(found, tuple) and len(found) == 3 and isinstance(found[2], Integral)


def _layer(name: str, found: Any) -> Layer:
    if _is_triple(found):
        found = Layer(name, *found)
    if not isinstance(found, Layer):
        raise InputError(f"it returned {type(found).__name__} for layer '{name}'; {_FORMS}")
    check_feature_name(found.name, acoustic.NAMES)
    if found.name.endswith(DERIVED):
        raise InputError(f"layer '{found.name}' ends as the columns made from layers do; name it without {DERIVED}")
    if not isinstance(found.stride, Integral) or found.stride < 1:
        raise InputError(f"layer '{found.name}' has a stride of {found.stride}; give a whole number of samples")
    mean = _array(found.name, "mean", found.mean)
    variance = None if found.variance is None else _array(found.name, "variance", found.variance)
    if variance is not None and (variance.shape != mean.shape or (variance < 0).any()):
        raise InputError(
            f"the variance of layer '{found.name}' has shape {variance.shape} and least value {variance.min():.3g}; "
            f"give one of the mean's shape {mean.shape} that is nowhere negative, or None"
        )
    return Layer(found.name, mean, variance, int(found.stride))


def _array(layer: str, what: str, values: Any) -> np.ndarray:
    if isinstance(values, torch.Tensor):
        values = values.detach().float().cpu().numpy()
    array = np.asarray(values)
    if array.ndim != 2 or 0 in array.shape or array.dtype.kind not in "fiu":
        cure = "; leave out the batch axis" if array.ndim == 3 and len(array) == 1 else ""
        raise InputError(
            f"the {what} of layer '{layer}' has shape {array.shape} and type {array.dtype}; "
            f"give numbers of shape (steps, dims){cure}"
        )
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise InputError(f"the {what} of layer '{layer}' holds NaN or infinity; mend the encoder")
    return array


def fitted(layer: Layer, samples: int, sample_rate: int) -> Layer:
    """The layer with exactly ceil(samples / stride) steps: the last one repeated, or surplus steps left out."""
    wanted, steps = -(-samples // layer.stride), len(layer.mean)
    slack = max(2 * layer.stride, SLACK_SECONDS * sample_rate)
    if abs(samples - steps * layer.stride) > slack:
        raise InputError(
            f"layer '{layer.name}' has {steps} steps of {layer.stride} samples for {samples} samples of audio, which "
            f"take {wanted}; give its true stride, or only the steps of the audio"
        )
    at = np.minimum(np.arange(wanted), steps - 1)
    return replace(layer, mean=layer.mean[at], variance=None if layer.variance is None else layer.variance[at])


@dataclass(frozen=True)
class EncoderSource:
    """An encoder as a source of features: for every layer L `L`, its mean averaged over the segment; where it gives
    one, `L_var`, its variance per step averaged over the segment; with `halves`, `L_halves`.

    `example` are the layers of one utterance: all others must have the same.
    """

    encoder: Encoder
    example: tuple[Layer, ...]
    seed: int = 0
    halves: bool = False

    @classmethod
    def of(cls, encoder: Encoder, corpus: Corpus, *, seed: int, halves: bool) -> EncoderSource:
        """Encodes the first utterance that can be read to learn the encoder's layers."""
        for utterance in corpus.utterances:
            try:
                pcm = read_pcm(utterance, encoder.sample_rate)
            except UnreadableRecording:
                continue
            return cls(encoder, _encoded(encoder, utterance.id, pcm, seed), seed, halves)
        raise InputError(f"{corpus.root}: no utterance of it can be read; see `probe corpus {corpus.root}`")

    @property
    def sample_rate(self) -> int:
        return self.encoder.sample_rate

    @property
    def hop(self) -> int:
        return HOP

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(layer.name for layer in self.example)

    @property
    def sizes(self) -> dict[str, int]:
        sizes: dict[str, int] = {}
        for layer in self.example:
            dims = layer.mean.shape[1]
            sizes[layer.name] = dims
            if layer.variance is not None:
                sizes[f"{layer.name}_var"] = dims
            if self.halves:
                sizes[f"{layer.name}_halves"] = 2 * dims
        return sizes

    @property
    def provenance(self) -> dict[str, Any]:
        strides = {layer.name: layer.stride for layer in self.example}
        said = {"name": self.encoder.name, "sample_rate": self.sample_rate, "strides": strides}
        # An encoder without a file is known by what it makes of the first utterance: other weights, other values.
        return {"encoder": said | (self.encoder.provenance or {"first_utterance_sha256": self._digest()})}

    def _digest(self) -> str:
        digest = hashlib.sha256()
        for layer in self.example:
            digest.update(layer.mean.tobytes() + (b"" if layer.variance is None else layer.variance.tobytes()))
        return digest.hexdigest()

    def pooled(
        self, name: str, pcm: Int16[np.ndarray, " samples"], segments: Sequence[Segment]
    ) -> dict[str, Float[np.ndarray, "tokens _size"]]:
        found = _encoded(self.encoder, name, pcm, self.seed)
        if (kinds := [_kind(layer) for layer in found]) != (first := [_kind(layer) for layer in self.example]):
            raise InputError(
                f"{self.encoder.name}: layers {'; '.join(kinds)} on utterance {name}, but {'; '.join(first)} on the "
                "first one; give the same layers for every utterance"
            )
        pooled = {}
        for layer in found:
            pool = Pooling(segments, layer.stride, len(layer.mean))
            pooled[layer.name] = pool.mean(layer.mean)
            if layer.variance is not None:
                pooled[f"{layer.name}_var"] = pool.mean(layer.variance)
            if self.halves:
                pooled[f"{layer.name}_halves"] = pool.halves(layer.mean)
        return pooled


def _encoded(encoder: Encoder, name: str, pcm: Int16[np.ndarray, " samples"], seed: int) -> tuple[Layer, ...]:
    """An encoder that draws from torch's generator draws the same for an utterance in any company."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(utterance_seed(seed, name))
        return encoder(to_float(pcm), name)


def _kind(layer: Layer) -> str:
    with_variance = "" if layer.variance is None else " with variance"
    return f"{layer.name} ({layer.mean.shape[1]} dims a {layer.stride} samples{with_variance})"


def _called(encode: Callable[..., Any], wave: np.ndarray, sample_rate: int) -> Any:
    try:
        parameters = inspect.signature(encode).parameters
    except ValueError:  # a builtin does not say
        return encode(wave)
    if "sample_rate" in parameters:
        return encode(wave, sample_rate=sample_rate)
    required = [
        p
        for p in parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    return encode(wave, sample_rate) if len(required) > 1 else encode(wave)


def from_file(spec: str, device: torch.device) -> Encoder:
    """The encoder `FILE.py:NAME` (NAME is `encode` where it is left out).

    NAME is a function, a class that needs no arguments, or an object; class and object have a method `encode`. An
    attribute `sample_rate` says which rate it wants (16,000 Hz). A torch module is moved to `device` and set to
    evaluation. The file is executed, and may import what lies beside it; weights that it draws from torch are always
    the same. Raises InputError, naming the file.
    """
    file, _, name = spec.rpartition(":") if ".py:" in spec else (spec, "", "")
    path, name = Path(file), name or "encode"
    if path.suffix != ".py" or not path.is_file():
        raise InputError(f"--encoder {spec}: no such Python file; give FILE.py:NAME")
    with torch.random.fork_rng(devices=[]):  # weights that the file draws are the same each time
        torch.manual_seed(0)
        found = _made(path, name)
    if isinstance(found, torch.nn.Module):
        found = found.to(device)
    provenance = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    try:
        return as_encoder(found, f"{path.name}:{name}", provenance)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def as_encoder(found: Any, name: str = "", provenance: dict[str, Any] | None = None) -> Encoder:
    """An encoder from a function, or from an object with a method `encode`; an Encoder is returned as it is.

    An attribute `sample_rate` says which rate it takes (default: 16,000 Hz). A torch module is set to evaluation.

    Args:
        found: the function or object.
        name: for messages and `_extraction.json` (default: its own name).
        provenance: what else `_extraction.json` shall say of it.

    Raises:
        InputError: if it is neither, or its sample rate is no whole number.
    """
    if isinstance(found, Encoder):
        return found
    name = name or str(getattr(found, "__qualname__", type(found).__qualname__))
    encode = getattr(found, "encode", found)
    if not callable(encode) or inspect.isclass(found):
        kind = "class" if inspect.isclass(found) else type(found).__name__
        raise InputError(f"'{name}' is a {kind}; give a function encode(wave), or an object with such a method")
    rate = getattr(found, "sample_rate", SAMPLE_RATE)
    if not isinstance(rate, int) or rate < 1:
        raise InputError(f"the sample_rate of '{name}' is {rate!r}; give a whole number of Hz")
    if isinstance(found, torch.nn.Module):
        found.eval()
    return Encoder(name, encode, rate, provenance or {})


def _made(path: Path, name: str) -> Any:
    """What the file has under this name; of a class, an instance."""
    module = _imported(path)
    if not hasattr(module, name):
        raise InputError(f"{path}: has no '{name}'; name its encoder: --encoder {path}:NAME")
    found = getattr(module, name)
    if not inspect.isclass(found):
        return found
    try:
        return found()
    except Exception as error:
        raise InputError(f"{path}: {name}() cannot be made ({_one_line(error)}); let it need no arguments") from error


def _imported(path: Path) -> ModuleType:
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)  # behind everything else: a file beside it hides no package
    spec = importlib.util.spec_from_file_location(f"encoder_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # where dataclasses look for their own module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(f"{path}: cannot be imported ({_one_line(error)}); mend the file") from error
    return module


def _one_line(error: Exception) -> str:
    """What was raised and where: the file and line that raised it."""
    said = " ".join(str(error).split())
    if isinstance(error, SyntaxError):
        return said
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<frozen")]
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}: {said}" if said else f"{type(error).__name__}{where}"
