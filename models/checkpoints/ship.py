"""`python -m lvm_probe.models.checkpoints.ship RUN NAME`: add a run's best checkpoint to those shipped."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from lvm_probe import InputError
from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.models.checkpoints.shipped_checkpoints import SHIPPED
from lvm_probe.models.likelihood.summary import bits_text

MOST_BYTES = 8_000_000
NEEDED = ("validation_bits_per_frame", "update")
"""What the provenance must have; of a fit without updates, or of stage two, it does not."""


def card(name: str, loaded: checkpoint.Checkpoint) -> str:
    """A draft of a model card, from the provenance of the checkpoint.

    Raises:
        InputError: if that lacks what the card says.
    """
    p: dict[str, Any] = loaded.provenance
    if missing := [name for name in NEEDED if name not in p]:
        raise InputError(
            f"{loaded.path}: its provenance lacks {', '.join(missing)}, which the card states; ship a model that was "
            "trained by updates and on its bound (--stage 1)"
        )
    config = loaded.model.config
    parameters = sum(x.numel() for x in loaded.model.parameters())
    train, validation, test = (len(p.get(f"{part}_speakers", [])) for part in ("train", "validation", "test"))
    corpora = "; ".join(
        f"{c['prefix'].rstrip('/') or c['corpus']} (layout {c['corpus']}): {c['train_seconds']} s"
        for c in p.get("corpora", [])
    )
    validated = bits_text(config.output, p["validation_bits_per_frame"], 4)
    return f"""# {name}

| | |
|---|---|
| family | {loaded.model.family}, preset `{p.get("preset")}` |
| latents and strides | {loaded.model.latents} at {loaded.model.strides} samples of {config.sample_rate} Hz |
| parameters | {parameters:,}, stored in half precision |
| trained on | {corpora or p.get("corpus")}; {p.get("train_seconds")} s of {train} speakers |
| held out | {validation} speakers for validation, {test} for test |
| training | {p.get("update"):,} updates in {p.get("training_seconds", 0) / 60:.0f} minutes |
| recipe | `{json.dumps(p.get("recipe"))}` |
| seed | {p.get("seed")} |
| validation | {validated} on the validation speakers (single precision) |
| test | by `probe evaluate --ckpt {name} --split test` |
| versions | `{json.dumps(p.get("versions"))}` |

Validation speakers: {", ".join(p.get("validation_speakers", []))}.

Test speakers: {", ".join(p.get("test_speakers", []))}.
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m lvm_probe.models.checkpoints.ship", description=__doc__)
    parser.add_argument("run", help="run folder or checkpoint file")
    parser.add_argument("name", help="name to ship it under, <family>-<preset>")
    args = parser.parse_args()
    try:
        loaded = checkpoint.load(args.run)
        path, draft = SHIPPED / f"{args.name}.safetensors", card(args.name, loaded)
        checkpoint.save(path, loaded.model, loaded.provenance, precision="float16")
    except InputError as error:
        print(f"lvm_probe.models.checkpoints.ship: {error}", file=sys.stderr)
        return 2
    size = path.stat().st_size
    path.with_suffix(".md").write_text(draft)
    print(f"{path}: {size / 1e6:.2f} MB" + ("; too large to commit" if size > MOST_BYTES else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
