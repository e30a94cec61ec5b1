import csv
import math
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lvm_probe import InputError
from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.likelihood.elbo import elbo, evaluate
from lvm_probe.models.training import muon
from lvm_probe.models.training import trainer as trainer_module
from lvm_probe.models.training.csv_log import LOG
from lvm_probe.models.training.distributed import ProcessGroup
from lvm_probe.models.training.loss import learning_rate, ramp_value, schedule_at, training_loss
from lvm_probe.models.training.recipe import TINY as SHIPPED_TINY
from lvm_probe.models.training.recipe import Recipe
from lvm_probe.models.training.segments import training_batch
from lvm_probe.models.training.trainer import LAST, Progress, Trainer
from tests import reference_models as reference
from tests.models import miniature

TINY = replace(SHIPPED_TINY, updates=12, segment=1024, validate_every=4, warm_up=3)
TRAIN = [miniature.take(f"t{i}", n) for i, n in enumerate((3000, 700, 2000))]
VALIDATION = [miniature.take("v0", 1500), miniature.take("v1", 600)]


@pytest.mark.parametrize("ramp", [(0.0, 1.0, 0.5), (4.0, 0.8, 0.25), (3.0, 0.0, 1.0), (2.0, 1.0, 0.0)])
def test_schedules_at_their_corners_and_between(ramp) -> None:
    for update in (0, 1, 24, 25, 26, 49, 50, 51, 99, 100, 1000):
        assert ramp_value(ramp, update, 100) == pytest.approx(reference.ramp(*ramp, update, 100))
    assert ramp_value(ramp, 0, 100) == (ramp[0] if ramp[2] else ramp[1])
    assert ramp_value(ramp, 100, 100) == pytest.approx(ramp[1])


def test_learning_rate_warms_up_and_falls_to_zero() -> None:
    recipe = replace(TINY, updates=110, warm_up=10, learning_rate=0.5, cosine=True)
    assert learning_rate(recipe, 0) == pytest.approx(0.05)
    assert learning_rate(recipe, 9) == learning_rate(recipe, 10) == 0.5
    assert learning_rate(recipe, 60) == pytest.approx(0.25)
    assert learning_rate(recipe, 110) == pytest.approx(0, abs=1e-12)
    plain = replace(recipe, cosine=False)
    assert learning_rate(plain, 5) == pytest.approx(0.3)
    assert learning_rate(plain, 10) == learning_rate(plain, 109) == 0.5
    assert learning_rate(replace(plain, warm_up=0), 0) == 0.5


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("update", [0, 5, 30])
@torch.no_grad()
def test_loss_agrees_with_loops(layers, scaled, update) -> None:
    model = miniature.model(f"cwvae-{layers}").double()
    rng = torch.Generator().manual_seed(1)
    for parameter in model.cells.parameters():
        # so that some dimensions cost more than others
        parameter += 0.3 * torch.randn(parameter.shape, generator=rng, dtype=parameter.dtype)
    recipe = replace(
        TINY,
        updates=20,
        beta=(0.1, 1.0, 0.5),
        free_nats=(30.0, 9.0, 1.0),
        upper_free_nats=0.5,
        auxiliary=(3.0, 0.0, 0.5),
        scale_free_nats=scaled,
    )
    pcm, lengths = miniature.batch([90, 41])
    pcm = model.pad(pcm)
    passed = model(pcm, lengths, model.noise(90, 2, torch.Generator().manual_seed(0), torch.float64))
    ours = training_loss(passed, model, pcm, lengths, recipe, schedule_at(recipe, update))
    beta, free, weight = (reference.ramp(*r, update, 20) for r in (recipe.beta, recipe.free_nats, recipe.auxiliary))
    total, reconstruction, frames, clamped, free_of_it = 0.0, 0.0, 0, 0, 0
    for row, length in enumerate((90, 41)):
        for t in range(length):
            value = int(pcm[row, t])
            log_p = reference.mixture_log_mass_exactly(
                passed.output.parameters[row, t].tolist(), *reference.uniform_bin(value)
            )
            error = passed.waveform[row, t].item() - 2 * reference.mulaw(value / 32_768, 255)
            reconstruction += log_p
            total += weight * error**2 - log_p
            frames += 1
        for l, (layer, stride, latent) in enumerate(zip(passed.layers, model.strides, model.latents, strict=True)):
            floor = free / latent * (stride / model.strides[0] if scaled else 1) * (0.5 if l else 1)
            for t in range(reference.touched_steps(length, stride)):
                for i in range(latent):
                    q, p = (
                        (g.mean[t, row, i].item(), math.exp(-0.5 * g.log_precision[t, row, i].item()))
                        for g in (layer.posterior, layer.prior)
                    )
                    kl = reference.gaussian_kl(*q, *p)
                    clamped += kl < floor
                    free_of_it += kl > floor
                    total += beta * max(kl, floor)
    assert clamped > 0
    assert free_of_it > 0 or update < 20
    assert ours.reconstruction.item() == pytest.approx(reconstruction, rel=1e-10)
    # The auxiliary target is companded in single precision.
    assert ours.total.item() == pytest.approx(total / frames, rel=1e-6)
    assert len(ours.kl) == layers


def test_the_floor_stops_the_gradient_of_kl_below_it() -> None:
    model = miniature.model("cwvae-2")
    recipe = replace(TINY, free_nats=(1e6, 1e6, 1.0), beta=(1.0, 1.0, 1.0), auxiliary=(0.0, 0.0, 0.0))
    pcm, lengths = miniature.batch([1024])
    passed = model(pcm, lengths, model.noise(1024, 1, torch.Generator().manual_seed(0)))
    training_loss(passed, model, pcm, lengths, recipe, schedule_at(recipe, 0)).total.backward()
    assert model.cells[1].prior.bias.grad.abs().max() > 0  # through z, from the reconstruction
    floored = [p.grad.clone() for p in model.cells.parameters()]
    model.zero_grad()
    passed = model(pcm, lengths, model.noise(1024, 1, torch.Generator().manual_seed(0)))
    unweighted = schedule_at(replace(recipe, beta=(0.0, 0.0, 1.0)), 0)
    training_loss(passed, model, pcm, lengths, recipe, unweighted).total.backward()
    assert all(torch.equal(x, p.grad) for x, p in zip(floored, model.cells.parameters(), strict=True))


def test_the_floor_under_a_flow_is_that_of_all_processes() -> None:
    model = miniature.model("wavevae-flows").double()
    pcm, lengths = miniature.batch([600, 250])
    noise = model.noise(600, 2, torch.Generator().manual_seed(0), torch.float64)
    groups = [ProcessGroup(), ProcessGroup(0, 2), ProcessGroup(1, 2)]
    batches = [(model.pad(g.rows(pcm)), g.rows(lengths), [g.rows(n, 1) for n in noise]) for g in groups]
    with torch.no_grad():
        kl = [elbo(model, *batch).kl[0].sum() / (-(-batch[1] // 64)).sum() for batch in batches]
    free = sum(kl[1:]) / 2  # nats per step, more than one process has and less than the other
    recipe = replace(TINY, beta=(1.0, 1.0, 1.0), free_nats=(free.item(),) * 3)

    def gradient(batch, summed) -> torch.Tensor:
        model.zero_grad()
        loss = training_loss(model(*batch), model, *batch[:2], recipe, schedule_at(recipe, 0), 850, summed)
        loss.total.backward()
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    seen: list[torch.Tensor] = []
    whole = gradient(batches[0], lambda part: seen.append(part) or part)
    assert (seen[0][0] < seen[0][1]) == (kl[0] < free)
    torch.testing.assert_close(sum(gradient(batch, lambda part: seen[0]) for batch in batches[1:]), whole)
    alone = sum(gradient(batch, lambda part: part) for batch in batches[1:])
    assert (alone - whole).abs().max() > 1e-3 * whole.abs().max()


def test_a_process_without_rows_learns_nothing(tmp_path) -> None:
    whole, group = replace(TINY, segment=0), ProcessGroup(rank=1, size=2)
    run = Trainer(miniature.model("vrnn"), whole, TRAIN[:1], VALIDATION, tmp_path, group=group)
    assert run.step() == 0
    assert not any(p.grad.any() for p in run.model.parameters() if p.grad is not None)


def test_segments_are_a_function_of_seed_and_update() -> None:
    first, again = (training_batch(TRAIN, Waveform(), TINY, 3, 5) for _ in range(2))
    assert all(torch.equal(x, y) for x, y in zip(first[:2], again[:2], strict=True))
    assert first[2] == again[2]
    assert not torch.equal(first[0], training_batch(TRAIN, Waveform(), TINY, 3, 6)[0])
    assert not torch.equal(first[0], training_batch(TRAIN, Waveform(), TINY, 4, 5)[0])


def test_segments_are_uniform_over_audio_and_short_recordings_are_padded() -> None:
    # Each sample says which recording it is of and where.
    takes = [
        miniature.Take("a", np.arange(6_000).astype(np.int16)),
        miniature.Take("b", np.arange(10_000, 12_000).astype(np.int16)),
    ]
    takes.append(miniature.Take("short", np.arange(20_000, 20_300).astype(np.int16)))
    recipe = replace(TINY, segment=500, batch=4)
    counts, starts = [0, 0, 0], []
    for update in range(1000):
        pcm, lengths, names = training_batch(takes, Waveform(), recipe, 0, update)
        assert pcm.shape == (4, 500)
        for row, length, name in zip(pcm.tolist(), lengths.tolist(), names, strict=True):
            which = row[0] // 10_000
            assert name == takes[which].name
            counts[which] += 1
            assert row[:length] == list(range(row[0], row[0] + length))
            assert length == (300 if which == 2 else 500)
            assert row[length:] == [0] * (500 - length)
            if which == 0:
                starts.append(row[0])
    shares = np.array([6_000, 2_000, 300]) / 8_300
    # Four standard errors of 4,000 draws; starts over [0, 5500] have a mean of 2750 and a deviation of 1588.
    assert (np.abs(np.array(counts) / 4000 - shares) < 4 * np.sqrt(shares * (1 - shares) / 4000)).all()
    assert abs(np.mean(starts) - 2750) < 4 * 1588 / math.sqrt(len(starts))
    assert min(starts) < 50
    assert 5450 < max(starts) <= 5500


def test_weights_change_how_often_a_recording_is_drawn(tmp_path) -> None:
    takes = [miniature.take("a", 2000), miniature.take("b", 1000)]
    recipe, weights = replace(TINY, segment=500, batch=4), np.array([1.0, 6.0])
    names = [name for update in range(500) for name in training_batch(takes, Waveform(), recipe, 0, update, weights)[2]]
    # b has a third of the audio and six times the weight: 6 / 8 of the draws, within four standard errors
    assert abs(names.count("b") / 2000 - 0.75) < 4 * math.sqrt(0.75 * 0.25 / 2000)
    whole = replace(TINY, segment=0)
    with pytest.raises(InputError, match="weights are for segments"):
        Trainer(miniature.model("cwvae-1"), whole, TRAIN, VALIDATION, tmp_path, weights=[1.0, 1.0, 1.0])


def test_a_segment_as_long_as_its_recording_is_the_recording() -> None:
    pcm, lengths, names = training_batch([miniature.take("a", 1024)], Waveform(), TINY, 0, 0)
    assert names == ["a", "a"]
    assert lengths.tolist() == [1024, 1024]
    assert pcm[0].tolist() == miniature.take("a", 1024).pcm.tolist()


def test_whole_recordings_come_in_batches_of_similar_length() -> None:
    takes = [miniature.take(f"r{i}", 100 * (i + 1)) for i in range(20)]
    recipe, seen, spreads = replace(TINY, segment=0, batch=4), set(), []
    for update in range(60):
        pcm, lengths, names = training_batch(takes, Waveform(), recipe, 0, update)
        assert len(set(lengths.tolist())) == 4
        assert names == [f"r{length // 100 - 1}" for length in lengths.tolist()]
        assert pcm.shape == (4, int(lengths.max()))
        seen |= set(lengths.tolist())
        spreads.append(int(lengths.max() - lengths.min()))
        own = takes[int(lengths[0]) // 100 - 1].pcm
        assert pcm[0, : lengths[0]].tolist() == own.tolist()
    assert len(seen) == 20
    assert np.mean(spreads) < 700  # random fours of 100 to 2000 spread over 1260
    assert training_batch(takes[:2], Waveform(), recipe, 0, 0)[0].shape[0] == 2


def trainer(out: Path, recipe: Recipe = TINY, seed: int = 0, layers: int = 2) -> Trainer:
    return Trainer(miniature.model(f"cwvae-{layers}"), recipe, TRAIN, VALIDATION, out, seed=seed, precision="fp32")


def rows(out: Path) -> list[dict[str, str]]:
    with (out / LOG).open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def weights(path: Path) -> dict[str, torch.Tensor]:
    return {k: v for k, v in checkpoint.load_tensors(path)[0].items() if not k.startswith("window")}


def same(ours: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> bool:
    return ours.keys() == wanted.keys() and all(torch.equal(ours[k], wanted[k]) for k in wanted)


def interrupt_at(update: int) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        if progress.update == update:
            raise KeyboardInterrupt

    return report


@pytest.fixture(autouse=True)
def log_often(monkeypatch) -> None:
    monkeypatch.setattr(trainer_module, "LOG_EVERY", 3)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer_module, "LOG_EVERY", 3)
        assert trainer(out).run(lambda progress: None) == out / "best.safetensors"
    return out


def test_a_run_leaves_its_log_events_and_checkpoints(uninterrupted) -> None:
    logged = rows(uninterrupted)
    assert [r["update"] for r in logged if r["bits_per_frame"]] == ["3", "6", "9", "12"]
    assert [r["update"] for r in logged if r["validation"]] == ["4", "8", "12"]
    assert list(logged[0]) == [
        "update",
        "bits_per_frame",
        "reconstruction",
        "kl_z1",
        "kl_z2",
        "learning_rate",
        "validation",
        "active_z1",
        "active_z2",
    ]
    for r in logged:
        if r["validation"]:
            assert 0 <= int(r["active_z1"]) <= 6
            assert 0 <= int(r["active_z2"]) <= 4
        if r["bits_per_frame"]:
            parts = float(r["reconstruction"]) + float(r["kl_z1"]) + float(r["kl_z2"])
            assert float(r["bits_per_frame"]) == pytest.approx(parts, rel=1e-4)
    assert len(list(uninterrupted.glob("events.out.tfevents.*"))) == 1
    assert (uninterrupted / LAST).is_file()
    assert not list(uninterrupted.glob(".*"))
    best = checkpoint.load(uninterrupted)
    assert best.provenance["updates"] == 12
    assert best.provenance["seed"] == 0


def test_the_best_checkpoint_is_the_one_that_validates_best(uninterrupted) -> None:
    validated = {int(r["update"]): float(r["validation"]) for r in rows(uninterrupted) if r["validation"]}
    best = checkpoint.load(uninterrupted)
    assert best.provenance["update"] == min(validated, key=validated.__getitem__)
    ours = evaluate(best.model, VALIDATION, seed=0).bits_per_frame
    assert ours == best.provenance["validation_bits_per_frame"]
    assert f"{ours:.6g}" == f"{min(validated.values()):.6g}"


def test_a_worse_validation_does_not_replace_the_best(tmp_path, monkeypatch) -> None:
    figures = iter([9.0, 7.0, 8.0])
    real = trainer_module.evaluate

    def scripted(*args, **kwargs):
        result = real(*args, **kwargs)
        return replace(
            result, reconstruction=-next(figures) * result.samples * math.log(2) + sum(k.sum() for k in result.kl)
        )

    monkeypatch.setattr(trainer_module, "evaluate", scripted)
    run = trainer(tmp_path)
    run.run(lambda progress: None)
    assert checkpoint.load(tmp_path).provenance["update"] == 8
    assert run.best == pytest.approx(7)


@pytest.mark.parametrize("at", [1, 3, 4, 7, 12])
def test_an_interrupted_run_resumes_with_the_same_numbers(tmp_path, uninterrupted, at) -> None:
    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path).run(interrupt_at(at))
    again = trainer(tmp_path)
    again.resume()
    assert again.update == at
    again.run(lambda progress: None)
    assert same(weights(tmp_path / LAST), weights(uninterrupted / LAST))
    assert rows(tmp_path) == rows(uninterrupted)
    assert same(weights(tmp_path / "best.safetensors"), weights(uninterrupted / "best.safetensors"))


@pytest.mark.parametrize("calls", [0, 2], ids=["first validation", "last validation"])
def test_an_interrupted_validation_is_repeated(tmp_path, uninterrupted, monkeypatch, calls) -> None:
    real, count = trainer_module.evaluate, 0

    def interrupted(*args, **kwargs):
        nonlocal count
        count += 1
        if count == calls + 1:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(trainer_module, "evaluate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            trainer(tmp_path).run(lambda progress: None)
    again = trainer(tmp_path)
    again.resume()
    again.run(lambda progress: None)
    assert rows(tmp_path) == rows(uninterrupted)
    assert same(weights(tmp_path / "best.safetensors"), weights(uninterrupted / "best.safetensors"))


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_in_the_middle_of_an_update_saves_a_whole_one(tmp_path, uninterrupted) -> None:
    run = trainer(tmp_path)
    step = run.optimizer.step

    def pressed(*args, **kwargs):
        step(*args, **kwargs)
        if run.update == 5:
            os.kill(os.getpid(), signal.SIGINT)

    run.optimizer.step = pressed
    with pytest.raises(KeyboardInterrupt):
        run.run(lambda progress: None)
    again = trainer(tmp_path)
    again.resume()
    assert again.update == 6
    again.run(lambda progress: None)
    assert same(weights(tmp_path / LAST), weights(uninterrupted / LAST))


def test_ctrl_c_before_the_first_update_is_over(tmp_path, uninterrupted, monkeypatch) -> None:
    def pressed(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trainer_module, "training_loss", pressed)
        with pytest.raises(KeyboardInterrupt):
            trainer(tmp_path).run(lambda progress: None)
    again = trainer(tmp_path)
    again.resume()
    again.run(lambda progress: None)
    assert same(weights(tmp_path / LAST), weights(uninterrupted / LAST))


def test_a_killed_run_resumes_from_its_last_validation(tmp_path, uninterrupted) -> None:
    def killed(progress: Progress) -> None:
        if progress.update == 7:
            raise SystemError  # nothing is saved

    with pytest.raises(SystemError):
        trainer(tmp_path).run(killed)
    again = trainer(tmp_path)
    again.resume()
    assert again.update == 4
    again.run(lambda progress: None)
    assert rows(tmp_path) == rows(uninterrupted)
    assert same(weights(tmp_path / LAST), weights(uninterrupted / LAST))


@pytest.mark.parametrize("change", [{"auxiliary": (0.0, 0.0, 0.5)}, {"optimizer": "muon"}])
def test_another_recipe_resumes_with_the_same_numbers(tmp_path, monkeypatch, change) -> None:
    monkeypatch.setattr(muon, "LEAST_SIDE", 4)  # the miniature's matrices are small
    recipe = replace(TINY, **change, updates=5)
    whole = trainer(tmp_path / "whole", recipe)
    whole.run(lambda progress: None)
    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path / "cut", recipe).run(interrupt_at(2))
    again = trainer(tmp_path / "cut", recipe)
    again.resume()
    again.run(lambda progress: None)
    assert same(weights(tmp_path / "cut" / LAST), weights(tmp_path / "whole" / LAST))


@pytest.mark.parametrize("name", ["vrnn", "lstm"])
def test_every_family_trains_and_resumes_after_an_interruption(tmp_path, name) -> None:
    recipe = replace(TINY, updates=5)

    def one(out: Path) -> Trainer:
        return Trainer(miniature.model(name), recipe, TRAIN, VALIDATION, out, precision="fp32")

    one(tmp_path / "whole").run(lambda progress: None)
    with pytest.raises(KeyboardInterrupt):
        one(tmp_path / "cut").run(interrupt_at(3))
    again = one(tmp_path / "cut")
    again.resume()
    again.run(lambda progress: None)
    assert same(weights(tmp_path / "cut" / LAST), weights(tmp_path / "whole" / LAST))
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")
    kl = [column for column in rows(tmp_path / "cut")[0] if column.startswith("kl_")]
    assert kl == (["kl_z1"] if name == "vrnn" else [])  # a model without latents has no KL


def test_dropout_trains_otherwise_resumes_exactly_and_is_not_in_the_checkpoint(tmp_path) -> None:
    recipe = replace(TINY, updates=5, dropout=0.5)

    def one(out: Path, recipe: Recipe = recipe) -> Trainer:
        return Trainer(miniature.model("lstm"), recipe, TRAIN, VALIDATION, out, precision="fp32")

    one(tmp_path / "whole").run(lambda progress: None)
    one(tmp_path / "without", replace(recipe, dropout=0.0)).run(lambda progress: None)
    with pytest.raises(KeyboardInterrupt):
        one(tmp_path / "cut").run(interrupt_at(3))
    again = one(tmp_path / "cut")
    again.resume()
    again.run(lambda progress: None)
    assert same(weights(tmp_path / "cut" / LAST), weights(tmp_path / "whole" / LAST))
    assert not same(weights(tmp_path / "without" / LAST), weights(tmp_path / "whole" / LAST))
    loaded = checkpoint.load(tmp_path / "whole").model.train()
    pcm = torch.from_numpy(TRAIN[0].read(0, 512))[None]
    once, twice = (loaded(pcm, torch.tensor([512]), ()) for _ in range(2))
    assert torch.equal(once.output.parameters, twice.output.parameters)


def test_dropout_is_refused_where_a_model_has_none(tmp_path) -> None:
    with pytest.raises(InputError, match="cwvae has no dropout"):
        trainer(tmp_path, replace(TINY, dropout=0.5))
    with pytest.raises(InputError, match="from 0 to below 1"):
        replace(TINY, dropout=1.0)


def test_a_gaussians_normalisation_is_that_of_the_training_audio() -> None:
    for target in ("mulaw", "linear"):
        config = Waveform(likelihood="gaussian", target=target, components=1)
        found = config.normalised(TRAIN)
        values = [int(x) / 32_768 for take in TRAIN for x in take.pcm]
        values = [reference.mulaw(x) for x in values] if target == "mulaw" else values
        mean = math.fsum(values) / len(values)
        assert found.shift == pytest.approx(mean, rel=1e-9, abs=1e-12)
        variance = math.fsum((x - mean) ** 2 for x in values) / len(values)
        assert found.scale == pytest.approx(math.sqrt(variance), rel=1e-9)
        assert replace(found, shift=0.0, scale=1.0) == config
    assert Waveform().normalised(TRAIN) == Waveform()
    with pytest.raises(InputError, match="constant"):
        config.normalised([miniature.Take("silence", np.zeros(100, dtype=np.int16))])


def test_a_finished_run_resumes_to_its_end(tmp_path, uninterrupted) -> None:
    shutil.copytree(uninterrupted, tmp_path, dirs_exist_ok=True)
    again = trainer(tmp_path)
    again.resume()
    reports: list[Progress] = []
    assert again.run(reports.append) == tmp_path / "best.safetensors"
    assert reports == []
    assert rows(tmp_path) == rows(uninterrupted)


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"recipe": replace(TINY, learning_rate=1e-3)},
        {"recipe": replace(TINY, updates=13)},
        {"recipe": replace(TINY, optimizer="muon")},
        {"layers": 1},
    ],
)
def test_another_recipe_seed_or_model_is_refused(tmp_path, uninterrupted, other) -> None:
    (tmp_path / LAST).write_bytes((uninterrupted / LAST).read_bytes())
    with pytest.raises(InputError, match="another model, recipe, seed or corpus") as error:
        trainer(tmp_path, **other).resume()
    assert str(tmp_path / LAST) in str(error.value)


def test_another_corpus_is_refused(tmp_path, uninterrupted) -> None:
    (tmp_path / LAST).write_bytes((uninterrupted / LAST).read_bytes())
    with pytest.raises(InputError, match="another model, recipe, seed or corpus"):
        Trainer(miniature.model("cwvae-2"), TINY, TRAIN[:2], VALIDATION, tmp_path).resume()


def test_a_missing_or_damaged_state_is_named(tmp_path, uninterrupted) -> None:
    with pytest.raises(InputError, match=LAST):
        trainer(tmp_path).resume()
    whole = (uninterrupted / LAST).read_bytes()
    (tmp_path / LAST).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="not a complete safetensors file"):
        trainer(tmp_path).resume()
    tensors, metadata = checkpoint.load_tensors(uninterrupted / LAST)
    del tensors["optimizer.exp_avg.head.weight"]
    checkpoint.save_tensors(tmp_path / LAST, tensors, metadata)
    with pytest.raises(InputError, match="the saved state is damaged"):
        trainer(tmp_path).resume()


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path) -> None:
    run = trainer(tmp_path)
    before = [p.detach().clone() for p in run.average.parameters()]
    with torch.no_grad():
        run.model.head.bias[0] = math.nan
    with pytest.raises(InputError, match=r"not finite at update 1 \(batch: t\d, t\d\)") as error:
        run.run(lambda progress: None)
    assert str(tmp_path) in str(error.value)
    assert all(torch.equal(x, y) for x, y in zip(before, run.average.parameters(), strict=True))
    assert checkpoint.load_tensors(tmp_path / LAST)[1]["update"] == "0"


def test_a_new_run_does_not_add_to_an_old_log(tmp_path, uninterrupted) -> None:
    (tmp_path / LOG).write_bytes((uninterrupted / LOG).read_bytes())
    trainer(tmp_path).run(lambda progress: None)
    assert rows(tmp_path) == rows(uninterrupted)


def test_the_average_follows_the_weights(tmp_path) -> None:
    run = trainer(tmp_path, replace(TINY, ema=0.0))
    run.step()
    assert all(torch.equal(x, y) for x, y in zip(run.average.parameters(), run.model.parameters(), strict=True))
    run = trainer(tmp_path, replace(TINY, ema=0.998))
    start = run.model.head.weight.detach().clone()
    run.step()
    moved = run.model.head.weight.detach()
    # The first update's weight is (0 + 1) / (0 + 10).
    torch.testing.assert_close(run.average.head.weight.detach(), 0.1 * start + 0.9 * moved, rtol=1e-6, atol=1e-7)


def test_every_update_draws_noise_of_its_own_from_the_seed(tmp_path) -> None:
    seen: list[torch.Tensor] = []
    for seed in (0, 0, 1):
        run = trainer(tmp_path, seed=seed)
        run.model.register_forward_pre_hook(lambda module, args: seen.append(args[2][0]))
        run.step()
        run.step()
    assert torch.equal(seen[0], seen[2])
    assert torch.equal(seen[1], seen[3])
    assert not torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[4])


def test_reports_count_every_update_and_carry_validations(tmp_path) -> None:
    reports: list[Progress] = []
    trainer(tmp_path, replace(TINY, updates=5)).run(reports.append)
    assert [(p.update, p.validating, p.validation is not None) for p in reports] == [
        (1, False, False),
        (2, False, False),
        (3, False, False),
        (4, True, False),
        (4, False, True),
        (5, True, False),
        (5, False, True),
    ]
    assert all(math.isfinite(p.bits_per_frame) for p in reports)


def test_training_learns(tmp_path) -> None:
    recipe = replace(TINY, updates=60, validate_every=60, learning_rate=3e-3)
    run = trainer(tmp_path, recipe)
    before = evaluate(run.average, VALIDATION).bits_per_frame
    run.run(lambda progress: None)
    assert run.best < before - 0.5


def test_no_recordings_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="at least one recording"):
        Trainer(miniature.model("cwvae-1"), TINY, TRAIN, [], tmp_path)


def test_compiling_takes_encoder_and_decoder_of_the_trained_model_alone(tmp_path, monkeypatch) -> None:
    compiled = []

    def note(function: Callable[..., object]) -> Callable[..., object]:
        compiled.append(function.__name__)
        return function

    monkeypatch.setattr(torch, "compile", note)
    trainer = Trainer(miniature.model("vrnn"), TINY, TRAIN, VALIDATION, tmp_path, precision="fp32", compile=True)
    assert compiled == ["encode", "decode"]
    assert "encode" not in vars(trainer.average)
    plain = Trainer(miniature.model("vrnn"), TINY, TRAIN, VALIDATION, tmp_path, precision="fp32")
    assert [trainer.step() for _ in range(2)] == [plain.step() for _ in range(2)]
