"""The VRNN against its equations, unit by unit, and what sets it apart."""

from typing import Any

import pytest
import torch

from lvm_probe.models.families.vrnn import VRNN
from tests import reference_models as reference
from tests.models import miniature
from tests.models.equations import Oracle, Steps, check_latents, divergence, drawn, far_from_start
from tests.models.test_family import noise_for


def make(**changes: object) -> VRNN:
    return far_from_start(VRNN.seeded(miniature.vrnn(stride=4, depth=2, **changes), 0))


def by_equations(net: Oracle, noise: list[Steps]) -> dict[str, Any]:
    """One utterance by the equations of the module's docstring."""
    c = net.c
    found: dict[str, Any] = {"elbo": 0.0, "z": [[]], "h": [[]]}
    d, z, before = [0.0] * c.hidden, [0.0] * c.latent, [0.0] * c.width
    for t, phi in enumerate(net.phi):
        gates = zip(net.linear("cell.z_to_gates", z), net.linear("cell.context_to_gates", before), strict=True)
        d = reference.gru([a + b for a, b in gates], net.linear("cell.h_to_gates", d), d)
        prior = reference.head(net.linear("cell.prior", reference.relu(net.linear("cell.h_to_prior", d))))
        units = zip(net.linear("cell.h_to_evidence", d), net.linear("cell.encoder_to_evidence", phi), strict=True)
        posterior = reference.head(net.linear("cell.evidence", reference.relu([a + b for a, b in units])))
        if c.posterior == "product":
            both = [reference.gaussian_product(*four) for four in zip(*prior, *posterior, strict=True)]
            posterior = [mean for mean, _ in both], [std for _, std in both]
        z = drawn(posterior, noise[0][t])
        found["elbo"] += net.log_likelihood(t, [*z, *d]) - divergence(posterior, prior)
        found["z"][0].append(z)
        found["h"][0].append(d)
        before = phi
    return found


@pytest.mark.parametrize("posterior", ["direct", "product"])
def test_the_elbo_agrees_with_the_equations(posterior) -> None:
    check_latents(make(posterior=posterior), by_equations, [24, 17], 28)


@torch.no_grad()
def test_the_auxiliary_waveform_is_a_linear_function_of_features_and_latents() -> None:
    model = make()
    pcm, lengths = miniature.batch([24])
    passed, oracle = model(pcm, lengths, noise_for(model, 24, 1)), Oracle(model, pcm[0].tolist())
    wanted: list[float] = []
    for z, d in zip(passed.layers[0].z[:, 0].tolist(), passed.layers[0].h[:, 0].tolist(), strict=True):
        by_y = oracle.linear("decoder.aux_features", oracle.perceptron("decoder", [*z, *d]))
        wanted += [a + b for a, b in zip(by_y, oracle.linear("decoder.aux_latent", z), strict=True)]
    torch.testing.assert_close(passed.waveform[0], pcm.new_tensor(wanted, dtype=torch.float64))


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
