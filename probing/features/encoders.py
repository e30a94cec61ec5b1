"""Features of models that are not ours: anything with `encode(wave)` is extracted like a checkpoint.

An encoder is a function of a float32 array (samples,) in [-1, 1], or an object with such a method `encode`; it returns
a mean per time step for each of its layers, with or without a variance. What it returns is checked here, once, so that
the rest can rely on it; `docs/own-features.md` shows it in use.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from numbers import Integral
from pathlib import Path
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
from lvm_probe.probing.features.feature import CONTEXT
from lvm_probe.probing.features.pooling import Pooling
from lvm_probe.probing.features.token_table import check_feature_name

SAMPLE_RATE = 16_000
HOP = 64
"""Step of the acoustic features beside an encoder's, in samples: the paper's, whatever the encoder's strides."""

TOLERANCE_SECONDS = 0.05
"""By how much the duration of a layer's steps may differ from the audio's (or by two strides, where that is more).

Convolutions without padding lack about their field of view at the end (wav2vec 2.0: up to 399 samples), and a window
centred on the last sample exceeds it; a wrong stride is off by much more in any but the shortest recording.
"""

DERIVED = ("_var", "_halves", *CONTEXT)

_FORMS = "give Layer(name, mean, variance, stride), a tuple (mean, variance, stride), a list of these, or {name: tuple}"


@dataclass(frozen=True)
class Layer:
    """What an encoder returns of one layer: step t stands for samples [t·stride, (t+1)·stride).

    Arrays may be NumPy's or torch tensors.

    Attributes:
        name: name of the layer's column.
        mean: mean at each step, (steps, dims).
        variance: posterior variance at each step, of the mean's shape; None where there is none.
        stride: samples per step.
    """

    name: str
    mean: Float[np.ndarray, "steps dims"]
    variance: Float[np.ndarray, "steps dims"] | None
    stride: int


@dataclass(frozen=True)
class Encoder:
    """A function from audio to layers, with what extraction needs to know of it.

    Attributes:
        name: its name in error messages and in `_extraction.json`.
        encode: returns a Layer, a tuple (mean, variance, stride), a sequence of either, or a dict of such tuples, for
            a wave in [-1, 1]. If it has a parameter `sample_rate`, or a second one without a default, it is given the
            rate there.
        sample_rate: the rate in Hz that it takes.
        provenance: goes into `_extraction.json`.
        forkable: whether it works in a fork of this process; an encoder with threads of its own does not.

    Example:
        >>> import numpy as np
        >>> level = Encoder("level", lambda wave: (np.abs(wave[:1600]).reshape(10, 160), None, 160))
        >>> level(np.zeros(1600, np.float32), "some utterance")[0].mean.shape
        (10, 160)
    """

    name: str
    encode: Callable[..., Any]
    sample_rate: int = SAMPLE_RATE
    provenance: dict[str, Any] = field(default_factory=dict)
    forkable: bool = False

    def __call__(self, wave: Float32[np.ndarray, " samples"], utterance: str) -> tuple[Layer, ...]:
        """The layers of one utterance, each of ceil(samples / stride) steps.

        Args:
            wave: samples in [-1, 1].
            utterance: its name, for error messages.

        Raises:
            InputError: the encoder failed, or returned something else.
        """
        try:
            with torch.no_grad():
                returned = _call(self.encode, wave, self.sample_rate)
        except Exception as error:
            raise InputError(f"{self.name}: {one_line(error)} on utterance {utterance}; fix the encoder") from error
        try:
            return tuple(fit_length(layer, len(wave), self.sample_rate) for layer in as_layers(returned))
        except InputError as error:
            raise InputError(f"{self.name}: on utterance {utterance}, {error}") from None


def as_encoder(given: Any, name: str = "", provenance: dict[str, Any] | None = None) -> Encoder:
    """An encoder from a function, or from an object with a method `encode`; an Encoder is returned as it is.

    An attribute `sample_rate` says which rate it takes (default: 16,000 Hz). A torch module is set to evaluation mode.

    Args:
        given: the function or object.
        name: for error messages and `_extraction.json` (default: its own name).
        provenance: what else `_extraction.json` says of it.

    Raises:
        InputError: it is neither, or its sample rate is not a whole number.
    """
    if isinstance(given, Encoder):
        return given
    name = name or str(getattr(given, "__qualname__", type(given).__qualname__))
    encode = getattr(given, "encode", given)
    if not callable(encode) or inspect.isclass(given):
        kind = "class" if inspect.isclass(given) else type(given).__name__
        raise InputError(f"'{name}' is a {kind}; give a function encode(wave), or an object with such a method")
    rate = getattr(given, "sample_rate", SAMPLE_RATE)
    if not isinstance(rate, int) or rate < 1:
        raise InputError(f"the sample_rate of '{name}' is {rate!r}; give a whole number of Hz")
    if isinstance(given, torch.nn.Module):
        given.eval()
    return Encoder(name, encode, rate, provenance or {})


def as_layers(returned: Any) -> tuple[Layer, ...]:
    """What an encoder returned, as layers with checked float32 arrays; unnamed ones become `layer1`, `layer2`, ...

    Raises:
        InputError: it is of another form, or holds values that are not finite.
    """
    if isinstance(returned, Mapping):
        named = [(str(name), layer) for name, layer in returned.items()]
    else:
        several = isinstance(returned, Sequence) and not _is_triple(returned)
        named = [(f"layer{i}", layer) for i, layer in enumerate(returned if several else [returned], 1)]
    if not named:
        raise InputError(f"it returned no layer; {_FORMS}")
    checked = tuple(_as_layer(name, layer) for name, layer in named)
    names = [layer.name for layer in checked]
    if len(set(names)) < len(names):
        raise InputError(f"two layers have one name ({', '.join(names)}); name them differently")
    return checked


def _is_triple(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 3 and isinstance(value[2], Integral)


def _as_layer(name: str, returned: Any) -> Layer:
    if _is_triple(returned):
        returned = Layer(name, *returned)
    if not isinstance(returned, Layer):
        raise InputError(f"it returned {type(returned).__name__} for layer '{name}'; {_FORMS}")
    layer = returned
    check_feature_name(layer.name, acoustic.NAMES)
    if layer.name.endswith(DERIVED):
        raise InputError(f"layer '{layer.name}' is named like a column derived from a layer; name it without {DERIVED}")
    if not isinstance(layer.stride, Integral) or layer.stride < 1:
        raise InputError(f"layer '{layer.name}' has a stride of {layer.stride}; give a whole number of samples")
    mean = _array(layer.name, "mean", layer.mean)
    variance = None if layer.variance is None else _array(layer.name, "variance", layer.variance)
    if variance is not None and (variance.shape != mean.shape or (variance < 0).any()):
        raise InputError(
            f"the variance of layer '{layer.name}' has shape {variance.shape} and minimum {variance.min():.3g}; "
            f"give one of the mean's shape {mean.shape} without negative values, or None"
        )
    return Layer(layer.name, mean, variance, int(layer.stride))


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
        raise InputError(f"the {what} of layer '{layer}' holds NaN or infinity; fix the encoder")
    return array


def fit_length(layer: Layer, samples: int, sample_rate: int) -> Layer:
    """The layer with exactly ceil(samples / stride) steps: the last one repeated, or surplus steps left out.

    Raises:
        InputError: the steps differ from the audio by more than `TOLERANCE_SECONDS`.
    """
    wanted, steps = -(-samples // layer.stride), len(layer.mean)
    tolerance = max(2 * layer.stride, TOLERANCE_SECONDS * sample_rate)
    if abs(samples - steps * layer.stride) > tolerance:
        raise InputError(
            f"layer '{layer.name}' has {steps} steps of {layer.stride} samples for {samples} samples of audio, which "
            f"take {wanted}; give its true stride, or only the steps of the audio"
        )
    at = np.minimum(np.arange(wanted), steps - 1)
    return replace(layer, mean=layer.mean[at], variance=None if layer.variance is None else layer.variance[at])


@dataclass(frozen=True)
class EncoderSource:
    """An encoder as a source of features.

    For every layer L it gives `L`, the layer's mean averaged over the segment; `L_var`, its variance per step averaged
    over the segment, where the encoder returns one; and with `halves` `L_halves`, the means over the segment's halves.

    Attributes:
        encoder: the encoder.
        example: the layers of one utterance; all others must have the same.
        seed: seed of what the encoder draws.
        halves: whether to add `L_halves`.
    """

    encoder: Encoder
    example: tuple[Layer, ...]
    seed: int = 0
    halves: bool = False

    @classmethod
    def of(cls, encoder: Encoder, corpus: Corpus, *, seed: int, halves: bool) -> EncoderSource:
        """Learn the encoder's layers from the first utterance that can be read.

        Raises:
            InputError: none can be read, or the encoder fails.
        """
        for utterance in corpus.utterances:
            try:
                pcm = read_pcm(utterance, encoder.sample_rate)
            except UnreadableRecording:
                continue
            threads = os_threads()
            example = _encode(encoder, utterance.id, pcm, seed)
            forkable = encoder.forkable and os_threads() == threads
            return cls(replace(encoder, forkable=forkable), example, seed, halves)
        raise InputError(f"{corpus.root}: no utterance of it can be read; see `probe corpus {corpus.root}`")

    @property
    def forkable(self) -> bool:
        return self.encoder.forkable

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
        own = {"name": self.encoder.name, "sample_rate": self.sample_rate, "strides": strides}
        # An encoder without a file is identified by its values on the first utterance: other weights, other values.
        return {"encoder": own | (self.encoder.provenance or {"first_utterance_sha256": self._digest()})}

    def _digest(self) -> str:
        digest = hashlib.sha256()
        for layer in self.example:
            digest.update(layer.mean.tobytes() + (b"" if layer.variance is None else layer.variance.tobytes()))
        return digest.hexdigest()

    def pooled(
        self, name: str, pcm: Int16[np.ndarray, " samples"], segments: Sequence[Segment]
    ) -> dict[str, Float[np.ndarray, "tokens _size"]]:
        layers = _encode(self.encoder, name, pcm, self.seed)
        if (kinds := [_kind(layer) for layer in layers]) != (first := [_kind(layer) for layer in self.example]):
            raise InputError(
                f"{self.encoder.name}: layers {'; '.join(kinds)} on utterance {name}, but {'; '.join(first)} on the "
                "first one; give the same layers for every utterance"
            )
        pooled = {}
        for layer in layers:
            pool = Pooling(segments, layer.stride, len(layer.mean))
            pooled[layer.name] = pool.mean(layer.mean)
            if layer.variance is not None:
                pooled[f"{layer.name}_var"] = pool.mean(layer.variance)
            if self.halves:
                pooled[f"{layer.name}_halves"] = pool.halves(partial(Pooling.mean, steps=layer.mean))
        return pooled


def _encode(encoder: Encoder, name: str, pcm: Int16[np.ndarray, " samples"], seed: int) -> tuple[Layer, ...]:
    """Encode one utterance; what the encoder draws from torch's generator depends on the seed and its name alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(utterance_seed(seed, name))
        return encoder(to_float(pcm), name)


def _kind(layer: Layer) -> str:
    with_variance = "" if layer.variance is None else " with variance"
    return f"{layer.name} ({layer.mean.shape[1]} dims, {layer.stride} samples per step{with_variance})"


def _call(encode: Callable[..., Any], wave: np.ndarray, sample_rate: int) -> Any:
    try:
        parameters = inspect.signature(encode).parameters
    except ValueError:  # builtins have no signature
        return encode(wave)
    if "sample_rate" in parameters:
        return encode(wave, sample_rate=sample_rate)
    required = [
        p
        for p in parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    return encode(wave, sample_rate) if len(required) > 1 else encode(wave)


def os_threads() -> int:
    """Number of this process's threads, those of libraries included (Linux; 0 elsewhere)."""
    return len(list(Path("/proc/self/task").iterdir())) if sys.platform == "linux" else 0


def one_line(error: Exception) -> str:
    """What was raised, and the file and line that raised it."""
    message = " ".join(str(error).split())
    if isinstance(error, SyntaxError):
        return message
    calls = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<frozen")]
    place = f" at {Path(calls[-1].filename).name}:{calls[-1].lineno}" if calls else ""
    return f"{type(error).__name__}{place}: {message}" if message else f"{type(error).__name__}{place}"
