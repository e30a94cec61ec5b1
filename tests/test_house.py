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


def test_no_machine_path_or_registry_in_constraints() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all("==" in line and "/" not in line and "@" not in line for line in lines)
