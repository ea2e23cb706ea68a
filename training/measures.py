"""How good an answer is: the measures that `evaluation.json` holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
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


def recalls(
    labels: Labels, answers: Labels, corpora: NDArray[np.str_], which: Sequence[str]
) -> dict[str, float]:
    """Corpus -> unweighted average recall, of those of `which` that occur in `corpora` (n,)."""
    return {
        corpus: unweighted_average_recall(labels[corpora == corpus], answers[corpora == corpus])
        for corpus in which
        if (corpora == corpus).any()
    }


def expected_calibration_error(probabilities: NDArray[np.floating], labels: Labels) -> float:
    """Mean gap between confidence and accuracy over equal-width bins (Guo et al. 2017)."""
    return reliability(probabilities, labels).error


LEAST_SPEAKERS = 3
"""Below, drawing speakers anew says nothing: of one it is always the same."""
OVER_SPEAKERS = (
    "within each corpus over speakers with all their clips, widened by Student's t for being few, "
    f"and over clips where it has fewer than {LEAST_SPEAKERS} speakers"
)
"""How intervals of voices come about, by bootstrap."""
Z_95 = 1.959964
"""Quantile of the normal distribution at 97.5%."""


def widening(units: int, z: float = Z_95, strata: int = 1) -> float:
    """By how much an interval from drawing few units anew has to be wider.

    Percentiles of a bootstrap take the spread of so few for the true one: of 4 they hold 80% of
    the time and not 95%. Hesterberg (2015), "What Teachers Should Know About the Bootstrap":
    `sqrt(n / (n - 1))`, times Student's quantile with `n - 1` degrees of freedom over the normal
    one `z`. Where they are drawn in several strata, as many are taken off. Student's is Cornish and
    Fisher's expansion of it.
    """
    nu = max(1, units - strata)
    student = (
        z
        + (z**3 + z) / (4 * nu)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * nu**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * nu**3)
    )
    return math.sqrt(units / nu) * student / z


def widened(
    ends: tuple[float, float], value: float, units: int, z: float = Z_95, strata: int = 1
) -> tuple[float, float]:
    """An interval around `value` that allows for having drawn so few units (`widening`)."""
    times = widening(units, z, strata)
    return value - times * (value - ends[0]), value + times * (ends[1] - value)


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
    speakers : (n,) whose each example is, as `corpus/speaker`; within each corpus as many speakers
        as it has are drawn, with all their examples, and the interval is `widened`. Of a corpus of
        fewer than `LEAST_SPEAKERS`, and by default, examples are drawn.
    """
    rng = np.random.default_rng(seed)
    blocks = _blocks(len(labels), speakers)
    values = []
    for _ in range(rounds):
        rows = np.concatenate([_drawn_anew(block, rng) for block in blocks])
        values.append(measure(labels[rows], answers[rows]))
    low, high = (float(end) for end in np.percentile(values, [2.5, 97.5]))
    if strata := [len(block) for block in blocks if isinstance(block, list)]:
        value = measure(labels, answers)
        low, high = widened((low, high), value, sum(strata), strata=len(strata))
    return max(0.0, low), min(1.0, high)


def speakers_drawn(speakers: NDArray[np.str_] | None) -> int:
    """How many speakers are drawn anew for an interval; 0 where examples are."""
    blocks = [] if speakers is None else _blocks(len(speakers), speakers)
    return sum(len(block) for block in blocks if isinstance(block, list))


Block = NDArray[np.int64] | list[NDArray[np.int64]]
"""Rows that are drawn one by one, or the rows of each speaker of a corpus."""


def _blocks(n: int, speakers: NDArray[np.str_] | None) -> list[Block]:
    """What is drawn from: each corpus by itself, or all examples."""
    if speakers is None:
        return [np.arange(n)]
    by_corpus: dict[str, list[str]] = {}
    for name in np.unique(speakers).tolist():
        by_corpus.setdefault(name.partition("/")[0], []).append(name)
    return [
        [np.flatnonzero(speakers == name) for name in names]
        if len(names) >= LEAST_SPEAKERS
        else np.flatnonzero(np.isin(speakers, names))
        for names in by_corpus.values()
    ]


def _drawn_anew(block: Block, rng: np.random.Generator) -> NDArray[np.int64]:
    """As many as there are, with replacement."""
    drawn = rng.integers(0, len(block), len(block))
    if isinstance(block, np.ndarray):
        return block[drawn]
    return np.concatenate([block[i] for i in drawn])


def rounded(value: float | np.floating) -> float:
    """As it is kept in a file: to 6 digits, so that what shows it does not round a rounded value.

    69.949% kept as 69.95% would be shown as 70.0%.
    """
    return round(float(value), 6)


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
    return {
        "n": len(labels),
        **({"speakers_drawn": drawn} if (drawn := speakers_drawn(speakers)) else {}),
        "accuracy": rounded(np.mean(answers == labels)),
        "accuracy_95": [rounded(v) for v in interval],
        "unweighted_average_recall": rounded(recall[present].mean()),
        "unweighted_average_recall_95": [rounded(v) for v in recall_interval],
        "macro_f1": rounded(f1[present].mean()),
        "expected_calibration_error": rounded(expected_calibration_error(probabilities, labels)),
        "classes": {
            name: {
                "precision": rounded(precision[i]),
                "recall": rounded(recall[i]),
                "f1": rounded(f1[i]),
                "support": int(support[i]),
            }
            for i, name in enumerate(EMOTIONS)
        },
        "confusion_matrix": matrix.tolist(),
    }
