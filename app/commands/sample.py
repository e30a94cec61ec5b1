"""`probe sample`: files drawn from a model's prior, or a model's reconstruction of recordings."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lvm_probe import InputError
from lvm_probe.app.options import CKPT, add_device
from lvm_probe.app.output import Output
from lvm_probe.models.device import pick_device
from lvm_probe.models.io.files import check_writable
from lvm_probe.probing.progress import bar

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from lvm_probe.models.model import SpeechModel

SUMMARY = "write audio drawn from a model's prior, or reconstructions of recordings"
EXAMPLES = ("probe sample --ckpt cwvae-small --seconds 2 --count 3 --out samples",)
MAX_SECONDS = 600


def options(parser: argparse.ArgumentParser) -> None:
    model = parser.add_argument_group("model")
    model.add_argument("--ckpt", required=True, help=CKPT)
    add_device(model)
    what = parser.add_argument_group("what to write")
    what.add_argument("--seconds", type=float, default=3.0, help="length of each file")
    what.add_argument(
        "--steps", type=int, default=200, metavar="N", help="length of each piano roll, drawing or text, in steps"
    )
    what.add_argument("--count", type=int, default=4, metavar="N", help="number of files")
    what.add_argument(
        "--reconstruct", action="append", metavar="FILE", help="encode and decode this recording instead; repeatable"
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--out",
        default="samples",
        metavar="DIR",
        help="folder for the files: WAV; MIDI and WAV of piano rolls, SVG and PNG of strokes, text",
    )


def run(args: argparse.Namespace) -> Output:
    """Write `sample-N.wav`; or for each recording a copy at the model's rate, its reconstruction and a draw."""
    import torch

    from lvm_probe.models.checkpoints import checkpoint
    from lvm_probe.models.domains.waveform import Waveform
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
    recordings = [Path(name) for name in args.reconstruct or []]
    _check_names(recordings, out)
    model = checkpoint.load(args.ckpt, any_domain=True).model.to(pick_device(args.device))
    rate = model.config.sample_rate
    generator = torch.Generator().manual_seed(args.seed)
    if isinstance(model.config.output, Waveform) and not model.config.output.whole:
        raise InputError(f"{args.ckpt}: a model of thinned or permuted waveforms, which cannot be listened to")
    if model.config.output.name != "waveform":
        return _sequences(model, args, out, generator)
    waves: dict[str, Tensor] = {}
    for recording in recordings:
        pcm = torch.from_numpy(read_pcm_file(recording, rate))
        centre, drawn = reconstruct(model, pcm, generator)
        waves |= zip(_names(recording), (pcm, to_pcm(centre), to_pcm(drawn)), strict=True)
    if not recordings:
        with bar(args.seconds * args.count, "sample", delay=1) as advance:
            samples = model.sample(max(1, round(args.seconds * rate)), args.count, generator)
            advance(args.seconds * args.count)
        waves = {f"sample-{i}.wav": to_pcm(wave) for i, wave in enumerate(samples, 1)}
    wrote = [str(write_wav(out / name, wave.numpy(), rate)) for name, wave in waves.items()]
    document = {"wrote": wrote, "sample_rate": rate, "seed": args.seed}
    return Output(document, "\n".join(f"wrote {path}" for path in wrote))


def _names(recording: Path) -> list[str]:
    """Of the copy, the reconstruction and the draw of a recording."""
    return [f"{recording.stem}{what}.wav" for what in ("", "-reconstructed", "-drawn")]


def _check_names(recordings: Sequence[Path], out: Path) -> None:
    """Refuse to replace one of the recordings, or to write two of them to one file."""
    originals = {recording.resolve(): recording for recording in recordings}
    taken: set[str] = set()
    for recording in recordings:
        for name in _names(recording):
            if original := originals.get((out / name).resolve()):
                raise InputError(
                    f"--reconstruct {original}: would be replaced by what is written; choose another --out"
                )
            if name in taken:
                raise InputError(
                    f"--reconstruct {recording}: two recordings would be written as {name}; reconstruct this one into "
                    "another --out"
                )
            taken.add(name)


ENDINGS = {"pianoroll": (".mid", ".wav"), "strokes": (".svg", ".png"), "words": (".txt",), "characters": (".txt",)}
"""Of the files that are written of a sequence."""


def _sequences(model: SpeechModel, args: argparse.Namespace, out: Path, generator: torch.Generator) -> Output:
    """Write `sample-N` of a model of piano rolls, pen strokes or text."""
    from lvm_probe.probing.corpora.sequences.writers import write_sequence

    domain = model.config.output
    if args.reconstruct:
        raise InputError("--reconstruct is for waveforms; leave it out")
    if not 1 <= args.steps <= 100_000:
        raise InputError(f"--steps {args.steps}: give a length from 1 to 100,000")
    drawn = domain.quantise(model.sample(args.steps * domain.step, args.count, generator)).numpy()
    wrote = []
    for number, values in enumerate(drawn, 1):
        for ending in ENDINGS[domain.name]:
            path = out / f"sample-{number}{ending}"
            write_sequence(path, domain.name, values, getattr(domain, "vocabulary", ()))
            wrote.append(str(path))
    document = {"wrote": wrote, "domain": domain.name, "seed": args.seed}
    return Output(document, "\n".join(f"wrote {path}" for path in wrote))
