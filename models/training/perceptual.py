"""Stage two: the decoder of a model that is trained on its bound learns to sound right.

    S(y, x) + λ_a Σ_D -D(y) + λ_f Σ_D |features(x) - features(y)|

with y the expectation of p(x | z) as a waveform, z drawn from the posterior, S the multi-resolution STFT loss, and D
the discriminators, which learn by the hinge loss at the same time. Encoder and flows stay as they are. The output
distribution no longer fits the recordings, so the model's numbers are no likelihood any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from jaxtyping import Float64, Int, Int16
from torch import Tensor, nn

from lvm_probe import InputError
from lvm_probe.models.batches import collate, sample_mask
from lvm_probe.models.domains.domain import Distributions, Output
from lvm_probe.models.likelihood import mulaw
from lvm_probe.models.likelihood.chunks import MOST_SAMPLES, chunks
from lvm_probe.models.likelihood.elbo import Evaluation, layer_kl, log_likelihood
from lvm_probe.models.model import SpeechModel
from lvm_probe.models.noise import batch_noise
from lvm_probe.models.training.discriminators import (
    Discriminators,
    adversarial_loss,
    discriminator_loss,
    feature_distance,
    spectral_distance,
)
from lvm_probe.models.training.loss import Schedule
from lvm_probe.models.training.tensorboard_log import EventFile
from lvm_probe.models.training.trainer import Trainer, autocast


@dataclass(frozen=True)
class Perception:
    """Weights and size of what the decoder learns from in stage two.

    Attributes:
        adversarial: weight of the discriminators' verdicts; 0 trains on the spectral loss alone, without any.
        features: weight of feature matching.
        channels: of the discriminators' first layers.
        learning_rate: of the discriminators.
    """

    adversarial: float = 0.1
    features: float = 1.0
    channels: int = 8
    learning_rate: float = 3e-4


def begin_stage_two(model: SpeechModel) -> SpeechModel:
    """The model, marked as of stage two.

    Raises:
        InputError: if the family has no stage two, or the model is not of stage one.
    """
    stage = getattr(model.config, "stage", None)
    if stage != 1:
        found = "has no such stage" if stage is None else "is of stage two already; go on with --resume"
        raise InputError(f"--stage 2: the model to start from, of family {model.family}, {found}")
    model.config = replace(model.config, stage=2)
    return model


class PerceptualTrainer(Trainer):
    """Trains the decoder of a model of stage two; the best checkpoint has the smallest spectral distance.

    Args:
        model: of stage two.
        args: further arguments of `Trainer`.
        perception: weights of the loss's parts.
        options: further arguments of `Trainer`.
    """

    criterion = "validation_spectral_distance"

    def __init__(self, model: SpeechModel, *args: Any, perception: Perception | None = None, **options: Any) -> None:
        self.perception = perception or Perception()
        super().__init__(model, *args, **options)
        self._graphed = None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.discriminators = Discriminators(self.perception.channels).to(self.device)
        self.judge = torch.optim.Adam(self.discriminators.parameters(), self.perception.learning_rate, betas=(0.5, 0.9))
        learned = set(map(id, _decoder(self.model)))
        for parameter in self.model.parameters():
            parameter.requires_grad_(id(parameter) in learned)
        self.parts: dict[str, float] = {}

    def _descend(
        self,
        pcm: Int16[Tensor, "rows samples"],
        lengths: Int[Tensor, " rows"],
        noise: Sequence[Tensor],
        schedule: Schedule,
        samples: int | Tensor,
    ) -> Float64[Tensor, " parts"]:
        with autocast(self.device, self.precision):
            result = self.model(pcm, lengths, noise)
        inside = sample_mask(lengths, pcm.shape[1])
        wanted, ours = (
            mulaw.from_pcm(pcm) * inside,
            self.model.config.output.centre(_parameters(result.output)).float() * inside,
        )
        parts = {"spectral": spectral_distance(ours, wanted)}
        total = parts["spectral"]
        if self.perception.adversarial > 0:
            parts["discriminators"] = self._judge(wanted, ours.detach())
            with torch.no_grad():
                real = self.discriminators(wanted)
            drawn = self.discriminators(ours)
            parts |= {"adversarial": adversarial_loss(drawn), "features": feature_distance(real, drawn)}
            total = total + self.perception.adversarial * parts["adversarial"]
            total = total + self.perception.features * parts["features"]
        norm = self._backward(total)
        self.parts = {name: float(value.detach()) for name, value in parts.items()}
        with torch.no_grad():
            bound = [log_likelihood(result.output, pcm, lengths).sum()]
            bound += [kl.sum() for kl in layer_kl(result.layers, self.model.strides, lengths)]
        return torch.stack([*bound, norm]).double()

    def _judge(self, wanted: Tensor, ours: Tensor) -> Tensor:
        """An update of the discriminators."""
        loss = discriminator_loss(self.discriminators(wanted), self.discriminators(ours))
        self.judge.zero_grad(set_to_none=True)
        loss.backward()
        self.judge.step()
        return loss

    def _log(self, events: EventFile) -> None:
        for name, value in self.parts.items():
            events.add_scalar(f"training/{name}", value, self.update)
        super()._log(events)

    @torch.no_grad()
    def _merit(self, result: Evaluation, events: EventFile) -> float:
        """The spectral distance of the validation recordings, each weighted by its length."""
        total = 0.0
        for recording in self.validation:
            pcm, lengths = (t.to(self.device) for t in collate([recording], self.average.config.output))
            noise = batch_noise(self.average, [recording], recording.samples, self.seed)
            found = chunks(self.average, self.average.pad(pcm), lengths, noise, MOST_SAMPLES)
            ours = torch.cat([self.average.config.output.centre(_parameters(chunk.output)) for chunk in found], 1)[
                :, : recording.samples
            ]
            total += float(spectral_distance(ours, mulaw.from_pcm(pcm))) * recording.samples
        distance = total / sum(recording.samples for recording in self.validation)
        events.add_scalar("validation/spectral", distance, self.update)
        return distance

    def _further_state(self) -> dict[str, Tensor]:
        tensors = {f"discriminator.{k}": v for k, v in self.discriminators.state_dict().items()}
        for name, parameter in self.discriminators.named_parameters():
            state = self.judge.state.get(parameter, {})
            tensors |= {f"judge.{key}.{name}": torch.as_tensor(value) for key, value in state.items()}
        return tensors

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        prefix = "discriminator."
        own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        self.discriminators.load_state_dict(own)
        for name, parameter in self.discriminators.named_parameters():
            if f"judge.step.{name}" in tensors:
                state = {key: tensors[f"judge.{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq")}
                self.judge.state[parameter] = {k: v if k == "step" else v.to(self.device) for k, v in state.items()}

    def _identity_parts(self) -> tuple[Any, ...]:
        return (*super()._identity_parts(), asdict(self.perception))


def _parameters(output: Distributions) -> Tensor:
    """Those of a decoder that states all distributions at once."""
    assert isinstance(output, Output)
    return output.parameters


def _decoder(model: SpeechModel) -> list[nn.Parameter]:
    """What stage two trains: all that lies behind the latents."""
    modules = [getattr(model, name) for name in ("expand", "decoder")]
    return [*(p for module in modules for p in module.parameters()), model.offset]
