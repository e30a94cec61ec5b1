"""Output distributions, all kinds: what they say of 16-bit audio against loops, and what they draw."""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from lvm_probe import InputError
from lvm_probe.models.domains.domain import Output, output_head
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.likelihood import mulaw
from tests import reference_models as reference
from tests.models.miniature import run_unchecked

KINDS = [
    Waveform(likelihood=likelihood, target=target, components=components, **more)
    for (likelihood, more), target, components in itertools.product(
        (("dmol", {}), ("gaussian", {"min_std": 0.05, "shift": 0.02, "scale": 0.3})),
        ("mulaw", "mulaw8", "linear"),
        (1, 3, 10),
    )
    if (likelihood, target) != ("gaussian", "mulaw8")
]


def named(config: Waveform) -> str:
    return f"{config.likelihood}-{config.target}-{config.components}"


EVERY = pytest.mark.parametrize("config", KINDS, ids=named)
PCM = torch.tensor([-32_768, -32_767, -9_000, -321, -1, 0, 1, 2, 77, 4_000, 20_000, 32_766, 32_767]).short()
ALL_PCM = torch.arange(-32_768, 32_768).short()


def parameters(config: Waveform, rows: int, samples: int, seed: int = 0) -> torch.Tensor:
    """Random numbers of the size of a network's, some log-scales of Gaussians under the floor."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randn(rows, samples, config.size, generator=generator, dtype=torch.float64)
    numbers[..., -config.components :] = 1.5 * numbers[..., -config.components :] - 2
    return numbers


def with_logits(config: Waveform, own: list[float]) -> list[float]:
    """The parameters of one sample with a logit for each component."""
    return [0.0, *own] if config.components == 1 else own


def on_target(config: Waveform, pcm: float) -> float:
    match config.target:
        case "mulaw":
            return reference.mulaw(pcm / 32_768)
        case "mulaw8":
            return reference.mulaw(pcm / 32_768, 255)
        case _:
            return pcm / 32_768


def slow_log_prob(config: Waveform, own: list[float], pcm: int) -> float:
    """The paper's figure: the mass of the uniform bin around the value, or the density of the normalised value.

    Of 8-bit codes, the mass of the code's bin.
    """
    if config.likelihood == "dmol" and config.target == "linear":
        return slow_log_mass(config, own, pcm)
    y = on_target(config, pcm)
    own = with_logits(config, own)
    if config.likelihood == "gaussian":
        return reference.gaussian_mixture_log_density(own, (y - config.shift) / config.scale, config.min_std)
    if config.target == "mulaw8":
        code = reference.mulaw8_code(pcm)
        edges = (-1e30 if code == 0 else (2 * code - 1) / 255 - 1), (1e30 if code == 255 else (2 * code + 1) / 255 - 1)
        return reference.mixture_log_mass_exactly(own, *edges, 400)
    half = 1 / 65_535
    lower, upper = (-1e30 if y <= -1 + half else y - half), (1e30 if y >= 1 - half else y + half)
    return reference.mixture_log_mass_exactly(own, lower, upper, 400)


def slow_log_mass(config: Waveform, own: list[float], pcm: int) -> float:
    """The mass between the midpoints to the neighbouring PCM values."""
    lower = -1e30 if pcm == -32_768 else on_target(config, pcm - 0.5)
    upper = 1e30 if pcm == 32_767 else on_target(config, pcm + 0.5)
    own = with_logits(config, own)
    if config.likelihood == "gaussian":
        lower, upper = ((edge - config.shift) / config.scale for edge in (lower, upper))
        return reference.gaussian_mixture_log_mass(own, lower, upper, config.min_std)
    return reference.mixture_log_mass_exactly(own, lower, upper, 400)


@EVERY
@pytest.mark.parametrize(
    ("ours", "slow"), [(Output.log_prob, slow_log_prob), (Output.log_mass, slow_log_mass)], ids=["log_prob", "log_mass"]
)
def test_likelihoods_agree_with_loops(
    config: Waveform,
    ours: Callable[[Output, torch.Tensor], torch.Tensor],
    slow: Callable[[Waveform, list[float], int], float],
) -> None:
    numbers = parameters(config, 2, len(PCM))
    said = ours(Output(config, numbers), PCM.expand(2, -1))
    assert said.shape == (2, len(PCM))
    for row in range(2):
        for t, pcm in enumerate(PCM.tolist()):
            wanted = slow(config, numbers[row, t].tolist(), pcm)
            # The narrowest cells are 3e-6 wide with edges rounded at 1e-16: ten digits remain. Simpson's rule has nine.
            assert said[row, t].item() == pytest.approx(wanted, rel=1e-8, abs=1e-8)


@EVERY
def test_the_probabilities_of_all_pcm_values_sum_to_one(config: Waveform) -> None:
    for seed in range(3):
        one = parameters(config, 1, 1, seed).expand(1, 65_536, -1)
        # 65,536 roundings of 1e-16 each, of cells whose edges are rounded alike: what one loses its neighbour has.
        assert Output(config, one).log_mass(ALL_PCM[None]).exp().sum().item() == pytest.approx(1, abs=1e-9)


@EVERY
def test_likelihoods_pass_gradcheck(config: Waveform) -> None:
    numbers = parameters(config, 1, 4, seed=3).requires_grad_()
    pcm = PCM[[2, 5, 8, 10]][None]
    assert torch.autograd.gradcheck(lambda p: Output(config, p).log_prob(pcm), (numbers,), atol=1e-4)


@pytest.mark.parametrize("config", [c for c in KINDS if not c.is_eight_bit()], ids=named)
def test_samples_follow_the_probabilities(config: Waveform) -> None:
    one = parameters(config, 1, 1, seed=5)
    n = 20_000
    waveform = Output(config, one.expand(4, n // 4, -1)).sample(torch.Generator().manual_seed(6))
    assert waveform.shape == (4, n // 4)
    assert (waveform.abs() <= 1).all()
    draws = waveform.flatten().sort().values * 32_768
    below = Output(config, one.expand(1, 65_536, -1)).log_mass(ALL_PCM[None])[0].exp().cumsum(0)
    share = torch.searchsorted(draws, ALL_PCM.double() + 0.5, right=True) / n
    # Kolmogorov and Smirnov's 0.1 % point for n draws; at the last value, which takes all that is clipped, both are 1.
    assert (share - below)[:-1].abs().max() < 1.95 / math.sqrt(n)


@pytest.mark.parametrize("config", [c for c in KINDS if c.is_eight_bit()], ids=named)
def test_the_masses_of_the_256_codes_sum_to_one_and_samples_are_codes_drawn_by_them(config: Waveform) -> None:
    one = parameters(config, 1, 1, seed=5)
    amplitudes = mulaw.decode(torch.linspace(-1, 1, 256, dtype=torch.float64), 255)
    masses = Output(config, one.expand(1, 256, -1)).log_prob(mulaw.to_pcm(amplitudes)[None])[0].exp()
    assert masses.sum().item() == pytest.approx(1, abs=1e-12)
    n = 20_000
    waveform = Output(config, one.expand(1, n, -1)).sample(torch.Generator().manual_seed(6))[0]
    codes = torch.tensor([reference.mulaw8_code(x) for x in mulaw.to_pcm(waveform).tolist()])
    torch.testing.assert_close(waveform, amplitudes[codes], rtol=1e-12, atol=1e-15)
    shares = codes.bincount(minlength=256) / n
    # Kolmogorov and Smirnov's 0.1 % point for n draws, which are nearer where the distribution is discrete.
    assert (shares.cumsum(0) - masses.cumsum(0)).abs().max() < 1.95 / math.sqrt(n)


@EVERY
def test_samples_repeat_by_generator(config: Waveform) -> None:
    output = Output(config, parameters(config, 3, 50).float())
    first, again, other = (output.sample(torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@EVERY
def test_half_precision_parameters_are_scored_in_single(config: Waveform) -> None:
    numbers = parameters(config, 1, len(PCM)).bfloat16()
    half, single = (Output(config, n).log_prob(PCM[None]) for n in (numbers, numbers.float()))
    assert half.dtype == torch.float32
    assert torch.equal(half, single)


@EVERY
def test_a_head_starts_spread_over_the_range_within_reach_of_any_sample(config: Waveform) -> None:
    torch.manual_seed(0)
    head = output_head(5, 7, config)
    assert head.out_features == 7 * config.size
    start = head(torch.zeros(1, 5)).view(1, 7, config.size)
    k = config.components
    assert torch.equal(start[0, 0], start[0, 6])
    if k > 1:
        assert (start[0, 0, :k] == 0).all()
        assert start[0, 0, k : 2 * k].tolist() == pytest.approx([-0.8 + 1.6 * i / (k - 1) for i in range(k)], abs=1e-6)
    pcm = PCM[None, :7]
    assert (Output(config, start).log_prob(pcm) > -60).all()  # nine deviations of the widest at most


def test_a_gaussian_is_normalised_by_shift_and_scale() -> None:
    plain = Waveform(likelihood="gaussian", components=1, target="linear", min_std=0.05)
    shifted = replace(plain, shift=0.25, scale=0.5)
    numbers = parameters(plain, 1, len(PCM))
    moved = numbers.clone()  # the same distribution of audio, in the other's unit
    moved[..., 0] = 0.25 + 0.5 * numbers[..., 0]
    moved[..., 1] = numbers[..., 1].clamp(min=math.log(0.05)) + math.log(0.5)
    pcm = PCM[None]
    ours, other = Output(shifted, numbers), Output(replace(plain, min_std=0.025), moved)
    # A density per unit that is twice as long, and the same probability.
    torch.testing.assert_close(ours.log_prob(pcm), other.log_prob(pcm) + math.log(0.5), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ours.log_mass(pcm), other.log_mass(pcm), rtol=1e-9, atol=1e-9)
    draws = [o.sample(torch.Generator().manual_seed(0)) for o in (ours, other)]
    torch.testing.assert_close(*draws, rtol=1e-12, atol=1e-12)


def test_one_component_needs_no_logit() -> None:
    assert Waveform(components=1).size == 2
    assert Waveform(components=2).size == 6
    assert Waveform(likelihood="gaussian", components=10).size == 30


def test_only_gaussians_are_densities() -> None:
    assert Waveform(likelihood="gaussian").is_density()
    assert not Waveform().is_density()


def test_the_code_length_of_noise_is_no_less_than_its_entropy() -> None:
    noise = torch.randint(-32_768, 32_768, (1, 4_000), generator=torch.Generator().manual_seed(0)).short()
    for config in KINDS:
        bits = -Output(config, parameters(config, 1, 1).expand(1, 4_000, -1)).log_mass(noise).mean() / math.log(2)
        assert bits > 15.9  # sixteen, less the luck of 4,000 draws


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"shift": 0.1}, "leave shift 0 and scale 1"),
        ({"scale": 2.0}, "leave shift 0 and scale 1"),
        ({"components": 0}, "components must be a positive whole number; got 0"),
        ({"components": -3}, "components must be a positive whole number"),
        ({"min_std": 0.0}, "min_std and scale must be positive"),
        ({"min_std": math.nan}, "min_std and scale must be positive"),
        ({"likelihood": "gaussian", "scale": 0.0}, "min_std and scale must be positive"),
        ({"likelihood": "gaussian", "scale": math.inf}, "min_std and scale must be positive"),
        ({"likelihood": "gaussian", "shift": math.nan}, "shift finite"),
        ({"likelihood": "gaussian", "target": "mulaw8"}, "256 codes, which have no density"),
    ],
)
def test_a_bad_configuration_says_what_is_wrong(change: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        replace(Waveform(), **change)


def test_unknown_distributions_and_wrong_types_are_input_errors_at_run_time() -> None:
    code = """
from lvm_probe import InputError
from lvm_probe.models.domains.waveform import Waveform
for bad in ({"likelihood": "laplace"}, {"target": "alaw"}, {"likelihood": []}, {"components": 2.5}):
    try:
        Waveform(**bad)
    except InputError as error:
        print(error)
"""
    assert run_unchecked(code).splitlines() == [
        "likelihood must be one of dmol, gaussian; got 'laplace'",
        "target must be one of mulaw, mulaw8, linear; got 'alaw'",
        "likelihood must be one of dmol, gaussian; got []",
        "components must be a positive whole number; got 2.5",
    ]


@EVERY
def test_the_centre_is_the_expectation_of_the_draws_on_the_targets_axis(config: Waveform) -> None:
    one = parameters(config, 1, 1, seed=8)
    one[..., -config.components :] = -4  # narrow, so that nothing is clipped
    locations = one[..., -2 * config.components : -config.components]
    locations.copy_(locations.tanh() / 2)
    n = 40_000
    drawn = Output(config, one.expand(1, n, -1)).sample(torch.Generator().manual_seed(9))
    values = torch.tensor([on_target(config, 32_768 * x) for x in drawn[0].tolist()])
    centre = on_target(config, 32_768 * config.centre(one).item())
    # Four standard errors of the mean, and draws of one in 1e5 that the sampler cuts.
    assert abs(values.mean().item() - centre) < 4 * values.std().item() / n**0.5 + 1e-4
