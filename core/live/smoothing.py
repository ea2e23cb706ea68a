"""Probabilities that do not jitter and labels that do not flicker."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from core.labels import EMOTIONS
from core.results import Prediction

LEAD = 0.08
"""A new label has to lead the old one by this much probability before it takes its place."""

FORGET_SECONDS = 2.0
"""After a gap this long what was seen before says nothing about now."""


class Smoother:
    """Exponential smoothing of probabilities that come at uneven times."""

    def __init__(self, time_constant: float) -> None:
        """`time_constant` in seconds: a change has arrived by 63% after it; 0 smooths nothing."""
        self.time_constant = time_constant
        self._value: NDArray[np.float64] | None = None
        self._time = -math.inf

    def update(self, time: float, emotion: Prediction) -> Prediction:
        """Take the probabilities of `time` (seconds, not decreasing) and give the smoothed ones."""
        new = np.array(emotion.probabilities)
        gap = max(0.0, time - self._time)
        if self._value is None or gap > FORGET_SECONDS or self.time_constant <= 0:
            self._value = new
        else:
            kept = math.exp(-gap / self.time_constant)
            self._value = kept * self._value + (1 - kept) * new
        self._time = time
        return Prediction(tuple(float(p) for p in self._value))


class Steady:
    """The label, changed only when another one clearly leads (hysteresis)."""

    def __init__(self, lead: float = LEAD) -> None:
        self.lead = lead
        self.label: str | None = None

    def update(self, emotion: Prediction) -> str:
        """The label to show for `emotion`."""
        current = self.label
        if current is None or emotion.confidence - probability(emotion, current) >= self.lead:
            self.label = emotion.label
        return self.label or emotion.label

    def forget(self) -> None:
        """Start anew: the next label is taken at once."""
        self.label = None


def probability(emotion: Prediction, label: str) -> float:
    """What `emotion` gives to `label`."""
    return emotion.probabilities[EMOTIONS.index(label)]
