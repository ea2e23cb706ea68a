"""What about a face makes the answer less trustworthy, in sentences.

Thresholds were set on FER2013 faces and on copies of them made smaller, blurred, dark or pale, so
that few of the originals carry a note and that most faces do which the network reads worse.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from core.face.detect import Detection
from core.face.framing import frame_corners, frame_scale, landmark_array
from core.face.tensor import FACE_SIZE
from core.results import QualityNote

SMALL_FACE = 32.0
"""Pixels of the picture across the frame; the frame has 48, so fewer hold less than half of what
the network was trained to see."""

BLURRED_BELOW = 0.12
"""Fine detail (see `sharpness`). 99% of FER2013's faces have more than 0.17; blurred by 1.5 px of
the frame, which cost an early network ten points of accuracy, nine in ten have less than this."""

TURNED_ABOVE = 0.8
"""How far the nose is from the middle of the eyes towards one of them (see `turn`): at 1 it stands
above that eye's place, about 40 degrees from the front. 95% of FER2013's faces are below."""

DARK_BELOW = 64
"""Grey level that 95% of the face stay under: a quarter of full scale. It asks for highlights, not
for a mean, so that dark skin in good light is not called dark; FER2013 has no face below 79."""

PALE_LEVEL, PALE_SHARE = 250, 0.25
"""Overexposed: more than a quarter of the face at (nearly) full scale; 1% of FER2013's faces."""

DOUBTFUL_SCORE = 0.75
"""The detector's own score; FER2013's faces have 0.89 in the middle."""

CUT_OFF_SHARE = 0.25
"""Part of the frame beyond the border of the picture, which then holds repeated edge pixels. A face
cropped as tightly as in FER2013 lacks up to a quarter when it stands off the middle."""

FINE_SIGMA = 1.0
"""Frame pixels: detail finer than a blur of this is fine."""

INNER = slice(8, 40)
"""Rows and columns of the frame that hold the face itself, less hair and background."""

NOTES = {
    "too_small": "The face is small in the picture; come closer or use a larger picture.",
    "blurred": "The face is blurred; hold still or focus.",
    "turned_away": "The face is turned away; a view from the front is read more reliably.",
    "too_dark": "The face is too dark; put more light on it.",
    "overexposed": "Much of the face is overexposed; use less or softer light.",
    "low_detection_score": "The detector is not certain that this is a face.",
    "cut_off": "Part of the face lies beyond the border of the picture.",
}
"""Code -> sentence, in the order in which they are given."""


def face_notes(
    framed: NDArray[np.uint8],
    detection: Detection,
    to_frame: NDArray[np.float64],
    size: tuple[int, int],
) -> tuple[QualityNote, ...]:
    """Notes about a found face.

    Parameters
    ----------
    framed : uint8 array, (48, 48)
    detection : where the face was found.
    to_frame : (2, 3), from the picture into the frame.
    size : width and height of the picture.
    """
    codes = _pixel_codes(framed, FACE_SIZE / frame_scale(to_frame))
    if abs(turn(detection)) > TURNED_ABOVE:
        codes.add("turned_away")
    if detection.score < DOUBTFUL_SCORE:
        codes.add("low_detection_score")
    if outside_share(to_frame, size) > CUT_OFF_SHARE:
        codes.add("cut_off")
    return _notes(codes)


def picture_notes(framed: NDArray[np.uint8], side: float) -> tuple[QualityNote, ...]:
    """Notes about a picture that is one face: `framed` (48, 48), `side` px on its shorter side."""
    return _notes(_pixel_codes(framed, side))


def sharpness(framed: NDArray[np.uint8]) -> float:
    """Share of fine detail in the contrast of the face, 0 to 1.

    Standard deviation of what a blur of `FINE_SIGMA` takes away, over that of the face. It is
    measured in the frame, so relative to the size of the face: a large face may be blurred by
    several pixels and lose nothing that the network sees.
    """
    pixels = framed.astype(np.float32)
    fine = pixels - cv2.GaussianBlur(pixels, (0, 0), FINE_SIGMA)
    contrast = float(pixels[INNER, INNER].std())
    return float(fine[INNER, INNER].std()) / contrast if contrast else 0.0


def turn(detection: Detection) -> float:
    """Where the nose stands between the eyes, along their line.

    0 in the middle, 1 at the left eye, -1 at the right eye, beyond in profile.
    """
    right_eye, left_eye, nose, *_ = landmark_array(detection.landmarks)
    across = left_eye - right_eye
    length = float(across @ across)
    if length == 0:
        return float("inf")  # one eye hides the other: full profile
    return 2 * float((nose - right_eye) @ across) / length - 1


def outside_share(to_frame: NDArray[np.float64], size: tuple[int, int]) -> float:
    """Part of the frame's area that lies beyond a picture of `size` (width, height)."""
    width, height = size
    picture = np.array(
        [(-0.5, -0.5), (width - 0.5, -0.5), (width - 0.5, height - 0.5), (-0.5, height - 0.5)]
    )
    frame = frame_corners(to_frame)
    inside, _ = cv2.intersectConvexConvex(picture.astype(np.float32), frame.astype(np.float32))
    return 1 - inside / (FACE_SIZE / frame_scale(to_frame)) ** 2


def _pixel_codes(framed: NDArray[np.uint8], side: float) -> set[str]:
    """What is to say about the pixels of a face that was `side` px across in the picture."""
    codes = set()
    if side < SMALL_FACE:
        codes.add("too_small")
    elif sharpness(framed) < BLURRED_BELOW:  # a small face, enlarged, is always blurred
        codes.add("blurred")
    inner = framed[INNER, INNER]
    if np.percentile(inner, 95) < DARK_BELOW:
        codes.add("too_dark")
    if np.mean(inner >= PALE_LEVEL) > PALE_SHARE:
        codes.add("overexposed")
    return codes


def _notes(codes: set[str]) -> tuple[QualityNote, ...]:
    return tuple(QualityNote(code, text) for code, text in NOTES.items() if code in codes)
