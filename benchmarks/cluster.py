"""Times extraction on local Dask workers of one thread each against one process of one thread.

    python benchmarks/cluster.py --workers 1 2

Workers import the libraries first, which is told by itself, so that the figures are of the work and of the engine. The
share lost is what n workers take in all beyond one process: in wall time (other work on the machine shows), and in
processor time of coordinator, scheduler and workers. The engine alone is timed by handing out parts of which a worker
looks up the files and nothing else. Without a number after --workers there is the one process only.
"""

import argparse
import contextlib
import importlib
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from sys import executable, path

import psutil
import torch

path.insert(0, str(Path(__file__).resolve().parents[1]))

from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.probing.corpora import open_corpus
from lvm_probe.probing.corpora.corpus import Corpus
from lvm_probe.probing.corpora.demo import CORPUS
from lvm_probe.probing.features.cluster import DaskExecutor, audio_sizes, connect
from lvm_probe.probing.features.extraction import Settings, extract
from lvm_probe.probing.features.source_spec import SourceSpec

ROOT = Path(__file__).resolve().parents[1]


@contextlib.contextmanager
def cluster(workers: int, folder: Path) -> Iterator[tuple[str, list[psutil.Process]]]:
    """The address of a scheduler on this machine, and its processes with those of its workers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    commands = [["scheduler", "--host", address, "--dashboard-address", "127.0.0.1:0"]]
    commands += [["worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"]] * workers
    environment = os.environ | {"PYTHONPATH": str(ROOT), "DASK_TEMPORARY_DIRECTORY": str(folder)}
    started = [
        psutil.Popen(
            [str(Path(executable).with_name("dask")), *command],
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for command in commands
    ]
    try:
        yield address, started
    finally:
        for process in reversed(started):
            process.kill()
            process.wait()


def processor_seconds(processes: list[psutil.Process]) -> float:
    return sum(process.cpu_times().user + process.cpu_times().system for process in processes)


def contents(folder: Path) -> list[bytes]:
    return [part.read_bytes() for part in sorted(folder.glob("part-*"))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--ckpt", default="cwvae-small")
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="default: the demo corpus (194 s)")
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--estimator", default="posterior-mean")
    parser.add_argument("--units", default="phoneme,word")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    corpus = open_corpus(asked.corpus.absolute())
    settings = Settings(draws=asked.samples, estimator=asked.estimator, units=tuple(asked.units.split(",")))
    loaded, ours = checkpoint.load(asked.ckpt), psutil.Process()
    few: Corpus = replace(corpus, utterances=corpus.utterances[:2])
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        extract(loaded, few, folder / "warm", settings)
        begin, used = time.perf_counter(), processor_seconds([ours])
        result = extract(loaded, corpus, folder / "one", settings)
        wall, used = time.perf_counter() - begin, processor_seconds([ours]) - used
        print(
            f"{asked.ckpt}, {asked.samples} x {asked.estimator}, {corpus.seconds:.0f} s of speech, {result.parts} parts"
        )
        print(f"one process   wall {wall:7.1f} s   processor {used:7.1f} s   {used / corpus.seconds:.3f} s a second")
        for count in asked.workers:
            with cluster(count, folder) as (address, processes), connect(address) as client:
                client.wait_for_workers(count, timeout=60)
                executor = DaskExecutor(client, SourceSpec(checkpoint=asked.ckpt), "cpu", 1.0)
                begin = time.perf_counter()
                client.run(importlib.import_module, "lvm_probe.probing.features.cluster")
                warmed = time.perf_counter() - begin
                everybody = [ours, *processes]
                begin, before = time.perf_counter(), processor_seconds(everybody)
                extract(loaded, corpus, folder / f"on-{count}", settings, executor=executor)
                taken, spent = time.perf_counter() - begin, processor_seconds(everybody) - before
                part, begin = replace(corpus, utterances=corpus.utterances[:16]), time.perf_counter()
                for _ in range(100):
                    client.submit(audio_sizes, part, pure=False).result()
                alone = (time.perf_counter() - begin) / 100
            same = "yes" if contents(folder / f"on-{count}") == contents(folder / "one") else "NO"
            print(
                f"{count} worker{'s' if count > 1 else ' '}     wall {taken:7.1f} s   processor {spent:7.1f} s   "
                f"share lost: wall {1 - wall / (count * taken):.1%}, processor {1 - used / spent:.1%}\n"
                f"              the same table to the last bit: {same}; imports {warmed:.1f} s; the engine alone "
                f"{1000 * alone:.0f} ms a part"
            )


if __name__ == "__main__":
    main()
