"""Latents of one recording: what a loaded model infers at every step."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Float32, Int16
from lvm_probe.probing.corpora import audio
from lvm_probe.probing.corpora.corpus import Segment

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from lvm_probe.models.checkpoints.checkpoint import Checkpoint
    from lvm_probe.models.model import SpeechModel
    from lvm_probe.probing.features.extraction_settings import Estimator


@dataclass(frozen=True, repr=False, eq=False)
class Latents:
    """One layer's latents of one recording. Step t covers samples [t * stride, (t + 1) * stride).

    Attributes:
        mean: Monte Carlo mean, float32 of shape (steps, dims).
        variance: Monte Carlo variance of `mean` (its squared standard error), of the same shape. NaN for a single
            draw, 0 for the state of a deterministic model. It is not the posterior's variance.
        stride: samples per step, at the model's sample rate.
    """

    mean: Float32[np.ndarray, "steps dims"]
    variance: Float32[np.ndarray, "steps dims"]
    stride: int

    def __repr__(self) -> str:
        steps, dims = self.mean.shape
        return f"Latents({steps} steps of {self.stride} samples, {dims} dims)"


@dataclass(frozen=True, repr=False, eq=False)
class Model:
    """A trained model, as `lvm_probe.load_model` returns it.

    Attributes:
        checkpoint: the weights and where they come from.
    """

    checkpoint: Checkpoint

    @property
    def name(self) -> str:
        """Of the checkpoint: its shipped name, its run folder's or its file's."""
        return self.checkpoint.name

    @property
    def network(self) -> SpeechModel:
        """The PyTorch module."""
        return self.checkpoint.model

    @property
    def device(self) -> torch.device:
        """Where the network is, and where `latents` and `lvm_probe.extract` compute."""
        return self.network.parameter.device

    @property
    def sample_rate(self) -> int:
        """Samples per second of the audio that the model takes."""
        return int(self.network.config.sample_rate)

    @property
    def strides(self) -> dict[str, int]:
        """Samples per step of each layer, lowest first: `z1`, `z2`, ..., or the state `h1` of a deterministic model."""
        if self.network.deterministic:
            return {"h1": self.network.stride}
        return {f"z{l}": stride for l, stride in enumerate(self.network.strides, 1)}

    def __repr__(self) -> str:
        layers = ", ".join(f"{name} every {stride} samples" for name, stride in self.strides.items())
        return f"Model({self.name}: {self.network.family}, {layers}, {self.sample_rate:,} Hz, on {self.device})"

    def latents(
        self,
        wave: Any,
        *,
        sample_rate: int,
        samples: int | None = None,
        estimator: Estimator = "posterior-mean",
        seed: int = 0,
        utterance: str = "",
        resample: bool = True,
    ) -> dict[str, Latents]:
        """Infer the latents of one recording, as `lvm_probe.extract` does for every utterance of a corpus.

        Args:
            wave: one channel, of shape (samples,): floating-point in [-1, 1], or 16-bit integers. Floating-point
                audio is rounded to 16 bits, which is what the models are trained on.
            sample_rate: samples per second of `wave`. Audio at another rate than the model's is resampled.
            samples: number of Monte Carlo draws; by default 12, or 100 with the estimator "sample".
            estimator: "posterior-mean" averages the posterior's means along the drawn paths, "sample" the draws
                themselves (Havtorn et al. 2022). Both have the same expectation; the first has less noise.
            seed: of the draws.
            utterance: name that the draws depend on besides the seed. With an utterance's id they are the draws that
                `lvm_probe.extract` takes for it.
            resample: whether audio at another rate is resampled; if not, it is refused.

        Returns:
            The latents of each layer, lowest first: `z1`, `z2`, ...; of a deterministic model its state, `h1`.

        Raises:
            InputError: if `wave` is anything but what is described above, or an option does not exist.

        Example:
            >>> import numpy as np
            >>> import lvm_probe
            >>> model = lvm_probe.load_model("cwvae-small", device="cpu")
            >>> wave = 0.1 * np.sin(2 * np.pi * 200 * np.arange(16_000) / 16_000)
            >>> model.latents(wave, sample_rate=16_000)["z1"]
            Latents(250 steps of 64 samples, 64 dims)
        """
        from lvm_probe.probing.features.extraction_settings import Settings
        from lvm_probe.probing.features.sources import ModelSource

        settings = Settings.of(samples=samples, estimator=estimator, seed=seed)
        pcm = _checked(wave, sample_rate)
        if sample_rate != self.sample_rate:
            if not resample:
                raise InputError(
                    f"wave: {sample_rate} Hz, but {self.name} takes {self.sample_rate} Hz; resample it, or leave out "
                    "resample=False"
                )
            resampled = audio.resample(audio.to_float(pcm), sample_rate, self.sample_rate, "wave")
            pcm = audio.to_pcm(resampled)
        # Every step of every layer is a token of its own, so that these are the figures of a token table.
        steps = {name: _steps(stride, len(pcm)) for name, stride in self.strides.items()}
        pooled = ModelSource(self.network, settings).pooled(utterance, pcm, [s for of in steps.values() for s in of])
        found, first = {}, 0
        for name, stride in self.strides.items():
            rows = slice(first, first := first + len(steps[name]))
            mean = pooled[name][rows].astype(np.float32)
            variance = pooled.get(f"{name}_var", np.zeros_like(pooled[name]))[rows].astype(np.float32)
            found[name] = Latents(mean, variance, stride)
        return found


def _steps(stride: int, samples: int) -> list[Segment]:
    return [Segment("", start, min(start + stride, samples)) for start in range(0, samples, stride)]


def _checked(wave: Any, sample_rate: int) -> Int16[np.ndarray, " samples"]:
    """One channel of audio as 16-bit PCM."""
    if isinstance(sample_rate, bool) or not isinstance(sample_rate, Integral) or sample_rate < 1:
        raise InputError(f"sample_rate {sample_rate!r}: give a whole number of samples per second, such as 16000")
    try:
        values = np.asarray(wave)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"wave: {type(wave).__name__} is no array ({error}); give a NumPy array") from None
    if values.dtype != np.int16 and values.dtype.kind != "f":
        raise InputError(f"wave: values of type {values.dtype}; give floating-point numbers in [-1, 1], or int16")
    if values.ndim != 1 or not values.size:
        raise InputError(f"wave: shape {values.shape}; give one channel of audio, of shape (samples,)")
    if values.dtype == np.int16:
        return values
    peak = float(np.abs(values).max())
    if not np.isfinite(peak):
        raise InputError("wave: holds NaN or infinity; remove them first")
    if peak > 1:
        raise InputError(f"wave: reaches {peak:.4g}; scale floating-point audio to [-1, 1], or give int16")
    return audio.to_pcm(values)


def load_model(name: str | Path, *, device: str | torch.device = "auto") -> Model:
    """Load a trained model.

    Args:
        name: a shipped checkpoint (`probe models` lists them), a checkpoint file, or the folder of a training run.
        device: "cpu", "cuda", or "auto" for a CUDA device where there is one.

    Returns:
        The model, ready for `Model.latents` and `lvm_probe.extract`.

    Raises:
        InputError: if there is no such checkpoint or device, or the file is damaged.

    Example:
        >>> import lvm_probe
        >>> lvm_probe.load_model("cwvae-small", device="cpu")
        Model(cwvae-small: cwvae, z1 every 64 samples, z2 every 512 samples, 16,000 Hz, on cpu)
    """
    from lvm_probe.models.checkpoints import checkpoint
    from lvm_probe.models.device import pick_device

    chosen = pick_device(device)
    loaded = checkpoint.load(name)
    loaded.model.to(chosen)
    return Model(loaded)
