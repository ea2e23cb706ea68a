"""How `face-cnn-robust` is trained: `face-cnn` goes on learning, half of it on attacked faces.

Fast adversarial training (Wong et al. 2020, "Fast is better than free: revisiting adversarial
training"): one step uphill from a random start, with the network as it is at that moment, and
then an ordinary training step on what came of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from core.face.tensor import FACE_SIZE, face_tensor
from core.labels import EMOTIONS
from core.models import find
from training import checks, fer2013
from training.attacks import FAST, PGD, WHITE, Attacker, as_pixels, standardised
from training.augment_face import GENTLE, random_face
from training.loop import Batches, Schedule, fit, one_hot
from training.steps import learn, mean_log
from training.twin import mean_logits, read_out, with_batch_statistics

BASE = "face-cnn"
"""The shipped model whose weights training starts from."""

SCHEDULE = Schedule(epochs=4, learning_rate=0.02, warmup_epochs=0.25)

LARGEST_EPSILON = 4
"""Of 255. Each attacked face draws its own, 1 to this."""

VALIDATED = 500
"""Validation faces that are attacked (PGD, `VALIDATED_EPSILON`) after every epoch. The score is the
mean of the accuracy on all as they are and on these attacked."""
VALIDATED_EPSILON = 2

STATISTICS_FACES = 1000
"""Training faces by which the batch norms are set before the first epoch."""


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
    epochs : instead of the schedule's own. fraction : share of the faces to train on.
    """
    splits = fer2013.training_splits(data)
    schedule = SCHEDULE.lasting(epochs)
    faces = fer2013.share(splits["train"], fraction, schedule.seed)
    validation = fer2013.share(splits["validation"], fraction, schedule.seed)
    checks.told(faces.labels, faces.left_out, "FER2013's train")
    checks.told(validation.labels, validation.left_out, "FER2013's validation")
    base = find("face", BASE)
    start = run / "start.weights.h5"
    if not start.exists():
        _write_start(read_out(base, splits["validation"]), faces, start)
    print("stage 1 of 1", flush=True)
    batch_size = min(schedule.batch_size, len(faces))
    steps = len(faces) // batch_size
    return fit(
        build,
        schedule,
        steps,
        partial(_batches, faces, batch_size, steps, schedule.seed),
        partial(_validation_score, validation),
        run / "stage1",
        start=start,
        recipe={
            "examples": len(faces),
            "data_sha256": faces.sha256,
            **checks.amiss(faces.labels, faces.left_out),
            "initial_weights": f"the weights of {base.name} as it shipped then "
            f"(SHA-256 {base.sha256})",
            "stage": {
                "size": FACE_SIZE,
                "augmentation": {**asdict(GENTLE), "erasing": 0.0},
                "attack": {**asdict(FAST), "epsilons": [1, LARGEST_EPSILON], "share": 0.5},
            },
        },
        one_epoch=_epoch,
    )


def _write_start(network: keras.Model, faces: fer2013.Faces, path: Path) -> None:
    with_batch_statistics(network, face_tensor(faces.images[:STATISTICS_FACES]))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name("part.weights.h5")
    network.save_weights(part)
    part.replace(path)


def _batches(faces: fer2013.Faces, batch_size: int, steps: int, seed: int, epoch: int) -> Batches:
    """Batches of augmented faces uint8, targets, and the generator that the attack draws from."""
    order = np.random.default_rng([seed, epoch]).permutation(len(faces))
    targets = one_hot(faces.labels, len(EMOTIONS))

    def make(index: int) -> tuple[NDArray[np.uint8], NDArray[np.float32], np.random.Generator]:
        rows = order[index * batch_size : (index + 1) * batch_size]
        rng = np.random.default_rng([seed, epoch, index])
        images = [random_face(face, FACE_SIZE, GENTLE, rng) for face in faces.images[rows]]
        return np.stack(images), targets[rows], rng

    return Batches(steps, make)


def _epoch(
    trained: keras.Model, batches: Batches, callbacks: list[keras.callbacks.Callback]
) -> dict[str, Any]:
    """One epoch, batch after batch: usually batches are made ahead of the weights."""
    attacker = Attacker(lambda x: trained(x, training=False), mirrored=False)
    logs = []
    for index in range(len(batches)):
        images, targets, rng = batches[index]
        pixels = as_pixels(images)
        half = len(pixels) // 2
        epsilon = rng.integers(1, LARGEST_EPSILON + 1, half) / WHITE
        pixels[:half] = attacker.attacked(pixels[:half], targets[:half], epsilon, FAST, rng)
        tensors = keras.ops.convert_to_numpy(standardised(pixels))
        logs.append(learn(trained, tensors, targets))
        for callback in callbacks:
            callback.on_train_batch_end(index)
    return mean_log(logs)


def _validation_score(validation: fer2013.Faces, model: keras.Model) -> dict[str, float]:
    right = mean_logits(model, validation.images).argmax(axis=1) == validation.labels
    clean = float(np.mean(right))
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(validation))[:VALIDATED]
    attacker = Attacker(lambda x: model(x, training=False)["logits"])
    answers = [
        _attacked_answers(attacker, validation, rows[start : start + 128], rng)
        for start in range(0, len(rows), 128)
    ]
    attacked = float(np.mean(np.concatenate(answers) == validation.labels[rows]))
    return {"accuracy": clean, "attacked": attacked, "score": (clean + attacked) / 2}


def _attacked_answers(
    attacker: Attacker, faces: fer2013.Faces, rows: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    targets = one_hot(faces.labels[rows], len(EMOTIONS))
    pixels = as_pixels(faces.images[rows])
    changed = attacker.attacked(pixels, targets, VALIDATED_EPSILON / WHITE, PGD, rng)
    return keras.ops.convert_to_numpy(attacker.logits(changed)).argmax(axis=1)
