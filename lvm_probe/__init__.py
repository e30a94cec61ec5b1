"""Train sequential latent variable models of raw speech, and probe what their latents encode."""

from pathlib import Path as _Path

if not (_Path(__file__).parent / "app").is_dir():  # in a checkout the subpackages are the folders beside this one
    __path__.append(str(_Path(__file__).parents[1]))


class InputError(ValueError):
    """Something the user can fix: one line that says what was found, in which file, and the cure.

    The command line prints that line and exits with code 2.
    """
