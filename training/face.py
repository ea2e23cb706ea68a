"""How `face-cnn` is trained: FER2013, grey, small first and then at full size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from core.face.tensor import face_tensor
from core.labels import EMOTIONS
from training import fer2013
from training.augment_face import augmented_faces
from training.loop import Batches, Schedule, fit, one_hot

SCHEDULE = Schedule(epochs=36)

SMALL_SIZE, SMALL_SHARE = 32, 1 / 3
"""The first third of the epochs sees 32 px faces, which cost half as much."""

TRAIN_SIZE = 44
"""Pixels a side of a training crop; the network is applied to whole 48 px faces."""


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
    schedule: Schedule = SCHEDULE,
    fraction: float = 1.0,
) -> Path:
    """Train on FER2013's Training split, choose on PublicTest; return the best weights."""
    splits = fer2013.training_splits(data)
    faces = fer2013.share(splits["train"], fraction, schedule.seed)
    validation = fer2013.share(splits["validation"], fraction, schedule.seed)
    steps = max(1, len(faces) // schedule.batch_size)
    batch_size = min(schedule.batch_size, len(faces))
    targets = one_hot(faces.labels, len(EMOTIONS))

    def epoch_batches(epoch: int) -> Batches:
        order = np.random.default_rng([schedule.seed, epoch]).permutation(len(faces))
        size = SMALL_SIZE if epoch < schedule.epochs * SMALL_SHARE else TRAIN_SIZE

        def make(index: int) -> tuple[np.ndarray, np.ndarray]:
            rows = order[index * batch_size : (index + 1) * batch_size]
            rng = np.random.default_rng([schedule.seed, epoch, index])
            return augmented_faces(faces.images[rows], size, rng), targets[rows]

        return Batches(steps, make)

    def validation_score(model: keras.Model) -> dict[str, float]:
        logits = predicted_logits(model, validation.images)
        accuracy = float(np.mean(logits.argmax(1) == validation.labels))
        shifted = logits - logits.max(1, keepdims=True)
        log_probability = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        loss = -float(log_probability[np.arange(len(validation)), validation.labels].mean())
        return {"accuracy": accuracy, "loss": loss, "score": accuracy}

    return fit(build, schedule, steps, epoch_batches, validation_score, run)
