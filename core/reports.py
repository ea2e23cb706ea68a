"""What a model folder says beside its weights: evaluation, history, robustness, fairness, card.

Folders come from anywhere, so each file is read on its own, and a fault in it is one sentence
that names the file and the mend.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.datasets import DATA_SETS
from core.errors import DuetError
from core.labels import EMOTIONS
from core.models import ModelInfo
from core.words import listed

Checked = TypeVar("Checked")
Interval = tuple[float, float]


def _damaged(path: Path, why: str, mend: str = "restore the folder") -> DuetError:
    return DuetError("damaged_model", f"{path} {why}; {mend}.")


def again(info: ModelInfo) -> str:
    """The mend of a spoilt or missing evaluation."""
    return f"write it with {evaluation_command(info)}"


def evaluation_command(info: ModelInfo) -> str:
    """What writes the model's numbers anew."""
    elsewhere = f" --models {shlex.quote(str(info.folder.parent))}" if info.own else ""
    return f"python -m training evaluate {info.name} --data PATH{elsewhere} --write"


def check_weights(info: ModelInfo) -> None:
    """Compare `model.tflite` with the SHA-256 that `model.json` states.

    Raises
    ------
    DuetError
        `damaged_model` when they differ or the file cannot be read.
    """
    path = info.folder / "model.tflite"
    try:
        content = path.read_bytes()
    except OSError:
        raise _damaged(path, "cannot be read", "restore the folder or remove it") from None
    if hashlib.sha256(content).hexdigest() != info.sha256:
        raise _damaged(
            path,
            f"is not the file that {info.name}/model.json describes (its SHA-256 differs)",
            "restore both from the same source",
        )


def of_another_file(info: ModelInfo, judged: str) -> str:
    """What to say beside numbers that are not of the file that lies in the model's folder.

    Parameters
    ----------
    judged : SHA-256 of the file that they are of; "" where nobody noted it.

    Returns
    -------
    A sentence; "" where the file is the same, or not known.
    """
    if judged in ("", info.sha256):
        return ""
    return (
        f"What is said here of {info.name} was measured on another file (SHA-256 {judged[:8]}…) "
        f"than the one in its folder ({info.sha256[:8]}…); measure it again."
    )


def judged_file(found: dict[str, Any], name: str = "model_sha256") -> str:
    """The SHA-256 that a file of results notes of what was judged; "" where it notes none."""
    return str(found.get(name) or "")


def _fault(error: Exception) -> str:
    """What is wrong with a file that was read, in words for people."""
    if isinstance(error, TypeError | AttributeError):
        return "lacks or misstates a part"
    return f"lacks or misstates {error}"


def _json(path: Path, mend: str) -> dict[str, Any] | None:
    """A JSON object, or None where there is no file."""
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        raise _damaged(path, "is not valid JSON", mend) from None
    if not isinstance(found, dict):
        raise _damaged(path, "is no JSON object", mend)
    return found


def _read(
    info: ModelInfo, name: str, checked: Callable[[dict[str, Any]], Checked]
) -> Checked | None:
    """A report of the model's folder, checked; None where it is not there."""
    path, mend = info.folder / name, "measure it again"
    found = _json(path, mend)
    if found is None:
        return None
    try:
        return checked(found)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path, _fault(error), mend) from None


def _number(found: Any, low: float = 0.0, high: float = 1.0) -> float:
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise ValueError(f"{found!r} is no number")
    if not low <= found <= high:
        raise ValueError(f"{found!r} is out of range")
    return float(found)


def _interval(found: Any) -> Interval:
    low, high = found
    return _number(low), _number(high)


# --- evaluation.json ----------------------------------------------------------------------------


@dataclass(frozen=True)
class ClassMeasures:
    """Of one emotion."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Measures:
    """What was measured on one split."""

    split: str
    n: int
    accuracy: float
    accuracy_95: Interval
    unweighted_average_recall: float
    unweighted_average_recall_95: Interval
    macro_f1: float
    expected_calibration_error: float
    classes: dict[str, ClassMeasures]
    confusion_matrix: NDArray[np.int64]
    """(7, 7): row is the true emotion, column the answer."""


@dataclass(frozen=True)
class Evaluation:
    """`evaluation.json`, checked."""

    command: str
    date: str
    splits: dict[str, Measures]
    model_sha256: str = ""
    """Of the file that was judged; "" where nobody noted it."""


def read_evaluation(info: ModelInfo) -> Evaluation:
    """The measures of every split, as `python -m training evaluate` wrote them.

    Raises
    ------
    DuetError
        `not_found` without the file, `damaged_model` when it does not hold what it should.
    """
    path = info.folder / "evaluation.json"
    found = _json(path, f"restore it, or {again(info)}")
    if found is None:
        raise DuetError("not_found", f"{path} is missing; {again(info)}.")
    try:
        splits = {name: _measures(name, m) for name, m in found["splits"].items()}
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _damaged(path, _fault(error), f"restore it, or {again(info)}") from None
    if not splits:
        raise _damaged(path, "holds no split", again(info))
    return Evaluation(
        str(found.get("command", "")), str(found.get("date", "")), splits, judged_file(found)
    )


def _measures(split: str, found: dict[str, Any]) -> Measures:
    matrix = np.array(found["confusion_matrix"], np.int64)
    if matrix.shape != (len(EMOTIONS), len(EMOTIONS)) or (matrix < 0).any():
        raise ValueError(f"the confusion matrix of {split}")
    classes = {name: _class_measures(found["classes"][name]) for name in EMOTIONS}
    if not any(measures.support for measures in classes.values()):
        raise ValueError(f"the support of {split}")
    return Measures(
        split=split,
        n=int(_number(found["n"], 1, 1e9)),
        accuracy=_number(found["accuracy"]),
        accuracy_95=_interval(found["accuracy_95"]),
        unweighted_average_recall=_number(found["unweighted_average_recall"]),
        unweighted_average_recall_95=_interval(found["unweighted_average_recall_95"]),
        macro_f1=_number(found["macro_f1"]),
        expected_calibration_error=_number(found["expected_calibration_error"]),
        classes=classes,
        confusion_matrix=matrix,
    )


def _class_measures(found: dict[str, Any]) -> ClassMeasures:
    return ClassMeasures(
        _number(found["precision"]),
        _number(found["recall"]),
        _number(found["f1"]),
        int(_number(found["support"], 0, 1e9)),
    )


# --- history.csv --------------------------------------------------------------------------------


@dataclass(frozen=True)
class History:
    """What was logged of every epoch: column -> numbers (epochs,), NaN where there is none."""

    columns: dict[str, NDArray[np.float64]]
    network: tuple[str, ...] = ()
    """Of every epoch, which network learnt; () where there was only one."""

    def __len__(self) -> int:
        return len(self.columns["epoch"])

    def of(self, name: str) -> NDArray[np.float64] | None:
        return self.columns.get(name)

    @property
    def networks(self) -> list[tuple[str, NDArray[np.int64]]]:
        """(name, its rows) of the networks that learnt one after the other; "" if unnamed."""
        if not self.network:
            return [("", np.arange(len(self)))]
        names = np.array(self.network)
        return [(name, np.flatnonzero(names == name)) for name in dict.fromkeys(self.network)]

    @property
    def kept(self) -> list[int]:
        """Row of the epoch of each network that validated best in its last stage.

        Its weights were kept. Nothing where no validation was logged.
        """
        score = next(
            (self.columns[c] for c in ("val_score", "val_accuracy") if c in self.columns), None
        )
        if score is None:
            return []
        stage = np.nan_to_num(self.columns.get("stage", np.zeros(len(score))))
        found = []
        for _, rows in self.networks:
            judged = np.where(stage[rows] == np.nanmax(stage[rows]), score[rows], np.nan)
            if np.isfinite(judged).any():
                found.append(int(rows[np.nanargmax(judged)]))
        return found


def told_apart(network: Iterable[str]) -> tuple[str, ...]:
    """`History.network` from the network of every epoch: () where there was only one."""
    names = tuple(network)
    return names if len(set(names)) > 1 else ()


MOST_LOGGED = 1e9
"""No epoch, loss, score or second is beyond this; what is would burst titles and axes."""


def read_history(path: Path) -> History:
    """A run's log, one row an epoch; whatever columns it has.

    Raises
    ------
    DuetError
        `not_found` without the file, `damaged_model` when it is no such table.
    """
    try:
        rows = list(csv.DictReader(path.read_text().splitlines()))
    except FileNotFoundError:
        raise DuetError(
            "not_found", f"{path} is missing; train the model again to have its curves."
        ) from None
    except (OSError, ValueError, csv.Error):
        raise _damaged(path, "cannot be read", "restore it") from None
    if not rows or "epoch" not in rows[0]:
        raise _damaged(path, "has no rows with an epoch", "restore it")
    names = [name for name in rows[0] if name and name != "network"]
    columns = {name: np.array([_logged(row.get(name)) for row in rows]) for name in names}
    if not np.isfinite(columns["epoch"]).all():
        raise _damaged(path, "has epochs that are no numbers", "restore it")
    for name, values in columns.items():
        if (np.abs(values) > MOST_LOGGED).any():
            raise _damaged(path, f"has numbers beyond {MOST_LOGGED:.0e} as {name}", "restore it")
    return History(columns, told_apart(row.get("network") or "" for row in rows))


def _logged(text: Any) -> float:
    try:
        value = float(text)
    except (TypeError, ValueError):
        return math.nan
    return value if math.isfinite(value) else math.nan


# --- robustness.json and fairness.json ----------------------------------------------------------


def of_how_many(n: int, drawn_from: int, examples: str) -> str:
    """How many examples something was measured on, and that they were drawn where they were.

    Parameters
    ----------
    n : how many it was measured on. drawn_from : how many there are; 0 where nobody noted it.
    examples : what they are called, in the plural.
    """
    drawn = f" of {drawn_from:,}, drawn at random" if drawn_from > n else ""
    return f"{n:,} {examples}{drawn}"


@dataclass(frozen=True)
class Corrupted:
    """How good the model is on examples spoilt in one way at one strength."""

    strength: int
    setting: str
    accuracy: float
    unweighted_average_recall: float
    accuracy_95: Interval | None = None
    """None where it was measured before intervals were."""


@dataclass(frozen=True)
class Robustness:
    """`robustness.json`, checked."""

    split: str
    n: int
    command: str
    clean: Corrupted
    corruptions: dict[str, list[Corrupted]]
    model_sha256: str = ""
    """Of the file that was judged; "" where nobody noted it."""
    drawn_from: int = 0
    """Among how many the `n` examples were drawn at random; 0 where nobody noted it."""
    corpora: tuple[str, ...] = ()
    """The voice sets that the examples are of, where not all are."""


def read_robustness(info: ModelInfo) -> Robustness | None:
    """How far the model bears noise, blur and the like; None when nobody has measured it.

    Raises
    ------
    DuetError
        `damaged_model` when the file does not hold what it should.
    """
    return _read(info, "robustness.json", _robustness)


def _robustness(found: dict[str, Any]) -> Robustness:
    return Robustness(
        str(found["split"]),
        int(_number(found["n"], 1, 1e9)),
        str(found.get("command", "")),
        _corrupted({"strength": 0, "setting": "clean", **found["clean"]}),
        {
            str(name): sorted((_corrupted(p) for p in points), key=lambda p: p.strength)
            for name, points in found["corruptions"].items()
        },
        judged_file(found),
        _drawn_from(found),
        tuple(DATA_SETS.get(name, str(name)) for name in found.get("corpora", [])),
    )


def _drawn_from(found: dict[str, Any]) -> int:
    return int(_number(found.get("drawn_from", 0), 0, 1e9))


def _corrupted(found: dict[str, Any]) -> Corrupted:
    return Corrupted(
        int(_number(found["strength"], 0, 100)),
        str(found.get("setting", "")),
        _number(found["accuracy"]),
        _number(found["unweighted_average_recall"]),
        _interval(found["accuracy_95"]) if "accuracy_95" in found else None,
    )


@dataclass(frozen=True)
class GroupMeasures:
    """How good the model is on one group of people."""

    n: int
    accuracy: float
    accuracy_95: Interval | None
    """None of a group of so few people that it would say nothing."""
    unweighted_average_recall: float | None


@dataclass(frozen=True)
class Gap:
    """The largest difference between two groups."""

    measure: str
    difference: float
    interval_95: Interval | None

    @property
    def certain(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.interval_95 is not None and (self.interval_95[0] > 0 or self.interval_95[1] < 0)


@dataclass(frozen=True)
class Fairness:
    """`fairness.json`, checked: attribute (sex, age, ...) -> group -> measures."""

    split: str
    command: str
    groups: dict[str, dict[str, GroupMeasures]]
    gaps: dict[str, Gap]
    note: str
    model_sha256: str = ""
    """Of the file that was judged; "" where nobody noted it."""


def read_fairness(info: ModelInfo) -> Fairness | None:
    """How evenly good the model is for groups of people; None when nobody has measured it.

    Raises
    ------
    DuetError
        `damaged_model` when the file does not hold what it should.
    """
    return _read(info, "fairness.json", _fairness)


def _fairness(found: dict[str, Any]) -> Fairness:
    return Fairness(
        str(found["split"]),
        str(found.get("command", "")),
        {
            str(attribute): {str(name): _group(m) for name, m in groups.items()}
            for attribute, groups in found["groups"].items()
        },
        {str(name): _gap(gap) for name, gap in found.get("gaps", {}).items()},
        str(found.get("note", "")),
        judged_file(found),
    )


def _group(found: dict[str, Any]) -> GroupMeasures:
    recall, interval = found.get("unweighted_average_recall"), found["accuracy_95"]
    return GroupMeasures(
        int(_number(found["n"], 0, 1e9)),
        _number(found["accuracy"]),
        None if interval is None else _interval(interval),
        None if recall is None else _number(recall),
    )


def _gap(found: dict[str, Any]) -> Gap:
    interval = found.get("interval_95")
    if interval is not None:
        low, high = interval
        interval = _number(low, -1, 1), _number(high, -1, 1)
    return Gap(str(found.get("measure", "")), _number(found["difference"], -1, 1), interval)


# --- random_split.json and folds.json -------------------------------------------------------------


@dataclass(frozen=True)
class OtherSplit:
    """How good a model of the same recipe is where the examples are divided in another way."""

    name: str
    n: int
    accuracy: float
    unweighted_average_recall: float
    unweighted_average_recall_95: Interval
    leaks: bool
    """Whether speakers, or even clips, lie on both sides."""
    note: str
    command: str


def read_other_splits(info: ModelInfo) -> list[OtherSplit]:
    """What `random_split.json` and `folds.json` hold, as far as they are there.

    Raises
    ------
    DuetError
        `damaged_model` when one of them does not hold what it should.
    """
    found = (
        _read(info, "random_split.json", _random_split),
        _read(info, "folds.json", _folds),
    )
    return [split for split in found if split is not None]


def how_it_ended(found: dict[str, Any]) -> str:
    """What chose the epoch of `random_split.json`, and what ended its training, in sentences."""
    words = "As is usual there, its epoch was chosen by these examples, too."
    if not found.get("plateau"):
        words += (
            " The number of epochs ended it and no plateau: trained on, it may well claim more."
        )
    return words


def _random_split(found: dict[str, Any]) -> OtherSplit:
    return OtherSplit(
        "augmented copies, then a random split",
        int(_number(found["n"], 1, 1e9)),
        _number(found["accuracy"]),
        _number(found["unweighted_average_recall"]),
        _interval(found["unweighted_average_recall_95"]),
        leaks=True,
        note="Random split: the same network, trained in the way of many notebooks for "
        f"{int(_number(found['epochs'], 1, 1e6))} epochs; "
        f"{_number(found['speaker_in_training']):.0%} of its test examples are of speakers, and "
        f"{_number(found['clip_in_training']):.0%} of clips, that it was trained on. "
        + how_it_ended(found),
        command=str(found.get("command", "")),
    )


def fold_networks(found: dict[str, Any]) -> str:
    """By which epochs the networks of `folds.json` were trained, and what chose them, in words."""
    networks = []
    for name, (base, each, *second) in found["epochs"].items():
        filling = found.get("filling_epochs", {}).get(name)
        steps = [f"{_number(filling, 1, 1e6):.0f} epochs without labels"] if filling else []
        steps.append(f"{_number(base, 1, 1e6):.0f} epochs on all speakers of the other corpora")
        steps.append(f"{_number(each, 1, 1e6):.0f} on them and the other four folds")
        teachers = found.get("taught_by", {})
        others = listed([other for other in found["epochs"] if other not in teachers])
        steps += [f"{_number(n, 1, 1e6):.0f} taught by what {others} answered" for n in second]
        taught = ", all with labels taught by what {} answered" if name in teachers else ""
        words = ", then ".join(steps) + taught.format(listed(teachers.get(name, [])))
        networks.append(f"{name} network: {words}")
    answering = found.get("answering", [])
    if answering and set(answering) != set(found["epochs"]):
        together = " together" * (len(answering) > 1)
        networks.append(f"judged are the answers of {listed(answering)}{together}")
    return (
        f"{'; '.join(networks)}. No epoch was chosen by what is judged, but the recipe was by "
        "validation speakers, among them actors 3, 6, 7 and 13 of the second fold"
        f"{'; ' * bool(found.get('note'))}{found.get('note', '')}"
    )


def _folds(found: dict[str, Any]) -> OtherSplit:
    return OtherSplit(
        "five folds of RAVDESS, mean",
        int(_number(found["all"]["n"], 1, 1e9)),
        _number(found["all"]["accuracy"]),
        _number(found["mean_unweighted_average_recall"]),
        _interval(found["mean_unweighted_average_recall_95"]),
        leaks=False,
        note="Five folds: every actor of RAVDESS is judged once by a model that never heard them "
        f"({fold_networks(found)}). The interval comes from drawing actors anew.",
        command=str(found.get("command", "")),
    )


# --- adversarial.json, learning_curve.json and levers.json ----------------------------------------


@dataclass(frozen=True)
class Attacked:
    """How good the model is on pictures that were changed on purpose to mislead it."""

    epsilon: int
    """Grey levels of 255 by which each pixel may differ; 0 is the picture as it is."""
    accuracy: float
    accuracy_95: Interval


@dataclass(frozen=True)
class Adversarial:
    """`adversarial.json`, checked."""

    n: int
    clean: Attacked
    attacks: dict[str, list[Attacked]]
    settings: dict[str, str]
    """How each attack goes about it."""
    command: str
    note: str
    model_sha256: str = ""
    """Of the file that was judged; "" where nobody noted it."""
    left_out: int = 0
    """Test faces that could not be read."""
    drawn_from: int = 0
    """Among how many the `n` faces were drawn at random; 0 where nobody noted it."""


def read_adversarial(info: ModelInfo) -> Adversarial | None:
    """How the model stands up to attacks; None when nobody has attacked it.

    Raises
    ------
    DuetError
        `damaged_model` when the file does not hold what it should.
    """
    return _read(info, "adversarial.json", _adversarial)


def _adversarial(found: dict[str, Any]) -> Adversarial:
    attacks = found["attacks"]
    return Adversarial(
        int(_number(found["n"], 1, 1e9)),
        _attacked({"epsilon": 0, **found["clean"]}),
        {
            str(name): sorted((_attacked(p) for p in a["epsilons"]), key=lambda p: p.epsilon)
            for name, a in attacks.items()
        },
        {str(name): str(attack.get("setting", "")) for name, attack in attacks.items()},
        str(found.get("command", "")),
        str(found.get("note", "")),
        judged_file(found),
        int(_number(found.get("left_out", 0), 0, 1e9)),
        _drawn_from(found),
    )


def _attacked(found: dict[str, Any]) -> Attacked:
    return Attacked(
        int(_number(found["epsilon"], 0, 255)),
        _number(found["accuracy"]),
        _interval(found["accuracy_95"]),
    )


@dataclass(frozen=True)
class Learnt:
    """What a short run on a share of the training data came to."""

    fraction: float
    n: int
    """Training examples."""
    epochs: int
    measures: dict[str, tuple[float, float]]
    """Split -> (accuracy, unweighted average recall)."""
    accuracy_95: dict[str, Interval]
    """Split -> interval of the accuracy, where there is one."""
    speakers_drawn: bool
    """Whether the intervals come from drawing speakers anew."""


@dataclass(frozen=True)
class LearningCurve:
    """`learning_curve.json`, checked."""

    points: list[Learnt]
    """From the fewest examples to the most."""
    settings: str
    command: str
    note: str


def read_learning_curve(info: ModelInfo) -> LearningCurve | None:
    """How good short runs on shares of the training data are; None when nobody has made them.

    Raises
    ------
    DuetError
        `damaged_model` when the file does not hold what it should.
    """
    return _read(info, "learning_curve.json", _learning_curve)


def _learning_curve(found: dict[str, Any]) -> LearningCurve:
    points = [_learnt(point) for point in found["points"]]
    return LearningCurve(
        sorted(points, key=lambda point: point.n),
        str(found.get("settings", "")),
        str(found.get("command", "")),
        str(found.get("note", "")),
    )


def _learnt(found: dict[str, Any]) -> Learnt:
    return Learnt(
        _number(found["fraction"]),
        int(_number(found["n"], 1, 1e9)),
        int(_number(found["epochs"], 1, 1e6)),
        {
            split: (_number(m["accuracy"]), _number(m["unweighted_average_recall"]))
            for split, m in ((s, found[s]) for s in ("validation", "test"))
        },
        {
            split: _interval(found[split]["accuracy_95"])
            for split in ("validation", "test")
            if found[split].get("accuracy_95")
        },
        bool(found["test"].get("speakers_drawn")),
    )


@dataclass(frozen=True)
class Idea:
    """What a short run came to that differs from another in one idea."""

    name: str
    score: float
    gain: float
    """Over the run without the idea, as a share: -1 to 1."""
    p: float
    """By `Ideas.test`."""
    beyond_chance: bool
    """Whether p times the number of ideas tried beside it is below 0.05 (Bonferroni)."""
    cost: float
    """How many times as long it took to train."""
    parameters: int


@dataclass(frozen=True)
class Ideas:
    """Ideas that were tried in one go, from `levers.json`, checked."""

    base: Idea
    """The run without any of them."""
    tried: list[Idea]
    """The one that gained most first."""
    measure: str
    n: int
    """Examples that they are judged on."""
    test: str
    """By which every `p` was found."""
    settings: str
    command: str


def read_levers(info: ModelInfo) -> list[Ideas]:
    """What single ideas are worth in short runs, for each go; none when nobody has tried any.

    Raises
    ------
    DuetError
        `damaged_model` when the file does not hold what it should.
    """
    return _read(info, "levers.json", _levers) or []


@dataclass(frozen=True)
class Change:
    """A measure without and with what a whole run was made for."""

    measure: str
    before: float
    after: float
    p: float | None
    """How likely as large a difference is by chance; None where that was not tested."""

    def __str__(self) -> str:
        style = ".3g" if "log loss" in self.measure else ".1%"
        words = f"{self.measure} {self.before:{style}} to {self.after:{style}}"
        if self.p is None:
            return words
        return f"{words} (p {'< 0.001' if self.p < 0.001 else f'{self.p:.2g}'})"


@dataclass(frozen=True)
class WholeRun:
    """What one decision came to in a training as long as those that ship, or in use after it."""

    name: str
    changes: list[Change]
    cost: str
    ships: bool
    """Whether what ships was made so."""
    commit: str = ""
    """That holds its recipe, where the recipe is no longer that of the repository."""

    @property
    def what(self) -> str:
        """Its name, and the commit if there is one to name."""
        return f"{self.name} (commit {self.commit})" if self.commit else self.name


WHOLE_RUNS = (
    "Trainings as long as those that ship, and other ways to use what they made, each tried once "
    "and in this order, beside the recipe of its time: their sizes do not add up, and with other "
    "seeds they might come out otherwise. Some choose among the networks of one training. They "
    "were noted by hand. Where a commit is named, it holds the recipe; others of those that do not "
    "ship are kept nowhere."
)


def read_whole_runs(info: ModelInfo) -> list[WholeRun]:
    """What whole runs came to, from `levers.json`; none when none are told.

    Raises
    ------
    DuetError
        `damaged_model` when the file does not hold what it should.
    """
    return _read(info, "levers.json", _whole_runs) or []


def _whole_runs(found: dict[str, Any]) -> list[WholeRun]:
    return [
        WholeRun(
            str(run["name"]),
            [
                Change(
                    str(change["measure"]),
                    _number(change["before"], 0, 100),
                    _number(change["after"], 0, 100),
                    None if change.get("p") is None else _number(change["p"]),
                )
                for change in run["changes"]
            ],
            str(run.get("cost", "")),
            bool(run["ships"]),
            str(run.get("commit", "")),
        )
        for run in found.get("whole_runs", [])
        if run["changes"]
    ]


def _levers(found: dict[str, Any]) -> list[Ideas]:
    return [_ideas(series) for series in found["series"]]


def _ideas(found: dict[str, Any]) -> Ideas:
    seconds = max(1.0, _number(found["base"]["seconds"], 0, 1e9))

    def idea(row: dict[str, Any]) -> Idea:
        return Idea(
            str(row["name"]),
            _number(row["score"]),
            _number(row["gain"], -1, 1),
            p := _number(row["p"]),
            p * len(found["tried"]) < 0.05,
            _number(row["seconds"], 0, 1e9) / seconds,
            int(_number(row["parameters"], 1, 1e12)),
        )

    return Ideas(
        idea({**found["base"], "gain": 0, "p": 1}),
        sorted(map(idea, found["tried"]), key=lambda one: -one.gain),
        str(found["measure"]),
        int(_number(found["n"], 1, 1e9)),
        str(found.get("test") or _earlier_test(str(found["measure"]))),
        str(found.get("settings", "")),
        str(found.get("command", "")),
    )


def _earlier_test(measure: str) -> str:
    """Of series from before `test` was noted."""
    whose = "" if measure == "accuracy" else f" over all clips, not of the {measure} beside it"
    return f"McNemar's exact test that both err equally often{whose}"


# --- the card -----------------------------------------------------------------------------------


def read_card(info: ModelInfo) -> str:
    """The model card as Markdown, its headings one level down to fit below a page's own.

    Raises
    ------
    DuetError
        `not_found` without it, `damaged_model` when it is no text.
    """
    path = info.folder / "README.md"
    try:
        return re.sub(r"^#", "##", path.read_text(), flags=re.MULTILINE)
    except FileNotFoundError:
        raise DuetError("not_found", f"{path} is missing; {again(info)}.") from None
    except (OSError, ValueError):
        raise _damaged(path, "is no text", "restore it") from None


def reproduce(info: ModelInfo) -> str:
    """The commands that make the model and its numbers anew."""
    unsaid = f"python -m training train {info.name} --data PATH"
    if info.own:  # put there by hand: no recipe has its name
        unsaid = "# model.json does not say which command trained it"
    train = info.card.get("command") or unsaid
    return f"{train}\n{evaluation_command(info)}"
