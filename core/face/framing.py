"""Bring a found face into the frame that the networks were trained on: FER2013's.

How a face is framed matters as much as which network looks at it, so FER2013's own framing was
measured, with `python -m training framing --data PATH`, and every face is brought into it by the
similarity transform that fits best.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from core.face.tensor import FACE_SIZE
from core.results import Landmarks

FRAME_LANDMARKS: NDArray[np.float64] = np.array(
    [
        [14.8, 17.8],  # right eye
        [32.2, 17.8],  # left eye
        [23.5, 28.1],  # nose
        [16.4, 35.0],  # right corner of the mouth
        [30.6, 35.0],  # left corner
    ]
)
"""Where the five landmarks lie in FER2013, in pixels of its 48x48 pictures.

Medians over the 2,822 faces that YuNet found in a random 3,000 of the Training split, enlarged
four times, made symmetric about the middle. Single faces scatter about them by some 3 px."""

MIN_SPREAD = 1.0
"""Pixels: landmarks closer together than this (root mean square distance from their middle) say
nothing about size or direction."""


def landmark_array(landmarks: Landmarks) -> NDArray[np.float64]:
    """(5, 2): right eye, left eye, nose, right and left corner of the mouth."""
    return np.array(
        [
            landmarks.right_eye,
            landmarks.left_eye,
            landmarks.nose,
            landmarks.mouth_right,
            landmarks.mouth_left,
        ],
        np.float64,
    )


def is_usable(landmarks: Landmarks) -> bool:
    """Whether the landmarks are finite and spread enough for `to_frame`."""
    points = landmark_array(landmarks)
    return bool(np.isfinite(points).all() and _spread(points) >= MIN_SPREAD)


def to_frame(landmarks: Landmarks) -> NDArray[np.float64]:
    """Similarity transform from the picture to the frame, fitted by least squares.

    Rotation, scale and shift, never a reflection (Umeyama 1991, "Least-squares estimation of
    transformation parameters between two point patterns").

    Parameters
    ----------
    landmarks : in pixels of the picture.

    Returns
    -------
    float64 array, (2, 3)
        Picture pixels (x, y, 1) to pixels of the `FACE_SIZE` frame; both count pixel centres.

    Raises
    ------
    ValueError
        When the landmarks are not finite or all but coincide.
    """
    if not is_usable(landmarks):
        raise ValueError("the landmarks are not finite or all but coincide")
    # As complex numbers a similarity is z -> a z + b, whose least-squares fit is one division.
    source, target = (p[:, 0] + 1j * p[:, 1] for p in (landmark_array(landmarks), FRAME_LANDMARKS))
    centred = source - source.mean()
    turn = np.vdot(centred, target - target.mean()) / np.vdot(centred, centred).real
    shift = target.mean() - turn * source.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def frame_scale(matrix: NDArray[np.float64]) -> float:
    """Frame pixels per picture pixel."""
    return math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))


def frame_corners(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """(4, 2): the frame's corners in pixels of the picture, clockwise from its top left."""
    low, high = -0.5, FACE_SIZE - 0.5
    corners = np.array([[low, low], [high, low], [high, high], [low, high]])
    return (corners - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T


def grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Luminance (ITU-R BT.601) of an RGB picture; a grey one as it is."""
    if pixels.ndim == 2:
        return pixels
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)


def frame_face(pixels: NDArray[np.uint8], matrix: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Sample the framed face.

    Parameters
    ----------
    pixels : uint8 array, (height, width) grey or (height, width, 3) RGB
    matrix : (2, 3), from `to_frame`.

    Returns
    -------
    uint8 array, (48, 48)
        Beyond the border of the picture its edge pixels are repeated.
    """
    # A face larger than the frame is sampled at its own resolution, then averaged down: sampling
    # it at 48 points a side would pick single pixels and turn texture into noise.
    finer = max(1, math.ceil(1 / frame_scale(matrix)))
    fine = matrix * finer
    fine[:, 2] += (finer - 1) / 2  # pixel centres: 0 in the frame is (finer - 1) / 2 in the finer
    side = FACE_SIZE * finer
    face = cv2.warpAffine(
        grey(pixels), fine, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return whole_face(np.asarray(face, np.uint8))


def whole_face(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(48, 48): a picture that is a framed face already, brought to size."""
    height, width = pixels.shape[:2]
    smaller = min(height, width) < FACE_SIZE
    method = cv2.INTER_LINEAR if smaller else cv2.INTER_AREA
    face = cv2.resize(grey(pixels), (FACE_SIZE, FACE_SIZE), interpolation=method)
    return np.asarray(face, np.uint8)


def _spread(points: NDArray[np.float64]) -> float:
    return float(np.sqrt(((points - points.mean(axis=0)) ** 2).sum(axis=1).mean()))
