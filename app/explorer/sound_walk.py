"""A walk between two sounds of a model with one latent for a whole sound: the line, and what is decoded along it."""

from __future__ import annotations

from typing import Literal, assert_never

import numpy as np
import torch

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Float32, Int16
from lvm_probe.models.families.wavevae import WaveVAE
from lvm_probe.models.model import SpeechModel
from lvm_probe.probing.corpora.corpus import Segment
from lvm_probe.probing.features.token_latents import token_segment

Line = Literal["z", "base"]
"""Straight in z, as the decoder sees it, or in the base space of the prior's flow, where latents are normal."""

Sound = tuple[Int16[np.ndarray, " _samples"], Segment]


@torch.inference_mode()
def walk(model: SpeechModel, first: Sound, last: Sound, line: Line, steps: int) -> Float32[np.ndarray, "steps segment"]:
    """Waveforms in [-1, 1] along the line from one token to another, both included.

    Args:
        model: with one latent for a token.
        first: a recording at the model's rate, and the token in it.
        last: likewise.
        line: in which space the line is straight.
        steps: how many waveforms.

    Raises:
        InputError: if the model has no latent for a whole token.
    """
    if not isinstance(model, WaveVAE) or model.token_segment is None:
        raise InputError("A walk needs a model with one latent for a whole sound: a wavevae, but not its series.")
    size, device = model.token_segment, model.parameter.device
    pcm = np.stack([token_segment(*sound, size, model.config.sample_rate) for sound in (first, last)])
    encoded = model.encode(torch.from_numpy(pcm).to(device), torch.tensor([size, size], device=device))
    (layer,) = model.infer(encoded, (torch.zeros(1, 2, model.latents[0], device=device),))
    shares = torch.linspace(0, 1, steps, device=device).unsqueeze(1)
    match line:
        case "z":
            z = torch.lerp(layer.h[0, 0], layer.h[0, 1], shares)
        case "base":
            w = model.to_base(layer.h[0])
            z = model.from_base(torch.lerp(w[0], w[1], shares))
        case _:
            assert_never(line)
    waves: np.ndarray = model.config.output.centre(model.decode_latents(z.unsqueeze(0)).parameters).cpu().numpy()
    return waves
