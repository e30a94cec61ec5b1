"""Times training: seconds of audio per second of wall time, through forward pass, backward pass and optimizer.

    python benchmarks/training.py --family cwvae --preset small --batch 8 --segment 16384 --updates 10 --loop both
    python benchmarks/training.py --family vrnn --preset paper --batch 16 --segment 48000
    python benchmarks/training.py --segment 8192 --optimizer muon

Runs in one process on random 16-bit noise. `--loop plain` replaces the recurrence with the hand-written backward pass
(CW-VAE, VRNN) by autograd through its steps; `both` prints the ratio. `encode` to `likelihood` are parts of the forward
pass. The share of the machine's limit counts the products of all layers, three times each for forward and backward,
against what F.linear reaches at the shape of the layer with most of them.
"""

import argparse
import contextlib
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from sys import path

import torch

path.insert(0, str(Path(__file__).resolve().parent))
path.insert(0, str(Path(__file__).resolve().parents[1]))

from machine import gflops, synchronize

from lvm_probe.models.layers.cwvae_cell import Cell
from lvm_probe.models.layers.srnn_chain import Chain
from lvm_probe.models.likelihood.gaussian import Gaussian
from lvm_probe.models.model import ForwardPass
from lvm_probe.models.registry import FAMILIES, family, preset
from lvm_probe.models.training.loss import learning_rate, schedule_at, training_loss
from lvm_probe.models.training.recipe import Preset
from lvm_probe.models.training.trainer import autocast, optimizer_of
from lvm_probe.models.trajectory import Trajectory


def plain_infer(
    cell: Cell, context: torch.Tensor | None, encoded: torch.Tensor, noise: torch.Tensor, _: None
) -> Trajectory:
    """`Cell.infer` by `Cell.step`, differentiated by autograd."""
    gates, evidence = cell.gate_inputs(context, encoded), cell.encoder_to_evidence(encoded)
    rows = noise.shape[1]
    h, z, steps = noise.new_zeros(rows, cell.hidden), noise.new_zeros(rows, cell.latent), []
    for gate, e, eps in zip(gates, evidence, noise, strict=True):
        h, z, p, q = cell.step(gate.expand(rows, -1), e.expand(rows, -1), eps, z, h)
        steps.append((h, z, p.mean, p.log_precision, q.mean, q.log_precision))
    all_h, all_z, *g = (torch.stack(x) for x in zip(*steps, strict=True))
    return Trajectory(all_h, all_z, Gaussian(*g[:2]), Gaussian(*g[2:]))


@contextlib.contextmanager
def loop(how: str) -> Iterator[None]:
    """Make cells use the loop with the hand-written backward pass ("fast") or the one by autograd ("plain")."""
    fast = Cell.infer
    if how == "plain":
        Cell.infer = plain_infer  # type: ignore[method-assign]
    try:
        yield
    finally:
        Cell.infer = fast  # type: ignore[method-assign]


class Bench:
    """A model that is trained on the same random batch again and again."""

    def __init__(self, name: str, chosen: Preset, batch: int, segment: int, precision: str, device: str) -> None:
        generator = torch.Generator().manual_seed(0)
        self.recipe, self.precision, self.device = chosen.recipe, precision, device
        self.model = family(name).seeded(chosen.config, 0).to(device)
        self.optimizer = optimizer_of(self.model, chosen.recipe)
        pcm = torch.randint(-3_000, 3_000, (batch, segment), generator=generator).to(torch.int16)
        self.pcm = self.model.pad(pcm).to(device)
        self.lengths = torch.full((batch,), segment, device=device)
        self.noise = [n.to(device) for n in self.model.noise(segment, batch, generator)]
        self.update = 0

    def step(self) -> dict[str, float]:
        """One update; seconds of each part."""
        marks = [self._now()]
        model = self.model
        with autocast(torch.device(self.device), self.precision):
            encoded = model.encode(self.pcm, self.lengths)
            marks.append(self._now())
            layers = model.infer(encoded, self.noise)
            marks.append(self._now())
            decoded = model.decode(encoded, layers, self.lengths)
            marks.append(self._now())
        passed = ForwardPass(layers, *decoded)
        schedule = schedule_at(self.recipe, self.update)
        loss = training_loss(passed, model, self.pcm, self.lengths, self.recipe, schedule)
        marks.append(self._now())
        self.optimizer.zero_grad(set_to_none=True)
        loss.total.backward()
        marks.append(self._now())
        torch.nn.utils.clip_grad_norm_(model.parameters(), self.recipe.clip or float("inf"))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, self.update)
        self.optimizer.step()
        marks.append(self._now())
        self.update += 1
        names = ("encode", "loop", "decode", "likelihood", "backward", "optimiser")
        return dict(zip(names, (b - a for a, b in pairwise(marks)), strict=True))

    def run(self, loops: Sequence[str], updates: int) -> dict[str, dict[str, float]]:
        """Median seconds of each part with each loop, in turn, after two updates of each to warm up."""
        timed: dict[str, list[dict[str, float]]] = {how: [] for how in loops}
        for turn in range(updates + 2):
            for how in loops:
                with loop(how):
                    parts = self.step()
                if turn >= 2:
                    timed[how].append(parts)
        return {how: {part: median(t[part] for t in rows) for part in rows[0]} for how, rows in timed.items()}

    def products(self) -> list[tuple[int, int, int]]:
        """Rows, inputs and outputs of every product of a forward pass."""
        calls: list[tuple[int, int, int]] = []
        called: set[torch.nn.Module] = set()

        def linear(module: torch.nn.Linear, args: tuple[torch.Tensor, ...], _: object) -> None:
            called.add(module)
            calls.append((args[0].numel() // module.in_features, module.in_features, module.out_features))

        def recurrent(module: torch.nn.RNNBase, args: tuple[torch.Tensor, ...], _: object) -> None:
            rows = args[0].shape[0] * args[0].shape[1]
            calls.extend((rows, w.shape[1], w.shape[0]) for w in module.parameters() if w.ndim == 2)

        hooks = [
            module.register_forward_hook(recurrent if isinstance(module, torch.nn.RNNBase) else linear)
            for module in self.model.modules()
            if isinstance(module, torch.nn.Linear | torch.nn.RNNBase)
        ]
        with torch.no_grad():
            layers = self.model(self.pcm, self.lengths, self.noise).layers
        for hook in hooks:
            hook.remove()
        loops = [module for module in self.model.modules() if isinstance(module, Cell | Chain)]
        for module, layer in zip(loops, layers, strict=False):  # their loops multiply without calling the layers
            rows = layer.z.shape[0] * layer.z.shape[1]
            inside = [part for part in module.children() if isinstance(part, torch.nn.Linear) and part not in called]
            calls.extend((rows, part.in_features, part.out_features) for part in inside)
        return calls

    def _now(self) -> float:
        synchronize(self.device)
        return time.perf_counter()


def peak_memory(device: str) -> float:
    """GiB: the largest resident size of the process, or the largest allocation on the GPU."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--family", choices=tuple(FAMILIES), default="cwvae")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--within-step", help="as for `probe train`")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--segment", type=int, default=16_384)
    parser.add_argument("--updates", type=int, default=10)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--loop", choices=("fast", "plain", "both"), default="fast")
    parser.add_argument("--optimizer", choices=("adam", "muon"), default="adam")
    parser.add_argument("--threads", type=int, default=0, help="default: PyTorch's choice")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    asked = parser.parse_args()
    if asked.threads:
        torch.set_num_threads(asked.threads)

    chosen = preset(asked.family, asked.preset)
    if asked.within_step:
        chosen = replace(chosen, config=replace(chosen.config, within_step=asked.within_step))
    chosen = replace(chosen, recipe=replace(chosen.recipe, optimizer=asked.optimizer))
    bench = Bench(asked.family, chosen, asked.batch, asked.segment, asked.precision, asked.device)
    audio = asked.batch * asked.segment / chosen.config.sample_rate
    size = sum(p.numel() for p in bench.model.parameters()) / 1e6
    print(
        f"{asked.family} {asked.preset}, {size:.2f} M parameters, {asked.batch} x {asked.segment} samples, "
        f"{asked.precision}, {asked.device}, {torch.get_num_threads()} threads"
    )
    loops = ("fast", "plain") if asked.loop == "both" else (asked.loop,)
    speeds: dict[str, float] = {}
    for how, parts in bench.run(loops, asked.updates).items():
        speeds[how] = audio / sum(parts.values())
        print(f"loop {how}: {speeds[how]:.1f} s of audio per s of wall")
        print("   " + "  ".join(f"{part} {1000 * seconds:.0f} ms" for part, seconds in parts.items()))
    if asked.loop == "both":
        print(f"fast over plain                {speeds['fast'] / speeds['plain']:8.2f}")
    products = bench.products()
    rows, inputs, outputs = max(products, key=lambda s: s[0] * s[1] * s[2])
    limit = gflops(rows, inputs, outputs, asked.precision, asked.device, backward=True)
    gflop = 6e-9 * sum(rows * inputs * outputs for rows, inputs, outputs in products)
    reached = gflop / audio * next(iter(speeds.values()))
    print(f"F.linear {rows} x {inputs} -> {outputs}       {limit:8.1f} GFLOP/s")
    print(f"products in training          {reached:8.1f} GFLOP/s, {reached / limit:.0%} of it")
    print(f"peak memory                   {peak_memory(asked.device):8.2f} GiB")


if __name__ == "__main__":
    main()
