"""What every domain states, and the distributions of each against slow forms in double precision."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lvm_probe import InputError
from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.models.domains.domain import Domain, Output
from lvm_probe.models.domains.pianoroll import PianoRoll
from lvm_probe.models.domains.registry import DOMAINS, domain_from_dict, domain_to_dict
from lvm_probe.models.domains.strokes import Strokes
from lvm_probe.models.domains.tokens import Characters, Words
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.likelihood.elbo import evaluate
from lvm_probe.models.registry import family
from tests.models import miniature

EVERY = pytest.mark.parametrize("domain", miniature.DOMAINS.values(), ids=miniature.DOMAINS)


def parameters(domain: Domain, rows: int, elements: int, seed: int = 0) -> torch.Tensor:
    noise = torch.randn(rows, elements, domain.size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return domain.start(elements).double() + 0.5 * noise


@EVERY
def test_a_domain_survives_json(domain) -> None:
    assert domain_from_dict(domain_to_dict(domain)) == domain
    assert DOMAINS[domain.name] is type(domain)


@EVERY
def test_elements_of_another_domain_are_refused(domain) -> None:
    for other in miniature.DOMAINS.values():
        x = torch.zeros(1, 6, dtype=other.dtype)
        if other.dtype == domain.dtype:
            assert domain.check(x) is x
        else:
            with pytest.raises(InputError):
                domain.check(x)


@EVERY
def test_draws_repeat_by_generator_and_have_the_type_of_the_elements(domain) -> None:
    output = Output(domain, parameters(domain, 4, 66))
    first, again, other = (output.sample(torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert first.shape == (4, 66)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert domain.quantise(first).dtype == domain.dtype
    assert output.log_prob(domain.quantise(first)).isfinite().all()


@EVERY
def test_a_step_can_be_drawn_element_by_element(domain) -> None:
    """The mean log likelihood of what is drawn is minus the entropy, whichever way it is drawn."""
    rows, elements = 20_000, domain.step if not domain.uniform else 2
    given = parameters(domain, 1, elements).expand(rows, -1, -1)
    at_once = domain.quantise(domain.draw(given, torch.Generator().manual_seed(0)))
    one_by_one = torch.zeros(rows, 0, dtype=domain.dtype)
    generator = torch.Generator().manual_seed(1)
    for i in range(elements):
        new = domain.quantise(domain.draw_next(given[:, : i + 1], one_by_one, generator))
        one_by_one = torch.cat((one_by_one, new), 1)
    ours, theirs = (domain.log_prob(given, x).sum(1) for x in (at_once, one_by_one))
    error = math.hypot(ours.std().item(), theirs.std().item()) / math.sqrt(rows)
    assert abs(ours.mean() - theirs.mean()) < 4 * error


def test_discrete_probabilities_sum_to_one() -> None:
    domains = {PianoRoll(): 2, Words(("a", "b", "c")): 3, Characters(("x", "y")): 2}
    for domain, values in domains.items():
        given = parameters(domain, 1, 5).expand(values, -1, -1)
        x = torch.arange(values).to(domain.dtype).unsqueeze(1).expand(-1, 5)
        torch.testing.assert_close(domain.log_prob(given, x).exp().sum(0), torch.ones(5, dtype=torch.float64))


def test_the_density_of_a_point_is_that_of_the_bivariate_mixture() -> None:
    domain = Strokes(components=3, scale=2.5, min_std=0.05)
    given = parameters(domain, 2, 12, seed=3)
    generator = torch.Generator().manual_seed(4)
    x = domain.draw(given, generator)
    found = domain.log_prob(given, x).unflatten(1, (-1, 3))
    for row, at in np.ndindex(2, 4):
        pen, dx, dy = given[row, 3 * at : 3 * at + 3].view(3, 3, 3).numpy()
        lifted, *xy = x[row, 3 * at : 3 * at + 3].double().numpy()
        p = 1 / (1 + math.exp(-pen[0, 0]))
        assert found[row, at, 0].item() == pytest.approx(math.log(p if lifted else 1 - p))
        weights = np.exp(dx[0]) / np.exp(dx[0]).sum()
        joint = along = 0.0
        for k in range(3):
            sx, sy = np.maximum(np.exp([dx[2, k], dy[1, k]]), 0.05)
            r = 0.99 * math.tanh(dy[2, k])
            covariance = np.array([[sx**2, r * sx * sy], [r * sx * sy, sy**2]])
            off = np.array(xy) / 2.5 - np.array([dx[1, k], dy[0, k]])
            quadratic = off @ np.linalg.solve(covariance, off)
            joint += weights[k] * math.exp(-quadratic / 2) / (2 * math.pi * math.sqrt(np.linalg.det(covariance)))
            along += weights[k] * math.exp(-((off[0] / sx) ** 2) / 2) / (math.sqrt(2 * math.pi) * sx)
        # The displacement is measured in the data's unit, whose area is scale².
        assert found[row, at, 1:].sum().item() == pytest.approx(math.log(joint / 2.5**2), rel=1e-6)
        assert found[row, at, 1].item() == pytest.approx(math.log(along / 2.5), rel=1e-6)


def test_strokes_are_normalised_by_their_displacements() -> None:
    take = miniature.sequence(Strokes(), 300)
    domain = Strokes().normalised([take])
    displacements = take.elements.reshape(-1, 3)[:, 1:]
    assert domain.scale == pytest.approx(displacements.std(ddof=1))
    features = domain.features(torch.from_numpy(take.elements)[None], torch.float64)
    assert features.shape == (1, 300, 1)
    assert features.view(-1, 3)[:, 1:].std().item() == pytest.approx(1, rel=1e-3)
    with pytest.raises(InputError, match="all displacements"):
        Strokes().normalised([replace(take, elements=np.zeros(30, np.float32))])
    assert PianoRoll().normalised([]) == PianoRoll()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Strokes(components=0), "positive whole number"),
        (lambda: Strokes(scale=0.0), "must be positive"),
        (lambda: Words(("a", "a")), "each once"),
        (lambda: Words(("a",)), "at least two"),
        (lambda: domain_from_dict({"domain": "pictures"}), "unknown domain 'pictures': choose one of waveform"),
        (lambda: domain_from_dict({"components": 0}), "positive whole number"),
    ],
)
def test_wrong_values_are_refused_by_name(wrong, message) -> None:
    with pytest.raises(InputError, match=message):
        wrong()


def test_a_domain_without_a_name_is_a_waveform() -> None:
    assert domain_from_dict({"likelihood": "dmol", "components": 3}) == Waveform(components=3)


@pytest.mark.parametrize(("every", "permuted"), [(1, 4), (3, 0), (5, 8)])
def test_a_view_reads_the_same_samples_in_any_pieces(every, permuted) -> None:
    take = miniature.take("view", 203)
    domain = Waveform(every=every, permuted=permuted)
    (view,) = domain.seen([take])
    assert view.name == take.name
    assert view.samples == -(-203 // every)
    whole = view.read(0, view.samples)
    kept = take.pcm[::every].copy()
    order = np.random.default_rng(permuted).permutation(permuted)
    for first in range(0, len(kept) - permuted + 1, permuted or len(kept) + 1):
        kept[first : first + permuted] = kept[first : first + permuted][order]
    assert whole.tolist() == kept.tolist()
    for start, stop in ((0, 1), (3, 17), (view.samples - 2, view.samples)):
        assert view.read(start, stop).tolist() == whole[start:stop].tolist()


def test_models_of_views_evaluate_what_they_see_and_are_no_models_of_speech(tmp_path) -> None:
    domain = Waveform(components=3, every=4, permuted=16)
    model = family("lstm").seeded(replace(miniature.config("lstm"), output=domain), 0)
    take = miniature.take("view", 2_000)
    found = evaluate(model, [take])
    assert found.samples == 500
    plain = family("lstm").seeded(miniature.config("lstm"), 0)
    (view,) = domain.seen([take])
    assert found.elbo == pytest.approx(evaluate(plain, [view]).elbo)
    checkpoint.save(tmp_path / "m.safetensors", model, {})
    assert checkpoint.load(tmp_path / "m.safetensors", any_domain=True).model.config.output == domain
    with pytest.raises(InputError, match="thinned or permuted waveforms; this needs one of speech"):
        checkpoint.load(tmp_path / "m.safetensors")
    with pytest.raises(InputError, match="every is 1 or more"):
        Waveform(every=0)
