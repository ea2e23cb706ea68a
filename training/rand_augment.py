"""RandAugment (Cubuk et al. 2020) of grey faces: a few operations drawn from a fixed list.

Of its fourteen operations all but colour, which grey faces do not have. Every operation is as
strong as `STRENGTH` says, and its direction is drawn. `keras.layers.RandAugment` draws one
operation for a whole batch, and turns faces by up to half a circle.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Face = NDArray[np.uint8]

STRENGTH = 0.3
"""Of the strongest that the paper allows: 9 of its 30 levels, what it chose for ImageNet."""

LEVELS = np.arange(256, dtype=np.float32)
_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13


def rand_augmented(face: Face, operations: int, rng: np.random.Generator) -> Face:
    """A face (h, w) after so many operations, each drawn anew from `OPERATIONS`."""
    for _ in range(operations):
        change = OPERATIONS[rng.integers(len(OPERATIONS))]
        face = change(face, STRENGTH if rng.random() < 0.5 else -STRENGTH)
    return face


def identity(face: Face, _: float) -> Face:
    return face


def auto_contrast(face: Face, _: float) -> Face:
    """Its darkest level becomes black and its brightest white; one of a single level stays."""
    low, high = float(face.min()), float(face.max())
    return face if high <= low else _by_table(face, (LEVELS - low) * 255 / (high - low))


def equalise(face: Face, _: float) -> Face:
    """Every level about equally often."""
    return _as_face(cv2.equalizeHist(face))


def posterise(face: Face, strength: float) -> Face:
    """With fewer bits a pixel: 4 instead of 8 at full strength."""
    lost = round(4 * abs(strength))
    return _as_face((face >> lost) << lost)


def solarise(face: Face, strength: float) -> Face:
    """The brightest levels inverted; at full strength all of them."""
    return _by_table(face, np.where(256 * (1 - abs(strength)) <= LEVELS, 255 - LEVELS, LEVELS))


def brighter(face: Face, strength: float) -> Face:
    """Towards twice as bright or, below 0, towards black."""
    return _by_table(face, LEVELS * (1 + 0.9 * strength))


def more_contrast(face: Face, strength: float) -> Face:
    """Levels further from their mean or, below 0, nearer to it."""
    mean = np.float32(face.mean())
    return _by_table(face, mean + (LEVELS - mean) * (1 + 0.9 * strength))


def sharper(face: Face, strength: float) -> Face:
    """Further from its blurred self or, below 0, nearer to it."""
    blurred = cv2.filter2D(face, cv2.CV_32F, _SMOOTH)
    return _as_face(blurred + (face - blurred) * (1 + 0.9 * strength))


def rotated(face: Face, strength: float) -> Face:
    """By 30 degrees at full strength."""
    angle = np.deg2rad(30 * strength)
    turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return _moved(face, np.array(turn))


def sheared_across(face: Face, strength: float) -> Face:
    return _moved(face, np.array([[1, 0.3 * strength], [0, 1]]))


def sheared_down(face: Face, strength: float) -> Face:
    return _moved(face, np.array([[1, 0], [0.3 * strength, 1]]))


def shifted_across(face: Face, strength: float) -> Face:
    """By 45% of its width at full strength."""
    return _moved(face, np.eye(2), (0.45 * strength * face.shape[1], 0))


def shifted_down(face: Face, strength: float) -> Face:
    return _moved(face, np.eye(2), (0, 0.45 * strength * face.shape[0]))


OPERATIONS: tuple[Callable[[Face, float], Face], ...] = (
    identity,
    auto_contrast,
    equalise,
    rotated,
    solarise,
    posterise,
    more_contrast,
    brighter,
    sharper,
    sheared_across,
    sheared_down,
    shifted_across,
    shifted_down,
)
"""(face, strength from -1 to 1) -> face. Where there is but one direction, the sign is ignored."""


def _by_table(face: Face, table: NDArray[np.float32]) -> Face:
    return _as_face(cv2.LUT(face, np.clip(np.rint(table), 0, 255).astype(np.uint8)))


def _moved(face: Face, matrix: NDArray[np.float64], by: tuple[float, float] = (0, 0)) -> Face:
    """Turned or sheared about its middle by `matrix` (2, 2), then shifted by pixels."""
    height, width = face.shape
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    whole = np.column_stack([matrix, middle - matrix @ middle + np.array(by)])
    # As `changed_face` does: black edges would be new to the network.
    moved = cv2.warpAffine(face, whole, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    return _as_face(moved)


def _as_face(values: NDArray) -> Face:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
