"""The bookkeeping of graphed updates, on the CPU: a stand-in for a CUDA graph replays by calling again."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from lvm_probe.models.training import cuda_graph, muon
from lvm_probe.models.training.cuda_graph import GraphedUpdates
from lvm_probe.models.training.recipe import TINY as SHIPPED_TINY
from lvm_probe.models.training.segments import draw_segments, with_gain
from lvm_probe.models.training.trainer import Trainer
from tests.models import miniature

TINY = replace(
    SHIPPED_TINY,
    updates=12,
    segment=1000,
    batch=3,
    quieter=12.0,
    validate_every=100,
    warm_up=3,
    auxiliary=(
        3.0,
        1.0,
        0.5,
    ),  # a weight of zero would leave its layers out of the plain updates
)
TRAIN = [miniature.take(f"t{i}", n) for i, n in enumerate((3000, 700, 2000))]
VALIDATION = [miniature.take("v", 600)]


class Stream:
    def __init__(self, device: torch.device) -> None:
        pass

    def wait_stream(self, other: Stream) -> None:
        pass


class Graph:
    """Replays by making the captured update again, into the same tensor."""

    captured: list[GraphedUpdates]

    def replay(self) -> None:
        (updates,) = self.captured
        updates._parts.copy_(updates._work())


@pytest.fixture(params=["adam", "muon"])
def graphed(monkeypatch, tmp_path, request) -> Trainer:
    monkeypatch.setattr(muon, "LEAST_SIDE", 4)  # the miniature's matrices are small
    recipe = replace(TINY, optimizer=request.param)
    run = Trainer(miniature.model("cwvae-2"), recipe, TRAIN, VALIDATION, tmp_path, precision="fp32")

    @contextlib.contextmanager
    def capture(graph: Graph, **_: object) -> Iterator[None]:
        """What is captured does not run: the weights stay as they are."""
        weights = [p.detach().clone() for p in (*run.model.parameters(), *run.average.parameters())]
        state = {p: {k: v.clone() for k, v in s.items()} for p, s in run.optimizer.state.items()}
        yield
        with torch.no_grad():
            for parameter, weight in zip((*run.model.parameters(), *run.average.parameters()), weights, strict=True):
                parameter.copy_(weight)
            for parameter, kept in state.items():
                run.optimizer.state[parameter] = kept
        graph.captured = [run._graphed]

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", capture)
    run._graphed = GraphedUpdates(run._whole_update, run.model, TRAIN, TINY, 0)
    return run


def test_graphed_updates_make_the_updates_of_the_plain_loop(graphed, tmp_path) -> None:
    plain = Trainer(miniature.model("cwvae-2"), graphed.recipe, TRAIN, VALIDATION, tmp_path / "plain", precision="fp32")
    found = [[run.step() for _ in range(8)] for run in (graphed, plain)]
    assert cuda_graph.WARM_UP < 8
    assert found[0] == pytest.approx(found[1], rel=1e-4)
    assert len(set(found[0])) == 8
    for ours, wanted in zip(graphed.average.parameters(), plain.average.parameters(), strict=True):
        torch.testing.assert_close(ours, wanted, rtol=2e-3, atol=2e-4)
    torch.testing.assert_close(graphed.window, plain.window, rtol=1e-4, atol=0)


def test_what_a_graph_cuts_from_the_audio_is_the_batch_of_the_plain_loop(graphed) -> None:
    seen: list[tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, ...]]] = []
    graphed._graphed._update = lambda pcm, lengths, noise, schedule: (
        seen.append((pcm.clone(), lengths.clone(), tuple(n.clone() for n in noise))) or torch.ones(4).double()
    )
    for _ in range(2):
        graphed.step()
    plain: list[tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, ...]]] = []
    graphed._graphed, graphed.update = None, 0
    graphed.model.register_forward_pre_hook(lambda module, args: plain.append((args[0], args[1], tuple(args[2]))))
    for _ in range(2):
        graphed.step()
    for (pcm, lengths, noise), (own_pcm, own_lengths, own_noise) in zip(seen, plain, strict=True):
        assert torch.equal(pcm, own_pcm)
        assert torch.equal(lengths, own_lengths)
        assert all(torch.equal(x, y) for x, y in zip(noise, own_noise, strict=True))


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_waits_until_an_update_is_counted(graphed, monkeypatch) -> None:
    work = graphed._graphed._update

    def pressed(*args):
        found = work(*args)
        os.kill(os.getpid(), signal.SIGINT)
        return found

    monkeypatch.setattr(graphed._graphed, "_update", pressed)
    with pytest.raises(KeyboardInterrupt):
        graphed.step()
    assert graphed.update == 1
    assert graphed.optimizer.state[graphed.model.head.weight]["step"] == 1


def test_gains_are_uniform_in_decibels_and_round_to_16_bits() -> None:
    sizes = np.array([5000, 4000])
    recipe = replace(TINY, batch=4000, quieter=20.0)
    decibels = 20 * np.log10(draw_segments(sizes, recipe, 0, 0).gains)
    assert -20.001 <= decibels.min() < -19.9
    assert -0.1 < decibels.max() <= 0
    assert abs(decibels.mean() + 10) < 4 * 20 / np.sqrt(12 * 4000)
    assert (draw_segments(sizes, replace(recipe, quieter=0.0), 0, 0).gains == 1).all()
    pcm = torch.tensor([[100, -101, 32_767], [3, 5, -32_768]], dtype=torch.int16)
    assert with_gain(pcm, torch.tensor([0.5, 2.0])).tolist() == [[50, -50, 16_384], [6, 10, -32_768]]
