"""The training loss and its schedules."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from lvm_probe.models.batches import sample_mask, step_mask
from lvm_probe.models.likelihood import mulaw
from lvm_probe.models.likelihood.elbo import layer_kl, log_likelihood
from lvm_probe.models.model import ForwardPass, SpeechModel
from lvm_probe.models.training.recipe import Recipe


@dataclass(frozen=True)
class Loss:
    """The training loss of a batch and its parts.

    Attributes:
        total: what is minimised, per audio sample.
        reconstruction: log p(x | z) in nats, over the batch.
        kl: KL divergence of each layer in nats, over the batch.
    """

    total: Tensor
    reconstruction: Tensor
    kl: tuple[Tensor, ...]


def ramp_value(ramp: tuple[float, float, float], update: int, updates: int) -> float:
    """Linear from ramp[0] to ramp[1] over the share ramp[2] of all updates, then constant.

    Example:
        >>> [ramp_value((0.0, 1.0, 0.5), update, 100) for update in (0, 25, 50, 99)]
        [0.0, 0.5, 1.0, 1.0]
    """
    first, last, share = ramp
    done = min(1.0, update / (share * updates)) if share > 0 else 1.0
    return first + (last - first) * done


def learning_rate(recipe: Recipe, update: int) -> float:
    """Linear warm-up, then constant, exponentially decaying or a cosine to zero."""
    if update < recipe.warm_up:
        return recipe.learning_rate * (update + 1) / recipe.warm_up
    rate = recipe.learning_rate * recipe.decay ** ((update - recipe.warm_up) / 1_000)
    if not recipe.cosine:
        return rate
    done = (update - recipe.warm_up) / max(1, recipe.updates - recipe.warm_up)
    return rate * 0.5 * (1 + math.cos(math.pi * done))


@dataclass(frozen=True)
class Schedule:
    """What changes from update to update, as numbers, or as tensors that a CUDA graph reads anew for every update.

    Attributes:
        learning_rate: of Adam.
        beta: weight of the KL divergence.
        free_nats: per step, shared by the dimensions of a layer.
        auxiliary: weight of the auxiliary waveform's squared error.
        average: weight of the new weights in their moving average.
    """

    learning_rate: float | Tensor
    beta: float | Tensor
    free_nats: float | Tensor
    auxiliary: float | Tensor
    average: float | Tensor


def schedule_at(recipe: Recipe, update: int) -> Schedule:
    """The recipe's schedule at an update.

    Example:
        >>> from lvm_probe.models.training.recipe import SMALL
        >>> schedule_at(SMALL, 7_000).beta
        1.0
    """
    beta, free_nats, auxiliary = (
        ramp_value(ramp, update, recipe.updates) for ramp in (recipe.beta, recipe.free_nats, recipe.auxiliary)
    )
    average = 1 - min(recipe.ema, (update + 1) / (update + 10))  # over few weights at first
    return Schedule(learning_rate(recipe, update), beta, free_nats, auxiliary, average)


def training_loss(
    result: ForwardPass,
    model: SpeechModel,
    pcm: Shaped[Tensor, "batch samples"],
    lengths: Int[Tensor, " batch"],
    recipe: Recipe,
    schedule: Schedule,
    samples: int | Tensor | None = None,
    summed: Callable[[Tensor], Tensor] = lambda part: part,
) -> Loss:
    """-log p(x|z) + β Σ max(KL, floor) + the weighted auxiliary error, per audio sample.

    The floor of a dimension is its share of the free nats per step. With a flow, whose divergence is estimated from
    single draws, the floor is that of a layer's mean over the batch (Kingma et al. 2016, equation 15). The auxiliary
    error is the squared distance of the auxiliary waveform to 2·μlaw255(x); in the recipes its weight falls to zero.
    The auxiliary cost of a model that has one, which carries its own weight, is added.

    Args:
        result: of the model on the batch.
        model: which one.
        pcm: zero-padded 16-bit PCM.
        lengths: audio samples of each row before the padding.
        recipe: how the layers share the free nats.
        schedule: of this update.
        samples: audio samples of the whole batch, if this is a part of it.
        summed: adds numbers of this part up over all parts of the batch.
    """
    samples = int(lengths.sum()) if samples is None else samples
    reconstruction = log_likelihood(result.output, pcm, lengths).sum()
    kls = layer_kl(result.layers, model.strides, lengths)
    bounded = reconstruction.new_zeros(())
    for layer, (kl, stride, latent) in enumerate(zip(kls, model.strides, model.latents, strict=True)):
        floor = schedule.free_nats / latent * (stride / model.stride if recipe.scale_free_nats else 1)
        floor *= recipe.upper_free_nats if layer else 1
        inside = step_mask(lengths, stride, len(kl))
        if result.layers[layer].flow is None:
            bounded = bounded + (kl.clamp(min=floor) * inside).sum()
        else:  # single draws scatter about the divergence, so the floor is one of their mean
            ours, least = kl.sum(), floor * latent * inside.sum()
            of_batch = summed(torch.stack((ours.detach(), least)))
            bounded = bounded + torch.where(of_batch[0] >= of_batch[1], ours, least)
    total = (schedule.beta * bounded - reconstruction) / samples
    if result.waveform is not None and (isinstance(schedule.auxiliary, Tensor) or schedule.auxiliary > 0):
        target = 2 * mulaw.encode(mulaw.from_pcm(pcm), 255)
        error = (result.waveform.float() - target).square() * sample_mask(lengths, pcm.shape[1])
        total = total + schedule.auxiliary * error.sum() / samples
    if result.auxiliary_cost is not None:
        total = total + result.auxiliary_cost / samples
    return Loss(total, reconstruction.detach(), tuple(kl.detach().sum() for kl in kls))
