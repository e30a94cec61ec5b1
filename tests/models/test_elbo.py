"""The ELBO and its evaluation against loops."""

import math

import numpy as np
import pytest
import torch

from lvm_probe import InputError
from lvm_probe.models.batches import batches_by_length, collate, sample_mask, step_counts, step_mask
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.families.vrnn import VRNN
from lvm_probe.models.layers.blocks import mask
from lvm_probe.models.likelihood.elbo import Evaluation, elbo, evaluate
from lvm_probe.models.noise import batch_noise, utterance_seed
from tests import reference_models as reference
from tests.models import miniature

LAYERS = pytest.mark.parametrize("layers", [1, 2, 3])


@pytest.mark.parametrize("stride", [1, 8, 64])
def test_masks_count_steps_that_touch_the_utterance(stride) -> None:
    lengths = [1, 7, 8, 9, 64, 65, 200]
    size = -(-200 // stride)
    wanted = [[float(t < reference.touched_steps(n, stride)) for t in range(size)] for n in lengths]
    tensor = torch.tensor(lengths)
    assert step_counts(tensor, stride).tolist() == [reference.touched_steps(n, stride) for n in lengths]
    assert mask(tensor, stride, size)[..., 0].tolist() == wanted
    assert step_mask(tensor, stride, size)[..., 0].t().tolist() == wanted
    assert sample_mask(tensor, 200).sum(1).tolist() == lengths
    assert mask(torch.tensor([200, 200]), stride, size) is None


def slow_parts(model, pcm, lengths, noise, bins) -> tuple[list[float], list[list[list[float]]]]:
    """Reconstruction per utterance, and KL per layer, utterance and dimension, by loops."""
    passed = model(model.pad(pcm), lengths, noise)
    reconstruction, kl = [], []
    for row, length in enumerate(lengths.tolist()):
        total = 0.0
        for t in range(length):
            total += reference.mixture_log_mass_exactly(
                passed.output.parameters[row, t].tolist(), *bins(pcm[row, t].item())
            )
        reconstruction.append(total)
    for layer, stride in zip(passed.layers, model.strides, strict=True):
        totals = []
        for row, length in enumerate(lengths.tolist()):
            each = [0.0] * layer.z.shape[-1]
            for t in range(reference.touched_steps(length, stride)):
                for i in range(len(each)):
                    q, p = (
                        (g.mean[t, row, i].item(), math.exp(-0.5 * g.log_precision[t, row, i].item()))
                        for g in (layer.posterior, layer.prior)
                    )
                    each[i] += reference.gaussian_kl(*q, *p)
            totals.append(each)
        kl.append(totals)
    return reconstruction, kl


@LAYERS
@torch.no_grad()
def test_parts_agree_with_loops_over_samples_steps_and_dimensions(layers) -> None:
    model = miniature.model(f"cwvae-{layers}").double()
    pcm, lengths = miniature.batch([150, 97])
    noise = model.noise(150, 2, torch.Generator().manual_seed(0), torch.float64)
    ours = elbo(model, pcm, lengths, noise)
    reconstruction, kl = slow_parts(model, pcm, lengths, noise, reference.uniform_bin)
    assert ours.reconstruction.tolist() == pytest.approx(reconstruction, rel=1e-10)
    for x, y in zip(ours.kl, kl, strict=True):
        assert x.tolist() == pytest.approx([sum(each) for each in y], rel=1e-10)


@LAYERS
@torch.no_grad()
def test_evaluation_is_equation_11_over_unequal_recordings(layers) -> None:
    model = miniature.model(f"cwvae-{layers}")
    recordings = [miniature.take("a", 130), miniature.take("b", 61), miniature.take("c", 200)]
    ours = evaluate(model, recordings, seed=3)
    frames, nats, coded_nats, steps_taken = 0, 0.0, 0.0, [0] * layers
    kl_of_each = [[0.0] * z for z in model.latents]
    double = miniature.model(f"cwvae-{layers}").double()
    for one in recordings:
        pcm, lengths = collate([one], Waveform())
        noise = [n.double() for n in batch_noise(model, [one], one.samples, 3)]
        reconstruction, kl = slow_parts(double, pcm, lengths, noise, reference.uniform_bin)
        coded, _ = slow_parts(double, pcm, lengths, noise, reference.pcm_bin)
        whole = sum(sum(k[0]) for k in kl)
        nats, coded_nats = nats + whole - reconstruction[0], coded_nats + whole - coded[0]
        kl_of_each = [[a + b for a, b in zip(x, k[0], strict=True)] for x, k in zip(kl_of_each, kl, strict=True)]
        counted = [reference.touched_steps(one.samples, stride) for stride in model.strides]
        steps_taken = [a + b for a, b in zip(steps_taken, counted, strict=True)]
        frames += one.samples
    assert (ours.samples, ours.utterances) == (frames, 3) == (391, 3)
    assert ours.steps == tuple(steps_taken)
    assert not ours.density
    # Single precision: 391 samples of the likelihood, and KLs that are small differences.
    assert ours.elbo == pytest.approx(-nats, rel=1e-4)
    assert ours.bits_per_frame == pytest.approx(nats / frames / math.log(2), rel=1e-4)
    assert ours.pcm_bits_per_frame == pytest.approx(coded_nats / frames / math.log(2), rel=1e-3)
    assert ours.nats_per_utterance == pytest.approx(-nats / 3, rel=1e-4)
    names = [f"z{l + 1}" for l in range(layers)]
    assert list(ours.kl_bits_per_frame) == list(ours.kl_nats_per_step) == list(ours.active_units) == names
    for name, kl, slow, steps_of_layer in zip(names, ours.kl, kl_of_each, steps_taken, strict=True):
        assert kl.tolist() == pytest.approx(slow, rel=1e-3)
        assert ours.kl_nats_per_step[name].tolist() == pytest.approx([k / steps_of_layer for k in slow], rel=1e-3)
        assert ours.kl_bits_per_frame[name] == pytest.approx(sum(slow) / frames / math.log(2), rel=1e-3)
        assert ours.active_units[name] == sum(k / steps_of_layer >= 0.01 for k in slow)


def test_bits_per_frame_is_no_mean_of_means() -> None:
    one = Evaluation(100, 4, -500.0, -400.0, (np.array([7.0, 3.0]), np.array([5.0])), (10, 2))
    assert one.elbo == -515
    assert one.nats_per_utterance == -515 / 4
    assert one.bits_per_frame == pytest.approx(515 / 100 / math.log(2))
    assert one.pcm_bits_per_frame == pytest.approx(415 / 100 / math.log(2))
    assert one.kl_bits_per_frame == pytest.approx({"z1": 0.1 / math.log(2), "z2": 0.05 / math.log(2)})
    assert {name: kl.tolist() for name, kl in one.kl_nats_per_step.items()} == {"z1": [0.7, 0.3], "z2": [2.5]}


def test_units_are_active_from_a_hundredth_of_a_nat_a_step_and_layers_without_any_have_collapsed() -> None:
    kl = (np.array([10.0, 9.99, 0.0]), np.array([0.99, 0.5]), np.array([200.0]))
    one = Evaluation(64_000, 1, -1.0, -1.0, kl, (1_000, 100, 10))
    assert one.active_units == {"z1": 1, "z2": 0, "z3": 1}
    assert one.collapsed == ("z2",)


def test_a_likelihood_without_latents_is_exact() -> None:
    one = Evaluation(100, 2, -500.0, -400.0, (), ())
    assert (one.elbo, one.nats_per_utterance) == (-500, -250)
    assert one.pcm_bits_per_frame == pytest.approx(4 / math.log(2))
    assert one.kl_bits_per_frame == one.kl_nats_per_step == one.active_units == {}
    assert one.collapsed == ()


def test_a_layer_that_is_not_inferred_has_collapsed() -> None:
    model = miniature.model("cwvae-2")
    assert evaluate(model, [miniature.take("a", 2_000)]).collapsed == ()
    result = evaluate(model.without_inference(1), [miniature.take("a", 2_000)])
    assert result.collapsed == ("z2",)
    assert (result.kl[1] == 0).all()


@torch.no_grad()
def test_gaussians_are_densities_and_their_code_length_is_one_all_the_same() -> None:
    output = Waveform(likelihood="gaussian", components=2, target="linear", min_std=0.05, shift=0.01, scale=0.2)
    model = VRNN.seeded(miniature.vrnn(output=output), 0)
    takes = [miniature.take("a", 60), miniature.take("b", 33)]
    ours = evaluate(model, takes)
    assert ours.density
    density, mass = 0.0, 0.0
    for one in takes:
        pcm, lengths = collate([one], Waveform())
        passed = model(model.pad(pcm), lengths, batch_noise(model, [one], one.samples, 0))
        for t, value in enumerate(one.pcm.tolist()):
            own = passed.output.parameters[0, t].double().tolist()
            density += reference.gaussian_mixture_log_density(own, (value / 32_768 - 0.01) / 0.2, 0.05)
            lower, upper = ((edge - 0.01) / 0.2 for edge in reference.linear_bin(value))
            mass += reference.gaussian_mixture_log_mass(own, lower, upper, 0.05)
    assert ours.reconstruction == pytest.approx(density, rel=1e-5)  # single precision, 93 samples
    assert ours.pcm_reconstruction == pytest.approx(mass, rel=1e-5)


@LAYERS
def test_evaluation_depends_on_neither_order_nor_batches(layers) -> None:
    model = miniature.model(f"cwvae-{layers}")
    recordings = [miniature.take(f"r{i}", n) for i, n in enumerate((900, 300, 1024, 700, 1600, 300))]
    wanted = evaluate(model, recordings, most_samples=1)
    for shuffled, most in (
        (recordings, 1_000_000),
        (recordings[::-1], 2_500),
        (recordings[3:] + recordings[:3], 5_000),
    ):
        ours = evaluate(model, shuffled, most_samples=most)
        assert (ours.samples, ours.utterances) == (4824, 6)
        assert ours.reconstruction == pytest.approx(wanted.reconstruction, rel=2e-6)
        assert ours.pcm_reconstruction == pytest.approx(wanted.pcm_reconstruction, rel=2e-6)
        assert ours.steps == wanted.steps
        for x, y in zip(ours.kl, wanted.kl, strict=True):
            assert x.tolist() == pytest.approx(y.tolist(), rel=1e-5)  # smaller sums of differences
    assert evaluate(model, recordings, seed=1).reconstruction != wanted.reconstruction


def test_the_code_length_of_noise_is_no_less_than_its_entropy() -> None:
    model = miniature.model("cwvae-1")
    noise = torch.randint(-32_768, 32_768, (4_000,), generator=torch.Generator().manual_seed(0)).short().numpy()
    # Sixteen bits, less the luck of 4,000 draws.
    assert evaluate(model, [miniature.Take("noise", noise)]).pcm_bits_per_frame > 15.9


def test_batches_keep_similar_lengths_together_within_the_limit() -> None:
    recordings = [miniature.take(f"r{i}", n) for i, n in enumerate((10, 500, 20, 490, 30, 2_000))]
    batches = list(batches_by_length(recordings, 1_000))
    assert [[r.samples for r in b] for b in batches] == [[10, 20, 30], [490, 500], [2_000]]
    assert list(batches_by_length([], 10)) == []


def test_an_utterances_noise_is_its_own() -> None:
    model = miniature.model("cwvae-2")
    a, b, c = miniature.take("a", 900), miniature.take("b", 2_000), miniature.take("c", 10)
    alone = batch_noise(model, [a], 900, seed=5)
    company = batch_noise(model, [b, c, a], 2_000, seed=5)
    for x, y in zip(alone, company, strict=True):
        assert torch.equal(x[:, 0], y[: len(x), 2])
        assert (y[len(x) :, 2] == 0).all()
        assert not torch.equal(y[: len(x), 0], y[: len(x), 2])
    assert utterance_seed(5, "a") != utterance_seed(6, "a")
    assert utterance_seed(5, "a") == utterance_seed(5, "a")


def test_collate_pads_behind() -> None:
    a, b = miniature.take("a", 90), miniature.take("b", 200)
    pcm, lengths = collate([a, b], Waveform())
    assert lengths.tolist() == [90, 200]
    assert pcm.shape == (2, 200)
    assert pcm[0, :90].tolist() == a.pcm.tolist()
    assert (pcm[0, 90:] == 0).all()
    assert pcm[1].tolist() == b.pcm.tolist()


def test_nothing_to_evaluate_and_damaged_weights_are_input_errors() -> None:
    model = miniature.model("cwvae-1")
    with pytest.raises(InputError, match="no utterance"):
        evaluate(model, [])
    with torch.no_grad():
        model.head.bias[3] = math.nan
    with pytest.raises(InputError, match=r"likelihood of a, b is not finite"):
        evaluate(model, [miniature.take("a", 90), miniature.take("b", 100)])


def test_progress_counts_samples() -> None:
    seen: list[int] = []
    takes = [miniature.take("a", 30), miniature.take("b", 100)]
    evaluate(miniature.model("cwvae-1"), takes, most_samples=64, progress=seen.append)
    assert seen == [30, 64, 36]
