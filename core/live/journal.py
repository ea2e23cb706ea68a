"""What was seen and heard over a session: readings, events, a summary, and rows to keep."""

from __future__ import annotations

import math
import threading
from bisect import insort
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Literal

from core.labels import EMOTIONS
from core.results import Agreement, Prediction

TICK_SECONDS = 0.5
"""One row of the journal stands for this long at first."""

LONGEST_TICK_SECONDS = 4 * TICK_SECONDS
"""A busy machine notes rows less often; each stands for the time until the next one, but for no
longer than this: a pause is no row's time."""

MOST_TICKS = 3600
"""Half an hour of rows of 0.5 s. When there are more, every second row of the older half goes and
its neighbour stands for both: the memory stays bounded however long the session."""

NEAR_SECONDS = 10.0
"""Rows further apart are never made one."""

MOST_EVENTS = 500

# What is said where something is heard, but nobody who speaks.
QUIET = {"silence": "silence", "sound": "no speech"}

Side = Literal["face", "voice", "together"]
SIDES: tuple[Side, ...] = ("face", "voice", "together")


@dataclass(frozen=True)
class Reading:
    """What was shown of one side: the label (steadied) and the smoothed probabilities."""

    label: str
    emotion: Prediction
    unsure: bool

    @property
    def confidence(self) -> float:
        return self.emotion.probabilities[EMOTIONS.index(self.label)]

    def to_dict(self) -> dict[str, Any]:
        shown = {"label": self.label, "confidence": round(self.confidence, 4)}
        return self.emotion.to_dict() | shown | {"unsure": self.unsure}


@dataclass(frozen=True)
class Tick:
    """One moment of the session."""

    time: float
    """Seconds from its start."""
    faces: tuple[tuple[int, Reading], ...] = ()
    """(number, reading) of each face, the speaker's first."""
    voice: Reading | None = None
    heard: str | None = None
    """`silence`, `sound` or `speech`; None while nobody listens."""
    together: Reading | None = None
    agreement: Agreement | None = None
    sentence: str = ""
    face_weight: float | None = None
    seconds: float = TICK_SECONDS
    """How long this row stands for."""

    def reading(self, side: Side) -> Reading | None:
        """Of the speaker's face, the voice or both together."""
        if side == "face":
            return self.faces[0][1] if self.faces else None
        return self.voice if side == "voice" else self.together

    def to_dict(self) -> dict[str, Any]:
        return {
            "time": round(self.time, 3),
            "seconds": round(self.seconds, 3),
            "faces": [{"face": number, **reading.to_dict()} for number, reading in self.faces],
            "voice": self.voice.to_dict() if self.voice else None,
            "heard": self.heard,
            "together": self.together.to_dict() if self.together else None,
            "agreement": self.agreement,
            "sentence": self.sentence,
            "face_weight": None if self.face_weight is None else round(self.face_weight, 3),
        }


@dataclass(frozen=True)
class Event:
    """Something that happened, such as a face lost or speech started."""

    time: float
    text: str

    def to_dict(self) -> dict[str, Any]:
        return {"time": round(self.time, 3), "event": self.text}


@dataclass(frozen=True)
class Run:
    """A stretch of time over which one side showed one label."""

    label: str
    start: float
    end: float


@dataclass(frozen=True)
class Summary:
    """A session in a few numbers."""

    seconds: dict[Side, dict[str, float]]
    """Side -> emotion -> seconds it was shown."""
    changes: dict[Side, int]
    agreement: dict[Agreement, float]
    """Share of the time in which both sides were there; empty when they never were."""
    duration: float
    """Seconds that the rows stand for; the time between stop and start does not count."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "duration": round(self.duration, 1),
            "seconds": {
                side: {name: round(value, 1) for name, value in times.items()}
                for side, times in self.seconds.items()
            },
            "changes": self.changes,
            "agreement": {kind: round(share, 3) for kind, share in self.agreement.items()},
        }


class Journal:
    """The whole session, bounded in memory. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Forget everything; time starts anew at the next tick or event."""
        with self._lock:
            self._ticks: list[Tick] = []
            self._events: deque[Event] = deque(maxlen=MOST_EVENTS)
            self._began: float | None = None
            self.started: datetime | None = None

    def since_start(self, time: float) -> float:
        """Seconds from the session's start to `time`, on the caller's clock."""
        with self._lock:
            return self._since_start(time)

    def add(self, time: float, tick: Tick, after: float = -math.inf) -> None:
        """Note what is shown at `time`, on the caller's clock; `tick.time` is set here.

        Where the last row is that of the time `after`, it stands for all until this one.
        """
        with self._lock:
            row = replace(tick, time=self._since_start(time))
            last = self._ticks[-1] if self._ticks else None
            if last and math.isfinite(after) and last.time == self._since_start(after):
                seconds = min(row.time - last.time, LONGEST_TICK_SECONDS)
                self._ticks[-1] = replace(last, seconds=seconds)
            # A recording is noted when it is over; rows stand in the order of their beginnings.
            insort(self._ticks, row, key=lambda tick: tick.time)
            if len(self._ticks) > MOST_TICKS:
                self._thin()

    def happened(self, time: float, text: str) -> None:
        """Note an event at `time`, on the caller's clock."""
        with self._lock:
            self._events.append(Event(self._since_start(time), text))

    def ticks(self, last: float | None = None) -> list[Tick]:
        """All rows, or those of the last so many seconds."""
        with self._lock:
            if last is None or not self._ticks:
                return list(self._ticks)
            first = max(tick.time + tick.seconds for tick in self._ticks) - last
            return [tick for tick in self._ticks if tick.time + tick.seconds > first + 1e-9]

    def events(self) -> list[Event]:
        """The last `MOST_EVENTS`, oldest first."""
        with self._lock:
            return list(self._events)

    def summary(self) -> Summary:
        """Time per emotion, changes and agreement."""
        return summarise(self.ticks())

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON takes it."""
        ticks, events = self.ticks(), self.events()
        return {
            "kind": "live",
            "started": self.started.isoformat() if self.started else None,
            "summary": summarise(ticks).to_dict(),
            "events": [event.to_dict() for event in events],
            "timeline": [tick.to_dict() for tick in ticks],
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row for each side (and each face) of each tick, then one for each event."""
        ticks, events, started = self.ticks(), self.events(), self.started
        if started is None:
            return []
        rows = [row for tick in ticks for row in _tick_rows(tick, started)]
        return rows + [_row(event.time, started, "event", event=event.text) for event in events]

    def _since_start(self, time: float) -> float:
        if self._began is None:
            self._began = time
            self.started = datetime.now(UTC)
        return max(0.0, time - self._began)

    def _thin(self) -> None:
        """Of the older half, let every second row stand for its neighbour's time too.

        Of rows of the same kind that lie near each other: those of pictures and of recordings that
        came in turns speak of different sides.
        """
        half = len(self._ticks) // 2
        kept: list[Tick] = []
        waiting: dict[bool, Tick] = {}
        for tick in self._ticks[:half]:
            kind = tick.heard is None
            first = waiting.pop(kind, None)
            if first and tick.time - (first.time + first.seconds) < NEAR_SECONDS:
                kept.append(replace(first, seconds=first.seconds + tick.seconds))
            else:
                kept += [first] if first else []
                waiting[kind] = tick
        kept += waiting.values()
        self._ticks[:half] = sorted(kept, key=lambda tick: tick.time)


def summarise(ticks: Sequence[Tick]) -> Summary:
    """Time per emotion, changes and agreement of `ticks`."""
    times: dict[Side, dict[str, float]] = {}
    changes: dict[Side, int] = {}
    for side in SIDES:
        readings = [(tick.reading(side), tick.seconds) for tick in ticks]
        shown = [(reading.label, seconds) for reading, seconds in readings if reading]
        total: Counter[str] = Counter()
        for label, seconds in shown:
            total[label] += seconds  # type: ignore[assignment]
        times[side] = dict(total.most_common())
        changes[side] = sum(a[0] != b[0] for a, b in pairwise(shown))
    both: Counter[Agreement] = Counter()
    for tick in ticks:
        if tick.agreement:
            both[tick.agreement] += tick.seconds  # type: ignore[assignment]
    whole = sum(both.values())
    return Summary(
        seconds=times,
        changes=changes,
        agreement={kind: seconds / whole for kind, seconds in both.items()},
        duration=_covered(ticks),
    )


def _covered(ticks: Sequence[Tick]) -> float:
    """Seconds covered by at least one row."""
    whole, reached = 0.0, -math.inf
    for start, end in sorted((tick.time, tick.time + tick.seconds) for tick in ticks):
        whole += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return whole


def runs(ticks: Sequence[Tick], side: Side) -> list[Run]:
    """Stretches of one label; a stretch ends where the next row is missing or says otherwise.

    The voice's stretches include `silence` and `no speech` (other sound), which are no emotions.
    """
    found: list[Run] = []
    for tick in ticks:
        reading = tick.reading(side)
        quiet = QUIET.get(tick.heard or "") if side == "voice" else None
        label = reading.label if reading else quiet
        if label is None:
            continue
        end = tick.time + tick.seconds
        last = found[-1] if found else None
        if last and last.label == label and tick.time - last.end < TICK_SECONDS:
            found[-1] = replace(last, end=end)
        else:
            found.append(Run(label, tick.time, end))
    return found


def coarse(found: Sequence[Run], start: float, end: float, cells: int) -> Sequence[Run]:
    """Stretches for a picture of `cells` places between two times, where there are more of them.

    Each place shows the label that holds most of its time, or nothing where most of it is empty.
    """
    if len(found) <= cells:
        return found
    width = max(end - start, 1e-6) / cells
    held: list[dict[str, float]] = [defaultdict(float) for _ in range(cells)]
    for run in found:
        first, last = (int((time - start) / width) for time in (run.start, run.end))
        for cell in range(max(0, first), min(last, cells - 1) + 1):
            edge = start + cell * width
            held[cell][run.label] += min(run.end, edge + width) - max(run.start, edge)
    kept: list[Run] = []
    for cell, times in enumerate(held):
        if sum(times.values()) < width / 2:
            continue
        label, edge = max(times, key=times.__getitem__), start + cell * width
        if kept and kept[-1].label == label and edge - kept[-1].end < width / 2:
            kept[-1] = replace(kept[-1], end=edge + width)
        else:
            kept.append(Run(label, edge, edge + width))
    return kept


def _tick_rows(tick: Tick, started: datetime) -> list[dict[str, Any]]:
    rows = [
        _row(tick.time, started, f"face {number}", reading, tick) for number, reading in tick.faces
    ]
    if tick.heard is not None:
        rows.append(_row(tick.time, started, "voice", tick.voice, tick))
    if tick.together:
        rows.append(_row(tick.time, started, "together", tick.together, tick))
    return rows


def _row(
    time: float,
    started: datetime,
    side: str,
    reading: Reading | None = None,
    tick: Tick | None = None,
    event: str = "",
) -> dict[str, Any]:
    values: tuple[Any, ...] = ("",) * len(EMOTIONS)
    if reading:
        values = tuple(round(p, 4) for p in reading.emotion.probabilities)
    joined = tick is not None and side == "together"
    return {
        "time": (started + timedelta(seconds=time)).isoformat(timespec="milliseconds"),
        "start": round(time, 3),
        "seconds": round(tick.seconds, 3) if tick else "",
        "side": side,
        "label": reading.label if reading else (tick.heard or "") if tick else "",
        "confidence": round(reading.confidence, 4) if reading else "",
        "unsure": reading.unsure if reading else "",
        **dict(zip(EMOTIONS, values, strict=True)),
        "agreement": tick.agreement if tick and joined else "",
        "face_weight": round(tick.face_weight or 0, 3) if tick and joined else "",
        "event": event,
    }
