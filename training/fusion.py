"""Fit the fusion rule on validation pairs and judge it on test pairs.

There is no recording of one person's face and voice here: a pair is a held-out face of FER2013
and a held-out voice *of the same label*. That makes face and voice independent given the
emotion, which they are not in life, so the gain measured here is an upper estimate.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.fusion import METHODS, FusionRule, join, meant_given_answer
from core.labels import EMOTIONS
from core.measures import confusion_matrix
from core.models import MODELS_FOLDER, Model, probabilities
from training import checks
from training.evaluate import Answers, face_answers, voice_answers
from training.files import write_json
from training.measures import expected_calibration_error, rounded

PAIRS_PER_EMOTION = 1000
SEED = 7
ROUNDS = 200
"""Of the bootstrap."""

Pairs = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]


def missing_from_pairs(face: Answers, voice: Answers) -> list[str]:
    """The emotions that not both sides have an example of.

    Raises
    ------
    DataSetError
        When fewer than two are left.
    """
    shared = np.intersect1d(face.labels, voice.labels)
    return checks.missing_emotions(shared, "What faces and voices share")


def label_matched_pairs(
    face: Answers, voice: Answers, temperatures: tuple[float, float], rng: np.random.Generator
) -> Pairs:
    """Random pairs of the same label, every emotion and, within it, every corpus alike.

    Emotions that one side lacks are left out. Returns face probabilities (n, 7), voice
    probabilities (n, 7) and labels (n,).

    Raises
    ------
    DataSetError
        When both sides share fewer than two emotions.
    """
    missing = missing_from_pairs(face, voice)
    labels = [label for label, name in enumerate(EMOTIONS) if name not in missing]
    faces, voices = [], []
    for label in labels:
        faces.append(rng.choice(np.flatnonzero(face.labels == label), PAIRS_PER_EMOTION))
        heard = voice.labels == label
        corpora = [np.flatnonzero(heard & (voice.groups == c)) for c in np.unique(voice.groups)]
        corpora = [rows for rows in corpora if len(rows)]
        which = rng.integers(0, len(corpora), PAIRS_PER_EMOTION)
        voices.append(np.array([rng.choice(corpora[w]) for w in which]))
    return (
        probabilities(face.logits[np.concatenate(faces)], temperatures[0]),
        probabilities(voice.logits[np.concatenate(voices)], temperatures[1]),
        np.repeat(np.array(labels), PAIRS_PER_EMOTION),
    )


def resampled(answers: Answers, rng: np.random.Generator) -> Answers:
    """As many examples of each label and corpus, drawn with replacement."""
    rows = []
    for label in np.unique(answers.labels):
        for group in np.unique(answers.groups):
            cell = np.flatnonzero((answers.labels == label) & (answers.groups == group))
            if len(cell):
                rows.append(rng.choice(cell, len(cell)))
    chosen = np.concatenate(rows)
    return answers.where(chosen)


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

    Raises
    ------
    DataSetError
        When the data cannot be used, or faces and voices share fewer than two emotions.
    """
    answers = {
        split: (face_answers(face_model, data, split), voice_answers(voice_model, data, split))
        for split in ("validation", "test")
    }
    judged_on = _told(answers)
    meant = [
        meant_given_answer(confusion_matrix(a.labels, a.logits.argmax(axis=1)))
        for a in answers["validation"]
    ]
    temperatures = face_model.info.temperature, voice_model.info.temperature
    rng = np.random.default_rng(SEED)
    validation = label_matched_pairs(*answers["validation"], temperatures, rng)
    fitted = {}
    for method in METHODS:
        scored = [
            (_loss(join(validation[0], validation[1], rule, *meant)[0], validation[2]), rule)
            for rule in candidates(method)
        ]
        fitted[method] = min(scored, key=lambda pair: pair[0])
    best = min(fitted.values(), key=lambda pair: pair[0])[1]

    def all_ways(pairs: Pairs) -> dict[str, NDArray[np.float64]]:
        ways = {"face alone": pairs[0], "voice alone": pairs[1]}
        for method, (_, rule) in fitted.items():
            ways[method] = join(pairs[0], pairs[1], rule, *meant)[0]
        return ways

    test = label_matched_pairs(*answers["test"], temperatures, rng)
    rounds = []
    for _ in range(ROUNDS):
        again = tuple(resampled(side, rng) for side in answers["test"])
        pairs = label_matched_pairs(again[0], again[1], temperatures, rng)
        rounds.append({w: _accuracy(p, pairs[2]) for w, p in all_ways(pairs).items()})
    measured = {
        way: _measures(p, test[2], [r[way] for r in rounds]) for way, p in all_ways(test).items()
    }
    for method, (loss, _) in fitted.items():
        measured[method]["validation_log_loss"] = rounded(loss)
    gains = [r[best.method] - max(r["face alone"], r["voice alone"]) for r in rounds]
    better = max(measured["face alone"]["accuracy"], measured["voice alone"]["accuracy"])
    return {
        "rule": asdict(best),
        "face_model": face_model.info.name,
        "face_model_sha256": face_model.info.sha256,
        "voice_model": voice_model.info.name,
        "voice_model_sha256": voice_model.info.sha256,
        "pairs": "label-matched: a held-out face and a held-out voice of the same label, "
        "not recordings of one person",
        **judged_on,
        "n": len(test[2]),
        "test": measured,
        "gain": rounded(measured[best.method]["accuracy"] - better),
        "gain_95": _interval(gains),
        "command": "python -m training fusion --data PATH",
    }


def _told(answers: dict[str, tuple[Answers, Answers]]) -> dict[str, Any]:
    """Say what faces and voices of each split lack; return what the report says of it.

    Returns
    -------
    `left_out` as `checks.noted`, of both sides and splits together; where pairs lack an emotion
    `missing`: split -> emotions.
    """
    missing = {}
    for split, sides in answers.items():
        for side, whose in zip(sides, ("FER2013's", "The voices'"), strict=True):
            checks.told(side.labels, side.left_out, f"{whose} {split}")
        if lacking := missing_from_pairs(*sides):
            print(f"no {split} pair of {', '.join(lacking)}", flush=True)
            missing[split] = lacking
    left_out = [fault for sides in answers.values() for side in sides for fault in side.left_out]
    return {**checks.noted(left_out), **({"missing": missing} if missing else {})}


def _accuracy(p: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    return float(np.mean(p.argmax(axis=1) == labels))


def _interval(values: list[float]) -> list[float]:
    return [rounded(v) for v in np.percentile(values, [2.5, 97.5])]


def _measures(
    p: NDArray[np.float64], labels: NDArray[np.int64], rounds: list[float]
) -> dict[str, Any]:
    """The interval is that of faces and voices drawn anew, then paired anew."""
    return {
        "accuracy": rounded(_accuracy(p, labels)),
        "accuracy_95": _interval(rounds),
        "log_loss": rounded(_loss(p, labels)),
        "expected_calibration_error": rounded(expected_calibration_error(p, labels)),
    }


def write(report: dict[str, Any], models: Path = MODELS_FOLDER) -> None:
    write_json(models / "fusion.json", report)
