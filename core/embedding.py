"""What a network knows of an example just before it decides: its last features.

Every shipped network ends with a layer that turns features into evidence or logits. What goes
into that layer, averaged over places of a face or moments of speech, is the embedding: examples
that lie close in it look or sound alike to the network. It is read out of the same file that
answers: the layer's input is only made an output as well. Of several networks that answer as one,
the features of all stand side by side.
"""

from __future__ import annotations

import struct
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import DuetError
from core.face.tensor import face_input
from core.models import ModelInfo, interpreter_class, probabilities
from core.voice.tensor import voice_input

LAYERS = ("CONV_2D", "FULLY_CONNECTED")
"""Operations that a last layer can be."""


class Embedder:
    """A model's network that gives its last features too. Safe to call from several threads."""

    def __init__(self, info: ModelInfo) -> None:
        """Find the network's last layer and open the network with that layer's input as an output.

        Raises
        ------
        DuetError
            `damaged_model` when the file is not a LiteRT model with such a layer.
        """
        self.info = info
        self._lock = threading.Lock()
        path = info.folder / "model.tflite"
        try:
            content, self._features = with_features(path.read_bytes())
            self._network = interpreter_class()(model_content=content, num_threads=2)
            self._input = self._network.get_input_details()[0]["index"]
            self._outputs = self._network.get_signature_runner().get_output_details()
        except (OSError, ValueError, RuntimeError, LookupError, TypeError, struct.error):
            raise DuetError(
                "damaged_model", f"{path} cannot be opened; restore the folder or remove it."
            ) from None

    def faces(self, framed: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embeddings (n, features) of framed faces (n, 48, 48), each averaged over its places.

        Raises
        ------
        DuetError
            `damaged_model` when the model asks for a preprocessing that Duet does not know.
        """
        parts, prepared = [], face_input(self.info)
        step = prepared.at_once(32)
        for start in range(0, len(framed), step):
            features, _ = self._run(prepared(framed[start : start + step]))
            means = [one.reshape(len(one), -1, one.shape[-1]).mean(axis=1) for one in features]
            parts.append(np.concatenate(means, axis=1))
        return np.concatenate(parts)

    def voice(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embedding (features,) of a clip at 16 kHz: its moments as the network attends to them."""
        features, outputs = self._run(voice_input(self.info)(samples)[0])
        steps = [one.reshape(-1, one.shape[-1]) for one in features]
        if "scores" not in outputs:
            return np.concatenate([one.mean(axis=0) for one in steps]).astype(np.float32)
        scores = outputs["scores"].reshape(len(steps[0]), -1)
        heads = np.split(scores, len(steps), axis=1)  # each network's own
        attended = [
            probabilities(own.T).mean(axis=0) @ one for own, one in zip(heads, steps, strict=True)
        ]
        return np.concatenate(attended).astype(np.float32)

    def _run(
        self, batch: NDArray[np.float32]
    ) -> tuple[list[NDArray[np.float32]], dict[str, NDArray[np.float32]]]:
        """(features of each network, outputs by name) of a batch."""
        with self._lock:
            self._network.resize_tensor_input(self._input, batch.shape)
            self._network.allocate_tensors()
            self._network.set_tensor(self._input, np.ascontiguousarray(batch, np.float32))
            self._network.invoke()
            details = {d["index"]: d for d in self._network.get_tensor_details()}
            features = [
                _real(self._network.get_tensor(one), details[one]["quantization"])
                for one in self._features
            ]
            outputs = {
                name: np.array(self._network.get_tensor(detail["index"]))
                for name, detail in self._outputs.items()
            }
        return features, outputs


def with_features(content: bytes) -> tuple[bytes, list[int]]:
    """A LiteRT model that also gives the input of its last layer, and the numbers of these tensors.

    One of each network where several networks' evidence stands side by side or is averaged.

    Raises
    ------
    LookupError
        When no convolution or dense layer leads to its evidence or logits.
    """
    import flatbuffers

    kinds = schema()
    model = kinds.ModelT.InitFromObj(kinds.Model.GetRootAsModel(content, 0))
    graph = model.subgraphs[0]
    named = {o.name.decode(): o.tensorIndex for o in model.signatureDefs[0].outputs}
    features = _last_layer_inputs(model, named["evidence" if "evidence" in named else "logits"])
    if not features:
        raise LookupError("No layer leads to what this network answers.")
    graph.outputs = [*(int(o) for o in graph.outputs), *features]
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output()), features


def _last_layer_inputs(model: Any, output: int) -> list[int]:
    """The tensors that go into the last convolution or dense layer before `output`.

    One of each that is joined on the way there.
    """
    kinds = schema().BuiltinOperator
    layers = {getattr(kinds, name) for name in LAYERS}
    graph = model.subgraphs[0]
    made_by = {int(o): operation for operation in graph.operators for o in operation.outputs}
    while operation := made_by.get(int(output)):
        entry = model.operatorCodes[operation.opcodeIndex]
        code = max(entry.builtinCode, entry.deprecatedBuiltinCode)
        if code in (kinds.CONCATENATION, kinds.ADD):
            joined = (_last_layer_inputs(model, int(one)) for one in operation.inputs)
            return [tensor for tensors in joined for tensor in tensors]
        output = int(operation.inputs[0])
        if code in layers:
            return [output]
    return []  # a constant, such as a bias that is added, or the input


def schema() -> Any:
    """The classes that a LiteRT file is made of."""
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError:  # a platform without that wheel
        from tensorflow.lite.python import schema_py_generated
    return schema_py_generated


def _real(values: NDArray[Any], quantisation: tuple[float, int]) -> NDArray[np.float32]:
    scale, zero = quantisation
    if scale:
        return (values.astype(np.float32) - zero) * np.float32(scale)
    return values.astype(np.float32)
