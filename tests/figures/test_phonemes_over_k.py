"""Phonemes over k: both protocols on the same rows, and those of the shared questions."""

from pathlib import Path

import pytest

from lvm_probe import InputError
from lvm_probe.figures import accuracy_over_k, phonemes_over_k
from lvm_probe.figures.inputs import FigureInputs
from tests.figures.contract import check_contract
from tests.probing.synthetic_tables import changed, made_up


def test_both_protocols_of_all_speakers_together(tmp_path: Path) -> None:
    inputs = FigureInputs(made_up(speakers=3), permutations=2)
    data = check_contract(phonemes_over_k, inputs, tmp_path)
    assert set(accuracy_over_k.COLUMNS) <= set(data.columns)
    assert set(data["protocol"]) == {"paper", "nested"}
    assert set(data["feature"]) == {"z1", "z2", "z1+z2", "mel"}
    assert (data["speaker"] == "").all()
    assert (data["n"] == 3 * 48).all()
    assert data[["null_accuracy", "ci_low", "ci_high", "chance"]].notna().all(axis=None)
    assert len(inputs.answers) == 2
    titles = [ax.get_title(loc="left") for ax in phonemes_over_k.figure(data).axes]
    assert ["leaks" in titles[0], "nested" in titles[1]] == [True, True]


def test_a_single_speaker_is_named() -> None:
    inputs = FigureInputs(made_up(speakers=1), permutations=0)
    data = phonemes_over_k.data(inputs)
    assert set(data["speaker"]) == {"FS0"}
    assert "speaker FS0" in phonemes_over_k.figure(data).texts[-1].get_text()


def test_without_phonemes_it_is_left_out() -> None:
    with pytest.raises(InputError, match="no phoneme rows"):
        phonemes_over_k.data(FigureInputs(changed(made_up(speakers=2), unit="word")))
