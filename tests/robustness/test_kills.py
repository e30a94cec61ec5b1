"""Killed at random moments and run again, a command gives the results of an undisturbed run."""

import random
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from benchmarks import kills
from benchmarks.kills import Ended, Job, Moment

ROOT = Path(__file__).parents[2]
TIMES = 2
"""Repetitions for each command, with one to three kills each; the benchmark does more."""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kills")


@pytest.fixture(scope="module")
def jobs(work: Path) -> dict[str, Job]:
    return {job.name: job for job in kills.make_jobs(work, pieces=("durations", "table-5"))}


@pytest.mark.parametrize("name", ["train", "extract", "figures"])
def test_a_killed_command_run_again_gives_the_results_of_an_undisturbed_run(
    work: Path, jobs: dict[str, Job], name: str
) -> None:
    forkserver, job = kills.context(), jobs[name]
    undisturbed = kills.run(forkserver, job.command(work / name), work / "log")
    assert undisturbed.code == 0, undisturbed.output
    wanted = job.contents(work / name)
    for turn in range(TIMES):
        rng = random.Random(f"{name} {turn}")
        assert kills.kill_and_finish(forkserver, job, work, undisturbed, wanted, rng) == ""


@pytest.fixture(scope="module")
def extracted(work: Path, jobs: dict[str, Job]) -> tuple[Job, Ended, Path]:
    job, out = jobs["extract"], work / "whole"
    return job, kills.run(kills.context(), job.command(out), work / "log"), out


def test_a_kill_while_the_first_file_is_written_does_not_block_the_folder(
    work: Path, extracted: tuple[Job, Ended, Path]
) -> None:
    """The unfinished file is not a table yet, and the next run removes it."""
    (job, _, whole), out, forkserver = extracted, work / "first", kills.context()
    for operation in range(1, 20):
        ended = kills.run(forkserver, job.command(out), work / "log", Moment(operation=operation))
        if list(out.glob(".*.unfinished")):
            break
    assert (ended.code, [path.name for path in out.glob("[!.]*")]) == (-9, [])
    assert kills.run(forkserver, job.command(out), work / "log").code == 0
    assert kills.difference(job.contents(out), job.contents(whole)) == ""


def test_workers_end_with_the_command(work: Path, extracted: tuple[Job, Ended, Path]) -> None:
    """Only the command is killed; its workers must neither stay nor leave an incomplete part."""
    (job, _, whole), out = extracted, work / "workers"
    command = [sys.executable, "-m", "lvm_probe", *job.command(out), "--workers", "2"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not list(out.glob("part-*")):
            assert process.poll() is None
            time.sleep(0.005)
        workers = psutil.Process(process.pid).children()
        process.kill()
    assert psutil.wait_procs(workers, timeout=5)[1] == []
    contents = job.partial_contents(out)
    assert len(workers) == 2
    assert kills.difference(contents, {name: job.contents(whole).get(name) for name in contents}) == ""
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0
    assert kills.difference(job.contents(out), job.contents(whole)) == ""
