"""Boxes and labels on a picture from the camera.

Drawn straight into the planes of YUV 4:2:0, which decoder and encoder speak: turning a picture
into RGB and back would take several times as long as everything that is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import av
import cv2
import numpy as np
from av.video.plane import VideoPlane
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from core.results import Box

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

Planes = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]
"""Luma (height, width), and both chromas at half of each side."""

FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True)
class Mark:
    """A box with words at it. `box` lies in the picture as the camera took it."""

    box: Box
    text: str
    colour: Colour
    strong: bool = False


class Canvas:
    """One picture, to be drawn on. Mirrored, the picture is turned but no text is."""

    def __init__(self, frame: av.VideoFrame, mirrored: bool = False) -> None:
        """Copy `frame`; sides of an odd number of pixels lose one."""
        taken = even(frame)
        self.height, self.width = taken.height, taken.width
        self.mirrored = mirrored
        self._frame = av.VideoFrame(self.width, self.height, "yuv420p")
        self._planes = planes_of(self._frame)
        for source, target in zip(planes_of(taken), self._planes, strict=True):
            if mirrored:
                cv2.flip(source, 1, target)
            else:
                target[:] = source

    def frame(self) -> av.VideoFrame:
        """What was drawn."""
        return self._frame

    def mark(self, marks: Sequence[Mark]) -> None:
        """Draw all boxes, then all words: no line runs through a label."""
        placed = [(mark, self._corners(mark.box)) for mark in marks]
        for mark, corners in placed:
            self._rectangle(corners, mark.colour, self.line * (2 if mark.strong else 1))
        for mark, (left, top, _, _) in placed:
            chip = _chip(mark.text, mark.colour, self.text_height)
            above = top - chip.height - self.line
            self._paste(chip, left, above if above >= 0 else max(0, top) + 2 * self.line)

    def banner(self, text: str, colour: Colour, bottom: bool = False) -> None:
        """Words in the upper or lower left corner."""
        chip = _chip(text, colour, self.text_height)
        edge = 2 * self.line
        self._paste(chip, edge, self.height - chip.height - edge if bottom else edge)

    @property
    def line(self) -> int:
        """Width of a line, in pixels."""
        return max(2, round(max(self.width, self.height) / 200))

    @property
    def text_height(self) -> int:
        """Of capital letters, in pixels."""
        return max(10, max(self.width, self.height) // 42)

    def _corners(self, box: Box) -> tuple[int, int, int, int]:
        left, right = box.x, box.x + box.width
        if self.mirrored:
            left, right = self.width - right, self.width - left
        return round(left), round(box.y), round(right), round(box.y + box.height)

    def _rectangle(self, corners: tuple[int, int, int, int], colour: Colour, line: int) -> None:
        left, top, right, bottom = (value // 2 * 2 for value in corners)
        thin = max(1, (line + 1) // 2)
        for plane, value, part in zip(self._planes, yuv(colour), (1, 2, 2), strict=True):
            start, end = (left // part, top // part), (right // part, bottom // part)
            cv2.rectangle(plane, start, end, value, line if part == 1 else thin)

    def _paste(self, chip: _Chip, x: int, y: int) -> None:
        left = min(max(0, x), max(0, self.width - chip.width)) // 2 * 2
        top = min(max(0, y), max(0, self.height - chip.height)) // 2 * 2
        for plane, patch, part in zip(self._planes, chip.planes, (1, 2, 2), strict=True):
            room = plane[top // part :, left // part :][: patch.shape[0], : patch.shape[1]]
            room[:] = patch[: room.shape[0], : room.shape[1]]


def even(frame: av.VideoFrame) -> av.VideoFrame:
    """`frame` in YUV 4:2:0, its sides an even number of pixels; itself where it is so already."""
    width, height = frame.width // 2 * 2, frame.height // 2 * 2
    if frame.format.name == "yuv420p" and (width, height) == (frame.width, frame.height):
        return frame
    # Not `frame.reformat`: it keeps its converter in the frame, which two threads may share.
    return VideoReformatter().reformat(frame, width, height, "yuv420p")


def planes_of(frame: av.VideoFrame) -> Planes:
    """Views into the planes of a picture in YUV 4:2:0; nothing is copied."""
    luma, first, second = (_view(plane) for plane in frame.planes)
    return luma, first, second


def _view(plane: VideoPlane) -> NDArray[np.uint8]:
    whole = np.frombuffer(plane, np.uint8)  # type: ignore[call-overload]  # it is a buffer
    return np.asarray(whole.reshape(-1, plane.line_size)[: plane.height, : plane.width])


def rgb_of(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """uint8 (height, width, 3)."""
    return np.asarray(cv2.cvtColor(even(frame).to_ndarray(), cv2.COLOR_YUV2RGB_I420), np.uint8)


def jpeg_of(frame: av.VideoFrame) -> bytes:
    """The picture as a JPEG file."""
    bgr = cv2.cvtColor(even(frame).to_ndarray(), cv2.COLOR_YUV2BGR_I420)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()


def split(planes: NDArray[np.uint8]) -> Planes:
    """Views into uint8 (3 * height / 2, width), the three planes one after the other."""
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    quarter = height * width // 4
    chroma = planes[height:].reshape(-1)
    half = (height // 2, width // 2)
    return planes[:height], chroma[:quarter].reshape(half), chroma[quarter:].reshape(half)


@dataclass(frozen=True)
class _Chip:
    """A label ready to be pasted; its sides are even."""

    planes: Planes

    @property
    def height(self) -> int:
        return self.planes[0].shape[0]

    @property
    def width(self) -> int:
        return self.planes[0].shape[1]


@lru_cache(maxsize=256)
def _chip(text: str, colour: Colour, letter: int) -> _Chip:
    """`text` on a ground of `colour`, in black or white, whichever reads better."""
    scale = letter / 21  # capital letters of this font are 21 pixels high at a scale of 1
    (width, _), below = cv2.getTextSize(text, FONT, scale, 1)
    pad = max(4, letter // 2)
    size = (width + 2 * pad + 1) // 2 * 2, (letter + below // 2 + 2 * pad + 1) // 2 * 2
    image = np.empty((size[1], size[0], 3), np.uint8)
    image[:] = colour
    cv2.putText(image, text, (pad, pad + letter), FONT, scale, _ink(colour), 1, cv2.LINE_AA)
    planes = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420), np.uint8)
    return _Chip(split(planes))


def _ink(colour: Colour) -> Colour:
    """Black or white: at least 4.5:1 on `colour` (relative luminance as WCAG defines it)."""
    shares = np.array(colour) / 255
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ (0.2126, 0.7152, 0.0722))
    return (255, 255, 255) if luminance < 0.179 else (0, 0, 0)


@lru_cache(maxsize=32)
def yuv(colour: Colour) -> tuple[int, int, int]:
    """Luma and both chromas of `colour`, 0 to 255."""
    planes = cv2.cvtColor(np.full((2, 2, 3), colour, np.uint8), cv2.COLOR_RGB2YUV_I420)
    y, u, v = split(np.asarray(planes, np.uint8))
    return int(y[0, 0]), int(u[0, 0]), int(v[0, 0])
