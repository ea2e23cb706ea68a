"""The networks, one builder function each, and their registry by name.

Backend-neutral Keras 3: the same builders run on TensorFlow, JAX and PyTorch.

The compact networks end the same way. A 1x1 convolution turns the last features into seven
evidence maps and the logits are a weighted mean of those maps, so each map says, exactly and
without any gradient, what each place (of the face) or moment (of the speech) added to each logit.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import layers

from core.labels import EMOTIONS
from core.voice.descriptors import DESCRIPTORS
from core.voice.features import MEL_BANDS
from core.voice.prosody import PROSODY_COLUMNS
from core.voice.tensor import FRAMES_PER_STEP

CLASSES = len(EMOTIONS)
PROSODY_WIDTH = 32


def _convolution(x, filters: int, kernel: int = 3, strides=1, name: str = ""):
    x = layers.Conv2D(
        filters,
        kernel,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_norm")(x)


def _squeeze_excite(x, ratio: int, name: str):
    """Channel attention (Hu et al. 2018, "Squeeze-and-Excitation Networks")."""
    channels = x.shape[-1]
    scale = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(x)
    scale = layers.Conv2D(channels // ratio, 1, activation="relu", name=f"{name}_reduce")(scale)
    scale = layers.Conv2D(channels, 1, activation="sigmoid", name=f"{name}_excite")(scale)
    return layers.Multiply(name=f"{name}_scale")([x, scale])


def _residual_block(x, filters: int, strides=1, excite: bool = True, name: str = ""):
    """Basic residual block (He et al. 2016), with squeeze-and-excitation on its last features.

    Without it (`excite`), what the block says of a place depends on its surroundings alone.
    """
    y = _convolution(x, filters, strides=strides, name=f"{name}_1")
    y = layers.ReLU(name=f"{name}_1_relu")(y)
    y = _convolution(y, filters, name=f"{name}_2")
    if excite:
        y = _squeeze_excite(y, ratio=8, name=f"{name}_se")
    if strides != 1 or x.shape[-1] != filters:
        x = _convolution(x, filters, kernel=1, strides=strides, name=f"{name}_skip")
    y = layers.Add(name=f"{name}_add")([x, y])
    return layers.ReLU(name=f"{name}_relu")(y)


def face_cnn(
    widths: tuple[int, ...] = (48, 96, 192),
    blocks: tuple[int, ...] = (2, 2, 2),
    dropout: float = 0.2,
    excite: bool = True,
    name: str = "face-cnn",
) -> keras.Model:
    """Small residual network for framed grey faces.

    Input: float32 (n, height, width, 1), any size of about 32 to 64 px, standardised by
    `core.face.tensor.face_tensor`. Outputs, by name: `logits` (n, 7) and `evidence`
    (n, height / 8, width / 8, 7), whose mean over places is `logits`.
    """
    inputs = keras.Input((None, None, 1), name="face")
    x = layers.ReLU(name="stem_1_relu")(_convolution(inputs, widths[0] // 2, name="stem_1"))
    x = layers.ReLU(name="stem_2_relu")(_convolution(x, widths[0], strides=2, name="stem_2"))
    for stage, (width, depth) in enumerate(zip(widths, blocks, strict=True)):
        for block in range(depth):
            strides = 2 if stage and not block else 1
            x = _residual_block(x, width, strides, excite, name=f"stage{stage + 1}_{block + 1}")
    x = layers.SpatialDropout2D(dropout, name="drop")(x)
    evidence = layers.Conv2D(CLASSES, 1, name="evidence", dtype="float32")(x)
    logits = layers.GlobalAveragePooling2D(name="logits", dtype="float32")(evidence)
    return keras.Model(inputs, {"logits": logits, "evidence": evidence}, name=name)


DEEP: dict[str, Any] = {"blocks": (3, 3, 3), "name": "deep"}
"""What makes `face_cnn` the deep network of `face-cnn-large`."""


def _temporal_block(x, filters: int, dilation: int, name: str):
    """Residual dilated convolution over time, which lets a moment see its surroundings."""
    y = layers.Conv1D(
        filters,
        3,
        dilation_rate=dilation,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    y = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_norm")(y)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([x, y]))


def voice_cnn(
    widths: tuple[int, ...] = (32, 64, 128),
    blocks: tuple[int, ...] = (2, 2, 2),
    heads: int = 4,
    dropout: float = 0.3,
    dilations: tuple[int, ...] = (2, 5),
    windows: int = 1,
    prosody: int = PROSODY_COLUMNS,
    name: str = "voice-cnn",
) -> keras.Model:
    """Small residual network on log-mel spectrograms with attention pooling over time.

    Input: float32 (n, frames, COLUMNS, 1), any number of frames, from
    `core.voice.tensor.whole_steps`; pitch and loudness join where frequency ends. Outputs,
    by name, with one step every 8 frames: `evidence` (n, steps, heads, 7), `scores` (n, steps,
    heads) and `logits` (n, 7), which are the evidence weighted by the softmax of the scores over
    time, averaged over heads. Every step sees 3.5 s around it and nothing else, so windows of a
    long recording are pooled from one pass over it. That follows from `dilations`, of the
    convolutions over time; with (1, 2) it is 2.4 s.

    Of other views of a voice (`training.views`) the input is (n, frames, columns, 1): `windows`
    spectrograms beside each other, then `prosody` columns, if any.
    """
    bands = windows * MEL_BANDS
    inputs = keras.Input((None, bands + prosody, 1), name="spectrogram")
    x = inputs[:, :, :bands]
    if windows > 1:
        x = layers.Reshape((-1, windows, MEL_BANDS), name="windows")(x)
        x = layers.Permute((1, 3, 2), name="windows_last")(x)
    x = _convolution(x, widths[0] // 2, strides=(1, 2), name="stem_1")
    x = layers.ReLU(name="stem_1_relu")(x)
    x = layers.ReLU(name="stem_2_relu")(_convolution(x, widths[0], strides=2, name="stem_2"))
    for stage, (width, depth) in enumerate(zip(widths, blocks, strict=True)):
        for block in range(depth):
            strides = 2 if stage and not block else 1
            x = _residual_block(
                x, width, strides, excite=False, name=f"stage{stage + 1}_{block + 1}"
            )
    # Frequency is not averaged away: where on the scale a feature stood is what pitch is.
    x = layers.Reshape((-1, x.shape[2] * x.shape[3]), name="by_time")(x)
    x = layers.SpatialDropout1D(dropout, name="drop_1")(x)
    if prosody:
        x = layers.Concatenate(name="with_prosody")([x, _by_steps(inputs[:, :, bands:, 0])])
    x = layers.Dense(widths[-1], use_bias=False, name="mix_dense")(x)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name="mix_norm")(x)
    x = layers.ReLU(name="mix_relu")(x)
    for number, dilation in enumerate(dilations, 1):
        x = _temporal_block(x, widths[-1], dilation, name=f"time_{number}")
    x = layers.SpatialDropout1D(dropout, name="drop_2")(x)
    scores = layers.Dense(heads, name="scores", dtype="float32")(x)
    evidence = layers.Dense(heads * CLASSES, name="evidence_dense", dtype="float32")(x)
    evidence = layers.Reshape((-1, heads, CLASSES), name="evidence", dtype="float32")(evidence)
    attention = layers.Softmax(axis=1, name="attention", dtype="float32")(scores)
    weighted = evidence * keras.ops.expand_dims(attention, -1)
    logits = keras.ops.sum(weighted, axis=(1, 2)) / heads
    outputs = {"logits": logits, "evidence": evidence, "scores": scores}
    return keras.Model(inputs, outputs, name=name)


def _by_steps(columns: Any) -> Any:
    """What each frame and the four on either side say, averaged over the frames of a step."""
    x = layers.Conv1D(PROSODY_WIDTH, 9, padding="same", use_bias=False, name="prosody")(columns)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name="prosody_norm")(x)
    x = layers.ReLU(name="prosody_relu")(x)
    return layers.AveragePooling1D(FRAMES_PER_STEP, padding="same", name="prosody_steps")(x)


def together(networks: list[keras.Model]) -> keras.Model:
    """One network that answers with the mean of several networks' logits.

    Of voice networks the heads stand side by side, so `evidence` (n, steps, all heads, 7) and
    `scores` (n, steps, all heads) make up `logits` as they do in each of them. Of face networks
    `evidence` is the mean of theirs, place by place. One alone stays itself.
    """
    if len(networks) == 1:
        return networks[0]
    inputs = keras.Input(networks[0].input.shape[1:], name=networks[0].input.name)
    answers = [network(inputs) for network in networks]

    def mean(output: str):
        joined = [answer[output] for answer in answers]
        return layers.Average(name=output, dtype="float32")(joined)

    def side_by_side(output: str):
        joined = [answer[output] for answer in answers]
        return layers.Concatenate(axis=2, name=output, dtype="float32")(joined)

    outputs = {"logits": mean("logits")}
    if "scores" in answers[0]:
        outputs |= {output: side_by_side(output) for output in ("evidence", "scores")}
    else:
        outputs["evidence"] = mean("evidence")
    return keras.Model(inputs, outputs, name=networks[0].name)


EFFICIENTNET: Callable[..., keras.Model] = keras.applications.EfficientNetB7
SMALLER_EFFICIENTNET: Callable[..., keras.Model] = keras.applications.EfficientNetB0
"""Half as wide in every layer and with less than a third of the blocks."""
_WHOLE = {"include_top": False, "pooling": "max", "input_shape": (None, None, 3)}


def _none(_: float) -> None:
    """No regulariser."""


def face_efficientnetb7(
    base: Callable[..., keras.Model] = EFFICIENTNET, regularised: bool = True
) -> keras.Model:
    """EfficientNet (Tan and Le 2019) with the paper's head, on faces enlarged to RGB pictures.

    Input: float32 (n, height, width, 3), 0 to 255, from `core.face.tensor.face_pixels`; any size
    that 32 divides. Outputs, by name: `logits` (n, 7) and `evidence` (n, 1, 1, 7), which are the
    logits as one place: maximum pooling and what follows it come apart into no more of them.

    Parameters
    ----------
    base : another EfficientNet in the place of the paper's, called as those of Keras are.
    regularised : whether the head has the paper's L1 and L2 terms.
    """
    l1, l2 = (keras.regularizers.L1, keras.regularizers.L2) if regularised else (_none, _none)
    inputs = keras.Input((None, None, 3), name="face")
    features = base(**_WHOLE, weights=None)
    # The head in float32: its L1 and L2 terms are sums that bfloat16 would round.
    x = layers.BatchNormalization(name="head_norm", dtype="float32")(features(inputs))
    x = layers.Dense(
        256,
        activation="relu",
        kernel_regularizer=l2(0.016),
        activity_regularizer=l1(0.006),
        bias_regularizer=l1(0.006),
        name="head_dense",
        dtype="float32",
    )(x)
    x = layers.Dropout(0.45, name="head_drop", dtype="float32")(x)
    logits = layers.Dense(CLASSES, name="logits", dtype="float32")(x)
    evidence = keras.ops.expand_dims(keras.ops.expand_dims(logits, 1), 1)
    outputs = {"logits": logits, "evidence": evidence}
    return keras.Model(inputs, outputs, name="face-efficientnetb7")


def take_imagenet_weights(
    model: keras.Model, base: Callable[..., keras.Model] = EFFICIENTNET
) -> None:
    """Give the EfficientNet inside `model` ImageNet's weights, fetched by Keras or from its cache.

    Raises
    ------
    Exception
        Whatever Keras raises when the weights cannot be fetched; `model` is unchanged then.
    """
    inner = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    source = base(**_WHOLE, weights="imagenet")
    inner.set_weights(source.get_weights())
    # With these weights Keras rescales once more behind the normalisation; here that becomes part
    # of it, so that the network is the same whatever it starts from.
    kinds = (layers.Normalization, layers.Rescaling)
    first, normalisation, second = [x for x in source.layers if isinstance(x, kinds)]
    assert isinstance(first, layers.Rescaling)
    mean, variance, count = normalisation.get_weights()
    own = next(layer for layer in inner.layers if isinstance(layer, layers.Normalization))
    own.set_weights([mean, variance / np.square(second.scale), count])
    own.finalize_state()


def stacked_cnn1d() -> keras.Model:
    """The paper's voice network: 1-D convolutions along the stacked descriptors of 2.5 s.

    Input: float32 (n, DESCRIPTORS, 1), standard-scaled. Output: logits (n, 7).

    The first convolution's output varies by about 0.0005, so with Keras's usual momentum of 0.99
    batch normalisation's averages, which begin at 1, would need 900 steps to be of use.
    """
    x = inputs = keras.Input((DESCRIPTORS, 1), name="scaled")
    for number, (filters, kernel, pool) in enumerate(
        ((512, 5, 5), (512, 5, 5), (256, 5, 5), (256, 3, 5), (128, 3, 3)), 1
    ):
        x = layers.Conv1D(
            filters, kernel, padding="same", activation="relu", name=f"conv_{number}"
        )(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"norm_{number}")(x)
        x = layers.MaxPooling1D(pool, strides=2, padding="same", name=f"pool_{number}")(x)
        if number in (3, 5):
            x = layers.Dropout(0.2, name=f"drop_{number}")(x)
    x = layers.Dense(512, activation="relu", name="dense")(layers.Flatten(name="flat")(x))
    x = layers.BatchNormalization(momentum=0.9, name="norm_dense")(x)
    logits = layers.Dense(CLASSES, dtype="float32", name="answer")(x)
    return keras.Model(inputs, logits, name="stacked-cnn1d")


def voice_cnn1d() -> keras.Model:
    """`stacked_cnn1d` behind its standard scaling, answering as every voice network does.

    Input: float32 (n, DESCRIPTORS, 1) from `core.voice.descriptors.descriptor_windows`. Outputs,
    by name: `logits` (n, 7), `evidence` (n, 1, 1, 7), the same as one step in time, and `scores`
    (n, 1, 1), alike for every window. The layer `scale` has to be adapted to training data.
    """
    inputs = keras.Input((DESCRIPTORS, 1), name="descriptors")
    # In float32: bfloat16 would round the first coefficients, which are in the hundreds.
    scaled = layers.Normalization(axis=1, dtype="float32", name="scale")(inputs)
    logits = stacked_cnn1d()(scaled)
    evidence = layers.Reshape((1, 1, CLASSES), dtype="float32", name="evidence")(logits)
    scores = keras.ops.zeros_like(evidence[..., 0])
    outputs = {"logits": logits, "evidence": evidence, "scores": scores}
    return keras.Model(inputs, outputs, name="voice-cnn1d")


def arguments_of(build: Callable[..., keras.Model]) -> dict[str, Any]:
    """With what a builder is called when nothing more is said, but for `dropout` and the name.

    What a run has to keep: weights of one network may fit into another, which then answers badly.
    Empty for what does not say what it takes.
    """
    try:
        known = inspect.signature(build).parameters.values()
    except ValueError:
        return {}
    given = {p.name: p.default for p in known if p.default is not p.empty}
    return {name: value for name, value in given.items() if name not in ("dropout", "name")}


def inner_layers(network: keras.Model) -> Iterator[layers.Layer]:
    """The layers of a network and of the networks inside it."""
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from inner_layers(layer)
        else:
            yield layer


def parameters(network: keras.Model) -> int:
    """Number of a network's parameters, without the statistics of the data that scale its input."""
    scaling = [x for x in network.layers if isinstance(x, layers.Normalization)]
    return network.count_params() - sum(layer.count_params() for layer in scaling)


ARCHITECTURES: dict[str, Callable[..., keras.Model]] = {
    "face-cnn": face_cnn,
    "face-cnn-large": face_cnn,
    "face-cnn-robust": face_cnn,
    "face-efficientnetb7": face_efficientnetb7,
    "voice-cnn": voice_cnn,
    "voice-cnn1d": voice_cnn1d,
}
