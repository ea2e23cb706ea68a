"""How `face-cnn` is trained: FER2013, grey, small first and then at full size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import keras
import numpy as np

from core.face.tensor import FACE_SIZE, face_tensor
from core.labels import EMOTIONS
from core.models import probabilities
from training import fer2013
from training.augment_face import GENTLE, STRONG, FaceAugmentation, augmented_faces
from training.loop import Batches, Schedule, fit, one_hot


@dataclass(frozen=True)
class Stage:
    """A stretch of training: how long, on which size, how strongly augmented."""

    schedule: Schedule
    size: int
    """Pixels a side of a training face; the network is applied to whole 48 px faces."""
    augmentation: FaceAugmentation
    small_share: float = 0.0
    """Share of the epochs, the first ones, that see faces of `SMALL_SIZE`: at half the cost."""


SMALL_SIZE = 32

STAGES = (
    Stage(Schedule(epochs=30, decay_epochs=36), 44, STRONG, small_share=0.4),
    Stage(Schedule(epochs=12, learning_rate=0.03, warmup_epochs=0.5), FACE_SIZE, GENTLE),
)
"""The second stage ends where the network is used: at full size, on faces little changed
(Touvron et al. 2019, "Fixing the train-test resolution discrepancy")."""


def predicted_logits(model: keras.Model, images: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """Logits (n, 7) of uint8 faces (n, h, w), mean of each face and its mirror image."""
    tensors = face_tensor(images)
    straight = model.predict(tensors, batch_size=batch_size, verbose=0)["logits"]
    mirrored = model.predict(tensors[:, :, ::-1], batch_size=batch_size, verbose=0)["logits"]
    return (straight + mirrored) / 2


def train(
    build: Callable[[], keras.Model],
    data: Path,
    run: Path,
    epochs: int | None = None,
    fraction: float = 1.0,
) -> Path:
    """Train on FER2013's Training split, choose on PublicTest; return the best weights.

    Parameters
    ----------
    epochs : of every stage, instead of its own. fraction : share of the faces to train on.
    """
    splits = fer2013.training_splits(data)
    weights: Path | None = None
    for number, stage in enumerate(STAGES, 1):
        stage = replace(stage, schedule=stage.schedule.lasting(epochs))
        print(f"stage {number} of {len(STAGES)}", flush=True)
        weights = _train_stage(
            build, splits, run / f"stage{number}", stage, fraction, start=weights
        )
    assert weights is not None
    return weights


def _train_stage(
    build: Callable[[], keras.Model],
    splits: dict[str, fer2013.Faces],
    run: Path,
    stage: Stage,
    fraction: float,
    start: Path | None,
) -> Path:
    schedule = stage.schedule
    faces = fer2013.share(splits["train"], fraction, schedule.seed)
    validation = fer2013.share(splits["validation"], fraction, schedule.seed)
    batch_size = min(schedule.batch_size, len(faces))
    steps = len(faces) // batch_size
    targets = one_hot(faces.labels, len(EMOTIONS))

    def epoch_batches(epoch: int) -> Batches:
        order = np.random.default_rng([schedule.seed, epoch]).permutation(len(faces))
        size = SMALL_SIZE if epoch < schedule.epochs * stage.small_share else stage.size

        def make(index: int) -> tuple[np.ndarray, np.ndarray]:
            rows = order[index * batch_size : (index + 1) * batch_size]
            rng = np.random.default_rng([schedule.seed, epoch, index])
            images = augmented_faces(faces.images[rows], size, stage.augmentation, rng)
            return images, targets[rows]

        return Batches(steps, make)

    def validation_score(model: keras.Model) -> dict[str, float]:
        logits = predicted_logits(model, validation.images)
        chosen = probabilities(logits)[np.arange(len(validation)), validation.labels]
        accuracy = float(np.mean(logits.argmax(axis=1) == validation.labels))
        loss = -float(np.log(chosen + 1e-12).mean())
        return {"accuracy": accuracy, "loss": loss, "score": accuracy}

    recipe = {"examples": len(faces), "stage": {**asdict(stage), "schedule": None}}
    return fit(
        build, schedule, steps, epoch_batches, validation_score, run, start=start, recipe=recipe
    )
