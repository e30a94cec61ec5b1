"""The page on one's own features does what it says: every block of it is run, in its order."""

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
import torch

from lvm_probe.app.cli import main
from lvm_probe.probing.features import token_table, torchaudio_models
from tests.probing.tiny_wav2vec2 import tiny

PAGE = Path(__file__).parents[2] / "docs" / "own-features.md"
QUICK = {"knn": ["--k", "1", "--permutations", "0", "--speaker", "FADA9"], "extract": []}


def test_every_block_runs(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PAGE.read_text()
    blocks = re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)
    assert [language for language, _ in blocks] == ["bash", "python", "bash", "python", "bash", "bash"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(torchaudio_models.BUILDERS, "hubert_base", (tiny, False))
    torch.save(tiny().state_dict(), "hubert_base.pt")
    Path("TIMIT").symlink_to(small)
    for language, block in blocks:
        if "def encode" in block:
            Path("mine.py").write_text(block)
        elif language == "python":
            exec(compile(block, PAGE.name, "exec"), {})
        else:
            for line in block.strip().splitlines():
                _, command, *options = shlex.split(line)
                assert main([command, *options, *QUICK[command]]) == 0, line
    capsys.readouterr()
    assert token_table.load("latents/mine").extraction["added"] == ["mine"]
    wide = pd.read_parquet("latents/hubert")
    assert {"hubert_base_6", "hubert_base_9", "mel"} <= set(wide.columns)
    assert token_table.read_extraction(Path("latents/conv"))["layers"] == ["conv"]
    assert len({len(pd.read_parquet(f"latents/{name}")) for name in ("timit", "mine", "conv", "hubert")}) == 1
