"""Sequences other than speech: piano rolls, pen strokes and text, as flat arrays with splits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvm_probe.probing.corpora.sequences.registry import is_sequences, open_sequences

if TYPE_CHECKING:
    from lvm_probe.probing.corpora.sequences.sequence_corpus import SequenceCorpus, SequenceRecording

__all__ = ["SequenceCorpus", "SequenceRecording", "is_sequences", "open_sequences"]


def __getattr__(name: str) -> object:
    """The classes, whose module needs NumPy, when they are used: the command line imports the registry for its help."""
    if name in ("SequenceCorpus", "SequenceRecording"):
        from lvm_probe.probing.corpora.sequences import sequence_corpus

        return getattr(sequence_corpus, name)
    raise AttributeError(name)
