"""One batch at a time, instead of Keras's fit."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


def learn(model: keras.Model, *batch: Any) -> dict[str, Any]:
    """One training step on a batch (x, y, weights); loss and metrics of this batch, by name."""
    model.reset_metrics()  # of one batch, whether or not Keras adds them up
    log: dict[str, Any] = model.train_on_batch(*batch, return_dict=True)
    return log


def mean_log(logs: list[dict[str, Any]]) -> dict[str, Any]:
    """The mean of what batches were measured at, by name."""
    return {name: float(np.mean([log[name] for log in logs])) for name in logs[0]}
