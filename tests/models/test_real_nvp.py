"""Flows: determinants against autograd's Jacobian, inverses, and the divergence against closed forms."""

import math

import pytest
import torch

from lvm_probe.models.families.wavevae import WaveVAE
from lvm_probe.models.layers.real_nvp import RealNVP
from lvm_probe.models.likelihood.gaussian import Gaussian, kl_divergence, log_density
from tests.models import miniature

SHAPES = pytest.mark.parametrize(("size", "couplings"), [(2, 1), (5, 2), (6, 5), (64, 8)])


def flow_of(size: int, couplings: int, width: int = 16) -> RealNVP:
    """A flow far from the identity."""
    torch.manual_seed(0)
    flow = RealNVP(size, couplings, width).double()
    for coupling in flow.couplings:
        torch.nn.init.normal_(coupling.head.weight, std=0.3)
        torch.nn.init.normal_(coupling.head.bias, std=0.3)
    return flow


@SHAPES
def test_log_determinants_are_those_of_autograds_jacobian(size, couplings) -> None:
    flow = flow_of(size, couplings)
    for x in torch.randn(4, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64):
        y, log_scale = flow(x)
        jacobian = torch.autograd.functional.jacobian(lambda v: flow(v)[0], x)
        assert log_scale.sum().item() == pytest.approx(torch.linalg.slogdet(jacobian).logabsdet.item(), abs=1e-10)
        back, shrunk = flow.inverse(y)
        jacobian = torch.autograd.functional.jacobian(lambda v: flow.inverse(v)[0], y)
        assert shrunk.sum().item() == pytest.approx(torch.linalg.slogdet(jacobian).logabsdet.item(), abs=1e-10)
        torch.testing.assert_close(shrunk.sum(), -log_scale.sum())
        torch.testing.assert_close(back, x)


@SHAPES
@torch.no_grad()
def test_the_inverse_is_one_to_1e_5_in_single_precision_and_couplings_take_turns(size, couplings) -> None:
    flow = flow_of(size, couplings).float()
    x = torch.randn(1_000, size, generator=torch.Generator().manual_seed(2))
    y, _ = flow(x)
    assert (flow.inverse(y)[0] - x).abs().max() < 1e-5 * max(1.0, y.abs().max().item())
    assert (flow(flow.inverse(x)[0])[0] - x).abs().max() < 1e-5 * max(1.0, flow.inverse(x)[0].abs().max().item())
    moved = (y - x).abs().amax(0) > 1e-6
    assert moved.sum() == (size if couplings > 1 else size - size // 2)


@torch.no_grad()
def test_a_coupling_is_its_equation() -> None:
    flow = flow_of(5, 2)
    x = torch.randn(5, dtype=torch.float64)
    for coupling in flow.couplings:
        lower, upper = x[:2], x[2:]
        kept, moved = (upper, lower) if coupling.upper else (lower, upper)
        hidden = (coupling.hidden.weight @ kept + coupling.hidden.bias).clamp(min=0)
        hidden = (coupling.mix.weight @ hidden + coupling.mix.bias).clamp(min=0)
        out = coupling.head.weight @ hidden + coupling.head.bias
        s, t = out[: len(moved)], out[len(moved) :]
        moved = moved * torch.exp(2 * torch.tanh(s / 2)) + t
        wanted = torch.cat((moved, kept) if coupling.upper else (kept, moved))
        torch.testing.assert_close(coupling(x)[0], wanted)
        x = wanted


def test_no_couplings_are_the_identity() -> None:
    x = torch.randn(3, 4)
    assert torch.equal(RealNVP(4, 0, 8)(x)[0], x)
    assert torch.equal(RealNVP(4, 0, 8).inverse(x)[0], x)


def with_heads(model: WaveVAE, std: float) -> WaveVAE:
    """A copy whose couplings shift and scale by constants (their weights are zero), or do nothing."""
    for flow in (model.posterior_flow, model.prior_flow):
        for coupling in flow.couplings:
            torch.nn.init.zeros_(coupling.head.weight)
            torch.nn.init.normal_(coupling.head.bias, std=std)
    return model


def drawn(model: WaveVAE, draws: int):
    pcm, lengths = miniature.batch([64])
    noise = model.noise(64, draws, torch.Generator().manual_seed(4), torch.float64)
    return model.infer(model.encode(pcm, lengths), noise)[0]


@torch.no_grad()
def test_the_divergence_is_the_closed_form_when_the_flows_are_the_identity() -> None:
    layer = drawn(with_heads(miniature.model("wavevae-flows").double(), 0.0), 50)
    torch.testing.assert_close(layer.kl(), kl_divergence(layer.posterior, layer.prior), rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_the_divergence_of_affine_flows_is_that_of_gaussians() -> None:
    """Constant shifts and scales make q(z) and p(z) Gaussians again, whose divergence is known."""
    model = with_heads(miniature.model("wavevae-flows").double(), 0.4)
    layer = drawn(model, 200_000)
    zero, one = torch.zeros(2, 5, dtype=torch.float64).unbind()[0], torch.ones(5, dtype=torch.float64)

    def image(flow: RealNVP, mean: torch.Tensor, std: torch.Tensor) -> Gaussian:
        scale = flow(mean + one)[0] - flow(mean)[0]
        return Gaussian(flow(mean)[0], -2 * (std * scale).log())

    q = image(model.posterior_flow, layer.posterior.mean[0, 0], layer.posterior.std[0, 0])
    p = image(model.prior_flow, zero, one)
    wanted = kl_divergence(q, p).sum()
    kl = layer.kl()[0].sum(1)
    assert abs(kl.mean() - wanted) < 4 * kl.std() / math.sqrt(len(kl))
    ratio = (log_density(p, layer.h) - log_density(q, layer.h)).sum(2)
    torch.testing.assert_close(layer.log_ratio().sum(2), ratio, rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_densities_of_the_flows_integrate_to_one() -> None:
    """In two dimensions, on a grid: p(z) by g, and the prior of u that the trajectory states."""
    model = WaveVAE.seeded(miniature.wavevae(latent=2, posterior_flow=2, prior_flow=2), 0).double()
    for flow in (model.posterior_flow, model.prior_flow):
        for coupling in flow.couplings:
            torch.nn.init.normal_(coupling.head.weight, std=0.5)
    axis = torch.linspace(-9, 9, 601, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    given = model.with_latents(0, grid)
    features = torch.zeros(len(grid), 1, model.recognition.head.in_features, dtype=torch.float64)
    (layer,) = given.infer((features,), (torch.zeros(len(grid), 1, 2, dtype=torch.float64),))
    log_prior = log_density(layer.prior, layer.z) + layer.flow
    total = log_prior.sum(2).exp().sum() * (axis[1] - axis[0]) ** 2
    assert total.item() == pytest.approx(1, abs=1e-3)


@torch.no_grad()
def test_the_posterior_is_never_so_wide_that_the_flows_blow_it_up() -> None:
    model = miniature.model("wavevae-flows").double()
    model.recognition.head.bias.chunk(2)[1].fill_(-8.0)  # log precisions, so a standard deviation of 55
    layer = drawn(model, 3)
    assert layer.posterior.std.max().item() == pytest.approx(math.e)
    assert layer.h.isfinite().all()
