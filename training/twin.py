"""A Keras network that computes what a shipped `model.tflite` computes.

The file knows no gradients, and it is all that ships. Its weights are read out and put into the
architecture that they came from, in float32. What int8 rounds on the way is not repeated, so file
and twin are compared on validation faces before the twin is attacked, trained on or joined with
another network.
"""

from __future__ import annotations

import re
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from core.embedding import schema
from core.face.classify import classify
from core.face.tensor import face_tensor
from core.models import Model, ModelInfo
from training.architectures import ARCHITECTURES, DEEP, together
from training.fer2013 import Faces
from training.files import DataSetError

LEAST_CORRELATION = 0.99
"""Of the logits of file and twin."""
MOST_APART = 0.02
"""By which their accuracies may differ; among few faces, by as much as two faces make."""


def twin(info: ModelInfo) -> keras.Model:
    """The network of a shipped face model, in float32; `compare` says whether it answers alike.

    Raises
    ------
    DataSetError
        When the file is of no known architecture.
    """
    build = ARCHITECTURES.get(str(info.card.get("recipe", info.name)))
    if info.task != "face" or build is None:
        raise DataSetError(f"{info.name} is no face network whose architecture is known here.")
    content = (info.folder / "model.tflite").read_bytes()
    several = bool(info.card.get("beside"))
    networks = [build(**DEEP), build()] if several else [build()]
    for network in networks:
        fill(network, content, info.name, network.name if several else "")
    return together(networks)


def read_out(info: ModelInfo, validation: Faces) -> keras.Model:
    """`twin`, seen to answer as the file does on FER2013's validation faces.

    Raises
    ------
    DataSetError
        When it does not, or the file is of no known architecture.
    """
    network = twin(info)
    compare(network, Model(info), validation)
    return network


def fill(model: keras.Model, content: bytes, name: str, inside: str = "") -> None:
    """Give `model` the weights of a LiteRT file; its batch norms then only add a bias.

    Parameters
    ----------
    name : of the shipped model. inside : name of the one network to take them of, where several
        answer as one.

    Raises
    ------
    DataSetError
        When a convolution of the model is not in the file, or in another shape.
    """
    stored = _convolutions(content)
    if inside:
        place = re.compile(rf"/{re.escape(inside)}(_\d+)?/")
        stored = {key: weights for key, weights in stored.items() if place.search(key)}
    for layer in model.layers:
        if not isinstance(layer, keras.layers.Conv2D):
            continue
        found = next((w for key, w in stored.items() if _named(layer.name, key)), None)
        if found is None or found[0].shape != tuple(layer.kernel.shape):
            raise DataSetError(
                f"The file of {name} has no convolution {layer.name} of the shape "
                f"{tuple(layer.kernel.shape)}: it is of another architecture."
            )
        kernel, bias = found
        layer.kernel.assign(kernel)
        if layer.use_bias:
            layer.bias.assign(bias)
        else:
            norm = model.get_layer(layer.name.removesuffix("_conv") + "_norm")
            ones = np.ones_like(bias)
            scale = np.sqrt(1 + norm.epsilon) * ones
            norm.set_weights([scale, bias, np.zeros_like(bias), ones])


def _named(layer: str, tensors: str) -> bool:
    # Keras writes `face-cnn/stem_1_conv/...`, and `_1` behind a name that it has used before.
    return re.search(rf"(^|[/;]){re.escape(layer)}(_\d+)?[/;]", tensors) is not None


def _convolutions(content: bytes) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Names of a convolution's tensors -> kernel (h, w, in, out) and bias (out,)."""
    kinds = schema()
    model = kinds.ModelT.InitFromObj(kinds.Model.GetRootAsModel(content, 0))
    graph = model.subgraphs[0]
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    made_by = {int(o): operation for operation in graph.operators for o in operation.outputs}

    def constant(number: int) -> NDArray[np.float32]:
        maker = made_by.get(number)
        if maker is not None and codes[maker.opcodeIndex] == kinds.BuiltinOperator.DEQUANTIZE:
            number = int(maker.inputs[0])  # weights in float16
        return _values(model, graph.tensors[number])

    found = {}
    for operation in graph.operators:
        if codes[operation.opcodeIndex] == kinds.BuiltinOperator.CONV_2D:
            numbers = [int(i) for i in operation.inputs]
            names = ";".join(
                graph.tensors[n].name.decode() for n in (*numbers[1:], *operation.outputs)
            )
            kernel = constant(numbers[1]).transpose(1, 2, 3, 0)
            found[names] = kernel, constant(numbers[2])
    return found


_TYPES = {"FLOAT32": np.float32, "FLOAT16": np.float16, "INT8": np.int8, "INT32": np.int32}


def _values(model: Any, tensor: Any) -> NDArray[np.float32]:
    """A constant tensor in real numbers."""
    kinds = schema()
    kind = {getattr(kinds.TensorType, name): dtype for name, dtype in _TYPES.items()}[tensor.type]
    data = model.buffers[tensor.buffer].data
    values = np.frombuffer(bytes(data), kind).reshape(tensor.shape).astype(np.float32)
    quantisation = tensor.quantization
    if quantisation is None or quantisation.scale is None or not len(quantisation.scale):
        return values
    shape = np.ones(values.ndim, int)
    if len(quantisation.scale) > 1:
        shape[quantisation.quantizedDimension] = -1
    zero = np.asarray(quantisation.zeroPoint, np.float32).reshape(shape)
    scale = np.asarray(quantisation.scale, np.float32).reshape(shape)
    return (values - zero) * scale


def mean_logits(model: keras.Model, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Logits (n, 7) of faces (n, h, w), mean of each and its mirror image."""
    tensors = face_tensor(images)
    both = [model.predict(x, 128, verbose=0)["logits"] for x in (tensors, tensors[:, :, ::-1])]
    mean: NDArray[np.float32] = (both[0] + both[1]) / np.float32(2)
    return mean


def compare(model: keras.Model, shipped: Model, validation: Faces) -> float:
    """Correlation of the logits of a network and a file on validation faces.

    Raises
    ------
    DataSetError
        When they do not answer alike.
    """
    its = mean_logits(model, validation.images)
    files = classify(validation.images, shipped)[0]
    correlation = float(np.corrcoef(its.ravel(), files.ravel())[0, 1])
    accuracies = [float(np.mean(x.argmax(axis=1) == validation.labels)) for x in (its, files)]
    apart = abs(accuracies[0] - accuracies[1])
    found = (
        f"correlation of their logits {correlation:.4f}, accuracies {accuracies[0]:.1%} and "
        f"{accuracies[1]:.1%} on {len(validation):,} validation faces"
    )
    if not correlation >= LEAST_CORRELATION or apart > max(MOST_APART, 2 / len(validation)):
        raise DataSetError(
            f"This network does not answer like the file of {shipped.info.name} ({found}), so the "
            "one cannot stand for the other."
        )
    print(f"network and file of {shipped.info.name}: {found}", flush=True)
    return correlation


def with_batch_statistics(model: keras.Model, tensors: NDArray[np.float32]) -> None:
    """Make a twin fit for training: batch norms that know what goes through them.

    A twin's batch norms do nothing but add a bias, as mean 0 and variance 1 were folded into the
    convolutions. In training they would standardise by each batch and the network would compute
    something else. So their statistics are measured on `tensors` (n, h, w, 1), and scale and bias
    chosen such that the network in use computes what it did.
    """
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    probe = keras.Model(model.input, [norm.input for norm in norms])
    for norm, features in zip(norms, probe.predict(tensors, verbose=0), strict=True):
        mean, variance = features.mean(axis=(0, 1, 2)), features.var(axis=(0, 1, 2))
        gamma, beta, old_mean, old_variance = (np.array(w) for w in norm.get_weights())
        slope = gamma / np.sqrt(old_variance + norm.epsilon)
        norm.set_weights(
            [
                slope * np.sqrt(variance + norm.epsilon),
                beta + slope * (mean - old_mean),
                mean,
                variance,
            ]
        )
