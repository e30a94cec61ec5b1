"""Upstreams of s3prl as encoders.

S.-w. Yang et al., "SUPERB: Speech processing universal performance benchmark", Interspeech 2021. An upstream is made by
a function of a module `hubconf`, takes a list of waves at 16 kHz and returns a dict with the list `hidden_states`; its
`get_downsample_rates(name)` says how many samples a step has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lvm_probe.analysis.shape_annotations import Float32
from lvm_probe.probing.features.encoders import Layer

MODULE = "hubconf"
"""The module's name by which an upstream's function is recognised."""

STATES = "hidden_states"


def is_upstream(found: Any) -> bool:
    """Whether an object has an upstream's interface."""
    return callable(getattr(found, "get_downsample_rates", None)) and callable(found)


@dataclass(frozen=True)
class Upstream:
    """All hidden states of an upstream, as features `hidden_0`, `hidden_1`, ...

    Attributes:
        upstream: the object.
        device: where it computes.
    """

    upstream: Any
    device: torch.device

    def encode(self, wave: Float32[np.ndarray, " samples"]) -> list[Layer]:
        states = self.upstream([torch.from_numpy(wave).to(self.device)])[STATES]
        stride = int(self.upstream.get_downsample_rates(STATES))
        return [Layer(f"hidden_{l}", state[0], None, stride) for l, state in enumerate(states)]
