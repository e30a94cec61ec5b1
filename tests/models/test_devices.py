"""Models on another device than the CPU: PyTorch's meta device, which has shapes only, and CUDA where there is one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lvm_probe.models.likelihood.elbo import evaluate
from lvm_probe.models.training.loss import schedule_at, training_loss
from lvm_probe.models.training.recipe import TINY
from tests.models import miniature

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device here")


class NothingLeftBehind(TorchDispatchMode):
    """Refuses operations on tensors of the CPU, other than numbers, which any device takes."""

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        for tensor in tree_leaves((args, kwargs or {})):
            if isinstance(tensor, torch.Tensor) and tensor.dim() and tensor.device.type == "cpu":
                raise AssertionError(f"{func} computes with a tensor on the CPU, {tuple(tensor.shape)}")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", miniature.MODELS)
def test_no_tensor_is_left_on_the_cpu(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # has no meta device
    model = miniature.model(name)
    samples = max(2 * model.coarsest_stride, 32)
    pcm, lengths = miniature.batch([samples, samples - 3])
    noise = [n.to("meta") for n in model.noise(samples, 2, torch.Generator().manual_seed(0))]
    model, pcm, lengths = model.to("meta"), model.pad(pcm).to("meta"), lengths.to("meta")
    with NothingLeftBehind():
        passed = model(pcm, lengths, noise)
        loss = training_loss(passed, model, pcm, lengths, TINY, schedule_at(TINY, 0), 2 * samples - 3)
        loss.total.backward()
        mass = passed.output.log_mass(pcm)
    assert loss.total.device.type == mass.device.type == "meta"
    assert all(p.grad is None or p.grad.device.type == "meta" for p in model.parameters())


def test_a_tensor_left_on_the_cpu_is_found() -> None:
    with pytest.raises(AssertionError, match="on the CPU"), NothingLeftBehind():
        torch.zeros(3, device="meta") + torch.zeros(3)


@CUDA
@pytest.mark.parametrize("name", miniature.MODELS)
def test_cuda_evaluates_as_the_cpu_does(name: str) -> None:
    model = miniature.model(name).eval()
    takes = [miniature.take("a", 3000), miniature.take("b", 1100)]
    wanted = evaluate(model, takes).bits_per_frame
    assert evaluate(model.cuda(), takes).bits_per_frame == pytest.approx(wanted, abs=1e-3)
