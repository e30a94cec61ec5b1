"""The registry: every model with its presets and configurations, by name."""

import json
from dataclasses import replace

import pytest

from lvm_probe import InputError
from lvm_probe.models.checkpoints import shipped_checkpoints
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.registry import FAMILIES, config_from_dict, config_to_dict, family, override_config, preset
from tests.models import miniature
from tests.models.miniature import run_unchecked

EVERY = pytest.mark.parametrize(
    ("family_name", "name"), [(family, name) for family in FAMILIES for name in FAMILIES[family].presets]
)


@EVERY
def test_a_configuration_survives_json(family_name, name) -> None:
    config = preset(family_name, name).config
    assert config_from_dict(family_name, json.loads(json.dumps(config_to_dict(config)))) == config
    assert config_from_dict(family_name, config_to_dict(config)) == config


@pytest.mark.parametrize("name", ["cwvae-2", "vrnn"])
def test_an_output_survives_json_inside_its_configuration(name) -> None:
    config = miniature.config(name)
    output = Waveform(likelihood="gaussian", components=2, target="linear", min_std=0.02, shift=0.1, scale=0.3)
    config = replace(config, output=output)
    data = json.loads(json.dumps(config_to_dict(config)))
    assert data["output"]["likelihood"] == "gaussian"
    assert config_from_dict(name.split("-")[0], data) == config


@EVERY
def test_segments_hold_whole_steps_of_the_highest_layer(family_name, name) -> None:
    chosen = preset(family_name, name)
    stride = max(getattr(chosen.config, "strides", ()) or (getattr(chosen.config, "stride", 1),))
    assert chosen.recipe.segment % stride == 0


@pytest.mark.parametrize("family_name", FAMILIES)
def test_every_family_has_the_presets_that_commands_default_to(family_name) -> None:
    assert family(family_name).family == family_name
    assert {"small", "tiny"} <= set(family(family_name).presets)
    assert isinstance(preset(family_name, "tiny").config, family(family_name).Config)


@pytest.mark.parametrize("family_name", FAMILIES)
def test_every_family_meets_the_contract(family_name) -> None:
    tested = {name.split("-")[0] for name in miniature.MODELS}
    assert family_name in tested, f"add a line for {family_name} to MODELS in tests/models/miniature.py"


def test_the_paper_preset_is_the_papers() -> None:
    config = preset("cwvae", "paper").config
    assert (config.width, config.latents, config.strides) == (192, (128, 64), (64, 512))
    assert config.inputs == ("mulaw16",)
    assert config.factors == (8, 8)


@pytest.mark.parametrize("like", ["small", "paper"])
def test_one_and_three_layers_differ_from_two_in_nothing_else(like) -> None:
    two = preset("cwvae", like)
    for layers in (1, 3):
        other = preset("cwvae", f"{like}-{layers}")
        assert len(other.config.latents) == layers
        assert other.config.strides == (64, 512, 4096)[:layers]
        assert replace(other.config, latents=two.config.latents, strides=two.config.strides) == two.config
        assert other.recipe == two.recipe


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"latents": [4, 4, 4, 4]}, "1 to 3 layers"),
        ({"latents": []}, "1 to 3 layers"),
        ({"latents": [4, 4]}, "a stride each"),
        ({"strides": [65]}, "rising multiples"),
        ({"strides": [8]}, "rising multiples"),
        ({"latents": [4, 4], "strides": [64, 64]}, "rising multiples"),
        ({"latents": [4, 4], "strides": [64, 96]}, "rising multiples"),
        ({"latents": [4, 4], "strides": [512, 64]}, "rising multiples"),
        ({"front_stride": 0}, "positive"),
        ({"front_stride": -8}, "positive"),
        ({"front_stride": 1}, "even"),
        ({"width": 0}, "positive"),
        ({"latents": [0]}, "positive"),
        ({"depth": -1}, "positive"),
        ({"posterior_std": 0.0}, "positive"),
        ({"posterior_std": float("nan")}, "positive"),
        ({"output": {"components": 0}}, "components must be a positive whole number"),
        ({"output": {"shift": 0.5}}, "leave shift 0"),
        ({"output": {"colour": 3}}, "not a configuration of cwvae.*colour"),
        ({"output": 3}, "not a configuration of cwvae"),
        ({"sample_rate": 0}, "positive"),
        ({"inputs": []}, "inputs must be some of"),
        ({"colour": 3}, "colour"),
    ],
)
def test_a_bad_cwvae_says_what_is_wrong(change, says) -> None:
    with pytest.raises(InputError, match=says):
        config_from_dict("cwvae", config_to_dict(miniature.cwvae(1)) | change)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"stride": 0}, "positive"),
        ({"width": 0}, "positive"),
        ({"depth": 0}, "positive"),
        ({"latent": 0}, "positive"),
        ({"hidden": -1}, "positive"),
        ({"sample_rate": 0}, "positive"),
        ({"posterior_std": 0.0}, "positive"),
        ({"posterior_std": float("nan")}, "positive"),
        ({"inputs": []}, "inputs must be some of"),
        ({"strides": [64]}, "not a configuration of vrnn.*strides"),
        ({"output": {"likelihood": "gaussian", "min_std": 0.0}}, "min_std and scale must be positive"),
    ],
)
def test_a_bad_vrnn_says_what_is_wrong(change, says) -> None:
    with pytest.raises(InputError, match=says):
        config_from_dict("vrnn", config_to_dict(miniature.vrnn()) | change)


def test_a_missing_key_is_named() -> None:
    data = config_to_dict(miniature.cwvae(1))
    del data["width"]
    with pytest.raises(InputError, match="width"):
        config_from_dict("cwvae", data)


def test_a_configuration_of_another_family_is_refused() -> None:
    with pytest.raises(InputError, match="not a configuration of vrnn"):
        config_from_dict("vrnn", config_to_dict(miniature.cwvae(1)))
    with pytest.raises(InputError, match="not a configuration of cwvae"):
        config_from_dict("cwvae", config_to_dict(miniature.vrnn()))


def test_wrong_types_are_input_errors_at_run_time() -> None:
    code = """
from lvm_probe import InputError
from lvm_probe.models.registry import config_from_dict, config_to_dict, preset, override_config
good = config_to_dict(preset("cwvae", "tiny").config)
for bad in ({"width": 16.5}, {"width": "16"}, {"strides": 64}, {"strides": ["a", "b"]}, {"inputs": ["loud"]},
            {"posterior_std": "x"}, {"latents": None}, {"depth": None}):
    try:
        config_from_dict("cwvae", good | bad)
    except InputError:
        print("refused")
good = config_to_dict(preset("vrnn", "tiny").config)
for bad in ({"stride": 1.5}, {"stride": None}, {"latent": "8"}, {"latent": [8]}, {"inputs": ["loud"]},
            {"posterior": "free"}, {"posterior_std": "x"}, {"output": None}, {"output": {"components": "3"}}):
    try:
        config_from_dict("vrnn", good | bad)
    except InputError:
        print("refused")
good = config_to_dict(preset("srnn", "tiny").config)
for bad in ({"posterior": "prior"}, {"posterior": ["direct"]}, {"smoothing": 1}):
    try:
        config_from_dict("srnn", good | bad)
    except InputError:
        print("refused")
for bad in ([], None, "cwvae"):
    try:
        config_from_dict("cwvae", bad)
    except InputError:
        print("refused")
"""
    assert run_unchecked(code).split() == ["refused"] * 23


def test_unknown_names_are_refused_with_a_list() -> None:
    with pytest.raises(
        InputError,
        match="unknown preset 'huge' of cwvae: choose one of small, small-1, small-3, paper, paper-1, paper-3",
    ):
        preset("cwvae", "huge")
    with pytest.raises(InputError, match="unknown model family 'gan': choose one of cwvae, vrnn"):
        preset("gan", "small")
    with pytest.raises(InputError, match="unknown model family"):
        config_from_dict("gan", {})


def test_shipped_checkpoints_are_listed_by_name_and_family(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(shipped_checkpoints, "SHIPPED", tmp_path)
    assert shipped_checkpoints.shipped() == []
    (tmp_path / "cwvae-small.safetensors").touch()
    (tmp_path / "cwvae-small.md").touch()
    assert shipped_checkpoints.shipped() == [("cwvae-small", "cwvae", tmp_path / "cwvae-small.safetensors")]


def test_a_configuration_can_be_overridden_in_what_it_has() -> None:
    cwvae, lstm = preset("cwvae", "tiny").config, preset("lstm", "tiny").config
    assert override_config(cwvae) == cwvae
    changed = override_config(cwvae, strides=(32, 64), latents=(5, 6), output={"components": 1})
    assert (changed.strides, changed.latents, changed.output.components) == ((32, 64), (5, 6), 1)
    assert override_config(lstm, strides=(200,)).stride == 200
    with pytest.raises(InputError, match="no latents to choose"):
        override_config(lstm, latents=(4,))
    with pytest.raises(InputError, match="one stride; got 64, 128"):
        override_config(lstm, strides=(64, 128))
