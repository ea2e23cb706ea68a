"""A face changed by given amounts: what training draws at random, and the pages by sliders."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class FaceChange:
    """How far a face is changed; as it stands, not at all."""

    rotation: float = 0.0
    """Degrees, anticlockwise."""
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    """Share of the face's size, to the right and down."""
    mirrored: bool = False
    gamma: float = 1.0
    """Below 1 lighter, above 1 darker."""
    blur: float = 0.0
    """Pixels, standard deviation."""
    noise: float = 0.0
    """Grey levels, standard deviation."""


def changed_face(
    face: NDArray[np.uint8], size: int, change: FaceChange, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Mirror, turn, scale and shift a face (h, w) into (size, size), as if by another camera.

    Parameters
    ----------
    rng : draws the noise, if there is any.
    """
    height, width = face.shape
    scale = size / width * change.scale
    rotation = cv2.getRotationMatrix2D((0.0, 0.0), change.rotation, scale)[:, :2]
    if change.mirrored:
        rotation[:, 0] *= -1
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    target = (size - 1) / 2 + np.array(change.shift) * size
    matrix = np.column_stack([rotation, target - rotation @ centre])
    out = cv2.warpAffine(
        face, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    if change.gamma != 1:
        table = (np.linspace(0, 1, 256) ** change.gamma * 255).astype(np.uint8)
        out = cv2.LUT(out, table)
    if change.blur:
        out = cv2.GaussianBlur(out, (0, 0), change.blur)
    if change.noise:
        noise = rng.normal(0, change.noise, out.shape)
        out = np.clip(out + noise, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(out, np.uint8)


def erase(image: NDArray[np.float32], top: int, left: int, height: int, width: int) -> None:
    """Blank a rectangle of a standardised face to its mean, in place (Zhong et al. 2020)."""
    image[top : top + height, left : left + width] = 0.0
