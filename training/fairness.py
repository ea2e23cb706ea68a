"""Whether a model serves all people alike, as far as the data sets say who is in them.

From the answers kept in `predictions.npz`; nothing is run again. Intervals come from drawing
speakers (for faces: pictures) anew, as the clips of one speaker rise and fall together.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.datasets import DataSetError
from core.models import ModelInfo
from core.predictions import Predictions, read_predictions
from training import fer2013, voices
from training.measures import LEAST_SPEAKERS, rounded, unweighted_average_recall, widened
from training.prepare import CREMA_D_WOMEN

ROUNDS = 5000
SPLIT = "test"
ACTORS_FILES = ("crema_d_actors.csv", "VideoDemographics.csv")
"""The table of CREMA-D's actors, by the names under which it goes round."""


def fairness(info: ModelInfo, data: Path) -> dict[str, Any]:
    """What `fairness.json` holds.

    Returns
    -------
    `model_sha256` of the file that gave the answers, where `evaluation.json` notes it.
    `groups`: attribute -> group -> `n`, `speakers`, `accuracy`, `accuracy_95` (None of fewer than
    `LEAST_SPEAKERS`), `unweighted_average_recall`. `gaps`: attribute -> `difference` between the
    best and the worst served group (`between`) of those with an interval, with `interval_95`, which
    allows for the pair having been chosen after looking at all of them (Bonferroni).

    Raises
    ------
    DataSetError
        When the pictures that were judged are not there.
    """
    found = read_predictions(info)[SPLIT]
    if info.task == "face":
        attributes, units, note = _of_faces(found, data)
    else:
        attributes, units, note = _of_voices(found, data)
    groups, gaps = {}, {}
    for name, values in attributes.items():
        groups[name] = {
            value: _measures(found.where(values == value), units[values == value])
            for value in sorted(set(values) - {""})
        }
        sized = {value: m for value, m in groups[name].items() if m["accuracy_95"]}
        if len(sized) > 1:
            gaps[name] = _gap(found, units, values, sized)
    return {
        "split": SPLIT,
        "command": f"python -m training report {info.name} --data PATH",
        **_of_file(info),
        "groups": groups,
        "gaps": gaps,
        "note": note,
    }


def _of_file(info: ModelInfo) -> dict[str, str]:
    """Which file answered: that of `evaluation.json`, which is written together with the answers,
    and not the one that lies there now."""
    sha256 = info.evaluation.get("model_sha256")
    return {"model_sha256": sha256} if sha256 else {}


Attributes = dict[str, NDArray[np.str_]]


def _of_faces(found: Predictions, data: Path) -> tuple[Attributes, NDArray[np.str_], str]:
    faces = fer2013.load(data)["test"]
    brightness = dict(zip(faces.names, faces.images.mean(axis=(1, 2)), strict=True))
    if missing := len(set(found.ids) - brightness.keys()):
        raise DataSetError(
            f"{missing:,} of the {len(found.ids):,} pictures on which the model was judged are not "
            "in this FER2013, or have other names there, as in another layout; evaluate the model "
            "with --write first."
        )
    values = np.array([brightness[path] for path in found.ids])
    third = np.digitize(values, np.quantile(values, [1 / 3, 2 / 3]))
    names = np.array(["dark", "medium", "bright"])
    return (
        {"brightness": names[third]},
        found.ids,
        "FER2013 does not say who is in its pictures: neither sex nor age nor origin can be "
        "compared. Brightness is that of the picture (thirds of PrivateTest), light and camera as "
        "much as skin.",
    )


def _of_voices(found: Predictions, data: Path) -> tuple[Attributes, NDArray[np.str_], str]:
    speakers = np.array([voices.speaker_of(name) for name in found.ids])
    actors = _actors(data)
    facts = {s: _facts(s, actors) for s in set(speakers)}
    names = ("sex", "age", "race", "ethnicity")
    return (
        {name: np.array([facts[s].get(name, "") for s in speakers]) for name in names},
        speakers,
        f"Sex over the test speakers of RAVDESS and CREMA-D; {_rest(actors)}. SAVEE's and TESS's "
        "speakers are all of one sex and left out. There are few speakers to a group: mind the "
        f"intervals. A group of fewer than {LEAST_SPEAKERS} has none and is left out of the gaps.",
    )


def _rest(actors: dict[str, dict[str, str]]) -> str:
    """What is said of CREMA-D's actors besides their sex."""
    if actors:
        return "age, race and ethnicity as CREMA-D gives them for its own"
    return (
        "age, race and ethnicity are not compared, as CREMA-D's table of its actors, "
        f"{ACTORS_FILES[-1]}, does not lie beside the data sets"
    )


def _facts(who: str, actors: dict[str, dict[str, str]]) -> dict[str, str]:
    corpus, speaker = who.split("/")
    if corpus == "ravdess":
        return {"sex": "female" if int(speaker) % 2 == 0 else "male"}
    if corpus == "crema_d":
        sex = {"sex": "female" if int(speaker) in CREMA_D_WOMEN else "male"}
        if speaker not in actors:
            return sex
        actor = actors[speaker]
        age = int(actor["Age"])
        return {
            **sex,
            "age": "under 30" if age < 30 else "30 to 49" if age < 50 else "50 and over",
            "race": actor["Race"],
            "ethnicity": actor["Ethnicity"],
        }
    return {}


def _actors(data: Path) -> dict[str, dict[str, str]]:
    """CREMA-D's actors by number; none where the table is missing."""
    for name in ACTORS_FILES:
        for path in (data / name, data / "names" / name):
            if path.is_file():
                rows = csv.DictReader(io.StringIO(path.read_text()))
                try:
                    return {row["ActorID"]: row for row in rows}
                except KeyError:
                    raise DataSetError(f"{path} has no column ActorID.") from None
    return {}


def _measures(found: Predictions, units: NDArray[np.str_]) -> dict[str, Any]:
    speakers, accuracy = len(set(units)), float(found.right.mean())
    interval = None
    if speakers >= LEAST_SPEAKERS:
        low, high = np.percentile(_drawn_anew(found, units), [2.5, 97.5])
        low, high = widened((low, high), accuracy, speakers)
        interval = [rounded(max(0.0, float(low))), rounded(min(1.0, float(high)))]
    return {
        "n": len(found),
        "speakers": speakers,
        "accuracy": rounded(accuracy),
        "accuracy_95": interval,
        "unweighted_average_recall": rounded(
            unweighted_average_recall(found.labels, found.answers)
        ),
    }


def _drawn_anew(found: Predictions, units: NDArray[np.str_]) -> NDArray[np.float64]:
    """Accuracy over `ROUNDS` draws of as many units as there are, with replacement."""
    _, number = np.unique(units, return_inverse=True)
    right = np.bincount(number, found.right)
    size = np.bincount(number)
    rng = np.random.default_rng(7)
    drawn = rng.integers(0, len(size), (ROUNDS, len(size)))
    return right[drawn].sum(axis=1) / size[drawn].sum(axis=1)


def _gap(
    found: Predictions,
    units: NDArray[np.str_],
    values: NDArray[np.str_],
    groups: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    order = sorted(groups, key=lambda name: groups[name]["accuracy"])
    worst, best = order[0], order[-1]
    pairs = len(groups) * (len(groups) - 1) / 2
    tail = 0.025 / pairs
    served = [(found.where(values == group), units[values == group]) for group in (best, worst)]
    draws = [_drawn_anew(*group) for group in served]
    difference = float(served[0][0].right.mean() - served[1][0].right.mean())
    rng = np.random.default_rng(11)
    low, high = np.quantile(draws[0] - rng.permutation(draws[1]), [tail, 1 - tail])
    fewest = min(len(set(whose)) for _, whose in served)
    low, high = widened((low, high), difference, fewest, NormalDist().inv_cdf(1 - tail))
    return {
        "measure": "accuracy",
        "between": [best, worst],
        "difference": rounded(groups[best]["accuracy"] - groups[worst]["accuracy"]),
        "interval_95": [rounded(max(-1.0, float(low))), rounded(min(1.0, float(high)))],
    }
