"""Killed at random moments and run again, a command ends as if nothing had happened (`benchmarks/kills.py`)."""

import random
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from benchmarks import kills
from benchmarks.kills import Job, Moment, Seen

ROOT = Path(__file__).parents[2]
TIMES = 2
"""Folders for each command, with one to three kills each; the benchmark does as many as one likes."""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kills")


@pytest.fixture(scope="module")
def jobs(work: Path) -> dict[str, Job]:
    return {job.name: job for job in kills.prepared(work, pieces=("durations", "table-5"))}


@pytest.mark.parametrize("name", ["train", "extract", "figures"])
def test_a_killed_command_run_again_ends_as_if_nothing_had_happened(
    work: Path, jobs: dict[str, Job], name: str
) -> None:
    where, job = kills.context(), jobs[name]
    whole = kills.run(where, job.command(work / name), work / "log")
    assert whole.code == 0, whole.said
    wanted = job.contents(work / name)
    for turn in range(TIMES):
        assert kills.once(where, job, work, whole, wanted, random.Random(f"{name} {turn}")) == ""


@pytest.fixture(scope="module")
def extracted(work: Path, jobs: dict[str, Job]) -> tuple[Job, Seen, Path]:
    job, out = jobs["extract"], work / "whole"
    return job, kills.run(kills.context(), job.command(out), work / "log"), out


def test_a_kill_in_the_very_first_file_leaves_nothing_in_the_way(work: Path, extracted: tuple[Job, Seen, Path]) -> None:
    """What was being written then is no table yet, and is cleared away."""
    (job, _, whole), out, where = extracted, work / "first", kills.context()
    for operation in range(1, 20):
        seen = kills.run(where, job.command(out), work / "log", Moment(operation=operation))
        if list(out.glob(".*.unfinished")):
            break
    assert (seen.code, [path.name for path in out.glob("[!.]*")]) == (-9, [])
    assert kills.run(where, job.command(out), work / "log").code == 0
    assert kills.difference(job.contents(out), job.contents(whole)) == ""


def test_workers_end_with_the_command(work: Path, extracted: tuple[Job, Seen, Path]) -> None:
    """The command is killed, not its workers: they must neither linger nor leave half a part."""
    (job, _, whole), out = extracted, work / "workers"
    command = [sys.executable, "-m", "lvm_probe", *job.command(out), "--workers", "2"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not list(out.glob("part-*")):
            assert process.poll() is None
            time.sleep(0.005)
        workers = psutil.Process(process.pid).children()
        process.kill()
    assert psutil.wait_procs(workers, timeout=5)[1] == []
    there = job.partly(out)
    assert len(workers) == 2
    assert kills.difference(there, {name: job.contents(whole).get(name) for name in there}) == ""
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0
    assert kills.difference(job.contents(out), job.contents(whole)) == ""
