"""The name of a feature: a column of the token table, or several joined with `+`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lvm_probe import InputError

if TYPE_CHECKING:
    from lvm_probe.probing.features.token_table import TokenTable

CONTEXT = ("_before", "_after")
"""Endings of the columns that hold a feature's context."""


MEASURES = ("f0", "voiced", "intensity", "f1", "f2", "f3", "tilt", "centroid")
"""Acoustic measures (`acoustic_measures`), of one number each: what can be predicted rather than what predicts. Unlike
other features they may be unknown, as the pitch of [s] is, and have no context."""


def columns_in_context(name: str) -> tuple[str, str, str]:
    """The columns of a feature with its context, in the order of time."""
    before, after = CONTEXT
    return name + before, name, name + after


def may_be_unknown(name: str) -> bool:
    """Whether a column may hold NaN: a variance of a single draw, or an acoustic measure."""
    return name.endswith("_var") or name in MEASURES


@dataclass(frozen=True)
class Feature:
    """One column of a token table, or several whose values are joined.

    Attributes:
        parts: names of the columns, in order.
    """

    parts: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.parts or not all(self.parts) or "," in str(self):
            raise InputError(
                f"feature '{self}': not the name of a feature; write z1, or z1+z2 to join two, and give several "
                "features as a tuple such as ('z1', 'mel')"
            )

    @classmethod
    def parse(cls, name: str | Feature) -> Feature:
        """Parse a name as users write it; a `Feature` is returned as it is.

        Raises:
            InputError: not the name of a feature.

        Example:
            >>> Feature.parse("z1_logms+z2").parts
            ('z1_logms', 'z2')
        """
        if isinstance(name, Feature):
            return name
        return cls(tuple(part.strip() for part in str(name).split("+")))

    @property
    def name(self) -> str:
        """The name as users write it, such as `z1+z2`."""
        return "+".join(self.parts)

    def __str__(self) -> str:
        return self.name

    def is_among(self, columns: Collection[str]) -> bool:
        """Whether all of its parts are among these columns."""
        return set(self.parts) <= set(columns)


def default_features(table: TokenTable) -> tuple[Feature, ...]:
    """The features that are probed where none are named: each layer, the layers joined, and Mel.

    The mean over a token washes out the phase that the lowest latent layer encodes; the log mean square keeps it
    (docs/results.md). So the joined layers appear twice, the second time with the log mean square of the lowest.
    """
    return usual_features(table.extraction, table.features)


def usual_features(extraction: Mapping[str, Any], columns: Collection[str]) -> tuple[Feature, ...]:
    """The same, of a table that was made so and has these columns."""
    layers = extraction.get("layers")
    if layers is None:  # a table that does not say: the latents, or the states of a model without latents
        latents, states = ([n for n in columns if n[0] == kind and n[1:].isdigit()] for kind in "zh")
        layers = latents or states
    features = [Feature((layer,)) for layer in layers]
    if len(layers) > 1:
        features.append(Feature(tuple(layers)))
    if layers and (lowest := f"{layers[0]}_logms") in columns:
        features.append(Feature((lowest, *layers[1:])))
    if "mel" in columns:
        features.append(Feature(("mel",)))
    return tuple(features)


def columns_of(extraction: Mapping[str, Any], features: Sequence[Feature]) -> frozenset[str] | None:
    """The columns that the features (or the default ones) consist of, their context where there is one, and measures.

    None where the table lacks one of the features.
    """
    known = extraction["features"]
    columns = frozenset(part for feature in features or usual_features(extraction, known) for part in feature.parts)
    if not columns <= set(known):
        return None
    more = {*MEASURES, *(name for column in columns for name in columns_in_context(column))}
    return columns | more.intersection(known)
