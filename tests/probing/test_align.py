"""Forced alignment: transcripts, dictionaries, the demo corpus and TIMIT's hand labels as references."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.stats import spearmanr

from lvm_probe import InputError, open_corpus
from lvm_probe.app.cli import main
from lvm_probe.probing.alignment import agreement, pocketsphinx_aligner, transcript
from lvm_probe.probing.alignment.align_corpus import DESCRIPTION, Alignment, align_corpus
from lvm_probe.probing.alignment.lexicon import Lexicon
from lvm_probe.probing.alignment.pocketsphinx_aligner import SAMPLE_RATE, PocketSphinxAligner
from lvm_probe.probing.corpora.corpus import Corpus, Utterance
from lvm_probe.probing.corpora.demo import CORPUS
from lvm_probe.probing.corpora.recordings import read_pcm

needs_pocketsphinx = pytest.mark.skipif(
    pocketsphinx_aligner.find_spec("pocketsphinx") is None, reason="needs PocketSphinx: pip install 'lvm-probe[align]'"
)

# Transcripts


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("SHE HAD YOUR DARK SUIT", ["she", "had", "your", "dark", "suit"]),
        ("“Don’t,” he said -- ‘twice’.", ["don't", "he", "said", "twice"]),
        ("the well-known dogs' bowl; rock 'n' roll!", ["the", "well-known", "dogs", "bowl", "rock", "'n", "roll"]),
        ("Élan… either/or", ["élan", "either", "or"]),
    ],
)
def test_words_of_a_transcript(text: str, words: list[str]) -> None:
    assert transcript.words(text) == words


@pytest.mark.parametrize("text", ["in 1984", "a <unk> b", "[noise] yes", "x_y", "R&B"])
def test_what_can_be_read_in_two_ways_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="can be read in more than one way; write in words what is said"):
        transcript.words(text)


def test_a_transcript_without_words_is_refused() -> None:
    with pytest.raises(InputError, match="has no words"):
        transcript.words(" -- ... ")


# Dictionaries


def dictionary(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(rows) + "\n")
    return path


def test_a_dictionary_is_read(tmp_path: Path) -> None:
    lexicon = Lexicon.read(dictionary(tmp_path / "a.dict", ";;; comment", "a AH", "a(2) EY", "THE  DH AH", "a(3) AH"))
    assert lexicon.entries == {"a": (("AH",), ("EY",)), "the": (("DH", "AH"),)}
    own = Lexicon.read(dictionary(tmp_path / "b.dict", "the DH EY"))
    assert lexicon.extended(own).pronunciations("the") == (("DH", "EY"),)
    assert lexicon.pronunciations("'the'") == (("DH", "AH"),)
    assert lexicon.pronunciations("the-a") == (("DH", "AH", "AH"),)
    assert lexicon.pronunciations("the-other") == ()


def test_malformed_dictionaries_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a.dict:2: 'the' has no phones; complete the row"):
        Lexicon.read(dictionary(tmp_path / "a.dict", "a AH", "the"))
    with pytest.raises(InputError, match="holds no words"):
        Lexicon.read(dictionary(tmp_path / "a.dict", ";;; nothing"))
    lexicon = Lexicon({"a": (("AH",),)})
    other = Lexicon.read(dictionary(tmp_path / "b.dict", "the DH AH0"))
    with pytest.raises(InputError, match="b.dict: unknown phones AH0 DH; the dictionary's are AH"):
        lexicon.extended(other)


def test_words_of_another_script_are_not_spelled() -> None:
    with pytest.raises(InputError, match="is not written in the letters of the dictionary"):
        Lexicon({"a": (("AH",),)}).spelled("слово")


# Alignment

SPEAKER = "FADA9"


@pytest.fixture(scope="module")
def demo() -> Corpus:
    return open_corpus(CORPUS).select(speakers=[SPEAKER])


@pytest.fixture(scope="module")
def aligned(demo: Corpus, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Alignment]:
    pytest.importorskip("pocketsphinx", reason="needs PocketSphinx")
    out = tmp_path_factory.mktemp("aligned") / "demo"
    return out, align_corpus(demo, out, again=True, workers=1)


@needs_pocketsphinx
def test_boundaries_lie_near_those_of_the_synthesiser(aligned: tuple[Path, Alignment]) -> None:
    """The demo's labels are those from which its speech was made; the aligner has never heard a synthesiser."""
    _, result = aligned
    assert not result.left_out
    assert result.phones.compared > 0.5
    assert result.phones.median_ms < 20
    assert result.words.median_ms < 25
    assert result.words.compared > 0.95


@needs_pocketsphinx
def test_the_folder_is_a_corpus(aligned: tuple[Path, Alignment], demo: Corpus) -> None:
    out, result = aligned
    corpus = open_corpus(out)
    assert corpus.name == "textgrid"
    assert not corpus.problems
    assert [one.id for one in corpus.utterances] == [one.id for one in demo.utterances]
    assert corpus.speakers == demo.speakers
    assert corpus.splits == demo.splits
    for read, given, original in zip(corpus.utterances, result.utterances, demo.utterances, strict=True):
        assert read.phonemes == given.phonemes
        assert [word.label for word in read.words] == transcript.words(original.text or "")
        assert all(one.samples >= 0.015 * SAMPLE_RATE - 1 for one in read.phonemes if one.label != "h#")
    phones = sum(one.label != "h#" for utterance in result.utterances for one in utterance.phonemes)
    assert len(result.confidence) == phones
    assert ((result.confidence > 0) & (result.confidence <= 1)).all()


@needs_pocketsphinx
def test_an_utterance_does_not_depend_on_its_company(aligned: tuple[Path, Alignment], demo: Corpus) -> None:
    _, result = aligned
    utterance = demo.utterances[-1]
    model, path = pocketsphinx_aligner.shipped_model()
    lexicon, words = Lexicon.read(path), transcript.words(utterance.text or "")
    alone = PocketSphinxAligner(model, {word: lexicon.pronunciations(word) for word in words})
    found = alone.align(read_pcm(utterance, SAMPLE_RATE), words)
    kept = [(one.label, one.start, one.end) for one in result.utterances[-1].phonemes if one.label != "h#"]
    assert [(one.segment.label, one.segment.start, one.segment.end) for one in found.phones] == kept


@needs_pocketsphinx
def test_it_is_continued(aligned: tuple[Path, Alignment], demo: Corpus, tmp_path: Path) -> None:
    out, result = aligned
    copy = tmp_path / "copy"
    shutil.copytree(out, copy, symlinks=True)
    removed = sorted(copy.rglob("*.TextGrid"))[3]
    before = removed.read_bytes()
    removed.unlink()
    again = align_corpus(demo, copy, again=True, workers=1)
    assert again.done == 1
    assert removed.read_bytes() == before
    np.testing.assert_array_equal(again.phones.errors_ms, result.phones.errors_ms)
    with pytest.raises(InputError, match=r"holds another alignment \(other unknown\); choose another --out"):
        align_corpus(demo, copy, again=True, unknown="skip")


@needs_pocketsphinx
def test_what_cannot_be_aligned_is_listed(demo: Corpus, tmp_path: Path) -> None:
    from dataclasses import replace

    first, second, third, fourth = demo.utterances[:4]
    corpus = replace(
        demo,
        utterances=(
            replace(first, text="Zyblorg quixotry-dog!", phonemes=()),
            replace(second, text="in 1984", phonemes=()),
            replace(third, text=None, phonemes=(), words=()),
            fourth,
        ),
    )
    result = align_corpus(corpus, tmp_path / "out", workers=1)
    assert [one.id for one in result.utterances] == [first.id]
    assert (result.aligned_before, result.without_text) == (1, 1)
    assert result.left_out == (f"{second.id}: '1984' can be read in more than one way; write in words what is said",)
    assert set(result.spelled) == {"zyblorg", "quixotry-dog"}
    assert (tmp_path / "out" / "spelled.dict").read_text().splitlines()[1].startswith("zyblorg Z ")
    assert result.spelled["quixotry-dog"][0][-3:] == ("D", "AO", "G")

    own = dictionary(tmp_path / "own.dict", "zyblorg Z AY B", "quixotry K W IH K S")
    given = align_corpus(corpus, tmp_path / "own", pronunciations=own, workers=1)
    assert not given.spelled
    skipped = pytest.raises(InputError, match="no utterance can be aligned; the first: .* is not in the dictionary")
    with skipped:
        align_corpus(replace(corpus, utterances=corpus.utterances[:1]), tmp_path / "skip", unknown="skip")
    with pytest.raises(InputError, match="are aligned already; align them --again"):
        align_corpus(demo, tmp_path / "nothing")


@needs_pocketsphinx
@pytest.mark.parametrize("seconds", [0.0001, 0.05, 0.3])
def test_audio_too_short_for_its_words(seconds: float, tmp_path: Path) -> None:
    model, path = pocketsphinx_aligner.shipped_model()
    words = ["constantinople", "antidisestablishmentarianism"]
    lexicon = Lexicon.read(path)
    aligner = PocketSphinxAligner(model, {word: lexicon.pronunciations(word) for word in words})
    noise = np.random.default_rng(0).integers(-500, 500, max(1, round(seconds * SAMPLE_RATE)), dtype=np.int16)
    with pytest.raises(InputError, match="the words do not fit the audio"):
        aligner.align(noise, words)


@needs_pocketsphinx
def test_a_part_of_a_recording_is_copied_and_another_rate_is_kept(demo: Corpus, tmp_path: Path) -> None:
    folder = tmp_path / "kaldi" / "train"
    folder.mkdir(parents=True)
    first, second = demo.utterances[:2]
    waves = [soundfile.read(one.audio, dtype="int16")[0] for one in (first, second)]
    soundfile.write(folder / "both.wav", np.concatenate(waves), SAMPLE_RATE)
    start, end = len(waves[0]) / SAMPLE_RATE, sum(map(len, waves)) / SAMPLE_RATE
    for name, row in {
        "wav.scp": "both both.wav", "utt2spk": "u_2 u", "segments": f"u_2 both {start:.6f} {end:.6f}",
        "text": f"u_2 {second.text}", "spk2gender": "u f",
    }.items():  # fmt: skip
        (folder / name).write_text(f"{row}\n")
    result = align_corpus(open_corpus(tmp_path / "kaldi"), tmp_path / "out", workers=1)
    corpus = open_corpus(tmp_path / "out")
    assert corpus.utterances[0].phonemes == result.utterances[0].phonemes
    assert corpus.utterances[0].split == "train"
    assert corpus.speakers[0].gender == "F"
    np.testing.assert_array_equal(soundfile.read(corpus.utterances[0].audio, dtype="int16")[0], waves[1])


@needs_pocketsphinx
def test_librispeech_becomes_a_corpus_of_phonemes(demo: Corpus, tmp_path: Path) -> None:
    """TextGrids alone, inside of the corpus's folder, are read with its own speakers and subsets."""
    root = tmp_path / "LibriSpeech"
    chapter = root / "dev-clean" / "84" / "121"
    chapter.mkdir(parents=True)
    (root / "SPEAKERS.TXT").write_text("84 | F | dev-clean | 8 | Anna\n")
    utterance = demo.utterances[0]
    shutil.copy(utterance.audio, chapter / "84-121-0000.flac")
    text = " ".join(transcript.words(utterance.text or "")).upper()
    (chapter / "84-121.trans.txt").write_text(f"84-121-0000 {text}\n")
    assert not open_corpus(root).utterances[0].phonemes
    arguments = ["align", "--corpus", str(root), "--out", str(root / "aligned"), "--audio", "none", "--workers", "1"]
    assert main(arguments) == 0
    corpus = open_corpus(root)
    assert corpus.name == "librispeech"
    assert not corpus.problems
    assert len(corpus.utterances[0].phonemes) > 20
    assert corpus.utterances[0].split == "dev-clean"


@needs_pocketsphinx
def test_the_command(demo: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--corpus", str(CORPUS), "--speaker", SPEAKER, "--out", str(tmp_path / "out"), "--again"]
    assert main(["align", *options, "--workers", "2"]) == 0
    said = capsys.readouterr().out
    assert "10 utterances: " in said
    assert "within 20 ms" in said
    assert main(["align", *options, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["aligned_now"] == 0
    assert document["agreement"]["words"]["compared"] > 0.95
    assert (tmp_path / "out" / DESCRIPTION).is_file()
    assert main(["align", *options, "--dictionary", "x.dict"]) == 2
    assert "--acoustic-model and --dictionary belong together" in capsys.readouterr().err
    assert main(["align", *options, "--workers", "0"]) == 2


def kaldi(folder: Path, utterance: Utterance, audio: Path) -> Corpus:
    """One utterance whose recording a `wav.scp` names."""
    folder.mkdir(exist_ok=True)
    for name, row in {"wav.scp": audio, "utt2spk": "u", "text": utterance.text}.items():
        (folder / name).write_text(f"u_1 {row}\n")
    return open_corpus(folder)


@needs_pocketsphinx
def test_a_folder_of_other_files_is_refused(demo: Corpus, tmp_path: Path) -> None:
    recording = tmp_path / "k" / "u" / "u_1.flac"
    recording.parent.mkdir(parents=True)
    shutil.copy(demo.utterances[0].audio, recording)
    before = recording.read_bytes()
    corpus = kaldi(tmp_path / "k", demo.utterances[0], recording)
    for out in (tmp_path / "k", tmp_path / "k" / "u", tmp_path):
        with pytest.raises(InputError, match="not empty and not an alignment; choose another --out"):
            align_corpus(corpus, out, workers=1)
    assert recording.read_bytes() == before
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["k", "text", "u", "u_1.flac", "utt2spk", "wav.scp"]


@needs_pocketsphinx
def test_a_recording_is_never_replaced(demo: Corpus, tmp_path: Path) -> None:
    """Not even in a folder of the command's own, into which the recording has been moved since."""
    original, out = tmp_path / "a.flac", tmp_path / "out"
    shutil.copy(demo.utterances[0].audio, original)
    align_corpus(kaldi(tmp_path / "k", demo.utterances[0], original), out, workers=1)
    moved = original.replace(out / "u" / "u_1.flac")
    moved.with_suffix(".TextGrid").unlink()
    before = moved.read_bytes()
    with pytest.raises(InputError, match=r"u_1\.flac: is a recording of the corpus; choose another --out"):
        align_corpus(kaldi(tmp_path / "k", demo.utterances[0], moved), out, workers=1)
    assert moved.read_bytes() == before
    assert not moved.is_symlink()


@needs_pocketsphinx
def test_another_acoustic_model(demo: Corpus, tmp_path: Path) -> None:
    _, path = pocketsphinx_aligner.shipped_model()
    with pytest.raises(InputError, match="PocketSphinx cannot load this acoustic model"):
        align_corpus(demo, tmp_path / "out", model=tmp_path, dictionary=path, again=True, workers=1)


@needs_pocketsphinx
def test_hand_labels_of_timit(timit_sample: Path, tmp_path: Path) -> None:
    """Two speakers; the figures of all fourteen are in docs/results.md."""
    corpus = open_corpus(timit_sample).select(speakers=["FALK0", "MADC0"])
    result = align_corpus(corpus, tmp_path / "out", again=True)
    assert result.phones.median_ms < 12
    assert result.phones.within > 0.7
    assert abs(result.phones.bias_ms) < 5
    assert result.words.compared > 0.95

    # The confidence says where the errors are: in both ends of the phones that are written alike.
    read = open_corpus(tmp_path / "out", phoneme_tier="phone confidence")
    sure, errors = [], []
    for confidence, mine, hand in zip(read.utterances, result.utterances, corpus.utterances, strict=True):
        label_of = {(one.start, one.end): one.label for one in confidence.phonemes if one.label != "h#"}
        ours, theirs = agreement._folded(mine.phonemes, "arpabet"), agreement._folded(hand.phonemes, "timit")
        for other, own in agreement._matched(ours, theirs).items():
            a, h = ours[own], theirs[other]
            if (a.start, a.end) in label_of:
                sure.append(float(label_of[a.start, a.end]))
                errors.append(max(abs(a.start - h.start), abs(a.end - h.end)))
    assert len(sure) > 300
    assert spearmanr(sure, errors).statistic < -0.15  # -0.3 over all fourteen speakers
