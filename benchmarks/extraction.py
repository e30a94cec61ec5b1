"""Times extraction: seconds of wall and of CPU time for a second of audio, beside the paper's own code.

    python benchmarks/extraction.py --corpus TIMIT --utterances 8
    python benchmarks/extraction.py --corpus TIMIT --whole "cwvae paper"

Each model writes a token table of some utterances, in the paper's way (100 samples) and by default. Papers' sizes have
random weights, which do not change the work. `times` is how many times as fast as the paper's code that is; then
where the time goes. `--whole` also extracts the whole corpus by default, and says what start-up, reading and writing
take and if memory is level.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.models.checkpoints.checkpoint import Checkpoint
from lvm_probe.models.families.cwvae import CWVAE
from lvm_probe.models.families.srnn import SRNN
from lvm_probe.models.families.vrnn import VRNN
from lvm_probe.models.registry import FAMILIES, preset
from lvm_probe.probing.corpora import demo, open_corpus
from lvm_probe.probing.corpora.corpus import Corpus
from lvm_probe.probing.features import acoustic, extraction, sources, token_table
from lvm_probe.probing.features.extraction import Settings, extract
from lvm_probe.probing.features.sources import ModelSource

PAPERS_CODE = {"cwvae paper": 65.0, "vrnn paper": 5.8, "srnn paper": 4.1}
"""Wall seconds for a second of audio, 100 samples, on two cores (its fastest run)."""

PAPERS_WAY = Settings(draws=100, estimator="sample")


class Watch:
    """Wall seconds of each part, those of the parts inside it left out."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._inside: list[str] = []
        self._since = 0.0

    def over(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, watched."""

        @wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            self._enter(part)
            try:
                return function(*args, **kwargs)
            finally:
                self._leave()

        return watched

    def _enter(self, part: str) -> None:
        self._mark()
        self._inside.append(part)

    def _leave(self) -> None:
        self._mark()
        self._inside.pop()

    def _mark(self) -> None:
        now = time.perf_counter()
        if self._inside:
            self.seconds[self._inside[-1]] += now - self._since
        self._since = now


def watch_everything() -> Watch:
    """Put a watch over the parts of extraction, once and for all."""
    watch = Watch()
    for family in (CWVAE, VRNN, SRNN):
        family.encode = watch.over("encoder", family.encode)  # type: ignore[method-assign]
        family.infer = watch.over("inference", family.infer)  # type: ignore[method-assign]
    sources.path_noise = watch.over("noise", sources.path_noise)
    ModelSource._latents = watch.over("pooling", ModelSource._latents)  # type: ignore[method-assign]
    acoustic.pooled = watch.over("Mel", acoustic.pooled)
    extraction.read_pcm = watch.over("reading", extraction.read_pcm)
    token_table.write_part = watch.over("writing", token_table.write_part)
    return watch


def saved(name: str, folder: Path) -> str:
    """What loads a shipped checkpoint, or a preset with random weights that is saved as one."""
    if " " not in name:
        return name
    family, size = name.split()
    path = folder / f"{family}-{size}.safetensors"
    checkpoint.save(path, FAMILIES[family].seeded(preset(family, size).config, 0), {"corpus": "none"})
    return str(path)


def megabytes() -> float:
    """Resident memory of this process now (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def run(given: Checkpoint, corpus: Corpus, settings: Settings, folder: Path, watch: Watch) -> tuple[float, float]:
    """Wall and CPU seconds of an extraction; the watch begins anew."""
    watch.__init__()  # type: ignore[misc]
    wall, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory(dir=folder) as out:
        extract(given, corpus, Path(out) / "table", settings)
    return time.perf_counter() - wall, time.process_time() - cpu


def speeds(corpus: Corpus, turns: int, watch: Watch, folder: Path) -> None:
    """A row for every model and way: the fastest of some turns."""
    print(f"{len(corpus.utterances)} utterances, {corpus.seconds:.1f} s, {torch.get_num_threads()} threads")
    print(f"{'model':<14}{'estimator':<16}{'N':>4}{'wall/s':>9}{'CPU/s':>8}{'times':>7}  parts of the wall time")
    for name in ("cwvae paper", "cwvae-small", "vrnn paper", "srnn paper"):
        given = checkpoint.load(saved(name, folder))
        for settings in (PAPERS_WAY, Settings()):
            best: tuple[float, float, Counter[str]] | None = None
            for _ in range(turns):
                wall, cpu = run(given, corpus, settings, folder, watch)
                if best is None or wall < best[0]:
                    best = (wall, cpu, watch.seconds.copy())
            assert best is not None
            wall, cpu, parts = best
            parts["rest"] = wall - sum(parts.values())
            times = f"{PAPERS_CODE[name] * corpus.seconds / wall:.0f}" if name in PAPERS_CODE else ""
            shares = "  ".join(f"{part} {seconds / wall:.0%}" for part, seconds in parts.most_common())
            print(
                f"{name:<14}{settings.estimator:<16}{settings.samples:>4}{wall / corpus.seconds:>9.3f}"
                f"{cpu / corpus.seconds:>8.3f}{times:>7}  {shares}",
                flush=True,
            )


def whole(name: str, path: Path, watch: Watch, folder: Path) -> None:
    """An extraction of all the corpus: what is not computing, and memory over time."""
    start_ups = []
    for _ in range(3):  # the fastest counts
        begin = time.perf_counter()
        subprocess.run(
            [
                sys.executable,
                "-c",
                "import lvm_probe.app.cli, lvm_probe.probing.features.extraction",
            ],
            check=True,
        )
        start_ups.append(time.perf_counter() - begin)
    start_up = min(start_ups)
    ckpt = saved(name, folder)
    begin = time.perf_counter()
    corpus, given = open_corpus(path), checkpoint.load(ckpt)
    opening = time.perf_counter() - begin
    memory: list[float] = []
    watch.__init__()  # type: ignore[misc]
    with tempfile.TemporaryDirectory(dir=folder) as out:
        begin = time.perf_counter()
        extract(given, corpus, Path(out) / "table", Settings(), progress=lambda _: memory.append(megabytes()))
        wall = time.perf_counter() - begin
    total = start_up + opening + wall
    parts = {"start-up": start_up, "opening corpus and checkpoint": opening}
    parts |= {part: watch.seconds[part] for part in ("reading", "writing")}
    print(f"\n{name}, all {len(corpus.utterances)} utterances ({corpus.seconds:.0f} s) in {total:.1f} s")
    for part, seconds in parts.items():
        print(f"{part:<32}{seconds:8.2f} s {seconds / total:6.1%}")
    print(f"{'together':<32}{sum(parts.values()):8.2f} s {sum(parts.values()) / total:6.1%}")
    places = {"first": 0, "a quarter": len(memory) // 4, "half": len(memory) // 2, "last": -1}
    print("MiB resident after the " + ", ".join(f"{place} {memory[i]:.0f}" for place, i in places.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--corpus", type=Path, default=demo.CORPUS, help="folder of a corpus (default: the embedded one)"
    )
    parser.add_argument("--utterances", type=int, default=4, help="how many each model is timed on; 0: none")
    parser.add_argument("--turns", type=int, default=2, help="times that each is done; the fastest counts")
    parser.add_argument("--whole", metavar="CKPT", help="also extract the whole corpus with it: a checkpoint, a preset")
    asked = parser.parse_args()
    watch = watch_everything()
    with tempfile.TemporaryDirectory() as folder:
        if asked.utterances:
            corpus = open_corpus(asked.corpus)
            speeds(replace(corpus, utterances=corpus.utterances[: asked.utterances]), asked.turns, watch, Path(folder))
        if asked.whole:
            whole(asked.whole, asked.corpus, watch, Path(folder))


if __name__ == "__main__":
    main()
