"""The VRNN against its equations, unit by unit, and what sets it apart."""

from typing import Any

import pytest
import torch

from lvm_probe.models.families.vrnn import VRNN, VRNNConfig
from tests import reference_models as reference
from tests.models import miniature
from tests.models.test_family import noise_for


def make(posterior: str) -> VRNN:
    """A VRNN in double precision whose weights are far from their small start."""
    model = VRNN.seeded(miniature.vrnn(stride=4, posterior=posterior, depth=2), 0).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return model


def perceptron(w: dict[str, Any], prefix: str, depth: int) -> list[tuple[Any, Any]]:
    return [(w[f"{prefix}.{i}.weight"], w[f"{prefix}.{i}.bias"]) for i in range(depth)]


def slow_pass(model: VRNN, pcm: list[int], noise: list[list[float]]) -> dict[str, list[Any]]:
    """One utterance by the equations of the module's docstring: loops over steps and units."""
    c: VRNNConfig = model.config
    w = {name: parameter.tolist() for name, parameter in model.named_parameters()}
    found: dict[str, list[Any]] = {key: [] for key in ("d", "z", "prior", "posterior", "output", "waveform")}
    d, z, phi_before = [0.0] * c.hidden, [0.0] * c.latent, [0.0] * c.width
    for t in range(len(pcm) // c.stride):
        frame = [v for x in pcm[t * c.stride : (t + 1) * c.stride] for v in reference.companded(x, c.inputs)]
        phi = reference.perceptron(perceptron(w, "frames.layers", c.depth), frame)
        # d_t = GRU([φ(x_{t-1}), z_{t-1}], d_{t-1})
        from_z = reference.affine(w["cell.z_to_gates.weight"], w["cell.z_to_gates.bias"], z)
        from_x = reference.affine(w["cell.context_to_gates.weight"], None, phi_before)
        from_d = reference.affine(w["cell.h_to_gates.weight"], w["cell.h_to_gates.bias"], d)
        d = reference.gru([a + b for a, b in zip(from_z, from_x, strict=True)], from_d, d)
        # p(z_t | x_{<t}, z_{<t}) from d_t, q(z_t | x_{≤t}, z_{<t}) from φ(x_t) and d_t
        hidden = reference.relu(reference.affine(w["cell.h_to_prior.weight"], w["cell.h_to_prior.bias"], d))
        prior = reference.head(reference.affine(w["cell.prior.weight"], w["cell.prior.bias"], hidden))
        from_phi = reference.affine(w["cell.encoder_to_evidence.weight"], None, phi)
        hidden = reference.affine(w["cell.h_to_evidence.weight"], w["cell.h_to_evidence.bias"], d)
        hidden = reference.relu([a + b for a, b in zip(hidden, from_phi, strict=True)])
        posterior = reference.head(reference.affine(w["cell.evidence.weight"], w["cell.evidence.bias"], hidden))
        if c.posterior == "product":
            both = [reference.gaussian_product(*four) for four in zip(*prior, *posterior, strict=True)]
            posterior = [mean for mean, _ in both], [std for _, std in both]
        z = [mean + std * eps for mean, std, eps in zip(*posterior, noise[t], strict=True)]
        # p(x_t | z_{≤t}, x_{<t}) from z_t and d_t
        y = reference.perceptron(perceptron(w, "decoder.layers", c.depth), [*z, *d])
        output = reference.affine(w["decoder.head.weight"], w["decoder.head.bias"], y)
        by_y = reference.affine(w["decoder.aux_features.weight"], w["decoder.aux_features.bias"], y)
        by_z = reference.affine(w["decoder.aux_latent.weight"], w["decoder.aux_latent.bias"], z)
        found["output"] += [output[i * c.output.size : (i + 1) * c.output.size] for i in range(c.stride)]
        found["waveform"] += [a + b for a, b in zip(by_y, by_z, strict=True)]
        for key, value in (("d", d), ("z", z), ("prior", prior), ("posterior", posterior)):
            found[key].append(value)
        phi_before = phi
    return found


def assert_agree(ours: torch.Tensor, slow: list[Any]) -> None:
    # Six steps of double precision, in another order of sums.
    torch.testing.assert_close(ours, torch.tensor(slow, dtype=torch.float64), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("posterior", ["direct", "product"])
@torch.no_grad()
def test_a_pass_agrees_with_the_equations_unit_by_unit(posterior) -> None:
    model = make(posterior)
    pcm, lengths = miniature.batch([24, 24])
    noise = noise_for(model, 24, 2)
    passed = model(pcm, lengths, noise)
    (layer,) = passed.layers
    for row in range(2):
        slow = slow_pass(model, pcm[row].tolist(), noise[0][:, row].tolist())
        for ours, wanted in (
            (layer.h, slow["d"]),
            (layer.z, slow["z"]),
            (layer.prior.mean, [mean for mean, _ in slow["prior"]]),
            (layer.prior.std, [std for _, std in slow["prior"]]),
            (layer.posterior.mean, [mean for mean, _ in slow["posterior"]]),
            (layer.posterior.std, [std for _, std in slow["posterior"]]),
        ):
            assert_agree(ours[:, row], wanted)
        assert_agree(passed.output.parameters[row], slow["output"])
        assert_agree(passed.waveform[row], slow["waveform"])


def test_the_first_step_has_no_past() -> None:
    model = miniature.model("vrnn")
    pcm, lengths = miniature.batch([100])
    past, present = model.encode(pcm, lengths)
    assert (past[0] == 0).all()
    assert torch.equal(past[1:], present[:-1])


def test_the_prior_has_a_gradient_from_no_step_of_its_own_or_later() -> None:
    model = miniature.model("vrnn")
    pcm, lengths = miniature.batch([160])
    past, present = (e.detach().requires_grad_() for e in model.encode(pcm, lengths))
    (layer,) = model.infer((past, present), noise_for(model, 160, 1))
    for t in (0, 4, 9):
        out = layer.prior.mean[t].sum() + layer.prior.log_precision[t].sum()
        by_past, by_present = torch.autograd.grad(out, (past, present), retain_graph=True)
        assert (by_past[t + 1 :] == 0).all()  # frames up to t - 1, as predecessors
        assert (by_present[t:] == 0).all()  # and as evidence, through z up to t - 1
        assert t == 0 or (by_past[t].abs().sum() > 0 and by_present[t - 1].abs().sum() > 0)
