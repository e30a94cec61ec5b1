"""A gated recurrent unit over a whole sequence, with a hand-written backward pass on the CPU.

`torch.nn.GRU` has fused kernels on CUDA. On the CPU it runs one small operation after another and autograd through
each: on one thread forward and backward together take 1.4 times as long as here, and a training update of an SRNN 1.2
times.
Parameters and equations are those of `torch.nn.GRU` (Cho et al. 2014, in PyTorch's variant):

    r = σ(W_r x + R_r h + b),  u = σ(W_u x + R_u h + b),  n = tanh(W_n x + b + r ∘ (R_n h + b')),  h ← (1 - u) n + u h

Products with x are one product before the loop, and the weights' gradients one product each after it.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F


class GRU(nn.GRU):
    """`torch.nn.GRU(inputs, hidden)`: one layer, one direction, time first."""

    weight_ih_l0: Tensor
    weight_hh_l0: Tensor
    bias_ih_l0: Tensor
    bias_hh_l0: Tensor

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden)

    def forward(
        self, x: Float[Tensor, "time rows inputs"], h: Float[Tensor, "1 rows hidden"] | None = None
    ) -> tuple[Float[Tensor, "time rows hidden"], Float[Tensor, "1 rows hidden"]]:
        """Every state and the last one, starting from `h` (zeros without it), which gets no gradient."""
        h = None if h is None else h.detach()
        if x.is_cuda:
            fused: tuple[Tensor, Tensor] = super().forward(x, h)  # type: ignore[has-type]
            return fused
        gates = F.linear(x, self.weight_ih_l0, self.bias_ih_l0)
        first = x.new_zeros(x.shape[1], self.hidden_size) if h is None else h[0]
        states = _Loop.apply(gates, first, self.weight_hh_l0, self.bias_hh_l0)
        return states, states[-1:]


def run(
    gru: nn.GRU, x: Float[Tensor, "time rows features"], h: Float[Tensor, "1 rows hidden"] | None = None
) -> tuple[Float[Tensor, "time rows hidden"], Float[Tensor, "1 rows hidden"]]:
    """Run a GRU in the precision of its weights, under autocast too.

    Args:
        gru: the layer.
        x: its inputs, time first.
        h: the state to start from; zeros without.

    Returns:
        The state of every step, and the last one.
    """
    with torch.autocast(x.device.type, enabled=False):
        states, last = gru(x.to(next(gru.parameters()).dtype), h)
    return states, last


def reverse(x: Float[Tensor, "time rows features"], valid: Int[Tensor, " rows"]) -> Float[Tensor, "time rows features"]:
    """Reverse the first `valid` steps of each row and leave the padding behind them. It is its own inverse."""
    time = torch.arange(len(x), device=x.device).unsqueeze(1)
    index = torch.where(time < valid, valid - 1 - time, time)
    return x.gather(0, index.unsqueeze(-1).expand_as(x))


def weight_gradient(x: Tensor, y: Tensor) -> Tensor:
    """Σ over time and rows of xᵀ y, (time, rows, a) and (time, rows, b) to (a, b)."""
    return x.flatten(0, 1).t() @ y.flatten(0, 1)


class _Loop(torch.autograd.Function):
    """The recurrence. Gate columns are [r, u, n], as in PyTorch."""

    @staticmethod
    def forward(ctx: Any, gates: Tensor, first: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        time, rows, _ = gates.shape
        hidden = first.shape[1]
        transposed = weight.t().contiguous()
        states = gates.new_empty(time, rows, hidden)
        keep = any(ctx.needs_input_grad)
        act = torch.empty_like(gates) if keep else gates.new_empty(1, rows, 3 * hidden).expand_as(gates)
        inner = gates.new_empty(time if keep else 1, rows, hidden).expand(time, rows, hidden)
        from_h = gates.new_empty(rows, 3 * hidden)
        from_ru, from_n = from_h.split((2 * hidden, hidden), 1)
        h = first
        views = zip(
            gates[..., : 2 * hidden].unbind(),
            gates[..., 2 * hidden :].unbind(),
            act[..., : 2 * hidden].unbind(),
            act[..., :hidden].unbind(),
            act[..., hidden : 2 * hidden].unbind(),
            act[..., 2 * hidden :].unbind(),
            inner.unbind(),
            states.unbind(),
            strict=True,
        )
        for gate_ru, gate_n, ru, r, u, n, n_h, out in views:
            torch.addmm(bias, h, transposed, out=from_h)
            torch.add(gate_ru, from_ru, out=ru).sigmoid_()
            n_h.copy_(from_n)
            torch.addcmul(gate_n, r, n_h, out=n).tanh_()
            h = torch.lerp(n, h, u, out=out)
        if keep:
            ctx.save_for_backward(first, weight, states, act, inner)
        return states

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
        first, weight, states, act, inner = ctx.saved_tensors
        time, rows, hidden = states.shape
        r, u, n = act.chunk(3, -1)
        before = torch.cat((first.unsqueeze(0), states[:-1]))
        # d loss / d gate inputs [r, u, n from x, n from h] = slope · d loss / d h, which the loop multiplies in
        slopes = act.new_empty(time, rows, 4, hidden)
        torch.mul(1 - u, 1 - n.square(), out=slopes[:, :, 2])
        torch.mul(slopes[:, :, 2], inner * r * (1 - r), out=slopes[:, :, 0])
        torch.mul(before - n, u * (1 - u), out=slopes[:, :, 1])
        torch.mul(slopes[:, :, 2], r, out=slopes[:, :, 3])
        from_x = torch.empty_like(act)
        from_h = torch.empty_like(act)
        carry = outer.new_zeros(rows, hidden)
        views = zip(
            outer.unbind(),
            slopes.unbind(),
            u.unbind(),
            from_h.unbind(),
            from_h.unflatten(2, (3, hidden)).unbind(),
            strict=True,
        )
        for d_out, slope, keep, d_h, d_h3 in reversed(list(views)):
            into = d_out + carry
            slope.mul_(into.unsqueeze(1))
            d_h3[:, :2] = slope[:, :2]
            d_h3[:, 2] = slope[:, 3]
            torch.addmm(into.mul_(keep), d_h, weight, out=carry)
        from_x.copy_(slopes[:, :, :3].flatten(2))
        return from_x, None, weight_gradient(from_h, before), from_h.sum((0, 1))
