"""Optimism: noise is read for knowledge by the leaky protocol alone, and the more dimensions the more."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lvm_probe import InputError
from lvm_probe.figures import optimism
from lvm_probe.figures.inputs import FigureInputs
from tests.figures.contract import assert_whole, check_contract, overlapping
from tests.probing.synthetic_tables import changed, made_up


def test_noise_is_knowledge_to_the_leaky_protocol_only(tmp_path: Path) -> None:
    inputs = FigureInputs(made_up(speakers=2, each=120), permutations=0)
    data = check_contract(optimism, inputs, tmp_path)
    noise = data[data["kind"] == "noise"].pivot_table(index="dims", columns="protocol", values="accuracy")
    assert list(noise.index) == [8, 16, 32, 64, 96]  # 120 tokens of 4 phonemes bear no more
    assert noise.loc[96, "paper"] > 0.9
    # Four equal classes: 25 %; 360 tokens in three draws, so 0.02 of standard error.
    assert noise["nested"].max() < 0.36
    assert (data["low"].dropna() <= data["accuracy"][data["low"].notna()]).all()
    assert set(data["speaker"]) == {inputs.one_speaker()}


def test_features_are_those_of_the_findings() -> None:
    inputs = FigureInputs(made_up(speakers=2), permutations=0, speaker="MS1")
    data = optimism.data(inputs)
    features = data[data["kind"] == "feature"].set_index(["feature", "protocol"])
    (findings,) = inputs.answers.values()
    rows = findings.frame[(findings.frame["speaker"] == "MS1") & (findings.frame["k"] == 5)].set_index("feature")
    for name, row in rows.iterrows():
        assert features.loc[(name, "paper"), "accuracy"] == row["paper_accuracy"]
        assert features.loc[(name, "nested"), "accuracy"] == row["accuracy"]
        assert features.loc[(name, "nested"), "dims"] == row["dims"]
    assert (features["n"] == 48).all()


def test_names_of_many_features_stay_apart() -> None:
    about = {"chance": 0.06, "speaker": "A", "k": 5, "n": 390, "n_classes": 50, "lda_dims": 5, "low": 0.1, "high": 0.2}
    rows = [{"kind": "noise", "feature": "noise", "protocol": p, "dims": d, "accuracy": 0.1} | about
            for p in ("paper", "nested") for d in (8, 64, 256)]  # fmt: skip
    for name, dims in (("z1", 64), ("z2", 64), ("z3", 64), ("mel", 80), ("z1+z2+z3", 192), ("z1_logms+z2+z3", 192)):
        rows += [{"kind": "feature", "feature": name, "protocol": p, "dims": dims, "accuracy": a} | about
                 for p, a in (("paper", 0.4), ("nested", 0.3))]  # fmt: skip
    fig = optimism.figure(pd.DataFrame(rows))
    assert_whole(fig)
    assert overlapping(list(fig.axes[0].texts), fig) == []
    xs = [line.get_xdata()[0] for line in fig.axes[0].lines if line.get_marker() not in ("None", "")]
    assert len(np.unique(xs)) == 6


def test_left_out() -> None:
    with pytest.raises(InputError, match="no phoneme rows"):
        optimism.data(FigureInputs(changed(made_up(), unit="word"), permutations=0))
    few = made_up(speakers=1, each=14)
    with pytest.raises(InputError, match="14 tokens of 4 phonemes"):
        optimism.data(FigureInputs(few, permutations=0))
    with pytest.raises(InputError, match="MS9"):
        optimism.data(FigureInputs(made_up(), permutations=0, speaker="MS9"))
    with pytest.raises(InputError, match="no accuracies over the dimension"):
        optimism.figure(pd.DataFrame(columns=list(optimism.COLUMNS)))
