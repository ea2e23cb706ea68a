"""How the face networks are trained: on FER2013, small pictures first and then larger ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from core.face.tensor import FACE_PIXELS, FACE_SIZE, FACE_TENSOR, FaceInput
from core.labels import EMOTIONS
from core.models import probabilities
from training import checks, fer2013
from training.architectures import take_imagenet_weights
from training.augment_face import GENTLE, KERAS, STRONG, FaceAugmentation, augmented_faces
from training.loop import Batches, Schedule, fit, one_hot


@dataclass(frozen=True)
class Stage:
    """A stretch of training: how long, on which size, how strongly augmented."""

    schedule: Schedule
    size: int
    """Pixels a side of a training face."""
    augmentation: FaceAugmentation
    small_share: float = 0.0
    """Share of the epochs, the first ones, that see faces of `small_size`: at half the cost."""
    small_size: int = 32


@dataclass(frozen=True)
class Course:
    """All that a network goes through, each stage from the best weights of the one before."""

    stages: tuple[Stage, ...]
    preprocessing: str = FACE_TENSOR
    """By which function of `core.face.tensor` faces become the network's input. With
    `face_tensor` the network is validated on whole 48 px faces, with `face_pixels` on faces as
    large as the stage's."""
    imagenet: bool = False
    """Whether it starts from ImageNet's weights where these can be had."""
    workers: int = 1
    """Threads that make batches beside the network."""

    @property
    def plan(self) -> tuple[str, ...]:
        """Each stage in a word."""
        return tuple(f"{stage.size} px" for stage in self.stages)


COMPACT = Course(
    (
        Stage(Schedule(epochs=30, decay_epochs=36), 44, STRONG, small_share=0.4),
        Stage(Schedule(epochs=12, learning_rate=0.03, warmup_epochs=0.5), FACE_SIZE, GENTLE),
    )
)
"""The second stage ends where the network is used: at full size, on faces little changed
(Touvron et al. 2019, "Fixing the train-test resolution discrepancy")."""

_ADAMAX = Schedule(
    epochs=20,
    optimiser="adamax",
    batch_size=64,
    learning_rate=1e-3,
    warmup_epochs=1.0,
    weight_decay=0.0,
    label_smoothing=0.0,
    dtype_policy="float32",
)

PAPER = Course(
    (
        Stage(replace(_ADAMAX, decay_epochs=26, batch_size=128), 64, KERAS, small_share=0.6),
        Stage(
            replace(_ADAMAX, epochs=8, learning_rate=5e-4, dtype_policy="mixed_bfloat16"),
            128,
            KERAS,
        ),
        Stage(
            replace(
                _ADAMAX,
                epochs=6,
                batch_size=32,
                learning_rate=3e-4,
                dtype_policy="mixed_bfloat16",
            ),
            224,
            KERAS,
        ),
    ),
    preprocessing=FACE_PIXELS,
    imagenet=True,
    workers=4,
)
"""Twelve times the arithmetic lies between the first size and the last, so the many epochs are
spent on small pictures, in batches so large that a processor is kept busy by the many small
layers. These are in float32, which processors without bfloat16 units calculate sooner; the stages
that ask for a GPU are not."""


def predicted_logits(
    model: keras.Model, images: np.ndarray, prepared: FaceInput, batch_size: int = 256
) -> np.ndarray:
    """Logits (n, 7) of uint8 faces (n, h, w), mean of each face and its mirror image."""
    count = min(len(images), batch_size, prepared.at_once(2 * batch_size))

    def asked(step: int) -> np.ndarray:
        def make(index: int) -> tuple[np.ndarray]:
            # The last batch is filled up: a batch of another shape would be compiled anew.
            rows = np.arange(index * count, (index + 1) * count) % len(images)
            return (prepared(images[rows])[:, :, ::step],)

        batches = Batches(-(-len(images) // count), make)
        logits: np.ndarray = model.predict(batches, verbose=0)["logits"]
        return logits[: len(images)]

    return (asked(1) + asked(-1)) / 2


def train(
    build: Callable[[], keras.Model],
    data: Path,
    run: Path,
    epochs: int | None = None,
    fraction: float = 1.0,
    stages: int | None = None,
    imagenet: bool = True,
    course: Course = COMPACT,
) -> Path:
    """Train on FER2013's Training split, choose on PublicTest; return the best weights.

    Parameters
    ----------
    epochs : of every stage, instead of its own. fraction : share of the faces to train on.
    stages : how many of the course's stages, the first ones; all by default.
    imagenet : False starts from random weights where the course would take ImageNet's.
    """
    splits = fer2013.training_splits(data)
    for name in ("train", "validation"):
        faces = fer2013.share(splits[name], fraction, course.stages[0].schedule.seed)
        checks.told(faces.labels, faces.left_out, f"FER2013's {name}")
    facts: dict[str, Any] = {}
    weights: Path | None = None
    if course.imagenet:
        weights, facts["initial_weights"] = _start(build, run, imagenet)
    chosen = course.stages[:stages]
    for number, stage in enumerate(chosen, 1):
        stage = replace(stage, schedule=stage.schedule.lasting(epochs))
        print(f"stage {number} of {len(chosen)}", flush=True)
        weights = _train_stage(
            build, splits, run / f"stage{number}", course, stage, fraction, weights, facts
        )
        facts = {}
    assert weights is not None
    return weights


def _start(build: Callable[[], keras.Model], run: Path, imagenet: bool) -> tuple[Path | None, str]:
    """Weights to start from, and what they are; a run that goes on keeps what it started from."""
    if not imagenet:
        return None, "random weights"
    weights, words = run / "start.weights.h5", run / "start.json"
    if not words.exists():
        run.mkdir(parents=True, exist_ok=True)
        words.write_text(json.dumps(_fetched(build, weights)))
    start: str = json.loads(words.read_text())
    return (weights if weights.exists() else None), start


def _fetched(build: Callable[[], keras.Model], path: Path) -> str:
    """Write the network with ImageNet's weights to `path`, if they can be had; what it starts from.

    Keras keeps them in `~/.keras/models`; put there, they are found without a network too.
    """
    model = build()
    try:
        take_imagenet_weights(model)
    except Exception as error:  # noqa: BLE001  Keras raises nothing more exact
        print(f"ImageNet's weights cannot be had, so it starts from random ones: {error}")
        return "random weights, as ImageNet's could not be had"
    model.save_weights(path)
    return "ImageNet weights"


def _train_stage(
    build: Callable[[], keras.Model],
    splits: dict[str, fer2013.Faces],
    run: Path,
    course: Course,
    stage: Stage,
    fraction: float,
    start: Path | None,
    facts: dict[str, Any],
) -> Path:
    schedule = stage.schedule
    faces = fer2013.share(splits["train"], fraction, schedule.seed)
    validation = fer2013.share(splits["validation"], fraction, schedule.seed)
    batch_size = min(schedule.batch_size, len(faces))
    steps = len(faces) // batch_size
    targets = one_hot(faces.labels, len(EMOTIONS))
    whole = FaceInput(
        course.preprocessing, FACE_SIZE if course.preprocessing == FACE_TENSOR else stage.size
    )

    def epoch_batches(epoch: int) -> Batches:
        order = np.random.default_rng([schedule.seed, epoch]).permutation(len(faces))
        size = stage.small_size if epoch < schedule.epochs * stage.small_share else stage.size

        def make(index: int) -> tuple[np.ndarray, np.ndarray]:
            rows = order[index * batch_size : (index + 1) * batch_size]
            rng = np.random.default_rng([schedule.seed, epoch, index])
            images = augmented_faces(
                faces.images[rows], size, stage.augmentation, rng, course.preprocessing
            )
            return images, targets[rows]

        batches = Batches(steps, make)
        batches.workers = course.workers
        return batches

    def validation_score(model: keras.Model) -> dict[str, float]:
        logits = predicted_logits(model, validation.images, whole)
        chosen = probabilities(logits)[np.arange(len(validation)), validation.labels]
        accuracy = float(np.mean(logits.argmax(axis=1) == validation.labels))
        loss = -float(np.log(chosen + 1e-12).mean())
        return {"accuracy": accuracy, "loss": loss, "score": accuracy}

    recipe = {"examples": len(faces), "stage": {**asdict(stage), "schedule": None}, **facts}
    return fit(
        build, schedule, steps, epoch_batches, validation_score, run, start=start, recipe=recipe
    )
