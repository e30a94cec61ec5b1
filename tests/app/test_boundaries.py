from dataclasses import replace
from pathlib import Path

from tests.app.conftest import Probe
from tests.probing.test_boundaries import planted


def test_results_and_their_picture_are_written_beside_the_table(tmp_path: Path, probe: Probe) -> None:
    table = planted()
    folder = replace(table, name="t").save(tmp_path / "t")
    result = probe("boundaries", "--latents", folder, "--target", "manner", "--reach", "20ms", "--plot")
    stem = tmp_path / "t-boundaries-manner-speaker"
    names = [f"{stem}.csv", *(f"{stem}-plot.{kind}" for kind in ("pdf", "svg", "png", "csv"))]
    assert result["wrote"] == names
    assert all(Path(name).is_file() for name in names)
    assert {row["offset_ms"] for row in result["results"]} == {-15, -5, 5, 15}
