"""Seven logits for a framed face, and how much each part of the face added to them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.face.tensor import FaceInput, face_input
from core.models import Model

BATCH = 16
"""Faces of 48 px asked about at once, with as many mirror images; larger ones in smaller batches.
The interpreter keeps the memory of the largest batch it has seen, so a crowd in one picture must
not set its size."""


def classify(
    framed: NDArray[np.uint8], model: Model
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Ask the model about faces and their mirror images, at most `BATCH` faces at a time.

    Parameters
    ----------
    framed : uint8 array, (n, 48, 48), n of 1 or more
    model : a face model; its temperature calibrates.

    Returns
    -------
    logits : float32 array, (n, 7)
        Mean of each face and its mirror image, not yet divided by the temperature.
    evidence : float32 array, (n, rows, columns, 7)
        What each place added to the calibrated logits, relative to the mean over the seven
        emotions: its mean over places is (logits - their mean) / temperature.

    Raises
    ------
    DuetError
        `damaged_model` when the model asks for a preprocessing that Duet does not know.
    """
    prepared = face_input(model.info)
    step = prepared.at_once(BATCH)
    starts = range(0, len(framed), step)
    places = np.concatenate(
        [_places(framed[start : start + step], model, prepared) for start in starts]
    )
    # Not the network's own logits: an 8-bit network rounds them and the evidence separately.
    logits = places.mean(axis=(1, 2))
    evidence = (places - places.mean(axis=-1, keepdims=True)) / model.info.temperature
    return logits.astype(np.float32), evidence.astype(np.float32)


def _places(framed: NDArray[np.uint8], model: Model, prepared: FaceInput) -> NDArray[np.float32]:
    """The network's evidence, (n, rows, columns, 7): mean of each face and its mirror image."""
    tensors = prepared(framed)
    evidence = model(np.concatenate([tensors, tensors[:, :, ::-1]]))["evidence"]
    straight, mirrored = np.split(evidence, 2)
    mean: NDArray[np.float32] = (straight + mirrored[:, :, ::-1]) / np.float32(2)
    return mean
