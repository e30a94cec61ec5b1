"""Fractions, differences, intervals and p values as they are printed; what is not known is empty."""

from __future__ import annotations


def as_percent(value: float) -> str:
    return "" if value != value else f"{100 * value:.1f}"


def as_points(value: float) -> str:
    return "" if value != value else f"{round(100 * value, 1) + 0.0:+.1f}"  # never -0.0


def as_p(value: float, equals: str = "") -> str:
    if value != value:
        return ""
    return f"{'p' * bool(equals)}<0.0001" if value < 0.0001 else f"{equals}{value:.4f}"


def as_number(value: float, sign: str = "") -> str:
    return "" if value != value else f"{value:{sign}.2f}"


def as_bits(value: float, sign: str = "") -> str:
    return "" if value != value else f"{round(value, 3) + 0.0:{sign}.3f}"  # never -0.000


def as_range(low: str, high: str) -> str:
    return f"{low}-{high}" if low else ""


def as_signed_range(low: str, high: str) -> str:
    return f"{low} to {high}" if low else ""


def as_effect(value: float) -> str:
    return "" if value != value else f"{value:+.1f}"
