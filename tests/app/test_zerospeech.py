"""`probe zerospeech` on arrays of its own, on exported frames, and on what is wrong with either."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from benchmarks.fastabx_scores import FREQUENCY, made_up
from lvm_probe import InputError
from lvm_probe.app.cli import main
from lvm_probe.probing.corpora.demo import CORPUS
from lvm_probe.probing.questions import zerospeech
from tests.analysis.test_frame_abx import FASTABX

HEAD = "#file onset offset #phone prev-phone next-phone speaker"


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    rows, features = made_up(1)
    (tmp_path / "planted").mkdir()
    for name, frames in features.items():
        np.save(tmp_path / "planted" / f"{name}.npy", frames)
    (tmp_path / "mine.item").write_text("\n".join([HEAD, *rows, ""]))
    return tmp_path


def test_any_arrays_and_item_file(arrays: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["zerospeech", "--frames", str(arrays), "--item", str(arrays / "mine.item"), "--frequency", str(FREQUENCY)]
    assert main([*argv, "--context", "within,any", "--plot", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    found = {f"{row['speakers']} {row['context']}": row for row in document["results"]}
    for task, error in FASTABX[1].items():
        assert found[task]["error"] == pytest.approx(error, abs=2e-5)  # fastabx computes in single precision
        assert found[task]["ci_low"] < error < found[task]["ci_high"]
    assert main([*argv, "--max-tokens", "4", "--context", "any", "--speakers", "within"]) == 0
    assert "ABX error rate in per cent (chance 50)" in capsys.readouterr().out
    stems = ("zerospeech-mine-100hz-within,any", "zerospeech-mine-100hz-within-any-4tokens")
    names = [*(f"{stem}.csv" for stem in stems), f"{stems[0]}-plot.png", f"{stems[0]}-plot.csv"]
    assert {path.name for path in arrays.iterdir()} >= set(names)


def test_what_is_drawn_depends_on_the_seed_alone(arrays: Path) -> None:
    items = zerospeech.read_items(arrays / "mine.item")
    scores = [
        zerospeech.score(
            arrays / "planted", Fraction(100), some, within_context=False, max_tokens=4, seed=seed
        ).result.error
        for some, seed in ((items, 0), (items, 0), (items, 1))
    ]  # fmt: skip
    assert scores[0] == scores[1] != scores[2]


def test_exported_frames(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export = ["export", "--ckpt", str(tiny), "--corpus", str(CORPUS), "--speaker", "FADA9", "--samples", "1"]
    assert main([*export, "--frames", str(tmp_path), "--acoustic", "mel,mfcc"]) == 0
    capsys.readouterr()
    argv = ["zerospeech", "--frames", str(tmp_path), "--speakers", "within", "--context", "any", "--max-tokens", "5"]
    assert main([*argv, "--json"]) == 0
    rows = {row["layer"]: row for row in json.loads(capsys.readouterr().out)["results"]}
    assert rows.keys() == {"z1", "z2", "mel", "mfcc"}
    assert rows["mfcc"]["error"] < 0.25  # a synthesiser's phones
    assert rows["mfcc"]["frequency_hz"] == 100
    assert rows["mfcc"]["ci_low"] is None  # one speaker
    assert main([*argv, "--unit", "triphone", "--layer", "mfcc"]) == 0
    assert main([*argv, "--layer", "z9"]) == 2
    assert "--layer z9: not in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "no triples|no token"),
        (["f00 0.1 0.2 aa k k"], "mine.item:2: 'f00 0.1 0.2 aa k k' is not a row"),
        (["f00 0.1 x aa k k s"], "mine.item:2: .* is not a row"),
        (["f00 0.2 0.1 aa k k s"], "mine.item:2: spans 0.2 to 0.1 s"),
        (["f99 0.1 0.2 aa k k s"], "f99.npy: no readable array"),
        (["f00 8.1 8.2 aa k k s"], "300 frames, but the token at 8.100 s ends with number 820"),
        (["f00 0.101 0.102 aa k k s"], "no token has a frame of its own at 100 Hz"),
    ],
)
def test_what_is_wrong_with_an_item_file(arrays: Path, rows: list[str], says: str) -> None:
    (arrays / "mine.item").write_text("\n".join([HEAD, *rows, ""]))
    with pytest.raises(InputError, match=says):
        zerospeech.score(arrays / "planted", Fraction(100), zerospeech.read_items(arrays / "mine.item"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "no frames.json here; give --frequency"),
        (["--frequency", "0"], "give frames per second, such as 50 or 16000/512"),
        (["--frequency", "100", "--context", "none"], "--context none: give within or any, or both"),
        (["--frequency", "100", "--max-tokens", "1"], "give 2 or more"),
    ],
)
def test_options_that_do_not_fit(
    arrays: Path, options: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["zerospeech", "--frames", str(arrays), "--item", str(arrays / "mine.item"), *options]
    if "--frequency" in options and options[1] == "0":  # refused by the parser
        with pytest.raises(SystemExit, match="2"):
            main(argv)
    else:
        assert main(argv) == 2
    assert says in capsys.readouterr().err
