"""Sharpness-aware minimisation (Foret et al. 2021), on any backend of Keras.

Each step first goes uphill by a small fixed length and takes the gradient there: weights are
looked for that lie low together with all around them, which holds against wrong labels. It costs
two passes a step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

if TYPE_CHECKING:
    from training.loop import Batches, OneEpoch

_TINY = 1e-12


class Uphill(keras.optimizers.SGD):
    """One step of a given length along the gradient of all weights together."""

    def __init__(self, radius: float) -> None:
        super().__init__(1.0)
        self._radius = radius

    def apply(self, grads: list[Any], trainable_variables: Any = None) -> Any:
        squares = [keras.ops.sum(keras.ops.square(g)) for g in grads]
        scale = -self._radius / (keras.ops.sqrt(sum(squares)) + _TINY)
        return super().apply([g * scale for g in grads], trainable_variables)


def sharp_epoch(radius: float) -> OneEpoch:
    """How an epoch goes over its batches, for `training.loop.fit`.

    Parameters
    ----------
    radius : length of the step uphill, of all weights taken as one vector.
    """
    uphill: list[keras.Model] = []

    def one_epoch(
        trained: keras.Model, batches: Batches, callbacks: list[keras.callbacks.Callback]
    ) -> dict[str, Any]:
        if not uphill:
            uphill.append(keras.Model(trained.input, trained.output))
            uphill[0].compile(
                Uphill(radius), trained.loss, jit_compile=keras.backend.backend() == "jax"
            )
        logs = []
        for index in range(len(batches)):
            batch = batches[index]
            before = [keras.ops.convert_to_numpy(v).copy() for v in trained.trainable_variables]
            uphill[0].train_on_batch(*batch)
            climbed = [
                keras.ops.convert_to_numpy(v) - w
                for v, w in zip(trained.trainable_variables, before, strict=True)
            ]
            trained.reset_metrics()  # of one batch, whether or not Keras adds them up
            logs.append(trained.train_on_batch(*batch, return_dict=True))
            for variable, way in zip(trained.trainable_variables, climbed, strict=True):
                variable.assign(keras.ops.convert_to_numpy(variable) - way)
            for callback in callbacks:
                callback.on_train_batch_end(index)
        return {name: float(np.mean([log[name] for log in logs])) for name in logs[0]}

    return one_epoch
