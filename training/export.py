"""From trained weights to a model folder: LiteRT flatbuffer, `model.json`, card, history.

The one module of the project that needs TensorFlow itself.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from core.labels import EMOTIONS
from core.models import MODELS_FOLDER
from training.architectures import ARCHITECTURES
from training.files import write_json
from training.loop import write_history


def to_litert(
    model: keras.Model,
    quantisation: str,
    examples: Iterator[NDArray[np.float32]] | None = None,
) -> bytes:
    """Convert to a LiteRT flatbuffer with one signature: the model's input -> its named outputs.

    Parameters
    ----------
    quantisation : `float32`; `float16` (weights); `dynamic` (int8 weights); `int8` (weights and
        activations; float32 in and out), which needs `examples`, typical inputs of one each.
    """
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, format="tf_saved_model", verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if quantisation != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantisation == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if quantisation == "int8":
            chosen = list(examples or ())
            converter.representative_dataset = lambda: ([x] for x in chosen)
        return converter.convert()


def file_facts(content: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def rebuild(name: str, weights: Path, /, **arguments: Any) -> keras.Model:
    """The network in float32 with its trained weights; `arguments` are its builder's."""
    model = ARCHITECTURES[name](**arguments)
    model.load_weights(weights)
    return model


def write_folder(
    name: str,
    content: bytes,
    card: dict[str, Any],
    history: list[dict[str, Any]],
    models: Path = MODELS_FOLDER,
) -> Path:
    """Write `models/name` but for its evaluation.

    `card` is completed with the facts of the file; `history` has a row for each epoch.
    """
    folder = models / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.tflite").write_bytes(content)
    if history:
        write_history(folder / "history.csv", history)
    facts = {"labels": list(EMOTIONS), **file_facts(content)}
    write_json(folder / "model.json", {**card, **facts})
    return folder
