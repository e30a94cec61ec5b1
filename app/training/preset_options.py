"""What the options of `probe train` make of a preset: sizes, recipe, and the weights to begin with."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lvm_probe import InputError

if TYPE_CHECKING:
    from lvm_probe.models.checkpoints.checkpoint import Checkpoint
    from lvm_probe.models.checkpoints.cpc_audio import EncoderWeights
    from lvm_probe.models.domains.domain import Domain
    from lvm_probe.models.training.recipe import Preset, Recipe


NUMBERS = ("updates", "batch", "segment", "learning_rate", "upper_free_nats", "validate_every")
"""Options that are positive numbers of the recipe."""

AUGMENTATION = ("quieter", "mangle", "dequantise", "flip", "pitch")
"""Options that change segments; all of them are off by default."""


DEFAULTS = {"devices": 1, "layout": "auto", "precision": "auto", "stage": 1}
"""Of options that always have a value; the others are None or False unless they are given."""


def given(args: argparse.Namespace, names: Sequence[str]) -> str:
    """Those of the options that are given, as they are written on the command line."""
    values = {name: getattr(args, name) for name in names}
    return ", ".join(
        f"--{name.replace('_', '-')}"
        for name, value in values.items()
        if value is not None and value is not False and value != DEFAULTS.get(name)
    )


def chosen_preset(args: argparse.Namespace, domain: Domain | None = None) -> Preset:
    """The preset with the changes that the options ask for; `domain` is that of a corpus that is not speech."""
    from lvm_probe.models.registry import override_config, preset
    from lvm_probe.models.training.recipe import RECIPES

    chosen = preset(args.family, args.preset)
    recipe = {name: value for name in NUMBERS if (value := getattr(args, name)) is not None}
    for name, value in recipe.items():
        if not 0 < value < math.inf:
            raise InputError(f"--{name.replace('_', '-')} {value}: give a positive number")
    changes = {name: getattr(args, name) for name in (*AUGMENTATION, "dropout", "optimizer")}
    recipe |= {name: value for name, value in changes.items() if value is not None}
    if args.kl_weight is not None and not 0 <= args.kl_weight < math.inf:
        raise InputError(f"--kl-weight {args.kl_weight}: give a number from 0")
    basis = RECIPES[args.recipe] if args.recipe else chosen.recipe
    if domain is not None:
        chosen, basis = _of_domain(args, chosen, domain)
        if "segment" in recipe:  # it is given in steps, and kept in elements
            recipe["segment"] *= domain.step
    output = {name: getattr(args, name) for name in ("likelihood", "components", "target", "min_std", "every")}
    output["permuted"] = args.permute
    config = override_config(
        chosen.config,
        strides=args.strides or (),
        latents=args.latents or (),
        output={name: value for name, value in output.items() if value is not None},
    )
    if args.within_step is not None:
        if not hasattr(config, "within_step"):
            raise InputError(f"--within-step: {args.family} has no such choice; leave it out")
        config = replace(config, within_step=args.within_step)
    if args.kl_weight is not None:
        first, _, share = basis.beta
        recipe["beta"] = (min(first, args.kl_weight), args.kl_weight, share)
    chosen = replace(chosen, config=config, recipe=replace(basis, **recipe))
    _check_used(args, chosen)
    return chosen


def _check_used(args: argparse.Namespace, chosen: Preset) -> None:
    """Raise InputError for options that this model or recipe would ignore."""
    config, model = chosen.config, f"{args.family} {args.preset}"
    layers = len(getattr(config, "latents", ())) or int(hasattr(config, "latent"))
    uninferred = layers == 0 or not getattr(config, "variational", True)
    if uninferred and (options := given(args, ("kl_weight", "upper_free_nats"))):
        raise InputError(f"{options}: {model} has no KL divergence; leave it out")
    if args.upper_free_nats is not None and layers < 2:
        raise InputError(f"--upper-free-nats: {model} has no layer of latents above the lowest; leave it out")
    if args.upper_free_nats is not None and not any(chosen.recipe.free_nats[:2]):
        raise InputError("--upper-free-nats: the recipe has no free nats; leave it out")
    if args.min_std is not None and getattr(config.output, "likelihood", "gaussian") != "gaussian":
        raise InputError("--min-std: for --likelihood gaussian only; leave it out")


def _of_domain(args: argparse.Namespace, chosen: Preset, domain: Domain) -> tuple[Preset, Recipe]:
    """The preset on another domain than waveforms, and its recipe, whose segments are steps of the domain."""
    from lvm_probe.models.domains.strokes import Strokes
    from lvm_probe.models.registry import FAMILIES
    from lvm_probe.models.training.recipe import RECIPES

    if not hasattr(chosen.config, "within_step"):
        able = [n for n, cls in FAMILIES.items() if hasattr(cls.presets["small"].config, "within_step")]
        raise InputError(f"{args.family} is for waveforms; {domain.name} can be modelled by {', '.join(able)}")
    own = isinstance(chosen.config.output, type(domain))  # a preset that was made for this domain keeps its components
    recipe = RECIPES[args.recipe] if args.recipe else chosen.recipe if own else RECIPES["sequences"]
    recipe = replace(recipe, segment=recipe.segment * domain.step, auxiliary=(0.0, 0.0, 0.0), quieter=0.0)
    if isinstance(domain, Strokes) and isinstance(chosen.config.output, Strokes):
        domain = chosen.config.output
    return replace(chosen, config=replace(chosen.config, output=domain, stride=domain.step)), recipe


def starting_point(args: argparse.Namespace, preset: Preset) -> Checkpoint | None:
    """The checkpoint at `--start-from`; its output keeps the normalisation that it was trained with."""
    if args.start_from is None:
        return None
    from lvm_probe.models.checkpoints import checkpoint

    start = checkpoint.load(args.start_from, any_domain=True)
    if start.model.family != args.family:
        raise InputError(f"{start.path}: is of the family {start.model.family}, not {args.family}")
    own, asked = asdict(start.model.config), asdict(preset.config)
    for config in (own, asked):
        config["output"] |= {"shift": 0.0, "scale": 1.0}
    if different := [name for name in own if own[name] != asked[name]]:
        raise InputError(
            f"{start.path}: differs from --preset {args.preset} in {', '.join(different)}; choose the preset and the "
            "options that it was trained with"
        )
    return start


def encoder_weights(args: argparse.Namespace, preset: Preset) -> EncoderWeights | None:
    """Those of `--encoder-weights`, for presets that have such an encoder."""
    from lvm_probe.models.checkpoints.cpc_audio import read_encoder
    from lvm_probe.models.families.cwvae import CWVAE

    options = given(args, ("encoder_weights", "freeze_encoder"))
    if not options:
        return None
    if getattr(preset.config, "encoder", None) != "cpc":
        able = [name for name, other in CWVAE.presets.items() if other.config.encoder == "cpc"]
        raise InputError(
            f"{options}: {args.family} {args.preset} has no such encoder; choose {CWVAE.family} with --preset "
            f"{', '.join(able)}"
        )
    if args.encoder_weights is None:
        if args.start_from is None:
            raise InputError("--freeze-encoder: its weights would stay random; give --encoder-weights or --start-from")
        return None
    if args.start_from is not None:
        raise InputError("--encoder-weights: the checkpoint at --start-from has an encoder; leave one of them out")
    path = Path(args.encoder_weights)
    weights, channels = read_encoder(path), preset.config.cpc_channels
    if weights.channels != channels:
        raise InputError(
            f"{path}: an encoder of {weights.channels} channels, where --preset {args.preset} has {channels}; choose "
            "another preset (`probe models`)"
        )
    return weights
