"""Errors that are the user's to mend: one class for models and all that stands on them."""

from models.errors import InputError

__all__ = ["InputError"]
