"""Random changes to training examples: NumPy and OpenCV in, arrays out, seeded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.face.change import FaceChange, changed_face, erase
from core.face.tensor import FACE_TENSOR, PREPROCESSING


@dataclass(frozen=True)
class FaceAugmentation:
    """How far training faces are changed at random. Every second one is mirrored."""

    rotation: float
    """Degrees, to either side."""
    scale: tuple[float, float]
    shift: float
    """Share of the face's size, in any direction."""
    camera: float
    """Times the usual chance of another gamma, of blur and of noise: of another camera."""
    erasing: float
    """Chance that a rectangle is blanked."""


STRONG = FaceAugmentation(rotation=15, scale=(0.9, 1.27), shift=0.08, camera=1.0, erasing=0.5)
GENTLE = FaceAugmentation(rotation=8, scale=(0.95, 1.1), shift=0.04, camera=0.5, erasing=0.2)
"""For the last stage: nearer to the faces that the network will be shown."""
KERAS = FaceAugmentation(rotation=20, scale=(0.85, 1.15), shift=0.1, camera=1.0, erasing=0.0)
"""Flip, rotation, zoom and shift as is usual with Keras. In place of its brightness some faces get
another gamma, blur or noise, as by another camera."""


def random_face(
    face: NDArray[np.uint8], size: int, change: FaceAugmentation, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Flip, turn, scale and shift a face (h, w) into (size, size), as if by another camera."""
    scale = rng.uniform(*change.scale)
    angle = rng.uniform(-change.rotation, change.rotation)
    mirrored = rng.random() < 0.5
    right, down = rng.uniform(-change.shift, change.shift, 2)
    gamma = np.exp(rng.uniform(-0.5, 0.5)) if rng.random() < 0.3 * change.camera else 1.0
    blur = rng.uniform(0.4, 1.0) if rng.random() < 0.15 * change.camera else 0.0
    noise = rng.uniform(2, 8) if rng.random() < 0.15 * change.camera else 0.0
    drawn = FaceChange(angle, scale, (right, down), mirrored, gamma, blur, noise)
    return changed_face(face, size, drawn, rng)


def random_erasing(
    batch: NDArray[np.float32], rng: np.random.Generator, probability: float
) -> None:
    """Blank a random rectangle, 2 to 20% of a face, to its mean, in place (Zhong et al. 2020)."""
    _, height, width, _ = batch.shape
    for image in batch:
        if rng.random() >= probability:
            continue
        area = rng.uniform(0.02, 0.2) * height * width
        aspect = np.exp(rng.uniform(-1, 1))
        h = min(int(np.sqrt(area * aspect)) + 1, height)
        w = min(int(np.sqrt(area / aspect)) + 1, width)
        top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
        erase(image, top, left, h, w)


def augmented_faces(
    faces: NDArray[np.uint8],
    size: int,
    change: FaceAugmentation,
    rng: np.random.Generator,
    preprocessing: str = FACE_TENSOR,
) -> NDArray[np.float32]:
    """A training batch: float32 (n, size, size, channels) from uint8 faces (n, h, w)."""
    changed = np.stack([random_face(face, size, change, rng) for face in faces])
    batch = PREPROCESSING[preprocessing](changed, size)
    random_erasing(batch, rng, change.erasing)
    return batch
