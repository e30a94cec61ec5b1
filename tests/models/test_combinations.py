"""One contract over every family, domain and within-step factorisation that go together."""

from dataclasses import replace

import pytest
import torch

from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.likelihood.elbo import evaluate, log_likelihood
from lvm_probe.models.model import SpeechModel
from lvm_probe.models.registry import family
from lvm_probe.models.training.loss import schedule_at, training_loss
from lvm_probe.models.training.recipe import TINY
from lvm_probe.models.training.segments import training_batch
from tests.models import miniature
from tests.models.test_family import noise_for, steered

WITHIN = ("interleave:3", "random:2", "rnn", "masked-mlp")
STEPS = {"waveform": 8, "strokes": 3, "pianoroll": 88, "words": 1, "characters": 1}


def _combinations() -> list[tuple[str, str, str, int]]:
    """Family, domain, within-step factorisation, stride: every family with every domain, and every domain with every
    factorisation.

    The latter are combined with two families: an LSTM, which has the output layers that all but one share, and an STCN,
    which has its own.
    """
    every = [(name, domain, "factorised", stride) for name in miniature.ON_STEPS for domain, stride in STEPS.items()]
    within = [
        ("lstm", domain, kind, STEPS[domain])
        for domain, kinds in (("strokes", WITHIN[2:]), ("waveform", WITHIN), ("pianoroll", WITHIN))
        for kind in kinds
    ]
    within += [
        ("stcn", "waveform", "interleave:3", 8),
        ("stcn", "strokes", "rnn", 3),
        ("stcn", "pianoroll", "masked-mlp", 88),
    ]
    parts = [(name, "pianoroll", "factorised", 1) for name in ("lstm", "srnn")]
    return [*every, *within, *parts, ("lstm", "waveform", "factorised", 1), ("lstm", "strokes", "masked-mlp", 6)]


EVERY = pytest.mark.parametrize("combination", _combinations(), ids=lambda c: "-".join(map(str, c)))


def model_of(combination: tuple[str, str, str, int], seed: int = 0) -> SpeechModel:
    name, domain, kind, stride = combination
    shape = replace(miniature.config(name), output=miniature.DOMAINS[domain], within_step=kind, stride=stride)
    return family(name).seeded(shape, seed)


def recordings_of(model: SpeechModel, lengths: tuple[int, ...] = (9, 6)) -> list[miniature.Elements]:
    """Sequences of so many of the model's coarsest steps."""
    step = model.coarsest_stride
    return [miniature.sequence(model.config.output, n * step, seed) for seed, n in enumerate(lengths)]


@EVERY
def test_every_parameter_gets_a_gradient(combination) -> None:
    model = model_of(combination)
    recipe = replace(TINY, segment=0, beta=(1.0, 1.0, 1.0), free_nats=(0.0, 0.0, 1.0), auxiliary=(1.0, 1.0, 1.0))
    x, lengths, _ = training_batch(recordings_of(model), model.config.output, recipe, 0, 0)
    x = model.pad(x)
    passed = model(x, lengths, noise_for(model, x.shape[1], 2))
    assert (passed.waveform is None) == (model.deterministic or not isinstance(model.config.output, Waveform))
    loss = training_loss(passed, model, x, lengths, recipe, schedule_at(recipe, 0))
    loss.total.backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().max() > 0, key


@EVERY
def test_a_saved_and_loaded_model_evaluates_alike_in_one_pass_and_in_chunks(combination, tmp_path) -> None:
    model = model_of(combination)
    recordings = recordings_of(model)
    whole = evaluate(model, recordings, seed=1)
    assert whole.domain == model.config.output.name
    assert whole.nats_per_step * whole.samples / whole.step == pytest.approx(whole.elbo)
    checkpoint.save(tmp_path / "m.safetensors", model, {})
    loaded = checkpoint.load(tmp_path / "m.safetensors", any_domain=True).model
    assert loaded.config == model.config
    pieces = evaluate(loaded, recordings, seed=1, most_samples=4 * model.coarsest_stride)
    # Products of other shapes add in another order, 1e-7 each.
    assert pieces.reconstruction == pytest.approx(whole.reconstruction, rel=1e-5)
    for ours, theirs in zip(pieces.kl, whole.kl, strict=True):
        assert ours.tolist() == pytest.approx(theirs.tolist(), rel=1e-4)


@EVERY
@torch.no_grad()
def test_given_the_latents_a_step_sees_nothing_of_later_steps(combination) -> None:
    model = model_of(combination).double()
    (recording,) = recordings_of(model, (8 if model.stride > 1 or model.config.output.step == 1 else 1,))
    x = torch.from_numpy(recording.elements)[None]
    lengths, at = torch.tensor([x.shape[1]]), x.shape[1] // 2
    other = x.clone()
    other[:, at:] = torch.from_numpy(miniature.sequence(model.config.output, x.shape[1], 5).elements)[at:]
    assert not torch.equal(x, other)
    noise = noise_for(model, x.shape[1], 1)
    encoded = model.encode(x, lengths)
    layers = model.infer(encoded, noise)
    same = steered(model, model.encode(other, lengths), noise, lambda l, _: layers[l].z)
    ours, theirs = (
        model.decode(model.encode(e, lengths), l, lengths)[0].given(e).log_prob(e)
        for e, l in ((x, layers), (other, same))
    )
    torch.testing.assert_close(ours[:, :at], theirs[:, :at], rtol=1e-7, atol=1e-7)


@EVERY
@torch.no_grad()
def test_samples_are_elements_of_the_domain(combination) -> None:
    model = model_of(combination)
    size = 2 * model.coarsest_stride
    first, again, other = (model.sample(size, 2, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    x = model.config.output.quantise(first)
    assert x.shape == (2, size)
    assert x.dtype == model.config.output.dtype
    assert torch.equal(first, again)
    assert model.config.output.size < 9 or not torch.equal(first, other)
    passed = model(x, torch.tensor([size, size]), noise_for(model, size, 2))
    assert log_likelihood(passed.output, x, torch.tensor([size, size])).isfinite().all()


def test_segments_begin_with_a_step() -> None:
    domain = miniature.DOMAINS["pianoroll"]
    recipe = replace(TINY, batch=50, segment=200, quieter=0.0)
    roll = miniature.Elements("roll", (torch.arange(88 * 9) % 88 == 0).to(torch.uint8).numpy())
    x, lengths, _ = training_batch([roll], domain, recipe, 0, 0)
    assert x.shape == (50, 176)
    assert lengths.tolist() == [176] * 50
    assert (x.view(50, 2, 88).argmax(2) == 0).all()
