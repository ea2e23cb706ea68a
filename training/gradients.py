"""Gradients of a loss by the network's input: the one thing that Keras 3 has no common way for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from training.files import DataSetError

Loss = Callable[[Any, Any], Any]
"""(x, y), both of the backend -> a scalar, written with `keras.ops`."""


def input_gradient(loss: Loss) -> Callable[[NDArray, NDArray], NDArray[np.float32]]:
    """A function of arrays (x, y) that gives the gradient of `loss` by x, in x's shape.

    It is compiled once and follows the weights of the networks inside the loss as they change.

    Raises
    ------
    DataSetError
        When Keras runs on a backend that has no gradients.
    """
    backend = keras.backend.backend()
    if backend not in _OF_BACKEND:
        raise DataSetError(
            f"The backend {backend} gives no gradients; set KERAS_BACKEND to tensorflow, jax or "
            "torch."
        )
    gradient = _OF_BACKEND[backend](loss)

    def of_arrays(x: NDArray, y: NDArray) -> NDArray[np.float32]:
        found = gradient(np.asarray(x, np.float32), np.asarray(y, np.float32))
        return np.asarray(keras.ops.convert_to_numpy(found), np.float32)

    return of_arrays


def _tensorflow(loss: Loss) -> Callable[[NDArray, NDArray], Any]:
    import tensorflow as tf

    @tf.function(reduce_retracing=True)
    def gradient(x, y):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            value = loss(x, y)
        return tape.gradient(value, x)

    return lambda x, y: gradient(tf.convert_to_tensor(x), tf.convert_to_tensor(y))


def _jax(loss: Loss) -> Callable[[NDArray, NDArray], Any]:
    import jax

    return jax.grad(loss)  # not jitted: the weights would be frozen into the compiled function


def _torch(loss: Loss) -> Callable[[NDArray, NDArray], Any]:
    import torch

    def gradient(x, y):
        given = keras.ops.convert_to_tensor(x).clone().requires_grad_(True)
        value = loss(given, keras.ops.convert_to_tensor(y))
        return torch.autograd.grad(value, given)[0]

    return gradient


_OF_BACKEND: dict[str, Callable[[Loss], Callable[[NDArray, NDArray], Any]]] = {
    "tensorflow": _tensorflow,
    "jax": _jax,
    "torch": _torch,
}
