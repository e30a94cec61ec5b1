"""Kills train, extract and figures at random moments and runs them again: `python benchmarks/kills.py --times 100`.

Each run is killed (SIGKILL) one to three times, at random moments: before a file operation (opening, renaming,
removing), or after a random share of the time that an undisturbed run takes. After every kill, all files that can be
read must be complete. At the end the results must equal those of an undisturbed run:

    extract   the parts byte for byte, `_extraction.json` except for its date
    train     the weights, the optimiser's state, all metadata and `log.csv`, except for durations
    figures   every file byte for byte

and there must be no other files, except one of TensorBoard's for every start of a training. The processes are forked
from one that has imported everything, and run on the CPU with one thread.
"""

import argparse
import contextlib
import csv
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

PRELOADED = [
    "lvm_probe.app.cli",
    "lvm_probe.models.training.trainer",
    "lvm_probe.models.registry",
    "lvm_probe.models.training.distributed",
    "torch._dynamo",
    "torchaudio.functional",
    "torch.utils.tensorboard.summary",
    "tensorboard.summary.writer.record_writer",
    "lvm_probe.probing.features.extraction",
    "lvm_probe.probing.corpora",
    "lvm_probe.figures.registry",
    "lvm_probe.figures.html_report",
    "lvm_probe.figures.durations",
    "lvm_probe.figures.gender_density",
    "matplotlib.backends.backend_pdf",
    "matplotlib.backends.backend_svg",
    "fontTools.subset",
    "pyarrow.pandas_compat",
]


@dataclass(frozen=True)
class Moment:
    """When to kill: before file operation number `operation`, or after so many seconds; never when both are None."""

    operation: int | None = None
    seconds: float | None = None

    def __str__(self) -> str:
        return f"before file operation {self.operation}" if self.operation else f"after {self.seconds:.3f} s"


@dataclass(frozen=True)
class Job:
    """A command to kill.

    Attributes:
        name: name of the command.
        argv: the command without its --out.
        contents: reads what is in its folder, so that two folders can be compared.
        partial_contents: the same after a kill; raises AssertionError where an incomplete file can be read.
    """

    name: str
    argv: tuple[str, ...]
    contents: Callable[[Path], dict[str, Any]]
    partial_contents: Callable[[Path], dict[str, Any]]

    def command(self, out: Path) -> list[str]:
        """The command that starts or continues in this folder."""
        resuming = self.name == "train" and (out / "last.safetensors").exists()
        return [*self.argv, "--out", str(out), "--json", *(["--resume"] if resuming else [])]


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code (negative: the signal), its output, file operations and seconds."""

    code: int
    output: str
    operations: int
    seconds: float


def context() -> ForkServerContext:
    """Starts processes that have everything imported."""
    forkserver = multiprocessing.get_context("forkserver")
    forkserver.set_forkserver_preload(PRELOADED)
    return forkserver


def _process(argv: list[str], log: str, kill_at: int | None) -> None:
    """In the child: run the command, and kill it before file operation number `kill_at` in its folder."""
    import torch
    from tqdm import tqdm

    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock())  # its own is a semaphore that would outlive a killed process
    out = argv[argv.index("--out") + 1]
    handle = os.open(log, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    operations = 0

    def count(event: str, args: tuple[Any, ...]) -> None:
        nonlocal operations
        if event in _OPERATIONS and any(out in str(arg) for arg in args[:2]):
            operations += 1
            if operations == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    from lvm_probe.app.cli import main

    code = main(argv)
    sys.stdout.flush()
    print(f"\n{operations} operations", file=sys.stderr, flush=True)
    os._exit(code)


_OPERATIONS = frozenset({"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree"})


def run(forkserver: ForkServerContext, argv: list[str], log: Path, moment: Moment | None = None) -> Ended:
    """Run a command to its end, or kill it at a moment."""
    moment = moment or Moment()
    began = time.monotonic()
    child = forkserver.Process(target=_process, args=(argv, str(log), moment.operation))
    child.start()
    child.join(moment.seconds)
    if child.is_alive():
        child.kill()
        child.join()
    output = log.read_text(errors="replace") if log.exists() else ""
    last = output.splitlines()[-1] if output else ""
    operations = int(last.split()[0]) if last.endswith(" operations") else 0
    return Ended(child.exitcode or 0, output, operations, time.monotonic() - began)


# Contents of the folders


def table_contents(out: Path) -> dict[str, Any]:
    """The files of a token table."""
    files: dict[str, Any] = {path.name: path.read_bytes() for path in out.iterdir()}
    if "_extraction.json" in files:
        files["_extraction.json"] = {**json.loads(files["_extraction.json"]), "begun": None}
    return files


def partial_table(out: Path) -> dict[str, Any]:
    """The complete parts; loading must refuse a table that lacks some."""
    from lvm_probe import InputError
    from lvm_probe.probing.features import token_table

    files = {name: content for name, content in table_contents(out).items() if not name.startswith(".")}
    with contextlib.suppress(InputError):
        table = token_table.load(out)
        if len(list(out.glob("part-*"))) != table.extraction["parts"]:
            raise AssertionError(f"{out}: loaded although parts are missing")
    return files


def run_contents(out: Path) -> dict[str, Any]:
    """Checkpoints and log of a training, without durations."""
    return {
        str(path.relative_to(out)): {".safetensors": _tensors, ".csv": _log}.get(path.suffix, Path.read_bytes)(path)
        for path in out.rglob("*")
        if path.is_file()
        if not path.name.startswith("events.out.tfevents.")
    }


def partial_run(out: Path) -> dict[str, Any]:
    """Nothing, as checkpoints may be those of an earlier update; but they must be complete."""
    for path in out.glob("*.safetensors"):
        _tensors(path)
    return {}


def _tensors(path: Path) -> dict[str, Any]:
    from lvm_probe.models.checkpoints.checkpoint import load_tensors

    tensors, text = load_tensors(path)
    metadata: dict[str, Any] = dict(text)
    metadata.pop("seconds", None)
    if "provenance" in metadata:
        metadata["provenance"] = {**json.loads(metadata["provenance"]), "training_seconds": None}
    return {"metadata": metadata} | {
        name: (str(t.dtype), tuple(t.shape), t.numpy().tobytes()) for name, t in tensors.items()
    }


def _log(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [row | {"seconds": ""} for row in csv.DictReader(file)]


def figure_contents(out: Path) -> dict[str, Any]:
    """All files, also those in subfolders."""
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def partial_figures(out: Path) -> dict[str, Any]:
    """Figures, tables and the page; hidden files keep track of what is done, and change."""
    return {name: content for name, content in figure_contents(out).items() if not name.startswith(".")}


def jobs(checkpoint: Path, corpus: Path, latents: Path, pieces: Sequence[str]) -> list[Job]:
    """Small jobs that take a few seconds at most."""
    tiny = ("--preset", "tiny", "--updates", "24", "--batch", "1", "--precision", "fp32", "--device", "cpu")
    train = ("train", "cwvae", "--corpus", str(corpus), "--hold-out", "0.5", "--test", "0", *tiny)
    extract = ("extract", "--ckpt", str(checkpoint), "--corpus", str(corpus), "--samples", "1", "--device", "cpu")
    figures = ("figures", "--latents", str(latents), "--permutations", "1", "--device", "cpu")
    figures += tuple(word for name in pieces for word in ("--only", name))
    return [
        Job("train", train, run_contents, partial_run),
        Job("extract", (*extract, "--units", "phoneme,word"), table_contents, partial_table),
        Job("figures", figures, figure_contents, partial_figures),
    ]


# Killing


def random_moment(rng: random.Random, undisturbed: Ended) -> Moment:
    """A random moment of a run; half of them are file operations."""
    if rng.random() < 0.5:
        return Moment(operation=rng.randint(1, undisturbed.operations))
    return Moment(seconds=rng.uniform(0, undisturbed.seconds))


def difference(ours: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Names of the files that differ; empty if none does."""
    return ", ".join(name for name in sorted(ours.keys() | wanted.keys()) if ours.get(name) != wanted.get(name))


def kill_and_finish(
    forkserver: ForkServerContext,
    job: Job,
    work: Path,
    undisturbed: Ended,
    wanted: dict[str, Any],
    rng: random.Random,
) -> str:
    """Kill a job one to three times, then let it finish.

    Args:
        forkserver: starts the processes.
        job: the job.
        work: folder for its results and its log.
        undisturbed: an undisturbed run of it.
        wanted: the contents of that run's folder.
        rng: draws the moments.

    Returns:
        What is wrong with the results, with the moments; empty if nothing is.
    """
    out, moments = work / "out", []
    shutil.rmtree(out, ignore_errors=True)
    for _ in range(rng.choice((1, 1, 2, 3))):
        moments.append(random_moment(rng, undisturbed))
        ended = run(forkserver, job.command(out), work / "log", moments[-1])
        if ended.code not in (0, -signal.SIGKILL):
            return f"exit code {ended.code} {moments}: {ended.output[-2000:]}"
        if out.exists():
            contents = job.partial_contents(out)
            if wrong := difference(contents, {name: wanted.get(name) for name in contents}):
                return f"{wrong} not complete after {moments}"
        if ended.code == 0 and job.name == "train":
            break  # a finished training cannot be resumed
    ended = run(forkserver, job.command(out), work / "log")
    if ended.code != 0:
        return f"exit code {ended.code} after {moments}: {ended.output[-2000:]}"
    wrong = difference(job.contents(out), wanted)
    return f"{wrong} differ after {moments}" if wrong else ""


def make_jobs(
    work: Path, pieces: Sequence[str] = ("durations", "gender_density", "table-5"), sentences: int = 6
) -> list[Job]:
    """The jobs, with a small checkpoint, sentences of four speakers of the demo corpus, and the table of both."""
    from lvm_probe.app.cli import main
    from lvm_probe.models.checkpoints import checkpoint
    from lvm_probe.models.registry import family, preset
    from lvm_probe.probing.corpora.demo import CORPUS

    corpus = work / "corpus"
    shutil.copytree(CORPUS / "DOC", corpus / "DOC")
    folders = sorted(path for path in CORPUS.glob("*/*/*") if path.is_dir())
    for split in ("TRAIN", "TEST"):
        for sex in "FM":
            folder = next(path for path in folders if path.parts[-3] == split and path.name[0] == sex)
            target = corpus / folder.relative_to(CORPUS)
            target.mkdir(parents=True)
            for stem in sorted({path.stem for path in folder.iterdir()})[:sentences]:
                for path in folder.glob(f"{stem}.*"):
                    shutil.copy(path, target)
    ckpt = work / "tiny.safetensors"
    checkpoint.save(ckpt, family("cwvae").seeded(preset("cwvae", "tiny").config, 0), {"corpus": "nothing"})
    latents = work / "latents"
    argv = ["extract", "--ckpt", ckpt, "--corpus", corpus, "--out", latents, "--samples", 1, "--device", "cpu"]
    with contextlib.redirect_stdout(sys.stderr):
        if main([str(word) for word in argv]) != 0:
            raise SystemExit("the table to draw from could not be made")
    return jobs(ckpt, corpus, latents, pieces)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=100, help="repetitions for each of the three commands")
    parser.add_argument("--only", choices=("train", "extract", "figures"), action="append")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    forkserver, failed = context(), 0
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for job in make_jobs(work):
            if args.only and job.name not in args.only:
                continue
            run(forkserver, job.command(work / "warm"), work / "log")
            undisturbed = run(forkserver, job.command(work / job.name), work / "log")
            if undisturbed.code != 0:
                raise SystemExit(f"{job.name} fails even when it is not killed: {undisturbed.output}")
            wanted = job.contents(work / job.name)
            began, wrong = time.monotonic(), Counter[str]()
            for turn in range(args.times):
                rng = random.Random(f"{args.seed} {job.name} {turn}")
                if fault := kill_and_finish(forkserver, job, work, undisturbed, wanted, rng):
                    wrong[fault] += 1
                    print(f"{job.name} {turn}: {fault}", flush=True)
            shutil.rmtree(work / "warm", ignore_errors=True)
            failed += wrong.total()
            print(
                f"{job.name:8} killed and continued {args.times} times ({undisturbed.operations} file operations, "
                f"{undisturbed.seconds:.1f} s undisturbed): {wrong.total()} with wrong results; "
                f"{time.monotonic() - began:.0f} s",
                flush=True,
            )
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
