"""Corpora and alignments, extraction of latents, the token table, and probes run on it."""
