"""Random changes to training examples: NumPy and OpenCV in, arrays out, seeded."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from core.face.tensor import face_tensor


def random_face(face: NDArray[np.uint8], size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Flip, rotate (15 degrees), scale (0.9 to 1.27) and shift (8%) a face, to (size, size).

    Gamma, blur and noise at random make up for cameras that FER2013 has not seen.
    """
    height, width = face.shape
    scale = size / width * rng.uniform(0.85, 1.2) * 1.06
    rotation = cv2.getRotationMatrix2D((0.0, 0.0), rng.uniform(-15, 15), scale)[:, :2]
    if rng.random() < 0.5:
        rotation[:, 0] *= -1
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    target = (size - 1) / 2 + rng.uniform(-0.08, 0.08, 2) * size
    matrix = np.column_stack([rotation, target - rotation @ centre])
    out = cv2.warpAffine(
        face, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    if rng.random() < 0.3:
        gamma = np.exp(rng.uniform(-0.5, 0.5))
        table = (np.linspace(0, 1, 256) ** gamma * 255).astype(np.uint8)
        out = cv2.LUT(out, table)
    if rng.random() < 0.15:
        out = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.4, 1.0))
    if rng.random() < 0.15:
        noise = rng.normal(0, rng.uniform(2, 8), out.shape)
        out = np.clip(out + noise, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(out)


def random_erasing(batch: NDArray[np.float32], rng: np.random.Generator, probability=0.5) -> None:
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
        image[top : top + h, left : left + w] = 0.0


def augmented_faces(
    faces: NDArray[np.uint8], size: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """A training batch: float32 (n, size, size, 1) from uint8 faces (n, h, w)."""
    batch = face_tensor(np.stack([random_face(face, size, rng) for face in faces]))
    random_erasing(batch, rng)
    return batch
