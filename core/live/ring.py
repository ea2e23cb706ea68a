"""The last seconds of sound, at 16 kHz, filled by one thread and read by another."""

from __future__ import annotations

import threading

import av
import numpy as np
from numpy.typing import NDArray

from core.media import SAMPLE_RATE


class Ring:
    """A ring buffer of mono samples at `SAMPLE_RATE`. Safe to use from several threads."""

    def __init__(self, seconds: float) -> None:
        self._samples = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
        self._end = 0
        self._lock = threading.Lock()

    def add(self, samples: NDArray[np.float32]) -> None:
        """Append samples, (n,); the oldest make room."""
        size = len(self._samples)
        with self._lock:
            kept = samples[-size:]
            places = (self._end + len(samples) - len(kept) + np.arange(len(kept))) % size
            self._samples[places] = kept
            self._end += len(samples)

    def last(self, seconds: float) -> NDArray[np.float32]:
        """(n,): a copy of the last `seconds`, or of as much as there is."""
        size = len(self._samples)
        with self._lock:
            count = min(round(seconds * SAMPLE_RATE), self._end, size)
            return self._samples[np.arange(self._end - count, self._end) % size]

    @property
    def seconds(self) -> float:
        """All that was ever added."""
        with self._lock:
            return self._end / SAMPLE_RATE

    def clear(self) -> None:
        """Forget the sound."""
        with self._lock:
            self._end = 0


class Funnel:
    """Brings sound of any rate and number of channels to mono at `SAMPLE_RATE`."""

    def __init__(self) -> None:
        self._resampler: av.AudioResampler | None = None
        self._format: tuple[str, str, int] | None = None

    def pour(self, frame: av.AudioFrame) -> NDArray[np.float32]:
        """The samples that are ready after `frame`, (n,) in [-1, 1]."""
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._resampler is None or kind != self._format:
            self._resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
            self._format = kind
        frame.pts = None  # a gap in time stamps is no reason to make up silence
        pieces = [out.to_ndarray().reshape(-1) for out in self._resampler.resample(frame)]
        whole = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
        return np.clip(np.nan_to_num(whole), -1, 1).astype(np.float32)
