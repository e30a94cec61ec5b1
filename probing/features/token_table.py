"""The token table: a folder of Parquet parts with one row per token, which `pandas.read_parquet(folder)` reads.

`_extraction.json` beside the parts says how they were made. Its name starts with `_` because Parquet readers take all
other files of a folder for data.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import textwrap
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lvm_probe import InputError
from lvm_probe.models.io.files import check_writable, write_atomically, write_json
from lvm_probe.probing.features.feature import Feature, may_be_unknown

if TYPE_CHECKING:
    import pandas as pd  # slow to import, so only where a data frame is asked for

EXTRACTION = "_extraction.json"
ADDITION = ".addition"
"""Folder inside a table's with the parts of a table to which units or features are being added (`addition`)."""
NOTE = b"lvm-probe"
"""Key of the note in the Parquet metadata of a part."""

_DICTS, _LISTS = ("checkpoint", "corpus", "encoder", "model", "mel", "frame", "versions"), ("also", "layers", "added")
_MAX_PARTS, _MAX_SIZE = 10**8, 2**24  # of a table and of a feature; larger numbers mean a damaged file
TOKEN_FIELDS = [
    ("token_id", pa.string()),
    ("utterance", pa.string()),
    ("speaker", pa.string()),
    ("gender", pa.string()),
    ("height_cm", pa.float64()),
    ("dialect", pa.string()),
    ("split", pa.string()),
    ("unit", pa.string()),
    ("label", pa.string()),
    ("start", pa.int64()),
    ("end", pa.int64()),
    ("sample_rate", pa.int64()),
    ("prompt", pa.string()),
    ("age", pa.float64()),
]
_LATER_FIELDS = {"prompt", "age"}  # tables written before there were any lack the columns
_OPTIONAL_FIELDS = {"gender", "height_cm", "dialect", "split"} | _LATER_FIELDS
_TEXT = pa.dictionary(pa.int32(), pa.string())
_KINDS = {pa.string(): np.object_, pa.float64(): np.float64, pa.int64(): np.int64}
DICTIONARIES = [name for name, _ in TOKEN_FIELDS]
"""Columns stored as dictionaries. Features are not: their numbers hardly repeat, and a dictionary of them makes files
half as large again."""


@dataclass(frozen=True)
class PartNote:
    """What the Parquet metadata of a part says about it.

    Attributes:
        left_out: for the id of each utterance that could not be read, why.
        fingerprint: fingerprint of the other utterances of the part.
    """

    left_out: dict[str, str] = field(default_factory=dict)
    fingerprint: str = ""

    def __post_init__(self) -> None:
        if not (isinstance(self.left_out, dict) and isinstance(self.fingerprint, str)):
            raise TypeError("not a note of lvm-probe")


def schema(features: dict[str, int]) -> pa.Schema:
    """The table's columns: `TOKEN_FIELDS`, then a fixed-size list of float32 for every feature."""
    lists = [(name, pa.list_(pa.float32(), size)) for name, size in features.items()]
    return pa.schema(TOKEN_FIELDS + lists)


def part_name(index: int) -> str:
    return f"part-{index:05d}.parquet"


def write_part(
    folder: Path,
    index: int,
    tokens: Sequence[dict[str, Any]],
    features: dict[str, np.ndarray],
    sizes: dict[str, int],
    note: PartNote | None = None,
) -> None:
    """Write one part, whole or not at all.

    Args:
        folder: folder of the table.
        index: number of the part, from 0.
        tokens: for each row a value for every one of `TOKEN_FIELDS`; what is unknown may be missing.
        features: for each feature an array (tokens, size).
        sizes: names and sizes of the features, in the order of the columns.
        note: what the part says about itself.
    """
    columns = {name: [token.get(name) for token in tokens] for name, _ in TOKEN_FIELDS}
    arrays = [pa.array(columns[name], type) for name, type in TOKEN_FIELDS]
    for name, size in sizes.items():
        flat = pa.array(np.ascontiguousarray(features[name], dtype=np.float32).reshape(-1))
        arrays.append(pa.FixedSizeListArray.from_arrays(flat, size))
    metadata = {NOTE: json.dumps(asdict(note or PartNote()))}
    part = pa.Table.from_arrays(arrays, schema=schema(sizes).with_metadata(metadata))
    with write_atomically(folder / part_name(index)) as temporary:
        pq.write_table(part, temporary, use_dictionary=DICTIONARIES)


@dataclass(frozen=True, repr=False, eq=False)
class TokenTable:
    """A token table read into memory.

    Attributes:
        name: name of its folder.
        path: its folder.
        extraction: content of `_extraction.json`.
        columns: for each of `TOKEN_FIELDS` an array (rows,): numbers, or text as objects. Unknown text is None, an
            unknown height or age NaN.
        features: for each feature a float32 array (rows, size).
    """

    name: str
    path: Path
    extraction: dict[str, Any]
    columns: dict[str, np.ndarray]
    features: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.columns["token_id"])

    def __repr__(self) -> str:
        units = ", ".join(f"{n:,} {unit}" for unit, n in Counter(self.columns["unit"].tolist()).items()) or "none"
        speakers = dict(zip(self.columns["speaker"], self.columns["gender"], strict=True))
        genders = Counter(gender or "unknown gender" for gender in speakers.values())
        by_gender = ", ".join(f"{n} {gender}" for gender, n in sorted(genders.items()))
        features = ", ".join(f"{name} ({array.shape[1]})" for name, array in self.features.items())
        lines = [f"Token table {self.path}", f"  rows      {units}", f"  speakers  {len(speakers)} ({by_gender})"]
        lines += textwrap.wrap(f"  features  {features}", 100, subsequent_indent=" " * 12)
        if source := _source(self.extraction):
            lines.append(f"  from      {source}")
        return "\n".join(lines)

    @cached_property
    def tokens(self) -> pd.DataFrame:
        """The columns as a data frame."""
        fields = [(name, pa.array(self.columns[name], type, from_pandas=True)) for name, type in TOKEN_FIELDS]
        return pa.table(dict(fields)).to_pandas()

    def followed_by(self, other: TokenTable) -> TokenTable:
        """The rows of this table, then those of another, with the features that both have in the same size.

        Args:
            other: a table of the same model, as far as its features are asked.

        Raises:
            InputError: they have no feature in common.
        """
        features = {
            name: np.concatenate([values, other.features[name]])
            for name, values in self.features.items()
            if name in other.features and other.features[name].shape[1] == values.shape[1]
        }
        if not features:
            raise InputError(f"{other.path}: has no feature of {self.path}; extract the same features from both")
        columns = {name: np.concatenate([values, other.columns[name]]) for name, values in self.columns.items()}
        return replace(self, columns=columns, features=features)

    def matrix(self, feature: str | Feature, rows: Any = slice(None)) -> np.ndarray:
        """The values of a feature, in double precision.

        Args:
            feature: its name; `z1+z2` joins the columns of several.
            rows: an index of the wanted rows (default: all).

        Returns:
            An array (rows, dims).

        Raises:
            InputError: the table has no such feature.
        """
        parts = Feature.parse(feature).parts
        for part in parts:
            if part not in self.features:
                raise InputError(f"{self.path}: no feature '{part}'; it has {', '.join(self.features)}")
        return np.concatenate([self.features[part][rows] for part in parts], axis=1, dtype=np.float64)

    def map(self, feature: str | Feature, **options: Any) -> Any:
        """`lvm_probe.plot_map` of this table, with the same options, such as `colour="manner"`."""
        import lvm_probe

        return lvm_probe.plot_map(self, feature, **options)

    def with_feature(self, name: str, array: Any) -> TokenTable:
        """The table with one more feature.

        Args:
            name: letters, digits and underscores.
            array: numbers of shape (rows, dims) or (rows,), in the order of `tokens`; stored in single precision. A
                pandas Series or data frame is put in that order by its index.

        Raises:
            InputError: the name is taken or not an identifier, the array has another number of rows or another index
                than `tokens`, or it holds values that are not finite.

        Example:
            >>> import lvm_probe
            >>> table = lvm_probe.load_table("latents/cwvae")  # doctest: +SKIP
            >>> table = table.with_feature("duration", table.tokens["end"] - table.tokens["start"])  # doctest: +SKIP
        """
        check_feature_name(name, self.features)
        if hasattr(array, "reindex"):  # pandas, which is not imported for this
            if len(array) != len(self) or {*array.index} != {*range(len(self))}:
                raise InputError(
                    f"feature '{name}': its index is not that of the tokens of {self.path}, 0 to {len(self) - 1}; keep "
                    "all of their rows, or give an array in their order"
                )
            array = array.sort_index()
        values = np.asarray(array)
        if values.ndim == 1:
            values = values[:, None]
        if values.ndim != 2 or len(values) != len(self) or not values.shape[1] or values.dtype.kind not in "biuf":
            raise InputError(
                f"feature '{name}': an array of shape {np.shape(array)} and type {values.dtype}; give numbers of shape "
                f"({len(self)}, dims), a row for each row of {self.path}"
            )
        with np.errstate(over="ignore"):
            values = values.astype(np.float32)
        if not np.isfinite(values).all():
            row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
            raise InputError(f"feature '{name}': row {row} holds NaN or infinity in single precision; remove it first")
        extraction = {**self.extraction, "added": [*self.extraction.get("added", []), name]}
        return replace(self, extraction=extraction, features={**self.features, name: values})

    def select(self, rows: np.ndarray) -> TokenTable:
        """The table restricted to the rows where the boolean array `rows` is true."""
        if rows.all():
            return self
        columns, features = (
            {name: array[rows] for name, array in arrays.items()} for arrays in (self.columns, self.features)
        )
        return replace(self, columns=columns, features=features)

    def save(self, folder: str | Path) -> Path:
        """Write the table to a new folder, whole or not at all, so that `load` and `pandas.read_parquet` read it.

        `_extraction.json` is copied; its `added` lists the features that `with_feature` added.

        Args:
            folder: where to; nothing may be there yet.

        Returns:
            The folder.

        Raises:
            InputError: if something is there already, or it cannot be written.
        """
        folder = Path(folder)
        check_writable(folder)
        if folder.exists() and any(folder.iterdir()):
            raise InputError(f"{folder}: not empty; save the table to a new folder")
        sizes = {name: array.shape[1] for name, array in self.features.items()}
        values = zip(*(column.tolist() for column in self.columns.values()), strict=True)
        rows = [dict(zip(self.columns, (None if v != v else v for v in row), strict=True)) for row in values]
        extraction = {**self.extraction, "added": self.extraction.get("added", []), "features": sizes, "parts": 1}
        temporary: Path | None = None
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.absolute().parent))
            temporary.chmod(0o755)
            write_part(temporary, 0, rows, self.features, sizes)
            write_json(temporary / EXTRACTION, extraction)
            temporary.replace(folder)
        except OSError as error:
            raise InputError(f"{folder}: cannot write ({error.strerror or error}); choose another folder") from None
        finally:
            if temporary is not None:
                shutil.rmtree(temporary, ignore_errors=True)
        return folder


def _source(extraction: dict[str, Any]) -> str:
    """The model and the corpus in one line."""
    model, encoder, corpus = ((extraction.get(name) or {}) for name in ("model", "encoder", "corpus"))
    name = (extraction.get("checkpoint") or {}).get("name") or encoder.get("name") or model.get("family")
    parts = [f"untrained {name}" if extraction.get("untrained") else name] if name else []
    if samples := extraction.get("samples"):
        parts.append(f"{samples} draws ({extraction.get('estimator')}), seed {extraction.get('seed')}")
    if context_ms := extraction.get("context_ms"):
        parts.append(f"{context_ms:g} ms of context")
    if "utterances" in corpus:
        parts.append(f"{corpus['utterances']:,} utterances of {corpus.get('name')}")
    return "; ".join(parts)


def columns_of_rows(tokens: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Rows of tokens as the columns of a `TokenTable`."""
    return {name: np.array([token.get(name) for token in tokens], dtype=_KINDS[type]) for name, type in TOKEN_FIELDS}


def check_feature_name(name: str, taken: Iterable[str]) -> None:
    """Raise InputError unless a feature may have this name."""
    if not name.isidentifier():
        raise InputError(f"feature '{name}': not an identifier; use letters, digits and underscores, as in my_layer_1")
    if name in {field for field, _ in TOKEN_FIELDS} | set(taken):
        raise InputError(f"feature '{name}': the table has a column of that name; choose another")


def newest(root: Path = Path("latents")) -> Path:
    """The token table under `root` that was started last; an untrained model's only where there is no other."""
    tables = [path.parent for path in root.glob(f"[!.]*/{EXTRACTION}")]  # hidden folders are still being written
    if not tables:
        raise InputError(f"no token table under {root}/: make one with `probe extract`, or name one with --latents")
    return max(tables, key=lambda path: (not _is_untrained(path), (path / EXTRACTION).stat().st_mtime))


def _is_untrained(folder: Path) -> bool:
    try:
        return bool(read_extraction(folder).get("untrained"))
    except InputError:
        return False


def read_extraction(folder: Path) -> dict[str, Any]:
    """Read `_extraction.json`.

    Raises:
        InputError: the folder is not a token table.
    """
    try:
        document = json.loads((folder / EXTRACTION).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder}: no token table ({EXTRACTION} is missing); make one with `probe extract`") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{folder / EXTRACTION}: unreadable ({error}); extract again into another folder") from None
    if not (isinstance(document, dict) and _is_extraction(document)):
        raise InputError(f"{folder / EXTRACTION}: not what `probe extract` writes; extract again into another folder")
    return document


def _is_extraction(document: dict[str, Any]) -> bool:
    """Whether the values that readers of a table rely on have the right types."""
    features = document.get("features")
    taken = {name for name, _ in TOKEN_FIELDS}
    return (
        isinstance(features, dict)
        and all(_is_count(size, _MAX_SIZE) and name not in taken for name, size in features.items())
        and _is_count(document.get("parts"), _MAX_PARTS)
        and all(isinstance(document.get(name) or {}, dict) for name in _DICTS)
        and all(isinstance(document.get(name) or [], list) for name in _LISTS)
        and isinstance(document.get("context_ms") or 0, int | float)
    )


def _is_count(value: object, maximum: int) -> bool:
    return type(value) is int and 1 <= value <= maximum


def existing_parts(folder: Path, parts: int) -> list[int]:
    """Numbers of the parts in the folder, of so many that the table has; takes time per file, not per part."""
    found = (re.fullmatch(r"part-([0-9]{5,9})\.parquet", path.name) for path in folder.iterdir())
    indices = sorted(int(match[1]) for match in found if match and match[0] == part_name(int(match[1])))
    return [index for index in indices if index < parts]


def _read_part(path: Path, wanted: pa.Schema) -> pa.Table:
    """The columns of a part in this schema, text as dictionaries; InputError if they are damaged or missing."""
    wanted = pa.schema([(field.name, _TEXT if field.type == pa.string() else field.type) for field in wanted])
    try:
        metadata = pq.read_metadata(path)
        present = [name for name in DICTIONARIES if name in metadata.schema.names]
        with pq.ParquetFile(path, metadata=metadata, read_dictionary=present) as file:
            part = file.read(columns=wanted.names, use_threads=False)
        for name in _LATER_FIELDS.intersection(wanted.names).difference(part.column_names):
            part = part.append_column(name, pa.nulls(len(part), wanted.field(name).type))
        part = part.select(wanted.names)
        if part.schema.types != wanted.types:
            part = part.cast(wanted)
        part.validate(full=True)  # also that text is UTF-8
        for name, column in zip(part.column_names, part.columns, strict=True):
            if name in dict(TOKEN_FIELDS) and name not in _OPTIONAL_FIELDS and column.null_count:
                raise ValueError(f"the column {name} lacks values")
        return part
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> InputError:
    reason = " ".join(str(error).split())
    return InputError(f"{path}: this part cannot be read ({reason}); delete it and run the same `probe extract` again")


def read_note(folder: Path, index: int) -> PartNote:
    """The note of a part; an empty one where it has none.

    Raises:
        InputError: the part is damaged.
    """
    path = folder / part_name(index)
    try:
        metadata = pq.read_schema(path).metadata or {}
        return PartNote(**json.loads(metadata[NOTE])) if NOTE in metadata else PartNote()
    except (pa.ArrowException, OSError, RecursionError, TypeError, ValueError) as error:
        raise _damaged(path, error) from None


def read_part(folder: Path, index: int, sizes: dict[str, int]) -> tuple[list[str], dict[str, np.ndarray]]:
    """The ids of the tokens of a part, and for each feature a float32 array (rows, size).

    Raises:
        InputError: the part is damaged.
    """
    features = schema(sizes)
    only = pa.schema([field for field in features if field.name == "token_id" or field.name in sizes])
    part = _read_part(folder / part_name(index), only)
    empty = {name: np.empty((0, size), np.float32) for name, size in sizes.items()}
    return part["token_id"].to_pylist(), {n: np.concatenate([empty[n], *_chunks(part[n])]) for n in sizes}


def is_being_replaced(folder: Path) -> bool:
    """Whether an addition was interrupted while it replaced the parts of this table by completed ones."""
    completed = folder / ADDITION / EXTRACTION
    return completed.exists() and completed.read_bytes() == (folder / EXTRACTION).read_bytes()


def count_rows(folder: Path, parts: int) -> tuple[dict[str, int], set[str]]:
    """Number of rows of each unit in the first `parts` parts, and the ids of their utterances."""
    only = pa.schema([field for field in TOKEN_FIELDS if field[0] in ("utterance", "unit")])
    units: Counter[str] = Counter()
    utterances: set[str] = set()
    for index in range(parts):
        part = _read_part(folder / part_name(index), only)
        units.update(part["unit"].to_pylist())
        utterances.update(part["utterance"].to_pylist())
    return dict(units), utterances


def load(folder: str | Path, only: Collection[str] | None = None) -> TokenTable:
    """Load a token table, such as `lvm_probe.extract` and `probe extract` write.

    Args:
        folder: the table's folder.
        only: load only these features, of those that it has (default: all).

    Returns:
        The table, in memory.

    Raises:
        InputError: it is missing, unfinished or damaged, or a feature holds NaN or infinity.

    Example:
        >>> import lvm_probe
        >>> table = lvm_probe.load_table("latents/cwvae")  # doctest: +SKIP
        >>> table.tokens.groupby("speaker").size()  # doctest: +SKIP
    """
    folder = Path(folder)
    extraction = read_extraction(folder)
    existing = existing_parts(folder, extraction["parts"])
    if missing := extraction["parts"] - len(existing):
        raise InputError(
            f"{folder}: {missing} of {extraction['parts']} parts are missing: the extraction was interrupted; run the "
            "same `probe extract` again: it does only what is missing"
        )
    if is_being_replaced(folder):
        raise InputError(f"{folder}: `probe extract --add` was interrupted; run the same command again")
    wanted = schema({name: n for name, n in extraction["features"].items() if only is None or name in only})
    arrays: dict[str, list[np.ndarray]] = {name: [np.empty(0, _KINDS[type])] for name, type in TOKEN_FIELDS}
    arrays |= {
        name: [np.empty((0, wanted.field(name).type.list_size), np.float32)] for name in wanted.names[len(arrays) :]
    }
    for index in existing:
        part = _read_part(folder / part_name(index), wanted)
        for name, chunks in arrays.items():
            chunks += _chunks(part[name])
    # Each column's chunks are freed before the next column is joined, so that little is in memory twice.
    features = {name: np.concatenate(arrays.pop(name)) for name in list(arrays)}
    columns = {name: features.pop(name) for name, _ in TOKEN_FIELDS}
    for name, values in features.items():
        if not may_be_unknown(name) and not np.isfinite(values).all():
            raise InputError(f"{folder}: feature '{name}' holds NaN or infinity; extract it again")
    return TokenTable(folder.name, folder, extraction, columns, features)


def _chunks(column: pa.ChunkedArray) -> list[np.ndarray]:
    """The chunks of a column as arrays, text as shared objects. Arrow's own conversion would import pandas."""
    if pa.types.is_dictionary(column.type):
        return [_texts(chunk) for chunk in column.chunks]
    if pa.types.is_fixed_size_list(column.type):
        return [_lists(chunk) for chunk in column.chunks]
    return [_numbers(chunk) for chunk in column.chunks]


def _texts(array: pa.DictionaryArray) -> np.ndarray:
    """Text as objects; None where it is missing."""
    names = np.array([*array.dictionary.to_pylist(), None], dtype=object)
    if array.null_count == 0:
        return names[np.from_dlpack(array.indices)]
    return names[[-1 if code is None else code for code in array.indices.to_pylist()]]


def _lists(array: pa.FixedSizeListArray) -> np.ndarray:
    """Fixed-size lists as rows; NaN where they are missing."""
    size = array.type.list_size
    if array.null_count:
        return np.array([row or [np.nan] * size for row in array.to_pylist()], dtype=np.float32)
    return _numbers(array.values.slice(array.offset * size, len(array) * size)).reshape(-1, size)  # noqa: PD011


def _numbers(array: pa.Array) -> np.ndarray:
    """Numbers, NaN where they are missing; a copy, because Arrow reuses the memory for the next part."""
    return np.from_dlpack(array).copy() if array.null_count == 0 else np.array(array.to_pylist(), dtype=np.float64)
