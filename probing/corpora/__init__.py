"""Speech corpora: reading them from disk in several layouts, and their recordings as 16-bit PCM."""

from lvm_probe.probing.corpora.registry import open_corpus

__all__ = ["open_corpus"]
