"""The sentence VAE against its equations, unit by unit, and what a segment knows of others."""

import math
from typing import Any

import pytest
import torch

from lvm_probe import InputError
from lvm_probe.models.families.bowman import Bowman, BowmanConfig
from lvm_probe.models.likelihood.elbo import elbo
from tests import reference_models as reference
from tests.models import miniature
from tests.models.test_family import noise_for
from tests.models.test_lstm import decoder

STRIDE, STEPS = 4, 5


def config(**changes: object) -> BowmanConfig:
    return miniature.stacked("bowman", **({"stride": STRIDE, "latent": 3, "hidden": 6, "steps": STEPS} | changes))


def make(**changes: object) -> Bowman:
    """A model in double precision whose weights are far from their small start."""
    model = Bowman.seeded(config(**changes), 0).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return model


def lstm_step(w: dict[str, list], name: str, x: list[float], h: list[float], c: list[float]) -> tuple[list, list]:
    """A cell with torch's order of gates: input, forget, candidate, output."""
    from_x = reference.affine(w[f"{name}.weight_ih_l0"], w[f"{name}.bias_ih_l0"], x)
    from_h = reference.affine(w[f"{name}.weight_hh_l0"], w[f"{name}.bias_hh_l0"], h)
    s, n = [a + b for a, b in zip(from_x, from_h, strict=True)], len(h)
    c = [reference.sigmoid(s[n + i]) * c[i] + reference.sigmoid(s[i]) * math.tanh(s[2 * n + i]) for i in range(n)]
    return [reference.sigmoid(s[3 * n + i]) * math.tanh(c[i]) for i in range(n)], c


def slow_pass(model: Bowman, pcm: list[int], length: int, noise: list[list[float]]) -> dict[str, list[Any]]:
    """One utterance, segment by segment."""
    c = model.config
    w = {name: parameter.tolist() for name, parameter in model.named_parameters()}
    found: dict[str, list[Any]] = {key: [] for key in ("z", "mean", "std", "kl", "output")}
    for segment, eps in enumerate(noise):
        phi = []
        for t in range(segment * STEPS, (segment + 1) * STEPS):
            x = [v for value in pcm[t * STRIDE : (t + 1) * STRIDE] for v in reference.companded(value, c.inputs)]
            layers = [(w[f"frames.layers.{i}.weight"], w[f"frames.layers.{i}.bias"]) for i in range(c.depth)]
            phi.append(reference.perceptron(layers, x))
        a, cell = [0.0] * c.hidden, [0.0] * c.hidden
        for t in range(STEPS):
            if (segment * STEPS + t) * STRIDE < length:
                a, cell = lstm_step(w, "summary", phi[t], a, cell)
        mean, std = reference.head(reference.affine(w["recognition.head.weight"], w["recognition.head.bias"], a))
        z = [m + s * e for m, s, e in zip(mean, std, eps, strict=True)]
        start = reference.affine(w["start.weight"], w["start.bias"], z)
        d, cell = start[: c.hidden], start[c.hidden :]
        for x in [[0.0] * c.width, *phi[:-1]]:
            d, cell = lstm_step(w, "states", x, d, cell)
            output = decoder(w, d, c.depth)
            found["output"] += [output[9 * i : 9 * i + 9] for i in range(STRIDE)]
        found["kl"].append(sum(reference.gaussian_kl(m, s, 0.0, 1.0) for m, s in zip(mean, std, strict=True)))
        for key, value in (("z", z), ("mean", mean), ("std", std)):
            found[key].append(value)
    return found


@torch.no_grad()
def test_a_pass_agrees_with_the_equations_unit_by_unit() -> None:
    model = make()
    pcm, lengths = miniature.batch(
        [3 * STEPS * STRIDE, STEPS * STRIDE + 6]
    )  # the second ends inside its second segment
    noise = noise_for(model, pcm.shape[1], 2)
    passed = model(pcm, lengths, noise)
    (layer,) = passed.layers
    assert (layer.prior.mean == 0).all()
    assert (layer.prior.log_precision == 0).all()
    ours = elbo(model, pcm, lengths, noise)
    for row in range(2):
        length = int(lengths[row])
        slow = slow_pass(model, pcm[row].tolist(), length, noise[0][:, row].tolist())
        for found, wanted in (
            (layer.z[:, row], slow["z"]),
            (layer.posterior.mean[:, row], slow["mean"]),
            (layer.posterior.std[:, row], slow["std"]),
            (passed.output.parameters[row], slow["output"]),
        ):
            # A few steps of double precision, in another order of sums.
            torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64), rtol=1e-10, atol=1e-10)
        segments = reference.touched_steps(length, STEPS * STRIDE)
        assert ours.kl[0][row].item() == pytest.approx(sum(slow["kl"][:segments]), rel=1e-9)
        likelihood = sum(
            reference.mixture_log_mass(slow["output"][i], *reference.uniform_bin(int(pcm[row, i])))
            for i in range(length)
        )
        assert ours.reconstruction[row].item() == pytest.approx(likelihood, rel=1e-9)


@torch.no_grad()
def test_segments_know_nothing_of_each_other() -> None:
    model = make()
    pcm, lengths = miniature.batch([4 * STEPS * STRIDE])
    noise = noise_for(model, pcm.shape[1], 1)
    before = model(pcm, lengths, noise)
    other = pcm.clone()
    other[0, STEPS * STRIDE + 1] += 9_000  # in the second segment
    after = model(other, lengths, noise)
    differs = (before.layers[0].posterior.mean != after.layers[0].posterior.mean).flatten(1).any(1)
    assert differs.tolist() == [False, True, False, False]
    parameters = (before.output.parameters != after.output.parameters)[0].unflatten(0, (4, -1)).flatten(1).any(1)
    assert parameters.tolist() == [False, True, False, False]


def test_a_sentence_has_one_latent() -> None:
    model = Bowman.seeded(config(stride=1, steps=12, output=miniature.DOMAINS["words"]), 0)
    (noise,) = model.noise(11, 2, torch.Generator().manual_seed(0))
    assert noise.shape == (1, 2, 3)
    assert model.strides == (12,)


def test_a_bad_configuration_is_refused() -> None:
    for bad in ({"latent": 0}, {"hidden": 0}, {"steps": 0}, {"posterior_std": 0.0}):
        with pytest.raises(InputError, match="must be positive"):
            config(**bad)
