"""Models of transformers from local folders, on tiny ones with the real strides."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lvm_probe import InputError, open_corpus
from lvm_probe.app.cli import main
from lvm_probe.probing.features import token_table, transformers_models
from tests.probing import miniature, tiny_transformers
from tests.probing.reference_pooling import pooled_mean
from tests.probing.tiny_transformers import DIMS, KINDS, LAYERS

pytest.importorskip("transformers", reason="needs transformers: pip install 'lvm-probe[transformers]'")

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {kind: tiny_transformers.save(kind, root / kind) for kind in KINDS}


def wave(samples: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).normal(size=samples)).astype(np.float32)


def reference(kind: str, x: np.ndarray) -> list[np.ndarray]:
    """The hidden states by the library's own way: its feature extractor, its model, all at once."""
    given = tiny_transformers.extractor(kind)(x, sampling_rate=16_000, return_tensors="pt")
    model = tiny_transformers.build(kind).eval()
    with torch.inference_mode():
        if kind == "whisper":
            states = model.model.encoder(given.input_features, output_hidden_states=True).hidden_states
        else:
            base = getattr(model, kind, model)
            states = base(given.input_values, output_hidden_states=True).hidden_states
    return [state[0].numpy() for state in states]


@pytest.mark.parametrize("kind", KINDS)
def test_layers_are_the_library_s(folders: dict[str, Path], kind: str) -> None:
    found = transformers_models.load(folders[kind], device=CPU)(wave(4000), "u")
    assert [layer.name for layer in found] == [f"{kind}_{l}" for l in range(LAYERS[kind] + 1)]
    for layer, expected in zip(found, reference(kind, wave(4000)), strict=True):
        assert layer.mean.shape == (13, DIMS)
        assert layer.stride == 320
        steps = min(13, len(expected))  # convolutions without padding give 12
        # float32 sums in another order
        np.testing.assert_allclose(layer.mean[:steps], expected[:steps], rtol=1e-4, atol=1e-5)


def test_chosen_layers_are_those_of_all(folders: dict[str, Path]) -> None:
    every = transformers_models.load(folders["hubert"], device=CPU)(wave(2000), "u")
    some = transformers_models.load(folders["hubert"], [3, 1], device=CPU)(wave(2000), "u")
    assert [layer.name for layer in some] == ["hubert_1", "hubert_3"]
    for layer in some:
        np.testing.assert_array_equal(layer.mean, next(one.mean for one in every if one.name == layer.name))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("samples", [1, 399, 400, 401, 719, 721])
def test_short_recordings(folders: dict[str, Path], kind: str, samples: int) -> None:
    found = transformers_models.load(folders[kind], [1], device=CPU)(wave(samples), "u")
    assert len(found[0].mean) == -(-samples // 320)


def test_whisper_takes_long_recordings_in_windows(folders: dict[str, Path]) -> None:
    encoder = transformers_models.load(folders["whisper"], [2], device=CPU)
    long = wave(35 * 16_000)
    found = encoder(long, "u")[0].mean
    assert len(found) == 35 * 50
    np.testing.assert_array_equal(found[:1500], encoder(long[: 30 * 16_000], "u")[0].mean)
    np.testing.assert_array_equal(found[1500:], encoder(long[30 * 16_000 :], "u")[0].mean)


def test_untrained_is_always_the_same_for_a_seed(folders: dict[str, Path], tmp_path: Path) -> None:
    for name in ("config.json", "preprocessor_config.json"):  # needs no weights
        shutil.copy(folders["wavlm"] / name, tmp_path)
    state = torch.get_rng_state()
    a, b, other = (
        transformers_models.load(tmp_path, [2], device=CPU, untrained_seed=seed)(wave(4000), "u")[0].mean
        for seed in (0, 0, 1)
    )
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(a, b)
    assert (a != other).any()


def spoilt(folder: Path, change: str) -> Any:
    config, preprocessing = folder / "config.json", folder / "preprocessor_config.json"
    match change:
        case "no config":
            config.unlink()
        case "text model":
            config.write_text(json.dumps({"model_type": "bert"}))
        case "no JSON":
            config.write_text("{")
        case "no preprocessing":
            preprocessing.unlink()
        case "no weights":
            (folder / "model.safetensors").unlink()
        case "damaged":
            (folder / "model.safetensors").write_bytes(b"x" * 100)
        case "other weights":
            config.write_text(json.dumps(json.loads(config.read_text()) | {"num_hidden_layers": 5}))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("no config", "no config.json here; give --hf the folder of a transformers model"),
        ("text model", "model_type is 'bert'; --hf knows wav2vec2, hubert, wavlm"),
        ("no JSON", "config.json: cannot be read as JSON"),
        ("no preprocessing", "no preprocessor_config.json, which says how the model takes its input"),
        ("no weights", r"no weights here \(\*.safetensors or pytorch_model\*.bin\); add them, or give --untrained"),
        ("damaged", "transformers cannot load this model"),
        ("other weights", r"its weights lack encoder.layers.3.* \(32 tensors in all\), which would be random"),
    ],
)
def test_what_is_wrong_with_a_folder(folders: dict[str, Path], tmp_path: Path, change: str, says: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(folders["hubert"], folder)
    spoilt(folder, change)
    with pytest.raises(InputError, match=says) as error:
        transformers_models.load(folder, device=CPU)
    assert "\n" not in str(error.value)


def test_layers_that_are_not_there(folders: dict[str, Path]) -> None:
    with pytest.raises(InputError, match="--layer: 4; hubert has layers 0 to 3; leave --layer out for all"):
        transformers_models.load(folders["hubert"], [4], device=CPU)


def test_without_the_library(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transformers_models, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs the library transformers; install it: pip install 'lvm-probe"):
        transformers_models.load(folders["hubert"], device=CPU)


def test_the_command(folders: dict[str, Path], tmp_path: Path) -> None:
    root = miniature.timit_nltk(tmp_path / "timit")
    argv = ["extract", "--corpus", str(root), "--hf", str(folders["wav2vec2"])]
    assert main([*argv, "--out", str(tmp_path / "trained")]) == 0
    assert main([*argv, "--untrained", "--layer", "2", "--out", str(tmp_path / "untrained")]) == 0
    table = token_table.load(tmp_path / "trained")
    assert [name for name in table.features if name.startswith("wav2vec2")] == [f"wav2vec2_{l}" for l in range(4)]
    utterance = open_corpus(root).utterances[0]
    from lvm_probe.probing.corpora.audio import to_float
    from lvm_probe.probing.corpora.recordings import read_pcm

    encoder = transformers_models.load(folders["wav2vec2"], [2], device=CPU)
    layer = encoder(to_float(read_pcm(utterance, 16_000)), "u")[0]
    rows = table.columns["utterance"] == utterance.id
    means = [pooled_mean(layer.mean, segment, layer.stride) for segment in utterance.phonemes]
    np.testing.assert_allclose(table.features["wav2vec2_2"][rows], means, rtol=1e-4, atol=1e-5)
    untrained = token_table.load(tmp_path / "untrained")
    assert (untrained.features["wav2vec2_2"] != table.features["wav2vec2_2"]).any()
    assert table.extraction["encoder"]["layers"] == [0, 1, 2, 3]
