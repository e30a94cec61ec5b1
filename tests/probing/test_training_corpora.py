"""Several corpora to train on, and how a checkpoint's provenance says which speakers had which part."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lvm_probe import InputError
from lvm_probe.probing.corpora.corpus import Corpus, Speaker, Utterance
from lvm_probe.probing.corpora.training_corpora import check_disjoint, describe_training, merge, prefixes, speakers_of


def made_up(root: Path, speakers: str, name: str = "kaldi", size: int = 10) -> Corpus:
    """A corpus with one recording of each speaker, whose ids are letters."""
    root.mkdir(parents=True, exist_ok=True)
    for speaker in speakers:
        (root / f"{speaker}.wav").write_bytes(b"0" * size)
    utterances = (Utterance(f"{s}_1", Speaker(s), root / f"{s}.wav", 16000, 16000) for s in speakers)
    return Corpus(name, root, tuple(utterances))


def trained_on(*corpora: Corpus) -> dict[str, Any]:
    splits = [corpus.split_speakers(0.2, 0.2, seed=0) for corpus in corpora]
    return describe_training(corpora, *(merge([split[i] for split in splits]) for i in range(3)))


def test_names_in_several_corpora_begin_with_what_tells_the_folders_apart(tmp_path: Path) -> None:
    assert prefixes([tmp_path / "a"]) == [""]
    assert prefixes([tmp_path / "a", tmp_path / "b"]) == ["a/", "b/"]
    assert prefixes([tmp_path / "a" / "train", tmp_path / "b" / "train"]) == ["a/train/", "b/train/"]
    nested = prefixes([tmp_path / "x", tmp_path / "x" / "x"])
    assert len({*nested}) == 2


@pytest.mark.parametrize("again", ["c", "link"])
def test_a_folder_given_twice_is_refused(tmp_path: Path, again: str) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "c")
    with pytest.raises(InputError, match=f"{again}: given twice; name each corpus once"):
        prefixes([tmp_path / "c", tmp_path / again])


def test_names_stay_unique_in_the_merged_corpus(tmp_path: Path) -> None:
    first, second = made_up(tmp_path / "first", "ab"), made_up(tmp_path / "second", "bc")
    merged = merge([first, second])
    assert [u.id for u in merged.utterances] == ["first/a_1", "first/b_1", "second/b_1", "second/c_1"]
    assert [s.id for s in merged.speakers] == ["first/a", "first/b", "second/b", "second/c"]
    assert (merged.name, merged.root) == ("kaldi + kaldi", tmp_path.resolve())
    assert merged.fingerprint() == merge([second, first]).fingerprint()
    assert merge([first]) is first


def test_speakers_held_out_of_a_corpus_do_not_depend_on_the_others(tmp_path: Path) -> None:
    first, second = made_up(tmp_path / "first", "abcdefghij"), made_up(tmp_path / "second", "klmnopqr")
    alone, both = trained_on(first), trained_on(first, second)
    for part in ("validation", "test"):
        held_out = both[f"{part}_speakers"]
        assert [s for s in held_out if s.startswith("first/")] == [f"first/{s}" for s in alone[f"{part}_speakers"]]
    assert [(c["prefix"], c["seconds"], c["train_seconds"], c["speakers"]) for c in both["corpora"]] == [
        ("first/", 10, 6, 10),
        ("second/", 8, 4, 8),
    ]
    assert both["corpora"][0]["fingerprint"] == alone["corpus_fingerprint"] == first.fingerprint()


def test_recordings_in_two_corpora_are_refused(tmp_path: Path) -> None:
    first, second = made_up(tmp_path / "first", "ab"), made_up(tmp_path / "second", "cd")
    assert check_disjoint([first, second]) == []
    os.link(tmp_path / "first" / "a.wav", tmp_path / "second" / "a.wav")
    more = Utterance("x", Speaker("x"), tmp_path / "second" / "a.wav", 16000, 16000)
    with pytest.raises(InputError, match="second: 1 of its recordings are in .*first too; leave one of the two out"):
        check_disjoint([first, replace(second, utterances=(*second.utterances, more))])


def test_speakers_in_two_published_corpora_are_refused_and_of_others_noticed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"two: has speakers of .*one \(b\), who would be trained on and held out"):
        check_disjoint([made_up(tmp_path / name, s, "librispeech") for name, s in (("one", "ab"), ("two", "bc"))])
    (notice,) = check_disjoint([made_up(tmp_path / name, s) for name, s in (("three", "ab"), ("four", "bc"))])
    assert "speakers of one name (b) are taken for different people" in notice
    other = made_up(tmp_path / "five", "ab", "lab")
    assert check_disjoint([made_up(tmp_path / "three", "ab"), other]) == []


def test_each_corpus_finds_its_speakers_in_the_provenance(tmp_path: Path) -> None:
    first, second = made_up(tmp_path / "first", "abcdefghij"), made_up(tmp_path / "second", "klmnopqr")
    provenance = trained_on(first, second)
    for corpus in (first, second):
        found = speakers_of(corpus, provenance)
        for part, expected in zip(found, corpus.split_speakers(0.2, 0.2, seed=0), strict=True):
            assert found[part] == {s.id for s in expected.speakers}
    together = Corpus("kaldi", tmp_path, (*first.utterances, *second.utterances))
    assert len(speakers_of(together, provenance)["test"]) == 4
    nobody: dict[str, set[str]] = {"train": set(), "validation": set(), "test": set()}
    assert speakers_of(replace(first, name="lab"), provenance) == nobody
    assert speakers_of(first.select(speakers=["a", "b"]), provenance) == nobody


def test_ids_that_fit_two_corpora_are_told_apart_by_the_fingerprint(tmp_path: Path) -> None:
    first, second = made_up(tmp_path / "first", "abcdefghij"), made_up(tmp_path / "second", "abcde", size=11)
    provenance = trained_on(first, second)
    assert len(speakers_of(first, provenance)["train"]) == 6
    assert len(speakers_of(second, provenance)["train"]) == 3
    changed = made_up(tmp_path / "first", "abcdefghij", size=12)
    assert not any(speakers_of(changed, provenance).values())


def test_provenance_from_before_there_were_test_speakers(tmp_path: Path) -> None:
    corpus = made_up(tmp_path / "c", "abc")
    old = {"corpus": "kaldi", "corpus_fingerprint": "", "train_speakers": ["a", "b"], "validation_speakers": ["c"]}
    assert speakers_of(corpus, old) == {"train": {"a", "b"}, "validation": {"c"}, "test": set()}
    assert not any(speakers_of(corpus, {}).values())
