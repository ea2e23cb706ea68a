"""Voices without labels: a network first learns to fill in what is blanked of a clip.

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

from core.voice.tensor import FRAMES_PER_STEP
from training import voices
from training.architectures import arguments_of
from training.augment_voice import SHORTEST_TEMPO, random_spectrogram
from training.loop import Batches, Schedule, fit

FOLDER = "filling"
"""Where a network's checkpoints of it lie, below the network's own folder."""

LONGEST_GAP = 3
"""Steps that are blanked at a stretch at most, 0.4 s; two on average."""
LONGEST_REST = 5
"""Steps between two such stretches at most; three on average, so that 40% are blanked."""
JUDGED_CLIPS = 256
"""Validation clips on which the filling is judged, blanked in the same places after each epoch."""


def pretrained(
    build: Callable[..., keras.Model],
    everything: voices.Voices,
    run: Path,
    schedule: Schedule,
    dropout: float,
    longest: int,
) -> Path:
    """Weights of a network whose trunk has learnt to fill in training clips; the rest is random.

    Parameters
    ----------
    build : the network, by `dropout`.
    everything : clips and their copies; no label of theirs is looked at. Without validation clips
        the weights of the last epoch count instead of the best.
    run : folder of checkpoints. schedule : of the filling; labels cannot be smoothed here.
    dropout : of the network meanwhile. longest : frames of an excerpt at most.
    """
    pool, validation = everything.of("train"), everything.of("validation")
    per_epoch = max(schedule.batch_size, len(set(pool.clips)))
    steps = per_epoch // schedule.batch_size

    lengths = np.array([len(s) for s in pool.spectrograms])
    judged = _judged(validation, longest, schedule.seed) if len(validation) else []

    def epoch_batches(epoch: int) -> Batches:
        rng = np.random.default_rng([schedule.seed, epoch])
        drawn = rng.choice(len(pool), steps * schedule.batch_size)
        batches = voices.of_about_one_length(drawn, lengths, schedule.batch_size, rng)

        def make(index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            rng = np.random.default_rng([schedule.seed, epoch, index])
            return blanked(_excerpts(pool, batches[index], longest, rng), rng)

        return Batches(steps, make)

    def score(model: keras.Model) -> dict[str, float]:
        if not judged:
            return {}
        found = [accuracy(y, model.predict_on_batch(x)["logits"]) for x, y in judged]
        return {"score": float(np.mean([keras.ops.convert_to_numpy(one) for one in found]))}

    best = fit(
        lambda: filling_network(build(dropout=dropout)),
        replace(schedule, label_smoothing=0.0),
        steps,
        epoch_batches,
        score,
        run,
        loss=loss,
        accuracy=accuracy,
        recipe={
            "examples": per_epoch,
            "data_sha256": pool.sha256,
            "columns": pool.spectrograms[0].shape[1],
            "built_with": arguments_of(build),
            "stage": {
                "gap": LONGEST_GAP,
                "rest": LONGEST_REST,
                "longest": longest,
                "dropout": dropout,
            },
        },
        keep="best" if judged else "last",
    )
    network_file = run / "network.weights.h5"
    if not network_file.exists():  # what is random in it may come out otherwise elsewhere
        keras.utils.set_random_seed(schedule.seed)
        network = build(dropout=dropout)
        filling_network(network).load_weights(best)
        part = run / "part.weights.h5"
        network.save_weights(part)
        part.replace(network_file)
    return network_file


def filling_network(network: keras.Model) -> keras.Model:
    """The trunk of a voice network, and a dense layer that guesses each step's frames.

    Its output `logits`, named as the training loop wants it, is (n, steps, cells of a step).
    """
    trunk = network.get_layer("drop_2").input
    cells = FRAMES_PER_STEP * network.input.shape[2]
    guess = keras.layers.Dense(cells, name="guess", dtype="float32")(trunk)
    return keras.Model(network.input, {"logits": guess}, name="filling")


def blanked(
    excerpts: NDArray[np.float32], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Excerpts with stretches of them blanked, and what stood there.

    Parameters
    ----------
    excerpts : (n, frames, columns), as many frames as whole steps have.

    Returns
    -------
    x : (n, frames, columns, 1), 0 where it is blanked: the mean of a spectrogram, no pitch, silence
    y : (n, steps, FRAMES_PER_STEP * columns + 1), each step's frames, then whether it is blanked
    """
    count, frames, columns = excerpts.shape
    steps = frames // FRAMES_PER_STEP
    hidden = np.zeros((count, steps), bool)
    for row in hidden:
        first = int(rng.integers(0, min(steps, LONGEST_REST)))
        while first < steps:
            end = first + int(rng.integers(1, LONGEST_GAP, endpoint=True))
            row[first:end] = True
            first = end + int(rng.integers(1, LONGEST_REST, endpoint=True))
    x = np.where(
        np.repeat(hidden, FRAMES_PER_STEP, axis=1)[..., np.newaxis], np.float32(0), excerpts
    )
    y = excerpts.reshape(count, steps, FRAMES_PER_STEP * columns)
    y = np.concatenate([y, hidden[..., np.newaxis].astype(np.float32)], axis=-1)
    return x[..., np.newaxis], y


def loss(target: Any, guess: Any) -> Any:
    """Mean squared error of the blanked frames, (n, steps); elsewhere 0.

    Scaled so that its mean over all steps is the mean over the blanked ones.
    """
    frames, hidden = target[..., :-1], target[..., -1]
    error = keras.ops.mean(keras.ops.square(guess - frames), axis=-1)
    return error * hidden / keras.ops.maximum(keras.ops.mean(hidden), 1e-6)


def accuracy(target: Any, guess: Any) -> Any:
    """What a guess takes away from the mean square of the blanked frames, as a share of it.

    1 for a right guess, 0 for guessing 0 everywhere, below it for what is worse.
    """
    frames, hidden = target[..., :-1], target[..., -1:]
    left = keras.ops.sum(keras.ops.square(guess - frames) * hidden)
    return 1 - left / keras.ops.sum(keras.ops.square(frames) * hidden)


def _judged(
    validation: voices.Voices, longest: int, seed: int
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Batches of validation clips of about one length, blanked."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(validation))[:JUDGED_CLIPS]
    rows = rows[np.argsort([len(validation.spectrograms[i]) for i in rows], kind="stable")]
    parts = np.array_split(rows, max(1, len(rows) // 32))
    return [blanked(_excerpts(validation, part, longest, rng), rng) for part in parts]


def _excerpts(
    pool: voices.Voices, rows: NDArray[np.int64], longest: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Whole steps of clips, as many as there are in the shortest: padding is easily guessed."""
    shortest = SHORTEST_TEMPO * min(len(pool.spectrograms[i]) for i in rows)
    steps = max(1, int(min(shortest, longest) // FRAMES_PER_STEP))
    frames = FRAMES_PER_STEP * steps
    return np.stack([random_spectrogram(pool.spectrograms[i], frames, 0.0, rng) for i in rows])
