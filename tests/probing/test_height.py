import numpy as np
import pytest

from lvm_probe import InputError
from lvm_probe.analysis.regression import regress
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.ask import ask
from lvm_probe.probing.questions.question import Question
from lvm_probe.probing.questions.results import COLUMNS, HEIGHT_COLUMNS, MORE_COLUMNS, NUMBER_COLUMNS
from tests.probing.synthetic_tables import at, changed, made_up


def tall(signal: float = 0.0, speakers: int = 12) -> TokenTable:
    """Heights about 165 cm of women and 180 cm of men; `signal` lets z1 know the difference from the gender's mean."""
    table = made_up(speakers=speakers, each=12, signal=0)
    rng = np.random.default_rng(1)
    beyond = {name: rng.normal(0, 6) for name in table.tokens["speaker"].unique()}
    heights = [beyond[s] + (165 if s[0] == "F" else 180) for s in table.tokens["speaker"]]
    table.features["z1"][:, 4] += signal * np.array([beyond[s] for s in table.tokens["speaker"]])
    return changed(table, height_cm=heights)


def question(**fields: object) -> Question:
    return Question(**{"target": "height-cm", "protocol": "speaker", "method": "ridge", "permutations": 20} | fields)  # type: ignore[arg-type]


def test_ridge_finds_heights_that_are_there_and_none_that_are_not() -> None:
    found = ask(tall(signal=1.0, speakers=40), question()).frame
    assert list(found.columns) == COLUMNS + MORE_COLUMNS + NUMBER_COLUMNS + list(HEIGHT_COLUMNS)
    z1 = at(found, feature="z1", gender="", k=0)
    assert z1["mae_cm"] < 0.6 * z1["baseline_mae_cm"]
    assert z1["p_baseline"] < 0.01
    assert z1["p_null"] == pytest.approx(1 / 21)
    assert z1["mae_low"] <= z1["mae_cm"] <= z1["mae_high"]
    mel = at(found, feature="mel", gender="", k=0)
    assert mel["mae_cm"] > 0.9 * mel["baseline_mae_cm"]
    assert z1["minus_mel_cm"] == pytest.approx(z1["mae_cm"] - mel["mae_cm"])
    assert found["accuracy"].isna().all()
    both = [at(found, feature="z1", gender=g, k=0) for g in "FM"]
    assert sum(row["n"] for row in both) == z1["n"] == 40
    assert np.mean([row["mae_cm"] for row in both]) == pytest.approx(z1["mae_cm"])


def test_the_rows_are_what_regress_says() -> None:
    table = tall(signal=1.0)
    found = ask(table, question(features=("z2",), permutations=0)).frame
    speakers, first = np.unique(table.tokens["speaker"], return_index=True)
    weights = (table.tokens["end"] - table.tokens["start"]).to_numpy()
    mine = [(table.tokens["speaker"] == s).to_numpy() for s in speakers]
    points = np.array([np.average(table.matrix("z2")[rows], axis=0, weights=weights[rows]) for rows in mine])
    values = table.tokens["height_cm"].to_numpy()[first]
    strata = np.array([int(s[0] == "M") for s in speakers])
    outcome = regress(points, values, strata, protocol="grouped", groups=np.arange(12))
    assert at(found, gender="", k=0)["mae_cm"] == pytest.approx(outcome.mae, rel=1e-6)
    assert found["null_mae_cm"].isna().all()


def test_errors_are_compared_with_the_untrained_model() -> None:
    table, untrained = tall(signal=1.0), tall(signal=0.0)
    found = ask(table, question(permutations=0), untrained=untrained).frame
    assert at(found, feature="z1", gender="")["untrained_mae_cm"] > at(found, feature="z1", gender="")["mae_cm"]
    assert found[found["feature"] == "mel"]["untrained_mae_cm"].isna().all()  # the same features


def test_refusals() -> None:
    with pytest.raises(InputError, match="2 F speakers and 2 M speakers of known height"):
        ask(tall(speakers=4), question())
    with pytest.raises(InputError, match="no rows with a known height-cm"):
        ask(made_up(speakers=4), question())
