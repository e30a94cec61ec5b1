"""What only the Clockwork VAE has: strides that differ, and what each layer may see of the others."""

from dataclasses import replace

import pytest
import torch

from lvm_probe.models.families.cwvae import CWVAE
from tests.models import miniature
from tests.models.test_cwvae_cell import flat
from tests.models.test_family import noise_for

LAYERS = pytest.mark.parametrize("layers", [1, 2, 3])


@LAYERS
def test_every_layer_has_evidence_at_its_own_rate(layers) -> None:
    model = miniature.model(f"cwvae-{layers}")
    pcm, lengths = miniature.batch([1500, 700])
    encoded = model.encode(pcm, lengths)
    passed = model(pcm, lengths, noise_for(model, 1500, 2))
    top = model.strides[-1]
    assert len(encoded) == layers
    for layer, features, stride in zip(passed.layers, encoded, model.strides, strict=True):
        assert features.shape == (-(-1500 // top) * top // stride, 2, 12)
        assert layer.h.shape[-1] == 10


@LAYERS
def test_the_prior_sees_evidence_of_earlier_steps_only(layers) -> None:
    model = miniature.model(f"cwvae-{layers}")
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
def test_noise_moves_the_layers_below_at_once_and_its_own_from_the_next_step_on(layers) -> None:
    model = miniature.model(f"cwvae-{layers}")
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
    model = miniature.model(f"cwvae-{layers}")
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


@pytest.mark.parametrize("inputs", [("mulaw16",), ("linear", "mulaw8"), ("mulaw16", "mulaw8", "linear")])
def test_the_encoder_sees_the_compandings_it_was_given(inputs) -> None:
    model = CWVAE(replace(miniature.cwvae(1), inputs=inputs))
    pcm, lengths = miniature.batch([500])
    assert model.framing.mix.in_features == 16 * len(inputs)
    assert len(model.encode(pcm, lengths)) == 1
