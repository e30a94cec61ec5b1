"""Latents changed and left to their prior: what must follow from what, for every family with latents."""

import numpy as np
import pytest
import torch

from lvm_probe.app.explorer import reconstruction
from lvm_probe.models.families.cwvae import CWVAE
from lvm_probe.models.model import SpeechModel
from lvm_probe.models.registry import FAMILIES, preset
from lvm_probe.probing.corpora.corpus import Segment

MODELS = [family.seeded(preset(name, "tiny").config, 3).eval() for name, family in FAMILIES.items()]


@pytest.fixture(params=[model for model in MODELS if not model.deterministic], ids=lambda model: model.family)
def model(request: pytest.FixtureRequest) -> SpeechModel:
    model: SpeechModel = request.param
    return model


@pytest.fixture
def pcm() -> np.ndarray:
    """A tenth of a second that ends within a step of every layer."""
    return (3000 * np.random.default_rng(0).standard_normal(1700)).astype(np.int16)


def test_following_its_own_latents_changes_nothing(model: SpeechModel, pcm: np.ndarray) -> None:
    plain = reconstruction.reconstruct(model, "a", pcm, 0)
    assert plain.expectation.shape == plain.draw.shape == pcm.shape
    for layer, z in enumerate(plain.latents):
        again = reconstruction.reconstruct(model, "a", pcm, 0, given={layer: z})
        # single precision, summed in another order along the recurrence
        np.testing.assert_allclose(again.expectation, plain.expectation, atol=1e-5)
        for one, other in zip(again.latents, plain.latents, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_change_reaches_the_layers_below_and_never_those_above(model: SpeechModel, pcm: np.ndarray) -> None:
    plain = reconstruction.reconstruct(model, "a", pcm, 0)
    for layer, z in enumerate(plain.latents):
        changed = reconstruction.reconstruct(model, "a", pcm, 0, given={layer: z + 1})
        np.testing.assert_array_equal(changed.latents[layer], z + 1)
        if model.family == "swavenet":  # whose layers depend on those below them, not on those above
            assert np.abs(changed.expectation - plain.expectation).max() > 1e-6
            continue
        for above in range(layer + 1, len(plain.latents)):
            # the copy's weights lie elsewhere in memory, which may round products otherwise
            np.testing.assert_allclose(changed.latents[above], plain.latents[above], atol=1e-6)
        for below in range(layer):
            assert np.abs(changed.latents[below] - plain.latents[below]).max() > 1e-4
        assert np.abs(changed.expectation - plain.expectation).max() > 1e-6


def test_the_model_itself_stays_as_it_was(model: SpeechModel, pcm: np.ndarray) -> None:
    plain = reconstruction.reconstruct(model, "a", pcm, 0)
    reconstruction.reconstruct(model, "a", pcm, 0, given={0: plain.latents[0] * 0}, prior=[len(plain.latents) - 1])
    again = reconstruction.reconstruct(model, "a", pcm, 0)
    np.testing.assert_array_equal(again.draw, plain.draw)
    np.testing.assert_array_equal(reconstruction.reconstruct(model, "a", pcm, 0).latents[0], plain.latents[0])


def test_the_noise_depends_on_seed_and_name(model: SpeechModel, pcm: np.ndarray) -> None:
    one, *others = (
        reconstruction.reconstruct(model, name, pcm, seed).latents[0] for name, seed in (("a", 0), ("a", 1), ("b", 0))
    )
    for other in others:
        assert np.abs(one - other).max() > 1e-3


def test_a_cwvae_whose_layers_are_all_left_to_their_priors_hears_nothing(pcm: np.ndarray) -> None:
    model = CWVAE.seeded(preset("cwvae", "tiny").config, 3).eval()
    silence = np.zeros_like(pcm)
    one, other = (reconstruction.reconstruct(model, "a", sound, 0, prior=(0, 1)) for sound in (pcm, silence))
    np.testing.assert_array_equal(one.draw, other.draw)
    half, whole = (reconstruction.reconstruct(model, "a", sound, 0, prior=(0,)) for sound in (pcm, silence))
    assert np.abs(half.latents[1] - whole.latents[1]).max() > 1e-3  # z2 still listens


def test_latents_of_another_recording_are_cut_or_begin_again() -> None:
    z = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(reconstruction.repeated(z, 2), z[:2])
    np.testing.assert_array_equal(reconstruction.repeated(z, 7), z[[0, 1, 2, 0, 1, 2, 0]])


def test_cover_is_the_share_of_a_step_inside() -> None:
    segments = [Segment("a", 0, 5), Segment("a", 8, 20)]
    np.testing.assert_allclose(reconstruction.coverage(segments, 10, 3), [0.7, 1.0, 0.0])


def test_gradients_are_not_kept(pcm: np.ndarray) -> None:
    model = CWVAE.seeded(preset("cwvae", "tiny").config, 3)
    assert isinstance(reconstruction.reconstruct(model, "a", pcm, 0).expectation, np.ndarray)
    assert torch.is_grad_enabled()
