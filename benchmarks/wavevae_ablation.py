"""What each part of the waveform VAE does to its bound, at equal seconds of audio.

    python benchmarks/wavevae_ablation.py CORPUS OUT --audio 300 --presets small,small-no-flow

Trains every preset on the same batches of the same speakers, on one thread, and prints its bound on speakers that are
held out. So short a training shows how fast a variant learns, not where it ends.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import torch

from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.models.likelihood.elbo import evaluate
from lvm_probe.models.registry import family, preset
from lvm_probe.models.training.trainer import Trainer
from lvm_probe.probing.corpora import open_corpus
from lvm_probe.probing.corpora.recordings import load_recordings

PRESETS = (
    "small,small-no-flow,small-posterior-flow,small-prior-flow,small-leaky-relu,small-no-weight-norm,small-full-band,"
    "small-full-band-uneven,small-full-band-nearest,small-full-band-linear,small-modulated,small-series"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus")
    parser.add_argument("out")
    parser.add_argument("--presets", default=PRESETS)
    parser.add_argument("--audio", type=float, default=300, help="seconds of audio to train on")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--segment", type=int, default=8_192)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    split = open_corpus(args.corpus).split_speakers(0.04, 0, 0)
    train, held_out = (load_recordings(part, 16_000).recordings for part in (split.train, split.validation))
    updates = round(args.audio * 16_000 / (args.batch * args.segment))
    for name in args.presets.split(","):
        chosen = preset("wavevae", name)
        recipe = replace(
            chosen.recipe, updates=updates, batch=args.batch, segment=args.segment, warm_up=50, ema=0.9,
            validate_every=updates,
        )  # fmt: skip
        out = Path(args.out) / f"{name}-{args.seed}"
        out.mkdir(parents=True)
        run = Trainer(
            family("wavevae").seeded(chosen.config, args.seed), recipe, train, held_out[:1], out, seed=args.seed
        )
        began = time.process_time()
        best = run.run(lambda progress: None)
        seconds = time.process_time() - began
        found = evaluate(checkpoint.load(best).model, held_out)
        row = {
            "preset": name,
            "seed": args.seed,
            "audio_seconds": updates * args.batch * args.segment / 16_000,
            "cpu_seconds": round(seconds, 1),
            "parameters": sum(p.numel() for p in run.model.parameters()),
            "bits_per_frame": round(found.bits_per_frame, 4),
            "kl_nats_per_step": round(float(found.kl[0].sum()) / found.steps[0], 2),
            "active": found.active_units["z1"],
        }
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
