"""Options of `probe train` that change a preset, and training on two processes."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.probing.corpora.demo import CORPUS
from tests.app.conftest import TINY, Probe, Refusal


def test_shape_and_output_can_be_chosen(probe: Probe, tmp_path: Path) -> None:
    shape = ("--strides", "32,128", "--latents", "6,3")
    output = ("--likelihood", "gaussian", "--components", "2", "--target", "linear", "--min-std", "0.02")
    probe("train", "cwvae", "--corpus", CORPUS, "--out", tmp_path / "run", *TINY, *shape, *output)
    loaded = checkpoint.load(tmp_path / "run")
    assert (loaded.model.strides, loaded.model.latents) == ((32, 128), (6, 3))
    chosen = loaded.model.config.output
    assert (chosen.likelihood, chosen.components, chosen.target, chosen.min_std) == ("gaussian", 2, "linear", 0.02)
    # Normalised by the training audio: speech has almost no offset, and a spread well inside [-1, 1].
    assert abs(chosen.shift) < 0.01
    assert 0.01 < chosen.scale < 0.5


def test_a_mixture_without_a_network_is_fitted_without_updates(probe: Probe, tmp_path: Path) -> None:
    result = probe("train", "dmol", "--corpus", CORPUS, "--out", tmp_path / "run")
    assert (result["updates"], result["parameters"]) == (0, 6)
    assert 0 < result["validation_bits_per_frame"] < 16.5
    assert checkpoint.load(tmp_path / "run").model.family == "dmol"


@pytest.mark.parametrize(
    ("family", "more", "says"),
    [
        ("cwvae", ["--strides", "64,96"], "rising multiples"),
        ("cwvae", ["--latents", "8,8,8"], "a stride each"),
        ("cwvae", ["--strides", "64,a"], "no list of whole numbers"),
        ("cwvae", ["--strides", "0"], "give whole numbers from 1"),
        ("vrnn", ["--latents", "8,8"], "one latent"),
        ("lstm", ["--latents", "8"], "no latents to choose"),
        ("vrnn", ["--components", "0"], "components must be"),
        ("vrnn", ["--likelihood", "gaussian", "--min-std", "0"], "must be positive"),
        ("vrnn", ["--devices", "0"], "--devices 0"),
        ("vrnn", ["--devices", "8"], "does not fill 8 devices"),
    ],
)
def test_bad_shapes(family: str, more: list[str], says: str, refused: Refusal, tmp_path: Path) -> None:
    assert says in refused("train", family, "--corpus", CORPUS, "--out", tmp_path / "run", *TINY, *more)
    assert not (tmp_path / "run").exists()


def test_two_processes_get_the_gradients_of_one(tmp_path: Path) -> None:
    for devices in (1, 2):
        out = tmp_path / str(devices)
        argv = ["train", "vrnn", "--corpus", str(CORPUS), "--out", str(out), *TINY, "--devices", str(devices), "--json"]
        done = subprocess.run([sys.executable, "-m", "lvm_probe", *argv], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("\n") == 1  # one document, printed by one process
    one, two = (checkpoint.load_tensors(tmp_path / name / "last.safetensors")[0] for name in ("1", "2"))
    for name in one:
        if name.startswith("adam.exp_avg."):  # running mean of the gradients, summed in another order
            torch.testing.assert_close(two[name], one[name], rtol=1e-4, atol=1e-7)
