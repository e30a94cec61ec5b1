import math

import numpy as np
import pytest
import torch
from scipy import optimize
from scipy.stats import logistic

from lvm_probe import InputError
from lvm_probe.models.batches import pcm_histogram
from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.families.dmol import Unconditional, UnconditionalConfig, fit, fit_histogram
from lvm_probe.models.likelihood.elbo import evaluate
from lvm_probe.models.likelihood.mulaw import to_pcm
from lvm_probe.probing.corpora import open_corpus
from lvm_probe.probing.corpora.recordings import load_recordings
from tests import reference_models as reference
from tests.models.miniature import Take, take


def config(components: int = 2, target: str = "mulaw") -> UnconditionalConfig:
    return UnconditionalConfig(output=Waveform(components=components, target=target))


def with_parameters(parameters: list[float], of: UnconditionalConfig | None = None) -> Unconditional:
    model = Unconditional(of or config())
    with torch.no_grad():
        model.distribution.copy_(torch.tensor(parameters))
    return model


PLANTED = [0.5, -0.3, -0.5, 0.4, -2.5, -1.8]


def drawn(model: Unconditional, samples: int, seed: int = 0) -> Take:
    waveform = model.sample(samples, 1, torch.Generator().manual_seed(seed))
    return Take("drawn", to_pcm(waveform)[0].numpy())


def test_every_sample_has_the_one_distribution_and_nothing_is_copied() -> None:
    model = with_parameters(PLANTED)
    pcm, lengths = torch.zeros(3, 700, dtype=torch.int16), torch.tensor([700, 5, 100])
    encoded = model.encode(model.pad(pcm), lengths)
    assert [e.shape for e in encoded] == [(700, 3, 0)]
    assert model.infer(encoded, model.noise(700, 3, torch.Generator())) == ()
    output, waveform = model.decode(encoded, (), lengths)
    assert waveform is None
    assert output.parameters.shape == (3, 700, 6)
    assert output.parameters.untyped_storage().nbytes() == 6 * 4
    assert output.parameters[2, 99].tolist() == pytest.approx(PLANTED)
    assert model.deterministic
    assert model.coarsest_stride == 1


@pytest.mark.parametrize("most_samples", [1, 100, 1_000_000])
def test_evaluation_is_the_sum_over_samples_whatever_the_chunks(most_samples) -> None:
    model = with_parameters(PLANTED)
    recordings = [take("a", 90), take("b", 150)]
    ours = evaluate(model, recordings, most_samples=most_samples)
    parameters = model.distribution.tolist()
    values = np.concatenate([r.pcm for r in recordings]).tolist()
    wanted = sum(reference.mixture_log_mass(parameters, *reference.uniform_bin(v)) for v in values)
    coded = sum(reference.mixture_log_mass(parameters, *reference.pcm_bin(v)) for v in values)
    assert ours.reconstruction == pytest.approx(wanted, rel=1e-5)
    assert ours.pcm_reconstruction == pytest.approx(coded, rel=1e-5)
    assert (ours.kl, ours.steps, ours.samples) == ((), (), 240)


def test_samples_follow_the_distribution_and_the_generator() -> None:
    model = with_parameters(PLANTED)
    first, again, other = (model.sample(5_000, 4, torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert first.shape == (4, 5_000)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert float(first.abs().max()) <= 1
    y = np.sort([reference.mulaw(x) for x in first.flatten().tolist()])
    weight = reference.sigmoid(PLANTED[0] - PLANTED[1])
    parts = [logistic.cdf(y, PLANTED[i], math.exp(PLANTED[i + 2])) for i in (2, 3)]
    cdf = weight * parts[0] + (1 - weight) * parts[1]
    inside = np.abs(y) < 0.999  # what lies beyond the range is moved to its ends
    gap = np.abs(cdf - np.arange(0.5, len(y)) / len(y))[inside]
    assert gap.max() < 1.95 / math.sqrt(len(y))  # Kolmogorov and Smirnov, one draw in a thousand


def test_histogram_counts_every_value_in_its_place() -> None:
    seen: list[int] = []
    recordings = [Take("a", np.array([-32_768, -1, 0, 0], np.int16)), Take("b", np.array([32_767, 0], np.int16))]
    counts = pcm_histogram(recordings, seen.append)
    assert {int(i): int(counts[i]) for i in np.flatnonzero(counts)} == {0: 1, 32_767: 1, 32_768: 3, 65_535: 1}
    assert seen == [4, 2]


@pytest.mark.parametrize("components", [1, 2])
@pytest.mark.parametrize("target", ["mulaw", "linear"])
def test_a_planted_mixture_is_found_again(components, target) -> None:
    planted = PLANTED if components == 2 else [0.2, -2.0]
    source = with_parameters(planted, config(components, target))
    recording = drawn(source, 30_000)
    found = fit(config(components, target), [recording])
    assert found.distribution.dtype == torch.float32
    likely, planted_likely = (evaluate(m, [recording]).reconstruction for m in (found, source))
    # Maximum likelihood beats the truth by half a chi-square with a degree for each of the five free parameters.
    assert -0.5 < likely - planted_likely < 11
    if components == 2:
        order = found.distribution[2:4].argsort()
        assert found.distribution[2:4][order].tolist() == pytest.approx(planted[2:4], abs=0.03)
        assert found.distribution[4:6][order].tolist() == pytest.approx(planted[4:6], abs=0.08)


def nats(parameters: np.ndarray, values: np.ndarray, shares: np.ndarray, bins) -> float:
    """Mean negative log likelihood of two logistics with the textbook's distribution function."""
    weight = 1 / (1 + math.exp(min(50, max(-50, parameters[1] - parameters[0]))))
    lower, upper = np.array([bins(int(v)) for v in values]).T
    scales = np.exp(np.clip(parameters[4:], -7, 5))
    mass = [logistic.cdf(upper, m, s) - logistic.cdf(lower, m, s) for m, s in zip(parameters[2:4], scales, strict=True)]
    return float(-(shares * np.log(weight * mass[0] + (1 - weight) * mass[1] + 1e-300)).sum())


@pytest.mark.parametrize("seed", range(3))
def test_no_search_from_a_grid_of_starts_finds_better(seed) -> None:
    rng = np.random.default_rng(seed)
    values = np.unique(np.round(rng.normal(size=40) * 10.0 ** rng.uniform(1, 4, 40)).astype(np.int16))
    counts = np.zeros(65_536, np.int64)
    counts[values.astype(np.int64) + 32_768] = rng.integers(1, 50, len(values))
    shares = counts[counts > 0] / counts.sum()
    table = np.array([reference.uniform_bin(int(v)) for v in values])
    at = {int(v): tuple(edges) for v, edges in zip(values, table, strict=True)}

    def objective(p: np.ndarray) -> float:
        return nats(p, values, shares, at.__getitem__)

    grid = [
        np.array([0.0, 0.0, m1, m2, s1, s2])
        for m1 in (-0.6, -0.2, 0.2)
        for m2 in (0.0, 0.3, 0.6)
        for s1 in (-4.0, -1.5)
        for s2 in (-4.0, -1.5)
    ]
    starts = sorted(grid, key=objective)[:6]
    options = {"maxiter": 2_000, "xatol": 1e-5, "fatol": 1e-9}
    best = min(optimize.minimize(objective, start, method="Nelder-Mead", options=options).fun for start in starts)
    ours = fit_histogram(config(), counts).distribution.detach().double().numpy()
    assert objective(ours) <= best + 1e-4


def test_a_fit_has_no_randomness_and_depends_on_no_order() -> None:
    recordings = [take("a", 900), take("b", 400)]
    first, again = fit(config(), recordings), fit(config(), recordings[::-1])
    assert torch.equal(first.distribution, again.distribution)
    wider = evaluate(fit(config(4), recordings), recordings)
    assert wider.reconstruction >= evaluate(first, recordings).reconstruction


def test_silence_and_full_scale_can_be_fitted() -> None:
    for values in ([0], [-32_768, 32_767], [5]):
        recording = Take("flat", np.array(values * 100, np.int16))
        model = fit(config(), [recording])
        assert model.distribution.isfinite().all()
        assert evaluate(model, [recording]).bits_per_frame < 16


def test_the_papers_likelihood_is_what_is_fitted() -> None:
    # On silence it wants the narrowest logistic, where the code length is content once the cell of zero is filled.
    recording = Take("silence", np.zeros(100, np.int16))
    narrowest = -math.log2(math.tanh(math.exp(7) / 65_535 / 2))
    assert evaluate(fit(config(), [recording]), [recording]).bits_per_frame == pytest.approx(narrowest, abs=1e-3)


def test_a_fit_survives_its_checkpoint(tmp_path) -> None:
    model = fit(config(), [take("a", 500)])
    checkpoint.save(tmp_path / "m.safetensors", model, {})
    loaded = checkpoint.load(tmp_path / "m.safetensors").model
    assert isinstance(loaded, Unconditional)
    assert torch.equal(loaded.distribution, model.distribution)


def test_nothing_to_fit_and_gaussians_are_refused() -> None:
    with pytest.raises(InputError, match="no samples to fit"):
        fit(config(), [])
    with pytest.raises(InputError, match="mixture of logistics"):
        UnconditionalConfig(output=Waveform(likelihood="gaussian"))


def test_the_optimum_on_timit(timit_sample) -> None:
    recordings = load_recordings(open_corpus(timit_sample), 16_000).recordings
    result = evaluate(fit(Unconditional.presets["optimal"].config, recordings), recordings)
    assert result.bits_per_frame == pytest.approx(15.561, abs=1e-3)  # the paper, on the test set: 15.60
    assert result.pcm_bits_per_frame == pytest.approx(9.912, abs=2e-3)
