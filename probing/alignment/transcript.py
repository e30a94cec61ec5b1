"""Words of a transcript, as a pronunciation dictionary writes them."""

from __future__ import annotations

import re
import unicodedata

from lvm_probe import InputError

_WORD = re.compile(r"'?[^\W\d_]+(?:['-][^\W\d_]+)*")
_APART = re.compile(r"\s+|-{2,}|[—–…/]|\.{2,}")
_AROUND = '"“”„«»‹›,;:!?¿¡().*‘`'


def words(text: str) -> list[str]:
    """The words of a text, in lower case and without punctuation.

    Hyphens inside a word stay, and so do apostrophes inside and before it; after it they may be quotation marks.

    Args:
        text: what is said.

    Raises:
        InputError: it holds numbers, symbols or marks such as `<unk>`, which can be read in more than one way, or no
            word.

    Example:
        >>> words("She'd said: “Don't -- the well-known dogs' bowl!”")
        ["she'd", 'said', "don't", 'the', 'well-known', 'dogs', 'bowl']
    """
    found: list[str] = []
    for written in _APART.split(unicodedata.normalize("NFC", text).replace("’", "'")):
        word = written.strip(_AROUND).rstrip(_AROUND + "'").strip("-").casefold()
        if not word:
            continue
        if not _WORD.fullmatch(word):
            raise InputError(f"{written[:40]!r} can be read in more than one way; write in words what is said")
        found.append(word)
    if not found:
        raise InputError("the transcript has no words; write what is said")
    return found
