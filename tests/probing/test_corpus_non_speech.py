"""Labels of pauses, noises and unknown words are neither phonemes nor words; what is left out is counted."""

import json
from pathlib import Path

import pytest

from lvm_probe import InputError
from lvm_probe.app.cli import main
from lvm_probe.probing.corpora import non_speech, open_corpus
from lvm_probe.probing.corpora.corpus import Corpus
from lvm_probe.probing.corpora.non_speech import ALIGNERS
from lvm_probe.probing.corpora.phones import NON_PHONEMES, TIMIT61
from lvm_probe.probing.corpora.registry import LAYOUTS, reader
from lvm_probe.probing.corpora.summary import as_text, describe
from tests.probing.miniature import htk, librispeech, rows, text_grid, timit_nltk, tone

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"
MARKERS = ("<unk>", "<UNK>", "[bracketed]", "<cutoff>", "{NS}", "ns", "LG", "BR", "<nib>", "SIL", "SPN", "NOI")
SPEECH = ("cat", "{", "}", "<a", "a>", "[", "'s", "d<", "s", "silence", "<")


def aligned(root: Path, phones: tuple[str, ...], words: tuple[str, ...]) -> Path:
    """One recording with these labels, each as long as the others of its tier."""
    tone(root / "anna_1.wav")
    tiers = {
        name: [(i / 2 / len(labels), (i + 1) / 2 / len(labels), label) for i, label in enumerate(labels)]
        for name, labels in (("phones", phones), ("words", words))
    }
    text_grid(root / "anna_1.TextGrid", **tiers)
    return root


def labels(corpus: Corpus) -> tuple[list[str], list[str]]:
    (utterance,) = corpus.utterances
    return [s.label for s in utterance.phonemes], [s.label for s in utterance.words]


@pytest.mark.parametrize("marker", MARKERS)
def test_markers_are_no_class_of_phones_or_words(tmp_path: Path, marker: str) -> None:
    corpus = open_corpus(aligned(tmp_path, ("k", marker, "t"), ("cat", marker, "dog")))
    phones, words = labels(corpus)
    assert phones[1] in NON_PHONEMES
    assert (phones[0], phones[2]) == ("k", "t")
    assert words == ["cat", "dog"]
    assert corpus.utterances[0].text == "cat dog"
    among_phones = 0 if marker == "SIL" else 1  # pauses among phones are counted apart
    assert non_speech.count(corpus.utterances) == {marker: 1 + among_phones}


@pytest.mark.parametrize("label", SPEECH)
def test_what_only_looks_like_a_marker_is_speech(tmp_path: Path, label: str) -> None:
    corpus = open_corpus(aligned(tmp_path, ("k", label, "t"), ("cat", label, "dog")))
    assert labels(corpus) == (["k", label, "t"], ["cat", label, "dog"])
    assert non_speech.count(corpus.utterances) == {}


def test_some_labels_are_noises_among_phones_and_words_among_words(tmp_path: Path) -> None:
    corpus = open_corpus(aligned(tmp_path, ("k", "LAUGH", "NOISE"), ("laugh", "NOISE", "nib")))
    assert labels(corpus) == (["k", "spn", "spn"], ["laugh", "NOISE", "nib"])
    assert corpus.utterances[0].non_speech == ("LAUGH", "NOISE")


def test_no_phone_of_timit_is_taken_for_a_noise_by_any_layout() -> None:
    for layout in LAYOUTS:
        names = {label: reader(layout).NON_SPEECH.name(label, is_phone=True) for label in TIMIT61}
        assert {label for label, name in names.items() if name is not None} == {"h#", "pau", "epi"}


def test_the_list_is_extended_and_shortened_by_option(tmp_path: Path) -> None:
    root = aligned(tmp_path, ("k", "BEEP", "br"), ("cat", "beep", "br", "[x]", "<y>"))
    corpus = open_corpus(root, non_speech=("Beep", "-BR", "-[]"))
    assert labels(corpus) == (["k", "spn", "br"], ["cat", "br", "[x]"])
    assert non_speech.count(corpus.utterances) == {"<y>": 1, "BEEP": 1, "beep": 1}
    assert labels(open_corpus(root, non_speech="cat"))[1] == ["beep"]
    with pytest.raises(InputError, match="one of them is empty"):
        open_corpus(root, non_speech=("beep", "-"))


def test_the_option_holds_in_every_layout(tmp_path: Path) -> None:
    timit = open_corpus(timit_nltk(tmp_path / "timit"), non_speech=("she", "iy"))
    assert {s.label for u in timit.utterances for s in u.words}.isdisjoint({"she"})
    assert {s.label for u in timit.utterances for s in u.phonemes}.isdisjoint({"iy"})
    lab = open_corpus(htk(tmp_path / "lab"), non_speech=("sh",))
    assert [s.label for s in lab.utterances[0].phonemes] == ["h#", "spn", "iy", "h#"]
    flat = librispeech(tmp_path / "libri") / "dev-clean" / "103" / "1240"
    (flat / "103-1240.alignment.txt").write_text('103-1240-0000 ",SHE,<unk>,HAD" "0.1,0.2,0.3,0.4"\n')
    (utterance, _) = open_corpus(flat, non_speech=("HAD",)).utterances
    assert [s.label for s in utterance.words] == ["SHE"]
    assert utterance.non_speech == ("<unk>", "HAD")


def test_timit_has_no_markers_but_pauses(tmp_path: Path) -> None:
    root = timit_nltk(tmp_path / "timit")
    rows(root / "dr1-fvmh0" / "sa1.wrd", [(1000, 2000, "br"), (2000, 3000, "[x]"), (3000, 4000, "h#")])
    words = open_corpus(root).utterances[0].words
    assert [word.label for word in words] == ["br", "[x]"]


def test_what_is_left_out_is_one_line(tmp_path: Path) -> None:
    root = aligned(tmp_path, ("spn",) * 5 + ("k",), ("<unk>",) * 7 + ("cat",))
    doc = describe(open_corpus(root))
    assert doc["non_speech"] == {"<unk>": 7, "spn": 5}
    assert "left out 12 non-speech labels: <unk> 7, spn 5\n" in as_text(doc)
    assert "non-speech" not in as_text(describe(open_corpus(timit_nltk(tmp_path / "timit"))))
    assert non_speech.as_text({f"<{i}>": 1 for i in range(20)}).endswith(", <11> 1 ... (20 in all)")


def test_extract_says_it_and_writes_it_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = aligned(tmp_path / "corpus", ("spn", "k", "beep"), ("<unk>", "cat"))
    (tmp_path / "mine.py").write_text(
        "def encode(wave):\n    return wave[: len(wave) // 160 * 160].reshape(-1, 160), None, 160\n"
    )
    out = tmp_path / "t"
    encoder = f"{tmp_path / 'mine.py'}:encode"
    options = ["--units", "phoneme,word", "--non-speech", "beep", "--out", str(out)]
    assert main(["extract", "--encoder", encoder, "--corpus", str(root), *options]) == 0
    assert "left out 3 non-speech labels: <unk> 1, beep 1, spn 1\n" in capsys.readouterr().out
    extraction = json.loads((out / "_extraction.json").read_text())
    assert extraction["corpus"]["non_speech"] == {"<unk>": 1, "beep": 1, "spn": 1}


def test_names_are_compared_in_any_case_and_brackets_come_and_go() -> None:
    assert ALIGNERS.name("VOCNOISE", is_phone=False) == "spn"
    assert ALIGNERS.changed(["{}", "-{}"]).name("{ns}", is_phone=False) is None


def test_case_unknown_words() -> None:
    root = CASES / "words-unk-as-a-word"
    if not root.is_dir():
        pytest.skip(f"{root} is not there")
    corpus = open_corpus(root)
    assert {segment.label for utterance in corpus.utterances for segment in utterance.words} == {"cat", "dog"}
    counts = {"spn": 21, "<unk>": 12, "<UNK>": 3, "<cutoff>": 3, "[bracketed]": 3}
    assert non_speech.count(corpus.utterances) == counts
