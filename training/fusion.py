"""Fit the fusion rule on validation pairs and judge it on test pairs.

There is no recording of one person's face and voice here: a pair is a held-out face of FER2013
and a held-out voice *of the same label*. That makes face and voice independent given the
emotion, which they are not in life, so the gain measured here is an upper estimate.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.fusion import METHODS, FusionRule, join, meant_given_answer
from core.labels import EMOTIONS
from core.models import MODELS_FOLDER, Model, probabilities
from training.evaluate import Answers, face_answers, voice_answers
from training.export import write_json
from training.measures import (
    bootstrap_interval,
    confusion_matrix,
    expected_calibration_error,
    unweighted_average_recall,
)

PAIRS_PER_EMOTION = 1000
SEED = 7

Pairs = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]


def label_matched_pairs(
    face: Answers, voice: Answers, face_temperature: float, voice_temperature: float, seed: int
) -> Pairs:
    """Random pairs of the same label, every emotion and, within it, every corpus alike.

    Returns face probabilities (n, 7), voice probabilities (n, 7) and labels (n,).
    """
    rng = np.random.default_rng(seed)
    faces, voices = [], []
    for label in range(len(EMOTIONS)):
        faces.append(rng.choice(np.flatnonzero(face.labels == label), PAIRS_PER_EMOTION))
        heard = voice.labels == label
        corpora = [np.flatnonzero(heard & (voice.groups == c)) for c in np.unique(voice.groups)]
        corpora = [rows for rows in corpora if len(rows)]
        which = rng.integers(0, len(corpora), PAIRS_PER_EMOTION)
        voices.append(np.array([rng.choice(corpora[w]) for w in which]))
    return (
        probabilities(face.logits[np.concatenate(faces)], face_temperature),
        probabilities(voice.logits[np.concatenate(voices)], voice_temperature),
        np.repeat(np.arange(len(EMOTIONS)), PAIRS_PER_EMOTION),
    )


def candidates(method: str) -> list[FusionRule]:
    """The grid of rules that `method` is fitted over."""
    exponents = (0.5, 0.75, 1.0, 1.25, 1.5)
    sharp = (0.0,) if method in ("average", "product") else (0.25, 0.5, 1.0)
    shares = (0.1, 0.2, 0.35, 0.5) if method == "certainty+confusion" else (0.0,)
    if method == "average":
        return [FusionRule("average")]
    return [
        FusionRule(method, face, voice, share, sharpness)
        for face, voice, share, sharpness in itertools.product(exponents, exponents, shares, sharp)
    ]


def _loss(fused: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    return -float(np.log(fused[np.arange(len(labels)), labels] + 1e-12).mean())


def compare(face_model: Model, voice_model: Model, data: Path) -> dict[str, Any]:
    """Fit every method on validation pairs; measure all, and each side alone, on test pairs.

    The rule with the least log-loss on validation pairs is the one that ships.
    """
    answers = {
        split: (face_answers(face_model, data, split), voice_answers(voice_model, data, split))
        for split in ("validation", "test")
    }
    meant = [
        meant_given_answer(confusion_matrix(a.labels, a.logits.argmax(axis=1)))
        for a in answers["validation"]
    ]
    temperatures = face_model.info.temperature, voice_model.info.temperature
    validation, test = (
        label_matched_pairs(*answers[split], *temperatures, seed=SEED)
        for split in ("validation", "test")
    )
    fitted = {}
    for method in METHODS:
        scored = [
            (_loss(join(validation[0], validation[1], rule, *meant)[0], validation[2]), rule)
            for rule in candidates(method)
        ]
        fitted[method] = min(scored, key=lambda pair: pair[0])
    best = min(fitted.values(), key=lambda pair: pair[0])[1]
    labels = test[2]
    measured = {
        "face alone": _measures(test[0], labels),
        "voice alone": _measures(test[1], labels),
        **{
            method: {
                "validation_log_loss": round(loss, 4),
                **_measures(join(test[0], test[1], rule, *meant)[0], labels),
            }
            for method, (loss, rule) in fitted.items()
        },
    }
    return {
        "rule": vars(best),
        "face_model": face_model.info.name,
        "voice_model": voice_model.info.name,
        "pairs": "label-matched: a held-out face and a held-out voice of the same label, "
        "not recordings of one person",
        "n": len(labels),
        "test": measured,
        "command": "python -m training fusion --data PATH",
    }


def _measures(p: NDArray[np.float64], labels: NDArray[np.int64]) -> dict[str, Any]:
    answers = p.argmax(axis=1)
    interval = bootstrap_interval(labels, answers, rounds=300)
    return {
        "accuracy": round(float(np.mean(answers == labels)), 4),
        "accuracy_95": [round(v, 4) for v in interval],
        "unweighted_average_recall": round(unweighted_average_recall(labels, answers), 4),
        "log_loss": round(_loss(p, labels), 4),
        "expected_calibration_error": round(expected_calibration_error(p, labels), 4),
    }


def write(report: dict[str, Any], models: Path = MODELS_FOLDER) -> None:
    write_json(models / "fusion.json", report)
