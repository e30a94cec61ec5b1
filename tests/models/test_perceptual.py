"""Stage two: losses against definitions, discriminators that learn, and what becomes of the run and its checkpoint."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from lvm_probe import InputError
from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.models.likelihood.elbo import require_likelihood
from lvm_probe.models.registry import family, preset
from lvm_probe.models.training import discriminators as d
from lvm_probe.models.training.perceptual import Perception, PerceptualTrainer, begin_stage_two
from lvm_probe.models.training.recipe import TINY
from lvm_probe.models.training.trainer import LAST, Trainer
from tests.models import miniature

RECIPE = replace(TINY, updates=4, segment=2_048, validate_every=2)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def slow_spectrum(wave: np.ndarray, window: int) -> np.ndarray:
    padded = np.pad(wave, window // 2)
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    frames = [padded[t : t + window] * taper for t in range(0, len(wave) + 1, window // 4)]
    return np.clip(abs(np.fft.rfft(frames)), 1e-5, None)


def test_the_spectral_distance_is_convergence_plus_log_magnitude_error() -> None:
    ours, wanted = noise(1, 5_000).double(), noise(1, 5_000, seed=1).double()
    total = 0.0
    for window in (2048, 1024, 512):
        a, b = (slow_spectrum(w[0].numpy(), window) for w in (ours, wanted))
        total += np.sqrt(((b - a) ** 2).sum() / (b**2).sum()) + abs(np.log(b) - np.log(a)).mean()
    assert d.spectral_distance(ours, wanted).item() == pytest.approx(total / 3, rel=1e-9)
    assert d.spectral_distance(ours, ours).item() == 0


@pytest.mark.parametrize("period", [2, 3, 5, 7, 11])
def test_a_column_has_every_pth_sample(period) -> None:
    wave = torch.arange(1.0, 101).unsqueeze(0)
    columns = d.PeriodDiscriminator(period, 2).columns(wave)[0]
    for column in range(period):
        wanted = [float(v) for v in range(1 + column, 101, period)]
        assert columns[: len(wanted), column].tolist() == wanted


def test_losses_are_hinges_verdicts_and_feature_differences() -> None:
    real = [[torch.tensor([1.0, 5.0]), torch.tensor([2.0, 0.5])]]
    drawn = [[torch.tensor([2.0, 2.0]), torch.tensor([-3.0, 1.0])]]
    assert d.discriminator_loss(real, drawn).item() == pytest.approx((0 + 0.5) / 2 + (0 + 2) / 2)
    assert d.adversarial_loss(drawn).item() == 1
    assert d.feature_distance(real, drawn).item() == 2


def test_discriminators_learn_to_tell_a_tone_from_noise() -> None:
    torch.manual_seed(0)
    judges = d.Discriminators(4)
    assert len(judges(noise(1, 4_096))) == 3 + 5 + 3
    optimizer = torch.optim.Adam(judges.parameters(), 3e-3, betas=(0.5, 0.9))
    losses = []
    for step in range(20):
        tone = torch.sin(torch.arange(4_096) * 0.1 + noise(4, 1, seed=step))
        loss = d.discriminator_loss(judges(tone), judges(noise(4, 4_096, seed=step)))
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in judges.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def trainer(out: Path, **options: object) -> PerceptualTrainer:
    out.mkdir(exist_ok=True)
    model = begin_stage_two(family("wavevae").seeded(preset("wavevae", "tiny").config, 0))
    takes = [miniature.take("a", 9_000), miniature.take("b", 5_000)]
    return PerceptualTrainer(model, RECIPE, takes, takes, out, perception=Perception(channels=2), **options)


def test_stage_two_trains_the_decoder_alone_and_its_checkpoint_says_so(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    best = run.run(lambda progress: None)
    for name, value in run.model.state_dict().items():
        behind = name.split(".")[0] in ("expand", "decoder", "offset")
        assert torch.equal(value, before[name]) != behind, name
    loaded = checkpoint.load(best)
    assert loaded.model.config.stage == 2
    assert loaded.provenance["validation_spectral_distance"] == run.best
    assert set(loaded.model.state_dict()) == set(before)  # no discriminators
    with pytest.raises(InputError, match=r"m: has no likelihood: .*stage 2"):
        require_likelihood(loaded.model, "m")
    with pytest.raises(InputError, match="stage two already"):
        begin_stage_two(loaded.model)
    with pytest.raises(InputError, match="no such stage"):
        begin_stage_two(miniature.model("vrnn"))


def test_a_resumed_run_computes_the_same_numbers(tmp_path: Path) -> None:
    whole, begun = trainer(tmp_path / "whole"), trainer(tmp_path / "begun")
    whole.run(lambda progress: None)
    begun.step()
    begun.step()
    begun.save()
    resumed = trainer(tmp_path / "begun")
    resumed.resume()
    resumed.run(lambda progress: None)
    ours, _ = checkpoint.load_tensors(tmp_path / "begun" / LAST)
    wanted, _ = checkpoint.load_tensors(tmp_path / "whole" / LAST)
    assert any(name.startswith("judge.exp_avg.") for name in ours)
    assert all(torch.equal(ours[name], wanted[name]) for name in wanted if name != "window")


def test_a_plain_autoencoder_has_no_likelihood_and_no_samples() -> None:
    model = family("wavevae").seeded(miniature.wavevae(variational=False), 0)
    pcm, lengths = miniature.batch([200])
    (layer,) = model(pcm, lengths, model.noise(200, 1, torch.Generator())).layers
    assert (layer.kl() == 0).all()
    torch.testing.assert_close(layer.z, layer.posterior.mean)
    with pytest.raises(InputError, match="plain autoencoder"):
        require_likelihood(model, "m")
    with pytest.raises(InputError, match="no prior to sample from"):
        model.sample(100, 1, torch.Generator())


def test_a_run_keeps_audio_to_listen_to(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tmp_path.joinpath("run").mkdir()
    takes = [miniature.take("a", 9_000), miniature.take("b", 5_000)]
    model = family("wavevae").seeded(preset("wavevae", "tiny").config, 0)
    Trainer(model, replace(RECIPE, updates=2), takes, takes, tmp_path / "run").run(lambda progress: None)
    heard = {"recording": "recording", "reconstruction": "reconstruction-2", "sample": "sample-2"}
    events = EventAccumulator(str(tmp_path / "run"))
    events.Reload()
    for name, stem in heard.items():
        pcm, rate = soundfile.read(tmp_path / "run" / "audio" / f"{stem}.wav", dtype="int16")
        assert (rate, len(pcm)) == (16_000, 5_000)
        (shown,) = events.Audio(f"audio/{name}")
        assert (shown.step, shown.sample_rate, shown.length_frames) == (2, 16_000, 5_000)
        theirs, _ = soundfile.read(io.BytesIO(shown.encoded_audio_string), dtype="int16")
        assert abs(theirs.astype(int) - pcm).max() <= 1
    assert (soundfile.read(tmp_path / "run" / "audio" / "recording.wav", dtype="int16")[0] == takes[1].pcm).all()
