"""Numbers and lists as people are told them."""

from __future__ import annotations

import math

from core.results import UNSURE_BELOW


def percent(p: float) -> str:
    """A probability in words that claim no more than it does.

    Nothing is ever "100%" or "0%", and what is below the line to unsure never reads as if it had
    reached it.
    """
    if p > 0.99:
        return "over 99%"
    if p < 0.01:
        return "under 1%"
    if p < UNSURE_BELOW:
        return f"{min(round(100 * p), math.ceil(100 * UNSURE_BELOW) - 1)}%"
    return f"{p:.0%}"


def listed(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
