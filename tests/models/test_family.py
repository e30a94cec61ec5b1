"""One contract over every model of the family: what training, evaluation, chunks and probes rely on."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch

from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.models.domains.domain import Output
from lvm_probe.models.likelihood.chunks import chunks
from lvm_probe.models.likelihood.elbo import Elbo, elbo, evaluate, layer_kl, log_likelihood
from lvm_probe.models.likelihood.mulaw import to_pcm
from lvm_probe.models.model import SpeechModel
from lvm_probe.models.training.distributed import ProcessGroup
from lvm_probe.models.training.loss import schedule_at, training_loss
from lvm_probe.models.training.recipe import TINY
from lvm_probe.models.trajectory import Trajectory
from tests.models import miniature
from tests.models.miniature import MODELS
from tests.models.test_cwvae_cell import flat

EVERY = pytest.mark.parametrize("name", MODELS)


def noise_for(model: SpeechModel, samples: int, rows: int, seed: int = 0) -> list[torch.Tensor]:
    return list(model.noise(samples, rows, torch.Generator().manual_seed(seed), model.parameter.dtype))


def parts(model: SpeechModel, pcm: torch.Tensor, lengths: torch.Tensor, noise: Sequence[torch.Tensor]) -> Elbo:
    with torch.no_grad():
        return elbo(model, pcm, lengths, noise)


def steered(
    model: SpeechModel,
    encoded: Sequence[torch.Tensor],
    like: Sequence[torch.Tensor],
    wanted: Callable[[int, Trajectory], torch.Tensor],
) -> tuple[Trajectory, ...]:
    """The posterior's trajectories along wanted latents, which may depend on earlier latents and on those above.

    The noise (shaped `like` this) that leads there is found in as many rounds as there are steps: each settles one.
    """
    noise = [torch.zeros_like(n) for n in like]
    layers: tuple[Trajectory, ...] = ()
    for _ in range(1 + sum(map(len, noise))):
        layers = model.infer(encoded, noise)
        noise = [(wanted(l, t) - t.posterior.mean) / t.posterior.std for l, t in enumerate(layers)]
    return layers


@EVERY
@pytest.mark.parametrize("samples", [1, 512, 513])
def test_shapes_and_strides_are_exact(name, samples) -> None:
    model = miniature.model(name)
    pcm, lengths = miniature.batch([samples, max(1, samples // 2)])
    encoded = model.encode(pcm, lengths)
    passed = model(pcm, lengths, noise_for(model, samples, 2))
    padded = -(-samples // model.coarsest_stride) * model.coarsest_stride
    assert model.pad(pcm).shape == (2, padded)
    assert all(padded % len(e) == 0 and e.shape[1] == 2 for e in encoded)
    assert passed.output.domain == model.config.output
    assert passed.output.parameters.shape == (2, padded, model.config.output.size)
    assert len(passed.layers) == len(model.latents) == len(model.strides)
    for layer, stride, latent in zip(passed.layers, model.strides, model.latents, strict=True):
        size = padded // stride
        assert layer.z.shape == layer.prior.mean.shape == layer.posterior.log_precision.shape == (size, 2, latent)
        assert layer.h.shape[:2] == (size, 2)
    assert model.deterministic == (not passed.layers)
    if passed.waveform is not None:
        assert passed.waveform.shape == (2, padded)


@EVERY
def test_a_model_states_its_family_and_what_evaluation_in_chunks_relies_on(name) -> None:
    model = miniature.model(name)
    assert model.family == name.split("-")[0]
    assert isinstance(model.config, model.Config)
    assert {"small", "tiny"} <= set(model.presets)
    assert all(isinstance(preset.config, model.Config) for preset in model.presets.values())
    assert model.coarsest_stride % model.stride == 0
    assert list(model.strides) == sorted(model.strides)
    assert all(reach >= 0 for reach in (*model.decode_reach, *(model.encode_reach or ())))


@EVERY
@pytest.mark.parametrize("auxiliary", [True, False])
def test_every_parameter_gets_a_gradient(name, auxiliary) -> None:
    model = miniature.model(name)
    recipe = replace(TINY, beta=(0.5, 1.0, 0.5), free_nats=(0.0, 0.0, 1.0))
    recipe = replace(recipe, auxiliary=(3.0 if auxiliary else 0.0, 0.0, 0.5))
    pcm, lengths = miniature.batch([700, 500])
    pcm = model.pad(pcm)
    loss = training_loss(
        model(pcm, lengths, noise_for(model, 700, 2)), model, pcm, lengths, recipe, schedule_at(recipe, 0)
    )
    loss.total.backward()
    assert len(loss.kl) == len(model.latents)
    for key, parameter in model.named_parameters():
        if key.split(".")[-2:][0].startswith("aux_") and not auxiliary:
            assert parameter.grad is None, key
        else:
            assert parameter.grad is not None, key
            assert parameter.grad.abs().max() > 0, key
            assert parameter.grad.isfinite().all(), key


@EVERY
def test_processes_that_share_a_batch_add_up_to_its_gradient(name) -> None:
    model = miniature.model(name).double()
    pcm, lengths = miniature.batch([600, 250])
    noise = noise_for(model, 600, 2)
    recipe = replace(TINY, free_nats=(0.0, 0.0, 1.0))

    def gradient(group: ProcessGroup) -> torch.Tensor:
        model.zero_grad()
        x, own = model.pad(group.rows(pcm)), group.rows(lengths)
        passed = model(x, own, [group.rows(n, 1) for n in noise])
        training_loss(passed, model, x, own, recipe, schedule_at(recipe, 0), 850).total.backward()
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    shares = [gradient(ProcessGroup(rank, 3)) for rank in range(3)]
    assert not shares[2].any()  # there is no row for the third
    torch.testing.assert_close(shares[0] + shares[1], gradient(ProcessGroup()))


@EVERY
def test_evaluation_repeats_with_the_same_noise(name) -> None:
    model = miniature.model(name)
    pcm, lengths = miniature.batch([700, 500])
    first, again, other = (parts(model, pcm, lengths, noise_for(model, 700, 2, seed)) for seed in (0, 0, 1))
    assert torch.equal(first.reconstruction, again.reconstruction)
    assert all(torch.equal(x, y) for x, y in zip(first.kl, again.kl, strict=True))
    assert torch.equal(first.reconstruction, other.reconstruction) == model.deterministic  # exact without latents
    assert len(first.kl) == len(model.latents)


@EVERY
def test_weights_depend_on_the_seed_alone(name) -> None:
    torch.manual_seed(5)
    first = miniature.model(name, seed=1)
    torch.rand(3)
    again, other = miniature.model(name, seed=1), miniature.model(name, seed=2)
    ours, same, others = (m.state_dict() for m in (first, again, other))
    assert all(torch.equal(ours[key], same[key]) for key in ours)
    drawn = any(not torch.equal(ours[key], others[key]) for key in ours)
    assert drawn or sum(p.numel() for p in first.parameters()) == first.config.output.size  # a constant draws nothing


@EVERY
def test_a_saved_and_loaded_model_gives_the_same_numbers(name, tmp_path) -> None:
    model = miniature.model(name)
    checkpoint.save(tmp_path / "m.safetensors", model, {})
    loaded = checkpoint.load(tmp_path / "m.safetensors").model
    assert type(loaded) is type(model)
    assert loaded.config == model.config
    pcm, lengths = miniature.batch([700, 500])
    with torch.no_grad():
        ours, theirs = (m(pcm, lengths, noise_for(model, 700, 2)) for m in (model, loaded))
    assert torch.equal(ours.output.parameters, theirs.output.parameters)
    for x, y in zip(ours.layers, theirs.layers, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(flat(x), flat(y), strict=True))


def assert_same_steps(ours: Trajectory, wanted: Trajectory, row: int, steps: int) -> None:
    for x, y in zip(flat(ours), flat(wanted), strict=True):
        # Products of other shapes add in another order: 1e-7 a step, grown a little by the recurrence.
        torch.testing.assert_close(x[:steps, row], y[:steps, 0], rtol=1e-5, atol=1e-5)


@EVERY
@pytest.mark.parametrize("length", [600, 70])
@torch.no_grad()
def test_latents_and_elbo_depend_on_neither_batch_nor_padding(name, length) -> None:
    model = miniature.model(name)
    noise = noise_for(model, length, 1)
    pcm, lengths = miniature.batch([length])
    alone = model(pcm, lengths, noise)
    alone_elbo = elbo(model, pcm, lengths, noise)
    for others, extra in (([], 700), ([1100, 17], 0)):
        company, lengths = miniature.batch([length, *others], max(length, *others, 0) + extra)
        company = model.pad(company)
        assert torch.equal(company[0, :length], pcm[0])
        rows = []
        for own, fresh in zip(noise, noise_for(model, company.shape[1], len(lengths), seed=1), strict=True):
            fresh[: len(own), 0] = own[:, 0]
            rows.append(fresh)
        passed = model(company, lengths, rows)
        for layer, wanted, stride in zip(passed.layers, alone.layers, model.strides, strict=True):
            assert_same_steps(layer, wanted, 0, -(-length // stride))
        torch.testing.assert_close(
            passed.output.parameters[0, :length], alone.output.parameters[0, :length], rtol=1e-5, atol=1e-5
        )
        if alone.waveform is not None:
            torch.testing.assert_close(passed.waveform[0, :length], alone.waveform[0, :length], rtol=1e-5, atol=1e-5)
        # Sums over hundreds of samples, of terms near 10 nats.
        reconstruction = log_likelihood(passed.output, company, lengths)
        torch.testing.assert_close(reconstruction[0], alone_elbo.reconstruction[0], rtol=1e-5, atol=0)
        for x, y in zip(layer_kl(passed.layers, model.strides, lengths), alone_elbo.kl, strict=True):
            torch.testing.assert_close(x[:, 0].sum(), y[0], rtol=1e-5, atol=1e-5)


@EVERY
@torch.no_grad()
def test_distributions_depend_on_noise_of_earlier_steps_only(name) -> None:
    model = miniature.model(name)
    pcm, lengths = miniature.batch([700])
    noise = noise_for(model, 700, 1)
    encoded = model.encode(pcm, lengths)
    before = model.infer(encoded, noise)
    for changed, stride in enumerate(model.strides):
        at = len(noise[changed]) // 2
        other = [n.clone() for n in noise]
        other[changed][at:] += 1
        after = model.infer(encoded, other)
        for l, (x, y) in enumerate(zip(before, after, strict=True)):
            first = at * stride // model.strides[l]
            for a, b in zip(flat(x), flat(y), strict=True):
                assert torch.equal(a[:first], b[:first])
            if l == changed:  # its own step's distributions come before its draw
                assert all(torch.equal(a[at], b[at]) for a, b in zip(flat(x)[2:], flat(y)[2:], strict=True))
                assert not torch.equal(x.z[at], y.z[at])


@EVERY
@torch.no_grad()
def test_samples_of_one_utterance_can_share_its_encoding(name) -> None:
    model = miniature.model(name)
    pcm, lengths = miniature.batch([700])
    noise = noise_for(model, 700, 3)
    encoded = model.encode(pcm, lengths)
    folded = model.infer(encoded, noise)
    for row in range(3):
        own = model.infer(encoded, [n[:, row : row + 1] for n in noise])
        for x, y in zip(folded, own, strict=True):
            assert x.h.shape[1] == x.z.shape[1] == 3
            assert_same_steps(x, y, row, len(y.z))


@EVERY
def test_samples_have_the_length_asked_for_and_repeat_by_generator(name) -> None:
    model = miniature.model(name)
    first, again, other = (model.sample(300, 3, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert first.shape == (3, 300)
    assert (first.abs() <= 1).all()
    assert not first.requires_grad
    assert first.std() > 0
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])


@EVERY
def test_bfloat16_layers_with_everything_recurrent_in_single_precision(name) -> None:
    model = miniature.model(name)
    pcm, lengths = miniature.batch([700, 500])
    noise = noise_for(model, 700, 2)
    with torch.autocast("cpu", torch.bfloat16):
        passed = model(pcm, lengths, noise)
    exact = model(pcm, lengths, noise)
    pcm = model.pad(pcm)
    scored = log_likelihood(passed.output, pcm, lengths)
    assert scored.dtype == torch.float32
    # bfloat16 keeps 8 bits: some hundredths of a nat a sample, of either sign.
    torch.testing.assert_close(scored, log_likelihood(exact.output, pcm, lengths), rtol=0.02, atol=0)
    for x, y in zip(passed.layers, exact.layers, strict=True):
        distributions = (x.z, x.prior.mean, x.prior.log_precision, x.posterior.mean, x.posterior.log_precision)
        assert all(v.dtype == torch.float32 for v in distributions)
        torch.testing.assert_close(x.z, y.z, rtol=0.1, atol=0.1)
    scored.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@EVERY
def test_evaluation_in_chunks_is_evaluation_in_one_pass(name) -> None:
    model = miniature.model(name)
    recordings = [miniature.take("long", 1_777), miniature.take("short", 301)]
    whole = evaluate(model, recordings, seed=2)
    assert (whole.samples, whole.utterances, len(whole.kl)) == (2_078, 2, len(model.latents))
    coarsest = model.coarsest_stride
    for size in sorted({max(coarsest, 160), 2 * coarsest + 401, 1_776}):
        ours = evaluate(model, recordings, seed=2, most_samples=size)
        assert (ours.samples, ours.utterances, ours.steps, ours.density) == (
            whole.samples, whole.utterances, whole.steps, whole.density,
        )  # fmt: skip
        # Products of other shapes add in another order, 1e-7 each, and the sums run over 2,078 samples.
        assert ours.reconstruction == pytest.approx(whole.reconstruction, rel=1e-6)
        assert ours.pcm_reconstruction == pytest.approx(whole.pcm_reconstruction, rel=1e-6)
        for x, y in zip(ours.kl, whole.kl, strict=True):
            assert x.tolist() == pytest.approx(y.tolist(), rel=1e-5)  # single dimensions: less to average over


@EVERY
@torch.no_grad()
def test_given_the_latents_a_stack_sees_only_what_was_before_it(name) -> None:
    model = miniature.model(name).double()
    stride, coarsest = model.stride, model.coarsest_stride
    samples = max(2 * coarsest, 8 * stride)
    pcm, lengths = miniature.batch([samples])
    at = samples // 2 // stride * stride
    other = pcm.clone()
    other[0, at:] = -other[0, at:] - 500
    encoded = model.encode(pcm, lengths)
    noise = noise_for(model, samples, 1)
    layers = model.infer(encoded, noise)
    encoded_of_other = model.encode(other, lengths)
    same = steered(model, encoded_of_other, noise, lambda l, _: layers[l].z)
    for x, y in zip(same, layers, strict=True):
        torch.testing.assert_close(x.z, y.z, rtol=1e-9, atol=1e-9)  # steering rounds a little at every step
        step = at * len(y.z) // samples
        torch.testing.assert_close(x.prior.mean[: step + 1], y.prior.mean[: step + 1], rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(
            x.prior.log_precision[: step + 1], y.prior.log_precision[: step + 1], rtol=1e-8, atol=1e-8
        )
    ours, wanted = (
        model.decode(e, l, lengths)[0].parameters[0] for e, l in ((encoded_of_other, same), (encoded, layers))
    )
    torch.testing.assert_close(ours[: at + stride], wanted[: at + stride], rtol=1e-8, atol=1e-8)
    unchanged = torch.allclose(ours[at + stride :], wanted[at + stride :], rtol=1e-8, atol=1e-8)
    assert unchanged != model.decoder_sees_audio
    unchanged = all(
        torch.allclose(x.prior.mean, y.prior.mean, rtol=1e-6, atol=1e-6) for x, y in zip(same, layers, strict=True)
    )
    assert unchanged != model.prior_sees_audio


@EVERY
@torch.no_grad()
def test_generation_draws_from_what_the_model_says_of_the_drawn(name, monkeypatch) -> None:
    """A sample's waveform and latents, given back to the model, lead to the distributions it was drawn from."""
    model = miniature.model(name).double()
    samples = max(2 * model.coarsest_stride, 8 * model.stride)
    drawn_from: list[torch.Tensor] = []
    draws: list[tuple[torch.Tensor, ...]] = []
    sample, noise = Output.sample, model.noise

    def watched_sample(output: Output, generator: torch.Generator) -> torch.Tensor:
        drawn_from.append(output.parameters)
        return sample(output, generator)

    def watched_noise(*args) -> tuple[torch.Tensor, ...]:
        draws.append(noise(*args))
        return draws[-1]

    monkeypatch.setattr(Output, "sample", watched_sample)
    monkeypatch.setattr(model, "noise", watched_noise)
    waveform = model.sample(samples, 2, torch.Generator().manual_seed(3))
    pcm, lengths = to_pcm(waveform), torch.tensor([samples, samples])
    encoded = model.encode(pcm, lengths)
    drawn = draws[0] if draws else ()  # a deterministic model draws none
    layers = steered(model, encoded, drawn, lambda l, t: model.prior_draw(t.prior, drawn[l]))
    parameters = model.decode(encoded, layers, lengths)[0].parameters
    # Double precision, through the rounding of steering at every step.
    torch.testing.assert_close(torch.cat(drawn_from, 1)[:, :samples], parameters, rtol=1e-7, atol=1e-7)


@EVERY
@torch.no_grad()
def test_a_layer_that_is_not_inferred_follows_its_prior(name) -> None:
    model = miniature.model(name)
    pcm, lengths = miniature.batch([700])
    pcm = model.pad(pcm)
    noise = noise_for(model, 700, 1)
    own = model(pcm, lengths, noise)
    assert len(model.posterior_modules) == len(model.latents)
    for layer in range(len(model.latents)):
        other = model.without_inference(layer)
        passed = other(pcm, lengths, noise)
        kl = [k.sum().item() for k in layer_kl(passed.layers, model.strides, lengths)]
        assert kl[layer] == 0
        assert all(k > 0 for l, k in enumerate(kl) if l != layer)
        assert not torch.equal(passed.layers[layer].z, own.layers[layer].z)
        pieces = list(chunks(other, pcm, lengths, noise, max(300, model.coarsest_stride)))
        parameters = torch.cat([piece.output.parameters for piece in pieces], 1)
        # Single precision in other shapes, grown a little by the recurrence.
        torch.testing.assert_close(parameters[:, :700], passed.output.parameters[:, :700], rtol=1e-4, atol=1e-4)
        again = model(pcm, lengths, noise)  # the model itself is left alone
        assert all(torch.equal(x.z, y.z) for x, y in zip(again.layers, own.layers, strict=True))


@EVERY
@torch.no_grad()
def test_given_latents_have_the_consequences_that_inferred_ones_have(name) -> None:
    model = miniature.model(name).double()
    samples = max(2 * model.coarsest_stride, 8 * model.stride)
    pcm, lengths = miniature.batch([samples])
    encoded, noise = model.encode(pcm, lengths), noise_for(model, samples, 1)
    own = model.infer(encoded, noise)
    for l, layer in enumerate(own):
        z = 1.1 * layer.z + 0.1
        given = model.with_latents(l, z[:, 0]).infer(encoded, noise)
        noises = list(noise)
        for _ in range(len(z)):  # each round settles one more step
            wanted = model.infer(encoded, noises)
            noises[l] = (z - wanted[l].posterior.mean) / wanted[l].posterior.std
        torch.testing.assert_close(given[l].z, z, rtol=1e-9, atol=1e-9)
        for x, y in zip(given, model.infer(encoded, noises), strict=True):
            # Steering rounds a little at every step.
            for a, b in zip(flat(x)[:4], flat(y)[:4], strict=True):
                torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-7)
    again = model.infer(encoded, noise)  # the model itself is left alone
    assert all(torch.equal(x.z, y.z) for x, y in zip(again, own, strict=True))


def test_noise_is_standard_normal_lowest_layer_first() -> None:
    model = miniature.model("cwvae-2")
    low, high = model.noise(200_000, 2, torch.Generator().manual_seed(0))
    assert low.shape == (3128, 2, 6)
    assert high.shape == (391, 2, 4)
    assert abs(low.mean().item()) < 0.02  # 37,536 draws: four standard errors
    assert abs(low.std().item() - 1) < 0.02
