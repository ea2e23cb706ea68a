"""Numbers and lists as people are told them."""

from __future__ import annotations

import math

from core.results import UNSURE_BELOW


def percent(p: float) -> str:
    """A probability in words that claim no more than it does.

    Nothing is ever "100%", and what is below the line to unsure is rounded down, so that it never
    reads as if it had reached the line.
    """
    if p > 0.99:
        return "over 99%"
    if p < UNSURE_BELOW:
        return f"{math.floor(100 * p + 1e-9)}%"
    return f"{p:.0%}"


def listed(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
