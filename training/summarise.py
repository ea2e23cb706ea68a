"""What the pages show of the data without the data: `python -m training summarise --data PATH`.

Writes into `core/summary/`: `index.parquet` (see `core.index`), `faces.npz` (mean and standard
deviation of the pictures of each emotion), `voices.npz` (mean spectrogram of each corpus and
emotion) and `summary.json` (counts, and how they came about). No picture and no recording.
"""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core import index
from core.labels import EMOTIONS
from training.prepare import build
from training.provenance import git_commit

PAPER: dict[str, dict[str, int]] = {
    "clips": {
        **dict.fromkeys(("fear", "angry", "sad", "disgust", "happy"), 1923),
        "neutral": 1895,
        "surprise": 652,
    },
    "pictures": {"train": 28_717, "test": 7_186},
}
"""The tables of the paper that this app follows: voice clips by emotion, FER2013 by split."""


class Averages:
    """Running mean and standard deviation of arrays of one shape, by key."""

    def __init__(self) -> None:
        self._count: dict[tuple[str, str], int] = defaultdict(int)
        self._sum: dict[tuple[str, str], Any] = defaultdict(float)
        self._squares: dict[tuple[str, str], Any] = defaultdict(float)

    def add(self, dataset: str, label: str, content: NDArray[np.generic]) -> None:
        values = np.asarray(content, np.float64)
        self._count[dataset, label] += 1
        self._sum[dataset, label] += values
        self._squares[dataset, label] += values**2

    def known(self) -> list[tuple[str, str]]:
        return sorted(self._count)

    def mean(self, dataset: str, label: str) -> NDArray[np.float64]:
        return np.asarray(self._sum[dataset, label] / self._count[dataset, label])

    def deviation(self, dataset: str, label: str) -> NDArray[np.float64]:
        squares = self._squares[dataset, label] / self._count[dataset, label]
        return np.sqrt(np.maximum(squares - self.mean(dataset, label) ** 2, 0))


def summarise(data: Path, folder: Path = index.SUMMARY_FOLDER) -> dict[str, Any]:
    """Write the summary of the sets at `data` into `folder`; what `summary.json` holds.

    Raises
    ------
    DataSetError
        When no data set is there.
    """
    averages = Averages()
    frame = build(data, averages.add)
    folder.mkdir(parents=True, exist_ok=True)
    index.write(frame, folder / index.INDEX_NAME)
    _write_faces(averages, folder / "faces.npz")
    _write_voices(averages, folder / "voices.npz")
    report = describe(index.read(folder / index.INDEX_NAME))
    (folder / "summary.json").write_text(json.dumps(report, indent=1) + "\n")
    return report


def _write_faces(averages: Averages, path: Path) -> None:
    """`mean` and `deviation`, float16 (7, 48, 48) in grey levels; NaN for a missing emotion."""
    shape = (len(EMOTIONS), 48, 48)
    mean, deviation = np.full(shape, np.nan, np.float16), np.full(shape, np.nan, np.float16)
    for dataset, label in averages.known():
        if dataset in index.FACE_SETS:
            number = EMOTIONS.index(label)
            mean[number] = averages.mean(dataset, label)
            deviation[number] = averages.deviation(dataset, label)
    np.savez_compressed(path, mean=mean, deviation=deviation)


def _write_voices(averages: Averages, path: Path) -> None:
    """Corpus -> uint8 (7, columns, bands): half dB below the clip's loudest cell.

    A corpus that lacks an emotion holds 255 there.
    """
    found: dict[str, NDArray[np.uint8]] = {}
    for dataset, label in averages.known():
        if dataset in index.VOICE_SETS:
            mean = averages.mean(dataset, label)
            blank = np.full((len(EMOTIONS), *mean.shape), 255, np.uint8)
            found.setdefault(dataset, blank)[EMOTIONS.index(label)] = np.round(-2 * mean)
    np.savez_compressed(path, **found)  # type: ignore[arg-type]


def describe(frame: pd.DataFrame) -> dict[str, Any]:
    """Counts of an index by what the pages and the README tell."""
    seconds = frame["duration"].fillna(0).groupby(frame["dataset"], observed=True).sum()
    return {
        "command": "python -m training summarise --data PATH",
        "git_commit": git_commit(),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "paper": PAPER,
        "files": _counts(frame, "dataset"),
        "hours": {name: round(float(value) / 3600, 2) for name, value in seconds.items() if value},
        "distinct": {
            str(name): int(part["group"].nunique())
            for name, part in frame.groupby("dataset", observed=True)
        },
        "labels": _table(frame, "label"),
        "splits": _table(frame, "split"),
        "sex": _table(frame[frame["sex"] != ""], "sex"),
        "intensity": _table(frame[frame["intensity"] != ""], "intensity"),
        "speakers": {
            str(name): int(part["speaker"].nunique())
            for name, part in frame[frame["speaker"] != ""].groupby("dataset", observed=True)
        },
        "quality": {name: len(rows) for name, rows in index.quality_lists(frame).items()},
    }


def _counts(frame: pd.DataFrame, column: str) -> dict[str, int]:
    return {str(name): int(count) for name, count in frame[column].value_counts().items() if count}


def _table(frame: pd.DataFrame, column: str) -> dict[str, dict[str, int]]:
    """Data set -> value of `column` -> files."""
    return {
        str(name): _counts(part, column) for name, part in frame.groupby("dataset", observed=True)
    }
