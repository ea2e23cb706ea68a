"""Sharpness-aware minimisation (Foret et al. 2021), on any backend of Keras.

Each step first goes uphill by a small fixed length and takes the gradient there: weights are
looked for that lie low together with all around them, which is said to hold against wrong labels.
It costs two passes a step. In bfloat16 the step uphill is about as small as what rounding does to a
weight, so that it points only roughly uphill: `float32` is what it was made for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from training.steps import learn, mean_log

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


def sharp_epoch(radius: float, accuracy: Callable | str = "accuracy") -> OneEpoch:
    """How an epoch goes over its batches, for `training.loop.fit`.

    What it returns is measured on the way, before each step, with the weights themselves. The
    statistics of batch norms come from there too, and both passes drop the same units.

    Parameters
    ----------
    radius : length of the step uphill, of all weights taken as one vector.
    accuracy : measured beside the loss, as Keras takes it.
    """

    @cache
    def climber(trained: keras.Model) -> keras.Model:
        made = keras.Model(trained.input, trained.output)
        made.compile(
            Uphill(radius), trained.loss, metrics=[accuracy], jit_compile=trained.jit_compile
        )
        return made

    def one_epoch(
        trained: keras.Model, batches: Batches, callbacks: list[keras.callbacks.Callback]
    ) -> dict[str, Any]:
        uphill = climber(trained)
        weights = trained.trainable_variables
        drawn = [v for v in trained.non_trainable_variables if v.name == "seed_generator_state"]
        moving = [v for v in trained.non_trainable_variables if v.name != "seed_generator_state"]
        logs = []
        for index, batch in enumerate(batches.made_ahead()):
            here, draws = _copies(weights), _copies(drawn)
            logs.append(learn(uphill, *batch))
            way = [up - w for up, w in zip(_copies(weights), here, strict=True)]
            statistics = _copies(moving)
            _assign(drawn, draws)
            trained.train_on_batch(*batch)
            _assign(moving, statistics)
            there = _copies(weights)
            _assign(weights, [w - back for w, back in zip(there, way, strict=True)])
            for callback in callbacks:
                callback.on_train_batch_end(index)
        return mean_log(logs)

    return one_epoch


def _copies(variables: list[Any]) -> list[NDArray]:
    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables]


def _assign(variables: list[Any], values: list[NDArray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
