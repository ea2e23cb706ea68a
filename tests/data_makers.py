"""Small data sets in the layouts of the real ones, with content that a network can tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from core.face.tensor import FACE_SIZE
from core.labels import EMOTIONS
from core.media import SAMPLE_RATE
from tests.media_makers import wav


def fer2013(data: Path, train: int = 4, held_out: int = 4, suffix: str = ".png") -> None:
    """So many pictures of each emotion: a bright band at its own height, in noise."""
    rng = np.random.default_rng(5)
    numbers = iter(range(100_000))
    for split, folder, count in (
        ("Training", "train", train),
        ("PublicTest", "test", held_out),
        ("PrivateTest", "test", held_out),
    ):
        for label, emotion in enumerate(EMOTIONS):
            place = data / "fer2013" / folder / emotion
            place.mkdir(parents=True, exist_ok=True)
            for _ in range(count):
                image = rng.integers(60, 120, (FACE_SIZE, FACE_SIZE), np.uint8)
                image[label * 6 : label * 6 + 6] += 100
                cv2.imwrite(str(place / f"{split}_{next(numbers)}{suffix}"), image)


def ravdess(data: Path, actors: Sequence[int], seconds: float = 0.6) -> None:
    """A tone of each of the eight emotions by each actor, of its own pitch."""
    for actor in actors:
        place = data / "ravdess" / f"Actor_{actor:02}"
        place.mkdir(parents=True)
        for code in range(1, 9):
            name = f"03-01-{code:02}-01-01-01-{actor:02}.wav"
            (place / name).write_bytes(tone(120 + 60 * code + actor, seconds))


def crema_d(data: Path, actors: Sequence[int], seconds: float = 0.6) -> None:
    """A tone of each of the six emotions by each actor."""
    place = data / "crema_d"
    place.mkdir(parents=True)
    for actor in actors:
        for number, emotion in enumerate(("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")):
            name = f"{actor}_DFA_{emotion}_XX.wav"
            (place / name).write_bytes(tone(150 + 70 * number, seconds))


def tone(pitch: float, seconds: float) -> bytes:
    """A WAV file of a sine, `pitch` in hertz."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return wav((0.3 * np.sin(2 * np.pi * pitch * time)).astype(np.float32), rate=SAMPLE_RATE)
