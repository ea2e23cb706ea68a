"""A framed grey face as the network wants it: the one function training and serving share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FACE_SIZE = 48
"""Pixels a side of a framed face: the size of FER2013's pictures."""

MIN_STANDARD_DEVIATION = 4.0
"""Grey levels. Flatter pictures are not stretched further, so that a blank one stays blank."""


def face_tensor(faces: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Standardise framed faces, each by its own mean and standard deviation.

    Parameters
    ----------
    faces : uint8 array, (height, width) or (n, height, width)
        Grey levels 0 to 255. Any size: training crops are smaller than `FACE_SIZE`.

    Returns
    -------
    float32 array, (n, height, width, 1)
        Zero mean and unit variance for each face (less for faces flatter than
        `MIN_STANDARD_DEVIATION` grey levels).
    """
    if faces.ndim == 2:
        faces = faces[np.newaxis]
    if faces.ndim != 3 or faces.dtype != np.uint8:
        raise ValueError(f"expected uint8 (n, height, width), got {faces.dtype} {faces.shape}")
    pixels = faces.astype(np.float32)
    mean = pixels.mean(axis=(1, 2), keepdims=True)
    deviation = pixels.std(axis=(1, 2), keepdims=True)
    standardised = (pixels - mean) / np.maximum(deviation, MIN_STANDARD_DEVIATION)
    return standardised[..., np.newaxis].astype(np.float32)
