"""`probe convergence`: how many Monte Carlo draws a checkpoint needs."""

from pathlib import Path

import pandas as pd
import pytest

from lvm_probe.app.cli import main
from tests.app.conftest import Probe, Refusal

FEW = ("--utterances", "6", "--samples", "1,4", "--reference", "8")


def test_convergence_prints_and_writes_the_same_rows(tiny: Path, small: Path, probe: Probe, tmp_path: Path) -> None:
    file = tmp_path / "convergence.csv"
    result = probe("convergence", "--ckpt", tiny, "--corpus", small, *FEW, "--out", file)
    assert (result["utterances"], len(result["speakers"]), result["reference"]) == (6, 2, 8)
    rows = pd.DataFrame(result["results"])
    assert len(rows) == 2 * (2 * 2 + 1)
    written = pd.read_csv(file)
    assert list(written.columns) == list(rows.columns)
    assert written["error"].to_numpy() == pytest.approx(rows["error"].to_numpy(float), nan_ok=True)
    assert rows["accuracy"].between(0, 1).all()


def test_convergence_prints_a_summary(tiny: Path, small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convergence", "--ckpt", str(tiny), "--corpus", str(small), *FEW]) == 0
    out = capsys.readouterr().out
    assert "z1: averaging 4 draws of the latents leaves an error of" in out
    assert "intervals: too few speakers for any" in out
    assert "nan" not in out


def test_bad_options(tiny: Path, small: Path, tmp_path: Path, refused: Refusal) -> None:
    asked = ("convergence", "--ckpt", tiny, "--corpus", small)
    assert "--reference 1" in refused(*asked, "--reference", "1")
    assert "whole numbers" in refused(*asked, "--samples", "ten")
    assert "--utterances 0" in refused(*asked, "--utterances", "0")
    assert "a folder" in refused(*asked, "--out", tmp_path)
