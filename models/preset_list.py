"""The presets of all families, to be listed without PyTorch, which takes seconds to import.

`presets.json` beside this file is written by `python -m lvm_probe.models.preset_list`; a test compares it with the
models.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = Path(__file__).with_name("presets.json")


@dataclass(frozen=True)
class ListedPreset:
    """A preset in the list.

    Attributes:
        family: name of the family.
        name: of the preset.
        parameters: number of weights of the model.
        note: a line about it.
        any_domain: whether the family models other data than waveforms too, with any within-step factorisation.
    """

    family: str
    name: str
    parameters: int
    note: str
    any_domain: bool


def listed() -> list[ListedPreset]:
    """The presets in the list, family by family.

    Example:
        >>> listed()[0].family, listed()[0].name
        ('cwvae', 'small')
    """
    return [ListedPreset(**entry) for entry in json.loads(FILE.read_text(encoding="utf-8"))]


def counted() -> list[ListedPreset]:
    """The presets as the models have them; no memory is taken for the weights."""
    import torch

    from lvm_probe.models.registry import FAMILIES

    presets = []
    for family, model in FAMILIES.items():
        for name, preset in model.presets.items():
            with torch.device("meta"):
                weights = sum(parameter.numel() for parameter in model(preset.config).parameters())
            on_steps = hasattr(preset.config, "within_step")
            presets.append(ListedPreset(family, name, weights, preset.note, on_steps))
    return presets


if __name__ == "__main__":
    lines = ",\n".join(json.dumps(asdict(preset), ensure_ascii=False) for preset in counted())
    FILE.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
