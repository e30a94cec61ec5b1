"""A recording as a model reconstructs it."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int16
from torch import Tensor

from lvm_probe.models.likelihood.chunks import MOST_SAMPLES, chunks
from lvm_probe.models.model import SpeechModel


@torch.inference_mode()
def reconstruct(
    model: SpeechModel, pcm: Int16[Tensor, " samples"], generator: torch.Generator
) -> tuple[Float[Tensor, " samples"], Float[Tensor, " samples"]]:
    """The expectation of p(x | z) and a draw from it, for one draw of z from the posterior.

    The decoder of an autoregressive model sees the recording's own past, so its reconstruction is the prediction one
    step ahead.

    Args:
        model: any model, in evaluation mode.
        pcm: the recording at the model's sample rate.
        generator: source of the noise.

    Returns:
        Two waveforms in [-1, 1], as long as the recording.
    """
    device = model.parameter.device
    lengths = torch.tensor([len(pcm)])
    padded = model.pad(pcm.unsqueeze(0)).to(device)
    noise = [n.to(device) for n in model.noise(len(pcm), 1, generator)]
    parts = list(chunks(model, padded, lengths.to(device), noise, MOST_SAMPLES))
    outputs = [part.output.given(part.pcm) for part in parts]
    expectation = torch.cat([model.config.output.centre(output.parameters).cpu() for output in outputs], 1)
    drawn = torch.cat([part.output.sample(generator) for part in parts], 1)
    return expectation[0, : len(pcm)], drawn[0, : len(pcm)]
