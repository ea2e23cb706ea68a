"""A framed grey face as a network wants it: the functions that training and serving share.

A model's `model.json` names the one it was trained with, at `input.preprocessing`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from core.errors import DuetError
from core.models import ModelInfo

FACE_SIZE = 48
"""Pixels a side of a framed face: the size of FER2013's pictures."""

MIN_STANDARD_DEVIATION = 4.0
"""Grey levels. Flatter pictures are not stretched further, so that a blank one stays blank."""


def face_tensor(faces: NDArray[np.uint8], size: int | None = None) -> NDArray[np.float32]:
    """Standardise framed faces, each by its own mean and standard deviation.

    Parameters
    ----------
    faces : uint8 array, (height, width) or (n, height, width)
        Grey levels 0 to 255.
    size : pixels a side of what is returned; that of the faces by default.

    Returns
    -------
    float32 array, (n, height, width, 1)
        Zero mean and unit variance for each face (less for faces flatter than
        `MIN_STANDARD_DEVIATION` grey levels).
    """
    faces = _stacked(faces)
    pixels = (faces if size is None else _resized(faces, size)).astype(np.float32)
    mean = pixels.mean(axis=(1, 2), keepdims=True)
    deviation = pixels.std(axis=(1, 2), keepdims=True)
    standardised = (pixels - mean) / np.maximum(deviation, MIN_STANDARD_DEVIATION)
    return standardised[..., np.newaxis].astype(np.float32)


def face_pixels(faces: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    """Enlarge framed faces to RGB pictures, for networks that were made for photos.

    Parameters
    ----------
    faces : uint8 array, (height, width) or (n, height, width)
        Grey levels 0 to 255, square.
    size : pixels a side of what is returned.

    Returns
    -------
    float32 array, (n, size, size, 3)
        0 to 255, three channels alike.
    """
    sized = _resized(_stacked(faces), size).astype(np.float32)
    return np.repeat(sized[..., np.newaxis], 3, axis=3)


def _resized(faces: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Faces (n, h, w) at another size."""
    if faces.shape[1:] == (size, size):
        return faces
    # Linear, as `core.face.change.changed_face` samples: trained on faces look no different.
    made = [cv2.resize(face, (size, size), interpolation=cv2.INTER_LINEAR) for face in faces]
    return np.stack(made).astype(np.uint8, copy=False)


def _stacked(faces: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(n, height, width), of one face too."""
    if faces.ndim == 2:
        faces = faces[np.newaxis]
    if faces.ndim != 3 or faces.dtype != np.uint8:
        raise ValueError(f"expected uint8 (n, height, width), got {faces.dtype} {faces.shape}")
    return faces


Preparation = Callable[[NDArray[np.uint8], int], NDArray[np.float32]]
"""(faces uint8 (n, height, width), size) -> the network's input."""

FACE_TENSOR = "core.face.tensor.face_tensor"
FACE_PIXELS = "core.face.tensor.face_pixels"

PREPROCESSING: dict[str, Preparation] = {
    FACE_TENSOR: face_tensor,
    FACE_PIXELS: face_pixels,
}
"""By the names that models use."""

LARGEST_SIDE = 1024
"""Pixels; no network is asked about larger faces, whatever its `model.json` says."""


@dataclass(frozen=True)
class FaceInput:
    """How a model wants its faces: prepared by what, and how large."""

    preprocessing: str
    size: int
    """Pixels a side."""

    def __call__(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Framed faces uint8 (n, 48, 48) -> the network's input, float32 (n, size, size, c)."""
        return PREPROCESSING[self.preprocessing](faces, self.size)

    def at_once(self, most: int) -> int:
        """How many faces to ask about at once: `most` of 48 px, fewer of larger ones, so that a
        network's memory stays about the same."""
        return max(1, most * FACE_SIZE**2 // self.size**2)


def face_input(info: ModelInfo) -> FaceInput:
    """What `model.json` says of the input; a card that says nothing means `face_tensor` at 48 px.

    Raises
    ------
    DuetError
        `damaged_model` when it asks for something that Duet does not know.
    """
    stated = info.card.get("input")
    stated = stated if isinstance(stated, dict) else {}
    name = stated.get("preprocessing", FACE_TENSOR)
    if not isinstance(name, str) or name not in PREPROCESSING:
        raise DuetError(
            "damaged_model",
            f"{info.name}/model.json asks for the preprocessing {name!r}, which this Duet does "
            "not know; update Duet or remove the model's folder.",
        )
    size = _side(stated.get("shape", ["n", FACE_SIZE, FACE_SIZE, 1]))
    if size is None:
        raise DuetError(
            "damaged_model",
            f"{info.name}/model.json misstates the shape of the network's input; restore the "
            "model's folder or remove it.",
        )
    return FaceInput(name, size)


def _side(shape: object) -> int | None:
    """Pixels a side of a network's input (n, side, side, channels); None where it has no side."""
    if not isinstance(shape, list) or len(shape) != 4 or shape[1] != shape[2]:
        return None
    side = shape[1]
    return side if type(side) is int and 1 <= side <= LARGEST_SIDE else None
