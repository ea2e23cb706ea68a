"""How fast it runs and what went wrong, counted while it runs."""

from __future__ import annotations

import logging
import threading
from collections import deque

import numpy as np

log = logging.getLogger("duet")

LOG_EVERY = 500
"""Of faults of one kind the first is logged in full, then every one of this many."""


class Rate:
    """How often something happened lately. One thread adds, any may read."""

    def __init__(self, seconds: float = 3.0) -> None:
        self._seconds = seconds
        self._times: deque[float] = deque(maxlen=300)

    def add(self, time: float) -> None:
        """It happened at `time`."""
        self._times.append(time)

    def at(self, time: float) -> float:
        """Times a second over the last seconds."""
        times = [t for t in self._times.copy() if time - t <= self._seconds]
        if len(times) < 2:
            return 0.0
        return len(times) / max(time - times[0], 1e-3)


class Delays:
    """The last durations of something, in seconds. One thread adds, any may read."""

    def __init__(self, most: int = 300) -> None:
        self._values: deque[float] = deque(maxlen=most)

    def add(self, seconds: float) -> None:
        """It took `seconds`."""
        self._values.append(seconds)

    def percentile(self, share: float) -> float:
        """Milliseconds that `share` percent of the last ones did not exceed; 0 without any."""
        values = list(self._values.copy())
        return 1e3 * float(np.percentile(values, share)) if values else 0.0


class Faults:
    """Everything that was caught, by kind, each with a sentence for people."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}

    def note(self, sentence: str, error: BaseException) -> None:
        """Count and log one fault. `sentence` says what it means and is the kind."""
        with self._lock:
            count = self._counts[sentence] = self._counts.get(sentence, 0) + 1
        if count == 1 or count % LOG_EVERY == 0:
            log.error("Live, %d times: %s", count, sentence, exc_info=error)

    def sentences(self) -> list[str]:
        """What went wrong so far, most often first."""
        with self._lock:
            ordered = sorted(self._counts.items(), key=lambda item: -item[1])
        return [f"{text} ({count} times)" if count > 1 else text for text, count in ordered]

    def clear(self) -> None:
        """Forget them."""
        with self._lock:
            self._counts.clear()
