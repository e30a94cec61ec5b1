"""The parts of an extraction written by the workers of a Dask cluster.

Parts are independent and write their own files, so Dask only hands a part to an idle worker, and to another one when
that worker dies. A description of the job and the utterances of a part travel to the workers; audio, model and table
are files that every machine sees under the same path, and a worker checks that they are the client's before it starts.
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
from lvm_probe.probing.features.extraction import Job, feature_sizes, one_thread, read_description
from lvm_probe.probing.features.extraction_settings import Settings
from lvm_probe.probing.features.source_spec import SourceSpec
from lvm_probe.probing.features.sources import Source
from lvm_probe.probing.features.token_latents import checkpoint_source

CONNECT_SECONDS = 5
"""Time limit for a first answer from the scheduler."""

NO_WORKER_SECONDS = 60
"""How long to wait for a worker while there is none."""

VISIBLE_SECONDS = 60
"""How long a shared file system may take to show one machine what another has written."""

PARTS_PER_WORKER = 2
"""Parts submitted for each worker: the current one and the next. All at once would fill the scheduler's memory."""

SCHEDULER_LOST = (
    "the scheduler has gone, or was restarted; start it and its workers again and run the same command again: it does "
    "only what is missing"
)

PACKAGES = ("lvm-probe", "torch", "torchaudio", "numpy", "pyarrow")
"""Packages whose versions may change a bit of the table."""


@dataclass(frozen=True)
class JobDescription:
    """What a worker needs to know of a job; it travels with every part, so it is small.

    Attributes:
        run: tells one run of the command from another.
        spec: names the model.
        device: where to compute: cpu or cuda.
        memory_gb: memory limit for the Monte Carlo draws.
        settings: how latents become rows.
        out: folder of the table.
        description: text of `_extraction.json` there.
        strict: stop at the first utterance that cannot be read.
        provenance: what the client's source says of itself.
        sizes: names and lengths of the features.
        example: an encoder's layers, of which only the first step is kept.
        versions: the client's versions.
    """

    run: str
    spec: SourceSpec
    device: str
    memory_gb: float
    settings: Settings
    out: Path
    description: str
    strict: bool
    provenance: dict[str, Any]
    sizes: dict[str, int]
    example: tuple[Layer, ...]
    versions: dict[str, str]


@contextlib.contextmanager
def connect(address: str) -> Iterator[Any]:
    """A client of the Dask scheduler at an address such as `tcp://host:8786`.

    Raises:
        InputError: Dask is not installed, or no scheduler answers.
    """
    try:
        from distributed import Client
        from distributed.comm import resolve_address
    except ImportError:
        raise InputError("--cluster needs Dask: pip install 'lvm-probe[cluster]'") from None
    try:
        resolve_address(address)  # with an invalid address, Client would wait forever
        client = Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        why = " ".join(str(error).split())
        raise InputError(
            f"--cluster {address}: no Dask scheduler answers there ({why}); start one with `dask scheduler` and give "
            "the address that it prints, such as tcp://host:8786"
        ) from None
    log = logging.getLogger("distributed.client")
    log.disabled = True  # it logs a traceback when the scheduler is lost; `DaskExecutor` raises one line
    try:
        with client:
            yield client
    finally:
        log.disabled = False


@dataclass(frozen=True)
class DaskExecutor:
    """Writes parts on the workers of a Dask cluster, one part at a time on each.

    The corpus must have been opened by its absolute path.

    Attributes:
        client: connected to the scheduler.
        spec: names the job's model.
        device: where the workers compute: cpu or cuda.
        memory_gb: memory limit for the Monte Carlo draws, in each worker.
        notice: called with one line when a worker has gone.
    """

    client: Any
    spec: SourceSpec
    device: str
    memory_gb: float
    notice: Callable[[str], None] = lambda line: None

    def run(self, job: Job, parts: Mapping[int, Corpus]) -> Iterator[tuple[int, dict[str, str]]]:
        """As `extraction.Executor` has it. Parts that are written stay when it raises.

        Raises:
            InputError: a worker sees other files or has other versions, a part has killed as many workers as the
                scheduler allows, no worker is left, or the scheduler has gone.
        """
        description = self._describe(job)
        waiting = iter(parts.items())
        running: dict[Any, int] = {}
        workers = self._workers({}) if parts else {}
        for address, threads in workers.items():
            if threads > 1:
                raise InputError(
                    f"worker {address} has {threads} threads, but does one part at a time; start it with --nthreads 1, "
                    "and one worker for each core (dask worker ADDRESS --nworkers N --nthreads 1)"
                )
        try:
            while True:
                for index, part in islice(waiting, max(0, PARTS_PER_WORKER * len(workers) - len(running))):
                    key = f"{description.run}-{token_table.part_name(index)}"
                    task = self.client.submit(write_part, description, index, part, audio_sizes(part), key=key)
                    running[task] = index
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

    def _describe(self, job: Job) -> JobDescription:
        layers = job.source.example if isinstance(job.source, EncoderSource) else ()
        first_steps = tuple(
            replace(layer, mean=layer.mean[:1], variance=None if layer.variance is None else layer.variance[:1])
            for layer in layers
        )
        return JobDescription(
            run=f"extract-{uuid.uuid4().hex[:8]}",
            spec=self.spec,
            device=self.device,
            memory_gb=self.memory_gb,
            settings=job.settings,
            out=job.out.absolute(),
            description=job.description,
            strict=job.strict,
            provenance=job.source.provenance,
            sizes=job.sizes,
            example=first_steps,
            versions=versions(),
        )

    def _workers(self, before: dict[str, int]) -> dict[str, int]:
        """Addresses of the present workers, and the number of threads of each; waits while there are none."""
        with self._scheduler_errors():
            now: dict[str, int] = self.client.nthreads()
            for address in before.keys() - now.keys():
                self.notice(f"worker {address} has gone; another one does its part")
            if not now:
                try:
                    self.client.wait_for_workers(1, timeout=NO_WORKER_SECONDS)
                except TimeoutError:
                    raise InputError(
                        f"the scheduler {self.client.scheduler.address} has had no worker for {NO_WORKER_SECONDS} s; "
                        "start some (dask worker ADDRESS --nthreads 1) and run the same command again: it does only "
                        "what is missing"
                    ) from None
                now = self.client.nthreads()
            return now

    def _finished(self, futures: list[Any]) -> set[Any]:
        """The finished ones, as soon as there is one; none after a second, since workers may come and go meanwhile."""
        from distributed import wait

        with self._scheduler_errors():
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
                f"{token_table.part_name(index)}: {error.allowed_failures + 1} workers died one after another while "
                "they had it (the last worker's log may say why; out of memory? lower --memory); run the same command "
                "again"
            ) from None
        except CancelledError:
            raise InputError(SCHEDULER_LOST) from None
        except ImportError as error:
            raise InputError(
                f"a worker cannot import what is needed ({error}); install the same lvm-probe for it as here"
            ) from None
        return left_out

    @contextlib.contextmanager
    def _scheduler_errors(self) -> Iterator[None]:
        try:
            yield
        except (CancelledError, OSError):
            raise InputError(SCHEDULER_LOST) from None


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
    """A short fingerprint of the code that makes a table: two checkouts may have the same version number."""
    digest = hashlib.sha256()
    for package in (lvm_probe.analysis, lvm_probe.models, lvm_probe.probing):
        root = Path(package.__path__[0])
        for path in sorted(root.rglob("*.py")):
            digest.update(f"{path.relative_to(root).as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:8]


_CODE = _code()  # at import: the files of a long-lived worker may change while it runs


def versions() -> dict[str, str]:
    """The versions here of what may change a bit of the table."""
    installed = {}
    for name in PACKAGES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            installed[name] = "none"
    return installed | {"lvm-probe": f"{installed['lvm-probe']}+{_CODE}"}


_one_at_a_time = threading.Lock()
_latest: list[tuple[str, Job]] = []


def write_part(description: JobDescription, index: int, part: Corpus, sizes: dict[str, int | None]) -> dict[str, str]:
    """In a worker: `Job.write_part`, after checking that the worker sees what the client sees."""
    from distributed import get_worker

    with _one_at_a_time, one_thread():
        try:
            if not _latest or _latest[0][0] != description.run:
                _latest[:] = [(description.run, _open_job(description))]
            _check_audio(part, sizes)
            return _latest[0][1].write_part(index, part)
        except UnreadableRecording:
            raise
        except InputError as error:
            raise InputError(f"worker {get_worker().address}: {error}") from None


def _open_job(description: JobDescription) -> Job:
    """The client's job, opened from the files."""
    ours, theirs = versions(), description.versions
    if differing := [name for name in PACKAGES if ours[name] != theirs[name]]:
        listed = ", ".join(f"{name} {ours[name]} here and {theirs[name]} there" for name in differing)
        raise InputError(
            f"its versions are not those of the command ({listed}); install the same for both and start the worker "
            "again"
        )
    _wait_for(description.out / token_table.EXTRACTION)
    if read_description(description.out) != description.description:
        raise InputError(f"{description.out}: another folder than the command's, or another extraction began in it")
    if description.device == "cuda" and not torch.cuda.is_available():
        raise InputError("PyTorch sees no CUDA device here; give --device cpu, or start the worker where there is one")
    source = _open_source(description, torch.device(description.device))
    provenance, sizes = source.provenance, feature_sizes(source, description.settings)
    if provenance != description.provenance or sizes != description.sizes:
        wanted = description.provenance
        keys = [key for key in wanted if provenance.get(key) != wanted[key]] or ["features"]
        raise InputError(
            f"{description.spec.name}: not what the command has under this name (its {', '.join(keys)} differ); put "
            "the same file there, on a file system that all workers share"
        )
    return Job(
        source, description.settings, description.sizes, description.out, description.description, description.strict
    )


def _open_source(description: JobDescription, device: torch.device) -> Source:
    opened, settings = description.spec.open(device), description.settings
    if isinstance(opened, Checkpoint):
        return checkpoint_source(opened, settings, device, description.memory_gb)
    return EncoderSource(opened, description.example, settings.seed, "halves" in settings.also)


def _check_audio(part: Corpus, sizes: dict[str, int | None]) -> None:
    for path, size in audio_sizes(part).items():
        if size != sizes[path]:
            here = "no such file here" if size is None else f"{size:,} bytes here"
            there = "none" if sizes[path] is None else f"{sizes[path]:,} bytes"
            raise InputError(
                f"{path}: {here}, {there} where the command runs; every worker needs the corpus under the same path"
            )


def _wait_for(path: Path) -> None:
    """Wait until a file that another machine has written appears here."""
    until = time.monotonic() + VISIBLE_SECONDS
    while not path.exists():
        if time.monotonic() > until:
            raise InputError(
                f"{path}: written on another machine, but not visible here; --out must lie on a file system that the "
                "command and all workers share, under the same path"
            )
        time.sleep(0.5)
