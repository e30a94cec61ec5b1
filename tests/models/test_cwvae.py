"""One contract over CW-VAEs of one, two and three layers."""

from dataclasses import replace

import pytest
import torch

from models import checkpoint
from models.cwvae import CWVAE
from models.elbo import elbo
from models.presets import PRESETS
from models.scan import Trajectory
from models.training import training_loss
from tests.models import miniature
from tests.models.test_cell import flat

LAYERS = pytest.mark.parametrize("layers", [1, 2, 3])


def noise_for(model: CWVAE, samples: int, rows: int, seed: int = 0) -> list[torch.Tensor]:
    return list(model.noise(samples, rows, torch.Generator().manual_seed(seed)))


def steps_of(model: CWVAE, samples: int) -> list[int]:
    top = model.strides[-1]
    return [-(-samples // top) * top // s for s in model.strides]


@LAYERS
@pytest.mark.parametrize("samples", [1, 63, 512, 513, 1500])
def test_shapes_and_strides_are_exact(layers, samples) -> None:
    model = miniature.model(layers)
    pcm, lengths = miniature.batch([samples, max(1, samples // 2)])
    encoded = model.encode(pcm, lengths)
    passed = model(pcm, lengths, noise_for(model, samples, 2))
    top = model.strides[-1]
    assert model.pad(pcm).shape == (2, -(-samples // top) * top)
    assert passed.output.parameters.shape == (2, -(-samples // top) * top, 9)
    assert passed.waveform.shape == passed.output.parameters.shape[:2]
    assert len(passed.layers) == len(encoded) == layers
    for layer, features, size, latent in zip(
        passed.layers, encoded, steps_of(model, samples), model.latents, strict=True
    ):
        assert features.shape == (size, 2, 12)
        assert layer.z.shape == layer.prior.mean.shape == layer.posterior.log_precision.shape == (size, 2, latent)
        assert layer.h.shape == (size, 2, 10)


@LAYERS
@pytest.mark.parametrize("auxiliary", [True, False])
def test_every_parameter_gets_a_gradient(layers, auxiliary) -> None:
    model = miniature.model(layers)
    recipe = replace(PRESETS["cwvae"]["tiny"].recipe, beta=(0.5, 1.0, 0.5), free_nats=(0.0, 0.0, 1.0))
    recipe = replace(recipe, auxiliary=(3.0 if auxiliary else 0.0, 0.0, 0.5))
    pcm, lengths = miniature.batch([1500, 1100])
    pcm = model.pad(pcm)
    training_loss(model(pcm, lengths, noise_for(model, 1500, 2)), model, pcm, lengths, recipe, 0).total.backward()
    for name, parameter in model.named_parameters():
        if name.startswith("aux_") and not auxiliary:
            assert parameter.grad is None, name
        else:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name
            assert parameter.grad.isfinite().all(), name


@LAYERS
def test_evaluation_repeats_with_the_same_noise_and_differs_with_other_noise(layers) -> None:
    model = miniature.model(layers)
    pcm, lengths = miniature.batch([1500, 1100])
    with torch.no_grad():
        first, again, other = (elbo(model, pcm, lengths, noise_for(model, 1500, 2, seed)) for seed in (0, 0, 1))
    assert torch.equal(first.reconstruction, again.reconstruction)
    assert all(torch.equal(x, y) for x, y in zip(first.kl, again.kl, strict=True))
    assert not torch.equal(first.reconstruction, other.reconstruction)


@LAYERS
def test_a_saved_and_loaded_model_gives_the_same_numbers(layers, tmp_path) -> None:
    model = miniature.model(layers)
    checkpoint.save(tmp_path / "m.safetensors", model, {})
    loaded = checkpoint.load(tmp_path / "m.safetensors").model
    assert loaded.config == model.config
    pcm, lengths = miniature.batch([1500, 1100])
    with torch.no_grad():
        ours, theirs = (m(pcm, lengths, noise_for(model, 1500, 2)) for m in (model, loaded))
    assert torch.equal(ours.output.parameters, theirs.output.parameters)
    for x, y in zip(ours.layers, theirs.layers, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(flat(x), flat(y), strict=True))


def assert_same_steps(ours: Trajectory, wanted: Trajectory, row: int, steps: int) -> None:
    for x, y in zip(flat(ours), flat(wanted), strict=True):
        # Products of other shapes add in another order: 1e-7 a step, grown a little by the recurrence.
        torch.testing.assert_close(x[:steps, row], y[:steps, 0], rtol=1e-5, atol=1e-5)


@LAYERS
@pytest.mark.parametrize("length", [1000, 1024, 1025, 70])
def test_latents_and_elbo_depend_on_neither_company_nor_padding(layers, length) -> None:
    model = miniature.model(layers)
    noise = noise_for(model, length, 1)
    pcm, lengths = miniature.batch([length])
    with torch.no_grad():
        alone, alone_elbo = model(pcm, lengths, noise), elbo(model, pcm, lengths, noise)
    for others, extra in (([], 1024), ([], 5000), ([3000, 17], 0), ([3000], 1024)):
        company, lengths = miniature.batch([length, *others], max(length, *others, 0) + extra)
        assert torch.equal(company[0, :length], pcm[0])
        rows = []
        for own, fresh in zip(noise, noise_for(model, company.shape[1], len(lengths), seed=1), strict=True):
            fresh[: len(own), 0] = own[:, 0]
            rows.append(fresh)
        with torch.no_grad():
            passed, parts = model(company, lengths, rows), elbo(model, company, lengths, rows)
        for layer, wanted, stride in zip(passed.layers, alone.layers, model.strides, strict=True):
            assert_same_steps(layer, wanted, 0, -(-length // stride))
        torch.testing.assert_close(
            passed.output.parameters[0, :length], alone.output.parameters[0, :length], rtol=1e-5, atol=1e-5
        )
        torch.testing.assert_close(passed.waveform[0, :length], alone.waveform[0, :length], rtol=1e-5, atol=1e-5)
        # Sums over a thousand samples, of terms near 10 nats.
        torch.testing.assert_close(parts.reconstruction[0], alone_elbo.reconstruction[0], rtol=1e-5, atol=0)
        for x, y in zip(parts.kl, alone_elbo.kl, strict=True):
            torch.testing.assert_close(x[0], y[0], rtol=1e-5, atol=1e-5)


@LAYERS
def test_the_prior_sees_evidence_of_earlier_steps_only(layers) -> None:
    model = miniature.model(layers)
    pcm, lengths = miniature.batch([1500])
    encoded = [e.detach().requires_grad_() for e in model.encode(pcm, lengths)]
    trajectories = model.infer(encoded, noise_for(model, 1500, 1))
    for l, (layer, stride) in enumerate(zip(trajectories, model.strides, strict=True)):
        for t in (0, len(layer.z) // 2, len(layer.z) - 1):
            for g, own in (
                (layer.prior, t),
                (layer.posterior, t + 1),
            ):  # the first step of its own layer it may not see
                out = g.mean[t].sum() + g.log_precision[t].sum()
                gradients = torch.autograd.grad(out, encoded, retain_graph=True, allow_unused=True)
                for m, gradient in enumerate(gradients):
                    # Layers below: nothing. Above: up to the step that covers this one.
                    unseen = 0 if m < l else own if m == l else t * stride // model.strides[m] + 1
                    if gradient is None:
                        assert unseen == 0 or (m == l and own == 0)
                        continue
                    assert (gradient[unseen:] == 0).all()
                    assert unseen == 0 or (gradient[unseen - 1] != 0).any()


@LAYERS
def test_distributions_depend_on_noise_of_earlier_steps_only(layers) -> None:
    model = miniature.model(layers)
    pcm, lengths = miniature.batch([1500])
    noise = noise_for(model, 1500, 1)
    with torch.no_grad():
        encoded = model.encode(pcm, lengths)
        before = model.infer(encoded, noise)
        for changed, stride in enumerate(model.strides):
            at = len(noise[changed]) // 2
            other = [n.clone() for n in noise]
            other[changed][at:] += 1
            after = model.infer(encoded, other)
            for l, (x, y) in enumerate(zip(before, after, strict=True)):
                # z moves with its own step's noise, its distributions from the next step on; layers below at once.
                first = len(x.z) if l > changed else at + 1 if l == changed else at * stride // model.strides[l]
                for a, b in zip((*flat(x)[2:], x.h), (*flat(y)[2:], y.h), strict=True):
                    assert torch.equal(a[:first], b[:first])
                    assert first == len(x.z) or not torch.equal(a[first], b[first])
                moved = at if l == changed else first
                assert torch.equal(x.z[:moved], y.z[:moved])


@LAYERS
def test_the_encoder_looks_ahead_by_a_bounded_stretch(layers) -> None:
    model = miniature.model(layers)
    pcm, lengths = miniature.batch([4096])
    other = pcm.clone()
    cut = 2048
    other[0, cut:] = -other[0, cut:] - 500
    with torch.no_grad():
        pair = model.encode(pcm, lengths), model.encode(other, lengths)
    reach = 12 + 8 * model.config.front_depth  # the framing's kernel and the front's blocks, from a frame's start
    for x, y, stride in zip(*pair, model.strides, strict=True):
        reach += stride * model.config.depth + stride
        safe = (cut - reach) // stride
        assert safe > 0
        assert torch.equal(x[:safe], y[:safe])
        assert not torch.equal(x[cut // stride], y[cut // stride])


@LAYERS
def test_samples_of_one_utterance_can_share_its_encoding(layers) -> None:
    model = miniature.model(layers)
    pcm, lengths = miniature.batch([1500])
    noise = noise_for(model, 1500, 5)
    with torch.no_grad():
        encoded = model.encode(pcm, lengths)
        folded = model.infer(encoded, noise)
        for row in range(5):
            own = model.infer(encoded, [n[:, row : row + 1] for n in noise])
            for x, y in zip(folded, own, strict=True):
                assert_same_steps(x, y, row, len(y.z))


@LAYERS
def test_generation_conditions_as_training_does(layers) -> None:
    model = miniature.model(layers)
    pcm, lengths = miniature.batch([1500])
    with torch.no_grad():
        trajectories = model.infer(model.encode(pcm, lengths), noise_for(model, 1500, 1))
        context = None
        for l in reversed(range(layers)):
            t, cell = trajectories[l], model.cells[l]
            same = (t.z - t.prior.mean) / t.prior.std
            h, z = cell.generate(cell.hoist(context, same), same)
            torch.testing.assert_close(h, t.h, rtol=1e-4, atol=1e-5)  # z is rounded once more
            torch.testing.assert_close(z, t.z, rtol=1e-4, atol=1e-5)
            context = model._context(l, t.z, t.h) if l else None


@LAYERS
def test_samples_have_the_length_asked_for_and_repeat_by_generator(layers) -> None:
    model = miniature.model(layers)
    first, again, other = (model.sample(700, 3, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert first.shape == (3, 700)
    assert (first.abs() <= 1).all()
    assert not first.requires_grad
    assert first.std() > 0
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])


def test_noise_is_standard_normal_lowest_layer_first() -> None:
    model = miniature.model(2)
    low, high = model.noise(200_000, 2, torch.Generator().manual_seed(0))
    assert low.shape == (3128, 2, 6)
    assert high.shape == (391, 2, 4)
    assert abs(low.mean().item()) < 0.02  # 37,536 draws: four standard errors
    assert abs(low.std().item() - 1) < 0.02


@pytest.mark.parametrize("inputs", [("mulaw16",), ("linear", "mulaw8"), ("mulaw16", "mulaw8", "linear")])
def test_the_encoder_sees_the_compandings_it_was_given(inputs) -> None:
    model = CWVAE(replace(miniature.config(1), inputs=inputs))
    pcm, lengths = miniature.batch([500])
    assert model.framing.mix.in_features == 16 * len(inputs)
    assert len(model.encode(pcm, lengths)) == 1


@LAYERS
def test_bfloat16_coder_with_the_loop_in_single_precision(layers) -> None:
    model = miniature.model(layers)
    pcm, lengths = miniature.batch([1500, 1100])
    noise = noise_for(model, 1500, 2)
    with torch.autocast("cpu", torch.bfloat16):
        passed = model(pcm, lengths, noise)
    exact = model(pcm, lengths, noise)
    assert passed.output.parameters.dtype == torch.float32
    for x, y in zip(passed.layers, exact.layers, strict=True):
        assert all(v.dtype == torch.float32 for v in flat(x))
        torch.testing.assert_close(x.z, y.z, rtol=0.1, atol=0.1)  # bfloat16 keeps 8 bits
    passed.output.parameters.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
