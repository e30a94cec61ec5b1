"""Changes of recordings, alignments and checkpoints during a run or between two runs are noticed."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lvm_probe import InputError
from lvm_probe.app.cli import main
from lvm_probe.app.training import speech
from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.models.families.cwvae import CWVAE
from lvm_probe.models.registry import preset
from lvm_probe.models.training import trainer
from lvm_probe.models.training.trainer import LAST
from lvm_probe.probing.corpora import open_corpus
from lvm_probe.probing.corpora.corpus import Corpus, Utterance
from lvm_probe.probing.corpora.recordings import CorpusRecording, UnreadableRecording
from lvm_probe.probing.features import extraction, token_table
from tests.app.conftest import Probe, Refusal
from tests.probing import miniature

TRAINING = ("--preset", "tiny", "--updates", 6, "--batch", 1, "--precision", "fp32", "--device", "cpu")


def later(path: Path) -> None:
    """The same file, written to once more."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def others(path: Path) -> None:
    """Other samples or letters, as many as before."""
    content = path.read_bytes()
    path.write_bytes(content[:-8] + bytes(reversed(content[-8:])))
    later(path)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return miniature.timit_nltk(tmp_path / "corpus")


@pytest.fixture
def four(tmp_path: Path) -> Path:
    """Two speakers to train on and two to validate with, in no split."""
    root = tmp_path / "four"
    root.mkdir()
    (root / "speakers.csv").write_text("speaker,gender\nanna,F\nbert,M\ncarl,M\ndora,F\n")
    for speaker in ("anna", "bert", "carl", "dora"):
        for name in ("s1", "s2"):
            miniature.tone(root / speaker / f"{name}.wav", voice=speaker)
            miniature.text_grid(root / speaker / f"{name}.TextGrid", phones=[(0, 0.5, "a")], words=[(0, 0.5, "a")])
    return root


@pytest.mark.parametrize("name", miniature.MINIATURES)
def test_every_file_of_an_utterance_is_watched(name: str, tmp_path: Path) -> None:
    root = miniature.MINIATURES[name].write(tmp_path / "c")
    unwatched = {"SPEAKERS.TXT"}  # a gender is asked of it once, when the corpus is opened
    for path in [path for path in sorted(root.rglob("*")) if path.is_file() and path.name not in unwatched]:
        corpus = open_corpus(root)
        assert corpus.changed() == []
        later(path)
        assert corpus.changed() == [f"{path}: changed since the corpus was opened"]
        assert open_corpus(root).changed() == []
        assert open_corpus(root) == corpus  # when a file was written to is no part of what the corpus says


@pytest.mark.parametrize("kind", ["wav", "phn", "wrd"])
@pytest.mark.parametrize("change", [later, others, Path.unlink])
def test_a_recording_is_not_read_once_it_or_its_alignment_has_changed(
    corpus: Path, kind: str, change: Callable[[Path], None]
) -> None:
    opened = open_corpus(corpus)
    victim = opened.utterances[1].audio.with_suffix(f".{kind}")
    change(victim)
    for utterance in opened.utterances:
        recording = CorpusRecording(utterance, 16_000, keep=False)
        if utterance is opened.utterances[1]:
            with pytest.raises(UnreadableRecording, match=f"{victim}: (changed|gone) since|no such audio file"):
                recording.read(0, 10)
        else:
            recording.read(0, 10)


def test_utterances_of_no_corpus_are_not_watched(tmp_path: Path) -> None:
    path = miniature.tone(tmp_path / "a.wav")
    utterance = Utterance(
        "u", open_corpus(miniature.grids(tmp_path / "c")).speakers[0], path, miniature.SAMPLES, 16_000
    )
    later(path)
    utterance.check_unchanged()


def changing(monkeypatch: pytest.MonkeyPatch, when: int, change: Callable[[], None]) -> None:
    """Change something just before the features of utterance number `when` are made."""
    features, calls = extraction.features, iter(range(when))

    def wrapped(*args: Any) -> Any:
        if next(calls, None) is None:
            monkeypatch.setattr(extraction, "features", features)
            change()
        return features(*args)

    monkeypatch.setattr(extraction, "features", wrapped)


@pytest.mark.parametrize("kind", ["wav", "phn"])
def test_a_corpus_that_changes_before_it_is_read(
    kind: str, tiny: Path, corpus: Path, probe: Probe, refused: Refusal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The utterance is left out with the reason, or stops a strict run; the next run takes it as it is then."""
    victim = corpus / "dr1-mcpm0" / f"sa1.{kind}"
    argv = ("extract", "--ckpt", tiny, "--corpus", corpus, "--samples", 1, "--out")
    with monkeypatch.context() as patch:
        changing(patch, 2, lambda: others(victim) if kind == "wav" else later(victim))
        result = probe(*argv, tmp_path / "t")
    (reason,) = result["left_out"]
    assert reason.startswith(f"{victim}: changed since the corpus was opened")
    assert result["changed"] == []
    assert result["tokens"] == 15
    with monkeypatch.context() as patch:
        changing(patch, 2, lambda: later(victim))
        assert f"{victim}: changed since" in refused(*argv, tmp_path / "strict", "--strict")
    result = probe(*argv, tmp_path / "t")
    assert (result["left_out"], result["tokens"], result["parts_done"]) == ([], 20, 1)
    probe(*argv, tmp_path / "whole")
    part = token_table.part_name(0)
    assert (tmp_path / "t" / part).read_bytes() == (tmp_path / "whole" / part).read_bytes()


def test_a_corpus_that_changes_after_it_was_read(
    tiny: Path, corpus: Path, probe: Probe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """The table describes the earlier files; the change is reported."""
    victim = corpus / "dr1-fvmh0" / "sa1.wrd"
    argv = ("extract", "--ckpt", tiny, "--corpus", corpus, "--samples", 1, "--out", tmp_path / "t")
    changing(monkeypatch, 3, lambda: others(victim))
    assert main([*map(str, argv), "--json"]) == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert result["changed"] == [f"{victim}: changed since the corpus was opened"]
    assert f"notice: {victim}: changed since the corpus was opened; the result describes its earlier content\n" in err
    assert (result["left_out"], result["tokens"]) == ([], 20)


def test_training_on_a_corpus_that_changes(
    four: Path, probe: Probe, refused: Refusal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = ("train", "cwvae", "--corpus", four, "--hold-out", 0.5, "--test", 0, *TRAINING, "--out")
    read, victim = speech.read_recordings, four / "anna" / "s1.wav"

    def changed_before(part: Corpus, *rest: Any) -> Any:
        later(victim)
        return read(part, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(speech, "read_recordings", changed_before)
        result = probe(*argv, tmp_path / "before")
        assert [reason.split(";")[0] for reason in result["left_out"]] == [
            f"{victim}: changed since the corpus was opened"
        ]
    with monkeypatch.context() as patch:
        validate = trainer.evaluate
        patch.setattr(trainer, "evaluate", lambda *args, **more: (later(victim), validate(*args, **more))[1])
        result = probe(*argv, tmp_path / "after")
        assert result["changed"] == [f"{victim}: changed since the corpus was opened"]
        assert result["left_out"] == []
    # Between runs: a file of another size, an alignment that says something else.
    whole = victim.read_bytes()
    victim.write_bytes(whole + bytes(10))
    line = refused(*argv, tmp_path / "after", "--resume")
    assert f"{tmp_path / 'after' / LAST}: the corpus has changed since this run began; restore it" in line
    victim.write_bytes(whole)
    assert probe(*argv, tmp_path / "after", "--resume")["updates"] == 6
    miniature.text_grid(four / "bert" / "s1.TextGrid", phones=[(0, 0.5, "b")], words=[(0, 0.5, "b")])
    assert "the corpus has changed" in refused(*argv, tmp_path / "after", "--resume")


def test_an_extraction_goes_on_only_with_the_corpus_it_began_with(
    tiny: Path, corpus: Path, probe: Probe, refused: Refusal, tmp_path: Path
) -> None:
    argv = ("extract", "--ckpt", tiny, "--corpus", corpus, "--samples", 1, "--out", tmp_path / "t")
    probe(*argv)
    victim = corpus / "dr1-mcpm0" / "sa1.phn"
    miniature.rows(victim, [(0, 1200, "h#"), *miniature.PHONES[2:]])
    assert "holds another extraction (its corpus, expected_tokens differ)" in refused(*argv)


# Checkpoints


def swapped(tmp_path: Path) -> Path:
    """Another model of the same shape."""
    path = tmp_path / "other.safetensors"
    checkpoint.save(path, CWVAE.seeded(preset("cwvae", "tiny").config, 1), {"corpus": "nothing"})
    return path


def test_an_extraction_does_not_go_on_with_another_checkpoint(
    tiny: Path, corpus: Path, probe: Probe, refused: Refusal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "part_size", lambda utterances: 2)
    ckpt = shutil.copy(tiny, tmp_path / "model.safetensors")
    argv = ("extract", "--ckpt", ckpt, "--corpus", corpus, "--samples", 1, "--out", tmp_path / "t")
    probe(*argv)
    (tmp_path / "t" / token_table.part_name(1)).unlink()
    shutil.copy(swapped(tmp_path), ckpt)
    assert "holds another extraction (its checkpoint differ)" in refused(*argv)
    shutil.copy(tiny, ckpt)
    assert probe(*argv)["parts_done"] == 1


def test_a_checkpoint_replaced_while_it_is_read_is_not_taken_for_either(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name in the table's provenance would be the digest of another file than its weights."""
    ckpt, other, read = shutil.copy(tiny, tmp_path / "m.safetensors"), swapped(tmp_path), checkpoint.load_tensors

    def then_replaced(path: Path) -> Any:
        found = read(path)
        shutil.copy(other, tmp_path / "new")
        (tmp_path / "new").replace(path)
        return found

    monkeypatch.setattr(checkpoint, "load_tensors", then_replaced)
    with pytest.raises(InputError, match="m.safetensors: replaced while it was being read; run the command again"):
        checkpoint.load(ckpt)
    monkeypatch.setattr(checkpoint, "load_tensors", lambda path: (read(path), path.unlink())[0])
    with pytest.raises(InputError, match="m.safetensors: replaced while it was being read"):
        checkpoint.load(ckpt)


def test_a_training_does_not_go_on_from_another_s_files(
    four: Path, probe: Probe, refused: Refusal, tmp_path: Path
) -> None:
    """Neither from another run's state, nor beside another checkpoint in the place of its best one."""
    argv = ("train", "cwvae", "--corpus", four, "--hold-out", 0.5, "--test", 0, *TRAINING, "--out")
    run, other = tmp_path / "run", tmp_path / "other"
    probe(*argv, run)
    probe(*argv, other, "--seed", 1)
    best, state = (run / "best.safetensors").read_bytes(), (run / LAST).read_bytes()

    (run / LAST).write_bytes((other / LAST).read_bytes())
    assert "this run was started with another model, recipe, seed or corpus" in refused(*argv, run, "--resume")
    (run / LAST).write_bytes(state)
    for damage in (other / "best.safetensors", swapped(tmp_path), None):
        if damage is None:
            (run / "best.safetensors").unlink()
        else:
            shutil.copy(damage, run / "best.safetensors")
        line = refused(*argv, run, "--resume")
        assert f"{run / 'best.safetensors'}: another checkpoint has taken the place of this run's best" in line
    (run / "best.safetensors").write_bytes(best)
    assert probe(*argv, run, "--resume")["updates"] == 6


def test_a_run_whose_best_checkpoint_is_exchanged_on_the_way_does_not_end_well(
    four: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other, best, save = swapped(tmp_path), tmp_path / "run" / "best.safetensors", trainer.Trainer.save

    def exchanged(run: trainer.Trainer) -> None:
        save(run)
        if run.update:
            shutil.copy(other, best)

    monkeypatch.setattr(trainer.Trainer, "save", exchanged)
    argv = ("train", "cwvae", "--corpus", four, "--hold-out", 0.5, "--test", 0, *TRAINING, "--out", tmp_path / "run")
    assert main([str(word) for word in argv]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"probe train: {best}: another checkpoint has taken the place of this run's best")
