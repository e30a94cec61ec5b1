"""Units and features added to a token table: its values are taken over, and only what is missing is computed.

The completed parts are written to a folder inside the table's. Until all of them are there, the table stays as it was.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lvm_probe import InputError
from lvm_probe.models.io.files import remove_unfinished, write_atomically
from lvm_probe.probing.corpora.corpus import Segment
from lvm_probe.probing.features import token_table
from lvm_probe.probing.features.extraction_settings import FRAME_MS, Settings
from lvm_probe.probing.features.feature import CONTEXT, MEASURES
from lvm_probe.probing.features.token_table import ADDITION, EXTRACTION

WITHOUT_MODEL = {name + ending for name in ("mfcc", "stats") for ending in ("", *CONTEXT)} | set(MEASURES)
"""Features that can be added without running the model."""
_MAY_DIFFER = ("expected_tokens", "features", "also", "context_ms", "layers", "versions", "begun")


class Compute(Protocol):
    """Gives the features of some segments, without running the model only those that need none."""

    def __call__(self, segments: Sequence[Segment], *, run_model: bool) -> dict[str, np.ndarray]: ...


def units_wanted(asked: Sequence[str] | None, table: Path, *, add: bool) -> tuple[str, ...]:
    """The units that were asked for; by default phonemes, or those of the table to which something is added."""
    if asked is not None:
        return tuple(asked)
    return units_of(table) if add else ("phoneme",)


def frame_step(asked: float | None, table: Path, *, add: bool) -> float:
    """The step of frames that was asked for in ms; by default that of the table to which something is added, or 10."""
    if asked is not None:
        return asked
    there = token_table.read_extraction(table).get("frame") if add else None
    return float((there or {}).get("step_ms", FRAME_MS))


def units_of(table: Path) -> tuple[str, ...]:
    """The units of a table."""
    return tuple(token_table.read_extraction(table).get("expected_tokens") or ())


def extended(settings: Settings, table: Path) -> Settings:
    """The settings with the units and features that the table has already, these first.

    Raises:
        InputError: there is no such table, it is unfinished, or it has another context, or features that `with_feature`
            added.
    """
    found = token_table.read_extraction(table)
    if "added" in found:
        raise InputError(f"{table}: holds a table with features of your own; add to the table that it was made from")
    if len(token_table.existing_parts(table, found["parts"])) < found["parts"]:
        raise InputError(f"{table}: unfinished; first finish it by the same command as before, without --add")
    there, asked = found.get("context_ms"), settings.context_ms
    if there is not None and asked not in (None, there):
        raise InputError(
            f"{table}: has {there:g} ms of context, and a table has only one; leave --context out, or choose "
            "another --out"
        )
    frames = (found.get("frame") or {}).get("step_ms", settings.frame_ms)
    if frames != settings.frame_ms:
        raise InputError(
            f"{table}: has frames of {frames:g} ms, and a table has only one step; leave --frame-step out, or choose "
            "another --out"
        )
    return replace(
        settings,
        units=(*units_of(table), *settings.units),
        also=(*(found.get("also") or ()), *settings.also),
        context_ms=there if asked is None else asked,
    )


def is_needed(table: Path, wanted: dict[str, Any]) -> bool:
    """Whether a table lacks units or features.

    Args:
        table: its folder.
        wanted: what `_extraction.json` is to say.

    Raises:
        InputError: it was made in another way otherwise; the message names what differs.
    """
    found = token_table.read_extraction(table)
    new = [wanted[of].keys() - (found.get(of) or {}).keys() for of in ("features", "expected_tokens")]
    ignored = {*_MAY_DIFFER, "corpus", *new[0], *new[1]}  # what is said of new features and units is new too
    differing = [name for name in wanted if name not in ignored and found.get(name) != wanted[name]]
    if (found.get("corpus") or {}).get("fingerprint") != wanted["corpus"]["fingerprint"]:
        differing.append("corpus")
    if not differing:
        kept = ("expected_tokens", "features")
        differing = [name for name in kept if not found[name].items() <= wanted[name].items()]
    if differing:
        raise InputError(
            f"{table}: was made in another way (its {', '.join(differing)} differ), so nothing can be added; give the "
            "options that it was made with, or choose another --out"
        )
    return any(found[name] != wanted[name] for name in ("expected_tokens", "features"))


@dataclass(frozen=True)
class ExistingPart:
    """The tokens of a part of a table.

    Attributes:
        rows: the row of each token, by its id.
        features: for each feature a float32 array (rows, size).
    """

    rows: dict[str, int]
    features: dict[str, np.ndarray]

    @classmethod
    def read(cls, table: Path, index: int) -> ExistingPart:
        """Read a part.

        Raises:
            InputError: it is damaged.
        """
        ids, features = token_table.read_part(table, index, token_table.read_extraction(table)["features"])
        return cls({id: row for row, id in enumerate(ids)}, features)

    def completed(
        self,
        ids: Sequence[str],
        segments: Sequence[Segment],
        sizes: dict[str, int],
        compute: Compute,
    ) -> dict[str, np.ndarray]:
        """All features of an utterance's tokens.

        Args:
            ids: of the tokens.
            segments: of the tokens.
            sizes: names and lengths of the features.
            compute: gives the features of some segments.
        """
        known = np.array([self.rows.get(id, -1) for id in ids])
        new = [name for name in sizes if name not in self.features]
        run = known < 0 if set(new) <= WITHOUT_MODEL else np.ones(len(ids), dtype=bool)
        values = {name: np.empty((len(ids), size), np.float32) for name, size in sizes.items()}
        for model, which in ((True, run), (False, ~run)):
            if which.any() and (model or new):
                chosen = [segment for segment, wanted in zip(segments, which, strict=True) if wanted]
                for name, computed in compute(chosen, run_model=model).items():
                    values[name][which] = computed
        for name, old in self.features.items():
            values[name][known >= 0] = old[known[known >= 0]]
        return values


def begin(table: Path, description: dict[str, Any]) -> Path:
    """The folder for completed parts; those of another addition that was interrupted are removed."""
    folder = table / ADDITION
    if folder.exists():
        try:
            found = token_table.read_extraction(folder)
        except InputError:
            found = {}
        if any(found.get(name) != value for name, value in description.items() if name not in ("begun", "versions")):
            shutil.rmtree(folder)
        else:
            remove_unfinished(folder)
    return folder


def finish(table: Path, parts: int) -> None:
    """Replace the table's parts by the completed ones; if this is interrupted, `resume` goes on."""
    text = (table / ADDITION / EXTRACTION).read_text(encoding="utf-8")
    with write_atomically(table / EXTRACTION) as temporary:
        temporary.write_text(text, encoding="utf-8")
    for index in token_table.existing_parts(table / ADDITION, parts):
        (table / ADDITION / token_table.part_name(index)).replace(table / token_table.part_name(index))
    shutil.rmtree(table / ADDITION)


def resume(table: Path) -> None:
    """Finish an addition that was interrupted while it replaced the parts."""
    if token_table.is_being_replaced(table):
        finish(table, token_table.read_extraction(table)["parts"])
