"""A large EfficientNet that begins with what a smaller one has learnt, and answers as it does.

After Net2Net (Chen, Goodfellow and Shlens 2016, "Net2Net: Accelerating Learning via Knowledge
Transfer"): channels are repeated, and what reads a channel shares its weight out among the
repetitions, so that sums stay what they were; additional blocks stand beside a skip connection
and add nothing yet. EfficientNets are made for it: they differ in how many channels and blocks a
stage has, and in nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from training.architectures import inner_layers

MOMENTUM = 0.9
"""Of batch normalisation's averages in networks that have few steps before them: Keras's 0.99 needs
more of them before the averages are of use."""


def quick_to_average(network: keras.Model) -> keras.Model:
    """The network itself, its batch normalisation with `MOMENTUM`; no weight changes."""
    for layer in inner_layers(network):
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = MOMENTUM
    return network


def without_dropout(network: keras.Model) -> keras.Model:
    """The network itself with dropout and stochastic depth switched off; no weight changes."""
    for layer in inner_layers(network):
        if isinstance(layer, layers.Dropout):
            layer.rate = 0.0
    return network


def grow(small: keras.Model, large: keras.Model, seed: int = 7) -> None:
    """Give `large` the weights of `small`, so that it gives the same answers to the same input.

    Parameters
    ----------
    small, large : EfficientNets behind the same head (`architectures.face_efficientnetb7`), built
        by Keras; the large one as wide or wider by whole factors, as deep or deeper.
    seed : of how weights are shared out among repetitions: by halves, they would stay alike for
        ever.

    Raises
    ------
    ValueError
        When a layer of the one has no counterpart in the other, or is no whole factor wider.
    """
    rng = np.random.default_rng(seed)
    learnt = {layer.name: layer for layer in _learning(small)}
    for layer in _learning(large):
        source = learnt.pop(layer.name, None)
        if source is not None:
            layer.set_weights(_widened(layer, source, rng))
        elif not layer.name.startswith("block"):
            raise ValueError(f"{layer.name} of {large.name} has no counterpart")
        elif layer.name.endswith("project_bn"):
            gamma, beta, *statistics = layer.get_weights()
            # The block adds nothing yet.
            layer.set_weights([np.zeros_like(gamma), np.zeros_like(beta), *statistics])
    if learnt:
        raise ValueError(f"{large.name} has no {', '.join(sorted(learnt))}")


def _learning(network: keras.Model) -> Iterator[layers.Layer]:
    """The layers of a network that have learnt something."""
    for layer in inner_layers(network):
        if layer.weights and not isinstance(layer, layers.Normalization):
            yield layer


def _widened(layer: layers.Layer, source: layers.Layer, rng: np.random.Generator) -> list[NDArray]:
    """The weights of `source` in the shapes of `layer`."""
    shapes = [tuple(weight.shape) for weight in layer.weights]
    found = [
        _repeated(weight, shape, layer.name)
        for weight, shape in zip(source.get_weights(), shapes, strict=True)
    ]
    if isinstance(layer, (layers.Dense, layers.Conv2D)):
        # A kernel (..., in, out) reads what is repeated; biases and depthwise kernels do not.
        found[0] *= _shares(shapes[0], source.kernel.shape[-2], rng)
    return found


def _repeated(weight: NDArray, shape: tuple[int, ...], name: str) -> NDArray[Any]:
    """`weight` repeated along its axes to `shape`."""
    if weight.ndim != len(shape) or any(b % a for a, b in zip(weight.shape, shape, strict=True)):
        raise ValueError(f"{name}: {weight.shape} does not grow into {shape}")
    return np.tile(weight, [b // a for a, b in zip(weight.shape, shape, strict=True)])


def _shares(shape: tuple[int, ...], channels: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """What each repetition of each of `channels` is weighted with in a kernel of `shape`.

    Repetition r of channel c lies at r * channels + c; the shares of a channel add up to 1.
    """
    *place, inside, outside = shape
    drawn = rng.uniform(0.5, 1.5, (*place, inside // channels, channels, outside))
    drawn /= drawn.sum(axis=-3, keepdims=True)
    return drawn.reshape(shape).astype(np.float32)
