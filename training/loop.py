"""The one training loop: seeded, checkpointed every epoch, resumable, logged to history.csv."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

from training.files import DataSetError

MOMENTUM = 0.9


@dataclass(frozen=True)
class Schedule:
    """How a network is optimised, with linear warm-up and cosine decay to zero."""

    epochs: int
    decay_epochs: int | None = None
    """How long the cosine is; longer than `epochs` where a later stage does the rest."""
    optimiser: Literal["sgd", "adamw"] = "sgd"
    """SGD with Nesterov momentum 0.9, or AdamW."""
    batch_size: int = 128
    learning_rate: float = 0.1
    warmup_epochs: float = 2.0
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    dtype_policy: str = "mixed_bfloat16"
    seed: int = 7


class Batches(keras.utils.PyDataset):
    """One epoch of batches made by `make(index)`; each epoch gets a fresh instance."""

    def __init__(self, count: int, make: Callable[[int], tuple]) -> None:
        super().__init__()
        self._count = count
        self._make = make

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> tuple:
        return self._make(index)


def optimiser(schedule: Schedule, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    warmup = max(1, round(schedule.warmup_epochs * steps_per_epoch))
    total = max((schedule.decay_epochs or schedule.epochs) * steps_per_epoch, warmup + 1)
    rate = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=schedule.learning_rate / 100,
        decay_steps=total - warmup,
        warmup_target=schedule.learning_rate,
        warmup_steps=warmup,
    )
    if schedule.optimiser == "sgd":
        chosen = keras.optimizers.SGD(
            rate, momentum=MOMENTUM, nesterov=True, weight_decay=schedule.weight_decay
        )
    else:
        chosen = keras.optimizers.AdamW(rate, weight_decay=schedule.weight_decay)
    chosen.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return chosen


def fit(
    build: Callable[[], keras.Model],
    schedule: Schedule,
    steps_per_epoch: int,
    epoch_batches: Callable[[int], Batches],
    validation_score: Callable[[keras.Model], dict[str, float]],
    run: Path,
    loss: Callable | None = None,
    accuracy: Callable | str = "accuracy",
    start: Path | None = None,
) -> Path:
    """Train from the last finished epoch on; return the weights that validated best.

    Parameters
    ----------
    build : makes the network anew; its outputs include `logits` (n, 7).
    epoch_batches : epoch number, from 0 -> that epoch's batches (x, one-hot or soft y, weights).
        Must depend on nothing but the number, so that a resumed run repeats an unbroken one.
    validation_score : model -> measures on validation data, among them `score`, higher is better.
    run : folder of checkpoints; `history.csv` grows by a row an epoch.
    start : weights to start from, of an earlier stage; fresh ones by default.
    loss, accuracy : of (targets, logits); smoothed cross-entropy and plain accuracy by default.
    """
    run.mkdir(parents=True, exist_ok=True)
    state_file, last, best = (
        run / "state.json",
        run / "last.weights.h5",
        run / "best.weights.h5",
    )
    keras.utils.set_random_seed(schedule.seed)
    keras.mixed_precision.set_global_policy(schedule.dtype_policy)
    try:
        model = build()
        if start is not None:
            model.load_weights(start)
        trained = keras.Model(model.input, model.output["logits"])
        trained.compile(
            optimizer=optimiser(schedule, steps_per_epoch),
            loss=loss
            or keras.losses.CategoricalCrossentropy(
                from_logits=True, label_smoothing=schedule.label_smoothing
            ),
            metrics=[accuracy],
            jit_compile=keras.backend.backend() == "jax",
        )
        state: dict[str, Any] = {
            "epoch": 0,
            "best": float("-inf"),
            "seconds": 0.0,
            "schedule": asdict(schedule),
        }
        if state_file.exists():
            state = json.loads(state_file.read_text())
            if state["schedule"] != asdict(schedule):
                raise DataSetError(
                    f"{run} holds a run with another schedule. Remove the folder to start anew."
                )
            trained.optimizer.build(trained.trainable_variables)  # else its state is skipped
            trained.load_weights(last)
            print(f"resuming after epoch {state['epoch']} of {schedule.epochs}", flush=True)
        for epoch in range(state["epoch"], schedule.epochs):
            started = time.monotonic()
            keras.utils.set_random_seed(schedule.seed + 1000 * (epoch + 1))
            log = trained.fit(
                epoch_batches(epoch), initial_epoch=epoch, epochs=epoch + 1, verbose=0
            ).history
            measures = validation_score(model)
            seconds = time.monotonic() - started
            row = {
                "epoch": epoch + 1,
                "loss": log["loss"][0],
                "accuracy": next(v[0] for k, v in log.items() if "accuracy" in k),
                **{f"val_{k}": v for k, v in measures.items()},
                "learning_rate": float(keras.ops.convert_to_numpy(trained.optimizer.learning_rate)),
                "seconds": round(seconds, 1),
            }
            _append(run / "history.csv", row, first=epoch == 0)
            if measures["score"] > state["best"]:
                state["best"] = measures["score"]
                model.save_weights(best)
            state.update(epoch=epoch + 1, seconds=state["seconds"] + seconds)
            trained.save_weights(last)
            state_file.write_text(json.dumps(state, indent=1))
            left = (schedule.epochs - epoch - 1) * seconds / 60
            shown = "  ".join(f"{k} {v:.4g}" for k, v in row.items() if k != "epoch")
            print(
                f"epoch {epoch + 1}/{schedule.epochs}  {shown}  about {left:.0f} min left",
                flush=True,
            )
        return best
    finally:
        keras.mixed_precision.set_global_policy("float32")


def _append(path: Path, row: dict[str, float], first: bool) -> None:
    with path.open("w" if first else "a", newline="") as file:
        writer = csv.DictWriter(file, row)
        if first:
            writer.writeheader()
        writer.writerow(row)


def one_hot(labels: NDArray[np.int64], classes: int) -> NDArray[np.float32]:
    return np.eye(classes, dtype=np.float32)[labels]
