"""A model that the tests of its latents share."""

import pytest
import torch

from lvm_probe.models.model import SpeechModel
from lvm_probe.models.registry import FAMILIES, preset


@pytest.fixture(scope="session")
def model() -> SpeechModel:
    """Random weights, larger than usual, so that the posterior does leave the prior."""
    found = FAMILIES["cwvae"].seeded(preset("cwvae", "tiny").config, 7).eval()
    with torch.no_grad():
        for parameter in found.parameters():
            parameter *= 1.5
    return found
