"""Measures the rates of docs/scaling.md; extraction, probes and training have benchmarks of their own.

    python benchmarks/scaling.py --corpus LibriSpeech --latents latents/libri

Each figure comes from a process of its own, because a process knows only its peak memory since its start.
"""

import argparse
import multiprocessing
import resource
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from sys import path
from typing import Any

path.insert(0, str(Path(__file__).resolve().parents[1]))


def peak() -> float:
    """Peak memory of this process so far, in bytes."""
    return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def corpus(root: str) -> str:
    from lvm_probe.probing.corpora import open_corpus
    from lvm_probe.probing.corpora.audio import read_audio

    open_corpus(root)
    begin, used = time.perf_counter(), time.process_time()
    opened = open_corpus(root)
    wall, used, files = time.perf_counter() - begin, time.process_time() - used, len(opened.utterances)
    tracemalloc.start()
    opened = open_corpus(root)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    some = opened.utterances[:: max(1, files // 50)]
    begin = time.process_time()
    for utterance in some:
        read_audio(utterance, utterance.sample_rate)
    read = sum(u.seconds for u in some) / (time.process_time() - begin)
    size = sum(u.audio.stat().st_size for u in opened.utterances)
    phonemes, words = (sum(len(getattr(u, unit)) for u in opened.utterances) for unit in ("phonemes", "words"))
    return (
        f"corpus: {files} files, {opened.seconds:.0f} s; opening {1000 * used / files:.2f} ms of processor time a "
        f"file, {1000 * wall / files:.2f} ms of wall time\n        {held / files:,.0f} bytes in memory an utterance; "
        f"{phonemes / opened.seconds:.1f} phonemes and {words / opened.seconds:.1f} words a second\n"
        f"        {size / opened.seconds:,.0f} bytes of audio a second, read at {read:,.0f} times its own speed"
    )


def latents(folder: str) -> str:
    from lvm_probe.probing.features import token_table

    parts = sorted(Path(folder).glob("part-*.parquet"))
    before = peak()
    table = token_table.load(folder)
    growth = peak() - before
    rows, numbers = len(table.tokens), sum(array.nbytes for array in table.features.values())
    begin = time.process_time()
    token_table.count_rows(Path(folder), len(parts))
    counted = 1000 * (time.process_time() - begin) / len(parts)
    return (
        f"table: {rows} rows of {sum(p.stat().st_size for p in parts) / rows:,.0f} bytes on disk, "
        f"{numbers / rows:,.0f} of them numbers in memory; {growth / rows:,.0f} bytes a row at the peak of reading\n"
        f"       a part read back in {counted:.1f} ms"
    )


def model(ckpt: str, seconds: int, draws: int) -> str:
    import numpy as np
    import torch

    from lvm_probe.models.checkpoints import checkpoint
    from lvm_probe.probing.corpora.corpus import Segment
    from lvm_probe.probing.features.extraction_settings import Settings
    from lvm_probe.probing.features.token_latents import checkpoint_source

    torch.set_num_threads(1)
    settings = Settings(draws=draws, estimator="posterior-mean")
    source = checkpoint_source(checkpoint.load(ckpt), settings, torch.device("cpu"), 1.0)
    before = peak()
    pcm = (1000 * np.random.default_rng(0).normal(size=seconds * source.sample_rate)).astype(np.int16)
    begin = time.process_time()
    source.pooled("noise", pcm, [Segment("all", 0, len(pcm))])
    used = time.process_time() - begin
    return (
        f"{ckpt}, {seconds} s, {draws} draws: peak {peak() / 1e9:.2f} GB ({before / 1e9:.2f} before), "
        f"{used / seconds:.3f} s of processor time a second"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--corpus", help="folder of a corpus")
    parser.add_argument("--latents", help="folder of a token table")
    parser.add_argument("--ckpt", default="cwvae-small")
    asked = parser.parse_args()
    tasks: list[tuple[Callable[..., str], Any]] = []
    tasks += [(corpus, (asked.corpus,))] if asked.corpus else []
    tasks += [(latents, (asked.latents,))] if asked.latents else []
    tasks += [(model, (asked.ckpt, *of)) for of in ((12, 100), (35, 100), (35, 10), (120, 1), (240, 1))]
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=fresh, max_tasks_per_child=1) as pool:
        for task, of in tasks:
            print(pool.submit(task, *of).result(), flush=True)


if __name__ == "__main__":
    main()
