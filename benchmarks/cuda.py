"""Times training and extraction on a GPU: audio seconds per second of wall time, alone and side by side.

    python benchmarks/cuda.py
    python benchmarks/cuda.py --models "cwvae small,cwvae paper" --batch 128 --segment 16384 --precision fp32

Training: whole updates of the trainer, replayed as a CUDA graph, and one after another without a graph; then two and
four trainings of the first model at once, each in a thread with a stream of its own. Extraction: the paper's 100 draws
of the first model, for an utterance of four seconds, and what that means for TIMIT's 5.4 hours. Weights are random and
audio is noise, which does not change the work. The first updates compile kernels, which takes some seconds a model.
"""

import argparse
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from sys import exit, path

path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch

from lvm_probe.models.model import SpeechModel
from lvm_probe.models.registry import family, preset
from lvm_probe.models.training.recipe import GPU, Recipe
from lvm_probe.models.training.trainer import Precision, Trainer
from lvm_probe.probing.corpora.corpus import Segment
from lvm_probe.probing.features.extraction_settings import Settings
from lvm_probe.probing.features.sources import ModelSource

MODELS = "cwvae small,vrnn small,srnn small,stcn small-dense"
RATE = 16_000
TIMIT_HOURS = 5.4


class Noise:
    """A recording of ten seconds of noise."""

    samples = 10 * RATE

    def __init__(self, number: int) -> None:
        self.name = f"noise {number}"
        self.pcm = np.random.default_rng(number).integers(-3_000, 3_000, self.samples).astype(np.int16)

    def read(self, start: int, stop: int) -> np.ndarray:
        return self.pcm[start:stop]


def trainer(name: str, recipe: Recipe, precision: Precision, out: str) -> Trainer:
    """A new training of `family preset` on noise."""
    kind, size = name.split()
    model = family(kind).seeded(preset(kind, size).config, 0)
    noise = [Noise(i) for i in range(8)]
    return Trainer(model, recipe, noise, noise[:1], Path(out), device=torch.device("cuda"), precision=precision)


def updates_per_second(runs: list[Trainer], seconds: float = 3.0) -> float:
    """Updates a second of all trainings together, after each has been captured."""
    streams = [torch.cuda.Stream() for _ in runs]
    for run, stream in zip(runs, streams, strict=True):
        with torch.cuda.stream(stream):
            for _ in range(5):
                run.step()
    first = [run.update for run in runs]
    torch.cuda.synchronize()
    until = time.perf_counter() + seconds

    def work(run: Trainer, stream: torch.cuda.Stream) -> None:
        with torch.cuda.stream(stream):
            while time.perf_counter() < until:
                run.step()

    threads = [threading.Thread(target=work, args=pair) for pair in zip(runs, streams, strict=True)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    torch.cuda.synchronize()
    done = sum(run.update - update for run, update in zip(runs, first, strict=True))
    return done / (time.perf_counter() - began)


def extraction_speed(model: SpeechModel, draws: int) -> float:
    """Seconds of audio per second of wall time, for every step of every layer of one utterance."""
    pcm = Noise(0).pcm[: 4 * RATE]
    source = ModelSource(model.eval(), Settings(draws=draws, estimator="sample"))
    steps = [Segment(str(i), start, start + s) for s in model.strides for i, start in enumerate(range(0, len(pcm), s))]
    times = []
    for _ in range(3):
        began = time.perf_counter()
        source.pooled("utterance", pcm, steps)
        torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return len(pcm) / RATE / min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--models", default="cwvae small,vrnn small,srnn small,stcn small-dense", help="family preset,..."
    )
    parser.add_argument("--batch", type=int, default=GPU.batch)
    parser.add_argument("--segment", type=int, default=GPU.segment)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        exit("benchmarks/cuda.py: PyTorch sees no CUDA device here")
    recipe = replace(GPU, batch=asked.batch, segment=asked.segment)
    audio = asked.batch * asked.segment / RATE
    names = asked.models.split(",")
    machine = f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}"
    print(f"{machine}, {asked.batch} segments of {asked.segment} samples, {asked.precision}")
    with tempfile.TemporaryDirectory() as out:
        for name in names:
            run = trainer(name, recipe, asked.precision, out)
            graphed = updates_per_second([run])
            run._graphed = None
            plain = updates_per_second([run])
            print(
                f"{name:20} {graphed:7.1f} updates a second, {graphed * audio:7.0f} s of audio per s; "
                f"without a graph {plain:.1f}, so {graphed / plain:.1f} times as fast"
            )
        alone = updates_per_second([trainer(names[0], recipe, asked.precision, out)])
        for count in (2, 4):
            runs = [trainer(names[0], recipe, asked.precision, out) for _ in range(count)]
            print(f"{count} x {names[0]:16} {updates_per_second(runs) / alone:7.2f} times the updates of one alone")
        speed = extraction_speed(runs[0].average, draws=100)
        minutes = TIMIT_HOURS * 60 / speed
        print(f"extraction, 100 draws {speed:6.1f} s of audio per s; {TIMIT_HOURS} hours in {minutes:.0f} minutes")


if __name__ == "__main__":
    main()
