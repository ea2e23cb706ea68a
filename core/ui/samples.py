"""A drawn face and a synthetic voice, made in code, to try Duet without camera or microphone.

They are no photographs and no recordings of anybody, and the pages say so.
"""

from __future__ import annotations

import io
import wave
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from core.media import SAMPLE_RATE
from core.ui.keep import Media
from core.ui.pictures import jpeg

SIDE = 480
SKIN = np.array([214.0, 166.0, 136.0], np.float32)
HAIR = (58, 42, 34)

Mask = NDArray[np.float32]


class _Canvas:
    """A square picture painted through soft masks; coordinates run from -0.5 to 0.5."""

    def __init__(self) -> None:
        rows, columns = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
        self.x = (columns - SIDE / 2) / SIDE
        self.y = (rows - SIDE / 2) / SIDE
        self.pixels = np.array([214, 222, 230], np.float32) - 40 * self.y[..., np.newaxis]

    def ellipse(self, x: float, y: float, width: float, height: float) -> Mask:
        """Negative inside the ellipse, 0 on its edge."""
        across, down = (self.x - x) / width, (self.y - y) / height
        return np.asarray(np.sqrt(across**2 + down**2) - 1, np.float32)

    def paint(
        self,
        shape: Mask,
        colour: object,
        edge: float = 0.03,
        blur: float = 0,
        strength: float = 1,
    ) -> None:
        """Fill where `shape` is negative; `edge` is the width of the transition."""
        mask = np.clip(0.5 - shape / edge, 0, 1)
        if blur:
            mask = cv2.GaussianBlur(mask, (0, 0), blur)
        mask = strength * mask[..., np.newaxis]
        self.pixels = self.pixels * (1 - mask) + np.asarray(colour, np.float32) * mask


@lru_cache(maxsize=1)
def drawn_face() -> Media:
    """A smiling face, drawn, as a JPEG of `SIDE` pixels a side."""
    canvas = _Canvas()
    _head(canvas)
    for side in (-1, 1):
        _eye(canvas, side)
    _nose(canvas)
    _smile(canvas)
    pixels = cv2.GaussianBlur(canvas.pixels, (0, 0), 1.0)
    data = jpeg(np.clip(pixels, 0, 255).astype(np.uint8))
    return Media("Drawn face", data, "sample")


def _head(canvas: _Canvas) -> None:
    x, y = canvas.x, canvas.y
    canvas.paint(canvas.ellipse(0, 0.62, 0.42, 0.26), (72, 92, 128))
    canvas.paint(np.maximum(np.abs(x) - 0.10, np.abs(y - 0.34) - 0.14), SKIN * 0.80, 0.02)
    canvas.paint(canvas.ellipse(0, -0.09, 0.285, 0.335), HAIR)
    for side in (-1, 1):
        canvas.paint(canvas.ellipse(side * 0.262, 0.02, 0.035, 0.07), SKIN * 0.9, 0.05)
    light = 1.08 - 3.6 * (x - 0.04) ** 2 - 0.28 * np.clip(y, 0, 1) - 0.25 * np.clip(-y - 0.2, 0, 1)
    canvas.paint(canvas.ellipse(0, 0.02, 0.25, 0.325), SKIN * light[..., np.newaxis])
    parting = 0.03 * np.cos(9 * x + 0.6)  # a fringe that is not a straight line
    fringe = np.maximum(canvas.ellipse(0, -0.09, 0.285, 0.335), y + 0.19 - parting - 2.6 * x**2)
    canvas.paint(np.asarray(fringe, np.float32), HAIR, 0.02)


def _eye(canvas: _Canvas, side: int) -> None:
    x, y, opening = side * 0.105, -0.035, 0.024
    canvas.paint(canvas.ellipse(x, y - 0.005, 0.075, 0.055), SKIN * 0.55, 0.1, 6, 0.35)
    white = canvas.ellipse(x, y, 0.053, opening)
    canvas.paint(white, (244, 242, 240), 0.08)
    canvas.paint(np.maximum(white, canvas.ellipse(x, y, 0.025, 0.025)), (70, 48, 36), 0.1)
    canvas.paint(np.maximum(white, canvas.ellipse(x, y, 0.012, 0.012)), (15, 12, 12), 0.15)
    canvas.paint(canvas.ellipse(x + 0.008, y - 0.008, 0.006, 0.006), (255, 255, 255), 0.3)
    across = (canvas.x - x) / 0.056
    lid = y - opening * np.sqrt(np.clip(1 - across**2, 0, 1))
    line = np.maximum(np.abs(canvas.y - lid) - 0.004, np.abs(across) - 0.98)
    canvas.paint(line, (60, 38, 30), 0.006)
    along = (canvas.x * side - 0.105) / 0.07
    brow = y - 0.085 + 0.018 * along**2
    thick = 0.011 * (1 - 0.35 * np.clip(along, -1, 1))
    canvas.paint(
        np.maximum(np.abs(canvas.y - brow) - thick, np.abs(along) - 1), (62, 44, 36), 0.008
    )


def _nose(canvas: _Canvas) -> None:
    x, y = canvas.x, canvas.y
    ridge = np.maximum(np.abs(x - 0.012) - 0.012, np.abs(y - 0.03) - 0.07)
    canvas.paint(ridge, (255, 226, 205), 0.02, 6, 0.25)
    canvas.paint(canvas.ellipse(0, 0.115, 0.045, 0.022), SKIN * 0.62, 0.1, 4, 0.45)
    for side in (-1, 1):
        canvas.paint(canvas.ellipse(side * 0.02, 0.118, 0.010, 0.006), (92, 52, 44), 0.3)


def _smile(canvas: _Canvas) -> None:
    across = canvas.x / 0.105
    bow = np.clip(1 - across**2, 0, 1)
    middle = 0.215 - 0.05 * across**2
    top, bottom = middle - 0.012 * bow, middle + 0.055 * bow
    lips = np.maximum(top - 0.014 * np.sqrt(bow) - canvas.y, canvas.y - bottom - 0.016 * bow**0.5)
    canvas.paint(np.maximum(lips, np.abs(across) - 1), (180, 88, 86), 0.006)
    inside = np.maximum(np.maximum(top - canvas.y, canvas.y - bottom), np.abs(across) - 0.95)
    canvas.paint(inside, (110, 34, 38), 0.006)
    teeth = np.maximum(top + 0.002 - canvas.y, canvas.y - top - 0.6 * (bottom - top))
    canvas.paint(np.maximum(teeth, np.abs(across) - 0.86), (248, 246, 240), 0.006)
    for side in (-1, 1):
        cheek = canvas.ellipse(side * 0.165, 0.12, 0.05, 0.035)
        canvas.paint(cheek, SKIN * np.array([1.08, 0.86, 0.82]), 0.2, 7, 0.45)
        fold = np.abs(canvas.ellipse(side * 0.07, 0.19, 0.075, 0.085)) - 0.03
        outside = 0.115 - side * canvas.x
        canvas.paint(np.maximum(fold, outside * 8).astype(np.float32), SKIN * 0.62, 0.1, 3, 0.4)


VOWELS: tuple[tuple[float, float, float], ...] = (
    (730, 1090, 2440),
    (270, 2290, 3010),
    (570, 840, 2410),
    (530, 1840, 2480),
    (300, 870, 2240),
    (660, 1720, 2410),
)
"""First three formants in Hz (Peterson and Barney 1952, men)."""

SYLLABLES = (0, 3, 1, 2, 5, 4, 0, 1, 3, 2, 0, 5, 1, 4, 0, 2, 3, 5, 0, 1)
SYLLABLE_SECONDS = 0.24


@lru_cache(maxsize=1)
def synthetic_voice() -> Media:
    """About five seconds of sung-out syllables, synthesised, as a 16 kHz WAV file."""
    length = int(SYLLABLE_SECONDS * SAMPLE_RATE)
    pieces = [_syllable(place, vowel, length) for place, vowel in enumerate(SYLLABLES)]
    quiet = np.zeros(SAMPLE_RATE // 4, np.float32)
    samples = np.concatenate([quiet, *pieces, quiet])
    noise = np.random.default_rng(7).normal(0, 0.001, len(samples))
    return Media("Synthetic voice", wav(0.6 * samples / np.abs(samples).max() + noise), "sample")


def _syllable(place: int, vowel: int, length: int) -> NDArray[np.float32]:
    """A hiss, then a vowel: harmonics of a gliding pitch, weighed by three formants."""
    time = np.arange(length) / SAMPLE_RATE
    share = time / SYLLABLE_SECONDS
    melody = 185 + 45 * np.sin(1.1 * place) - 2 * place
    pitch = melody * (1 + 0.16 * np.sin(np.pi * share) + 0.012 * np.sin(2 * np.pi * 5.5 * time))
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    voiced = np.zeros(length)
    for harmonic in range(1, 26):
        hertz = harmonic * pitch
        gain = sum(
            weight / (1 + ((hertz - formant) / width) ** 2)
            for formant, weight, width in zip(VOWELS[vowel], (1, 0.55, 0.25), (70, 90, 130),
                                              strict=True)
        )  # fmt: skip
        voiced += gain * np.sin(harmonic * phase) / harmonic**0.4 * (hertz < 0.45 * SAMPLE_RATE)
    hiss = np.diff(np.random.default_rng(place).normal(0, 1, length + 1))
    onset = np.clip((share - 0.18) / 0.12, 0, 1) * np.clip((1 - share) / 0.22, 0, 1)
    burst = np.exp(-(((share - 0.1) / 0.06) ** 2)) * (0.05 + 0.1 * (place % 3 == 0))
    return (voiced * onset + hiss * burst).astype(np.float32)


def wav(samples: NDArray[np.floating]) -> bytes:
    """Mono samples in [-1, 1] at `SAMPLE_RATE` as a 16-bit WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return buffer.getvalue()
