from dataclasses import replace
from pathlib import Path

from tests.app.conftest import Probe, Refusal
from tests.probing.test_boundaries import planted


def test_results_and_their_picture_are_written_beside_the_table(tmp_path: Path, probe: Probe) -> None:
    table = planted()
    folder = replace(table, name="t").save(tmp_path / "t")
    result = probe("boundaries", "--latents", folder, "--target", "manner", "--reach", "20ms", "--plot")
    stem = tmp_path / "t-boundaries-lda-manner-speaker-20ms"
    names = [f"{stem}.csv", *(f"{stem}-plot.{kind}" for kind in ("pdf", "svg", "png", "csv"))]
    assert result["wrote"] == names
    assert all(Path(name).is_file() for name in names)
    assert {row["offset_ms"] for row in result["results"]} == {-15, -5, 5, 15}


def test_another_question_has_a_file_of_its_own(tmp_path: Path, probe: Probe, refused: Refusal) -> None:
    folder = replace(planted(), name="t").save(tmp_path / "t")
    argv = ("boundaries", "--latents", folder, "--target", "manner", "--reach", "10ms", "--permutations", 0)
    for more, words in (
        (["--features", "mel"], "lda-manner-speaker-mel-null0"),
        (["--features", "z1", "--seed", 5], "lda-manner-speaker-z1-null0-seed5"),
    ):
        assert probe(*argv, *more)["wrote"] == [str(tmp_path / f"t-boundaries-{words}-10ms.csv")]
    assert "inside a token table" in refused(*argv, "--out", folder / "b.csv")
