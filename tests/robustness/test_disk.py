"""A full or read-only disk is reported in one line, and no incomplete file gets its name."""

import csv
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from torch.utils.tensorboard import SummaryWriter

from benchmarks import kills
from benchmarks.kills import Job
from lvm_probe import InputError
from lvm_probe.app.cli import main
from lvm_probe.models.training import tensorboard_log
from lvm_probe.models.training.tensorboard_log import EventFile
from lvm_probe.models.training.trainer import LAST
from lvm_probe.probing import parallel
from lvm_probe.probing.features import extraction, token_table

Disk = Callable[[str], Path]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Mounts a disk in memory with some options, or remounts it with others."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = False

    def mount(options: str) -> Path:
        nonlocal mounted
        options = f"remount,{options}" if mounted else options
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "none", folder], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"needs to mount a small disk in memory: {done.stderr.strip()}")
        mounted = True
        return folder

    yield mount
    if mounted:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Job]:
    return {job.name: job for job in kills.make_jobs(tmp_path_factory.mktemp("disk"), ("durations",), 2)}


@pytest.fixture(autouse=True)
def _in_this_process_and_small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "usable_cores", lambda: 1)
    monkeypatch.setattr(extraction, "part_size", lambda utterances: 3)


def ended(capsys: pytest.CaptureFixture[str], argv: list[str]) -> tuple[int, str]:
    """The exit code, and the last line on standard error; there must be no traceback before it."""
    capsys.readouterr()
    code = main(argv)
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    if code:
        assert (code, out) == (2, "")
        assert err.splitlines()[-1].startswith(f"probe {argv[0]}: ")
    return code, err.splitlines()[-1] if code else ""


@pytest.mark.parametrize(("name", "sizes"), [("train", (8, 200, 420)), ("extract", (4, 60)), ("figures", (4, 48))])
def test_a_full_disk(
    name: str,
    sizes: tuple[int, ...],
    jobs: dict[str, Job],
    disk: Disk,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line wherever it happens; with more room the same command gives the results of an undisturbed run."""
    job, whole = jobs[name], tmp_path / "whole"
    assert ended(capsys, job.command(whole))[0] == 0
    wanted = job.contents(whole)
    codes = set()
    for size in sizes:  # kB
        out = disk(f"size={size}k") / "out"
        code, line = ended(capsys, job.command(out))
        codes.add(code)
        assert code == 0 or "No space left on device" in line
        if out.exists():
            contents = job.partial_contents(out)
            assert kills.difference(contents, {file: wanted.get(file) for file in contents}) == ""
            assert not list(out.rglob(".*.unfinished"))
    assert codes == {2}
    out = disk("size=64m") / "out"
    assert ended(capsys, job.command(out))[0] == 0
    assert kills.difference(job.contents(out), wanted) == ""


@pytest.mark.parametrize("name", ["train", "extract", "figures"])
def test_a_read_only_disk(name: str, jobs: dict[str, Job], disk: Disk, capsys: pytest.CaptureFixture[str]) -> None:
    out = disk("ro,size=64k") / "out"
    code, line = ended(capsys, jobs[name].command(out))
    assert (code, line) == (
        2,
        f"probe {name}: {out}: cannot write here ({out.parent} may not be written to); choose another folder",
    )


def test_a_disk_that_becomes_read_only_during_the_run(
    jobs: dict[str, Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, write = tmp_path / "out", token_table.write_part

    def read_only(*args: object, **options: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:

        def written(folder: Path, index: int, *rest: Any) -> None:
            if index == 1:
                patch.setattr("lvm_probe.models.io.files.tempfile.mkstemp", read_only)
            write(folder, index, *rest)

        patch.setattr(token_table, "write_part", written)
        code, line = ended(capsys, jobs["extract"].command(out))
    assert code == 2
    assert f"{out / token_table.part_name(1)}: cannot write here (Read-only file system)" in line
    assert ended(capsys, jobs["extract"].command(out))[0] == 0


# What training writes besides its checkpoints


def test_a_log_that_cannot_be_written_is_named_and_repaired(
    jobs: dict[str, Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job, out, whole = jobs["train"], tmp_path / "run", tmp_path / "whole"

    def full(self: Any, row: dict[str, str]) -> None:
        self.writer.writerow([row["update"]])  # half of the row was written
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(csv.DictWriter, "writerow", full)
        code, line = ended(capsys, job.command(out))
    assert code == 2
    assert line.startswith(f"probe train: {out / 'log.csv'}: cannot write (No space left on device); free some space")
    with (out / "log.csv").open("a") as log:
        log.write("24,1.0,no")
    assert ended(capsys, job.command(out))[0] == 0
    assert ended(capsys, job.command(whole))[0] == 0
    assert kills.difference(job.contents(out), job.contents(whole)) == ""


def test_events_that_cannot_be_written_are_named(
    jobs: dict[str, Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write, calls = os.write, iter(range(3))

    def full(handle: int, data: bytes) -> int:
        if next(calls, None) is None:
            raise OSError(28, "No space left on device")
        return write(handle, data[:7])  # the disk has room for some bytes

    monkeypatch.setattr(tensorboard_log.os, "write", full)
    code, line = ended(capsys, jobs["train"].command(tmp_path / "run"))
    assert code == 2
    assert "events.out.tfevents." in line
    assert "cannot write (No space left on device)" in line
    assert (tmp_path / "run" / LAST).exists()


def test_events_are_what_pytorch_s_own_writer_writes(tmp_path: Path) -> None:
    values = np.array([0.0, -1.5, 3e-5, 1e9])
    (tmp_path / "ours").mkdir()
    with EventFile(tmp_path / "ours", 7) as ours:
        ours.add_scalar("a/b", 1.25, 7)
        ours.add_histogram("c", values, 8)
    with SummaryWriter(str(tmp_path / "theirs"), purge_step=7) as theirs:
        theirs.add_scalar("a/b", 1.25, 7)
        theirs.add_histogram("c", values, 8)

    def read(folder: Path) -> list[Any]:
        (path,) = folder.iterdir()
        events = list(EventFileLoader(str(path)).Load())
        for event in events:
            event.ClearField("wall_time")
            event.ClearField("source_metadata")
        return events

    first, *ours_read = read(tmp_path / "ours")
    _, *theirs_read = read(tmp_path / "theirs")
    assert first.file_version == "brain.Event:2"
    assert len(ours_read) == 3
    # PyTorch marks the start of a resumed run with one more event, which repeats the version.
    assert [e for e in theirs_read if e.file_version == ""] == ours_read


def test_a_folder_without_room_for_events_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere/events.out.*cannot write .No such file"):
        EventFile(tmp_path / "nowhere", 1)
