"""Killed at random moments and run again, a command ends as if nothing had happened (`benchmarks/kills.py`)."""

import random
from pathlib import Path

import pytest

from benchmarks import kills
from benchmarks.kills import Job, Moment, Seen

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
    for time in range(TIMES):
        assert kills.once(where, job, work, whole, wanted, random.Random(f"{name} {time}")) == ""


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
