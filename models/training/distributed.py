"""Training on several devices: each process takes its rows of every batch, and gradients are summed.

Lightning Fabric starts the processes and transfers the numbers. Each process draws the same batch from the same seed,
so N devices compute what one does, up to the order of sums.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lvm_probe import InputError


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of a run; by default a single one.

    Attributes:
        rank: number of this process.
        size: number of processes.
        device: of this process; None to let the caller choose.
        fabric: Lightning's, which connects them.
    """

    rank: int = 0
    size: int = 1
    device: torch.device | None = None
    fabric: Any = None

    def rows(self, batch: Tensor, dim: int = 0) -> Tensor:
        """The rows of a batch that this process takes; an empty one, of zeros, where there are fewer than processes.

        Args:
            batch: of the whole group.
            dim: along which its rows are.
        """
        ours = torch.arange(self.rank, batch.shape[dim], self.size)
        return batch.index_select(dim, ours) if len(ours) else torch.zeros_like(batch.narrow(dim, 0, 1))

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.fabric is None:
            return tensor
        total: Tensor = self.fabric.all_reduce(tensor, reduce_op="sum")
        return total

    def sum_gradients(self, model: nn.Module) -> None:
        """Replace every gradient by its sum over all processes, in one transfer."""
        if self.fabric is None:
            return
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        total = self.sum(torch.cat([g.flatten() for g in gradients]))
        for gradient, part in zip(gradients, total.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))


def is_secondary_process() -> bool:
    """Whether a launcher started this process as one of several, but not as the first; known before it joins them."""
    return any(os.environ.get(name, "0") not in ("", "0") for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))


def launch_processes(devices: int, accelerator: str, batch: int) -> ProcessGroup:
    """Start processes that all run the present command.

    Args:
        devices: how many processes.
        accelerator: "cpu" or "cuda".
        batch: rows of a batch, which the processes share.

    Returns:
        The group, as seen by each of its processes.

    Raises:
        InputError: if there are fewer devices or rows, or Fabric is not installed.
    """
    if batch < devices:
        raise InputError(f"a batch of {batch} does not fill {devices} devices: raise --batch")
    if devices == 1:
        return ProcessGroup()
    if devices < 1:
        raise InputError(f"--devices {devices}: give a positive number")
    if accelerator == "cuda" and torch.cuda.device_count() < devices:
        raise InputError(f"--devices {devices}: PyTorch sees {torch.cuda.device_count()} CUDA devices here")
    try:
        from lightning_fabric import Fabric
    except ImportError:
        raise InputError("--devices needs Lightning Fabric: pip install 'lvm-probe[devices]'") from None
    fabric = Fabric(accelerator=accelerator, devices=devices, strategy="ddp")
    fabric.launch()
    return ProcessGroup(fabric.global_rank, fabric.world_size, fabric.device, fabric)
