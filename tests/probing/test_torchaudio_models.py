"""torchaudio's models with local weights, on a tiny one with the real strides."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchaudio
from safetensors.torch import save_file
from torch import nn

from lvm_probe import InputError
from lvm_probe.probing.features import torchaudio_models
from tests.probing.tiny_wav2vec2 import tiny

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def builders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchaudio_models, "BUILDERS", {"plain": (tiny, False), "normed": (tiny, True)})


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.save(tiny().state_dict(), tmp_path / "weights.pt")
    return tmp_path / "weights.pt"


def wave(samples: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).normal(size=samples)).astype(np.float32)


def encode(path: Path, samples: int = 4000, name: str = "plain", layers: tuple[int, ...] = (1, 3)) -> list[np.ndarray]:
    found = torchaudio_models.load(name, path, layers, device=CPU)(wave(samples), "u")
    assert [layer.name for layer in found] == [f"{name}_{l}" for l in layers]
    assert {layer.stride for layer in found} == {320}
    return [layer.mean for layer in found]


@pytest.mark.parametrize("name", ["plain", "normed"])
def test_layers_are_torchaudio_s(weights: Path, name: str) -> None:
    model = tiny()
    model.load_state_dict(torch.load(weights))
    x = torch.from_numpy(wave(4000))[None]
    with torch.inference_mode():
        outputs, _ = model.eval().extract_features(nn.functional.layer_norm(x, x.shape) if name == "normed" else x)
    for found, l in zip(encode(weights, name=name), (1, 3), strict=True):
        assert found.shape == (13, 8)  # 4000 samples; the convolutions give 12 steps
        np.testing.assert_allclose(found[:12], outputs[l - 1][0].numpy(), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(found[12], found[11])


def test_who_normalises_is_what_torchaudio_s_pipelines_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    bundles = {
        "wav2vec2_base": "WAV2VEC2_BASE", "wav2vec2_large": "WAV2VEC2_LARGE",
        "wav2vec2_large_lv60k": "WAV2VEC2_LARGE_LV60K", "wav2vec2_xlsr_300m": "WAV2VEC2_XLSR_300M",
        "wav2vec2_xlsr_1b": "WAV2VEC2_XLSR_1B", "wav2vec2_xlsr_2b": "WAV2VEC2_XLSR_2B",
        "hubert_base": "HUBERT_BASE", "hubert_large": "HUBERT_LARGE", "hubert_xlarge": "HUBERT_XLARGE",
        "wavlm_base": "WAVLM_BASE", "wavlm_large": "WAVLM_LARGE",
    }  # fmt: skip
    assert torchaudio_models.BUILDERS.keys() == bundles.keys()
    for name, (build, normalise) in torchaudio_models.BUILDERS.items():
        assert build is getattr(torchaudio.models, name)
        assert normalise == getattr(torchaudio.pipelines, bundles[name])._normalize_waveform


@pytest.mark.parametrize("samples", [1, 399, 400, 401, 719, 720, 721])
def test_short_recordings(weights: Path, samples: int) -> None:
    assert len(encode(weights, samples)[0]) == -(-samples // 320)


def test_every_way_to_keep_the_same_weights(weights: Path, tmp_path: Path) -> None:
    state = torch.load(weights)
    expected = encode(weights)
    save_file(state, tmp_path / "weights.safetensors")
    old = {key.replace("parametrizations.weight.original", "weight_"): value for key, value in state.items()}
    old = {key.replace("weight_0", "weight_g").replace("weight_1", "weight_v"): value for key, value in old.items()}
    assert old.keys() != state.keys()  # as weight norm was kept until torch 2.0
    torch.save(old, tmp_path / "old.pt")
    torch.save({f"model.{key}": value for key, value in state.items()}, tmp_path / "wrapped.pt")
    torch.save(state | {"aux.weight": torch.zeros(29, 8), "aux.bias": torch.zeros(29)}, tmp_path / "asr.pt")
    for name in ("weights.safetensors", "old.pt", "wrapped.pt", "asr.pt"):
        for found, values in zip(encode(tmp_path / name), expected, strict=True):
            np.testing.assert_array_equal(found, values)


def test_untrained_is_always_the_same_for_a_seed() -> None:
    state = torch.get_rng_state()
    a, b, other = (
        torchaudio_models.load("plain", None, [2], device=CPU, untrained_seed=seed)(wave(4000), "u")[0].mean
        for seed in (0, 0, 1)
    )
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(a, b)
    assert (a != other).any()


def _spoilt(change: str, state: dict[str, torch.Tensor]) -> Any:
    first, *_ = state
    match change:
        case "lacks":
            del state[first]
        case "unknown":
            state["new"] = torch.zeros(1)
        case "shape":
            state[first] = torch.zeros(3, 2)
        case "nan":
            state[first] = state[first] * torch.nan
        case "nested":
            return {"model": state}
        case "list":
            return [1, 2]
    return state


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            "lacks",
            "lacks tensor 'feature_extractor.conv_layers.0.*' for plain; give weights in torchaudio's own naming",
        ),
        ("unknown", "has an unknown tensor 'new' for plain"),
        ("shape", r"tensor 'feature_extractor.* has shape \(3, 2\), plain needs"),
        ("nan", "tensor 'feature_extractor.* holds NaN or infinity"),
        ("nested", "not a state dict, which maps names to tensors"),
        ("list", "not a state dict, which maps names to tensors"),
    ],
)
def test_weights_that_do_not_fit(tmp_path: Path, weights: Path, change: str, says: str) -> None:
    torch.save(_spoilt(change, torch.load(weights)), tmp_path / "bad.pt")
    with pytest.raises(InputError, match=f"bad.pt: {says}") as caught:
        encode(tmp_path / "bad.pt")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["text.pt", "empty.pt", "cut.pt", "pickle.pt", "text.safetensors"])
def test_files_that_are_no_weights(tmp_path: Path, weights: Path, name: str) -> None:
    path = tmp_path / name
    match path.stem:
        case "text":
            path.write_text("weights")
        case "empty":
            path.touch()
        case "cut":
            path.write_bytes(weights.read_bytes()[:2000])
        case "pickle":
            torch.save({"a": Path("x")}, path)  # what weights_only refuses to make
    with pytest.raises(InputError, match=f"{name}: (torch cannot load it safely|not a complete safetensors)") as caught:
        encode(path)
    assert "\n" not in str(caught.value)
