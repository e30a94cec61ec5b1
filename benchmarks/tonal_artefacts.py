"""Tonal artefacts of the decoder's ways to raise the rate, untrained and trained.

    python benchmarks/tonal_artefacts.py OUT.png RUN [RUN ...]

Each way decodes latents drawn from the prior (noise) and a latent of zeros (silence), by untrained weights of one seed
and by those of the runs whose checkpoints have that way. A decoder that repeats a pattern with every step has lines in
its spectrum at multiples of the rates it passes through. The figure is the power in the bins at these multiples above
the median of their neighbours, in dB, and the spectra are drawn (Pons et al. 2021 compare the ways by ear).
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import replace
from pathlib import Path
from typing import get_args

import matplotlib.pyplot as plt
import numpy as np
import torch

from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.models.families.wavevae import WaveVAE
from lvm_probe.models.layers.waveform_coder import Upsampling
from lvm_probe.models.registry import preset

WINDOW = 1_600
"""Samples of a frame, a multiple of every step of the coder: every line falls into one bin of 10 Hz."""
SEGMENTS = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out")
    parser.add_argument("runs", nargs="*")
    args = parser.parse_args()
    torch.set_num_threads(1)
    full_band = preset("wavevae", "small-full-band").config
    models = {(how, "untrained"): WaveVAE.seeded(replace(full_band, upsampling=how), 0) for how in get_args(Upsampling)}
    for run in args.runs:
        model = checkpoint.load(run).model
        assert isinstance(model, WaveVAE)
        models[model.config.upsampling, "trained"] = model
    ways, states = get_args(Upsampling), ("untrained", "trained")
    figure, axes = plt.subplots(len(ways), 2, figsize=(7.2, 1.5 * len(ways)), sharex=True, layout="constrained")
    said: dict[tuple[str, str], list[str]] = {}
    rows = []
    for (how, state), model in models.items():
        for column, kind in enumerate(("noise", "silence")):
            hertz, level = spectrum(model.eval(), kind)
            lines = round(excess(model, level), 1) + 0.0  # no minus zero
            rows.append({"upsampling": how, "weights": state, "latents": kind, "line_db": lines})
            axis = axes[ways.index(how), column]
            axis.plot(hertz[1:] / 1000, level[1:], lw=0.6, color=("0.6", "C0")[states.index(state)], label=state)
            said.setdefault((how, kind), []).append(f"{state} {lines:+.1f} dB".replace("-", "\N{MINUS SIGN}"))
            axis.set_title(f"{how}, {kind}: {', '.join(said[how, kind])}", fontsize=7)
            axis.tick_params(labelsize=6)
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), fontsize=7, loc="outside upper right", ncols=2, frameon=False
    )
    figure.supxlabel("kHz", fontsize=8)
    figure.supylabel("level (dB)", fontsize=8)
    figure.savefig(args.out, dpi=180)
    with Path(args.out).with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        print(",".join(map(str, row.values())))


@torch.no_grad()
def spectrum(model: WaveVAE, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean power of frames of the decoded expectation, in dB; the ends of segments are left out."""
    model = model.double()  # the patterns of untrained weights are below the rounding of single precision
    w = torch.randn(SEGMENTS, 1, model.config.latent, generator=torch.Generator().manual_seed(0)).double()
    waves = model.config.output.centre(
        model.decode_latents(model.from_base(w if kind == "noise" else 0 * w[:1])).parameters
    )
    frames = waves.view(-1, model.config.stride)[:, 200 : 200 + WINDOW].double().numpy()
    frames = frames - frames.mean(1, keepdims=True)
    power = np.square(np.abs(np.fft.rfft(frames))).mean(0)
    return np.fft.rfftfreq(WINDOW, 1 / model.config.sample_rate), 10 * np.log10(power + 1e-30)


def excess(model: WaveVAE, level: np.ndarray) -> float:
    """Mean level of the bins at multiples of the coder's rates above the median of the five bins on either side."""
    found = set()
    for step in model.config.coder.rates[1:]:
        found |= {k * WINDOW // step for k in range(1, step // 2 + 1) if WINDOW % step == 0}
    bins = [b for b in sorted(found) if 6 <= b < len(level) - 6]
    around = [np.median(np.r_[level[b - 5 : b], level[b + 1 : b + 6]]) for b in bins]
    return float(np.mean([level[b] - a for b, a in zip(bins, around, strict=True)]))


if __name__ == "__main__":
    main()
