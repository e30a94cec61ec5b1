"""Times extraction on Dask workers of this machine against one process, and compares the tables.

    python benchmarks/cluster.py --workers 1 2

Workers import the libraries first; that time is printed separately. Overhead is what n workers need beyond one process:
in wall time (where other work on the machine shows), and in processor time of client, scheduler and workers. Dask's own
time is measured with parts of which a worker only looks up the files. With --workers and no number only the one process
is timed.
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

path.insert(0, str(Path(__file__).resolve().parents[1]))

from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.probing.corpora import open_corpus
from lvm_probe.probing.corpora.demo import CORPUS
from lvm_probe.probing.features.cluster import DaskExecutor, audio_sizes, connect
from lvm_probe.probing.features.extraction import Settings, extract
from lvm_probe.probing.features.source_spec import SourceSpec

ROOT = Path(__file__).resolve().parents[1]


@contextlib.contextmanager
def cluster(workers: int, folder: Path) -> Iterator[tuple[str, list[psutil.Process]]]:
    """The address of a scheduler on this machine; its process and those of its workers."""
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
    parser.add_argument("--samples", type=int, default=12)
    parser.add_argument("--estimator", default="posterior-mean")
    parser.add_argument("--units", default="phoneme,word")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    args = parser.parse_args()
    corpus = open_corpus(args.corpus.absolute())
    settings = Settings(draws=args.samples, estimator=args.estimator, units=tuple(args.units.split(",")))
    model, client_process = checkpoint.load(args.ckpt), psutil.Process()
    few = replace(corpus, utterances=corpus.utterances[:2])
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        extract(model, few, folder / "warm", settings, workers=1)
        began, before = time.perf_counter(), processor_seconds([client_process])
        result = extract(model, corpus, folder / "one", settings, workers=1)
        wall, processor = time.perf_counter() - began, processor_seconds([client_process]) - before
        draws = f"{args.samples} draws, {args.estimator}"
        print(f"{args.ckpt}, {draws}, {corpus.seconds:.0f} s of audio, {result.parts} parts")
        print(f"one process   wall {wall:7.1f} s   processor {processor:7.1f} s")
        for count in args.workers:
            with cluster(count, folder) as (address, processes), connect(address) as client:
                client.wait_for_workers(count, timeout=60)
                executor = DaskExecutor(client, SourceSpec(checkpoint=args.ckpt), "cpu", 1.0)
                began = time.perf_counter()
                client.run(importlib.import_module, "lvm_probe.probing.features.cluster")
                imports = time.perf_counter() - began
                everybody = [client_process, *processes]
                began, before = time.perf_counter(), processor_seconds(everybody)
                extract(model, corpus, folder / f"on-{count}", settings, executor=executor)
                cluster_wall = time.perf_counter() - began
                cluster_processor = processor_seconds(everybody) - before
                part, began = replace(corpus, utterances=corpus.utterances[:16]), time.perf_counter()
                for _ in range(100):
                    client.submit(audio_sizes, part, pure=False).result()
                dask = (time.perf_counter() - began) / 100
            same = "yes" if contents(folder / f"on-{count}") == contents(folder / "one") else "NO"
            print(
                f"{count} worker{'s' if count > 1 else ' '}     wall {cluster_wall:7.1f} s   "
                f"processor {cluster_processor:7.1f} s   "
                f"overhead: wall {1 - wall / (count * cluster_wall):.1%}, "
                f"processor {1 - processor / cluster_processor:.1%}\n"
                f"              same table to the last bit: {same}; imports {imports:.1f} s; "
                f"Dask {1000 * dask:.0f} ms a part"
            )


if __name__ == "__main__":
    main()
