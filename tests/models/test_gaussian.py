import pytest
import torch
from torch.distributions import Normal
from torch.distributions import kl_divergence as textbook

from lvm_probe.models.likelihood.gaussian import (
    LOG_PRECISION_RANGE,
    Gaussian,
    gaussian_of,
    kl_divergence,
    log_density,
    posterior_of,
)
from tests import reference_models as reference


def gaussians(rows: int, seed: int) -> tuple[Gaussian, Gaussian]:
    mean_q, log_q, mean_p, log_p = torch.randn(4, rows, generator=torch.Generator().manual_seed(seed)).double()
    return Gaussian(mean_q, 2 * log_q), Gaussian(mean_p, 2 * log_p)


def normal(g: Gaussian) -> Normal:
    return Normal(g.mean, g.std)


def test_kl_agrees_with_torch_and_with_the_loops() -> None:
    q, p = gaussians(200, seed=0)
    ours = kl_divergence(q, p)
    torch.testing.assert_close(ours, textbook(normal(q), normal(p)), rtol=1e-11, atol=1e-12)
    for i in range(200):
        slow = reference.gaussian_kl(q.mean[i].item(), q.std[i].item(), p.mean[i].item(), p.std[i].item())
        assert ours[i].item() == pytest.approx(slow, rel=1e-11, abs=1e-12)


def test_kl_agrees_with_monte_carlo() -> None:
    q, p = gaussians(6, seed=1)
    z = q.mean + q.std * torch.randn(100_000, 6, generator=torch.Generator().manual_seed(2)).double()
    terms = normal(q).log_prob(z) - normal(p).log_prob(z)
    error = terms.std(0) / terms.shape[0] ** 0.5
    assert ((terms.mean(0) - kl_divergence(q, p)).abs() < 4 * error).all()  # six draws beyond 4 sigma: 4e-4


def test_kl_of_equals_is_zero_and_small_kl_does_not_cancel() -> None:
    q, _ = gaussians(50, seed=3)
    assert (kl_divergence(q, q) == 0).all()
    single = Gaussian(q.mean.float(), q.log_precision.float())
    near = Gaussian(single.mean, single.log_precision + 2**-10)
    gap = (near.log_precision - single.log_precision).double()
    # expm1(gap) - gap loses 1e-7 of gap to rounding in single precision, and is gap²/2.
    torch.testing.assert_close(kl_divergence(single, near).double(), gap.square() / 4, rtol=2e-3, atol=1e-10)


def test_standard_deviation() -> None:
    g = Gaussian(torch.zeros(3), torch.tensor([0.0, 2.0, -4.0]))
    torch.testing.assert_close(g.std, torch.tensor([1.0, 2.718281828, 7.389056]).pow(torch.tensor([1.0, -1.0, 1.0])))


def test_log_density_agrees_with_torch() -> None:
    q, p = gaussians(200, seed=4)
    torch.testing.assert_close(log_density(q, p.mean), normal(q).log_prob(p.mean), rtol=1e-12, atol=1e-12)


def test_posteriors_are_what_their_names_say() -> None:
    prior, evidence = gaussians(100, seed=5)
    product = posterior_of("product", prior, evidence)
    for i in range(100):
        four = (prior.mean[i], prior.std[i], evidence.mean[i], evidence.std[i])
        mean, std = reference.gaussian_product(*(x.item() for x in four))
        assert product.mean[i].item() == pytest.approx(mean, rel=1e-11, abs=1e-12)
        assert product.std[i].item() == pytest.approx(std, rel=1e-11)
    assert posterior_of("direct", prior, evidence) is evidence
    assert posterior_of("prior", prior, evidence) is prior
    residual = posterior_of("residual", prior, evidence)
    assert torch.equal(residual.mean, prior.mean + evidence.mean)
    assert torch.equal(residual.log_precision, evidence.log_precision)


def test_a_networks_log_precisions_are_kept_in_their_range() -> None:
    g = gaussian_of(torch.tensor([[1.0, -2.0, 3.0, -99.0, 0.5, 99.0]]))
    assert g.mean.tolist() == [[1, -2, 3]]
    assert g.log_precision.tolist() == [[LOG_PRECISION_RANGE[0], 0.5, LOG_PRECISION_RANGE[1]]]
