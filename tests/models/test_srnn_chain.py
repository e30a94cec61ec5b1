"""The chain's fast loop against `Chain.step` through autograd, and `Chain.step` against loops over units."""

import pytest
import torch

from lvm_probe.models.layers.srnn_chain import Chain, Weights, scan, weights
from lvm_probe.models.likelihood.gaussian import Posterior
from lvm_probe.models.trajectory import Trajectory
from tests import reference_models as reference

LATENT, UNITS, STATE, EVIDENCE = 3, 5, 6, 4
OUTPUTS = ("z", "prior mean", "prior log precision", "posterior mean", "posterior log precision")
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


def draw(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def inputs(time: int, rows: int, audio_rows: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    state, encoded = (draw(generator, time, audio_rows, n).requires_grad_() for n in (STATE, EVIDENCE))
    return state, encoded, draw(generator, time, rows, LATENT)


def flat(t: Trajectory) -> tuple[torch.Tensor, ...]:
    return t.z, t.prior.mean, t.prior.log_precision, t.posterior.mean, t.posterior.log_precision


def stepped(chain: Chain, state: torch.Tensor, encoded: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The loop through `Chain.step`, differentiated by autograd."""
    rows = noise.shape[1]
    z, out = noise.new_zeros(rows, LATENT), []
    for d, a, eps in zip(state, encoded, noise, strict=True):
        link = chain.step(d.expand(rows, -1), a.expand(rows, -1), eps, z)
        z, prior, posterior = link.z, link.prior, link.posterior
        out.append((z, prior.mean, prior.log_precision, posterior.mean, posterior.log_precision))
    return tuple(torch.stack(x) for x in zip(*out, strict=True))


@pytest.mark.parametrize("audio_rows", [7, 1], ids=["own audio", "shared audio"])
@pytest.mark.parametrize("clamped", [False, True], ids=["free", "clamped"])
@pytest.mark.parametrize("posterior", POSTERIORS)
def test_scan_agrees_with_step_in_values_and_all_gradients(audio_rows, clamped, posterior) -> None:
    chain = make_chain(2, posterior)
    if clamped:
        with torch.no_grad():  # some log precisions below -6, some above 12, some between
            chain.prior.bias[LATENT:] = torch.tensor([-9.0, 3.0, 15.0])
            chain.evidence.bias[LATENT:] = torch.tensor([11.9, -6.1, 2.0])
    state, encoded, noise = inputs(time=9, rows=7, audio_rows=audio_rows)
    ours = flat(chain.infer(state, encoded, noise))
    slow = stepped(chain, state, encoded, noise)
    for name, x, y in zip(OUTPUTS, ours, slow, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-12, msg=lambda m, name=name: f"{name}: {m}")
    if clamped:
        assert (ours[2] == -6).any()
        assert (ours[2] == 12).any()
    wanted = {name: p for name, p in chain.named_parameters()} | {"state": state, "evidence features": encoded}
    weights = [draw(torch.Generator().manual_seed(i), *x.shape) for i, x in enumerate(ours)]
    gradients = [
        torch.autograd.grad(sum((w * x).sum() for w, x in zip(weights, out, strict=True)), list(wanted.values()))
        for out in (ours, slow)
    ]
    for name, x, y in zip(wanted, *gradients, strict=True):
        assert y.abs().max() > 0, name
        torch.testing.assert_close(x, y, rtol=1e-10, atol=1e-10, msg=lambda m, name=name: f"{name}: {m}")


@pytest.mark.parametrize("posterior", [*POSTERIORS, "prior"])
@pytest.mark.parametrize("output", range(5), ids=OUTPUTS)
def test_each_output_alone_has_the_right_gradient(output, posterior) -> None:
    chain = make_chain(3, posterior)
    state, encoded, noise = inputs(time=5, rows=2, audio_rows=2)
    weight = draw(torch.Generator().manual_seed(0), 5, 2, LATENT)
    results = []
    for out in (flat(chain.infer(state, encoded, noise)), stepped(chain, state, encoded, noise)):
        loss = (out[output] * weight).sum()
        results.append(torch.autograd.grad(loss, list(chain.parameters()), allow_unused=True))
    torch.testing.assert_close(chain.infer(state, encoded, noise).z, stepped(chain, state, encoded, noise)[0])
    for parameter, *both in zip(chain.parameters(), *results, strict=True):
        ours, slow = (torch.zeros_like(parameter) if gradient is None else gradient for gradient in both)
        torch.testing.assert_close(ours, slow, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("posterior", POSTERIORS)
@pytest.mark.parametrize("audio_rows", [1, 2])
def test_scan_passes_gradcheck(audio_rows, posterior) -> None:
    chain = make_chain(4, posterior)
    generator = torch.Generator().manual_seed(5)
    networks = [(chain.z_to_prior, chain.prior), (chain.z_to_evidence, chain.evidence)]
    networks = networks[1:] if posterior == "direct" else networks
    units = draw(generator, 3, audio_rows, len(networks) * UNITS).requires_grad_()
    noise, z0 = draw(generator, 3, 2, LATENT), draw(generator, 2, LATENT)
    factors = [w.detach().requires_grad_() for w in weights(*networks)]

    def run(units: torch.Tensor, *factors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        z, prior, q = scan(units, noise, z0, Weights(*factors), posterior)
        priors = () if posterior == "direct" else (prior.mean, prior.log_precision)
        return z, q.mean, q.log_precision, *priors

    assert torch.autograd.gradcheck(run, (units, *factors))


@pytest.mark.parametrize("audio_rows", [7, 1])
@pytest.mark.parametrize("posterior", POSTERIORS)
def test_scan_goes_on_from_where_another_stopped(posterior, audio_rows) -> None:
    chain = make_chain(6, posterior)
    state, encoded, noise = inputs(time=9, rows=7, audio_rows=audio_rows)
    whole = chain.infer(state, encoded, noise)
    first = chain.infer(state[:4], encoded[:4], noise[:4])
    then = chain.infer(state[4:], encoded[4:], noise[4:], first)
    for x, y, z in zip((first.h, *flat(first)), (then.h, *flat(then)), (whole.h, *flat(whole)), strict=True):
        torch.testing.assert_close(torch.cat((x, y)), z, rtol=1e-12, atol=1e-12)


def test_no_gradient_flows_into_what_went_before() -> None:
    chain = make_chain(6)
    state, encoded, noise = inputs(time=4, rows=2, audio_rows=2)
    first = chain.infer(state, encoded, noise)
    other_state, other_encoded = state.detach(), encoded.detach()
    then = chain.infer(other_state, other_encoded, noise, first)
    assert torch.autograd.grad(then.z.sum(), (state, encoded), allow_unused=True) == (None, None)


def test_scan_without_gradients_gives_the_same_numbers() -> None:
    chain = make_chain(6, "product")
    state, encoded, noise = inputs(time=9, rows=7, audio_rows=7)
    kept = flat(chain.infer(state, encoded, noise))
    with torch.no_grad():
        bare = flat(chain.infer(state, encoded, noise))
    for x, y in zip(kept, bare, strict=True):
        assert torch.equal(x, y)
        assert not y.requires_grad


def test_scan_in_single_precision() -> None:
    chain = make_chain(7)
    state, encoded, noise = inputs(time=40, rows=3, audio_rows=3)
    double = flat(chain.infer(state, encoded, noise))
    single = flat(chain.float().infer(state.float(), encoded.float(), noise.float()))
    for x, y in zip(single, double, strict=True):
        assert x.dtype == torch.float32
        # Forty steps: rounding of 1e-7 grows by little.
        torch.testing.assert_close(x.double(), y, rtol=1e-3, atol=1e-3)


def test_the_trajectory_has_the_state_of_every_row() -> None:
    chain = make_chain(7)
    state, encoded, noise = inputs(time=4, rows=3, audio_rows=1)
    h = chain.infer(state, encoded, noise).h
    assert h.shape == (4, 3, STATE)
    assert torch.equal(h, state.expand(4, 3, STATE))


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_step_agrees_with_loops_over_units(posterior) -> None:
    chain = make_chain(8, posterior)
    state, encoded, noise = inputs(time=4, rows=2, audio_rows=2)
    ours = stepped(chain, state, encoded, noise)
    w = {name: p.tolist() for name, p in chain.named_parameters()}
    for row in range(2):
        z = [0.0] * LATENT
        for t in range(4):
            from_z = reference.affine(w["z_to_prior.weight"], None, z)
            from_d = reference.affine(w["state_to_prior.weight"], w["state_to_prior.bias"], state[t, row].tolist())
            units = reference.relu([x + y for x, y in zip(from_z, from_d, strict=True)])
            prior = reference.head(reference.affine(w["prior.weight"], w["prior.bias"], units))
            from_z = reference.affine(w["z_to_evidence.weight"], None, z)
            bias = w["encoder_to_evidence.bias"]
            from_a = reference.affine(w["encoder_to_evidence.weight"], bias, encoded[t, row].tolist())
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
                assert ours[1][t, row, i].item() == pytest.approx(prior[0][i], rel=1e-11, abs=1e-12)
                assert (-0.5 * ours[2][t, row, i]).exp().item() == pytest.approx(prior[1][i], rel=1e-11)
                assert ours[3][t, row, i].item() == pytest.approx(mean, rel=1e-11, abs=1e-12)
                assert (-0.5 * ours[4][t, row, i]).exp().item() == pytest.approx(std, rel=1e-11)
            assert ours[0][t, row].tolist() == pytest.approx(z, rel=1e-11, abs=1e-12)


def test_the_distributions_start_at_the_standard_deviations_asked_for() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        chain = Chain(STATE, EVIDENCE, 6, 32, 0.15)
    link = chain.step(torch.zeros(50, STATE), torch.zeros(50, EVIDENCE), torch.zeros(50, 6), torch.zeros(50, 6))
    # Log precisions start within some hundredths of their biases.
    torch.testing.assert_close(link.posterior.std, torch.full((50, 6), 0.15), rtol=0.1, atol=0)
    torch.testing.assert_close(link.prior.std, torch.ones(50, 6), rtol=0.1, atol=0)
