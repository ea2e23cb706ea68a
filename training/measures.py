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


LEAST_SPEAKERS = 3
"""Below, drawing speakers anew says nothing: of one it is always the same."""
INTERVALS = (
    "bootstrap: pictures are drawn anew, of voices speakers with all their clips, and clips where "
    f"a split has fewer than {LEAST_SPEAKERS} speakers (SAVEE and TESS)"
)
"""How those of `evaluation.json` come about."""


def bootstrap_interval(
    labels: Labels,
    answers: Labels,
    measure=lambda labels, answers: float(np.mean(labels == answers)),
    rounds: int = 1000,
    seed: int = 7,
    speakers: NDArray[np.str_] | None = None,
) -> tuple[float, float]:
    """95% percentile bootstrap interval of `measure`.

    Parameters
    ----------
    speakers : (n,) who each example is of; as many speakers as there are are drawn, with all
        their examples. Examples are drawn by default, and of fewer than `LEAST_SPEAKERS`.
    """
    rng = np.random.default_rng(seed)
    rows_of = _rows_of(speakers) if speakers is not None else []
    values = []
    for _ in range(rounds):
        if len(rows_of) < LEAST_SPEAKERS:
            rows = rng.integers(0, len(labels), len(labels))
        else:
            rows = np.concatenate([rows_of[i] for i in rng.integers(0, len(rows_of), len(rows_of))])
        values.append(measure(labels[rows], answers[rows]))
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def _rows_of(speakers: NDArray[np.str_]) -> list[NDArray[np.int64]]:
    """Of each speaker, the examples."""
    return [np.flatnonzero(speakers == one) for one in np.unique(speakers)]


def summary(
    probabilities: NDArray[np.floating], labels: Labels, speakers: NDArray[np.str_] | None = None
) -> dict[str, Any]:
    """All that `evaluation.json` says of one split.

    Parameters
    ----------
    probabilities : (n, 7), calibrated. labels : (n,). speakers : (n,), `bootstrap_interval`; how
        many were drawn then stands under `speakers_drawn`.
    """
    answers = probabilities.argmax(axis=1)
    matrix = confusion_matrix(labels, answers)
    support, chosen, right = matrix.sum(axis=1), matrix.sum(axis=0), matrix.diagonal()
    recall = right / np.maximum(support, 1)
    precision = right / np.maximum(chosen, 1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    present = support > 0
    interval = bootstrap_interval(labels, answers, speakers=speakers)
    recall_interval = bootstrap_interval(
        labels, answers, unweighted_average_recall, speakers=speakers
    )
    drawn = 0 if speakers is None else len(np.unique(speakers))
    return {
        "n": len(labels),
        **({"speakers_drawn": drawn} if drawn >= LEAST_SPEAKERS else {}),
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
