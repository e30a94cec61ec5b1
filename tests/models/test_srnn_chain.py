"""The SRNN's chain of latents against loops over units, and how it continues."""

import pytest
import torch

from lvm_probe.models.layers.srnn_chain import Chain
from lvm_probe.models.likelihood.gaussian import Posterior
from lvm_probe.models.trajectory import Trajectory
from tests import reference_models as reference

LATENT, UNITS, STATE, EVIDENCE = 3, 5, 6, 4
POSTERIORS = ("direct", "residual", "product")


def make_chain(seed: int, posterior: Posterior = "direct") -> Chain:
    """A chain in double precision whose heads are far from their small start."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        chain = Chain(STATE, EVIDENCE, LATENT, UNITS, 0.3, posterior).double()
    with torch.no_grad():
        for parameter in chain.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return chain


def inputs(time: int, rows: int, audio_rows: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = ((time, audio_rows, STATE), (time, audio_rows, EVIDENCE), (time, rows, LATENT))
    state, encoded, noise = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes)
    return state.requires_grad_(), encoded.requires_grad_(), noise


def flat(t: Trajectory) -> tuple[torch.Tensor, ...]:
    return t.h, t.z, t.prior.mean, t.prior.log_precision, t.posterior.mean, t.posterior.log_precision


@pytest.mark.parametrize("audio_rows", [2, 1], ids=["own audio", "shared audio"])
@pytest.mark.parametrize("clamped", [False, True], ids=["free", "clamped"])
@pytest.mark.parametrize("posterior", POSTERIORS)
def test_the_chain_agrees_with_loops_over_units(posterior, clamped, audio_rows) -> None:
    chain = make_chain(8, posterior)
    if clamped:
        with torch.no_grad():  # some log precisions below -6, some above 12, some between
            chain.prior.bias[LATENT:] = torch.tensor([-9.0, 3.0, 15.0])
            chain.evidence.bias[LATENT:] = torch.tensor([11.9, -6.1, 2.0])
    state, encoded, noise = inputs(time=4, rows=2, audio_rows=audio_rows)
    ours = chain.infer(state, encoded, noise)
    assert torch.equal(ours.h, state.expand(4, 2, STATE))
    assert not clamped or {-6, 12} <= set(ours.prior.log_precision.flatten().tolist())
    w = {name: p.tolist() for name, p in chain.named_parameters()}
    for row in range(2):
        z, audio = [0.0] * LATENT, row % audio_rows
        for t in range(4):
            from_z = reference.affine(w["z_to_prior.weight"], None, z)
            from_d = reference.affine(w["state_to_prior.weight"], w["state_to_prior.bias"], state[t, audio].tolist())
            units = reference.relu([x + y for x, y in zip(from_z, from_d, strict=True)])
            prior = reference.head(reference.affine(w["prior.weight"], w["prior.bias"], units))
            from_z = reference.affine(w["z_to_evidence.weight"], None, z)
            bias = w["encoder_to_evidence.bias"]
            from_a = reference.affine(w["encoder_to_evidence.weight"], bias, encoded[t, audio].tolist())
            units = reference.relu([x + y for x, y in zip(from_z, from_a, strict=True)])
            evident = reference.head(reference.affine(w["evidence.weight"], w["evidence.bias"], units))
            z = []
            for i in range(LATENT):
                mean, std = evident[0][i], evident[1][i]
                if posterior == "residual":
                    mean += prior[0][i]
                elif posterior == "product":
                    mean, std = reference.gaussian_product(prior[0][i], prior[1][i], mean, std)
                z.append(mean + std * noise[t, row, i].item())
                # Four steps of double precision, in another order of sums.
                assert ours.prior.mean[t, row, i].item() == pytest.approx(prior[0][i], rel=1e-11, abs=1e-12)
                assert ours.prior.std[t, row, i].item() == pytest.approx(prior[1][i], rel=1e-11)
                assert ours.posterior.mean[t, row, i].item() == pytest.approx(mean, rel=1e-11, abs=1e-12)
                assert ours.posterior.std[t, row, i].item() == pytest.approx(std, rel=1e-11)
            assert ours.z[t, row].tolist() == pytest.approx(z, rel=1e-11, abs=1e-12)


@pytest.mark.parametrize("audio_rows", [7, 1])
@pytest.mark.parametrize("posterior", POSTERIORS)
def test_a_chain_continues_where_another_stopped(posterior, audio_rows) -> None:
    chain = make_chain(6, posterior)
    state, encoded, noise = inputs(time=9, rows=7, audio_rows=audio_rows)
    whole = chain.infer(state, encoded, noise)
    first = chain.infer(state[:4], encoded[:4], noise[:4])
    then = chain.infer(state[4:], encoded[4:], noise[4:], first)
    for x, y in zip(flat(Trajectory.concatenate([first, then])), flat(whole), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-12)


def test_no_gradient_flows_into_the_stretch_before() -> None:
    chain = make_chain(6)
    state, encoded, noise = inputs(time=4, rows=2, audio_rows=2)
    first = chain.infer(state, encoded, noise)
    then = chain.infer(state.detach(), encoded.detach(), noise, first)
    assert torch.autograd.grad(then.z.sum(), (state, encoded), allow_unused=True) == (None, None)


def test_without_inference_the_posterior_is_the_prior() -> None:
    chain = make_chain(6)
    chain.posterior = "prior"
    ours = chain.infer(*inputs(time=4, rows=2, audio_rows=2))
    torch.testing.assert_close(ours.posterior.mean, ours.prior.mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ours.posterior.log_precision, ours.prior.log_precision, rtol=1e-12, atol=1e-12)


def test_the_chain_in_single_precision() -> None:
    chain = make_chain(7)
    state, encoded, noise = inputs(time=40, rows=3, audio_rows=3)
    double = flat(chain.infer(state, encoded, noise))
    single = flat(chain.float().infer(state.float(), encoded.float(), noise.float()))
    for x, y in zip(single, double, strict=True):
        assert x.dtype == torch.float32
        # Forty steps: rounding of 1e-7 grows by little.
        torch.testing.assert_close(x.double(), y, rtol=1e-3, atol=1e-3)


def test_the_distributions_start_at_the_standard_deviations_asked_for() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        chain = Chain(STATE, EVIDENCE, 6, 32, 0.15)
    ours = chain.infer(torch.zeros(1, 50, STATE), torch.zeros(1, 50, EVIDENCE), torch.zeros(1, 50, 6))
    # Log precisions start within some hundredths of their biases.
    torch.testing.assert_close(ours.posterior.std, torch.full((1, 50, 6), 0.15), rtol=0.1, atol=0)
    torch.testing.assert_close(ours.prior.std, torch.ones(1, 50, 6), rtol=0.1, atol=0)
