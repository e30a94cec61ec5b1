import numpy as np
import pytest

from lvm_probe import InputError
from lvm_probe.analysis.abx import abx
from lvm_probe.probing.questions.ask import ask
from lvm_probe.probing.questions.question import Question
from lvm_probe.probing.questions.results import COLUMNS, MORE_COLUMNS
from tests.probing.synthetic_tables import at, made_up


@pytest.mark.parametrize("mode", ["within", "across"])
def test_rows_are_what_abx_says(mode: str) -> None:
    table = made_up(speakers=6, each=24)
    found = ask(table, Question(method="abx", protocol=mode, distance="euclidean")).frame  # type: ignore[arg-type]
    assert list(found.columns) == COLUMNS + MORE_COLUMNS
    codes = np.unique(table.tokens["label"], return_inverse=True)[1]
    groups = np.unique(table.tokens["speaker"], return_inverse=True)[1]
    score = abx(table.matrix("z1"), codes, groups, mode=mode, distance="euclidean")  # type: ignore[arg-type]
    z1 = at(found, feature="z1", speaker="")
    assert z1["accuracy"] == 1 - score.error
    assert z1["accuracy"] > 0.8
    assert (z1["protocol"], z1["method"], z1["chance"], z1["speakers"]) == (mode, "abx euclidean", 0.5, 6)
    assert z1["ci_low"] <= z1["accuracy"] <= z1["ci_high"]
    singles = found[(found["feature"] == "z1") & (found["speaker"] != "")]
    np.testing.assert_allclose(singles["accuracy"], 1 - score.group_errors)
    mel = at(found, feature="mel", speaker="")
    assert 0.4 < mel["accuracy"] < 0.6
    assert z1["p_minus_mel"] < 0.001
    assert z1["minus_mel"] == pytest.approx(z1["accuracy"] - mel["accuracy"])
    assert z1["minus_mel_low"] < z1["minus_mel"] < z1["minus_mel_high"]


def test_accuracy_is_compared_with_the_untrained_model() -> None:
    table, untrained = made_up(speakers=2), made_up(speakers=2, signal=0)
    row = at(ask(table, Question(method="abx"), untrained=untrained).frame, feature="z1", speaker="")
    assert row["untrained_accuracy"] < row["accuracy"]


def test_one_speaker_has_no_other_to_compare_with() -> None:
    with pytest.raises(InputError, match="ABX across speakers needs two or more"):
        ask(made_up(), Question(method="abx", protocol="across", speakers=("FS0",)))
    (row,) = ask(made_up(), Question(method="abx", features=("z1",), speakers=("FS0",))).frame.to_dict("records")
    assert (row["speaker"], row["interval"]) == ("FS0", "none")
    assert np.isnan(row["ci_low"])
