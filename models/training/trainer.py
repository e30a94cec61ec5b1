"""Training: from recordings to the checkpoint that validates best.

Everything random is a function of the seed and the number of the update, so that a run continued after an
interruption goes on to the same numbers.
"""

from __future__ import annotations

import contextlib
import copy
import csv
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
from jaxtyping import Int, Int16
from torch import Tensor

from lvm_probe import InputError
from lvm_probe.models.batches import Recording, collate, pcm_histogram, sample_mask, step_mask
from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.models.checkpoints.shipped_checkpoints import BEST
from lvm_probe.models.io.files import reporting_write_errors, write_atomically
from lvm_probe.models.io.pcm import check_pcm
from lvm_probe.models.likelihood import mulaw
from lvm_probe.models.likelihood.elbo import NATS_PER_BIT, Evaluation, evaluate, layer_kl, log_likelihood
from lvm_probe.models.likelihood.output_distribution import OutputConfig
from lvm_probe.models.model import ForwardPass, SpeechModel
from lvm_probe.models.noise import utterance_generator, utterance_seed
from lvm_probe.models.training.distributed import ProcessGroup
from lvm_probe.models.training.recipe import Recipe
from lvm_probe.models.training.tensorboard_log import EventFile

LAST = "last.safetensors"
LOG = "log.csv"
LOG_EVERY = 50

Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True)
class Progress:
    """Where training stands after an update; `validation` only where one was just made."""

    update: int
    updates: int
    bits_per_frame: float
    validation: Evaluation | None = None


@dataclass(frozen=True)
class Loss:
    """Parts of one batch's training loss: `total` is minimised; the rest is what it was made of, in nats."""

    total: Tensor
    reconstruction: Tensor
    kl: tuple[Tensor, ...]
    samples: int


def schedule(ramp: tuple[float, float, float], update: int, updates: int) -> float:
    """Linear from ramp[0] to ramp[1] over the share ramp[2] of all updates, then constant."""
    first, last, share = ramp
    done = min(1.0, update / (share * updates)) if share > 0 else 1.0
    return first + (last - first) * done


def learning_rate(recipe: Recipe, update: int) -> float:
    """Linear warm-up, then constant or a cosine to zero."""
    if update < recipe.warm_up:
        return recipe.learning_rate * (update + 1) / recipe.warm_up
    if not recipe.cosine:
        return recipe.learning_rate
    done = (update - recipe.warm_up) / max(1, recipe.updates - recipe.warm_up)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def training_loss(
    passed: ForwardPass,
    model: SpeechModel,
    pcm: Int16[Tensor, "batch samples"],
    lengths: Int[Tensor, " batch"],
    recipe: Recipe,
    update: int,
    samples: int = 0,
) -> Loss:
    """The recipe's loss per frame at this update: -log p(x|z) + β max(KL, floor) + the auxiliary error.

    `samples` are those of the whole batch where this is a part of it (0: it is all there is). The floor is free nats
    per step, shared evenly over the layer's dimensions. The auxiliary error is the squared distance of the waveform
    head to 2·μlaw255(x), per sample; by the end of the recipes it weighs nothing.
    """
    samples = samples or int(lengths.sum())
    reconstruction = log_likelihood(passed.output, pcm, lengths).sum()
    beta = schedule(recipe.beta, update, recipe.updates)
    free = schedule(recipe.free_nats, update, recipe.updates)
    kls = layer_kl(passed.layers, model.strides, lengths)
    bounded = reconstruction.new_zeros(())
    for layer, (kl, stride, latent) in enumerate(zip(kls, model.strides, model.latents, strict=True)):
        floor = free / latent * (stride / model.stride if recipe.scale_free_nats else 1)
        floor *= recipe.upper_free_nats if layer else 1
        bounded = bounded + (kl.clamp(min=floor) * step_mask(lengths, stride, len(kl))).sum()
    total = (beta * bounded - reconstruction) / samples
    weight = schedule(recipe.auxiliary, update, recipe.updates)
    if weight > 0 and passed.waveform is not None:
        target = 2 * mulaw.encode(mulaw.from_pcm(pcm), 255)
        error = (passed.waveform.float() - target).square() * sample_mask(lengths, pcm.shape[1])
        total = total + weight * error.sum() / samples
    return Loss(total, reconstruction.detach(), tuple(kl.detach().sum() for kl in kls), samples)


def segments(
    recordings: Sequence[Recording], recipe: Recipe, seed: int, update: int
) -> tuple[Int16[Tensor, "batch samples"], Int[Tensor, " batch"], list[str]]:
    """The batch of this update: segments cut uniformly from all audio, or whole recordings of like length.

    With the names of the recordings they come from.
    """
    random = np.random.default_rng((seed, update))
    sizes = np.array([r.samples for r in recordings])
    if recipe.segment == 0:
        order = np.argsort(sizes * random.uniform(0.9, 1.1, len(sizes)))
        first = recipe.batch * int(random.integers(-(-len(order) // recipe.batch)))  # every recording as likely
        chosen = [recordings[i] for i in order[first : first + recipe.batch]]
        return *collate(chosen), [r.name for r in chosen]
    pcm = torch.zeros(recipe.batch, recipe.segment, dtype=torch.int16)
    lengths = torch.zeros(recipe.batch, dtype=torch.int64)
    names = []
    for row, i in enumerate(random.choice(len(sizes), recipe.batch, p=sizes / sizes.sum())):
        start = int(random.integers(max(1, sizes[i] - recipe.segment + 1)))
        cut = check_pcm(recordings[i].read(start, min(start + recipe.segment, int(sizes[i]))))
        pcm[row, : len(cut)] = torch.from_numpy(cut)
        lengths[row] = len(cut)
        names.append(recordings[i].name)
    return pcm, lengths, names


def normalised_output(config: OutputConfig, recordings: Sequence[Recording]) -> OutputConfig:
    """The output with the mean and the standard deviation of all training audio on its target's axis.

    A mixture of logistics is discretized on [-1, 1] and stays as it is. Raises InputError when the audio is silent.
    """
    if config.likelihood == "dmol":
        return config
    counts = pcm_histogram(recordings)
    values = mulaw.from_pcm(torch.arange(-mulaw.FULL_SCALE, mulaw.FULL_SCALE).short(), torch.float64)
    y = (mulaw.encode(values) if config.target == "mulaw" else values).numpy()
    mean = float(counts @ y / counts.sum())
    std = math.sqrt(float(counts @ (y - mean) ** 2 / counts.sum()))
    if std == 0:
        raise InputError("the training audio is constant: there is nothing to normalise a Gaussian output by")
    return replace(config, shift=mean, scale=std)


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """bfloat16 for the coder where the hardware multiplies it natively (`auto`), else single precision."""
    native = device.type == "cuda" or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16" or (precision == "auto" and native))


class Trainer:
    """The state of a run in a folder: log.csv, TensorBoard events, last.safetensors and best.safetensors."""

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
    ) -> None:
        if not train or not validation:
            raise InputError("training and validation both need at least one recording: hold fewer speakers out")
        self.group = group or ProcessGroup()
        self.device = device or torch.device("cpu")
        self.model, self.recipe, self.out = model.to(self.device), recipe, out
        self.seed, self.precision = seed, precision
        self.train, self.validation = train, validation
        self.provenance = dict(provenance or {})
        self.average = copy.deepcopy(model)
        if compile:  # the recurrent loop is differentiated by hand, so that there is nothing in it to compile
            self.model.encode = torch.compile(self.model.encode)  # type: ignore[method-assign]
            self.model.decode = torch.compile(self.model.decode)  # type: ignore[method-assign]
        self.optimizer = torch.optim.Adam(model.parameters(), recipe.learning_rate, betas=recipe.betas)
        self.update = 0
        self.validated = 0
        self.best = math.inf
        self.active_units: dict[str, int] = {}
        self.seconds = 0.0
        self.window = torch.zeros(2 + len(model.latents), dtype=torch.float64)

    def step(self) -> float:
        """One update; returns its bits per frame. Raises InputError when the loss stops being finite."""
        pcm, lengths, names = segments(self.train, self.recipe, self.seed, self.update)
        samples = int(lengths.sum())
        generator = utterance_generator(self.seed, f"update {self.update}")
        noise = self.model.noise(pcm.shape[1], len(pcm), generator)
        ours = slice(self.group.rank, None, self.group.size)  # every process draws the batch and takes its rows
        noise_here = [n[:, ours].to(self.device) for n in noise]
        pcm, lengths = self.model.pad(pcm[ours]).to(self.device), lengths[ours].to(self.device)
        with autocast(self.device, self.precision):
            passed = self.model(pcm, lengths, noise_here)
        loss = training_loss(passed, self.model, pcm, lengths, self.recipe, self.update, samples)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, self.update)
        self.optimizer.zero_grad(set_to_none=True)
        loss.total.backward()
        self.group.sum_gradients(self.model)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip or math.inf)
        parts = self.group.sum(torch.stack([loss.reconstruction, *loss.kl]).double()).cpu()
        if not (parts.isfinite().all() and norm.isfinite()):
            raise InputError(
                f"{self.out}: the loss is not finite at update {self.update + 1} (batch: {', '.join(names)}); what is "
                "saved there is from before. Lower --learning-rate, or look for damage in those recordings"
            )
        with _uninterrupted(), torch.no_grad():
            self.optimizer.step()
            average: list[Tensor] = list(self.average.parameters())
            torch._foreach_lerp_(
                average, list(self.model.parameters()), 1 - min(self.recipe.ema, (self.update + 1) / (self.update + 10))
            )
            self.update += 1
            self.window += torch.cat((torch.tensor([loss.samples], dtype=torch.float64), parts))
        return float((parts[1:].sum() - parts[0]) / (loss.samples * NATS_PER_BIT))

    def run(self, report: Callable[[Progress], None]) -> Path:
        """Train to the recipe's end, keeping the best checkpoint by validation; returns its path.

        Interrupting it (KeyboardInterrupt) saves the state; `resume` and `run` go on from there. So they do after a
        sudden end at any moment, from the last validation, or from the start, whose state is saved first.
        """
        if self.group.rank:
            while self.update < self.recipe.updates:
                self.step()
            return self.out / BEST
        if self.update == 0:
            self.save()
        self._truncate_log()
        began = time.monotonic() - self.seconds
        with EventFile(self.out, self.update + 1) as events:
            try:
                self._settle(events, began)  # what an interruption may have left undone
                while self.update < self.recipe.updates:
                    bits = self.step()
                    validation = self._settle(events, began)
                    report(Progress(self.update, self.recipe.updates, bits, validation))
            except KeyboardInterrupt:
                self.save()
                raise
        self._check_best()
        return self.out / BEST

    def _settle(self, events: EventFile, began: float) -> Evaluation | None:
        """Log, validate and save where this update owes it."""
        last = self.update == self.recipe.updates
        self.seconds = time.monotonic() - began
        if (self.update % LOG_EVERY == 0 or last) and self.window[0] > 0:
            self._log(events)
        if self.validated == self.update or not (self.update % self.recipe.validate_every == 0 or last):
            return None
        validation = self._validate(events)
        self.seconds = time.monotonic() - began
        self.save()
        return validation

    def save(self) -> None:
        """The state from which `resume` continues to the same numbers."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            state = self.optimizer.state.get(parameter, {})
            tensors |= {f"adam.{key}.{name}": torch.as_tensor(value) for key, value in state.items()}
        tensors["window"] = self.window
        metadata: dict[str, Any] = {"format": "lvm-probe-run/1", "identity": self._identity()}
        metadata |= {"update": self.update, "validated": self.validated}
        metadata |= {"best": self.best, "active_units": self.active_units, "seconds": self.seconds}
        metadata |= {"corpus": self.provenance.get("corpus_fingerprint", "")}
        checkpoint.save_tensors(self.out / LAST, tensors, metadata)

    def resume(self) -> None:
        """Take up the state in the run's folder; InputError when there is none or it is another run's."""
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
            self.validated = int(metadata.get("validated", self.update))
            for name, parameter in self.model.named_parameters():
                if f"adam.step.{name}" not in tensors:
                    continue  # it has had no gradient yet
                state = {key: tensors[f"adam.{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq")}
                self.optimizer.state[parameter] = {k: v if k == "step" else v.to(self.device) for k, v in state.items()}
        except (KeyError, RuntimeError, ValueError) as error:
            raise InputError(f"{path}: the saved state is damaged ({error}); start again in another --out") from None
        self._check_best(going_on=True)

    def _check_best(self, going_on: bool = False) -> None:
        """Raise InputError unless the best checkpoint is the one that this run put there.

        A run that was killed between the two has a better one than its state knows of; it will come to it again.
        """
        path = self.out / BEST
        if math.isinf(self.best):
            return
        said = checkpoint.read_provenance(path)
        numbers = (said.get(name) for name in ("validation_bits_per_frame", "update"))
        bits, update = (number if isinstance(number, int | float) else math.nan for number in numbers)
        ahead = going_on and bits < self.best and self.update < update <= self.recipe.updates
        if bits != self.best and not ahead:
            raise InputError(
                f"{path}: another checkpoint has taken the place of this run's best ({self.best:.6g} bits per frame); "
                "restore it or start again in another --out"
            )

    def _identity(self) -> str:
        recordings = [(r.name, r.samples) for r in (*self.train, *self.validation)]
        described = (self.model.family, asdict(self.model.config), asdict(self.recipe), self.seed, recordings)
        return f"{utterance_seed(0, repr(described)):014x}"

    def _validate(self, events: EventFile) -> Evaluation:
        self.average.eval()
        result = evaluate(self.average, self.validation, seed=self.seed)
        events.add_scalar("validation/bits_per_frame", result.bits_per_frame, self.update)
        for layer, bits in result.kl_bits_per_frame.items():
            events.add_scalar(f"validation/kl_{layer}", bits, self.update)
            events.add_scalar(f"validation/active_{layer}", result.active_units[layer], self.update)
            events.add_histogram(f"validation/kl_nats_{layer}", result.kl_nats_per_step[layer], self.update)
        if result.bits_per_frame < self.best:
            self.best, self.active_units = result.bits_per_frame, result.active_units
            provenance = self.provenance | {
                "update": self.update,
                "updates": self.recipe.updates,
                "validation_bits_per_frame": result.bits_per_frame,
                "active_units": result.active_units,
                "training_seconds": round(self.seconds, 1),
                "recipe": asdict(self.recipe),
                "seed": self.seed,
            }
            checkpoint.save(self.out / BEST, self.average, provenance)
        with _uninterrupted():
            active = {f"active_{layer}": units for layer, units in result.active_units.items()}
            self._row({"validation": result.bits_per_frame, **active})
            self.validated = self.update
        return result

    def _log(self, events: EventFile) -> None:
        samples, reconstruction, *kl = (self.window / NATS_PER_BIT).tolist()
        samples *= NATS_PER_BIT
        rates = {f"kl_z{i}": value / samples for i, value in enumerate(kl, 1)}
        row = {
            "bits_per_frame": (sum(kl) - reconstruction) / samples,
            "reconstruction": -reconstruction / samples,
            **rates,
        }
        for key, value in row.items():
            events.add_scalar(f"training/{key}", value, self.update)
        with _uninterrupted():
            self._row(row | {"learning_rate": learning_rate(self.recipe, self.update)})
            self.window.zero_()

    def _row(self, values: dict[str, float]) -> None:
        path = self.out / LOG
        with reporting_write_errors(path), path.open("a", newline="") as file:
            writer = csv.DictWriter(file, self._columns(), restval="", lineterminator="\n")
            rounded = {k: f"{v:.6g}" for k, v in values.items()}
            writer.writerow({"update": self.update, "seconds": f"{self.seconds:.1f}", **rounded})

    def _columns(self) -> list[str]:
        layers = [f"z{i + 1}" for i in range(len(self.model.latents))]
        columns = ["update", "seconds", "bits_per_frame", "reconstruction", *(f"kl_{layer}" for layer in layers)]
        return [*columns, "learning_rate", "validation", *(f"active_{layer}" for layer in layers)]

    def _truncate_log(self) -> None:
        """Begin the log, or drop the rows that a sudden end cut short or that are from after the saved state.

        The continued run writes those again.
        """
        path, head = self.out / LOG, ",".join(self._columns()) + "\n"
        with reporting_write_errors(path):
            lines = path.read_bytes().decode(errors="replace").splitlines(keepends=True) if path.exists() else []
        rows = [
            (row.partition(",")[0], row) for row in lines if row.endswith("\n") and row.count(",") == head.count(",")
        ]
        kept = [row for update, row in rows if update.isdecimal() and int(update) <= self.update]
        with write_atomically(path) as temporary:
            temporary.write_text("".join([head, *kept]))


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back until the block is done, so that no state is saved that is half an update ahead."""
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
