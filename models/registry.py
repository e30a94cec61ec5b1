"""The family: every model by its name, and its presets.

Adding a model is one file that defines it, with its configuration and presets, and one line here.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from lvm_probe import InputError
from lvm_probe.models.families.cwvae import CWVAE
from lvm_probe.models.families.dmol import Unconditional
from lvm_probe.models.families.lstm import LSTM
from lvm_probe.models.families.srnn import SRNN
from lvm_probe.models.families.stcn import STCN
from lvm_probe.models.families.vrnn import VRNN
from lvm_probe.models.families.wavenet import WaveNet
from lvm_probe.models.likelihood.output_distribution import OutputConfig
from lvm_probe.models.model import SpeechModel
from lvm_probe.models.training.recipe import Preset

FAMILIES: dict[str, type[SpeechModel]] = {
    model.family: model for model in (CWVAE, VRNN, SRNN, STCN, WaveNet, LSTM, Unconditional)
}


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


def override_config(
    config: Any, *, strides: tuple[int, ...] = (), latents: tuple[int, ...] = (), output: dict[str, Any] | None = None
) -> Any:
    """The configuration with other strides, latent sizes or output; what is empty stays as it is.

    Raises InputError where the model has no such thing, or not so many.
    """
    changes: dict[str, Any] = {}
    for values, many, one in ((strides, "strides", "stride"), (latents, "latents", "latent")):
        if not values:
            continue
        if hasattr(config, many):
            changes[many] = values
        elif not hasattr(config, one):
            raise InputError(f"this model has no {many} to choose")
        elif len(values) > 1:
            raise InputError(f"this model has one {one}; got {', '.join(map(str, values))}")
        else:
            changes[one] = values[0]
    if output:
        changes["output"] = replace(config.output, **output)
    return replace(config, **changes)


def config_to_dict(config: Any) -> dict[str, Any]:
    """The configuration as JSON types."""
    return asdict(config)
