"""Times extraction: wall seconds per second of audio with one worker and with several, and where the time goes.

    python benchmarks/extraction.py --corpus TIMIT --utterances 8 --workers 2

Each model writes a token table of some utterances, with the paper's estimator (100 draws) and with the default one.
Presets have random weights, which do not change the work. Shares are of the processor time of one worker. Absolute
times depend on the machine and on what else runs there; compare columns of one run.
"""

import argparse
import cProfile
import pstats
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from sys import path

path.insert(0, str(Path(__file__).resolve().parents[1]))

from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.models.checkpoints.checkpoint import Checkpoint
from lvm_probe.models.registry import FAMILIES, preset
from lvm_probe.probing.corpora import demo, open_corpus
from lvm_probe.probing.corpora.corpus import Corpus
from lvm_probe.probing.features import extraction
from lvm_probe.probing.features.extraction import Settings, extract

MODELS = ("cwvae paper", "cwvae-small", "vrnn paper", "srnn paper")
SETTINGS = (Settings(draws=100, estimator="sample"), Settings())
STAGES = {
    ("families", "encode"): "encoder",
    ("families", "infer"): "inference",
    ("noise.py", "path_noise"): "noise",
    ("pooling.py", "add"): "pooling",
    ("mel.py", "log_mel"): "Mel",
    ("recordings.py", "read_pcm"): "reading",
    ("token_table.py", "write_part"): "writing",
}
"""Stages by the file (or its folder) and the name of their function; none calls another."""


def load(name: str, folder: Path) -> Checkpoint:
    """A shipped checkpoint, or one of a preset with random weights."""
    if " " not in name:
        return checkpoint.load(name)
    family, size = name.split()
    file = folder / f"{family}-{size}.safetensors"
    checkpoint.save(file, FAMILIES[family].seeded(preset(family, size).config, 0), {"corpus": "none"})
    return checkpoint.load(file)


def seconds(model: Checkpoint, corpus: Corpus, settings: Settings, workers: int) -> float:
    """Wall seconds of an extraction."""
    with tempfile.TemporaryDirectory() as out:
        began = time.perf_counter()
        extract(model, corpus, Path(out) / "table", settings, workers=workers)
        return time.perf_counter() - began


def shares(model: Checkpoint, corpus: Corpus, settings: Settings) -> str:
    """The stages of an extraction, by their share of its time."""
    profile = cProfile.Profile(time.process_time)
    with tempfile.TemporaryDirectory() as out:
        profile.runcall(extract, model, corpus, Path(out) / "table", settings, workers=1)
    statistics = pstats.Stats(profile)
    spent = dict.fromkeys(STAGES.values(), 0.0)
    for (file, _, function), (_, _, _, cumulative, _) in statistics.stats.items():  # type: ignore[attr-defined]
        for place in Path(file).parts[-2:]:
            if stage := STAGES.get((place, function)):
                spent[stage] += cumulative
    ordered = sorted(spent.items(), key=lambda item: -item[1])
    return ", ".join(f"{stage} {time / statistics.total_tt:.0%}" for stage, time in ordered)  # type: ignore[attr-defined]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--corpus", type=Path, default=demo.CORPUS, help="folder of a corpus (default: the demo corpus)"
    )
    parser.add_argument("--utterances", type=int, default=8, help="number of utterances")
    parser.add_argument("--workers", type=int, default=2, help="number of workers to compare with one")
    parser.add_argument("--turns", type=int, default=2, help="repetitions, of which the fastest counts")
    args = parser.parse_args()
    corpus = open_corpus(args.corpus)
    corpus = replace(corpus, utterances=corpus.utterances[: args.utterances])
    extraction.part_size = lambda utterances: 1  # enough parts for all workers
    print(f"{len(corpus.utterances)} utterances, {corpus.seconds:.1f} s of audio; wall seconds per second of audio\n")
    print(
        f"{'model':<13}{'estimator':<16}{'draws':>5}{'1 worker':>10}{f'{args.workers} workers':>11}{'ratio':>7}  stages"
    )
    with tempfile.TemporaryDirectory() as folder:
        for name in MODELS:
            model = load(name, Path(folder))
            for settings in SETTINGS:
                one, many = (
                    min(seconds(model, corpus, settings, workers) for _ in range(args.turns)) / corpus.seconds
                    for workers in (1, args.workers)
                )
                print(
                    f"{name:<13}{settings.estimator:<16}{settings.draws:>5}{one:>10.3f}{many:>11.3f}"
                    f"{one / many:>7.2f}  {shares(model, corpus, settings)}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
