"""`probe evaluate` for one or several models, and `probe gaussian-limit`."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch

from lvm_probe.app.cli import main
from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.probing.corpora.demo import CORPUS
from tests.app.conftest import TINY, Probe, Refusal, quietly


@pytest.fixture(scope="module")
def vrnn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "vrnn"
    quietly("train", "vrnn", "--corpus", CORPUS, "--out", run, *TINY)
    return run


def test_one_model_gives_the_fixed_keys_and_the_figures_of_each_layer(trained: Path, small: Path, probe: Probe) -> None:
    result = probe("evaluate", "--ckpt", trained, "--corpus", small, "--without", "z2", "--iwae", "3")
    assert {"bits_per_frame", "pcm_bits_per_frame", "elbo_nats", "frames", "utterances"} <= result.keys()
    assert result["kl_bits_per_frame"].keys() == result["active_units"].keys() == {"z1", "z2"}
    assert [len(result["kl_nats_per_step"][layer]) for layer in ("z1", "z2")] == [8, 4]
    assert result["bound"]
    assert not result["density"]
    assert result["elbo_nats"] == pytest.approx(result["nats_per_utterance"] * result["utterances"])
    assert result["iwae_samples"] == 3
    assert abs(result["iwae_bits_per_frame"] - result["bits_per_frame"]) < 0.1
    assert result["bits_per_frame_without"].keys() == {"z2"}
    assert result["bits_per_frame_without"]["z2"] > 0


def test_several_models_and_baselines_make_a_table(
    trained: Path, vrnn: Path, small: Path, probe: Probe, tmp_path: Path
) -> None:
    files = [tmp_path / f"t.{end}" for end in ("csv", "json", "tex")]
    outs = [part for file in files for part in ("--out", file)]
    models = [part for name in ("uniform", "flac", trained, vrnn) for part in ("--ckpt", name)]
    result = probe("evaluate", *models, "--corpus", small, *outs)
    names = [row["name"] for row in result["results"]]
    assert names == ["uniform", "flac", str(trained), str(vrnn)]
    assert result["wrote"] == [str(file) for file in files]
    uniform, flac, cwvae, other = result["results"]
    assert uniform["bits_per_frame"] == uniform["pcm_bits_per_frame"] == pytest.approx(16)
    assert 0 < flac["pcm_bits_per_frame"] < 16
    assert (cwvae["family"], other["family"]) == ("cwvae", "vrnn")
    frame = pd.read_csv(files[0])
    assert frame["bits_per_frame"].tolist() == pytest.approx([row["bits_per_frame"] for row in result["results"]])
    assert frame["bound"].tolist() == [False, False, True, True]
    assert pd.isna(frame.loc[3, "kl_z2"])
    assert json.loads(files[1].read_text())["results"][2]["bits_per_frame"] == cwvae["bits_per_frame"]
    latex = files[2].read_text()
    assert "\n\\begin{tabular}{ll" in latex
    assert latex.count(r"\\") == 5
    assert r"$\leq$" in latex


def test_the_printed_table_is_aligned_and_explains_its_columns(
    trained: Path, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quietly("evaluate", "--ckpt", "uniform", "--ckpt", trained, "--corpus", small)
    title, _, head, *rows = capsys.readouterr().out.splitlines()
    assert title == "Likelihoods"
    assert "bits per frame" in head
    assert rows[0].startswith("uniform")
    assert "≤" in rows[1]
    assert "≤" not in rows[0]
    assert head.index("bits per frame") + len("bits per frame") == rows[0].index("16.000") + len("16.000")
    assert "PCM code length: bits per frame of the 16-bit recording" in " ".join(rows[3:])


def test_bits_of_8_bit_codes_are_never_called_bits_per_frame_alone(
    trained: Path, small: Path, tmp_path: Path, probe: Probe, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    result = probe("train", "vrnn", "--corpus", CORPUS, "--out", run, *TINY, "--target", "mulaw8")
    assert result["eight_bit"]
    assert [test["eight_bit"] for test in result["test"]] == [True]
    assert 0 < result["validation_bits_per_frame"] < 9  # eight, and what a few updates do not unlearn
    result = probe("evaluate", "--ckpt", run, "--corpus", small, "--iwae", "2", "--without", "z1")
    assert result["eight_bit"]
    assert not result["density"]
    assert result["pcm_bits_per_frame"] > 9  # of 16 bits as ever
    quietly("evaluate", "--ckpt", run, "--corpus", small, "--iwae", "2", "--without", "z1")
    printed = capsys.readouterr().out
    assert printed.count("bits per frame") == printed.count("bits per frame of 8-bit codes") == 3
    quietly("evaluate", "--ckpt", run, "--ckpt", trained, "--corpus", small)
    _, _, _, own, other, *caption = capsys.readouterr().out.splitlines()
    assert " (8-bit)" in own
    assert "8-bit" not in other
    assert "(8-bit): bits and nats of 8-bit μ-law codes" in " ".join(caption)


def test_chunks_give_the_same_likelihood(trained: Path, small: Path, probe: Probe) -> None:
    whole = probe("evaluate", "--ckpt", trained, "--corpus", small)
    pieces = probe("evaluate", "--ckpt", trained, "--corpus", small, "--chunk", "0.5")
    assert pieces["bits_per_frame"] == pytest.approx(whole["bits_per_frame"], abs=1e-4)
    assert pieces["frames"] == whole["frames"]


def test_models_that_held_out_other_speakers_are_not_compared(trained: Path, tmp_path: Path, refused: Refusal) -> None:
    other = tmp_path / "other"
    quietly("train", "cwvae", "--corpus", CORPUS, "--out", other, *TINY, "--hold-out", "0.5")
    evaluating = ("evaluate", "--corpus", CORPUS, "--split", "validation")
    message = refused(*evaluating, "--ckpt", other, "--ckpt", trained)
    assert f"{trained}/best.safetensors: held out other speakers than" in message
    quietly(*evaluating, "--ckpt", trained, "--ckpt", other)  # the other held these out too, among more


def test_a_collapsed_layer_is_reported(trained: Path, tmp_path: Path, probe: Probe, small: Path) -> None:
    loaded = checkpoint.load(trained)
    cell = loaded.model.posterior_modules[1]
    with torch.no_grad():  # evidence of no weight, so that the posterior equals the prior
        cell.evidence.weight.zero_()
        cell.evidence.bias[: cell.latent] = 0
        cell.evidence.bias[cell.latent :] = -20
        cell.prior.weight.zero_()
        cell.prior.bias.zero_()
    path = tmp_path / "collapsed.safetensors"
    checkpoint.save(path, loaded.model, {})
    result = probe("evaluate", "--ckpt", path, "--corpus", small)
    assert result["active_units"]["z2"] == 0
    (warning,) = result["warnings"]
    assert warning.startswith("z2 carries nothing")


def test_the_gaussian_limit_follows_its_formula(probe: Probe, capsys: pytest.CaptureFixture[str]) -> None:
    rows = probe("gaussian-limit")["results"]
    assert [row["min_std"] for row in rows] == [1, 0.5, 0.1, 0.05, 0.01, 0.005, 0.001]
    for row in rows[1:]:
        assert row["nats"] == pytest.approx(row["paper_nats"], abs=1)
        assert row["note"] == ""
    assert "differs from its own formula by 1.5 nats" in rows[0]["note"]
    assert main(["gaussian-limit", "--frames", "10"]) == 0
    assert "paper" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--out", "table.xls"], "choose one of these endings"),
        (["--iwae", "-1"], "--iwae -1: give 0"),
        (["--chunk", "0"], "--chunk 0.0: give a number of seconds above 0"),
        (["--chunk", "inf"], "--chunk inf: give a number of seconds above 0"),
        (["--without", "z1"], "--without z1: these models have no latents"),
        (["--iwae", "2"], "--iwae 2: these models have no latents"),
        (["--ckpt", "cwvae-small", "--without", "z5"], "--without z5: no such layer of latents; choose z1 or z2"),
        (["--ckpt", "cwvae-small", "--without", "z"], "--without z: no such layer"),
        (["--split", "validation"], "name a checkpoint too"),
    ],
)
def test_bad_options(more: list[str], says: str, small: Path, refused: Refusal) -> None:
    assert says in refused("evaluate", "--ckpt", "uniform", "--corpus", small, *more)
