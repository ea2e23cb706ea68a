"""Faces in a picture: find them, bring them into the trained frame, name what they show."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from core.errors import DuetError
from core.face import framing
from core.face.classify import classify
from core.face.detect import Detection, active_detector
from core.face.quality import face_notes, picture_notes
from core.face.tensor import FACE_SIZE
from core.models import Model, probabilities
from core.results import Box, FaceResult, ImageResult, Landmarks, Prediction, QualityNote

if TYPE_CHECKING:
    from core.media import Picture

FaceMode = Literal["detect", "cropped"]
"""`detect` looks for faces; `cropped` takes the whole picture as one face framed already."""


@dataclass(frozen=True)
class _Framed:
    """A face before it is classified."""

    box: Box
    landmarks: Landmarks | None
    score: float
    pixels: NDArray[np.uint8]
    to_frame: NDArray[np.float64]
    quality: tuple[QualityNote, ...]


def analyze_faces(picture: Picture, model: Model, faces: FaceMode = "detect") -> ImageResult:
    """Find and classify every face of a picture.

    Parameters
    ----------
    picture : pixels uint8 (height, width, 3), RGB, upright.
    model : a face model.
    faces : whether to look for faces or to take the picture as one.

    Returns
    -------
    ImageResult
        Faces largest first, in pixels of `picture.pixels`; `milliseconds` has `detect` (with
        framing) and `classify`.

    Raises
    ------
    DuetError
        `no_face` when there is none, `no_detector` when nothing is there to look for one.
    """
    started = time.perf_counter()
    if faces == "cropped":
        name, framed = "cropped", [_whole_picture(picture.pixels)]
    elif faces == "detect":
        name, framed = _found(picture.pixels)
    else:
        raise ValueError(f"faces must be 'detect' or 'cropped', not {faces!r}")
    detected = time.perf_counter()
    results = _classified(framed, model)
    classified = time.perf_counter()
    height, width = picture.pixels.shape[:2]
    original_width, original_height = picture.original_size
    return ImageResult(
        source=picture.source,
        width=width,
        height=height,
        detector=name,
        model=model.info.name,
        faces=results,
        milliseconds={
            "detect": (detected - started) * 1000,
            "classify": (classified - detected) * 1000,
        },
        original_width=original_width,
        original_height=original_height,
    )


def _found(pixels: NDArray[np.uint8]) -> tuple[str, list[_Framed]]:
    detector = active_detector()
    detections = detector.detect(pixels)
    if not detections:
        raise DuetError(
            "no_face",
            "No face was found; try a picture that shows one from the front, upright, "
            "in good light and larger.",
        )
    grey = framing.grey(pixels)
    return detector.name, [_framed(grey, detection) for detection in detections]


def _framed(grey: NDArray[np.uint8], detection: Detection) -> _Framed:
    matrix = framing.to_frame(detection.landmarks)
    pixels = framing.frame_face(grey, matrix)
    height, width = grey.shape
    return _Framed(
        box=detection.box,
        landmarks=detection.landmarks,
        score=detection.score,
        pixels=pixels,
        to_frame=matrix,
        quality=face_notes(pixels, detection, matrix, (width, height)),
    )


def _whole_picture(pixels: NDArray[np.uint8]) -> _Framed:
    height, width = pixels.shape[:2]
    face = framing.whole_face(pixels)
    across, down = FACE_SIZE / width, FACE_SIZE / height
    return _Framed(
        box=Box(0.0, 0.0, float(width), float(height)),
        landmarks=None,
        score=1.0,
        pixels=face,
        to_frame=np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2]]),
        quality=picture_notes(face, min(width, height)),
    )


def _classified(framed: Sequence[_Framed], model: Model) -> tuple[FaceResult, ...]:
    logits, evidence = classify(np.stack([face.pixels for face in framed]), model)
    calibrated = probabilities(logits, model.info.temperature)
    return tuple(
        FaceResult(
            box=face.box,
            landmarks=face.landmarks,
            detection_score=face.score,
            emotion=Prediction(tuple(map(float, seven))),
            quality=face.quality,
            framed=face.pixels,
            evidence=places,
            to_frame=face.to_frame,
        )
        for face, seven, places in zip(framed, calibrated, evidence, strict=True)
    )
