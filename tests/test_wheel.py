"""The built wheel: what is in it, and that it works beside a project that has its own `models` and `app`."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.probing import miniature

ROOT = Path(__file__).parents[1]
PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]

SCRIPT = """
import app, models
from models.mine import encode
import lvm_probe

assert app.NAME == models.NAME == "the user's own"
corpus = lvm_probe.open_corpus("timit")
mine = lvm_probe.extract(corpus, encode, "latents/mine")
model = lvm_probe.load_model("cwvae-small", device="cpu")
theirs = lvm_probe.extract(corpus, model, "latents/cwvae", samples=1)
print(lvm_probe.__file__, mine.features["frames"].shape, theirs.features["z1"].shape)
"""
MINE = """
from models import NAME

def encode(wave):
    assert NAME == "the user's own"
    return {"frames": (abs(wave[: len(wave) // 160 * 160]).reshape(-1, 160), None, 160)}
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the checkout, which stays as it is, and without a network."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    build = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", build, out], cwd=source, capture_output=True, check=True)
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site-packages")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", target, wheel]
    subprocess.run(pip, capture_output=True, check=True)
    return target


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's project with packages of the names that this repository's folders have."""
    for package in ("models", "app", "analysis", "probing", "figures"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text('NAME = "the user\'s own"\n')
    (tmp_path / "models" / "mine.py").write_text(MINE)
    (tmp_path / "script.py").write_text(SCRIPT)
    miniature.timit_nltk(tmp_path / "timit")
    return tmp_path


def run(project: Path, installed: Path, *argv: str | Path) -> str:
    environment = os.environ | {"PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, *argv], cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_package_of_the_repository_is_listed() -> None:
    found = {
        ".".join([package, *file.parent.relative_to(ROOT / folder).parts])
        for package, folder in PACKAGES["package-dir"].items()
        for file in (ROOT / folder).rglob("__init__.py")
    }
    assert sorted(found) == sorted(PACKAGES["packages"])


def test_every_module_and_data_file_is_in_the_wheel(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    information = wheel.name.removesuffix("-py3-none-any.whl") + ".dist-info"
    assert {name.split("/")[0] for name in names} == {"lvm_probe", information}
    expected = set()
    for package, folder in PACKAGES["package-dir"].items():
        for file in (ROOT / folder).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                expected.add(f"{package.replace('.', '/')}/{file.relative_to(ROOT / folder)}")
    assert expected - names == set()
    assert {"lvm_probe/py.typed", *(f"lvm_probe/app/explorer/{name}.js" for name in ("scatter", "playback"))} <= names
    assert "lvm_probe/models/checkpoints/shipped/cwvae-small.safetensors" in names
    assert "lvm_probe/probing/corpora/demo/corpus/TRAIN/DR1/FADA9/SA1.FLAC" in names


def test_a_script_of_a_project_with_the_same_folder_names(project: Path, installed: Path) -> None:
    said = run(project, installed, "script.py")
    assert said == f"{installed / 'lvm_probe' / '__init__.py'} (20, 160) (20, 64)\n"


def test_an_encoder_of_the_project_by_its_module(project: Path, installed: Path) -> None:
    probe = installed / "bin" / "probe"  # as a shell runs it: the current folder is not on Python's path by itself
    argv = ("extract", "--corpus", "timit", "--out", "latents/mine", "--encoder")
    assert "frames (160)" in run(project, installed, probe, *argv, "models.mine:encode")
    (project / "encoder.py").write_text("from models.mine import encode\n")
    argv = ("extract", "--corpus", "timit", "--out", "latents/file", "--encoder")
    assert "frames (160)" in run(project, installed, probe, *argv, "encoder.py:encode")
