"""The list of presets that `probe models` prints without PyTorch."""

import subprocess
import sys

from lvm_probe.models.preset_list import counted, listed


def test_the_list_is_that_of_the_models() -> None:
    """If this fails: python -m lvm_probe.models.preset_list."""
    assert listed() == counted()


def test_no_pytorch_is_imported() -> None:
    code = (
        "import sys; from lvm_probe.app.cli import main; code = main(['models']); "
        "sys.exit(code or ('torch' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "cwvae-small" in done.stdout
    assert "3.5 M" in done.stdout
