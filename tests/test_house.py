"""The house rules: style, types and the import contract, with the tools' own verdicts."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import link_tree

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", str(ROOT)],
        ["ruff", "format", "--check", str(ROOT)],
        ["mypy", "--config-file", str(ROOT / "pyproject.toml")],
        ["lint-imports", "--no-cache", "--config", str(ROOT / "pyproject.toml")],
    ],
    ids=lambda command: command[0] + ("-format" if "format" in command else ""),
)
def test_tool_is_content(command: list[str]) -> None:
    tool = Path(sys.executable).with_name(command[0])
    done = subprocess.run([tool, *command[1:]], cwd=link_tree.make(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


# A stranger's scripts, which are checked by what mypy has just kept of the package, as strictly as `--strict` does

STRICT = (
    "# mypy: disallow-any-generics, disallow-untyped-calls, warn-return-any, strict-equality, disallow-subclassing-any"
)
RIGHT = """
import numpy as np
import pandas as pd
import lvm_probe

model = lvm_probe.load_model("cwvae-small")
latents = model.latents(np.zeros(16000), sample_rate=16000)
mean: np.ndarray = latents["z1"].mean
corpus = lvm_probe.open_corpus("TIMIT")
table: lvm_probe.TokenTable = lvm_probe.extract(corpus, model, out="latents/cwvae", samples=12)
table = lvm_probe.load_table("latents/cwvae").with_feature("mine", mean)
tokens: pd.DataFrame = table.tokens
answer = lvm_probe.ask(table, target="phoneme", method="knn", protocol="utterance", features=["z1+z2", "mel"])
frame: pd.DataFrame = answer.frame
"""
WRONG = """
import lvm_probe

model = lvm_probe.load_model("cwvae-small")
model.latents([0.0], sample_rate="16000")
lvm_probe.load_table(3)
lvm_probe.extract(lvm_probe.open_corpus("TIMIT"), model, out="t", sampels=12)
lvm_probe.ask(lvm_probe.load_table("t"), target="phonemes")
lvm_probe.unknown
"""


def test_a_type_checker_knows_the_public_names(tmp_path: Path) -> None:
    (tmp_path / "right.py").write_text(STRICT + RIGHT)
    (tmp_path / "wrong.py").write_text(STRICT + WRONG)
    options = ["--config-file", ROOT / "pyproject.toml", "--cache-dir", link_tree.make() / ".mypy_cache"]
    command = [Path(sys.executable).with_name("mypy"), *options, "right.py", "wrong.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert all(line.startswith("wrong.py:") for line in errors)
    assert [line.rpartition("[")[2].rstrip("]") for line in errors] == [
        *("arg-type", "arg-type", "call-arg", "arg-type", "attr-defined"),
    ]


def test_no_machine_path_or_registry_in_constraints() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all("==" in line and "/" not in line and "@" not in line for line in lines)
