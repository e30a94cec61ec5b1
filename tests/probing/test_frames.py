"""Rows of frames: what extraction writes, which class a frame has, and what is asked of them."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import lvm_probe
from lvm_probe import InputError
from lvm_probe.probing.corpora import open_corpus
from lvm_probe.probing.corpora.corpus import Segment, Speaker, Utterance
from lvm_probe.probing.features.extraction import frames
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.ask import ask
from lvm_probe.probing.questions.question import Question
from lvm_probe.probing.questions.rows import select_rows
from tests.probing import miniature
from tests.probing.synthetic_tables import at, changed, made_up

PHONES = (Segment("h#", 0, 150), Segment("s", 160, 500), Segment("iy", 500, 1000), Segment("t", 1000, 1001))


def utterance(rate: int, samples: int = 1100) -> Utterance:
    return Utterance("a_1", Speaker("a"), Path("a.wav"), samples=samples, sample_rate=rate, phonemes=PHONES)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050])
@pytest.mark.parametrize("step", [1.0, 4.0, 10.0, 32.0, 500.0])
def test_frames_cover_the_audio_with_the_phone_in_their_middle(rate: int, step: float) -> None:
    found = frames(utterance(rate), step)
    assert [found[0].start, found[-1].end] == [0, 1100]
    for before, after in pairwise(found):
        assert before.end == after.start
        assert abs(before.samples - step * rate / 1000) <= 1
    for frame in found:
        middle = (frame.start + frame.end) // 2
        assert frame.label == next((p.label for p in PHONES if p.start <= middle < p.end), "")


def framed(signal: float = 4.0, speakers: int = 4) -> TokenTable:
    """Frames of made-up tokens: three copies of each with noise of their own, and one between phones."""
    tokens = made_up(speakers=speakers, signal=signal)
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(len(tokens)), 4)
    place = np.tile(np.arange(4), len(tokens))
    columns = {name: values[rows] for name, values in tokens.columns.items()}
    columns["start"] = columns["start"] + 10 * place
    columns["end"] = columns["start"] + 10
    columns["token_id"] = np.array([f"{id}:{i}" for id, i in zip(columns["token_id"], place, strict=True)], object)
    columns["label"] = np.where(place == 3, "", columns["label"]).astype(object)
    features = {
        name: (values[rows] + 0.1 * rng.normal(size=(len(rows), values.shape[1]))).astype(np.float32)
        for name, values in tokens.features.items()
    }
    table = TokenTable("framed", Path("latents/framed"), {}, columns, features)
    return changed(table, unit="frame")


@pytest.mark.parametrize("method", ["lda", "knn"])
@pytest.mark.parametrize("protocol", ["utterance", "speaker"])
def test_classes_of_frames_are_found_where_they_are(method: str, protocol: str) -> None:
    found = ask(framed(), Question(method=method, protocol=protocol, rows="frame", permutations=2)).frame  # type: ignore[arg-type]
    rows = found[(found["speaker"] == "") & found["k"].isin([0, 5])].set_index("feature")
    assert set(rows["rows"]) == {"frame"}
    assert set(rows["n"]) == {3 * 4 * 48}
    assert rows.loc["z1", "accuracy"] > 0.7
    # A quarter by chance; a frame's neighbours of its own utterance would give all of them.
    assert abs(rows.loc["mel", "accuracy"] - 0.25) < 0.12
    assert abs(rows.loc["z1", "null_accuracy"] - 0.25) < 0.1
    assert rows["paper_accuracy"].isna().all()
    assert (rows["interval"] == "speakers").all()


def test_frames_are_left_out_where_no_phone_is() -> None:
    table = framed()
    table.columns["label"][table.columns["label"] == "t"] = "h#"
    rows = select_rows(table, Question(rows="frame"))
    assert set(rows.labels) == {"iy", "aa", "s"}
    kept = select_rows(table, Question(rows="frame", keep_silence=True))
    assert set(kept.labels) == {"iy", "aa", "s", "h#"}
    speaking = select_rows(table, Question(target="gender", rows="frame"))
    assert set(speaking.table.columns["label"]) == {"iy", "aa", "s"}
    nothing = changed(table, label="")
    assert len(select_rows(nothing, Question(target="gender", rows="frame"))) == len(table)
    assert len(select_rows(table, Question(target="gender"))) == 4  # a speaker's mean over frames


def test_the_type_of_a_frame_is_its_phone_between_its_neighbours() -> None:
    table = framed(speakers=1)
    rows = select_rows(table, Question(rows="frame"))
    types = {}
    for place, (type_, start) in enumerate(zip(rows.types, rows.table.columns["start"], strict=True)):
        types.setdefault(start // 100, set()).add((type_, rows.labels[place]))
    assert all(len(found) == 1 for found in types.values())  # the three frames of a phone are of one type


def test_frames_are_classes_of_phones_and_numbers_too() -> None:
    table = framed()
    found = ask(table, Question(target="manner", method="lda", rows="frame", permutations=0)).frame
    assert at(found, feature="z1", speaker="")["accuracy"] > 0.7
    rng = np.random.default_rng(1)
    f0 = rng.normal(150, 20, size=(len(table), 1)).astype(np.float32)
    table.features["z1"][:, 5] = (f0[:, 0] - 150) / 20
    table = changed(table, features=table.features | {"f0": f0})
    found = ask(table, Question(target="f0", method="ridge", rows="frame", permutations=1)).frame
    assert at(found, feature="z1", speaker="")["r2"] > 0.9
    assert at(found, feature="mel", speaker="")["r2"] < 0.1


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"rows": "frame", "protocol": "nested"}, "trains on the frames next to the one that it judges"),
        ({"rows": "speaker"}, "rows: phoneme differs from token to token"),
        ({"rows": "frame", "method": "abx"}, "rows: only for the methods knn"),
        ({"rows": "frame", "target": "word"}, "rows: only for the targets phoneme"),
        ({"rows": "frame", "target": "duration", "method": "ridge"}, "all frames are equally long"),
    ],
)
def test_what_makes_no_sense_of_frames_is_refused(fields: dict[str, str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Question(**fields)  # type: ignore[arg-type]


def test_a_table_without_frames_says_how_to_add_them() -> None:
    with pytest.raises(InputError, match="no frame rows, only phoneme; add them: .*--add --units frame"):
        ask(made_up(), Question(rows="frame"))
    with pytest.raises(InputError, match="no phoneme rows, only frame; .* or ask the frames with rows='frame'"):
        ask(framed(), Question())


def test_extraction_writes_and_adds_frames(tmp_path: Path) -> None:
    corpus = open_corpus(miniature.timit_nltk(tmp_path / "timit"))

    def encode(wave: np.ndarray) -> tuple[np.ndarray, None, int]:
        return wave[: len(wave) // 160 * 160].reshape(-1, 160), None, 160

    at_once = lvm_probe.extract(corpus, encode, tmp_path / "at-once", units=("phoneme", "frame"))
    assert at_once.extraction["frame"] == {"step_ms": 10.0}
    mine = at_once.columns["unit"] == "frame"
    first = at_once.columns["utterance"] == corpus.utterances[0].id
    steps = at_once.features["layer1"][mine & first]
    from lvm_probe.probing.corpora.audio import to_float
    from lvm_probe.probing.corpora.recordings import read_pcm

    wave = to_float(read_pcm(corpus.utterances[0], 16_000))
    np.testing.assert_allclose(steps[:20], wave[: 20 * 160].reshape(20, 160), atol=1e-6)  # every step of the layer

    lvm_probe.extract(corpus, encode, tmp_path / "t")
    added = lvm_probe.extract(corpus, encode, tmp_path / "t", units="frame", add=True)
    assert added.features["mel"].shape == at_once.features["mel"].shape
    np.testing.assert_array_equal(added.features["layer1"], at_once.features["layer1"])
    with pytest.raises(InputError, match="has frames of 10 ms, and a table has only one step"):
        lvm_probe.extract(corpus, encode, tmp_path / "t", units="frame", frame_ms=20, add=True)
    with pytest.raises(InputError, match="--frame-step 0.5ms: give 1ms or more"):
        lvm_probe.extract(corpus, encode, tmp_path / "u", units="frame", frame_ms=0.5)
