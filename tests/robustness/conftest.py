"""A small checkpoint, as the tests of the commands have it."""

from tests.app.conftest import probe, refused, tiny

__all__ = ["probe", "refused", "tiny"]
