"""`models/REPORT.md`: all models, on all that they were judged on, in one place."""

from __future__ import annotations

import json
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from core.datasets import DATA_SETS
from core.errors import DuetError
from core.labels import EMOTIONS
from core.measures import BINS, mcnemar, reliability
from core.models import Model, ModelInfo, installed
from core.predictions import Predictions, read_predictions
from core.reports import (
    WHOLE_RUNS,
    Ideas,
    LearningCurve,
    Learnt,
    WholeRun,
    fold_networks,
    how_it_ended,
    judged_file,
    of_another_file,
    of_how_many,
    read_adversarial,
    read_learning_curve,
    read_levers,
    read_whole_runs,
)
from core.words import listed
from training.fairness import fairness
from training.files import write_json
from training.measures import OVER_SPEAKERS
from training.robustness import CLIPS_PER_CELL, robustness
from training.voices import SEVERAL_SPEAKERS

COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.5)
"""Shares of the examples answered, the surest first."""
CLASS_MEASURES = ("precision", "recall", "f1")
OVER_CLIPS = "clips and not speakers, so that they are too narrow for voices of others."
"""What some intervals are over, unlike what the head of the report says of all others."""


def measure(info: ModelInfo, data: Path, faces: int | None = None) -> None:
    """Write `robustness.json`, of at most so many `faces`, and `fairness.json` of a model.

    Raises
    ------
    DataSetError
        When what the model is judged on is not there; both files stay as they are then.
    """
    fair, robust = fairness(info, data), robustness(Model(info), data, faces)
    write_json(info.folder / "fairness.json", fair)
    write_json(info.folder / "robustness.json", robust)


def write_report(models: Path) -> Path:
    """Write `REPORT.md` from what lies in the model folders; nothing is measured anew.

    Numbers of another file than the one that lies there are marked (`of_another_file`).
    """
    infos = installed(models)[0]
    parts = [
        "# What the models can do",
        "Written by `python -m training report --data PATH`; every number comes from a file in "
        "the model's folder. Intervals are 95%, by bootstrap over pictures, and for voices "
        f"{OVER_SPEAKERS}. UAR is the unweighted average recall, ECE the expected calibration "
        "error. How each model was made stands in its own README.md.",
        "## All models, all splits",
        _leaderboard(infos),
        _paragraphs(*map(_evaluated, infos)),
        _left_out(infos),
    ]
    if pairs := _pairs(infos):
        parts += ["## Two models on the same examples", pairs]
    if attacked := _attacked(infos):
        parts += ["## When somebody means to mislead a model", attacked]
    if (models / "fusion.json").is_file():
        parts += ["## Face and voice together", _fusion(models / "fusion.json", infos)]
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


def _evaluated(info: ModelInfo) -> str:
    """What to say beside numbers of `evaluation.json` and of the answers written with it."""
    return of_another_file(info, judged_file(info.evaluation))


def _with_interval(measures: dict[str, Any], name: str) -> str:
    if (ends := measures.get(f"{name}_95")) is None:
        return f"{measures[name]:.1%}"
    return _interval(measures[name], ends)


def _left_out(infos: list[ModelInfo]) -> str:
    """What the judged data lacked or held in vain."""
    lines = []
    for info in infos:
        for split, m in info.evaluation.get("splits", {}).items():
            if missing := m.get("missing"):
                lines.append(f"- {info.name}, {split}: no example of {', '.join(missing)}")
            if left_out := m.get("left_out"):
                lines.append(
                    f"- {info.name}, {split}: {len(left_out):,} left out, the first of them "
                    f"{left_out[0]}"
                )
    return "\n".join(lines)


def _skipped(count: int, where: str) -> str:
    """How much of some data was left out, where it was any."""
    return f"Left out of {where}: {count:,}." if count else ""


def _answers(info: ModelInfo) -> Predictions | None:
    """What the model answered on the test split, if its folder says so."""
    try:
        return read_predictions(info)["test"]
    except (DuetError, KeyError):
        return None


def _pairs(infos: list[ModelInfo]) -> str:
    """McNemar's test of every two models of one task that were judged on the same examples."""
    answered = [(info, found) for info in infos if (found := _answers(info)) is not None]
    rows, marks = [], []
    for (first, a), (second, others) in combinations(answered, 2):
        b = others.aligned_with(a) if first.task == second.task else None
        if b is None:
            continue
        counts = (a.right & b.right, a.right & ~b.right, b.right & ~a.right, ~a.right & ~b.right)
        p = mcnemar(a.right, b.right)
        marks += [_evaluated(first), _evaluated(second)]
        rows.append(
            [
                f"{first.name}, {second.name}",
                f"{len(a):,}",
                *(f"{int(count.sum()):,}" for count in counts),
                f"{100 * (b.right.mean() - a.right.mean()):+.1f} points",
                _p(p),
            ]
        )
    if not rows:
        return ""
    header = ["first, second", "n", "both right", "only first", "only second", "both wrong",
              "second minus first", "p"]  # fmt: skip
    about = (
        "On the test split, example by example; p by McNemar's exact two-sided test that both err "
        "equally often, not adjusted for the number of pairs. The test takes clips of one "
        "speaker as independent, so that p between voice models comes out too small:"
    )
    return _paragraphs(*dict.fromkeys(marks), about, _table(header, rows))


def _attacked(infos: list[ModelInfo]) -> str:
    """Accuracy of all models that were attacked, one beneath the other."""
    by_info = [(info, read) for info in infos if (read := read_adversarial(info)) is not None]
    marks = [of_another_file(info, read.model_sha256) for info, read in by_info]
    found = {info.name: read for info, read in by_info}
    points = [p for read in found.values() for steps in read.attacks.values() for p in steps]
    epsilons = sorted({point.epsilon for point in points})
    rows = []
    for model, read in found.items():
        for name, steps in read.attacks.items():
            at = {point.epsilon: _interval(point.accuracy, point.accuracy_95) for point in steps}
            rows.append(
                [
                    model,
                    f"{name}: {read.settings[name]}",
                    _interval(read.clean.accuracy, read.clean.accuracy_95),
                    *(at.get(epsilon, "") for epsilon in epsilons),
                ]
            )
    if not rows:
        return ""
    header = ["model", "attack", "as they are", *(f"epsilon {e}/255" for e in epsilons)]
    notes = dict.fromkeys(read.note for read in found.values())
    by = []
    for name, read in found.items():
        faces = of_how_many(read.n, read.drawn_from, "test faces")
        by.append(f"{name} on {faces}, by `{read.command}`.")
        by.append(_skipped(read.left_out, "the test faces"))
    words = " ".join(filter(None, by))
    return _paragraphs(*marks, f"Accuracy. {' '.join(notes)}", _table(header, rows), words)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _interval(value: float, ends: tuple[float, float]) -> str:
    return f"{value:.1%} ({ends[0]:.1%} to {ends[1]:.1%})"


def _model(info: ModelInfo) -> list[str]:
    parts = []
    found = _answers(info)
    if found is not None:
        mark = _evaluated(info)
        parts += ["### When the unsure are left out", mark, _coverage(found)]
        parts += ["### How sure it is, and how often right", mark, _calibration(info, found)]
        parts += ["### By emotion", mark, _classes(info), _recall_by_split(info)]
    if (curve := read_learning_curve(info)) is not None:
        parts += ["### What more data bring", _learning_curve(info, curve)]
    if ideas := read_levers(info):
        parts += ["### What single ideas are worth", _levers(ideas)]
    if whole := read_whole_runs(info):
        parts += ["### What whole runs came to", _whole_runs(whole)]
    for title, name, text in (
        ("What a random split would claim", "random_split.json", partial(_random_split, info)),
        ("Every actor of RAVDESS, in five folds", "folds.json", _folds),
        ("When pictures and recordings get worse", "robustness.json", partial(_robustness, info)),
        ("Whom it serves how well", "fairness.json", partial(_fairness, info)),
    ):
        if (info.folder / name).is_file():
            parts += [f"### {title}", text(json.loads((info.folder / name).read_text()))]
    return parts


def _random_split(info: ModelInfo, found: dict[str, Any]) -> str:
    rows = [
        [
            name,
            f"{m['n']:,}",
            _with_interval(m, "accuracy"),
            _with_interval(m, "unweighted_average_recall"),
        ]
        for name, m in (
            ("augmented copies, then a random split", found),
            ("unheard speakers", info.evaluation["splits"]["test"]),
        )
    ]
    about = (
        f"The same network, trained for {found['epochs']} epochs in the way of many notebooks "
        f"(`{found['command']}`): {found['speaker_in_training']:.0%} of its test examples are of "
        f"speakers, and {found['clip_in_training']:.0%} of clips, that it was trained on. "
        f"{how_it_ended(found)} The "
        "second line is what we stand by. The interval of the first is from drawing examples, "
        "though copies of a clip go together: it is too narrow."
    )
    table = _table(["split", "n", "accuracy", "UAR"], rows)
    return _paragraphs(_evaluated(info), about, table)


def _levers(found: list[Ideas]) -> str:
    about = (
        "Short runs that differ from the first one of their table in one thing. p is not adjusted "
        "for their number. Short runs overfit little, so what holds against overfitting shows less "
        "here than in a long one. By how much the first runs of tables with the same settings "
        "differ, chance alone makes runs differ; times are rough, for the machine did other work "
        "as well. Where a recipe's commit is named, the command is of that commit."
    )
    return "\n\n".join([about, *map(_ideas, found)])


def _whole_runs(found: list[WholeRun]) -> str:
    rows = [
        [run.what, "; ".join(map(str, run.changes)), run.cost, "yes" if run.ships else "no"]
        for run in found
    ]
    header = ["what", "on validation data", "cost", "ships"]
    return f"{WHOLE_RUNS}\n\n{_table(header, rows)}"


def _ideas(found: Ideas) -> str:
    base = found.base
    rows = [[base.name, f"{base.score:.1%}", "", "", "1", f"{base.parameters:,}"]]
    rows += [
        [
            idea.name,
            f"{idea.score:.1%}",
            f"{100 * idea.gain:+.1f} points",
            _p(idea.p),
            f"{idea.cost:.1f}",
            f"{idea.parameters:,}",
        ]
        for idea in found.tried
    ]
    header = ["what", found.measure, "gain", "p", "times the time to train", "parameters"]
    settings = f"{found.settings} ({found.n:,} examples), by `{found.command}`; p by {found.test}:"
    return f"{settings[0].upper()}{settings[1:]}\n\n{_table(header, rows)}"


def _folds(found: dict[str, Any]) -> str:
    rows = [
        [
            ", ".join(map(str, fold["actors"])),
            f"{fold['n']:,}",
            f"{fold['accuracy']:.1%}",
            _with_interval(fold, "unweighted_average_recall"),
        ]
        for fold in found["folds"]
    ]
    low, high = found["mean_unweighted_average_recall_95"]
    return (
        f"The five subject-wise folds of the literature, by `{found['command']}`: "
        f"{fold_networks(found)}. Seven emotions: calm counts as neutral, so that papers with "
        "eight are not quite comparable. "
        f"Mean UAR **{found['mean_unweighted_average_recall']:.1%}** ({low:.1%} to {high:.1%}, "
        "drawing actors anew)."
        "\n\n" + _table(["judged actors", "n", "accuracy", "UAR"], rows)
    )


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


def _calibration(info: ModelInfo, found: Predictions) -> str:
    bins = reliability(found.probabilities, found.labels)
    # Not of these probabilities, which are rounded.
    error = info.evaluation["splits"]["test"]["expected_calibration_error"]
    rows = [
        [f"{count:,}", f"{confidence:.1%}", f"{accuracy:.1%}"]
        for count, confidence, accuracy in zip(
            bins.count, bins.confidence, bins.accuracy, strict=True
        )
    ]
    return (
        f"Answers of the test split in {BINS} bins of confidence, as wide as each other; expected "
        f"calibration error {error:.3f}:\n\n"
        + _table(["answers", "mean confidence", "accuracy"], rows)
    )


def _learning_curve(info: ModelInfo, curve: LearningCurve) -> str:
    rows = [
        [
            f"{point.fraction:.0%}",
            f"{point.n:,}",
            f"{point.epochs}",
            *(cell for split in ("validation", "test") for cell in _learnt(point, split)),
        ]
        for point in curve.points
    ]
    header = ["share", "training examples", "epochs", "validation accuracy", "validation UAR",
              "test accuracy", "test UAR"]  # fmt: skip
    about = f"{curve.note} {curve.settings}."
    if info.task == "voice" and not all(point.speakers_drawn for point in curve.points):
        about += f" Intervals are over {OVER_CLIPS}"
    return _paragraphs(about, _table(header, rows), f"By `{curve.command}`.")


def _learnt(point: Learnt, split: str) -> tuple[str, str]:
    accuracy, recall = point.measures[split]
    ends = point.accuracy_95.get(split)
    return _interval(accuracy, ends) if ends else f"{accuracy:.1%}", f"{recall:.1%}"


def _classes(info: ModelInfo) -> str:
    classes = info.evaluation["splits"]["test"]["classes"]
    rows = []
    for name in EMOTIONS:
        support = classes[name]["support"]
        # What there is no example of is neither found nor missed.
        measured = [f"{classes[name][k]:.1%}" if support else "" for k in CLASS_MEASURES]
        rows.append([name, *measured, f"{support:,}"])
    return _table(["emotion", "precision", "recall", "F1", "examples"], rows)


def _recall_by_split(info: ModelInfo) -> str:
    rows = []
    for split, m in info.evaluation["splits"].items():
        there = [(m["classes"][name]["support"], m["classes"][name]["recall"]) for name in EMOTIONS]
        rows.append([split, *(f"{recall:.1%}" if support else "" for support, recall in there)])
    return "Recall on every split:\n\n" + _table(["split", *EMOTIONS], rows)


def _robustness(info: ModelInfo, found: dict[str, Any]) -> str:
    clean = found["clean"]
    rows = []
    for name, steps in found["corruptions"].items():
        cells = [f"{_with_interval(step, 'accuracy')}, {step['setting']}" for step in steps]
        rows.append([name, *cells])
    drawn = found.get("drawn_from", 0)
    examples = of_how_many(found["n"], drawn, "test examples")
    if info.task == "voice":
        corpora = listed([DATA_SETS[c] for c in found.get("corpora", SEVERAL_SPEAKERS)])
        some = f"at most {CLIPS_PER_CELL} clips of each emotion in each of {corpora}"
        examples += f" ({some})"
    lead = (
        f"Accuracy on {examples}, {_with_interval(clean, 'accuracy')} as they are, "
        f"UAR {clean['unweighted_average_recall']:.1%}, made worse in five steps."
    )
    if "refused" in clean:
        lead += " A clip in which no speech is found any more counts as wrong."
    mark = of_another_file(info, judged_file(found))
    of = "the test faces, before any were drawn" if drawn else "these"
    skipped = _skipped(found.get("left_out", 0), of)
    return _paragraphs(mark, lead, _table(["what", "1", "2", "3", "4", "5"], rows), skipped)


def _fairness(info: ModelInfo, found: dict[str, Any]) -> str:
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
        f"{100 * gap['interval_95'][1]:.1f}); in UAR by "
        f"{100 * _recall_gap(found['groups'][attribute], *gap['between']):.1f}"
        for attribute, gap in found["gaps"].items()
    ]
    header = ["attribute", "group", "n", "people or pictures", "accuracy", "UAR"]
    about = (
        "The largest gaps in accuracy among groups with an interval; the gaps' own intervals allow "
        "for having looked at all pairs of groups:"
        if gaps
        else ""
    )
    mark = of_another_file(info, judged_file(found))
    return _paragraphs(mark, found["note"], _table(header, rows), about, "\n".join(gaps))


def _recall_gap(groups: dict[str, Any], best: str, worst: str) -> float:
    first, second = (groups[name]["unweighted_average_recall"] for name in (best, worst))
    return float(first - second)


def _fusion(path: Path, infos: list[ModelInfo]) -> str:
    found = json.loads(path.read_text())
    marks = [
        of_another_file(info, judged_file(found, f"{info.task}_model_sha256"))
        for info in infos
        if info.name == found.get(f"{info.task}_model")
    ]
    rows = [
        [name, _with_interval(m, "accuracy"), f"{m['expected_calibration_error']:.3f}"]
        for name, m in found["test"].items()
        if isinstance(m, dict) and "accuracy" in m
    ]
    about = (
        "Label-matched pairs of held-out faces and voices, not recordings of one person. "
        f"Intervals: faces and clips are drawn anew and paired anew, {OVER_CLIPS}"
    )
    lacking = [f"No {s} pair of {listed(names)}." for s, names in found.get("missing", {}).items()]
    skipped = _skipped(found.get("left_out", 0), "faces and voices, validation and test")
    table = _table(["rule", "accuracy", "ECE"], rows)
    return _paragraphs(*marks, about, table, " ".join(filter(None, [*lacking, skipped])))


def _paragraphs(*parts: str) -> str:
    """Those of `parts` that say something, one below the other."""
    return "\n\n".join(part for part in parts if part)


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
