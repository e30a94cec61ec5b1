"""The STCN against an oracle written from its equations, and what its latents and its audio may depend on."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from lvm_probe import InputError
from lvm_probe.models.domains.domain import Output
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.families.stcn import STCN, STCNConfig
from lvm_probe.models.layers.tcn import GatedStack
from lvm_probe.models.likelihood.elbo import elbo, evaluate, layer_kl
from lvm_probe.models.likelihood.mulaw import to_pcm
from lvm_probe.models.registry import config_from_dict, config_to_dict
from lvm_probe.models.trajectory import Trajectory
from tests import reference_models as reference
from tests.models.equations import far_from_start
from tests.models.miniature import batch, take
from tests.models.test_cwvae_cell import flat
from tests.models.test_tcn import block_by_equations

STRIDE, LATENTS = 8, (5, 4, 3)
VARIANTS = pytest.mark.parametrize("dense", [False, True], ids=["stcn", "dense"])


def config(**changes: object) -> STCNConfig:
    shape = {"stride": STRIDE, "width": 9, "latents": LATENTS, "filters": 8, "blocks": 3, "output_blocks": 2}
    return STCNConfig(**(shape | {"output": Waveform(components=3)} | changes))


def make(**changes: object) -> STCN:
    return far_from_start(STCN(config(**changes)), 0.25)


def noise_for(model: STCN, samples: int, rows: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
    return model.noise(samples, rows, torch.Generator().manual_seed(seed), torch.float64)


def blocks_by_equations(stack: GatedStack, x: list[list[float]]) -> list[list[float]]:
    for block in stack.blocks:
        x, _ = block_by_equations(block, x)
    return x


def by_equations(
    model: STCN,
    pcm: list[int],
    noise: list[list[list[float]]],
    stack_by_equations: Callable[[Any, list[list[float]]], list[list[float]]] = blocks_by_equations,
) -> dict[str, Any]:
    """One utterance, step by step and unit by unit; latents lowest layer first."""
    c = model.config
    w = {name: parameter.tolist() for name, parameter in model.named_parameters()}

    def linear(name: str, x: reference.Row) -> list[float]:
        return reference.affine(w[f"{name}.weight"], w.get(f"{name}.bias"), x)

    x = []
    for start in range(0, len(pcm), c.stride):
        frame: list[float] = []
        for value in pcm[start : start + c.stride]:
            wave = value / 32_768
            frame += [reference.mulaw(wave), 2 * reference.mulaw(wave, 255), 10 * wave]
        for layer in range(c.depth):
            frame = reference.relu(linear(f"frames.layers.{layer}", frame))
        x.append(linear("first", frame))
    d = []
    for stack in model.stacks:
        x = stack_by_equations(stack, x)
        d.append(x)

    def distribution(name: str, state: list[float], above: list[float] | None) -> tuple[list[float], list[float]]:
        hidden = linear(f"{name}.state", state)
        if above is not None:
            hidden = [a + b for a, b in zip(hidden, linear(f"{name}.above", above), strict=True)]
        hidden = reference.relu(linear(f"{name}.hidden", reference.relu(hidden)))
        return reference.head(linear(f"{name}.head", hidden))

    levels = range(len(c.latents))
    out: dict[str, Any] = {key: [[] for _ in levels] for key in ("h", "z", "prior", "posterior", "kl")}
    for t in range(len(d[0])):
        above: list[float] | None = None
        for l in reversed(levels):
            before = d[l][t - 1] if t else [0.0] * len(d[l][0])
            prior = distribution(f"priors.{l}", before, above)
            likelihood = distribution(f"evidence.{l}", d[l][t], above)
            both = [reference.gaussian_product(*four) for four in zip(*prior, *likelihood, strict=True)]
            posterior = [m for m, _ in both], [s for _, s in both]
            above = [m + s * e for m, s, e in zip(*posterior, noise[l][t], strict=True)]
            out["h"][l].append(before)
            out["z"][l].append(above)
            out["prior"][l].append(prior)
            out["posterior"][l].append(posterior)
            out["kl"][l].append([reference.gaussian_kl(*four) for four in zip(*posterior, *prior, strict=True)])
    seen = [[v for z in zs for v in z] if c.dense else zs[0] for zs in zip(*out["z"], strict=True)]
    y = [linear("back_in", z) for z in seen]
    if c.pointwise:
        for layer in range(c.output_blocks):
            y = [reference.relu(linear(f"back.layers.{layer}", features)) for features in y]
    else:
        assert [block.dilation for block in model.back.blocks] == [1] * c.output_blocks
        y = blocks_by_equations(model.back, y)
    out["parameters"], out["waveform"] = [], []
    for features, z in zip(y, seen, strict=True):
        features = reference.relu(features)
        out["parameters"] += linear("head", features)
        pairs = zip(linear("aux_features", features), linear("aux_latent", z), strict=True)
        out["waveform"] += [a + b for a, b in pairs]
    return out


@pytest.mark.parametrize("changes", [{}, {"dense": True}, {"pointwise": True}], ids=["stcn", "dense", "pointwise"])
def test_a_pass_agrees_with_the_equations(changes) -> None:
    model = make(**changes)
    assert [[block.dilation for block in stack.blocks] for stack in model.stacks] == [[1, 2, 4]] * len(LATENTS)
    assert_agrees(model, blocks_by_equations)


@torch.no_grad()
def assert_agrees(model: STCN, stack_by_equations: Callable[[Any, list[list[float]]], list[list[float]]]) -> None:
    """A pass over two utterances is that of `by_equations`, and so is the bound."""
    pcm, lengths = batch([30 * STRIDE, 21 * STRIDE + 3])
    noise = noise_for(model, pcm.shape[1], 2)
    passed = model(pcm, lengths, noise)
    ours = elbo(model, pcm, lengths, noise)
    assert passed.waveform is not None
    for row in range(2):
        wanted = by_equations(model, pcm[row].tolist(), [n[:, row].tolist() for n in noise], stack_by_equations)

        def same(x: torch.Tensor, y: list) -> bool:
            torch.testing.assert_close(x, torch.tensor(y, dtype=torch.float64), rtol=1e-9, atol=1e-9)
            return True

        for l, layer in enumerate(passed.layers):
            assert same(layer.h[:, row], wanted["h"][l])
            assert same(layer.z[:, row], wanted["z"][l])
            for gaussian, parts in ((layer.prior, wanted["prior"][l]), (layer.posterior, wanted["posterior"][l])):
                assert same(gaussian.mean[:, row], [mean for mean, _ in parts])
                assert same(gaussian.std[:, row], [std for _, std in parts])
            steps = reference.touched_steps(int(lengths[row]), STRIDE)
            kl = sum(sum(step) for step in wanted["kl"][l][:steps])
            assert ours.kl[l][row].item() == pytest.approx(kl, rel=1e-9)
        assert same(passed.output.parameters[row].flatten(), wanted["parameters"])
        assert same(passed.waveform[row], wanted["waveform"])
        likelihood = sum(
            reference.mixture_log_mass(
                wanted["parameters"][9 * i : 9 * i + 9], *reference.uniform_bin(int(pcm[row, i]))
            )
            for i in range(int(lengths[row]))
        )
        assert ours.reconstruction[row].item() == pytest.approx(likelihood, rel=1e-9)


def differing(x: Trajectory, y: Trajectory, names: str) -> list[int]:
    """Steps at which any of these parts differ."""
    order = ("h", "z", "prior", "prior_log", "posterior", "posterior_log")
    parts = dict(zip(order, zip(flat(x), flat(y), strict=True), strict=True))
    both = [parts[name] for name in names.split()]
    return sorted({step for a, b in both for step in (a != b).flatten(1).any(1).nonzero().flatten().tolist()})


@VARIANTS
@torch.no_grad()
def test_priors_see_the_past_and_posteriors_the_present(dense) -> None:
    model = make(dense=dense)
    steps = 50
    pcm, lengths = batch([steps * STRIDE])
    noise = noise_for(model, pcm.shape[1], 1)
    before = model.infer(model.encode(pcm, lengths), noise)
    for sample in (0, 20 * STRIDE, 21 * STRIDE - 1):
        other, at = pcm.clone(), sample // STRIDE
        other[0, sample] += 9_000
        after = model.infer(model.encode(other, lengths), noise)
        top = len(LATENTS) - 1
        for l, (x, y) in enumerate(zip(before, after, strict=True)):
            field = 1 + 7 * (l + 1)  # dilations 1, 2, 4 in every layer up to this one
            states = differing(x, y, "h")
            assert (min(states), max(states)) == (at + 1, min(steps - 1, at + field))
            assert min(differing(x, y, "posterior posterior_log z")) == at
            # The topmost prior stands on the past alone, the others besides on the latents above, of this very step.
            assert min(differing(x, y, "prior prior_log")) == (at + 1 if l == top else at)
    assert model.receptive_field == 1 + 7 * len(LATENTS)
    assert model.encode_reach == (model.receptive_field * STRIDE, 0)


@VARIANTS
@torch.no_grad()
def test_given_the_latents_above_a_prior_does_not_see_the_present(dense) -> None:
    model = make(dense=dense)
    pcm, lengths = batch([20 * STRIDE])
    other = pcm.clone()
    other[0, 10 * STRIDE :] = -pcm[0, 10 * STRIDE :] - 700
    noise = noise_for(model, pcm.shape[1], 1)
    layers = model.infer(model.encode(pcm, lengths), noise)
    same = along(model, model.encode(other, lengths), [layer.z for layer in layers])
    for x, y in zip(layers, same, strict=True):
        torch.testing.assert_close(y.prior.mean[:11], x.prior.mean[:11], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(y.prior.log_precision[:11], x.prior.log_precision[:11], rtol=1e-9, atol=1e-9)
        assert not torch.allclose(y.prior.mean[11], x.prior.mean[11], rtol=1e-9, atol=1e-9)


def along(model: STCN, encoded: tuple[torch.Tensor, ...], z: list[torch.Tensor]) -> tuple[Trajectory, ...]:
    """The trajectories whose latents are the given ones: the noise is found one layer after the other, from above."""
    noise = [torch.zeros_like(x) for x in z]
    for l in reversed(range(len(z))):
        layer = model.infer(encoded, noise)[l]
        noise[l] = (z[l] - layer.posterior.mean) / layer.posterior.std
    return model.infer(encoded, noise)


@VARIANTS
@torch.no_grad()
def test_the_output_sees_the_latents_of_a_few_steps_back_and_none_ahead(dense) -> None:
    model = make(dense=dense)
    pcm, lengths = batch([20 * STRIDE])
    encoded = model.encode(pcm, lengths)
    layers = model.infer(encoded, noise_for(model, pcm.shape[1], 1))
    before = model.decode(encoded, layers, lengths)[0].parameters.unflatten(1, (-1, STRIDE))[0]
    for l, layer in enumerate(layers):
        z = layer.z.clone()
        z[9] += 1
        moved = Trajectory(layer.h, z, layer.prior, layer.posterior)
        after = model.decode(encoded, (*layers[:l], moved, *layers[l + 1 :]), lengths)[0]
        steps = (before != after.parameters.unflatten(1, (-1, STRIDE))[0]).flatten(1).any(1).nonzero().flatten()
        assert steps.tolist() == ([9, 10, 11] if dense or l == 0 else [])
    assert model.decode_reach == (2 * STRIDE, 0)


@VARIANTS
def test_generation_conditions_as_training_does(dense, monkeypatch) -> None:
    model, drawn_from, latents = make(dense=dense), [], []
    sample, seen = Output.sample, STCN._seen

    def watched(output: Output, generator: torch.Generator) -> torch.Tensor:
        drawn_from.append(output.parameters)
        return sample(output, generator)

    def watched_latents(self: STCN, z: list[torch.Tensor]) -> torch.Tensor:
        latents.append(list(z))
        return seen(self, z)

    monkeypatch.setattr(Output, "sample", watched)
    monkeypatch.setattr(STCN, "_seen", watched_latents)
    samples = 40 * STRIDE - 5
    waveform = model.sample(samples, 3, torch.Generator().manual_seed(0))
    assert waveform.shape == (3, samples)
    whole = model.sample(40 * STRIDE, 3, torch.Generator().manual_seed(0))
    assert torch.equal(whole[:, :samples], waveform)
    z = [torch.stack(layer) for layer in zip(*latents[-40:], strict=True)]
    pcm, lengths = to_pcm(whole), torch.full((3,), 40 * STRIDE)
    noise = noise_for(model, 40 * STRIDE, 3)
    with torch.no_grad():
        encoded = model.encode(pcm, lengths)
        layers = along(model, encoded, z)
        trained = model.decode(encoded, layers, lengths)[0].parameters
    torch.testing.assert_close(torch.cat(drawn_from[-40:], 1), trained, rtol=1e-8, atol=1e-8)
    for layer, eps in zip(layers, noise, strict=True):  # what was drawn, by the prior that training compares with
        torch.testing.assert_close(layer.z, layer.prior.mean + layer.prior.std * eps, rtol=1e-8, atol=1e-8)


@VARIANTS
def test_evaluation_in_chunks_is_evaluation_in_one_pass(dense) -> None:
    model = make(dense=dense).float()
    recordings = [take("a", 2_001), take("b", 300)]
    whole = evaluate(model, recordings, seed=3)
    assert whole.steps == (251 + 38,) * len(LATENTS)
    for size in (9 * STRIDE + 1, 999, 2_000):
        ours = evaluate(model, recordings, seed=3, most_samples=size)
        assert ours.reconstruction == pytest.approx(whole.reconstruction, rel=1e-6)
        for x, y in zip(ours.kl, whole.kl, strict=True):
            assert x.tolist() == pytest.approx(y.tolist(), rel=1e-5)


@VARIANTS
def test_every_parameter_gets_the_gradient_of_the_bound(dense) -> None:
    """Central differences of the ELBO in a random direction, of all parameters at once."""
    model = make(dense=dense)
    pcm, lengths = batch([25 * STRIDE])
    noise = noise_for(model, pcm.shape[1], 1)

    def bound() -> torch.Tensor:
        parts = elbo(model, pcm, lengths, noise)
        return parts.reconstruction.sum() - sum(kl.sum() for kl in parts.kl)

    bound().backward()
    generator = torch.Generator().manual_seed(3)
    used = [p for p in model.parameters() if p.grad is not None]
    assert [n for n, p in model.named_parameters() if p.grad is None] == [
        f"aux_{of}.{what}" for of in ("features", "latent") for what in ("weight", "bias")
    ]
    ways = [torch.randn(p.shape, generator=generator, dtype=torch.float64) for p in used]
    slope = sum(float((p.grad * way).sum()) for p, way in zip(used, ways, strict=True) if p.grad is not None)
    values, step = [], 1e-6
    for sign in (1, -2):
        with torch.no_grad():
            for p, way in zip(used, ways, strict=True):
                p.add_(way, alpha=sign * step)
            values.append(float(bound()))
    # A kink of a ReLU or a clamp within a step of 1e-6 is unlikely; the rest is the third derivative and rounding.
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(slope, rel=1e-4)


@torch.no_grad()
def test_what_depends_on_the_audio_alone_is_computed_once_for_many_samples() -> None:
    model = make()
    pcm, lengths = batch([10 * STRIDE])
    encoded = model.encode(pcm, lengths)
    assert all(e.shape == (10, 1, 8) for e in encoded)
    layers = model.infer(encoded, noise_for(model, pcm.shape[1], 4))
    for layer, latent in zip(layers, LATENTS, strict=True):
        assert layer.h.shape == (10, 4, 8)
        assert layer.z.shape == layer.prior.mean.shape == layer.posterior.mean.shape == (10, 4, latent)
    assert sum(float(kl.sum()) for kl in layer_kl(layers, model.strides, torch.tensor([80] * 4))) > 0


def test_the_papers_shape() -> None:
    for name in ("paper", "paper-dense", "paper-200", "paper-200-dense"):
        c = STCN.presets[name].config
        assert (c.latents, c.filters, c.blocks, c.output_blocks) == ((256, 128, 64, 32, 16), 256, 5, 5)
        assert c.dense == name.endswith("dense")
        assert c.stride == (200 if "200" in name else 64)
    assert STCN(STCN.presets["paper"].config).receptive_field == 1 + 5 * 31
    assert STCN.presets["paper-200-dense-large"].config.filters == 512


@pytest.mark.parametrize("name", ["handwriting", "handwriting-dense"])
def test_the_papers_shape_for_handwriting(name) -> None:
    preset = STCN.presets[name]
    c = preset.config
    assert (c.latents, c.filters, c.blocks, c.output_blocks, c.pointwise) == ((32, 16, 8, 5, 2), 256, 6, 5, True)
    assert (c.output.name, c.output.components, c.stride, c.dense) == ("strokes", 20, 3, name.endswith("dense"))
    assert preset.recipe.beta[2] * preset.recipe.updates == pytest.approx(10_000)
    with torch.device("meta"):
        model = STCN(c)
    assert (model.receptive_field, model.decode_reach) == (1 + 5 * 63, (0, 0))


@pytest.mark.parametrize(
    "change",
    [
        {"latents": []},
        {"latents": 4},
        {"latents": [4, 0]},
        {"latents": [4, 2.5]},
        {"filters": 0},
        {"blocks": 0},
        {"blocks": 21},
        {"output_blocks": 0},
        {"dense": 3},
        {"posterior_std": 0.0},
        {"posterior_std": "x"},
        {"stride": -8},
    ],
)
def test_a_bad_configuration_is_refused(change) -> None:
    with pytest.raises(InputError):
        config_from_dict("stcn", config_to_dict(config()) | change)
