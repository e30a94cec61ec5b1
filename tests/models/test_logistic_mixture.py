import math

import pytest
import torch

from lvm_probe.models.likelihood import logistic_mixture, mulaw
from lvm_probe.models.likelihood.logistic_mixture import LogisticMixture
from tests import reference_models as reference

OPEN = mulaw.OPEN


def mixture(rows: int, components: int, seed: int, scales: tuple[float, float] = (-6.5, 0.0)) -> torch.Tensor:
    """Random parameters in double precision, log-scales uniform in `scales`."""
    generator = torch.Generator().manual_seed(seed)
    logits, means, log_scales = torch.randn(3, rows, components, generator=generator, dtype=torch.float64)
    low, high = scales
    log_scales = low + (high - low) * torch.special.ndtr(log_scales)
    return torch.cat((logits, 0.7 * means, log_scales), 1)


def bins(rows: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    middle = 2 * torch.rand(rows, generator=generator, dtype=torch.float64) - 1
    width = 10 ** (-5 + 5 * torch.rand(rows, generator=generator, dtype=torch.float64))
    lower, upper = middle - width, middle + width
    lower[0], upper[1] = -OPEN, OPEN
    return lower, upper


def bins_around_pcm(pcm: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    return mulaw.bins_around(mulaw.encode(mulaw.from_pcm(pcm, dtype)))


def test_log_mass_agrees_with_differences_of_the_distribution_function() -> None:
    parameters = mixture(60, 4, seed=0, scales=(-3.0, 0.0))
    lower, upper = bins(60, seed=1)
    ours = LogisticMixture(parameters).log_mass(lower, upper)
    for i in range(60):
        slow = reference.mixture_log_mass(parameters[i].tolist(), lower[i].item(), upper[i].item())
        assert ours[i].item() == pytest.approx(slow, abs=1e-9)  # the oracle cancels: masses down to 1e-6


@pytest.mark.parametrize("scales", [(-12.0, -6.0), (-6.0, 0.0), (0.0, 30.0)], ids=["tiny", "usual", "huge"])
def test_log_mass_is_exact_where_differences_cancel_or_vanish(scales) -> None:
    parameters = mixture(25, 3, seed=2, scales=scales)
    lower, upper = bins(25, seed=3)
    ours = LogisticMixture(parameters).log_mass(lower, upper)
    for i in range(25):
        slow = reference.mixture_log_mass_exactly(parameters[i].tolist(), lower[i].item(), upper[i].item(), 400)
        # Bins far out at the smallest scale have log masses of -1000, rounded relatively.
        assert ours[i].item() == pytest.approx(slow, rel=1e-11, abs=1e-11)


@pytest.mark.parametrize("edges", ["grid", "pcm"])
@pytest.mark.parametrize("log_scale", [-20.0, -7.0, -3.0, 0.0, 8.0, 40.0])
def test_masses_sum_to_one_over_65536_bins(edges, log_scale) -> None:
    lower, upper = (
        mulaw.bins_around(torch.linspace(-1, 1, mulaw.PCM_VALUES, dtype=torch.float64))
        if edges == "grid"
        else mulaw.pcm_edges(torch.arange(-32_768, 32_768).short(), torch.float64)
    )
    parameters = mixture(1, 2, seed=4, scales=(log_scale, log_scale + 0.5))
    mass = LogisticMixture(parameters.expand(65_536, -1)).log_mass(lower, upper).exp()
    assert mass.sum().item() == pytest.approx(1, abs=1e-10)  # 65,536 roundings of 1e-16 each, and to spare


def test_gradients_agree_with_differences() -> None:
    parameters = mixture(12, 3, seed=5, scales=(-4.0, 1.0))
    parameters[2:5, 6:] = torch.tensor([-9.0, -2.0, -7.5])  # below the bound: no gradient
    lower, upper = bins(12, seed=6)
    lower[2:5], upper[2:5] = parameters[2:5, 4] - 0.1, parameters[2:5, 4] + 0.1
    parameters.requires_grad_()
    assert torch.autograd.gradcheck(lambda p: LogisticMixture(p).log_mass(lower, upper), (parameters,))
    (gradient,) = torch.autograd.grad(LogisticMixture(parameters).log_mass(lower, upper).sum(), parameters)
    assert (gradient[2:5, [6, 8]] == 0).all()
    assert (gradient[2:5, 7] != 0).all()


def test_gradient_agrees_with_autograd_through_the_naive_formula() -> None:
    parameters = mixture(200, 5, seed=7, scales=(-3.0, 0.0)).requires_grad_()
    lower, upper = bins(200, seed=8)
    logits, means, log_scales = parameters.chunk(3, 1)

    def cdf(x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid((x.unsqueeze(1) - means) / log_scales.exp())

    naive = (logits.softmax(1) * (cdf(upper) - cdf(lower))).sum(1).log()
    weights = torch.linspace(-1, 2, 200, dtype=torch.float64)
    (wanted,) = torch.autograd.grad((naive * weights).sum(), parameters)
    (ours,) = torch.autograd.grad((LogisticMixture(parameters).log_mass(lower, upper) * weights).sum(), parameters)
    torch.testing.assert_close(ours, wanted, rtol=1e-6, atol=1e-6)  # the naive formula cancels to about 1e-8


def test_gradients_stay_finite_at_the_extremes() -> None:
    pcm = torch.tensor([-32_768, -32_767, -1, 0, 1, 32_766, 32_767]).short()
    for log_scale in (-30.0, -7.0, 20.0):
        for mean in (-50.0, -1.0, 0.0, 50.0):
            parameters = torch.tensor([0.0, -80.0, mean, -mean, log_scale, 0.0]).repeat(7, 1).requires_grad_()
            for edges in (bins_around_pcm, mulaw.pcm_edges):
                mass = LogisticMixture(parameters).log_mass(*edges(pcm, torch.float32))
                (gradient,) = torch.autograd.grad(mass.sum(), parameters)
                assert mass.isfinite().all()
                assert gradient.isfinite().all()
                assert (mass <= 1e-6).all()


def test_single_precision_agrees_with_double() -> None:
    pcm = torch.arange(-32_768, 32_768, 7).short()
    parameters = mixture(len(pcm), 10, seed=9).float()
    for edges in (bins_around_pcm, mulaw.pcm_edges):
        single = LogisticMixture(parameters).log_mass(*edges(pcm, torch.float32)).double()
        double = LogisticMixture(parameters.double()).log_mass(*edges(pcm, torch.float64))
        # Near full scale an edge is rounded by up to 7e-8 and a PCM cell is 2.8e-6 wide: up to 5 % of its mass, of
        # either sign, so that it averages out.
        assert (single - double).abs().max() < 6e-2
        assert (single - double).mean().abs() < 3e-4  # 9,363 errors of 1e-2 at most leave about 1e-4


def test_half_precision_parameters_are_scored_in_single() -> None:
    parameters = mixture(4, 2, seed=10)
    assert LogisticMixture(parameters.bfloat16()).parameters.dtype == torch.float32
    assert LogisticMixture(parameters).parameters.dtype == torch.float64


def test_chunks_change_nothing(monkeypatch) -> None:
    rows = 2 * logistic_mixture.CHUNK + 17
    parameters = mixture(rows, 2, seed=11).float().requires_grad_()
    lower, upper = (x.float() for x in bins(rows, seed=12))
    whole = LogisticMixture(parameters).log_mass(lower, upper)
    (gradient,) = torch.autograd.grad(whole.sum(), parameters)
    monkeypatch.setattr(logistic_mixture, "CHUNK", 1000)
    small = LogisticMixture(parameters).log_mass(lower, upper)
    (again,) = torch.autograd.grad(small.sum(), parameters)
    # Vector and scalar kernels meet at other rows and differ in the last bit of an exponential.
    torch.testing.assert_close(small, whole, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(again, gradient, rtol=1e-4, atol=1e-4)


def test_shapes_with_and_without_batch_axes_agree() -> None:
    parameters = mixture(24, 3, seed=13)
    lower, upper = bins(24, seed=14)
    flat = LogisticMixture(parameters).log_mass(lower, upper)
    folded = LogisticMixture(parameters.view(2, 3, 4, 9)).log_mass(lower.view(2, 3, 4), upper.view(2, 3, 4))
    torch.testing.assert_close(folded, flat.view(2, 3, 4), rtol=0, atol=0)


def test_samples_follow_the_distribution() -> None:
    one = torch.tensor([0.5, -1.0, 0.0, -0.3, 0.2, 0.5, -2.5, -4.0, -9.0], dtype=torch.float64)
    n = 20_000
    draws = LogisticMixture(one.expand(n, -1)).sample(torch.Generator().manual_seed(15)).sort().values
    assert (draws.abs() <= 1).all()
    at = torch.linspace(-0.95, 0.95, 96, dtype=torch.float64)
    below = LogisticMixture(one.expand(96, -1)).log_mass(torch.full_like(at, -OPEN), at).exp()
    share = torch.searchsorted(draws, at) / n
    # Kolmogorov and Smirnov's 0.1 % point for n draws.
    assert (share - below).abs().max() < 1.95 / math.sqrt(n)


def test_samples_repeat_by_generator() -> None:
    output = LogisticMixture(mixture(500, 3, seed=16).float().view(5, 100, 9))
    first, again, other = (output.sample(torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert first.shape == (5, 100)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
