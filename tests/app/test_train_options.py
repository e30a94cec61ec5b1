"""Options of `probe train` that change a preset, and training on two processes."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from lvm_probe.app.cli import main
from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.models.layers.cpc_encoder import CPCEncoder
from lvm_probe.models.training.recipe import GPU
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
        ("vrnn", ["--min-std", "0.1"], "--min-std: for --likelihood gaussian only"),
        ("lstm", ["--kl-weight", "0.2"], "--kl-weight: lstm tiny has no KL divergence"),
        ("wavevae", ["--preset", "small-autoencoder", "--kl-weight", "1"], "small-autoencoder has no KL divergence"),
        ("vrnn", ["--upper-free-nats", "2"], "--upper-free-nats: vrnn tiny has no layer of latents above the lowest"),
        ("vrnn", ["--devices", "0"], "--devices 0"),
        ("vrnn", ["--devices", "8"], "does not fill 8 devices"),
        ("vrnn", ["--quieter", "-6"], "between 0 and 96 dB"),
        ("vrnn", ["--validate-every", "0"], "--validate-every 0: give a positive number"),
        ("vrnn", ["--recipe", "paper", "--quieter", "6"], "applies to segments only"),
        ("vrnn", ["--weights", "2,1"], "each of the 1 corpora"),
        ("vrnn", ["--weights", "-1"], "positive number"),
        (
            "dmol",
            ["--weights", "2", "--quieter", "6"],
            "--batch, --weights, --quieter, --precision: dmol is fitted to all",
        ),
        ("dmol", ["--devices", "2"], "--batch, --devices, --precision: dmol is fitted to all"),
        ("dmol", ["--kl-weight", "0"], "--batch, --kl-weight, --precision: dmol is fitted to all"),
        ("dmol", ["--compile"], "--precision, --compile: dmol is fitted to all"),
        ("wavevae", ["--stage", "2"], "--stage 2: give the checkpoint of stage one"),
        ("wavevae", ["--stage", "2", "--devices", "2"], "--devices: in --stage 2 processes would each"),
        ("wavevae", ["--stage", "2", "--kl-weight", "0.2"], "--kl-weight: --stage 2 does not train on the bound"),
        ("wavevae", ["--stage", "2", "--upper-free-nats", "7"], "--upper-free-nats: --stage 2 does not train on"),
        ("wavevae", ["--stage", "2", "--adversarial", "-1"], "--adversarial -1.0: give a number from 0"),
    ],
)
def test_bad_shapes(family: str, more: list[str], says: str, refused: Refusal, tmp_path: Path) -> None:
    assert says in refused("train", family, "--corpus", CORPUS, "--out", tmp_path / "run", *TINY, *more)
    assert not (tmp_path / "run").exists()


def test_a_recipe_of_another_preset_and_changes_to_it(probe: Probe, tmp_path: Path) -> None:
    changed = ("--segment", "2048", "--quieter", "12", "--updates", "2", "--batch", "2", "--validate-every", "1")
    probe("train", "cwvae", "--corpus", CORPUS, "--out", tmp_path / "run", *TINY, "--recipe", "gpu", *changed)
    recipe = checkpoint.load(tmp_path / "run").provenance["recipe"]
    assert (recipe["segment"], recipe["quieter"], recipe["updates"]) == (2048, 12.0, 2)
    assert recipe["learning_rate"] == GPU.learning_rate
    log = pd.read_csv(tmp_path / "run" / "log.csv")
    assert log["update"][log["validation"].notna()].tolist() == [1, 2]


def test_training_goes_on_from_the_weights_of_a_checkpoint(
    probe: Probe, refused: Refusal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ("train", "cwvae", "--corpus", CORPUS)
    probe(*train, "--out", tmp_path / "first", *TINY)
    first = checkpoint.load(tmp_path / "first")
    small = ("--learning-rate", "1e-12", "--start-from", tmp_path / "first")
    probe(*train, "--out", tmp_path / "second", *TINY, *small)
    second = checkpoint.load(tmp_path / "second")
    for ours, wanted in zip(second.model.parameters(), first.model.parameters(), strict=True):
        torch.testing.assert_close(ours, wanted, rtol=0, atol=1e-6)
    assert second.provenance["started_from"]["sha256"] == first.sha256
    # With another seed other speakers are held out, whom the first training has heard.
    message = refused(*train, "--out", tmp_path / "third", *TINY, *small, "--seed", "1")
    assert "of the test speakers" in message
    fourth = (*train, "--out", tmp_path / "fourth", *TINY, *small, "--seed", "1", "--test", "0")
    assert main([str(word) for word in fourth]) == 0
    assert "was trained on 1 of the validation speakers" in capsys.readouterr().err
    # So has whatever was begun with it: what the checkpoint heard before counts as trained on.
    again = probe("evaluate", "--ckpt", tmp_path / "fourth", "--corpus", CORPUS, "--split", "checkpoint:validation")
    assert again["warnings"] == ["trained on 1 of these 1 speaker"]
    begun = ("--start-from", tmp_path / "fourth", "--seed", "1")
    assert "of the test speakers" in refused(*train, "--out", tmp_path / "later", *TINY, *begun)
    assert "differs from --preset small in output, latents" in refused(
        *train, "--out", tmp_path / "fifth", "--preset", "small", "--start-from", tmp_path / "first"
    )
    assert "family cwvae, not vrnn" in refused(
        "train", "vrnn", "--corpus", CORPUS, "--out", tmp_path / "sixth", *TINY, "--start-from", tmp_path / "first"
    )


def test_an_encoder_of_cpc_audio_is_kept_frozen_and_named_in_the_checkpoint(
    probe: Probe, refused: Refusal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = CPCEncoder(8).state_dict()
    names = {f"gEncoder.{key.replace('conv.', 'conv').replace('norm.', 'batchNorm')}": t for key, t in weights.items()}
    file, wide = tmp_path / "cpc.pt", tmp_path / "wide.pt"
    torch.save({"config": {}, "weights": names}, file)
    train, tiny = ("train", "cwvae", "--corpus", CORPUS), (*TINY, "--preset", "tiny-cpc")
    first, second = tmp_path / "first", tmp_path / "second"
    assert main([str(w) for w in (*train, "--out", first, *tiny, "--encoder-weights", file, "--freeze-encoder")]) == 0
    assert "notice: cpc.pt does not say whom it has heard" in capsys.readouterr().err
    own = checkpoint.load(first)
    assert own.provenance["encoder"] == {
        "file": "cpc.pt", "sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "frozen": True,
    }  # fmt: skip
    probe(*train, "--out", second, *tiny, "--start-from", first, "--freeze-encoder")
    begun = checkpoint.load(second)
    assert begun.provenance["encoder"] == {"frozen": True}
    assert begun.provenance["started_from"]["encoder"] == own.provenance["encoder"]
    for loaded in (own, begun):
        assert all(torch.equal(loaded.model.state_dict()[f"cpc.{key}"], tensor) for key, tensor in weights.items())
    torch.save({"weights": {key: torch.cat((t, t), int(t.dim() == 3)) for key, t in names.items()}}, wide)
    new = ("--out", tmp_path / "third")
    for options, says in (
        ((*TINY, "--encoder-weights", file), "--encoder-weights: cwvae tiny has no such encoder; choose cwvae"),
        ((*tiny, "--freeze-encoder"), "--freeze-encoder: its weights would stay random"),
        ((*tiny, "--encoder-weights", file, "--start-from", first), "leave one of them out"),
        ((*tiny, "--encoder-weights", wide), "wide.pt: tensor 'gEncoder.conv0.weight' has shape"),
        ((*tiny, "--preset", "small-cpc", "--encoder-weights", file), "8 channels, where --preset small-cpc has 256"),
        ((*tiny, "--encoder-weights", tmp_path / "none.pt"), "none.pt: no such file"),
    ):
        assert says in refused(*train, *new, *options)
    assert "--freeze-encoder: vrnn tiny has no such encoder" in refused(
        "train", "vrnn", "--corpus", CORPUS, *new, *TINY, "--freeze-encoder"
    )
    assert not (tmp_path / "third").exists()


def test_two_processes_get_the_gradients_of_one(tmp_path: Path, probe: Probe) -> None:
    argv = ["train", "vrnn", "--corpus", str(CORPUS), *TINY, "--out"]
    probe(*argv, tmp_path / "1")
    command = [sys.executable, "-m", "lvm_probe", *argv, str(tmp_path / "2"), "--devices", "2", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1  # one document, printed by one process
    one, two = (checkpoint.load_tensors(tmp_path / name / "last.safetensors")[0] for name in ("1", "2"))
    for name in one:
        if name.startswith("optimizer.exp_avg."):  # running mean of the gradients, summed in another order
            torch.testing.assert_close(two[name], one[name], rtol=1e-4, atol=1e-7)
