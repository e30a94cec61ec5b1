"""Units and features added to a table: the table of one extraction of everything, and nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lvm_probe import InputError
from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.models.checkpoints.checkpoint import Checkpoint
from lvm_probe.models.families.cwvae import CWVAE
from lvm_probe.models.io.files import write_json
from lvm_probe.models.registry import preset
from lvm_probe.probing.corpora import open_corpus
from lvm_probe.probing.corpora.corpus import Corpus
from lvm_probe.probing.features import addition, extraction, token_table
from lvm_probe.probing.features.extraction import Settings, extract
from lvm_probe.probing.features.sources import ModelSource
from tests.probing import miniature

FIRST = Settings(draws=3)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        checkpoint.save(path, CWVAE(preset("cwvae", "tiny").config), {"corpus": "noise"})
    return checkpoint.load(path)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return open_corpus(miniature.timit_nltk(tmp_path_factory.mktemp("corpus") / "timit"))


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "part_size", lambda utterances: 1)


def parts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("part-*"))}


@pytest.mark.parametrize(
    ("added", "runs"),
    [
        (Settings(draws=3, units=("word", "utterance")), 4),
        (Settings(draws=3, also=("mfcc",)), 0),
        (Settings(draws=3, also=("states", "halves")), 4),
        (Settings(draws=3, units=("word",), also=("stats", "mfcc")), 4),
        (Settings(draws=3, units=("word",), also=("states", "stats")), 4),
        (Settings(draws=3, also=("mfcc",), context_ms=40), 4),
        (FIRST, 0),
    ],
    ids=lambda value: "+".join((*value.units, *value.also)) if isinstance(value, Settings) else None,
)
def test_the_table_is_that_of_everything_at_once(
    tiny: Checkpoint, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, added: Settings, runs: int
) -> None:
    everything = replace(added, units=("phoneme", *added.units))
    whole = extract(tiny, corpus, tmp_path / "whole", everything)
    extract(tiny, corpus, tmp_path / "t", FIRST)
    pooled, calls = ModelSource.pooled, []
    monkeypatch.setattr(ModelSource, "pooled", lambda self, *args: calls.append(args[0]) or pooled(self, *args))
    result = extract(tiny, corpus, tmp_path / "t", added, add=True)
    assert len(calls) == runs  # of the model: one an utterance, or none
    assert parts(tmp_path / "t") == parts(tmp_path / "whole")
    assert (result.tokens, result.features) == (whole.tokens, whole.features)
    one, other = (token_table.read_extraction(tmp_path / name) | {"begun": ""} for name in ("t", "whole"))
    assert one == other
    assert not (tmp_path / "t" / token_table.ADDITION).exists()


def test_a_context_is_kept_and_is_the_only_one(
    tiny: Checkpoint, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = replace(FIRST, context_ms=40)
    extract(tiny, corpus, tmp_path / "t", context)
    with monkeypatch.context() as without_model:
        without_model.delattr(ModelSource, "pooled")
        extract(tiny, corpus, tmp_path / "t", replace(FIRST, also=("mfcc",)), add=True)
    extract(tiny, corpus, tmp_path / "t", replace(FIRST, units=("word",)), add=True)
    extract(tiny, corpus, tmp_path / "whole", replace(context, units=("phoneme", "word"), also=("mfcc",)))
    assert parts(tmp_path / "t") == parts(tmp_path / "whole")
    with pytest.raises(InputError, match="has 40 ms of context, and a table has only one; leave --context out, or"):
        extract(tiny, corpus, tmp_path / "t", replace(FIRST, context_ms=20), add=True)


def test_an_addition_that_is_interrupted_changes_nothing_and_continues(
    tiny: Checkpoint, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = Settings(draws=3, units=("word",))
    extract(tiny, corpus, tmp_path / "whole", replace(FIRST, units=("phoneme", "word")))
    extract(tiny, corpus, tmp_path / "t", FIRST)
    before = parts(tmp_path / "t")
    heard: list[float] = []

    def interrupt(seconds: float) -> None:
        heard.append(seconds)
        if len(heard) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(tiny, corpus, tmp_path / "t", added, progress=interrupt, add=True)
    assert parts(tmp_path / "t") == before
    assert set(token_table.load(tmp_path / "t").columns["unit"]) == {"phoneme"}

    # It continues, and is interrupted once more, while the parts are replaced.
    finish, existing = addition.finish, token_table.existing_parts

    def killed(folder: Path) -> None:
        raise KeyboardInterrupt

    def finish_half(table: Path, count: int) -> None:
        with monkeypatch.context() as half:
            half.setattr(token_table, "existing_parts", lambda folder, count: existing(folder, count)[:2])
            half.setattr(addition.shutil, "rmtree", killed)
            finish(table, count)

    with monkeypatch.context() as dying:
        dying.setattr(addition, "finish", finish_half)
        with pytest.raises(KeyboardInterrupt):
            extract(tiny, corpus, tmp_path / "t", added, add=True)
    assert parts(tmp_path / "t") not in (before, parts(tmp_path / "whole"))
    with pytest.raises(InputError, match="`probe extract --add` was interrupted; run the same command again"):
        token_table.load(tmp_path / "t")
    extract(tiny, corpus, tmp_path / "t", added, add=True)
    assert parts(tmp_path / "t") == parts(tmp_path / "whole")


def test_parts_of_another_addition_are_not_used(tiny: Checkpoint, corpus: Corpus, tmp_path: Path) -> None:
    extract(tiny, corpus, tmp_path / "t", FIRST)

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(tiny, corpus, tmp_path / "t", Settings(draws=3, units=("word",)), progress=interrupt, add=True)
    extract(tiny, corpus, tmp_path / "t", Settings(draws=3, also=("mfcc",)), add=True)
    extract(tiny, corpus, tmp_path / "whole", Settings(draws=3, also=("mfcc",)))
    assert parts(tmp_path / "t") == parts(tmp_path / "whole")


def test_what_was_made_in_another_way_is_refused_by_name(tiny: Checkpoint, corpus: Corpus, tmp_path: Path) -> None:
    out = tmp_path / "t"
    with pytest.raises(InputError, match="no token table"):
        extract(tiny, corpus, out, FIRST, add=True)
    extract(tiny, corpus, out, FIRST)
    before = parts(out)
    word = replace(FIRST, units=("word",))
    for settings, name in (
        (replace(word, draws=4), "samples"),
        (replace(word, seed=1), "seed"),
        (replace(word, untrained=True), "untrained"),
        (replace(word, estimator="sample"), "estimator"),
        (replace(word, mel=extraction.Mel(40)), "mel"),
    ):
        with pytest.raises(InputError, match=f"its {name} differ"):
            extract(tiny, corpus, out, settings, add=True)
    with pytest.raises(InputError, match="its checkpoint differ"):
        extract(replace(tiny, sha256="0" * 64), corpus, out, word, add=True)
    with pytest.raises(InputError, match="corpus"):
        extract(tiny, corpus.select(speakers=[corpus.speakers[0].id]), out, word, add=True)
    with pytest.raises(InputError, match="expected_tokens differ.; give --add to add to it"):
        extract(tiny, corpus, out, word)
    assert parts(out) == before
    mfcc = replace(FIRST, also=("mfcc",))
    extract(tiny, corpus, tmp_path / "older", mfcc)
    description = token_table.read_extraction(tmp_path / "older")
    del description["mfcc"]  # when derivatives went beyond the token
    write_json(tmp_path / "older" / token_table.EXTRACTION, description)
    for add in (True, False):
        with pytest.raises(InputError, match="its mfcc"):
            extract(tiny, corpus, tmp_path / "older", replace(mfcc, units=("phoneme", "word")), add=add)
    next(iter(out.glob("part-*"))).unlink()
    with pytest.raises(InputError, match="unfinished"):
        extract(tiny, corpus, out, word, add=True)


def test_the_table_says_which_speakers_were_selected(tiny: Checkpoint, corpus: Corpus, tmp_path: Path) -> None:
    one = corpus.speakers[-1].id
    extract(tiny, corpus.select(speakers=[one]), tmp_path / "t", FIRST)
    assert token_table.read_extraction(tmp_path / "t")["corpus"]["speakers"] == [one]
    assert set(token_table.load(tmp_path / "t").columns["speaker"]) == {one}
    extract(tiny, corpus, tmp_path / "all", FIRST)
    assert "speakers" not in token_table.read_extraction(tmp_path / "all")["corpus"]
