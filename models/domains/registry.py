"""All domains by name. Adding one takes a file in `domains/`, a reader and a line here (see CONTRIBUTING.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from lvm_probe import InputError
from lvm_probe.models.domains.domain import Domain
from lvm_probe.models.domains.pianoroll import PianoRoll
from lvm_probe.models.domains.strokes import Strokes
from lvm_probe.models.domains.tokens import Characters, Tokens, Words
from lvm_probe.models.domains.waveform import Waveform

DOMAINS: dict[str, type[Domain]] = {domain.name: domain for domain in (Waveform, Strokes, PianoRoll, Words, Characters)}
"""Every domain's class by the domain's name."""


def domain_of(name: str, vocabulary: tuple[str, ...] = ()) -> Domain:
    """A domain by its name, with its defaults.

    Args:
        name: of the domain.
        vocabulary: of words and characters.

    Example:
        >>> domain_of("words", ("<unk>", "<eos>", "dog")).size
        3
    """
    cls = DOMAINS[name]
    return cls(vocabulary) if issubclass(cls, Tokens) else cls()


def domain_to_dict(domain: Domain) -> dict[str, Any]:
    """A domain as JSON types; without a name it is a waveform, as in checkpoints from before there were others."""
    named = {} if isinstance(domain, Waveform) else {"domain": domain.name}
    return named | asdict(domain)


def domain_from_dict(data: Mapping[str, Any]) -> Domain:
    """Rebuild a domain from its JSON form.

    Raises:
        InputError: if there is no such domain, or a value is wrong.
        TypeError: if keys are unknown.

    Example:
        >>> domain_from_dict({"domain": "pianoroll"})
        PianoRoll()
    """
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    name = values.pop("domain", Waveform.name)
    if name not in DOMAINS:
        raise InputError(f"unknown domain {name!r}: choose one of {', '.join(DOMAINS)}")
    return DOMAINS[name](**values)
