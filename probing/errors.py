"""Errors that are the user's to mend."""


class InputError(ValueError):
    """Says in one line what was found, where, and the cure; the command line shows just that line."""
