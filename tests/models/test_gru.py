"""The loop differentiated by hand against torch.nn.GRU and autograd."""

import pytest
import torch

from lvm_probe.models.layers.gru import GRU


def pair(inputs: int, hidden: int) -> tuple[GRU, torch.nn.GRU]:
    torch.manual_seed(0)
    ours, theirs = GRU(inputs, hidden).double(), torch.nn.GRU(inputs, hidden).double()
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.parametrize("continued", [False, True])
def test_states_and_gradients_are_those_of_torch(continued) -> None:
    ours, theirs = pair(5, 7)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(11, 3, 5, generator=generator, dtype=torch.float64).requires_grad_()
    h = torch.randn(1, 3, 7, generator=generator, dtype=torch.float64) if continued else None
    weight = torch.randn(11, 3, 7, generator=generator, dtype=torch.float64)
    results = []
    for gru in (ours, theirs):
        states, last = gru(x, h)
        assert torch.equal(states[-1:], last)
        results.append((states, *torch.autograd.grad((states * weight).sum(), [x, *gru.parameters()])))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)  # the same sums in another order


def test_gradients_pass_gradcheck() -> None:
    ours, _ = pair(2, 3)
    x = torch.randn(4, 2, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, *_: ours(x)[0], (x, *ours.parameters()))


def test_without_gradients_the_same_numbers() -> None:
    ours, _ = pair(5, 7)
    x = torch.randn(9, 2, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    with torch.no_grad():
        bare = ours(x)[0]
    assert torch.equal(bare, ours(x)[0])


def test_one_step_at_a_time_is_the_whole_sequence() -> None:
    ours, _ = pair(5, 7)
    x = torch.randn(6, 2, 5, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    h, states = None, []
    for step in x:
        state, h = ours(step.unsqueeze(0), h)
        states.append(state)
    torch.testing.assert_close(torch.cat(states), ours(x)[0], rtol=1e-12, atol=1e-12)
