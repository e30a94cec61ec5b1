"""Shape annotations are checked in every test, and free at run time."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests' arrays are tiny: threads would only wait for each other

import pytest
from jaxtyping import install_import_hook

install_import_hook(["lvm_probe.models", "lvm_probe.analysis"], "beartype.beartype")

# Files whose few tests take long. Each worker takes whole files in turn, so that these go first and none is left for
# the end, when the other workers have nothing to do.
LONG = (
    "test_explorer_browser.py", "test_house.py", "test_interface.py", "test_wheel.py", "test_examples.py",
    "test_changes.py", "test_docs.py", "test_explorer_pages.py", "test_explorer.py", "test_explorer_background.py",
    "test_explorer_questions.py", "test_kills.py", "test_cli.py", "test_extract.py", "test_training_corpora.py",
)  # fmt: skip


def pytest_xdist_auto_num_workers() -> int:
    """One worker more than there are cores, because some tests wait for a browser or for a process to end."""
    return (os.cpu_count() or 1) + 1


def pytest_configure(config: pytest.Config) -> None:
    """Keep pytest-xdist from beginning with the files of most tests."""
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def _corpus(name: str) -> Path:
    path = SHARED_DATA / name
    if not path.is_dir():
        pytest.skip(f"needs real speech: {name} is not at ../shared/data/{name}")
    return path


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, also where a shell started the tests in the background, ignoring it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def timit_sample() -> Path:
    """The NLTK sample of TIMIT: 14 speakers, 140 utterances."""
    return _corpus("timit-sample")


@pytest.fixture(scope="session")
def timit_ldc() -> Path:
    """Two TIMIT speakers as the LDC ships them."""
    return _corpus("timit-ldc-layout")


@pytest.fixture(scope="session")
def librispeech() -> Path:
    """251 LibriSpeech utterances, one a speaker."""
    return _corpus("librispeech-251-speakers")
