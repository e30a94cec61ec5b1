"""Kills train, extract and figures at random moments and runs them again: `python benchmarks/kills.py --times 100`.

Each is killed (SIGKILL) one to three times on the way, at a moment drawn from --seed: before a file operation (opening,
renaming, removing), or after a share of the time that it takes undisturbed. After every kill nothing that can be read
there may be anything but whole; at the end all has to be as if nothing had happened:

    extract   the parts byte for byte, `_extraction.json` but for when it was begun
    train     the weights, the optimiser's state and all metadata, `log.csv`, but for seconds
    figures   every file byte for byte

and no file may lie there that would not, but for one of TensorBoard's for every start of a training. The processes are
forked from one that has loaded everything, on the CPU and with one thread.
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
    """A command; what is to be added to go on with what is in its folder; how two folders' contents are compared."""

    name: str
    argv: tuple[str, ...]
    contents: Callable[[Path], dict[str, Any]]
    partly: Callable[[Path], dict[str, Any]]
    """What of the contents may be there after a kill, whole; raises where something can be read that is not."""

    def command(self, out: Path) -> list[str]:
        """The command for this folder as it is."""
        going_on = self.name == "train" and (out / "last.safetensors").exists()
        return [*self.argv, "--out", str(out), "--json", *(["--resume"] if going_on else [])]


@dataclass(frozen=True)
class Seen:
    """How a process ended: its exit code (negative: the signal), what it said, its file operations and its seconds."""

    code: int
    said: str
    operations: int
    seconds: float


def context() -> ForkServerContext:
    """Where processes come from that have everything loaded."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(PRELOADED)
    return made


def _process(argv: list[str], log: str, kill_at: int | None) -> None:
    """In the child: the command, killed before a file operation in its folder if that is asked for."""
    import torch
    from tqdm import tqdm

    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock())  # its own is a semaphore that would outlive who is killed
    os.environ["LOKY_MAX_CPU_COUNT"] = "1"  # and so would helpers
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


def run(where: ForkServerContext, argv: list[str], log: Path, moment: Moment | None = None) -> Seen:
    """Run a command to its end, or kill it at a moment."""
    moment = moment or Moment()
    began = time.monotonic()
    child = where.Process(target=_process, args=(argv, str(log), moment.operation))
    child.start()
    child.join(moment.seconds)
    if child.is_alive():
        child.kill()
        child.join()
    said = log.read_text(errors="replace") if log.exists() else ""
    last = said.splitlines()[-1] if said else ""
    operations = int(last.split()[0]) if last.endswith(" operations") else 0
    return Seen(child.exitcode or 0, said, operations, time.monotonic() - began)


# What is in the folders


def table_contents(out: Path) -> dict[str, Any]:
    """The files of a token table."""
    found: dict[str, Any] = {path.name: path.read_bytes() for path in out.iterdir()}
    if "_extraction.json" in found:
        found["_extraction.json"] = {**json.loads(found["_extraction.json"]), "begun": None}
    return found


def table_partly(out: Path) -> dict[str, Any]:
    """Parts that are there, and the table if it can be read; a reader that takes a partial one for whole is caught."""
    from lvm_probe import InputError
    from lvm_probe.probing.features import token_table

    found = {name: content for name, content in table_contents(out).items() if not name.startswith(".")}
    with contextlib.suppress(InputError):
        loaded = token_table.load(out)
        if len(list(out.glob("part-*"))) != loaded.extraction["parts"]:
            raise AssertionError(f"{out}: read as whole with parts missing")
    return found


def run_contents(out: Path) -> dict[str, Any]:
    """Checkpoints and log of a training, without the seconds that it took."""
    return {
        path.name: {".safetensors": _tensors, ".csv": _log}.get(path.suffix, Path.read_bytes)(path)
        for path in out.iterdir()
        if not path.name.startswith("events.out.tfevents.")
    }


def run_partly(out: Path) -> dict[str, Any]:
    """Checkpoints that are there have to be whole; they may be of an earlier update."""
    for path in out.glob("*.safetensors"):
        _tensors(path)
    return {}


def _tensors(path: Path) -> dict[str, Any]:
    from lvm_probe.models.checkpoints.checkpoint import load_tensors

    tensors, metadata = load_tensors(path)
    said: dict[str, Any] = dict(metadata)
    said.pop("seconds", None)
    if "provenance" in said:
        said["provenance"] = {**json.loads(said["provenance"]), "training_seconds": None}
    return {"metadata": said} | {
        name: (str(t.dtype), tuple(t.shape), t.numpy().tobytes()) for name, t in tensors.items()
    }


def _log(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [row | {"seconds": ""} for row in csv.DictReader(file)]


def figure_contents(out: Path) -> dict[str, Any]:
    """All files, those of folders in it too."""
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def figure_partly(out: Path) -> dict[str, Any]:
    """Figures, tables and the page; what is hidden says what is done and grows."""
    return {name: content for name, content in figure_contents(out).items() if not name.startswith(".")}


def jobs(checkpoint: Path, corpus: Path, latents: Path, pieces: Sequence[str]) -> list[Job]:
    """Small ones, of a few seconds at most."""
    tiny = ("--preset", "tiny", "--updates", "24", "--batch", "1", "--precision", "fp32", "--device", "cpu")
    train = ("train", "cwvae", "--corpus", str(corpus), "--hold-out", "0.5", *tiny)
    extract = ("extract", "--ckpt", str(checkpoint), "--corpus", str(corpus), "--samples", "1", "--device", "cpu")
    figures = ("figures", "--latents", str(latents), "--permutations", "1", "--device", "cpu")
    figures += tuple(word for name in pieces for word in ("--only", name))
    return [
        Job("train", train, run_contents, run_partly),
        Job("extract", (*extract, "--units", "phoneme,word"), table_contents, table_partly),
        Job("figures", figures, figure_contents, figure_partly),
    ]


# Killing


def moment(draw: random.Random, whole: Seen) -> Moment:
    """A random one of an undisturbed run, half of them by file operations."""
    if draw.random() < 0.5:
        return Moment(operation=draw.randint(1, whole.operations))
    return Moment(seconds=draw.uniform(0, whole.seconds))


def difference(ours: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Which files differ; empty when none does."""
    return ", ".join(name for name in sorted(ours.keys() | wanted.keys()) if ours.get(name) != wanted.get(name))


def once(
    where: ForkServerContext, job: Job, work: Path, whole: Seen, wanted: dict[str, Any], draw: random.Random
) -> str:
    """One folder, one to three kills on the way to its end; what is wrong then, with the moments, or nothing."""
    out, moments = work / "out", []
    shutil.rmtree(out, ignore_errors=True)
    for _ in range(draw.choice((1, 1, 2, 3))):
        moments.append(moment(draw, whole))
        seen = run(where, job.command(out), work / "log", moments[-1])
        if seen.code not in (0, -signal.SIGKILL):
            return f"exit code {seen.code} {moments}: {seen.said[-2000:]}"
        if out.exists():
            there = job.partly(out)
            if wrong := difference(there, {name: wanted.get(name) for name in there}):
                return f"{wrong} not whole after {moments}"
        if seen.code == 0 and job.name == "train":
            break  # it would say that it is finished
    seen = run(where, job.command(out), work / "log")
    if seen.code != 0:
        return f"exit code {seen.code} after {moments}: {seen.said[-2000:]}"
    wrong = difference(job.contents(out), wanted)
    return f"{wrong} differ after {moments}" if wrong else ""


def prepared(
    work: Path, pieces: Sequence[str] = ("durations", "gender_density", "table-5"), sentences: int = 6
) -> list[Job]:
    """The jobs on a small checkpoint, sentences of four speakers of the demo corpus, and the table of both."""
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
    parser.add_argument("--times", type=int, default=100, help="folders for each of the three commands")
    parser.add_argument("--only", choices=("train", "extract", "figures"), action="append")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    where, failed = context(), 0
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for job in prepared(work):
            if args.only and job.name not in args.only:
                continue
            run(where, job.command(work / "warm"), work / "log")
            whole = run(where, job.command(work / job.name), work / "log")
            if whole.code != 0:
                raise SystemExit(f"{job.name} does not run at all: {whole.said}")
            wanted = job.contents(work / job.name)
            began, wrong = time.monotonic(), Counter[str]()
            for time_ in range(args.times):
                said = once(where, job, work, whole, wanted, random.Random(f"{args.seed} {job.name} {time_}"))
                if said:
                    wrong[said] += 1
                    print(f"{job.name} {time_}: {said}", flush=True)
            shutil.rmtree(work / "warm", ignore_errors=True)
            failed += wrong.total()
            print(
                f"{job.name:8} killed on the way to {args.times} results ({whole.operations} file operations, "
                f"{whole.seconds:.1f} s undisturbed): {wrong.total()} not as if nothing had happened; "
                f"{time.monotonic() - began:.0f} s",
                flush=True,
            )
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
