"""Who may analyse when, so that pictures go on flowing whatever analysing costs."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

SHORTEST_INTERVAL = 1 / 15
"""Seconds from one look at the picture to the next where the machine allows it."""

ANALYSIS_SHARE = 0.22
"""Of all cores, for all viewers' looks at faces; the rest is for voices, pictures and pages."""


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


class Gate:
    """Lets the analyses of all viewers of a server through in turn, first come first served."""

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._waiting: deque[threading.Event] = deque()
        self._lock = threading.Lock()
        self._viewers = 0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn and hold it."""
        with self._lock:
            mine = threading.Event()
            if self._free and not self._waiting:
                self._free -= 1
                mine.set()
            else:
                self._waiting.append(mine)
        mine.wait()
        try:
            yield
        finally:
            with self._lock:
                if self._waiting:
                    self._waiting.popleft().set()
                else:
                    self._free += 1

    def enter(self) -> None:
        """One viewer more."""
        with self._lock:
            self._viewers += 1

    def leave(self) -> None:
        """One viewer less."""
        with self._lock:
            self._viewers -= 1

    @property
    def viewers(self) -> int:
        with self._lock:
            return self._viewers


GATE = Gate(at_once=max(1, cores() - 1))
"""That of this server."""


class Pace:
    """When the next look is due, from what the last ones cost."""

    def __init__(self, shortest: float = SHORTEST_INTERVAL) -> None:
        self.shortest = shortest
        self._due = 0.0
        self._cost = 0.0

    def wait(self, time: float) -> float:
        """Seconds from `time` until the next look is due; 0 when it is."""
        return max(0.0, self._due - time)

    def done(self, started: float, ended: float, viewers: int, count: int | None = None) -> None:
        """Note a look that lasted from `started` to `ended`.

        Parameters
        ----------
        viewers : of the server now; they share `ANALYSIS_SHARE` of its cores alike.
        count : cores; those of this machine by default.
        """
        # Wall time, not processor time: on a busy machine a look lasts longer, and looks get rarer.
        took = ended - started
        self._cost = took if not self._cost else 0.7 * self._cost + 0.3 * took
        share = ANALYSIS_SHARE * (count or cores()) / max(1, viewers)
        self._due = started + max(self.shortest, self._cost / min(1.0, share))
