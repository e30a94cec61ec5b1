"""All model families by name, and their presets.

Adding a family takes one file in `families/` and one line in `_CLASSES` (see CONTRIBUTING.md).
"""

from __future__ import annotations

from dataclasses import asdict, replace
from importlib import import_module
from typing import Any

from lvm_probe import InputError
from lvm_probe.models.domains.registry import domain_from_dict, domain_to_dict
from lvm_probe.models.model import SpeechModel
from lvm_probe.models.training.recipe import Preset

_CLASSES = (
    "cwvae.CWVAE",
    "vrnn.VRNN",
    "srnn.SRNN",
    "storn.STORN",
    "zforcing.ZForcing",
    "bilstm.BiLSTM",
    "swavenet.SWaveNet",
    "stcn.STCN",
    "ladder.LadderRNN",
    "bowman.Bowman",
    "wavevae.WaveVAE",
    "wavenet.WaveNet",
    "lstm.LSTM",
    "cwrnn.CWRNN",
    "hmlstm.HMLSTM",
    "dmol.Unconditional",
)
"""Module in `families/` and class."""


def _load(name: str) -> type[SpeechModel]:
    module, cls = name.split(".")
    model: type[SpeechModel] = getattr(import_module(f"lvm_probe.models.families.{module}"), cls)
    return model


FAMILIES: dict[str, type[SpeechModel]] = {model.family: model for model in map(_load, _CLASSES)}
"""Every family's class by the family's name."""


def family(name: str) -> type[SpeechModel]:
    """The class of a family.

    Args:
        name: of the family.

    Raises:
        InputError: if there is no such family; it lists those that there are.

    Example:
        >>> family("vrnn").__name__
        'VRNN'
    """
    if name not in FAMILIES:
        raise InputError(f"unknown model family '{name}': choose one of {', '.join(FAMILIES)}")
    return FAMILIES[name]


def preset(family_name: str, name: str) -> Preset:
    """A preset of a family: a configuration and the recipe that trains it.

    Args:
        family_name: name of the family.
        name: of the preset.

    Raises:
        InputError: if there is no such family or preset; it lists those that there are.

    Example:
        >>> preset("cwvae", "small").config.strides
        (64, 512)
    """
    presets = family(family_name).presets
    if name not in presets:
        raise InputError(f"unknown preset '{name}' of {family_name}: choose one of {', '.join(presets)}")
    return presets[name]


def config_to_dict(config: Any) -> dict[str, Any]:
    """A configuration as JSON types."""
    return asdict(config) | {"output": domain_to_dict(config.output)}


def config_from_dict(family_name: str, data: Any) -> Any:
    """Rebuild a configuration from its JSON form.

    Args:
        family_name: name of the family.
        data: as `config_to_dict` makes it.

    Raises:
        InputError: if keys are unknown or missing, or values are wrong.
    """
    model = family(family_name)
    try:
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        if "output" in values:
            values["output"] = domain_from_dict(values["output"])
        return model.Config(**values)
    except (TypeError, AttributeError) as error:
        raise InputError(f"not a configuration of {family_name}: {error}") from None


def override_config(
    config: Any, *, strides: tuple[int, ...] = (), latents: tuple[int, ...] = (), output: dict[str, Any] | None = None
) -> Any:
    """A copy of a configuration with some values changed.

    Args:
        config: of any family.
        strides: audio samples per step of each layer, lowest first; empty to keep them.
        latents: size of each layer of latents, lowest first; empty to keep them.
        output: fields of `Waveform` to change.

    Raises:
        InputError: if the family has no such values, or not that many.

    Example:
        >>> override_config(preset("vrnn", "small").config, latents=(16,)).latent
        16
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
