"""Measure how FER2013 frames its faces: `python -m training framing --data PATH`.

The medians are stated as `core.face.framing.FRAME_LANDMARKS`, which brings every face into the
same frame before it is classified.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from core.face.detect import Detector, active_detector
from core.face.framing import FRAME_LANDMARKS, frame_face, frame_scale, landmark_array, to_frame
from core.face.tensor import FACE_SIZE
from core.results import Landmarks
from training import fer2013

SAMPLE = 3000
SEED = 20_240_101

ENLARGEMENT = 4
"""192 px faces: large enough for the detector to place landmarks, well below its upper limit."""

MARGIN = 24
"""Pixels of repeated edge around the 48 px face, so that it does not fill the picture."""


def enlarged(face: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB (384, 384, 3): a 48 px face as a picture in which a detector can find it."""
    padded = cv2.copyMakeBorder(face, MARGIN, MARGIN, MARGIN, MARGIN, cv2.BORDER_REPLICATE)
    large = cv2.resize(padded, None, fx=ENLARGEMENT, fy=ENLARGEMENT, interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.cvtColor(large, cv2.COLOR_GRAY2RGB), np.uint8)


def in_face_pixels(landmarks: Landmarks) -> NDArray[np.float64]:
    """(5, 2): landmarks found in `enlarged(face)`, in pixels of `face`."""
    return (landmark_array(landmarks) + 0.5) / ENLARGEMENT - 0.5 - MARGIN


def symmetric(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Landmarks averaged with their mirror image.

    Every answer is the mean over a face and its mirror image, and half of the training faces are
    mirrored, so the frame has no side.
    """
    mirrored = points[[1, 0, 2, 4, 3]] * (-1, 1) + (FACE_SIZE - 1, 0)
    return (points + mirrored) / 2


def main(data: Path, limit: int = SAMPLE) -> dict[str, Any]:
    """Find the landmarks in a sample of `limit` training faces.

    Returns
    -------
    dict
        `detector`, `faces` looked at, `found`, `median` and `spread` (half of the range from the
        16th to the 84th percentile) of the landmarks in pixels of the 48 px picture, `frame` (the
        median made symmetric, for `FRAME_LANDMARKS`), `largest_difference` of that from the
        constants in use, `scale` (16th, 50th and 84th percentile of how much framing enlarges
        these faces; 1 in the middle when the frame fits) and `correlation`: mean pixel correlation
        of each face with itself after framing, below 1 by as much as FER2013's own framing varies.
    """
    images = fer2013.training_splits(data)["train"].images
    chosen = np.random.default_rng(SEED).permutation(len(images))[:limit]
    detector = active_detector()
    found = [
        (image, landmarks)
        for image in images[np.sort(chosen)]
        if (landmarks := _largest(detector, enlarged(image))) is not None
    ]
    scales = [frame_scale(to_frame(landmarks)) * ENLARGEMENT for _, landmarks in found]
    points = np.stack([in_face_pixels(landmarks) for _, landmarks in found])
    low, median, high = np.percentile(points, [16, 50, 84], axis=0)
    frame = symmetric(median)
    return {
        "detector": detector.name,
        "faces": len(chosen),
        "found": len(found),
        "median": np.round(median, 2).tolist(),
        "spread": np.round((high - low) / 2, 2).tolist(),
        "frame": np.round(frame, 2).tolist(),
        "largest_difference": round(float(np.abs(frame - FRAME_LANDMARKS).max()), 2),
        "scale": np.round(np.percentile(scales, [16, 50, 84]), 3).tolist(),
        "correlation": round(float(np.mean([_reframed(*pair) for pair in found])), 4),
    }


def _largest(detector: Detector, picture: NDArray[np.uint8]) -> Landmarks | None:
    detections = detector.detect(picture)
    return detections[0].landmarks if detections else None


def _reframed(face: NDArray[np.uint8], landmarks: Landmarks) -> float:
    """Correlation of a face's pixels before and after it was framed."""
    framed = frame_face(enlarged(face), to_frame(landmarks))
    return float(np.corrcoef(face.ravel(), framed.ravel())[0, 1])
