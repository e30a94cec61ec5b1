"""The page 'Questions' by every method, and the data frames behind it."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from lvm_probe.app.explorer import question_plots
from lvm_probe.app.explorer.inputs import ExplorerInputs
from lvm_probe.app.explorer.question_results import (
    METHODS,
    PROTOCOL_TITLES,
    comparison_table,
    difference_table,
    protocols_of,
    result_table,
    targets_by_method,
)
from lvm_probe.probing.features import token_table
from lvm_probe.probing.questions.ask import ask
from lvm_probe.probing.questions.question import PROTOCOLS_OF, TARGETS_OF, Question
from tests.app.conftest import quietly
from tests.app.test_explorer_pages import run


def asked(latents: Path, method: str, target: str) -> AppTest:
    test = run("questions", ExplorerInputs((latents,)), method=method, target=target)
    assert not test.exception
    (button,) = [button for button in test.button if button.label == "Compute"]
    test = button.click().run()
    assert not test.exception
    assert not test.warning
    return test


@pytest.mark.parametrize(
    ("method", "target", "sections"),
    [
        ("knn", "phoneme", ["Accuracy over k", "Recall of every phoneme", "Confusions"]),
        ("lda", "manner", ["Accuracy", "Recall of every manner", "Confusions"]),
        ("logistic", "voicing", ["Accuracy", "Recall of every voicing", "Confusions"]),
        ("mdl", "voicing", ["Bits per label"]),
        ("abx", "manner", ["Accuracy"]),
    ],
)
def test_every_method_is_asked_and_answered(latents: Path, method: str, target: str, sections: list[str]) -> None:
    test = asked(latents, method, target)
    assert [section.value for section in test.subheader] == ["Comparison", "Results", *sections]
    assert sections[0].removesuffix(" over k") in test.dataframe[0].value
    said = f"Coding the {target} online by" if method == "mdl" else f"Predicting the {target} by"
    assert said in test.markdown[0].value.replace("\\", "")
    if "Confusions" in sections:
        listed = test.dataframe[-1].value
        (true,) = [box.value for box in test.selectbox if box.label == "True class"]
        (count,) = [text.value for text in test.markdown if text.value.startswith("**") and "×" in text.value]
        assert count.startswith(f"**{len(listed)}** × {true}")


def test_the_comparison_comes_first(latents: Path) -> None:
    test = run("questions", ExplorerInputs((latents,)), target="manner")
    (button,) = [button for button in test.button if button.label == "Compare"]
    test = button.click().run()
    assert not test.exception
    assert not test.warning
    assert test.markdown[0].value.startswith("Compared with Mel")
    shown = test.dataframe[0].value
    assert set(shown["Compared with"]) == {"Mel"}
    assert list(shown.columns[2:]) == [
        "kNN (utterance)", "LDA (utterance)", "ABX (within)", "kNN (speaker)", "LDA (speaker)", "ABX (across)",
    ]  # fmt: skip


def test_the_untrained_model_is_compared_with_where_its_table_lies_beside(
    latents: Path, tiny: Path, small: Path, tmp_path: Path
) -> None:
    table = tmp_path / "table"
    shutil.copytree(latents, table)
    quietly("extract", "--ckpt", tiny, "--corpus", small, "--out", tmp_path / "table-untrained", "--samples", 2,
            "--device", "cpu", "--untrained", "--seed", 1)  # fmt: skip
    test = asked(table, "lda", "manner")
    ours, theirs = test.dataframe[0].value, test.dataframe[1].value
    assert ours.loc[ours["Feature"] == "z1", "Untrained"].notna().all()
    assert "untrained model" in set(theirs["Compared with"])
    (button,) = [button for button in test.button if button.label == "Compare"]
    test = button.click().run()
    assert set(test.dataframe[0].value["Compared with"]) == {"Mel", "untrained"}


def test_another_models_table_beside_is_not_used_and_the_page_says_so(latents: Path, tmp_path: Path) -> None:
    for name in ("table", "table-untrained"):
        shutil.copytree(latents, tmp_path / name)
    test = asked(tmp_path / "table", "lda", "manner")
    assert "Untrained" not in test.dataframe[0].value
    assert any("not the untrained model" in caption.value for caption in test.caption)


def test_cells_of_the_comparison_have_differences_stars_and_intervals() -> None:
    common = {"target": "manner", "compared_with": "Mel", "feature": "z1", "protocol": "speaker"}
    ends, p = ("difference_low", "difference_high"), "p_holm"
    frame = pd.DataFrame([
        common | {"method": "knn", "difference": -0.0004, ends[0]: -0.02, ends[1]: 0.03, p: 0.9},
        common | {"method": "lda", "difference": 0.056, ends[0]: 0.01, ends[1]: 0.1, p: 0.04},
        common | {"method": "abx", "compared_with": "", "difference": np.nan, p: np.nan},
    ])  # fmt: skip
    (shown,) = comparison_table(frame).to_dict("records")
    assert shown == {
        "Compared with": "Mel", "Feature": "z1", "kNN (speaker)": "+0.0 (-2.0 to +3.0)",
        "LDA (speaker)": "+5.6* (+1.0 to +10.0)",
    }  # fmt: skip


def test_titles_cover_every_method_and_protocol() -> None:
    assert set(METHODS) == set(TARGETS_OF)
    assert set(PROTOCOL_TITLES) == {protocol for some in PROTOCOLS_OF.values() for protocol in some}


def test_only_what_can_be_asked_is_offered(latents: Path) -> None:
    by_method = targets_by_method(token_table.load(latents))
    assert "word" not in by_method["knn"]  # the table has phones only
    assert by_method["ridge"] == ["height-cm"]
    assert by_method["abx"] == [target for target in by_method["knn"] if target in TARGETS_OF["abx"]]
    for method, targets in by_method.items():
        for target in targets:
            possible = protocols_of(method, target)
            assert possible
            for protocol in possible:
                Question(target=target, method=method, protocol=protocol)
    assert "speaker" not in protocols_of("knn", "speaker")
    assert "utterance" not in protocols_of("knn", "gender")
    assert "transfer" not in protocols_of("knn", "gender")
    assert "transfer" in protocols_of("knn", "gender", tables=2)


def test_a_probe_is_judged_on_another_table(tmp_path: Path, tiny: Path, small: Path) -> None:
    for split in ("train", "test"):
        quietly("extract", "--ckpt", tiny, "--corpus", small, "--out", tmp_path / split, "--samples", 2,
                "--device", "cpu", "--split", split)  # fmt: skip
    given = ExplorerInputs((tmp_path / "train", tmp_path / "test"))
    test = run("questions", given, method="lda", target="manner", protocols="transfer", test="test")
    (button,) = [button for button in test.button if button.label == "Compute"]
    test = button.click().run()
    assert not test.exception
    assert test.dataframe[0].value["Protocol"].tolist() == ["transfer"] * len(test.dataframe[0].value)
    judged = set(given.tables["test"].tokens["token_id"])
    assert set(test.dataframe[-1].value["token_id"]) <= judged


def test_predictions_are_those_that_the_confusions_count(latents: Path) -> None:
    table = token_table.load(latents)
    for method in ("knn", "lda"):
        answer = ask(table, Question(target="manner", method=method, permutations=0, features=("z1", "mel")))
        key = ["feature", "k", "label", "predicted"]
        found = answer.predictions.astype({"label": str, "predicted": str}).groupby(key).size()
        expected = answer.confusion.astype({"label": str, "predicted": str}).set_index(key)["count"]
        pd.testing.assert_series_equal(found, expected.sort_index(), check_names=False, check_dtype=False)
        labels = table.tokens.set_index("token_id")["utterance"]
        assert (labels[answer.predictions["token_id"]].to_numpy() == answer.predictions["utterance"]).all()


def row(**values: object) -> pd.DataFrame:
    common = {"table": "t", "feature": "z1", "protocol": "speaker", "k": 5, "n": 100, "p_null": np.nan}
    return pd.DataFrame([common | values])


def test_percentages_and_points_have_one_form() -> None:
    rows = row(accuracy=0.5, balanced_accuracy=0.41, ci_low=0.4, ci_high=0.625, chance=0.25, null_accuracy=0.2,
               untrained_accuracy=np.nan, paper_accuracy=0.6, minus_mel=-0.0004, minus_mel_low=-0.1,
               minus_mel_high=0.05, effect_minus_mel=-1.2, p_minus_mel_holm=0.00001)  # fmt: skip
    (shown,) = result_table(rows).to_dict("records")
    assert shown == {
        "Feature": "z1", "Protocol": "speaker", "k": 5, "n": 100, "Accuracy": 50.0, "95 % interval": "40.0 to 62.5",
        "Balanced": 41.0, "Chance": 25.0, "Null": 20.0, "Paper protocol": 60.0,
    }  # fmt: skip
    (gap,) = difference_table(rows).to_dict("records")
    assert gap["Compared with"] == "Mel"
    assert str(gap["Difference"]) == "0.0"  # never -0.0
    assert gap["95 % interval"] == "-10.0 to +5.0"
    assert gap["p"] == "< 0.0001"
    assert difference_table(rows.assign(minus_mel=np.nan)).empty


def test_errors_are_in_centimetres() -> None:
    rows = row(k=0, gender="", mae_cm=6.5, mae_low=5, mae_high=8, baseline_mae_cm=7, null_mae_cm=7.25,
               untrained_mae_cm=np.nan, minus_baseline_cm=-0.5, minus_baseline_cm_low=-1, minus_baseline_cm_high=0.25,
               effect_minus_baseline=-0.3, p_baseline_holm=0.2)  # fmt: skip
    (shown,) = result_table(rows).to_dict("records")
    assert (shown["Gender"], shown["Error"], shown["95 % interval"]) == ("both", 6.5, "5.00 to 8.00")
    assert "k" not in shown
    (gap,) = difference_table(rows).to_dict("records")
    assert (gap["Compared with"], gap["95 % interval"], gap["p"]) == (
        "gender's mean height",
        "-1.00 to +0.25",
        "0.2000",
    )


def test_the_matrix_is_square_ordered_and_has_its_diagonal_outlined() -> None:
    counts = pd.DataFrame(
        {"label": ["s", "s", "iy", "<b>"], "predicted": ["s", "iy", "iy", "s"], "count": [3, 1, 2, 1]}
    )
    figure = question_plots.confusions(counts)
    assert figure.layout.yaxis.scaleanchor == "x"
    assert figure.layout.xaxis.ticktext == figure.layout.yaxis.ticktext == ("s", "iy", "&lt;b&gt;")
    shares = np.asarray(figure.data[0].z, float) ** 2
    np.testing.assert_allclose(shares[0], [0.75, 0.25, np.nan])
    x, y = figure.data[2].x, figure.data[2].y
    assert list(zip(x, y, strict=True))[:3] == [(-0.5, -0.5), (-0.5, 0.5), (0.5, 0.5)]
    assert len(figure.layout.shapes) == 4  # two borders between three groups, across and down
