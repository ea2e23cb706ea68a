"""What a model answered on each example it was judged on: `models/<name>/predictions.npz`.

Plain arrays, never pickled, for every split: `s/ids`, `s/labels` int8 (n,), `s/probabilities`
float16 (n, 7), `s/groups`. Written by `python -m training evaluate NAME --write` from the answers
that `evaluation.json` sums up.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core import reports
from core.errors import DuetError
from core.labels import EMOTIONS
from core.models import ModelInfo

FILE_NAME = "predictions.npz"
SPOILT = (
    OSError,
    EOFError,
    KeyError,
    ValueError,
    MemoryError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What reading a spoilt npz file can raise."""
FIELDS = ("ids", "labels", "probabilities", "groups")
MAX_BYTES = 256 * 1024 * 1024
"""Unpacked; the arrays of 100,000 examples take a fifth of it."""


@dataclass(frozen=True)
class Predictions:
    """A model's answers on one split."""

    ids: NDArray[np.str_]
    """(n,): path inside FER2013, or `corpus/path` of a recording."""
    labels: NDArray[np.int64]
    """(n,): the truth, as indices of `EMOTIONS`."""
    probabilities: NDArray[np.floating]
    """(n, 7), calibrated."""
    groups: NDArray[np.str_]
    """(n,): corpus of each recording; empty for pictures."""

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def answers(self) -> NDArray[np.int64]:
        """(n,): the most likely emotion of each example."""
        return np.asarray(self.probabilities.argmax(axis=1), np.int64)

    @cached_property
    def confidence(self) -> NDArray[np.floating]:
        """(n,): the probability of the answer."""
        return self.probabilities.max(axis=1)

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """(n,): whether the answer is the truth."""
        return self.answers == self.labels

    def where(self, rows: NDArray[np.bool_] | NDArray[np.integer]) -> Predictions:
        """Those of a mask, or those of these numbers."""
        return Predictions(
            self.ids[rows], self.labels[rows], self.probabilities[rows], self.groups[rows]
        )

    def aligned_with(self, other: Predictions) -> Predictions | None:
        """These answers in the order of the other's; None unless both are on the same examples."""
        mine, theirs = np.argsort(self.ids, kind="stable"), np.argsort(other.ids, kind="stable")
        same = len(self) == len(other) and np.array_equal(self.ids[mine], other.ids[theirs])
        if not same or not np.array_equal(self.labels[mine], other.labels[theirs]):
            return None
        order = np.empty(len(self), np.int64)
        order[theirs] = mine
        return self.where(order)


def write_predictions(folder: Path, splits: dict[str, Predictions]) -> Path:
    """Write `predictions.npz` of a model folder: split -> answers."""
    arrays: dict[str, NDArray] = {}
    for name, found in splits.items():
        arrays[f"{name}/ids"] = found.ids.astype(np.str_)
        arrays[f"{name}/labels"] = found.labels.astype(np.int8)
        arrays[f"{name}/probabilities"] = _halved(found.probabilities)
        arrays[f"{name}/groups"] = found.groups.astype(np.str_)
    path = folder / FILE_NAME
    part = path.with_suffix(".part.npz")
    np.savez_compressed(part, allow_pickle=False, **arrays)
    part.replace(path)
    return path


def _halved(probabilities: NDArray[np.floating]) -> NDArray[np.float16]:
    """As float16, with the same answers: two that are nearly equal may round to one number."""
    rows = np.arange(len(probabilities))
    answers = probabilities.argmax(axis=1)
    rounded = probabilities.astype(np.float16)
    moved = rounded.argmax(axis=1) != answers
    raised = np.nextafter(rounded.max(axis=1), np.float16(1))
    rounded[rows[moved], answers[moved]] = raised[moved]
    return rounded


def read_predictions(info: ModelInfo) -> dict[str, Predictions]:
    """Split -> the model's answers on it; probabilities as float32.

    Raises
    ------
    DuetError
        `not_found` when the model comes without the file, `damaged_model` when the file is not
        what it should be; both name the file and the mend.
    """
    path = info.folder / FILE_NAME
    mend = reports.again(info)
    if not path.is_file():
        raise DuetError("not_found", f"{path} is missing; {mend}.")
    try:
        return _splits(path)
    except SPOILT as error:
        raise DuetError(
            "damaged_model", f"{path} is damaged ({_reason(error)}); restore it, or {mend}."
        ) from None


def _reason(error: Exception) -> str:
    return str(error).strip("'\"").split("\n")[0].rstrip(".") or type(error).__name__


def _splits(path: Path) -> dict[str, Predictions]:
    if not zipfile.is_zipfile(path):
        raise ValueError("it is no npz file")
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
            raise ValueError("its arrays are too large")
    with np.load(path, allow_pickle=False) as stored:
        names = {key.rsplit("/", 1)[0] for key in stored.files}
        found = {}
        for name in sorted(names, key=lambda split: (split != "test", split)):
            arrays = [stored[f"{name}/{field}"] for field in FIELDS]
            found[name] = _checked(name, *arrays)
    if not found:
        raise ValueError("it holds no split")
    return found


def _checked(
    name: str, ids: NDArray, labels: NDArray, probabilities: NDArray, groups: NDArray
) -> Predictions:
    shapes = (labels.shape, ids.shape, groups.shape, probabilities.shape)
    n = len(labels) if labels.ndim else 0
    if not n or shapes != ((n,), (n,), (n,), (n, len(EMOTIONS))):
        raise ValueError(f"the arrays of {name} do not fit together")
    if ids.dtype.kind != "U" or groups.dtype.kind != "U" or labels.dtype.kind not in "iu":
        raise ValueError(f"the arrays of {name} are of another kind")
    if labels.min() < 0 or labels.max() >= len(EMOTIONS):
        raise ValueError(f"{name} holds a label that is no emotion")
    p = probabilities.astype(np.float32)
    if not (np.isfinite(p).all() and (p >= 0).all() and np.allclose(p.sum(axis=1), 1, atol=0.01)):
        raise ValueError(f"{name} holds probabilities that do not add up to one")
    return Predictions(ids, labels.astype(np.int64), p, groups)
