"""Accuracy over the offset from the boundaries of phones: where a signal is planted, and nowhere else."""

from pathlib import Path

import numpy as np
import pytest

from lvm_probe import InputError
from lvm_probe.probing.features.token_table import TokenTable, columns_of_rows
from lvm_probe.probing.questions.boundaries import around_boundaries
from lvm_probe.probing.questions.question import Question

STEP, PHONE = 160, 640  # samples: a frame of 10 ms, phones of 40 ms


def planted(delay: int = 0, speakers: int = 5) -> TokenTable:
    """Utterances of phones of four frames; z1 tells the phone of the frame `delay` frames before, mel nothing."""
    rng = np.random.default_rng(0)
    rows, z1 = [], []
    for s in range(speakers):
        for u in range(4):
            codes = rng.integers(0, 3, size=20)
            common = {"utterance": f"S{s}_{u}", "speaker": f"S{s}", "gender": "F", "sample_rate": 16_000}
            labels = np.array(["s", "iy", "m"])[codes]
            for i, label in enumerate(labels):
                span = {"start": i * PHONE, "end": (i + 1) * PHONE}
                rows.append({"token_id": f"S{s}_{u}:p{i}", "unit": "phoneme", "label": label} | span | common)
                z1.append(np.zeros(3))
            for t in range(4 * len(codes)):
                span = {"start": t * STEP, "end": (t + 1) * STEP}
                rows.append({"token_id": f"S{s}_{u}:f{t}", "unit": "frame", "label": labels[t // 4]} | span | common)
                z1.append(np.eye(3)[codes[max(t - delay, 0) // 4]] + 0.1 * rng.normal(size=3))
    order = rng.permutation(len(rows))  # rows may lie in any order
    features = {"z1": np.array(z1, np.float32)[order], "mel": rng.normal(size=(len(rows), 3)).astype(np.float32)}
    columns = columns_of_rows([rows[i] for i in order])
    return TokenTable("planted", Path("latents/planted"), {"frame": {"step_ms": 10.0}}, columns, features)


def question(**fields: object) -> Question:
    given = {"method": "lda", "protocol": "speaker", "features": ("z1", "mel"), "permutations": 1} | fields
    return Question(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize("delay", [0, 2])
def test_the_phone_is_known_where_its_frames_are_and_nowhere_else(delay: int) -> None:
    found = around_boundaries(planted(delay), question(), reach_ms=30)
    rows = found.frame[found.frame["speaker"] == ""]
    assert sorted(set(rows["offset_ms"])) == [-25, -15, -5, 5, 15, 25]
    assert set(rows["n"]) == {20 * 18}  # the first and last phone reach over the ends
    assert found.notes[0] == "40 phones lie within 30 ms of an end of the recording"
    for row in rows.to_dict("records"):
        frame = row["offset_ms"] / 10 + (0 if row["edge"] == "onset" else 4)  # of the phone, which has four
        inside = delay < frame < delay + 4
        if row["feature"] == "z1" and inside:
            assert row["accuracy"] > 0.95
            assert row["p_minus_mel_holm"] < 0.05
        else:  # three classes; a probe of 360 phones strays
            assert row["accuracy"] < 0.5
            assert row["ci_low"] < 0.4
    assert abs(rows["null_accuracy"].mean() - 1 / 3) < 0.1
    text = repr(found)
    assert "From the onset of the phone; highest: z1" in text
    assert "360 phones of 5 speakers in 3 classes" in text


def test_one_speaker_is_put_into_words_too() -> None:
    text = repr(around_boundaries(planted(), question(protocol="utterance", speakers="S0"), reach_ms=10))
    assert "72 phones of 1 speaker in 3 classes (utterance)" in text
    assert "Intervals over utterances." in text


def test_what_cannot_be_asked_is_refused() -> None:
    table = planted()
    with pytest.raises(InputError, match="boundaries are asked for phoneme, .*, not for gender by lda"):
        around_boundaries(table, Question(target="gender", method="lda"))
    with pytest.raises(InputError, match="reach of 5 ms: shorter than a frame of 10 ms"):
        around_boundaries(table, question(), reach_ms=5)
    phones = table.select(table.columns["unit"] == "phoneme")
    with pytest.raises(InputError, match="no frame rows; add them with `probe extract --add --units frame`"):
        around_boundaries(phones, question())
    frames = table.select(table.columns["unit"] == "frame")
    with pytest.raises(InputError, match="no phoneme rows"):
        around_boundaries(frames, question())
