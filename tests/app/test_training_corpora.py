"""`probe train` on several corpora, and the speakers that it held out as `probe evaluate` finds them."""

from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from lvm_probe.app.cli import main
from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.models.checkpoints.ship import card
from lvm_probe.models.training.trainer import autocast
from lvm_probe.probing.corpora.demo import CORPUS
from tests.app.conftest import TINY, Probe, Refusal, quietly


@pytest.fixture(scope="module")
def kaldi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two data folders, train and test, with six speakers each of half a second of noise."""
    root = tmp_path_factory.mktemp("corpora") / "noise"
    random = np.random.default_rng(0)
    for split, first in (("train", 0), ("test", 6)):
        (root / split).mkdir(parents=True)
        names = [f"s{first + i:02}" for i in range(6)]
        for name in names:
            soundfile.write(root / f"{name}.wav", random.integers(-999, 999, 8000).astype(np.int16), 16000)
        (root / split / "wav.scp").write_text("".join(f"{name} ../{name}.wav\n" for name in names))
        (root / split / "utt2spk").write_text("".join(f"{name} {name}\n" for name in names))
    return root


def corpora(*folders: Path) -> list[object]:
    return [part for folder in folders for part in ("--corpus", folder)]


@pytest.fixture(scope="module")
def run(kaldi: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the demo corpus (its split train: 6 speakers) and on both data folders."""
    out = tmp_path_factory.mktemp("runs") / "three"
    quietly("train", "cwvae", "--out", out, *TINY, *corpora(CORPUS, kaldi / "train", kaldi / "test"))
    return out


def test_every_corpus_is_recorded_and_tested_apart(
    run: Path, kaldi: Path, probe: Probe, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = (CORPUS, kaldi / "train", kaldi / "test")
    document = probe("train", "cwvae", "--out", run, *TINY, *corpora(*folders), "--resume")
    provenance = checkpoint.load(run).provenance
    assert [c["prefix"] for c in provenance["corpora"]] == ["corpus/", "train/", "test/"]
    assert [c["split"] for c in provenance["corpora"]] == ["train", "train", None]
    assert all(c["seconds"] > c["train_seconds"] > 0 for c in provenance["corpora"])
    held_out = [provenance[f"{part}_speakers"] for part in ("train", "validation", "test")]
    assert len({*chain(*held_out)}) == len([*chain(*held_out)]) == sum(c["speakers"] for c in provenance["corpora"])
    assert [row["corpus"] for row in document["test"]] == [str(folder) for folder in folders]
    # What `probe evaluate` says of the test speakers of a corpus is what training said.
    for row, folder in zip(document["test"][1:], folders[1:], strict=True):
        again = probe("evaluate", "--ckpt", run, "--corpus", folder, "--split", "checkpoint:test")
        assert (again["speakers"], again["frames"], again["warnings"]) == (row["speakers"], row["frames"], [])
        for figure in ("bits_per_frame", "pcm_bits_per_frame"):
            assert again[figure] == pytest.approx(row[figure], rel=1e-6)
    frames = [row["frames"] for row in document["test"]]
    bits = [row["bits_per_frame"] for row in document["test"]]
    assert document["test_bits_per_frame"] == pytest.approx(np.average(bits, weights=frames))
    draft = card("three", checkpoint.load(run))
    assert "kaldi" in draft
    assert "3 speakers for validation, 3 for test" in draft


def test_it_is_said_what_is_used_of_each_corpus(run: Path, kaldi: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ("train", "cwvae", "--out", run, *TINY, *corpora(CORPUS, kaldi / "train", kaldi / "test"), "--resume")
    quietly(*argv)
    out, err = capsys.readouterr()
    assert f"{CORPUS}, split train: " in err
    assert "split test is not used" in err
    assert f"{kaldi / 'test'}: 4 speakers (0.0 minutes) for training, 1 speaker (0.0 minutes) for validation, 1" in err
    assert out.count("which chose nothing") == 3
    assert "all test speakers: " in out


def test_a_resumed_run_needs_the_same_corpora_and_shares(run: Path, kaldi: Path, refused: Refusal) -> None:
    argv = ("train", "cwvae", "--out", run, *TINY, "--resume")
    assert "another model, recipe, seed or corpus" in refused(*argv, *corpora(CORPUS, kaldi / "train"))
    same = corpora(CORPUS, kaldi / "train", kaldi / "test")
    assert "another model, recipe, seed or corpus" in refused(*argv, *same, "--test", "0.3")


def test_a_split_of_the_corpus_is_not_taken_for_that_of_the_checkpoint(
    run: Path, kaldi: Path, probe: Probe, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(a) for a in ("evaluate", "--ckpt", run, "--corpus", kaldi / "test", "--split", "test")]) == 0
    out, err = capsys.readouterr()
    assert "--split test is" in err
    assert "checkpoint:test are the 1 speaker that" in err
    assert "warning: trained on 4 of these 6 speakers" in out
    held_out = probe("evaluate", "--ckpt", run, "--corpus", kaldi / "train", "--split", "test")
    assert (held_out["speakers"], held_out["warnings"]) == (1, [])
    both = probe("evaluate", "--ckpt", run, "--corpus", kaldi, "--split", "validation")
    assert both["speakers"] == 2


def test_the_same_corpus_twice_is_refused(refused: Refusal, kaldi: Path, tmp_path: Path) -> None:
    argv = ("train", "cwvae", "--out", tmp_path / "run", *TINY)
    assert "given twice" in refused(*argv, *corpora(kaldi, kaldi / "." / "train" / ".."))
    assert "of its recordings are in" in refused(*argv, *corpora(kaldi / "train", kaldi))


def test_a_checkpoint_without_test_speakers_names_what_it_has(
    kaldi: Path, refused: Refusal, probe: Probe, tmp_path: Path
) -> None:
    document = probe("train", "lstm", "--out", tmp_path / "run", *TINY, "--corpus", kaldi / "train", "--test", 0)
    assert (document["test"], document["test_bits_per_frame"]) == ([], None)
    argv = ("evaluate", "--ckpt", tmp_path / "run", "--corpus", kaldi / "train")
    message = refused(*argv, "--split", "test")
    assert message.endswith("held no speakers out for --split test (held out for: validation)")
    assert "not the corpus" in refused(*argv[:-1], CORPUS, "--split", "validation")


def test_bf16_is_refused_where_the_processor_has_none(
    kaldi: Path, refused: Refusal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False)
    argv = ("train", "cwvae", "--corpus", kaldi / "train", "--out", tmp_path / "run", *TINY)
    assert "--precision bf16: this CPU has no bf16 arithmetic" in refused(*argv, "--precision", "bf16")
    assert not (tmp_path / "run").exists()
    assert not autocast(torch.device("cpu"), "auto")._enabled
