"""The name of a results file: it tells every question from every other, and is the same for the same question."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from lvm_probe.probing.questions.question import Question

MAX_LISTED = 40
"""Characters of a list of names or numbers; a longer one is counted and told apart by a hash."""

_WORDS: dict[str, Callable[[Any], str]] = {
    "method": str,
    "target": str,
    "protocol": str,
    "features": lambda names: _listed(list(map(str, names)), "features"),
    "speakers": lambda names: _listed(sorted(set(names)), "speakers"),
    "phones": str,
    "phone_set": str,
    "rows": lambda unit: f"{unit}-rows",
    "gender": str,
    "keep_sa": lambda _: "no-sa",
    "keep_closures": lambda _: "no-closures",
    "keep_silence": lambda _: "silence",
    "min_count": lambda n: f"min{n}",
    "height_edges": lambda edges: _listed([f"{edge:g}" for edge in edges], "edges"),
    "ks": lambda ks: f"k{_listed(_ranges(ks), 'ranges')}",
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


def results_file(folders: Sequence[Path], questions: Sequence[Question], test: str | Path | None = None) -> Path:
    """A file beside the first table, named after the tables and the question under all its protocols.

    Example:
        >>> results_file([Path("latents/timit")], [Question(features=("z1+z2", "mel"), ks=(1, 2, 3, 5))]).name
        'timit-knn-phoneme-utterance-z1+z2,mel-k1-3,5.csv'
    """
    first, plain = questions[0], Question
    words = ["+".join(folder.name for folder in folders)]
    if test is not None:
        words.append(f"on-{Path(test).resolve().name}")
    for field, word in _WORDS.items():
        values = [getattr(question, field) for question in questions]
        if field in _ALWAYS:
            words.append("+".join(dict.fromkeys(word(value) for value in values)))
        elif getattr(first, field) != plain.__dataclass_fields__[field].default:
            words.append(word(values[0]))
    return folders[0].parent / f"{'-'.join(words)}.csv"


def _listed(names: Sequence[str], what: str) -> str:
    """The names, or where they are long or cannot be part of a file's name, their number and a hash."""
    listed = ",".join(names)
    if len(listed) <= MAX_LISTED and re.fullmatch(r"[\w.,+-]+", listed):
        return listed
    return f"{len(names)}{what}-{hashlib.sha256(listed.encode()).hexdigest()[:6]}"


def _ranges(numbers: Sequence[int]) -> list[str]:
    """1, 2, 3 and 5 as `1-3` and `5`."""
    runs = [[n for _, n in run] for _, run in groupby(enumerate(sorted(set(numbers))), lambda pair: pair[1] - pair[0])]
    return [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
