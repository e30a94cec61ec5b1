"""`probe sample`: WAV files drawn from a model's prior, or a model's reconstruction of recordings."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lvm_probe import InputError
from lvm_probe.app.options import CKPT, add_device
from lvm_probe.app.output import Output
from lvm_probe.models.device import pick_device
from lvm_probe.models.io.files import check_writable
from lvm_probe.probing.progress import bar

if TYPE_CHECKING:
    from torch import Tensor

SUMMARY = "write audio drawn from a model's prior, or reconstructions of recordings"
EXAMPLES = ("probe sample --ckpt cwvae-small --seconds 2 --count 3 --out samples",)
MAX_SECONDS = 600


def options(parser: argparse.ArgumentParser) -> None:
    model = parser.add_argument_group("model")
    model.add_argument("--ckpt", required=True, help=CKPT)
    add_device(model)
    what = parser.add_argument_group("what to write")
    what.add_argument("--seconds", type=float, default=3.0, help="length of each file")
    what.add_argument("--count", type=int, default=4, metavar="N", help="number of files")
    what.add_argument(
        "--reconstruct", action="append", metavar="FILE", help="encode and decode this recording instead; repeatable"
    )
    output = parser.add_argument_group("output")
    output.add_argument("--out", default="samples", metavar="DIR", help="folder for the WAV files")


def run(args: argparse.Namespace) -> Output:
    """Write `sample-N.wav`; or for each recording a copy at the model's rate, its reconstruction and a draw."""
    import torch

    from lvm_probe.models.checkpoints import checkpoint
    from lvm_probe.models.io.wav import write_wav
    from lvm_probe.models.likelihood.mulaw import to_pcm
    from lvm_probe.models.likelihood.reconstruction import reconstruct
    from lvm_probe.probing.corpora.recordings import read_pcm_file

    if not 0 < args.seconds <= MAX_SECONDS:
        raise InputError(f"--seconds {args.seconds}: give a length above 0 and up to {MAX_SECONDS}")
    if args.count < 1:
        raise InputError(f"--count {args.count}: give 1 or more")
    out = Path(args.out)
    check_writable(out)
    model = checkpoint.load(args.ckpt).model.to(pick_device(args.device))
    rate = model.config.sample_rate
    generator = torch.Generator().manual_seed(args.seed)
    waves: dict[str, Tensor] = {}
    for name in args.reconstruct or []:
        pcm, stem = torch.from_numpy(read_pcm_file(Path(name), rate)), Path(name).stem
        centre, drawn = reconstruct(model, pcm, generator)
        waves |= {stem: pcm, f"{stem}-reconstructed": to_pcm(centre), f"{stem}-drawn": to_pcm(drawn)}
    if not args.reconstruct:
        with bar(args.seconds * args.count, "sample", delay=1) as advance:
            samples = model.sample(max(1, round(args.seconds * rate)), args.count, generator)
            advance(args.seconds * args.count)
        waves = {f"sample-{i}": to_pcm(wave) for i, wave in enumerate(samples, 1)}
    wrote = [str(write_wav(out / f"{stem}.wav", wave.numpy(), rate)) for stem, wave in waves.items()]
    document = {"wrote": wrote, "sample_rate": rate, "seed": args.seed}
    return Output(document, "\n".join(f"wrote {path}" for path in wrote))
