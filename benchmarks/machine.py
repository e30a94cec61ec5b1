"""Measures the speed of matrix products on this machine: an upper limit for the speed of training.

    python benchmarks/machine.py --rows 2048 --inputs 576 --outputs 384

The shape is that of F.linear: (rows, inputs) by (outputs, inputs). The default is the small model's largest
layer, the three-step kernel of a residual block, on a batch of eight segments.
"""

import argparse
import time

import torch
from torch.nn import functional as F

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def gflops(
    rows: int,
    inputs: int,
    outputs: int,
    precision: str,
    device: str = "cpu",
    *,
    backward: bool = False,
    seconds: float = 1.0,
) -> float:
    """GFLOP/s of F.linear, best of the runs that fit into `seconds`; with `backward` both gradients are counted."""
    dtype = DTYPES[precision]
    x, w = (torch.randn(n, inputs, device=device, dtype=dtype, requires_grad=backward) for n in (rows, outputs))
    y = F.linear(x, w)
    outer = torch.randn_like(y)
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        synchronize(device)
        begin = time.perf_counter()
        y = F.linear(x, w)
        if backward:
            torch.autograd.grad(y, (x, w), outer)
        synchronize(device)
        best = min(best, time.perf_counter() - begin)
    return 2e-9 * rows * inputs * outputs * (3 if backward else 1) / best


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=2048)
    parser.add_argument("--inputs", type=int, default=576)
    parser.add_argument("--outputs", type=int, default=384)
    parser.add_argument("--threads", type=int, default=0, help="0: as many as torch takes")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    asked = parser.parse_args()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    shape = (asked.rows, asked.inputs, asked.outputs)
    print(f"F.linear {shape[0]} x {shape[1]} -> {shape[2]}, {asked.device}, {torch.get_num_threads()} threads")
    for precision in DTYPES:
        forward = gflops(*shape, precision, asked.device)
        both = gflops(*shape, precision, asked.device, backward=True)
        print(f"{precision}   forward {forward:9.1f} GFLOP/s   forward and backward {both:9.1f} GFLOP/s")


if __name__ == "__main__":
    main()
