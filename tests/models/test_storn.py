"""The STORN against its equations, unit by unit, and what sets it apart."""

from typing import Any

import pytest
import torch

from lvm_probe import InputError
from lvm_probe.models.families.storn import STORN, STORNConfig
from lvm_probe.models.likelihood.elbo import layer_kl
from tests import reference_models as reference
from tests.models import miniature
from tests.models.test_family import noise_for

STRIDE = 4


def make() -> STORN:
    """A STORN in double precision whose weights are far from their small start."""
    config = miniature.stacked("storn", stride=STRIDE, latent=5, hidden=10)
    model = STORN.seeded(config, 0).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return model


def slow_pass(model: STORN, pcm: list[int], noise: list[list[float]]) -> dict[str, list[Any]]:
    """One utterance by the equations of the module's docstring: loops over steps and units."""
    c: STORNConfig = model.config
    w = {name: parameter.tolist() for name, parameter in model.named_parameters()}

    def gru(name: str, x: list[float], h: list[float]) -> list[float]:
        from_x = reference.affine(w[f"{name}.weight_ih_l0"], w[f"{name}.bias_ih_l0"], x)  # reset, update, candidate
        from_h = reference.affine(w[f"{name}.weight_hh_l0"], w[f"{name}.bias_hh_l0"], h)
        return reference.gru([*from_x[2 * c.hidden :], *from_x[: 2 * c.hidden]], from_h, h)

    def perceptron(prefix: str, x: list[float]) -> list[float]:
        layers = [(w[f"{prefix}.{i}.weight"], w[f"{prefix}.{i}.bias"]) for i in range(c.depth)]
        return reference.perceptron(layers, x)

    found: dict[str, list[Any]] = {key: [] for key in ("h", "z", "mean", "std", "kl", "output", "waveform")}
    a, h, phi_before = [0.0] * c.hidden, [0.0] * c.hidden, [0.0] * c.width
    for t in range(len(pcm) // c.stride):
        stack = [v for x in pcm[t * c.stride : (t + 1) * c.stride] for v in reference.companded(x, c.inputs)]
        phi = perceptron("frames.layers", stack)
        # a_t = GRU(φ(x_t), a_{t-1}),  q(z_t | x_{≤t}) = N(μ(a_t), σ(a_t))
        a = gru("summary", phi, a)
        mean, std = reference.head(reference.affine(w["recognition.head.weight"], w["recognition.head.bias"], a))
        z = [m + s * eps for m, s, eps in zip(mean, std, noise[t], strict=True)]
        # h_t = GRU([φ(x_{t-1}), z_t], h_{t-1}),  p(x_t | z_{≤t}, x_{<t}) from h_t
        h = gru("states", [*phi_before, *z], h)
        y = perceptron("decoder.layers", h)
        output = reference.affine(w["decoder.head.weight"], w["decoder.head.bias"], y)
        by_y = reference.affine(w["decoder.aux_features.weight"], w["decoder.aux_features.bias"], y)
        by_z = reference.affine(w["decoder.aux_latent.weight"], w["decoder.aux_latent.bias"], z)
        found["output"] += [output[i * c.output.size : (i + 1) * c.output.size] for i in range(c.stride)]
        found["waveform"] += [u + v for u, v in zip(by_y, by_z, strict=True)]
        found["kl"].append([reference.gaussian_kl(m, s, 0.0, 1.0) for m, s in zip(mean, std, strict=True)])
        for key, value in (("h", h), ("z", z), ("mean", mean), ("std", std)):
            found[key].append(value)
        phi_before = phi
    return found


@torch.no_grad()
def test_a_pass_agrees_with_the_equations_unit_by_unit() -> None:
    model = make()
    pcm, lengths = miniature.batch([24, 24])
    noise = noise_for(model, 24, 2)
    passed = model(pcm, lengths, noise)
    (layer,) = passed.layers
    assert (layer.prior.mean == 0).all()
    assert (layer.prior.log_precision == 0).all()
    (kl,) = layer_kl(passed.layers, model.strides, lengths)
    for row in range(2):
        slow = slow_pass(model, pcm[row].tolist(), noise[0][:, row].tolist())
        for ours, wanted in (
            (layer.h[:, row], slow["h"]),
            (layer.z[:, row], slow["z"]),
            (layer.posterior.mean[:, row], slow["mean"]),
            (layer.posterior.std[:, row], slow["std"]),
            (kl[:, row], slow["kl"]),
            (passed.output.parameters[row], slow["output"]),
            (passed.waveform[row], slow["waveform"]),
        ):
            # Six steps of double precision, in another order of sums.
            torch.testing.assert_close(ours, torch.tensor(wanted, dtype=torch.float64), rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_the_posterior_sees_the_audio_up_to_its_own_step_and_no_latents() -> None:
    model = make()
    pcm, lengths = miniature.batch([10 * STRIDE])
    other = pcm.clone()
    other[0, 5 * STRIDE] += 700
    noise, noise_of_other = noise_for(model, pcm.shape[1], 1, seed=0), noise_for(model, pcm.shape[1], 1, seed=1)
    (layer,), (changed,), (redrawn,) = (
        model.infer(model.encode(x, lengths), n) for x, n in ((pcm, noise), (other, noise), (pcm, noise_of_other))
    )
    differs = (layer.posterior.mean != changed.posterior.mean).any(-1)[:, 0].tolist()
    assert differs == [False] * 5 + [True] * 5
    assert torch.equal(layer.posterior.mean, redrawn.posterior.mean)
    assert not torch.equal(layer.h, redrawn.h)


def test_a_bad_configuration_is_refused() -> None:
    for bad in ({"latent": 0}, {"hidden": 0}, {"posterior_std": 0.0}):
        with pytest.raises(InputError, match="must be positive"):
            miniature.stacked("storn", **({"latent": 5, "hidden": 10} | bad))
