"""How good an answer is: the measures that `evaluation.json` holds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.labels import EMOTIONS
from core.measures import confusion_matrix, reliability

Labels = NDArray[np.int64]


def unweighted_average_recall(labels: Labels, answers: Labels) -> float:
    """Mean recall over the emotions that occur in `labels`; chance is one over their number."""
    matrix = confusion_matrix(labels, answers)
    support = matrix.sum(axis=1)
    present = support > 0
    return float(np.mean(matrix.diagonal()[present] / support[present]))


def expected_calibration_error(probabilities: NDArray[np.floating], labels: Labels) -> float:
    """Mean gap between confidence and accuracy over equal-width bins (Guo et al. 2017)."""
    return reliability(probabilities, labels).error


def bootstrap_interval(
    labels: Labels,
    answers: Labels,
    measure=lambda labels, answers: float(np.mean(labels == answers)),
    rounds: int = 1000,
    seed: int = 7,
) -> tuple[float, float]:
    """95% percentile bootstrap interval of `measure` over examples."""
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(rounds):
        rows = rng.integers(0, len(labels), len(labels))
        values.append(measure(labels[rows], answers[rows]))
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def summary(probabilities: NDArray[np.floating], labels: Labels) -> dict[str, Any]:
    """All that `evaluation.json` says of one split.

    Parameters
    ----------
    probabilities : (n, 7), calibrated. labels : (n,).
    """
    answers = probabilities.argmax(axis=1)
    matrix = confusion_matrix(labels, answers)
    support, chosen, right = matrix.sum(axis=1), matrix.sum(axis=0), matrix.diagonal()
    recall = right / np.maximum(support, 1)
    precision = right / np.maximum(chosen, 1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    present = support > 0
    interval = bootstrap_interval(labels, answers)
    recall_interval = bootstrap_interval(labels, answers, unweighted_average_recall)
    return {
        "n": len(labels),
        "accuracy": round(float(np.mean(answers == labels)), 4),
        "accuracy_95": [round(v, 4) for v in interval],
        "unweighted_average_recall": round(float(recall[present].mean()), 4),
        "unweighted_average_recall_95": [round(v, 4) for v in recall_interval],
        "macro_f1": round(float(f1[present].mean()), 4),
        "expected_calibration_error": round(expected_calibration_error(probabilities, labels), 5),
        "classes": {
            name: {
                "precision": round(float(precision[i]), 4),
                "recall": round(float(recall[i]), 4),
                "f1": round(float(f1[i]), 4),
                "support": int(support[i]),
            }
            for i, name in enumerate(EMOTIONS)
        },
        "confusion_matrix": matrix.tolist(),
    }
