from typing import Any

import numpy as np
import pytest

from lvm_probe import InputError
from lvm_probe.analysis.code_length import code_length
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.ask import ask
from lvm_probe.probing.questions.jobs import generator
from lvm_probe.probing.questions.question import Question
from lvm_probe.probing.questions.results import CODE_COLUMNS, COLUMNS, CURVE_COLUMNS, MORE_COLUMNS
from tests.probing.synthetic_tables import at, made_up


def mdl(**fields: Any) -> Question:
    return Question(**{"method": "mdl", "protocol": "speaker", "permutations": 1} | fields)


def spoken(speakers: int, **how: Any) -> TokenTable:
    """Made up, but for the gender, which would lead probes astray that were fitted to a speaker or two."""
    table = made_up(speakers=speakers, **how)
    for values in table.features.values():
        values[:, 2] = 0
    return table


def test_a_planted_signal_shortens_the_code_and_noise_does_not() -> None:
    answer = ask(spoken(6), mdl(control=1), untrained=spoken(6, signal=0, seed=1))
    found = answer.frame
    assert list(found.columns) == COLUMNS + MORE_COLUMNS + CODE_COLUMNS
    z1, z2, mel = (at(found, feature=name, speaker="") for name in ("z1", "z2", "mel"))
    assert z1["bits"] < 0.9
    assert z1["bits"] < z2["bits"] < 1.7  # z2 knows half of the label
    assert 1.95 < mel["bits"] < 2.1
    assert mel["baseline_bits"] == pytest.approx(2, abs=0.02)
    for row in (z1, z2, mel):
        assert row["uniform_bits"] == 2
        assert row["compression"] == pytest.approx(2 / row["bits"])
        assert row["code_length"] == pytest.approx(row["n"] * row["bits"])
        assert row["bits_low"] <= row["bits"] <= row["bits_high"]
        assert 1.95 < row["null_bits"] < 2.1
    assert z1["untrained_bits"] > 1.9
    assert 0.3 < z1["control_bits"] < 2  # each phone has one context, so its control label is as easy to learn
    assert z1["accuracy"] > 0.85
    assert z1["minus_mel_bits"] == pytest.approx(z1["bits"] - mel["bits"])
    assert z1["minus_baseline_bits"] == pytest.approx(z1["bits"] - z1["baseline_bits"])
    assert max(z1["p_minus_mel_holm"], z1["p_baseline_holm"], z1["p_minus_untrained_holm"]) < 0.05
    assert mel["p_baseline_holm"] > 0.05


@pytest.mark.parametrize("protocol", ["utterance", "speaker"])
def test_bits_are_those_of_the_code_of_every_pool(protocol: Any) -> None:
    table = made_up(speakers=3)
    found = ask(table, mdl(protocol=protocol, features=("z1",), permutations=0, orders=2)).frame
    speaker, utterance = (
        np.unique(table.columns[n].astype(str), return_inverse=True)[1] for n in ("speaker", "utterance")
    )
    labels = np.unique(table.columns["label"].astype(str), return_inverse=True)[1]
    names = ["FS0", "FS2", "MS1"]
    bits = np.empty(len(labels))
    for who, name in enumerate(names) if protocol == "utterance" else [(-1, "")]:
        mine = (speaker == who) | (who == -1)
        code = code_length(
            table.features["z1"][mine].astype(float),
            labels[mine],
            groups=(utterance if protocol == "utterance" else speaker)[mine],
            n_classes=4,
            orders=2,
            rng=generator(mdl(), f"{name}/orders"),
        )
        bits[mine] = code.bits
    assert at(found, speaker="")["bits"] == pytest.approx(bits.mean())
    for who, name in enumerate(names):
        assert at(found, speaker=name)["bits"] == pytest.approx(bits[speaker == who].mean())


@pytest.mark.parametrize("protocol", ["utterance", "speaker"])
def test_chance_is_that_of_a_classifier(protocol: Any) -> None:
    table = made_up(speakers=3)
    often = {"FS0": "iy", "MS1": "aa", "FS2": "aa"}
    columns = (table.columns[name] for name in ("speaker", "label"))
    rows = [often[speaker] == label or i % 3 for i, (speaker, label) in enumerate(zip(*columns, strict=True))]
    table = table.select(np.array(rows, dtype=bool))
    how: dict[str, Any] = {"protocol": protocol, "features": ("z1",), "permutations": 0}
    coded, classified = (ask(table, Question(method=method, **how)).frame for method in ("mdl", "lda"))
    for speaker in ("", *often):
        assert at(coded, speaker=speaker)["chance"] == pytest.approx(at(classified, speaker=speaker)["chance"])


def test_the_learning_curve_falls_with_what_the_probe_is_fitted_to() -> None:
    answer = ask(spoken(6), mdl(features=("z1", "mel"), permutations=0))
    assert list(answer.curve.columns) == CURVE_COLUMNS
    z1 = answer.curve[answer.curve["feature"] == "z1"]
    assert z1["groups"].tolist() == [0, 1, 2, 4]
    assert z1["fitted"].tolist() == [0, 48, 96, 192]
    assert z1["bits"].tolist() == sorted(z1["bits"], reverse=True)
    assert z1["bits"].iloc[0] == 2
    assert np.isnan(z1["accuracy"].iloc[0])
    assert np.average(z1["bits"], weights=z1["n"]) == pytest.approx(at(answer.frame, feature="z1", speaker="")["bits"])


def test_speakers_are_sent_whole_and_p_values_come_with_enough_permutations() -> None:
    answer = ask(made_up(speakers=24, each=4), mdl(target="gender", features=("z2",), permutations=19, orders=1))
    (row,) = answer.frame.to_dict("records")
    assert row["n"] == row["speakers"] == 24
    assert row["uniform_bits"] == 1
    assert row["bits"] < 0.8
    assert row["p_null"] == pytest.approx(0.05)
    assert 0.9 < row["null_bits"] < 1.3  # of so few labels even random ones are far from equal shares
    assert answer.curve["groups"].tolist() == [0, 1, 2, 4, 8, 16]


def test_the_answer_says_what_was_coded() -> None:
    said = str(ask(spoken(3), mdl(features=("z1", "mel"), permutations=1)))
    assert said.startswith(
        "Coding the phoneme online by logistic regression: 144 tokens in 4 classes of 3 speakers; whole speakers held "
        "out (speaker); in bits per label, the mean over 3 orders."
    )
    assert "speaker: z1 takes" in said
    assert "fewer than class shares alone" in said
    assert "Differences in bits per label (less is better)" in said
    assert "The labels of the first block take log2 of 4 classes, 2.000 bits each" in said


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"method": "mdl", "protocol": "paper"}, "method mdl has no protocol paper"),
        ({"method": "mdl", "orders": 0}, "orders is 0"),
        ({"method": "lda", "orders": 2}, "orders: only for the methods mdl, not for lda"),
        ({"method": "mdl", "target": "height-cm"}, "method mdl cannot predict height-cm"),
    ],
)
def test_refusals(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Question(**fields)
