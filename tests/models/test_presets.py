import json
import subprocess
import sys
from dataclasses import replace

import pytest

from models import presets
from models.errors import InputError
from models.presets import PRESETS, config_from_dict, config_to_dict, preset
from tests.models import miniature

EVERY = [(family, name) for family, named in PRESETS.items() for name in named]


@pytest.mark.parametrize(("family", "name"), EVERY)
def test_a_configuration_survives_json(family, name) -> None:
    config = preset(family, name).config
    assert config_from_dict(family, json.loads(json.dumps(config_to_dict(config)))) == config
    assert config_from_dict(family, config_to_dict(config)) == config


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


@pytest.mark.parametrize(("family", "name"), EVERY)
def test_segments_hold_whole_steps_of_the_highest_layer(family, name) -> None:
    chosen = preset(family, name)
    assert chosen.recipe.segment % chosen.config.strides[-1] == 0


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
        ({"components": 0}, "positive"),
        ({"inputs": []}, "inputs must be some of"),
        ({"colour": 3}, "colour"),
    ],
)
def test_a_bad_configuration_says_what_is_wrong(change, says) -> None:
    with pytest.raises(InputError, match=says):
        config_from_dict("cwvae", config_to_dict(miniature.config(1)) | change)


def test_a_missing_key_is_named() -> None:
    data = config_to_dict(miniature.config(1))
    del data["width"]
    with pytest.raises(InputError, match="width"):
        config_from_dict("cwvae", data)


def plainly(code: str) -> str:
    """Run without the tests' annotation checks, as users do."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_wrong_types_are_input_errors_at_run_time() -> None:
    code = """
from models.errors import InputError
from models.presets import PRESETS, config_from_dict, config_to_dict
good = config_to_dict(PRESETS["cwvae"]["tiny"].config)
for bad in ({"width": 16.5}, {"width": "16"}, {"strides": 64}, {"strides": ["a", "b"]}, {"inputs": ["loud"]},
            {"posterior_std": "x"}, {"latents": None}, {"depth": None}):
    try:
        config_from_dict("cwvae", good | bad)
    except InputError:
        print("refused")
for bad in ([], None, "cwvae"):
    try:
        config_from_dict("cwvae", bad)
    except InputError:
        print("refused")
"""
    assert plainly(code).split() == ["refused"] * 11


def test_importing_presets_imports_no_torch() -> None:
    code = "import sys, models.presets; print('torch' in sys.modules, 'numpy' in sys.modules)"
    assert plainly(code).split() == ["False", "False"]


def test_unknown_names_list_what_there_is() -> None:
    with pytest.raises(
        InputError,
        match="unknown preset 'huge' of cwvae: choose one of small, small-1, small-3, paper, paper-1, paper-3, tiny",
    ):
        preset("cwvae", "huge")
    with pytest.raises(InputError, match="unknown model family 'gan': choose one of cwvae"):
        preset("gan", "small")
    with pytest.raises(InputError, match="unknown model family"):
        config_from_dict("gan", {})


@pytest.mark.parametrize(
    "change", [{"updates": 0}, {"batch": 0}, {"segment": -1}, {"learning_rate": 0.0}, {"validate_every": 0}]
)
def test_a_bad_recipe_is_refused(change) -> None:
    with pytest.raises(InputError, match="must be positive"):
        replace(preset("cwvae", "tiny").recipe, **change)


def test_shipped_checkpoints_are_listed_by_name_and_family(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(presets, "SHIPPED", tmp_path)
    assert presets.shipped() == []
    (tmp_path / "cwvae-small.safetensors").touch()
    (tmp_path / "cwvae-small.md").touch()
    assert presets.shipped() == [("cwvae-small", "cwvae", tmp_path / "cwvae-small.safetensors")]
