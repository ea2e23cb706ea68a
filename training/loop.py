"""The one training loop: seeded, checkpointed every epoch, resumable, logged to history.csv."""

from __future__ import annotations

import csv
import hashlib
import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

from training.files import DataSetError
from training.precision import dtype_policy
from training.provenance import git_commit
from training.sharpness import sharp_epoch
from training.steps import learn, mean_log

MOMENTUM = 0.9
PLATEAU_FACTOR = 0.4
AHEAD = 6
"""How many batches are made ahead of the one that is learnt from."""


@dataclass(frozen=True)
class Schedule:
    """How a network is optimised, with linear warm-up and cosine decay to zero."""

    epochs: int
    decay_epochs: int | None = None
    """How long the cosine is; longer than `epochs` where a later stage does the rest."""
    optimiser: Literal["sgd", "adam", "adamw", "adamax"] = "sgd"
    """SGD with Nesterov momentum 0.9, Adam, AdamW, or Adamax."""
    batch_size: int = 128
    learning_rate: float = 0.1
    warmup_epochs: float = 2.0
    weight_decay: float = 5e-4
    """Decoupled (times the learning rate, outside the momentum)."""
    label_smoothing: float = 0.1
    averaging: float = 0.0
    """Momentum, a step, of the exponential moving average of all weights that is validated and
    kept (Polyak averaging); 0 keeps the weights as they are."""
    sharpness: float = 0.0
    """Radius of sharpness-aware minimisation (`training.sharpness`), two passes a step; 0 goes
    without."""
    patience: int = 0
    """Epochs without a better validation after which the rate is cut, and twice as many after
    which training ends early. 0: warm-up and cosine instead, to the last epoch."""
    dtype_policy: str = "mixed_bfloat16"
    """Of Keras. `mixed_bfloat16` means float32 where that is faster (`training.precision`)."""
    seed: int = 7

    def lasting(self, epochs: int | None) -> Schedule:
        """The same over another number of epochs, to its end; unchanged for None."""
        return replace(self, epochs=epochs, decay_epochs=None) if epochs else self


AMISS = frozenset({"missing", "left_out"})
"""What a recipe says of the data for the card (`training.checks.amiss`)."""
LATELY_NOTED = frozenset({"data_sha256", "teacher_sha256"})
"""What runs of before did not note of what they depend on; such a run is believed."""


class MovingAverage(keras.callbacks.Callback):
    """Exponential moving average of a network's weights, batch norm's statistics among them."""

    def __init__(self, network: keras.Model, momentum: float) -> None:
        super().__init__()
        self._network = network
        self._momentum = momentum
        self._steps = 0
        self._weights = [np.array(w) for w in network.get_weights()]

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._steps += 1
        # Shorter at the start, when the weights still move fast.
        momentum = min(self._momentum, (1 + self._steps) / (10 + self._steps))
        for kept, now in zip(self._weights, self._network.get_weights(), strict=True):
            kept += (1 - momentum) * (now - kept)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The network with the averaged weights, for as long as this lasts."""
        current = self._network.get_weights()
        self._network.set_weights(self._weights)
        try:
            yield
        finally:
            self._network.set_weights(current)

    def save(self, path: Path) -> None:
        arrays: dict[str, Any] = {f"{i:04}": w for i, w in enumerate(self._weights)}
        np.savez(path, steps=np.array(self._steps), **arrays)

    def load(self, path: Path) -> None:
        with np.load(path) as stored:
            self._steps = int(stored["steps"])
            self._weights = [stored[name] for name in sorted(stored.files) if name != "steps"]


class Batches:
    """One epoch of batches made by `make(index)`, in `workers` threads; each epoch gets a fresh
    instance."""

    def __init__(self, count: int, make: Callable[[int], tuple], workers: int = 2) -> None:
        self.workers = workers
        self._count = count
        self._make = make

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> tuple:
        return self._make(index)

    def made_ahead(self) -> Iterator[tuple]:
        """All batches in their order, the next ones being made while the last one is used."""
        makers = ThreadPoolExecutor(self.workers)
        try:
            ahead = deque(makers.submit(self._make, i) for i in range(min(AHEAD, len(self))))
            for index in range(len(self)):
                batch = ahead.popleft().result()
                if index + AHEAD < len(self):
                    ahead.append(makers.submit(self._make, index + AHEAD))
                yield batch
        finally:
            makers.shutdown(cancel_futures=True)


OneEpoch = Callable[[keras.Model, Batches, list[keras.callbacks.Callback]], dict[str, Any]]
"""(compiled network, batches, callbacks) -> mean loss and accuracy of the epoch, by name."""


def _plain_epoch(
    trained: keras.Model, batches: Batches, callbacks: list[keras.callbacks.Callback]
) -> dict[str, Any]:
    """Batch after batch.

    Keras's own `fit` hands batches over through TensorFlow's data pipeline. At the end of an epoch
    that can hang for ever: it waits, with Python's lock held, for a thread that wants the lock.
    """
    logs = []
    for index, batch in enumerate(batches.made_ahead()):
        logs.append(learn(trained, *batch))
        for callback in callbacks:
            callback.on_train_batch_end(index)
    return mean_log(logs)


def plateau_rate(schedule: Schedule, scores: list[float]) -> float:
    """Learning rate of the next epoch: cut whenever `patience` epochs brought nothing better.

    A function of the validation scores so far and of nothing else, so that a run that goes on
    after a break does as an unbroken one.
    """
    cuts, waited, best = 0, 0, float("-inf")
    for score in scores:
        waited = 0 if score > best else waited + 1
        best = max(best, score)
        if waited == schedule.patience:
            cuts, waited = cuts + 1, 0
    return schedule.learning_rate * PLATEAU_FACTOR**cuts


def finished(schedule: dict[str, Any], history: list[dict[str, Any]]) -> bool:
    """Whether a run has had all its epochs, or none of the last ones brought anything better."""
    if len(history) >= schedule["epochs"]:
        return True
    patience = schedule.get("patience", 0)
    if not (patience and history):
        return False
    scores = [row["val_score"] for row in history]
    return len(scores) - 1 - int(np.argmax(scores)) >= 2 * patience


def optimiser(schedule: Schedule, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    if schedule.patience:
        rate: Any = schedule.learning_rate
    else:
        rate = _cosine(schedule, steps_per_epoch)
    if schedule.optimiser == "sgd":
        chosen = keras.optimizers.SGD(
            rate, momentum=MOMENTUM, nesterov=True, weight_decay=schedule.weight_decay
        )
    else:
        kinds = {
            "adam": keras.optimizers.Adam,
            "adamw": keras.optimizers.AdamW,
            "adamax": keras.optimizers.Adamax,
        }
        chosen = kinds[schedule.optimiser](rate, weight_decay=schedule.weight_decay or None)
    chosen.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return chosen


def _cosine(schedule: Schedule, steps_per_epoch: int) -> Any:
    warmup = max(1, round(schedule.warmup_epochs * steps_per_epoch))
    total = max((schedule.decay_epochs or schedule.epochs) * steps_per_epoch, warmup + 1)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=schedule.learning_rate / 100,
        decay_steps=total - warmup,
        warmup_target=schedule.learning_rate,
        warmup_steps=warmup,
    )


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
    recipe: dict[str, Any] | None = None,
    one_epoch: OneEpoch | None = None,
    keep: Literal["best", "last"] = "best",
    teachers: Sequence[Path] = (),
) -> Path:
    """Train from the last finished epoch on; return the weights that validated best.

    Parameters
    ----------
    build : makes the network anew; its outputs include `logits` (n, 7).
    epoch_batches : epoch number, from 0 -> that epoch's batches (x, one-hot or soft y, weights).
        Must depend on nothing but the number, so that a resumed run repeats an unbroken one.
    validation_score : model -> measures on validation data, among them `score`, higher is better;
        none where the last epoch is kept anyway.
    run : folder of checkpoints; `history.csv` grows by a row an epoch.
    start : weights to start from, of an earlier stage; fresh ones by default.
    recipe : what else the run depends on, as JSON; a run is only resumed by the same recipe.
    loss, accuracy : of (targets, logits); smoothed cross-entropy and plain accuracy by default.
    one_epoch : how an epoch goes over its batches; one after the other by default.
    keep : `last` returns the weights of the last epoch, however they validated.
    teachers : weights that made the targets; a run is only resumed with the same.
    """
    if schedule.sharpness:
        if one_epoch:
            raise ValueError("A run that goes over its batches in its own way cannot be sharp.")
        one_epoch = sharp_epoch(schedule.sharpness, accuracy)
    one_epoch = one_epoch or _plain_epoch
    run.mkdir(parents=True, exist_ok=True)
    state_file, best = run / "state.json", run / "best.weights.h5"
    keras.utils.set_random_seed(schedule.seed)
    schedule = replace(schedule, dtype_policy=dtype_policy(schedule.dtype_policy))
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
            "recipe": as_json({"schedule": asdict(schedule), **(recipe or {})}),
            "git_commit": git_commit(),
            "start": _digest([*([start] if start else []), *teachers]),
            "epoch": 0,
            "best": float("-inf"),
            "seconds": 0.0,
            "history": [],
        }
        average = MovingAverage(model, schedule.averaging) if schedule.averaging else None
        if state_file.exists():
            found = json.loads(state_file.read_text())
            for name in LATELY_NOTED & state["recipe"].keys():
                found["recipe"].setdefault(name, state["recipe"][name])
            same_start = found.setdefault("start", state["start"]) == state["start"]
            if not (same_start and _same_but_for_precision(found["recipe"], state["recipe"])):
                raise DataSetError(
                    f"{run} holds a run of another recipe, on other data or from other weights. "
                    "Remove the folder to start anew."
                )
            state = found
            if found["epoch"] < schedule.epochs:
                _go_on_in(schedule.dtype_policy, state["recipe"]["schedule"])
            trained.optimizer.build(trained.trainable_variables)  # else its state is skipped
            trained.load_weights(run / state["last"])
            if average:
                average.load(run / _average_of(state["last"]))
            print(f"resuming after epoch {state['epoch']} of {schedule.epochs}", flush=True)
        for epoch in range(state["epoch"], schedule.epochs):
            if finished(state["recipe"]["schedule"], state["history"]):
                print("nothing better for long enough: the end", flush=True)
                break
            started = time.monotonic()
            if schedule.patience:
                scores = [row["val_score"] for row in state["history"]]
                trained.optimizer.learning_rate = plateau_rate(schedule, scores)
            _seed(model, schedule.seed + 1000 * (epoch + 1))
            log = one_epoch(trained, epoch_batches(epoch), [average] if average else [])
            with average.in_place() if average else nullcontext():
                measures = validation_score(model)
                if keep == "last" or measures["score"] > state["best"]:
                    state["best"] = measures.get("score", state["best"])
                    model.save_weights(best)
            seconds = time.monotonic() - started
            row = {
                "epoch": epoch + 1,
                "loss": float(log["loss"]),
                "accuracy": float(next(v for k, v in log.items() if "accuracy" in k)),
                **{f"val_{k}": v for k, v in measures.items()},
                "learning_rate": float(keras.ops.convert_to_numpy(trained.optimizer.learning_rate)),
                "seconds": round(seconds, 1),
            }
            before = state.get("last")
            state.update(
                epoch=epoch + 1,
                seconds=state["seconds"] + seconds,
                history=[*state["history"], row],
                last=f"epoch{epoch + 1}.weights.h5",
            )
            # The state names its weights and is replaced in one step, so that a run that is
            # killed at any moment goes on from an epoch that was wholly saved.
            trained.save_weights(run / state["last"])
            if average:
                average.save(run / _average_of(state["last"]))
            part = state_file.with_suffix(".part")
            part.write_text(json.dumps(state, indent=1))
            part.replace(state_file)
            if before:
                (run / before).unlink(missing_ok=True)
                (run / _average_of(before)).unlink(missing_ok=True)
            write_history(run / "history.csv", state["history"])
            left = (schedule.epochs - epoch - 1) * seconds / 60
            shown = "  ".join(f"{k} {v:.4g}" for k, v in row.items() if k != "epoch")
            print(
                f"epoch {epoch + 1}/{schedule.epochs}  {shown}  about {left:.0f} min left",
                flush=True,
            )
        return best
    finally:
        keras.mixed_precision.set_global_policy("float32")


def _same_but_for_precision(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two recipes differ at most in the numbers that a machine calculates in.

    A run from before schedules had a field went as the field's default says, and one from before
    stages had it as if it were 0, false or empty there. What was amiss with the data is not looked
    at, as their hash is.
    """

    def rest(recipe: dict[str, Any]) -> dict[str, Any]:
        defaults = as_json(asdict(Schedule(0)))
        schedule = {**defaults, **recipe["schedule"], "dtype_policy": None}
        stage = {name: value for name, value in recipe.get("stage", {}).items() if value}
        told = {name: value for name, value in recipe.items() if name not in AMISS}
        return {**told, "schedule": schedule, "stage": stage}

    return rest(one) == rest(other)


def _digest(weights: Sequence[Path]) -> str:
    """SHA-256 of files of weights, one after the other; nothing for none."""
    digest = hashlib.sha256()
    for path in weights:
        digest.update(path.read_bytes())
    return digest.hexdigest() if weights else ""


def _go_on_in(policy: str, schedule: dict[str, Any]) -> None:
    """Note in a run's schedule that it goes on by another policy, if it does."""
    if not schedule["dtype_policy"].endswith(policy):
        schedule["dtype_policy"] += f", then {policy}"


def _seed(model: keras.Model, seed: int) -> None:
    """Start all that is random anew: also dropout, whose state is no part of saved weights."""
    keras.utils.set_random_seed(seed)
    states = [v for v in model.variables if v.name == "seed_generator_state"]
    for number, state in enumerate(states):
        state.assign([seed, 1_000_000 * number])


def _average_of(weights: str) -> str:
    return weights.replace(".weights.h5", ".average.npz")


def as_json(value: Any) -> Any:
    """`value` as it comes back from a JSON file: tuples are lists there."""
    return json.loads(json.dumps(value))


def write_history(path: Path, rows: list[dict[str, Any]]) -> None:
    """One row an epoch, as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def one_hot(labels: NDArray[np.int64], classes: int) -> NDArray[np.float32]:
    return np.eye(classes, dtype=np.float32)[labels]
