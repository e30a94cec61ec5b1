"""Times training: seconds of audio that forward, backward and Adam handle per second of wall time.

    python benchmarks/training.py --preset small --batch 8 --segment 16384 --updates 10 --loop both

Runs in one process on random 16-bit noise; what the audio says does not change the work. `--loop plain` puts
autograd through `Cell.step` in the place of the loop that is differentiated by hand; `both` prints the ratio. The
parts are timed in updates of their own, forward only; the loop's backward pass is in `backward`. The share of the
machine's limit counts the products of the linear layers of the model, three times each for forward and backward,
against what F.linear reaches at the shape of the model's largest layer.
"""

import argparse
import contextlib
import resource
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from sys import path

import torch

path.insert(0, str(Path(__file__).resolve().parent))
path.insert(0, str(Path(__file__).resolve().parents[1]))

from machine import gflops, synchronize

import models.cell
from models.blocks import ResidualBlock
from models.cwvae import CWVAE, Pass
from models.gaussian import LOG_PRECISION_RANGE, Gaussian
from models.presets import PRESETS, Preset, preset
from models.scan import Trajectory, Weights
from models.training import autocast, learning_rate, training_loss


def plain_scan(gates: torch.Tensor, evidence: torch.Tensor, noise: torch.Tensor, weights: Weights) -> Trajectory:
    """The loop of `Cell.step` in plain PyTorch, differentiated by autograd."""
    rows, latent = noise.shape[1:]
    hidden = weights.h_to_all.shape[0]
    splits = (2 * hidden, hidden, hidden, hidden)
    gates, evidence = gates.to(noise.dtype), evidence.to(noise.dtype)
    h, z = noise.new_zeros(rows, hidden), noise.new_zeros(rows, latent)
    from_h = weights.h_bias.expand(rows, -1)
    out = []
    for gate, e, eps in zip(gates, evidence, noise, strict=True):
        n_in, ru_in = (gate + z @ weights.z_to_gates).split((hidden, 2 * hidden), 1)
        ru_h, n_h, _, _ = from_h.split(splits, 1)
        reset, update = torch.sigmoid(ru_in + ru_h).chunk(2, 1)
        h = (1 - update) * torch.tanh(n_in + reset * n_h) + update * h
        from_h = torch.addmm(weights.h_bias, h, weights.h_to_all)
        _, _, to_prior, to_evidence = from_h.split(splits, 1)
        heads = zip((to_prior, to_evidence + e), weights.heads, weights.heads_bias, strict=True)
        (m_p, l_p), (m_e, l_e) = ((torch.relu(a) @ w + b).chunk(2, 1) for a, w, b in heads)
        l_p, l_e = l_p.clamp(*LOG_PRECISION_RANGE), l_e.clamp(*LOG_PRECISION_RANGE)
        p, q = l_p.exp(), l_e.exp()
        mean, log = (p * m_p + q * m_e) / (p + q), (p + q).log()
        z = mean + torch.exp(-0.5 * log) * eps
        out.append((h, z, m_p, l_p, mean, log))
    all_h, all_z, m_p, l_p, mean, log = (torch.stack(x) for x in zip(*out, strict=True))
    return Trajectory(all_h, all_z, Gaussian(m_p, l_p), Gaussian(mean, log))


@contextlib.contextmanager
def loop(how: str) -> Iterator[None]:
    """Puts the named loop into the cells."""
    fast = models.cell.scan
    models.cell.scan = plain_scan if how == "plain" else fast
    try:
        yield
    finally:
        models.cell.scan = fast


class Bench:
    """A model in training on the same random batch again and again."""

    def __init__(self, chosen: Preset, batch: int, segment: int, precision: str, device: str) -> None:
        torch.manual_seed(0)
        generator = torch.Generator().manual_seed(0)
        self.recipe, self.precision, self.device = chosen.recipe, precision, device
        self.model = CWVAE(chosen.config).to(device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), chosen.recipe.learning_rate, chosen.recipe.betas)
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
            output, waveform = model.decode(layers[0].z, layers[0].h, self.lengths)
            marks.append(self._now())
        passed = Pass(layers, output, waveform)
        loss = training_loss(passed, model, self.pcm, self.lengths, self.recipe, self.update)
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
        """Median seconds of each part with each loop, turn by turn, after two updates of each to warm up."""
        timed: dict[str, list[dict[str, float]]] = {how: [] for how in loops}
        for turn in range(updates + 2):
            for how in loops:
                with loop(how):
                    parts = self.step()
                if turn >= 2:
                    timed[how].append(parts)
        return {how: {part: median(t[part] for t in rows) for part in rows[0]} for how, rows in timed.items()}

    def gflop(self) -> float:
        """Products of one update: every linear layer's rows, by its weights, for forward and both gradients."""
        calls: list[int] = []
        hooks = [
            module.register_forward_hook(
                lambda module, args, out: calls.append(2 * args[0].numel() * module.weight.shape[0])
            )
            for module in self.model.modules()
            if isinstance(module, torch.nn.Linear)
        ]
        with torch.no_grad():
            self.model(self.pcm, self.lengths, self.noise)
        for hook in hooks:
            hook.remove()
        total = sum(calls)
        for cell, noise in zip(self.model._cells(), self.noise, strict=True):  # the loop multiplies by hand
            weights = cell.weights()
            per_row = weights.z_to_gates.numel() + weights.h_to_all.numel() + weights.heads.numel()
            total += 2 * per_row * noise.shape[0] * noise.shape[1]
        return 3e-9 * total

    def main_shape(self) -> tuple[int, int, int]:
        """Rows, inputs and outputs of the residual block with most products."""
        shapes: list[tuple[int, int, int]] = []
        hooks = [
            module.conv.register_forward_hook(
                lambda module, args, out: shapes.append(
                    (args[0].numel() // module.in_features, module.in_features, module.out_features)
                )
            )
            for module in self.model.modules()
            if isinstance(module, ResidualBlock)
        ]
        with torch.no_grad():
            self.model(self.pcm, self.lengths, self.noise)
        for hook in hooks:
            hook.remove()
        return max(shapes, key=lambda s: s[0] * s[1] * s[2])

    def _now(self) -> float:
        synchronize(self.device)
        return time.perf_counter()


def peak_memory(device: str) -> float:
    """GiB: the process's largest resident size, or the GPU's largest allocation."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--preset", choices=tuple(PRESETS["cwvae"]), default="small")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--segment", type=int, default=16_384)
    parser.add_argument("--updates", type=int, default=10)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--loop", choices=("fast", "plain", "both"), default="fast")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as torch takes")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    asked = parser.parse_args()
    if asked.threads:
        torch.set_num_threads(asked.threads)

    chosen = preset("cwvae", asked.preset)
    bench = Bench(chosen, asked.batch, asked.segment, asked.precision, asked.device)
    audio = asked.batch * asked.segment / chosen.config.sample_rate
    size = sum(p.numel() for p in bench.model.parameters()) / 1e6
    print(
        f"cwvae {asked.preset}, {size:.2f} M parameters, {asked.batch} x {asked.segment} samples, {asked.precision}, "
        f"{asked.device}, {torch.get_num_threads()} threads"
    )
    loops = ("fast", "plain") if asked.loop == "both" else (asked.loop,)
    speeds: dict[str, float] = {}
    for how, parts in bench.run(loops, asked.updates).items():
        speeds[how] = audio / sum(parts.values())
        print(f"loop {how}: {speeds[how]:.1f} s of audio per s of wall")
        print("   " + "  ".join(f"{part} {1000 * seconds:.0f} ms" for part, seconds in parts.items()))
    if asked.loop == "both":
        print(f"fast over plain                {speeds['fast'] / speeds['plain']:8.2f}")
    shape = bench.main_shape()
    limit = gflops(*shape, asked.precision, asked.device, backward=True)
    reached = bench.gflop() / audio * next(iter(speeds.values()))
    rows, inputs, outputs = shape
    print(f"F.linear {rows} x {inputs} -> {outputs}       {limit:8.1f} GFLOP/s")
    print(f"products in training          {reached:8.1f} GFLOP/s, {reached / limit:.0%} of it")
    print(f"peak memory                   {peak_memory(asked.device):8.2f} GiB")


if __name__ == "__main__":
    main()
