"""The name of a results file: it tells every question from every other, and is the same for the same question."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from itertools import groupby
from pathlib import Path
from typing import Any

from lvm_probe.app.output import csv_file
from lvm_probe.probing.questions.question import Question

MAX_LISTED = 40
"""Characters of a list of names or numbers; a longer one is counted and told apart by a hash."""

_WORDS: dict[str, Callable[[Any], str]] = {
    "method": str,
    "target": str,
    "protocol": str,
    "features": lambda names: listed(list(map(str, names)), "features"),
    "speakers": lambda names: listed(sorted(set(names)), "speakers"),
    "phones": str,
    "phone_set": str,
    "rows": lambda unit: f"{unit}-rows",
    "gender": str,
    "keep_sa": lambda _: "no-sa",
    "keep_closures": lambda _: "no-closures",
    "keep_silence": lambda _: "silence",
    "min_count": lambda n: f"min{n}",
    "height_edges": lambda edges: listed([f"{edge:g}" for edge in edges], "edges"),
    "ks": lambda ks: f"k{listed(_ranges(ks), 'ranges')}",
    "lda_dims": lambda n: f"{n}dims" if n else "no-lda",
    "shrinkage": lambda amount: f"shrinkage{amount}" if isinstance(amount, float) else f"{amount}-shrinkage",
    "match_dims": lambda n: f"matched{n or ''}",
    "context": lambda _: "context",
    "normalise": lambda unit: f"by-{unit}",
    "erase": lambda concept: f"no-{concept}",
    "distance": str,
    "permutations": lambda n: f"null{n}",
    "control": lambda n: f"{n}controls",
    "orders": lambda n: f"{n}orders",
    "seed": lambda n: f"seed{n}",
}
"""A word for every field of `Question`. Beyond the first three it stands in the name where it is not the default."""
_ALWAYS = ("method", "target", "protocol")


def results_file(
    folders: Sequence[Path],
    questions: Sequence[Question],
    test: str | Path | None = None,
    untrained: str | Path | None = None,
) -> Path:
    """A file beside the first table, named after the tables and the question under all its protocols.

    Args:
        folders: of the tables.
        questions: that are asked together.
        test: the table that is asked in place of these, if one is.
        untrained: the option `--untrained`; None where it was not given.

    Example:
        >>> results_file([Path("latents/timit")], [Question(features=("z1+z2", "mel"), ks=(1, 2, 3, 5))]).name
        'timit-knn-phoneme-utterance-z1+z2,mel-k1-3,5.csv'
    """
    asked = ["+".join(dict.fromkeys(_WORDS[field](getattr(one, field)) for one in questions)) for field in _ALWAYS]
    on = "" if test is None else f"on-{Path(test).resolve().name}"
    match untrained:
        case None:
            against = ""
        case "none":
            against = "no-untrained"
        case _:
            against = f"against-{Path(untrained).resolve().name}"
    return beside(folders, on, *asked, *setting_words(questions), against)


def beside(folders: Sequence[Path], *words: str) -> Path:
    """A file beside the first table, named after the tables and these words."""
    names = [folder.name for folder in folders]
    return folders[0].parent / csv_name(names[0] if len(names) == 1 else listed(names, "tables", "+"), *words)


def csv_name(*words: str) -> str:
    """The words that are not empty as the name of a file."""
    return f"{'-'.join(filter(None, words))}.csv"


def setting_words(questions: Sequence[Question], **usual: Any) -> list[str]:
    """A word for every setting of the questions that is not the usual one: what is given here, or the default."""
    usual = {field.name: field.default for field in fields(Question)} | usual
    words = []
    for field, word in _WORDS.items():
        values = [value for one in questions if (value := getattr(one, field)) != usual[field]]
        words.append("" if field in _ALWAYS else "+".join(dict.fromkeys(map(word, values))))
    return words


def answer_file(given: str | None, default: Path) -> Path:
    """The `--out` file if one is given, else the default, with a notice where that is to be replaced."""
    out = csv_file(given or default)
    if not given and out.exists():
        print(f"notice: {out}, the answer to the same question, is replaced", file=sys.stderr)
    return out


def listed(names: Sequence[str], what: str, by: str = ",") -> str:
    """The names, or where they are long or cannot be part of a file's name, their number and a hash."""
    text = by.join(names)
    if len(text) <= MAX_LISTED and re.fullmatch(r"[\w.,+-]+", text):
        return text
    return f"{len(names)}{what}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def _ranges(numbers: Sequence[int]) -> list[str]:
    """1, 2, 3 and 5 as `1-3` and `5`."""
    runs = [[n for _, n in run] for _, run in groupby(enumerate(sorted(set(numbers))), lambda pair: pair[1] - pair[0])]
    return [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
