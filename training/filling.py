"""Voices without labels: a network first learns to fill in what is blanked of a spectrogram.

Masked spectrogram modelling (Liu et al. 2020, "Mockingjay"), with the network's own trunk: from
what every step sees around it, a dense layer guesses the frames that were blanked there. Whoever
can do that knows how speech goes on; the labels that are learnt afterwards need not teach it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from core.voice.features import MEL_BANDS
from training import voice, voices
from training.augment_voice import random_spectrogram
from training.loop import Batches, Schedule, fit

STEP = 8
"""Frames to a step of the network's trunk."""
BLANKED = 0.4
"""Share of the steps that are blanked, about."""
LONGEST_GAP = 3
"""Steps that are blanked at a stretch at most; 0.4 s."""
FRAMES = voice.MAX_FRAMES // STEP * STEP
JUDGED_CLIPS = 256
"""Validation clips on which the filling is judged, blanked in the same places after each epoch."""


def pretrained(
    build: Callable[..., keras.Model],
    everything: voices.Voices,
    run: Path,
    schedule: Schedule,
    dropout: float,
) -> Path:
    """Weights of a network whose trunk has learnt to fill in training clips; the rest is random.

    Parameters
    ----------
    build : the network, by `dropout`.
    everything : clips and their copies; no label of theirs is looked at.
    run : folder of checkpoints. schedule : of the filling; labels cannot be smoothed here.
    """
    pool, validation = everything.of("train"), everything.of("validation")
    per_epoch = max(schedule.batch_size, len(pool) // (1 + voice.VARIANTS))
    steps = per_epoch // schedule.batch_size

    def epoch_batches(epoch: int) -> Batches:
        rng = np.random.default_rng([schedule.seed, epoch])
        drawn = rng.choice(len(pool), (steps, schedule.batch_size))

        def make(index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            rng = np.random.default_rng([schedule.seed, epoch, index])
            return blanked(_excerpts(pool, drawn[index], rng), rng)

        return Batches(steps, make)

    def score(model: keras.Model) -> dict[str, float]:
        rng = np.random.default_rng(schedule.seed)
        rows = rng.permutation(len(validation))[:JUDGED_CLIPS]
        x, y = blanked(_excerpts(validation, rows, rng), rng)
        guess = model.predict(x, batch_size=32, verbose=0)["logits"]
        return {"score": float(filled_accuracy(y, guess))}

    best = fit(
        lambda: filling(build(dropout=dropout)),
        replace(schedule, label_smoothing=0.0),
        steps,
        epoch_batches,
        score,
        run,
        loss=filled_loss,
        accuracy=filled_accuracy,
        recipe={"examples": per_epoch, "stage": {"blanked": BLANKED, "dropout": dropout}},
    )
    keras.utils.set_random_seed(schedule.seed)
    network = build(dropout=dropout)
    filled = filling(network)
    filled.load_weights(best)
    network.save_weights(run / "network.weights.h5")
    return run / "network.weights.h5"


def filling(network: keras.Model) -> keras.Model:
    """The trunk of a voice network, and a dense layer that guesses each step's frames.

    Its output `logits`, named as the training loop wants it, is (n, steps, STEP * MEL_BANDS).
    """
    trunk = network.get_layer("drop_2").input
    guess = keras.layers.Dense(STEP * MEL_BANDS, name="guess", dtype="float32")(trunk)
    return keras.Model(network.input, {"logits": guess}, name="filling")


def blanked(
    excerpts: NDArray[np.float32], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Excerpts with stretches of them blanked, and what stood there.

    Parameters
    ----------
    excerpts : (n, frames, MEL_BANDS), as many frames as whole steps have.

    Returns
    -------
    x : (n, frames, MEL_BANDS, 1), 0, which is the mean, where it is blanked
    y : (n, steps, STEP * MEL_BANDS + 1), each step's frames, then whether they are blanked
    """
    count, frames, bands = excerpts.shape
    steps = frames // STEP
    hidden = np.zeros((count, steps), bool)
    for row in hidden:
        while row.mean() < BLANKED:
            first = int(rng.integers(0, steps))
            row[first : first + int(rng.integers(1, LONGEST_GAP, endpoint=True))] = True
    x = np.where(np.repeat(hidden, STEP, axis=1)[..., np.newaxis], np.float32(0), excerpts)
    y = excerpts.reshape(count, steps, STEP * bands)
    y = np.concatenate([y, hidden[..., np.newaxis].astype(np.float32)], axis=-1)
    return x[..., np.newaxis], y


def filled_loss(target: Any, guess: Any) -> Any:
    """Mean squared error of the blanked frames, (n, steps); elsewhere 0.

    Scaled so that its mean over all steps is the mean over the blanked ones.
    """
    frames, hidden = target[..., :-1], target[..., -1]
    error = keras.ops.mean(keras.ops.square(guess - frames), axis=-1)
    return error * hidden / keras.ops.maximum(keras.ops.mean(hidden), 1e-6)


def filled_accuracy(target: Any, guess: Any) -> Any:
    """Share of the variance of blanked frames that was guessed; 0 for guessing 0 everywhere."""
    frames, hidden = target[..., :-1], target[..., -1:]
    left = keras.ops.sum(keras.ops.square(guess - frames) * hidden)
    return 1 - left / keras.ops.sum(keras.ops.square(frames) * hidden)


def _excerpts(
    pool: voices.Voices, rows: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float32]:
    return np.stack([random_spectrogram(pool.spectrograms[i], FRAMES, 0.0, rng) for i in rows])
