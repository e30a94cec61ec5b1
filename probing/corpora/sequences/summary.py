"""Summary of a corpus of sequences: a document for JSON, and the same as text for the terminal."""

from __future__ import annotations

from typing import Any

from lvm_probe.probing.corpora.sequences.sequence_corpus import SequenceCorpus, offset_statistics

_SHOWN = 12


def describe(corpus: SequenceCorpus) -> dict[str, Any]:
    """Counts, lengths, vocabulary and notices of a corpus.

    Returns:
        A document for JSON. `splits` has for each split the number of `sequences`, their `steps`, and the `shortest`
        and `longest` in steps. `vocabulary` is the number of tokens, and `tokens` the first of them, for text.
        `notes_per_step` is the mean over all splits, for piano rolls; `offset_mean` and `offset_sd` are of dx and dy
        over the first split, for strokes.

    Example:
        >>> from lvm_probe.probing.corpora.sequences import open_sequences
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "rhyme.txt")
        ...     _ = file.write_text("one two\\nbuckle my shoe\\n")
        ...     describe(open_sequences(file, "words"))["splits"]
        {'everything': {'sequences': 2, 'steps': 7, 'shortest': 3, 'longest': 4}}
    """
    splits: dict[str, dict[str, int]] = {}
    for split, recordings in corpus.splits.items():
        lengths = [recording.samples // corpus.step for recording in recordings] or [0]
        splits[split] = {
            "sequences": len(recordings),
            "steps": sum(lengths),
            "shortest": min(lengths),
            "longest": max(lengths),
        }
    document: dict[str, Any] = {
        "root": str(corpus.root),
        "domain": corpus.domain,
        "step": corpus.step,
        "splits": splits,
        "vocabulary": len(corpus.vocabulary),
        "tokens": list(corpus.vocabulary[:_SHOWN]),
        "notices": list(corpus.notices),
        "fingerprint": corpus.fingerprint(),
    }
    if corpus.domain == "pianoroll":
        notes = sum(int(one.values.sum()) for part in corpus.splits.values() for one in part)
        document["notes_per_step"] = notes / sum(split["steps"] for split in splits.values())
    if corpus.domain == "strokes":
        mean, deviation = offset_statistics(next(part for part in corpus.splits.values() if part))
        document |= {"offset_mean": mean.tolist(), "offset_sd": deviation.tolist()}
    return document


def as_text(doc: dict[str, Any]) -> str:
    """The document of `describe` as text; long lists are abbreviated."""
    unit = "1 element" if doc["step"] == 1 else f"{doc['step']} elements"
    lines = [f"{doc['root']} ({doc['domain']}, {unit} a step)"]
    for split, counts in doc["splits"].items():
        lengths = f"{counts['shortest']:,} to {counts['longest']:,} steps each"
        lines.append(f"  {split:<11} {counts['sequences']:,} sequences, {counts['steps']:,} steps ({lengths})")
    if doc["vocabulary"]:
        tokens = " ".join("space" if token == " " else token for token in doc["tokens"])
        lines.append(f"  vocabulary  {doc['vocabulary']:,}: {tokens}{' ...' * (doc['vocabulary'] > _SHOWN)}")
    if "notes_per_step" in doc:
        lines.append(f"  notes       {doc['notes_per_step']:.2f} a step on average")
    if "offset_sd" in doc:
        (x, y), (dx, dy) = doc["offset_mean"], doc["offset_sd"]
        split = next(split for split, counts in doc["splits"].items() if counts["sequences"])
        lines.append(f"  offsets     of {split}: dx {x:.3g} ± {dx:.3g}, dy {y:.3g} ± {dy:.3g} (mean ± s.d.)")
    lines.append(f"  notices     {len(doc['notices']):,}")
    lines += [f"    {notice}" for notice in doc["notices"][:_SHOWN]]
    if len(doc["notices"]) > _SHOWN:
        lines.append(f"    ... and {len(doc['notices']) - _SHOWN:,} more")
    return "\n".join(lines)
