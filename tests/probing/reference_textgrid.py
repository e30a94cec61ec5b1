"""A slow reader of TextGrids after the rule in Praat's manual, "TextGrid file formats", to test the reader against.

It goes through the text letter by letter, computes with fractions, and trusts the declared sizes, as Praat does.
"""

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

DIGITS = "0123456789"


class Tier(NamedTuple):
    """A tier; a row is (start, end, label), or (time, label) of a point tier."""

    kind: str
    name: str
    rows: list[tuple]


def is_space(letter: str) -> bool:
    return letter.isspace() and letter not in "\x1c\x1d\x1e\x1f"


def decode(content: bytes) -> str:
    """The text of a file in any of the encodings that Praat reads."""
    if content[:2] == b"\xff\xfe":
        text = content[2:].decode("utf-16-le")
    elif content[:2] == b"\xfe\xff":
        text = content[2:].decode("utf-16-be")
    elif content[:3] == b"\xef\xbb\xbf":
        text = content[3:].decode("utf-8")
    else:
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            text = content.decode("cp1252")
    return "\n".join("\n".join(part.split("\r")) for part in text.split("\r\n"))


def tokens(text: str) -> Iterator[tuple[str, str]]:
    """The free-standing data: "text", "flag" or "number", and the value. Raises ValueError where one is broken."""
    at = 0
    while at < len(text):
        letter = text[at]
        if is_space(letter):
            at += 1
        elif letter == "!":
            while at < len(text) and text[at] != "\n":
                at += 1
        elif letter == '"':
            at += 1
            value = ""
            while True:
                if at >= len(text):
                    raise ValueError("a text that is not closed")
                if text[at] != '"':
                    value += text[at]
                    at += 1
                elif text[at + 1 : at + 2] == '"':
                    value += '"'
                    at += 2
                else:
                    at += 1
                    break
            if at < len(text) and not is_space(text[at]):
                raise ValueError("a quote that is not doubled")
            yield "text", value
        elif letter == "<":
            value = ""
            at += 1
            while at < len(text) and text[at] not in "<>\n":
                value += text[at]
                at += 1
            if text[at : at + 1] != ">":
                raise ValueError("a flag that is not closed")
            at += 1
            yield "flag", value
        else:
            word = ""
            while at < len(text) and not is_space(text[at]):
                word += text[at]
                at += 1
            if word[0] in DIGITS + "+-":
                yield "number", word


def real(word: str) -> Fraction:
    """The value of a number: Praat takes the longest beginning of a word that is one."""
    if "/" in word:
        cut = word.index("/")
        return real(word[:cut]) / real(word[cut + 1 :])
    sign, rest = (-1 if word[0] == "-" else 1), word.lstrip("+-") if word[:1] in ("+", "-") else word
    if word[:1] in ("+", "-") and len(word) - len(rest) != 1:
        raise ValueError(f"{word}: two signs")
    base, letters, power = (16, DIGITS + "abcdef", "p") if rest[:2].lower() == "0x" else (10, DIGITS, "e")
    at = 2 if base == 16 else 0
    if rest[:1] not in set(DIGITS):
        raise ValueError(f"{word}: no digit")
    value, scale, after_point = Fraction(0), Fraction(1), False
    while at < len(rest) and (rest[at].lower() in letters or (rest[at] == "." and not after_point)):
        if rest[at] == ".":
            after_point = True
        else:
            value = value * base + letters.index(rest[at].lower())
            scale *= base if after_point else 1
        at += 1
    value /= scale
    if rest[at : at + 1].lower() == power:
        exponent = ""
        at += 1
        while at < len(rest) and (rest[at] in DIGITS or (exponent == "" and rest[at] in "+-")):
            exponent += rest[at]
            at += 1
        if exponent.strip("+-") == "":
            if base == 10:
                raise ValueError(f"{word}: no exponent")
            exponent = "0"
        value *= Fraction(10 if base == 10 else 2) ** int(exponent)
    if base == 10 and rest[at : at + 1] == "%":
        value /= 100
    return sign * value


def whole(word: str) -> int:
    """The digits at the beginning of a word."""
    digits = ""
    for letter in word.lstrip("+"):
        if letter not in DIGITS:
            break
        digits += letter
    return int(digits)


def read(text: str) -> list[Tier]:
    """The tiers of a TextGrid, their times as fractions; raises ValueError, or StopIteration at an early end."""
    data = tokens(text)

    def take(kind: str) -> str:
        found, value = next(data)
        if found != kind:
            raise ValueError(f"{found} {value!r}, not a {kind}")
        return value

    def row(kind: str) -> tuple:
        times = [real(take("number")) for _ in range(2 if kind == "IntervalTier" else 1)]
        return (*times, take("text"))

    def head() -> Tier:
        kind, name = take("text"), take("text")
        if kind not in ("IntervalTier", "TextTier"):
            raise ValueError(f"a tier of class {kind!r}")
        take("number")
        take("number")
        return Tier(kind, name, [])

    header = take("text")
    tiers = []
    if header == "Praat chronological TextGrid text file":
        take("number")
        take("number")
        tiers += [head() for _ in range(whole(take("number")))]
        for kind, word in data:
            if kind != "number":
                raise ValueError(f"{kind} {word!r}, not the number of a tier")
            tier = tiers[whole(word) - 1]
            tier.rows.append(row(tier.kind))
        return tiers
    if header not in ("ooTextFile", "ooTextFile short") or take("text") != "TextGrid":
        raise ValueError("not a TextGrid")
    take("number")
    take("number")
    if take("flag") != "exists":
        raise ValueError("no tiers")
    for _ in range(whole(take("number"))):
        tier = head()
        tiers.append(tier)
        for _ in range(whole(take("number"))):
            tier.rows.append(row(tier.kind))
    return tiers


def segments(tier: Tier, rate: int, samples: int) -> list[tuple[int, int, str]]:
    """The intervals of a tier in samples (start, end, label), without the empty ones.

    Raises ValueError where one is out of order, ends before it starts or lies outside the audio by more than a sample.
    """
    found: list[tuple[int, int, str]] = []
    for start, end, label in tier.rows:
        first, last = ((2 * time * rate + 1) // 2 for time in (start, end))
        if first < -1 or last > samples + 1 or last < first - 1:
            raise ValueError(f"{label!r} at {first} to {last}")
        first, last = max(first, 0), min(last, samples)
        if found and first == found[-1][1] - 1:
            first += 1
        if first < last:
            found.append((first, last, " ".join(label.split())))
    if any(before[1] > after[0] for before, after in pairwise(found)):
        raise ValueError("an overlap")
    return found
