import math
from collections.abc import Sequence
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from lvm_probe import InputError
from lvm_probe.models.batches import collate
from lvm_probe.models.domains.domain import Output
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.families.dmol import Unconditional, UnconditionalConfig
from lvm_probe.models.likelihood.elbo import elbo, evaluate
from lvm_probe.models.likelihood.gaussian import Gaussian
from lvm_probe.models.likelihood.importance import importance_bound, log_weights
from lvm_probe.models.model import SpeechModel
from lvm_probe.models.noise import path_noise
from lvm_probe.models.trajectory import Trajectory
from tests import reference_models as reference
from tests.models import miniature
from tests.models.miniature import Take, take

NAMES = pytest.mark.parametrize("name", ["cwvae-2", "vrnn"])


def log_normal(x: float, mean: float, std: float) -> float:
    return -0.5 * math.log(2 * math.pi) - math.log(std) - 0.5 * ((x - mean) / std) ** 2


def slow_log_weight(model, recording, path: int, seed: int, bins) -> float:
    """One path on its own, by loops over samples, steps and dimensions."""
    pcm, lengths = collate([recording], Waveform())
    noise = path_noise(model, recording.name, recording.samples, range(path, path + 1), seed)
    passed = model(model.pad(pcm), lengths, noise)
    total = 0.0
    for t, value in enumerate(recording.pcm.tolist()):
        total += reference.mixture_log_mass_exactly(passed.output.parameters[0, t].tolist(), *bins(value))
    for layer, stride in zip(passed.layers, model.strides, strict=True):
        for t in range(reference.touched_steps(recording.samples, stride)):
            for i in range(layer.z.shape[-1]):
                z = layer.z[t, 0, i].item()
                p, q = (
                    log_normal(z, g.mean[t, 0, i].item(), math.exp(-0.5 * g.log_precision[t, 0, i].item()))
                    for g in (layer.prior, layer.posterior)
                )
                total += p - q
    return total


def log_mean_exp(weights: Sequence[float]) -> float:
    return max(weights) + math.log(sum(math.exp(w - max(weights)) for w in weights) / len(weights))


@NAMES
@torch.no_grad()
def test_the_bound_agrees_with_loops_over_paths_samples_steps_and_dimensions(name) -> None:
    model = miniature.model(name).double()
    recordings = [take("a", 97), take("b", 41)]
    ours = importance_bound(model, recordings, 3, seed=2)
    wanted, coded, means, effective = [], [], [], []
    for recording in recordings:
        paper = [slow_log_weight(model, recording, k, 2, reference.uniform_bin) for k in range(3)]
        pcm = [slow_log_weight(model, recording, k, 2, reference.pcm_bin) for k in range(3)]
        assert log_weights(model, recording, 3, seed=2).tolist() == [
            pytest.approx(paper, rel=1e-9),
            pytest.approx(pcm, rel=1e-9),
        ]
        wanted.append(log_mean_exp(paper))
        coded.append(log_mean_exp(pcm))
        means.append(sum(paper) / 3)
        shares = reference.softmax(paper)
        effective.append(1 / sum(share**2 for share in shares))
    assert ours.bound == pytest.approx(sum(wanted), rel=1e-9)
    assert ours.pcm_bound == pytest.approx(sum(coded), rel=1e-9)
    assert ours.elbo == pytest.approx(sum(means), rel=1e-9)
    assert (ours.samples, ours.utterances, ours.draws, ours.density) == (138, 2, 3, False)
    assert ours.bits_per_frame == pytest.approx(-sum(wanted) / 138 / math.log(2))
    assert ours.pcm_bits_per_frame == pytest.approx(-sum(coded) / 138 / math.log(2))
    assert ours.nats_per_utterance == pytest.approx(sum(wanted) / 2)
    assert ours.effective_draws == pytest.approx(sum(effective) / 2, rel=1e-7)
    assert 1 <= ours.effective_draws <= 3


@NAMES
def test_paths_are_the_same_however_they_are_grouped_and_cut(name) -> None:
    model = miniature.model(name).double()
    recording = take("a", 1_300)
    whole = log_weights(model, recording, 5, seed=1)
    for most_samples in (200, 2_600, 6_000):
        parts = log_weights(model, recording, 5, seed=1, most_samples=most_samples)
        torch.testing.assert_close(parts, whole, rtol=1e-10, atol=1e-8)
    torch.testing.assert_close(log_weights(model, recording, 2, seed=1), whole[:, :2], rtol=1e-10, atol=1e-8)
    assert len(set(whole[0].tolist())) == 5
    assert not torch.equal(log_weights(model, recording, 2, seed=2), whole[:, :2])
    single = log_weights(miniature.model(name), recording, 5, seed=1, most_samples=3_000)
    torch.testing.assert_close(single, whole, rtol=1e-4, atol=0.05)


@NAMES
@torch.no_grad()
def test_one_draw_is_the_elbo_in_expectation(name) -> None:
    model, paths = miniature.model(name).double(), 500
    recording = take("a", 150)
    weights = log_weights(model, recording, paths, seed=0)[0]
    pcm, lengths = (x.expand(paths, *x.shape[1:]) for x in collate([recording], Waveform()))
    closed = elbo(model, pcm, lengths, path_noise(model, recording.name, recording.samples, range(paths), 0))
    gaps = weights - (closed.reconstruction - sum(closed.kl))
    assert gaps.std() > 0.01  # the ratio is a sampled one
    assert abs(float(gaps.mean())) < 4 * float(gaps.std()) / math.sqrt(paths)
    one = importance_bound(model, [recording], 1, seed=0)
    assert one.bound == one.elbo == pytest.approx(float(weights[0]))
    assert one.effective_draws == 1


class Chain(SpeechModel):
    """Two layers of independent steps of one dimension, and Gaussian audio: log p(x) has a closed form.

    z¹, z² ~ N(0, 1) at strides 4 and 8;  x_t ~ N(0.1 + 0.2 z¹ + 0.1 z², 0.15²).  The posterior is a rough guess.
    """

    family = "chain"
    presets = {}  # noqa: RUF012
    weights, offset, std = (0.2, 0.1), 0.1, 0.15

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(output=Waveform("gaussian", 1, "linear", 0.01))
        self.stride, self.strides, self.latents = 4, (4, 8), (1, 1)
        self.encode_reach, self.decode_reach = (0, 0), (0, 0)
        self.nothing = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def encode(self, pcm, lengths):
        x = pcm.double() / 32_768
        return tuple(x.unflatten(1, (-1, s)).mean(-1).t().unsqueeze(-1) for s in self.strides)

    def infer(self, encoded, noise, before=()):
        layers = []
        for e, eps in zip(encoded, noise, strict=True):
            zero = torch.zeros_like(eps)
            posterior = Gaussian(zero + 2 * (e - self.offset), zero + 0.6)
            layers.append(Trajectory(zero, posterior.mean + posterior.std * eps, Gaussian(zero, zero), posterior))
        return tuple(layers)

    def decode(self, encoded, layers, lengths):
        mean = sum(
            w * layer.z[..., 0].t().repeat_interleave(s, 1)
            for w, s, layer in zip(self.weights, self.strides, layers, strict=True)
        )
        parameters = torch.stack((mean + self.offset, torch.full_like(mean, math.log(self.std))), -1)
        return Output(self.config.output, parameters), None

    def sample(self, samples, rows, generator):
        raise NotImplementedError

    def log_evidence(self, pcm: np.ndarray) -> float:
        steps = [np.arange(len(pcm)) // s for s in self.strides]
        shared = sum(w**2 * (t[:, None] == t) for w, t in zip(self.weights, steps, strict=True))
        covariance = self.std**2 * np.eye(len(pcm)) + shared
        return float(multivariate_normal.logpdf(pcm / 32_768, np.full(len(pcm), self.offset), covariance))


def whispered(name: str, samples: int) -> Take:
    rng = np.random.default_rng(samples)
    return Take(name, np.round(32_768 * (0.2 + 0.15 * rng.normal(size=samples))).astype(np.int16))


@pytest.mark.parametrize("samples", [3, 8, 9, 13])
@pytest.mark.parametrize("most_samples", [1_000_000, 8_000])
def test_many_draws_reach_the_exact_likelihood(samples, most_samples) -> None:
    model, paths = Chain(), 4_000
    recording = whispered("a", samples)
    exact = model.log_evidence(recording.pcm)
    paper, coded = log_weights(model, recording, paths, most_samples=most_samples)
    weights = torch.exp(paper - paper.max())
    error = float(weights.std() / weights.mean()) / math.sqrt(paths)
    ours = importance_bound(model, [recording], paths, most_samples=most_samples)
    assert error < 0.06
    assert abs(ours.bound - exact) < 4 * error  # neither short of it nor beyond
    # A bin of the PCM is so narrow beside the standard deviation that its mass is the density times its width.
    assert ours.pcm_bound == pytest.approx(ours.bound - samples * math.log(32_768), abs=1e-3)
    assert torch.allclose(coded, paper - samples * math.log(32_768), atol=1e-3)
    assert ours.density
    assert ours.elbo < exact - 0.05


def test_more_draws_tighten_the_bound_and_never_pass_the_likelihood() -> None:
    model = Chain()
    takes = [whispered(f"take {i}", 9) for i in range(80)]  # the same audio, with other noise
    exact = model.log_evidence(takes[0].pcm)
    bounds = [importance_bound(model, takes, k).nats_per_utterance for k in (1, 4, 16)]
    assert all(low < high for low, high in pairwise(bounds))
    assert bounds[-1] < exact + 0.02
    assert bounds[-1] - bounds[0] > 0.5 * (exact - bounds[0])


def test_a_deterministic_model_has_its_likelihood_whatever_the_draws() -> None:
    model = Unconditional(UnconditionalConfig())
    recordings = [take("a", 300), take("b", 120)]
    exact = evaluate(model, recordings)
    for most_samples in (100, 1_000_000):
        ours = importance_bound(model, recordings, 7, most_samples=most_samples)
        assert (ours.draws, ours.effective_draws) == (1, 1)
        assert ours.bound == ours.elbo == pytest.approx(exact.reconstruction, rel=1e-6)
        assert ours.pcm_bound == pytest.approx(exact.pcm_reconstruction, rel=1e-6)


def test_order_and_number_of_recordings_do_not_matter() -> None:
    model = miniature.model("vrnn").double()
    takes = [take("a", 90), take("b", 200), take("c", 40)]
    together = importance_bound(model, takes[::-1], 4)
    alone = [importance_bound(model, [one], 4) for one in takes]
    assert together.bound == pytest.approx(sum(one.bound for one in alone), rel=1e-12)
    assert together.effective_draws == pytest.approx(sum(one.effective_draws for one in alone) / 3)
    seen: list[int] = []
    importance_bound(model, takes, 2, progress=seen.append)
    assert seen == [90, 200, 40]


def test_bad_arguments_and_damaged_weights_are_input_errors() -> None:
    model = miniature.model("vrnn")
    with pytest.raises(InputError, match="no utterance"):
        importance_bound(model, [], 5)
    with pytest.raises(InputError, match="give 1 or more"):
        importance_bound(model, [take("a", 90)], 0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(math.nan)
    with pytest.raises(InputError, match="likelihood of a is not finite"):
        importance_bound(model, [take("a", 90)], 2)
