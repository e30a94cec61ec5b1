"""Extraction by the workers of a real scheduler: processes that are started as a user starts them."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from distributed import Client
from distributed.comm import CommClosedError

from lvm_probe import InputError
from lvm_probe.app.cli import main
from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.models.checkpoints.checkpoint import Checkpoint
from lvm_probe.models.families.cwvae import CWVAE
from lvm_probe.models.io.files import write_json
from lvm_probe.models.registry import preset
from lvm_probe.probing.corpora import open_corpus
from lvm_probe.probing.corpora.corpus import Corpus
from lvm_probe.probing.features import cluster, extraction, token_table
from lvm_probe.probing.features.cluster import DaskExecutor, connect
from lvm_probe.probing.features.extraction import Extracted, Job, Settings, extract
from lvm_probe.probing.features.source_spec import SourceSpec
from lvm_probe.probing.features.token_latents import checkpoint_source
from tests.probing import miniature

ROOT = Path(__file__).parents[2]
SETTINGS = Settings(draws=3)

ENCODER = """\
import numpy as np

def encode(wave):
    steps = np.abs(wave[: len(wave) // 160 * 160]).reshape(-1, 160)
    return [(steps[:, :3], steps[:, 3:6], 160), (steps[::2, :2], None, 320)]
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler that has two workers."""
    folder = tmp_path_factory.mktemp("cluster")
    dask = [str(Path(sys.executable).with_name("dask"))]
    quiet: dict[str, Any] = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "text": True}
    environment = os.environ | {"PYTHONPATH": str(ROOT), "DASK_TEMPORARY_DIRECTORY": str(folder)}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    commands = [["scheduler", "--host", address, "--dashboard-address", "127.0.0.1:0"]]
    commands += [["worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"]] * 2
    processes: list[subprocess.Popen[str]] = []
    try:
        processes += [subprocess.Popen([*dask, *command], env=environment, **quiet) for command in commands]
        with Client(address, timeout=60) as client:
            client.wait_for_workers(2, timeout=60)
        yield address
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose random weights are larger than usual, so that its latents do depend on the audio."""
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        tiny = CWVAE(preset("cwvae", "tiny").config)
    with torch.no_grad():
        for parameter in tiny.parameters():
            parameter *= 1.5
    checkpoint.save(path, tiny, {"corpus": "noise"})
    return path


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """Two speakers with six sentences each, in a dozen parts."""
    monkeypatch.setattr(extraction, "part_size", lambda utterances: 1)
    root = miniature.timit_nltk(tmp_path / "corpus")
    for speaker in ("fvmh0", "mcpm0"):
        for number in range(4):
            audio = miniature.tone(root / f"dr1-{speaker}" / f"si{number}.wav")
            miniature.rows(audio.with_suffix(".phn"), miniature.PHONES)
    return open_corpus(root)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("part-*")}


def on(client: Any, given: Path, **options: Any) -> DaskExecutor:
    return DaskExecutor(client, SourceSpec(checkpoint=str(given)), "cpu", 1.0, **options)


def alone(model: Path, corpus: Corpus, out: Path) -> Extracted:
    return extract(checkpoint.load(model), corpus, out, SETTINGS)


def test_a_worker_that_is_killed_costs_only_its_part(running: str, model: Path, corpus: Corpus, tmp_path: Path) -> None:
    """The victim kills itself as soon as it has a part."""

    def doom() -> None:
        def die(*_: object) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        cluster._check_audio = die

    one = alone(model, corpus, tmp_path / "one")
    notices: list[str] = []
    heard: list[float] = []
    with connect(running) as client:
        victim = next(iter(client.nthreads()))
        client.run(doom, workers=[victim])
        executor = on(client, model, notice=notices.append)
        two = extract(
            checkpoint.load(model), corpus, tmp_path / "two", SETTINGS, progress=heard.append, executor=executor
        )
    assert notices == [f"worker {victim} has gone; another one does its part"]
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    assert len(contents(tmp_path / "one")) == 12
    assert two == one
    assert sum(heard) == pytest.approx(corpus.seconds)


def test_the_command_gives_the_table_of_one_process_to_the_last_bit(
    running: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also for relative paths, encoders, and a recording that cannot be read, with the same message."""
    monkeypatch.setattr(extraction, "part_size", lambda utterances: 2)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    root = miniature.librispeech(tmp_path / "corpus")
    miniature.zero_the_middle(miniature.noise(root / "dev-clean/103/1240/103-1240-0001.flac"))
    Path("mine.py").write_text(ENCODER)
    Path("own/models").mkdir(parents=True)
    Path("own/models/level.py").write_text("from own.steps import encode\n")
    Path("own/steps.py").write_text(ENCODER)
    shutil.copy(model, "model.safetensors")
    argv = ("extract", "--corpus", "corpus", "--units", "utterance", "--also", "halves,mfcc")
    for name, given in {
        "checkpoint": ("--ckpt", "model.safetensors", "--samples", "5", "--memory", "1e-3"),
        "encoder": ("--encoder", "mine.py:encode"),
        "module": ("--encoder", "own.models.level:encode"),
        "untrained": ("--ckpt", "model.safetensors", "--samples", "2", "--untrained", "--seed", "3"),
    }.items():
        assert main([*argv, *given, "--out", f"{name}-1"]) == 0
        local = capfd.readouterr()
        assert main([*argv, *given, "--out", f"{name}-2", "--cluster", running]) == 0
        clustered = capfd.readouterr()
        assert re.findall("left out: .*", clustered.err) == re.findall("left out: .*", local.err) != []
        assert clustered.out.splitlines()[:2] == local.out.splitlines()[:2]
        first, second = contents(Path(f"{name}-1")), contents(Path(f"{name}-2"))
        assert len(first) == 2
        assert second == first
        descriptions = [token_table.read_extraction(Path(f"{name}-{i}")) | {"begun": ""} for i in (1, 2)]
        assert descriptions[0] == descriptions[1]


@pytest.mark.parametrize("first", ["on workers", "alone"])
def test_what_was_interrupted_goes_on_either_way(
    running: str, model: Path, corpus: Corpus, tmp_path: Path, first: str
) -> None:
    given = checkpoint.load(model)
    alone(model, corpus, tmp_path / "whole")

    def stop_after_three(seconds: float, done: list[int] = []) -> None:  # noqa: B006
        done.append(1)
        if len(done) == 3:
            raise KeyboardInterrupt

    with connect(running) as client:
        executor = on(client, model)
        ways = [executor, None] if first == "on workers" else [None, executor]
        with pytest.raises(KeyboardInterrupt):
            extract(given, corpus, tmp_path / "t", SETTINGS, progress=stop_after_three, executor=ways[0])
        result = extract(given, corpus, tmp_path / "t", SETTINGS, executor=ways[1])
        assert 1 <= result.parts_done <= 10  # a worker ends what it is at
        assert extract(given, corpus, tmp_path / "t", SETTINGS, executor=executor).parts_done == 0
    assert contents(tmp_path / "t") == contents(tmp_path / "whole")


def refusal(executor: DaskExecutor, given: Checkpoint, corpus: Corpus, out: Path, **options: Any) -> str:
    with pytest.raises(InputError) as refused:
        extract(given, corpus, out, SETTINGS, executor=executor, **options)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_worker_that_sees_something_else_refuses(
    running: str, model: Path, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, given = tmp_path / "other.safetensors", checkpoint.load(model)
    with torch.random.fork_rng(devices=[]):
        checkpoint.save(other, CWVAE(preset("cwvae", "tiny").config), {})
    with connect(running) as client:

        def says(executor: DaskExecutor, out: str) -> str:
            said = refusal(executor, given, corpus, tmp_path / out)
            assert re.match(r"worker tcp://127.0.0.1:\d+: ", said)
            return said

        said = says(on(client, other), "a")
        assert f"{other}: not what the command has under this name (its checkpoint differ)" in said
        assert "none.safetensors: no such checkpoint" in says(on(client, tmp_path / "none.safetensors"), "b")
        assert "no CUDA device here" in says(replace(on(client, model), device="cuda"), "c")
        with monkeypatch.context() as patch:
            patch.setattr(cluster, "versions", lambda: dict.fromkeys(cluster.PACKAGES, "0.0.1"))
            assert re.search(r"\(lvm-probe [^ ]+ here and 0.0.1 there, torch ", says(on(client, model), "d"))
        with monkeypatch.context() as patch:
            patch.setattr(cluster, "audio_sizes", lambda part: {str(u.audio): 1 for u in part.utterances})
            assert ".wav: 16,044 bytes here, 1 bytes where the command runs" in says(on(client, model), "e")
        bad = corpus.utterances[3].audio
        bad.write_bytes(b"RIFF")
        strict = refusal(on(client, model), given, corpus, tmp_path / "f", strict=True)
        assert strict.startswith(f"{bad}: ")  # the file's fault, and no worker's
    assert not any(contents(tmp_path / out) for out in "abcde")


def described(model: Path, corpus: Corpus, out: Path) -> cluster.JobDescription:
    """What a client would send, for a table that is complete."""
    alone(model, corpus, out)
    job = Job(checkpoint_source(checkpoint.load(model), SETTINGS, torch.device("cpu"), 1.0), SETTINGS,
              token_table.read_extraction(out)["features"], out, extraction.read_description(out))  # fmt: skip
    return on(None, model)._describe(job)


def test_a_worker_must_see_the_command_s_folder(
    model: Path, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "VISIBLE_SECONDS", 0)
    ours = described(model, corpus, tmp_path / "t")
    job = cluster._open_job(ours)
    assert job.write_part(0, replace(corpus, utterances=corpus.utterances[:1])) == {}
    with pytest.raises(InputError, match="_extraction.json: written on another machine, but not visible here"):
        cluster._open_job(replace(ours, out=tmp_path / "elsewhere"))
    write_json(tmp_path / "t" / token_table.EXTRACTION, {})
    with pytest.raises(InputError, match="another folder than the command's, or another extraction began in it"):
        cluster._open_job(ours)
    with pytest.raises(InputError, match="no longer holds this extraction"):
        job.write_part(0, replace(corpus, utterances=corpus.utterances[:1]))


def test_a_description_is_small_and_knows_an_encoder_s_layers(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(ENCODER)
    corpus = open_corpus(miniature.timit_nltk(tmp_path / "corpus"))
    given = SourceSpec(encoder=str(tmp_path / "mine.py"))
    opened = given.open(torch.device("cpu"))
    source = extraction._source(opened, corpus, Settings(), torch.device("cpu"), 1.0)
    job = Job(source, Settings(), extraction.feature_sizes(source, Settings()), tmp_path, "")
    ours = DaskExecutor(None, given, "cpu", 1.0)._describe(job)
    assert [layer.mean.shape for layer in ours.example] == [(1, 3), (1, 2)]
    theirs = cluster._open_source(ours, torch.device("cpu"))
    pcm = np.arange(8000, dtype=np.int16)
    for name, values in source.pooled("u", pcm, corpus.utterances[0].phonemes).items():
        np.testing.assert_array_equal(theirs.pooled("u", pcm, corpus.utterances[0].phonemes)[name], values)


def test_nobody_answers(model: Path, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.2)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and not listening
        closed = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        for address in (closed, "tcp://127.0.0.1", "here", "", "pigeon://127.0.0.1:1"):
            with (
                pytest.raises(InputError, match=re.escape(f"--cluster {address}: no Dask scheduler answers there (")),
                connect(address),
            ):
                pass


def test_the_package_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=re.escape("pip install 'lvm-probe[cluster]'")), connect("tcp://x:1"):
        pass
    code = "import sys, lvm_probe.app.cli; lvm_probe.app.cli.make_parser(); sys.exit('distributed' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


class Stub:
    """A client of a cluster with these workers (address: threads)."""

    scheduler = SimpleNamespace(address="tcp://host:8786")

    def __init__(self, workers: dict[str, int] | None) -> None:
        self.workers = workers

    def nthreads(self) -> dict[str, int]:
        if self.workers is None:
            raise CommClosedError
        return self.workers

    def wait_for_workers(self, n_workers: int, timeout: float) -> None:
        raise TimeoutError

    def cancel(self, futures: list[Any]) -> None:
        assert futures == []


def test_clusters_that_will_not_do(model: Path, corpus: Corpus, tmp_path: Path) -> None:
    given = checkpoint.load(model)
    for workers, says in (
        (
            {"tcp://a:1": 1, "tcp://b:2": 8},
            "worker tcp://b:2 has 8 threads, but does one part at a time; start it with",
        ),
        ({}, "the scheduler tcp://host:8786 has had no worker for 60 s; start some"),
        (None, "the scheduler has gone, or was restarted; start it and its workers again"),
    ):
        assert says in refusal(on(Stub(workers), model), given, corpus, tmp_path / "t")
    assert contents(tmp_path / "t") == {}
    alone(model, corpus, tmp_path / "t")
    whole = extract(given, corpus, tmp_path / "t", SETTINGS, executor=on(Stub({}), model))  # nothing is left to do
    assert whole.parts_done == 0
