"""Seven logits for a framed face, and how much each part of the face added to them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.face.tensor import face_tensor
from core.models import Model


def classify(
    framed: NDArray[np.uint8], model: Model
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Ask the model about faces and their mirror images, all in one batch.

    Parameters
    ----------
    framed : uint8 array, (n, 48, 48)
    model : a face model; its temperature calibrates.

    Returns
    -------
    logits : float32 array, (n, 7)
        Mean of each face and its mirror image, not yet divided by the temperature.
    evidence : float32 array, (n, rows, columns, 7)
        What each place added to the calibrated logits, relative to the mean over the seven
        emotions: its mean over places is (logits - their mean) / temperature.
    """
    tensors = face_tensor(framed)
    outputs = model(np.concatenate([tensors, tensors[:, :, ::-1]]))
    straight, mirrored = np.split(outputs["logits"], 2)
    logits = (straight + mirrored) / 2
    straight, mirrored = np.split(outputs["evidence"], 2)
    places = (straight + mirrored[:, :, ::-1]) / 2
    evidence = (places - places.mean(axis=-1, keepdims=True)) / model.info.temperature
    return logits.astype(np.float32), evidence.astype(np.float32)
