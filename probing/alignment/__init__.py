"""Forced alignment: recordings with transcripts become phones and words with times."""
