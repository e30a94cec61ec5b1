"""What the families on stacks of samples share: continued states, exact likelihoods, auxiliary costs, refusals."""

from dataclasses import replace

import pytest
import torch

from lvm_probe import InputError
from lvm_probe.models.likelihood.elbo import evaluate
from lvm_probe.models.training.loss import schedule_at, training_loss
from lvm_probe.models.training.recipe import TINY
from tests.models import miniature
from tests.models.equations import far_from_start
from tests.models.test_family import noise_for

RECURRENT = ("lstm", "lstm-2", "cwrnn", "hmlstm")
DETERMINISTIC = (*RECURRENT, "wavenet", "wavenet-dense", "wavenet-1")


@pytest.mark.parametrize("name", RECURRENT)
@torch.no_grad()
def test_states_can_be_continued_at_any_step(name) -> None:
    model = far_from_start(miniature.model(name))
    x = torch.randn(12, 3, model.config.width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole, _ = model.states(x)
    first, carried = model.states(x[:5])
    last, _ = model.states(x[5:], carried)
    torch.testing.assert_close(torch.cat((first, last)), whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", [*RECURRENT, "ladder", "ladder-dense"])
def test_states_stay_in_single_precision_under_autocast(name) -> None:
    model = miniature.model(name)
    pcm, lengths = miniature.batch([200])
    with torch.autocast("cpu", torch.bfloat16):
        assert {states.dtype for states in model.encode(pcm, lengths)} == {torch.float32}


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_evaluation_without_latents_is_a_likelihood(name) -> None:
    model = miniature.model(name)
    recordings = [miniature.take("a", 501), miniature.take("b", 300)]
    whole = evaluate(model, recordings)
    assert (whole.kl, whole.steps, whole.collapsed) == ((), (), ())
    assert whole.elbo == whole.reconstruction
    assert evaluate(model, recordings, seed=7) == whole


@pytest.mark.parametrize("name", ["zforcing", "zforcing-simplified", "bilstm-past"])
def test_training_adds_the_auxiliary_cost_and_evaluation_does_not(name) -> None:
    """A model that differs in the weights of its costs alone has the same likelihoods and another loss."""
    model = far_from_start(miniature.model(name), 0.2)
    weights = [field for field in vars(model.config) if field.endswith("_weight")]
    other = type(model)(replace(model.config, **dict.fromkeys(weights, 0.0))).double()
    missing, unexpected = other.load_state_dict(model.state_dict(), strict=False)
    assert not missing
    assert unexpected
    pcm, lengths = miniature.batch([80, 66])
    noise, losses, costs = noise_for(model, 80, 2), [], []
    for each in (model, other):
        passed = each(pcm, lengths, noise)
        losses.append(training_loss(passed, each, pcm, lengths, TINY, schedule_at(TINY, 30)).total)
        costs.append(passed.auxiliary_cost)
    assert not costs[1]
    torch.testing.assert_close(losses[0] - losses[1], costs[0] / (80 + 66), rtol=1e-10, atol=1e-10)
    recordings = [miniature.take("a", 90), miniature.take("b", 70)]
    ours, theirs = (evaluate(each.float(), recordings) for each in (model, other))
    assert ours.elbo == theirs.elbo


@pytest.mark.parametrize("name", ["vrnn", "srnn", "storn", "zforcing", "bilstm", "bowman"])
@pytest.mark.parametrize(
    "change", [{"latent": 0}, {"hidden": 0}, {"posterior_std": 0.0}, {"posterior_std": float("nan")}]
)
def test_a_bad_size_or_spread_of_a_layer_of_latents_is_refused(name, change) -> None:
    with pytest.raises(InputError, match="must be positive"):
        replace(miniature.config(name), **change)
