"""What a model's answers on labelled examples show: counts, curves, calibration, comparison."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.labels import EMOTIONS

BINS = 15
"""Of confidence, for calibration."""


def confusion_matrix(labels: NDArray[np.int64], answers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counts (7, 7): row is the true emotion, column the answer."""
    matrix = np.zeros((len(EMOTIONS), len(EMOTIONS)), np.int64)
    np.add.at(matrix, (labels, answers), 1)
    return matrix


def shares(matrix: NDArray[np.integer], axis: int | None) -> NDArray[np.float64]:
    """A confusion matrix as shares of its rows (`axis` 1) or columns (0); counts for None.

    Rows and columns without any example are zero.
    """
    counts = matrix.astype(np.float64)
    if axis is None:
        return counts
    total = counts.sum(axis=axis, keepdims=True)
    return np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)


@dataclass(frozen=True)
class Reliability:
    """Bins of confidence that hold at least one example, each array (bins,)."""

    confidence: NDArray[np.float64]
    """Mean in each bin."""
    accuracy: NDArray[np.float64]
    count: NDArray[np.int64]

    @property
    def error(self) -> float:
        """Expected calibration error: mean gap, weighted by examples (Guo et al. 2017)."""
        gaps = np.abs(self.accuracy - self.confidence)
        return float((gaps * self.count).sum() / self.count.sum())


def reliability(
    probabilities: NDArray[np.floating], labels: NDArray[np.int64], bins: int = BINS
) -> Reliability:
    """How often an answer is right at each confidence; equal-width bins.

    Parameters
    ----------
    probabilities : (n, 7). labels : (n,).
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    count = np.bincount(index, minlength=bins)
    held = count > 0
    sums = (np.bincount(index, values, bins)[held] for values in (confidence, right))
    mean_confidence, accuracy = (total / count[held] for total in sums)
    return Reliability(mean_confidence, accuracy, count[held])


@dataclass(frozen=True)
class Curve:
    """A curve over all thresholds and the area under it."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    area: float


def _counted(
    scores: NDArray[np.floating], positive: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(true, false) positives when all down to each distinct score are called positive."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = np.cumsum(positive[order])[ends].astype(np.float64)
    return hits, ends + 1 - hits


def roc_curve(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> Curve | None:
    """True over false positive rate; None without both positive and other examples."""
    if positive.all() or not positive.any():
        return None
    hits, false = _counted(scores, positive)
    x = np.concatenate([[0.0], false / (~positive).sum()])
    y = np.concatenate([[0.0], hits / positive.sum()])
    return Curve(x, y, float(np.trapezoid(y, x)))


def precision_recall_curve(
    scores: NDArray[np.floating], positive: NDArray[np.bool_]
) -> Curve | None:
    """Precision over recall, with average precision for its area; None without positives."""
    if not positive.any():
        return None
    hits, false = _counted(scores, positive)
    recall, precision = hits / positive.sum(), hits / (hits + false)
    area = float((np.diff(recall, prepend=0.0) * precision).sum())
    return Curve(np.concatenate([[0.0], recall]), np.concatenate([precision[:1], precision]), area)


def coverage(
    confidence: NDArray[np.floating], right: NDArray[np.bool_], threshold: float
) -> tuple[float, float | None]:
    """(share answered, accuracy of these) when less confident answers are called unsure."""
    answered = confidence >= threshold
    accuracy = float(right[answered].mean()) if answered.any() else None
    return float(answered.mean()), accuracy


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Two-sided p of McNemar's exact test that two models err equally often.

    Parameters
    ----------
    first, second : (n,) whether each model is right, on the same examples in the same order.

    Under equality each example on which just one is right is the toss of a fair coin.
    """
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    tosses, fewer = only_first + only_second, min(only_first, only_second)
    ways = tail = 1  # to have none, and at most none, of the tosses; exact in whole numbers
    for heads in range(fewer):
        ways = ways * (tosses - heads) // (heads + 1)
        tail += ways
    return min(1.0, 2 * tail / 2**tosses)
