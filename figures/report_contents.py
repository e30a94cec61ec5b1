"""What the report says about the data, the models and the settings behind its figures."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lvm_probe.figures.figure_cache import ReportItem
from lvm_probe.figures.html_report import MissingItem, Report
from lvm_probe.figures.inputs import FigureInputs
from lvm_probe.models.checkpoints.shipped_checkpoints import shipped

Facts = tuple[tuple[str, str], ...]


def contents(
    inputs: FigureInputs,
    items: Sequence[ReportItem],
    missing: Sequence[MissingItem],
    *,
    notices: Sequence[str],
    command: str,
    versions: Mapping[str, str],
) -> Report:
    """The report of these figures and tables. Paths become names, so that it is the same wherever the files lie."""
    tokens, extraction = inputs.table.tokens, inputs.table.extraction
    model, corpus = (extraction.get(part) or {} for part in ("checkpoint", "corpus"))
    counts = ", ".join(f"{n:,} {unit} rows" for unit, n in tokens["unit"].value_counts().sort_index().items())
    speakers = f"{tokens['speaker'].nunique()} speakers"
    source = f" of {corpus['name']}" if corpus.get("name") else ""
    untrained = ", untrained (random weights)" if extraction.get("untrained") else ""
    return Report(
        title=f"What the features of {inputs.table.name} encode",
        about=f"Features of {model.get('name', 'an unnamed model')}{untrained}: {counts}, {speakers}{source}.",
        items=tuple(items),
        missing=tuple(replace(item, reason=without_paths(item.reason, inputs)) for item in missing),
        notices=tuple(notices),
        command=command,
        facts=tuple(_facts(inputs, counts, speakers, versions)),
        cards=tuple(_cards(inputs)),
    )


def without_paths(text: str, inputs: FigureInputs) -> str:
    """The text with the names of tables, checkpoints and corpus in place of their paths."""
    tables = [table for table in (inputs.table, inputs.untrained, *inputs.others) if table is not None]
    names = {str(table.path): table.path.name for table in tables}
    names |= {str(loaded.path): name for name, loaded in inputs.checkpoints.items()}
    if inputs.corpus is not None:
        names[str(inputs.corpus.root)] = inputs.corpus.root.name
    for path in sorted(names, key=len, reverse=True):
        text = text.replace(path, names[path] or path)
    return text


def file_sha256(path: Path) -> str:
    """The digest that a token table names its checkpoint by."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _facts(
    inputs: FigureInputs, counts: str, speakers: str, versions: Mapping[str, str]
) -> Iterator[tuple[str, Facts]]:
    extraction = inputs.table.extraction
    model, corpus, config = (extraction.get(part) or {} for part in ("checkpoint", "corpus", "model"))
    yield (
        "Data",
        _known(
            ("token table", inputs.table.name),
            ("rows", counts),
            ("speakers", speakers),
            ("corpus", corpus.get("name")),
            ("utterances", corpus.get("utterances")),
            ("corpus fingerprint", corpus.get("fingerprint")),
        ),
    )
    features = _known(
        ("checkpoint", model.get("name")),
        ("its SHA-256", model.get("sha256")),
        ("trained on", model.get("trained_on")),
        ("family", config.get("family")),
        ("strides (samples)", ", ".join(map(str, config.get("strides", [])))),
        ("latents (dimensions)", ", ".join(map(str, config.get("latents", [])))),
        ("untrained", "yes: random weights" if extraction.get("untrained") else None),
        ("Monte Carlo draws", extraction.get("samples")),
        ("estimator", extraction.get("estimator")),
        ("seed", extraction.get("seed")),
        ("Mel", _listed(extraction.get("mel") or {})),
        ("columns (dimensions)", _listed({name: f"({size})" for name, size in extraction.get("features", {}).items()})),
        ("versions", _listed(extraction.get("versions") or {})),
    )
    if features:
        yield "Features", features
    yield (
        "Compared with",
        _known(
            ("untrained model's table", inputs.untrained.name if inputs.untrained else "none"),
            ("further tables", ", ".join(table.name for table in inputs.others)),
            *((f"checkpoint {name}", f"SHA-256 {loaded.sha256}") for name, loaded in inputs.checkpoints.items()),
            ("corpus for likelihoods", inputs.corpus and inputs.corpus.name),
            ("its fingerprint", inputs.corpus and inputs.corpus.fingerprint()),
        ),
    )
    yield (
        "Settings",
        _known(
            ("speaker shown", inputs.speaker or "the one with the most phonemes"),
            (
                "LDA axes fitted on",
                "other tokens" if inputs.fit == "held-out" else "the tokens shown (paper protocol)",
            ),
            ("phone labels folded to", inputs.phones),
            ("phone labels written in", inputs.phone_set),
            ("permutations", "by the question" if inputs.permutations is None else inputs.permutations),
            ("seed", inputs.seed),
            ("versions", _listed(versions)),
        ),
    )


def _known(*pairs: tuple[str, Any]) -> Facts:
    return tuple((name, str(value)) for name, value in pairs if value not in (None, "", {}, []))


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _cards(inputs: FigureInputs) -> Iterator[tuple[str, str]]:
    """Cards of the shipped checkpoints among the models: the table's own first."""
    hashes = [inputs.table.extraction.get("checkpoint", {}).get("sha256")]
    hashes += [loaded.sha256 for loaded in inputs.checkpoints.values()]
    paths = {file_sha256(path): path for _, _, path in shipped()}
    for path in dict.fromkeys(paths[digest] for digest in hashes if digest in paths):
        if (card := path.with_suffix(".md")).is_file():
            yield path.stem, card.read_text(encoding="utf-8")
