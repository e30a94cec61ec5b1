"""Sequences other than speech: piano rolls, pen strokes and text, as flat arrays with splits."""

from lvm_probe.probing.corpora.sequences.registry import is_sequences, open_sequences
from lvm_probe.probing.corpora.sequences.sequence_corpus import SequenceCorpus, SequenceRecording

__all__ = ["SequenceCorpus", "SequenceRecording", "is_sequences", "open_sequences"]
