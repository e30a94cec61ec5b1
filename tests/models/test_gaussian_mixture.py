"""Mixtures of Gaussians against sums over components and quadrature."""

import math

import pytest
import torch

from lvm_probe.models.likelihood.gaussian_mixture import GaussianMixture
from lvm_probe.models.likelihood.mulaw import OPEN
from tests import reference_models as reference

MIN_STD = 0.05


def mixture(rows: int, components: int, seed: int, stds: tuple[float, float] = (-2.5, 0.0)) -> torch.Tensor:
    """Random parameters in double precision, log standard deviations uniform in `stds`."""
    generator = torch.Generator().manual_seed(seed)
    logits, means, spread = torch.randn(3, rows, components, generator=generator, dtype=torch.float64)
    low, high = stds
    return torch.cat((logits, 0.7 * means, low + (high - low) * torch.special.ndtr(spread)), 1)


def points(rows: int, seed: int) -> torch.Tensor:
    return 2 * torch.rand(rows, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 1


@pytest.mark.parametrize("components", [1, 3, 10])
@pytest.mark.parametrize("stds", [(-9.0, -2.0), (-2.5, 0.0), (0.0, 9.0)], ids=["floor", "usual", "wide"])
def test_log_density_agrees_with_the_sum_over_components(components, stds) -> None:
    parameters, x = mixture(40, components, 0, stds), points(40, 1)
    ours = GaussianMixture(parameters, MIN_STD).log_density(x)
    for i in range(40):
        slow = reference.gaussian_mixture_log_density(parameters[i].tolist(), x[i].item(), MIN_STD)
        assert ours[i].item() == pytest.approx(slow, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("components", [1, 3])
@pytest.mark.parametrize("width", [1e-6, 3e-5, 1e-2])
def test_log_mass_agrees_with_quadrature(components, width) -> None:
    parameters, x = mixture(30, components, 2, (-4.0, 0.0)), points(30, 3)
    lower, upper = x - width, x + width
    lower[:4], upper[4:8] = -OPEN, OPEN
    ours = GaussianMixture(parameters, MIN_STD).log_mass(lower, upper)
    for i in range(30):
        slow = reference.gaussian_mixture_log_mass(parameters[i].tolist(), lower[i].item(), upper[i].item(), MIN_STD)
        # A bin of 1e-6 at a standard deviation of 1 is a difference of edges that are rounded at 1e-16.
        assert ours[i].item() == pytest.approx(slow, rel=1e-9, abs=1e-9)


def test_log_mass_is_right_far_out_on_both_sides_alike() -> None:
    parameters = torch.tensor([[0.0, 0.0, math.log(0.1)]], dtype=torch.float64)
    far = torch.tensor([[8.0, 8.001], [-8.001, -8.0]], dtype=torch.float64)  # eighty standard deviations
    left, right = (GaussianMixture(parameters, MIN_STD).log_mass(edge[:1], edge[1:]) for edge in far)
    slow = reference.gaussian_mixture_log_mass(parameters[0].tolist(), 8.0, 8.001, MIN_STD)
    assert slow < -3000
    assert left.item() == pytest.approx(slow, rel=1e-12)
    assert right.item() == pytest.approx(slow, rel=1e-12)


@pytest.mark.parametrize("log_std", [-9.0, -1.0, 4.0])
def test_density_integrates_to_one(log_std) -> None:
    parameters = mixture(1, 3, 4, (log_std, log_std + 0.5))
    reach = 12 * math.exp(max(log_std + 0.5, math.log(MIN_STD))) + 3  # what is beyond twelve deviations is 1e-32
    x = torch.linspace(-reach, reach, 200_001, dtype=torch.float64)
    density = GaussianMixture(parameters.expand(len(x), -1), MIN_STD).log_density(x).exp()
    # The trapezium rule on a smooth function that vanishes at both ends converges faster than any power.
    assert torch.trapezoid(density, x).item() == pytest.approx(1, abs=1e-10)


def test_gradients_agree_with_differences_and_stop_at_the_floor() -> None:
    parameters = mixture(10, 3, 5, (-2.0, 1.0))
    parameters[:4, 6] = -5.0  # well below the floor
    parameters.requires_grad_()
    x = points(10, 6)
    assert torch.autograd.gradcheck(lambda p: GaussianMixture(p, MIN_STD).log_density(x), (parameters,))
    (gradient,) = torch.autograd.grad(GaussianMixture(parameters, MIN_STD).log_density(x).sum(), parameters)
    assert (gradient[:4, 6] == 0).all()
    assert (gradient[:4, 7] != 0).all()


def test_the_floor_bounds_the_likelihood() -> None:
    parameters = torch.tensor([[0.0, 0.3, -50.0]], dtype=torch.float64)
    at_the_mean = GaussianMixture(parameters, MIN_STD).log_density(parameters[:, 1])
    assert at_the_mean.item() == pytest.approx(-math.log(MIN_STD * math.sqrt(2 * math.pi)), rel=1e-14)


def test_half_precision_parameters_are_scored_in_single() -> None:
    parameters = mixture(4, 2, 7)
    assert GaussianMixture(parameters.bfloat16(), MIN_STD).log_density(points(4, 8).float()).dtype == torch.float32
    assert GaussianMixture(parameters, MIN_STD).log_density(points(4, 8)).dtype == torch.float64
    assert GaussianMixture(parameters.float(), MIN_STD).log_mass(*points(8, 9).view(2, 4).sort(0).values).dtype == (
        torch.float64
    )


def test_samples_follow_the_distribution_and_repeat_by_generator() -> None:
    one = torch.tensor([0.5, -1.0, 0.0, -0.3, 0.2, 0.5, -2.5, -1.0, -9.0], dtype=torch.float64)
    n = 20_000
    mixtures = GaussianMixture(one.expand(4, n // 4, -1), MIN_STD)
    first, again, other = (mixtures.sample(torch.Generator().manual_seed(s)) for s in (10, 10, 11))
    assert first.shape == (4, n // 4)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    draws = first.flatten().sort().values
    at = torch.linspace(-1.5, 1.5, 301, dtype=torch.float64)
    below = GaussianMixture(one.expand(301, -1), MIN_STD).log_mass(torch.full_like(at, -OPEN), at).exp()
    share = torch.searchsorted(draws, at) / n
    # Kolmogorov and Smirnov's 0.1 % point for n draws.
    assert (share - below).abs().max() < 1.95 / math.sqrt(n)
