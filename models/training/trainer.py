"""The training loop: from recordings to the checkpoint with the best validation result.

Everything random depends on the seed and the number of the update alone, so a resumed run computes the same numbers as
an uninterrupted one.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Float64, Int, Shaped
from torch import Tensor

from lvm_probe import InputError
from lvm_probe.models.batches import Recording
from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.models.checkpoints.shipped_checkpoints import BEST
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.io.pcm import check_pcm
from lvm_probe.models.io.wav import write_wav
from lvm_probe.models.layers.dropout import Dropout
from lvm_probe.models.likelihood.elbo import NATS_PER_BIT, Evaluation, evaluate
from lvm_probe.models.likelihood.mulaw import to_pcm
from lvm_probe.models.likelihood.reconstruction import reconstruct
from lvm_probe.models.model import SpeechModel
from lvm_probe.models.noise import utterance_generator
from lvm_probe.models.training.csv_log import CsvLog
from lvm_probe.models.training.cuda_graph import GraphedUpdates
from lvm_probe.models.training.distributed import ProcessGroup
from lvm_probe.models.training.loss import Schedule, learning_rate, schedule_at, training_loss
from lvm_probe.models.training.muon import MuonWithAdam, is_matrix
from lvm_probe.models.training.recipe import Recipe
from lvm_probe.models.training.segments import training_batch
from lvm_probe.models.training.tensorboard_log import EventFile

LAST = "last.safetensors"
"""The state of a run, from which it can be resumed."""
AUDIO = "audio"
"""Folder of a run's WAV files."""
LISTEN_SECONDS = 4
"""Length of its longest files."""
LOG_EVERY = 50
"""Updates between rows of the log."""

Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True)
class Progress:
    """The state of training after an update.

    Attributes:
        update: updates done.
        updates: of the whole recipe.
        bits_per_frame: of the batch.
        validating: whether the update is validated now, which takes a while.
        validation: the result of that.
    """

    update: int
    updates: int
    bits_per_frame: float
    validating: bool = False
    validation: Evaluation | None = None


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """The context of a training pass: bfloat16 in linear layers, or single precision.

    Args:
        device: on which to compute.
        precision: "auto" for bfloat16 where the hardware multiplies it natively.

    Raises:
        InputError: if bfloat16 is asked for on a CPU that emulates it, which takes 20 times as long.
    """
    cuda = device.type == "cuda"
    native = cuda or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    if precision == "bf16" and not native:
        raise InputError("--precision bf16: this CPU has no bf16 arithmetic; use auto or fp32, 20 times as fast here")
    enabled = precision == "bf16" or (precision == "auto" and native)
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled, cache_enabled=not cuda)  # no cache in a graph


def optimizer_of(model: SpeechModel, recipe: Recipe) -> torch.optim.Adam:
    """The recipe's optimizer, for a model on the device where it is trained."""
    cuda = model.parameter.device.type == "cuda"
    on_gpu = {"fused": cuda, "capturable": cuda}
    if recipe.optimizer == "muon":
        return MuonWithAdam(model, recipe.learning_rate, recipe.betas, **on_gpu)
    return torch.optim.Adam(model.parameters(), recipe.learning_rate, betas=recipe.betas, **on_gpu)


class Trainer:
    """A training run and its folder: log.csv, TensorBoard events, last.safetensors (the state) and best.safetensors.

    Models whose decoder hears nothing but latents also leave audio to listen to, in TensorBoard and in `audio/`.

    Args:
        model: to train; it is moved to `device`.
        recipe: how to train it.
        train: recordings to train on.
        validation: recordings that choose the checkpoint.
        out: the run's folder.
        seed: of batches and noise.
        device: default CPU.
        precision: see `autocast`.
        compile: whether to compile `encode` and `decode`.
        group: the processes that share each batch.
        provenance: what the checkpoint's metadata shall say besides.
        weights: how often each recording is drawn, relative to its length; equally without.

    Raises:
        InputError: if there are no recordings to train on or to validate with.

    Example:
        >>> import tempfile
        >>> from dataclasses import replace
        >>> from lvm_probe.models.registry import family, preset
        >>> class Noise:
        ...     name, samples = "noise", 4096
        ...     def read(self, start, stop):
        ...         return np.random.default_rng(0).integers(-99, 99, stop - start).astype(np.int16)
        >>> tiny = preset("lstm", "tiny")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     recipe = replace(tiny.recipe, updates=2)
        ...     model = family("lstm").seeded(tiny.config, seed=0)
        ...     run = Trainer(model, recipe, [Noise()], [Noise()], Path(folder))
        ...     run.run(lambda progress: None).name
        'best.safetensors'
    """

    criterion = "validation_bits_per_frame"
    """What chooses the checkpoint, by its name in the provenance; less is better."""

    def __init__(
        self,
        model: SpeechModel,
        recipe: Recipe,
        train: Sequence[Recording],
        validation: Sequence[Recording],
        out: Path,
        *,
        seed: int = 0,
        device: torch.device | None = None,
        precision: Precision = "auto",
        compile: bool = False,
        group: ProcessGroup | None = None,
        provenance: Mapping[str, Any] | None = None,
        weights: Sequence[float] | None = None,
    ) -> None:
        if weights is not None and recipe.segment == 0:
            raise InputError("weights are for segments; this recipe trains on whole recordings")
        if not train or not validation:
            raise InputError("training and validation both need at least one recording: hold fewer speakers out")
        self.group = group or ProcessGroup()
        self.device = device or torch.device("cpu")
        self.model, self.recipe, self.out = model.to(self.device), recipe, out
        self.seed, self.precision = seed, precision
        self.train, self.validation = model.config.output.seen(train), validation
        self.provenance = dict(provenance or {})
        self.weights = None if weights is None else np.asarray(weights, np.float64)
        self.average = copy.deepcopy(model)
        self.dropouts = [module for module in model.modules() if isinstance(module, Dropout)]
        if recipe.dropout and not self.dropouts:
            raise InputError(f"{model.family} has no dropout, which models on stacks have; leave it out")
        if recipe.dropout and self.group.size > 1:
            raise InputError("processes that share a batch would each drop units of their own; leave dropout out")
        for dropout in self.dropouts:
            dropout.share = recipe.dropout
        if compile:  # not `infer`: there is nothing to compile in loops with a hand-written backward pass
            self.model.encode = torch.compile(self.model.encode)  # type: ignore[method-assign]
            self.model.decode = torch.compile(self.model.decode)  # type: ignore[method-assign]
        cuda = self.device.type == "cuda"
        self.optimizer = optimizer_of(self.model, recipe)
        self.update = 0
        self.validated = 0  # the last update that was validated
        self.best = math.inf
        self.active_units: dict[str, int] = {}
        self.seconds = 0.0
        # Since the last row of the log: audio samples, log p(x | z) and the KL divergence of each layer.
        self.window = torch.zeros(2 + len(model.latents), dtype=torch.float64)
        self.log = CsvLog(out, len(model.latents))
        # Whole utterances differ in shape, processes wait for one another, and segments are changed on the CPU: those
        # updates are not graphs.
        alike = (
            recipe.segment > 0 and not (recipe.augmented or recipe.dropout) and model.config.output.name == "waveform"
        )
        whole = cuda and self.group.size == 1 and alike
        self._graphed = (
            GraphedUpdates(self._whole_update, model, self.train, recipe, seed, self.weights) if whole else None
        )

    def step(self) -> float:
        """Make one update.

        Returns:
            Bits per frame of the batch.

        Raises:
            InputError: if the loss is not finite.
        """
        if self._graphed is None:
            return self._step()
        with _uninterrupted():  # the weights move inside the graph, before the update is counted
            return self._step()

    def _step(self) -> float:
        schedule = schedule_at(self.recipe, self.update)
        self.model.anneal(self.update / self.recipe.updates)
        if self._graphed is not None:
            found, samples, chosen = self._graphed(self.update, schedule)
            names = [self.train[i].name for i in chosen]
        else:
            pcm, lengths, names = training_batch(
                self.train,
                self.model.config.output,
                self.recipe,
                self.seed,
                self.update,
                self.weights,
                self.model.config.sample_rate,
            )
            samples = int(lengths.sum())
            generator = utterance_generator(self.seed, f"update {self.update}")
            noise = self.model.noise(pcm.shape[1], len(pcm), generator)
            # Every process draws the batch and takes its rows.
            noise_here = [self.group.rows(n, 1).to(self.device) for n in noise]
            pcm, lengths = (
                self.model.pad(self.group.rows(pcm)).to(self.device),
                self.group.rows(lengths).to(self.device),
            )
            for number, dropout in enumerate(self.dropouts):
                dropout.generator = utterance_generator(self.seed, f"dropout {number}, update {self.update}")
            found = self._descend(pcm, lengths, noise_here, schedule, samples)
        found = self.group.sum(found).cpu()
        if not found.isfinite().all():
            raise InputError(
                f"{self.out}: the loss is not finite at update {self.update + 1} (batch: {', '.join(names)}); what is "
                "saved there is older. Lower --learning-rate, or look for damage in those recordings"
            )
        parts = found[:-1]
        with _uninterrupted():
            if self._graphed is None:
                self._move(schedule)
            self.update += 1
            self.window += torch.cat((torch.tensor([samples], dtype=torch.float64), parts))
        return float((parts[1:].sum() - parts[0]) / (samples * NATS_PER_BIT))

    def _descend(
        self,
        pcm: Shaped[Tensor, "rows samples"],
        lengths: Int[Tensor, " rows"],
        noise: Sequence[Tensor],
        schedule: Schedule,
        samples: int | Tensor,
    ) -> Float64[Tensor, " parts"]:
        """Compute the gradients; returns log p(x | z), the KL divergence of each layer and the gradient's norm."""
        with autocast(self.device, self.precision):
            result = self.model(pcm, lengths, noise)
        loss = training_loss(result, self.model, pcm, lengths, self.recipe, schedule, samples, self.group.sum)
        return torch.stack([loss.reconstruction, *loss.kl, self._backward(loss.total)]).double()

    def _backward(self, loss: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """Compute the gradients, add those of all processes up and clip them; returns their norm."""
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        self.group.sum_gradients(self.model)
        return torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip or math.inf)

    @torch.no_grad()
    def _move(self, schedule: Schedule) -> None:
        """Move the weights along the gradients, and their average after them."""
        for group in self.optimizer.param_groups:
            group["lr"] = schedule.learning_rate
        self.optimizer.step()
        for average, weight in zip(self.average.parameters(), self.model.parameters(), strict=True):
            average.lerp_(weight, schedule.average)

    def _whole_update(
        self,
        pcm: Shaped[Tensor, "rows samples"],
        lengths: Int[Tensor, " rows"],
        noise: Sequence[Tensor],
        schedule: Schedule,
    ) -> Float64[Tensor, " parts"]:
        """Everything that a CUDA graph replays."""
        found = self._descend(pcm, lengths, noise, schedule, lengths.sum())
        self._move(schedule)
        return found

    def run(self, report: Callable[[Progress], None]) -> Path:
        """Train to the end of the recipe.

        After a KeyboardInterrupt, which saves the state, or any sudden end, `resume` and `run` continue: from the
        interrupted update, or from the last validation.

        Args:
            report: called after every update, and after every validation.

        Returns:
            Path of the checkpoint with the best validation result.

        Raises:
            InputError: if the loss is not finite, or files cannot be written.
        """
        if self.group.rank:
            while self.update < self.recipe.updates:
                self.step()
            return self.out / BEST
        if self.update == 0:
            self.save()
        self.log.drop_after(self.update)
        began = time.monotonic() - self.seconds
        with EventFile(self.out, self.update + 1) as events:
            try:
                self._log_and_validate(events, began)  # an interruption may have left this undone
                while self.update < self.recipe.updates:
                    bits = self.step()
                    progress = Progress(self.update, self.recipe.updates, bits, validating=self._is_due)
                    report(progress)
                    if (validation := self._log_and_validate(events, began)) is not None:
                        report(replace(progress, validating=False, validation=validation))
            except KeyboardInterrupt:
                self.save()
                raise
        self._check_best()
        return self.out / BEST

    def _log_and_validate(self, events: EventFile, began: float) -> Evaluation | None:
        """Log, validate and save if it is due at this update; returns the validation."""
        last = self.update == self.recipe.updates
        self.seconds = time.monotonic() - began
        if (self.update % LOG_EVERY == 0 or last) and self.window[0] > 0:
            self._log(events)
        if not self._is_due:
            return None
        validation = self._validate(events)
        self.seconds = time.monotonic() - began
        self.save()
        return validation

    @property
    def _is_due(self) -> bool:
        """Whether this update is to be validated, and has not been."""
        last = self.update == self.recipe.updates
        return self.validated != self.update and (self.update % self.recipe.validate_every == 0 or last)

    def save(self) -> None:
        """Save the state, from which `resume` continues with the same numbers."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            state = self.optimizer.state.get(parameter, {})
            tensors |= {f"optimizer.{key}.{name}": torch.as_tensor(value) for key, value in state.items()}
        tensors["window"] = self.window
        tensors |= self._further_state()
        metadata: dict[str, Any] = {"format": "lvm-probe-run/1", "identity": self._identity()}
        metadata |= {"update": self.update, "validated": self.validated}
        metadata |= {"best": self.best, "active_units": self.active_units, "seconds": self.seconds}
        metadata |= {"corpus": self.provenance.get("corpus_fingerprint", "")}
        checkpoint.save_tensors(self.out / LAST, tensors, metadata)

    def resume(self) -> None:
        """Load the state in the run's folder.

        Raises:
            InputError: if there is none, it is damaged or of another run, or the corpus has changed.
        """
        path = self.out / LAST
        tensors, metadata = checkpoint.load_tensors(path)
        if metadata.get("identity") != self._identity():
            raise InputError(
                f"{path}: this run was started with another model, recipe, seed or corpus; give the same "
                "options or another --out"
            )
        now = self.provenance.get("corpus_fingerprint", "")
        if metadata.get("corpus", now) != now:
            raise InputError(f"{path}: the corpus has changed since this run began; restore it or choose another --out")
        try:
            self.model.load_state_dict(_part(tensors, "model."))
            self.average.load_state_dict(_part(tensors, "average."))
            self.window = tensors["window"]
            self.update, self.best = int(metadata["update"]), float(metadata["best"])
            self.active_units, self.seconds = json.loads(metadata["active_units"]), float(metadata["seconds"])
            self.validated = int(metadata["validated"])
            for name, parameter in self.model.named_parameters():
                by_muon = self.recipe.optimizer == "muon" and is_matrix(name, parameter)
                keys = ("momentum",) if by_muon else ("step", "exp_avg", "exp_avg_sq")
                if f"optimizer.{keys[0]}.{name}" not in tensors:
                    continue  # it has had no gradient yet
                state = {key: tensors[f"optimizer.{key}.{name}"] for key in keys}
                moved = {k: v.to(self.device) for k, v in state.items() if k != "step" or self.device.type == "cuda"}
                self.optimizer.state[parameter] = state | moved
            self._restore(tensors)
        except (KeyError, RuntimeError, ValueError) as error:
            raise InputError(f"{path}: the saved state is damaged ({error}); start again in another --out") from None
        self._check_best(resuming=True)

    def _check_best(self, resuming: bool = False) -> None:
        """Raise InputError unless the best checkpoint is this run's.

        A run that was killed after it wrote the checkpoint and before it saved its state has a better one than the
        state says; it will be written again.
        """
        path = self.out / BEST
        if math.isinf(self.best):
            return
        provenance = checkpoint.read_provenance(path)
        numbers = (provenance.get(name) for name in (self.criterion, "update"))
        bits, update = (number if isinstance(number, int | float) else math.nan for number in numbers)
        ahead = resuming and bits < self.best and self.update < update <= self.recipe.updates
        if bits != self.best and not ahead:
            raise InputError(
                f"{path}: another checkpoint has taken the place of this run's best ({self.best:.6g}); "
                "restore it or start again in another --out"
            )

    def _identity(self) -> str:
        """Differs between runs with another model, recipe, seed or corpus."""
        return hashlib.sha256(repr(self._identity_parts()).encode()).hexdigest()

    def _identity_parts(self) -> tuple[Any, ...]:
        recordings = [(r.name, r.samples) for r in (*self.train, *self.validation)]
        weights = None if self.weights is None else self.weights.tolist()
        begun: tuple[Any, ...] = (self.seed, self.provenance.get("started_from"))
        if "encoder" in self.provenance:  # with weights from elsewhere, or frozen ones
            begun += (self.provenance["encoder"],)
        return (self.model.family, asdict(self.model.config), asdict(self.recipe), begun, recordings, weights)

    def _further_state(self) -> dict[str, Tensor]:
        """What else a run is resumed from."""
        return {}

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over what `_further_state` saved."""

    def _merit(self, result: Evaluation, events: EventFile) -> float:
        """What chooses the checkpoint."""
        return result.bits_per_frame

    def _validate(self, events: EventFile) -> Evaluation:
        self.average.eval()
        result = evaluate(self.average, self.validation, seed=self.seed)
        self._listen(events)
        events.add_scalar("validation/bits_per_frame", result.bits_per_frame, self.update)
        for layer, bits in result.kl_bits_per_frame.items():
            events.add_scalar(f"validation/kl_{layer}", bits, self.update)
            events.add_scalar(f"validation/active_{layer}", result.active_units[layer], self.update)
            events.add_histogram(f"validation/kl_nats_{layer}", result.kl_nats_per_step[layer], self.update)
        merit = self._merit(result, events)
        if merit < self.best:
            self.best, self.active_units = merit, result.active_units
            provenance = self.provenance | {
                "update": self.update,
                "updates": self.recipe.updates,
                self.criterion: merit,
                "active_units": result.active_units,
                "training_seconds": round(self.seconds, 1),
                "recipe": asdict(self.recipe),
                "seed": self.seed,
            }
            checkpoint.save(self.out / BEST, self.average, provenance)
        with _uninterrupted():
            active = {f"active_{layer}": units for layer, units in result.active_units.items()}
            self.log.append(self.update, self.seconds, {"validation": result.bits_per_frame, **active})
            self.validated = self.update
        return result

    def _listen(self, events: EventFile) -> None:
        """Keep a validation recording, its reconstruction and a sample from the prior, as WAV files and in TensorBoard.

        Only of models whose decoder does not see past audio: of the others, a reconstruction is the prediction of each
        audio sample from the recording itself, and sampling takes long.
        """
        unheard = self.average.deterministic or self.average.decoder_sees_audio
        if unheard or not isinstance(self.average.config.output, Waveform):
            return
        rate = self.average.config.sample_rate
        recording = min(self.validation, key=lambda r: (r.samples, r.name))
        pcm = check_pcm(recording.read(0, min(recording.samples, LISTEN_SECONDS * rate)))
        generator = utterance_generator(self.seed, "listen")
        heard = {"recording": pcm}
        heard["reconstruction"] = to_pcm(reconstruct(self.average, torch.from_numpy(pcm), generator)[0]).numpy()
        if self.average.can_sample:
            heard["sample"] = to_pcm(self.average.sample(len(pcm), 1, generator)[0]).numpy()
        (self.out / AUDIO).mkdir(exist_ok=True)
        for name, wave in heard.items():
            events.add_audio(f"audio/{name}", wave, rate, self.update)
            stem = name if name == "recording" else f"{name}-{self.update}"
            write_wav(self.out / AUDIO / f"{stem}.wav", wave, rate)

    def _log(self, events: EventFile) -> None:
        samples, reconstruction, *kl = self.window.tolist()
        bits = samples * NATS_PER_BIT
        rates = {f"kl_z{i}": value / bits for i, value in enumerate(kl, 1)}
        row = {
            "bits_per_frame": (sum(kl) - reconstruction) / bits,
            "reconstruction": -reconstruction / bits,
            **rates,
        }
        for key, value in row.items():
            events.add_scalar(f"training/{key}", value, self.update)
        with _uninterrupted():
            rate = {"learning_rate": learning_rate(self.recipe, self.update)}
            self.log.append(self.update, self.seconds, row | rate)
            self.window.zero_()


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Delay Ctrl-C until the block ends, so that no half-updated state is saved."""
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    held: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: held.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if held:
        handler(*held[0])


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
