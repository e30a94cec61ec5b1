"""The fast loop against `Cell.step` through autograd, and `Cell.step` against loops over units."""

import pytest
import torch

from lvm_probe.models.layers import cwvae_scan, cwvae_scan_cuda
from lvm_probe.models.layers.cwvae_cell import Cell
from lvm_probe.models.layers.cwvae_scan import Weights, scan
from lvm_probe.models.likelihood.gaussian import Posterior
from lvm_probe.models.trajectory import Trajectory
from tests import reference_models as reference

OUTPUTS = ("h", "z", "prior mean", "prior log precision", "posterior mean", "posterior log precision")


def make_cell(
    context: int, seed: int, latent: int = 3, hidden: int = 5, evidence: int = 4, posterior: Posterior = "product"
) -> Cell:
    """A cell in double precision whose heads are far from their small start."""
    torch.manual_seed(seed)
    cell = Cell(context, evidence, latent, hidden, 0.3, posterior).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return cell


def flat(t: Trajectory) -> tuple[torch.Tensor, ...]:
    return t.h, t.z, t.prior.mean, t.prior.log_precision, t.posterior.mean, t.posterior.log_precision


def stepped(cell: Cell, gates: torch.Tensor, evidence: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The loop through `Cell.step`, differentiated by autograd."""
    rows = noise.shape[1]
    h, z = noise.new_zeros(rows, cell.hidden), noise.new_zeros(rows, cell.latent)
    out = []
    for gate, e, eps in zip(gates, evidence, noise, strict=True):
        step = cell.step(gate.expand(rows, -1), e.expand(rows, -1), eps, z, h)
        h, z = step.h, step.z
        prior, posterior = step.prior, step.posterior
        out.append((h, z, prior.mean, prior.log_precision, posterior.mean, posterior.log_precision))
    return tuple(torch.stack(x) for x in zip(*out, strict=True))


def inputs(context: int, time: int, rows: int, evidence_rows: int) -> tuple[torch.Tensor | None, ...]:
    generator = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    c = draw(time, rows, context).requires_grad_() if context else None
    return c, draw(time, evidence_rows, 4).requires_grad_(), draw(time, rows, 3)


@pytest.fixture(params=["cpu", "gpu"])
def loop(request, monkeypatch) -> None:
    """The loops of either device, on the CPU and without compiling."""
    if request.param == "gpu":
        monkeypatch.setattr(cwvae_scan, "_forward", lambda *args: cwvae_scan_cuda.forward(*args[:-1]))
        monkeypatch.setattr(cwvae_scan, "_backward", cwvae_scan_cuda.backward)
        torch.compiler.set_stance("force_eager")
    yield
    torch.compiler.set_stance("default")


@pytest.mark.usefixtures("loop")
@pytest.mark.parametrize("context", [0, 6], ids=["top", "below"])
@pytest.mark.parametrize("evidence_rows", [7, 1], ids=["own evidence", "shared evidence"])
@pytest.mark.parametrize("clamped", [False, True], ids=["free", "clamped"])
@pytest.mark.parametrize("posterior", ["product", "direct", "residual", "prior"])
def test_scan_agrees_with_step_in_values_and_all_gradients(context, evidence_rows, clamped, posterior) -> None:
    cell = make_cell(context, seed=2, posterior=posterior)
    if clamped:
        with torch.no_grad():  # some log precisions below -6, some above 12, some between
            cell.prior.bias[3:] = torch.tensor([-9.0, 3.0, 15.0])
            cell.evidence.bias[3:] = torch.tensor([11.9, -6.1, 2.0])
    c, encoded, noise = inputs(context, time=9, rows=7, evidence_rows=evidence_rows)
    ours = flat(cell.infer(c, encoded, noise))
    slow = stepped(cell, cell.gate_inputs(c, noise), cell.encoder_to_evidence(encoded), noise)
    for name, x, y in zip(OUTPUTS, ours, slow, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-12, msg=lambda m, name=name: f"{name}: {m}")
    if clamped:
        assert (ours[3] == -6).any()
        assert (ours[3] == 12).any()
    wanted = {name: p for name, p in cell.named_parameters()} | {"evidence features": encoded}
    wanted |= {"context": c} if c is not None else {}
    weights = [torch.randn(x.shape, generator=torch.Generator().manual_seed(i)).double() for i, x in enumerate(ours)]
    gradients = [
        torch.autograd.grad(
            sum((w * x).sum() for w, x in zip(weights, out, strict=True)), list(wanted.values()), materialize_grads=True
        )
        for out in (ours, slow)
    ]
    for name, x, y in zip(wanted, *gradients, strict=True):
        assert y.abs().max() > 0 or (posterior == "prior" and "evidence" in name), name
        torch.testing.assert_close(x, y, rtol=1e-10, atol=1e-10, msg=lambda m, name=name: f"{name}: {m}")


@pytest.mark.parametrize("output", range(6), ids=OUTPUTS)
def test_each_output_alone_has_the_right_gradient(output) -> None:
    cell = make_cell(2, seed=3)
    c, encoded, noise = inputs(2, time=5, rows=2, evidence_rows=2)
    parameters = list(cell.parameters())
    weight = torch.randn(5, 2, 5, generator=torch.Generator().manual_seed(0)).double()
    results = []
    for out in (
        flat(cell.infer(c, encoded, noise)),
        stepped(cell, cell.gate_inputs(c, noise), cell.encoder_to_evidence(encoded), noise),
    ):
        loss = (out[output] * weight[..., : out[output].shape[-1]]).sum()
        results.append(torch.autograd.grad(loss, parameters, allow_unused=True))
    for ours, slow in zip(*results, strict=True):
        torch.testing.assert_close(ours, torch.zeros_like(ours) if slow is None else slow, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("rows", [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_scan_passes_gradcheck(rows) -> None:
    gate_rows, evidence_rows = rows
    cell = make_cell(0, seed=4, latent=2, hidden=2, evidence=2)
    generator = torch.Generator().manual_seed(5)
    gates, evidence = (
        torch.randn(3, n, size, generator=generator).double().requires_grad_()
        for n, size in ((gate_rows, 6), (evidence_rows, 2))
    )
    noise = torch.randn(3, 2, 2, generator=generator).double()
    weights = [w.detach().requires_grad_() for w in cell.weights()]
    assert torch.autograd.gradcheck(lambda g, e, *w: flat(scan(g, e, noise, Weights(*w))), (gates, evidence, *weights))


@pytest.mark.parametrize("posterior", ["product", "direct", "residual", "prior"])
def test_scan_continues_where_another_stopped(posterior) -> None:
    cell = make_cell(6, seed=6, posterior=posterior)
    c, encoded, noise = inputs(6, time=9, rows=7, evidence_rows=7)
    whole = flat(cell.infer(c, encoded, noise))
    first = cell.infer(c[:4], encoded[:4], noise[:4])
    then = flat(cell.infer(c[4:], encoded[4:], noise[4:], first))
    for x, y, z in zip(flat(first), then, whole, strict=True):
        torch.testing.assert_close(torch.cat((x, y)), z, rtol=1e-12, atol=1e-12)


def test_scan_without_gradients_gives_the_same_numbers() -> None:
    cell = make_cell(6, seed=6)
    c, encoded, noise = inputs(6, time=9, rows=7, evidence_rows=7)
    kept = flat(cell.infer(c, encoded, noise))
    with torch.no_grad():
        bare = flat(cell.infer(c, encoded, noise))
    for x, y in zip(kept, bare, strict=True):
        assert torch.equal(x, y)
        assert not y.requires_grad


def test_scan_in_single_precision() -> None:
    cell = make_cell(6, seed=7)
    c, encoded, noise = inputs(6, time=40, rows=3, evidence_rows=3)
    double = flat(cell.infer(c, encoded, noise))
    single = flat(cell.float().infer(c.float(), encoded.float(), noise.float()))
    for x, y in zip(single, double, strict=True):
        # Forty steps of a contracting recurrence: rounding of 1e-7 grows by little.
        torch.testing.assert_close(x.double(), y, rtol=1e-4, atol=1e-4)


def test_step_agrees_with_loops_over_units() -> None:
    cell = make_cell(6, seed=8)
    c, encoded, noise = inputs(6, time=4, rows=2, evidence_rows=2)
    ours = stepped(cell, cell.gate_inputs(c, noise), cell.encoder_to_evidence(encoded), noise)
    w = {name: p.tolist() for name, p in cell.named_parameters()}
    for row in range(2):
        h, z = [0.0] * 5, [0.0] * 3
        for t in range(4):
            from_z = reference.affine(w["z_to_gates.weight"], w["z_to_gates.bias"], z)
            from_c = reference.affine(w["context_to_gates.weight"], None, c[t, row].tolist())
            from_h = reference.affine(w["h_to_gates.weight"], w["h_to_gates.bias"], h)
            h = reference.gru([a + b for a, b in zip(from_z, from_c, strict=True)], from_h, h)
            hidden = reference.relu(reference.affine(w["h_to_prior.weight"], w["h_to_prior.bias"], h))
            prior = reference.head(reference.affine(w["prior.weight"], w["prior.bias"], hidden))
            from_e = reference.affine(w["encoder_to_evidence.weight"], None, encoded[t, row].tolist())
            hidden = reference.affine(w["h_to_evidence.weight"], w["h_to_evidence.bias"], h)
            hidden = reference.relu([a + b for a, b in zip(hidden, from_e, strict=True)])
            evident = reference.head(reference.affine(w["evidence.weight"], w["evidence.bias"], hidden))
            z = []
            for i in range(3):
                mean, std = reference.gaussian_product(prior[0][i], prior[1][i], evident[0][i], evident[1][i])
                z.append(mean + std * noise[t, row, i].item())
                assert ours[4][t, row, i].item() == pytest.approx(mean, rel=1e-11, abs=1e-12)
                assert (-0.5 * ours[5][t, row, i]).exp().item() == pytest.approx(std, rel=1e-11)
                assert ours[2][t, row, i].item() == pytest.approx(prior[0][i], rel=1e-11, abs=1e-12)
                assert (-0.5 * ours[3][t, row, i]).exp().item() == pytest.approx(prior[1][i], rel=1e-11)
            assert ours[0][t, row].tolist() == pytest.approx(h, rel=1e-11, abs=1e-12)
            assert ours[1][t, row].tolist() == pytest.approx(z, rel=1e-11, abs=1e-12)


def test_generation_and_inference_give_the_same_state_for_the_same_latents() -> None:
    cell = make_cell(6, seed=9)
    c, encoded, noise = inputs(6, time=8, rows=3, evidence_rows=3)
    with torch.no_grad():
        trajectory = cell.infer(c, encoded, noise)
        # The noise with which the prior draws just what the posterior drew.
        same = (trajectory.z - trajectory.prior.mean) / trajectory.prior.std
        h, z = cell.generate(cell.gate_inputs(c, noise), same)
    torch.testing.assert_close(z, trajectory.z, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(h, trajectory.h, rtol=1e-10, atol=1e-10)


def test_the_posterior_starts_at_the_standard_deviation_asked_for() -> None:
    torch.manual_seed(0)
    cell = Cell(0, 4, 6, 32, 0.15)
    step = cell.step(
        cell.gate_inputs(None, torch.zeros(1, 50, 1))[0].expand(50, -1),
        torch.zeros(50, 32),
        torch.zeros(50, 6),
        torch.zeros(50, 6),
        torch.zeros(50, 32),
    )
    product = reference.gaussian_product(0, 1.0, 0, 0.15)[1]
    # Log precisions start within some hundredths of their biases.
    torch.testing.assert_close(step.posterior.std, torch.full((50, 6), product), rtol=0.1, atol=0)
    torch.testing.assert_close(step.prior.std, torch.ones(50, 6), rtol=0.1, atol=0)
