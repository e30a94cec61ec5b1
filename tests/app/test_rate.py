"""`probe rate`: KL rates per layer and phone class, and autocorrelation times."""

from pathlib import Path

import pandas as pd
import pytest

from lvm_probe.app.cli import main
from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.models.registry import FAMILIES, preset
from tests.app.conftest import Probe, Refusal
from tests.probing import miniature


def test_rate_prints_and_writes_the_same_numbers(tiny: Path, small: Path, probe: Probe, tmp_path: Path) -> None:
    result = probe("rate", "--ckpt", tiny, "--corpus", small, "--samples", "2", "--out", tmp_path / "rates")
    names = ["rate-by-class.csv", "rate-around-boundaries.csv", "timescales.csv"]
    assert result["wrote"] == [str(tmp_path / "rates" / name) for name in names]
    assert (result["utterances"], result["speakers"], result["samples"], result["interval"]) == (12, 4, 2, "speakers")
    tables = [pd.read_csv(path) for path in result["wrote"]]
    for table, key in zip(tables, ("by_class", "around_boundaries", "timescales"), strict=True):
        assert len(table) == len(result[key])
    whole = tables[0][(tables[0]["layer"] == "z1") & (tables[0]["label"] == "all")].iloc[0]
    assert whole["bits_per_second"] == pytest.approx(result["layers"][0]["bits_per_second"])
    assert whole["seconds"] == pytest.approx(result["audio_seconds"])
    assert [row["series"] for row in result["timescales"]] == ["z1", "z2", "mel", "phone", "word"]
    again = probe("rate", "--ckpt", tiny, "--corpus", small, "--samples", "2")
    assert again["by_class"] == result["by_class"]
    assert again["wrote"] == []


def test_rate_of_one_speaker_prints_a_summary(tiny: Path, small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    speaker = sorted(path.name for path in small.glob("*/*/*") if path.is_dir())[0].upper()
    assert main(["rate", "--ckpt", str(tiny), "--corpus", str(small), "--speaker", speaker, "--samples", "1"]) == 0
    out = capsys.readouterr().out
    assert "3 utterances, 1 speaker, " in out
    assert "vowel" in out
    assert "Intervals: over 3 utterances; one speaker, so nothing follows for others." in out
    assert "95 %" in out
    assert "nan" not in out


@pytest.mark.parametrize("command", ["rate", "convergence"])
def test_refusals(command: str, tiny: Path, small: Path, tmp_path: Path, refused: Refusal) -> None:
    lstm = tmp_path / "lstm.safetensors"
    checkpoint.save(lstm, FAMILIES["lstm"].seeded(preset("lstm", "tiny").config, 0), {"corpus": "nothing"})
    assert "nothing is sampled" in refused(command, "--ckpt", lstm, "--corpus", small)
    books = miniature.librispeech(tmp_path / "books")
    assert "no phonemes" in refused(command, "--ckpt", tiny, "--corpus", books)
    assert "--samples" in refused(command, "--ckpt", tiny, "--corpus", small, "--samples", "0")
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "_extraction.json").touch()
    out = tmp_path / "table" / "more" / "r.csv"
    assert "inside a token table" in refused(command, "--ckpt", tiny, "--corpus", small, "--out", out)
    assert "no speaker NOBODY" in refused(command, "--ckpt", tiny, "--corpus", small, "--speaker", "NOBODY")
