"""Networks that grow out of smaller ones, and 1x1 convolutions as products of matrices."""

from __future__ import annotations

from functools import partial
from typing import Any

import keras
import numpy as np
import pytest
from keras.src.applications import efficientnet

from training.architectures import (
    ARCHITECTURES,
    SMALLER_EFFICIENTNET,
    face_efficientnetb7,
    inner_layers,
)
from training.grow import grow, quick_to_average, without_dropout
from training.loop import one_hot
from training.pointwise import as_matrix_products


def network(width: float, depth: float, blocks: int = 3, **arguments: Any) -> keras.Model:
    """The first blocks of an EfficientNet behind the paper's head, with statistics of its own."""
    base = partial(
        efficientnet.EfficientNet,
        width,
        depth,
        64,
        blocks_args=efficientnet.DEFAULT_BLOCKS_ARGS[:blocks],
        name="some",
        weights_name="b0",
    )
    keras.utils.set_random_seed(3)
    return stirred(face_efficientnetb7(base, **arguments))


def stirred(model: keras.Model) -> keras.Model:
    """The network with weights as training leaves them: no norm at 0 or 1, answers far apart."""
    rng = np.random.default_rng(5)
    for layer in inner_layers(model):
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = (np.shape(w) for w in layer.get_weights())
            drawn = (
                rng.uniform(0.5, 1.5, gamma),
                rng.normal(0, 0.2, beta),
                rng.normal(0, 0.2, mean),
                rng.uniform(0.5, 1.5, variance),
            )
            layer.set_weights(list(drawn))
    return model


def pictures(size: int = 32, count: int = 4) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 255, (count, size, size, 3)).astype(np.float32)


def answers(model: keras.Model, x: np.ndarray, training: bool = False) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(x, training=training)["logits"])


def test_a_grown_network_answers_as_the_small_one() -> None:
    small, large = network(1.0, 0.1), network(2.0, 1.0)
    assert {x.name for x in inner_layers(large)} - {x.name for x in inner_layers(small)} >= {
        "block2b_project_bn",
        "block3b_dwconv",
    }
    assert large.count_params() > 2 * small.count_params()
    x = pictures()
    expected = answers(small, x)
    assert np.ptp(expected, axis=1).min() > 0.01
    assert np.abs(answers(large, x) - expected).max() > 0.01
    grow(small, large)
    np.testing.assert_allclose(answers(large, x), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(answers(small, x), expected)
    # Also by the statistics of a batch, by which it goes on learning.
    for model in (small, large):
        without_dropout(model)
    learning = answers(small, x, training=True)
    np.testing.assert_allclose(answers(large, x, training=True), learning, rtol=1e-3, atol=1e-4)


def test_repeated_channels_part_as_the_network_goes_on() -> None:
    small, large = network(1.0, 0.1), network(2.0, 1.0)
    grow(small, large)
    trained = keras.Model(large.input, large.output["logits"])
    trained.compile(
        keras.optimizers.SGD(0.05), keras.losses.CategoricalCrossentropy(from_logits=True)
    )
    y = one_hot(np.array([0, 1, 2, 3]), 7)
    stem = next(x for x in inner_layers(large) if x.name == "stem_conv")
    (before,) = stem.get_weights()
    channels = before.shape[-1] // 2
    np.testing.assert_array_equal(before[..., :channels], before[..., channels:])
    trained.train_on_batch(pictures(), y)
    (after,) = stem.get_weights()
    assert np.abs(after[..., :channels] - after[..., channels:]).max() > 0
    # What the additional blocks add is learnt at once.
    added = next(x for x in inner_layers(large) if x.name == "block2b_project_bn")
    assert np.abs(added.get_weights()[0]).max() > 0


def test_the_papers_network_grows_out_of_efficientnetb0() -> None:
    keras.utils.set_random_seed(3)
    small = stirred(face_efficientnetb7(SMALLER_EFFICIENTNET, regularised=False))
    large = ARCHITECTURES["face-efficientnetb7"]()
    grow(small, large)
    x = pictures(count=1)
    np.testing.assert_allclose(answers(large, x), answers(small, x), rtol=1e-3, atol=1e-4)


def test_networks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="does not grow into"):
        grow(network(1.0, 0.1), network(1.25, 0.1))
    with pytest.raises(ValueError, match="has no block2b"):
        grow(network(0.25, 1.0), network(0.25, 0.1))
    with pytest.raises(ValueError, match="conv_1 of voice-cnn1d has no counterpart"):
        grow(network(0.25, 0.1), ARCHITECTURES["voice-cnn1d"]())


def test_a_beginner_has_nothing_that_holds_it_back() -> None:
    model = quick_to_average(without_dropout(network(0.25, 1.0, regularised=False)))
    inside = list(inner_layers(model))
    drops = [x.rate for x in inside if isinstance(x, keras.layers.Dropout)]
    norms = [x.momentum for x in inside if isinstance(x, keras.layers.BatchNormalization)]
    assert len(drops) > 1
    assert set(drops) == {0.0}
    assert set(norms) == {0.9}
    model(pictures())
    assert sum(float(loss) for loss in model.losses) == 0


def test_matrix_products_learn_as_convolutions_do() -> None:
    def stepped(model: keras.Model) -> tuple[float, list[np.ndarray]]:
        trained = keras.Model(model.input, model.output["logits"])
        trained.compile(
            keras.optimizers.SGD(0.05), keras.losses.CategoricalCrossentropy(from_logits=True)
        )
        loss = trained.train_on_batch(pictures(), one_hot(np.array([0, 1, 2, 3]), 7))
        return float(np.ravel(loss)[0]), model.get_weights()

    plain, quick = (without_dropout(network(0.25, 1.0)) for _ in range(2))
    assert as_matrix_products(quick) is quick
    kinds = [
        x.kernel_size
        for x in inner_layers(quick)
        if isinstance(x, keras.layers.Conv2D) and "convolution_op" in vars(x)
    ]
    assert len(kinds) > 10
    assert set(kinds) == {(1, 1)}
    x = pictures(48)
    np.testing.assert_allclose(answers(quick, x), answers(plain, x), rtol=1e-4, atol=1e-5)
    (loss, weights), (expected, wanted) = stepped(quick), stepped(plain)
    assert loss == pytest.approx(expected, rel=1e-4)
    for found, weight in zip(weights, wanted, strict=True):
        np.testing.assert_allclose(found, weight, rtol=1e-3, atol=1e-4)
