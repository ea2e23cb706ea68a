"""`models/REPORT.md`: all models, on all that they were judged on, in one place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import DuetError
from core.labels import EMOTIONS
from core.models import Model, ModelInfo, installed
from core.predictions import Predictions, read_predictions
from training.export import write_json
from training.fairness import fairness
from training.robustness import robustness

COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.5)
"""Shares of the examples answered, the surest first."""


def measure(info: ModelInfo, data: Path) -> None:
    """Write `robustness.json` and `fairness.json` of a model."""
    write_json(info.folder / "robustness.json", robustness(Model(info), data))
    write_json(info.folder / "fairness.json", fairness(info, data))


def write_report(models: Path) -> Path:
    """Write `REPORT.md` from what lies in the model folders; nothing is measured anew."""
    infos = installed(models)[0]
    parts = [
        "# What the models can do",
        "Written by `python -m training report --data PATH`; every number comes from a file in "
        "the model's folder. Intervals are 95%. UAR is the unweighted average recall, ECE the "
        "expected calibration error. How each model was made stands in its own README.md.",
        "## All models, all splits",
        _leaderboard(infos),
    ]
    if (models / "fusion.json").is_file():
        parts += ["## Face and voice together", _fusion(models / "fusion.json")]
    for info in infos:
        parts += [f"## {info.name}", *_model(info)]
    path = models / "REPORT.md"
    path.write_text("\n\n".join(part for part in parts if part) + "\n")
    return path


def _leaderboard(infos: list[ModelInfo]) -> str:
    rows = []
    for info in infos:
        for split, m in info.evaluation.get("splits", {}).items():
            rows.append(
                [
                    info.name,
                    split,
                    f"{m['n']:,}",
                    _with_interval(m, "accuracy"),
                    _with_interval(m, "unweighted_average_recall"),
                    f"{m['macro_f1']:.3f}",
                    f"{m['expected_calibration_error']:.3f}",
                ]
            )
    return _table(["model", "split", "n", "accuracy", "UAR", "macro F1", "ECE"], rows)


def _with_interval(measures: dict[str, Any], name: str) -> str:
    low, high = measures[f"{name}_95"]
    return f"{measures[name]:.1%} ({low:.1%} to {high:.1%})"


def _model(info: ModelInfo) -> list[str]:
    parts = []
    try:
        found = read_predictions(info)["test"]
    except (DuetError, KeyError):
        found = None
    if found is not None:
        parts += ["### When the unsure are left out", _coverage(found)]
        parts += ["### By emotion", _classes(info)]
    for title, name, text in (
        ("When pictures and recordings get worse", "robustness.json", _robustness),
        ("Whom it serves how well", "fairness.json", _fairness),
    ):
        if (info.folder / name).is_file():
            parts += [f"### {title}", text(json.loads((info.folder / name).read_text()))]
    return parts


def _coverage(found: Predictions) -> str:
    order = np.argsort(-found.confidence, kind="stable")
    right = np.cumsum(found.right[order])
    rows = []
    for share in COVERAGES:
        n = max(1, round(share * len(found)))
        least = found.confidence[order[n - 1]]
        rows.append([f"{share:.0%}", f"{least:.0%}", f"{right[n - 1] / n:.1%}"])
    return "Accuracy on the surest answers of the test split:\n\n" + _table(
        ["answered", "at least this sure", "accuracy"], rows
    )


def _classes(info: ModelInfo) -> str:
    classes = info.evaluation["splits"]["test"]["classes"]
    rows = [
        [
            name,
            *(f"{classes[name][k]:.1%}" for k in ("precision", "recall", "f1")),
            f"{classes[name]['support']:,}",
        ]
        for name in EMOTIONS
    ]
    return _table(["emotion", "precision", "recall", "F1", "examples"], rows)


def _robustness(found: dict[str, Any]) -> str:
    clean = found["clean"]
    rows = []
    for name, steps in found["corruptions"].items():
        cells = [f"{step['accuracy']:.1%} ({step['setting']})" for step in steps]
        rows.append([name, *cells])
    lead = (
        f"Accuracy on {found['n']:,} test examples, {clean['accuracy']:.1%} as they are "
        f"(UAR {clean['unweighted_average_recall']:.1%}), made worse in five steps."
    )
    if "refused" in clean:
        lead += " A clip in which no speech is found any more counts as wrong."
    return f"{lead}\n\n" + _table(["what", "1", "2", "3", "4", "5"], rows)


def _fairness(found: dict[str, Any]) -> str:
    rows = []
    for attribute, groups in found["groups"].items():
        for name, m in groups.items():
            rows.append(
                [
                    attribute,
                    name,
                    f"{m['n']:,}",
                    f"{m['speakers']:,}",
                    _with_interval(m, "accuracy"),
                    f"{m['unweighted_average_recall']:.1%}",
                ]
            )
    gaps = [
        f"- {attribute}: {gap['between'][0]} over {gap['between'][1]} by "
        f"{100 * gap['difference']:.1f} points ({100 * gap['interval_95'][0]:.1f} to "
        f"{100 * gap['interval_95'][1]:.1f})"
        for attribute, gap in found["gaps"].items()
    ]
    header = ["attribute", "group", "n", "people or pictures", "accuracy", "UAR"]
    return "\n\n".join([found["note"], _table(header, rows), "\n".join(gaps)])


def _fusion(path: Path) -> str:
    found = json.loads(path.read_text())
    rows = [
        [name, f"{m['accuracy']:.1%}", f"{m['expected_calibration_error']:.3f}"]
        for name, m in found["test"].items()
        if isinstance(m, dict) and "accuracy" in m
    ]
    return "Label-matched pairs of held-out faces and voices, not recordings of one person:\n\n" + (
        _table(["rule", "accuracy", "ECE"], rows)
    )


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
