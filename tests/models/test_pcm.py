"""Whatever takes 16-bit PCM refuses any other type by name, also without the annotations that the tests check."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lvm_probe import InputError
from lvm_probe.models.io.pcm import check_pcm
from lvm_probe.models.registry import FAMILIES

WITHOUT_ANNOTATIONS = """
import numpy as np
import torch
from lvm_probe import InputError
from lvm_probe.models.batches import collate, pcm_histogram
from lvm_probe.models.likelihood import elbo
from lvm_probe.models.domains.domain import Output
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.registry import FAMILIES, preset

class FloatRecording:
    name, samples = "a", 8192
    def read(self, start, stop):
        return np.zeros(stop - start, np.float32)

wave, lengths = torch.zeros(1, 8192), torch.tensor([8192])
output = Output(Waveform(components=1), torch.zeros(1, 8192, 2))
models = {name: family.seeded(preset(name, "tiny").config, 0) for name, family in FAMILIES.items()}
calls = [("collate", collate, [FloatRecording()], Waveform()), ("histogram", pcm_histogram, [FloatRecording()])]
calls += [("log_prob", output.log_prob, wave), ("log_mass", output.log_mass, wave)]
for name, model in models.items():
    noise = model.noise(8192, 1, torch.Generator())
    calls.append((f"elbo of {name}", elbo.elbo, model, wave, lengths, noise))
    if name != "dmol":  # which looks at the number of samples alone
        calls.append((f"{name}.encode", model.encode, wave, lengths))
for name, function, *arguments in calls:
    try:
        function(*arguments)
        print(name, "accepted it")
    except InputError as error:
        print(name, "refused float32" if "float32" in str(error) else error)
"""


@pytest.mark.parametrize("samples", [np.zeros(3, np.int16), torch.zeros(3, dtype=torch.int16)])
def test_16_bit_integers_pass_as_they_are(samples: np.ndarray | torch.Tensor) -> None:
    assert check_pcm(samples) is samples


@pytest.mark.parametrize("samples", [np.zeros(3, np.float32), np.zeros(3, np.int32), torch.zeros(3), np.zeros(3, bool)])
def test_anything_else_is_refused_by_name(samples: np.ndarray | torch.Tensor) -> None:
    with pytest.raises(InputError, match=str(samples.dtype).removeprefix("torch.")):
        check_pcm(samples)


def test_every_entry_refuses_floating_point_audio() -> None:
    # Another process, because here the annotations would refuse it first.
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_ANNOTATIONS], cwd=root, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 4 + 2 * len(FAMILIES) - 1
    assert [line for line in lines if not line.endswith("refused float32")] == []
