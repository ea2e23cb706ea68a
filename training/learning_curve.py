"""What more data bring: short runs on growing shares of the training data.

They are much shorter than the run that ships, and faces are smaller: all of them together take
about an hour of faces on one core, and more of voices. They say how accuracy grows with data, not
how good the model is. Voices are judged as in training, padded in batches, which comes out up to a
point better than the app's way.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from core.datasets import DATA_SETS
from core.face.tensor import FaceInput
from core.labels import EMOTIONS
from core.models import probabilities, read_info
from core.words import listed
from training import checks, fer2013, robust, voice, voices
from training.architectures import ARCHITECTURES
from training.augment_face import GENTLE, augmented_faces
from training.export import rebuild
from training.face import predicted_logits
from training.files import DataSetError
from training.loop import Batches, Schedule, fit, one_hot
from training.measures import summary
from training.recipes import RECIPES, Recipe
from training.ship import ship

FRACTIONS = (0.05, 0.1, 0.25, 0.5, 1.0)
EPOCHS = 12
"""On all data. With 3 of faces and 4 of voices the curves said nothing of data: after so few
updates half of the data had taught as much as all of them, or more."""
MOST_TIMES = 8
"""A share of the data is gone over so much more often that the network is updated as often as on
all of them, but at most so many times as often."""
FACE_SIZE = 32
"""Pixels a side of the faces, in training and in judging."""
CHOOSING_FACES = 1000
"""Validation faces by which the best epoch is chosen."""
CHOOSING_VOICES = 500
"""Validation clips by which the best epoch is chosen."""
SPLITS = ("validation", "test")
NOTE = (
    "Short runs, to show what more data bring; the model that ships was trained far longer and is "
    "better. Where the curve is flat, so few updates may be the limit rather than the data."
)


def learning_curve(
    name: str,
    data: Path,
    run: Path,
    fractions: Sequence[float] = FRACTIONS,
    epochs: int | None = None,
) -> dict[str, Any]:
    """What `learning_curve.json` holds.

    Parameters
    ----------
    run : folder of checkpoints, one below it for each fraction; what is there already goes on.
    epochs : on all data, instead of `EPOCHS`.

    Returns
    -------
    `points`: of each fraction `n` (training examples), `epochs` and, for validation and test,
    `n`, of voices `speakers_drawn` for the interval, `accuracy`, `accuracy_95` and
    `unweighted_average_recall`; `settings`.

    Raises
    ------
    DataSetError
        When the recipe starts from another model's weights or answers with it, or the data cannot
        be used.
    """
    recipe = RECIPES[name]
    if recipe.train is robust.train:
        raise DataSetError(f"{name} starts from {robust.BASE}; draw the learning curve of that.")
    if recipe.beside:
        raise DataSetError(
            f"{name} answers together with {recipe.beside}; draw the learning curve of that."
        )
    whole = epochs or EPOCHS
    points = []
    for fraction in sorted(set(fractions)):
        count = epochs_on(fraction, whole)
        print(f"{fraction:g} of the data, {count} epochs", flush=True)
        points.append(_point(name, recipe, data, run / f"{fraction:g}", fraction, count))
        print(
            f"{points[-1]['n']:,} examples: test {points[-1]['test']['accuracy']:.1%}", flush=True
        )
    return {
        "points": points,
        "settings": _settings(recipe, whole),
        "note": NOTE,
        "command": _command(name, fractions, epochs),
        "date": datetime.now(UTC).date().isoformat(),
    }


def epochs_on(fraction: float, whole: int) -> int:
    """How often a share of the data is gone over."""
    return max(1, min(round(whole / fraction), MOST_TIMES * whole))


def _command(name: str, fractions: Sequence[float], epochs: int | None) -> str:
    words = [f"python -m training learning-curve {name} --data PATH"]
    if tuple(fractions) != FRACTIONS:
        words.append("--fractions " + " ".join(f"{f:g}" for f in fractions))
    if epochs:
        words.append(f"--epochs {epochs}")
    return " ".join(words)


def _settings(recipe: Recipe, whole: int) -> str:
    often = (
        f"{whole} epochs on all data, on less of them as many updates, but at most "
        f"{MOST_TIMES * whole} epochs"
    )
    if recipe.task == "face":
        return f"{often}; one stage, faces of {FACE_SIZE} px in training and in judging"
    if recipe.train is voice.train:
        several = listed([DATA_SETS[corpus] for corpus in voices.SEVERAL_SPEAKERS])
        return (
            f"{often}; of the {voice.MEMBERS[0].name} network alone, and its first stage; judged "
            f"on the speakers of {several}, if these are there, for others have one each"
        )
    return f"{often}, of every stage of the recipe"


def _point(
    name: str, recipe: Recipe, data: Path, run: Path, fraction: float, epochs: int
) -> dict[str, Any]:
    if recipe.task == "face":
        short = _short_face
    else:
        short = _short_voice if recipe.train is voice.train else _short_recipe
    examples, measured = short(name, data, run, fraction, epochs)
    return {"fraction": fraction, "n": examples, "epochs": epochs, **measured}


def _kept(measures: dict[str, Any]) -> dict[str, Any]:
    """What a point of the curve says of a split."""
    names = ("n", "speakers_drawn", "accuracy", "accuracy_95", "unweighted_average_recall")
    return {name: measures[name] for name in names if name in measures}


# --- faces --------------------------------------------------------------------------------------


def _short_face(
    name: str, data: Path, run: Path, fraction: float, epochs: int
) -> tuple[int, dict[str, Any]]:
    """(training examples, measures by split) of one stage on small faces."""
    schedule = Schedule(epochs, warmup_epochs=min(1.0, epochs / 4))
    splits = fer2013.training_splits(data)
    faces = fer2013.share(splits["train"], fraction, schedule.seed)
    checks.told(faces.labels, faces.left_out, f"{fraction:g} of FER2013's train")
    for split in SPLITS:
        checks.missing_emotions(splits[split].labels, f"FER2013's {split}")
    prepared = FaceInput(RECIPES[name].input["preprocessing"], FACE_SIZE)
    rows = np.random.default_rng(0).permutation(len(splits["validation"]))[:CHOOSING_FACES]

    def validation_score(model: keras.Model) -> dict[str, float]:
        logits = predicted_logits(model, splits["validation"].images[rows], prepared)
        right = logits.argmax(axis=1) == splits["validation"].labels[rows]
        return {"score": float(np.mean(right))}

    weights = fit(
        ARCHITECTURES[name],
        schedule,
        max(1, len(faces) // schedule.batch_size),
        lambda epoch: _face_batches(faces, schedule, prepared.preprocessing, epoch),
        validation_score,
        run / "stage1",
        recipe={
            "examples": len(faces),
            "data_sha256": faces.sha256,
            "stage": {"size": FACE_SIZE},
        },
    )
    model = rebuild(name, weights)
    measured = {}
    for split in SPLITS:
        p = probabilities(predicted_logits(model, splits[split].images, prepared))
        measured[split] = _kept(summary(p, splits[split].labels))
    return len(faces), measured


def _face_batches(
    faces: fer2013.Faces, schedule: Schedule, preprocessing: str, epoch: int
) -> Batches:
    size = min(schedule.batch_size, len(faces))
    order = np.random.default_rng([schedule.seed, epoch]).permutation(len(faces))
    targets = one_hot(faces.labels, len(EMOTIONS))

    def make(index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        rows = order[index * size : (index + 1) * size]
        rng = np.random.default_rng([schedule.seed, epoch, index])
        images = augmented_faces(faces.images[rows], FACE_SIZE, GENTLE, rng, preprocessing)
        return images, targets[rows]

    return Batches(len(faces) // size, make)


# --- voices -------------------------------------------------------------------------------------


def _short_voice(
    name: str, data: Path, run: Path, fraction: float, epochs: int
) -> tuple[int, dict[str, Any]]:
    """(training clips, measures by split) of the first network's first stage."""
    member = replace(voice.MEMBERS[0], seed=voice.SEED)
    everything = voices.load(data, run.parent.parent / "cache", voice.VARIANTS, voice.SEED)
    pool = voice.share_of(everything.of("train"), fraction)
    clips = int(voice.originals(pool).sum())
    checks.told(pool.labels, (), f"{fraction:g} of the voices' train")
    judged = {split: everything.of(split) for split in SPLITS}
    for split, part in judged.items():
        checks.missing_emotions(part.labels, f"The voices' {split}")
    choosing = np.random.default_rng(0).permutation(len(judged["validation"]))[:CHOOSING_VOICES]
    some = judged["validation"].where(np.isin(np.arange(len(judged["validation"])), choosing))
    build = partial(ARCHITECTURES[name], widths=member.widths)
    stage = member.stages(epochs)[0]
    weights = voice.train_stage(build, _together(pool, some), run / "stage1", stage, None)
    network = build()
    network.load_weights(weights)
    measured = {}
    for split, everybody in judged.items():
        part = _of_several(everybody)
        p = probabilities(voice.predicted_logits(network, part))
        measured[split] = _kept(summary(p, part.labels, voices.speakers_of(part.clips)))
    return clips, measured


def _of_several(part: voices.Voices) -> voices.Voices:
    """The clips of corpora with several speakers to judge by, or all where there is none such.

    How one person is heard, as TESS's one test speaker, says little of what more data bring.
    """
    several = np.array([clip.corpus in voices.SEVERAL_SPEAKERS for clip in part.clips], bool)
    return part.where(several) if several.any() else part


def _together(one: voices.Voices, other: voices.Voices) -> voices.Voices:
    return voices.Voices((*one.clips, *other.clips), (*one.spectrograms, *other.spectrograms))


def _short_recipe(
    name: str, data: Path, run: Path, fraction: float, epochs: int
) -> tuple[int, dict[str, Any]]:
    """(training examples, measures by split) of the recipe with other epochs."""
    recipe = RECIPES[name]
    recipe.train(ARCHITECTURES[name], data, run, epochs=epochs, fraction=fraction)
    with tempfile.TemporaryDirectory() as scratch:
        folder = ship(name, data, run, Path(scratch), quick=True)
        measured = read_info(folder).evaluation["splits"]
    state = json.loads(next(run.rglob("state.json")).read_text())
    return state["recipe"]["examples"], {split: _kept(measured[split]) for split in SPLITS}
