"""Fixtures that run the `probe` command, and a tiny checkpoint, a small corpus and a short training run."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from lvm_probe.app.cli import main
from lvm_probe.app.explorer import waiting
from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.models.families.cwvae import CWVAE
from lvm_probe.models.registry import preset
from lvm_probe.probing.corpora.demo import CORPUS

TINY = ("--preset", "tiny", "--updates", "6", "--batch", "2", "--precision", "fp32", "--device", "cpu")

Probe = Callable[..., dict[str, Any]]
Refusal = Callable[..., str]


@pytest.fixture(autouse=True)
def main_module() -> Iterator[None]:
    """Streamlit's AppTest replaces the main module by its script, which new processes would then run."""
    kept = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = kept


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages wait for what they show: AppTest does not look again by itself, as a browser does."""
    monkeypatch.setattr(waiting, "PATIENCE_S", 60)


@pytest.fixture
def probe(capsys: pytest.CaptureFixture[str]) -> Probe:
    """Runs a command with --json, and returns the one document that it printed."""

    def run(*argv: object) -> dict[str, Any]:
        capsys.readouterr()
        code = main([*map(str, argv), "--json"])
        out, err = capsys.readouterr()
        assert code == 0, err
        assert out.count("\n") == 1
        document = json.loads(out)
        assert isinstance(document, dict)
        return document

    return run


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refusal:
    """Runs a command that must be refused: exit code 2, nothing on standard output, one line of error."""

    def run(*argv: object) -> str:
        capsys.readouterr()
        try:
            code: object = main([str(a) for a in argv])
        except SystemExit as stop:  # raised by argparse
            code = stop.code
        out, err = capsys.readouterr()
        assert (code, out) == (2, "")
        assert err.endswith("\n")
        assert err.count("\n") == 1
        assert err.startswith("probe")
        return err.strip()

    return run


def quietly(*argv: object) -> None:
    assert main([str(a) for a in argv]) == 0


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with random weights."""
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        checkpoint.save(path, CWVAE(preset("cwvae", "tiny").config), {"corpus": "nothing"})
    return path


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four speakers of the demo corpus with three sentences each: six utterances in either split."""
    root = tmp_path_factory.mktemp("corpus") / "small"
    shutil.copytree(CORPUS / "DOC", root / "DOC")
    folders = sorted(path for path in CORPUS.glob("*/*/*") if path.is_dir())
    chosen: list[Path] = []
    for split in ("TRAIN", "TEST"):
        for gender in "FM":
            chosen += [p for p in folders if p.parts[-3] == split and p.name[0] == gender][:1]
    for folder in chosen:
        target = root / folder.relative_to(CORPUS)
        target.mkdir(parents=True)
        stems = sorted({path.stem for path in folder.iterdir()})[:3]
        for path in folder.iterdir():
            if path.stem in stems:
                shutil.copy(path, target)
    return root


@pytest.fixture(scope="session")
def latents(tmp_path_factory: pytest.TempPathFactory, tiny: Path, small: Path) -> Path:
    """The table of the small corpus's phones by the tiny checkpoint."""
    folder = tmp_path_factory.mktemp("latents") / "table"
    quietly("extract", "--ckpt", tiny, "--corpus", small, "--out", folder, "--samples", 2, "--device", "cpu")
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "run"
    quietly("train", "cwvae", "--corpus", CORPUS, "--out", run, *TINY)
    return run
