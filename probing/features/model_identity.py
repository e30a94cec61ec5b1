"""Whether two tables are of one model, as far as their `_extraction.json` says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lvm_probe.probing.features import acoustic
from lvm_probe.probing.features.feature import CONTEXT

_CONFIGURATION = ("sample_rate", "normalised", "config_sha256", "preprocessing")
"""What an encoder's entry says beside its name and the strides of its layers, whatever its weights."""
_HASHES = ("sha256", "weights_sha256")


def encoder_of(extraction: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of the encoder; nothing where the model is one of ours."""
    return extraction.get("encoder") or {}


def same_architecture(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    """Whether the models are the same but for their weights.

    An encoder's name and folder may say which weights it has, so only the names of torchaudio's models are compared.

    Args:
        ours: how the one table was made.
        theirs: how the other was.
    """
    one, other = encoder_of(ours), encoder_of(theirs)
    names = [str(encoder.get("name", "")) for encoder in (one, other)]
    strides, others = (encoder.get("strides", {}) for encoder in (one, other))
    return (
        ours.get("model") == theirs.get("model")
        and bool(one) == bool(other)
        and all(one.get(key) == other.get(key) for key in _CONFIGURATION)
        and (names[0] == names[1] or not any(name.startswith("torchaudio ") for name in names))
        and all(strides[layer] == others[layer] for layer in strides.keys() & others.keys())
    )


def same_model(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    """Whether the models are the same, with the same weights: those of one file, or random ones of one seed.

    An encoder without a file has nothing but its name.

    Args:
        ours: how the one table was made.
        theirs: how the other was.
    """
    untrained = bool(ours.get("untrained"))
    if untrained != bool(theirs.get("untrained")) or not same_architecture(ours, theirs):
        return False
    if untrained:
        return bool(ours.get("seed") == theirs.get("seed"))
    one, other = encoder_of(ours), encoder_of(theirs)
    files = [(extraction.get("checkpoint") or {}).get("sha256") for extraction in (ours, theirs)]
    return (
        files[0] == files[1]
        and all(one.get(key) == other.get(key) for key in _HASHES)
        and ("folder" in one or one.get("name") == other.get("name"))
    )


def is_of_model(column: str, extraction: Mapping[str, Any]) -> bool:
    """Whether a column depends on the model: it is neither acoustic nor one of the user's own."""
    own = extraction.get("added") or ()
    bare = next((column.removesuffix(end) for end in CONTEXT if column.endswith(end)), column)
    return not {column, bare} & {*acoustic.NAMES, *own}
