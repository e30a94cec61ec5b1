"""How the elements of a step depend on each other: likelihoods, causality and generation of every factorisation."""

import itertools

import numpy as np
import pytest
import torch

from lvm_probe import InputError
from lvm_probe.models.domains.domain import Distributions, Output
from lvm_probe.models.domains.pianoroll import PianoRoll
from lvm_probe.models.layers.within_step import StepOutput, WithinStep, distributions, step_head
from lvm_probe.models.registry import family
from tests.models import miniature

WITHIN = ("interleave:2", "interleave:3", "random:3", "rnn", "masked-mlp")
CASES = [
    (name, kind)
    for name, kind in itertools.product(("waveform", "pianoroll", "strokes"), WITHIN)
    if name != "strokes" or kind in ("rnn", "masked-mlp")
]
EVERY = pytest.mark.parametrize(("name", "kind"), CASES)


def config(name: str, kind: str, stride: int = 6) -> object:
    return family("lstm").Config(stride=stride, width=12, hidden=10, output=miniature.DOMAINS[name], within_step=kind)


class Six(PianoRoll):
    """Piano rolls of six keys, whose states can be counted."""

    name = "six"
    step = 6


def head_of(name: str, kind: str) -> tuple[WithinStep, torch.Tensor, torch.Tensor]:
    """A head in double precision, the features of two rows of five steps, and elements for them."""
    torch.manual_seed(0)
    shape = config(name, kind, stride=88 if name == "pianoroll" else 6)
    head = step_head(12, shape).double()
    features = torch.randn(2, 5, 12, dtype=torch.float64)
    take = miniature.sequence(shape.output, 2 * 5 * shape.stride)
    return head, features, torch.from_numpy(take.elements).view(2, -1)


def earlier(kind: str, stride: int, i: int) -> set[int]:
    """The elements that element i may depend on, besides those of a joint distribution with it."""
    if kind in ("rnn", "masked-mlp"):
        return set(range(i))
    number = int(kind.split(":")[1])
    if kind.startswith("interleave"):
        first = set(range(0, stride, number))
    else:
        first = set(np.random.default_rng(stride).permutation(stride)[:number].tolist())
    return set() if i in first else first


@EVERY
def test_an_element_sees_neither_itself_nor_what_comes_after_it(name, kind) -> None:
    head, features, x = head_of(name, kind)
    shape, stride = head.config, head.stride
    seen = shape.element_features(x, torch.float64).view(10, stride, -1).requires_grad_()
    found = head.parameters_given(features.flatten(0, 1), seen)
    for i in range(0, stride, 7 if stride > 6 else 1):
        (gradient,) = torch.autograd.grad(found[:, i].square().sum(), seen, retain_graph=True)
        reached = {j for j in range(stride) if gradient[:, j].abs().max() > 0}
        assert reached <= earlier(kind, stride, i)
        if name != "pianoroll":  # binary inputs of zero may leave a unit without a gradient
            assert reached == earlier(kind, stride, i)


@EVERY
def test_steps_are_independent_given_their_features(name, kind) -> None:
    head, features, x = head_of(name, kind)
    whole = StepOutput(head, features)
    part = whole.elements(head.stride, 3 * head.stride)
    torch.testing.assert_close(
        part.given(x[:, head.stride : 3 * head.stride]).parameters,
        whole.given(x).parameters[:, head.stride : 3 * head.stride],
    )


@pytest.mark.parametrize("kind", WITHIN)
def test_the_probabilities_of_all_states_of_a_step_sum_to_one(kind) -> None:
    torch.manual_seed(1)
    shape = config("pianoroll", kind, stride=44)
    object.__setattr__(shape, "output", Six())
    object.__setattr__(shape, "stride", 6)
    head = step_head(12, shape).double()
    states = torch.tensor(list(itertools.product((0, 1), repeat=6)), dtype=torch.uint8)
    features = torch.randn(1, 1, 12, dtype=torch.float64).expand(64, -1, -1)
    total = StepOutput(head, features).given(states).log_prob(states).sum(1).exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-9)


@EVERY
def test_generation_draws_from_what_is_said_of_the_drawn(name, kind, monkeypatch) -> None:
    """Draws are as likely as draws from the stated distributions have to be, element by element."""
    head, features, _ = head_of(name, kind)
    output: Distributions = StepOutput(head, features[:1, :1].expand(4_000, 1, 12))
    values = output.sample(torch.Generator().manual_seed(2))
    x = head.domain.quantise(values)
    stated = output.given(x)
    again = Output(head.domain, stated.parameters).sample(torch.Generator().manual_seed(3))
    ours = stated.log_prob(x)
    theirs = stated.log_prob(head.domain.quantise(again))  # independent draws of each element, the others given
    # Given what came before it, an element's expected log likelihood is the same whichever of the two draws it;
    # the elements that follow a redrawn one are not asked.
    error = (ours - theirs).std(0) / 4_000**0.5 + 1e-12
    asked = [i for i in range(head.stride) if name != "strokes" or i % 3 < 2]  # dy was given another dx
    assert ((ours - theirs).mean(0).abs() < 5 * error)[asked].all()
    assert torch.equal(values, output.sample(torch.Generator().manual_seed(2)))


def test_the_factorised_head_is_a_linear_layer() -> None:
    shape = config("waveform", "factorised")
    head = step_head(12, shape)
    assert isinstance(head, torch.nn.Linear)
    assert isinstance(distributions(head, torch.zeros(1, 2, 12), shape.output), Output)


@pytest.mark.parametrize(
    ("name", "kind", "stride", "message"),
    [
        ("waveform", "interleaved", 6, "unknown within-step 'interleaved': choose one of factorised"),
        ("waveform", "interleave", 6, "unknown within-step"),
        ("waveform", "rnn:3", 6, "unknown within-step"),
        ("waveform", "interleave:x", 6, "unknown within-step"),
        ("waveform", "interleave:7", 6, "number from 2 to 6"),
        ("waveform", "random:6", 6, "number from 1 to 5"),
        ("waveform", "rnn", 1, "one element has nothing within it"),
        ("words", "rnn", 1, "one element has nothing within it"),
        ("strokes", "interleave:2", 6, "are of several kinds"),
        ("strokes", "factorised", 4, "a stride of 4 cuts it"),
        ("strokes", "factorised", 1, "a stride of 1 cuts it"),
        ("pianoroll", "factorised", 3, "a stride of 3 cuts it"),
    ],
)
def test_what_a_step_cannot_have_is_refused_by_name(name, kind, stride, message) -> None:
    with pytest.raises(InputError, match=message):
        config(name, kind, stride)
