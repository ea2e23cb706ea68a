"""Faces that keep their number, and boxes that move evenly between two looks at the picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.results import Box

FORGET_SECONDS = 1.5
"""A face that was not seen for this long is lost; one that comes later gets a new number."""

HIDE_SECONDS = 1.2
"""A box is no longer drawn when nobody has looked for this long (a machine that is too busy)."""

MOST_MISSES = 3
"""Looks in a row without a face after which its box is no longer drawn."""

CERTAIN_LOOKS = 2
"""A face counts once it was found this often: what a detector sees only once is noise."""

FOLLOW_SECONDS = 0.06
"""Time constant with which an estimate follows what is found."""

GLIDE_SECONDS = 0.08
"""Time constant with which a drawn box glides to a corrected place, so that it does not jump."""

AHEAD_SECONDS = 0.25
"""A motion is carried on for no longer than this."""

VELOCITY_GAIN = 0.4
"""Share of the newly seen velocity in the estimate."""

REACH = 0.8
"""Centres further apart than this many mean sides belong to two faces."""

SIZE_RATIO = 2.0
"""So do boxes of which one is this much larger."""

State = NDArray[np.float64]
"""(4,): centre x, centre y, width, height in pixels."""


@dataclass(frozen=True)
class Motion:
    """Where one face is and how it moves, as of `time`."""

    number: int
    time: float
    """Seconds, on the caller's clock."""
    state: State
    velocity: State
    """Pixels a second."""
    offset: State
    """How far the box was drawn from `state` when that was found; fades out."""

    def at(self, time: float) -> Box | None:
        """The box to draw at `time`, or None when the face was not seen for too long."""
        passed = time - self.time
        if passed > HIDE_SECONDS:
            return None
        return _box(self._place(passed))

    def _place(self, passed: float) -> State:
        carried = min(max(passed, 0.0), AHEAD_SECONDS)
        glide = math.exp(-max(passed, 0.0) / GLIDE_SECONDS)
        place = self.state + carried * self.velocity + glide * self.offset
        place[2:] = np.maximum(place[2:], 1.0)
        return np.asarray(place)


@dataclass
class _Track:
    motion: Motion
    looks: int = 1
    misses: int = 0


class Tracker:
    """Matches the faces found in each picture with those found before.

    A g-h filter for each face: its motion is carried on evenly to the time of the new picture,
    then corrected by a share of the difference.
    """

    def __init__(
        self, certain_looks: int = CERTAIN_LOOKS, forget_seconds: float = FORGET_SECONDS
    ) -> None:
        self._certain_looks = certain_looks
        self._forget_seconds = forget_seconds
        self._tracks: dict[int, _Track] = {}
        self._count = 0

    def update(self, time: float, boxes: Sequence[Box]) -> list[int]:
        """Take the faces of one picture.

        Parameters
        ----------
        time : when the picture was taken, seconds, increasing.
        boxes : of its faces, in pixels.

        Returns
        -------
        The number of each face, in the order of `boxes`.
        """
        found = [_state(box) for box in boxes]
        numbers: dict[int, int] = {}
        for track in self._tracks.values():
            track.misses += 1
        for index, number in self._pairs(time, found):
            self._correct(self._tracks[number], time, found[index])
            numbers[index] = number
        for index in range(len(found)):
            if index not in numbers:
                numbers[index] = self._add(time, found[index])
        return [numbers[index] for index in range(len(found))]

    def lost(self, time: float) -> dict[int, bool]:
        """Forget the faces not seen for `forget_seconds`; by number, whether they counted."""
        limit = time - self._forget_seconds
        gone = [number for number, track in self._tracks.items() if track.motion.time < limit]
        return {number: self._tracks.pop(number).looks >= self._certain_looks for number in gone}

    def motions(self) -> tuple[Motion, ...]:
        """Of all faces that count and are in sight, by number."""
        tracks = (self._tracks[number] for number in sorted(self._tracks))
        return tuple(
            track.motion
            for track in tracks
            if track.looks >= self._certain_looks and track.misses < MOST_MISSES
        )

    def _pairs(self, time: float, found: Sequence[State]) -> list[tuple[int, int]]:
        """(index of what was found, number of the face), the best matches first."""
        candidates = []
        for number, track in self._tracks.items():
            expected = track.motion._place(time - track.motion.time)
            for index, state in enumerate(found):
                if (likeness := _likeness(expected, state)) > 0:
                    candidates.append((likeness, index, number))
        pairs: list[tuple[int, int]] = []
        for _, index, number in sorted(candidates, reverse=True):
            if all(index != i and number != n for i, n in pairs):
                pairs.append((index, number))
        return pairs

    def _add(self, time: float, state: State) -> int:
        self._count += 1
        still = np.zeros(4)
        self._tracks[self._count] = _Track(Motion(self._count, time, state, still, still))
        return self._count

    def _correct(self, track: _Track, time: float, seen: State) -> None:
        old = track.motion
        passed = max(time - old.time, 1e-3)
        expected = old.state + min(passed, AHEAD_SECONDS) * old.velocity
        follow = 1 - math.exp(-passed / FOLLOW_SECONDS)
        state = expected + follow * (seen - expected)
        velocity = old.velocity + VELOCITY_GAIN * ((state - old.state) / passed - old.velocity)
        velocity[2:] = 0  # nearer or further is slow, and sizes are noisy
        drawn = old._place(passed)
        track.motion = Motion(old.number, time, state, velocity, drawn - state)
        track.looks += 1
        track.misses = 0


def _state(box: Box) -> State:
    return np.array([box.x + box.width / 2, box.y + box.height / 2, box.width, box.height])


def _box(state: State) -> Box:
    x, y, width, height = (float(value) for value in state)
    return Box(x - width / 2, y - height / 2, width, height)


def overlap(a: State, b: State) -> float:
    """Intersection over union of two boxes."""
    low = np.maximum(a[:2] - a[2:] / 2, b[:2] - b[2:] / 2)
    high = np.minimum(a[:2] + a[2:] / 2, b[:2] + b[2:] / 2)
    shared = float(np.prod(np.maximum(high - low, 0)))
    return shared / max(float(np.prod(a[2:]) + np.prod(b[2:])) - shared, 1e-9)


def _likeness(a: State, b: State) -> float:
    """0 for boxes that cannot be of one face, up to 2 for the same box."""
    sides = math.sqrt(float(np.prod(a[2:]))), math.sqrt(float(np.prod(b[2:])))
    if max(sides) > SIZE_RATIO * min(sides):
        return 0.0
    distance = float(np.hypot(*(a[:2] - b[:2]))) / (REACH * (sides[0] + sides[1]) / 2)
    return overlap(a, b) + 1 - distance if distance < 1 else 0.0
