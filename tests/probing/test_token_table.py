import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lvm_probe import InputError
from lvm_probe.models.io.files import check_writable, write_json
from lvm_probe.probing.features import token_table

SIZES = {"z1": 4, "z1_var": 4, "mel": 3}
NAMES = [name for name, _ in token_table.TOKEN_FIELDS]


def token(index: int, **fields: Any) -> dict[str, Any]:
    row = {
        "token_id": f"U_{index}", "utterance": "U", "speaker": "S", "gender": "F", "height_cm": 170.0,
        "dialect": None, "split": None, "unit": "phoneme", "label": "iy", "start": index * 10,
        "end": index * 10 + 10, "sample_rate": 16000, "prompt": "SX37", "age": 33.0,
    }  # fmt: skip
    return row | fields


def values(rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {name: random.normal(size=(rows, size)) for name, size in SIZES.items()}


def write(folder: Path, parts: int = 2, rows: int = 3, **extraction: Any) -> Path:
    document = {"parts": parts, "features": SIZES, "seed": 0} | extraction
    write_json(folder / token_table.EXTRACTION, document)
    for index in range(parts):
        tokens = [token(index * rows + i) for i in range(rows)]
        token_table.write_part(folder, index, tokens, values(rows, index), SIZES)
    return folder


def test_pandas_just_reads_the_folder(tmp_path: Path) -> None:
    folder = write(tmp_path / "t")
    frame = pd.read_parquet(folder)
    assert list(frame.columns) == [
        "token_id", "utterance", "speaker", "gender", "height_cm", "dialect", "split", "unit", "label",
        "start", "end", "sample_rate", "prompt", "age", "z1", "z1_var", "mel",
    ]  # fmt: skip
    assert len(frame) == 6
    assert frame["start"].dtype == frame["sample_rate"].dtype == np.int64
    assert frame["height_cm"].dtype == np.float64
    assert frame["dialect"].isna().all()
    assert frame["z1"].iloc[0].dtype == np.float32
    np.testing.assert_array_equal(np.stack(frame["z1"][3:]), values(3, 1)["z1"].astype(np.float32))


def test_a_table_from_before_prompts_and_ages_is_read_with_these_unknown(tmp_path: Path) -> None:
    folder = write(tmp_path / "t")
    for path in folder.glob("*.parquet"):
        old = pq.read_table(path)
        pq.write_table(old.drop_columns(["prompt", "age"]), path)
    table = token_table.load(folder)
    assert table.columns["prompt"].tolist() == [None] * 6
    assert np.isnan(table.columns["age"]).all()
    assert table.tokens["prompt"].isna().all()
    assert table.tokens["label"].tolist() == ["iy"] * 6
    again = token_table.load(table.save(tmp_path / "again"))
    assert again.columns["prompt"].tolist() == [None] * 6


def test_features_are_fixed_size_lists_of_float32(tmp_path: Path) -> None:
    written = pq.read_schema(write(tmp_path / "t") / "part-00000.parquet")
    for name, size in SIZES.items():
        assert written.field(name).type == pa.list_(pa.float32(), size)
    assert written.equals(token_table.schema(SIZES))


def test_what_was_written_is_loaded(tmp_path: Path) -> None:
    loaded = token_table.load(write(tmp_path / "t"))
    assert (loaded.name, loaded.path) == ("t", tmp_path / "t")
    assert list(loaded.tokens.columns) == NAMES
    assert loaded.tokens["token_id"].tolist() == [f"U_{i}" for i in range(6)]
    expected = np.concatenate([values(3, i)["mel"] for i in range(2)]).astype(np.float32)
    np.testing.assert_array_equal(loaded.features["mel"], expected)


def test_only_the_features_asked_for_are_read(tmp_path: Path) -> None:
    loaded = token_table.load(write(tmp_path / "t"), ["mel", "z9"])
    assert list(loaded.features) == ["mel"]
    np.testing.assert_array_equal(loaded.features["mel"], token_table.load(tmp_path / "t").features["mel"])


def test_features_are_joined_and_rows_selected(tmp_path: Path) -> None:
    loaded = token_table.load(write(tmp_path / "t"))
    joined = loaded.matrix("z1+mel")
    assert joined.dtype == np.float64
    np.testing.assert_array_equal(joined, np.hstack([loaded.features["z1"], loaded.features["mel"]]))
    some = loaded.select(loaded.tokens["start"].to_numpy() >= 30)
    assert some.tokens["token_id"].tolist() == ["U_3", "U_4", "U_5"]
    np.testing.assert_array_equal(some.matrix("z1+mel"), joined[3:])
    with pytest.raises(InputError, match="no feature 'z9'; it has z1, z1_var, mel"):
        loaded.matrix("z1+z9")


def test_a_part_without_rows_is_read_too(tmp_path: Path) -> None:
    folder = write(tmp_path / "t", parts=1)
    write_json(folder / token_table.EXTRACTION, {"parts": 2, "features": SIZES})
    token_table.write_part(folder, 1, [], values(0), SIZES)
    assert len(pd.read_parquet(folder)) == len(token_table.load(folder).tokens) == 3


def test_a_part_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(part: pa.Table, path: Path, **options: object) -> None:
        Path(path).write_bytes(b"PAR1")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(token_table.pq, "write_table", half)
    with pytest.raises(InputError, match=r"part-00000.parquet: cannot write \(No space left on device\)"):
        token_table.write_part(tmp_path / "t", 0, [token(0)], values(1), SIZES)
    assert list((tmp_path / "t").iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, pa.ArrowInvalid])
def test_an_interruption_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    folder = write(tmp_path / "t", parts=1)
    before = (folder / "part-00000.parquet").read_bytes()

    def interrupted(part: pa.Table, path: Path, **options: object) -> None:
        Path(path).write_bytes(b"PAR1")
        raise error

    monkeypatch.setattr(token_table.pq, "write_table", interrupted)
    with pytest.raises(error):
        token_table.write_part(folder, 0, [token(0)], values(1), SIZES)
    assert (folder / "part-00000.parquet").read_bytes() == before
    assert len(list(folder.iterdir())) == 2


def test_where_nothing_can_be_written_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file/t/x.json: cannot write here .*; choose another folder"):
        write_json(tmp_path / "file" / "t" / "x.json", {})
    for folder in ("file", "file/t", "file/t/u"):
        with pytest.raises(InputError, match=f"{folder}: cannot write here .*/file is a file"):
            check_writable(tmp_path / folder)
    check_writable(tmp_path / "new" / "newer")
    assert not (tmp_path / "new").exists()


def test_an_unfinished_table_is_refused_with_the_cure(tmp_path: Path) -> None:
    folder = write(tmp_path / "t", parts=3)
    (folder / "part-00001.parquet").unlink()
    with pytest.raises(InputError, match=r"t: 1 of 3 parts are missing.* run the same `probe extract` again"):
        token_table.load(folder)


@pytest.mark.parametrize("damage", ["cut", "foreign", "empty", "other columns", "other sizes", "no label", "no start"])
def test_a_damaged_part_is_named(tmp_path: Path, damage: str) -> None:
    folder = write(tmp_path / "t")
    part = folder / "part-00001.parquet"
    match damage:
        case "cut":
            part.write_bytes(part.read_bytes()[:-100])
        case "foreign":
            part.write_text("token_id,utterance\n")
        case "empty":
            part.write_bytes(b"")
        case "other columns":
            pq.write_table(pa.table({"token_id": ["a"]}), part)
        case "other sizes":
            token_table.write_part(folder, 1, [token(0)], {"z1": np.zeros((1, 2))}, {"z1": 2})
        case "no label" | "no start":
            token_table.write_part(folder, 1, [token(0, **{damage[3:]: None})], values(1), SIZES)
    with pytest.raises(InputError, match="part-00001.parquet: this part cannot be read .*; delete it") as caught:
        token_table.load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused_but_a_variance_may_be(tmp_path: Path, bad: float) -> None:
    folder = write(tmp_path / "t", parts=1)
    spoilt = values(3)
    spoilt["z1_var"][1, 2] = bad
    token_table.write_part(folder, 0, [token(i) for i in range(3)], spoilt, SIZES)
    assert not np.isfinite(token_table.load(folder).features["z1_var"]).all()
    spoilt["mel"][1, 2] = bad
    token_table.write_part(folder, 0, [token(i) for i in range(3)], spoilt, SIZES)
    with pytest.raises(InputError, match="t: feature 'mel' holds NaN or infinity"):
        token_table.load(folder)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"parts": "two", "features": {}}', '{"parts": 1, "features": []}', "\xff"]
)
def test_a_foreign_extraction_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / token_table.EXTRACTION).write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=f"{token_table.EXTRACTION}: .*extract again") as caught:
        token_table.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_no_table_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InputError, match="no token table .*make one with `probe extract`"):
            token_table.load(folder)


def test_the_newest_table_is_the_one_begun_last(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no token table under .*`probe extract`, or name one with --latents"):
        token_table.newest(tmp_path / "latents")
    for age, name in enumerate(("b", "a", "c")):
        folder = write(tmp_path / "latents" / name, parts=1)
        os.utime(folder / token_table.EXTRACTION, (1e9 - age, 1e9 - age))
    (tmp_path / "latents" / "other").mkdir()
    write(tmp_path / "latents" / ".b.being-saved", parts=1)
    assert token_table.newest(tmp_path / "latents") == tmp_path / "latents" / "b"
    made_by = tmp_path / "latents" / "b" / token_table.EXTRACTION
    made_by.write_text(json.dumps(json.loads(made_by.read_text()) | {"untrained": True}))
    assert token_table.newest(tmp_path / "latents") == tmp_path / "latents" / "a"  # extracted for comparison with it


def test_rows_are_counted_by_unit_and_utterances_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "t")
    token_table.write_part(folder, 0, [token(0, unit="word"), token(1)], values(2), SIZES)
    token_table.write_part(folder, 1, [token(2, utterance="V"), token(3), token(4)], values(3), SIZES)
    assert token_table.count_rows(folder, 2) == ({"word": 1, "phoneme": 4}, {"U", "V"})


def test_a_part_keeps_its_note_and_readers_do_not_mind(tmp_path: Path) -> None:
    folder = write(tmp_path / "t")
    note = token_table.PartNote({"V": "v.flac: damagé"}, "abc")
    token_table.write_part(folder, 1, [token(3)], values(1), SIZES, note)
    assert token_table.read_note(folder, 0) == token_table.PartNote()
    assert token_table.read_note(folder, 1) == note
    assert len(pd.read_parquet(folder)) == len(token_table.load(folder).tokens) == 4


@pytest.mark.parametrize("text", ["", "{", "[]", '{"other": 1}'])
def test_a_foreign_note_names_the_part(tmp_path: Path, text: str) -> None:
    pq.write_table(
        pa.table({"a": [1]}).replace_schema_metadata({token_table.NOTE: text}), tmp_path / "part-00000.parquet"
    )
    with pytest.raises(InputError, match="part-00000.parquet: this part cannot be read .*; delete it"):
        token_table.read_note(tmp_path, 0)
    pq.write_table(pa.table({"a": [1]}), tmp_path / "part-00000.parquet")
    assert token_table.read_note(tmp_path, 0) == token_table.PartNote()
    (tmp_path / "part-00000.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="part-00000.parquet: this part cannot be read"):
        token_table.read_note(tmp_path, 0)


def test_json_is_readable_by_people(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": "é", "b": [1]})
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"a": "é", "b": [1]}
    assert "é" in text
    assert (tmp_path / "x.json").stat().st_mode & 0o777 == 0o644


# A feature of one's own


def test_an_array_of_one_s_own_is_saved_beside_the_others(tmp_path: Path) -> None:
    loaded = token_table.load(write(tmp_path / "t", checkpoint={"name": "x"}, layers=["z1"]))
    array = np.arange(12.0).reshape(6, 2)
    loaded.with_feature("mine", array).with_feature("two", [1, 2, 3, 4, 5, 6]).save(tmp_path / "new" / "mine")
    again = token_table.load(tmp_path / "new" / "mine")
    np.testing.assert_array_equal(again.features["mine"], array)
    np.testing.assert_array_equal(again.matrix("two"), np.arange(1.0, 7.0)[:, None])
    for name in SIZES:
        np.testing.assert_array_equal(again.features[name], loaded.features[name])
    pd.testing.assert_frame_equal(again.tokens, loaded.tokens)
    frame = pd.read_parquet(tmp_path / "new" / "mine")
    assert frame["dialect"].isna().all()
    assert list(frame.columns)[-5:] == ["z1", "z1_var", "mel", "mine", "two"]
    said = token_table.read_extraction(tmp_path / "new" / "mine")
    assert (said["added"], said["parts"]) == (["mine", "two"], 1)
    assert (said["checkpoint"], said["layers"]) == ({"name": "x"}, ["z1"])
    assert "added" not in loaded.extraction
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["mine"]


def test_a_selection_and_an_empty_table_are_saved_too(tmp_path: Path) -> None:
    loaded = token_table.load(write(tmp_path / "t"))
    for rows in (0, 2):
        some = loaded.select(np.arange(6) < rows)
        assert len(token_table.load(some.save(tmp_path / f"{rows}")).tokens) == rows


@pytest.mark.parametrize(
    ("name", "array", "says"),
    [
        ("mine", np.zeros((5, 2)), r"'mine': an array of shape \(5, 2\).*shape \(6, dims\), a row for each row of .*t"),
        ("mine", np.zeros((6, 2, 1)), r"shape \(6, 2, 1\)"),
        ("mine", np.zeros((6, 0)), r"shape \(6, 0\)"),
        ("mine", np.array(list("abcdef")), "type <U1; give numbers"),
        ("mine", np.array([[1.0]] * 4 + [[np.nan]] * 2), "row 4 holds NaN or infinity"),
        ("mine", np.full((6, 1), 1e39), "row 0 holds NaN or infinity in single precision"),
        ("mine", pd.Series(range(6), range(1, 7)), "'mine': its index is not that of the tokens of .*t, 0 to 5"),
        ("mine", pd.Series([1.0], ["a"]), "'mine': its index"),
        ("mel", np.zeros((6, 1)), "'mel': the table has a column of that name"),
        ("label", np.zeros((6, 1)), "'label': the table has a column of that name"),
        ("my-layer", np.zeros((6, 1)), "'my-layer': not an identifier"),
    ],
)
def test_what_no_feature_can_be_is_refused(tmp_path: Path, name: str, array: Any, says: str) -> None:
    loaded = token_table.load(write(tmp_path / "t"))
    with pytest.raises(InputError, match=says):
        loaded.with_feature(name, array)


def test_pandas_features_follow_their_index(tmp_path: Path) -> None:
    loaded = token_table.load(write(tmp_path / "t"))
    shuffled = loaded.tokens["start"].sample(frac=1, random_state=0)
    assert (loaded.with_feature("start_again", shuffled).features["start_again"][:, 0] == loaded.tokens["start"]).all()


def test_a_table_is_saved_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = token_table.load(write(tmp_path / "t"))
    with pytest.raises(InputError, match="t: not empty; save the table to a new folder"):
        loaded.save(tmp_path / "t")

    def interrupted(path: Path, document: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(token_table, "write_json", interrupted)
    with pytest.raises(KeyboardInterrupt):
        loaded.save(tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["t"]
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: cannot write here"):
        loaded.save(tmp_path / "file")
