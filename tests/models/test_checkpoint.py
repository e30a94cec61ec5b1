import hashlib
import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from lvm_probe import InputError
from lvm_probe.models.checkpoints import checkpoint, ship, shipped_checkpoints
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.families.vrnn import VRNN
from lvm_probe.models.registry import FAMILIES, config_to_dict
from tests.models import miniature


@pytest.fixture
def saved(tmp_path) -> Path:
    path = tmp_path / "run" / "best.safetensors"
    checkpoint.save(path, miniature.model("cwvae-2"), {"corpus": "none", "update": 7})
    return path


def contents(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    with safe_open(path, framework="pt") as file:
        return {k: file.get_tensor(k) for k in file.keys()}, file.metadata()  # noqa: SIM118


def refused(path: Path, *says: str) -> None:
    with pytest.raises(InputError) as error:
        checkpoint.load(path)
    for text in (str(path), *says):
        assert text in str(error.value)


def test_a_model_without_the_figures_of_a_card_is_not_shipped(saved, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(ship, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setattr("sys.argv", ["ship", str(saved), "name"])
    assert ship.main() == 2
    assert f"{saved}: its provenance lacks validation_bits_per_frame, which" in capsys.readouterr().err
    assert not (tmp_path / "shipped").exists()
    checkpoint.save(saved, miniature.model("cwvae-2"), {"update": 7, "validation_bits_per_frame": 12.0})
    assert ship.main() == 0
    assert {path.name for path in (tmp_path / "shipped").iterdir()} == {"name.md", "name.safetensors"}


def test_everything_comes_back(saved) -> None:
    loaded = checkpoint.load(saved)
    assert loaded.path == saved
    assert loaded.provenance == {"corpus": "none", "update": 7}
    assert loaded.sha256 == hashlib.sha256(saved.read_bytes()).hexdigest()
    assert loaded.model.config == miniature.config("cwvae-2")
    assert not loaded.model.training
    for ours, wanted in zip(
        loaded.model.state_dict().values(), miniature.model("cwvae-2").state_dict().values(), strict=True
    ):
        assert torch.equal(ours, wanted)


def test_preprocessing_stands_in_the_file(saved) -> None:
    _, metadata = contents(saved)
    assert json.loads(metadata["preprocessing"])["sample_rate"] == 16_000
    assert json.loads(metadata["config"])["strides"] == [64, 512]
    assert metadata["family"] == "cwvae"


@pytest.mark.parametrize("name", ["vrnn", "lstm"])
def test_another_familys_file_loads_as_that_family(tmp_path, name) -> None:
    model = miniature.model(name)
    checkpoint.save(tmp_path / "m.safetensors", model, {"update": 3}, precision="float16")
    loaded = checkpoint.load(tmp_path / "m.safetensors")
    assert type(loaded.model) is FAMILIES[name]
    assert loaded.model.config == miniature.config(name)
    assert loaded.provenance == {"update": 3}


def test_the_normalisation_comes_back_and_stands_under_preprocessing(tmp_path) -> None:
    output = Waveform(likelihood="gaussian", components=2, target="linear", min_std=0.02, shift=0.125, scale=0.1)
    model = VRNN.seeded(miniature.vrnn(output=output), 0)
    checkpoint.save(tmp_path / "m.safetensors", model, {})
    assert checkpoint.load(tmp_path / "m.safetensors").model.config.output == output
    _, metadata = contents(tmp_path / "m.safetensors")
    said = json.loads(metadata["preprocessing"])
    assert (said["target"], said["shift"], said["scale"]) == ("linear", 0.125, 0.1)


def test_half_precision_loads_to_single(saved) -> None:
    model = miniature.model("cwvae-2")
    checkpoint.save(saved, model, {}, precision="float16")
    tensors, _ = contents(saved)
    assert all(t.dtype == torch.float16 for t in tensors.values())
    loaded = checkpoint.load(saved).model
    for ours, wanted in zip(loaded.parameters(), model.parameters(), strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, wanted, rtol=2**-11, atol=2**-24)  # half a unit of float16's last place


def test_resolve(saved, tmp_path, monkeypatch) -> None:
    assert shipped_checkpoints.resolve(saved) == saved
    assert shipped_checkpoints.resolve(str(saved)) == saved
    assert shipped_checkpoints.resolve(saved.parent) == saved
    monkeypatch.setattr(shipped_checkpoints, "SHIPPED", tmp_path / "shipped")
    with pytest.raises(InputError, match=r"cwvae-small: no such checkpoint.*\(none\)"):
        shipped_checkpoints.resolve("cwvae-small")
    (tmp_path / "shipped").mkdir()
    shipped = tmp_path / "shipped" / "cwvae-small.safetensors"
    shipped.write_bytes(saved.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert shipped_checkpoints.resolve("cwvae-small") == shipped
    assert checkpoint.load("cwvae-small").model.config == miniature.config("cwvae-2")
    with pytest.raises(InputError, match=r"absent: no such checkpoint.*\(cwvae-small\)"):
        shipped_checkpoints.resolve("absent")


def test_a_folder_without_a_checkpoint(tmp_path) -> None:
    with pytest.raises(InputError) as error:
        shipped_checkpoints.resolve(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert "best.safetensors" in str(error.value)


@pytest.mark.parametrize("keep", [0, 4, 300, -1])
def test_a_truncated_file_is_refused(saved, keep) -> None:
    saved.write_bytes(saved.read_bytes()[:keep])
    refused(saved, "not a complete safetensors file")


def test_a_pickle_is_refused_and_not_run(tmp_path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path(tmp_path / "ran").write_text, ("boom",))

    for name, write in (
        ("plain.safetensors", lambda p: p.write_bytes(pickle.dumps(Bomb()))),
        ("torch.safetensors", lambda p: torch.save({"x": Bomb()}, p)),
    ):
        path = tmp_path / name
        write(path)
        refused(path, "not a complete safetensors file")
    assert not (tmp_path / "ran").exists()


def test_foreign_safetensors_are_refused(tmp_path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    refused(path, "not a checkpoint of lvm-probe", "format: none")
    save_file({"weight": torch.zeros(3)}, path, metadata={"format": "pt"})
    refused(path, "format: pt")


def test_a_wrong_shape_names_tensor_and_both_shapes(saved) -> None:
    tensors, metadata = contents(saved)
    tensors["head.weight"] = tensors["head.weight"][:, :5].contiguous()
    save_file(tensors, saved, metadata=metadata)
    refused(saved, "'head.weight'", "(72, 5)", "(72, 8)")


def test_missing_and_unknown_tensors_are_named(saved) -> None:
    tensors, metadata = contents(saved)
    kept = tensors.pop("cells.1.prior.bias")
    save_file(tensors, saved, metadata=metadata)
    refused(saved, "lacks tensor 'cells.1.prior.bias'")
    save_file(tensors | {"cells.1.prior.bias": kept, "extra": kept.clone()}, saved, metadata=metadata)
    refused(saved, "has an unknown tensor 'extra'")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(saved, value) -> None:
    tensors, metadata = contents(saved)
    tensors["up.spread.bias"][3] = value
    save_file(tensors, saved, metadata=metadata)
    refused(saved, "'up.spread.bias'", "NaN or infinity")


@pytest.mark.parametrize(
    "damage",
    [
        {"config": "{"},
        {"config": "[]"},
        {"config": "3"},
        {"config": None},
        {"family": None},
        {"family": "gan"},
        {"family": "vrnn"},
        {"config": json.dumps(config_to_dict(miniature.config("vrnn")))},
        {"config": json.dumps(config_to_dict(miniature.config("cwvae-2")) | {"output": {"likelihood": "laplace"}})},
        {"config": json.dumps(config_to_dict(miniature.config("cwvae-2")) | {"output": {"shift": 1.0}})},
        {"config": json.dumps(config_to_dict(miniature.config("cwvae-2")) | {"output": [3]})},
        {"provenance": "{'"},
        {"provenance": None},
        {"config": json.dumps(config_to_dict(miniature.config("cwvae-2")) | {"width": -1})},
        {"config": json.dumps(config_to_dict(miniature.config("cwvae-2")) | {"width": 16.5})},
        {"config": json.dumps(config_to_dict(miniature.config("cwvae-2")) | {"front_stride": 0})},
        {"config": json.dumps(config_to_dict(miniature.config("cwvae-2")) | {"colour": 1})},
    ],
)
def test_damaged_metadata_is_refused(saved, damage) -> None:
    tensors, metadata = contents(saved)
    metadata = {k: v for k, v in (metadata | damage).items() if v is not None}
    save_file(tensors, saved, metadata=metadata)
    refused(saved, "metadata cannot be read")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ({"family": "gan"}, "unknown model family 'gan'"),
        ({"family": "vrnn"}, "not a configuration of vrnn"),
        ({"config": json.dumps(config_to_dict(miniature.config("vrnn")))}, "not a configuration of cwvae"),
    ],
)
def test_an_unknown_family_or_anothers_configuration_is_reported_in_one_line(saved, damage, says) -> None:
    tensors, metadata = contents(saved)
    save_file(tensors, saved, metadata=metadata | damage)
    with pytest.raises(InputError) as error:
        checkpoint.load(saved)
    assert str(error.value).startswith(f"{saved}: its metadata cannot be read ({says}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), SafetensorError("I/O error: no space")])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(saved, monkeypatch, error) -> None:
    before = saved.read_bytes()

    def fail(tensors: object, path: Path, metadata: object) -> None:
        Path(path).write_bytes(b"half")
        raise error

    monkeypatch.setattr(checkpoint, "save_file", fail)
    with pytest.raises(InputError) as raised:
        checkpoint.save(saved, miniature.model("cwvae-2", seed=1), {})
    assert str(saved) in str(raised.value)
    assert "space" in str(raised.value)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch, error) -> None:
    def fail(tensors: object, path: Path, metadata: object) -> None:
        Path(path).write_bytes(b"half")
        raise error

    monkeypatch.setattr(checkpoint, "save_file", fail)
    with pytest.raises(error):
        checkpoint.save(tmp_path / "new" / "m.safetensors", miniature.model("cwvae-1"), {})
    assert list((tmp_path / "new").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write here"):
        checkpoint.save(tmp_path / "file" / "m.safetensors", miniature.model("cwvae-1"), {})
