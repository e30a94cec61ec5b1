"""One latent for each token: the rule by which a token's audio becomes a segment, and what is made of it."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from lvm_probe import InputError
from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.models.families.wavevae import WaveVAE
from lvm_probe.models.registry import preset
from lvm_probe.probing.corpora import open_corpus
from lvm_probe.probing.corpora.corpus import Segment
from lvm_probe.probing.features import extraction, token_table
from lvm_probe.probing.features.extraction_settings import Settings
from lvm_probe.probing.features.sources import ModelSource
from lvm_probe.probing.features.token_latents import TokenLatentSource, checkpoint_source, source_of, token_segment
from tests.probing import miniature

CPU = torch.device("cpu")


def model() -> WaveVAE:
    found = WaveVAE.seeded(preset("wavevae", "tiny").config, 3).eval()
    torch.nn.init.normal_(found.posterior_flow.couplings[0].head.weight, std=0.3)
    return found


def pcm(samples: int = 9_000) -> np.ndarray:
    return np.random.default_rng(0).integers(-9_000, 9_000, samples).astype(np.int16)


@pytest.mark.parametrize(
    ("start", "end", "size"),
    [
        (100, 500, 1024),
        (100, 501, 1024),
        (0, 3, 64),
        (7, 8, 64),
        (50, 2_000, 1024),
        (50, 2_001, 1024),
        (10, 1_034, 1024),
    ],
)
def test_a_token_is_centred_faded_and_padded_or_cut_to_its_middle(start, end, size) -> None:
    audio = pcm()
    ours = token_segment(audio, Segment("", start, end), size, 16_000)
    n = min(end - start, size)
    first, place, ramp = start + (end - start - n) // 2, (size - n) // 2, min(80, n / 2)
    wanted = [0] * size
    for i in range(n):
        weight = math.sin(math.pi / 2 * min(1, (i + 0.5) / ramp, (n - i - 0.5) / ramp)) ** 2
        wanted[place + i] = round(weight * int(audio[first + i]))
    np.testing.assert_allclose(ours, wanted, atol=1)  # rounding of a half
    assert abs((size - n - place) - place) <= 1  # in the middle
    assert abs((end - first - n) - (first - start)) <= 1  # of the middle
    outside = audio.copy()
    outside[:start], outside[end:] = 0, 0  # what is not the token's own does not matter
    assert np.array_equal(token_segment(outside, Segment("", start, end), size, 16_000), ours)


@torch.no_grad()
def test_z_is_the_posterior_of_each_tokens_segment_by_itself() -> None:
    one, audio = model(), pcm()
    segments = [Segment("", 100 * i, 100 * i + 40 * (i + 1)) for i in range(37)]
    source = TokenLatentSource(one, Settings(also=("states", "halves")))
    found = source.pooled("u", audio, segments)
    assert {name: values.shape[1] for name, values in found.items()} == source.sizes
    for i, segment in enumerate(segments):
        wave = torch.from_numpy(token_segment(audio, segment, 1024, 16_000)).unsqueeze(0)
        encoded = one.encode(wave, torch.tensor([1024]))
        mean, log_precision = one.recognition.head(encoded[0][0, 0]).chunk(2)
        np.testing.assert_allclose(found["z"][i], mean, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found["z_var"][i], (-log_precision).exp(), rtol=1e-4)
        np.testing.assert_allclose(found["h"][i], one.to_decoder(mean), rtol=1e-4, atol=1e-5)
        halves = [Segment("", segment.start, (segment.start + segment.end) // 2)]
        halves.append(Segment("", halves[0].end, segment.end))
        wanted = np.concatenate([source.pooled("u", audio, [half])["z"][0] for half in halves])
        np.testing.assert_array_equal(found["z_halves"][i], wanted)


def test_a_token_has_the_same_latent_in_any_company() -> None:
    audio, source = pcm(), TokenLatentSource(model())
    segments = [Segment("", 150 * i, 150 * i + 300) for i in range(50)]
    together = source.pooled("u", audio, segments)["z"]
    for i in (0, 15, 16, 37, 49):
        np.testing.assert_array_equal(source.pooled("v", audio, segments[i : i + 1])["z"][0], together[i])
    np.testing.assert_array_equal(source.pooled("u", audio, segments[::-1])["z"][::-1], together)


def test_other_models_are_averaged_over_steps() -> None:
    assert type(source_of(model(), Settings())) is TokenLatentSource
    assert type(source_of(WaveVAE.seeded(preset("wavevae", "tiny-series").config, 0), Settings())) is ModelSource


def test_tables_have_z_and_its_variance_and_draws_are_refused(tmp_path: Path) -> None:
    corpus = open_corpus(miniature.timit_nltk(tmp_path / "timit"))
    checkpoint.save(tmp_path / "m.safetensors", model(), {})
    loaded = checkpoint.load(tmp_path / "m.safetensors")
    done = extraction.extract(loaded, corpus, tmp_path / "table", Settings(units=("phoneme", "word"), context_ms=20))
    assert {"z": 8, "z_var": 8, "z_before": 8, "mel": 80}.items() <= done.features.items()
    table = token_table.load(tmp_path / "table")
    assert table.extraction["layers"] == ["z"]
    assert table.extraction["token_segment"] == 1024
    assert (table.features["z_var"] > 0).all()
    source = checkpoint_source(loaded, Settings(), CPU, 1.0)
    utterance = corpus.utterances[0]
    tokens, segments = extraction.token_rows(utterance, ("phoneme",))
    found = extraction.features(source, utterance, segments, Settings())["z"]
    rows = [list(table.columns["token_id"]).index(token["token_id"]) for token in tokens]
    np.testing.assert_array_equal(table.features["z"][rows], found.astype(np.float32))
    with pytest.raises(InputError, match="nothing is drawn"):
        checkpoint_source(loaded, Settings(draws=100), CPU, 1.0)
    untrained = checkpoint_source(loaded, Settings(untrained=True, seed=1), CPU, 1.0)
    assert not torch.equal(untrained.model.recognition.head.weight, loaded.model.recognition.head.weight)
