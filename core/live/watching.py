"""One look at a picture: where the faces are and what each shows."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from core.face import framing
from core.face.classify import classify
from core.face.detect import Detection, Detector, active_detector
from core.models import Model, probabilities
from core.results import Box, Landmarks, Prediction

SEARCH_SIDE = 320
"""Pixels; faces are sought in a picture whose longer side is reduced to this. A face that fills
a tenth of the width is still found, and it takes a third of the time of 640 pixels."""

MOST_FACES = 6
"""The largest ones; each takes a millisecond or two to classify."""

DARK = 24.0
"""Mean grey level below which the camera is covered or off (a turned-off one sends black)."""


@dataclass(frozen=True)
class Sight:
    """One face in one picture, in its pixels."""

    box: Box
    emotion: Prediction


def look(pixels: NDArray[np.uint8], model: Model) -> list[Sight]:
    """Find and classify faces, largest first, exactly as `core.face.analyze_faces` does.

    Parameters
    ----------
    pixels : uint8 (height, width, 3) RGB.
    """
    found = seek(pixels, active_detector())[:MOST_FACES]
    if not found:
        return []
    grey = framing.grey(pixels)
    framed = [framing.frame_face(grey, framing.to_frame(face.landmarks)) for face in found]
    logits, _ = classify(np.stack(framed), model)
    calibrated = probabilities(logits, model.info.temperature)
    return [
        Sight(face.box, Prediction(tuple(map(float, seven))))
        for face, seven in zip(found, calibrated, strict=True)
    ]


def is_dark(pixels: NDArray[np.uint8]) -> bool:
    """Whether a picture shows nothing, as of a camera that is covered or turned off."""
    thin = pixels[::16, ::16]
    return float(thin.mean()) < DARK and float(thin.std()) < DARK / 2


def seek(pixels: NDArray[np.uint8], detector: Detector) -> list[Detection]:
    """The faces that `detector` finds in a reduced picture, in pixels of the whole one."""
    height, width = pixels.shape[:2]
    factor = min(1.0, SEARCH_SIDE / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = pixels
    if factor < 1:
        small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    scale = width / size[0], height / size[1]
    return [_enlarged(detection, scale) for detection in detector.detect(small)]


def _enlarged(face: Detection, scale: tuple[float, float]) -> Detection:
    """The detection in pixels of the whole picture."""
    across, down = scale
    box = face.box
    points = {
        # A box has edges, a landmark is a pixel's centre: half a pixel apart under scaling.
        name: ((x + 0.5) * across - 0.5, (y + 0.5) * down - 0.5)
        for name, (x, y) in vars(face.landmarks).items()
    }
    return Detection(
        Box(box.x * across, box.y * down, box.width * across, box.height * down),
        Landmarks(**points),
        face.score,
    )
