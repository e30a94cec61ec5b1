"""`probe sample`: WAV files from a model's prior, or of what it makes of a recording."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lvm_probe.app.output import Answer, bar, pick_device

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from lvm_probe.models.model import SpeechModel

MOST_SECONDS = 600


def run(args: argparse.Namespace) -> Answer:
    """Write `sample-N.wav`; or for each recording a copy at the model's rate, its reconstruction and a draw."""
    import torch

    from lvm_probe import InputError
    from lvm_probe.models.checkpoints import checkpoint
    from lvm_probe.models.likelihood.mulaw import to_pcm
    from lvm_probe.probing.corpora.recordings import read_pcm_file
    from lvm_probe.probing.features.token_table import check_writable

    if not 0 < args.seconds <= MOST_SECONDS or args.count < 1:
        raise InputError(f"--seconds {args.seconds}, --count {args.count}: give 0 to {MOST_SECONDS} seconds, 1 or more")
    out = Path(args.out)
    check_writable(out)
    loaded = checkpoint.load(args.ckpt)
    model = loaded.model.to(pick_device(args.device))
    rate = model.config.sample_rate
    generator = torch.Generator().manual_seed(args.seed)
    wrote: list[Path] = []
    for name in args.reconstruct or []:
        pcm = torch.from_numpy(read_pcm_file(Path(name), rate))
        centre, drawn = reconstruct(model, pcm, generator)
        for end, wave in (("", pcm), ("-reconstructed", to_pcm(centre)), ("-drawn", to_pcm(drawn))):
            wrote.append(_write(out / f"{Path(name).stem}{end}.wav", wave, rate))
    if not args.reconstruct:
        samples = max(1, round(args.seconds * rate))
        with bar(args.seconds * args.count, "sample", delay=1) as done:
            waves = model.sample(samples, args.count, generator)
            done(args.seconds * args.count)
        wrote = [_write(out / f"sample-{i}.wav", to_pcm(wave), rate) for i, wave in enumerate(waves, 1)]
    document = {"wrote": [str(path) for path in wrote], "sample_rate": rate, "seed": args.seed}
    return Answer(document, "\n".join(f"wrote {path}" for path in wrote))


def reconstruct(model: SpeechModel, pcm: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The expectation of p(x | z) and a draw from it, for one z of the posterior; both waveforms in [-1, 1].

    A model that sees past audio sees the recording's own, so that of it this is the prediction one step ahead.
    """
    import torch

    from lvm_probe.models.likelihood.chunks import MOST_SAMPLES, chunks

    device = model.parameter.device
    lengths = torch.tensor([len(pcm)])
    padded = model.pad(pcm.unsqueeze(0)).to(device)
    noise = [n.to(device) for n in model.noise(len(pcm), 1, generator)]
    with torch.inference_mode():
        outputs = [piece.output for piece in chunks(model, padded, lengths.to(device), noise, MOST_SAMPLES)]
        centre = torch.cat([output.centre().cpu() for output in outputs], 1)
        drawn = torch.cat([output.sample(generator) for output in outputs], 1)
    return centre[0, : len(pcm)], drawn[0, : len(pcm)]


def _write(path: Path, pcm: Tensor, rate: int) -> Path:
    import soundfile

    from lvm_probe.models.io.files import write_atomically

    with write_atomically(path) as temporary:
        soundfile.write(temporary, pcm.numpy(), rate, subtype="PCM_16", format="WAV")
    return path
