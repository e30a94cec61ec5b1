"""An output folder is used by one run at a time, and a dead run does not block it."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lvm_probe import InputError
from lvm_probe.app.cli import main
from lvm_probe.models.io import lock
from lvm_probe.models.io.files import UNFINISHED, remove_unfinished, write_atomically
from lvm_probe.models.io.lock import LOCK, locked
from lvm_probe.models.training.distributed import is_secondary_process
from lvm_probe.probing.features import token_table
from tests.probing import miniature
from tests.probing.synthetic_tables import made_up

HOLDER = """
import sys, time
from pathlib import Path
from lvm_probe.models.io.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_locked_folder_is_refused_until_it_is_free(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with locked(out):
        assert names(out) == [LOCK]
        for _ in range(2):
            who = rf"process {os.getpid()} on {socket.gethostname()}"
            with (
                pytest.raises(InputError, match=rf"out: another run \({who}\) is writing here; wait") as caught,
                locked(out),
            ):
                pass
        assert "\n" not in str(caught.value)
        (out / "result").write_text("x")
    assert names(out) == ["result"]
    with locked(out):
        pass
    assert names(out) == ["result"]


def test_folders_made_for_nothing_are_removed(tmp_path: Path) -> None:
    def fail() -> None:
        with locked(tmp_path / "a" / "b"):
            raise InputError("nothing came of it")

    with pytest.raises(InputError, match="nothing came of it"):
        fail()
    assert names(tmp_path) == []
    (tmp_path / "a").mkdir()
    with locked(tmp_path / "a" / "b"):
        pass
    assert names(tmp_path) == ["a"]


def test_the_lock_of_a_killed_process_does_not_block(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match=f"process {process.pid} on"), locked(tmp_path / "out"):
            pass
        process.send_signal(signal.SIGKILL)
    assert names(tmp_path / "out") == [LOCK]
    with locked(tmp_path / "out"):
        pass
    assert names(tmp_path) == ["out"]  # it was there before


def test_only_one_of_many_holds_the_lock_at_a_time(tmp_path: Path) -> None:
    """Threads exclude each other as processes do, since each opens the file. Folders are made and removed meanwhile."""
    inside, most, entered = 0, 0, 0
    refused: set[bool] = set()
    guard = threading.Lock()

    def visit() -> None:
        nonlocal inside, most, entered
        for _ in range(60):
            try:
                with locked(tmp_path / "a" / "b"):
                    with guard:
                        inside += 1
                        most, entered = max(most, inside), entered + 1
                    time.sleep(0.0002)
                    with guard:
                        inside -= 1
            except InputError as error:
                refused.add("another run" in str(error))

    threads = [threading.Thread(target=visit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, inside) == (1, 0)
    assert entered >= 8
    assert refused <= {True}
    assert not list(tmp_path.rglob(LOCK))


def test_a_lock_of_another_run_is_not_removed(tmp_path: Path) -> None:
    """A user may delete the folder of a run and start another run there."""
    with locked(tmp_path / "out"):
        (tmp_path / "out" / LOCK).rename(tmp_path / "out" / "old")
        (tmp_path / "out" / LOCK).write_text("another's")
    assert names(tmp_path / "out") == [LOCK, "old"]


def test_a_file_system_without_locks_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(handle: int, how: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(lock.fcntl, "flock", unsupported)
    with (
        pytest.warns(UserWarning, match="out: cannot be locked .* make sure that no other run"),
        locked(tmp_path / "out"),
    ):
        (tmp_path / "out" / "x").touch()
    assert names(tmp_path / "out") == ["x"]


def test_a_folder_that_cannot_be_made_or_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file/out: cannot write here"), locked(tmp_path / "file" / "out"):
        pass

    def read_only(*args: object) -> int:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(lock.os, "open", read_only)
    with pytest.raises(InputError, match=r"out: cannot write here \(Read-only file system\)"), locked(tmp_path / "out"):
        pass


# Unfinished files of a killed run


def test_unfinished_files_are_removed_unless_they_are_being_written(tmp_path: Path) -> None:
    with write_atomically(tmp_path / "a.json") as temporary:
        temporary.write_text("half")
        assert temporary.name.endswith(UNFINISHED)
        (tmp_path / f".b.json.xyz{UNFINISHED}").write_text("half of a dead one's")
        (tmp_path / ".profile").touch()
        with locked(tmp_path):
            assert names(tmp_path) == sorted([temporary.name, ".profile", LOCK])
    assert names(tmp_path) == [".profile", "a.json"]
    assert (tmp_path / "a.json").read_text() == "half"
    remove_unfinished(tmp_path / "nowhere")


def test_a_file_is_on_the_disk_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk may be reported only when data are flushed to it."""

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lvm_probe.models.io.files.os.fsync", full)
    (tmp_path / "a").write_text("before")
    with (
        pytest.raises(InputError, match=r"a: cannot write \(No space left on device\)"),
        write_atomically(tmp_path / "a") as t,
    ):
        t.write_text("after")
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "before"


# The commands


def test_a_second_run_in_a_folder_is_one_line(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus, latents, out = miniature.timit_nltk(tmp_path / "c"), tmp_path / "latents", tmp_path / "out"
    made_up().save(latents)
    for argv in (
        (
            "train",
            "cwvae",
            "--corpus",
            corpus,
            "--preset",
            "tiny",
            "--updates",
            2,
            "--hold-out",
            0.5,
            "--split",
            "train",
        ),
        ("extract", "--ckpt", tiny, "--corpus", corpus, "--samples", 1),
        ("figures", "--latents", latents, "--only", "table-5"),
    ):
        with locked(out):
            capsys.readouterr()
            assert main([str(word) for word in (*argv, "--out", out)]) == 2
            said = capsys.readouterr()
            assert said.out == ""
            assert said.err.startswith(f"probe {argv[0]}: {out}: another run (process {os.getpid()} on ")
            assert said.err.count("\n") == 1
            assert names(out) == [LOCK]
        assert not out.exists()
    assert main([str(word) for word in (*argv, "--out", out)]) == 0
    assert not (out / LOCK).exists()


def test_an_extraction_ignores_lock_and_unfinished_files(tiny: Path, tmp_path: Path) -> None:
    """They do not make the folder look like one that holds something else."""
    corpus, out = miniature.timit_nltk(tmp_path / "c"), tmp_path / "out"
    out.mkdir()
    (out / LOCK).touch()
    (out / f".{token_table.EXTRACTION}.abc{UNFINISHED}").touch()
    assert main([str(w) for w in ("extract", "--ckpt", tiny, "--corpus", corpus, "--samples", 1, "--out", out)]) == 0
    assert names(out) == [token_table.EXTRACTION, token_table.part_name(0)]


def test_only_the_first_of_several_processes_locks_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    assert not is_secondary_process()
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert not is_secondary_process()
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert is_secondary_process()
