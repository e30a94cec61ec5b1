"""The parts of an extraction done by the workers of a Dask cluster.

Parts need nothing from one another and write their own files, so all that is asked of the engine is to hand a part to
whoever is idle, and to hand it to somebody else when its worker dies. What travels is the description of the job and
the utterances of a part as the coordinator read them; audio, model and table are files that every machine sees under
the same path, and a worker checks that they are the coordinator's before it begins.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any

import torch

import lvm_probe.analysis
import lvm_probe.models
import lvm_probe.probing
from lvm_probe import InputError
from lvm_probe.models.checkpoints.checkpoint import Checkpoint
from lvm_probe.probing.corpora.corpus import Corpus
from lvm_probe.probing.corpora.recordings import UnreadableRecording
from lvm_probe.probing.features import token_table
from lvm_probe.probing.features.encoders import EncoderSource, Layer
from lvm_probe.probing.features.extraction import Job, claimed, feature_sizes
from lvm_probe.probing.features.extraction_settings import Settings
from lvm_probe.probing.features.source_files import Given
from lvm_probe.probing.features.sources import ModelSource, Source

ANSWER_SECONDS = 5
"""How long a scheduler may take to answer at all."""

LONELY_SECONDS = 60
"""How long to wait for a worker while there is none."""

VISIBLE_SECONDS = 60
"""How long a shared file system may take to show one machine what another has written."""

AHEAD = 2
"""Parts given out for each worker: the one it is at and the next. All at once would fill the scheduler's memory."""

GONE = (
    "the scheduler has gone, or was restarted; start it and its workers again and run the same command again, it does "
    "only what is missing"
)

SAME = ("lvm-probe", "torch", "torchaudio", "numpy", "pyarrow")
"""Packages whose versions may change a bit of the table."""


@dataclass(frozen=True)
class Order:
    """What a worker must know of a job beside the utterances of a part; it travels with every part, so it is small.

    `run` tells one run of the command from another. `threads` are those on which the command's own process would
    compute: products may be summed in another order on another number. `provenance` is what the coordinator's source
    says of itself; an encoder's layers are learnt from `example`, of which only the first step is kept.
    """

    run: str
    given: Given
    device: str
    threads: int
    memory_gb: float
    settings: Settings
    out: Path
    claim: str
    strict: bool
    provenance: dict[str, Any]
    sizes: dict[str, int]
    example: tuple[Layer, ...]
    versions: dict[str, str]


@contextlib.contextmanager
def connected(address: str) -> Iterator[Any]:
    """A client of the scheduler at this address. Raises InputError when nobody answers there within seconds."""
    try:
        from distributed import Client
        from distributed.comm import resolve_address
    except ImportError:
        raise InputError("--cluster needs Dask: pip install 'lvm-probe[cluster]'") from None
    try:
        resolve_address(address)  # a client made for no address at all does not come to its end
        client = Client(address, timeout=ANSWER_SECONDS)
    except (OSError, ValueError) as error:
        why = " ".join(str(error).split())
        raise InputError(
            f"--cluster {address}: no Dask scheduler answers there ({why}); start one with `dask scheduler` and give "
            "the address that it prints, such as tcp://host:8786"
        ) from None
    log = logging.getLogger("distributed.client")
    log.disabled = True  # its tracebacks of a lost scheduler: `DaskWorkers` says it in a line
    try:
        with client:
            yield client
    finally:
        log.disabled = False


@dataclass(frozen=True)
class DaskWorkers:
    """The workers of the cluster that `client` is connected to. Each does one part at a time, on as many threads of
    PyTorch's as this process would.

    `given`, `device` (its type) and `memory_gb` are those of the job's source. The corpus must have been opened by its
    whole path. `notice` is called with a line when a worker has gone, or takes more than one core.
    """

    client: Any
    given: Given
    device: str
    memory_gb: float
    notice: Callable[[str], None] = lambda line: None

    def do(self, job: Job, parts: Mapping[int, Corpus]) -> Iterator[tuple[int, dict[str, str]]]:
        """As `probing.features.extraction.Workers` has it.

        Raises InputError when a worker sees other files or has other versions, when a part has killed as many workers
        as the scheduler allows, and when no worker is left or the scheduler has gone. What is done stays done.
        """
        order = self._order(job)
        waiting = iter(parts.items())
        running: dict[Any, int] = {}
        workers = self._workers({}) if parts else {}
        for address, threads in workers.items():
            if threads > 1:
                raise InputError(
                    f"worker {address} has {threads} threads, but does one part at a time; start it with --nthreads 1, "
                    "and one worker for each core (dask worker ADDRESS --nworkers N --nthreads 1)"
                )
        if order.threads > 1 and workers:
            self.notice(
                f"each worker computes on {order.threads} threads, as this command would: set OMP_NUM_THREADS=1 for it "
                "where there is a worker for every core"
            )
        try:
            while True:
                for index, part in islice(waiting, max(0, AHEAD * len(workers) - len(running))):
                    key = f"{order.run}-{token_table.part_name(index)}"
                    running[self.client.submit(do_part, order, index, part, audio_sizes(part), key=key)] = index
                if not running:
                    break
                for future in self._finished(list(running)):
                    index = running.pop(future)
                    yield index, self._result(future, index)
                workers = self._workers(workers)
        finally:
            with contextlib.suppress(OSError):  # the scheduler may have gone
                self.client.cancel(list(running))
        for index in parts:
            _wait_for(job.out / token_table.part_name(index))

    def _order(self, job: Job) -> Order:
        layers = job.source.example if isinstance(job.source, EncoderSource) else ()
        first = tuple(
            replace(layer, mean=layer.mean[:1], variance=None if layer.variance is None else layer.variance[:1])
            for layer in layers
        )
        return Order(
            run=f"extract-{uuid.uuid4().hex[:8]}",
            given=self.given,
            device=self.device,
            threads=torch.get_num_threads(),
            memory_gb=self.memory_gb,
            settings=job.settings,
            out=job.out.absolute(),
            claim=job.claim,
            strict=job.strict,
            provenance=job.source.provenance,
            sizes=job.sizes,
            example=first,
            versions=versions(),
        )

    def _workers(self, before: dict[str, int]) -> dict[str, int]:
        """The addresses of the workers that are there now, and their threads; waits while there are none."""
        with self._scheduler_answers():
            now: dict[str, int] = self.client.nthreads()
            for address in before.keys() - now.keys():
                self.notice(f"worker {address} has gone; what it was at is done by another")
            if not now:
                try:
                    self.client.wait_for_workers(1, timeout=LONELY_SECONDS)
                except TimeoutError:
                    raise InputError(
                        f"the scheduler {self.client.scheduler.address} has had no worker for {LONELY_SECONDS} s; "
                        "start some (dask worker ADDRESS --nthreads 1) and run the same command again, it does only "
                        "what is missing"
                    ) from None
                now = self.client.nthreads()
            return now

    def _finished(self, futures: list[Any]) -> set[Any]:
        """Those that are done as soon as there is one; none after a second, for workers may come and go meanwhile."""
        from distributed import wait

        with self._scheduler_answers():
            try:
                done: set[Any] = wait(futures, timeout=1, return_when="FIRST_COMPLETED").done
            except TimeoutError:
                return set()
            return done

    def _result(self, future: Any, index: int) -> dict[str, str]:
        from distributed import KilledWorker

        try:
            left_out: dict[str, str] = future.result()
        except KilledWorker as error:
            raise InputError(
                f"{token_table.part_name(index)}: {error.allowed_failures + 1} workers died in turn while they "
                "had it (the last worker's log may say why; out of memory? lower --memory); run the same command again"
            ) from None
        except CancelledError:
            raise InputError(GONE) from None
        except ImportError as error:
            raise InputError(
                f"a worker cannot import what is needed ({error}); install the same lvm-probe for it as here"
            ) from None
        return left_out

    @contextlib.contextmanager
    def _scheduler_answers(self) -> Iterator[None]:
        try:
            yield
        except (CancelledError, OSError):
            raise InputError(GONE) from None


def audio_sizes(part: Corpus) -> dict[str, int | None]:
    """The size in bytes of each utterance's audio file, by its path; None where there is no such file."""
    sizes: dict[str, int | None] = {}
    for utterance in part.utterances:
        try:
            sizes[str(utterance.audio)] = utterance.audio.stat().st_size
        except OSError:
            sizes[str(utterance.audio)] = None
    return sizes


def _code() -> str:
    """A short fingerprint of the code that makes a table: a version's number does not tell two checkouts apart."""
    digest = hashlib.sha256()
    for package in (lvm_probe.analysis, lvm_probe.models, lvm_probe.probing):
        root = Path(package.__path__[0])
        for path in sorted(root.rglob("*.py")):
            digest.update(f"{path.relative_to(root).as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:8]


_CODE = _code()  # now, as it is imported: the files of a worker that runs for long may change under it


def versions() -> dict[str, str]:
    """The versions here of what may change a bit of the table."""
    found = {}
    for name in SAME:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "none"
    return found | {"lvm-probe": f"{found['lvm-probe']}+{_CODE}"}


_one_at_a_time = threading.Lock()
_last: list[tuple[str, Job]] = []


def do_part(order: Order, index: int, part: Corpus, sizes: dict[str, int | None]) -> dict[str, str]:
    """What a worker does: `Job.do`, once it has seen that it has before it what the coordinator has."""
    from distributed import get_worker

    with _one_at_a_time:
        torch.set_num_threads(order.threads)
        try:
            if not _last or _last[0][0] != order.run:
                _last[:] = [(order.run, _job(order))]
            _check_audio(part, sizes)
            return _last[0][1].do(index, part)
        except UnreadableRecording:
            raise
        except InputError as error:
            raise InputError(f"worker {get_worker().address}: {error}") from None


def _job(order: Order) -> Job:
    """The coordinator's job, put together again from the files."""
    ours = versions()
    if differing := [name for name in SAME if ours[name] != order.versions[name]]:
        told = ", ".join(f"{name} {ours[name]} here and {order.versions[name]} there" for name in differing)
        raise InputError(
            f"its versions are not those of the command ({told}); install the same for both and start the worker again"
        )
    _wait_for(order.out / token_table.EXTRACTION)
    if claimed(order.out) != order.claim:
        raise InputError(f"{order.out}: another folder than the command's, or another extraction began in it")
    if order.device == "cuda" and not torch.cuda.is_available():
        raise InputError("PyTorch sees no CUDA device here; give --device cpu, or start the worker where there is one")
    source = _source(order, torch.device(order.device))
    found, sizes = source.provenance, feature_sizes(source, order.settings)
    if found != order.provenance or sizes != order.sizes:
        keys = [key for key in order.provenance if found.get(key) != order.provenance[key]] or ["features"]
        raise InputError(
            f"{order.given.name}: not what the command has under this name (its {', '.join(keys)} differ); put the "
            "same file there, on a file system that all workers share"
        )
    return Job(source, order.settings, order.sizes, order.out, order.claim, order.strict)


def _source(order: Order, device: torch.device) -> Source:
    given = order.given.open(device)
    if isinstance(given, Checkpoint):
        return ModelSource.of(given, order.settings, device, order.memory_gb)
    return EncoderSource(given, order.example, order.settings.seed, "halves" in order.settings.also)


def _check_audio(part: Corpus, sizes: dict[str, int | None]) -> None:
    for path, size in audio_sizes(part).items():
        if size != sizes[path]:
            found = "no such file here" if size is None else f"{size:,} bytes here"
            wanted = "none" if sizes[path] is None else f"{sizes[path]:,} bytes"
            raise InputError(
                f"{path}: {found}, {wanted} where the command runs; every worker needs the corpus under the same path"
            )


def _wait_for(path: Path) -> None:
    """Wait until a file that another machine has written shows here."""
    until = time.monotonic() + VISIBLE_SECONDS
    while not path.exists():
        if time.monotonic() > until:
            raise InputError(
                f"{path}: written on another machine, and not to be seen here; --out must lie on a file system that "
                "the command and all workers share, under the same path"
            )
        time.sleep(0.5)
