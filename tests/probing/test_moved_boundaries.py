"""Boundaries moved at random: by draws of the size that is asked, in order, and named in answers."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from lvm_probe import InputError
from lvm_probe.probing.corpora import open_corpus
from lvm_probe.probing.corpora.corpus import Corpus, Segment, Speaker, Utterance
from lvm_probe.probing.questions.ask import ask
from lvm_probe.probing.questions.question import Question
from lvm_probe.probing.questions.similarity import similarities
from tests.probing import miniature
from tests.probing.synthetic_tables import made_up

RATE = 16_000


def regular(phones: int = 4000, each: int = 16_000) -> Corpus:
    """One utterance of phones of equal length, with a word for every two."""
    edges = np.arange(phones + 1) * each
    segments = tuple(Segment("s", a, b) for a, b in pairwise(edges.tolist()))
    words = tuple(Segment("w", a.start, b.end) for a, b in zip(segments[::2], segments[1::2], strict=True))
    one = Utterance("a_1", Speaker("a"), Path("a.wav"), phones * each, RATE, phonemes=segments, words=words)
    return Corpus("textgrid", Path("corpus"), (one,))


def moves(corpus: Corpus, moved: Corpus) -> np.ndarray:
    """How far the boundaries inside of the first utterance moved, in milliseconds."""
    before, after = (np.array([p.start for p in c.utterances[0].phonemes[1:]]) for c in (corpus, moved))
    return 1000 * (after - before) / RATE


def test_moves_have_the_size_that_is_asked_and_are_independent() -> None:
    corpus = regular()
    found = moves(corpus, corpus.with_moved_boundaries(20))
    error = 20 / np.sqrt(2 * len(found))  # standard error of a standard deviation
    assert found.std() == pytest.approx(20, abs=4 * error)
    assert found.mean() == pytest.approx(0, abs=4 * 20 / np.sqrt(len(found)))
    assert abs(np.corrcoef(found[1:], found[:-1])[0, 1]) < 4 / np.sqrt(len(found))
    assert np.array_equal(found, moves(corpus, corpus.with_moved_boundaries(20)))
    assert not np.array_equal(found, moves(corpus, corpus.with_moved_boundaries(20, seed=1)))


def test_segments_stay_in_order_and_words_keep_the_boundaries_of_their_phones() -> None:
    corpus = regular(phones=400, each=30)  # far shorter than the moves
    (one,) = corpus.with_moved_boundaries(50).utterances  # checks order and overlaps
    assert [phone.end for phone in one.phonemes[:-1]] == [phone.start for phone in one.phonemes[1:]]
    assert (one.phonemes[0].start, one.phonemes[-1].end) == (0, one.samples)
    assert [word.start for word in one.words] == [phone.start for phone in one.phonemes[::2]]
    assert np.abs(moves(corpus, replace(corpus, utterances=(one,)))).max() <= 1000 * 15 / RATE


def test_every_layout_s_segments_remain(tmp_path: Path) -> None:
    corpus = open_corpus(miniature.timit_nltk(tmp_path / "timit"))
    moved = corpus.with_moved_boundaries(20)
    for before, after in zip(corpus.utterances, moved.utterances, strict=True):
        assert [phone.label for phone in after.phonemes] == [phone.label for phone in before.phonemes]
        assert [word.label for word in after.words] == [word.label for word in before.words]
    assert moved.fingerprint() != corpus.fingerprint()
    with pytest.raises(InputError, match="were moved by 20 ms already"):
        moved.with_moved_boundaries(10)
    with pytest.raises(InputError, match="boundaries moved by 0 ms: give a positive number"):
        corpus.with_moved_boundaries(0)


def test_answers_say_it() -> None:
    table = replace(made_up(), extraction={"corpus": {"moved_ms": 20.0}})
    note = "the boundaries of the tokens were moved at random (standard deviation 20 ms)"
    assert note in ask(table, Question(method="lda", permutations=0)).notes
    assert note not in ask(table, Question("gender", "lda", permutations=0)).notes
    assert note in similarities([table], permutations=0, measures=("cka",)).notes
