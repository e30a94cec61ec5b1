"""The walk between two sounds, and its page."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lvm_probe import InputError
from lvm_probe.app.explorer.inputs import ExplorerInputs
from lvm_probe.app.explorer.sound_walk import walk
from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.models.families.cwvae import CWVAE
from lvm_probe.models.families.wavevae import WaveVAE
from lvm_probe.models.registry import preset
from lvm_probe.probing.corpora.corpus import Segment
from lvm_probe.probing.features.token_latents import TokenLatentSource
from tests.app.test_explorer_pages import infos, run


def model() -> WaveVAE:
    found = WaveVAE.seeded(preset("wavevae", "tiny").config, 3).eval()
    for flow in (found.posterior_flow, found.prior_flow):
        torch.nn.init.normal_(flow.couplings[0].head.weight, std=0.3)
    return found


def sounds() -> list[tuple[np.ndarray, Segment]]:
    pcm = (3000 * np.random.default_rng(0).standard_normal(6_000)).astype(np.int16)
    return [(pcm, Segment("a", 100, 900)), (pcm, Segment("b", 2_000, 5_000))]


@torch.no_grad()
def test_a_walk_begins_and_ends_at_the_sounds_and_its_middle_is_on_the_line() -> None:
    one, (first, last) = model(), sounds()
    source = TokenLatentSource(one)
    means = torch.from_numpy(source.pooled("u", first[0], [first[1], last[1]])["z"])
    z = one.to_decoder(means)
    w = one.to_base(z)
    middles = {"z": z.mean(0), "base": one.from_base(w.mean(0))}
    for line, middle in middles.items():
        waves = walk(one, first, last, line, 3)
        wanted = one.decode_latents(torch.stack([z[0], middle, z[1]]).unsqueeze(0)).parameters
        wanted = one.config.output.centre(wanted).numpy()
        assert waves.shape == (3, 1024)
        np.testing.assert_allclose(waves, wanted, rtol=1e-3, atol=1e-9)  # untrained, it is almost silent
    assert (middles["z"] - middles["base"]).abs().max() > 1e-4  # rounding is a hundred times smaller


def test_models_without_a_latent_for_a_sound_are_refused() -> None:
    for other in (
        CWVAE.seeded(preset("cwvae", "tiny").config, 0),
        WaveVAE.seeded(preset("wavevae", "tiny-series").config, 0),
    ):
        with pytest.raises(InputError, match="one latent for a whole sound"):
            walk(other, *sounds(), "z", 3)


def test_the_page_plays_the_walk_and_says_what_it_needs(latents: Path, small: Path, tiny: Path, tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "wave.safetensors", model(), {})
    test = run("walk", ExplorerInputs((latents,), small, str(tmp_path / "wave.safetensors")))
    assert not test.exception
    assert not test.info
    assert [box.label for box in test.selectbox] == [
        f"{side}: {what}" for side in ("From", "To") for what in ("speaker", "utterance", "sound")
    ]
    texts = " ".join(text.value for text in test.markdown).replace("\\", "")
    assert all(f"{share} %" in texts for share in (0, 25, 50, 75, 100))
    assert "All that is decoded is silent" in " ".join(text.value for text in test.caption)  # it is untrained
    assert "no latent for a whole sound" in infos(run("walk", ExplorerInputs((latents,), small, str(tiny))))
