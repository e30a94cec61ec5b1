"""The family: every model by its name, its presets, and the checkpoints that come with the package.

Adding a model is one file that defines it, with its configuration and presets, and one line here.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.cwvae import CWVAE
from models.errors import InputError
from models.model import SpeechModel
from models.output import OutputConfig
from models.recipe import Preset
from models.vrnn import VRNN

FAMILIES: dict[str, type[SpeechModel]] = {model.family: model for model in (CWVAE, VRNN)}

SHIPPED = Path(__file__).parent / "shipped"
"""Checkpoints that come with the package, `<family>-<preset>.safetensors`, each with its card."""


def family(name: str) -> type[SpeechModel]:
    """The model of that name; raises InputError listing what there is."""
    if name not in FAMILIES:
        raise InputError(f"unknown model family '{name}': choose one of {', '.join(FAMILIES)}")
    return FAMILIES[name]


def preset(family_name: str, name: str) -> Preset:
    """The preset of that name; raises InputError listing what there is."""
    presets = family(family_name).presets
    if name not in presets:
        raise InputError(f"unknown preset '{name}' of {family_name}: choose one of {', '.join(presets)}")
    return presets[name]


def shipped() -> list[tuple[str, str, Path]]:
    """Checkpoints that come with the package: name, family, file."""
    return [(path.stem, path.stem.split("-")[0], path) for path in sorted(SHIPPED.glob("*.safetensors"))]


def config_from_dict(family_name: str, data: Any) -> Any:
    """Rebuild a configuration from its JSON form; unknown or missing keys are an InputError."""
    model = family(family_name)
    try:
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        if "output" in values:
            values["output"] = OutputConfig(**values["output"])
        return model.Config(**values)
    except (TypeError, AttributeError) as error:
        raise InputError(f"not a configuration of {family_name}: {error}") from None


def config_to_dict(config: Any) -> dict[str, Any]:
    """The configuration as JSON types."""
    return asdict(config)
