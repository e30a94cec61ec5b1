"""The table of the same model with random weights, which an answer is compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lvm_probe import InputError

if TYPE_CHECKING:
    from lvm_probe.probing.features.token_table import TokenTable

SUFFIX = "-untrained"
"""What the untrained model's table is called after the trained one's, to be found without being named."""


def untrained_folder(trained: Path) -> Path:
    """Where "auto" looks for the untrained model's table, given the trained model's folder."""
    folder = trained.absolute()
    return folder.with_name(folder.name + SUFFIX)


def untrained_table(
    trained: TokenTable,
    choice: Literal["auto"] | str | Path | TokenTable | None = "auto",
    notice: Callable[[str], None] = lambda line: None,
) -> TokenTable | None:
    """The untrained model's table.

    Args:
        trained: the trained model's table.
        choice: the table or its folder; None for none; "auto" for the folder named like the trained model's with
            `-untrained`, if it is there.
        notice: called with a line if the folder found by "auto" holds something else, or an unfinished table, which is
            then not used.

    Raises:
        InputError: if the table that was named is not of the same model with random weights.
    """
    from lvm_probe.probing.features import token_table
    from lvm_probe.probing.features.model_identity import same_architecture
    from lvm_probe.probing.questions.rows import check_same_tokens

    if choice is None:
        return None
    found = isinstance(choice, str) and choice == "auto"
    if isinstance(choice, token_table.TokenTable):
        folder, extraction = choice.path, choice.extraction
    else:
        folder = untrained_folder(trained.path) if found else Path(choice)
        if found and not (folder / token_table.EXTRACTION).exists():
            return None
        try:
            extraction = token_table.read_extraction(folder)
        except InputError as error:
            if not found:
                raise
            notice(f"{error}; the comparison with the untrained model is left out")
            return None
    if not extraction.get("untrained") or not same_architecture(extraction, trained.extraction):
        if found:
            notice(f"{folder}: not the untrained model of {trained.path}; it is not used")
            return None
        raise InputError(
            f"{folder}: not the untrained model of {trained.path}; make it with `probe extract --untrained`"
        )
    if isinstance(choice, token_table.TokenTable):
        return choice
    try:
        table = token_table.load(folder, trained.features)
        if found:
            check_same_tokens(*_in_both(table, trained))
        return table
    except InputError as error:
        if not found:
            raise
        notice(f"{error}; the comparison with the untrained model is left out")
        return None


def _in_both(*tables: TokenTable) -> list[TokenTable]:
    """The tokens of the units that both tables have, without features. If they share none, the whole tables."""
    import numpy as np

    units = set[str].intersection(*(set(table.columns["unit"]) for table in tables))
    bare = [replace(table, features={}) for table in tables]
    return [table.select(np.isin(table.columns["unit"], [*units])) for table in bare] if units else bare
