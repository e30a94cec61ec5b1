"""An evaluation in words: one line of figures, and a warning for every layer that carries no information."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from lvm_probe.models.domains.domain import Domain
from lvm_probe.models.domains.tokens import Characters, Words
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.likelihood.elbo import ACTIVE_NATS, NATS_PER_BIT, Evaluation


def summary(evaluation: Evaluation) -> str:
    """The likelihood, the KL and active units of each layer, on one line.

    Of waveforms in bits per frame, with the PCM code length; of other data in nats per step; text has a perplexity.
    """
    layers = [
        f"{layer} {kl:.4f} with {evaluation.active_units[layer]} of {len(dimensions)} active"
        for (layer, kl), dimensions in zip(evaluation.kl_bits_per_frame.items(), evaluation.kl, strict=True)
    ]
    kl = f" (KL {', '.join(layers)})" if layers else ""
    if evaluation.domain in (Words.name, Characters.name):
        nats, bits = -evaluation.nats_per_step, evaluation.bits_per_frame
        return f"{nats:.3f} nats and {bits:.3f} bits per token, perplexity {math.exp(min(nats, 700)):.2f}{kl}"
    if evaluation.domain != Waveform.name:
        return f"{evaluation.nats_per_step:.3f} nats per step{kl}"
    paper = f"{evaluation.bits_per_frame:.3f} {bits_unit(evaluation.eight_bit)}"
    return f"{paper}{kl}, PCM code length {evaluation.pcm_bits_per_frame:.3f}"


def bits_unit(eight_bit: bool) -> str:
    """What follows a waveform's bits per frame; those of 8-bit codes are never called the same as those of 16 bits.

    Example:
        >>> bits_unit(True)
        'bits per frame of 8-bit codes'
    """
    return "bits per frame" + (" of 8-bit codes" if eight_bit else "")


def bits_text(domain: Domain, bits: float, digits: int = 3) -> str:
    """Bits per element in the unit of the domain: of waveforms bits per frame, of other data nats per step.

    Example:
        >>> from lvm_probe.models.domains.waveform import Waveform
        >>> bits_text(Waveform(), 12.0684)
        '12.068 bits per frame'
    """
    if isinstance(domain, Waveform):
        return f"{bits:.{digits}f} {bits_unit(domain.is_eight_bit())}"
    return f"{-bits * NATS_PER_BIT * domain.step:.{digits}f} nats per step"


def collapse_warnings(active_units: Mapping[str, int], latents: Sequence[int]) -> list[str]:
    """One line for every layer whose posterior has collapsed onto its prior.

    Args:
        active_units: number of active dimensions of each layer, lowest first.
        latents: number of dimensions of each layer.
    """
    return [
        f"{layer} carries nothing: the posterior of each of its {size} dimensions stays within {ACTIVE_NATS} nats per "
        "step of the prior, so whatever a probe finds in this layer does not come from the recording"
        for (layer, units), size in zip(active_units.items(), latents, strict=True)
        if units == 0
    ]
