"""`probe models`: model families, presets, domains of data and shipped checkpoints."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from lvm_probe.app.output import Output, in_columns
from lvm_probe.models.checkpoints.shipped_checkpoints import shipped
from lvm_probe.models.preset_list import listed

SUMMARY = "list model families, presets, domains of data and shipped checkpoints"
EXAMPLES = ("probe models",)
DOMAINS = {
    "waveform": "16-bit audio: folders of speech",
    "strokes": "pen strokes (pen, dx, dy): sketch-rnn's .npz, IAM-OnDB, DeepWriting",
    "pianoroll": "88 keys: .mat and .pickle of Boulanger-Lewandowski et al., folders of MIDI files",
    "words": "text in words: .txt, folders of the Penn Treebank",
    "characters": "the same in characters",
}
"""Of `models.domains`, which imports PyTorch: what they are, and what they are read from."""
WITHIN_STEP = ("factorised", "interleave:U", "random:V", "rnn", "masked-mlp")


def options(parser: argparse.ArgumentParser) -> None:
    """No options of its own."""


def run(args: argparse.Namespace) -> Output:
    """List them, without importing PyTorch."""
    presets = listed()
    checkpoints = [(name, family, str(path)) for name, family, path in shipped()]
    rows = [(one.family, one.name, _size(one.parameters), one.note) for one in presets]
    lines = ["families and presets, with their number of parameters:", *in_columns(rows, left=4)]
    able = list(dict.fromkeys(one.family for one in presets if one.any_domain))
    lines += ["", "domains of data (--domain, mostly told by the files):", *in_columns(list(DOMAINS.items()), left=2)]
    lines += ["", f"waveforms: all families; any domain, and --within-step {', '.join(WITHIN_STEP)}: {', '.join(able)}"]
    lines += ["", "shipped checkpoints:", *(in_columns(checkpoints, left=3) if checkpoints else ["none"])]
    document = {
        "families": list(dict.fromkeys(one.family for one in presets)),
        "presets": [f"{one.family}/{one.name}" for one in presets],
        "domains": list(DOMAINS),
        "families_of_any_domain": able,
        "preset_list": [asdict(one) for one in presets],
        "checkpoints": [{"name": name, "family": family, "path": path} for name, family, path in checkpoints],
    }
    return Output(document, "\n".join(lines))


def _size(parameters: int) -> str:
    """`3.5 M`, `120 k` or `60`."""
    if parameters >= 1e6:
        return f"{parameters / 1e6:.1f} M"
    return f"{parameters / 1e3:.0f} k" if parameters >= 1e3 else str(parameters)
