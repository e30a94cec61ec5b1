"""A probe: a method under a protocol, and the probes that together give a verdict about a target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from lvm_probe import InputError
from lvm_probe.probing.questions.question import (
    PROTOCOLS_OF,
    SPEAKER_ATTRIBUTES,
    TARGETS_OF,
    TOKEN_TARGETS,
    UNITS,
    Method,
    Protocol,
    Target,
)

if TYPE_CHECKING:
    from lvm_probe.probing.features.token_table import TokenTable

METHOD_NAMES: dict[Method, str] = {
    "knn": "kNN", "lda": "LDA", "logistic": "logistic", "ridge": "ridge", "abx": "ABX",
}  # fmt: skip
"""The methods that are compared: those with an accuracy or an error, not a code length."""
_WITHIN: tuple[Protocol, ...] = ("paper", "nested", "utterance", "within")


@dataclass(frozen=True)
class Probe:
    """A method under a protocol.

    Attributes:
        method: see `Question`.
        protocol: see `Question`; one that the method has.

    Raises:
        InputError: the method has no such protocol.

    Example:
        >>> probe = Probe.parse("lda speaker")
        >>> str(probe), probe.across_speakers
        ('LDA (speaker)', True)
    """

    method: Method
    protocol: Protocol

    def __post_init__(self) -> None:
        if self.method not in METHOD_NAMES:
            raise InputError(f"method is {self.method!r}; choose one of {', '.join(METHOD_NAMES)}")
        if self.protocol not in PROTOCOLS_OF[self.method]:
            known = ", ".join(PROTOCOLS_OF[self.method])
            raise InputError(f"method {self.method} has no protocol {self.protocol!r}; choose one of {known}")

    @classmethod
    def parse(cls, text: str) -> Probe:
        """Parse `knn utterance`, as plans have it."""
        method, _, protocol = text.partition(" ")
        return cls(method, protocol.strip())  # type: ignore[arg-type]  # checked above

    @property
    def code(self) -> str:
        """What `parse` reads."""
        return f"{self.method} {self.protocol}"

    @property
    def across_speakers(self) -> bool:
        """Whether tokens are judged by those of other speakers."""
        return self.protocol not in _WITHIN

    def __str__(self) -> str:
        return f"{METHOD_NAMES[self.method]} ({self.protocol})"


def probes_for(
    target: Target, table: TokenTable, methods: Sequence[Method] = (), protocols: Sequence[Protocol] = ()
) -> tuple[Probe, ...]:
    """The probes of a target: by every quick method, within one speaker and across speakers where both make sense.

    Args:
        target: what is predicted.
        table: whether it says what was read decides whether prompts are held out of words.
        methods: instead of kNN, LDA and ABX (ridge regression for numbers).
        protocols: instead of the usual ones.

    Raises:
        InputError: none of the methods has one of the protocols, or can predict the target.
    """
    for what, names, known in (("method", methods, tuple(METHOD_NAMES)), ("protocol", protocols, get_args(Protocol))):
        if unknown := [name for name in names if name not in known]:
            raise InputError(f"{what} is {unknown[0]!r}; choose one of {', '.join(known)}")
    quick: tuple[Method, ...] = ("ridge",) if target in UNITS else ("knn", "lda", "abx")
    pairs = [
        Probe(method, protocol)
        for protocol in protocols or _usual_protocols(target, table)
        for method in methods or quick
        if target in TARGETS_OF[method] and protocol in PROTOCOLS_OF[method]
    ]
    if not pairs:
        asked = " or ".join(methods or quick), ", ".join(protocols or _usual_protocols(target, table))
        raise InputError(f"no probe of {target} by {asked[0]} under {asked[1]}; choose others of both")
    return tuple(dict.fromkeys(pairs))


def _usual_protocols(target: Target, table: TokenTable) -> tuple[Protocol, ...]:
    if target == "word":  # one speaker says too few words twice to train on
        if prompts_known(table):
            return "within", "speaker+prompt", "across+prompt"
        return "within", "speaker", "across"
    if target in TOKEN_TARGETS:
        return "utterance", "within", "speaker", "across"
    return ("speaker",) if target in SPEAKER_ATTRIBUTES else ("utterance",)


def prompts_known(table: TokenTable) -> bool:
    """Whether the table says of any token what was read."""
    return any(prompt is not None for prompt in table.columns["prompt"])
