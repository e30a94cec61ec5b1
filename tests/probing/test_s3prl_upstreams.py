"""Upstreams in the form of s3prl, from a hubconf.py of one's own."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lvm_probe import InputError
from lvm_probe.probing.features.encoder_import import import_encoder

HUBCONF = """
import torch

class UpstreamExpert(torch.nn.Module):
    def __init__(self, ckpt=None):
        super().__init__()
        scale = 1.0 if ckpt is None else float(torch.load(ckpt, weights_only=True))
        self.scale = torch.nn.Parameter(torch.tensor(scale))
        self.dropout = torch.nn.Dropout(0.5)

    def get_downsample_rates(self, key):
        return {"hidden_states": 160}[key]

    def forward(self, wavs):
        steps = torch.nn.utils.rnn.pad_sequence(wavs, batch_first=True).unfold(1, 160, 160)
        first = torch.stack([steps.mean(-1), steps.std(-1)], -1) * self.scale
        return {"hidden_states": [first, self.dropout(first)], "last_hidden_state": first}

def level(ckpt=None, refresh=False, **kwargs):
    return UpstreamExpert(ckpt)

def needs(ckpt):
    return UpstreamExpert(ckpt)
"""
CPU = torch.device("cpu")


@pytest.fixture
def hubconf(tmp_path: Path) -> Path:
    (tmp_path / "hubconf.py").write_text(HUBCONF)
    return tmp_path / "hubconf.py"


def test_all_hidden_states_are_layers(hubconf: Path) -> None:
    wave = np.random.default_rng(0).normal(size=1600).astype(np.float32)
    first, second = import_encoder(f"{hubconf}:level", CPU)(wave, "u")
    assert (first.name, second.name, first.stride) == ("hidden_0", "hidden_1", 160)
    steps = wave.reshape(10, 160)
    # float32 sums of 160 numbers
    np.testing.assert_allclose(first.mean, np.stack([steps.mean(1), steps.std(1, ddof=1)], 1), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(second.mean, first.mean)  # in evaluation mode


def test_a_checkpoint_is_passed_on(hubconf: Path, tmp_path: Path) -> None:
    torch.save(torch.tensor(2.0), tmp_path / "weights.pt")
    wave = np.random.default_rng(0).normal(size=1600).astype(np.float32)
    plain = import_encoder(f"{hubconf}:level", CPU)(wave, "u")[0].mean
    encoder = import_encoder(f"{hubconf}:needs", CPU, weights=tmp_path / "weights.pt")
    np.testing.assert_array_equal(encoder(wave, "u")[0].mean, 2 * plain)
    assert encoder.provenance.keys() == {"sha256", "weights_sha256"}


def test_what_is_wrong(hubconf: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"needs\(\) cannot be made .* let it need a local checkpoint with --weights"):
        import_encoder(f"{hubconf}:needs", CPU)
    (tmp_path / "mine.py").write_text("def encode(wave): ...\n")
    with pytest.raises(InputError, match="--weights x: only for an s3prl upstream of a module hubconf"):
        import_encoder(f"{tmp_path}/mine.py:encode", CPU, weights=Path("x"))
