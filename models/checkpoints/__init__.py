"""Checkpoint files, and the checkpoints shipped with the package."""
