"""TextGrid files, read by the rule by which Praat reads them.

To Praat, the data in a text file are its free-standing tokens, in their order: numbers, texts in double quotes (a quote
inside a text is doubled), and flags such as `<exists>`. A token stands free if white space or the beginning of the file
is before it. All other words (`xmin`, `=`, `[1]:`) are comments, and so is what follows a `!` on its line. The long
form, the short form and every form between them are therefore read alike; the chronological form has another order.

P. Boersma, "TextGrid file formats", Praat manual, 2018, https://www.praat.org/manual/TextGrid_file_formats.html.
"""

import codecs
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from lvm_probe.probing.corpora.corpus import Problem
from lvm_probe.probing.corpora.intake import InvalidFile, read_bytes

_CLASSES = ("IntervalTier", "TextTier")  # of tiers; a TextTier holds points
_UTF8_LETTER = re.compile(rb"[\xc3-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}")  # hardly ever in Windows Latin-1


@dataclass(frozen=True, slots=True)
class Interval:
    """An interval as it is written: `start` and `end` are tokens, which `seconds` turns into numbers."""

    line: int
    start: str
    end: str
    label: str


@dataclass(frozen=True, slots=True)
class Tier:
    """A tier of a TextGrid.

    Attributes:
        number: its position among all tiers, from 1, as Praat counts.
        line: where it begins.
        has_points: whether it is a point tier.
        name: as written.
        start: the token of its start in seconds.
        size: the token of its declared number of intervals; None in the chronological form, which declares none.
        intervals: the intervals that it has, whatever it declares; the ends of points are their starts.
    """

    number: int
    line: int
    has_points: bool
    name: str
    start: str
    size: str | None
    intervals: list[Interval] = field(default_factory=list)


_SPACE, _NO_SPACE = r"[^\S\x1c-\x1f]", r"[\S\x1c-\x1f]"  # to Praat, the four separators of ASCII are no white space
_TOKEN = re.compile(
    rf"""
    (?: {_SPACE}+ | ![^\n]* | (?![-+0-9"<!]){_NO_SPACE}+ )*+    # white space, comments, words
    (?: "(?P<text>[^"]*+(?:""[^"]*+)*+)"(?!{_NO_SPACE})
      | (?P<number>[-+0-9]{_NO_SPACE}*)
      | <(?P<flag>[^<>\n]*)>
      | (?P<broken>["<])
      | (?P<end>\Z) )
    """,
    re.VERBOSE,
)

# Praat ignores what follows a number without a space (`0.5s`). Here that has no digits: `0,5` and `1:30` are refused.
_NUMBER = re.compile(
    r"""
    (?: (?P<hexadecimal>[-+]?0[xX][0-9a-fA-F]++(?:\.[0-9a-fA-F]*+)?+(?:[pP][-+]?[0-9]++)?+)
      | (?P<decimal>[-+]?[0-9]++(?:\.[0-9]*+)?+(?:[eE][-+]?[0-9]++|(?![eE])))(?P<percent>%?+) )
    [!-/:-~]*
    """,
    re.VERBOSE,
)


def seconds(token: str) -> float:
    """The value of a number in any form that Praat accepts.

    Raises:
        ValueError: it is not a number, not finite, or could be meant in two ways.

    Example:
        >>> [seconds(token) for token in ("0.25", "-2e-3", "0x1.8", "1/4", "50%")]
        [0.25, -0.002, 1.5, 0.25, 0.5]
    """
    numerator, slash, denominator = token.partition("/")
    try:
        value = _value(numerator) / _value(denominator) if slash else _value(numerator)
    except (OverflowError, ZeroDivisionError) as error:
        raise ValueError(token) from error
    if not math.isfinite(value):
        raise ValueError(token)
    return value


def _value(text: str) -> float:
    if not (match := _NUMBER.fullmatch(text)):
        raise ValueError(text)
    if match["hexadecimal"]:
        return float.fromhex(match["hexadecimal"])
    return float(match["decimal"]) / (100 if match["percent"] else 1)


def whole_number(token: str) -> int:
    """The value of a number that counts something; -1 if it is not a whole number."""
    match = re.fullmatch(r"\+?([0-9]{1,9})(?:\.0*)?[!-/:-~]*", token)
    return int(match[1]) if match else -1


class _Token(NamedTuple):
    """A token, or one of the kinds "broken" (a text or flag that is not closed) and "end"."""

    kind: str
    value: str
    line: int
    start: int
    end: int


class _Tokens:
    """The tokens of a text: `next` is the next one. `place` says in error messages where that is."""

    def __init__(self, path: Path, content: str) -> None:
        self.path, self.place = path, ""
        self._content = content
        self.next = self._read(0, 0, 1)

    def _read(self, position: int, counted: int, line: int) -> _Token:
        """The first token from a position; `line` is the line of the position `counted`."""
        match = _TOKEN.match(self._content, position)
        assert match, "the pattern matches every text"
        assert match.lastgroup, "by one of its groups"
        start = match.start(match.lastgroup)
        line += self._content.count("\n", counted, start)
        return _Token(match.lastgroup, match[match.lastgroup], line, start, match.end())

    def take(self, kind: str, what: str) -> str:
        """The value of the next token, which must be of this kind; `what` names it in error messages."""
        token = self.next
        if token.kind != kind:
            match token.kind:
                case "end":
                    found = "the file ends"
                case "broken":
                    found = "a text or flag is not closed, or a quote in a text is not doubled,"
                case _:
                    found = f"there is the {token.kind} {token.value[:40]!r}"
            raise self.error(f"{found} where {what} should be; fix the file, or save it again from Praat")
        self.next = self._read(token.end, token.start, token.line)
        return token.value.replace('""', '"') if kind == "text" else token.value

    def take_count(self, what: str) -> int:
        """The value of the next token, which must be a whole number."""
        if self.next.kind == "number" and whole_number(self.next.value) < 0:
            raise self.error(f"{self.next.value[:20]!r} is not {what}; fix it")
        return whole_number(self.take("number", what))

    def error(self, message: str) -> InvalidFile:
        """An error at the next token."""
        return InvalidFile(self.path, self.next.line, self.place + message)


def read_text_grid(path: Path, notices: list[Problem]) -> list[Tier]:
    """Read the tiers of a TextGrid in any of Praat's text forms.

    Args:
        path: the file, in UTF-8 or UTF-16; in Windows Latin-1 with a notice.
        notices: notices are appended here.

    Returns:
        The tiers. Their times and sizes are not checked, so that a bad tier harms nobody who does not use it.

    Raises:
        InvalidFile: it is not a TextGrid, or its tokens are not those of one.
    """
    tokens = _Tokens(path, _decode(path, notices))
    match tokens.take("text", "") if tokens.next.kind == "text" else None:
        case "ooTextFile" | "ooTextFile short":
            if (kind := tokens.take("text", "the class of the object")) != "TextGrid":
                raise InvalidFile(path, None, f"holds a {kind[:40]!r} of Praat, not a TextGrid; replace it")
            tiers = _read_tiers(tokens)
        case "Praat chronological TextGrid text file":
            tiers = _read_chronological(tokens)
        case _:
            message = 'not a usable TextGrid: it does not begin with "ooTextFile"; save it from Praat as a text file'
            raise InvalidFile(path, None, message)
    if tokens.next.kind != "end":
        message = "ignored from here on, because the last tier is complete; check whether that belongs to it"
        notices.append(Problem(path, tokens.next.line, message, "notice"))
    return tiers


def _read_tiers(tokens: _Tokens) -> list[Tier]:
    """The tiers of the long and the short form: each is followed by its intervals or points."""
    tokens.take("number", "the start of the TextGrid")
    tokens.take("number", "the end of the TextGrid")
    if (flag := tokens.take("flag", "the flag <exists>")) != "exists":
        raise tokens.error(f"its tiers are <{flag[:40]}>, not <exists>; save it again from Praat")
    size = tokens.take_count("the number of tiers")
    tiers: list[Tier] = []
    while len(tiers) < size:
        tier = _read_head(tokens, len(tiers) + 1, declares_size=True)
        tiers.append(tier)
        while (token := tokens.next).kind == "number":
            try:
                _read_row(tokens, tier)
            except InvalidFile:
                if len(tier.intervals) < whole_number(tier.size or ""):
                    raise
                tokens.next = token
                break
        tokens.place = ""
    if tokens.next.kind == "text" and tokens.next.value in _CLASSES:
        raise tokens.error(f"the TextGrid declares {size} tiers, but here is another; fix that number")
    return tiers


def _read_chronological(tokens: _Tokens) -> list[Tier]:
    """The tiers of the chronological form: every interval or point comes after the number of its tier."""
    tokens.take("number", "the start of the TextGrid")
    tokens.take("number", "the end of the TextGrid")
    size = tokens.take_count("the number of tiers")
    tiers: list[Tier] = []
    while len(tiers) < size:
        tiers.append(_read_head(tokens, len(tiers) + 1, declares_size=False))
    while tokens.next.kind != "end":
        tokens.place = ""
        token = tokens.next
        number = tokens.take_count("the number of a tier")
        if not 1 <= number <= len(tiers):
            message = f"there is no tier {number}, the TextGrid has {len(tiers)}; fix the number"
            raise InvalidFile(tokens.path, token.line, message)
        _read_row(tokens, tiers[number - 1])
    return tiers


def _read_head(tokens: _Tokens, number: int, *, declares_size: bool) -> Tier:
    """A tier without its intervals."""
    tokens.place = f"tier {number}: "
    line = tokens.next.line
    if tokens.next.kind == "text" and tokens.next.value not in _CLASSES:
        raise tokens.error(f"its class is {tokens.next.value[:40]!r}, not {' or '.join(_CLASSES)}; fix it")
    has_points = tokens.take("text", "its class") == "TextTier"
    name = tokens.take("text", "its name")
    start = tokens.take("number", "its start")
    tokens.take("number", "its end")
    size = tokens.take("number", "its size") if declares_size else None
    return Tier(number, line, has_points, name, start, size)


def _read_row(tokens: _Tokens, tier: Tier) -> None:
    """Add the next interval or point to its tier."""
    row = "point" if tier.has_points else "interval"
    tokens.place = f"tier {tier.name[:40]!r}, {row} {len(tier.intervals) + 1}: "
    line = tokens.next.line
    start = tokens.take("number", "its time")
    end = start if tier.has_points else tokens.take("number", "its end")
    tier.intervals.append(Interval(line, start, end, tokens.take("text", "its label")))


def _decode(path: Path, notices: list[Problem]) -> str:
    """The text of a file, with `\\n` as line ends.

    Praat writes UTF-8, or UTF-16 with a byte order mark; it takes what is not UTF-8 for Windows Latin-1.
    """
    content = read_bytes(path)
    if content.startswith(b"ooBinaryFile"):
        raise InvalidFile(path, None, "is a binary file of Praat; save it from Praat as a text file")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif content[:1] == b"\0":
        encoding = "utf-16-be"
    else:
        encoding = "utf-16-le" if content[1:2] == b"\0" else "utf-8-sig"
    if encoding.startswith("utf-16"):
        content = content[: len(content) // 2 * 2]  # Praat, too, ignores an odd byte at the end, such as a line feed
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        text = content.decode("cp1252", errors="replace")
        if encoding != "utf-8-sig" or _UTF8_LETTER.search(content) or "\ufffd" in text:
            name = encoding.removesuffix("-sig").upper()
            raise InvalidFile(path, line, f"is not {name} text; restore the file, or save it as UTF-8") from error
        topic = "not UTF-8: read as Windows Latin-1; check the labels, or save it as UTF-8"
        message = topic.replace(";", f", such as {text[error.start]!r};")
        notices.append(Problem(path, line, message, "notice", topic))
    text = text.rstrip("\0").replace("\r\n", "\n").replace("\r", "\n")
    if (nul := text.find("\0")) >= 0:
        line = text.count("\n", 0, nul) + 1
        raise InvalidFile(path, line, "contains NUL bytes; restore the file, or save it again from Praat")
    return text
