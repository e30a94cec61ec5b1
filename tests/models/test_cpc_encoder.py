"""The convolutional encoder of CPC against plain PyTorch, its weights from files of CPC_audio, and frozen training."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lvm_probe import InputError
from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.models.checkpoints.cpc_audio import begin_with_encoder, read_encoder
from lvm_probe.models.families.cwvae import CWVAE
from lvm_probe.models.layers.cpc_encoder import CPCEncoder
from lvm_probe.models.training.recipe import TINY
from lvm_probe.models.training.trainer import Progress, Trainer
from tests.models import miniature


class Norm(nn.Module):
    """Each step less its mean over the channels, by its standard deviation."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        super().__init__()
        self.weight, self.bias = weight, bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        centred = x - x.sum(1, keepdim=True) / x.shape[1]
        variance = centred.square().sum(1, keepdim=True) / (x.shape[1] - 1)
        return centred / (variance + 1e-5).sqrt() * self.weight + self.bias


def random_tensors(channels: int = 6) -> dict[str, torch.Tensor]:
    """A model of CPC_audio: its encoder, and something that comes after it."""
    draw = torch.Generator().manual_seed(3)
    tensors = {"gAR.baseNet.weight_ih_l0": torch.zeros(3, channels)}
    for i, kernel in enumerate((10, 8, 4, 4, 4)):
        inputs = channels if i else 1
        shapes = {f"conv{i}.weight": (channels, inputs, kernel), f"conv{i}.bias": (channels,)}
        shapes |= {f"batchNorm{i}.{part}": (1, channels, 1) for part in ("weight", "bias")}
        for name, shape in shapes.items():
            tensors[f"gEncoder.{name}"] = 0.5 * torch.randn(shape, generator=draw)
    return tensors


def released(tensors: dict[str, torch.Tensor], path: Path) -> Path:
    torch.save({"config": {"hiddenEncoder": 6, "normMode": "layerNorm"}, "weights": tensors}, path)
    return path


def saved_by_training(tensors: dict[str, torch.Tensor], path: Path) -> Path:
    torch.save({"gEncoder": tensors, "cpcCriterion": {}, "optimizer": {"state": {}}, "best": None}, path)
    return path


def test_the_encoder_is_that_of_plain_pytorch_with_the_weights_of_a_file(tmp_path) -> None:
    tensors = random_tensors()
    weights = read_encoder(released(tensors, tmp_path / "cpc.pt"))
    ours = CPCEncoder(weights.channels)
    ours.load_state_dict(weights.tensors)
    parts: list[nn.Module] = []
    for i, (kernel, stride, padding) in enumerate(((10, 5, 3), (8, 4, 2), (4, 2, 1), (4, 2, 1), (4, 2, 1))):
        conv = nn.Conv1d(6 if i else 1, 6, kernel, stride=stride, padding=padding)
        conv.load_state_dict({part: tensors[f"gEncoder.conv{i}.{part}"] for part in ("weight", "bias")})
        norm = Norm(*(tensors[f"gEncoder.batchNorm{i}.{part}"].double() for part in ("weight", "bias")))
        parts += [conv, norm, nn.ReLU()]
    wave = torch.randn(3, 1_600, generator=torch.Generator().manual_seed(0), dtype=torch.float64) / 4
    with torch.no_grad():
        found = ours.double()(wave, torch.full((3,), 1_600))
        wanted = nn.Sequential(*parts).double()(wave.unsqueeze(1)).transpose(1, 2)
    assert found.shape == (3, 10, 6)
    # Double precision through five norms.
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-11)


def test_a_step_sees_465_samples_around_it() -> None:
    encoder = CPCEncoder(6).double()
    wave = torch.randn(1, 3_200, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad(encoder(wave, torch.tensor([3_200]))[0, 10].sum(), wave)
    seen = gradient[0].nonzero()
    assert (seen.min().item(), seen.max().item()) == (1_600 - 153, 1_600 + 159 + 152)


@pytest.mark.parametrize("length", [1, 159, 160, 161, 700])
@torch.no_grad()
def test_padding_and_what_stands_in_it_change_nothing(length) -> None:
    encoder = CPCEncoder(6).double()
    wave = torch.zeros(1, 960, dtype=torch.float64)
    wave[0, :length] = torch.randn(length, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    steps = -(-length // 160)
    alone, padded = (encoder(wave[:, :size], torch.tensor([length])) for size in (160 * steps, 960))
    torch.testing.assert_close(padded[:, :steps], alone, rtol=1e-12, atol=1e-12)
    assert (padded[:, steps:] == 0).all()


def test_all_forms_of_a_file_give_the_same_encoder(tmp_path) -> None:
    tensors = random_tensors()
    first = read_encoder(released(tensors, tmp_path / "released.pt"))
    second = read_encoder(saved_by_training(tensors, tmp_path / "checkpoint_30.pt"))
    save_file(tensors, tmp_path / "cpc.safetensors")
    third = read_encoder(tmp_path / "cpc.safetensors")
    assert (first.name, first.channels) == ("released.pt", 6)
    assert len({one.sha256 for one in (first, second, third)}) == 3
    for other in (second, third):
        assert other.tensors.keys() == first.tensors.keys()
        assert all(torch.equal(other.tensors[name], tensor) for name, tensor in first.tensors.items())


class Harm:
    """A pickle that would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.path,)


def test_a_file_that_would_execute_code_is_refused_without_doing_it(tmp_path) -> None:
    torch.save({"weights": random_tensors(), "config": Harm(tmp_path / "harm")}, tmp_path / "cpc.pt")
    with pytest.raises(InputError, match="cpc.pt: torch cannot load it safely") as caught:
        read_encoder(tmp_path / "cpc.pt")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.pop("gEncoder.batchNorm3.bias"), "lacks tensor 'gEncoder.batchNorm3.bias'"),
        (lambda t: t.update({"gEncoder.conv1.weight": "x"}), "lacks tensor 'gEncoder.conv1.weight'"),
        (lambda t: t["gEncoder.conv2.bias"].fill_(torch.nan), "'gEncoder.conv2.bias' is no array of finite numbers"),
        (lambda t: t.update({"gEncoder.batchNorm0.weight": torch.ones(6)}), "has shape (6,) instead of (1, 6, 1)"),
        (lambda t: t.update({"gEncoder.conv0.bias": torch.ones(5)}), "has shape (6, 1, 10) instead of (5, 1, 10)"),
        (lambda t: t.update({"gEncoder.conv0.bias": torch.tensor(1.0)}), "instead of (2, 1, 10)"),
    ],
)
def test_another_model_is_refused_by_name(change: Callable[[dict[str, Any]], object], says: str, tmp_path) -> None:
    tensors: dict[str, Any] = random_tensors()
    change(tensors)
    with pytest.raises(InputError, match="cpc.pt: ") as caught:
        read_encoder(released(tensors, tmp_path / "cpc.pt"))
    assert says in str(caught.value)


def test_what_is_no_such_file_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="cpc.pt: no such file"):
        read_encoder(tmp_path / "cpc.pt")
    whole = released(random_tensors(), tmp_path / "cpc.pt").read_bytes()
    for number, content in enumerate((b"", b"not a model", whole[: len(whole) // 2], b"PK" + whole[2:900])):
        path = tmp_path / f"{number}.pt"
        path.write_bytes(content)
        with pytest.raises(InputError, match=f"{number}.pt: torch cannot load it safely"):
            read_encoder(path)
    torch.save({"model": random_tensors()}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="no tensors under 'weights' or 'gEncoder'"):
        read_encoder(tmp_path / "other.pt")


def trainer(out: Path, weights: Path, *, frozen: bool) -> Trainer:
    model = miniature.model("cwvae-cpc")
    encoder = read_encoder(weights)
    begin_with_encoder(model, encoder, frozen=frozen)
    recipe = replace(TINY, updates=6, segment=960, validate_every=3, warm_up=2)
    takes = [miniature.take(f"t{i}", n) for i, n in enumerate((3_000, 700, 1_500))]
    provenance = {"encoder": {"file": encoder.name, "sha256": encoder.sha256, "frozen": frozen}}
    return Trainer(model, recipe, takes[:2], takes[2:], out, seed=1, provenance=provenance)


def test_a_frozen_encoder_stays_as_it_is_while_the_rest_learns_and_a_run_resumes_exactly(tmp_path) -> None:
    path = released(random_tensors(), tmp_path / "cpc.pt")
    given = read_encoder(path)

    def interrupt(progress: Progress) -> None:
        if progress.update == 4:
            raise KeyboardInterrupt

    trainer(tmp_path / "whole", path, frozen=True).run(lambda progress: None)
    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path / "again", path, frozen=True).run(interrupt)
    with pytest.raises(InputError, match="started with another model"):
        trainer(tmp_path / "again", path, frozen=False).resume()
    again = trainer(tmp_path / "again", path, frozen=True)
    again.resume()
    again.run(lambda progress: None)
    states = [checkpoint.load_tensors(tmp_path / name / "last.safetensors")[0] for name in ("whole", "again")]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[1][name], tensor) for name, tensor in states[0].items())
    fresh = miniature.model("cwvae-cpc").state_dict()
    for name, tensor in fresh.items():
        now, average = states[0][f"model.{name}"], states[0][f"average.{name}"]
        if name.startswith("cpc."):
            assert torch.equal(now, given.tensors[name.removeprefix("cpc.")])
            assert torch.equal(now, average)
            assert f"optimizer.exp_avg.{name}" not in states[0]
        elif not name.startswith("aux_"):
            assert not torch.equal(now, tensor), name
    best = checkpoint.load(tmp_path / "whole")
    assert best.provenance["encoder"] == {"file": "cpc.pt", "sha256": given.sha256, "frozen": True}
    assert best.model.config.encoder == "cpc"


def test_an_encoder_that_is_not_frozen_is_trained(tmp_path) -> None:
    path = released(random_tensors(), tmp_path / "cpc.pt")
    run = trainer(tmp_path / "run", path, frozen=False)
    run.step()
    for name, tensor in read_encoder(path).tensors.items():
        assert not torch.equal(run.model.state_dict()[f"cpc.{name}"], tensor)


def test_shapes_that_fit_no_such_encoder_are_refused() -> None:
    config = CWVAE.presets["tiny-cpc"].config
    for change, says in (
        ({"strides": (80,)}, "a step every 160 audio samples"),
        ({"cpc_channels": 1}, "2 channels or more"),
        ({"encoder": "wav2vec"}, "encoder is one of residual, cpc; got 'wav2vec'"),
    ):
        with pytest.raises(InputError, match=says):
            replace(config, **change)
