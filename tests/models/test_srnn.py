"""The SRNN against an oracle written from its equations, and what may depend on what."""

import itertools
from typing import Any

import pytest
import torch

from lvm_probe import InputError
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.families.srnn import SRNN, SRNNConfig
from lvm_probe.models.layers.gru import reverse
from lvm_probe.models.likelihood.elbo import evaluate, layer_kl, log_likelihood
from lvm_probe.models.likelihood.mulaw import to_pcm
from lvm_probe.models.model import ForwardPass
from lvm_probe.models.registry import config_from_dict, config_to_dict
from lvm_probe.models.trajectory import Trajectory
from tests import reference_models as reference
from tests.models.equations import far_from_start
from tests.models.miniature import batch, take
from tests.models.test_family import steered

STRIDE, LATENT, HIDDEN = 16, 5, 10
KINDS = [
    {"posterior": "direct"},
    {"posterior": "residual"},
    {"posterior": "product"},
    {"smoothing": False},
    {"smoothing": False, "posterior": "residual"},
]


def name(kind: dict[str, Any]) -> str:
    return "-".join(str(value) for value in kind.values())


def config(**changes: Any) -> SRNNConfig:
    shape = {"stride": STRIDE, "width": 12, "latent": LATENT, "hidden": HIDDEN, "output": Waveform(components=3)}
    return SRNNConfig(**(shape | changes))


def make(**changes: Any) -> SRNN:
    return far_from_start(SRNN.seeded(config(**changes), 0), 0.2)


def noise_for(model: SRNN, samples: int, rows: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
    return model.noise(samples, rows, torch.Generator().manual_seed(seed), torch.float64)


def flat(t: Trajectory) -> tuple[torch.Tensor, ...]:
    return t.h, t.z, t.prior.mean, t.prior.log_precision, t.posterior.mean, t.posterior.log_precision


class Oracle:
    """One utterance by the equations of Fraccaro et al. (2016), unit by unit on lists of numbers."""

    def __init__(self, model: SRNN) -> None:
        self.config = model.config
        self.w = {name: parameter.tolist() for name, parameter in model.named_parameters()}

    def linear(self, name: str, x: reference.Row) -> list[float]:
        return reference.affine(self.w[f"{name}.weight"], self.w.get(f"{name}.bias"), x)

    def perceptron(self, name: str, x: reference.Row) -> list[float]:
        for layer in itertools.count():
            if f"{name}.layers.{layer}.weight" not in self.w:
                return list(x)
            x = reference.relu(self.linear(f"{name}.layers.{layer}", x))
        raise AssertionError

    def gru(self, name: str, x: reference.Row, h: reference.Row) -> list[float]:
        """Torch keeps reset, update, candidate."""
        from_x = reference.affine(self.w[f"{name}.weight_ih_l0"], self.w[f"{name}.bias_ih_l0"], x)
        from_h = reference.affine(self.w[f"{name}.weight_hh_l0"], self.w[f"{name}.bias_hh_l0"], h)
        n = len(h)
        return reference.gru([*from_x[2 * n :], *from_x[: 2 * n]], from_h, h)

    def distribution(self, of: str, hidden: str, from_z: str, z: reference.Row, x: reference.Row) -> Any:
        units = [a + b for a, b in zip(self.linear(from_z, z), self.linear(hidden, x), strict=True)]
        return reference.head(self.linear(of, reference.relu(units)))

    def run(self, pcm: list[int], noise: list[list[float]]) -> dict[str, Any]:
        """All results of a pass over an utterance, with its log likelihood and KL."""
        c = self.config
        frames = []
        for start in range(0, len(pcm), c.stride):
            frame = pcm[start : start + c.stride]
            frame = frame + [0] * (c.stride - len(frame))
            x = [v / 32_768 for v in frame]
            companded = [(reference.mulaw(v), 2 * reference.mulaw(v, 255), 10 * v) for v in x]
            frames.append(self.perceptron("frames", [value for three in companded for value in three]))
        time = len(frames)
        states, d = [], [0.0] * c.hidden
        for t in range(time):
            d = self.gru("states", frames[t - 1] if t > 0 else [0.0] * c.width, d)
            states.append(d)
        summaries: list[list[float]] = [[]] * time
        a = [0.0] * c.hidden
        for t in reversed(range(time)):
            if c.smoothing:
                a = self.gru("summary", frames[t] + states[t], a)
            else:
                a = reference.relu(self.linear("summary.0", frames[t] + states[t]))
                a = reference.relu(self.linear("summary.2", a))
            summaries[t] = a
        out: dict[str, Any] = {"h": states, "z": [], "prior": [], "posterior": [], "parameters": []}
        out |= {"waveform": [], "kl": 0.0, "log_likelihood": 0.0}
        z = [0.0] * c.latent
        for t in range(time):
            prior = self.distribution("chain.prior", "chain.state_to_prior", "chain.z_to_prior", z, states[t])
            mean, std = self.distribution(
                "chain.evidence", "chain.encoder_to_evidence", "chain.z_to_evidence", z, summaries[t]
            )
            if c.posterior == "residual":
                mean = [m + p for m, p in zip(mean, prior[0], strict=True)]
            elif c.posterior == "product":
                both = [reference.gaussian_product(*x) for x in zip(*prior, mean, std, strict=True)]
                mean, std = [m for m, _ in both], [s for _, s in both]
            z = [m + s * e for m, s, e in zip(mean, std, noise[t], strict=True)]
            out["z"].append(z)
            out["prior"].append(prior)
            out["posterior"].append((mean, std))
            out["kl"] += sum(reference.gaussian_kl(*x) for x in zip(mean, std, *prior, strict=True))
            y = self.perceptron("decoder", z + states[t])
            parameters = self.linear("decoder.head", y)
            aux = zip(self.linear("decoder.aux_features", y), self.linear("decoder.aux_latent", z), strict=True)
            out["waveform"] += [u + v for u, v in aux]
            size = 3 * c.output.components
            out["parameters"] += [parameters[i * size : (i + 1) * size] for i in range(c.stride)]
        for value, parameters in zip(pcm, out["parameters"], strict=False):
            out["log_likelihood"] += reference.mixture_log_mass(parameters, *reference.uniform_bin(value))
        return out


@pytest.mark.parametrize("kind", KINDS, ids=name)
def test_a_pass_agrees_with_the_equations(kind) -> None:
    model = make(**kind)
    lengths = [5 * STRIDE - 3, 2 * STRIDE + 1]
    pcm, sizes = batch(lengths)
    padded = model.pad(pcm)
    noise = noise_for(model, padded.shape[1], 2)
    passed = model(padded, sizes, noise)
    (layer,) = passed.layers
    assert passed.waveform is not None
    kl = layer_kl(passed.layers, model.strides, sizes)[0].sum((0, 2))
    likelihood = log_likelihood(passed.output, padded, sizes)
    oracle = Oracle(model)

    def close(ours: torch.Tensor, theirs: Any) -> None:
        torch.testing.assert_close(ours, torch.tensor(theirs, dtype=torch.float64), rtol=1e-9, atol=1e-10)

    for row, length in enumerate(lengths):
        slow = oracle.run(pcm[row, :length].tolist(), noise[0][:, row].tolist())
        time = len(slow["z"])
        assert time == reference.touched_steps(length, STRIDE)
        close(layer.h[:time, row], slow["h"])
        close(layer.z[:time, row], slow["z"])
        for ours, theirs in ((layer.prior, slow["prior"]), (layer.posterior, slow["posterior"])):
            close(ours.mean[:time, row], [mean for mean, _ in theirs])
            close(ours.std[:time, row], [std for _, std in theirs])
        close(passed.output.parameters[row, : time * STRIDE], slow["parameters"])
        close(passed.waveform[row, : time * STRIDE], slow["waveform"])
        close(kl[row], slow["kl"])
        close(likelihood[row], slow["log_likelihood"])


def changed_steps(model: SRNN, at: int) -> tuple[set[int], set[int]]:
    """The steps at which d and a differ if step `at` of nine has other audio."""
    pcm, lengths = batch([9 * STRIDE])
    other = pcm.clone()
    other[:, at * STRIDE : (at + 1) * STRIDE] += 500
    with torch.no_grad():
        pairs = zip(model.encode(pcm, lengths), model.encode(other, lengths), strict=True)
        first, second = ({t for t in range(9) if not torch.equal(x[t], y[t])} for x, y in pairs)
    return first, second


def test_smoothing_sees_the_whole_utterance_and_filtering_nothing_to_come() -> None:
    for at in (0, 4, 8):
        past, all_steps = set(range(at + 1, 9)), set(range(9))
        assert changed_steps(make(), at) == (past, all_steps)
        assert changed_steps(make(smoothing=False), at) == (past, past | {at})


@pytest.mark.parametrize("kind", [{}, {"smoothing": False}], ids=["smoothing", "filtering"])
def test_padding_and_other_rows_change_nothing(kind) -> None:
    model = make(**kind)
    lengths = [4 * STRIDE - 5, 7 * STRIDE, 1]
    pcm, sizes = batch(lengths, size=10 * STRIDE)
    noise = noise_for(model, pcm.shape[1], 3)
    together = model(pcm, sizes, noise)
    for row, length in enumerate(lengths):
        time = reference.touched_steps(length, STRIDE)
        own = model.pad(pcm[row : row + 1, :length])
        alone = model(own, sizes[row : row + 1], [n[:time, row : row + 1] for n in noise])
        for x, y in zip(flat(together.layers[0]), flat(alone.layers[0]), strict=True):
            torch.testing.assert_close(x[:time, row], y[:, 0], rtol=1e-12, atol=1e-12)
        parameters = together.output.parameters[row, : time * STRIDE]
        torch.testing.assert_close(parameters, alone.output.parameters[0], rtol=1e-12, atol=1e-12)


def test_not_even_loud_padding_leaks() -> None:
    model = make()
    pcm, lengths = batch([3 * STRIDE], size=6 * STRIDE)
    loud = pcm.clone()
    loud[:, 3 * STRIDE :] = 20_000
    with torch.no_grad():
        for x, y in zip(model.encode(pcm, lengths), model.encode(loud, lengths), strict=True):
            assert torch.equal(x[:3], y[:3])


def test_reversal_is_each_rows_own() -> None:
    x = torch.arange(5.0).reshape(5, 1, 1).repeat(1, 4, 2)
    valid = torch.tensor([5, 3, 1, 0])
    there = reverse(x, valid)
    assert there[:, :, 0].t().tolist() == [[4, 3, 2, 1, 0], [2, 1, 0, 3, 4], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]
    assert torch.equal(reverse(there, valid), x)


@pytest.mark.parametrize("kind", KINDS, ids=name)
def test_prior_and_decoder_see_no_more_than_they_may(kind) -> None:
    """With other audio from step 4 on and the same latents."""
    model = make(**kind)
    pcm, lengths = batch([9 * STRIDE])
    other = pcm.clone()
    other[:, 4 * STRIDE :] += 500
    noise = noise_for(model, pcm.shape[1], 1)
    with torch.no_grad():
        here = model(pcm, lengths, noise)
        (layer,) = here.layers
        encoded = model.encode(other, lengths)
        (there,) = steered(model, encoded, [layer.z], lambda l, _: layer.z)
        output, _ = model.decode(encoded, (there,), lengths)
    torch.testing.assert_close(there.z, layer.z, rtol=1e-9, atol=1e-9)
    for x, y in zip(flat(there)[2:4], flat(layer)[2:4], strict=True):
        torch.testing.assert_close(x[:5], y[:5], rtol=1e-9, atol=1e-9)
        assert not torch.allclose(x[5:], y[5:], rtol=1e-6)
    until = 5 * STRIDE
    torch.testing.assert_close(output.parameters[:, :until], here.output.parameters[:, :until], rtol=1e-9, atol=1e-9)
    assert not torch.allclose(output.parameters[:, until:], here.output.parameters[:, until:], rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS, ids=name)
def test_generation_conditions_as_inference_does(kind) -> None:
    model = make(**kind)
    samples, rows = 8 * STRIDE, 3
    seen: list[torch.Tensor] = []
    handle = model.decoder.register_forward_hook(lambda module, args, result: seen.append(args[0][0]))
    wave = model.sample(samples, rows, torch.Generator().manual_seed(5))
    handle.remove()
    z, d = torch.stack(seen).split((LATENT, HIDDEN), -1)
    assert wave.shape == (rows, samples)
    with torch.no_grad():
        pcm = to_pcm(wave)
        encoded = model.encode(pcm, torch.full((rows,), samples))
        (layer,) = steered(model, encoded, [z], lambda l, _: z)
    torch.testing.assert_close(encoded[0], d, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(layer.z, z, rtol=1e-8, atol=1e-8)
    # The generator's first draws are the noise of the latents.
    (noise,) = noise_for(model, samples, rows, seed=5)
    torch.testing.assert_close(layer.prior.mean + layer.prior.std * noise, z, rtol=1e-8, atol=1e-8)


def test_samples_depend_on_the_generator_alone_and_end_anywhere() -> None:
    model = SRNN.seeded(config(), 0)
    first, again, other = (model.sample(3 * STRIDE - 5, 2, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert first.shape == (2, 3 * STRIDE - 5)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.abs().max() <= 1


@pytest.mark.parametrize("kind", KINDS, ids=name)
def test_an_evaluation_in_chunks_is_one_pass(kind) -> None:
    model = SRNN.seeded(config(**kind), 0)
    takes = [take("a", 12 * STRIDE + 5), take("b", 20 * STRIDE - 1)]
    whole, parts = (evaluate(model, takes, most_samples=most) for most in (100 * STRIDE, 3 * STRIDE))
    assert parts.reconstruction == pytest.approx(whole.reconstruction, rel=1e-6)
    assert parts.pcm_reconstruction == pytest.approx(whole.pcm_reconstruction, rel=1e-6)
    assert parts.steps == whole.steps
    assert parts.kl[0].tolist() == pytest.approx(whole.kl[0].tolist(), rel=1e-4, abs=1e-4)


def test_one_encoding_serves_many_samples() -> None:
    model = make()
    pcm, lengths = batch([6 * STRIDE])
    noise = noise_for(model, pcm.shape[1], 4)
    encoded = model.encode(pcm, lengths)
    (shared,) = model.infer(encoded, noise)
    (own,) = model.infer([e.expand(-1, 4, -1) for e in encoded], noise)
    assert shared.h.shape == (6, 4, HIDDEN)
    for x, y in zip(flat(shared), flat(own), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS, ids=name)
def test_states_and_distributions_are_single_precision_under_autocast(kind) -> None:
    model = SRNN.seeded(config(**kind), 0)
    pcm, lengths = batch([6 * STRIDE, 4 * STRIDE])
    noise = model.noise(pcm.shape[1], 2, torch.Generator().manual_seed(0))
    exact: ForwardPass = model(pcm, lengths, noise)
    with torch.autocast("cpu", torch.bfloat16):
        encoded = model.encode(pcm, lengths)
        (layer,) = model.infer(encoded, noise)
        output, _ = model.decode(encoded, (layer,), lengths)
    assert encoded[0].dtype == torch.float32
    for x, y in zip(flat(layer), flat(exact.layers[0]), strict=True):
        assert x.dtype == torch.float32
        torch.testing.assert_close(x, y, rtol=0.05, atol=0.05)  # bfloat16 has eight bits
    likelihood = log_likelihood(output, pcm, lengths)
    assert likelihood.dtype == torch.float32
    torch.testing.assert_close(likelihood, log_likelihood(exact.output, pcm, lengths), rtol=0.01, atol=0)


@pytest.mark.parametrize("kind", KINDS, ids=name)
def test_every_parameter_is_trained(kind) -> None:
    model = SRNN.seeded(config(**kind), 0)
    pcm, lengths = batch([6 * STRIDE, 4 * STRIDE])
    passed = model(pcm, lengths, model.noise(pcm.shape[1], 2, torch.Generator().manual_seed(0)))
    kl = sum(k.sum() for k in layer_kl(passed.layers, model.strides, lengths))
    assert passed.waveform is not None
    (kl - log_likelihood(passed.output, pcm, lengths).sum() + passed.waveform.square().sum()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_the_paper_preset_is_the_papers() -> None:
    paper = SRNN.presets["paper"].config
    assert (paper.stride, paper.latent, paper.hidden, paper.smoothing) == (64, 256, 256, True)
    assert paper.inputs == ("mulaw16",)
    assert [SRNN.presets[f"paper-{s}"].config.stride for s in (1, 200, 256)] == [1, 200, 256]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"stride": 0}, "positive"),
        ({"inputs": []}, "inputs must be some of"),
        ({"colour": 3}, "colour"),
    ],
)
def test_a_bad_configuration_says_what_is_wrong(change, says) -> None:
    data = config_to_dict(config()) | change
    with pytest.raises(InputError, match=says):
        config_from_dict("srnn", data)
